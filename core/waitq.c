/* Wait queues. See core/waitq.h for how a wakeup is never lost. */
#include "core/waitq.h"

#include "core/errno.h"

DEFINE_LOCK_CLASS(waitq_lock_class, "waitq");

void waitq_init_class(struct waitq *q, struct lock_class *class)
{
    spin_init(&q->lock, class);
    list_init(&q->waiters);
}

void waitq_init(struct waitq *q)
{
    waitq_init_class(q, &waitq_lock_class);
}

/* => The queue's lock is held. */
static void add_locked(struct waitq *q, struct waiter *w)
{
    if (!w->queue) {
        w->queue = q;
        list_init(&w->link);
    }
    if (list_empty(&w->link))
        list_push_back(&q->waiters, &w->link);
}

void waitq_add(struct waitq *q, struct waiter *w)
{
    irqflags_t flags = spin_lock_irq(&q->lock);
    add_locked(q, w);
    spin_unlock_irq(&q->lock, flags);
    memory_barrier(); /* on the queue before the condition is read: pairs with nobody_waits() */
}

void waitq_remove(struct waiter *w)
{
    struct waitq *q = w->queue;
    if (!q)
        return;
    SPIN_GUARD_IRQ(&q->lock); /* also waits for a waker that still uses @w */
    list_remove(&w->link);
    w->queue = NULL;
}

/* The usual case for a waker, decided without the lock. */
static inline bool nobody_waits(struct waitq *q)
{
    memory_barrier(); /* the condition has changed before the queue is read */
    return READ_ONCE(q->waiters.next) == &q->waiters;
}

/* Returns true when an exclusive waiter has taken the wakeup. => The queue's lock is held. */
static bool wake_waiter(struct waiter *w, u32 key)
{
    bool exclusive = w->exclusive;
    if (w->wake) {
        w->wake(w, key);
        return exclusive;
    }
    if (!thread_wake(w->thread))
        return false;
    list_remove(&w->link);
    return exclusive;
}

static void wake_slow(struct waitq *q, u32 key, bool all)
{
    struct list_node *n, *next;
    SPIN_GUARD_IRQ(&q->lock);
    list_for_each_safe (n, next, &q->waiters)
        if (wake_waiter(list_entry(n, struct waiter, link), key) && !all)
            break;
}

void waitq_wake_all_key(struct waitq *q, u32 key)
{
    if (!nobody_waits(q))
        wake_slow(q, key, true);
}

void waitq_wake_one(struct waitq *q)
{
    if (!nobody_waits(q))
        wake_slow(q, 0, false);
}

void wait_prepare(struct waitq *q, struct waiter *w, enum thread_state state)
{
    irqflags_t flags = spin_lock_irq(&q->lock);
    add_locked(q, w);
    thread_set_state(state);
    spin_unlock_irq(&q->lock, flags);
}

void wait_finish(struct waiter *w)
{
    WRITE_ONCE(thread_self()->state, THREAD_RUNNABLE);
    waitq_remove(w);
}

struct sleep_timer {
    struct timer timer;
    struct thread *thread;
};

static void sleep_timer_fired(struct timer *t)
{
    thread_wake(container_of(t, struct sleep_timer, timer)->thread);
}

bool schedule_until(u64 deadline)
{
    if (deadline == TIME_NEVER) {
        schedule();
        return true;
    }
    lockdep_check_sleep();
    if (time_ns() >= deadline) {
        WRITE_ONCE(thread_self()->state, THREAD_RUNNABLE);
        return false;
    }
    struct sleep_timer sleep = {.timer.fn = sleep_timer_fired, .thread = thread_self()};
    timer_start(&sleep.timer, deadline);
    schedule();
    timer_cancel(&sleep.timer);
    return time_ns() < deadline;
}

int sleep_until(u64 deadline)
{
    for (;;) {
        thread_set_state(THREAD_SLEEPING_INTR);
        if (signal_pending()) {
            WRITE_ONCE(thread_self()->state, THREAD_RUNNABLE);
            return -EINTR;
        }
        if (!schedule_until(deadline))
            return 0;
    }
}
