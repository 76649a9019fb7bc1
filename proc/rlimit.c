/* Resource limits. */
#include "proc/proc_priv.h"

#include <linux/capability.h>

#include "fs/vfs.h"
#include "mm/aspace.h"

#define MIB (1024UL * 1024)

void rlimit_defaults(struct rlimit_value limits[RLIM_NLIMITS], u64 ram_pages)
{
    for (unsigned i = 0; i < RLIM_NLIMITS; i++)
        limits[i] = (struct rlimit_value){RLIMIT_UNLIMITED, RLIMIT_UNLIMITED};
    /* Linux allows as many threads as fill an eighth of RAM with kernel stacks; half for a user. */
    u64 threads = MAX(ram_pages / 8 / 4 / 2, 64UL);
    limits[RLIMIT_STACK].soft = 8 * MIB;
    limits[RLIMIT_CORE].soft = 0;
    limits[RLIMIT_NPROC] = (struct rlimit_value){threads, threads};
    limits[RLIMIT_NOFILE] = (struct rlimit_value){1024, 524288};
    limits[RLIMIT_MEMLOCK] = (struct rlimit_value){8 * MIB, 8 * MIB};
    limits[RLIMIT_SIGPENDING] = (struct rlimit_value){threads, threads};
    limits[RLIMIT_MSGQUEUE] = (struct rlimit_value){819200, 819200};
    limits[RLIMIT_NICE] = (struct rlimit_value){0, 0};
    limits[RLIMIT_RTPRIO] = (struct rlimit_value){0, 0};
}

u64 rlimit_current(unsigned which)
{
    return READ_ONCE(process_self()->limits[which].soft);
}

u64 lock_limit_user(void)
{
    return capable(CAP_IPC_LOCK) ? RLIMIT_UNLIMITED : rlimit_current(RLIMIT_MEMLOCK);
}

/* RLIMIT_FSIZE, for fs/. Kernel threads have no limits. */
static u64 file_size_limit(void)
{
    return thread_self()->is_user ? rlimit_current(RLIMIT_FSIZE) : RLIMIT_UNLIMITED;
}

static void file_size_exceeded(void)
{
    signal_kernel_thread(uthread_self(), SIGXFSZ);
}

void rlimit_init(void)
{
    static const struct file_limit_ops ops = {file_size_limit, file_size_exceeded};
    file_set_limit_ops(&ops);
}

static bool same_identity(const struct cred *me, const struct cred *other)
{
    return me->uid == other->uid && me->uid == other->euid && me->uid == other->suid &&
           me->gid == other->gid && me->gid == other->egid && me->gid == other->sgid;
}

/* New limits that others keep a copy of. */
static void limit_changed(struct process *p, unsigned which, u64 soft)
{
    if (which == RLIMIT_CPU) {
        itimer_check_cpu(p);
        return;
    }
    if (which != RLIMIT_STACK && which != RLIMIT_AS && which != RLIMIT_DATA)
        return;
    struct aspace *as = process_aspace_get(p);
    if (!as)
        return;
    if (which == RLIMIT_STACK)
        WRITE_ONCE(as->stack_limit, soft);
    else if (which == RLIMIT_AS)
        WRITE_ONCE(as->as_limit, soft);
    else
        WRITE_ONCE(as->data_limit, soft);
    aspace_put(as);
}

int process_rlimit(struct process *p, unsigned which, const struct rlimit_value *new,
                   struct rlimit_value *old)
{
    if (which >= RLIM_NLIMITS || (new &&new->soft > new->hard))
        return -EINVAL;
    if (new &&which == RLIMIT_NOFILE &&new->hard > 1048576)
        return -EPERM; /* Linux's fs.nr_open */
    if (p != process_self() && !capable(CAP_SYS_RESOURCE)) {
        TREE_GUARD();
        if (!same_identity(cred_current(), process_cred_locked(p)))
            return -EPERM;
    }
    bool may_raise = new &&capable(CAP_SYS_RESOURCE);
    {
        SPIN_GUARD(&p->limits_lock);
        struct rlimit_value *limit = &p->limits[which];
        if (new &&new->hard > limit->hard && !may_raise)
            return -EPERM;
        if (old)
            *old = *limit;
        if (new) {
            WRITE_ONCE(limit->hard, new->hard);
            WRITE_ONCE(limit->soft, new->soft);
        }
    }
    if (new)
        limit_changed(p, which, new->soft);
    return 0;
}
