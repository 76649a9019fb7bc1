/*
 * The scheduler: per-CPU queues ordered by virtual run time, stealing when idle, wake-up placement,
 * one-shot slice timers only where two threads compete (no tick on an idle or single-thread hart).
 */
#pragma once

#include "core/cpu.h"

/* Boot CPU, before the first thread_spawn(): everything, CPU 0's queue included. */
void sched_init(void);
/* Another CPU, before it starts: its queue and idle thread (with a stack). Once it runs it calls
 * cpu_set_online(). Returns 0, -ENOMEM. => May sleep. */
int sched_init_cpu(struct cpu *cpu);
/* Where a booted CPU ends up; what ran there so far becomes its idle thread. */
void sched_idle_loop(void) __noreturn;

/*
 * Gives the CPU away. The caller has set its state; RUNNABLE means "stay on the queue". May return
 * for no reason: call it in a loop that looks at its condition. => May sleep: no spinlock held,
 * interrupts on.
 */
void schedule(void);
/* Lets others of this CPU's queue go first once. */
void thread_yield(void);

/*
 * Makes a sleeping thread runnable. Returns false when it was not asleep.
 * thread_wake_interruptible() wakes only THREAD_SLEEPING_INTR, thread_wake_stopped() only
 * THREAD_STOPPED. => Any context, also interrupt handlers.
 */
bool thread_wake(struct thread *t);
bool thread_wake_interruptible(struct thread *t);
bool thread_wake_stopped(struct thread *t);

/* Sets a work bit and, when @t runs in user mode on another CPU, makes it enter the kernel. */
void thread_set_work(struct thread *t, u32 work);

/* Nice -20 .. 19; the weights are Linux's (each step about 1.25). */
void thread_set_nice(struct thread *t, int nice);
/* Restricts @t to @cpus (bit mask). Returns 0, -EINVAL when no online CPU remains. */
int thread_set_affinity(struct thread *t, u64 cpus);

/* Called on the way out of an interrupt that hit kernel mode. */
void sched_preempt_irq(void);

/*
 * Brings @t's runtime_ns, user_ns and system_ns up to date, also while it runs. The total is exact;
 * the split is in proportion to the interrupts that found it in either mode (see core/sched.c).
 * Whoever reports CPU time calls it first. => Any context but under a run queue's lock.
 */
void sched_account(struct thread *t);

/* arch: an interrupt hit this CPU, in user mode or not. => Interrupts off. */
static inline void sched_sample(bool from_user)
{
    struct thread *t = thread_self();
    t->samples[from_user]++;
    if (t != t->cpu->idle)
        t->cpu->samples[from_user]++;
}

/* Time @cpu has spent idle, up to now. */
u64 sched_idle_ns(struct cpu *cpu);

/* Sets the calling thread's state before it sleeps; ordered before whatever it checks next. */
static inline void thread_set_state(enum thread_state state)
{
    WRITE_ONCE(thread_self()->state, state);
    memory_barrier();
}

/* How @cpu has spent the time since boot. Idle time is exact, the rest is split as for threads. */
struct cpu_times {
    u64 user_ns, system_ns, idle_ns;
};
void sched_cpu_times(struct cpu *cpu, struct cpu_times *out);

struct sched_stats {
    u64 runnable; /* threads running or waiting for a CPU now */
    u64 threads;  /* all, kernel threads included */
    u64 context_switches, forks;
    u64 load_1, load_5, load_15; /* load averages, scaled by 65536 */
};
void sched_get_stats(struct sched_stats *out);
