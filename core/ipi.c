/*
 * Interrupts between CPUs. A rescheduling interrupt carries nothing: the sender has set a bit in
 * thread->work, which the way out of any interrupt looks at. A function call is a slot per (target,
 * caller) pair: a caller waits with preemption off, so it has one call at a time, and callers never
 * wait for each other's slots. Waiting with interrupts on, two CPUs may call each other.
 */
#include "arch/cpu.h"
#include "core/irq.h"
#include "core/panic.h"
#include "core/spinlock.h"

#include "panic_priv.h"
#include "sched_priv.h"

struct ipi_function {
    void (*fn)(void *arg);
    void *arg;
    u32 pending; /* targets that are not done; atomic */
};

static struct ipi_function *calls[MAX_CPUS][MAX_CPUS]; /* [target][caller]; atomic */
static u32 call_pending[MAX_CPUS];                     /* look into calls[]; atomic */
static bool stop_requested;                            /* atomic */
static u64 stopped_mask;                               /* CPUs in panic_stop_here(); atomic */

#define STOP_TIMEOUT_NS (200 * NSEC_PER_MSEC)

void ipi_reschedule(struct cpu *cpu)
{
    arch_ipi_send(1UL << cpu->id);
}

void ipi_call(u64 mask, void (*fn)(void *), void *arg)
{
    struct ipi_function call = {.fn = fn, .arg = arg};
    preempt_disable();
    debug_assert(arch_irq_enabled() && this_cpu()->irq_depth == 0);
    u32 self = this_cpu()->id;
    mask &= READ_ONCE(cpu_online_mask) & ~(1UL << self);
    call.pending = __builtin_popcountl(mask);
    if (mask) {
        for (u32 i = 0; i < MAX_CPUS; i++) {
            if (!(mask >> i & 1))
                continue;
            store_release(&calls[i][self], &call);
            store_release(&call_pending[i], 1);
        }
        arch_ipi_send(mask);
    }
    for (u64 rounds = 1; load_acquire(&call.pending); rounds++) {
        arch_relax();
        if (rounds % 1024 == 0 && READ_ONCE(panicking))
            panic_stop_here();
    }
    preempt_enable();
}

static void run_calls(u32 self)
{
    for (u32 i = 0; i < MAX_CPUS; i++) {
        struct ipi_function *call = atomic_swap(&calls[self][i], NULL);
        if (!call)
            continue;
        call->fn(call->arg);
        atomic_sub(&call->pending, 1); /* @call is gone from here on */
    }
}

void ipi_interrupt(void)
{
    struct cpu *cpu = this_cpu();
    cpu->ipis++;
    if (unlikely(READ_ONCE(stop_requested)))
        panic_stop_here();
    if (READ_ONCE(call_pending[cpu->id]) && atomic_swap(&call_pending[cpu->id], 0))
        run_calls(cpu->id);
    sched_ipi();
}

void ipi_stopped(void)
{
    atomic_or(&stopped_mask, 1UL << this_cpu()->id);
}

bool ipi_is_stopped(u32 cpu)
{
    return READ_ONCE(stopped_mask) >> cpu & 1;
}

void ipi_stop_others(void)
{
    u64 others = READ_ONCE(cpu_online_mask) & ~(1UL << this_cpu()->id);
    if (!others)
        return;
    WRITE_ONCE(stop_requested, true);
    memory_barrier();
    arch_ipi_send(others);
    u64 deadline = time_ns() + STOP_TIMEOUT_NS;
    while ((READ_ONCE(stopped_mask) & others) != others && time_ns() < deadline)
        arch_relax();
}
