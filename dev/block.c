/* Block devices: the registry, checks, statistics, and the waiting forms of submission. */
#include "dev/block.h"

#include "arch/mmu.h"
#include "core/errno.h"
#include "core/mutex.h"
#include "core/panic.h"
#include "core/waitq.h"
#include "lib/string.h"

/* Segments that block_rw() gives out per request; longer transfers take several. */
#define RW_MAX_BYTES (1UL << 20)

static DEFINE_LOCK_CLASS(registry_class, "block_registry");
static struct spinlock registry_lock = SPINLOCK_INIT(registry_class);
static struct list_node registry = LIST_INIT(registry);

int block_register(struct block_device *bdev)
{
    SPIN_GUARD(&registry_lock);
    struct block_device *other;
    list_for_each_entry (other, &registry, link)
        if (other->dev == bdev->dev || strcmp(other->name, bdev->name) == 0)
            return -EEXIST;
    list_push_back(&registry, &bdev->link);
    return 0;
}

struct block_device *block_find(const char *name)
{
    SPIN_GUARD(&registry_lock);
    struct block_device *bdev;
    list_for_each_entry (bdev, &registry, link)
        if (strcmp(bdev->name, name) == 0)
            return bdev;
    return NULL;
}

struct block_device *block_find_dev(u32 dev)
{
    SPIN_GUARD(&registry_lock);
    struct block_device *bdev;
    list_for_each_entry (bdev, &registry, link)
        if (bdev->dev == dev)
            return bdev;
    return NULL;
}

struct block_device *block_at(unsigned i)
{
    SPIN_GUARD(&registry_lock);
    struct block_device *bdev;
    list_for_each_entry (bdev, &registry, link)
        if (i-- == 0)
            return bdev;
    return NULL;
}

/* Checks @bio against its device and sums up its length. */
static int bio_check(struct bio *bio)
{
    const struct block_device *bdev = bio->bdev;
    u64 bytes = 0;
    if (bio->op == BIO_FLUSH)
        return bio->vec_count == 0 ? 0 : -EINVAL;
    if (bio->op == BIO_WRITE && bdev->read_only)
        return -EROFS;
    for (unsigned i = 0; i < bio->vec_count; i++) {
        if (bio->vec[i].len == 0 || bio->vec[i].len % SECTOR_SIZE)
            return -EINVAL;
        bytes += bio->vec[i].len;
    }
    if (bytes == 0 || bytes > UINT32_MAX)
        return -EINVAL;
    bio->bytes = bytes;
    u64 sectors = bytes >> SECTOR_SHIFT, capacity = READ_ONCE(bdev->sectors);
    if (sectors > capacity || bio->sector > capacity - sectors)
        return -EIO;
    return 0;
}

void block_submit(struct bio *bio)
{
    debug_assert(bio->done);
    bio->status = 0;
    bio->bytes = 0;
    bio->next_vec = 0;
    bio->next_offset = 0;
    bio->next_sector = bio->sector;
    bio->pieces = 0;
    bio->flush_started = false;
    list_init(&bio->link);
    bio->submitted = time_ns();
    struct block_stats *s = &bio->bdev->stats;
    if (atomic_add_relaxed(&s->in_flight, 1) == 1)
        WRITE_ONCE(s->busy_since, bio->submitted);
    int r = bio_check(bio);
    if (r < 0)
        bio_complete(bio, r);
    else
        bio->bdev->ops->submit(bio->bdev, bio);
}

void bio_complete(struct bio *bio, int status)
{
    struct block_stats *s = &bio->bdev->stats;
    u64 now = time_ns(), took = now - bio->submitted, since = READ_ONCE(s->busy_since);
    bio->status = status;
    if (atomic_sub(&s->in_flight, 1) == 0 && now > since)
        atomic_add_relaxed(&s->busy_ns, now - since);
    if (status < 0) {
        atomic_add_relaxed(&s->errors, 1);
    } else if (bio->op == BIO_READ) {
        atomic_add_relaxed(&s->reads, 1);
        atomic_add_relaxed(&s->sectors_read, bio->bytes >> SECTOR_SHIFT);
        atomic_add_relaxed(&s->read_ns, took);
    } else if (bio->op == BIO_WRITE) {
        atomic_add_relaxed(&s->writes, 1);
        atomic_add_relaxed(&s->sectors_written, bio->bytes >> SECTOR_SHIFT);
        atomic_add_relaxed(&s->write_ns, took);
    } else {
        atomic_add_relaxed(&s->flushes, 1);
        atomic_add_relaxed(&s->flush_ns, took);
    }
    bio->done(bio);
}

/* Of a waiting submitter; lives on its stack. */
struct bio_waiter {
    struct spinlock lock;
    bool finished; /* written under ->lock */
    struct waitq wait;
};

static DEFINE_LOCK_CLASS(waiter_class, "bio_waiter");

/* The submitter may see ->finished at once; it takes ->lock before it leaves, so its stack stays
 * until this function is through. */
static void wake_submitter(struct bio *bio)
{
    struct bio_waiter *w = bio->private;
    SPIN_GUARD_IRQ(&w->lock);
    WRITE_ONCE(w->finished, true);
    waitq_wake_all(&w->wait);
}

int block_submit_wait(struct bio *bio)
{
    struct bio_waiter w = {.lock = SPINLOCK_INIT(waiter_class)};
    waitq_init(&w.wait);
    bio->private = &w;
    bio->done = wake_submitter;
    block_submit(bio);
    wait_event(&w.wait, READ_ONCE(w.finished));
    spin_unlock_irq(&w.lock, spin_lock_irq(&w.lock));
    return bio->status;
}

int block_rw(struct block_device *bdev, enum bio_op op, u64 sector, void *buf, size_t len)
{
    paddr_t addr = arch_virt_to_phys(buf);
    if (op == BIO_FLUSH || len == 0 || len % SECTOR_SIZE)
        return -EINVAL;
    while (len > 0) {
        struct bio_vec vec = {.addr = addr, .len = MIN(len, RW_MAX_BYTES)};
        struct bio bio = {.bdev = bdev, .op = op, .sector = sector, .vec = &vec, .vec_count = 1};
        int r = block_submit_wait(&bio);
        if (r < 0)
            return r;
        addr += vec.len;
        sector += vec.len >> SECTOR_SHIFT;
        len -= vec.len;
    }
    return 0;
}

int block_flush(struct block_device *bdev)
{
    struct bio bio = {.bdev = bdev, .op = BIO_FLUSH};
    return block_submit_wait(&bio);
}
