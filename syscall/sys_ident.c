/* User and group ids, capabilities. */
#include <linux/capability.h>

#include "fs/cred.h"
#include "proc/identity.h"
#include "syscall/syscall_priv.h"

long sys_getuid(void)
{
    return cred_current()->uid;
}

long sys_geteuid(void)
{
    return cred_current()->euid;
}

long sys_getgid(void)
{
    return cred_current()->gid;
}

long sys_getegid(void)
{
    return cred_current()->egid;
}

long sys_setuid(u32 uid)
{
    return identity_setuid(uid);
}

long sys_setgid(u32 gid)
{
    return identity_setgid(gid);
}

long sys_setreuid(u32 ruid, u32 euid)
{
    return identity_setreuid(ruid, euid);
}

long sys_setregid(u32 rgid, u32 egid)
{
    return identity_setregid(rgid, egid);
}

long sys_setresuid(u32 ruid, u32 euid, u32 suid)
{
    return identity_setresuid(ruid, euid, suid);
}

long sys_setresgid(u32 rgid, u32 egid, u32 sgid)
{
    return identity_setresgid(rgid, egid, sgid);
}

static long put_three(uvaddr_t a, u32 va, uvaddr_t b, u32 vb, uvaddr_t c, u32 vc)
{
    if (PUT_USER(a, va) < 0 || PUT_USER(b, vb) < 0 || PUT_USER(c, vc) < 0)
        return -EFAULT;
    return 0;
}

long sys_getresuid(uvaddr_t ruid, uvaddr_t euid, uvaddr_t suid)
{
    const struct cred *c = cred_current();
    return put_three(ruid, c->uid, euid, c->euid, suid, c->suid);
}

long sys_getresgid(uvaddr_t rgid, uvaddr_t egid, uvaddr_t sgid)
{
    const struct cred *c = cred_current();
    return put_three(rgid, c->gid, egid, c->egid, sgid, c->sgid);
}

long sys_setfsuid(u32 uid)
{
    return identity_setfsuid(uid);
}

long sys_setfsgid(u32 gid)
{
    return identity_setfsgid(gid);
}

long sys_getgroups(int count, uvaddr_t list)
{
    const struct cred *c = cred_current();
    if (count < 0)
        return -EINVAL;
    if (count == 0)
        return c->group_count;
    if ((u32)count < c->group_count)
        return -EINVAL;
    if (copy_to_user(list, c->groups, c->group_count * sizeof(u32)) < 0)
        return -EFAULT;
    return c->group_count;
}

long sys_setgroups(u64 count, uvaddr_t list)
{
    if (count > 65536) /* NGROUPS_MAX */
        return -EINVAL;
    u32 *groups = kmalloc(MAX(count, 1UL) * sizeof(u32), 0);
    if (!groups)
        return -ENOMEM;
    long r = copy_from_user(groups, list, count * sizeof(u32));
    if (r == 0)
        r = identity_setgroups(groups, count);
    kfree(groups);
    return r;
}

/* Reads the header; an unknown version is answered with the preferred one, as capget(2) says. */
static int cap_header(uvaddr_t addr, struct __user_cap_header_struct *h, unsigned *words)
{
    if (copy_from_user(h, addr, sizeof(*h)) < 0)
        return -EFAULT;
    switch (h->version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *words = 1;
        return 0;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        *words = 2;
        return 0;
    }
    h->version = _LINUX_CAPABILITY_VERSION_3;
    return copy_to_user(addr, h, sizeof(*h)) < 0 ? -EFAULT : -EINVAL;
}

long sys_capget(uvaddr_t header, uvaddr_t data)
{
    struct __user_cap_header_struct h;
    struct __user_cap_data_struct out[2];
    unsigned words;
    int r = cap_header(header, &h, &words);
    if (r < 0)
        return r == -EINVAL && !data ? 0 : r;
    if (h.pid < 0)
        return -EINVAL;
    struct process *p = h.pid ? process_find_thread_get(h.pid) : NULL;
    if (h.pid && !p)
        return -ESRCH;
    struct cred *c = p ? process_cred_get(p) : thread_self()->cred;
    if (!c) {
        process_put(p);
        return -ESRCH;
    }
    for (unsigned i = 0; i < words; i++)
        out[i] = (struct __user_cap_data_struct){.effective = c->cap_effective >> (32 * i),
                                                 .permitted = c->cap_permitted >> (32 * i),
                                                 .inheritable = c->cap_inheritable >> (32 * i)};
    if (p) {
        cred_put(c);
        process_put(p);
    }
    return data ? copy_to_user(data, out, words * sizeof(out[0])) : 0;
}

long sys_capset(uvaddr_t header, uvaddr_t data)
{
    struct __user_cap_header_struct h;
    struct __user_cap_data_struct in[2] = {{0}};
    unsigned words;
    int r = cap_header(header, &h, &words);
    if (r < 0)
        return r;
    if (h.pid != 0 && h.pid != uthread_self()->tid)
        return -EPERM;
    if (copy_from_user(in, data, words * sizeof(in[0])) < 0)
        return -EFAULT;
    return identity_capset((u64)in[1].effective << 32 | in[0].effective,
                           (u64)in[1].permitted << 32 | in[0].permitted,
                           (u64)in[1].inheritable << 32 | in[0].inheritable);
}
