/* Signals as the program arranges them: actions, masks, waiting. */
#include "core/sched.h"
#include "lib/string.h"
#include "proc/proc_priv.h"

int signal_action_set(int sig, const struct signal_action *new, struct signal_action *old)
{
    struct process *p = process_self();
    if (sig < 1 || sig > SIGNAL_COUNT || (new && (SIGNAL_BIT(sig) & SIGNAL_UNMASKABLE)))
        return -EINVAL;
    SPIN_GUARD_IRQ(&p->signal_lock);
    {
        SPIN_GUARD(&p->sighand->lock);
        struct signal_action *action = &p->sighand->action[sig - 1];
        if (old)
            *old = *action;
        if (!new)
            return 0;
        *action = *new;
        action->mask &= ~SIGNAL_UNMASKABLE;
    }
    if (signal_ignored_locked(p, sig))
        signal_discard_locked(p, SIGNAL_BIT(sig));
    return 0;
}

void signal_mask_set(u64 mask)
{
    struct uthread *t = uthread_self();
    mask &= ~SIGNAL_UNMASKABLE;
    if (mask == t->mask)
        return;
    SPIN_GUARD_IRQ(&t->process->signal_lock);
    u64 newly_blocked = mask & ~t->mask;
    t->mask = mask;
    signal_update_work(t);
    /* What was left to this thread and it blocks now, another one may take. */
    if ((t->process->pending.set & newly_blocked) && t->process->live_threads > 1)
        signal_retarget_locked(t->process);
}

u64 signal_mask_get(void)
{
    return uthread_self()->mask;
}

int signal_mask_change(int how, const u64 *set, u64 *old)
{
    u64 mask = uthread_self()->mask, before = mask;
    if (set) {
        switch (how) {
        case SIG_BLOCK:
            mask |= *set;
            break;
        case SIG_UNBLOCK:
            mask &= ~*set;
            break;
        case SIG_SETMASK:
            mask = *set;
            break;
        default:
            return -EINVAL;
        }
        signal_mask_set(mask);
    }
    if (old)
        *old = before;
    return 0;
}

void signal_mask_temporary(u64 mask)
{
    struct uthread *t = uthread_self();
    t->saved_mask = t->mask;
    t->mask_saved = true;
    signal_mask_set(mask);
}

void signal_mask_temporary_end(bool interrupted)
{
    struct uthread *t = uthread_self();
    if (!t->mask_saved)
        return;
    if (interrupted) {
        thread_set_work(&t->thread, WORK_SIGNAL); /* signal_deliver() puts the mask back */
        return;
    }
    t->mask_saved = false;
    signal_mask_set(t->saved_mask);
}

int signal_suspend(u64 mask)
{
    signal_mask_temporary(mask);
    for (;;) {
        thread_set_state(THREAD_SLEEPING_INTR);
        if (signal_pending())
            break;
        schedule();
    }
    thread_set_state(THREAD_RUNNABLE);
    signal_mask_temporary_end(true);
    return -ERESTARTNOHAND;
}

static int try_take(struct uthread *t, u64 set, siginfo_t *info)
{
    int sig;
    {
        SPIN_GUARD_IRQ(&t->process->signal_lock);
        sig = signal_dequeue_locked(t, set, info);
        t->waiting_for = sig ? 0 : set;
    }
    if (sig == SIGALRM)
        itimer_alarm_taken(t->process);
    return sig;
}

/* WORK_SIGNAL may also be left over from a signal that another thread took: look closer. */
static bool interrupted(struct uthread *t)
{
    struct process *p = t->process;
    SPIN_GUARD_IRQ(&p->signal_lock);
    return ((t->pending.set | p->pending.set) & ~t->mask) || p->group_exit || p->group_stop;
}

int signal_wait(u64 set, u64 deadline, siginfo_t *info)
{
    struct uthread *t = uthread_self();
    set &= ~SIGNAL_UNMASKABLE;
    int r;
    for (bool expired = deadline == 0;;) {
        thread_set_state(THREAD_SLEEPING_INTR);
        r = try_take(t, set, info);
        if (r)
            break;
        r = interrupted(t) ? -EINTR : expired ? -EAGAIN : 0;
        if (r)
            break;
        expired = !schedule_until(deadline);
    }
    thread_set_state(THREAD_RUNNABLE);
    SPIN_GUARD_IRQ(&t->process->signal_lock);
    t->waiting_for = 0;
    return r;
}

u64 signal_pending_set(void)
{
    struct uthread *t = uthread_self();
    SPIN_GUARD_IRQ(&t->process->signal_lock);
    return (t->pending.set | t->process->pending.set) & t->mask;
}

int signal_exec_prepare(struct sighand **spare)
{
    *spare = NULL;
    if (READ_ONCE(process_self()->sighand->refs) == 1)
        return 0;
    *spare = sighand_copy(process_self()->sighand);
    return *spare ? 0 : -ENOMEM;
}

void signal_exec_commit(struct sighand *spare)
{
    struct uthread *t = uthread_self();
    struct process *p = t->process;
    struct sighand *old = NULL;
    {
        SPIN_GUARD_IRQ(&p->signal_lock);
        if (spare) {
            old = p->sighand;
            p->sighand = spare;
        }
        struct signal_action *action = p->sighand->action;
        for (unsigned i = 0; i < SIGNAL_COUNT; i++, action++) {
            if (action->handler != SIGNAL_IGN)
                action->handler = SIGNAL_DFL;
            action->flags = 0;
            action->mask = 0;
        }
    }
    if (old)
        sighand_put(old);
    t->altstack = (struct signal_stack){.flags = SS_DISABLE};
    t->restart.fn = NULL;
}

void signal_init(void)
{
    signal_send_init();
}
