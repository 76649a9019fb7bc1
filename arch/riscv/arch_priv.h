/* Shared by the files of the port. */
#pragma once

#include "core/cpu.h"
#include "lib/types.h"

#include <machine/trapframe.h>

/* Result of an SBI call: @error 0 or one of SBI's negative numbers. */
struct sbi_result {
    long error;
    long value;
};

/* SBI extensions (SBI Specification 2.0) */
#define SBI_EXT_BASE   0x10
#define SBI_EXT_TIME   0x54494d45
#define SBI_EXT_IPI    0x735049
#define SBI_EXT_RFENCE 0x52464e43
#define SBI_EXT_HSM    0x48534d
#define SBI_EXT_SRST   0x53525354
#define SBI_EXT_DBCN   0x4442434e

struct sbi_result sbi_call(long ext, long fid, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);
bool sbi_has_extension(long ext);
void sbi_set_timer(u64 ticks);
/* The RFENCE functions. @size ~0UL: everything (of @asid). @mask: dense CPU ids. */
void sbi_remote_fence_i(u64 cpu_mask);
void sbi_remote_sfence(u64 cpu_mask, vaddr_t start, u64 size);
void sbi_remote_sfence_asid(u64 cpu_mask, vaddr_t start, u64 size, u16 asid);
/* 0, or -EIO when the firmware refuses. */
int sbi_hart_start(u64 hartid, paddr_t entry, u64 opaque);
/* System reset; returns only when the firmware has none. */
void sbi_shutdown(void);
void sbi_reboot(void);
void sbi_probe(void);

/* trap_entry.S */
void trap_entry(void);
void trap_user(struct trapframe *tf);
void trap_kernel(struct trapframe *tf);
void trap_stack_overflow(struct trapframe *tf);
void trap_return_work(struct trapframe *tf);

/* switch.S */
struct thread *switch_registers(struct thread *prev, struct thread *next);
void fpu_registers_save(struct arch_fpu *fpu);
void fpu_registers_load(const struct arch_fpu *fpu);

/* fpu.c: an illegal instruction of user mode. True: floating point was off, now it is on. */
bool fpu_first_use(struct trapframe *tf);
/* Brings @t's saved state up to date; @t is the calling thread or not running. */
void fpu_sync(struct thread *t);
/* The calling thread's registers become @fpu. */
void fpu_set(struct trapframe *tf, const struct arch_fpu *fpu);

/* start.S */
extern char secondary_start[];
extern u64 boot_entry_ticks;

/* kernel.ld */
extern char kernel_start[], kernel_text_start[], kernel_text_end[], kernel_rodata_start[],
    kernel_rodata_end[], kernel_loaded_end[], kernel_bss_start[], kernel_bss_end[], kernel_end[];
