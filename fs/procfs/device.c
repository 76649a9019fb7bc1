/* Files of /proc about file systems and devices. */
#include "procfs_priv.h"

#include "core/timer.h"
#include "dev/block.h"
#include "dev/char.h"

static void show_type(struct fs_type *type, void *arg)
{
    seq_printf(arg, "%s\t%s\n", type->needs_device ? "" : "nodev", type->name);
}

static int show_filesystems(struct seq *s, const struct proc_node *n)
{
    fs_type_for_each(show_type, s);
    return 0;
}

static int show_partitions(struct seq *s, const struct proc_node *n)
{
    const struct block_device *b;
    seq_puts(s, "major minor  #blocks  name\n\n");
    for (unsigned i = 0; (b = block_at(i)); i++)
        seq_printf(s, "%4u  %7u %10lu %s\n", devno_major(b->dev), devno_minor(b->dev),
                   READ_ONCE(b->sectors) / 2, b->name);
    return 0;
}

/* Time with requests in flight, the running period included. */
static u64 busy_ns(const struct block_stats *st)
{
    u64 busy = READ_ONCE(st->busy_ns), since = READ_ONCE(st->busy_since), now = time_ns();
    return READ_ONCE(st->in_flight) > 0 && now > since ? busy + (now - since) : busy;
}

/* Linux's Documentation/admin-guide/iostats.rst; requests are never merged, nothing is discarded.
 */
static int show_diskstats(struct seq *s, const struct proc_node *n)
{
    const struct block_device *b;
    for (unsigned i = 0; (b = block_at(i)); i++) {
        const struct block_stats *st = &b->stats;
        u64 read = READ_ONCE(st->read_ns), write = READ_ONCE(st->write_ns);
        u64 flush = READ_ONCE(st->flush_ns);
        seq_printf(s, "%4u %7u %s %lu 0 %lu %lu %lu 0 %lu %lu %lu %lu %lu 0 0 0 0 %lu %lu\n",
                   devno_major(b->dev), devno_minor(b->dev), b->name, READ_ONCE(st->reads),
                   READ_ONCE(st->sectors_read), read / NSEC_PER_MSEC, READ_ONCE(st->writes),
                   READ_ONCE(st->sectors_written), write / NSEC_PER_MSEC, READ_ONCE(st->in_flight),
                   busy_ns(st) / NSEC_PER_MSEC, (read + write + flush) / NSEC_PER_MSEC,
                   READ_ONCE(st->flushes), flush / NSEC_PER_MSEC);
    }
    return 0;
}

static const char *char_major_name(u32 major, const char *device)
{
    switch (major) {
    case DEVNO_MEM:
        return "mem";
    case DEVNO_TTY:
        return "ttyS";
    case DEVNO_TTYAUX:
        return "/dev/tty";
    case DEVNO_VPORT:
        return "virtio-portsdev";
    default:
        return device;
    }
}

/* True when a device before the @i-th has the same major number. */
static bool char_major_seen(unsigned i, u32 major)
{
    for (unsigned j = 0; j < i; j++)
        if (devno_major(char_at(j)->dev) == major)
            return true;
    return false;
}

static bool block_major_seen(unsigned i, u32 major)
{
    for (unsigned j = 0; j < i; j++)
        if (devno_major(block_at(j)->dev) == major)
            return true;
    return false;
}

static int show_devices(struct seq *s, const struct proc_node *n)
{
    const struct char_device *c;
    const struct block_device *b;
    seq_puts(s, "Character devices:\n");
    for (unsigned i = 0; (c = char_at(i)); i++) {
        u32 major = devno_major(c->dev);
        if (!char_major_seen(i, major))
            seq_printf(s, "%3u %s\n", major, char_major_name(major, c->name));
    }
    seq_puts(s, "\nBlock devices:\n");
    for (unsigned i = 0; (b = block_at(i)); i++) {
        u32 major = devno_major(b->dev);
        if (!block_major_seen(i, major))
            seq_printf(s, "%3u %s\n", major, major == DEVNO_VIRTBLK ? "virtblk" : b->name);
    }
    return 0;
}

static int show_swaps(struct seq *s, const struct proc_node *n)
{
    seq_puts(s, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return 0;
}

static struct proc_entry files[] = {
    PROC_FILE("filesystems", 0444, show_filesystems),
    PROC_FILE("partitions", 0444, show_partitions),
    PROC_FILE("diskstats", 0444, show_diskstats),
    PROC_FILE("devices", 0444, show_devices),
    PROC_FILE("swaps", 0444, show_swaps),
};

void procfs_device_init(void)
{
    procfs_add(&procfs_root, files, ARRAY_SIZE(files));
}
