/*
 * Pipes and FIFOs: a ring of bytes over pages.
 *
 * head and tail count all bytes ever written and read (modulo 2^64); head - tail are in the ring.
 * Page i of the stream is slot i mod slots. Whenever the ring runs empty both return to 0, so a
 * program that plays ping-pong works on one page for ever. Pages are allocated as the writer gets
 * to them; beyond a few they are freed when the ring has run empty.
 *
 * pipe->lock (sleeping: user memory is copied under it) guards everything; the wait conditions read
 * head, tail and the counts without it. Wakers change the state, then look for waiters; a waiter
 * queues itself, then looks at the state: a fence on each side.
 *
 * The inode holds the pipe while anyone has it open (inode->pipe, under inode->state_lock).
 */
#include "fs/pipe.h"

#include "core/panic.h"
#include "core/poll.h"
#include "fs/cred.h"
#include "lib/string.h"
#include "mm/slab.h"

#include <asm/ioctls.h>
#include <asm/poll.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#define PIPE_ATOMIC     4096UL /* PIPE_BUF: writes up to this size are never split */
#define DEFAULT_SLOTS   16
#define MAX_SIZE        (1UL << 31)
#define UNPRIVILEGED    (1UL << 20)
#define KEEP_WHEN_EMPTY 4 /* pages */

struct pipe {
    struct mutex lock;
    u64 head, tail;
    u32 slots; /* power of two */
    u32 pages_allocated;
    void **ring;                    /* pages (direct map) or NULL */
    u32 readers, writers;           /* open ends */
    u32 reader_opens, writer_opens; /* ever: a FIFO's open waits for these to move */
    u32 files;                      /* inode->state_lock: struct files, and opens under way */
    struct waitq read_wait, write_wait;
};

static DEFINE_LOCK_CLASS(pipe_class, "pipe");
static struct mount *pipe_mount;
static struct kmem_cache *pipe_cache;
static const struct file_ops pipe_ops;

static u64 pipe_used(const struct pipe *p)
{
    return READ_ONCE(p->head) - READ_ONCE(p->tail);
}

static u64 pipe_room(const struct pipe *p)
{
    return ((u64)READ_ONCE(p->slots) << PAGE_SHIFT) - pipe_used(p);
}

static struct pipe *pipe_alloc(void)
{
    struct pipe *p = kmem_cache_alloc(pipe_cache, PA_ZERO);
    if (!p)
        return NULL;
    p->ring = kzalloc(DEFAULT_SLOTS * sizeof(*p->ring), 0);
    if (!p->ring) {
        kmem_cache_free(pipe_cache, p);
        return NULL;
    }
    p->slots = DEFAULT_SLOTS;
    mutex_init(&p->lock, &pipe_class);
    waitq_init(&p->read_wait);
    waitq_init(&p->write_wait);
    return p;
}

/* Frees the pages in the slots from @first on. */
static void free_pages_from(struct pipe *p, u32 first)
{
    for (u32 i = first; i < p->slots; i++) {
        if (p->ring[i]) {
            page_free(virt_to_page(p->ring[i]), 0);
            p->ring[i] = NULL;
            p->pages_allocated--;
        }
    }
}

static void pipe_free(struct pipe *p)
{
    free_pages_from(p, 0);
    kfree(p->ring);
    kmem_cache_free(pipe_cache, p);
}

/* The change is made; wakes who waits for it. */
static inline void wake(struct waitq *q, u32 events)
{
    memory_barrier();
    if (!list_empty(&q->waiters))
        waitq_wake_all_key(q, events);
}

static void wake_readers(struct pipe *p)
{
    wake(&p->read_wait, POLLIN | POLLRDNORM);
}

static void wake_writers(struct pipe *p)
{
    wake(&p->write_wait, POLLOUT | POLLWRNORM);
}

/* Moves what can be moved to @uio. Bytes, or -EFAULT. => Locked. */
static ssize_t take(struct pipe *p, struct uio *uio)
{
    ssize_t done = 0;
    while (uio->resid > 0 && p->head != p->tail) {
        u32 offset = p->tail & (PAGE_SIZE - 1);
        size_t n = MIN(MIN(PAGE_SIZE - offset, uio->resid), p->head - p->tail);
        char *page = p->ring[(p->tail >> PAGE_SHIFT) & (p->slots - 1)];
        size_t moved = uio_write(uio, page + offset, n);
        WRITE_ONCE(p->tail, p->tail + moved);
        done += (ssize_t)moved;
        if (moved < n)
            break;
    }
    if (p->head == p->tail) {
        WRITE_ONCE(p->tail, 0); /* readers of the counts are woken below and look again */
        WRITE_ONCE(p->head, 0);
        if (p->pages_allocated > KEEP_WHEN_EMPTY)
            free_pages_from(p, KEEP_WHEN_EMPTY);
    }
    return done || uio->resid == 0 ? done : -EFAULT;
}

/* Moves up to @limit bytes from @uio into the ring. Bytes, -EFAULT or -ENOMEM. => Locked. */
static ssize_t put(struct pipe *p, struct uio *uio, u64 limit)
{
    ssize_t done = 0;
    limit = MIN(limit, uio->resid);
    while (limit > 0) {
        u32 offset = p->head & (PAGE_SIZE - 1);
        void **slot = &p->ring[(p->head >> PAGE_SHIFT) & (p->slots - 1)];
        if (!*slot) {
            struct page *page = page_alloc(0, PAGE_WIRED, 0);
            if (!page)
                return done ? done : -ENOMEM;
            *slot = page_to_virt(page);
            p->pages_allocated++;
        }
        size_t n = MIN(PAGE_SIZE - offset, limit);
        size_t moved = uio_read(uio, (char *)*slot + offset, n);
        WRITE_ONCE(p->head, p->head + moved);
        done += (ssize_t)moved;
        limit -= moved;
        if (moved < n)
            return done ? done : -EFAULT;
    }
    return done;
}

static bool can_read(const struct pipe *p)
{
    memory_barrier();
    return READ_ONCE(p->head) != READ_ONCE(p->tail) || READ_ONCE(p->writers) == 0;
}

static bool can_write(const struct pipe *p, u64 want)
{
    memory_barrier();
    return pipe_room(p) >= want || READ_ONCE(p->readers) == 0;
}

static ssize_t pipe_read(struct file *f, struct uio *uio, loff_t *pos)
{
    struct pipe *p = f->private;
    if (uio->resid == 0)
        return 0;
    for (;;) {
        {
            MUTEX_GUARD(&p->lock);
            if (p->head != p->tail) {
                ssize_t n = take(p, uio);
                if (n > 0)
                    wake_writers(p);
                return n;
            }
            if (p->writers == 0)
                return 0;
        }
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event_intr(&p->read_wait, can_read(p)))
            return -ERESTARTSYS;
    }
}

/* One go at writing. Bytes, 0: no room for what must go in at once, or -errno. */
static ssize_t write_some(struct pipe *p, struct uio *uio, u64 need)
{
    MUTEX_GUARD(&p->lock);
    if (p->readers == 0)
        return -EPIPE;
    u64 room = pipe_room(p);
    if (room < need)
        return 0;
    ssize_t n = put(p, uio, room);
    if (n > 0)
        wake_readers(p);
    return n;
}

static ssize_t pipe_write(struct file *f, struct uio *uio, loff_t *pos)
{
    struct pipe *p = f->private;
    ssize_t done = 0;
    /* Small writes go in whole; larger ones as room comes. */
    u64 need = uio->resid <= PIPE_ATOMIC ? uio->resid : 1;
    while (uio->resid > 0) {
        ssize_t n = write_some(p, uio, need);
        if (n < 0)
            return done ? done : n;
        done += n;
        if (n > 0)
            continue;
        if (f->flags & O_NONBLOCK)
            return done ? done : -EAGAIN;
        if (wait_event_intr(&p->write_wait, can_write(p, need)))
            return done ? done : -ERESTARTSYS;
    }
    return done;
}

static u32 pipe_poll(struct file *f, struct poll_table *table)
{
    struct pipe *p = f->private;
    u32 events = 0;
    if (FILE_READABLE(f))
        poll_wait(table, &p->read_wait);
    if (FILE_WRITABLE(f))
        poll_wait(table, &p->write_wait);
    memory_barrier();
    if (FILE_READABLE(f)) {
        if (pipe_used(p) > 0)
            events |= POLLIN | POLLRDNORM;
        if (READ_ONCE(p->writers) == 0 && READ_ONCE(p->writer_opens) > 0)
            events |= POLLHUP;
    }
    if (FILE_WRITABLE(f)) {
        if (pipe_room(p) >= PIPE_ATOMIC)
            events |= POLLOUT | POLLWRNORM;
        if (READ_ONCE(p->readers) == 0)
            events |= POLLERR;
    }
    return events;
}

static int pipe_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct pipe *p = f->private;
    if (cmd != FIONREAD)
        return -ENOTTY;
    MUTEX_GUARD(&p->lock);
    return PUT_USER(arg, (s32)pipe_used(p));
}

/* One user of the pipe less; the last frees it. */
static void pipe_leave(struct inode *inode, struct pipe *p)
{
    spin_lock(&inode->state_lock);
    bool last = --p->files == 0;
    if (last)
        inode->pipe = NULL;
    spin_unlock(&inode->state_lock);
    if (last)
        pipe_free(p);
}

static void close_end(struct pipe *p, unsigned flags)
{
    unsigned mode = flags & O_ACCMODE;
    MUTEX_GUARD(&p->lock);
    if (mode != O_WRONLY)
        WRITE_ONCE(p->readers, p->readers - 1);
    if (mode != O_RDONLY)
        WRITE_ONCE(p->writers, p->writers - 1);
    if (p->writers == 0)
        wake(&p->read_wait, POLLIN | POLLHUP);
    if (p->readers == 0)
        wake(&p->write_wait, POLLOUT | POLLERR);
}

static void pipe_release(struct file *f)
{
    close_end(f->private, f->flags);
    pipe_leave(f->inode, f->private);
}

static const struct file_ops pipe_ops = {.release = pipe_release,
                                         .read = pipe_read,
                                         .write = pipe_write,
                                         .poll = pipe_poll,
                                         .ioctl = pipe_ioctl};

int pipe_create(unsigned flags, struct file **read_end, struct file **write_end)
{
    if (flags & O_DIRECT)
        return -EINVAL; /* packet mode is not supported, as on a kernel that predates it */
    struct inode *inode = inode_pseudo(pipe_mount, S_IFIFO | 0600);
    struct pipe *p = inode ? pipe_alloc() : NULL;
    unsigned kept = flags & O_NONBLOCK;
    if (!p) {
        if (inode)
            inode_put(inode);
        return -ENOMEM;
    }
    inode->pipe = p;
    inode->file_ops = &pipe_ops;
    int err = file_new(inode, &pipe_ops, O_RDONLY | kept, read_end);
    if (err) {
        inode_put(inode);
        pipe_free(p);
        return err;
    }
    p->files = p->readers = p->reader_opens = 1;
    (*read_end)->private = p;
    err = file_new(inode, &pipe_ops, O_WRONLY | kept, write_end);
    if (err) {
        file_put(*read_end);
        return err;
    }
    inode_ref(inode);
    p->files = 2;
    p->writers = p->writer_opens = 1;
    (*write_end)->private = p;
    return 0;
}

/* The inode's pipe, made when there is none; counted as a user. NULL: out of memory. */
static struct pipe *pipe_join(struct inode *inode)
{
    struct pipe *spare = NULL, *p;
    for (;;) {
        spin_lock(&inode->state_lock);
        if (!inode->pipe && spare) {
            inode->pipe = spare;
            spare = NULL;
        }
        p = inode->pipe;
        if (p)
            p->files++;
        spin_unlock(&inode->state_lock);
        if (p || !(spare = pipe_alloc()))
            break;
    }
    if (spare)
        pipe_free(spare);
    return p;
}

/* Counts this end in; returns how often the other end was opened so far. */
static u32 open_end(struct pipe *p, unsigned mode, u32 *others)
{
    MUTEX_GUARD(&p->lock);
    u32 seen = mode == O_RDONLY ? p->writer_opens : p->reader_opens;
    *others = mode == O_RDONLY ? p->writers : p->readers;
    if (mode != O_WRONLY) {
        WRITE_ONCE(p->readers, p->readers + 1);
        WRITE_ONCE(p->reader_opens, p->reader_opens + 1);
        wake_writers(p);
    }
    if (mode != O_RDONLY) {
        WRITE_ONCE(p->writers, p->writers + 1);
        WRITE_ONCE(p->writer_opens, p->writer_opens + 1);
        wake_readers(p);
    }
    return seen;
}

static bool opens_moved(const u32 *opens, u32 seen)
{
    memory_barrier();
    return READ_ONCE(*opens) != seen;
}

int fifo_open(struct inode *inode, struct file *f)
{
    unsigned mode = f->flags & O_ACCMODE;
    struct pipe *p = pipe_join(inode);
    u32 others;
    if (!p)
        return -ENOMEM;
    if (mode == O_ACCMODE) {
        pipe_leave(inode, p);
        return -EINVAL;
    }
    u32 seen = open_end(p, mode, &others);
    int err = 0;
    bool nameless = inode->super == pipe_mount->super; /* through /proc: never waits, pipe(7) */
    if (mode != O_RDWR && others == 0 && !nameless) {
        if (!(f->flags & O_NONBLOCK)) {
            struct waitq *q = mode == O_RDONLY ? &p->read_wait : &p->write_wait;
            const u32 *opens = mode == O_RDONLY ? &p->writer_opens : &p->reader_opens;
            err = wait_event_intr(q, opens_moved(opens, seen)) ? -ERESTARTSYS : 0;
        } else if (mode == O_WRONLY) {
            err = -ENXIO;
        }
    }
    if (err) {
        close_end(p, f->flags);
        pipe_leave(inode, p);
        return err;
    }
    f->ops = &pipe_ops;
    f->private = p;
    return 0;
}

int pipe_get_size(struct file *f)
{
    if (f->ops != &pipe_ops)
        return -EBADF;
    const struct pipe *p = f->private;
    return (int)(p->slots << PAGE_SHIFT);
}

int pipe_set_size(struct file *f, u64 size)
{
    struct pipe *p = f->private;
    if (f->ops != &pipe_ops)
        return -EBADF;
    if (size > MAX_SIZE)
        return -EINVAL;
    u32 slots = 1;
    while (((u64)slots << PAGE_SHIFT) < size)
        slots *= 2;
    if (size > UNPRIVILEGED && !capable(CAP_SYS_RESOURCE))
        return -EPERM;
    void **ring = kzalloc(slots * sizeof(*ring), 0);
    if (!ring)
        return -ENOMEM;
    MUTEX_GUARD(&p->lock);
    u64 first = p->tail >> PAGE_SHIFT, last = (p->head + PAGE_SIZE - 1) >> PAGE_SHIFT;
    if (last - first > MIN(slots, p->slots)) { /* wrapped within a page counts as full too */
        kfree(ring);
        return -EBUSY;
    }
    for (u64 i = first; i < last; i++) {
        void **slot = &p->ring[i & (p->slots - 1)];
        ring[i & (slots - 1)] = *slot;
        *slot = NULL;
        p->pages_allocated--;
    }
    u32 kept = (u32)(last - first);
    free_pages_from(p, 0);
    p->pages_allocated = kept;
    kfree(p->ring);
    p->ring = ring;
    WRITE_ONCE(p->slots, slots);
    wake_writers(p);
    return (int)(slots << PAGE_SHIFT);
}

void pipe_init(void)
{
    pipe_cache = kmem_cache_create("pipe", sizeof(struct pipe), 0);
    pipe_mount = mount_pseudo("pipe");
    if (!pipe_mount)
        panic("no memory for pipes");
}
