/*
 * Credentials. A published struct cred never changes; the last reference frees it. Threads without
 * one (kernel threads) have every power.
 */
#include "fs/cred.h"

#include "core/panic.h"
#include "lib/atomic.h"
#include "lib/string.h"
#include "mm/slab.h"

#include <linux/capability.h>

#define CAP_ALL ((1UL << (CAP_LAST_CAP + 1)) - 1)

static struct cred root_cred = {
    .refs = 1, /* the kernel's own: never freed */
    .cap_permitted = CAP_ALL,
    .cap_effective = CAP_ALL,
    .cap_bounding = CAP_ALL,
};

struct cred *cred_root(void)
{
    cred_get(&root_cred);
    return &root_cred;
}

struct cred *cred_copy(const struct cred *from)
{
    struct cred *c = kmalloc(sizeof(*c), 0);
    if (!c)
        return NULL;
    *c = from ? *from : root_cred;
    c->refs = 1;
    if (c->group_count == 0) {
        c->groups = NULL;
        return c;
    }
    c->groups = kmalloc(c->group_count * sizeof(*c->groups), 0);
    if (!c->groups) {
        kfree(c);
        return NULL;
    }
    memcpy(c->groups, from->groups, c->group_count * sizeof(*c->groups));
    return c;
}

void cred_get(struct cred *c)
{
    atomic_add_relaxed(&c->refs, 1);
}

void cred_put(struct cred *c)
{
    if (!c || atomic_sub(&c->refs, 1) > 0)
        return;
    debug_assert(c != &root_cred);
    kfree(c->groups);
    kfree(c);
}

bool cred_in_group(const struct cred *c, u32 gid)
{
    if (!c || c->fsgid == gid)
        return true;
    u32 low = 0, high = c->group_count;
    while (low < high) {
        u32 mid = low + (high - low) / 2;
        if (c->groups[mid] == gid)
            return true;
        if (c->groups[mid] < gid)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

bool cred_capable(const struct cred *c, unsigned cap)
{
    return !c || (c->cap_effective >> cap & 1);
}
