/* Run queues: the tree by virtual time, weights, time accounting, slices. See sched.c. */
#include "sched_priv.h"

/*
 * Linux's weights (sched(7): each nice level is worth about 10 % of CPU time, a factor of 1.25
 * between the weights of neighbours).
 */
const u32 sched_weights[40] = {
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
    3906,  3121,  2501,  1991,  1586,  1277,  1024,  820,   655,   526,   423,  335,  272,  215,
    172,   137,   110,   87,    70,    56,    45,    36,    29,    23,    18,   15,
};

void rq_insert(struct runqueue *rq, struct thread *t)
{
    struct rb_node **link = &rq->tree.node, *parent = NULL;
    bool leftmost = true;
    while (*link) {
        parent = *link;
        if (vtime_before(t->vruntime, rb_entry(parent, struct thread, queue_node)->vruntime)) {
            link = &parent->left;
        } else {
            link = &parent->right;
            leftmost = false;
        }
    }
    rb_link(&t->queue_node, parent, link);
    rb_insert_fixup(&rq->tree, &t->queue_node, NULL);
    if (leftmost)
        rq->first = t;
    rq->queued++;
    t->on_queue = true;
}

void rq_remove(struct runqueue *rq, struct thread *t)
{
    if (rq->first == t) {
        struct rb_node *next = rb_next(&t->queue_node);
        rq->first = next ? rb_entry(next, struct thread, queue_node) : NULL;
    }
    rb_erase(&rq->tree, &t->queue_node, NULL);
    rq->queued--;
    t->on_queue = false;
}

void rq_account(struct runqueue *rq, struct thread *t, u64 now)
{
    u64 used = now - t->started;
    t->started = now;
    if (t == rq->cpu->idle) {
        rq->cpu->idle_ns += used;
        return;
    }
    t->runtime_ns += used;
    u32 weight = sched_weights[t->nice];
    t->vruntime += weight == SCHED_WEIGHT_0 ? used : used * SCHED_WEIGHT_0 / weight;
    u64 least = t->vruntime;
    if (rq->first && vtime_before(rq->first->vruntime, least))
        least = rq->first->vruntime;
    if (vtime_before(rq->min_vruntime, least))
        rq->min_vruntime = least;
}

u64 rq_slice(const struct runqueue *rq, const struct thread *t)
{
    u64 share = SCHED_LATENCY * sched_weights[t->nice] / MAX(rq->weight, 1UL);
    return MAX(share, SCHED_SLICE_MIN);
}

void rq_arm_slice(struct runqueue *rq, u64 now)
{
    if (rq->queued && !READ_ONCE(rq->slice.cpu))
        timer_start(&rq->slice, now + rq_slice(rq, rq->cpu->current));
}

struct runqueue *rq_lock_thread(struct thread *t)
{
    for (;;) {
        struct cpu *cpu = READ_ONCE(t->cpu);
        spin_lock(&cpu->rq->lock);
        if (likely(cpu == READ_ONCE(t->cpu)))
            return cpu->rq;
        spin_unlock(&cpu->rq->lock);
    }
}

/*
 * The part of @ns run time that falls to user mode, by samples. Without any: what no interrupt ever
 * hit is taken to have run in user mode.
 */
static u64 user_share(const u32 samples[2], u64 ns)
{
    u64 user = READ_ONCE(samples[true]), kernel = READ_ONCE(samples[false]);
    if (user + kernel == 0)
        return ns;
    u64 ratio = (user << 16) / (user + kernel);
    return (u64)((unsigned __int128)ns * ratio >> 16);
}

void sched_account(struct thread *t)
{
    irqflags_t flags = arch_irq_save();
    struct runqueue *rq = rq_lock_thread(t);
    if (t->on_cpu)
        rq_account(rq, t, time_ns());
    u64 unsplit = t->runtime_ns - t->user_ns - t->system_ns;
    u64 user = t->is_user ? user_share(t->samples, unsplit) : 0;
    t->user_ns += user;
    t->system_ns += unsplit - user;
    spin_unlock_irq(&rq->lock, flags);
}

u64 sched_idle_ns(struct cpu *cpu)
{
    SPIN_GUARD_IRQ(&cpu->rq->lock);
    if (cpu->current == cpu->idle)
        rq_account(cpu->rq, cpu->idle, time_ns());
    return cpu->idle_ns;
}

void sched_cpu_times(struct cpu *cpu, struct cpu_times *out)
{
    u64 idle = sched_idle_ns(cpu), busy = time_ns();
    SPIN_GUARD_IRQ(&cpu->rq->lock);
    busy = busy > idle ? busy - idle : 0;
    u64 split = cpu->user_ns + cpu->system_ns, unsplit = busy > split ? busy - split : 0;
    u64 user = user_share(cpu->samples, unsplit);
    cpu->user_ns += user;
    cpu->system_ns += unsplit - user;
    *out =
        (struct cpu_times){.user_ns = cpu->user_ns, .system_ns = cpu->system_ns, .idle_ns = idle};
}

void thread_set_nice(struct thread *t, int nice)
{
    irqflags_t flags = arch_irq_save();
    struct runqueue *rq = rq_lock_thread(t);
    bool counted = t->on_queue || t->on_cpu;
    if (t->on_cpu)
        rq_account(rq, t, time_ns()); /* what it ran so far counts at the old weight */
    if (counted)
        rq->weight -= sched_weights[t->nice];
    t->nice = (u8)(MIN(MAX(nice, -20), 19) + 20);
    if (counted)
        rq->weight += sched_weights[t->nice];
    spin_unlock_irq(&rq->lock, flags);
}
