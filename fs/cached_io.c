/*
 * read and write over the page cache.
 *
 * Reading copies from pages that are referenced but not locked; the copy may fault in user memory.
 * Writing locks each page (object_write_begin), so user memory is faulted in first and the copy
 * under the lock never faults. If the user's page went away in between, the copy comes up short; a
 * page that was not valid before gets zeroes there until the next round overwrites them. Writers of
 * a file exclude each other, and truncation, by inode->lock; readers take no lock and see each page
 * as it is at that moment.
 *
 * What lies behind the end of the file in its last page may be garbage (a mapping can write there).
 * So before the size grows over it, that tail is zeroed: clear_tail().
 */
#include "vfs_priv.h"

#include "lib/string.h"

ssize_t cached_read(struct vm_object *o, struct readahead *ra, struct uio *uio, loff_t *pos)
{
    ssize_t done = 0;
    while (uio->resid > 0) {
        u64 at = (u64)*pos, size = READ_ONCE(o->size);
        if (at >= size)
            break;
        unsigned offset = at & (PAGE_SIZE - 1);
        size_t n = MIN(MIN(PAGE_SIZE - offset, uio->resid), size - at), moved;
        struct page *page = NULL;
        if (o->flags & OBJECT_NO_WRITEBACK) { /* a hole in memory needs no page to be read */
            page = object_find(o, at >> PAGE_SHIFT);
            if (page && !page_flag(page, PG_UPTODATE)) {
                page_put(page);
                page = NULL;
            }
        } else {
            int err = object_get_page(o, at >> PAGE_SHIFT, ra, &page);
            if (err == -ENXIO)
                break; /* truncated meanwhile */
            if (err)
                return done ? done : err;
        }
        if (page) {
            moved = uio_write(uio, (char *)page_to_virt(page) + offset, n);
            page_put(page);
        } else {
            moved = uio_zero(uio, n);
        }
        *pos += (loff_t)moved;
        done += (ssize_t)moved;
        if (moved < n)
            return done ? done : -EFAULT;
    }
    return done;
}

/* Memory file systems with a size limit: asked before a page is made, so that none is left over. */
static int reserve_memory(struct vm_object *o, u64 index)
{
    if (!(o->flags & OBJECT_NO_WRITEBACK) || !o->ops->reserve)
        return 0;
    struct page *page = object_find(o, index);
    if (!page)
        return o->ops->reserve(o, index, 0, PAGE_SIZE);
    page_put(page);
    return 0;
}

/* Up to the end of one page. Bytes written (0: try again) or -errno. */
static ssize_t write_one_page(struct vm_object *o, struct uio *uio, u64 at, size_t n)
{
    unsigned offset = at & (PAGE_SIZE - 1);
    struct page *page;
    if (!uio->kernel) {
        int err = uio_fault_in(uio, n, false);
        if (err)
            return err;
    }
    int err = reserve_memory(o, at >> PAGE_SHIFT);
    if (!err)
        err = object_write_begin(o, at >> PAGE_SHIFT, offset, offset + (unsigned)n, &page);
    if (err)
        return err;
    char *data = (char *)page_to_virt(page) + offset;
    size_t copied = uio_read_nofault(uio, data, n);
    if (copied < n && !page_flag(page, PG_UPTODATE))
        memset(data + copied, 0, n - copied);
    object_write_end(o, page);
    page_put(page);
    return (ssize_t)copied;
}

ssize_t cached_write(struct vm_object *o, struct uio *uio, loff_t *pos, u64 limit)
{
    ssize_t done = 0;
    while (uio->resid > 0) {
        u64 at = (u64)*pos;
        if (at >= limit)
            return done ? done : -EFBIG;
        size_t n = MIN(MIN(PAGE_SIZE - (at & (PAGE_SIZE - 1)), uio->resid), limit - at);
        ssize_t moved = write_one_page(o, uio, at, n);
        if (moved == 0 && signal_pending())
            moved = -EINTR; /* memory so short that no copy succeeds */
        if (moved < 0)
            return done ? done : moved;
        *pos += moved;
        done += moved;
        /* Within the loop: a page behind the end could not be written back or mapped. */
        if ((u64)*pos > o->size)
            WRITE_ONCE(o->size, (u64)*pos);
    }
    return done;
}

int inode_clear_tail(struct inode *inode)
{
    struct vm_object *o = &inode->object;
    unsigned offset = o->size & (PAGE_SIZE - 1);
    struct page *page;
    if (offset == 0)
        return 0;
    if (o->flags & OBJECT_NO_WRITEBACK) {
        page = object_find(o, o->size >> PAGE_SHIFT);
        if (!page)
            return 0; /* never written: zero anyway */
    } else {
        int err = object_get_page(o, o->size >> PAGE_SHIFT, NULL, &page);
        if (err)
            return err;
    }
    page_lock(page);
    if (page->object == o)
        object_zero_tail(o, page, o->size);
    page_unlock(page);
    page_put(page);
    return 0;
}

ssize_t generic_read(struct file *f, struct uio *uio, loff_t *pos)
{
    ssize_t n = cached_read(&f->inode->object, &f->readahead, uio, pos);
    if (!(f->flags & O_NOATIME))
        inode_touch_atime(f->inode, f->path.mount);
    return n;
}

/* After a successful write: times, and set-id bits go. => inode->lock held for writing. */
static void wrote(struct inode *inode)
{
    u32 mode = READ_ONCE(inode->mode);
    struct inode_time now = inode_time_now();
    spin_lock(&inode->state_lock);
    inode->mtime = inode->ctime = now;
    if (unlikely(mode & (S_ISUID | S_ISGID)))
        inode->mode = mode_without_suid(mode);
    spin_unlock(&inode->state_lock);
    inode_mark_dirty(inode);
}

/* What of @count bytes at @pos the seals of a memory file let be written: fcntl(2). */
static int check_seals(const struct inode *inode, u64 pos, size_t *count)
{
    u64 size = inode->object.size;
    if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    if (!(inode->seals & F_SEAL_GROW) || (pos <= size && *count <= size - pos))
        return 0;
    if (pos >= PAGE_DOWN(size))
        return -EPERM;
    *count = PAGE_DOWN(size) - pos; /* as Linux: by pages, the one that would grow is refused */
    return 0;
}

static ssize_t write_locked(struct file *f, struct uio *uio, loff_t *pos)
{
    struct inode *inode = f->inode;
    WRITE_GUARD(&inode->lock);
    if (f->flags & O_APPEND)
        *pos = (loff_t)inode->object.size;
    size_t count = uio->resid, skipped;
    int err = uio->kernel ? 0 : file_check_limit((u64)*pos, &count);
    if (!err)
        err = check_seals(inode, (u64)*pos, &count);
    if (!err && (u64)*pos > inode->object.size)
        err = inode_clear_tail(inode);
    if (err)
        return err;
    skipped = uio->resid - count; /* beyond RLIMIT_FSIZE: hidden from the copy */
    uio->resid = count;
    ssize_t n = cached_write(&inode->object, uio, pos, inode->super->max_bytes);
    uio->resid += skipped;
    if (n > 0)
        wrote(inode);
    return n;
}

ssize_t generic_write(struct file *f, struct uio *uio, loff_t *pos)
{
    if (uio->resid == 0)
        return 0;
    ssize_t n = write_locked(f, uio, pos);
    if (n > 0 && (f->flags & O_DSYNC) && f->ops->fsync) {
        int err = f->ops->fsync(f, (f->flags & O_SYNC) != O_SYNC);
        if (err)
            return err;
    }
    return n;
}
