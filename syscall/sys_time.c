/* Clocks, sleeping, timers, CPU time. */
#include <linux/time.h>

#include "fs/cred.h"
#include "syscall/syscall_priv.h"

#define TIMER_ABSTIME_ 1
#define CLOCK_TICKS    100 /* per second: what times(2) counts in (AT_CLKTCK) */

long sys_nanosleep(uvaddr_t request, uvaddr_t remaining)
{
    u64 ns;
    int r = timespec_get(request, &ns);
    return r < 0 ? r : clock_sleep(CLOCK_MONOTONIC, ns, false, remaining);
}

long sys_clock_nanosleep(s32 id, unsigned flags, uvaddr_t request, uvaddr_t remaining)
{
    u64 ns;
    int r = timespec_get(request, &ns);
    return r < 0 ? r : clock_sleep(id, ns, flags & TIMER_ABSTIME_, remaining);
}

long sys_clock_gettime(s32 id, uvaddr_t time)
{
    u64 ns;
    int r = clock_read(id, &ns);
    return r < 0 ? r : timespec_put(time, ns);
}

long sys_clock_getres(s32 id, uvaddr_t time)
{
    u64 ns;
    int r = clock_resolution(id, &ns);
    return r < 0 || !time ? r : timespec_put(time, ns);
}

long sys_clock_settime(s32 id, uvaddr_t time)
{
    u64 ns;
    int r = timespec_get(time, &ns);
    return r < 0 ? r : clock_set(id, ns);
}

struct user_timezone {
    s32 minutes_west, dst;
};

long sys_gettimeofday(uvaddr_t tv, uvaddr_t tz)
{
    u64 ns = time_wall_ns();
    struct user_timeval t = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000};
    struct user_timezone utc = {0, 0};
    if (tv && copy_to_user(tv, &t, sizeof(t)) < 0)
        return -EFAULT;
    return tz ? copy_to_user(tz, &utc, sizeof(utc)) : 0;
}

/* The kernel keeps no time zone: setting one is accepted only when it is UTC. */
long sys_settimeofday(uvaddr_t tv, uvaddr_t tz)
{
    struct user_timeval t;
    struct user_timezone zone;
    if (tz) {
        if (copy_from_user(&zone, tz, sizeof(zone)) < 0)
            return -EFAULT;
        if (zone.minutes_west != 0)
            return -EINVAL;
    }
    if (!tv)
        return 0;
    if (copy_from_user(&t, tv, sizeof(t)) < 0)
        return -EFAULT;
    if (t.sec < 0 || t.usec < 0 || t.usec >= 1000000)
        return -EINVAL;
    return clock_set(CLOCK_REALTIME, t.sec * NSEC_PER_SEC + t.usec * 1000);
}

/* struct itimerval: interval, value. */
static int itimer_put(uvaddr_t addr, const struct itimer_value *v)
{
    struct user_timeval t[2] = {{v->interval / NSEC_PER_SEC, v->interval % NSEC_PER_SEC / 1000},
                                {v->value / NSEC_PER_SEC, v->value % NSEC_PER_SEC / 1000}};
    if (v->value && !t[1].sec && !t[1].usec)
        t[1].usec = 1; /* armed timers never read as off */
    return copy_to_user(addr, t, sizeof(t));
}

long sys_getitimer(int which, uvaddr_t value)
{
    struct itimer_value v;
    int r = itimer_get(which, &v);
    return r < 0 ? r : itimer_put(value, &v);
}

long sys_setitimer(int which, uvaddr_t value, uvaddr_t old_addr)
{
    struct itimer_value new = {0, 0}, old;
    struct user_timeval t[2];
    if (value) {
        if (copy_from_user(t, value, sizeof(t)) < 0)
            return -EFAULT;
        for (int i = 0; i < 2; i++)
            if (t[i].sec < 0 || t[i].usec < 0 || t[i].usec >= 1000000)
                return -EINVAL;
        new.interval = t[0].sec *NSEC_PER_SEC + t[0].usec * 1000;
        new.value = t[1].sec *NSEC_PER_SEC + t[1].usec * 1000;
    }
    int r = itimer_set(which, &new, &old);
    return r < 0 || !old_addr ? r : itimer_put(old_addr, &old);
}

static s64 ticks(u64 ns)
{
    return ns / (NSEC_PER_SEC / CLOCK_TICKS);
}

long sys_times(uvaddr_t buf)
{
    struct resource_usage self, children;
    int r = process_usage(0, &self); /* RUSAGE_SELF */
    if (r == 0)
        r = process_usage(-1, &children); /* RUSAGE_CHILDREN */
    s64 out[4] = {ticks(self.user_ns), ticks(self.system_ns), ticks(children.user_ns),
                  ticks(children.system_ns)};
    if (r == 0 && buf)
        r = copy_to_user(buf, out, sizeof(out));
    return r < 0 ? r : ticks(time_ns());
}
