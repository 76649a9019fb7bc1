/* Per-CPU data. A CPU here is a hart; ids are dense from 0, the boot hart is 0. */
#pragma once

#include "core/thread.h"
#include "lib/atomic.h"

struct runqueue;

struct cpu {
    u32 id;
    u64 hartid; /* SBI's number of it */
    bool online;
    u32 irq_depth;          /* > 0 in an interrupt handler */
    struct thread *current; /* written under the run queue's lock */
    struct thread *idle;
    struct runqueue *rq;
    vaddr_t emergency_stack; /* top of the stack for kernel stack overflows */
    u64 interrupts, ipis, timer_irqs, context_switches; /* counters for /proc */
    u32 samples[2];               /* interrupts that found it busy in the kernel, in user mode */
    u64 user_ns, system_ns;       /* run queue's lock: busy time split so far; sched_cpu_times() */
    u64 idle_ns;                  /* up to the last switch; sched_idle_ns() adds the rest */
    struct aspace *loaded_aspace; /* whose page table is in satp (mm/aspace.c) */
    u64 asid_generation;
    struct thread *fpu_owner; /* whose floating-point registers the hart holds, or NULL */
};

extern struct cpu cpus[MAX_CPUS];
extern u32 cpu_count; /* CPUs found in the devicetree, at most MAX_CPUS */
extern u64 cpu_online_mask;

/*
 * What runs on the boot hart from its first C instruction on (start code puts it into tp); becomes
 * that CPU's idle thread. kmain() gives it stack_base and kernel_sp.
 */
extern struct thread boot_thread;

/* => Preemption must be off, or the answer may be stale before it is used. */
static inline struct cpu *this_cpu(void)
{
    return thread_self()->cpu;
}

#define for_each_online_cpu(c)                            \
    for (struct cpu *c = cpus; c < cpus + cpu_count; c++) \
        if (c->online)

/* Marks this CPU as taking part in scheduling and IPIs. */
void cpu_set_online(struct cpu *cpu);

static inline void preempt_disable(void)
{
    struct thread *t = thread_self();
    WRITE_ONCE(t->preempt_count, t->preempt_count + 1);
    compiler_barrier();
}

void preempt_schedule(void); /* core/sched.c: slow half of preempt_enable() */

static inline void preempt_enable(void)
{
    struct thread *t = thread_self();
    compiler_barrier();
    u32 count = t->preempt_count - 1;
    WRITE_ONCE(t->preempt_count, count);
    if (unlikely(count == 0 && (READ_ONCE(t->work) & WORK_RESCHED)))
        preempt_schedule();
}

/* True when the caller may sleep: no spinlock held, not in an interrupt handler, IRQs on. */
bool may_sleep(void);
