/*
 * Ticket spinlocks with statistics per lock class.
 *
 * A spinlock disables preemption while held. A lock that interrupt handlers take must be taken with
 * the _irq forms everywhere else. Nothing that sleeps may run under a spinlock.
 *
 * The bare `struct ticket` (8 bytes) is for places where every byte counts (struct page); its
 * class is named at each call. `struct spinlock` carries its class.
 *
 * The statistics are plain increments: a class whose locks interrupt handlers take is only ever
 * counted with interrupts off, any other one with preemption off, so none is lost.
 */
#pragma once

#include "arch/cpu.h"
#include "core/cpu.h"
#include "core/lockdep.h"
#include "core/spinlock_types.h"
#include "lib/atomic.h"

static inline void spin_init(struct spinlock *l, struct lock_class *class)
{
    *l = (struct spinlock){.class = class};
}

/* Slow half of ticket_lock(): waits until @mine is served. */
void ticket_wait(struct ticket *t, struct lock_class *class, u16 mine);
/* What ticket_lock_nested() does, without touching the preemption count. */
static inline void ticket_take(struct ticket *t, struct lock_class *class, unsigned subclass)
{
    u32 id = this_cpu()->id;
    lockdep_acquire(t, class, subclass, LOCK_SPIN);
    u32 old = __atomic_fetch_add((u32 *)(void *)t, 1u << 16, __ATOMIC_ACQUIRE);
    if (unlikely((u16)old != old >> 16))
        ticket_wait(t, class, old >> 16);
    t->holder = id + 1;
    class->cpu[id].acquired++;
    lockdep_acquired(t);
}

/* Releases the lock, without touching the preemption count. */
static inline void ticket_release(struct ticket *t)
{
    lockdep_release(t);
    t->holder = 0;
    store_release(&t->owner, (u16)(t->owner + 1));
}

/*
 * As ticket_lock(), below locks of the same class held with a lower subclass (parent before child).
 */
static inline void ticket_lock_nested(struct ticket *t, struct lock_class *class, unsigned subclass)
{
    preempt_disable();
    ticket_take(t, class, subclass);
}

static inline void ticket_lock(struct ticket *t, struct lock_class *class)
{
    ticket_lock_nested(t, class, 0);
}

/*
 * ticket_lock()'s usual case alone, for a function whose other case is a tail call and that
 * therefore saves no registers. False: nothing was done, the caller must call ticket_lock(). So in
 * the debug build, where every acquisition goes through the order checker.
 */
static inline bool ticket_lock_uncontended(struct ticket *t, struct lock_class *class)
{
#ifdef QUIRE_DEBUG
    return false;
#else
    u32 old = READ_ONCE(*(u32 *)(void *)t);
    if (unlikely((u16)old != old >> 16))
        return false;
    preempt_disable();
    if (unlikely(!__atomic_compare_exchange_n((u32 *)(void *)t, &old, old + (1u << 16), true,
                                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
        thread_self()->preempt_count--; /* ticket_lock() follows and takes care of preemption */
        return false;
    }
    u32 id = this_cpu()->id;
    t->holder = id + 1;
    class->cpu[id].acquired++;
    return true;
#endif
}

/* Takes the lock if that needs no waiting. Returns whether it did. */
bool ticket_trylock(struct ticket *t, struct lock_class *class);

static inline void ticket_unlock(struct ticket *t, struct lock_class *class)
{
    ticket_release(t);
    preempt_enable();
}

static inline void spin_lock(struct spinlock *l)
{
    ticket_lock(&l->ticket, l->class);
}

/* See ticket_lock_nested(). */
static inline void spin_lock_nested(struct spinlock *l, unsigned subclass)
{
    ticket_lock_nested(&l->ticket, l->class, subclass);
}

static inline bool spin_trylock(struct spinlock *l)
{
    return ticket_trylock(&l->ticket, l->class);
}

static inline void spin_unlock(struct spinlock *l)
{
    ticket_unlock(&l->ticket, l->class);
}

/* Disables interrupts, then locks. Returns the state for spin_unlock_irq(). */
static inline irqflags_t __must_check spin_lock_irq(struct spinlock *l)
{
    irqflags_t flags = arch_irq_save();
    spin_lock(l);
    return flags;
}

static inline void spin_unlock_irq(struct spinlock *l, irqflags_t flags)
{
    ticket_release(&l->ticket);
    arch_irq_restore(flags);
    preempt_enable(); /* with interrupts as the caller had them, so that it can switch */
}

/* True when this CPU holds @l: for assertions. */
static inline bool spin_held(const struct spinlock *l)
{
    return READ_ONCE(l->ticket.holder) == this_cpu()->id + 1;
}

/* Scoped forms: the lock is released however the block is left. */
static inline void spin_guard_release(struct spinlock **l)
{
    if (*l)
        spin_unlock(*l);
}
#define SPIN_GUARD(l)                                                                       \
    struct spinlock *CONCAT(guard_, __LINE__) __cleanup(spin_guard_release) __unused = (l); \
    spin_lock(CONCAT(guard_, __LINE__))

struct irq_guard {
    struct spinlock *lock;
    irqflags_t flags;
};
static inline void irq_guard_release(struct irq_guard *g)
{
    spin_unlock_irq(g->lock, g->flags);
}
static inline struct irq_guard irq_guard_take(struct spinlock *l)
{
    return (struct irq_guard){l, spin_lock_irq(l)};
}
#define SPIN_GUARD_IRQ(l)                                                             \
    struct irq_guard CONCAT(guard_, __LINE__) __cleanup(irq_guard_release) __unused = \
        irq_guard_take(l)

/* Calls @fn for every lock class (statistics, see /proc/lockstat). */
void lock_class_for_each(void (*fn)(struct lock_class *class, void *arg), void *arg);
