/* wait(2): children that ended, stopped or went on. */
#include <linux/resource.h>
#include <linux/wait.h>

#include "core/sched.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "proc/proc_priv.h"

/* waitid(2) and wait4(2) speak of the same children. */
static bool matches(const struct wait_request *r, struct process *child)
{
    switch (r->type) {
    case P_PID:
        if (child->pid != r->id)
            return false;
        break;
    case P_PGID:
        if (child->pgid != (r->id ? r->id : process_self()->pgid))
            return false;
        break;
    }
    bool clone = child->exit_signal != SIGCHLD;
    return (r->options & __WALL) || clone == !!(r->options & __WCLONE);
}

static void fill(struct wait_result *out, struct process *child, int status, int code, int value)
{
    out->pid = child->pid;
    out->uid = process_cred_locked(child)->uid;
    out->status = status;
    out->code = code;
    out->value = value;
    usage_of_process(child, &out->usage);
    usage_add(&out->usage, &child->dead_children);
}

static void fill_zombie(struct wait_result *out, struct process *child)
{
    int status = child->exit_status, sig = status & 0x7f;
    fill(out, child, status, sig ? CLD_KILLED : CLD_EXITED, sig ? sig : status >> 8 & 0xff);
}

/* Stopped or continued children. Returns true when @child had something to report. */
static bool report_stop(const struct wait_request *r, struct wait_result *out,
                        struct process *child)
{
    SPIN_GUARD(&child->signal_lock);
    bool keep = r->options & WNOWAIT;
    if ((r->options & WUNTRACED) && child->stopped && child->stop_unreported) {
        child->stop_unreported = keep;
        fill(out, child, STATUS_STOPPED(child->stop_signal), CLD_STOPPED, child->stop_signal);
        return true;
    }
    if ((r->options & WCONTINUED) && child->continue_unreported) {
        child->continue_unreported = keep;
        fill(out, child, STATUS_CONTINUED, CLD_CONTINUED, SIGCONT);
        return true;
    }
    return false;
}

/*
 * Looks through the children. Returns 1 (reported), 0 (some match, none ready), -ECHILD.
 * *@reaped: to be put by the caller, outside the lock.
 */
static int scan(const struct wait_request *r, struct wait_result *out, struct process **reaped)
{
    struct process *self = process_self(), *child;
    int result = -ECHILD;
    TREE_GUARD();
    list_for_each_entry (child, &self->children, sibling) {
        if (!matches(r, child))
            continue;
        result = 0;
        if (child->state == PROCESS_ALIVE) {
            if ((r->options & (WUNTRACED | WCONTINUED)) && report_stop(r, out, child))
                return 1;
            continue;
        }
        if (!(r->options & WEXITED))
            continue;
        fill_zombie(out, child);
        if (!(r->options & WNOWAIT)) {
            usage_add(&self->dead_children, &out->usage);
            process_reap_locked(child);
            *reaped = child;
        }
        return 1;
    }
    return result;
}

static int wait_once(const struct wait_request *r, struct wait_result *out)
{
    struct process *reaped = NULL;
    int result = scan(r, out, &reaped);
    if (reaped) {
        procfs_process_gone(reaped);
        process_put(reaped);
    }
    return result;
}

int process_wait(const struct wait_request *request, struct wait_result *result)
{
    const unsigned known =
        WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | __WALL | __WCLONE | __WNOTHREAD;
    if ((request->options & ~known) || !(request->options & (WEXITED | WUNTRACED | WCONTINUED)) ||
        (request->type != P_ALL && request->type != P_PID && request->type != P_PGID) ||
        request->id < 0 || (request->type == P_PID && request->id == 0))
        return -EINVAL;
    memset(result, 0, sizeof(*result));
    int r = wait_once(request, result);
    if (r == 0 && !(request->options & WNOHANG)) {
        struct waiter waiter = {.thread = thread_self()};
        for (;;) {
            wait_prepare(&process_self()->child_wait, &waiter, THREAD_SLEEPING_INTR);
            r = wait_once(request, result);
            if (r == 0 && signal_pending())
                r = -ERESTARTSYS;
            if (r)
                break;
            schedule();
        }
        wait_finish(&waiter);
    }
    return MIN(r, 0);
}

int process_usage(int who, struct resource_usage *out)
{
    struct process *p = process_self();
    TREE_GUARD();
    switch (who) {
    case RUSAGE_SELF:
        usage_of_process(p, out);
        return 0;
    case RUSAGE_CHILDREN:
        *out = p->dead_children;
        return 0;
    case RUSAGE_THREAD:
        usage_of_thread(uthread_self(), out);
        out->max_resident = pmap_peak_resident(&thread_self()->aspace->pmap) << PAGE_SHIFT;
        return 0;
    }
    return -EINVAL;
}
