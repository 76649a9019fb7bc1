/* Atomic operations on plain integers, named by what they order. Thin names over GCC's builtins. */
#pragma once

#include "lib/types.h"

#define READ_ONCE(x)     __atomic_load_n(&(x), __ATOMIC_RELAXED)
/* Plain stores: GCC makes an amoswap of its own builtin's word-sized stores on RISC-V. */
#define WRITE_ONCE(x, v) ((void)(*(volatile typeof(x) *)&(x) = (v)))
#define load_acquire(p)  __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_release(p, v)                      \
    do {                                         \
        __atomic_thread_fence(__ATOMIC_RELEASE); \
        WRITE_ONCE(*(p), v);                     \
    } while (0)
#define atomic_add(p, v)         __atomic_add_fetch((p), (v), __ATOMIC_ACQ_REL) /* new value */
#define atomic_sub(p, v)         __atomic_sub_fetch((p), (v), __ATOMIC_ACQ_REL) /* new value */
#define atomic_add_relaxed(p, v) __atomic_add_fetch((p), (v), __ATOMIC_RELAXED)
#define atomic_or(p, v)          __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)  /* old value */
#define atomic_and(p, v)         __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL) /* old value */
#define atomic_swap(p, v)        __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
/* Stores @new when *@p is *@expected; else *@expected becomes what was found. True on success. */
#define atomic_cas(p, expected, new) \
    __atomic_compare_exchange_n((p), (expected), (new), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define memory_barrier()   __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define compiler_barrier() __asm__ volatile("" ::: "memory")

/* Adds 1 unless *@p is 0. Returns false when it was 0: the object is on its way out. */
static inline bool ref_get_unless_zero(int *p)
{
    int old = READ_ONCE(*p);
    while (old != 0)
        if (atomic_cas(p, &old, old + 1))
            return true;
    return false;
}
