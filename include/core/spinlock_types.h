/*
 * Types of the spinlocks and lock classes, apart from their operations (core/spinlock.h) because
 * struct thread stands between the two.
 */
#pragma once

#include "lib/types.h"

/* One per kind of lock; lives in a linker section so that /proc/lockstat and lockdep find all. */
struct lock_class {
    const char *name;
    struct lock_stat {
        u64 acquired;  /* successful acquisitions */
        u64 contended; /* acquisitions that had to wait */
        u64 spins;     /* loop rounds spent waiting (spinlocks), waits (sleeping locks) */
        u64 max_hold;  /* longest hold in timer ticks (debug build only, else 0) */
    } cpu[MAX_CPUS];
} __aligned(64);

#define DEFINE_LOCK_CLASS(var, text) \
    struct lock_class var __section(".lock_classes") __used = {.name = text}

/*
 * The ticket counters share one 32-bit word: a locker adds 1 to @next (the upper half, so that it
 * overflows out of the word) and sees @owner in the same instruction.
 */
struct ticket {
    u16 owner, next;
    u32 holder; /* CPU id + 1 of the holder, 0 when free (for assertions and backtraces) */
};

struct spinlock {
    struct ticket ticket;
    struct lock_class *class;
};

#define SPINLOCK_INIT(cls) \
    {                      \
        .class = &(cls)    \
    }

typedef unsigned long irqflags_t; /* interrupt state to restore */
