/* Looking at processes from outside: what /proc and other calls report about them. */
#include <linux/capability.h>
#include <linux/resource.h>

#include "core/sched.h"
#include "dev/tty.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "proc/proc_priv.h"

/* Thread @tid of @p, 0: any. => process_tree_lock. */
static struct uthread *find_thread(struct process *p, s32 tid)
{
    struct uthread *t;
    if (!tid)
        return process_first_thread(p);
    list_for_each_entry (t, &p->threads, link)
        if (t->tid == tid)
            return t;
    return NULL;
}

static char state_letter(const struct process *p, const struct uthread *t)
{
    if (!t)
        return p->state == PROCESS_REAPED ? 'X' : 'Z';
    switch (READ_ONCE(t->thread.state)) {
    case THREAD_SLEEPING:
        return 'D';
    case THREAD_SLEEPING_INTR:
        return 'S';
    case THREAD_STOPPED:
        return 'T';
    case THREAD_DEAD:
        return 'X';
    default:
        return 'R';
    }
}

static void fill_cred(struct process_info *out, const struct cred *c)
{
    out->uid = c->uid;
    out->euid = c->euid;
    out->suid = c->suid;
    out->fsuid = c->fsuid;
    out->gid = c->gid;
    out->egid = c->egid;
    out->sgid = c->sgid;
    out->fsgid = c->fsgid;
    out->cap_inheritable = c->cap_inheritable;
    out->cap_permitted = c->cap_permitted;
    out->cap_effective = c->cap_effective;
    out->cap_bounding = c->cap_bounding;
    out->cap_ambient = c->cap_ambient;
    out->no_new_privs = c->no_new_privs;
}

static void fill_signals(struct process_info *out, struct process *p, const struct uthread *t)
{
    SPIN_GUARD(&p->signal_lock);
    out->shared_pending = p->pending.set;
    if (t) {
        out->pending = t->pending.set;
        out->blocked = t->mask;
        out->signals_queued = (u32)READ_ONCE(t->account->signals);
    }
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        uvaddr_t handler = p->sighand->action[i].handler;
        if (handler == SIGNAL_IGN)
            out->ignored |= 1UL << i;
        else if (handler != SIGNAL_DFL)
            out->caught |= 1UL << i;
    }
}

static void fill_thread(struct process_info *out, const struct uthread *t)
{
    out->tid = t->tid;
    out->nice = (s32)t->thread.nice - 20;
    out->cpu = t->thread.cpu ? t->thread.cpu->id : 0;
    out->allowed_cpus = t->thread.allowed_cpus;
    out->wait_what = READ_ONCE(t->thread.wait_what);
    memcpy(out->name, t->thread.name, sizeof(out->name));
}

/* Everything but the terminal, to which a reference is returned. -ESRCH. */
static int snapshot(struct process *p, s32 tid, struct process_info *out, struct tty **tty)
{
    TREE_GUARD();
    struct uthread *t = find_thread(p, tid);
    if ((tid && !t) || p->state == PROCESS_REAPED)
        return -ESRCH;
    out->pid = out->tid = p->pid;
    out->ppid = p->ppid;
    out->pgid = p->pgid;
    out->sid = p->sid;
    out->state = state_letter(p, t);
    out->threads = p->thread_count;
    out->exit_signal = p->exit_signal;
    out->exit_status = p->state == PROCESS_ZOMBIE ? p->exit_status : 0;
    out->start_ns = p->start_ns;
    out->children = p->dead_children;
    if (tid)
        usage_of_thread(t, &out->usage);
    else
        usage_of_process(p, &out->usage);
    memcpy(out->name, p->zombie_name, sizeof(out->name));
    if (t)
        fill_thread(out, t);
    fill_cred(out, process_cred_locked(p));
    fill_signals(out, p, t);
    *tty = p->without_tty ? NULL : p->session->tty;
    if (*tty)
        tty_get(*tty);
    return 0;
}

int process_info_get(struct process *p, s32 tid, struct process_info *out)
{
    struct tty *tty = NULL;
    memset(out, 0, sizeof(*out));
    int r = snapshot(p, tid, out, &tty);
    out->tty_pgrp = -1;
    if (tty) {
        out->tty_dev = tty_dev(tty);
        out->tty_pgrp = tty_pgrp(tty);
        tty_put(tty);
    }
    return r;
}

struct aspace *process_aspace_get(struct process *p)
{
    TREE_GUARD();
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        if (t->thread.aspace) {
            aspace_get(t->thread.aspace);
            return t->thread.aspace;
        }
    }
    return NULL;
}

struct fdtable *process_fdtable_get(struct process *p)
{
    TREE_GUARD();
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        if (t->fds) {
            fdtable_get(t->fds);
            return t->fds;
        }
    }
    return NULL;
}

struct fs_context *process_fs_get(struct process *p)
{
    TREE_GUARD();
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        if (t->thread.fs) {
            atomic_add_relaxed(&t->thread.fs->refs, 1);
            return t->thread.fs;
        }
    }
    return NULL;
}

struct cred *process_cred_get(struct process *p)
{
    TREE_GUARD();
    struct uthread *t = process_first_thread(p);
    struct cred *c = t ? t->thread.cred : p->zombie_cred;
    cred_get(c);
    return c;
}

struct file *process_exe_get(struct process *p)
{
    TREE_GUARD();
    if (p->exe)
        file_get(p->exe);
    return p->exe;
}

int process_backtrace(struct process *p, s32 tid, vaddr_t *pcs, unsigned max)
{
    TREE_GUARD();
    struct uthread *t = find_thread(p, tid);
    if (!t)
        return -ESRCH;
    if (&t->thread == thread_self() || READ_ONCE(t->thread.on_cpu))
        return 0;
    return (int)backtrace_collect(&t->thread, pcs, max);
}

/* ptrace(2), "Ptrace access mode checking", for a caller with these ids and capabilities. */
static bool may_access(struct process *p, u32 uid, u32 gid, u64 caps)
{
    if (p == process_self_or_null() || capable(CAP_SYS_PTRACE))
        return true;
    TREE_GUARD();
    const struct cred *c = process_cred_locked(p);
    return READ_ONCE(p->dumpable) && uid == c->uid && uid == c->euid && uid == c->suid &&
           gid == c->gid && gid == c->egid && gid == c->sgid && !(c->cap_permitted & ~caps);
}

bool process_may_inspect(struct process *p)
{
    const struct cred *me = cred_current();
    return may_access(p, me->fsuid, me->fsgid, me->cap_effective);
}

bool process_may_attach(struct process *p)
{
    const struct cred *me = cred_current();
    return may_access(p, me->uid, me->gid, me->cap_permitted);
}

/* Calls @fn for every thread that (@which, @who) names. -ESRCH when there is none. */
static int for_priority(int which, s32 who, int (*fn)(struct uthread *t, int sofar, int arg),
                        int arg)
{
    int r = -ESRCH;
    u32 uid = who ? (u32)who : cred_current()->uid;
    s32 pgid = who ? who : process_self()->pgid;
    s32 tid = who ? who : uthread_self()->tid;
    if (which != PRIO_PROCESS && which != PRIO_PGRP && which != PRIO_USER)
        return -EINVAL;
    TREE_GUARD();
    for (struct pid *pid = pid_next_locked(1); pid; pid = pid_next_locked(pid->nr + 1)) {
        struct uthread *t = pid->thread;
        if (!t || (which == PRIO_PROCESS && t->tid != tid) ||
            (which == PRIO_PGRP && t->process->pgid != pgid) ||
            (which == PRIO_USER && t->thread.cred->uid != uid))
            continue;
        r = fn(t, r, arg);
    }
    return r;
}

static int read_priority(struct uthread *t, int sofar, int arg)
{
    return MAX(sofar, 20 - ((int)t->thread.nice - 20));
}

int process_priority_get(int which, s32 who)
{
    return for_priority(which, who, read_priority, 0);
}

static bool same_owner(const struct cred *other)
{
    const struct cred *me = cred_current();
    return me->euid == other->uid || me->euid == other->euid;
}

static int write_priority(struct uthread *t, int sofar, int nice)
{
    u64 limit = MIN(READ_ONCE(t->process->limits[RLIMIT_NICE].soft), 40UL);
    if (!same_owner(t->thread.cred) && !capable(CAP_SYS_NICE))
        return -EPERM;
    if (nice < (int)t->thread.nice - 20 && (u64)(20 - nice) > limit && !capable(CAP_SYS_NICE))
        return -EACCES;
    thread_set_nice(&t->thread, nice);
    return sofar == -ESRCH ? 0 : sofar;
}

int process_priority_set(int which, s32 who, int nice)
{
    return for_priority(which, who, write_priority, MIN(MAX(nice, -20), 19));
}

/* Thread @tid of the whole system, 0: the caller. => process_tree_lock. */
static struct uthread *any_thread(s32 tid)
{
    if (!tid)
        return uthread_self();
    struct pid *pid = pid_find_locked(tid);
    return pid ? pid->thread : NULL;
}

int process_affinity_get(s32 tid, u64 *cpus)
{
    TREE_GUARD();
    struct uthread *t = any_thread(tid);
    if (!t)
        return -ESRCH;
    *cpus = t->thread.allowed_cpus & READ_ONCE(cpu_online_mask);
    return 0;
}

int process_affinity_set(s32 tid, u64 cpus)
{
    {
        TREE_GUARD();
        struct uthread *t = any_thread(tid);
        if (!t)
            return -ESRCH;
        if (!same_owner(t->thread.cred) && !capable(CAP_SYS_NICE))
            return -EPERM;
        if (t != uthread_self())
            return thread_set_affinity(&t->thread, cpus);
    }
    return thread_set_affinity(thread_self(), cpus); /* may have to move: not under a spinlock */
}
