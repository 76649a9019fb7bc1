/* Interrupt state, time, stack frames: the inlines promised by arch/cpu.h. */
#pragma once

#include "lib/types.h"

#include <machine/csr.h>

static inline unsigned long arch_irq_save(void)
{
    return csr_read_clear(sstatus, SSTATUS_SIE) & SSTATUS_SIE;
}

/* @flags from arch_irq_save(): enables interrupts if they were on then. */
static inline void arch_irq_restore(unsigned long flags)
{
    csr_set(sstatus, flags);
}

static inline void arch_irq_enable(void)
{
    csr_set(sstatus, SSTATUS_SIE);
}

static inline void arch_irq_disable(void)
{
    csr_clear(sstatus, SSTATUS_SIE);
}

static inline bool arch_irq_enabled(void)
{
    return csr_read(sstatus) & SSTATUS_SIE;
}

/* Sleeps until an enabled interrupt is pending, also with interrupts off. May wake for nothing. */
static inline void arch_wait_for_interrupt(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

/* One round of a spin loop: the pause hint (Zihintpause), a no-op elsewhere. */
static inline void arch_relax(void)
{
    __asm__ volatile(".4byte 0x0100000f" ::: "memory");
}

/* Ticks of the timebase since reset. */
static inline u64 arch_time(void)
{
    return csr_read(time);
}

static inline vaddr_t arch_frame_pointer(void)
{
    return (vaddr_t)__builtin_frame_address(0);
}

/*
 * Stack frames (compiled with frame pointers): the pointer is the caller's stack pointer; right
 * below it lie the return address and the caller's frame pointer. @fp must be readable.
 */
static inline vaddr_t arch_frame_return(vaddr_t fp)
{
    return ((const vaddr_t *)fp)[-1];
}

static inline vaddr_t arch_frame_parent(vaddr_t fp)
{
    return ((const vaddr_t *)fp)[-2];
}
