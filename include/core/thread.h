/*
 * struct thread: what the scheduler schedules. Kernel threads are exactly this; a user thread is a
 * struct uthread (include/proc/process.h) that embeds it.
 *
 * The running thread's address is kept in the tp register: thread_self() costs nothing.
 */
#pragma once

#include "arch/context.h"
#include "core/spinlock_types.h"
#include "lib/list.h"
#include "lib/rbtree.h"

struct aspace;
struct cred;
struct fs_context;
struct cpu;

enum thread_state {
    THREAD_NEW,           /* not yet started */
    THREAD_RUNNABLE,      /* on a run queue or running */
    THREAD_SLEEPING,      /* waits, only a wakeup helps */
    THREAD_SLEEPING_INTR, /* waits, a signal ends the wait too */
    THREAD_STOPPED,       /* job control stop */
    THREAD_DEAD,
};

/* thread->work: reasons to leave the straight path back to user mode. Set atomically. */
#define WORK_RESCHED 1u /* another thread should run */
#define WORK_SIGNAL  2u /* a signal (or exit, or stop) is pending: signal_deliver() looks */

/*
 * Legend:  a: written only by the thread itself; q: lock of the run queue it is on;
 *          w: atomic.  The first fields are named in assembly; arch/riscv asserts the offsets.
 */
struct thread {
    vaddr_t kernel_sp; /* a: top of the kernel stack, where a trap from user mode begins */
    vaddr_t user_sp;   /* scratch for trap entry */
    struct cpu *cpu;   /* q: CPU it runs on or ran on last */
    u32 preempt_count; /* a: > 0 forbids preemption; every held spinlock counts one */
    u32 work;          /* w: WORK_* */
    struct arch_context context; /* saved registers while switched out */

    /* what it runs in; opaque here. aspace NULL: a kernel thread, any address space will do */
    struct aspace *aspace;
    struct cred *cred;     /* identity for permission checks */
    struct fs_context *fs; /* root, working directory, umask */
    bool is_user;          /* embedded in a struct uthread */
    bool in_reclaim;       /* a: frees memory now: its allocations use the reserve, never reclaim */

    /* scheduling (core/sched.c) */
    enum thread_state state; /* q (and set by the thread itself before it sleeps) */
    bool on_cpu;             /* w: registers are live on a CPU, not yet saved */
    bool on_queue;           /* q */
    u8 nice;                 /* nice + 20: 0 .. 39 */
    u64 allowed_cpus;        /* bit i: may run on CPU i */
    u64 vruntime;            /* q: weighted run time, ns */
    u64 started;             /* q: time_ns() of the last accounting point */
    u64 runtime_ns;          /* q: CPU time used up to then */
    u64 slice_start;         /* q: runtime_ns when it was last put on the CPU */
    u64 user_ns, system_ns;  /* q: its split; see sched_account() */
    u32 samples[2];          /* a: interrupts that found it in the kernel [0], in user mode [1] */
    u64 switches_voluntary, switches_involuntary; /* a */
    u64 faults_minor, faults_major; /* a: page faults, without and with waiting for a device */
    u64 pages_awaited;              /* a: cached pages it had to have read in or wait for */
    struct rb_node queue_node;      /* q */

    vaddr_t stack_base;       /* lowest address of the kernel stack */
    void (*entry)(void *arg); /* kernel threads: start function */
    void *entry_arg;
    /* Called when the dead thread is off its CPU, by the next thread that runs there, with
     * preemption off: must not sleep. Must call thread_fini() and free the struct. */
    void (*release)(struct thread *t);
    const char *wait_what;     /* what it sleeps for, for /proc/PID/wchan and the console key */
    struct list_node all_link; /* all threads, for panic and debugging */
    char name[16];

    struct lock_held *held; /* debug build: locks held, for the order checker */
};

static inline struct thread *thread_self(void)
{
    return arch_thread_self();
}

/*
 * Makes a kernel thread and starts it. Returns 0, -ENOMEM. @out may be NULL.
 * => May sleep.
 */
int thread_spawn(struct thread **out, const char *name, void (*fn)(void *), void *arg);

/*
 * Prepares @t (zeroed by the caller) with a kernel stack and default scheduling state; the first
 * switch to it calls @entry(@arg) with preemption enabled. Does not start it.
 * Returns 0, -ENOMEM. => May sleep.
 */
int thread_init(struct thread *t, const char *name, void (*entry)(void *), void *arg);
/* Undoes thread_init(): for a thread never started, or from release(). => Does not sleep. */
void thread_fini(struct thread *t);

/* The nice value, -20 .. 19. */
static inline int thread_nice(const struct thread *t)
{
    return (int)t->nice - 20;
}

/* Puts a new thread on a run queue (placed by load). */
void thread_start(struct thread *t);

/* Ends the calling thread, which holds no locks; its release() runs once it is off the CPU. */
void thread_exit(void) __noreturn;

/* Calls @fn for every thread, under the list's lock: @fn must not sleep. */
void thread_for_each(void (*fn)(struct thread *t, void *arg), void *arg);
