/*
 * Split virtqueues (virtio 1.2, section 2.7).
 *
 * A queue is three arrays in memory that both sides see: descriptors (address, length, next), the
 * available ring (heads of chains that we offer) and the used ring (heads that the device is done
 * with). Free descriptors form a chain through ->next. avail->idx and used->idx only grow (modulo
 * 65536); the barriers make entries visible before the index that announces them.
 *
 * With EVENT_IDX each side says at which index it wants to be told next: we skip notifications that
 * the device does not need, and ask for an interrupt only for the first completion after those we
 * have seen.
 *
 * What the device writes is not trusted: an id that is not outstanding marks the queue broken.
 */
#include "arch/io.h"
#include "core/errno.h"
#include "core/log.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "virtio_priv.h"

#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_mmio.h>

static void reg_write64(struct virtio_device *dev, u32 reg, u64 v)
{
    mmio_write32(dev->regs + reg, (u32)v);
    mmio_write32(dev->regs + reg + 4, v >> 32);
}

/* Bytes of the three parts for @n descriptors; each gets its own alignment. */
static size_t ring_bytes(unsigned n, size_t *avail_off, size_t *used_off)
{
    *avail_off = n * sizeof(struct vring_desc);
    size_t avail_end = *avail_off + sizeof(struct vring_avail) + (n + 1) * sizeof(u16);
    *used_off = ALIGN_UP(avail_end, (size_t)VRING_USED_ALIGN_SIZE);
    return *used_off + sizeof(struct vring_used) + n * sizeof(struct vring_used_elem) + sizeof(u16);
}

static unsigned order_for(size_t bytes)
{
    unsigned order = 0;
    while ((PAGE_SIZE << order) < bytes)
        order++;
    return order;
}

static int queue_alloc(struct virtqueue *vq)
{
    size_t avail_off, used_off;
    unsigned order = order_for(ring_bytes(vq->size, &avail_off, &used_off));
    vq->cookies = kzalloc(vq->size * sizeof(void *), 0);
    struct page *mem = page_alloc(order, PAGE_WIRED, PA_ZERO);
    if (!vq->cookies || !mem) {
        kfree(vq->cookies);
        if (mem)
            page_free(mem, order);
        return -ENOMEM;
    }
    u8 *base = page_to_virt(mem);
    vq->desc = (struct vring_desc *)base;
    vq->avail = (struct vring_avail *)(base + avail_off);
    vq->used = (struct vring_used *)(base + used_off);
    for (unsigned i = 0; i < vq->size; i++)
        vq->desc[i].next = i + 1;
    vq->free_count = vq->size;
    return 0;
}

int virtq_create(struct virtio_device *dev, u16 index, u16 max_size, struct virtqueue **out)
{
    mmio_write32(dev->regs + VIRTIO_MMIO_QUEUE_SEL, index);
    if (mmio_read32(dev->regs + VIRTIO_MMIO_QUEUE_READY))
        return -ENODEV;
    u32 limit = mmio_read32(dev->regs + VIRTIO_MMIO_QUEUE_NUM_MAX);
    if (limit == 0)
        return -ENODEV;
    struct virtqueue *vq = kzalloc(sizeof(*vq), 0);
    if (!vq)
        return -ENOMEM;
    vq->dev = dev;
    vq->index = index;
    for (vq->size = 1; vq->size * 2 <= MIN(limit, max_size);)
        vq->size *= 2;
    vq->event_idx = dev->features & VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX);
    int r = queue_alloc(vq);
    if (r < 0) {
        kfree(vq);
        return r;
    }
    mmio_write32(dev->regs + VIRTIO_MMIO_QUEUE_NUM, vq->size);
    reg_write64(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, direct_to_phys(vq->desc));
    reg_write64(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, direct_to_phys(vq->avail));
    reg_write64(dev, VIRTIO_MMIO_QUEUE_USED_LOW, direct_to_phys(vq->used));
    mmio_write32(dev->regs + VIRTIO_MMIO_QUEUE_READY, 1);
    *out = vq;
    return 0;
}

/* Puts the chain that starts at @head into the available ring. */
static void publish(struct virtqueue *vq, u16 head, void *cookie)
{
    vq->cookies[head] = cookie;
    vq->avail->ring[vq->avail_idx % vq->size] = head;
    vq->avail_idx++;
    store_release(&vq->avail->idx, vq->avail_idx);
}

int virtq_add(struct virtqueue *vq, const struct vring_desc *chain, unsigned count, void *cookie)
{
    if (vq->free_count < count)
        return -ENOSPC;
    u16 head = vq->free_head, at = head;
    for (unsigned i = 0; i < count; i++) {
        struct vring_desc *d = &vq->desc[at];
        d->addr = chain[i].addr;
        d->len = chain[i].len;
        d->flags = (chain[i].flags & VRING_DESC_F_WRITE) | (i + 1 < count ? VRING_DESC_F_NEXT : 0);
        at = d->next;
    }
    vq->free_head = at;
    vq->free_count -= count;
    publish(vq, head, cookie);
    return 0;
}

void virtq_link(struct vring_desc *chain, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        chain[i].flags &= VRING_DESC_F_WRITE;
        if (i + 1 < count) {
            chain[i].flags |= VRING_DESC_F_NEXT;
            chain[i].next = i + 1;
        }
    }
}

int virtq_add_indirect(struct virtqueue *vq, const struct vring_desc *chain, unsigned count,
                       void *cookie)
{
    if (vq->free_count == 0)
        return -ENOSPC;
    u16 head = vq->free_head;
    struct vring_desc *d = &vq->desc[head];
    d->addr = direct_to_phys(chain);
    d->len = count * sizeof(*chain);
    d->flags = VRING_DESC_F_INDIRECT;
    vq->free_head = d->next;
    vq->free_count--;
    publish(vq, head, cookie);
    return 0;
}

/* avail_event: the index at which the device wants to be told, behind its used ring. */
static u16 avail_event(struct virtqueue *vq)
{
    return READ_ONCE(*(u16 *)&vq->used->ring[vq->size]);
}

void virtq_kick(struct virtqueue *vq)
{
    u16 old = vq->kicked_idx, new = vq->avail_idx;
    if (old == new)
        return;
    memory_barrier(); /* the index is out before we look whether the device sleeps */
    vq->kicked_idx = new;
    bool wanted = vq->event_idx ? vring_need_event(avail_event(vq), new, old)
                                : !(READ_ONCE(vq->used->flags) & VRING_USED_F_NO_NOTIFY);
    if (wanted)
        mmio_write32(vq->dev->regs + VIRTIO_MMIO_QUEUE_NOTIFY, vq->index);
}

static void free_chain(struct virtqueue *vq, u16 head)
{
    u16 at = head;
    unsigned n = 1;
    while (vq->desc[at].flags & VRING_DESC_F_NEXT) {
        at = vq->desc[at].next;
        n++;
    }
    vq->desc[at].next = vq->free_head;
    vq->free_head = head;
    vq->free_count += n;
}

/* Asks for an interrupt at the next completion. Returns false when one came in meanwhile. */
static bool arm_interrupt(struct virtqueue *vq)
{
    if (vq->event_idx) {
        WRITE_ONCE(vq->avail->ring[vq->size], vq->used_idx); /* used_event */
        memory_barrier();
    }
    return load_acquire(&vq->used->idx) == vq->used_idx;
}

void *virtq_next_used(struct virtqueue *vq, u32 *len)
{
    if (vq->broken)
        return NULL;
    if (load_acquire(&vq->used->idx) == vq->used_idx && arm_interrupt(vq))
        return NULL;
    const struct vring_used_elem *e = &vq->used->ring[vq->used_idx % vq->size];
    u32 id = READ_ONCE(e->id);
    void *cookie = id < vq->size ? vq->cookies[id] : NULL;
    if (!cookie) {
        vq->broken = true;
        log_err("virtio@%lx: queue %u broken: chain %u was not outstanding\n", vq->dev->addr,
                vq->index, id);
        return NULL;
    }
    *len = READ_ONCE(e->len);
    vq->used_idx++;
    vq->cookies[id] = NULL;
    free_chain(vq, id);
    return cookie;
}
