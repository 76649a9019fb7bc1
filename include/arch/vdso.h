/*
 * The vDSO: a small shared object of the kernel that every process has mapped, with clock reads
 * that need no trap. One data page lies right in front of its code pages; both are read-only in
 * user space, the code executable.
 *
 *     base                      base + VDSO_DATA_SIZE
 *      | struct vdso_data, zero  | ELF header, dynamic section, code ... |
 *
 * AT_SYSINFO_EHDR is base + VDSO_DATA_SIZE. The layout of the data is private between kernel and
 * vDSO, so it may change at will.
 */
#pragma once

#ifndef VDSO_BUILD
#include "lib/types.h"
#endif

#define VDSO_DATA_SIZE 4096UL

/*
 * Monotonic time is (time CSR * mult) >> VDSO_SHIFT ns, in 128 bits; the wall clock is wall_offset
 * ns ahead. Readers retry when @seq is odd or has changed.
 */
#define VDSO_SHIFT 32 /* TIME_SHIFT */
struct vdso_data {
    u32 seq;
    u32 reserved;
    u64 mult;
    u64 wall_offset;
};

#ifndef VDSO_BUILD

/* Boot: fills the data page for time_ns(). @timebase_hz must be timer_init()'s. Returns 0, or
 * -EINVAL when the embedded object is not what was built. */
int vdso_init(u64 timebase_hz);

/* The wall clock is now @ns ahead of monotonic time. => Any context. */
void vdso_set_wall_offset(u64 ns);

/* What to map: one data page, then the code (multiple of the page size). */
paddr_t vdso_data_phys(void);
paddr_t vdso_code_phys(void);
u64 vdso_code_size(void);

/* Offset of __vdso_rt_sigreturn from the start of the code: signal handlers return there. */
u64 vdso_sigreturn_offset(void);

#endif
