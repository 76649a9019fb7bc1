/*
 * Where signal handlers return to. Unwinders know the two instructions by their encoding, so they
 * must not be compressed, and the frame by this CFI: the saved registers are at fixed offsets from
 * the stack pointer (struct arch_sigframe).
 */
#include <asm/unistd.h>

#define REGS 304 /* offsetof(struct arch_sigframe, regs); asserted in vdso_image.c */

    .text
    .balign 4
    .option norvc
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa sp, 0
    .cfi_return_column 64
    .cfi_offset 64, REGS
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .cfi_offset \n, REGS + 8 * \n
    .endr
    nop                         /* unwinders look one byte before the return address */
.globl __vdso_rt_sigreturn
.type __vdso_rt_sigreturn, @function
__vdso_rt_sigreturn:
    li a7, __NR_rt_sigreturn
    ecall
    .cfi_endproc
.size __vdso_rt_sigreturn, . - __vdso_rt_sigreturn
