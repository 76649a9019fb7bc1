/* External interrupts. The controller driver (dev/plic.c) fills in the operations. */
#pragma once

#include "lib/types.h"

struct cpu;

typedef void (*irq_handler)(void *arg); /* interrupts off; must not sleep */

struct irq_chip {
    void (*enable)(u32 irq);
    void (*disable)(u32 irq);
    /* Claims, handles (through irq_dispatch) and completes everything pending on this hart. */
    void (*handle)(void);
};

void irq_set_chip(const struct irq_chip *chip);
/* Installs @handler for @irq and enables it. Returns 0, -EBUSY, -EINVAL, -ENODEV (no chip). */
int irq_register(u32 irq, irq_handler handler, void *arg, const char *name);
void irq_dispatch(u32 irq);     /* chip: run the handler of @irq */
void irq_handle_external(void); /* arch: the external interrupt line is up */

#define IRQ_MAX 128
u64 irq_count(u32 irq); /* how often it came, all CPUs; for /proc/interrupts */
u64 irq_count_cpu(u32 irq, u32 cpu);
const char *irq_name(u32 irq); /* NULL when not registered */

/*
 * Runs @fn(@arg) in an interrupt on every online CPU in @mask but this one, waits until all are
 * done. => IRQs on, not from interrupt handlers; spinlocks may be held only if no CPU ever waits
 * for them with interrupts off.
 */
void ipi_call(u64 mask, void (*fn)(void *), void *arg);
void ipi_reschedule(struct cpu *cpu); /* makes @cpu look at its queue */
void ipi_interrupt(void);             /* arch: a software interrupt arrived */
/* panic: the others record where they are (panic_stop_here()) and halt; waits a bounded time. */
void ipi_stop_others(void);
