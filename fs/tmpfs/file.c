/*
 * tmpfs files: the page cache is all there is (OBJECT_NO_WRITEBACK). The size limit counts pages;
 * each file's share is brought up to date whenever it is about to get one more page, shrinks, or
 * goes.
 */
#include "tmpfs_priv.h"

#include "lib/string.h"

#include <linux/falloc.h>
#include <linux/fcntl.h>

void tmpfs_account(struct inode *inode)
{
    struct tmpfs *fs = tmpfs_of(inode->super);
    struct tmpfs_inode *ti = tmpfs_i(inode);
    u64 pages = READ_ONCE(inode->object.nr_pages);
    SPIN_GUARD(&fs->lock);
    fs->used_pages += pages - ti->accounted;
    ti->accounted = pages;
}

static int tmpfs_reserve(struct vm_object *o, u64 index, unsigned from, unsigned to)
{
    struct inode *inode = container_of(o, struct inode, object);
    const struct tmpfs *fs = tmpfs_of(inode->super);
    if (fs->max_pages == 0)
        return 0;
    struct page *page = object_find(o, index);
    if (page)
        page_put(page);
    tmpfs_account(inode);
    return READ_ONCE(fs->used_pages) + (page ? 0 : 1) > fs->max_pages ? -ENOSPC : 0;
}

static int tmpfs_punch(struct vm_object *o, u64 start, u64 end)
{
    struct inode *inode = container_of(o, struct inode, object);
    WRITE_GUARD(&inode->lock);
    if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    object_punch(o, start, end);
    tmpfs_account(inode);
    inode_touch_mtime(inode);
    return 0;
}

const struct vm_object_ops tmpfs_object_ops = {.reserve = tmpfs_reserve,
                                               .punch = tmpfs_punch,
                                               .get = inode_object_get,
                                               .put = inode_object_put,
                                               .file_get = file_get,
                                               .file_put = file_put,
                                               .name = inode_object_name,
                                               .ident = inode_object_ident};

/* Does a seal forbid the change? */
static bool is_sealed(const struct inode *inode, const struct inode_attr *attr)
{
    u32 seals = inode->seals;
    u64 size = inode->object.size;
    return ((attr->valid & ATTR_SIZE) && ((attr->size < size && (seals & F_SEAL_SHRINK)) ||
                                          (attr->size > size && (seals & F_SEAL_GROW)))) ||
           ((attr->valid & ATTR_MODE) && (seals & F_SEAL_EXEC) &&
            ((attr->mode ^ inode->mode) & 0111));
}

static int tmpfs_setattr(struct inode *inode, const struct inode_attr *attr)
{
    int err = is_sealed(inode, attr) ? -EPERM : inode_setattr(inode, attr);
    if (!err && (attr->valid & ATTR_SIZE))
        tmpfs_account(inode);
    return err;
}

static int tmpfs_getattr(struct inode *inode)
{
    inode->blocks = READ_ONCE(inode->object.nr_pages) * (PAGE_SIZE / 512);
    return 0;
}

static int tmpfs_fsync(struct file *f, bool data_only)
{
    return 0; /* memory is as stable as it gets */
}

/* Makes the pages [first, last] exist. */
static int allocate_pages(struct vm_object *o, u64 first, u64 last)
{
    for (u64 i = first; i <= last; i++) {
        struct page *page;
        int err = o->ops->reserve(o, i, 0, PAGE_SIZE);
        if (!err)
            err = object_get_page(o, i, NULL, &page);
        if (err)
            return err == -ENOMEM ? -ENOSPC : err;
        page_put(page);
        if (signal_pending())
            return -EINTR;
    }
    return 0;
}

static int tmpfs_fallocate(struct file *f, int mode, loff_t offset, loff_t len)
{
    struct inode *inode = f->inode;
    struct vm_object *o = &inode->object;
    u64 end = (u64)offset + (u64)len, old;
    if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
        return tmpfs_punch(o, (u64)offset, end);
    if (mode != 0)
        return -EOPNOTSUPP;
    WRITE_GUARD(&inode->lock);
    old = o->size;
    if (end > old && (inode->seals & F_SEAL_GROW))
        return -EPERM;
    if (end > old)
        object_set_size(o, end);
    int err = allocate_pages(o, (u64)offset >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
    if (err && end > old)
        object_set_size(o, old);
    tmpfs_account(inode);
    if (!err)
        inode_touch_ctime(inode);
    return err;
}

static ssize_t tmpfs_readlink(struct inode *inode, char *buf, size_t size)
{
    size_t len = MIN(size, (size_t)inode->object.size);
    memcpy(buf, tmpfs_i(inode)->target, len);
    return (ssize_t)len;
}

const struct inode_ops tmpfs_file_ops_inode = {.setattr = tmpfs_setattr, .getattr = tmpfs_getattr};
const struct inode_ops tmpfs_symlink_ops = {.readlink = tmpfs_readlink};
const struct inode_ops tmpfs_special_ops = {};

const struct file_ops tmpfs_file_ops = {.read = generic_read,
                                        .write = generic_write,
                                        .fsync = tmpfs_fsync,
                                        .fallocate = tmpfs_fallocate};
