/* Ticket spinlocks: the slow paths, and the list of lock classes. See core/spinlock.h. */
#include "core/spinlock.h"

#include "core/panic.h"

/* A panic elsewhere may have stopped the holder for good: look for one every so many rounds. */
#define PANIC_CHECK_ROUNDS 1024

void ticket_wait(struct ticket *t, struct lock_class *class, u16 mine)
{
    u64 rounds = 0;
    while (load_acquire(&t->owner) != mine) {
        arch_relax();
        if (unlikely(++rounds % PANIC_CHECK_ROUNDS == 0 && READ_ONCE(panicking)))
            panic_stop_here();
    }
    struct lock_stat *stat = &class->cpu[this_cpu()->id];
    stat->contended++;
    stat->spins += rounds;
}

bool ticket_trylock(struct ticket *t, struct lock_class *class)
{
    preempt_disable();
    u32 old = READ_ONCE(*(u32 *)(void *)t);
    bool free = (u16)old == old >> 16;
    if (!free || !__atomic_compare_exchange_n((u32 *)(void *)t, &old, old + (1u << 16), false,
                                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        preempt_enable();
        return false;
    }
    u32 id = this_cpu()->id;
    t->holder = id + 1;
    class->cpu[id].acquired++;
    lockdep_tried(t, class, LOCK_SPIN);
    return true;
}

extern struct lock_class lock_classes_start[], lock_classes_end[];

void lock_class_for_each(void (*fn)(struct lock_class *class, void *arg), void *arg)
{
    for (struct lock_class *c = lock_classes_start; c < lock_classes_end; c++)
        fn(c, arg);
}
