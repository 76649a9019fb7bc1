/* Switching threads, and the floating-point registers. */
#include <machine/csr.h>
#include <machine/offsets.h>

.text

/* struct thread *switch_registers(prev, next): returns prev, in next. Interrupts are off. */
.globl switch_registers
switch_registers:
    sd ra, CTX_RA(a0)
    sd sp, CTX_SP(a0)
    sd s0, CTX_S(0)(a0)
    sd s1, CTX_S(1)(a0)
    sd s2, CTX_S(2)(a0)
    sd s3, CTX_S(3)(a0)
    sd s4, CTX_S(4)(a0)
    sd s5, CTX_S(5)(a0)
    sd s6, CTX_S(6)(a0)
    sd s7, CTX_S(7)(a0)
    sd s8, CTX_S(8)(a0)
    sd s9, CTX_S(9)(a0)
    sd s10, CTX_S(10)(a0)
    sd s11, CTX_S(11)(a0)
    mv tp, a1
    ld ra, CTX_RA(a1)
    ld sp, CTX_SP(a1)
    ld s0, CTX_S(0)(a1)
    ld s1, CTX_S(1)(a1)
    ld s2, CTX_S(2)(a1)
    ld s3, CTX_S(3)(a1)
    ld s4, CTX_S(4)(a1)
    ld s5, CTX_S(5)(a1)
    ld s6, CTX_S(6)(a1)
    ld s7, CTX_S(7)(a1)
    ld s8, CTX_S(8)(a1)
    ld s9, CTX_S(9)(a1)
    ld s10, CTX_S(10)(a1)
    ld s11, CTX_S(11)(a1)
    ret

.option push
.option arch, +d

/* void fpu_registers_save(struct arch_fpu *): FS must not be off. */
.globl fpu_registers_save
fpu_registers_save:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fsd f\n, FPU_F(\n)(a0)
    .endr
    frcsr t0
    sd t0, FPU_FCSR(a0)
    ret

/* void fpu_registers_load(const struct arch_fpu *): FS must not be off. */
.globl fpu_registers_load
fpu_registers_load:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fld f\n, FPU_F(\n)(a0)
    .endr
    ld t0, FPU_FCSR(a0)
    fscsr t0
    ret
.option pop
