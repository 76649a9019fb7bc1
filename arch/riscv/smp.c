/* Starting the other harts through the firmware (SBI HSM). */
#include "arch/boot.h"
#include "arch/cpu.h"
#include "core/cpu.h"
#include "core/errno.h"
#include "core/panic.h"
#include "mm/kva.h"
#include "mm/page.h"

#include "arch_priv.h"
#include "mmu_priv.h"
#include "smp_priv.h"

#include <machine/offsets.h>

static struct hart_start hart_starts[MAX_CPUS];

extern char boot_stack_guard[];

int arch_emergency_stack_init(struct cpu *cpu)
{
    if (cpu->id == 0) {
        /* The frames of the boot stack's guard, which only the direct map still shows. */
        paddr_t guard = arch_virt_to_phys(boot_stack_guard);
        cpu->emergency_stack = (vaddr_t)direct_map(guard) + (1UL << KSTACK_BIT);
        return 0;
    }
    struct page *page = page_alloc(1, PAGE_WIRED, 0);
    if (!page)
        return -ENOMEM;
    cpu->emergency_stack = (vaddr_t)page_to_virt(page) + 2 * PAGE_SIZE;
    return 0;
}

int arch_cpu_start(u32 id)
{
    struct cpu *cpu = &cpus[id];
    struct thread *idle = cpu->idle;
    assert(idle && idle->cpu == cpu);
    if (!sbi_has_extension(SBI_EXT_HSM) || !sbi_has_extension(SBI_EXT_IPI) ||
        !sbi_has_extension(SBI_EXT_RFENCE))
        return -ENOSYS;
    int error = arch_emergency_stack_init(cpu);
    if (error)
        return error;
    struct hart_start *start = &hart_starts[id];
    *start = (struct hart_start){
        .satp = kernel_satp,
        .thread = (vaddr_t)idle,
        .sp = idle->kernel_sp,
        .entry = (vaddr_t)secondary_main,
    };
    WRITE_ONCE(hart_starting_arg, arch_virt_to_phys(start));
    memory_barrier();
    WRITE_ONCE(hart_starting_id, cpu->hartid);
    memory_barrier();
    return sbi_hart_start(cpu->hartid, arch_virt_to_phys(secondary_start),
                          arch_virt_to_phys(start));
}
