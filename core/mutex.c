/*
 * Mutexes: the slow paths.
 *
 * The owner word is changed by compare-and-swap. Without waiters both operations are that one
 * instruction (core/mutex.h). A thread that finds the mutex held takes the wait queue's lock, sets
 * MUTEX_WAITERS in the owner word, queues and sleeps; a release that finds the bit comes here. The
 * bit is set exactly while somebody is queued, as seen under the queue's lock.
 *
 * The release frees the mutex and wakes the first waiter but leaves it queued: it dequeues itself
 * when it gets the mutex, so that its place is not lost. A newcomer may take the free mutex before
 * the waiter runs (a hand-over would make each release wait for a context switch), but only once:
 * the waiter it passes is marked, and past a marked waiter nobody goes.
 */
#include "core/mutex.h"

#include "core/errno.h"
#include "core/panic.h"

struct mutex_waiter {
    struct list_node link;
    struct thread *thread;
    bool passed; /* a newcomer has been let in before it */
};

void mutex_init(struct mutex *m, struct lock_class *class)
{
    *m = (struct mutex){.class = class};
    waitq_init(&m->waiters);
}

static struct mutex_waiter *first_waiter(struct mutex *m)
{
    if (list_empty(&m->waiters.waiters))
        return NULL;
    return list_first(&m->waiters.waiters, struct mutex_waiter, link);
}

/* True when @w may take the mutex as soon as it is free. => The queue's lock is held. */
static bool is_its_turn(struct mutex *m, struct mutex_waiter *w)
{
    struct mutex_waiter *first = first_waiter(m);
    if (!first || first == w)
        return true;
    if (first->passed || !list_empty(&w->link))
        return false;
    return true;
}

/*
 * Takes the mutex for @w and dequeues it, or makes sure that MUTEX_WAITERS is set. Returns whether
 * it took it. => The queue's lock is held.
 */
static bool take_or_mark(struct mutex *m, struct mutex_waiter *w)
{
    bool turn = is_its_turn(m, w);
    uintptr_t old = READ_ONCE(m->owner);
    for (;;) {
        bool take = turn && !(old & ~MUTEX_WAITERS);
        uintptr_t new = old | MUTEX_WAITERS;
        if (take) {
            struct mutex_waiter *first = first_waiter(m);
            bool others = first && (first != w || w->link.next != &m->waiters.waiters);
            new = (uintptr_t)w->thread | (others ? MUTEX_WAITERS : 0);
        }
        if (!atomic_cas(&m->owner, &old, new))
            continue;
        if (!take)
            return false;
        bool newcomer = list_empty(&w->link);
        list_remove(&w->link);
        if (newcomer && first_waiter(m))
            first_waiter(m)->passed = true;
        return true;
    }
}

/* Leaves the queue after a signal; a wakeup meant for @w goes to the next. */
static void give_up(struct mutex *m, struct mutex_waiter *w)
{
    SPIN_GUARD_IRQ(&m->waiters.lock);
    list_remove(&w->link);
    struct mutex_waiter *first = first_waiter(m);
    if (!first)
        atomic_and(&m->owner, ~MUTEX_WAITERS);
    else if (READ_ONCE(m->owner) == MUTEX_WAITERS)
        thread_wake(first->thread);
}

/* Queues in @state until the mutex is ours. Returns 0, or -EINTR for THREAD_SLEEPING_INTR. */
int mutex_lock_slow(struct mutex *m, enum thread_state state)
{
    struct thread *self = thread_self();
    struct mutex_waiter w = {.thread = self};
    list_init(&w.link);
    assert((READ_ONCE(m->owner) & ~MUTEX_WAITERS) != (uintptr_t)self);
    atomic_add_relaxed(&m->class->cpu[self->cpu->id].contended, 1);
    for (;;) {
        irqflags_t flags = spin_lock_irq(&m->waiters.lock);
        if (take_or_mark(m, &w)) {
            WRITE_ONCE(self->state, THREAD_RUNNABLE);
            spin_unlock_irq(&m->waiters.lock, flags);
            return 0;
        }
        if (list_empty(&w.link))
            list_push_back(&m->waiters.waiters, &w.link);
        thread_set_state(state);
        spin_unlock_irq(&m->waiters.lock, flags);
        if (state == THREAD_SLEEPING_INTR && signal_pending()) {
            WRITE_ONCE(self->state, THREAD_RUNNABLE);
            give_up(m, &w);
            return -EINTR;
        }
        atomic_add_relaxed(&m->class->cpu[self->cpu->id].spins, 1);
        schedule();
    }
}

void mutex_unlock_slow(struct mutex *m)
{
    assert(mutex_held(m));
    SPIN_GUARD_IRQ(&m->waiters.lock);
    struct mutex_waiter *first = first_waiter(m);
    store_release(&m->owner, first ? MUTEX_WAITERS : 0);
    if (first)
        thread_wake(first->thread);
}
