/*
 * Open files: life, transfers, offset. A file with a path pins its inode through the dentry; one
 * without holds a reference to the inode itself.
 *
 * Files with an offset (regular files, directories, block devices) hold pos_lock across a transfer
 * that uses it; streams (pipes, terminals) have none, so a reader that sleeps keeps nobody away.
 */
#include "vfs_priv.h"

#include "core/poll.h"
#include "mm/slab.h"

#include <asm/ioctls.h>
#include <asm/poll.h>
#include <linux/falloc.h>
#include <linux/fs.h>

static DEFINE_LOCK_CLASS(pos_class, "file_pos");

static struct kmem_cache *file_cache;
static const struct file_limit_ops *limit_ops;

void file_set_limit_ops(const struct file_limit_ops *ops)
{
    limit_ops = ops;
}

int file_check_limit(u64 pos, size_t *count)
{
    u64 limit = limit_ops ? limit_ops->size_limit() : ~0UL;
    if (likely(pos < limit)) {
        *count = MIN(*count, limit - pos);
        return 0;
    }
    if (*count == 0)
        return 0;
    limit_ops->exceeded();
    return -EFBIG;
}

struct file *file_alloc(void)
{
    struct file *f = kmem_cache_alloc(file_cache, 0);
    if (!f)
        return NULL;
    f->ops = NULL;
    f->inode = NULL;
    f->path = (struct path){NULL, NULL};
    f->refs = 1;
    f->flags = 0;
    f->pos = 0;
    f->has_pos = f->writer = false;
    f->owner_pid = 0;
    f->private = NULL;
    mutex_init(&f->pos_lock, &pos_class);
    readahead_init(&f->readahead);
    return f;
}

void file_free(struct file *f)
{
    kmem_cache_free(file_cache, f);
}

int file_new(struct inode *inode, const struct file_ops *ops, unsigned flags, struct file **out)
{
    struct file *f = file_alloc();
    if (!f)
        return -ENOMEM;
    f->ops = ops;
    f->inode = inode;
    f->flags = flags;
    *out = f;
    return 0;
}

int file_new_named(struct mount *m, struct inode *inode, const char *name, unsigned flags,
                   struct file **out)
{
    struct dentry *d = dentry_root(inode->super, inode, name);
    int err = d ? file_new(inode, inode->file_ops, flags, out) : -ENOMEM;
    if (err) {
        if (d)
            dentry_put(d);
        else
            inode_put(inode);
        return err;
    }
    (*out)->has_pos = true;
    (*out)->path = (struct path){m, d};
    atomic_add_relaxed(&m->refs, 1);
    return 0;
}

static void file_close(struct file *f)
{
    if (unlikely(!list_empty(&f->inode->locks)))
        flock_file_closed(f);
    if (f->ops->release)
        f->ops->release(f);
    if (f->writer)
        inode_put_write(f->inode);
    if (f->path.dentry)
        path_put(&f->path);
    else
        inode_put(f->inode);
    file_free(f);
}

void file_put(struct file *f)
{
    if (atomic_sub(&f->refs, 1) == 0)
        file_close(f);
}

/* Checks common to both directions. */
static inline int check_transfer(const struct file *f, bool allowed, const void *op,
                                 const loff_t *pos)
{
    if (unlikely(!allowed || f->ops == &path_file_ops))
        return -EBADF;
    if (unlikely(!op))
        return S_ISTYPE(f->inode, S_IFDIR) ? -EISDIR : -EINVAL;
    if (unlikely(pos && !f->has_pos))
        return -ESPIPE;
    return unlikely(pos && *pos < 0) ? -EINVAL : 0;
}

ssize_t file_read(struct file *f, struct uio *uio, loff_t *pos)
{
    if (pos == &f->pos)
        pos = NULL;
    int err = check_transfer(f, FILE_READABLE(f), f->ops->read, pos);
    if (unlikely(err))
        return err;
    if (pos || !f->has_pos)
        return f->ops->read(f, uio, pos ? pos : &f->pos);
    MUTEX_GUARD(&f->pos_lock);
    return f->ops->read(f, uio, &f->pos);
}

ssize_t file_write(struct file *f, struct uio *uio, loff_t *pos)
{
    if (pos == &f->pos)
        pos = NULL;
    int err = check_transfer(f, FILE_WRITABLE(f), f->ops->write, pos);
    if (unlikely(err))
        return err;
    if (pos || !f->has_pos)
        return f->ops->write(f, uio, pos ? pos : &f->pos);
    MUTEX_GUARD(&f->pos_lock);
    return f->ops->write(f, uio, &f->pos);
}

ssize_t file_read_kernel(struct file *f, void *buf, size_t n, loff_t pos)
{
    struct uio uio;
    struct uio_vec vec;
    uio_init_kernel(&uio, &vec, buf, n);
    return f->ops->read ? f->ops->read(f, &uio, &pos) : -EINVAL;
}

/* By size: regular files, directories (where offsets are cookies), block devices' default. */
static loff_t seek_by_size(struct file *f, loff_t offset, int whence)
{
    loff_t size = (loff_t)inode_size(f->inode), base = 0;
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = f->pos;
        break;
    case SEEK_END:
        base = size;
        break;
    case SEEK_DATA: /* allowed by lseek(2): all is data, the hole is at the end */
    case SEEK_HOLE:
        if (offset < 0 || offset >= size)
            return -ENXIO;
        return f->pos = whence == SEEK_DATA ? offset : size;
    default:
        return -EINVAL;
    }
    loff_t result;
    if (__builtin_add_overflow(base, offset, &result))
        return -EOVERFLOW;
    if (result < 0)
        return -EINVAL;
    return f->pos = result;
}

loff_t file_seek(struct file *f, loff_t offset, int whence)
{
    if (f->ops == &path_file_ops)
        return -EBADF;
    if (whence < 0 || whence > SEEK_MAX)
        return -EINVAL;
    if (f->ops->seek) {
        MUTEX_GUARD(&f->pos_lock);
        return f->ops->seek(f, offset, whence);
    }
    if (!f->has_pos)
        return -ESPIPE;
    MUTEX_GUARD(&f->pos_lock);
    return seek_by_size(f, offset, whence);
}

int file_readdir(struct file *f, struct dir_context *ctx)
{
    struct inode *dir = f->inode;
    if (!f->ops->readdir)
        return f->ops == &path_file_ops ? -EBADF : -ENOTDIR;
    MUTEX_GUARD(&f->pos_lock);
    int err = -ENOENT;
    {
        READ_GUARD(&dir->lock);
        if (dir->nlink > 0) {
            ctx->pos = f->pos;
            err = f->ops->readdir(f, ctx);
            f->pos = ctx->pos;
        }
    }
    if (!err)
        inode_touch_atime(dir, f->path.mount);
    return err;
}

int file_fsync(struct file *f, bool data_only)
{
    if (f->ops == &path_file_ops)
        return -EBADF;
    return f->ops->fsync ? f->ops->fsync(f, data_only) : -EINVAL;
}

u32 file_poll(struct file *f, struct poll_table *table)
{
    if (f->ops == &path_file_ops)
        return POLLNVAL;
    return f->ops->poll ? f->ops->poll(f, table) : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

int file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    if (f->ops == &path_file_ops)
        return -EBADF;
    if (cmd == FIONREAD && S_ISTYPE(f->inode, S_IFREG)) {
        loff_t left = (loff_t)inode_size(f->inode) - READ_ONCE(f->pos);
        return PUT_USER(arg, (s32)MIN(MAX(left, 0), INT32_MAX));
    }
    return f->ops->ioctl ? f->ops->ioctl(f, cmd, arg) : -ENOTTY;
}

int file_fallocate(struct file *f, int mode, loff_t offset, loff_t len)
{
    if (offset < 0 || len <= 0)
        return -EINVAL;
    if (!FILE_WRITABLE(f) || f->ops == &path_file_ops)
        return -EBADF;
    if (S_ISTYPE(f->inode, S_IFIFO))
        return -ESPIPE;
    if (S_ISTYPE(f->inode, S_IFDIR))
        return -EISDIR;
    if (!S_ISTYPE(f->inode, S_IFREG))
        return -ENODEV;
    if (len > (loff_t)f->inode->super->max_bytes - offset)
        return -EFBIG;
    size_t count = (size_t)len;
    u64 end = (u64)offset + (u64)len;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > inode_size(f->inode)) {
        int err = file_check_limit((u64)offset, &count);
        if (err || count < (size_t)len)
            return -EFBIG;
    }
    return f->ops->fallocate ? f->ops->fallocate(f, mode, offset, len) : -EOPNOTSUPP;
}

int file_mmap(struct file *f, u64 size, bool shared, struct vm_object **out)
{
    if (f->ops->mmap)
        return f->ops->mmap(f, size, shared, out);
    struct vm_object *o = &f->inode->object;
    if (!S_ISTYPE(f->inode, S_IFREG) || !o->ops || f->ops == &path_file_ops)
        return -ENODEV;
    o->ops->get(o);
    *out = o;
    inode_touch_atime(f->inode, f->path.mount);
    return 0;
}

void file_init(void)
{
    file_cache = kmem_cache_create("file", sizeof(struct file), 64);
}
