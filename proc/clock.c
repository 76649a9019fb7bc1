/* Clocks, sleeping, CPU time. */
#include "proc/clock.h"

#include <linux/capability.h>

#include "arch/vdso.h"
#include "core/param.h"
#include "core/sched.h"
#include "mm/usercopy.h"
#include "proc/proc_priv.h"

#include <linux/time_types.h>

void uthread_cpu_time(struct uthread *t, u64 *user, u64 *system)
{
    struct thread *thread = &t->thread;
    sched_account(thread);
    *user = READ_ONCE(thread->user_ns);
    *system = READ_ONCE(thread->system_ns);
}

void process_cpu_time(struct process *p, u64 *user, u64 *system)
{
    SPIN_GUARD_IRQ(&p->signal_lock);
    *user = p->dead_threads.user_ns;
    *system = p->dead_threads.system_ns;
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        u64 u, s;
        uthread_cpu_time(t, &u, &s);
        *user += u;
        *system += s;
    }
}

/*
 * Ids of CPU-time clocks of others are negative: ~pid << 3, bit 2 for a thread's, low bits the kind
 * (0 user + system, 1 user, 2 scheduler).
 */
static int read_cpu_clock(s32 id, u64 *out)
{
    u64 user, system;
    s32 pid = ~(id >> 3);
    bool thread = id & 4;
    if ((id & 3) == 3)
        return -EINVAL;
    if (thread) {
        TREE_GUARD();
        struct uthread *t = uthread_self(), *other;
        if (pid && pid != t->tid) {
            list_for_each_entry (other, &t->process->threads, link)
                if (other->tid == pid)
                    t = other;
            if (t->tid != pid)
                return -EINVAL;
        }
        uthread_cpu_time(t, &user, &system);
    } else {
        struct process *p = process_self();
        if (pid)
            p = process_find_get(pid);
        if (!p)
            return -EINVAL;
        process_cpu_time(p, &user, &system);
        if (pid)
            process_put(p);
    }
    *out = (id & 3) == 1 ? user : user + system;
    return 0;
}

int clock_read(s32 id, u64 *out)
{
    switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        *out = time_wall_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        *out = time_ns();
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        return read_cpu_clock((s32)(~0u << 3), out);
    case CLOCK_THREAD_CPUTIME_ID:
        return read_cpu_clock((s32)(~0u << 3 | 4), out);
    }
    return id < 0 ? read_cpu_clock(id, out) : -EINVAL;
}

int clock_resolution(s32 id, u64 *out)
{
    u64 now;
    *out = 1;
    return clock_read(id, &now);
}

int clock_set(s32 id, u64 ns)
{
    if (id != CLOCK_REALTIME)
        return -EINVAL;
    if (!capable(CAP_SYS_TIME))
        return -EPERM;
    time_set_wall(ns);
    return 0;
}

int clock_deadline(s32 id, u64 ns, u64 *deadline)
{
    switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_TAI: {
        u64 offset = time_wall_ns() - time_ns();
        *deadline = ns > offset ? ns - offset : 0;
        return 0;
    }
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
        *deadline = ns;
        return 0;
    }
    return -EINVAL;
}

static int put_remaining(uvaddr_t to, u64 deadline)
{
    u64 now = time_ns(), rest = deadline > now ? deadline - now : 0;
    struct __kernel_timespec ts = {.tv_sec = (s64)(rest / NSEC_PER_SEC),
                                   .tv_nsec = (s64)(rest % NSEC_PER_SEC)};
    return to ? PUT_USER(to, ts) : 0;
}

static long restart_sleep(struct restart_block *block);

static int sleep_relative(u64 deadline, uvaddr_t remaining)
{
    if (sleep_until(deadline) == 0)
        return 0;
    int r = put_remaining(remaining, deadline);
    if (r)
        return r;
    struct restart_block *block = &uthread_self()->restart;
    block->fn = restart_sleep;
    block->sleep.deadline = deadline;
    block->sleep.remaining = remaining;
    return -ERESTART_BLOCK;
}

static long restart_sleep(struct restart_block *block)
{
    return sleep_relative(block->sleep.deadline, block->sleep.remaining);
}

/* Sleeps until the CPU-time clock of the process shows @target. Polls at the rate it can advance.
 */
static int sleep_cpu_time(s32 id, u64 target)
{
    for (;;) {
        u64 now;
        int r = clock_read(id, &now);
        if (r || now >= target)
            return r;
        u64 threads = MAX(READ_ONCE(process_self()->thread_count), 1u);
        u64 wait = MAX((target - now) / threads, NSEC_PER_MSEC);
        if (sleep_until(time_ns() + wait) != 0)
            return -ERESTARTNOHAND;
    }
}

int clock_sleep(s32 id, u64 ns, bool absolute, uvaddr_t remaining)
{
    u64 deadline, now;
    if (id == CLOCK_THREAD_CPUTIME_ID)
        return -EINVAL;
    if (id == CLOCK_PROCESS_CPUTIME_ID || id < 0) {
        int r = clock_read(id, &now);
        return r ? r : sleep_cpu_time(id, absolute ? ns : now + ns);
    }
    int r = clock_deadline(id, ns, &deadline);
    if (r)
        return clock_read(id, &now) == 0 ? -EOPNOTSUPP : -EINVAL;
    if (absolute)
        return sleep_until(deadline) == 0 ? 0 : -ERESTARTNOHAND;
    now = time_ns();
    return sleep_relative(ns < TIME_NEVER - 1 - now ? now + ns : TIME_NEVER - 1, remaining);
}
