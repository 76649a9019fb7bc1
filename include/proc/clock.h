/* Sleeping, interval timers, CPU-time clocks: nanosleep(2), clock_getres(2), setitimer(2). */
#pragma once

#include "lib/types.h"

#include <linux/time.h>

struct process;

/*
 * Current value of clock @id in ns: CLOCK_REALTIME, _MONOTONIC, _BOOTTIME, _MONOTONIC_RAW,
 * _COARSE ones, _TAI, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID and the per-process ids of
 * clock_getcpuclockid(3) (negative). 0, -EINVAL.
 */
int clock_read(s32 id, u64 *out);
/* Resolution in ns. 0, -EINVAL. */
int clock_resolution(s32 id, u64 *out);
/* Sets CLOCK_REALTIME. 0, -EINVAL, -EPERM. */
int clock_set(s32 id, u64 ns);
/* time_ns() at which clock @id shows @ns (as far as is known now). For absolute timeouts. 0,
 * -EINVAL (a clock without that: CPU-time clocks). */
int clock_deadline(s32 id, u64 ns, u64 *deadline);

/*
 * clock_nanosleep(2). @ns is an interval, or with @absolute a value of clock @id. @remaining: where
 * user space wants the rest (struct timespec), 0 for nowhere; relative only. Returns 0, -EINVAL,
 * -EOPNOTSUPP (thread CPU clock), -EFAULT, -ERESTART_BLOCK (relative), -ERESTARTNOHAND (absolute).
 */
int clock_sleep(s32 id, u64 ns, bool absolute, uvaddr_t remaining);

/* Interval timers; value and interval in ns, 0: off. @which ITIMER_REAL, _VIRTUAL, _PROF. */
struct itimer_value {
    u64 interval, value;
};
int itimer_get(int which, struct itimer_value *out); /* 0, -EINVAL */
int itimer_set(int which, const struct itimer_value *new,
               struct itimer_value *old); /* 0, -EINVAL */

/* CPU time of a process so far, its dead threads included; of a thread. ns. */
struct uthread;
void process_cpu_time(struct process *p, u64 *user, u64 *system);
void uthread_cpu_time(struct uthread *t, u64 *user, u64 *system);

/* Inner: exec keeps timers; fork does not inherit them; exit cancels them. */
void itimer_process_init(struct process *p);
void itimer_process_exit(struct process *p);
void itimer_alarm_taken(struct process *p); /* SIGALRM was dequeued: the next period begins */
void itimer_check_cpu(struct process *p);   /* limits or timers changed: arms the CPU-time timer */
