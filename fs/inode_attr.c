/*
 * The fields of an inode that stat(2) shows: times, owner, mode, links; and who executes or writes
 * it. All under inode->state_lock; none of these functions sleeps unless they mark the inode dirty,
 * which does not sleep either, or call the file system's getattr.
 */
#include "vfs_priv.h"

#include "core/timer.h"

#include <linux/capability.h>
#include <linux/mount.h>

#define RELATIME_SECONDS (24 * 60 * 60) /* older than a day: atime is brought up to date anyway */

struct inode_time inode_time_now(void)
{
    u64 now = time_wall_ns();
    return (struct inode_time){.sec = (s64)(now / NSEC_PER_SEC), .nsec = (u32)(now % NSEC_PER_SEC)};
}

void inode_init_owner(struct inode *inode, const struct inode *dir, u32 mode)
{
    const struct cred *cred = cred_current();
    inode->uid = cred ? cred->fsuid : 0;
    inode->gid = cred ? cred->fsgid : 0;
    if (dir && (dir->mode & S_ISGID)) {
        inode->gid = dir->gid;
        if (S_ISDIR(mode))
            mode |= S_ISGID;
        else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
                 !cred_in_group(cred, inode->gid) && !capable(CAP_FSETID))
            mode &= ~S_ISGID;
    }
    inode->mode = mode;
    inode->atime = inode->mtime = inode->ctime = inode_time_now();
}

int inode_setattr(struct inode *inode, const struct inode_attr *attr)
{
    if (attr->valid & ATTR_SIZE)
        object_set_size(&inode->object, attr->size);
    spin_lock(&inode->state_lock);
    if (attr->valid & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
    if (attr->valid & ATTR_UID)
        inode->uid = attr->uid;
    if (attr->valid & ATTR_GID)
        inode->gid = attr->gid;
    if (attr->valid & ATTR_ATIME)
        inode->atime = attr->atime;
    if (attr->valid & ATTR_MTIME)
        inode->mtime = attr->mtime;
    if (attr->valid & ATTR_CTIME)
        inode->ctime = attr->ctime;
    spin_unlock(&inode->state_lock);
    inode_mark_dirty(inode);
    return 0;
}

void inode_grow(struct inode *inode, u64 size)
{
    if (size > inode->object.size) {
        WRITE_ONCE(inode->object.size, size);
        inode_mark_dirty(inode);
    }
}

void inode_touch_mtime(struct inode *inode)
{
    struct inode_time now = inode_time_now();
    spin_lock(&inode->state_lock);
    inode->mtime = inode->ctime = now;
    spin_unlock(&inode->state_lock);
    inode_mark_dirty(inode);
}

void inode_touch_ctime(struct inode *inode)
{
    struct inode_time now = inode_time_now();
    spin_lock(&inode->state_lock);
    inode->ctime = now;
    spin_unlock(&inode->state_lock);
    inode_mark_dirty(inode);
}

static bool not_after(const struct inode_time *a, const struct inode_time *b)
{
    return a->sec < b->sec || (a->sec == b->sec && a->nsec <= b->nsec);
}

void inode_touch_atime(struct inode *inode, const struct mount *mnt)
{
    unsigned flags = mnt ? mnt->flags : 0;
    if (inode->super->read_only || (flags & (MS_RDONLY | MS_NOATIME)) ||
        ((flags & MS_NODIRATIME) && S_ISTYPE(inode, S_IFDIR)))
        return;
    /* Almost always nothing is to be done: look without the lock first. */
    struct inode_time now = inode_time_now();
    if (!(flags & MS_STRICTATIME) && !not_after(&inode->atime, &inode->mtime) &&
        !not_after(&inode->atime, &inode->ctime) && now.sec - inode->atime.sec < RELATIME_SECONDS)
        return;
    spin_lock(&inode->state_lock);
    inode->atime = now;
    spin_unlock(&inode->state_lock);
    inode_mark_dirty(inode);
}

void inode_set_nlink(struct inode *inode, u32 nlink)
{
    spin_lock(&inode->state_lock);
    WRITE_ONCE(inode->nlink, nlink);
    spin_unlock(&inode->state_lock);
    inode_mark_dirty(inode);
}

int inode_stat(struct inode *inode, struct inode_stat *out)
{
    if (inode->ops->getattr) {
        int err = inode->ops->getattr(inode);
        if (err)
            return err;
    }
    SPIN_GUARD(&inode->state_lock);
    *out = (struct inode_stat){.dev = inode->super->dev,
                               .ino = inode->ino,
                               .rdev = inode->rdev,
                               .size = inode_size(inode),
                               .blocks = inode->blocks,
                               .mode = inode->mode,
                               .nlink = inode->nlink,
                               .uid = inode->uid,
                               .gid = inode->gid,
                               .block_size = inode->super->block_size,
                               .atime = inode->atime,
                               .mtime = inode->mtime,
                               .ctime = inode->ctime};
    return 0;
}

int inode_deny_write(struct inode *inode)
{
    SPIN_GUARD(&inode->state_lock);
    if (inode->write_count > 0)
        return -ETXTBSY;
    inode->exec_count++;
    return 0;
}

void inode_allow_write(struct inode *inode)
{
    SPIN_GUARD(&inode->state_lock);
    debug_assert(inode->exec_count > 0);
    inode->exec_count--;
}

int inode_get_write(struct inode *inode)
{
    SPIN_GUARD(&inode->state_lock);
    if (inode->exec_count > 0)
        return -ETXTBSY;
    inode->write_count++;
    return 0;
}

void inode_put_write(struct inode *inode)
{
    SPIN_GUARD(&inode->state_lock);
    debug_assert(inode->write_count > 0);
    inode->write_count--;
}
