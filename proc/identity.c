/*
 * Changing identity: credentials(7), setresuid(2), capabilities(7).
 *
 * A published struct cred is never changed. Each call makes a copy, checks and changes it, and
 * installs it in place of the old one; whoever looks at another thread's cred does so under
 * process_tree_lock, which the installation takes.
 *
 * One rule serves all of set*uid: user ids that cease to be 0 take the capabilities with them.
 */
#include "proc/identity.h"

#include <linux/capability.h>

#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

#define KEEP       (~0u)
#define GROUPS_MAX 65536

void identity_install(struct cred *cred)
{
    struct uthread *t = uthread_self();
    struct cred *old;
    {
        TREE_GUARD();
        old = t->thread.cred;
        t->thread.cred = cred;
        if (cred->euid != old->euid || cred->egid != old->egid)
            WRITE_ONCE(t->process->dumpable, false);
    }
    cred_put(old);
}

/* The thread counts for another real user from now on. 0, -ENOMEM. */
static int move_account(u32 uid)
{
    struct uthread *t = uthread_self();
    if (t->account->uid == uid)
        return 0;
    struct account *fresh = account_get(uid), *old;
    if (!fresh)
        return -ENOMEM;
    atomic_add_relaxed(&fresh->threads, 1);
    atomic_sub(&t->account->threads, 1);
    {
        SPIN_GUARD_IRQ(&t->process->signal_lock); /* senders charge to ->account under it */
        old = t->account;
        t->account = fresh;
    }
    account_put(old);
    return 0;
}

/* Capabilities after the user ids changed from @old's (capabilities(7)). */
static void adjust_capabilities(struct cred *c, const struct cred *old)
{
    const u64 fs_caps = 1UL << CAP_CHOWN | 1UL << CAP_DAC_OVERRIDE | 1UL << CAP_DAC_READ_SEARCH |
                        1UL << CAP_FOWNER | 1UL << CAP_FSETID | 1UL << CAP_LINUX_IMMUTABLE |
                        1UL << CAP_MKNOD | 1UL << CAP_MAC_OVERRIDE;
    bool was_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
    if (was_root && c->uid != 0 && c->euid != 0 && c->suid != 0)
        c->cap_permitted = c->cap_effective = c->cap_ambient = 0;
    if (old->euid == 0 && c->euid != 0)
        c->cap_effective = 0;
    else if (old->euid != 0 && c->euid == 0)
        c->cap_effective = c->cap_permitted;
    if (old->fsuid == 0 && c->fsuid != 0)
        c->cap_effective &= ~fs_caps;
    else if (old->fsuid != 0 && c->fsuid == 0)
        c->cap_effective |= c->cap_permitted & fs_caps;
}

/* A copy of the caller's cred to be changed. */
static struct cred *begin(void)
{
    return cred_copy(cred_current());
}

/* Installs @c after a change of user ids. 0, -ENOMEM. */
static int commit_uids(struct cred *c)
{
    c->fsuid = c->euid;
    adjust_capabilities(c, cred_current());
    int r = move_account(c->uid);
    if (r)
        cred_put(c);
    else
        identity_install(c);
    return r;
}

static int commit_gids(struct cred *c)
{
    c->fsgid = c->egid;
    identity_install(c);
    return 0;
}

static int refuse(struct cred *c)
{
    cred_put(c);
    return -EPERM;
}

int identity_setuid(u32 uid)
{
    struct cred *c;
    if (uid == KEEP)
        return -EINVAL;
    if (!(c = begin()))
        return -ENOMEM;
    if (capable(CAP_SETUID))
        c->uid = c->suid = uid;
    else if (uid != c->uid && uid != c->suid)
        return refuse(c);
    c->euid = uid;
    return commit_uids(c);
}

int identity_setgid(u32 gid)
{
    struct cred *c;
    if (gid == KEEP)
        return -EINVAL;
    if (!(c = begin()))
        return -ENOMEM;
    if (capable(CAP_SETGID))
        c->gid = c->sgid = gid;
    else if (gid != c->gid && gid != c->sgid)
        return refuse(c);
    c->egid = gid;
    return commit_gids(c);
}

int identity_setreuid(u32 ruid, u32 euid)
{
    const struct cred *old = cred_current();
    struct cred *c = begin();
    if (!c)
        return -ENOMEM;
    bool power = capable(CAP_SETUID);
    if (ruid != KEEP && !power && ruid != old->uid && ruid != old->euid)
        return refuse(c);
    if (euid != KEEP && !power && euid != old->uid && euid != old->euid && euid != old->suid)
        return refuse(c);
    if (ruid != KEEP)
        c->uid = ruid;
    if (euid != KEEP)
        c->euid = euid;
    if (ruid != KEEP || (euid != KEEP && euid != old->uid))
        c->suid = c->euid;
    return commit_uids(c);
}

int identity_setregid(u32 rgid, u32 egid)
{
    const struct cred *old = cred_current();
    struct cred *c = begin();
    if (!c)
        return -ENOMEM;
    bool power = capable(CAP_SETGID);
    if (rgid != KEEP && !power && rgid != old->gid && rgid != old->egid)
        return refuse(c);
    if (egid != KEEP && !power && egid != old->gid && egid != old->egid && egid != old->sgid)
        return refuse(c);
    if (rgid != KEEP)
        c->gid = rgid;
    if (egid != KEEP)
        c->egid = egid;
    if (rgid != KEEP || (egid != KEEP && egid != old->gid))
        c->sgid = c->egid;
    return commit_gids(c);
}

/* An id that the caller may take without power: it has it in some place already. */
static bool has_uid(const struct cred *c, u32 id)
{
    return id == KEEP || id == c->uid || id == c->euid || id == c->suid;
}

static bool has_gid(const struct cred *c, u32 id)
{
    return id == KEEP || id == c->gid || id == c->egid || id == c->sgid;
}

int identity_setresuid(u32 ruid, u32 euid, u32 suid)
{
    struct cred *c = begin();
    if (!c)
        return -ENOMEM;
    if (!capable(CAP_SETUID) && !(has_uid(c, ruid) && has_uid(c, euid) && has_uid(c, suid)))
        return refuse(c);
    c->uid = ruid == KEEP ? c->uid : ruid;
    c->euid = euid == KEEP ? c->euid : euid;
    c->suid = suid == KEEP ? c->suid : suid;
    return commit_uids(c);
}

int identity_setresgid(u32 rgid, u32 egid, u32 sgid)
{
    struct cred *c = begin();
    if (!c)
        return -ENOMEM;
    if (!capable(CAP_SETGID) && !(has_gid(c, rgid) && has_gid(c, egid) && has_gid(c, sgid)))
        return refuse(c);
    c->gid = rgid == KEEP ? c->gid : rgid;
    c->egid = egid == KEEP ? c->egid : egid;
    c->sgid = sgid == KEEP ? c->sgid : sgid;
    return commit_gids(c);
}

u32 identity_setfsuid(u32 uid)
{
    const struct cred *old = cred_current();
    u32 before = old->fsuid;
    if (uid == KEEP || uid == before ||
        !(capable(CAP_SETUID) || has_uid(old, uid) || uid == old->fsuid))
        return before;
    struct cred *c = begin();
    if (c) {
        c->fsuid = uid;
        adjust_capabilities(c, old);
        identity_install(c);
    }
    return before;
}

u32 identity_setfsgid(u32 gid)
{
    const struct cred *old = cred_current();
    u32 before = old->fsgid;
    if (gid == KEEP || gid == before || !(capable(CAP_SETGID) || has_gid(old, gid)))
        return before;
    struct cred *c = begin();
    if (c) {
        c->fsgid = gid;
        identity_install(c);
    }
    return before;
}

/* Heapsort: in place, no recursion, never slow. */
static void sift(u32 *a, u32 root, u32 end)
{
    for (u32 child; (child = 2 * root + 1) < end; root = child) {
        if (child + 1 < end && a[child + 1] > a[child])
            child++;
        if (a[root] >= a[child])
            return;
        u32 tmp = a[root];
        a[root] = a[child];
        a[child] = tmp;
    }
}

static void sort_ids(u32 *a, u32 n)
{
    for (u32 i = n / 2; i-- > 0;)
        sift(a, i, n);
    for (u32 end = n; end > 1;) {
        end--;
        u32 tmp = a[0];
        a[0] = a[end];
        a[end] = tmp;
        sift(a, 0, end);
    }
}

int identity_setgroups(const u32 *groups, u32 count)
{
    if (!capable(CAP_SETGID))
        return -EPERM;
    if (count > GROUPS_MAX)
        return -EINVAL;
    u32 *copy = count ? kmalloc(count * sizeof(*copy), 0) : NULL;
    struct cred *c = begin();
    if (!c || (count && !copy)) {
        kfree(copy);
        if (c)
            cred_put(c);
        return -ENOMEM;
    }
    memcpy(copy, groups, count * sizeof(*copy));
    sort_ids(copy, count);
    kfree(c->groups);
    c->groups = copy;
    c->group_count = count;
    identity_install(c);
    return 0;
}

int identity_capset(u64 effective, u64 permitted, u64 inheritable)
{
    struct cred *c = begin();
    if (!c)
        return -ENOMEM;
    bool may_inherit = capable(CAP_SETPCAP);
    if ((permitted & ~c->cap_permitted) || (effective & ~permitted) ||
        (inheritable & ~(c->cap_inheritable | c->cap_bounding)) ||
        (!may_inherit && (inheritable & ~(c->cap_inheritable | c->cap_permitted))))
        return refuse(c);
    c->cap_effective = effective;
    c->cap_permitted = permitted;
    c->cap_inheritable = inheritable;
    c->cap_ambient &= permitted & inheritable;
    identity_install(c);
    return 0;
}

int identity_drop_bounding(unsigned cap)
{
    if (cap >= CAP_COUNT)
        return -EINVAL;
    if (!capable(CAP_SETPCAP))
        return -EPERM;
    struct cred *c = begin();
    if (!c)
        return -ENOMEM;
    c->cap_bounding &= ~(1UL << cap);
    identity_install(c);
    return 0;
}

int identity_no_new_privs(void)
{
    if (cred_current()->no_new_privs)
        return 0;
    struct cred *c = begin();
    if (!c)
        return -ENOMEM;
    c->no_new_privs = true;
    identity_install(c);
    return 0;
}

bool identity_exec(struct cred *c, u32 setuid, u32 setgid)
{
    if (setuid != KEEP)
        c->euid = setuid;
    if (setgid != KEEP)
        c->egid = setgid;
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    if (c->uid == 0 || c->euid == 0) {
        c->cap_permitted = c->cap_bounding | c->cap_inheritable;
        c->cap_effective = c->euid == 0 ? c->cap_permitted : 0;
        c->cap_ambient = 0;
    } else {
        c->cap_permitted = c->cap_effective = c->cap_ambient;
    }
    return c->euid != c->uid || c->egid != c->gid;
}
