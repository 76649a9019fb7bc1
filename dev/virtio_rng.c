/*
 * Virtio entropy device (virtio 1.2, section 5.4): one buffer, filled by the host on request, goes
 * into the random pool.
 */
#include "arch/mmu.h"
#include "core/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "dev/random.h"
#include "dev_priv.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "virtio_priv.h"

#include <linux/virtio_ids.h>

#define RNG_BYTES 64

static struct {
    struct virtio_device *vdev;
    struct virtqueue *vq;
    struct spinlock lock;
    bool busy; /* a request is at the device */
    u8 *buffer;
} rng;

static DEFINE_LOCK_CLASS(rng_class, "virtio_rng");

static void rng_request(void)
{
    SPIN_GUARD_IRQ(&rng.lock);
    if (rng.busy || rng.vq->broken)
        return;
    struct vring_desc d = {
        .addr = direct_to_phys(rng.buffer), .len = RNG_BYTES, .flags = VRING_DESC_F_WRITE};
    rng.busy = virtq_add(rng.vq, &d, 1, &rng) == 0;
    virtq_kick(rng.vq);
}

static void rng_interrupt(void *arg)
{
    u8 data[RNG_BYTES];
    u32 len = 0;
    {
        SPIN_GUARD_IRQ(&rng.lock);
        virtio_ack_interrupt(rng.vdev);
        u32 got;
        while (virtq_next_used(rng.vq, &got)) {
            len = MIN(got, (u32)RNG_BYTES);
            memcpy(data, rng.buffer, len);
            memset(rng.buffer, 0, RNG_BYTES);
            rng.busy = false;
        }
    }
    random_add(data, len, len * 8);
    memset(data, 0, sizeof(data));
}

static int rng_probe(struct virtio_device *vdev)
{
    if (rng.vdev)
        return -EBUSY; /* one is enough */
    int r = virtio_start(vdev, 0);
    if (r < 0)
        return r;
    spin_init(&rng.lock, &rng_class);
    r = virtq_create(vdev, 0, 8, &rng.vq);
    if (r < 0)
        return r;
    rng.buffer = kzalloc(RNG_BYTES, 0);
    if (!rng.buffer)
        return -ENOMEM;
    rng.vdev = vdev;
    r = irq_register(vdev->irq, rng_interrupt, &rng, "hwrng");
    if (r < 0) {
        rng.vdev = NULL;
        kfree(rng.buffer);
        return r;
    }
    virtio_ready(vdev);
    random_set_source(rng_request);
    log_info("hwrng: virtio entropy at %lx, irq %u\n", vdev->addr, vdev->irq);
    return 0;
}

const struct virtio_driver virtio_rng_driver = {.id = VIRTIO_ID_RNG, .probe = rng_probe};
