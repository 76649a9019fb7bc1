/* Asserts what machine/offsets.h tells the assembler. No code. */
#include "core/cpu.h"
#include "mm/kva.h"

#include "arch_priv.h"
#include "smp_priv.h"

#include <machine/offsets.h>

#define CHECK(name, type, member) \
    _Static_assert((name) == offsetof(type, member), "machine/offsets.h: " #name)

CHECK(THREAD_KERNEL_SP, struct thread, kernel_sp);
CHECK(THREAD_USER_SP, struct thread, user_sp);
CHECK(THREAD_CPU, struct thread, cpu);
CHECK(THREAD_WORK, struct thread, work);
CHECK(THREAD_CONTEXT, struct thread, context);
CHECK(CPU_EMERGENCY_STACK, struct cpu, emergency_stack);
CHECK(CTX_RA, struct thread, context.ra);
CHECK(CTX_SP, struct thread, context.sp);
CHECK(CTX_S(0), struct thread, context.s[0]);
CHECK(CTX_S(11), struct thread, context.s[11]);
CHECK(FPU_F(0), struct arch_fpu, f[0]);
CHECK(FPU_F(31), struct arch_fpu, f[31]);
CHECK(FPU_FCSR, struct arch_fpu, fcsr);
CHECK(TF_PC, struct trapframe, x[X_PC]);
CHECK(TF_X(1), struct trapframe, x[X_RA]);
CHECK(TF_X(31), struct trapframe, x[31]);
CHECK(TF_STATUS, struct trapframe, status);
CHECK(TF_CAUSE, struct trapframe, cause);
CHECK(TF_TVAL, struct trapframe, tval);
CHECK(TF_ORIG_A0, struct trapframe, orig_a0);
CHECK(HS_SATP, struct hart_start, satp);
CHECK(HS_THREAD, struct hart_start, thread);
CHECK(HS_SP, struct hart_start, sp);
CHECK(HS_ENTRY, struct hart_start, entry);

_Static_assert(sizeof(struct trapframe) == TF_SIZE, "machine/offsets.h: TF_SIZE");
_Static_assert(TF_SIZE % 16 == 0, "stack pointers are multiples of 16");
_Static_assert(KSTACK_SIZE == 1UL << KSTACK_BIT, "machine/offsets.h: KSTACK_BIT");
_Static_assert(KSTACK_ALIGN == 2 * KSTACK_SIZE, "overflow check of trap_entry.S");
