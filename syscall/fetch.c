/* Fetching what system calls take from user memory: names, directories, times, vectors, masks. */
#include "lib/string.h"
#include "syscall/syscall_priv.h"

#define IOV_MAX 1024

int user_name_get(struct user_name *n, uvaddr_t addr)
{
    ssize_t len = copy_string_from_user(n->small, addr, sizeof(n->small));
    n->s = n->small;
    if (len >= 0 || len == -EFAULT)
        return len < 0 ? -EFAULT : 0;
    n->s = kmalloc(NAME_BUFFER, 0);
    if (!n->s)
        return -ENOMEM;
    len = copy_string_from_user(n->s, addr, NAME_BUFFER);
    return len < 0 ? (int)len : 0;
}

void user_name_put(struct user_name *n)
{
    if (n->s != n->small)
        kfree(n->s);
}

int at_dir_get(struct at_dir *d, int dirfd, const char *name)
{
    if (dirfd == AT_FDCWD || name[0] == '/')
        return 0;
    d->ref = fd_get(dirfd);
    if (!d->ref.file)
        return -EBADF;
    int r = file_path(d->ref.file, &d->path);
    if (r < 0)
        return -ENOTDIR;
    d->base = &d->path;
    return 0;
}

void at_dir_put(struct at_dir *d)
{
    if (d->base)
        path_put(&d->path);
    if (d->ref.file)
        fd_put(d->ref);
}

int at_lookup(int dirfd, uvaddr_t addr, unsigned flags, bool follow, struct path *out)
{
    USER_NAME(name, addr);
    if (name_error)
        return name_error;
    AT_DIR(dir, dirfd, name.s);
    if (dir_error)
        return dir_error;
    if (name.s[0] == 0 && (flags & AT_EMPTY_PATH)) {
        if (!dir.base) {
            fs_context_get_cwd(thread_self()->fs, out);
            return 0;
        }
        *out = dir.path;
        path_get(out);
        return 0;
    }
    if (flags & AT_SYMLINK_NOFOLLOW)
        follow = false;
    if (flags & AT_SYMLINK_FOLLOW)
        follow = true;
    return path_lookup(dir.base, name.s, follow ? WALK_FOLLOW : 0, out);
}

int timespec_get(uvaddr_t addr, u64 *ns)
{
    struct user_timespec t;
    if (copy_from_user(&t, addr, sizeof(t)) < 0)
        return -EFAULT;
    if (t.sec < 0 || t.nsec < 0 || t.nsec >= (s64)NSEC_PER_SEC)
        return -EINVAL;
    /* Beyond what fits: as good as for ever. */
    *ns = t.sec > (s64)(TIME_NEVER / NSEC_PER_SEC / 4) ? TIME_NEVER / 4
                                                       : t.sec * NSEC_PER_SEC + t.nsec;
    return 0;
}

int timespec_put(uvaddr_t addr, u64 ns)
{
    struct user_timespec t = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
    return copy_to_user(addr, &t, sizeof(t));
}

int deadline_get(uvaddr_t addr, u64 *deadline)
{
    *deadline = TIME_NEVER;
    if (!addr)
        return 0;
    u64 ns;
    int r = timespec_get(addr, &ns);
    if (r == 0)
        *deadline = time_ns() + ns;
    return r;
}

int user_iov_get(struct user_iov *v, uvaddr_t addr, u64 count)
{
    v->vec = v->small;
    if (count > IOV_MAX)
        return -EINVAL;
    if (count > ARRAY_SIZE(v->small)) {
        v->vec = kmalloc(count * sizeof(*v->vec), 0);
        if (!v->vec)
            return -ENOMEM;
    }
    if (copy_from_user(v->vec, addr, count * sizeof(*v->vec)) < 0)
        return -EFAULT;
    v->uio = (struct uio){.vec = v->vec, .count = count};
    for (u64 i = 0; i < count; i++) {
        if ((s64)v->vec[i].len < 0)
            return -EINVAL;
        v->vec[i].len = MIN(v->vec[i].len, (u64)INT32_MAX - v->uio.resid);
        v->uio.resid += v->vec[i].len;
    }
    return 0;
}

void user_iov_put(struct user_iov *v)
{
    if (v->vec != v->small)
        kfree(v->vec);
}

int sigset_get(uvaddr_t addr, u64 size, u64 *out)
{
    if (size != sizeof(*out))
        return -EINVAL;
    return copy_from_user(out, addr, sizeof(*out));
}
