/*
 * Wait queues: sleep until a condition holds.
 *
 *     wait_event(&q, cond)                      sleeps, not disturbed by signals
 *     r = wait_event_intr(&q, cond)             0, or -EINTR when a signal is pending
 *     r = wait_event_timeout(&q, cond, deadline)  0, -EINTR, -ETIMEDOUT; deadline in time_ns(),
 *                                               TIME_NEVER for none
 *
 * The waker changes the condition first, then calls waitq_wake_one() or waitq_wake_all(). The
 * condition is evaluated without the queue's lock; no wakeup is lost because the waiter is on the
 * queue before it looks. The queue must outlive its wakers: one on the stack of the waiter is no
 * good unless the condition changes under a lock that the waiter takes afterwards.
 */
#pragma once

#include "core/errno.h"
#include "core/sched.h"
#include "core/spinlock.h"
#include "lib/list.h"
#include "core/timer.h"

struct waitq {
    struct spinlock lock;
    struct list_node waiters;
};

struct waiter {
    struct list_node link;
    struct waitq *queue;
    struct thread *thread;
    /* What a wakeup does; NULL wakes ->thread and, if it slept, takes the waiter off. Runs under
     * the queue's lock, must not sleep. */
    void (*wake)(struct waiter *w, u32 key);
    bool exclusive; /* waitq_wake_one() stops behind it */
};

extern struct lock_class waitq_lock_class;
#define WAITQ_INIT(name)                                                              \
    {                                                                                 \
        .lock = SPINLOCK_INIT(waitq_lock_class), .waiters = LIST_INIT((name).waiters) \
    }

void waitq_init(struct waitq *q);
/* With a lock class of its own: for a queue woken from another queue's wake function (epoll). */
void waitq_init_class(struct waitq *q, struct lock_class *class);
/* Adds / removes a waiter (zeroed before first use). Removing one that is not queued is harmless.
 * => Any context. */
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waiter *w);
/* @key tells poll waiters what happened (POLLIN, ...); 0 means "anything". => Any context. */
void waitq_wake_all_key(struct waitq *q, u32 key);
/* Wakes all up to and including the first exclusive waiter that was asleep. */
void waitq_wake_one(struct waitq *q);

static inline void waitq_wake_all(struct waitq *q)
{
    waitq_wake_all_key(q, 0);
}

/* Halves of the macros below. wait_prepare() queues @w and sets the thread's state. */
void wait_prepare(struct waitq *q, struct waiter *w, enum thread_state state);
void wait_finish(struct waiter *w);
/* schedule() with a deadline. Returns false once time_ns() >= @deadline. */
bool schedule_until(u64 deadline);
/* True when the calling thread has a signal (or its end) to attend to. */
static inline bool signal_pending(void)
{
    return READ_ONCE(thread_self()->work) & WORK_SIGNAL;
}

#define WAIT_LOOP_(q, cond, state_, deadline_)                              \
    ({                                                                      \
        int wait_r_ = 0;                                                    \
        struct waiter waiter_ = {.thread = thread_self()};                  \
        if (!(cond)) {                                                      \
            for (;;) {                                                      \
                wait_prepare((q), &waiter_, (state_));                      \
                if (cond)                                                   \
                    break;                                                  \
                if ((state_) == THREAD_SLEEPING_INTR && signal_pending()) { \
                    wait_r_ = -EINTR;                                       \
                    break;                                                  \
                }                                                           \
                if (!schedule_until(deadline_)) {                           \
                    wait_r_ = (cond) ? 0 : -ETIMEDOUT;                      \
                    break;                                                  \
                }                                                           \
            }                                                               \
            wait_finish(&waiter_);                                          \
        }                                                                   \
        wait_r_;                                                            \
    })

#define wait_event(q, cond)                   ((void)WAIT_LOOP_(q, cond, THREAD_SLEEPING, TIME_NEVER))
#define wait_event_intr(q, cond)              WAIT_LOOP_(q, cond, THREAD_SLEEPING_INTR, TIME_NEVER)
#define wait_event_timeout(q, cond, deadline) WAIT_LOOP_(q, cond, THREAD_SLEEPING_INTR, deadline)
