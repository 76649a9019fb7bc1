/*
 * Signals: signal(7), sigaction(2), sigaltstack(2).
 *
 * Locks: process->signal_lock (spin, interrupts off) guards the pending queues and masks of a
 * process and all its threads, its stop state, and its pointer to the handlers. sighand->lock is
 * inner to it and guards the actions (shared between processes with CLONE_SIGHAND).
 */
#pragma once

#include "core/spinlock.h"
#include "lib/list.h"
#include "lib/types.h"

#include <linux/signal.h>

struct process;
struct uthread;
struct trapframe;

#define SIGNAL_COUNT      64
#define SIGNAL_RT_MIN     32
/* Bit of @sig (1 .. 64) in a signal set as user space lays it out (one 64-bit word). */
#define SIGNAL_BIT(sig)   (1UL << ((sig)-1))
#define SIGNAL_UNMASKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

#define SIGNAL_DFL 0UL /* handler values */
#define SIGNAL_IGN 1UL

/* struct sigaction as the riscv64 system call passes it (there is no restorer). */
struct signal_action {
    uvaddr_t handler;
    u64 flags; /* SA_* */
    u64 mask;
};

/* stack_t as passed by sigaltstack(2). */
struct signal_stack {
    uvaddr_t base;
    s32 flags; /* SS_* */
    u32 padding;
    u64 size;
};

struct sighand {
    s32 refs; /* atomic */
    struct spinlock lock;
    struct signal_action action[SIGNAL_COUNT]; /* [sig - 1] */
};

struct signal_queue {
    u64 set;                /* pending signals */
    struct list_node infos; /* struct signal_entry, in order of arrival */
};

struct sighand *sighand_create(void); /* all default; NULL: out of memory */
struct sighand *sighand_copy(struct sighand *from);
void sighand_put(struct sighand *s);
void signal_queue_init(struct signal_queue *q);
void signal_queue_flush(struct signal_queue *q); /* => process's signal_lock, or nobody else */

/* Sending. */

/*
 * Queues @info (->si_signo says which) for the whole process, or for one thread. Ignored signals
 * vanish. SIGKILL, stops and SIGCONT have their immediate effects here. Returns 0, -EAGAIN
 * (RLIMIT_SIGPENDING reached for a real-time signal). No permission check. => Any context.
 */
int signal_send_process(struct process *p, const siginfo_t *info);
int signal_send_thread(struct uthread *t, const siginfo_t *info);
/* The same from the kernel (si_code SI_KERNEL). */
void signal_kernel_process(struct process *p, int sig);
void signal_kernel_thread(struct uthread *t, int sig);
/* To every member of process group @pgrp; -ESRCH when it has none. => Any context. */
int signal_kernel_pgrp(s32 pgrp, int sig);

/* kill(2): @pid > 0, 0, -1, < -1 as there. @sig 0 only checks. 0, -EINVAL, -ESRCH, -EPERM. */
int signal_kill(s32 pid, int sig);
/* tgkill(2), and tkill(2) with @tgid -1 (any). */
int signal_tgkill(s32 tgid, s32 tid, int sig);
/* rt_sigqueueinfo(2) (@tid 0) and rt_tgsigqueueinfo(2). @info as copied from the user. */
int signal_queueinfo(s32 tgid, s32 tid, int sig, siginfo_t *info);
/*
 * A signal of the calling thread's own making that may not be held back: when blocked or ignored
 * the action is reset to default, which kills. For faults (SIGSEGV, SIGSYS, a bad signal frame).
 */
void signal_force(const siginfo_t *info);

/* Receiving. */

/* sigaction(2). @new and @old may be NULL. 0, -EINVAL. */
int signal_action_set(int sig, const struct signal_action *new, struct signal_action *old);
/* sigprocmask(2): @how SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK; @set and @old may be NULL. */
int signal_mask_change(int how, const u64 *set, u64 *old);
/* Replaces the mask (SIGKILL and SIGSTOP taken out). */
void signal_mask_set(u64 mask);
u64 signal_mask_get(void);
/*
 * Mask for the duration of one system call (ppoll, pselect6, rt_sigsuspend, epoll_pwait): set
 * before waiting. When the call returns -EINTR or -ERESTARTNOHAND the old mask comes back after
 * the handler (call signal_mask_temporary_end(true)); otherwise at once (false).
 */
void signal_mask_temporary(u64 mask);
void signal_mask_temporary_end(bool interrupted);
/* rt_sigsuspend(2): sleeps until a handler is to run; returns -ERESTARTNOHAND. */
int signal_suspend(u64 mask);
/* pause(2)-like wait is signal_suspend(signal_mask_get()). */
/*
 * rt_sigtimedwait(2): takes a pending signal of @set, waiting until @deadline (time_ns();
 * TIME_NEVER; 0 polls). Returns the signal, -EAGAIN, -EINTR.
 */
int signal_wait(u64 set, u64 deadline, siginfo_t *info);
u64 signal_pending_set(void); /* sigpending(2) */
/* sigaltstack(2) at user stack pointer @sp. @new and @old may be NULL. 0, -EINVAL, -EPERM, -ENOMEM
 */
int signal_altstack(const struct signal_stack *new, struct signal_stack *old, uvaddr_t sp);
/* rt_sigreturn(2): restores @tf; the result register is part of it. A bad frame kills. */
void signal_return(struct trapframe *tf);

/* True when the calling thread must end (SIGKILL, exit_group by another thread). */
bool signal_fatal_pending(void);
/* Recomputes WORK_SIGNAL of @t. => t->process->signal_lock. */
void signal_update_work(struct uthread *t);
/* exec: handlers back to default, ignored ones stay; alternate stack forgotten. Unshares the
 * handlers. 0, -ENOMEM. signal_exec_prepare() allocates, _commit() cannot fail. */
int signal_exec_prepare(struct sighand **spare);
void signal_exec_commit(struct sighand *spare);
/* True when @p's action for @sig is to ignore it (or default means that). => p->signal_lock. */
bool signal_ignored_locked(struct process *p, int sig);
/* The same for the calling thread, also true when it blocks @sig. => Any lock but signal_lock. */
bool signal_self_ignores(int sig);

/* Boot. */
void signal_init(void);
