/*
 * open(2). The name leads to a path (creating the file on the way if asked to), the path to a file:
 * permissions by access mode, then whatever the inode's type wants done.
 */
#include "vfs_priv.h"

#include <linux/capability.h>
#include <linux/mount.h>

const struct file_ops path_file_ops = {};

#define PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) /* all that O_PATH leaves */

static unsigned access_mask(unsigned flags)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return MAY_READ | (flags & O_TRUNC ? MAY_WRITE : 0);
    case O_WRONLY:
        return MAY_WRITE;
    default: /* O_RDWR, and 3, which asks for both and gives neither */
        return MAY_READ | MAY_WRITE;
    }
}

/* Type and mount against @flags. Linux's order: ELOOP, EISDIR, device rules. */
static int check_type(const struct path *path, struct inode *inode, unsigned flags)
{
    switch (inode->mode & S_IFMT) {
    case S_IFLNK:
        return -ELOOP;
    case S_IFDIR:
        return (access_mask(flags) & MAY_WRITE) ? -EISDIR : 0;
    case S_IFCHR:
    case S_IFBLK:
        return path->mount->flags & MS_NODEV ? -EACCES : 0;
    default:
        return 0;
    }
}

static int check_access(const struct path *path, struct inode *inode, unsigned flags)
{
    unsigned mask = access_mask(flags);
    int err = check_type(path, inode, flags);
    if (!err && (mask & MAY_WRITE) && (S_ISTYPE(inode, S_IFREG) || S_ISTYPE(inode, S_IFDIR)))
        err = mount_want_write(path->mount);
    if (!err)
        err = inode_permission(inode, mask);
    if (!err && (flags & O_NOATIME) && !inode_owner_or_capable(inode))
        err = -EPERM;
    return err;
}

/* Chooses the operations and lets the type prepare itself. May sleep long (FIFOs). */
static int open_by_type(struct inode *inode, struct file *f)
{
    u32 type = inode->mode & S_IFMT;
    f->ops = inode->file_ops;
    f->has_pos = type == S_IFREG || type == S_IFDIR || type == S_IFBLK;
    if (type != S_IFREG && type != S_IFDIR)
        return devnode_open(inode, f);
    if (!f->ops)
        return -ENXIO;
    return f->ops->open ? f->ops->open(inode, f) : 0;
}

static int truncate_opened(struct file *f)
{
    struct inode_attr attr = {.valid = ATTR_SIZE | ATTR_MTIME, .size = 0};
    attr.mtime = inode_time_now();
    return vfs_setattr(&f->path, &attr);
}

/* The file for @path, permission already checked. @path's references go into it on success. */
static int make_file(const struct path *path, unsigned flags, struct file **out)
{
    struct inode *inode = path->dentry->inode;
    struct file *f = file_alloc();
    int err = 0;
    if (!f)
        return -ENOMEM;
    f->inode = inode;
    f->path = *path;
    f->flags = flags & ~(unsigned)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    if (flags & O_PATH) {
        f->flags = flags & PATH_FLAGS & ~(unsigned)O_CLOEXEC;
        f->ops = &path_file_ops;
        *out = f;
        return 0;
    }
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    if (S_ISTYPE(inode, S_IFREG) && writes) {
        err = inode_get_write(inode);
        f->writer = !err;
    }
    if (!err)
        err = open_by_type(inode, f);
    if (err) {
        if (f->writer)
            inode_put_write(inode);
        file_free(f);
        return err;
    }
    if ((flags & O_TRUNC) && S_ISTYPE(inode, S_IFREG) && inode_size(inode) > 0) {
        err = truncate_opened(f);
        if (err) {
            path_get(path); /* file_put() drops the file's, the caller expects to keep its own */
            file_put(f);
            return err;
        }
    }
    *out = f;
    return 0;
}

int file_open_path(const struct path *path, unsigned flags, struct file **out)
{
    int err = 0;
    struct inode *inode = path->dentry->inode;
    if ((flags & O_DIRECTORY) && !S_ISTYPE(inode, S_IFDIR))
        return -ENOTDIR;
    if (!(flags & O_PATH))
        err = check_access(path, inode, flags);
    if (err)
        return err;
    path_get(path);
    err = make_file(path, flags, out);
    if (err)
        path_put(path);
    return err;
}

/* The last component does not exist in the locked directory: makes it. */
static int create_locked(struct walk_result *at, struct dentry *d, u32 mode)
{
    struct inode *dir = at->path.dentry->inode, *inode;
    int err = mount_want_write(at->path.mount);
    if (!err)
        err = may_create(dir);
    if (!err && !dir->ops->create)
        err = -EACCES;
    if (!err)
        err = dir->ops->create(dir, d->name, d->name_len, S_IFREG | (mode & 07777), &inode);
    if (!err)
        dentry_instantiate(d, inode);
    return err;
}

/* Finds the last component in its parent, creating it when it is missing. */
static int lookup_or_create(struct walk_result *at, u32 mode, struct dentry **out, bool *created)
{
    struct dentry *parent = at->path.dentry;
    struct inode *dir = parent->inode;
    *created = false;
    if (!dir->ops->revalidate) {
        struct dentry *d = dentry_find_get(parent, at->last, at->last_len,
                                           name_hash(parent, at->last, at->last_len));
        if (d && load_acquire(&d->inode)) {
            *out = d;
            return 0;
        }
        if (d)
            dentry_put(d);
    }
    WRITE_GUARD(&dir->lock);
    int err = dentry_lookup(parent, at->last, at->last_len, out);
    if (err || (*out)->inode)
        return err;
    err = create_locked(at, *out, mode);
    if (err)
        dentry_put(*out);
    *created = !err;
    return err;
}

/* Opens the existing object @path for an O_CREAT open. */
static int open_existing(struct path *path, unsigned flags, struct file **out)
{
    struct inode *inode = path->dentry->inode;
    if (S_ISTYPE(inode, S_IFDIR))
        return -EISDIR;
    /* fs.protected_*: not enforced; plain POSIX rules. */
    return file_open_path(path, flags, out);
}

/* One component deep into an O_CREAT open: 0 opened, 1 follow the link in *@link, or an error. */
static int open_last(struct walk_result *at, unsigned flags, u32 mode, struct file **out,
                     struct dentry **link)
{
    struct dentry *d;
    bool created;
    if (at->last_special || at->last_slash)
        return -EISDIR;
    int err = lookup_or_create(at, mode, &d, &created);
    if (err)
        return err;
    struct path path = {at->path.mount, d};
    atomic_add_relaxed(&path.mount->refs, 1);
    if (created) {
        err = make_file(&path, flags & ~(unsigned)O_TRUNC, out);
        if (err)
            path_put(&path);
        return err;
    }
    if (flags & O_EXCL) {
        err = -EEXIST;
    } else if (S_ISTYPE(d->inode, S_IFLNK) && !(flags & O_NOFOLLOW)) {
        *link = d;
        dentry_get(d);
        err = 1;
    } else {
        walk_cross(&path);
        err = open_existing(&path, flags, out);
    }
    path_put(&path);
    return err;
}

static int open_create(const struct path *base, const char *name, unsigned flags, u32 mode,
                       struct file **out)
{
    struct walk w;
    struct walk_result at;
    int err = walk_parent(base, name, &w, &at);
    while (!err) {
        struct dentry *link = NULL;
        if (at.last_special && at.last_len == 0) /* "/", or a magic link's goal */
            err = open_existing(&at.path, flags, out);
        else
            err = open_last(&at, flags, mode, out, &link);
        if (err != 1)
            break;
        err = walk_follow_last(&w, link, &at);
        dentry_put(link);
    }
    walk_end(&w);
    return err;
}

int file_open(const struct path *base, const char *name, unsigned flags, u32 mode,
              struct file **out)
{
    int err;
    if (flags & O_PATH)
        flags &= PATH_FLAGS;
    if ((flags & __O_TMPFILE) == __O_TMPFILE)
        return -EOPNOTSUPP;
    if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL;
    if (flags & O_CREAT) {
        do
            err = open_create(base, name, flags, mode, out);
        while (err == -ESTALE);
        return err;
    }
    struct path path;
    unsigned walk_flags =
        (flags & O_NOFOLLOW ? 0 : WALK_FOLLOW) | (flags & O_DIRECTORY ? WALK_DIRECTORY : 0);
    err = path_lookup(base, name, walk_flags, &path);
    if (err)
        return err;
    if (!(flags & O_PATH))
        err = check_access(&path, path.dentry->inode, flags);
    if (!err)
        err = make_file(&path, flags, out);
    if (err)
        path_put(&path);
    return err;
}
