/*
 * Virtio block device (virtio 1.2, section 5.2): many requests in flight, completion by interrupt.
 *
 * A bio becomes one or more requests ("pieces"): a request carries at most seg_limit segments of at
 * most size_limit bytes. Requests come from a fixed set made at start; a bio that finds none free,
 * or no descriptors, stays on the waiting list and goes on when a request completes. So submission
 * needs no memory and cannot fail. With indirect descriptors each request has a table of its own
 * and takes one descriptor of the ring, otherwise it takes one per segment and two more.
 *
 * A bio's life:   waiting list -> (pieces at the device) -> all pieces back -> bio_complete()
 * A FUA write takes a second turn: when its data is down, it waits once more and sends a FLUSH.
 * Without VIRTIO_BLK_F_FLUSH the device has no volatile cache, and flushes are done at once.
 *
 * Locks: ->lock guards everything; it is taken in the interrupt handler. bio_complete() is called
 * without it: finished bios are first collected on a local list.
 * Failure: a request that the device fails gives -EIO for its bio. A device that breaks (asks for a
 * reset, writes nonsense into the ring) is reset; all its bios, and later ones, get -EIO.
 */
#include "arch/mmu.h"
#include "core/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "dev/block.h"
#include "dev/random.h"
#include "lib/fmt.h"
#include "mm/slab.h"
#include "virtio_priv.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>

#define REQUESTS   32  /* in flight at most */
#define QUEUE_SIZE 256 /* descriptors asked for */
#define SEGMENTS   64  /* per request at most: 256 KiB of scattered pages */
#define MINORS     16  /* device numbers per disk */

struct request {
    struct vring_desc table[SEGMENTS + 2]; /* header, data, status */
    struct virtio_blk_outhdr header;
    u8 status;
    struct bio *bio; /* NULL: free */
    struct list_node link;
};

struct virtio_blk {
    struct block_device bdev;
    struct virtio_device *vdev;
    struct virtqueue *vq;
    struct spinlock lock;
    struct list_node waiting; /* bios with something left to send */
    struct list_node free;    /* requests */
    struct request *requests;
    unsigned seg_limit;
    u32 size_limit;
    bool indirect, has_flush, dead;
};

static DEFINE_LOCK_CLASS(blk_class, "virtio_blk");
static unsigned disks;

static bool needs_flush(const struct bio *bio)
{
    return bio->op == BIO_FLUSH || (bio->flags & BIO_FUA && bio->op == BIO_WRITE);
}

static bool data_left(const struct bio *bio)
{
    return bio->next_vec < bio->vec_count;
}

/* Fills @table with the next segments of @bio, merging neighbours. Returns their number. */
static unsigned gather(struct virtio_blk *vb, struct bio *bio, struct vring_desc *table)
{
    unsigned n = 0;
    while (data_left(bio)) {
        const struct bio_vec *v = &bio->vec[bio->next_vec];
        paddr_t addr = v->addr + bio->next_offset;
        u32 len = MIN(v->len - bio->next_offset, vb->size_limit);
        struct vring_desc *prev = n ? &table[n - 1] : NULL;
        if (prev && prev->addr + prev->len == addr && len <= vb->size_limit - prev->len) {
            prev->len += len;
        } else if (n < vb->seg_limit) {
            u16 flags = bio->op == BIO_READ ? VRING_DESC_F_WRITE : 0;
            table[n++] = (struct vring_desc){.addr = addr, .len = len, .flags = flags};
        } else {
            break;
        }
        bio->next_sector += len >> SECTOR_SHIFT;
        bio->next_offset += len;
        if (bio->next_offset == v->len) {
            bio->next_vec++;
            bio->next_offset = 0;
        }
    }
    return n;
}

/* Builds the next piece of @bio in @rq. Returns the number of descriptors. */
static unsigned build(struct virtio_blk *vb, struct request *rq, struct bio *bio)
{
    unsigned segments = 0;
    rq->header = (struct virtio_blk_outhdr){.sector = bio->next_sector};
    if (data_left(bio)) {
        rq->header.type = bio->op == BIO_READ ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
        segments = gather(vb, bio, rq->table + 1);
    } else {
        rq->header.type = VIRTIO_BLK_T_FLUSH;
        rq->header.sector = 0;
        bio->flush_started = true;
    }
    rq->bio = bio;
    rq->status = VIRTIO_BLK_S_IOERR;
    rq->table[0] =
        (struct vring_desc){.addr = direct_to_phys(&rq->header), .len = sizeof(rq->header)};
    rq->table[segments + 1] = (struct vring_desc){
        .addr = direct_to_phys(&rq->status), .len = 1, .flags = VRING_DESC_F_WRITE};
    return segments + 2;
}

/* Sends as much of the waiting bios as there is room for. */
static void pump(struct virtio_blk *vb)
{
    while (!list_empty(&vb->waiting) && !list_empty(&vb->free)) {
        if (vb->vq->free_count < (vb->indirect ? 1 : vb->seg_limit + 2))
            break;
        struct bio *bio = list_first(&vb->waiting, struct bio, link);
        struct request *rq = list_first(&vb->free, struct request, link);
        list_remove(&rq->link);
        unsigned n = build(vb, rq, bio);
        bio->pieces++;
        int r;
        if (vb->indirect) {
            virtq_link(rq->table, n);
            r = virtq_add_indirect(vb->vq, rq->table, n, rq);
        } else {
            r = virtq_add(vb->vq, rq->table, n, rq);
        }
        assert(r == 0);
        if (!data_left(bio))
            list_remove(&bio->link);
    }
    virtq_kick(vb->vq);
}

static void complete_list(struct list_node *done)
{
    while (!list_empty(done)) {
        struct bio *bio = list_first(done, struct bio, link);
        list_remove(&bio->link);
        bio_complete(bio, bio->status);
    }
}

static void blk_submit(struct block_device *bdev, struct bio *bio)
{
    struct virtio_blk *vb = bdev->driver;
    irqflags_t flags = spin_lock_irq(&vb->lock);
    bool dead = vb->dead, nothing = bio->op == BIO_FLUSH && !vb->has_flush;
    if (!dead && !nothing) {
        list_push_back(&vb->waiting, &bio->link);
        pump(vb);
    }
    spin_unlock_irq(&vb->lock, flags);
    if (dead || nothing)
        bio_complete(bio, dead ? -EIO : 0);
}

/* A piece of @bio came back (or never will): what follows. */
static void piece_done(struct virtio_blk *vb, struct bio *bio, struct list_node *done)
{
    bio->pieces--;
    if (bio->status < 0 && data_left(bio)) {
        bio->next_vec = bio->vec_count; /* the rest need not be tried */
        list_remove(&bio->link);
    }
    if (bio->pieces > 0 || data_left(bio))
        return;
    if (bio->status == 0 && needs_flush(bio) && !bio->flush_started && vb->has_flush)
        list_push_front(&vb->waiting, &bio->link);
    else
        list_push_back(done, &bio->link);
}

static void request_free(struct virtio_blk *vb, struct request *rq)
{
    rq->bio = NULL;
    list_push_front(&vb->free, &rq->link);
}

/* The device is of no more use: everything under way fails. */
static void fail_all(struct virtio_blk *vb, struct list_node *done)
{
    log_err("%s: the device failed\n", vb->bdev.name);
    vb->dead = true;
    virtio_reset(vb->vdev);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct request *rq = &vb->requests[i];
        struct bio *bio = rq->bio;
        if (!bio)
            continue;
        bio->status = -EIO;
        request_free(vb, rq);
        piece_done(vb, bio, done);
    }
    struct bio *bio, *tmp;
    list_for_each_entry_safe (bio, tmp, &vb->waiting, link) {
        list_remove(&bio->link);
        bio->status = -EIO;
        list_push_back(done, &bio->link);
    }
}

static void config_changed(struct virtio_blk *vb)
{
    u64 sectors = virtio_config64(vb->vdev, offsetof(struct virtio_blk_config, capacity));
    if (sectors != vb->bdev.sectors)
        log_info("%s: now %lu sectors\n", vb->bdev.name, sectors);
    WRITE_ONCE(vb->bdev.sectors, sectors);
}

static void blk_interrupt(void *arg)
{
    struct virtio_blk *vb = arg;
    struct list_node done = LIST_INIT(done);
    random_add_event(vb->vdev->irq);
    irqflags_t flags = spin_lock_irq(&vb->lock);
    u32 cause = virtio_ack_interrupt(vb->vdev);
    struct request *rq;
    u32 len;
    while (!vb->dead && (rq = virtq_next_used(vb->vq, &len))) {
        struct bio *bio = rq->bio;
        if (rq->status != VIRTIO_BLK_S_OK)
            bio->status = -EIO;
        request_free(vb, rq);
        piece_done(vb, bio, &done);
    }
    if (!vb->dead) {
        if (cause & VIRTIO_MMIO_INT_CONFIG && !virtio_needs_reset(vb->vdev))
            config_changed(vb);
        if (vb->vq->broken || (cause & VIRTIO_MMIO_INT_CONFIG && virtio_needs_reset(vb->vdev)))
            fail_all(vb, &done);
        else
            pump(vb);
    }
    spin_unlock_irq(&vb->lock, flags);
    complete_list(&done);
}

static const struct block_ops blk_ops = {.submit = blk_submit};

/* Reads the device's limits. */
static void read_limits(struct virtio_blk *vb)
{
    struct virtio_device *vdev = vb->vdev;
    vb->indirect = vdev->features & VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
    vb->has_flush = vdev->features & VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH);
    vb->bdev.read_only = vdev->features & VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
    vb->bdev.sectors = virtio_config64(vdev, offsetof(struct virtio_blk_config, capacity));
    vb->seg_limit = SEGMENTS;
    if (vdev->features & VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX)) {
        u32 max = virtio_config32(vdev, offsetof(struct virtio_blk_config, seg_max));
        vb->seg_limit = MIN(vb->seg_limit, max);
    }
    vb->size_limit = 1u << 30;
    if (vdev->features & VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX)) {
        u32 max = virtio_config32(vdev, offsetof(struct virtio_blk_config, size_max));
        vb->size_limit = MIN(vb->size_limit, ALIGN_DOWN(max, (u32)SECTOR_SIZE));
    }
}

static int blk_setup(struct virtio_blk *vb)
{
    int r = virtio_start(
        vb->vdev, VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX) |
                      VIRTIO_FEATURE(VIRTIO_BLK_F_RO) | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH));
    if (r < 0)
        return r;
    read_limits(vb);
    r = virtq_create(vb->vdev, 0, QUEUE_SIZE, &vb->vq);
    if (r < 0)
        return r;
    vb->seg_limit = MIN(vb->seg_limit, vb->vq->size - 2u);
    if (vb->vq->size < 3 || vb->seg_limit == 0 || vb->size_limit == 0)
        return -ENODEV;
    r = irq_register(vb->vdev->irq, blk_interrupt, vb, vb->bdev.name);
    if (r < 0)
        return r;
    virtio_ready(vb->vdev);
    r = block_register(&vb->bdev);
    assert(r == 0); /* name and number are counted up here alone */
    return 0;
}

static int blk_probe(struct virtio_device *vdev)
{
    struct virtio_blk *vb = kzalloc(sizeof(*vb), 0);
    struct request *requests = kzalloc(REQUESTS * sizeof(*requests), 0);
    int r = -ENOMEM;
    if (vb && requests) {
        vb->vdev = vdev;
        spin_init(&vb->lock, &blk_class);
        list_init(&vb->waiting);
        list_init(&vb->free);
        vb->requests = requests;
        for (unsigned i = 0; i < REQUESTS; i++)
            list_push_back(&vb->free, &requests[i].link);
        snprintf(vb->bdev.name, sizeof(vb->bdev.name), "vd%c", 'a' + disks);
        vb->bdev.dev = devno_make(DEVNO_VIRTBLK, disks * MINORS);
        vb->bdev.ops = &blk_ops;
        vb->bdev.driver = vb;
        r = disks < 26 ? blk_setup(vb) : -ENODEV;
    }
    if (r < 0) {
        kfree(requests);
        kfree(vb);
        return r;
    }
    disks++;
    log_info("%s: virtio disk at %lx, %lu sectors (%lu MiB)%s, irq %u\n", vb->bdev.name, vdev->addr,
             vb->bdev.sectors, vb->bdev.sectors >> 11, vb->bdev.read_only ? ", read-only" : "",
             vdev->irq);
    return 0;
}

const struct virtio_driver virtio_blk_driver = {.id = VIRTIO_ID_BLOCK, .probe = blk_probe};
