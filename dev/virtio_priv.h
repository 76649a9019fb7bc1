/*
 * Virtio 1.2 over MMIO (section 4.2) with split virtqueues (section 2.7): what the virtio drivers
 * in this folder share.
 */
#pragma once

#include "core/spinlock.h"
#include "lib/types.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define VIRTIO_FEATURE(bit) (1UL << (bit))

struct virtio_device {
    volatile u8 *regs;
    paddr_t addr; /* of the registers: tells devices apart in the log */
    u32 irq;
    u32 id;       /* VIRTIO_ID_* */
    u64 features; /* negotiated */
};

/* virtio_mmio.c: drivers for the devices found. @probe owns @dev on success. Returns 0 or -errno.
 */
struct virtio_driver {
    u32 id;
    int (*probe)(struct virtio_device *dev);
};
extern const struct virtio_driver virtio_blk_driver, virtio_rng_driver, virtio_console_driver;

/*
 * Resets the device, acknowledges it and negotiates: VERSION_1, the ring's own features, and those
 * of
 * @wanted that it offers. Returns 0, -ENODEV (the device refuses).
 */
int virtio_start(struct virtio_device *dev, u64 wanted);
/* Queues are set up: the device may work from now on. */
void virtio_ready(struct virtio_device *dev);
/* Stops the device: no more DMA after the return. */
void virtio_reset(struct virtio_device *dev);
u32 virtio_config32(struct virtio_device *dev, u32 offset);
/* A 64-bit field that is consistent even while the device changes it. */
u64 virtio_config64(struct virtio_device *dev, u32 offset);
/* Interrupt: reads and acknowledges the causes, VIRTIO_MMIO_INT_*. */
u32 virtio_ack_interrupt(struct virtio_device *dev);
/* The device asks for a reset (it is of no more use). */
bool virtio_needs_reset(struct virtio_device *dev);

/* One virtqueue. The user serializes all calls on it with a lock of its own. */
struct virtqueue {
    struct virtio_device *dev;
    u16 index;
    u16 size;      /* descriptors; a power of two */
    u16 free_head; /* chain of free descriptors through ->next */
    u16 free_count;
    u16 avail_idx;  /* what we will publish next */
    u16 kicked_idx; /* avail_idx when the device was last told */
    u16 used_idx;   /* what we look at next */
    bool event_idx; /* VIRTIO_RING_F_EVENT_IDX */
    bool broken; /* the device wrote nonsense into the used ring: nothing more is taken from it */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    void **cookies; /* by head descriptor; NULL: not in use */
};

/* Sets up queue @index with at most @max_size descriptors. Returns 0, -ENODEV, -ENOMEM. */
int virtq_create(struct virtio_device *dev, u16 index, u16 max_size, struct virtqueue **out);
/*
 * Offers a chain of @count descriptors, described by @chain (->addr, ->len, and the WRITE bit of
 * ->flags; chaining is done here), to the device. @cookie (not NULL) comes back with it. Returns 0,
 * -ENOSPC (try again after completions). virtq_kick() tells the device.
 */
int virtq_add(struct virtqueue *vq, const struct vring_desc *chain, unsigned count, void *cookie);
/* The same through one descriptor: @chain, already linked by virtq_link(), stays valid until done.
 */
int virtq_add_indirect(struct virtqueue *vq, const struct vring_desc *chain, unsigned count,
                       void *cookie);
/* Links an indirect table's @count entries one after the other. */
void virtq_link(struct vring_desc *chain, unsigned count);
void virtq_kick(struct virtqueue *vq);
/*
 * The next finished chain's cookie, NULL when there is none (and then the device interrupts for the
 * next one). *@len: bytes the device wrote.
 */
void *virtq_next_used(struct virtqueue *vq, u32 *len);
