/*
 * Signals, the sending side: queues, who gets it, waking.
 *
 * A pending signal is a bit in a set, and usually an entry with its siginfo in the same queue's
 * list. Standard signals (below 32) are queued once; real-time ones each time, in order. When no
 * entry can be had a standard signal is still delivered, as SI_USER from nobody (Linux does the
 * same). Each thread has a queue and the process has one for signals that any thread may take.
 *
 * WORK_SIGNAL in thread->work is the summary that sleeps and the way back to user mode look at. It
 * is set here and taken back only by the thread itself, in signal_deliver(): so a call that slept
 * and returned -ERESTARTSYS always comes by there.
 *
 * Stop and continue. The thread that takes a stop signal sets group_stop and counts the others
 * (stop_pending); each stops on its way to user mode, the last one reports to the parent. SIGCONT
 * acts when it is sent: it cancels the stop and wakes everyone. SIGKILL starts the group's exit
 * when it is sent.
 */
#include "core/sched.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

struct signal_entry {
    struct list_node link;
    struct account *account; /* in which it counts, a reference */
    siginfo_t info;
};

static DEFINE_LOCK_CLASS(sighand_lock_class, "sighand");
static struct kmem_cache *entry_cache, *sighand_cache;

static struct sighand *sighand_alloc(void)
{
    struct sighand *s = kmem_cache_alloc(sighand_cache, 0);
    if (s) {
        s->refs = 1;
        spin_init(&s->lock, &sighand_lock_class);
    }
    return s;
}

struct sighand *sighand_create(void)
{
    struct sighand *s = sighand_alloc();
    if (s)
        memset(s->action, 0, sizeof(s->action));
    return s;
}

struct sighand *sighand_copy(struct sighand *from)
{
    struct sighand *s = sighand_alloc();
    if (!s)
        return NULL;
    SPIN_GUARD_IRQ(&from->lock);
    memcpy(s->action, from->action, sizeof(s->action));
    return s;
}

void sighand_put(struct sighand *s)
{
    if (atomic_sub(&s->refs, 1) == 0)
        kmem_cache_free(sighand_cache, s);
}

void signal_queue_init(struct signal_queue *q)
{
    q->set = 0;
    list_init(&q->infos);
}

static void entry_free(struct signal_entry *e)
{
    atomic_sub(&e->account->signals, 1);
    account_put(e->account);
    kmem_cache_free(entry_cache, e);
}

/* Takes everything in @set out of @q. */
static void queue_discard(struct signal_queue *q, u64 set)
{
    if (!(q->set & set))
        return;
    q->set &= ~set;
    struct signal_entry *e, *next;
    list_for_each_entry_safe (e, next, &q->infos, link) {
        if (SIGNAL_BIT(e->info.si_signo) & set) {
            list_remove(&e->link);
            entry_free(e);
        }
    }
}

void signal_queue_flush(struct signal_queue *q)
{
    queue_discard(q, ~0UL);
}

void signal_discard_locked(struct process *p, u64 set)
{
    queue_discard(&p->pending, set);
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link)
        queue_discard(&t->pending, set);
}

void signal_info_kernel(siginfo_t *info, int sig)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = sig;
    info->si_code = SI_KERNEL;
}

/* Takes the first @sig out of @q into @info. */
static void queue_take(struct signal_queue *q, int sig, siginfo_t *info)
{
    struct signal_entry *e, *found = NULL;
    bool more = false;
    list_for_each_entry (e, &q->infos, link) {
        if (e->info.si_signo != sig)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = e;
    }
    if (!more)
        q->set &= ~SIGNAL_BIT(sig);
    if (found) {
        *info = found->info;
        list_remove(&found->link);
        entry_free(found);
    } else {
        memset(info, 0, sizeof(*info));
        info->si_signo = sig;
        info->si_code = SI_USER;
    }
}

/* The signal of @set to be taken next: faults first, then by number (signal(7)). */
static int next_signal(u64 set)
{
    u64 faults = set & (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) |
                        SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS));
    return __builtin_ctzl(faults ? faults : set) + 1;
}

int signal_dequeue_locked(struct uthread *t, u64 set, siginfo_t *info)
{
    struct process *p = t->process;
    u64 own = t->pending.set & set, shared = p->pending.set & set;
    if (!own && !shared)
        return 0;
    int sig = next_signal(own ? own : shared);
    queue_take(own ? &t->pending : &p->pending, sig, info);
    return sig;
}

/* Makes @t look at its signals. */
static void poke(struct uthread *t)
{
    thread_set_work(&t->thread, WORK_SIGNAL);
    thread_wake_interruptible(&t->thread);
}

void signal_update_work(struct uthread *t)
{
    struct process *p = t->process;
    if (((t->pending.set | p->pending.set) & ~t->mask) || p->group_exit || t->stop_counted ||
        p->notify_parent)
        thread_set_work(&t->thread, WORK_SIGNAL);
}

void signal_kill_threads_locked(struct process *p, struct uthread *except)
{
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        if (t == except)
            continue;
        poke(t);
        thread_wake_stopped(&t->thread);
        if (READ_ONCE(t->killable))
            thread_wake(&t->thread);
    }
}

bool signal_ignored_locked(struct process *p, int sig)
{
    uvaddr_t handler = READ_ONCE(p->sighand->action[sig - 1].handler);
    return handler == SIGNAL_IGN ||
           (handler == SIGNAL_DFL && (SIGNAL_BIT(sig) & SIGNALS_IGNORED_BY_DEFAULT));
}

bool signal_self_ignores(int sig)
{
    struct uthread *t = uthread_self();
    return (t->mask & SIGNAL_BIT(sig)) ||
           READ_ONCE(t->process->sighand->action[sig - 1].handler) == SIGNAL_IGN;
}

static bool can_take(const struct uthread *t, int sig)
{
    return !t->exiting && (!(t->mask & SIGNAL_BIT(sig)) || (t->waiting_for & SIGNAL_BIT(sig)));
}

/* The thread that shall take process signal @sig: the caller if it can, else the first one. */
static struct uthread *choose_thread(struct process *p, int sig)
{
    struct thread *self = thread_self();
    if (self->is_user && uthread_of(self)->process == p && can_take(uthread_of(self), sig))
        return uthread_of(self);
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link)
        if (can_take(t, sig))
            return t;
    return NULL;
}

void signal_retarget_locked(struct process *p)
{
    for (u64 rest = p->pending.set; rest; rest &= rest - 1) {
        struct uthread *t = choose_thread(p, __builtin_ctzl(rest) + 1);
        if (t)
            poke(t);
    }
}

/* SIGCONT: a stop, under way or complete, is over. */
static void cancel_stop(struct process *p)
{
    signal_discard_locked(p, SIGNALS_STOPPING);
    if (!p->group_stop)
        return;
    if (p->stopped) {
        p->continue_unreported = true;
        p->notify_parent = CLD_CONTINUED;
    }
    p->group_stop = p->stopped = p->stop_unreported = false;
    p->stop_pending = 0;
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link) {
        t->stop_counted = false;
        poke(t);
        thread_wake_stopped(&t->thread);
    }
}

static void kill_now(struct process *p)
{
    if (p->group_exit && !p->exec_thread)
        return;
    p->group_exit = true;
    p->exec_thread = NULL;
    p->exit_status = STATUS_SIGNALED(SIGKILL);
    signal_kill_threads_locked(p, NULL);
}

/* True when @sig to @p (@t) would have no effect at all. */
static bool pointless(struct process *p, struct uthread *t, int sig, bool force)
{
    if (force)
        return false;
    const struct uthread *who = t ? t : process_first_thread(p);
    bool blocked = who && (who->mask & SIGNAL_BIT(sig));
    if (blocked && sig != SIGKILL && sig != SIGSTOP)
        return false;
    if (p == init_process && p->sighand->action[sig - 1].handler == SIGNAL_DFL)
        return true; /* PID 1 gets only what it has asked for */
    return signal_ignored_locked(p, sig);
}

/* Whether a signal from @info may be dropped silently when it cannot be queued. */
static bool must_queue(const siginfo_t *info)
{
    return info->si_signo >= SIGNAL_RT_MIN && info->si_code != SI_USER && info->si_code < 0;
}

/* 0, -EAGAIN. */
static int enqueue(struct process *p, struct signal_queue *q, const siginfo_t *info)
{
    struct uthread *owner = process_first_thread(p);
    struct account *account = owner ? owner->account : NULL;
    if (!account)
        return 0;
    u64 limit = READ_ONCE(p->limits[RLIMIT_SIGPENDING].soft);
    bool over = (u64)READ_ONCE(account->signals) >= limit && must_queue(info);
    struct signal_entry *e = over ? NULL : kmem_cache_alloc(entry_cache, PA_NOWAIT);
    if (!e) {
        if (must_queue(info))
            return -EAGAIN;
    } else {
        account_ref(account);
        atomic_add_relaxed(&account->signals, 1);
        e->account = account;
        e->info = *info;
        list_push_back(&q->infos, &e->link);
    }
    q->set |= SIGNAL_BIT(info->si_signo);
    return 0;
}

int signal_queue_locked(struct process *p, struct uthread *t, const siginfo_t *info, bool force)
{
    int sig = info->si_signo;
    u64 bit = SIGNAL_BIT(sig);
    if (list_empty(&p->threads) || (p->group_exit && sig != SIGKILL))
        return 0;
    if (sig == SIGCONT)
        cancel_stop(p);
    else if (bit & SIGNALS_STOPPING)
        signal_discard_locked(p, SIGNAL_BIT(SIGCONT));
    if (pointless(p, t, sig, force))
        return 0;
    if (sig == SIGKILL) {
        kill_now(p);
        return 0;
    }
    struct signal_queue *q = t ? &t->pending : &p->pending;
    if (sig < SIGNAL_RT_MIN && (q->set & bit))
        return 0;
    int r = enqueue(p, q, info);
    if (r)
        return r;
    struct uthread *target = t ? (can_take(t, sig) ? t : NULL) : choose_thread(p, sig);
    if (target)
        poke(target);
    return 0;
}

int signal_send_process(struct process *p, const siginfo_t *info)
{
    SPIN_GUARD_IRQ(&p->signal_lock);
    return signal_queue_locked(p, NULL, info, false);
}

int signal_send_thread(struct uthread *t, const siginfo_t *info)
{
    SPIN_GUARD_IRQ(&t->process->signal_lock);
    if (t->exiting)
        return 0;
    return signal_queue_locked(t->process, t, info, false);
}

void signal_kernel_process(struct process *p, int sig)
{
    siginfo_t info;
    signal_info_kernel(&info, sig);
    signal_send_process(p, &info);
}

void signal_kernel_thread(struct uthread *t, int sig)
{
    siginfo_t info;
    signal_info_kernel(&info, sig);
    signal_send_thread(t, &info);
}

int signal_kernel_pgrp(s32 pgrp, int sig)
{
    TREE_GUARD();
    struct pid *group = pid_find_locked(pgrp);
    if (!group || list_empty(&group->group))
        return -ESRCH;
    struct process *p;
    list_for_each_entry (p, &group->group, group_link)
        signal_kernel_process(p, sig);
    return 0;
}

void signal_force(const siginfo_t *info)
{
    struct uthread *t = uthread_self();
    struct process *p = t->process;
    u64 bit = SIGNAL_BIT(info->si_signo);
    SPIN_GUARD_IRQ(&p->signal_lock);
    bool blocked = t->mask & bit;
    {
        SPIN_GUARD(&p->sighand->lock);
        struct signal_action *action = &p->sighand->action[info->si_signo - 1];
        if (blocked || action->handler == SIGNAL_IGN)
            action->handler = SIGNAL_DFL;
    }
    t->mask &= ~bit;
    signal_queue_locked(p, t, info, true);
}

void signal_send_init(void)
{
    entry_cache = kmem_cache_create("signal", sizeof(struct signal_entry), 0);
    sighand_cache = kmem_cache_create("sighand", sizeof(struct sighand), 0);
}
