/*
 * One-shot timers: per CPU a red-black tree by expiry and the hardware's one-shot timer set to the
 * first. A timer's ->cpu names the queue it is on and changes only under that queue's lock.
 *
 * Functions run in the timer interrupt without the queue's lock, so they may start timers and take
 * the locks of those who call timer_start(). While one runs the queue's ->firing names it, which is
 * what timer_cancel() waits for; the timer itself is not touched any more after its function began,
 * so the function may free it. Cancelling leaves the hardware timer alone: it then fires for
 * nothing, which is cheaper on the whole than programming it each time.
 */
#include "core/timer.h"

#include "arch/cpu.h"
#include "core/spinlock.h"

#include "time_priv.h"

struct timer_queue {
    struct spinlock lock;
    struct rb_root tree;
    struct timer *first;  /* leftmost, NULL when empty */
    struct timer *firing; /* whose function runs now; atomic */
    u64 programmed;       /* when the hardware fires; TIME_NEVER: not */
};

DEFINE_LOCK_CLASS(timer_lock_class, "timer");
static struct timer_queue queues[MAX_CPUS] = {
    [0 ... MAX_CPUS - 1] = {.lock = SPINLOCK_INIT(timer_lock_class), .programmed = TIME_NEVER},
};

static void insert(struct timer_queue *q, struct timer *t)
{
    struct rb_node **link = &q->tree.node, *parent = NULL;
    bool leftmost = true;
    while (*link) {
        parent = *link;
        if (t->when < rb_entry(parent, struct timer, node)->when) {
            link = &parent->left;
        } else {
            link = &parent->right;
            leftmost = false;
        }
    }
    rb_link(&t->node, parent, link);
    rb_insert_fixup(&q->tree, &t->node, NULL);
    if (leftmost)
        q->first = t;
}

static void remove(struct timer_queue *q, struct timer *t)
{
    if (q->first == t) {
        struct rb_node *next = rb_next(&t->node);
        q->first = next ? rb_entry(next, struct timer, node) : NULL;
    }
    rb_erase(&q->tree, &t->node, NULL);
    WRITE_ONCE(t->cpu, NULL);
}

/* Sets this CPU's hardware timer to the first of its queue. => The queue's lock is held. */
static void program(struct timer_queue *q)
{
    u64 when = q->first ? q->first->when : TIME_NEVER;
    q->programmed = when;
    if (when == TIME_NEVER)
        arch_timer_stop();
    else
        arch_timer_set(time_to_ticks(when));
}

/* Takes @t off whatever queue it is on. Returns whether it was on one. */
static bool disarm(struct timer *t)
{
    struct cpu *cpu;
    while ((cpu = READ_ONCE(t->cpu))) {
        struct timer_queue *q = &queues[cpu->id];
        SPIN_GUARD_IRQ(&q->lock);
        if (t->cpu != cpu)
            continue; /* it fired or moved meanwhile */
        remove(q, t);
        return true;
    }
    return false;
}

void timer_start(struct timer *t, u64 when)
{
    disarm(t);
    irqflags_t flags = arch_irq_save();
    struct cpu *cpu = this_cpu();
    struct timer_queue *q = &queues[cpu->id];
    spin_lock(&q->lock);
    t->when = when;
    WRITE_ONCE(t->cpu, cpu);
    insert(q, t);
    if (when < q->programmed)
        program(q);
    spin_unlock_irq(&q->lock, flags);
}

/* Waits until no CPU runs @t's function. */
static void wait_fired(const struct timer *t)
{
    for_each_online_cpu (c)
        while (load_acquire(&queues[c->id].firing) == t)
            arch_relax();
}

bool timer_cancel(struct timer *t)
{
    bool was_armed = false;
    do {
        was_armed |= disarm(t);
        memory_barrier(); /* ->cpu NULL was seen before ->firing is read */
        wait_fired(t);
    } while (READ_ONCE(t->cpu)); /* its function armed it again */
    return was_armed;
}

void timer_interrupt(void)
{
    struct cpu *cpu = this_cpu();
    struct timer_queue *q = &queues[cpu->id];
    cpu->timer_irqs++;
    spin_lock(&q->lock);
    while (q->first && q->first->when <= time_ns()) {
        struct timer *t = q->first;
        WRITE_ONCE(q->firing, t);
        memory_barrier(); /* before ->cpu becomes NULL: see timer_cancel() */
        remove(q, t);
        spin_unlock(&q->lock);
        t->fn(t);
        store_release(&q->firing, NULL);
        spin_lock(&q->lock);
    }
    program(q);
    spin_unlock(&q->lock);
}

void timer_init(u64 timebase_hz)
{
    time_init(timebase_hz);
}
