/*
 * Virtio console (virtio 1.2, section 5.3) as a raw byte channel to the host: /dev/vport0, ...
 *
 * One device, one port: without VIRTIO_CONSOLE_F_MULTIPORT the device has a receive queue (0) and a
 * transmit queue (1) and no control messages. Bytes go through buffers of the port's own, one page
 * each: all receive buffers lie with the device until it fills them and the reader empties them
 * again; a writer fills a free transmit buffer and gives it to the device. write() returns when the
 * host has taken everything, so nothing is lost when the machine then powers off. If a signal ends
 * the wait, the bytes handed over count as written: the buffers stay with the device until it is
 * done with them, and virtio_console_drain() waits for that before power-off.
 *
 * What the host does with bytes once it has taken them is its affair: QEMU's virtconsole drops what
 * its backend cannot take at once, so the backend should be a regular file, which always can.
 *
 * Locks: ->lock (interrupt-safe) guards the queues and buffers; ->read_mutex and ->write_mutex make
 * a read or write one unit.
 */
#include "arch/mmu.h"
#include "core/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/mutex.h"
#include "dev/char.h"
#include "dev_priv.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "mm/usercopy.h"
#include "virtio_priv.h"

#include <linux/poll.h>
#include <linux/virtio_console.h>

#define BUFFERS     4 /* per direction */
#define DRAIN_LIMIT (5 * NSEC_PER_SEC)

struct buffer {
    u8 *data; /* a page */
    u32 len;  /* received bytes */
    u32 at;   /* of them read */
    struct list_node link;
};

struct vport {
    struct char_device cdev;
    char name[16];
    struct virtio_device *vdev;
    struct virtqueue *rx, *tx;
    struct spinlock lock;
    struct mutex read_mutex, write_mutex;
    struct waitq readers, writers;
    struct buffer rx_buffers[BUFFERS], tx_buffers[BUFFERS];
    struct list_node received; /* filled receive buffers, oldest first */
    struct list_node tx_free;
    unsigned tx_busy; /* transmit buffers at the device */
    struct list_node all_link;
};

static DEFINE_LOCK_CLASS(vport_class, "vport");
static DEFINE_LOCK_CLASS(vport_read_class, "vport_read");
static DEFINE_LOCK_CLASS(vport_write_class, "vport_write");
static struct list_node vports = LIST_INIT(vports);
static unsigned vport_count;

/* => Locked. There is a descriptor for every buffer, so adding cannot fail. */
static void give_rx(struct vport *p, struct buffer *b)
{
    struct vring_desc d = {
        .addr = direct_to_phys(b->data), .len = PAGE_SIZE, .flags = VRING_DESC_F_WRITE};
    b->at = b->len = 0;
    int r = virtq_add(p->rx, &d, 1, b);
    assert(r == 0);
}

/* Takes finished buffers back. => Locked. */
static void collect(struct vport *p)
{
    struct buffer *b;
    u32 len;
    while ((b = virtq_next_used(p->tx, &len))) {
        list_push_back(&p->tx_free, &b->link);
        p->tx_busy--;
    }
    while ((b = virtq_next_used(p->rx, &len))) {
        b->len = MIN(len, (u32)PAGE_SIZE);
        if (b->len)
            list_push_back(&p->received, &b->link);
        else
            give_rx(p, b);
    }
}

static void vport_interrupt(void *arg)
{
    struct vport *p = arg;
    {
        SPIN_GUARD_IRQ(&p->lock);
        virtio_ack_interrupt(p->vdev);
        collect(p);
        virtq_kick(p->rx);
    }
    waitq_wake_all_key(&p->readers, POLLIN | POLLRDNORM);
    waitq_wake_all_key(&p->writers, POLLOUT | POLLWRNORM);
}

static bool broken(struct vport *p)
{
    return READ_ONCE(p->rx->broken) || READ_ONCE(p->tx->broken);
}

static struct buffer *first_received(struct vport *p)
{
    SPIN_GUARD_IRQ(&p->lock);
    return list_empty(&p->received) ? NULL : list_first(&p->received, struct buffer, link);
}

/* An emptied receive buffer goes back to the device. */
static void recycle(struct vport *p, struct buffer *b)
{
    SPIN_GUARD_IRQ(&p->lock);
    list_remove(&b->link);
    give_rx(p, b);
    virtq_kick(p->rx);
}

static int lock_for(struct mutex *m, unsigned flags)
{
    if (flags & CHAR_NONBLOCK)
        return mutex_trylock(m) ? 0 : -EAGAIN;
    return mutex_lock_intr(m) < 0 ? -ERESTARTSYS : 0;
}

static ssize_t read_locked(struct vport *p, struct uio *uio, unsigned flags)
{
    size_t total = 0;
    struct buffer *b;
    if (!first_received(p)) {
        if (flags & CHAR_NONBLOCK)
            return broken(p) ? -EIO : -EAGAIN;
        if (wait_event_intr(&p->readers, first_received(p) || broken(p)) < 0)
            return -ERESTARTSYS;
    }
    while (uio->resid && (b = first_received(p))) {
        size_t n = uio_write(uio, b->data + b->at, b->len - b->at);
        if (n == 0)
            return total ? total : -EFAULT;
        total += n;
        b->at += n;
        if (b->at == b->len)
            recycle(p, b);
    }
    return total ? total : -EIO;
}

static ssize_t vport_read(struct char_file *f, struct uio *uio, unsigned flags)
{
    struct vport *p = f->dev->driver;
    if (uio->resid == 0)
        return 0;
    ssize_t r = lock_for(&p->read_mutex, flags);
    if (r < 0)
        return r;
    r = read_locked(p, uio, flags);
    mutex_unlock(&p->read_mutex);
    return r;
}

static struct buffer *take_tx(struct vport *p)
{
    SPIN_GUARD_IRQ(&p->lock);
    collect(p);
    if (list_empty(&p->tx_free))
        return NULL;
    struct buffer *b = list_first(&p->tx_free, struct buffer, link);
    list_remove(&b->link);
    return b;
}

static void return_tx(struct vport *p, struct buffer *b)
{
    SPIN_GUARD_IRQ(&p->lock);
    list_push_front(&p->tx_free, &b->link);
}

static void send(struct vport *p, struct buffer *b, size_t len)
{
    SPIN_GUARD_IRQ(&p->lock);
    struct vring_desc d = {.addr = direct_to_phys(b->data), .len = len};
    int r = virtq_add(p->tx, &d, 1, b);
    assert(r == 0);
    p->tx_busy++;
    virtq_kick(p->tx);
}

/* The host has taken everything? It often has by the time the notification returns. */
static bool all_sent(struct vport *p)
{
    SPIN_GUARD_IRQ(&p->lock);
    collect(p);
    return p->tx_busy == 0;
}

static ssize_t write_locked(struct vport *p, struct uio *uio, unsigned flags)
{
    size_t total = 0;
    int r = 0;
    while (uio->resid) {
        struct buffer *b = take_tx(p);
        if (!b) {
            if (flags & CHAR_NONBLOCK)
                r = -EAGAIN;
            else if (wait_event_intr(&p->writers, (b = take_tx(p)) || broken(p)) < 0)
                r = -ERESTARTSYS;
            else if (!b)
                r = -EIO;
            if (!b)
                break;
        }
        if (broken(p)) {
            return_tx(p, b);
            r = -EIO;
            break;
        }
        size_t n = uio_read(uio, b->data, MIN(uio->resid, PAGE_SIZE));
        if (n == 0) {
            return_tx(p, b);
            r = -EFAULT;
            break;
        }
        send(p, b, n);
        total += n;
    }
    if (total && !(flags & CHAR_NONBLOCK))
        (void)wait_event_intr(&p->writers, all_sent(p) || broken(p));
    return total ? (ssize_t)total : r;
}

static ssize_t vport_write(struct char_file *f, struct uio *uio, unsigned flags)
{
    struct vport *p = f->dev->driver;
    if (uio->resid == 0)
        return 0;
    ssize_t r = lock_for(&p->write_mutex, flags);
    if (r < 0)
        return r;
    r = write_locked(p, uio, flags);
    mutex_unlock(&p->write_mutex);
    return r;
}

static u32 vport_poll(struct char_file *f, struct poll_table *table)
{
    struct vport *p = f->dev->driver;
    poll_wait(table, &p->readers);
    poll_wait(table, &p->writers);
    SPIN_GUARD_IRQ(&p->lock);
    collect(p);
    return (list_empty(&p->received) ? 0 : POLLIN | POLLRDNORM) |
           (list_empty(&p->tx_free) ? 0 : POLLOUT | POLLWRNORM) | (broken(p) ? POLLERR : 0);
}

static const struct char_ops vport_ops = {
    .read = vport_read, .write = vport_write, .poll = vport_poll};

void virtio_console_drain(void)
{
    struct vport *p;
    u64 limit = time_ns() + DRAIN_LIMIT;
    list_for_each_entry (p, &vports, all_link)
        while (!all_sent(p) && !broken(p) && time_ns() < limit)
            arch_relax();
}

static int buffers_alloc(struct vport *p)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        struct page *rx = page_alloc(0, PAGE_WIRED, 0), *tx = page_alloc(0, PAGE_WIRED, 0);
        p->rx_buffers[i].data = rx ? page_to_virt(rx) : NULL;
        p->tx_buffers[i].data = tx ? page_to_virt(tx) : NULL;
        if (!rx || !tx)
            return -ENOMEM;
        list_push_back(&p->tx_free, &p->tx_buffers[i].link);
    }
    return 0;
}

static void vport_free(struct vport *p)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        if (p->rx_buffers[i].data)
            page_free(virt_to_page(p->rx_buffers[i].data), 0);
        if (p->tx_buffers[i].data)
            page_free(virt_to_page(p->tx_buffers[i].data), 0);
    }
    kfree(p);
}

static int vport_setup(struct vport *p)
{
    int r = buffers_alloc(p);
    if (r == 0)
        r = virtio_start(p->vdev, 0);
    if (r == 0)
        r = virtq_create(p->vdev, 0, BUFFERS, &p->rx);
    if (r == 0)
        r = virtq_create(p->vdev, 1, BUFFERS, &p->tx);
    if (r == 0 && (p->rx->size < BUFFERS || p->tx->size < BUFFERS))
        r = -ENODEV;
    if (r == 0)
        r = irq_register(p->vdev->irq, vport_interrupt, p, p->name);
    if (r < 0)
        return r;
    virtio_ready(p->vdev);
    {
        SPIN_GUARD_IRQ(&p->lock);
        for (unsigned i = 0; i < BUFFERS; i++)
            give_rx(p, &p->rx_buffers[i]);
        virtq_kick(p->rx);
    }
    list_push_back(&vports, &p->all_link);
    r = char_register(&p->cdev);
    assert(r == 0); /* name and number are counted up here alone */
    return 0;
}

static int vport_probe(struct virtio_device *vdev)
{
    struct vport *p = kzalloc(sizeof(*p), 0);
    if (!p)
        return -ENOMEM;
    p->vdev = vdev;
    snprintf(p->name, sizeof(p->name), "vport%u", vport_count);
    p->cdev = (struct char_device){.name = p->name,
                                   .dev = devno_make(DEVNO_VPORT, vport_count),
                                   .mode = 0600,
                                   .ops = &vport_ops,
                                   .driver = p};
    spin_init(&p->lock, &vport_class);
    mutex_init(&p->read_mutex, &vport_read_class);
    mutex_init(&p->write_mutex, &vport_write_class);
    waitq_init(&p->readers);
    waitq_init(&p->writers);
    list_init(&p->received);
    list_init(&p->tx_free);
    int r = vport_setup(p);
    if (r < 0) {
        vport_free(p);
        return r;
    }
    vport_count++;
    log_info("%s: virtio console at %lx, irq %u\n", p->name, vdev->addr, vdev->irq);
    return 0;
}

const struct virtio_driver virtio_console_driver = {.id = VIRTIO_ID_CONSOLE, .probe = vport_probe};
