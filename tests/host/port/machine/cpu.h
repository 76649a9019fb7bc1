/* Host port: interrupts are a flag that can be looked at. */
#pragma once

#include "lib/types.h"

extern bool host_irqs_on;
/* Called when interrupts come on again: where a thread may be preempted. NULL: nothing happens. */
extern void (*host_irqs_came_on)(void);

static inline unsigned long arch_irq_save(void)
{
    unsigned long was = host_irqs_on;

    host_irqs_on = false;
    return was;
}

static inline void arch_irq_restore(unsigned long flags)
{
    bool came_on = flags && !host_irqs_on;

    host_irqs_on = flags;
    if (came_on && host_irqs_came_on)
        host_irqs_came_on();
}

static inline void arch_irq_enable(void)
{
    host_irqs_on = true;
}

static inline void arch_irq_disable(void)
{
    host_irqs_on = false;
}

static inline bool arch_irq_enabled(void)
{
    return host_irqs_on;
}

static inline void arch_relax(void)
{
}

static inline vaddr_t arch_frame_pointer(void)
{
    return (vaddr_t)__builtin_frame_address(0);
}

u64 arch_time(void);
