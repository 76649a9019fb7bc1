/* Offsets and sizes that assembly uses. offsets.c asserts each of them. */
#pragma once

/* struct thread */
#define THREAD_KERNEL_SP 0
#define THREAD_USER_SP   8
#define THREAD_CPU       16
#define THREAD_WORK      28
#define THREAD_CONTEXT   32

/* struct cpu */
#define CPU_EMERGENCY_STACK 48

/* struct arch_context, from the beginning of struct thread */
#define CTX_RA   (THREAD_CONTEXT + 0)
#define CTX_SP   (THREAD_CONTEXT + 8)
#define CTX_S(n) (THREAD_CONTEXT + 16 + 8 * (n))

/* struct arch_fpu */
#define FPU_F(n) (8 * (n))
#define FPU_FCSR 256

/* struct trapframe */
#define TF_X(n)    (8 * (n))
#define TF_PC      0
#define TF_STATUS  256
#define TF_CAUSE   264
#define TF_TVAL    272
#define TF_ORIG_A0 280
#define TF_SIZE    288

/* struct hart_start (smp.c) */
#define HS_SATP   0
#define HS_THREAD 8
#define HS_SP     16
#define HS_ENTRY  24

/* Kernel stacks (mm/kva.h): this bit of a valid stack pointer below the top is set. */
#define KSTACK_BIT 14
