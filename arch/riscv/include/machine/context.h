/* Registers of a switched-out thread. See arch/context.h; offsets are checked in offsets.c. */
#pragma once

#include "lib/types.h"

/* Floating-point registers of the D extension. */
struct arch_fpu {
    u64 f[32];
    u64 fcsr;
};

/*
 * A thread that has not used floating point since exec has fpu_used false and FS off in its user
 * frame; its first such instruction traps and turns it on. From then on @fpu holds its registers
 * whenever FS in the frame is not Dirty. fpu_cpu is the CPU that loaded or saved them last; that
 * CPU's registers still agree with @fpu when its fpu_owner is this thread.
 */
struct arch_context {
    u64 ra, sp;
    u64 s[12];
    bool fpu_used;
    u32 fpu_cpu; /* FPU_NO_CPU: nowhere */
    struct arch_fpu fpu;
};

#define FPU_NO_CPU (~0u)

/* The tp register. */
register struct thread *arch_tp __asm__("tp");

static inline struct thread *arch_thread_self(void)
{
    return arch_tp;
}

/* Boot and hart start only: names the thread that runs here. */
static inline void arch_set_thread_self(struct thread *t)
{
    arch_tp = t;
}

/* Where a switched-out thread goes on, and its frame pointer: for backtraces. */
static inline vaddr_t arch_context_pc(const struct arch_context *c)
{
    return c->ra;
}

static inline vaddr_t arch_context_fp(const struct arch_context *c)
{
    return c->s[0];
}
