/*
 * Sleeping locks. A mutex has an owner and is not recursive; a rwlock admits many readers or one
 * writer; who waits is served in order, so neither side starves. Neither may be used in interrupt
 * context or under a spinlock. In the debug build both take part in the lock-order check through
 * their class; the _nested forms are for parent and child objects of one class (see
 * ticket_lock_nested()).
 *
 * Nothing of the lock is touched after the release has become visible to a thread that could free
 * it: an object may be freed under its own mutex's next holder.
 */
#pragma once

#include "core/lockdep.h"
#include "core/waitq.h"

/* In mutex.owner: somebody queues, the release must take the slow path. */
#define MUTEX_WAITERS 1UL

struct mutex {
    uintptr_t owner; /* the holding thread, 0 when free, | MUTEX_WAITERS; atomic */
    struct waitq waiters;
    struct lock_class *class;
};

void mutex_init(struct mutex *m, struct lock_class *class);
#define MUTEX_INIT(name, cls)                                  \
    {                                                          \
        .waiters = WAITQ_INIT((name).waiters), .class = &(cls) \
    }

/* Slow halves of the operations below (core/mutex.c). */
int mutex_lock_slow(struct mutex *m, enum thread_state state);
void mutex_unlock_slow(struct mutex *m);

/* One more acquisition of a sleeping lock; an AMO because the thread may migrate. */
static inline void sleep_lock_count(struct lock_class *class)
{
    atomic_add_relaxed(&class->cpu[thread_self()->cpu->id].acquired, 1);
}

static inline bool mutex_take_free(struct mutex *m)
{
    uintptr_t free = 0;
    return __atomic_compare_exchange_n(&m->owner, &free, (uintptr_t)thread_self(), false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void mutex_lock_nested(struct mutex *m, unsigned subclass)
{
    lockdep_acquire(m, m->class, subclass, LOCK_SLEEP);
    if (unlikely(!mutex_take_free(m)))
        (void)mutex_lock_slow(m, THREAD_SLEEPING);
    sleep_lock_count(m->class);
    lockdep_acquired(m);
}

static inline void mutex_lock(struct mutex *m)
{
    mutex_lock_nested(m, 0);
}

/* Gives up when a signal is pending. Returns 0 (locked) or -EINTR. */
static inline int __must_check mutex_lock_intr(struct mutex *m)
{
    lockdep_acquire(m, m->class, 0, LOCK_SLEEP);
    if (unlikely(!mutex_take_free(m))) {
        int r = mutex_lock_slow(m, THREAD_SLEEPING_INTR);
        if (r) {
            lockdep_release(m);
            return r;
        }
    }
    sleep_lock_count(m->class);
    lockdep_acquired(m);
    return 0;
}

static inline bool __must_check mutex_trylock(struct mutex *m)
{
    if (!mutex_take_free(m))
        return false;
    lockdep_tried(m, m->class, LOCK_SLEEP);
    sleep_lock_count(m->class);
    return true;
}

static inline void mutex_unlock(struct mutex *m)
{
    lockdep_release(m);
    uintptr_t self = (uintptr_t)thread_self();
    if (unlikely(!__atomic_compare_exchange_n(&m->owner, &self, 0, false, __ATOMIC_RELEASE,
                                              __ATOMIC_RELAXED)))
        mutex_unlock_slow(m);
}

/* True when the calling thread holds @m. */
static inline bool mutex_held(const struct mutex *m)
{
    return (READ_ONCE(m->owner) & ~MUTEX_WAITERS) == (uintptr_t)thread_self();
}

static inline void mutex_guard_release(struct mutex **m)
{
    mutex_unlock(*m);
}
#define MUTEX_GUARD(m)                                                                    \
    struct mutex *CONCAT(guard_, __LINE__) __cleanup(mutex_guard_release) __unused = (m); \
    mutex_lock(CONCAT(guard_, __LINE__))

/* Bits of rwlock.state; the number of readers is below them. */
#define RWLOCK_WRITER  (1u << 31) /* held for writing */
#define RWLOCK_WAITERS (1u << 30) /* somebody queues: newcomers queue too */

struct rwlock {
    u32 state; /* atomic */
    struct waitq waiters;
    struct lock_class *class;
};

void rwlock_init(struct rwlock *l, struct lock_class *class);
#define RWLOCK_INIT(name, cls)                                 \
    {                                                          \
        .waiters = WAITQ_INIT((name).waiters), .class = &(cls) \
    }

/* Slow halves of the operations below (core/rwlock.c). */
void rwlock_wait(struct rwlock *l, bool write);
void rwlock_hand_over(struct rwlock *l);

static inline bool rwlock_take_read(struct rwlock *l)
{
    u32 old = READ_ONCE(l->state);
    while (likely(!(old & (RWLOCK_WRITER | RWLOCK_WAITERS))))
        if (__atomic_compare_exchange_n(&l->state, &old, old + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

static inline bool rwlock_take_write(struct rwlock *l)
{
    u32 free = 0;
    return __atomic_compare_exchange_n(&l->state, &free, RWLOCK_WRITER, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline void read_lock_nested(struct rwlock *l, unsigned subclass)
{
    lockdep_acquire(l, l->class, subclass, LOCK_SLEEP);
    if (unlikely(!rwlock_take_read(l)))
        rwlock_wait(l, false);
    sleep_lock_count(l->class);
    lockdep_acquired(l);
}

/* => Not recursive: a writer may queue between the two. */
static inline void read_lock(struct rwlock *l)
{
    read_lock_nested(l, 0);
}

static inline bool __must_check read_trylock(struct rwlock *l)
{
    if (!rwlock_take_read(l))
        return false;
    lockdep_tried(l, l->class, LOCK_SLEEP);
    sleep_lock_count(l->class);
    return true;
}

static inline void read_unlock(struct rwlock *l)
{
    lockdep_release(l);
    if (unlikely(__atomic_sub_fetch(&l->state, 1, __ATOMIC_RELEASE) == RWLOCK_WAITERS))
        rwlock_hand_over(l);
}

static inline void write_lock_nested(struct rwlock *l, unsigned subclass)
{
    lockdep_acquire(l, l->class, subclass, LOCK_SLEEP);
    if (unlikely(!rwlock_take_write(l)))
        rwlock_wait(l, true);
    sleep_lock_count(l->class);
    lockdep_acquired(l);
}

static inline void write_lock(struct rwlock *l)
{
    write_lock_nested(l, 0);
}

static inline bool __must_check write_trylock(struct rwlock *l)
{
    if (!rwlock_take_write(l))
        return false;
    lockdep_tried(l, l->class, LOCK_SLEEP);
    sleep_lock_count(l->class);
    return true;
}

static inline void write_unlock(struct rwlock *l)
{
    lockdep_release(l);
    u32 alone = RWLOCK_WRITER;
    if (unlikely(!__atomic_compare_exchange_n(&l->state, &alone, 0, false, __ATOMIC_RELEASE,
                                              __ATOMIC_RELAXED)))
        rwlock_hand_over(l);
}

/* For assertions: somebody holds @l for writing / in any way. */
static inline bool rwlock_write_locked(const struct rwlock *l)
{
    return READ_ONCE(l->state) & RWLOCK_WRITER;
}
static inline bool rwlock_locked(const struct rwlock *l)
{
    return READ_ONCE(l->state) & ~RWLOCK_WAITERS;
}

static inline void read_guard_release(struct rwlock **l)
{
    read_unlock(*l);
}
static inline void write_guard_release(struct rwlock **l)
{
    write_unlock(*l);
}
#define READ_GUARD(l)                                                                     \
    struct rwlock *CONCAT(guard_, __LINE__) __cleanup(read_guard_release) __unused = (l); \
    read_lock(CONCAT(guard_, __LINE__))
#define WRITE_GUARD(l)                                                                     \
    struct rwlock *CONCAT(guard_, __LINE__) __cleanup(write_guard_release) __unused = (l); \
    write_lock(CONCAT(guard_, __LINE__))
