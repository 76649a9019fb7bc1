/* Virtio's MMIO transport, version 2 (virtio 1.2, section 4.2): finding devices, starting them. */
#include "arch/io.h"
#include "arch/mmu.h"
#include "core/errno.h"
#include "core/log.h"
#include "dev_priv.h"
#include "mm/slab.h"
#include "virtio_priv.h"

#include <linux/virtio_ids.h>
#define VIRTIO_MMIO_NO_LEGACY
#include <linux/virtio_mmio.h>

#define VIRTIO_MAGIC       0x74726976 /* "virt" */
#define VIRTIO_VERSION     2
#define RESET_SPINS        1000000
#define CONFIG_GEN_RETRIES 1000

static const struct virtio_driver *const drivers[] = {&virtio_blk_driver, &virtio_rng_driver,
                                                      &virtio_console_driver};

static u32 reg_read(struct virtio_device *dev, u32 reg)
{
    return mmio_read32(dev->regs + reg);
}

static void reg_write(struct virtio_device *dev, u32 reg, u32 v)
{
    mmio_write32(dev->regs + reg, v);
}

static void status_add(struct virtio_device *dev, u32 bits)
{
    reg_write(dev, VIRTIO_MMIO_STATUS, reg_read(dev, VIRTIO_MMIO_STATUS) | bits);
}

void virtio_reset(struct virtio_device *dev)
{
    reg_write(dev, VIRTIO_MMIO_STATUS, 0);
    for (unsigned i = 0; i < RESET_SPINS && reg_read(dev, VIRTIO_MMIO_STATUS); i++)
        ;
}

static u64 device_features(struct virtio_device *dev)
{
    reg_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    u64 high = reg_read(dev, VIRTIO_MMIO_DEVICE_FEATURES);
    reg_write(dev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    return high << 32 | reg_read(dev, VIRTIO_MMIO_DEVICE_FEATURES);
}

int virtio_start(struct virtio_device *dev, u64 wanted)
{
    virtio_reset(dev);
    status_add(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    status_add(dev, VIRTIO_CONFIG_S_DRIVER);
    u64 offered = device_features(dev);
    wanted |= VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
              VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX);
    dev->features = offered & wanted;
    if (dev->features & VIRTIO_FEATURE(VIRTIO_F_VERSION_1)) {
        reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
        reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, dev->features >> 32);
        reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
        reg_write(dev, VIRTIO_MMIO_DRIVER_FEATURES, (u32)dev->features);
        status_add(dev, VIRTIO_CONFIG_S_FEATURES_OK);
        if (reg_read(dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK)
            return 0;
    }
    status_add(dev, VIRTIO_CONFIG_S_FAILED);
    return -ENODEV;
}

void virtio_ready(struct virtio_device *dev)
{
    status_add(dev, VIRTIO_CONFIG_S_DRIVER_OK);
}

bool virtio_needs_reset(struct virtio_device *dev)
{
    return reg_read(dev, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

u32 virtio_config32(struct virtio_device *dev, u32 offset)
{
    return reg_read(dev, VIRTIO_MMIO_CONFIG + offset);
}

u64 virtio_config64(struct virtio_device *dev, u32 offset)
{
    u64 v = 0;
    for (unsigned i = 0; i < CONFIG_GEN_RETRIES; i++) {
        u32 gen = reg_read(dev, VIRTIO_MMIO_CONFIG_GENERATION);
        v = virtio_config32(dev, offset) | (u64)virtio_config32(dev, offset + 4) << 32;
        if (reg_read(dev, VIRTIO_MMIO_CONFIG_GENERATION) == gen)
            break;
    }
    return v;
}

u32 virtio_ack_interrupt(struct virtio_device *dev)
{
    u32 cause = reg_read(dev, VIRTIO_MMIO_INTERRUPT_STATUS);
    if (cause)
        reg_write(dev, VIRTIO_MMIO_INTERRUPT_ACK, cause);
    return cause;
}

int virtio_mmio_probe(const struct dev_resources *res)
{
    volatile u8 *regs = direct_map(res->addr);
    if (mmio_read32(regs + VIRTIO_MMIO_MAGIC_VALUE) != VIRTIO_MAGIC)
        return -ENODEV;
    u32 id = mmio_read32(regs + VIRTIO_MMIO_DEVICE_ID);
    if (id == 0)
        return DEV_EMPTY_SLOT;
    u32 version = mmio_read32(regs + VIRTIO_MMIO_VERSION);
    if (version != VIRTIO_VERSION) {
        log_warn("virtio@%lx: transport version %u is not supported\n", res->addr, version);
        return -ENODEV;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++) {
        if (drivers[i]->id != id)
            continue;
        struct virtio_device *dev = kzalloc(sizeof(*dev), 0);
        if (!dev)
            return -ENOMEM;
        dev->regs = regs;
        dev->addr = res->addr;
        dev->irq = res->irq;
        dev->id = id;
        int r = drivers[i]->probe(dev);
        if (r < 0) {
            virtio_reset(dev);
            kfree(dev);
        }
        return r;
    }
    log_info("virtio@%lx: no driver for device id %u\n", res->addr, id);
    return DEV_EMPTY_SLOT;
}
