/*
 * Interval timers and the CPU-time limit.
 *
 * ITIMER_REAL is a kernel timer. When it fires SIGALRM is sent; the next period is armed when the
 * signal is taken, so a short interval cannot flood the machine with interrupts.
 *
 * ITIMER_VIRTUAL, ITIMER_PROF and RLIMIT_CPU run on CPU time, for which there is no tick. One timer
 * (cpu_timer) looks at the process at the earliest moment at which any of them could be due: what
 * is missing divided by the threads that could run at once. Where the process sleeps it looks
 * again later, at most every IDLE_LOOK. So signals come up to LOOK late, as with Linux's tick.
 */
#include "core/cpu.h"
#include "proc/proc_priv.h"

#include <linux/time.h>

#define LOOK      (1 * NSEC_PER_MSEC)
#define IDLE_LOOK (10 * NSEC_PER_MSEC)

static DEFINE_LOCK_CLASS(itimer_lock_class, "itimer");

static void real_fired(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, real_timer);
    {
        SPIN_GUARD_IRQ(&p->timer_lock);
        p->real_armed = false;
    }
    signal_kernel_process(p, SIGALRM);
}

void itimer_alarm_taken(struct process *p)
{
    SPIN_GUARD_IRQ(&p->timer_lock);
    if (p->real_armed || p->real_interval == 0 || p->timers_dead)
        return;
    /* Periods that went by meanwhile are skipped; the phase is kept. */
    u64 now = time_ns(), next = p->real_timer.when + p->real_interval;
    if (next <= now)
        next = now + p->real_interval - (now - next) % p->real_interval;
    p->real_armed = true;
    timer_start(&p->real_timer, next);
}

/* One expiry at @at with @interval, CPU time @now. Returns true when it is due. */
static bool due(u64 *at, u64 interval, u64 now)
{
    if (*at == 0 || now < *at)
        return false;
    if (interval == 0)
        *at = 0;
    else
        *at += interval * ((now - *at) / interval + 1);
    return true;
}

/* Arms cpu_timer for the earliest that could come. => timer_lock. */
static void arm_cpu_timer(struct process *p, u64 user, u64 total)
{
    u64 missing = TIME_NEVER;
    if (p->virtual_at)
        missing = MIN(missing, p->virtual_at - MIN(user, p->virtual_at));
    if (p->prof_at)
        missing = MIN(missing, p->prof_at - MIN(total, p->prof_at));
    if (p->cpu_limit_next)
        missing = MIN(missing, p->cpu_limit_next - MIN(total, p->cpu_limit_next));
    if (missing == TIME_NEVER || p->timers_dead)
        return;
    u64 parallel = MAX(MIN(READ_ONCE(p->thread_count), cpu_count), 1u);
    u64 least = total == p->cpu_seen ? IDLE_LOOK : LOOK;
    p->cpu_seen = total;
    timer_start(&p->cpu_timer, time_ns() + MAX(missing / parallel, least));
}

/* RLIMIT_CPU: SIGXCPU each second from the soft limit on, SIGKILL at the hard one. Signal or 0. */
static int check_limit(struct process *p, u64 total)
{
    u64 soft = READ_ONCE(p->limits[RLIMIT_CPU].soft), hard = READ_ONCE(p->limits[RLIMIT_CPU].hard);
    if (p->cpu_limit_next == 0 || total < p->cpu_limit_next)
        return 0;
    if (hard != RLIMIT_UNLIMITED && total >= hard * NSEC_PER_SEC)
        return SIGKILL;
    p->cpu_limit_next += NSEC_PER_SEC;
    return soft == RLIMIT_UNLIMITED || total < soft * NSEC_PER_SEC ? 0 : SIGXCPU;
}

static void cpu_fired(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, cpu_timer);
    u64 user, system;
    bool virtual, prof;
    int limit;
    process_cpu_time(p, &user, &system);
    {
        SPIN_GUARD_IRQ(&p->timer_lock);
        virtual = due(&p->virtual_at, p->virtual_interval, user);
        prof = due(&p->prof_at, p->prof_interval, user + system);
        limit = check_limit(p, user + system);
        arm_cpu_timer(p, user, user + system);
    }
    if (virtual)
        signal_kernel_process(p, SIGVTALRM);
    if (prof)
        signal_kernel_process(p, SIGPROF);
    if (limit)
        signal_kernel_process(p, limit);
}

void itimer_check_cpu(struct process *p)
{
    u64 user, system, soft = READ_ONCE(p->limits[RLIMIT_CPU].soft);
    process_cpu_time(p, &user, &system);
    SPIN_GUARD_IRQ(&p->timer_lock);
    /* A soft limit of 0 counts as one second, as on Linux. */
    p->cpu_limit_next = soft < TIME_NEVER / NSEC_PER_SEC ? MAX(soft, 1UL) * NSEC_PER_SEC : 0;
    p->cpu_seen = TIME_NEVER;
    arm_cpu_timer(p, user, user + system);
}

static u64 left(u64 at, u64 now)
{
    return at == 0 ? 0 : at > now ? at - now : 1; /* due, only not yet noticed: not "off" */
}

/* Current setting. => timer_lock. */
static void read_timer(struct process *p, int which, u64 user, u64 total, struct itimer_value *out)
{
    switch (which) {
    case ITIMER_REAL:
        out->interval = p->real_interval;
        out->value = p->real_armed ? left(p->real_timer.when, time_ns()) : 0;
        break;
    case ITIMER_VIRTUAL:
        out->interval = p->virtual_interval;
        out->value = left(p->virtual_at, user);
        break;
    default:
        out->interval = p->prof_interval;
        out->value = left(p->prof_at, total);
        break;
    }
}

int itimer_get(int which, struct itimer_value *out)
{
    struct process *p = process_self();
    u64 user, system;
    if (which != ITIMER_REAL && which != ITIMER_VIRTUAL && which != ITIMER_PROF)
        return -EINVAL;
    process_cpu_time(p, &user, &system);
    SPIN_GUARD_IRQ(&p->timer_lock);
    read_timer(p, which, user, user + system, out);
    return 0;
}

static void set_real(struct process *p, const struct itimer_value *new, struct itimer_value *old)
{
    bool cancel;
    {
        SPIN_GUARD_IRQ(&p->timer_lock);
        read_timer(p, ITIMER_REAL, 0, 0, old);
        p->real_interval = new->interval;
        cancel = p->real_armed;
        p->real_armed = false;
    }
    if (cancel)
        timer_cancel(&p->real_timer);
    if (new->value == 0)
        return;
    SPIN_GUARD_IRQ(&p->timer_lock);
    u64 now = time_ns();
    p->real_armed = true;
    timer_start(&p->real_timer, new->value < TIME_NEVER - now ? now + new->value : TIME_NEVER - 1);
}

int itimer_set(int which, const struct itimer_value *new, struct itimer_value *old)
{
    struct process *p = process_self();
    struct itimer_value before;
    u64 user, system;
    if (which != ITIMER_REAL && which != ITIMER_VIRTUAL && which != ITIMER_PROF)
        return -EINVAL;
    if (which == ITIMER_REAL) {
        set_real(p, new, &before);
    } else {
        process_cpu_time(p, &user, &system);
        u64 now = which == ITIMER_VIRTUAL ? user : user + system;
        SPIN_GUARD_IRQ(&p->timer_lock);
        read_timer(p, which, user, user + system, &before);
        u64 *at = which == ITIMER_VIRTUAL ? &p->virtual_at : &p->prof_at;
        *at = new->value ? now + MIN(new->value, TIME_NEVER / 2) : 0;
        *(which == ITIMER_VIRTUAL ? &p->virtual_interval : &p->prof_interval) = new->interval;
        p->cpu_seen = TIME_NEVER;
        arm_cpu_timer(p, user, user + system);
    }
    if (old)
        *old = before;
    return 0;
}

void itimer_process_init(struct process *p)
{
    spin_init(&p->timer_lock, &itimer_lock_class);
    p->real_timer.fn = real_fired;
    p->cpu_timer.fn = cpu_fired;
}

void itimer_process_exit(struct process *p)
{
    {
        SPIN_GUARD_IRQ(&p->timer_lock);
        p->timers_dead = true;
    }
    timer_cancel(&p->real_timer);
    timer_cancel(&p->cpu_timer);
}
