/* Per-CPU data. See core/cpu.h. */
#include "core/cpu.h"

#include "arch/cpu.h"
#include "lib/list.h"

struct cpu cpus[MAX_CPUS] = {
    [0] = {.current = &boot_thread, .idle = &boot_thread},
};

struct thread boot_thread = {
    .cpu = &cpus[0],
    .state = THREAD_RUNNABLE,
    .on_cpu = true,
    .allowed_cpus = 1,
    .all_link = LIST_INIT(boot_thread.all_link),
    .name = "idle/0",
};

u32 cpu_count = 1;
u64 cpu_online_mask;

void cpu_set_online(struct cpu *cpu)
{
    cpu->online = true;
    atomic_or(&cpu_online_mask, 1UL << cpu->id);
}

bool may_sleep(void)
{
    const struct thread *t = thread_self();
    if (t->preempt_count != 0 || !arch_irq_enabled())
        return false;
    return t->cpu->irq_depth == 0;
}
