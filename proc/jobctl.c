/*
 * Job control: process groups, sessions, and the terminal's questions about them; setpgid(2),
 * credentials(7), POSIX.1-2017 chapter 11.
 *
 * A group is the list of its members in the struct pid with its number; it exists while it has
 * members. A session is an object its member processes count. Its controlling terminal is known in
 * both directions: the session holds a reference to the tty, the tty knows the session's number.
 *
 * A group is orphaned when no member has a parent in the same session but another group: nobody is
 * left who would continue it. What becomes orphaned while it has stopped members gets SIGHUP and
 * SIGCONT.
 */
#include <linux/capability.h>

#include "dev/tty.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

void group_join_locked(struct process *p, struct pid *group)
{
    p->group = group;
    group->users++;
    WRITE_ONCE(p->pgid, group->nr);
    list_push_back(&group->group, &p->group_link);
}

void group_leave_locked(struct process *p)
{
    struct pid *group = p->group;
    list_remove(&p->group_link);
    p->group = NULL;
    pid_put_locked(group, 1);
}

void session_put_locked(struct session *s)
{
    if (--s->refs)
        return;
    debug_assert(!s->tty);
    pid_put_locked(s->pid, 1);
    kfree(s);
}

bool group_orphaned_locked(struct pid *group, struct process *ignoring)
{
    struct process *p;
    list_for_each_entry (p, &group->group, group_link) {
        if (p == ignoring || p->state != PROCESS_ALIVE || p->parent == init_process)
            continue;
        if (p->parent->group != group && p->parent->session == p->session)
            return false;
    }
    return true;
}

static bool has_stopped_member(struct pid *group)
{
    struct process *p;
    list_for_each_entry (p, &group->group, group_link)
        if (READ_ONCE(p->stopped))
            return true;
    return false;
}

void jobctl_orphans_locked(struct process *p, struct process *parent)
{
    struct pid *group = p->group;
    struct process *ignoring = p->parent == parent ? p : NULL; /* p itself is dying */
    if (!group || !parent->group || parent->group == group || parent->session != p->session)
        return;
    if (!has_stopped_member(group) || !group_orphaned_locked(group, ignoring))
        return;
    struct process *member;
    list_for_each_entry (member, &group->group, group_link) {
        signal_kernel_process(member, SIGHUP);
        signal_kernel_process(member, SIGCONT);
    }
}

int process_setpgid(s32 pid, s32 pgid)
{
    struct process *self = process_self();
    if (pgid < 0)
        return -EINVAL;
    TREE_GUARD();
    struct process *p = pid ? process_find_locked(pid) : self;
    if (!p || (p != self && p->parent != self) || p->state != PROCESS_ALIVE)
        return -ESRCH;
    if (p != self && (p->session != self->session || READ_ONCE(p->did_exec)))
        return p->session != self->session ? -EPERM : -EACCES;
    if (p->session->id == p->pid)
        return -EPERM;
    struct pid *group = pgid && pgid != p->pid ? pid_find_locked(pgid) : p->pid_ref;
    if (!group || (group != p->pid_ref && list_empty(&group->group)))
        return -EPERM;
    if (group != p->pid_ref &&
        list_first(&group->group, struct process, group_link)->session != p->session)
        return -EPERM;
    if (group == p->group)
        return 0;
    group->users++; /* stays while the process moves */
    group_leave_locked(p);
    group_join_locked(p, group);
    pid_put_locked(group, 1);
    return 0;
}

int process_getpgid(s32 pid)
{
    if (pid == 0)
        return process_self()->pgid;
    TREE_GUARD();
    struct process *p = process_find_locked(pid);
    return p ? p->pgid : -ESRCH;
}

int process_getsid(s32 pid)
{
    if (pid == 0)
        return process_self()->sid;
    TREE_GUARD();
    struct process *p = process_find_locked(pid);
    return p ? p->sid : -ESRCH;
}

int process_setsid(void)
{
    struct process *p = process_self();
    struct session *fresh = kzalloc(sizeof(*fresh), 0);
    if (!fresh)
        return -ENOMEM;
    {
        TREE_GUARD();
        if (list_empty(&p->pid_ref->group)) { /* no group has our number, also not our own */
            *fresh = (struct session){.refs = 1, .id = p->pid, .pid = p->pid_ref};
            p->pid_ref->users++;
            group_leave_locked(p);
            group_join_locked(p, p->pid_ref);
            session_put_locked(p->session);
            p->session = fresh;
            p->without_tty = false;
            WRITE_ONCE(p->sid, p->pid);
            return p->pid;
        }
    }
    kfree(fresh);
    return -EPERM;
}

/* What the terminal asks. */

static struct process *caller(void)
{
    return process_self_or_null();
}

static int ops_signal_session(s32 session, int sig)
{
    TREE_GUARD();
    struct process *leader = process_find_locked(session);
    if (!leader || leader->state != PROCESS_ALIVE || leader->sid != session)
        return -ESRCH;
    signal_kernel_process(leader, sig);
    return 0;
}

static s32 ops_self_session(void)
{
    return caller() ? caller()->sid : 0;
}

static s32 ops_self_pgrp(void)
{
    return caller() ? caller()->pgid : 0;
}

static bool ops_self_is_leader(void)
{
    return caller() && caller()->sid == caller()->pid;
}

static bool ops_self_ignores(int sig)
{
    return !caller() || signal_self_ignores(sig);
}

static bool ops_pgrp_orphaned(s32 pgrp)
{
    TREE_GUARD();
    struct pid *group = pid_find_locked(pgrp);
    return !group || group_orphaned_locked(group, NULL);
}

static bool ops_pgrp_in_session(s32 pgrp, s32 session)
{
    TREE_GUARD();
    struct pid *group = pid_find_locked(pgrp);
    return group && !list_empty(&group->group) &&
           list_first(&group->group, struct process, group_link)->sid == session;
}

static struct tty *ops_self_tty(void)
{
    if (!caller())
        return NULL;
    TREE_GUARD();
    struct tty *tty = caller()->without_tty ? NULL : caller()->session->tty;
    if (tty)
        tty_get(tty);
    return tty;
}

static int ops_session_attach(struct tty *tty)
{
    struct process *p = caller();
    if (!p)
        return -EPERM;
    TREE_GUARD();
    if (p->sid != p->pid || p->session->tty)
        return -EPERM;
    tty_get(tty);
    p->session->tty = tty;
    return 0;
}

/* Takes its terminal from the session of @p. The reference goes to the caller. => tree lock. */
static struct tty *take_tty(struct process *p)
{
    struct tty *tty = p->session->tty;
    p->session->tty = NULL;
    return tty;
}

static void ops_self_detach(void)
{
    struct process *p = caller();
    struct tty *tty = NULL;
    if (!p)
        return;
    {
        TREE_GUARD();
        if (p->sid == p->pid)
            tty = take_tty(p);
        else
            p->without_tty = true;
    }
    if (tty)
        tty_put(tty);
}

static void ops_session_detach(s32 session, struct tty *tty)
{
    bool taken = false;
    {
        TREE_GUARD();
        struct process *leader = process_find_locked(session);
        if (leader && leader->session && leader->sid == session && leader->session->tty == tty) {
            take_tty(leader);
            taken = true;
        }
    }
    if (taken)
        tty_put(tty);
}

static bool ops_self_is_admin(void)
{
    return capable(CAP_SYS_ADMIN);
}

static const struct tty_proc_ops tty_ops = {
    .signal_pgrp = signal_kernel_pgrp,
    .signal_session = ops_signal_session,
    .self_session = ops_self_session,
    .self_pgrp = ops_self_pgrp,
    .self_is_leader = ops_self_is_leader,
    .self_ignores = ops_self_ignores,
    .pgrp_orphaned = ops_pgrp_orphaned,
    .pgrp_in_session = ops_pgrp_in_session,
    .self_tty = ops_self_tty,
    .session_attach = ops_session_attach,
    .self_detach = ops_self_detach,
    .session_detach = ops_session_detach,
    .self_is_admin = ops_self_is_admin,
};

void jobctl_leader_exit(struct process *p)
{
    struct tty *tty;
    {
        TREE_GUARD();
        tty = take_tty(p);
    }
    if (!tty)
        return;
    tty_session_ended(tty, p->sid);
    tty_put(tty);
}

void jobctl_init(void)
{
    tty_set_proc_ops(&tty_ops);
}
