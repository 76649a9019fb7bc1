/*
 * The end of threads and processes.
 *
 * A thread that ends gives back, in this order, what needs its memory (robust mutexes, the join
 * word), then the memory, then descriptors and directories, and at last takes itself out of its
 * process. The process's last thread besides hangs up the terminal of a session it leads, hands the
 * children to a reaper and turns the process into a zombie, or takes it out at once when the
 * parent does not care. The scheduler frees the thread when it is off its CPU.
 *
 * Which thread is the last is decided early (live_threads, under signal_lock), so that what only
 * the last one does, while it can still sleep, is done exactly once; that another thread may reach
 * the end of its own exit later is harmless: the zombie is made by whoever empties the list.
 */
#include "core/log.h"
#include "core/sched.h"
#include "dev/dev.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "proc/futex.h"
#include "proc/proc_priv.h"

void usage_add(struct resource_usage *to, const struct resource_usage *from)
{
    to->user_ns += from->user_ns;
    to->system_ns += from->system_ns;
    to->minor_faults += from->minor_faults;
    to->major_faults += from->major_faults;
    to->switches_voluntary += from->switches_voluntary;
    to->switches_involuntary += from->switches_involuntary;
    to->max_resident = MAX(to->max_resident, from->max_resident);
}

void usage_of_thread(struct uthread *t, struct resource_usage *out)
{
    *out = (struct resource_usage){
        .minor_faults = READ_ONCE(t->thread.faults_minor),
        .major_faults = READ_ONCE(t->thread.faults_major),
        .switches_voluntary = READ_ONCE(t->thread.switches_voluntary),
        .switches_involuntary = READ_ONCE(t->thread.switches_involuntary),
    };
    uthread_cpu_time(t, &out->user_ns, &out->system_ns);
}

void usage_of_process(struct process *p, struct resource_usage *out)
{
    *out = p->dead_threads;
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        struct resource_usage one;
        usage_of_thread(t, &one);
        if (t->thread.aspace)
            one.max_resident = pmap_peak_resident(&t->thread.aspace->pmap) << PAGE_SHIFT;
        usage_add(out, &one);
    }
}

void process_vfork_done(struct process *p)
{
    if (!READ_ONCE(p->vforking))
        return;
    store_release(&p->vforking, false);
    waitq_wake_all(&p->vfork_wait);
}

/* PID 1 is gone: so is the reason to run. */
static void __noreturn shut_down(int status)
{
    int code = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
    if (status & 0x7f)
        log_warn("init was killed by signal %d", status & 0x7f);
    vfs_shutdown();
    dev_shutdown();
    machine_poweroff(code);
}

/* Marks the caller as on its way out. Returns true for the last one of its process. */
static bool begin_exit(struct uthread *t, int status)
{
    struct process *p = t->process;
    bool stop_complete = false, last;
    {
        SPIN_GUARD_IRQ(&p->signal_lock);
        t->exiting = true;
        last = --p->live_threads == 0;
        if (last && !p->group_exit) {
            p->group_exit = true;
            p->exit_status = status;
        }
        if (t->stop_counted) {
            t->stop_counted = false;
            stop_complete = --p->stop_pending == 0 && !last;
            p->stopped = p->stop_unreported = stop_complete;
        }
        if (!last && p->pending.set)
            signal_retarget_locked(p);
    }
    if (stop_complete)
        process_notify_stop(p, CLD_STOPPED);
    return last;
}

/* Gives up address space, descriptors, directories. */
static void release_resources(struct uthread *t)
{
    struct aspace *as;
    struct fdtable *fds;
    struct fs_context *fs;
    {
        TREE_GUARD(); /* /proc takes references to them under it */
        as = t->thread.aspace;
        fds = t->fds;
        fs = t->thread.fs;
        if (as)
            t->process->dead_threads.max_resident = MAX(
                t->process->dead_threads.max_resident, pmap_peak_resident(&as->pmap) << PAGE_SHIFT);
        t->fds = NULL;
        t->thread.fs = NULL;
        aspace_switch(NULL);
    }
    if (as)
        aspace_put(as);
    process_vfork_done(t->process);
    fdtable_put(fds);
    fs_context_put(fs);
}

/* What the last thread does while it may still sleep. */
static void release_process(struct process *p)
{
    struct file *exe;
    if (p->session->id == p->pid)
        jobctl_leader_exit(p);
    {
        TREE_GUARD();
        exe = p->exe;
        p->exe = NULL;
    }
    if (exe) {
        inode_allow_write(exe->inode);
        file_put(exe);
    }
}

/* Who takes @p's children: the nearest ancestor that asked for it, else PID 1. */
static struct process *find_reaper(struct process *p)
{
    for (struct process *a = p->parent; a != init_process; a = a->parent)
        if (a->is_subreaper && a->state == PROCESS_ALIVE && !a->group_exit)
            return a;
    return init_process;
}

/* The information that SIGCHLD carries. */
static void child_info(siginfo_t *info, struct process *p, int code, int value)
{
    struct resource_usage usage;
    usage_of_process(p, &usage);
    memset(info, 0, sizeof(*info));
    info->si_signo = SIGCHLD;
    info->si_code = code;
    info->si_pid = p->pid;
    info->si_uid = process_cred_locked(p)->uid;
    info->si_status = value;
    info->si_utime = (long)(usage.user_ns / (NSEC_PER_SEC / 100));
    info->si_stime = (long)(usage.system_ns / (NSEC_PER_SEC / 100));
}

/* Tells @p's parent of its end. Returns true when nobody will wait for it. => tree lock. */
static bool notify_exit(struct process *p)
{
    struct process *parent = p->parent;
    bool unwanted = false, send = p->exit_signal != 0;
    siginfo_t info;
    int sig = p->exit_status & 0x7f;
    if (send)
        child_info(&info, p, sig ? CLD_KILLED : CLD_EXITED, sig ? sig : p->exit_status >> 8 & 0xff);
    {
        SPIN_GUARD(&parent->signal_lock);
        struct signal_action action = parent->sighand->action[SIGCHLD - 1];
        if (p->exit_signal == SIGCHLD) {
            unwanted = action.handler == SIGNAL_IGN || (action.flags & SA_NOCLDWAIT);
            send = action.handler != SIGNAL_IGN;
        }
        if (send) {
            info.si_signo = p->exit_signal;
            signal_queue_locked(parent, NULL, &info, false);
        }
    }
    waitq_wake_all(&parent->child_wait);
    return unwanted;
}

/* Hands the children over. Zombies that the reaper does not want are collected in @reaped. */
static void reparent_children(struct process *p, struct list_node *reaped)
{
    if (list_empty(&p->children))
        return;
    struct process *reaper = find_reaper(p), *child, *next;
    list_for_each_entry_safe (child, next, &p->children, sibling) {
        list_remove(&child->sibling);
        list_push_back(&reaper->children, &child->sibling);
        child->parent = reaper;
        WRITE_ONCE(child->ppid, reaper->pid);
        if (child->pdeath_signal)
            signal_kernel_process(child, child->pdeath_signal);
        child->exit_signal = SIGCHLD;
        if (child->state == PROCESS_ZOMBIE && notify_exit(child)) {
            process_reap_locked(child);
            list_push_back(reaped, &child->sibling);
        } else {
            jobctl_orphans_locked(child, p);
        }
    }
}

void process_reap_locked(struct process *p)
{
    struct pid *pid = p->pid_ref;
    p->state = PROCESS_REAPED;
    list_remove(&p->sibling);
    group_leave_locked(p);
    session_put_locked(p->session);
    p->session = NULL;
    pid->process = NULL;
    pid_put_locked(pid, 1);
}

/* Takes @t out of its process. => tree lock. */
static void unlink_thread(struct uthread *t)
{
    struct process *p = t->process;
    struct resource_usage usage;
    usage_of_thread(t, &usage);
    usage_add(&p->dead_threads, &usage);
    {
        SPIN_GUARD(&p->signal_lock);
        list_remove(&t->link);
        p->thread_count--;
        signal_queue_flush(&t->pending);
    }
    t->pid->thread = NULL;
    pid_put_locked(t->pid, 1);
    t->pid = NULL;
    if (p->exec_thread)
        waitq_wake_all(&p->exec_wait);
}

/* The process has no thread any more. => tree lock. */
static void become_zombie(struct process *p, struct cred *cred, struct list_node *reaped)
{
    memcpy(p->zombie_name, thread_self()->name, sizeof(p->zombie_name));
    p->zombie_cred = cred;
    reparent_children(p, reaped);
    jobctl_orphans_locked(p, p->parent);
    p->state = PROCESS_ZOMBIE;
    if (notify_exit(p)) {
        process_reap_locked(p);
        list_push_back(reaped, &p->sibling);
    }
}

static void leave_tables(struct uthread *t)
{
    struct process *p = t->process;
    struct cred *cred = t->thread.cred;
    struct list_node reaped;
    list_init(&reaped);
    {
        TREE_GUARD();
        unlink_thread(t);
        t->thread.cred = NULL;
        if (list_empty(&p->threads)) {
            become_zombie(p, cred, &reaped);
            cred = NULL;
        }
    }
    if (cred)
        cred_put(cred);
    struct process *dead, *next;
    list_for_each_entry_safe (dead, next, &reaped, sibling) {
        list_remove(&dead->sibling);
        procfs_process_gone(dead);
        process_put(dead);
    }
}

void do_exit(int status)
{
    struct uthread *t = uthread_self();
    struct process *p = t->process;
    bool last = begin_exit(t, status);
    if (last) {
        itimer_process_exit(p);
        if (p == init_process)
            shut_down(p->exit_status);
    }
    futex_thread_exit(t);
    release_resources(t);
    if (last)
        release_process(p);
    atomic_sub(&t->account->threads, 1);
    struct account *account = t->account;
    leave_tables(t);
    account_put(account);
    thread_exit();
}

void thread_exit_user(int code)
{
    do_exit(STATUS_EXITED(code));
}

/* Starts the exit of all threads; the first to ask decides the status. */
static void __noreturn group_exit(int status)
{
    struct process *p = process_self();
    {
        SPIN_GUARD_IRQ(&p->signal_lock);
        if (!p->group_exit) {
            p->group_exit = true;
            p->exit_status = status;
            if (p->live_threads > 1)
                signal_kill_threads_locked(p, uthread_self());
        }
    }
    do_exit(status);
}

void process_exit(int code)
{
    group_exit(STATUS_EXITED(code));
}

void process_exit_signal(int sig)
{
    group_exit(STATUS_SIGNALED(sig));
}

void process_notify_stop(struct process *p, int code)
{
    TREE_GUARD();
    struct process *parent = p->parent;
    siginfo_t info;
    if (p->state != PROCESS_ALIVE || list_empty(&p->threads))
        return;
    child_info(&info, p, code, code == CLD_STOPPED ? p->stop_signal : SIGCONT);
    {
        SPIN_GUARD(&parent->signal_lock);
        struct signal_action *action = &parent->sighand->action[SIGCHLD - 1];
        if (action->handler != SIGNAL_IGN && !(action->flags & SA_NOCLDSTOP))
            signal_queue_locked(parent, NULL, &info, false);
    }
    waitq_wake_all(&parent->child_wait);
}

/* The caller gets the number of its process, as the first thread has it. => tree lock. */
static void take_over_pid(struct uthread *t)
{
    struct process *p = t->process;
    if (t->pid == p->pid_ref)
        return;
    t->pid->thread = NULL;
    pid_put_locked(t->pid, 1);
    t->pid = p->pid_ref;
    t->pid->users++;
    t->pid->thread = t;
    t->tid = p->pid;
}

int process_single_thread(void)
{
    struct uthread *t = uthread_self();
    struct process *p = t->process;
    if (READ_ONCE(p->thread_count) > 1) {
        {
            SPIN_GUARD_IRQ(&p->signal_lock);
            if (p->group_exit)
                return -EINTR;
            p->exec_thread = t;
            p->group_exit = true;
            signal_kill_threads_locked(p, t);
        }
        wait_event(&p->exec_wait, READ_ONCE(p->thread_count) == 1);
        SPIN_GUARD_IRQ(&p->signal_lock);
        if (p->exec_thread != t)
            return -EINTR; /* SIGKILL came in between */
        p->exec_thread = NULL;
        p->group_exit = false;
    }
    TREE_GUARD();
    take_over_pid(t);
    return 0;
}
