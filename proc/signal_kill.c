/* kill(2) and its relatives: whom a signal goes to, and who may send it. */
#include <linux/capability.h>

#include "lib/string.h"
#include "proc/proc_priv.h"

bool signal_may_send(struct process *p, int sig)
{
    struct process *self = process_self();
    const struct cred *me = cred_current(), *other = process_cred_locked(p);
    if (p == self || !other)
        return true;
    if (me->euid == other->uid || me->euid == other->suid || me->uid == other->uid ||
        me->uid == other->suid || cred_capable(me, CAP_KILL))
        return true;
    return sig == SIGCONT && p->session == self->session;
}

static void user_info(siginfo_t *info, int sig, int code)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = sig;
    info->si_code = code;
    info->si_pid = process_self()->pid;
    info->si_uid = cred_current()->uid;
}

/* One process. => process_tree_lock. */
static int send_checked(struct process *p, const siginfo_t *info, int sig)
{
    if (!signal_may_send(p, sig))
        return -EPERM;
    return sig ? signal_send_process(p, info) : 0;
}

/* Outcome of several sends so far: success beats -EPERM beats -ESRCH. */
static int combine(int sofar, int r)
{
    return sofar == 0 || r == 0 ? 0 : r;
}

static int kill_group(struct pid *group, const siginfo_t *info, int sig)
{
    int r = -ESRCH;
    if (!group)
        return r;
    struct process *p;
    list_for_each_entry (p, &group->group, group_link)
        r = combine(r, send_checked(p, info, sig));
    return r;
}

/* Everything but PID 1 and the caller. */
static int kill_all(const siginfo_t *info, int sig)
{
    int r = -ESRCH;
    for (struct pid *pid = pid_next_locked(2); pid; pid = pid_next_locked(pid->nr + 1))
        if (pid->process && pid->process != process_self())
            r = combine(r, send_checked(pid->process, info, sig));
    return r;
}

int signal_kill(s32 pid, int sig)
{
    if (sig < 0 || sig > SIGNAL_COUNT)
        return -EINVAL;
    siginfo_t info;
    user_info(&info, sig, SI_USER);
    TREE_GUARD();
    if (pid == -1)
        return kill_all(&info, sig);
    if (pid == 0)
        return kill_group(process_self()->group, &info, sig);
    if (pid < 0)
        return pid == (s32)0x80000000 ? -ESRCH : kill_group(pid_find_locked(-pid), &info, sig);
    struct process *p = process_find_locked(pid);
    return p ? send_checked(p, &info, sig) : -ESRCH;
}

/* One thread. => process_tree_lock. */
static int send_to_thread(s32 tgid, s32 tid, int sig, const siginfo_t *info)
{
    struct pid *pid = pid_find_locked(tid);
    struct uthread *t = pid ? pid->thread : NULL;
    if (!t) {
        /* The first thread of a process may be gone while the number still names the process. */
        struct process *p = pid ? pid->process : NULL;
        if (!p || (tgid > 0 && p->pid != tgid))
            return -ESRCH;
        return signal_may_send(p, sig) ? 0 : -EPERM;
    }
    if (tgid > 0 && t->process->pid != tgid)
        return -ESRCH;
    if (!signal_may_send(t->process, sig))
        return -EPERM;
    return sig ? signal_send_thread(t, info) : 0;
}

int signal_tgkill(s32 tgid, s32 tid, int sig)
{
    if (tid <= 0 || tgid == 0 || tgid < -1 || sig < 0 || sig > SIGNAL_COUNT)
        return -EINVAL;
    siginfo_t info;
    user_info(&info, sig, SI_TKILL);
    TREE_GUARD();
    return send_to_thread(tgid, tid, sig, &info);
}

int signal_queueinfo(s32 tgid, s32 tid, int sig, siginfo_t *info)
{
    if (tgid <= 0 || tid < 0 || sig < 0 || sig > SIGNAL_COUNT)
        return -EINVAL;
    /* Nobody but the process itself may claim that the kernel, or kill(2), sent it. */
    if ((info->si_code >= 0 || info->si_code == SI_TKILL) && tgid != process_self()->pid)
        return -EPERM;
    info->si_signo = sig;
    TREE_GUARD();
    if (tid)
        return send_to_thread(tgid, tid, sig, info);
    struct process *p = process_find_locked(tgid);
    return p ? send_checked(p, info, sig) : -ESRCH;
}
