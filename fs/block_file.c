/*
 * Block devices as files. Each device that was ever opened has a page cache of its own
 * (bdev->cache), over which read, write and mmap work as on a regular file of fixed size.
 *
 * File systems reach the device through the buffer cache and through their files' pages. The two
 * agree at the edges: an open writes out the buffers and drops clean pages, so that it shows what
 * the disk has; the last close writes the pages and drops clean buffers. Writing to a device that
 * is mounted at the same time is as unwise as everywhere.
 */
#include "vfs_priv.h"

#include "dev/block.h"
#include "fs/buf.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "mm/slab.h"

#include <linux/capability.h>
#include <linux/fs.h>

struct bdev_cache {
    struct vm_object object;
    struct block_device *bdev;
    struct mutex lock;        /* opens */
    struct rwlock write_lock; /* writers exclude each other */
    u32 opens;
};

static DEFINE_LOCK_CLASS(cache_class, "bdev_open");
static DEFINE_LOCK_CLASS(write_class, "bdev_write");

static struct bdev_cache *cache_of(struct vm_object *o)
{
    return container_of(o, struct bdev_cache, object);
}

/* One transfer under way: pages with consecutive indices, some of them possibly beyond the end. */
struct page_io {
    struct bio bio;
    struct vm_object *object;
    unsigned n;
    struct page **pages;
    struct bio_vec vec[];
};

static void read_done(struct bio *bio)
{
    struct page_io *io = bio->private;
    for (unsigned i = 0; i < io->n; i++) {
        page_flag_set(io->pages[i], bio->status ? PG_ERROR : PG_UPTODATE);
        page_unlock(io->pages[i]);
    }
    kfree(io);
}

static void write_done(struct bio *bio)
{
    struct page_io *io = bio->private;
    if (bio->status)
        object_set_error(io->object, bio->status);
    for (unsigned i = 0; i < io->n; i++)
        page_end_writeback(io->pages[i]);
    kfree(io);
}

/* Bytes of page @index that the device has. */
static u32 bytes_in(const struct vm_object *o, u64 index)
{
    u64 start = index << PAGE_SHIFT;
    return start >= o->size ? 0 : (u32)MIN(o->size - start, PAGE_SIZE);
}

static int submit(struct vm_object *o, struct page **pages, unsigned n, enum bio_op op)
{
    size_t vec_size = n * sizeof(struct bio_vec);
    struct page_io *io = kmalloc(sizeof(*io) + vec_size + n * sizeof(*pages), PA_RESERVE);
    if (!io)
        return -ENOMEM;
    io->object = o;
    io->n = n;
    io->pages = (struct page **)((char *)io->vec + vec_size);
    memcpy(io->pages, pages, n * sizeof(*pages));
    for (unsigned i = 0; i < n; i++) {
        u32 bytes = bytes_in(o, pages[i]->index);
        io->vec[i] = (struct bio_vec){page_to_phys(pages[i]), bytes};
        if (op == BIO_READ && bytes < PAGE_SIZE)
            memset((char *)page_to_virt(pages[i]) + bytes, 0, PAGE_SIZE - bytes);
    }
    io->bio = (struct bio){.bdev = cache_of(o)->bdev,
                           .op = op,
                           .sector = pages[0]->index << (PAGE_SHIFT - SECTOR_SHIFT),
                           .vec = io->vec,
                           .vec_count = n,
                           .done = op == BIO_READ ? read_done : write_done,
                           .private = io};
    block_submit(&io->bio);
    return 0;
}

static int bdev_read_pages(struct vm_object *o, struct page **pages, unsigned n)
{
    return submit(o, pages, n, BIO_READ);
}

static int bdev_write_pages(struct vm_object *o, struct page **pages, unsigned n)
{
    return submit(o, pages, n, BIO_WRITE);
}

static void keep(struct vm_object *o)
{
    /* Devices and their caches are never removed. */
}

static void bdev_name(struct vm_object *o, struct file *f, char *buf, size_t size)
{
    snprintf(buf, size, "/dev/%s", cache_of(o)->bdev->name);
}

static void bdev_ident(struct vm_object *o, u64 *dev, u64 *ino)
{
    *dev = cache_of(o)->bdev->dev;
    *ino = 0;
}

static const struct vm_object_ops bdev_object_ops = {.read_pages = bdev_read_pages,
                                                     .write_pages = bdev_write_pages,
                                                     .get = keep,
                                                     .put = keep,
                                                     .file_get = file_get,
                                                     .file_put = file_put,
                                                     .name = bdev_name,
                                                     .ident = bdev_ident};

/* The cache of @bdev, made at the first open. NULL: out of memory. */
static struct bdev_cache *cache_get(struct block_device *bdev)
{
    struct bdev_cache *c = load_acquire((struct bdev_cache **)&bdev->cache);
    if (c)
        return c;
    c = kzalloc(sizeof(*c), 0);
    if (!c)
        return NULL;
    object_init(&c->object, &bdev_object_ops, 0);
    c->object.size = bdev->sectors << SECTOR_SHIFT;
    c->bdev = bdev;
    mutex_init(&c->lock, &cache_class);
    rwlock_init(&c->write_lock, &write_class);
    void *none = NULL;
    if (!atomic_cas(&bdev->cache, &none, c)) {
        kfree(c);
        c = none;
    }
    return c;
}

static ssize_t block_read(struct file *f, struct uio *uio, loff_t *pos)
{
    struct bdev_cache *c = f->private;
    return cached_read(&c->object, &f->readahead, uio, pos);
}

static ssize_t block_write(struct file *f, struct uio *uio, loff_t *pos)
{
    struct bdev_cache *c = f->private;
    if (c->bdev->read_only)
        return -EPERM;
    if ((u64)*pos >= c->object.size)
        return uio->resid ? -ENOSPC : 0;
    WRITE_GUARD(&c->write_lock);
    size_t count = MIN(uio->resid, c->object.size - (u64)*pos), skipped = uio->resid - count;
    uio->resid = count;
    ssize_t n = cached_write(&c->object, uio, pos, c->object.size);
    uio->resid += skipped;
    return n;
}

static loff_t block_seek(struct file *f, loff_t offset, int whence)
{
    struct bdev_cache *c = f->private;
    loff_t base = whence == SEEK_CUR ? f->pos : whence == SEEK_END ? (loff_t)c->object.size : 0;
    loff_t result;
    if (whence > SEEK_END || __builtin_add_overflow(base, offset, &result) || result < 0 ||
        (u64)result > c->object.size)
        return -EINVAL;
    return f->pos = result;
}

static int block_fsync(struct file *f, bool data_only)
{
    struct bdev_cache *c = f->private;
    int err = object_sync(&c->object, 0, ~0UL, true);
    int err2 = buf_sync(c->bdev, true);
    int err3 = block_flush(c->bdev);
    return err ? err : err2 ? err2 : err3;
}

static int flush_buffers(struct file *f)
{
    struct bdev_cache *c = f->private;
    if (!capable(CAP_SYS_ADMIN))
        return -EACCES;
    int err = block_fsync(f, false);
    object_drop_clean(&c->object, 0, ~0UL);
    buf_invalidate(c->bdev);
    return err;
}

static int block_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct bdev_cache *c = f->private;
    switch (cmd) {
    case BLKGETSIZE64:
        return PUT_USER(arg, (u64)c->object.size);
    case BLKGETSIZE:
        return PUT_USER(arg, (u64)(c->object.size >> SECTOR_SHIFT));
    case BLKSSZGET:
    case BLKPBSZGET:
        return PUT_USER(arg, (s32)SECTOR_SIZE);
    case BLKBSZGET:
        return PUT_USER(arg, (s32)PAGE_SIZE);
    case BLKROGET:
        return PUT_USER(arg, (s32)c->bdev->read_only);
    case BLKFLSBUF:
        return flush_buffers(f);
    default:
        return -ENOTTY;
    }
}

static int block_mmap(struct file *f, u64 size, bool shared, struct vm_object **out)
{
    *out = &((struct bdev_cache *)f->private)->object;
    return 0;
}

static void block_release(struct file *f)
{
    struct bdev_cache *c = f->private;
    MUTEX_GUARD(&c->lock);
    if (--c->opens > 0)
        return;
    bool wrote = c->object.nr_dirty > 0;
    (void)object_sync(&c->object, 0, ~0UL, true); /* an error stays for the next fsync */
    if (wrote || FILE_WRITABLE(f))
        buf_invalidate(c->bdev);
}

static const struct file_ops block_file_ops = {.release = block_release,
                                               .read = block_read,
                                               .write = block_write,
                                               .seek = block_seek,
                                               .ioctl = block_ioctl,
                                               .fsync = block_fsync,
                                               .mmap = block_mmap};

int block_file_open(struct inode *inode, struct file *f)
{
    struct block_device *bdev = block_find_dev((u32)inode->rdev);
    struct bdev_cache *c = bdev ? cache_get(bdev) : NULL;
    if (!c)
        return bdev ? -ENOMEM : -ENXIO;
    if (bdev->read_only && FILE_WRITABLE(f))
        return -EROFS;
    MUTEX_GUARD(&c->lock);
    if (c->opens == 0) {
        (void)buf_sync(bdev, true);
        object_drop_clean(&c->object, 0, ~0UL);
    }
    c->opens++;
    f->ops = &block_file_ops;
    f->private = c;
    return 0;
}
