/*
 * Changing what stat(2) shows: chmod, chown, utimensat, truncate; and the questions access(2) and
 * statfs(2). Who may: chmod(2), chown(2), utimensat(2), truncate(2).
 */
#include "vfs_priv.h"

#include "lib/string.h"

#include <asm/statfs.h>
#include <linux/capability.h>
#include <linux/mount.h>

u32 mode_without_suid(u32 mode)
{
    if (!S_ISREG(mode) || capable(CAP_FSETID))
        return mode;
    mode &= ~(u32)S_ISUID;
    return mode & S_IXGRP ? mode & ~(u32)S_ISGID : mode;
}

static int check_owner_change(struct inode *inode, const struct inode_attr *attr)
{
    const struct cred *cred = cred_current();
    bool owner = !cred || cred->fsuid == inode->uid;
    if ((attr->valid & ATTR_UID) && !(owner && attr->uid == inode->uid) && !capable(CAP_CHOWN))
        return -EPERM;
    if ((attr->valid & ATTR_GID) &&
        !(owner && (attr->gid == inode->gid || cred_in_group(cred, attr->gid))) &&
        !capable(CAP_CHOWN))
        return -EPERM;
    return 0;
}

/* Is the current thread allowed to change @attr? ATTR_SIZE was checked by the caller. */
static int may_setattr(struct inode *inode, const struct inode_attr *attr)
{
    if (inode->super->read_only)
        return -EROFS;
    if ((attr->valid & ATTR_MODE) && !inode_owner_or_capable(inode))
        return -EPERM;
    if ((attr->valid & (ATTR_ATIME | ATTR_MTIME)) && !(attr->valid & ATTR_SIZE) &&
        !inode_owner_or_capable(inode)) {
        if (!(attr->valid & ATTR_TOUCH))
            return -EPERM;
        int err = inode_permission(inode, MAY_WRITE);
        if (err)
            return err;
    }
    return check_owner_change(inode, attr);
}

/* What a change entails: ctime; set-id bits that must not survive it. */
static void complete_attr(struct inode *inode, struct inode_attr *attr)
{
    u32 mode = attr->valid & ATTR_MODE ? attr->mode & 07777 : inode->mode & 07777;
    u32 gid = attr->valid & ATTR_GID ? attr->gid : inode->gid;
    if ((attr->valid & ATTR_MODE) && !cred_in_group(cred_current(), gid) && !capable(CAP_FSETID))
        mode &= ~(u32)S_ISGID;
    if ((attr->valid & (ATTR_UID | ATTR_GID)) && !S_ISTYPE(inode, S_IFDIR)) {
        mode &= ~(u32)S_ISUID;
        if (mode & S_IXGRP)
            mode &= ~(u32)S_ISGID;
    }
    if (attr->valid & ATTR_SIZE)
        mode = mode_without_suid(mode | (inode->mode & S_IFMT)) & 07777;
    if (mode != (inode->mode & 07777))
        attr->valid |= ATTR_MODE;
    attr->mode = mode;
    if (!(attr->valid & ATTR_CTIME)) {
        attr->valid |= ATTR_CTIME;
        attr->ctime = inode_time_now();
    }
    attr->valid &= ~ATTR_TOUCH;
}

int vfs_setattr(const struct path *path, struct inode_attr *attr)
{
    struct inode *inode = path->dentry->inode;
    if (path->mount->flags & MS_RDONLY)
        return -EROFS;
    WRITE_GUARD(&inode->lock);
    int err = may_setattr(inode, attr);
    if (err)
        return err;
    complete_attr(inode, attr);
    if ((attr->valid & ATTR_SIZE) && attr->size > inode->object.size) {
        if (attr->size > inode->super->max_bytes)
            return -EFBIG;
        err = inode_clear_tail(inode);
        if (err)
            return err;
    }
    return inode->ops->setattr ? inode->ops->setattr(inode, attr) : inode_setattr(inode, attr);
}

/* The common half of truncate and ftruncate: limits, then the change. */
static int truncate_checked(const struct path *path, u64 size)
{
    struct inode *inode = path->dentry->inode;
    struct inode_attr attr = {.valid = ATTR_SIZE | ATTR_MTIME, .size = size};
    if ((s64)size < 0)
        return -EINVAL;
    if (size > inode_size(inode)) {
        size_t count = 1;
        int err = file_check_limit(size - 1, &count);
        if (err)
            return err;
    }
    attr.mtime = inode_time_now();
    return vfs_setattr(path, &attr);
}

int vfs_truncate(const struct path *path, u64 size)
{
    struct inode *inode = path->dentry->inode;
    if (S_ISTYPE(inode, S_IFDIR))
        return -EISDIR;
    if (!S_ISTYPE(inode, S_IFREG))
        return -EINVAL;
    int err = mount_want_write(path->mount);
    if (!err)
        err = inode_permission(inode, MAY_WRITE);
    if (!err)
        err = inode_get_write(inode); /* not while it is executed */
    if (err)
        return err;
    err = truncate_checked(path, size);
    inode_put_write(inode);
    return err;
}

int file_truncate(struct file *f, u64 size)
{
    if (f->ops == &path_file_ops)
        return -EBADF;
    if (!FILE_WRITABLE(f) || !S_ISTYPE(f->inode, S_IFREG))
        return -EINVAL;
    if (f->path.dentry)
        return truncate_checked(&f->path, size);
    return -EINVAL;
}

int vfs_access(const struct path *path, unsigned mask)
{
    struct inode *inode = path->dentry->inode;
    if ((mask & MAY_EXEC) && S_ISTYPE(inode, S_IFREG) && (path->mount->flags & MS_NOEXEC))
        return -EACCES;
    int err = mask ? inode_permission(inode, mask) : 0;
    u32 type = inode->mode & S_IFMT;
    if (!err && (mask & MAY_WRITE) && (type == S_IFREG || type == S_IFDIR || type == S_IFLNK))
        err = mount_want_write(path->mount);
    return err;
}

/* f_flags of statfs(2); the values are its ST_*, which match MS_* but for these two. */
#define ST_VALID_    0x0020
#define ST_RELATIME_ 0x1000

static u32 statfs_flags(const struct mount *m)
{
    u32 flags =
        ST_VALID_ |
        (m->flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME));
    if (m->super->read_only)
        flags |= MS_RDONLY;
    if (!(m->flags & (MS_NOATIME | MS_STRICTATIME)))
        flags |= ST_RELATIME_;
    return flags;
}

int vfs_statfs(const struct path *path, struct statfs *out)
{
    struct super *sb = path->dentry->super;
    memset(out, 0, sizeof(*out));
    out->f_bsize = sb->block_size;
    out->f_namelen = NAME_MAX;
    out->f_fsid.val[0] = (int)sb->dev;
    int err = sb->ops->statfs ? sb->ops->statfs(sb, out) : 0;
    if (err)
        return err;
    if (out->f_frsize == 0)
        out->f_frsize = out->f_bsize;
    out->f_flags = statfs_flags(path->mount);
    return 0;
}
