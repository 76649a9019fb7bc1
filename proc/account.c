/*
 * Use counts per real user id, for RLIMIT_NPROC and RLIMIT_SIGPENDING. Every thread and every
 * queued signal holds a reference to the account it counts in. One list under one lock: there are
 * as many accounts as users that run something now.
 */
#include "mm/slab.h"
#include "proc/proc_priv.h"

#include <linux/capability.h>

static DEFINE_LOCK_CLASS(accounts_lock_class, "accounts");
static struct spinlock accounts_lock = SPINLOCK_INIT(accounts_lock_class);
static struct list_node accounts = LIST_INIT(accounts);

static struct account *find_locked(u32 uid)
{
    struct account *a;
    list_for_each_entry (a, &accounts, link) {
        if (a->uid == uid) {
            a->refs++;
            return a;
        }
    }
    return NULL;
}

struct account *account_get(u32 uid)
{
    {
        SPIN_GUARD_IRQ(&accounts_lock);
        struct account *a = find_locked(uid);
        if (a)
            return a;
    }
    struct account *fresh = kzalloc(sizeof(*fresh), 0), *winner;
    if (!fresh)
        return NULL;
    *fresh = (struct account){.uid = uid, .refs = 1};
    {
        SPIN_GUARD_IRQ(&accounts_lock);
        winner = find_locked(uid);
        if (!winner)
            list_push_back(&accounts, &fresh->link);
    }
    if (!winner)
        return fresh;
    kfree(fresh);
    return winner;
}

void account_ref(struct account *a)
{
    SPIN_GUARD_IRQ(&accounts_lock);
    a->refs++;
}

void account_put(struct account *a)
{
    {
        SPIN_GUARD_IRQ(&accounts_lock);
        if (--a->refs)
            return;
        list_remove(&a->link);
    }
    kfree(a);
}

int account_check_threads(const struct account *a)
{
    u64 limit = rlimit_current(RLIMIT_NPROC);
    if (limit == RLIMIT_UNLIMITED || (u64)READ_ONCE(a->threads) < limit || a->uid == 0 ||
        capable(CAP_SYS_RESOURCE) || capable(CAP_SYS_ADMIN))
        return 0;
    return -EAGAIN;
}
