/*
 * fork, vfork, clone: making processes and threads.
 *
 * Everything the child needs is allocated and copied first, out of sight. Then, under
 * process_tree_lock, a last look whether a signal came (the call is then restarted, so a signal to
 * the group never misses a child that is just being made), and the child is linked in, which cannot
 * fail. CLONE_VFORK's parent then sleeps until the child execs or exits, or the parent is killed.
 */
#include <linux/capability.h>
#include <linux/sched.h>

#include "arch/trapframe.h"
#include "core/sched.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "mm/slab.h"
#include "mm/usercopy.h"
#include "proc/clone.h"
#include "proc/proc_priv.h"

#define CLONE_ACCEPTED                                                                \
    (CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | \
     CLONE_PARENT | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |         \
     CLONE_CHILD_CLEARTID | CLONE_CLEAR_SIGHAND | CLONE_SYSVSEM | CLONE_IO | CLONE_DETACHED)

static int check_request(const struct clone_request *r)
{
    u64 f = r->flags;
    if (f & ~(u64)CLONE_ACCEPTED)
        return -EINVAL;
    if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
        return -EINVAL;
    if ((f & CLONE_SIGHAND) && (!(f & CLONE_VM) || (f & CLONE_CLEAR_SIGHAND)))
        return -EINVAL;
    if ((f & CLONE_PARENT) && process_self() == init_process)
        return -EINVAL; /* a sibling of PID 1 could not be waited for */
    if (r->exit_signal < 0 || r->exit_signal > SIGNAL_COUNT)
        return -EINVAL;
    return 0;
}

/* First kernel function of every user thread but PID 1's. */
static void user_thread_start(void *arg)
{
    struct uthread *t = uthread_self();
    if (t->set_child_tid)
        PUT_USER(t->set_child_tid, t->tid);
    arch_enter_user();
}

/* Gives @t its own or shared aspace, descriptors, directories. 0, -ENOMEM. */
static int copy_resources(struct uthread *t, struct uthread *self, u64 flags)
{
    if (flags & CLONE_FILES)
        fdtable_get(t->fds = self->fds);
    else if (!(t->fds = fdtable_copy(self->fds)))
        return -ENOMEM;
    if (flags & CLONE_FS) {
        t->thread.fs = self->thread.fs;
        atomic_add_relaxed(&t->thread.fs->refs, 1);
    } else if (!(t->thread.fs = fs_context_copy(self->thread.fs))) {
        return -ENOMEM;
    }
    if (flags & CLONE_VM) {
        aspace_get(t->thread.aspace = self->thread.aspace);
        return 0;
    }
    int r = aspace_fork(self->thread.aspace, &t->thread.aspace);
    if (r == 0)
        t->thread.aspace->no_superpages = self->thread.aspace->no_superpages;
    return r;
}

/* What a thread inherits that needs no allocation. */
static void inherit(struct uthread *t, struct uthread *self, const struct clone_request *r)
{
    t->thread.cred = self->thread.cred;
    cred_get(t->thread.cred);
    t->thread.nice = self->thread.nice;
    t->thread.allowed_cpus = self->thread.allowed_cpus;
    t->mask = self->mask;
    if (!(r->flags & CLONE_VM) || (r->flags & CLONE_VFORK))
        t->altstack = self->altstack;
    t->set_child_tid = r->flags & CLONE_CHILD_SETTID ? r->child_tid : 0;
    t->clear_child_tid = r->flags & CLONE_CHILD_CLEARTID ? r->child_tid : 0;
    t->account = self->account;
    account_ref(t->account);
    atomic_add_relaxed(&t->account->threads, 1);

    struct trapframe *tf = arch_user_frame(&t->thread);
    *tf = *arch_user_frame(&self->thread);
    tf_set_result(tf, 0);
    if (r->stack)
        tf_set_sp(tf, r->stack);
    if (r->flags & CLONE_SETTLS)
        tf_set_tls(tf, r->tls);
    arch_fpu_copy(&t->thread, &self->thread);
}

/* The new process object of a fork. NULL: out of memory. */
static struct process *copy_process(struct process *from, const struct clone_request *r)
{
    struct process *p = process_create();
    if (!p)
        return NULL;
    if (r->flags & CLONE_SIGHAND) {
        p->sighand = from->sighand;
        atomic_add_relaxed(&p->sighand->refs, 1);
    } else if (!(p->sighand = sighand_copy(from->sighand))) {
        process_put(p);
        return NULL;
    }
    if (r->flags & CLONE_CLEAR_SIGHAND)
        for (unsigned i = 0; i < SIGNAL_COUNT; i++)
            if (p->sighand->action[i].handler != SIGNAL_IGN)
                p->sighand->action[i] = (struct signal_action){0};
    memcpy(p->limits, from->limits, sizeof(p->limits));
    p->exit_signal = r->exit_signal;
    p->dumpable = READ_ONCE(from->dumpable);
    p->oom_score_adj = READ_ONCE(from->oom_score_adj);
    p->oom_score_adj_min = READ_ONCE(from->oom_score_adj_min);
    p->vforking = r->flags & CLONE_VFORK;
    return p;
}

/* Undoes a thread that was not published. @p: its new process, or NULL. */
static void discard(struct uthread *t, struct process *p, struct pid *pid)
{
    if (pid) {
        TREE_GUARD();
        pid_put_locked(pid, pid->users);
    }
    if (p) {
        if (p->exe) {
            inode_allow_write(p->exe->inode);
            file_put(p->exe);
        }
        process_put(p);
    }
    if (t->account) {
        atomic_sub(&t->account->threads, 1);
        account_put(t->account);
    }
    if (t->thread.cred)
        cred_put(t->thread.cred);
    if (t->fds)
        fdtable_put(t->fds);
    if (t->thread.fs)
        fs_context_put(t->thread.fs);
    if (t->thread.aspace)
        aspace_put(t->thread.aspace);
    if (t->thread.stack_base)
        thread_fini(&t->thread);
    uthread_free(t);
}

/* Links @t into @p. => process_tree_lock. */
static void link_thread(struct uthread *t, struct process *p, struct pid *pid)
{
    t->process = p;
    t->pid = pid;
    t->tid = pid->nr;
    pid->thread = t;
    SPIN_GUARD(&p->signal_lock);
    list_push_back(&p->threads, &t->link);
    p->thread_count++;
    p->live_threads++;
}

/* Links new process @p under @parent. => process_tree_lock. */
static void link_process(struct process *p, struct pid *pid, struct process *parent,
                         struct process *kin)
{
    p->pid = pid->nr;
    p->pid_ref = pid;
    pid->process = p;
    p->parent = parent;
    WRITE_ONCE(p->ppid, parent->pid);
    list_push_back(&parent->children, &p->sibling);
    p->session = kin->session;
    p->session->refs++;
    p->sid = kin->sid;
    p->without_tty = kin->without_tty;
    group_join_locked(p, kin->group);
}

/* Makes the child visible, or says -ERESTARTNOINTR: a signal came first. */
static int publish(struct uthread *t, struct process *p, struct pid *pid, bool sibling)
{
    struct process *self = process_self();
    TREE_GUARD();
    if (signal_pending())
        return -ERESTARTNOINTR;
    if (p) {
        if (sibling)
            p->exit_signal = self->exit_signal;
        link_process(p, pid, sibling ? self->parent : self, self);
        link_thread(t, p, pid);
    } else {
        link_thread(t, self, pid);
    }
    process_get(t->process);
    return 0;
}

/* The vfork parent's wait for @p, whose reference it holds. */
static void vfork_wait(struct process *p)
{
    struct uthread *self = uthread_self();
    WRITE_ONCE(self->killable, true);
    wait_event(&p->vfork_wait, !READ_ONCE(p->vforking) || signal_fatal_pending());
    WRITE_ONCE(self->killable, false);
    process_put(p);
}

/* Builds the child. 0, or -errno and the caller discards. */
static int build(struct uthread *t, struct process **p, struct pid **pid,
                 const struct clone_request *r)
{
    struct uthread *self = uthread_self();
    bool thread = r->flags & CLONE_THREAD;
    int error = thread_init(&t->thread, self->thread.name, user_thread_start, NULL);
    if (error)
        return error;
    inherit(t, self, r);
    if (!thread) {
        *p = copy_process(self->process, r);
        if (!*p)
            return -ENOMEM;
        (*p)->exe = process_exe_get(self->process);
        if ((*p)->exe && inode_deny_write((*p)->exe->inode) != 0) {
            file_put((*p)->exe);
            (*p)->exe = NULL;
        }
    }
    error = copy_resources(t, self, r->flags);
    return error ? error : pid_alloc(thread ? 1 : 2, pid);
}

int process_clone(const struct clone_request *request)
{
    int r = check_request(request);
    if (r == 0)
        r = account_check_threads(uthread_self()->account);
    if (r)
        return r;
    struct uthread *t = uthread_create();
    if (!t)
        return -ENOMEM;
    struct process *p = NULL;
    struct pid *pid = NULL;
    r = build(t, &p, &pid, request);
    if (r == 0) {
        if (request->flags & CLONE_PARENT_SETTID)
            PUT_USER(request->parent_tid, pid->nr);
        r = publish(t, p, pid, request->flags & CLONE_PARENT);
    }
    if (r) {
        discard(t, p, pid);
        return r;
    }
    s32 id = pid->nr;
    bool vfork = p && (request->flags & CLONE_VFORK);
    if (vfork)
        process_get(p);
    thread_start(&t->thread);
    if (vfork)
        vfork_wait(p);
    return id;
}

int process_unshare(u64 flags)
{
    struct uthread *self = uthread_self();
    if (flags &
        ~(u64)(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM))
        return -EINVAL;
    if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) &&
        READ_ONCE(self->process->thread_count) > 1)
        return -EINVAL;
    struct fdtable *fds = NULL;
    struct fs_context *fs = NULL;
    if ((flags & CLONE_FILES) && READ_ONCE(self->fds->refs) > 1 && !(fds = fdtable_copy(self->fds)))
        return -ENOMEM;
    if ((flags & CLONE_FS) && READ_ONCE(self->thread.fs->refs) > 1 &&
        !(fs = fs_context_copy(self->thread.fs))) {
        if (fds)
            fdtable_put(fds);
        return -ENOMEM;
    }
    {
        TREE_GUARD(); /* /proc takes references to both under it */
        struct fdtable *old_fds = self->fds;
        struct fs_context *old_fs = self->thread.fs;
        if (fds)
            self->fds = fds;
        if (fs)
            self->thread.fs = fs;
        fds = fds ? old_fds : NULL;
        fs = fs ? old_fs : NULL;
    }
    if (fds)
        fdtable_put(fds);
    if (fs)
        fs_context_put(fs);
    return 0;
}

/* PID 1's own pieces: nothing to copy from. */
static int build_init(struct uthread *t, struct process *p, void (*entry)(void *))
{
    int r = thread_init(&t->thread, "init", entry, NULL);
    if (r)
        return r;
    t->thread.cred = cred_root();
    t->account = account_get(0);
    if (!t->account)
        return -ENOMEM;
    atomic_add_relaxed(&t->account->threads, 1);
    t->fds = fdtable_create();
    t->thread.fs = fs_context_copy(NULL);
    p->sighand = sighand_create();
    p->session = kzalloc(sizeof(*p->session), 0);
    if (!t->fds || !t->thread.fs || !p->sighand || !p->session)
        return -ENOMEM;
    struct page_stats pages;
    page_get_stats(&pages);
    rlimit_defaults(p->limits, pages.total);
    return 0;
}

/* PID 1 starts in group and session 0, which no setpgid(2) can reach: so it can call setsid(2), as
 * on Linux. */
static struct pid kernel_group = {.users = 1, .group = LIST_INIT(kernel_group.group)};

int process_spawn_init(void (*entry)(void *))
{
    struct uthread *t = uthread_create();
    struct process *p = process_create();
    struct pid *pid = NULL;
    if (!t || !p || build_init(t, p, entry) != 0 || pid_alloc(2, &pid) != 0)
        return -ENOMEM; /* the machine stops then: nothing to tidy up for */
    TREE_GUARD();
    init_process = p;
    *p->session = (struct session){.refs = 1, .id = 0, .pid = &kernel_group};
    kernel_group.users++;
    p->pid = pid->nr;
    p->pid_ref = pid;
    p->parent = p;
    pid->process = p;
    group_join_locked(p, &kernel_group);
    link_thread(t, p, pid);
    process_get(p);
    thread_start(&t->thread);
    return 0;
}
