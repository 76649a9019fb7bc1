/*
 * Registers at kernel entry and the signal frame. See arch/trapframe.h. Offsets that assembly uses
 * are checked in offsets.c, the signal frame against Linux's headers in sigframe.c.
 */
#pragma once

#include "core/thread.h"
#include "lib/types.h"

#include <machine/csr.h>

/* Register numbers in trapframe.x[] and sigframe.regs[]; x0 is always zero: its slot holds pc. */
enum { X_PC = 0, X_RA = 1, X_SP = 2, X_GP = 3, X_TP = 4, X_FP = 8, X_A0 = 10, X_A7 = 17 };

struct trapframe {
    u64 x[32]; /* x[0]: pc; x[1] .. x[31]: the registers; the order of Linux's user_regs_struct */
    u64 status;
    u64 cause;   /* scause; CAUSE_NONE when the entry has been dealt with */
    u64 tval;    /* stval; not set for system calls and interrupts */
    u64 orig_a0; /* system calls: the first argument */
};

#define CAUSE_NONE (~0UL)

/*
 * Set in thread->work when a frame was changed beyond the registers that the straight way out of a
 * system call reloads: makes it take the way that reloads all.
 */
#define WORK_FRAME (1u << 31)

static inline struct trapframe *arch_user_frame(struct thread *t)
{
    return (struct trapframe *)t->kernel_sp - 1;
}

static inline u64 tf_syscall_nr(const struct trapframe *tf)
{
    return tf->x[X_A7];
}

/* Argument @i, 0 .. 5. As in the registers: argument 0 is gone once a result is set. */
static inline u64 tf_arg(const struct trapframe *tf, unsigned i)
{
    return tf->x[X_A0 + i];
}

/* All six, in a row. */
static inline const u64 *tf_args(const struct trapframe *tf)
{
    return &tf->x[X_A0];
}

static inline u64 tf_orig_arg0(const struct trapframe *tf)
{
    return tf->orig_a0;
}

static inline void tf_set_result(struct trapframe *tf, s64 result)
{
    tf->x[X_A0] = (u64)result;
}

static inline s64 tf_result(const struct trapframe *tf)
{
    return (s64)tf->x[X_A0];
}

static inline uvaddr_t tf_pc(const struct trapframe *tf)
{
    return tf->x[X_PC];
}

static inline uvaddr_t tf_sp(const struct trapframe *tf)
{
    return tf->x[X_SP];
}

/* Frame pointer, for backtraces of kernel traps. */
static inline vaddr_t tf_fp(const struct trapframe *tf)
{
    return tf->x[X_FP];
}

static inline void tf_set_pc(struct trapframe *tf, uvaddr_t pc)
{
    tf->x[X_PC] = pc;
}

static inline void tf_set_sp(struct trapframe *tf, uvaddr_t sp)
{
    tf->x[X_SP] = sp;
}

static inline void tf_set_tls(struct trapframe *tf, uvaddr_t tls)
{
    tf->x[X_TP] = tls;
}

static inline void tf_set_arg(struct trapframe *tf, unsigned i, u64 value)
{
    tf->x[X_A0 + i] = value;
}

/* Before tf_restart_syscall() takes effect: another call instead (restart_syscall). */
static inline void tf_set_syscall_nr(struct trapframe *tf, u64 nr)
{
    tf->x[X_A7] = nr;
}

static inline bool tf_from_user(const struct trapframe *tf)
{
    return !(tf->status & SSTATUS_SPP);
}

/* False also when the call has been restarted or abandoned for a signal handler. */
static inline bool tf_in_syscall(const struct trapframe *tf)
{
    return tf->cause == CAUSE_ECALL_USER;
}

static inline void tf_restart_syscall(struct trapframe *tf)
{
    tf->x[X_PC] -= 4;
    tf->x[X_A0] = tf->orig_a0;
    tf->cause = CAUSE_NONE;
}

/*
 * All registers zero, user mode, interrupts on, floating point off. The thread that owns the frame
 * also needs arch_fpu_reset() when it has run before (exec).
 */
void tf_init_user(struct trapframe *tf, uvaddr_t pc, uvaddr_t sp);

/* Logs the registers (pc with its symbol, cause in words). */
void tf_print(const struct trapframe *tf);

/*
 * Linux's struct rt_sigframe: what lies on the user's stack while a handler runs. The caller of
 * arch_sigframe_save() fills info, uc_stack and uc_sigmask.
 */
struct arch_sigframe {
    u8 info[128]; /* siginfo_t */
    u64 uc_flags;
    u64 uc_link;
    struct {
        u64 ss_sp;
        s32 ss_flags;
        u32 pad;
        u64 ss_size;
    } uc_stack;
    u64 uc_sigmask;
    u8 uc_sigmask_room[120];
    u64 uc_pad;   /* the machine context is aligned to 16 bytes */
    u64 regs[32]; /* pc, x1 .. x31 */
    u64 f[32];    /* floating-point registers, 64 bits each */
    u32 fcsr;
    u32 fp_room[67]; /* place of wider registers; the last 3 words are zero by contract */
} __aligned(16);
