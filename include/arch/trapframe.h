/*
 * Port contract: the user registers at kernel entry. The trapframe of a user thread lies at the top
 * of its kernel stack: arch_user_frame(t). machine/trapframe.h defines the struct and the inlines.
 */
#pragma once

#include "lib/types.h"

struct thread;
struct trapframe;

#include <machine/trapframe.h>

/*
 * machine/trapframe.h supplies, inline:
 *   struct trapframe *arch_user_frame(struct thread *t);
 *   u64 tf_syscall_nr(tf), tf_arg(tf, 0..5), tf_orig_arg0(tf);   void tf_set_result(tf, s64);
 *   s64 tf_result(tf);
 *   uvaddr_t tf_pc(tf), tf_sp(tf);  void tf_set_pc/tf_set_sp/tf_set_tls/tf_set_arg(tf, ...);
 *   bool tf_from_user(tf);
 *   bool tf_in_syscall(tf): the entry was a system call (restart logic)
 *   void tf_restart_syscall(tf): back to the ecall with the original arguments
 *   void tf_init_user(tf, pc, sp): all other registers zero, user mode, interrupts on
 */

/* Leaves to user mode with the frame at the top of the current thread's stack: how a new user
 * thread's first kernel function ends. */
void arch_enter_user(void) __noreturn;

/* Linux's rt_sigframe for this architecture: siginfo, ucontext with registers and FP state. */
struct siginfo;
struct arch_sigframe; /* machine/trapframe.h: the exact layout that user space sees */
/* Fills @f from @tf and the thread's FP state (mask and info are copied in by the caller). */
void arch_sigframe_save(struct arch_sigframe *f, struct trapframe *tf);
/* Restores registers from @f. User space may have written anything there: returns -EINVAL rather
 * than let privileged state change. */
int arch_sigframe_restore(const struct arch_sigframe *f, struct trapframe *tf);
/* Points @tf at a handler: pc, sp, arguments (sig, &info, &ucontext), return address. */
void arch_sigframe_call(struct trapframe *tf, uvaddr_t frame, uvaddr_t handler, int sig,
                        uvaddr_t trampoline);
