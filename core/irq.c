/* External interrupts: who handles which, and how often each came. See core/irq.h. */
#include "core/irq.h"

#include "core/cpu.h"
#include "core/errno.h"
#include "core/log.h"
#include "core/spinlock.h"

struct irq_line {
    irq_handler handler; /* atomic: set last, read in interrupts */
    void *arg;
    const char *name;
    u64 count[MAX_CPUS]; /* written by the CPU itself */
};

DEFINE_LOCK_CLASS(irq_lock_class, "irq");
static struct spinlock irq_lock = SPINLOCK_INIT(irq_lock_class); /* registration */
static struct irq_line lines[IRQ_MAX];
static const struct irq_chip *chip;

void irq_set_chip(const struct irq_chip *c)
{
    chip = c;
}

int irq_register(u32 irq, irq_handler handler, void *arg, const char *name)
{
    if (irq == 0 || irq >= IRQ_MAX || !handler)
        return -EINVAL;
    if (!chip)
        return -ENODEV;
    SPIN_GUARD(&irq_lock);
    struct irq_line *line = &lines[irq];
    if (line->handler)
        return -EBUSY;
    line->arg = arg;
    line->name = name;
    store_release(&line->handler, handler);
    chip->enable(irq);
    return 0;
}

void irq_dispatch(u32 irq)
{
    irq_handler handler = irq < IRQ_MAX ? load_acquire(&lines[irq].handler) : NULL;
    if (!handler) {
        log_warn("interrupt %u has no handler: disabled", irq);
        chip->disable(irq);
        return;
    }
    lines[irq].count[this_cpu()->id]++;
    handler(lines[irq].arg);
}

void irq_handle_external(void)
{
    if (chip)
        chip->handle();
}

u64 irq_count_cpu(u32 irq, u32 cpu)
{
    return irq < IRQ_MAX && cpu < MAX_CPUS ? READ_ONCE(lines[irq].count[cpu]) : 0;
}

u64 irq_count(u32 irq)
{
    u64 sum = 0;
    for (u32 i = 0; i < MAX_CPUS; i++)
        sum += irq_count_cpu(irq, i);
    return sum;
}

const char *irq_name(u32 irq)
{
    if (irq >= IRQ_MAX || !load_acquire(&lines[irq].handler))
        return NULL;
    return lines[irq].name;
}
