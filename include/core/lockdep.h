/*
 * The lock-order checker of the debug build (core/lockdep.c). The lock operations call these hooks;
 * in the release build they are nothing.
 */
#pragma once

#include "core/spinlock_types.h"

/* Locks of one class may nest when each further one is taken with a higher subclass below this. */
#define LOCK_SUBCLASSES 4

enum lock_kind { LOCK_SPIN, LOCK_SLEEP };

struct thread;

#ifdef QUIRE_DEBUG
/*
 * Before waiting for @lock: checks the order against everything the thread holds, then counts it as
 * held. Panics when the order could deadlock.
 */
void lockdep_acquire(const void *lock, struct lock_class *class, unsigned subclass,
                     enum lock_kind kind);
/* A trylock succeeded: held, but no order follows from it. */
void lockdep_tried(const void *lock, struct lock_class *class, enum lock_kind kind);
/* The wait begun by lockdep_acquire() is over: the hold time runs from here. */
void lockdep_acquired(const void *lock);
/* Panics when the thread does not hold @lock. */
void lockdep_release(const void *lock);
/* Panics when a spinlock is held: the caller is about to sleep. */
void lockdep_check_sleep(void);
/* Allocates / frees the held-lock stack of a thread. Returns 0, -ENOMEM. => May sleep. */
int lockdep_thread_init(struct thread *t);
void lockdep_thread_fini(struct thread *t);
/* Logs the locks @t holds. => Only in a panic, or for the calling thread. */
void lockdep_print_held(const struct thread *t);
#else
static inline void lockdep_acquire(const void *lock, struct lock_class *class, unsigned subclass,
                                   enum lock_kind kind)
{
}
static inline void lockdep_tried(const void *lock, struct lock_class *class, enum lock_kind kind)
{
}
static inline void lockdep_acquired(const void *lock)
{
}
static inline void lockdep_release(const void *lock)
{
}
static inline void lockdep_check_sleep(void)
{
}
static inline int lockdep_thread_init(struct thread *t)
{
    return 0;
}
static inline void lockdep_thread_fini(struct thread *t)
{
}
static inline void lockdep_print_held(const struct thread *t)
{
}
#endif
