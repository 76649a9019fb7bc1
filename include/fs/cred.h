/* Identity of a thread for permission checks. Immutable once published: copy, change, install. */
#pragma once

#include "core/thread.h"

struct cred {
    s32 refs;
    u32 uid, gid, euid, egid, suid, sgid, fsuid, fsgid;
    u64 cap_permitted, cap_effective, cap_inheritable, cap_bounding, cap_ambient;
    bool no_new_privs;
    u32 group_count;
    u32 *groups; /* sorted supplementary groups */
};

static inline const struct cred *cred_current(void)
{
    return thread_self()->cred;
}
struct cred *cred_root(void);                    /* all powers; a reference */
struct cred *cred_copy(const struct cred *from); /* private copy, one reference; NULL: no memory */
void cred_get(struct cred *c);
void cred_put(struct cred *c);
bool cred_in_group(const struct cred *c, u32 gid); /* by fsgid and supplementary groups */
bool cred_capable(const struct cred *c, unsigned cap);
/* Current thread has capability @cap (CAP_* of linux/capability.h). */
static inline bool capable(unsigned cap)
{
    return cred_capable(cred_current(), cap);
}
