/* Threads: making them, ending them, the list of all. See core/thread.h and sched.c. */
#include "sched_priv.h"

#include "core/errno.h"
#include "core/panic.h"
#include "core/upcall.h"
#include "lib/string.h"

/* Taken by the console's debug key too, in an interrupt. */
DEFINE_LOCK_CLASS(threads_lock_class, "threads");
static struct spinlock threads_lock = SPINLOCK_INIT(threads_lock_class);
static struct list_node all_threads = LIST_INIT(all_threads);

int thread_init(struct thread *t, const char *name, void (*entry)(void *), void *arg)
{
    vaddr_t stack = kstack_alloc();
    if (!stack)
        return -ENOMEM;
    int r = lockdep_thread_init(t);
    if (r) {
        kstack_free(stack);
        return r;
    }
    t->stack_base = stack;
    t->kernel_sp = stack + KSTACK_SIZE;
    t->cpu = thread_self()->cpu;
    t->preempt_count = 1; /* its first act is to release the run queue's lock */
    t->state = THREAD_NEW;
    t->nice = 20;
    t->allowed_cpus = ~0UL;
    t->entry = entry;
    t->entry_arg = arg;
    str_copy(t->name, name, sizeof(t->name));
    arch_context_init(t, sched_thread_begin);
    SPIN_GUARD_IRQ(&threads_lock);
    list_push_back(&all_threads, &t->all_link);
    return 0;
}

void thread_unlist(struct thread *t)
{
    SPIN_GUARD_IRQ(&threads_lock);
    list_remove(&t->all_link);
}

void thread_fini(struct thread *t)
{
    assert(!t->on_cpu && (t->state == THREAD_NEW || t->state == THREAD_DEAD));
    thread_unlist(t);
    kstack_free(t->stack_base);
    t->stack_base = 0;
    lockdep_thread_fini(t);
}

static void release_kernel_thread(struct thread *t)
{
    thread_fini(t);
    kfree(t);
}

int thread_spawn(struct thread **out, const char *name, void (*fn)(void *), void *arg)
{
    struct thread *t = kmalloc(sizeof(*t), 0);
    if (!t)
        return -ENOMEM;
    memset(t, 0, sizeof(*t));
    int r = thread_init(t, name, fn, arg);
    if (r) {
        kfree(t);
        return r;
    }
    t->release = release_kernel_thread;
    if (out)
        *out = t;
    thread_start(t);
    return 0;
}

void thread_exit(void)
{
    sched_thread_end();
}

void thread_for_each(void (*fn)(struct thread *t, void *arg), void *arg)
{
    struct thread *t;
    SPIN_GUARD_IRQ(&threads_lock);
    list_for_each_entry (t, &all_threads, all_link)
        fn(t, arg);
}
