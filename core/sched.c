/*
 * The scheduler.
 *
 * Queues. Each CPU has a run queue: a red-black tree of its runnable threads, ordered by virtual
 * run time (time used, divided by the weight of the nice value). The leftmost runs next. The
 * running thread is not in the tree but counted. min_vruntime follows the least virtual time and
 * never goes back; a thread that comes from a long sleep starts at most SCHED_CREDIT before it, and
 * a thread that changes the queue keeps its distance to it.
 *
 * Locks. A queue's lock guards the queue, who runs on its CPU, and the scheduling state of all
 * threads whose ->cpu is that CPU (rq_lock_thread()); it is taken with interrupts off. It is held
 * across the switch of stacks: the next thread releases it, so that nobody can pick up the previous
 * thread before its registers are saved. A second queue's lock is only ever tried. Order: wait
 * queue
 * -> run queue -> timer queue, load average.
 *
 * States. A thread sets its own state before it sleeps; schedule() looks at it under the queue's
 * lock, and so do wakers, which is why a wakeup in between is not lost. A thread that is preempted
 * stays queued whatever its state says: it may have been about to find its condition true.
 *
 * Time. There is no tick. The slice timer of a CPU is armed when a second thread becomes runnable
 * there and is left to fire even if the thread it was armed for sleeps earlier: then it finds
 * a younger slice and arms itself for the rest, which is cheaper than programming the hardware at
 * each switch. A lone thread, like an idle CPU, is not interrupted.
 *
 * CPU time. A thread's total is exact: the clock is read at each switch. The split into user and
 * system time is not measured at each system call (two clock reads would be a tenth of a short one)
 * but estimated, from the mode in which interrupts of all kinds found the thread (sched_sample()).
 *
 * Death. thread_exit() marks the thread dead and switches away for good. The next thread on that
 * CPU calls its release(), with interrupts on and preemption off: release may free the stack and
 * take spinlocks but not sleep, because the thread that runs it is in the middle of something else.
 */
#include "sched_priv.h"

#include "core/errno.h"
#include "core/panic.h"
#include "core/upcall.h"
#include "lib/fmt.h"
#include "lib/string.h"

DEFINE_LOCK_CLASS(runqueue_lock_class, "runqueue");
static struct runqueue runqueues[MAX_CPUS];

/* The next thread's half of a switch. => Interrupts off, this CPU's queue locked by @prev. */
static void finish_switch(void)
{
    struct thread *self = thread_self();
    struct runqueue *rq = self->cpu->rq;
    lockdep_tried(&rq->lock.ticket, rq->lock.class, LOCK_SPIN);
    struct thread *prev = rq->prev, *away = rq->migrating;
    bool dead = prev->state == THREAD_DEAD && !prev->on_queue;
    rq->migrating = NULL;
    WRITE_ONCE(prev->on_cpu, false);
    if (unlikely(away))
        sched_place(rq, away);
    else
        spin_unlock(&rq->lock);
    aspace_load(self->aspace);
    if (unlikely(dead)) {
        preempt_disable();
        arch_irq_enable();
        prev->release(prev);
        arch_irq_disable();
        preempt_enable();
    }
}

/* The leftmost thread, out of the tree; with nothing to do here, one of another CPU's, or idle. */
static struct thread *pick(struct runqueue *rq)
{
    struct thread *next = rq->first;
    if (!next)
        next = sched_steal(rq);
    if (!next)
        return rq->cpu->idle;
    rq_remove(rq, next);
    return next;
}

/* Decides what becomes of the running thread @prev. Returns true when it simply goes on. */
static bool keep_running(struct runqueue *rq, struct thread *prev, bool preempted)
{
    if (prev == rq->cpu->idle)
        return false;
    if (!preempted && prev->state != THREAD_RUNNABLE) {
        rq_leave(rq, prev);
        prev->switches_voluntary++;
        return false;
    }
    if (unlikely(!(prev->allowed_cpus >> rq->cpu->id & 1))) {
        rq_leave(rq, prev);
        rq->migrating = prev;
        return false;
    }
    if (!rq->first || vtime_before(prev->vruntime, rq->first->vruntime))
        return true;
    prev->switches_involuntary++; /* as on Linux also for sched_yield(2) */
    return false;
}

/* Gives the CPU to the thread that deserves it most. => Interrupts off, no spinlock held. */
static void reschedule(struct thread *prev, bool preempted)
{
    struct cpu *cpu = prev->cpu;
    struct runqueue *rq = cpu->rq;
    if (unlikely(prev->preempt_count != 0 || cpu->irq_depth != 0))
        panic("schedule in atomic context (preempt %u, irq %u)", prev->preempt_count,
              cpu->irq_depth);
    spin_lock(&rq->lock);
    u64 now = time_ns();
    load_catch_up(now);
    if (READ_ONCE(prev->work) & WORK_RESCHED)
        atomic_and(&prev->work, ~WORK_RESCHED);
    rq_account(rq, prev, now);
    struct thread *next = prev;
    if (!keep_running(rq, prev, preempted)) {
        next = pick(rq);
        /* after picking, so that it is not picked itself: something else precedes it */
        if (prev != cpu->idle && (preempted || prev->state == THREAD_RUNNABLE) &&
            rq->migrating != prev)
            rq_insert(rq, prev);
    }
    next->slice_start = next->runtime_ns;
    rq_arm_slice(rq, now);
    if (next == prev) {
        spin_unlock(&rq->lock);
        return;
    }
    cpu->context_switches++;
    cpu->current = next;
    next->started = now;
    WRITE_ONCE(next->on_cpu, true);
    rq->prev = prev;
    lockdep_release(&rq->lock.ticket);
    arch_switch(prev, next);
    finish_switch();
}

void schedule(void)
{
    struct thread *self = thread_self();
    debug_assert(arch_irq_enabled() || panicking);
    lockdep_check_sleep();
    assert(self != self->cpu->idle || self->state == THREAD_RUNNABLE);
    arch_irq_disable();
    reschedule(self, false);
    arch_irq_enable();
}

void thread_yield(void)
{
    struct thread *self = thread_self();
    irqflags_t flags = arch_irq_save();
    struct runqueue *rq = self->cpu->rq;
    spin_lock(&rq->lock);
    struct rb_node *last = rb_last(&rq->tree);
    rq_account(rq, self, time_ns());
    if (last) {
        u64 behind = rb_entry(last, struct thread, queue_node)->vruntime + 1;
        if (vtime_before(self->vruntime, behind))
            self->vruntime = behind;
    }
    spin_unlock_irq(&rq->lock, flags);
    if (last)
        schedule();
}

void preempt_schedule(void)
{
    struct thread *self = thread_self();
    if (self->preempt_count != 0 || !arch_irq_enabled())
        return; /* the interrupt's way out, or the next preempt_enable(), sees to it */
    while (READ_ONCE(self->work) & WORK_RESCHED) {
        arch_irq_disable();
        reschedule(self, true);
        arch_irq_enable();
    }
}

void sched_preempt_irq(void)
{
    struct thread *self = thread_self();
    if ((READ_ONCE(self->work) & WORK_RESCHED) && self->preempt_count == 0 &&
        self->cpu->irq_depth == 0)
        reschedule(self, true);
}

/* The slice timer: who has had its slice goes behind the others. */
static void slice_fired(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, slice);
    struct thread *current = rq->cpu->current;
    u64 now = time_ns();
    SPIN_GUARD(&rq->lock);
    if (!rq->queued)
        return;
    sched_push(rq);
    if (!rq->queued)
        return;
    if (current == rq->cpu->idle) {
        sched_kick(rq->cpu);
        return;
    }
    rq_account(rq, current, now);
    u64 ran = current->runtime_ns - current->slice_start;
    u64 slice = rq_slice(rq, current);
    if (ran >= slice && !vtime_before(current->vruntime, rq->first->vruntime))
        sched_kick(rq->cpu); /* reschedule() arms the timer again */
    else
        timer_start(timer, now + (ran < slice ? slice - ran : slice));
}

/* An IPI arrived: a remote enqueue() may want the slice timer armed. => Interrupts off. */
void sched_ipi(void)
{
    struct runqueue *rq = this_cpu()->rq;
    if (!READ_ONCE(rq->queued) || READ_ONCE(rq->slice.cpu))
        return;
    SPIN_GUARD(&rq->lock);
    if (rq->cpu->current != rq->cpu->idle)
        rq_arm_slice(rq, time_ns());
}

void sched_thread_begin(void)
{
    struct thread *self = thread_self();
    finish_switch();
    arch_irq_enable();
    self->entry(self->entry_arg);
    thread_exit();
}

void sched_thread_end(void)
{
    struct thread *self = thread_self();
    lockdep_check_sleep();
    arch_irq_disable();
    spin_lock(&self->cpu->rq->lock);
    self->state = THREAD_DEAD; /* under the lock: no waker overwrites it */
    spin_unlock(&self->cpu->rq->lock);
    reschedule(self, false);
    panic("dead thread %s runs", self->name);
}

static void init_queue(struct cpu *cpu, struct thread *idle)
{
    struct runqueue *rq = &runqueues[cpu - cpus];
    cpu->id = cpu - cpus;
    rq->cpu = cpu;
    spin_init(&rq->lock, &runqueue_lock_class);
    rq->slice.fn = slice_fired;
    cpu->rq = rq;
    cpu->idle = cpu->current = idle;
    idle->started = time_ns();
    /* Nothing ran here so far, but on the boot hart the firmware and the kernel's own start did. */
    cpu->idle_ns = cpu->id == 0 ? 0 : idle->started;
}

void sched_init(void)
{
    init_queue(&cpus[0], &boot_thread);
    cpu_set_online(&cpus[0]);
}

static void idle_entry(void *arg)
{
    sched_idle_loop();
}

int sched_init_cpu(struct cpu *cpu)
{
    char name[16];
    struct thread *idle = kmalloc(sizeof(*idle), 0);
    if (!idle)
        return -ENOMEM;
    memset(idle, 0, sizeof(*idle));
    snprintf(name, sizeof(name), "idle/%u", (unsigned)(cpu - cpus));
    int r = thread_init(idle, name, idle_entry, NULL);
    if (r) {
        kfree(idle);
        return r;
    }
    thread_unlist(idle);
    init_queue(cpu, idle);
    idle->cpu = cpu;
    idle->allowed_cpus = 1UL << cpu->id;
    idle->state = THREAD_RUNNABLE;
    idle->on_cpu = true;
    idle->preempt_count = 0; /* begins on the hart itself, not by a switch */
    return 0;
}

/*
 * Interrupts are off from the look at WORK_RESCHED to the wfi, which also ends for a pending
 * interrupt that is masked: one that sets the bit in between is not slept through.
 */
void sched_idle_loop(void)
{
    struct thread *self = thread_self();
    for (;;) {
        arch_irq_disable();
        if (!(READ_ONCE(self->work) & WORK_RESCHED))
            arch_wait_for_interrupt();
        arch_irq_enable();
        if (READ_ONCE(self->work) & WORK_RESCHED)
            schedule();
    }
}
