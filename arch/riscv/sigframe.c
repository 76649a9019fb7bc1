/*
 * Signal frames: the layout is Linux's struct rt_sigframe (siginfo, then ucontext), which user
 * space reads and writes (unwinders, setcontext-like libraries, debuggers).
 */
#include "arch/trapframe.h"
#include "core/errno.h"
#include "lib/atomic.h"
#include "lib/string.h"

#include "arch_priv.h"

/* Linux names a field of struct ucontext like our attribute. */
#pragma push_macro("__unused")
#undef __unused
#include <linux/signal.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#pragma pop_macro("__unused")

#define FRAME_AT(member) (offsetof(struct arch_sigframe, member) - sizeof(siginfo_t))
_Static_assert(sizeof(siginfo_t) == sizeof(((struct arch_sigframe *)NULL)->info), "siginfo");
_Static_assert(FRAME_AT(uc_flags) == offsetof(struct ucontext, uc_flags), "uc_flags");
_Static_assert(FRAME_AT(uc_link) == offsetof(struct ucontext, uc_link), "uc_link");
_Static_assert(FRAME_AT(uc_stack) == offsetof(struct ucontext, uc_stack), "uc_stack");
_Static_assert(FRAME_AT(uc_stack.ss_flags) == offsetof(struct ucontext, uc_stack.ss_flags), "ss");
_Static_assert(FRAME_AT(uc_stack.ss_size) == offsetof(struct ucontext, uc_stack.ss_size), "ss");
_Static_assert(FRAME_AT(uc_sigmask) == offsetof(struct ucontext, uc_sigmask), "uc_sigmask");
_Static_assert(FRAME_AT(regs) == offsetof(struct ucontext, uc_mcontext.sc_regs), "sc_regs");
_Static_assert(FRAME_AT(f) == offsetof(struct ucontext, uc_mcontext.sc_fpregs.d.f), "f");
_Static_assert(FRAME_AT(fcsr) == offsetof(struct ucontext, uc_mcontext.sc_fpregs.d.fcsr), "fcsr");
_Static_assert(offsetof(struct arch_sigframe, fp_room[64]) ==
                   offsetof(struct ucontext, uc_mcontext.sc_fpregs.q.reserved) + sizeof(siginfo_t),
               "reserved");
_Static_assert(sizeof(struct arch_sigframe) == sizeof(siginfo_t) + sizeof(struct ucontext), "all");
_Static_assert(sizeof(((struct sigcontext *)NULL)->sc_regs) == 32 * sizeof(u64),
               "user_regs_struct");

void arch_sigframe_save(struct arch_sigframe *f, struct trapframe *tf)
{
    struct thread *self = thread_self();
    memcpy(f->regs, tf->x, sizeof(f->regs));
    fpu_sync(self);
    memcpy(f->f, self->context.fpu.f, sizeof(f->f));
    f->fcsr = (u32)self->context.fpu.fcsr;
    memset(f->fp_room, 0, sizeof(f->fp_room));
}

static bool fpu_is_zero(const struct arch_fpu *fpu)
{
    u64 bits = fpu->fcsr;
    for (unsigned i = 0; i < ARRAY_SIZE(fpu->f); i++)
        bits |= fpu->f[i];
    return bits == 0;
}

int arch_sigframe_restore(const struct arch_sigframe *f, struct trapframe *tf)
{
    for (unsigned i = 64; i < ARRAY_SIZE(f->fp_room); i++)
        if (f->fp_room[i] != 0)
            return -EINVAL;
    struct arch_fpu fpu = {.fcsr = f->fcsr};
    memcpy(fpu.f, f->f, sizeof(fpu.f));
    memcpy(tf->x, f->regs, sizeof(tf->x));
    tf->cause = CAUSE_NONE;
    if (thread_self()->context.fpu_used || !fpu_is_zero(&fpu))
        fpu_set(tf, &fpu);
    atomic_or(&thread_self()->work, WORK_FRAME);
    return 0;
}

void arch_sigframe_call(struct trapframe *tf, uvaddr_t frame, uvaddr_t handler, int sig,
                        uvaddr_t trampoline)
{
    tf->x[X_PC] = handler;
    tf->x[X_RA] = trampoline;
    tf->x[X_SP] = frame;
    tf->x[X_A0] = (u64)(s64)sig;
    tf->x[X_A0 + 1] = frame + offsetof(struct arch_sigframe, info);
    tf->x[X_A0 + 2] = frame + offsetof(struct arch_sigframe, uc_flags);
    tf->cause = CAUSE_NONE;
}
