/*
 * Code of the vDSO, running in user mode. Only time that the data page can tell is computed here,
 * everything else becomes the system call. The functions return 0 or a negative errno, as the
 * system calls do.
 */
#define VDSO_BUILD

typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;

#include "arch/vdso.h"

#include <asm/unistd.h>
#include <linux/time.h>

#define EXPORT       __attribute__((visibility("default")))
#define NSEC_PER_SEC 1000000000UL

/* vdso.ld puts it one page in front of the code. */
extern const volatile struct vdso_data vdso_data __attribute__((visibility("hidden")));

static inline long syscall2(long number, long arg0, long arg1)
{
    register long a0 __asm__("a0") = arg0;
    register long a1 __asm__("a1") = arg1;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
    return a0;
}

static inline long syscall3(long number, long arg0, long arg1, long arg2)
{
    register long a0 __asm__("a0") = arg0;
    register long a1 __asm__("a1") = arg1;
    register long a2 __asm__("a2") = arg2;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

/* Monotonic time in ns, or the wall clock. */
static inline u64 read_clock(int wall)
{
    u64 ns, ticks;
    u32 seq;
    do {
        while ((seq = vdso_data.seq) & 1)
            ;
        __asm__ volatile("fence r, ir\n\trdtime %0" : "=r"(ticks)::"memory");
        ns = (u64)(((unsigned __int128)ticks * vdso_data.mult) >> VDSO_SHIFT);
        if (wall)
            ns += vdso_data.wall_offset;
        __asm__ volatile("fence r, r" ::: "memory");
    } while (vdso_data.seq != seq);
    return ns;
}

EXPORT int __vdso_clock_gettime(int clock, struct timespec *out)
{
    int wall;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        wall = 1;
        break;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        wall = 0;
        break;
    default:
        return (int)syscall2(__NR_clock_gettime, clock, (long)out);
    }
    u64 ns = read_clock(wall);
    u64 seconds = ns / NSEC_PER_SEC;
    out->tv_sec = (long)seconds;
    out->tv_nsec = (long)(ns - seconds * NSEC_PER_SEC);
    return 0;
}

EXPORT int __vdso_gettimeofday(struct timeval *tv, struct timezone *tz)
{
    if (tz)
        return (int)syscall2(__NR_gettimeofday, (long)tv, (long)tz);
    if (tv) {
        u64 us = read_clock(1) / 1000;
        u64 seconds = us / 1000000;
        tv->tv_sec = (long)seconds;
        tv->tv_usec = (long)(us - seconds * 1000000);
    }
    return 0;
}

EXPORT int __vdso_clock_getres(int clock, struct timespec *out)
{
    return (int)syscall2(__NR_clock_getres, clock, (long)out);
}

EXPORT int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    return (int)syscall3(__NR_getcpu, (long)cpu, (long)node, (long)unused);
}

EXPORT int __vdso_flush_icache(void *start, void *end, unsigned long flags)
{
    return (int)syscall3(__NR_riscv_flush_icache, (long)start, (long)end, (long)flags);
}
