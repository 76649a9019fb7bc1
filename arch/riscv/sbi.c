/*
 * Calls into the firmware: RISC-V Supervisor Binary Interface Specification 2.0.
 *
 * Harts are named to the firmware by hart id in masks of 64 relative to a base; we name them by
 * dense CPU id.
 */
#include "core/errno.h"
#include "core/log.h"

#include "arch_priv.h"

#define LEGACY_CONSOLE_PUTCHAR 1
#define LEGACY_SHUTDOWN        8

static bool has_dbcn, has_time;

struct sbi_result sbi_call(long ext, long fid, u64 arg0, u64 arg1, u64 arg2, u64 arg3, u64 arg4)
{
    register u64 a0 __asm__("a0") = arg0;
    register u64 a1 __asm__("a1") = arg1;
    register u64 a2 __asm__("a2") = arg2;
    register u64 a3 __asm__("a3") = arg3;
    register u64 a4 __asm__("a4") = arg4;
    register long a6 __asm__("a6") = fid;
    register long a7 __asm__("a7") = ext;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1)
                     : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
                     : "memory");
    return (struct sbi_result){.error = (long)a0, .value = (long)a1};
}

bool sbi_has_extension(long ext)
{
    struct sbi_result r = sbi_call(SBI_EXT_BASE, 3, (u64)ext, 0, 0, 0, 0);
    return r.error == 0 && r.value != 0;
}

void sbi_probe(void)
{
    has_dbcn = sbi_has_extension(SBI_EXT_DBCN);
    has_time = sbi_has_extension(SBI_EXT_TIME);
    struct sbi_result spec = sbi_call(SBI_EXT_BASE, 0, 0, 0, 0, 0, 0);
    struct sbi_result impl = sbi_call(SBI_EXT_BASE, 1, 0, 0, 0, 0, 0);
    struct sbi_result version = sbi_call(SBI_EXT_BASE, 2, 0, 0, 0, 0, 0);
    log_info("firmware: SBI %ld.%ld, implementation %ld version %#lx", spec.value >> 24,
             spec.value & 0xffffff, impl.value, (unsigned long)version.value);
}

void sbi_console_write(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (has_dbcn)
            sbi_call(SBI_EXT_DBCN, 2, (u8)s[i], 0, 0, 0, 0);
        else
            sbi_call(LEGACY_CONSOLE_PUTCHAR, 0, (u8)s[i], 0, 0, 0, 0);
    }
}

void sbi_set_timer(u64 ticks)
{
    /* Extension 0 is the legacy call. */
    sbi_call(has_time ? SBI_EXT_TIME : 0, 0, ticks, 0, 0, 0, 0);
}

/* Calls @ext/@fid for the harts of @cpu_mask, in as few calls as their ids allow. */
static void call_for_harts(u64 cpu_mask, long ext, long fid, u64 a2, u64 a3, u64 a4)
{
    while (cpu_mask != 0) {
        u64 base = ~0UL, harts = 0, done = 0;
        for (u32 i = 0; i < cpu_count; i++)
            if (cpu_mask >> i & 1 && cpus[i].hartid < base)
                base = cpus[i].hartid;
        for (u32 i = 0; i < cpu_count; i++) {
            if (cpu_mask >> i & 1 && cpus[i].hartid - base < 64) {
                harts |= 1UL << (cpus[i].hartid - base);
                done |= 1UL << i;
            }
        }
        if (done == 0)
            return;
        sbi_call(ext, fid, harts, base, a2, a3, a4);
        cpu_mask &= ~done;
    }
}

void arch_ipi_send(u64 cpu_mask)
{
    call_for_harts(cpu_mask, SBI_EXT_IPI, 0, 0, 0, 0);
}

void sbi_remote_fence_i(u64 cpu_mask)
{
    call_for_harts(cpu_mask, SBI_EXT_RFENCE, 0, 0, 0, 0);
}

void sbi_remote_sfence(u64 cpu_mask, vaddr_t start, u64 size)
{
    call_for_harts(cpu_mask, SBI_EXT_RFENCE, 1, start, size, 0);
}

void sbi_remote_sfence_asid(u64 cpu_mask, vaddr_t start, u64 size, u16 asid)
{
    call_for_harts(cpu_mask, SBI_EXT_RFENCE, 2, start, size, asid);
}

int sbi_hart_start(u64 hartid, paddr_t entry, u64 opaque)
{
    return sbi_call(SBI_EXT_HSM, 0, hartid, entry, opaque, 0, 0).error ? -EIO : 0;
}

void sbi_shutdown(void)
{
    sbi_call(SBI_EXT_SRST, 0, 0, 0, 0, 0, 0);
    sbi_call(LEGACY_SHUTDOWN, 0, 0, 0, 0, 0, 0);
}

void sbi_reboot(void)
{
    sbi_call(SBI_EXT_SRST, 0, 1, 0, 0, 0, 0);
}
