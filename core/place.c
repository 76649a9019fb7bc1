/* Which CPU a thread runs on: wakeups, new threads, affinity, stealing and pushing. See sched.c. */
#include "sched_priv.h"

#include "core/errno.h"
#include "core/irq.h"

/* A hint: read without the queue's lock. */
static bool cpu_is_idle(const struct cpu *cpu)
{
    return READ_ONCE(cpu->current) == cpu->idle && READ_ONCE(cpu->rq->queued) == 0;
}

static bool may_run_on(const struct thread *t, const struct cpu *cpu)
{
    return t->allowed_cpus >> cpu->id & 1;
}

/* Asks for rescheduling; returns whether the CPU needs an interrupt to notice. */
static bool request(struct cpu *cpu)
{
    u32 old = atomic_or(&cpu->current->work, WORK_RESCHED);
    return !(old & WORK_RESCHED) && cpu != this_cpu();
}

void sched_kick(struct cpu *cpu)
{
    if (request(cpu))
        ipi_reschedule(cpu);
}

/*
 * The CPU for @t: the last one if idle, else an idle one, else the last one (its caches may be
 * warm); a new thread has no last one and goes where fewest are. thread_set_affinity() leaves at
 * least one online CPU allowed.
 */
static struct cpu *choose_cpu(const struct thread *t, bool new)
{
    struct cpu *last = t->cpu, *best = NULL;
    bool last_ok = may_run_on(t, last);
    if (last_ok && (cpu_is_idle(last) || READ_ONCE(cpu_online_mask) == 1UL << last->id))
        return last;
    for_each_online_cpu (c) {
        if (!may_run_on(t, c))
            continue;
        if (cpu_is_idle(c))
            return c;
        if (!best || READ_ONCE(c->rq->running) < READ_ONCE(best->rq->running))
            best = c;
    }
    return (last_ok && !new) || !best ? last : best;
}

/* Makes @t's virtual time, relative to @from's, mean the same on @to. */
static void rebase(struct thread *t, const struct runqueue *from, const struct runqueue *to)
{
    t->vruntime += READ_ONCE(to->min_vruntime) - from->min_vruntime;
}

/*
 * @t joins @rq. The current thread there gives way if it is far enough ahead. Returns whether the
 * CPU must be interrupted, which the caller does without the lock, because the CPU will want it.
 */
static bool enqueue(struct runqueue *rq, struct thread *t)
{
    struct cpu *cpu = rq->cpu;
    struct thread *current = cpu->current;
    u64 now = time_ns();
    load_catch_up(now);
    u64 floor = rq->min_vruntime - SCHED_CREDIT;
    if (vtime_before(t->vruntime, floor))
        t->vruntime = floor;
    rq_join(rq, t);
    rq_insert(rq, t);
    if (current == cpu->idle)
        return request(cpu);
    rq_account(rq, current, now);
    if (vtime_before(t->vruntime + SCHED_GRANULARITY, current->vruntime))
        return request(cpu);
    if (cpu != this_cpu())
        return !READ_ONCE(rq->slice.cpu); /* has to arm its slice timer itself */
    rq_arm_slice(rq, now);
    return false;
}

/*
 * Between the two locks @t is runnable but on no queue: whoever locks "its" queue then finds
 * nothing to move, and a change of its affinity is noticed here.
 */
static void place(struct runqueue *rq, struct thread *t, bool new)
{
    for (;;) {
        struct cpu *target = choose_cpu(t, new);
        if (target->rq == rq)
            break;
        rebase(t, rq, target->rq);
        WRITE_ONCE(t->cpu, target);
        spin_unlock(&rq->lock);
        rq = target->rq;
        spin_lock(&rq->lock);
        if (may_run_on(t, target))
            break;
    }
    bool interrupt = enqueue(rq, t);
    spin_unlock(&rq->lock);
    if (interrupt)
        ipi_reschedule(rq->cpu);
}

void sched_place(struct runqueue *rq, struct thread *t)
{
    place(rq, t, false);
}

/* Wakes @t if its state is one of @states (a set of bits). */
static bool wake(struct thread *t, u32 states)
{
    irqflags_t flags = arch_irq_save();
    struct runqueue *rq = rq_lock_thread(t);
    bool woken = states >> t->state & 1;
    if (woken)
        WRITE_ONCE(t->state, THREAD_RUNNABLE);
    if (woken && !t->on_cpu && !t->on_queue)
        place(rq, t, false);
    else
        spin_unlock(&rq->lock);
    arch_irq_restore(flags);
    if (unlikely(READ_ONCE(thread_self()->work) & WORK_RESCHED))
        preempt_schedule();
    return woken;
}

bool thread_wake(struct thread *t)
{
    return wake(t, 1u << THREAD_SLEEPING | 1u << THREAD_SLEEPING_INTR);
}

bool thread_wake_interruptible(struct thread *t)
{
    return wake(t, 1u << THREAD_SLEEPING_INTR);
}

bool thread_wake_stopped(struct thread *t)
{
    return wake(t, 1u << THREAD_STOPPED);
}

void thread_start(struct thread *t)
{
    irqflags_t flags = arch_irq_save();
    struct cpu *cpu = this_cpu();
    struct runqueue *rq = cpu->rq;
    atomic_add_relaxed(&sched_threads_started, 1);
    spin_lock(&rq->lock);
    t->cpu = cpu;
    t->vruntime = rq->min_vruntime;
    if (cpu->current != cpu->idle && vtime_before(t->vruntime, cpu->current->vruntime))
        t->vruntime = cpu->current->vruntime; /* behind its parent */
    t->state = THREAD_RUNNABLE;
    place(rq, t, true);
    arch_irq_restore(flags);
    if (unlikely(READ_ONCE(thread_self()->work) & WORK_RESCHED))
        preempt_schedule();
}

void thread_set_work(struct thread *t, u32 work)
{
    atomic_or(&t->work, work);
    irqflags_t flags = arch_irq_save();
    struct runqueue *rq = rq_lock_thread(t);
    if (t->on_cpu && t->cpu != this_cpu())
        ipi_reschedule(t->cpu);
    spin_unlock_irq(&rq->lock, flags);
}

int thread_set_affinity(struct thread *t, u64 allowed)
{
    if (!(allowed & READ_ONCE(cpu_online_mask)))
        return -EINVAL;
    irqflags_t flags = arch_irq_save();
    struct runqueue *rq = rq_lock_thread(t);
    t->allowed_cpus = allowed;
    if (!may_run_on(t, t->cpu) && t->on_queue) {
        rq_remove(rq, t);
        rq_leave(rq, t);
        place(rq, t, false);
    } else {
        if (!may_run_on(t, t->cpu) && t->on_cpu)
            sched_kick(t->cpu); /* schedule() there moves it */
        spin_unlock(&rq->lock);
    }
    arch_irq_restore(flags);
    if (unlikely(READ_ONCE(thread_self()->work) & WORK_RESCHED))
        preempt_schedule();
    return 0;
}

/* => Both queues' locks are held. */
static void move(struct thread *t, struct runqueue *from, struct runqueue *to)
{
    rq_remove(from, t);
    rq_leave(from, t);
    rebase(t, from, to);
    WRITE_ONCE(t->cpu, to->cpu);
    rq_join(to, t);
    rq_insert(to, t);
}

/* The longest waiting thread of @from that may run on @cpu; NULL when none. */
static struct thread *movable(const struct runqueue *from, const struct cpu *cpu)
{
    struct rb_node *n;
    rb_for_each (n, &from->tree) {
        struct thread *t = rb_entry(n, struct thread, queue_node);
        if (may_run_on(t, cpu))
            return t;
    }
    return NULL;
}

/* Only tries the other locks: two CPUs may be at each other's queues. */
struct thread *sched_steal(struct runqueue *rq)
{
    for_each_online_cpu (c) {
        if (c->rq == rq || !READ_ONCE(c->rq->queued) || !spin_trylock(&c->rq->lock))
            continue;
        struct thread *t = movable(c->rq, rq->cpu);
        if (t)
            move(t, c->rq, rq);
        spin_unlock(&c->rq->lock);
        if (t)
            return t;
    }
    return NULL;
}

void sched_push(struct runqueue *rq)
{
    struct cpu *least = rq->cpu;
    for_each_online_cpu (c)
        if (READ_ONCE(c->rq->running) < READ_ONCE(least->rq->running))
            least = c;
    if (least->rq->running + 2 > rq->running || !spin_trylock(&least->rq->lock))
        return;
    struct thread *t = movable(rq, least);
    if (t) {
        move(t, rq, least->rq);
        sched_kick(least);
    }
    spin_unlock(&least->rq->lock);
}
