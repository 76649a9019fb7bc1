/*
 * Reader-writer locks: the slow paths.
 *
 * The state word says who holds the lock and whether anybody queues. While somebody queues,
 * everybody queues, and the lock is handed over: the last holder gives it to the head of the queue
 * (a writer, or all readers up to the next writer) before it wakes them. So the order of arrival is
 * the order of service, and a woken waiter never finds the lock taken.
 *
 * RWLOCK_WAITERS changes only under the queue's lock and is set exactly while the queue is not
 * empty. A waiter leaves its sleep only after it has seen the grant under that lock, so the thread
 * that grants is done with its stack by then.
 */
#include "core/mutex.h"

#include "core/panic.h"

struct rwlock_waiter {
    struct list_node link;
    struct thread *thread;
    bool write;
    bool granted; /* the lock is ours; under the queue's lock */
};

void rwlock_init(struct rwlock *l, struct lock_class *class)
{
    *l = (struct rwlock){.class = class};
    waitq_init(&l->waiters);
}

/*
 * Takes the lock if it is free of conflicts and of a queue, else marks it as having one.
 * Returns whether it took it. => The queue's lock is held.
 */
static bool take_or_mark(struct rwlock *l, bool write)
{
    u32 old = READ_ONCE(l->state);
    for (;;) {
        bool take = write ? old == 0 : !(old & (RWLOCK_WRITER | RWLOCK_WAITERS));
        u32 new = old | RWLOCK_WAITERS;
        if (take)
            new = write ? RWLOCK_WRITER : old + 1;
        if (atomic_cas(&l->state, &old, new))
            return take;
    }
}

/* Waits for the lock, which the fast path did not get. */
void rwlock_wait(struct rwlock *l, bool write)
{
    struct thread *self = thread_self();
    struct rwlock_waiter w = {.thread = self, .write = write};
    atomic_add_relaxed(&l->class->cpu[self->cpu->id].contended, 1);
    irqflags_t flags = spin_lock_irq(&l->waiters.lock);
    if (!take_or_mark(l, write)) {
        list_push_back(&l->waiters.waiters, &w.link);
        while (!w.granted) {
            thread_set_state(THREAD_SLEEPING);
            spin_unlock_irq(&l->waiters.lock, flags);
            atomic_add_relaxed(&l->class->cpu[self->cpu->id].spins, 1);
            schedule();
            flags = spin_lock_irq(&l->waiters.lock);
        }
        WRITE_ONCE(self->state, THREAD_RUNNABLE);
    }
    spin_unlock_irq(&l->waiters.lock, flags);
}

static void grant(struct rwlock_waiter *w)
{
    list_remove(&w->link);
    w->granted = true;
    thread_wake(w->thread);
}

/* The lock has no holder any more (or its writer is the caller) but a queue: serves its head. */
void rwlock_hand_over(struct rwlock *l)
{
    struct list_node *queue = &l->waiters.waiters;
    SPIN_GUARD_IRQ(&l->waiters.lock);
    u32 state = READ_ONCE(l->state);
    assert((state & RWLOCK_WAITERS) && !(state & ~(RWLOCK_WAITERS | RWLOCK_WRITER)));
    struct rwlock_waiter *w = list_first(queue, struct rwlock_waiter, link);
    u32 new = 0;
    if (w->write) {
        new = RWLOCK_WRITER;
        grant(w);
    } else {
        while (!list_empty(queue)) {
            w = list_first(queue, struct rwlock_waiter, link);
            if (w->write)
                break;
            new ++;
            grant(w);
        }
    }
    if (!list_empty(queue))
        new |= RWLOCK_WAITERS;
    store_release(&l->state, new);
}
