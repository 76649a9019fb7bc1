/* Shared by the scheduler's files: sched.c, runqueue.c, place.c, loadavg.c, thread.c. */
#pragma once

#include "core/sched.h"
#include "core/spinlock.h"
#include "core/timer.h"

#define SCHED_LATENCY   (12 * NSEC_PER_MSEC) /* in this time every runnable thread has a turn ... */
#define SCHED_SLICE_MIN (3 * NSEC_PER_MSEC)  /* ... unless its slice would be shorter than this */
#define SCHED_CREDIT    (SCHED_LATENCY / 2)  /* how far behind the others a sleeper may come back */
#define SCHED_GRANULARITY                                                       \
    (2 * NSEC_PER_MSEC)     /* lead in virtual time that makes a wakeup preempt \
                             */
#define SCHED_WEIGHT_0 1024 /* of nice 0 */

/* All fields: the queue's lock, unless noted. */
struct runqueue {
    struct spinlock lock;
    struct cpu *cpu;          /* fixed */
    struct rb_root tree;      /* runnable threads that do not run, by vruntime */
    struct thread *first;     /* its leftmost, NULL when empty */
    u32 queued;               /* threads in the tree; others read it as a hint */
    u32 running;              /* the same and the current one unless idle; hint too */
    u64 weight;               /* sum over those */
    u64 min_vruntime;         /* never goes back; where newcomers start */
    struct thread *prev;      /* during a switch: the thread switched away from */
    struct thread *migrating; /* during a switch: prev, when it may not run here any more */
    struct timer slice;       /* armed while two compete */
};

extern const u32 sched_weights[40]; /* by nice + 20 */
extern u64 sched_threads_started;   /* atomic */

/* True when virtual time @a lies before @b; they wrap. */
static inline bool vtime_before(u64 a, u64 b)
{
    return (s64)(a - b) < 0;
}

/* runqueue.c. => The queue's lock is held. */
void rq_insert(struct runqueue *rq, struct thread *t);           /* into the tree */
void rq_remove(struct runqueue *rq, struct thread *t);           /* out of the tree */
void rq_account(struct runqueue *rq, struct thread *t, u64 now); /* current thread: time used */
u64 rq_slice(const struct runqueue *rq, const struct thread *t);
void rq_arm_slice(struct runqueue *rq,
                  u64 now); /* this CPU's: if two compete and it is not armed */
/* A thread becomes runnable on @rq, or stops being so. */
static inline void rq_join(struct runqueue *rq, struct thread *t)
{
    rq->running++;
    rq->weight += sched_weights[t->nice];
}
static inline void rq_leave(struct runqueue *rq, struct thread *t)
{
    rq->running--;
    rq->weight -= sched_weights[t->nice];
}
/* Locks the queue that @t belongs to, which pins t->cpu. => Interrupts off. */
struct runqueue *rq_lock_thread(struct thread *t);

/* place.c */
void sched_kick(struct cpu *cpu); /* makes @cpu reschedule soon. => Its queue's lock is held. */
/* Queues the runnable thread @t, which is on no queue, where it fits best, and releases @rq, the
 * queue it belongs to. => Interrupts off. */
void sched_place(struct runqueue *rq, struct thread *t);
/* Takes a thread from another CPU's queue for the idle @rq. NULL when there is none. */
struct thread *sched_steal(struct runqueue *rq);
/* Gives a queued thread to a CPU with at least two fewer. */
void sched_push(struct runqueue *rq);

/* loadavg.c */
extern u64 load_next;
void load_update(u64 now);
/* To be called before the number of runnable threads changes. */
static inline void load_catch_up(u64 now)
{
    if (unlikely(now >= READ_ONCE(load_next)))
        load_update(now);
}

/* thread.c: idle threads are not among "all threads". */
void thread_unlist(struct thread *t);

/* sched.c: an IPI arrived; where a new thread starts, and where a dead one ends. */
void sched_ipi(void);
void sched_thread_begin(void);
void sched_thread_end(void) __noreturn;
