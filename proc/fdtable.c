/*
 * File descriptor tables; see proc/fdtable.h for structure and locks.
 *
 * The three arrays lie in one block of memory, replaced as a whole when the table grows. An
 * unlocked reader is the only user of its table, so it never sees a replacement under way.
 */
#include "lib/bitmap.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

#include <linux/fcntl.h>

#define FIRST_CAPACITY 64

static DEFINE_LOCK_CLASS(fdtable_lock_class, "fdtable");
static struct kmem_cache *fdtable_cache;
static struct kmem_cache *small_block_cache; /* blocks of FIRST_CAPACITY */

static size_t block_size(u32 capacity)
{
    return capacity * sizeof(struct file *) + 2 * (capacity / 8);
}

static void *block_alloc(u32 capacity)
{
    if (capacity == FIRST_CAPACITY)
        return kmem_cache_alloc(small_block_cache, 0);
    return kmalloc(block_size(capacity), 0);
}

static void block_free(void *block, u32 capacity)
{
    if (capacity == FIRST_CAPACITY)
        kmem_cache_free(small_block_cache, block);
    else
        kfree(block);
}

static void block_set(struct fdtable *t, void *block, u32 capacity)
{
    t->files = block;
    t->used = (u64 *)(t->files + capacity);
    t->cloexec = t->used + capacity / 64;
    t->capacity = capacity;
}

static struct fdtable *table_alloc(u32 capacity)
{
    struct fdtable *t = kmem_cache_alloc(fdtable_cache, 0);
    void *block = block_alloc(capacity);
    if (!t || !block) {
        if (block)
            block_free(block, capacity);
        if (t)
            kmem_cache_free(fdtable_cache, t);
        return NULL;
    }
    *t = (struct fdtable){.refs = 1};
    spin_init(&t->lock, &fdtable_lock_class);
    block_set(t, block, capacity);
    return t;
}

struct fdtable *fdtable_create(void)
{
    struct fdtable *t = table_alloc(FIRST_CAPACITY);
    if (t)
        memset(t->files, 0, block_size(FIRST_CAPACITY));
    return t;
}

struct fdtable *fdtable_current(void)
{
    return uthread_self()->fds;
}

/* Capacity that holds every used number of @t. => t->lock, or nobody else uses @t. */
static u32 capacity_needed(const struct fdtable *t)
{
    u32 words = t->capacity / 64;
    while (words > 1 && t->used[words - 1] == 0)
        words--;
    return words * 64;
}

/* Fills @copy from @from, one reference more for each file. => from->lock. */
static void copy_entries(struct fdtable *copy, const struct fdtable *from)
{
    copy->next_hint = from->next_hint;
    for (u32 word = 0; word < copy->capacity / 64; word++) {
        u64 used = from->used[word], open = 0;
        memset(copy->files + word * 64, 0, 64 * sizeof(struct file *));
        for (u64 rest = used; rest; rest &= rest - 1) {
            u32 fd = word * 64 + (u32)__builtin_ctzl(rest);
            struct file *file = from->files[fd];
            if (!file) { /* reserved by a thread still opening it */
                copy->next_hint = MIN(copy->next_hint, fd);
                continue;
            }
            file_get(file);
            copy->files[fd] = file;
            open |= rest & -rest;
        }
        copy->used[word] = open;
        copy->cloexec[word] = from->cloexec[word] & open;
    }
}

struct fdtable *fdtable_copy(struct fdtable *from)
{
    for (;;) {
        u32 capacity;
        {
            SPIN_GUARD(&from->lock);
            capacity = capacity_needed(from);
        }
        struct fdtable *copy = table_alloc(capacity);
        if (!copy)
            return NULL;
        {
            SPIN_GUARD(&from->lock);
            if (capacity_needed(from) <= capacity) {
                copy_entries(copy, from);
                return copy;
            }
        }
        block_free(copy->files, capacity); /* it grew in between */
        kmem_cache_free(fdtable_cache, copy);
    }
}

/* Drops a file taken out of @t: POSIX locks of the table on it go first (fcntl(2)). */
static void close_file(struct fdtable *t, struct file *file)
{
    if (file->inode && !list_empty(&file->inode->locks))
        flock_release_owner(file, t);
    file_put(file);
}

void fdtable_put(struct fdtable *t)
{
    if (atomic_sub(&t->refs, 1) != 0)
        return;
    for (u32 word = 0; word < t->capacity / 64; word++)
        for (u64 rest = t->used[word]; rest; rest &= rest - 1) {
            struct file *file = t->files[word * 64 + (u32)__builtin_ctzl(rest)];
            if (file)
                close_file(t, file);
        }
    block_free(t->files, t->capacity);
    kmem_cache_free(fdtable_cache, t);
}

struct fd_ref fd_get_shared(struct fdtable *t, unsigned fd)
{
    SPIN_GUARD(&t->lock);
    struct file *file = fd < t->capacity ? t->files[fd] : NULL;
    if (file)
        file_get(file);
    return (struct fd_ref){.file = file, .counted = file != NULL};
}

struct file *fdtable_file(struct fdtable *t, unsigned fd)
{
    return fd_get_shared(t, fd).file;
}

int fdtable_next(struct fdtable *t, unsigned from)
{
    SPIN_GUARD(&t->lock);
    for (size_t fd = from; fd < t->capacity; fd++) {
        fd = bitmap_find_set(t->used, t->capacity, fd);
        if (fd < t->capacity && t->files[fd])
            return (int)fd;
    }
    return -ENOENT;
}

/* Makes room for number @fd. 0, -ENOMEM. => t->lock not held. */
static int grow(struct fdtable *t, u32 fd)
{
    u32 old_capacity = READ_ONCE(t->capacity), capacity = MAX(old_capacity, FIRST_CAPACITY);
    while (capacity <= fd)
        capacity *= 2;
    void *block = block_alloc(capacity), *old;
    if (!block)
        return -ENOMEM;
    memset(block, 0, block_size(capacity));
    {
        SPIN_GUARD(&t->lock);
        old_capacity = t->capacity;
        if (old_capacity >= capacity) { /* another thread was first */
            old = block;
            old_capacity = capacity;
        } else {
            struct fdtable before = *t;
            old = t->files;
            block_set(t, block, capacity);
            memcpy(t->files, before.files, old_capacity * sizeof(struct file *));
            memcpy(t->used, before.used, old_capacity / 8);
            memcpy(t->cloexec, before.cloexec, old_capacity / 8);
        }
    }
    block_free(old, old_capacity);
    return 0;
}

/* Marks @fd as used. => t->lock; fd < capacity. */
static void mark_used(struct fdtable *t, u32 fd, bool cloexec)
{
    bitmap_set(t->used, fd);
    if (cloexec)
        bitmap_set(t->cloexec, fd);
    else
        bitmap_clear(t->cloexec, fd);
}

static void mark_free(struct fdtable *t, u32 fd)
{
    bitmap_clear(t->used, fd);
    bitmap_clear(t->cloexec, fd);
    if (fd < t->next_hint)
        t->next_hint = fd;
}

/* Takes the lowest free number >= @from. Number, -EMFILE, -ENOSPC (grow first). => t->lock. */
static int take_lowest(struct fdtable *t, u32 from, u64 limit, bool cloexec)
{
    u32 fd = (u32)bitmap_find_clear(t->used, t->capacity, MAX(from, t->next_hint));
    if (fd < from)
        fd = from;
    if (fd >= limit)
        return -EMFILE;
    if (fd >= t->capacity)
        return -ENOSPC;
    if (from <= t->next_hint)
        t->next_hint = fd + 1;
    mark_used(t, fd, cloexec);
    return (int)fd;
}

int fd_reserve(unsigned from, bool cloexec)
{
    struct fdtable *t = fdtable_current();
    u64 limit = MIN(rlimit_current(RLIMIT_NOFILE), 0x7fffffffUL);
    if (from >= limit)
        return from ? -EINVAL : -EMFILE;
    for (;;) {
        int fd;
        u32 wanted;
        {
            SPIN_GUARD(&t->lock);
            fd = take_lowest(t, from, limit, cloexec);
            wanted = MAX(from, t->capacity);
        }
        if (fd != -ENOSPC)
            return fd;
        int r = grow(t, wanted);
        if (r)
            return r;
    }
}

void fd_install(int fd, struct file *file)
{
    struct fdtable *t = fdtable_current();
    SPIN_GUARD(&t->lock);
    debug_assert(bitmap_test(t->used, fd) && !t->files[fd]);
    t->files[fd] = file;
}

void fd_release(int fd)
{
    struct fdtable *t = fdtable_current();
    SPIN_GUARD(&t->lock);
    debug_assert(bitmap_test(t->used, fd) && !t->files[fd]);
    mark_free(t, (u32)fd);
}

int fd_open(struct file *file, unsigned flags)
{
    int fd = fd_reserve(0, flags & O_CLOEXEC);
    if (fd >= 0)
        fd_install(fd, file);
    else
        file_put(file);
    return fd;
}

/* Takes the file out of slot @fd. NULL: not open. => t->lock. */
static struct file *take_out(struct fdtable *t, u32 fd)
{
    struct file *file = fd < t->capacity ? t->files[fd] : NULL;
    if (file) {
        t->files[fd] = NULL;
        mark_free(t, fd);
    }
    return file;
}

int fd_close(int fd)
{
    struct fdtable *t = fdtable_current();
    struct file *file;
    {
        SPIN_GUARD(&t->lock);
        file = take_out(t, (u32)fd);
    }
    if (!file)
        return -EBADF;
    close_file(t, file);
    return 0;
}

/* First open number in [from, last] that is in @map; -1 when there is none. => t->lock. */
static s64 next_in(struct fdtable *t, const u64 *map, u64 from, u64 last)
{
    u64 end = MIN(last + 1, (u64)t->capacity);
    for (u64 fd = from; fd < end; fd++) {
        fd = bitmap_find_set(map, end, fd);
        if (fd < end && t->files[fd])
            return (s64)fd;
    }
    return -1;
}

int fd_close_range(unsigned first, unsigned last, bool cloexec)
{
    if (first > last)
        return -EINVAL;
    struct fdtable *t = fdtable_current();
    for (s64 fd = first;; fd++) {
        struct file *file = NULL;
        {
            SPIN_GUARD(&t->lock);
            fd = next_in(t, t->used, (u64)fd, last);
            if (fd < 0)
                return 0;
            if (cloexec)
                bitmap_set(t->cloexec, (size_t)fd);
            else
                file = take_out(t, (u32)fd);
        }
        if (file)
            close_file(t, file);
    }
}

void fdtable_close_on_exec(struct fdtable *t)
{
    for (s64 fd = 0;; fd++) {
        struct file *file;
        {
            SPIN_GUARD(&t->lock);
            fd = next_in(t, t->cloexec, (u64)fd, ~0u);
            if (fd < 0)
                return;
            file = take_out(t, (u32)fd);
        }
        close_file(t, file);
    }
}

int fd_dup(int fd, unsigned from, bool cloexec)
{
    FD_GUARD(source, fd);
    if (!source.file)
        return -EBADF;
    int copy = fd_reserve(from, cloexec);
    if (copy < 0)
        return copy;
    file_get(source.file);
    fd_install(copy, source.file);
    return copy;
}

int fd_dup_to(int fd, int to, bool cloexec)
{
    struct fdtable *t = fdtable_current();
    if (to < 0 || (u64)to >= rlimit_current(RLIMIT_NOFILE))
        return -EBADF;
    FD_GUARD(source, fd);
    if (!source.file)
        return -EBADF;
    if ((u32)to >= READ_ONCE(t->capacity)) {
        int r = grow(t, (u32)to);
        if (r)
            return r;
    }
    file_get(source.file);
    struct file *replaced;
    {
        SPIN_GUARD(&t->lock);
        replaced = t->files[to];
        if (!replaced &&
            bitmap_test(t->used, to)) { /* another thread's open() is about to fill it */
            replaced = source.file;
            to = -EBUSY;
        } else {
            t->files[to] = source.file;
            mark_used(t, (u32)to, cloexec);
        }
    }
    if (to == -EBUSY)
        file_put(replaced);
    else if (replaced)
        close_file(t, replaced);
    return to;
}

int fd_cloexec_get(int fd)
{
    struct fdtable *t = fdtable_current();
    SPIN_GUARD(&t->lock);
    if ((u32)fd >= t->capacity || !t->files[fd])
        return -EBADF;
    return bitmap_test(t->cloexec, fd);
}

int fd_cloexec_set(int fd, bool cloexec)
{
    struct fdtable *t = fdtable_current();
    SPIN_GUARD(&t->lock);
    if ((u32)fd >= t->capacity || !t->files[fd])
        return -EBADF;
    mark_used(t, (u32)fd, cloexec);
    return 0;
}

void fdtable_init(void)
{
    fdtable_cache = kmem_cache_create("fdtable", sizeof(struct fdtable), 0);
    small_block_cache = kmem_cache_create("fd_block", block_size(FIRST_CAPACITY), 0);
}
