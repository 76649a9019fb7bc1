/* Time and one-shot timers. All times are nanoseconds, u64. */
#pragma once

#include "lib/rbtree.h"
#include "lib/types.h"

#define NSEC_PER_SEC  1000000000UL
#define NSEC_PER_MSEC 1000000UL
#define TIME_NEVER    (~0UL)

/* Monotonic time since boot. */
u64 time_ns(void);
/* Wall clock: nanoseconds since 1970. Starts from the RTC; settable. */
u64 time_wall_ns(void);
void time_set_wall(u64 ns);
/* What has to be added to time_ns() for the wall clock. */
u64 time_wall_offset(void);
/* time_ns() is (arch_time() * *@mult) >> TIME_SHIFT, in 128 bits: for the vDSO. */
#define TIME_SHIFT 32
u64 time_mult(void);
u64 time_hz(void); /* ticks per second of the timebase */

struct timer {
    struct rb_node node;
    u64 when;                    /* time_ns() at which it fires */
    void (*fn)(struct timer *t); /* runs in the timer interrupt: must not sleep */
    struct cpu *cpu;             /* whose queue it is on; NULL when not armed */
};

/*
 * Arms @t on this CPU (re-arms when armed). => Any context; calls for one timer must not run at the
 * same time, except that it may be firing.
 */
void timer_start(struct timer *t, u64 when);
/*
 * Disarms @t and waits until its function does not run on another CPU any more.
 * Returns true when it had been armed. => Not from @t's own function.
 */
bool timer_cancel(struct timer *t);

/* Sleeps until @deadline. Returns 0, or -EINTR when a signal came first. */
int sleep_until(u64 deadline);

void timer_init(u64 timebase_hz); /* boot: ticks per second of the time CSR */
void timer_interrupt(void);       /* arch: the one-shot timer fired */
