/*
 * Special files on any file system: the inode's type and device number choose who serves an open
 * file. Character devices through the registry in dev/, block devices through fs/block_file.c,
 * FIFOs through fs/pipe/. A socket's name cannot be opened.
 */
#include "vfs_priv.h"

#include "core/poll.h"
#include "dev/char.h"
#include "fs/pipe.h"
#include "mm/slab.h"

#include <asm/poll.h>

static unsigned transfer_flags(const struct file *f)
{
    return READ_ONCE(f->flags) & O_NONBLOCK ? CHAR_NONBLOCK : 0;
}

static ssize_t char_read(struct file *f, struct uio *uio, loff_t *pos)
{
    struct char_file *cf = f->private;
    return cf->dev->ops->read ? cf->dev->ops->read(cf, uio, transfer_flags(f)) : -EINVAL;
}

static ssize_t char_write(struct file *f, struct uio *uio, loff_t *pos)
{
    struct char_file *cf = f->private;
    return cf->dev->ops->write ? cf->dev->ops->write(cf, uio, transfer_flags(f)) : -EINVAL;
}

static int char_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct char_file *cf = f->private;
    return cf->dev->ops->ioctl ? (int)cf->dev->ops->ioctl(cf, cmd, arg) : -ENOTTY;
}

static u32 char_poll(struct file *f, struct poll_table *table)
{
    struct char_file *cf = f->private;
    return cf->dev->ops->poll ? cf->dev->ops->poll(cf, table)
                              : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

static loff_t char_seek(struct file *f, loff_t offset, int whence)
{
    struct char_file *cf = f->private;
    return cf->dev->ops->seek ? cf->dev->ops->seek(cf, offset, whence) : -ESPIPE;
}

static int char_mmap(struct file *f, u64 size, bool shared, struct vm_object **out)
{
    struct char_file *cf = f->private;
    return cf->dev->ops->mmap ? cf->dev->ops->mmap(cf, size, shared, out) : -ENODEV;
}

static void char_release(struct file *f)
{
    struct char_file *cf = f->private;
    if (cf->dev->ops->release)
        cf->dev->ops->release(cf);
    kfree(cf);
}

static const struct file_ops char_file_ops = {.release = char_release,
                                              .read = char_read,
                                              .write = char_write,
                                              .seek = char_seek,
                                              .ioctl = char_ioctl,
                                              .poll = char_poll,
                                              .mmap = char_mmap};

static int char_open(struct inode *inode, struct file *f)
{
    struct char_device *dev = char_find_dev((u32)inode->rdev);
    if (!dev)
        return -ENXIO;
    struct char_file *cf = kmalloc(sizeof(*cf), 0);
    if (!cf)
        return -ENOMEM;
    *cf = (struct char_file){.dev = dev, .flags = f->flags};
    int err = dev->ops->open ? dev->ops->open(cf) : 0;
    if (err) {
        kfree(cf);
        return err;
    }
    f->ops = &char_file_ops;
    f->private = cf;
    return 0;
}

int devnode_open(struct inode *inode, struct file *f)
{
    switch (inode->mode & S_IFMT) {
    case S_IFCHR:
        return char_open(inode, f);
    case S_IFBLK:
        return block_file_open(inode, f);
    case S_IFIFO:
        return fifo_open(inode, f);
    default:
        return -ENXIO;
    }
}
