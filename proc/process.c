/* Processes and user threads as objects: memory, references, look-ups. */
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

static DEFINE_LOCK_CLASS(tree_lock_class, "process_tree");
static DEFINE_LOCK_CLASS(signal_lock_class, "signal");
static DEFINE_LOCK_CLASS(limits_lock_class, "rlimits");

struct spinlock process_tree_lock = SPINLOCK_INIT(tree_lock_class);
struct process *init_process;

static struct kmem_cache *process_cache, *uthread_cache;

struct process *process_create(void)
{
    struct process *p = kmem_cache_alloc(process_cache, PA_ZERO);
    if (!p)
        return NULL;
    p->refs = 1;
    p->dumpable = true;
    p->exit_signal = SIGCHLD;
    p->start_ns = time_ns();
    list_init(&p->children);
    list_init(&p->sibling);
    list_init(&p->group_link);
    list_init(&p->threads);
    waitq_init(&p->child_wait);
    waitq_init(&p->vfork_wait);
    waitq_init(&p->exec_wait);
    spin_init(&p->signal_lock, &signal_lock_class);
    spin_init(&p->limits_lock, &limits_lock_class);
    signal_queue_init(&p->pending);
    itimer_process_init(p);
    return p;
}

void process_get(struct process *p)
{
    atomic_add_relaxed(&p->refs, 1);
}

void process_put(struct process *p)
{
    if (atomic_sub(&p->refs, 1) != 0)
        return;
    debug_assert(list_empty(&p->threads) && list_empty(&p->children));
    signal_queue_flush(&p->pending);
    if (p->sighand)
        sighand_put(p->sighand);
    if (p->zombie_cred)
        cred_put(p->zombie_cred);
    kmem_cache_free(process_cache, p);
}

struct uthread *uthread_create(void)
{
    struct uthread *t = kmem_cache_alloc(uthread_cache, PA_ZERO);
    if (!t)
        return NULL;
    t->thread.is_user = true;
    t->thread.release = uthread_release;
    list_init(&t->link);
    signal_queue_init(&t->pending);
    t->altstack.flags = SS_DISABLE;
    return t;
}

void uthread_free(struct uthread *t)
{
    kmem_cache_free(uthread_cache, t);
}

void uthread_release(struct thread *thread)
{
    struct uthread *t = uthread_of(thread);
    struct process *p = t->process;
    thread_fini(thread);
    kmem_cache_free(uthread_cache, t);
    process_put(p);
}

struct uthread *process_first_thread(struct process *p)
{
    return list_empty(&p->threads) ? NULL : list_first(&p->threads, struct uthread, link);
}

const struct cred *process_cred_locked(struct process *p)
{
    struct uthread *t = process_first_thread(p);
    return t ? t->thread.cred : p->zombie_cred;
}

struct process *process_find_locked(s32 nr)
{
    struct pid *pid = pid_find_locked(nr);
    return pid ? pid->process : NULL;
}

struct process *process_find_get(s32 nr)
{
    TREE_GUARD();
    struct process *p = process_find_locked(nr);
    if (p)
        process_get(p);
    return p;
}

struct process *process_find_thread_get(s32 tid)
{
    TREE_GUARD();
    struct pid *pid = pid_find_locked(tid);
    if (!pid)
        return NULL;
    struct process *p = pid->thread ? pid->thread->process : pid->process;
    if (p)
        process_get(p);
    return p;
}

struct process *process_next_get(s32 nr)
{
    TREE_GUARD();
    for (struct pid *pid = pid_next_locked(nr); pid; pid = pid_next_locked(pid->nr + 1)) {
        if (pid->process) {
            process_get(pid->process);
            return pid->process;
        }
    }
    return NULL;
}

s32 process_next_thread(struct process *p, s32 tid)
{
    TREE_GUARD();
    s32 best = 0;
    struct uthread *t;
    list_for_each_entry (t, &p->threads, link)
        if (t->tid >= tid && (best == 0 || t->tid < best))
            best = t->tid;
    return best;
}

int process_for_each(int (*fn)(struct process *p, void *arg), void *arg)
{
    TREE_GUARD();
    for (struct pid *pid = pid_next_locked(1); pid; pid = pid_next_locked(pid->nr + 1)) {
        int r = pid->process ? fn(pid->process, arg) : 0;
        if (r)
            return r;
    }
    return 0;
}

void process_set_subreaper(bool on)
{
    TREE_GUARD();
    process_self()->is_subreaper = on;
}

void process_set_name(const char *name)
{
    str_copy(thread_self()->name, name, sizeof(thread_self()->name));
}

s32 process_set_tid_address(uvaddr_t addr)
{
    struct uthread *t = uthread_self();
    t->clear_child_tid = addr;
    return t->tid;
}

int process_robust_list(s32 tid, uvaddr_t *out)
{
    struct process *p = tid ? process_find_thread_get(tid) : NULL;
    if (!tid) {
        *out = uthread_self()->robust_list;
        return 0;
    }
    if (!p)
        return -ESRCH;
    int r = process_may_inspect(p) ? 0 : -EPERM;
    process_put(p);
    TREE_GUARD();
    struct pid *pid = pid_find_locked(tid);
    if (r == 0 && (!pid || !pid->thread))
        r = -ESRCH;
    if (r == 0)
        *out = READ_ONCE(pid->thread->robust_list);
    return r;
}

long process_restart_syscall(void)
{
    struct restart_block *block = &uthread_self()->restart;
    return block->fn ? block->fn(block) : -EINTR;
}

void process_caches_init(void)
{
    process_cache = kmem_cache_create("process", sizeof(struct process), 0);
    uthread_cache = kmem_cache_create("uthread", sizeof(struct uthread), 16);
}
