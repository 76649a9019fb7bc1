/*
 * Clocks. The monotonic clock is the machine's time counter scaled to nanoseconds: ns = ticks *
 * mult / 2^32, with a 128-bit product. mult is rounded once, to 2^-32 ns per tick, so the error
 * stays below a nanosecond per four seconds' worth of ticks and is none at the usual 10 MHz.
 */
#include "arch/cpu.h"
#include "arch/vdso.h"
#include "core/panic.h"
#include "core/timer.h"
#include "lib/atomic.h"

#include "time_priv.h"

static u64 mult; /* nanoseconds per tick, scaled by 2^TIME_SHIFT; 0 until time_init() */
static u64 hz;
static u64 wall_offset; /* atomic */

void time_init(u64 timebase_hz)
{
    assert(timebase_hz > 0 && timebase_hz < 1UL << 32);
    hz = timebase_hz;
    mult = (NSEC_PER_SEC << TIME_SHIFT) / hz;
}

u64 time_ns(void)
{
    return (u64)((unsigned __int128)arch_time() * mult >> TIME_SHIFT);
}

/* The first tick at which time_ns() is at least @ns. */
u64 time_to_ticks(u64 ns)
{
    u64 seconds = ns / NSEC_PER_SEC, rest = ns % NSEC_PER_SEC;
    if (seconds >= ~0UL / hz)
        return ~0UL;
    return seconds * hz + DIV_UP(rest * hz, NSEC_PER_SEC) +
           (mult * hz != NSEC_PER_SEC << TIME_SHIFT);
}

u64 time_mult(void)
{
    return mult;
}

u64 time_hz(void)
{
    return hz;
}

u64 time_wall_offset(void)
{
    return READ_ONCE(wall_offset);
}

u64 time_wall_ns(void)
{
    return time_ns() + READ_ONCE(wall_offset);
}

void time_set_wall(u64 ns)
{
    u64 offset = ns - time_ns();
    WRITE_ONCE(wall_offset, offset);
    vdso_set_wall_offset(offset);
}
