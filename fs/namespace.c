/*
 * mkdir, mknod, symlink, link, unlink, rmdir, readlink. Errors come in Linux's order: what is wrong
 * with the name, whether it exists, then the mount, then permissions.
 *
 * Locks: the parent's inode, then (unlink, link) the object's; see vfs.h. rename has its own file.
 */
#include "vfs_priv.h"

#include "lib/string.h"

#include <linux/capability.h>

/* What the calls that create a name have in common, from create_begin() to create_end(). */
struct creation {
    struct walk walk;
    struct walk_result at;
    struct inode *dir;     /* locked for writing */
    struct dentry *dentry; /* negative */
};

static void create_end(struct creation *c)
{
    if (c->dentry)
        dentry_put(c->dentry);
    if (c->dir)
        write_unlock(&c->dir->lock);
    walk_end(&c->walk);
}

/* Finds the place for a new name and locks it. @slash_ok: a directory may be named "foo/". In case
 * of an error everything has been undone. */
static int create_begin(struct creation *c, const struct path *base, const char *name,
                        bool slash_ok)
{
    c->dir = NULL;
    c->dentry = NULL;
    int err = walk_parent(base, name, &c->walk, &c->at);
    if (!err && c->at.last_special)
        err = -EEXIST;
    if (!err) {
        c->dir = c->at.path.dentry->inode;
        write_lock(&c->dir->lock);
        err = dentry_lookup(c->at.path.dentry, c->at.last, c->at.last_len, &c->dentry);
        if (err)
            c->dentry = NULL;
    }
    if (!err && c->dentry->inode)
        err = -EEXIST;
    if (!err && c->at.last_slash && !slash_ok)
        err = -ENOENT;
    if (!err)
        err = mount_want_write(c->at.path.mount);
    if (!err)
        err = may_create(c->dir);
    if (err)
        create_end(c);
    return err;
}

/* The file system made @inode (or failed with @err): names it. */
static int create_finish(struct creation *c, int err, struct inode *inode)
{
    if (!err)
        dentry_instantiate(c->dentry, inode);
    create_end(c);
    return err;
}

int vfs_mkdir(const struct path *base, const char *name, u32 mode)
{
    struct creation c;
    struct inode *inode = NULL;
    int err = create_begin(&c, base, name, true);
    if (err)
        return err;
    const struct dentry *d = c.dentry;
    err = c.dir->ops->mkdir
              ? c.dir->ops->mkdir(c.dir, d->name, d->name_len, S_IFDIR | (mode & 01777), &inode)
              : -EPERM;
    return create_finish(&c, err, inode);
}

static int mknod_type(u32 *mode)
{
    switch (*mode & S_IFMT) {
    case 0:
        *mode |= S_IFREG;
        return 0;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        return 0;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

int vfs_mknod(const struct path *base, const char *name, u32 mode, u64 rdev)
{
    struct creation c;
    struct inode *inode = NULL;
    int err = mknod_type(&mode);
    if (!err)
        err = create_begin(&c, base, name, false);
    if (err)
        return err;
    const struct inode_ops *ops = c.dir->ops;
    const struct dentry *d = c.dentry;
    mode &= S_IFMT | 07777;
    if ((S_ISCHR(mode) || S_ISBLK(mode)) && !capable(CAP_MKNOD))
        err = -EPERM;
    else if (S_ISREG(mode))
        err = ops->create ? ops->create(c.dir, d->name, d->name_len, mode, &inode) : -EPERM;
    else
        err = ops->mknod ? ops->mknod(c.dir, d->name, d->name_len, mode, rdev, &inode) : -EPERM;
    return create_finish(&c, err, inode);
}

int vfs_symlink(const char *target, const struct path *base, const char *name)
{
    struct creation c;
    struct inode *inode = NULL;
    if (!*target)
        return -ENOENT;
    int err = create_begin(&c, base, name, false);
    if (err)
        return err;
    const struct dentry *d = c.dentry;
    err = c.dir->ops->symlink ? c.dir->ops->symlink(c.dir, d->name, d->name_len, target, &inode)
                              : -EPERM;
    return create_finish(&c, err, inode);
}

/* The new name in @c for @inode. */
static int link_locked(struct creation *c, const struct path *old, struct inode *inode)
{
    const struct dentry *d = c->dentry;
    if (old->mount != c->at.path.mount)
        return -EXDEV;
    if (S_ISTYPE(inode, S_IFDIR) || !c->dir->ops->link)
        return -EPERM;
    write_lock_nested(&inode->lock, INODE_LOCK_OBJECT);
    int err = inode->nlink == 0 ? -ENOENT : c->dir->ops->link(c->dir, d->name, d->name_len, inode);
    write_unlock(&inode->lock);
    return err;
}

int vfs_link(const struct path *old_base, const char *old_name, const struct path *new_base,
             const char *new_name, bool follow)
{
    struct creation c;
    struct path old;
    int err = path_lookup(old_base, old_name, follow ? WALK_FOLLOW : 0, &old);
    if (err)
        return err;
    err = create_begin(&c, new_base, new_name, false);
    if (!err) {
        struct inode *inode = old.dentry->inode;
        err = link_locked(&c, &old, inode);
        if (!err)
            inode_ref(inode); /* the new name's */
        err = create_finish(&c, err, inode);
    }
    path_put(&old);
    return err;
}

/* The name in its locked directory that unlink or rmdir takes away. */
static int remove_locked(struct walk_result *at, struct dentry *d, bool directory)
{
    struct inode *dir = at->path.dentry->inode, *victim = d->inode;
    if (!victim)
        return -ENOENT;
    if (!directory && at->last_slash)
        return S_ISTYPE(victim, S_IFDIR) ? -EISDIR : -ENOTDIR;
    int err = may_delete(dir, victim, directory);
    if (err)
        return err;
    if (!(directory ? dir->ops->rmdir != NULL : dir->ops->unlink != NULL))
        return -EPERM;
    write_lock_nested(&victim->lock, INODE_LOCK_OBJECT);
    if (READ_ONCE(d->flags) & DENTRY_MOUNTED)
        err = -EBUSY;
    else
        err = directory ? dir->ops->rmdir(dir, d->name, d->name_len, victim)
                        : dir->ops->unlink(dir, d->name, d->name_len, victim);
    write_unlock(&victim->lock);
    if (err)
        return err;
    dentry_drop(d);
    if (directory)
        dentry_prune(d);
    return 0;
}

static int special_removal(const struct walk_result *at, bool directory)
{
    if (!directory)
        return -EISDIR;
    if (at->last_len == 0)
        return -EBUSY; /* "/" */
    return at->last_len == 1 ? -EINVAL : -ENOTEMPTY;
}

int vfs_unlink(const struct path *base, const char *name, bool directory)
{
    struct walk w;
    struct walk_result at;
    struct dentry *d = NULL;
    int err = walk_parent(base, name, &w, &at);
    if (!err && at.last_special)
        err = special_removal(&at, directory);
    if (!err)
        err = mount_want_write(at.path.mount);
    if (!err) {
        WRITE_GUARD(&at.path.dentry->inode->lock);
        err = dentry_lookup(at.path.dentry, at.last, at.last_len, &d);
        if (!err)
            err = remove_locked(&at, d, directory);
        else
            d = NULL;
    }
    if (d)
        dentry_put(d); /* perhaps the end of the file: without the directory's lock */
    walk_end(&w);
    return err;
}

ssize_t vfs_readlink(const struct path *path, char *buf, size_t size)
{
    struct inode *inode = path->dentry->inode;
    if (!S_ISTYPE(inode, S_IFLNK) || !inode->ops->readlink)
        return -EINVAL;
    inode_touch_atime(inode, path->mount);
    return inode->ops->readlink(inode, buf, size);
}
