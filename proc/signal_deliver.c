/*
 * Signals, the receiving side: what happens on the way back to user mode.
 *
 * signal_deliver() loops until nothing is left: exit of the group, stop, then signals one by one.
 * A handler is run by building a frame on the user's stack and pointing the registers at it;
 * several pending signals give nested frames. At the end an interrupted system call without handler
 * is restarted, and a temporary mask (ppoll, sigsuspend) is taken back.
 */
#include <asm/unistd.h>

#include "arch/trapframe.h"
#include "arch/vdso.h"
#include "core/sched.h"
#include "core/upcall.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "mm/usercopy.h"
#include "proc/proc_priv.h"

void signal_exception(struct trapframe *tf, int sig, int code, uvaddr_t addr)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = code;
    info.si_addr = (void *)addr;
    signal_force(&info);
}

bool signal_fatal_pending(void)
{
    return READ_ONCE(process_self()->group_exit);
}

static bool on_altstack(const struct signal_stack *s, uvaddr_t sp)
{
    return !(s->flags & SS_DISABLE) && sp > s->base && sp - s->base <= s->size;
}

static s32 altstack_state(const struct signal_stack *s, uvaddr_t sp)
{
    if (s->size == 0 || (s->flags & SS_DISABLE))
        return SS_DISABLE;
    return (on_altstack(s, sp) ? SS_ONSTACK : 0) | (s->flags & (s32)SS_AUTODISARM);
}

int signal_altstack(const struct signal_stack *new, struct signal_stack *old, uvaddr_t sp)
{
    struct signal_stack *mine = &uthread_self()->altstack;
    bool busy = !(mine->flags & (s32)SS_AUTODISARM) && on_altstack(mine, sp);
    struct signal_stack before = *mine;
    before.flags = altstack_state(mine, sp);
    before.padding = 0;
    if (new) {
        s32 mode = new->flags & ~(s32)SS_AUTODISARM;
        if (busy)
            return -EPERM;
        if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
            return -EINVAL;
        if (mode == SS_DISABLE)
            *mine = (struct signal_stack){.flags = SS_DISABLE};
        else if (new->size < MINSIGSTKSZ)
            return -ENOMEM;
        else
            *mine = (struct signal_stack){
                .base = new->base, .size = new->size, .flags = new->flags &(s32)SS_AUTODISARM};
    }
    if (old)
        *old = before;
    return 0;
}

/* Where the frame for @action goes; 0 when the alternate stack has no room for it. */
static uvaddr_t frame_address(struct uthread *t, uvaddr_t sp, const struct signal_action *action)
{
    const struct signal_stack *alt = &t->altstack;
    bool on_it = on_altstack(alt, sp);
    if ((action->flags & SA_ONSTACK) && !(alt->flags & SS_DISABLE) && alt->size && !on_it) {
        sp = alt->base + alt->size;
        on_it = true;
    }
    uvaddr_t frame = ALIGN_DOWN(sp - sizeof(struct arch_sigframe), 16UL);
    return on_it && (frame < alt->base || frame > sp) ? 0 : frame;
}

static void bad_frame(int sig)
{
    siginfo_t info;
    signal_info_kernel(&info, SIGSEGV);
    struct process *p = process_self();
    if (sig == SIGSEGV) { /* its own handler cannot be called: default action */
        SPIN_GUARD_IRQ(&p->signal_lock);
        p->sighand->action[SIGSEGV - 1].handler = SIGNAL_DFL;
    }
    signal_force(&info);
}

/* Builds the frame and enters the handler. 0, -EFAULT. => May sleep. */
static int push_frame(struct trapframe *tf, int sig, const struct signal_action *action,
                      const siginfo_t *info, u64 mask)
{
    struct uthread *t = uthread_self();
    uvaddr_t at = frame_address(t, tf_sp(tf), action);
    if (!at)
        return -EFAULT;
    struct arch_sigframe frame;
    memset(&frame, 0, offsetof(struct arch_sigframe, regs));
    memcpy(frame.info, info, sizeof(*info));
    frame.uc_stack.ss_sp = t->altstack.base;
    frame.uc_stack.ss_flags = altstack_state(&t->altstack, tf_sp(tf));
    frame.uc_stack.ss_size = t->altstack.size;
    frame.uc_sigmask = mask;
    arch_sigframe_save(&frame, tf);
    int r = copy_to_user(at, &frame, sizeof(frame));
    if (r)
        return r;
    if (t->altstack.flags & (s32)SS_AUTODISARM)
        t->altstack = (struct signal_stack){.flags = SS_DISABLE};
    uvaddr_t trampoline = t->thread.aspace->vdso + VDSO_DATA_SIZE + vdso_sigreturn_offset();
    arch_sigframe_call(tf, at, action->handler, sig, trampoline);
    return 0;
}

/* The interrupted system call's result, now that a handler runs. */
static void settle_syscall(struct trapframe *tf, u64 action_flags)
{
    if (!tf_in_syscall(tf))
        return;
    switch (tf_result(tf)) {
    case -ERESTARTNOINTR:
        tf_restart_syscall(tf);
        break;
    case -ERESTARTSYS:
        if (action_flags & SA_RESTART) {
            tf_restart_syscall(tf);
            break;
        }
        tf_set_result(tf, -EINTR);
        break;
    case -ERESTART_BLOCK:
    case -ERESTARTNOHAND:
        tf_set_result(tf, -EINTR);
        break;
    }
}

/* The same when no handler ran. */
static void restart_syscall(struct trapframe *tf)
{
    if (!tf_in_syscall(tf))
        return;
    switch (tf_result(tf)) {
    case -ERESTARTNOINTR:
    case -ERESTARTSYS:
    case -ERESTARTNOHAND:
        tf_restart_syscall(tf);
        break;
    case -ERESTART_BLOCK:
        tf_restart_syscall(tf);
        tf_set_syscall_nr(tf, __NR_restart_syscall);
        break;
    }
}

/* Runs @action's handler for @sig. */
static void handle(struct trapframe *tf, int sig, const struct signal_action *action,
                   const siginfo_t *info)
{
    struct uthread *t = uthread_self();
    u64 frame_mask = t->mask_saved ? t->saved_mask : t->mask;
    t->mask_saved = false;
    settle_syscall(tf, action->flags);
    u64 mask = t->mask | action->mask | (action->flags & SA_NODEFER ? 0 : SIGNAL_BIT(sig));
    if (push_frame(tf, sig, action, info, frame_mask) != 0) {
        t->mask = frame_mask;
        bad_frame(sig);
        return;
    }
    SPIN_GUARD_IRQ(&t->process->signal_lock);
    t->mask = mask & ~SIGNAL_UNMASKABLE;
}

/* Begins a stop of the whole process by @sig. => signal_lock. */
static void begin_stop(struct process *p, int sig)
{
    if (p->group_stop || p->group_exit)
        return;
    p->group_stop = true;
    p->stopped = false;
    p->stop_signal = sig;
    p->stop_pending = 0;
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        if (t->exiting)
            continue;
        t->stop_counted = true;
        p->stop_pending++;
        thread_set_work(&t->thread, WORK_SIGNAL);
        if (&t->thread != thread_self())
            thread_wake_interruptible(&t->thread);
    }
}

/* The calling thread stops until SIGCONT or the end. => signal_lock held, released. */
static void stop_here(struct uthread *t, irqflags_t flags)
{
    struct process *p = t->process;
    bool last = false;
    thread_set_state(THREAD_STOPPED);
    if (t->stop_counted) {
        t->stop_counted = false;
        last = --p->stop_pending == 0;
    }
    if (last)
        p->stopped = p->stop_unreported = true;
    spin_unlock_irq(&p->signal_lock, flags);
    if (last)
        process_notify_stop(p, CLD_STOPPED);
    schedule();
}

/* A stop signal other than SIGSTOP does nothing to an orphaned group: nobody could continue it. */
static bool stop_allowed(struct process *p, int sig)
{
    if (sig == SIGSTOP)
        return true;
    TREE_GUARD();
    return !group_orphaned_locked(p->group, NULL);
}

/* Default action of @sig, which is not to ignore it. May not return. */
static void default_action(struct uthread *t, int sig)
{
    struct process *p = t->process;
    if (!(SIGNAL_BIT(sig) & SIGNALS_STOPPING))
        process_exit_signal(sig);
    if (!stop_allowed(p, sig))
        return;
    SPIN_GUARD_IRQ(&p->signal_lock);
    if (!(p->pending.set & SIGNAL_BIT(SIGCONT)) && !(t->pending.set & SIGNAL_BIT(SIGCONT)))
        begin_stop(p, sig);
}

/* Takes one signal and its action. Returns it, 0 when there is none. */
static int take(struct uthread *t, siginfo_t *info, struct signal_action *action)
{
    struct process *p = t->process;
    SPIN_GUARD_IRQ(&p->signal_lock);
    int sig = signal_dequeue_locked(t, ~t->mask, info);
    if (!sig) {
        atomic_and(&t->thread.work, ~WORK_SIGNAL);
        signal_update_work(t);
        return 0;
    }
    SPIN_GUARD(&p->sighand->lock);
    struct signal_action *shared = &p->sighand->action[sig - 1];
    *action = *shared;
    if (action->handler > SIGNAL_IGN && (action->flags & SA_RESETHAND))
        shared->handler = SIGNAL_DFL;
    return sig;
}

/* Exit, stop, reports: everything that comes before signals. Returns true to look again. */
static bool attend_process(struct uthread *t)
{
    struct process *p = t->process;
    irqflags_t flags = spin_lock_irq(&p->signal_lock);
    if (unlikely(p->group_exit && p->exec_thread != t)) {
        int status = p->exit_status;
        spin_unlock_irq(&p->signal_lock, flags);
        do_exit(status);
    }
    if (unlikely(p->notify_parent)) {
        int code = p->notify_parent;
        p->notify_parent = 0;
        spin_unlock_irq(&p->signal_lock, flags);
        process_notify_stop(p, code);
        return true;
    }
    if (unlikely(p->group_stop)) {
        stop_here(t, flags);
        return true;
    }
    spin_unlock_irq(&p->signal_lock, flags);
    return false;
}

/* PID 1 is not ended by what others, or it itself, send it. */
static bool spares_init(const struct process *p, const siginfo_t *info)
{
    return p == init_process && info->si_code <= 0;
}

void signal_deliver(struct trapframe *tf)
{
    struct uthread *t = uthread_self();
    for (;;) {
        siginfo_t info;
        struct signal_action action;
        if (attend_process(t))
            continue;
        int sig = take(t, &info, &action);
        if (!sig)
            break;
        if (sig == SIGALRM)
            itimer_alarm_taken(t->process);
        if (action.handler > SIGNAL_IGN)
            handle(tf, sig, &action, &info);
        else if (action.handler == SIGNAL_DFL && !(SIGNAL_BIT(sig) & SIGNALS_IGNORED_BY_DEFAULT) &&
                 !spares_init(t->process, &info))
            default_action(t, sig);
    }
    restart_syscall(tf);
    if (t->mask_saved) {
        t->mask_saved = false;
        signal_mask_set(t->saved_mask);
    }
}

void signal_return(struct trapframe *tf)
{
    struct uthread *t = uthread_self();
    struct arch_sigframe frame;
    uvaddr_t at = tf_sp(tf);
    if (!IS_ALIGNED(at, 16) || copy_from_user(&frame, at, sizeof(frame)) != 0 ||
        arch_sigframe_restore(&frame, tf) != 0) {
        bad_frame(SIGSEGV);
        return;
    }
    t->restart.fn = NULL;
    signal_mask_set(frame.uc_sigmask);
    struct signal_stack stack = {.base = frame.uc_stack.ss_sp,
                                 .flags = frame.uc_stack.ss_flags,
                                 .size = frame.uc_stack.ss_size};
    (void)signal_altstack(&stack, NULL, tf_sp(tf)); /* refused while on it, as on Linux */
}
