/*
 * The buffer cache.
 *
 * A buffer is found through a hash of (device, block). A bucket's spinlock guards its chain, the
 * step of a reference count from 0 to 1, and the removal of a buffer whose count is 0; nothing ever
 * holds two buckets. The contents belong to whoever holds the buffer's mutex.
 *
 * Unused buffers (no references) stay in their chain. The shrinker goes round the buckets like the
 * hand of a clock, one lock at a time: a buffer used since the last round gets another one, any
 * other goes. There is no list in order of use, so a hit costs its bucket's lock and nothing else.
 *
 * A dirty buffer is on the dirty list, which holds a reference. Writing goes in batches, one batch
 * in the machine at a time (flush_lock): take buffers off the list, sort them, join neighbours into
 * one request each, submit all, then wait for all. While its write is under way a buffer is marked
 * BUF_WRITING but not locked: somebody may change it and mark it dirty again, then a later batch
 * writes it again. A buffer whose write failed goes back to the dirty list with BUF_ERROR, so that
 * every buf_sync() reports the loss until the write succeeds or the device is given up.
 *
 * The flush thread sleeps while nothing is dirty; otherwise it writes everything FLUSH_INTERVAL
 * after the first buffer became dirty, or at once when there is too much. Beyond dirty_hard bytes
 * whoever asks for a buffer writes a batch first; as it may hold other buffers it only tries locks.
 *
 * Lock order: flush_lock -> buf->lock -> dirty_lock or a bucket's lock (neither inside the other).
 */
#include "core/errno.h"
#include "core/log.h"
#include "dev/block.h"
#include "fs/buf.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/slab.h"

#define FLUSH_INTERVAL (5 * NSEC_PER_SEC)
#define BATCH          64
#define CREATE_TRIES   500 /* when memory is out: how often we try, */
#define CREATE_PAUSE   (10 * NSEC_PER_MSEC)
#define CREATE_SHRINK  8 /* after freeing so many buffers of our own or waiting so long */

struct bucket {
    struct spinlock lock;
    struct list_node chain;
};

static DEFINE_LOCK_CLASS(bucket_class, "buf bucket");
static DEFINE_LOCK_CLASS(buf_class, "buf");
static DEFINE_LOCK_CLASS(dirty_class, "buf dirty list");
static DEFINE_LOCK_CLASS(flush_class, "buf flush");

static struct bucket *buckets;
static u32 bucket_count; /* a power of two */
static u32 shrink_hand;  /* atomic */
static struct kmem_cache *buf_cache;
static u64 cached_count, cached_bytes; /* atomic */

static struct spinlock dirty_lock = SPINLOCK_INIT(dirty_class);
static struct list_node dirty_list = LIST_INIT(dirty_list);
static u64 dirty_count, dirty_bytes; /* dirty_lock to write */
static u64 dirty_soft, dirty_hard;   /* bytes */
static struct waitq flush_wait = WAITQ_INIT(flush_wait);
static struct waitq written_wait = WAITQ_INIT(written_wait); /* BUF_WRITING was cleared */

/* The batch being written; flush_lock. */
static struct mutex flush_lock = MUTEX_INIT(flush_lock, flush_class);
static struct batch {
    unsigned count, bio_count;
    struct buf *buf[BATCH];
    u8 bio_of[BATCH]; /* which request carries buf[i] */
    struct bio bio[BATCH];
    struct bio_vec vec[BATCH];
    unsigned pending; /* atomic: requests not done */
    struct waitq done;
} batch = {.done = WAITQ_INIT(batch.done)};

static struct bucket *bucket_of(struct block_device *bdev, u64 block)
{
    return &buckets[hash_u64(block ^ (uintptr_t)bdev >> 4) & (bucket_count - 1)];
}

static u64 first_sector(const struct buf *b)
{
    return b->block * (b->size >> SECTOR_SHIFT);
}

static struct buf *chain_find(struct bucket *bk, struct block_device *bdev, u64 block, u32 size)
{
    struct buf *b;
    list_for_each_entry (b, &bk->chain, hash_link)
        if (b->block == block && b->bdev == bdev && b->size == size)
            return b;
    return NULL;
}

/* The cached buffer with a new reference, or NULL. */
static struct buf *find_ref(struct block_device *bdev, u64 block, u32 size)
{
    struct bucket *bk = bucket_of(bdev, block);
    SPIN_GUARD(&bk->lock);
    struct buf *b = chain_find(bk, bdev, block, size);
    if (b) {
        atomic_add_relaxed(&b->refs, 1);
        if (!(READ_ONCE(b->flags) & BUF_REFERENCED))
            atomic_or(&b->flags, BUF_REFERENCED);
    }
    return b;
}

static u64 shrink(u64 want);

static void drop_ref(struct buf *b)
{
    debug_assert(b->refs > 0);
    atomic_sub(&b->refs, 1);
}

static void buf_destroy(struct buf *b)
{
    atomic_sub(&cached_count, 1);
    atomic_sub(&cached_bytes, (u64)b->size);
    kfree(b->data);
    kmem_cache_free(buf_cache, b);
}

static struct buf *try_create(u32 size, unsigned flags)
{
    struct buf *b = kmem_cache_alloc(buf_cache, PA_ZERO | flags);
    if (!b)
        return NULL;
    b->data = kmalloc(size, flags);
    if (b->data)
        return b;
    kmem_cache_free(buf_cache, b);
    return NULL;
}

/*
 * Memory for a buffer. A file system in the middle of a change has no good way to go back because a
 * bitmap does not fit into memory, and writing out pages, which frees memory, needs buffers too. So
 * the reserves may be used, and before giving up we wait for the others to free something.
 */
static struct buf *buf_create(struct block_device *bdev, u64 block, u32 size)
{
    struct buf *b = try_create(size, 0);
    for (unsigned i = 0; !b && i < CREATE_TRIES; i++) {
        if (shrink(CREATE_SHRINK) == 0)
            sleep_until(time_ns() + CREATE_PAUSE);
        b = try_create(size, PA_RESERVE);
    }
    if (!b)
        return NULL;
    b->bdev = bdev;
    b->block = block;
    b->size = size;
    b->refs = 1;
    mutex_init(&b->lock, &buf_class);
    list_init(&b->dirty_link);
    atomic_add(&cached_count, 1);
    atomic_add(&cached_bytes, (u64)size);
    return b;
}

/* The buffer with a reference, made if need be; NULL: out of memory. */
static struct buf *find_or_create(struct block_device *bdev, u64 block, u32 size)
{
    struct buf *b = find_ref(bdev, block, size);
    if (b)
        return b;
    struct buf *fresh = buf_create(bdev, block, size);
    if (!fresh)
        return NULL;
    struct bucket *bk = bucket_of(bdev, block);
    spin_lock(&bk->lock);
    b = chain_find(bk, bdev, block, size);
    if (b)
        atomic_add_relaxed(&b->refs, 1);
    else
        list_push_front(&bk->chain, &fresh->hash_link);
    spin_unlock(&bk->lock);
    if (!b)
        return fresh;
    buf_destroy(fresh);
    return b;
}

/* Puts @b on the dirty list unless it is there. The caller holds a reference. */
static void dirty_insert(struct buf *b)
{
    bool wake;
    {
        SPIN_GUARD(&dirty_lock);
        if (atomic_or(&b->flags, BUF_DIRTY) & BUF_DIRTY)
            return;
        atomic_add_relaxed(&b->refs, 1);
        list_push_back(&dirty_list, &b->dirty_link);
        u64 before = dirty_bytes;
        dirty_bytes += b->size;
        wake = dirty_count++ == 0 || (before <= dirty_soft && dirty_bytes > dirty_soft);
    }
    if (wake)
        waitq_wake_all(&flush_wait);
}

/* Takes @b off the dirty list. True when it was there: its reference is the caller's now.
 * => Locked. */
static bool dirty_remove(struct buf *b)
{
    if (!(READ_ONCE(b->flags) & BUF_DIRTY))
        return false;
    SPIN_GUARD(&dirty_lock);
    if (!(atomic_and(&b->flags, ~BUF_DIRTY) & BUF_DIRTY))
        return false;
    list_remove(&b->dirty_link);
    dirty_count--;
    dirty_bytes -= b->size;
    return true;
}

/* A write of @b is over. Drops the write's reference. */
static void write_finished(struct buf *b, int status)
{
    if (status != 0) {
        if (!(atomic_or(&b->flags, BUF_ERROR) & BUF_ERROR))
            log_err("%s: cannot write block %lu of %u bytes: error %d", b->bdev->name, b->block,
                    b->size, -status);
        dirty_insert(b);
    } else if (READ_ONCE(b->flags) & BUF_ERROR) {
        atomic_and(&b->flags, ~BUF_ERROR);
    }
    atomic_and(&b->flags, ~BUF_WRITING);
    waitq_wake_all(&written_wait);
    drop_ref(b);
}

static void wait_written(struct buf *b)
{
    wait_event(&written_wait, !(READ_ONCE(b->flags) & BUF_WRITING));
}

/* Batches. */

static bool sorts_before(const struct buf *a, const struct buf *b)
{
    if (a->bdev != b->bdev)
        return a->bdev < b->bdev;
    return a->block < b->block;
}

/* Fills the batch from the head of the dirty list, in order of place, a reference on each. What was
 * looked at moves to the tail; *@left counts how many are still to be looked at. */
static void batch_fill(struct block_device *bdev, u64 *left)
{
    SPIN_GUARD(&dirty_lock);
    batch.count = 0;
    while (*left && batch.count < BATCH && !list_empty(&dirty_list)) {
        struct buf *b = list_first(&dirty_list, struct buf, dirty_link);
        list_remove(&b->dirty_link);
        list_push_back(&dirty_list, &b->dirty_link);
        --*left;
        if (bdev && b->bdev != bdev)
            continue;
        atomic_add_relaxed(&b->refs, 1);
        unsigned i = batch.count++;
        for (; i && sorts_before(b, batch.buf[i - 1]); i--)
            batch.buf[i] = batch.buf[i - 1];
        batch.buf[i] = b;
    }
}

/* Turns those that are still dirty into writes under way and leaves out the others. */
static void batch_claim(bool wait)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < batch.count; i++) {
        struct buf *b = batch.buf[i];
        bool locked = mutex_trylock(&b->lock);
        if (!locked && wait) {
            mutex_lock(&b->lock);
            locked = true;
        }
        if (locked && dirty_remove(b)) {
            atomic_or(&b->flags, BUF_WRITING);
            batch.buf[kept++] = b; /* with the dirty list's reference, for write_finished() */
        }
        if (locked)
            mutex_unlock(&b->lock);
        drop_ref(b);
    }
    batch.count = kept;
}

static void batch_bio_done(struct bio *bio)
{
    if (atomic_sub(&batch.pending, 1) == 0)
        waitq_wake_all(&batch.done);
}

/* Joins neighbours into requests. */
static void batch_build(void)
{
    batch.bio_count = 0;
    for (unsigned i = 0; i < batch.count; i++) {
        struct buf *b = batch.buf[i], *prev = i ? batch.buf[i - 1] : NULL;
        batch.vec[i] = (struct bio_vec){.addr = direct_to_phys(b->data), .len = b->size};
        if (prev && prev->bdev == b->bdev && prev->size == b->size && prev->block + 1 == b->block) {
            batch.bio[batch.bio_count - 1].vec_count++;
        } else {
            batch.bio[batch.bio_count++] = (struct bio){
                .bdev = b->bdev,
                .op = BIO_WRITE,
                .sector = first_sector(b),
                .vec = &batch.vec[i],
                .vec_count = 1,
                .done = batch_bio_done,
            };
        }
        batch.bio_of[i] = batch.bio_count - 1;
    }
}

static int batch_write(void)
{
    int error = 0;
    batch_build();
    WRITE_ONCE(batch.pending, batch.bio_count);
    for (unsigned i = 0; i < batch.bio_count; i++)
        block_submit(&batch.bio[i]);
    wait_event(&batch.done, load_acquire(&batch.pending) == 0);
    for (unsigned i = 0; i < batch.count; i++) {
        int status = batch.bio[batch.bio_of[i]].status;
        if (status && !error)
            error = status;
        write_finished(batch.buf[i], status);
    }
    return error;
}

/* => flush_lock held. */
static int flush_locked(struct block_device *bdev, bool wait, u64 max)
{
    u64 left = MIN(READ_ONCE(dirty_count), max);
    int error = 0;
    while (left) {
        batch_fill(bdev, &left);
        if (batch.count == 0)
            break;
        batch_claim(wait);
        int r = batch_write();
        if (r && !error)
            error = r;
    }
    return error;
}

int buf_sync(struct block_device *bdev, bool wait)
{
    MUTEX_GUARD(&flush_lock);
    return flush_locked(bdev, wait, ~0UL);
}

/* Too much is dirty: the thread that wants more writes a batch. It may hold buffers. */
static void throttle(void)
{
    if (!mutex_trylock(&flush_lock))
        return;
    flush_locked(NULL, false, BATCH);
    mutex_unlock(&flush_lock);
}

/* Public access. */

static struct buf *acquire(struct block_device *bdev, u64 block, u32 size)
{
    if (unlikely(READ_ONCE(dirty_bytes) > dirty_hard))
        throttle();
    struct buf *b = find_or_create(bdev, block, size);
    if (b)
        mutex_lock(&b->lock);
    return b;
}

int buf_read(struct block_device *bdev, u64 block, u32 size, struct buf **out)
{
    struct buf *b = acquire(bdev, block, size);
    if (!b)
        return -ENOMEM;
    if (unlikely(!(READ_ONCE(b->flags) & BUF_UPTODATE))) {
        if (block_rw(bdev, BIO_READ, first_sector(b), b->data, size) != 0) {
            buf_release(b);
            return -EIO;
        }
        atomic_or(&b->flags, BUF_UPTODATE);
    }
    *out = b;
    return 0;
}

int buf_get(struct block_device *bdev, u64 block, u32 size, struct buf **out)
{
    struct buf *b = acquire(bdev, block, size);
    if (!b)
        return -ENOMEM;
    memset(b->data, 0, size);
    atomic_or(&b->flags, BUF_UPTODATE);
    *out = b;
    return 0;
}

void buf_mark_dirty(struct buf *b)
{
    debug_assert(mutex_held(&b->lock));
    debug_assert(READ_ONCE(b->flags) & BUF_UPTODATE);
    if (!(READ_ONCE(b->flags) & BUF_DIRTY))
        dirty_insert(b);
}

void buf_release(struct buf *b)
{
    mutex_unlock(&b->lock);
    drop_ref(b);
}

int buf_write(struct buf *b)
{
    debug_assert(mutex_held(&b->lock));
    wait_written(b);
    if (!dirty_remove(b))
        return 0;
    atomic_or(&b->flags, BUF_WRITING);
    int status = block_rw(b->bdev, BIO_WRITE, first_sector(b), b->data, b->size);
    write_finished(b, status);
    return status ? -EIO : 0;
}

void buf_forget(struct block_device *bdev, u64 block, u32 size)
{
    struct buf *b = find_ref(bdev, block, size);
    if (!b)
        return;
    mutex_lock(&b->lock);
    wait_written(b);
    if (dirty_remove(b))
        drop_ref(b);
    atomic_and(&b->flags, ~(BUF_UPTODATE | BUF_ERROR | BUF_REFERENCED));
    buf_release(b);
}

/* Takes unused buffers out of a bucket into @victims: at most @want, all of @bdev if given, else
 * those not used since the last visit. Returns their number. */
static u64 bucket_reap(struct bucket *bk, struct block_device *bdev, u64 want,
                       struct list_node *victims)
{
    u64 n = 0;
    struct buf *b, *next;
    SPIN_GUARD(&bk->lock);
    list_for_each_entry_safe (b, next, &bk->chain, hash_link) {
        if (n == want)
            break;
        if ((bdev && b->bdev != bdev) || load_acquire(&b->refs) != 0)
            continue;
        if (!bdev && (atomic_and(&b->flags, ~BUF_REFERENCED) & BUF_REFERENCED))
            continue;
        list_remove(&b->hash_link);
        list_push_back(victims, &b->hash_link);
        n++;
    }
    return n;
}

static void destroy_all(struct list_node *victims)
{
    while (!list_empty(victims)) {
        struct buf *b = list_first(victims, struct buf, hash_link);
        list_remove(&b->hash_link);
        buf_destroy(b);
    }
}

static u64 shrink_count(void)
{
    u64 cached = READ_ONCE(cached_count), dirty = READ_ONCE(dirty_count);
    return cached > dirty ? cached - dirty : 0;
}

static u64 shrink(u64 want)
{
    struct list_node victims = LIST_INIT(victims);
    u64 freed = 0;
    for (u32 i = 0; i < 2 * bucket_count && freed < want; i++) {
        struct bucket *bk = &buckets[atomic_add_relaxed(&shrink_hand, 1) & (bucket_count - 1)];
        if (!list_empty(&bk->chain))
            freed += bucket_reap(bk, NULL, want - freed, &victims);
    }
    destroy_all(&victims);
    return freed;
}

/* One dirty buffer of @bdev with a reference, or NULL. */
static struct buf *any_dirty(struct block_device *bdev)
{
    struct buf *b;
    SPIN_GUARD(&dirty_lock);
    list_for_each_entry (b, &dirty_list, dirty_link) {
        if (b->bdev == bdev) {
            atomic_add_relaxed(&b->refs, 1);
            return b;
        }
    }
    return NULL;
}

void buf_invalidate(struct block_device *bdev)
{
    struct list_node victims = LIST_INIT(victims);
    u64 lost = 0;
    for (struct buf *b; (b = any_dirty(bdev));) {
        mutex_lock(&b->lock);
        wait_written(b);
        if (dirty_remove(b)) {
            drop_ref(b);
            lost++;
        }
        buf_release(b);
    }
    if (lost)
        log_err("%s: %lu changed metadata blocks could not be written and are lost", bdev->name,
                lost);
    for (u32 i = 0; i < bucket_count; i++)
        bucket_reap(&buckets[i], bdev, ~0UL, &victims);
    destroy_all(&victims);
}

u64 buf_cached_bytes(void)
{
    return READ_ONCE(cached_bytes);
}

static void flush_thread(void *arg)
{
    for (;;) {
        wait_event(&flush_wait, READ_ONCE(dirty_count) != 0);
        wait_event_timeout(&flush_wait, READ_ONCE(dirty_bytes) > dirty_soft,
                           time_ns() + FLUSH_INTERVAL);
        if (buf_sync(NULL, false) != 0) /* a device refuses: no use in trying at once again */
            sleep_until(time_ns() + FLUSH_INTERVAL);
    }
}

static struct shrinker buf_shrinker = {
    .name = "buffers",
    .count = shrink_count,
    .shrink = shrink,
    .bytes = buf_cached_bytes,
};

void buf_init(void)
{
    struct page_stats st;
    page_get_stats(&st);
    bucket_count = 64;
    while (bucket_count < 8192 && bucket_count < st.total / 32)
        bucket_count *= 2;
    buckets = kmalloc(bucket_count * sizeof(*buckets), 0);
    buf_cache = kmem_cache_create("buf", sizeof(struct buf), 0);
    if (!buckets)
        panic("no memory for the buffer cache");
    for (u32 i = 0; i < bucket_count; i++) {
        spin_init(&buckets[i].lock, &bucket_class);
        list_init(&buckets[i].chain);
    }
    dirty_soft = st.total * PAGE_SIZE / 32;
    dirty_hard = st.total * PAGE_SIZE / 8;
    shrinker_register(&buf_shrinker);
    if (thread_spawn(NULL, "bufflush", flush_thread, NULL) != 0)
        panic("cannot start the buffer flush thread");
}
