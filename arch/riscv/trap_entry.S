/*
 * Trap entry and exit.
 *
 * In user mode sscratch holds the thread; in the kernel tp does and sscratch is 0. So exchanging tp
 * and sscratch tells where the trap came from. From user mode the frame lies at the top of the
 * thread's kernel stack, from the kernel right below the interrupted stack pointer.
 *
 * The straight way (system call, no work pending) is what counts here. It saves all registers,
 * because fork, signals and debuggers need them, but reloads only those that C code may have
 * changed: s0 to s11 still hold the user's values when the C functions have returned. Whoever
 * changes a frame (exec, sigreturn, signal delivery) sets WORK_FRAME or comes through the work
 * loop, and that leaves by the way that reloads everything. The kernel
 * does not use gp: in it gp is any user thread's.
 *
 * Stack overflow: kernel stacks occupy the upper half of an area twice their size, so a frame
 * that would begin in the lower half has run over. Then the frame goes to the CPU's emergency
 * stack.
 */
#include <machine/csr.h>
#include <machine/offsets.h>

/* Everything but sp, tp, pc, status, cause. */
.macro SAVE_REGISTERS
    sd ra, TF_X(1)(sp)
    sd gp, TF_X(3)(sp)
    sd t0, TF_X(5)(sp)
    sd t1, TF_X(6)(sp)
    sd t2, TF_X(7)(sp)
    sd s0, TF_X(8)(sp)
    sd s1, TF_X(9)(sp)
    sd a0, TF_X(10)(sp)
    sd a1, TF_X(11)(sp)
    sd a2, TF_X(12)(sp)
    sd a3, TF_X(13)(sp)
    sd a4, TF_X(14)(sp)
    sd a5, TF_X(15)(sp)
    sd a6, TF_X(16)(sp)
    sd a7, TF_X(17)(sp)
    sd s2, TF_X(18)(sp)
    sd s3, TF_X(19)(sp)
    sd s4, TF_X(20)(sp)
    sd s5, TF_X(21)(sp)
    sd s6, TF_X(22)(sp)
    sd s7, TF_X(23)(sp)
    sd s8, TF_X(24)(sp)
    sd s9, TF_X(25)(sp)
    sd s10, TF_X(26)(sp)
    sd s11, TF_X(27)(sp)
    sd t3, TF_X(28)(sp)
    sd t4, TF_X(29)(sp)
    sd t5, TF_X(30)(sp)
    sd t6, TF_X(31)(sp)
.endm

/* What C code may change, but sp and tp. */
.macro LOAD_CALLER_SAVED
    ld ra, TF_X(1)(sp)
    ld t0, TF_X(5)(sp)
    ld t1, TF_X(6)(sp)
    ld t2, TF_X(7)(sp)
    ld a0, TF_X(10)(sp)
    ld a1, TF_X(11)(sp)
    ld a2, TF_X(12)(sp)
    ld a3, TF_X(13)(sp)
    ld a4, TF_X(14)(sp)
    ld a5, TF_X(15)(sp)
    ld a6, TF_X(16)(sp)
    ld a7, TF_X(17)(sp)
    ld t3, TF_X(28)(sp)
    ld t4, TF_X(29)(sp)
    ld t5, TF_X(30)(sp)
    ld t6, TF_X(31)(sp)
.endm

.macro LOAD_CALLEE_SAVED
    ld s0, TF_X(8)(sp)
    ld s1, TF_X(9)(sp)
    ld s2, TF_X(18)(sp)
    ld s3, TF_X(19)(sp)
    ld s4, TF_X(20)(sp)
    ld s5, TF_X(21)(sp)
    ld s6, TF_X(22)(sp)
    ld s7, TF_X(23)(sp)
    ld s8, TF_X(24)(sp)
    ld s9, TF_X(25)(sp)
    ld s10, TF_X(26)(sp)
    ld s11, TF_X(27)(sp)
.endm

/* pc and status from the frame. Uses t0, t1. */
.macro LOAD_STATE
    ld t0, TF_PC(sp)
    ld t1, TF_STATUS(sp)
    csrw sepc, t0
    csrw sstatus, t1
.endm

.section .text.hot.trap, "ax"
.balign 64
.globl trap_entry
trap_entry:
    csrrw tp, sscratch, tp
    beqz tp, from_kernel

    sd sp, THREAD_USER_SP(tp)
    ld sp, THREAD_KERNEL_SP(tp)
    addi sp, sp, -TF_SIZE
    SAVE_REGISTERS
    ld t0, THREAD_USER_SP(tp)
    csrrw t1, sscratch, zero
    csrr t2, sstatus
    csrr t3, scause
    csrr t4, sepc
    li t5, CAUSE_ECALL_USER
    sd t0, TF_X(2)(sp)
    sd t1, TF_X(4)(sp)
    sd t2, TF_STATUS(sp)
    sd t3, TF_CAUSE(sp)
    bne t3, t5, from_user_other

    /* System call: goes on behind the ecall. */
    addi t4, t4, 4
    sd t4, TF_PC(sp)
    sd a0, TF_ORIG_A0(sp)
    csrsi sstatus, SSTATUS_SIE
    mv a0, sp
    call syscall_dispatch

to_user:
    csrci sstatus, SSTATUS_SIE
    lw t0, THREAD_WORK(tp)
    bnez t0, to_user_work
    LOAD_STATE
    csrw sscratch, tp
    LOAD_CALLER_SAVED
    ld gp, TF_X(3)(sp)
    ld tp, TF_X(4)(sp)
    ld sp, TF_X(2)(sp)
    sret

from_user_other:
    sd t4, TF_PC(sp)
    mv a0, sp
    call trap_user
    j to_user

/* How a new user thread begins: its frame is at the top of its stack. */
.globl arch_enter_user
arch_enter_user:
    ld sp, THREAD_KERNEL_SP(tp)
    addi sp, sp, -TF_SIZE
    csrci sstatus, SSTATUS_SIE
to_user_work:
    mv a0, sp
    call trap_return_work
    LOAD_STATE
    csrw sscratch, tp
    LOAD_CALLEE_SAVED
    LOAD_CALLER_SAVED
    ld gp, TF_X(3)(sp)
    ld tp, TF_X(4)(sp)
    ld sp, TF_X(2)(sp)
    sret

from_kernel:
    csrrw tp, sscratch, zero
    addi sp, sp, -TF_SIZE
    sd t0, THREAD_USER_SP(tp)
    slli t0, sp, 63 - KSTACK_BIT
    bgez t0, stack_overflow
    ld t0, THREAD_USER_SP(tp)
    SAVE_REGISTERS
    addi t0, sp, TF_SIZE
    csrr t1, sepc
    csrr t2, sstatus
    csrr t3, scause
    sd t0, TF_X(2)(sp)
    sd tp, TF_X(4)(sp)
    sd t1, TF_PC(sp)
    sd t2, TF_STATUS(sp)
    sd t3, TF_CAUSE(sp)
    mv a0, sp
    call trap_kernel
    /* The thread may be on another CPU now; tp is the thread's and still right. */
    LOAD_STATE
    LOAD_CALLER_SAVED
    addi sp, sp, TF_SIZE
    sret

stack_overflow:
    /* sp is the place where the frame would have been; t0 is in THREAD_USER_SP. */
    csrw sscratch, sp
    ld sp, THREAD_CPU(tp)
    ld sp, CPU_EMERGENCY_STACK(sp)
    addi sp, sp, -TF_SIZE
    ld t0, THREAD_USER_SP(tp)
    SAVE_REGISTERS
    csrrw t0, sscratch, zero
    addi t0, t0, TF_SIZE
    csrr t1, sepc
    csrr t2, sstatus
    csrr t3, scause
    sd t0, TF_X(2)(sp)
    sd tp, TF_X(4)(sp)
    sd t1, TF_PC(sp)
    sd t2, TF_STATUS(sp)
    sd t3, TF_CAUSE(sp)
    mv a0, sp
    call trap_stack_overflow
    unimp
