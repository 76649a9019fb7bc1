/*
 * Character devices, as devfs offers them. A driver registers a struct char_device; devfs shows it
 * under its name and passes each open file's operations on with a struct char_file.
 */
#pragma once

#include "core/poll.h"
#include "dev/devno.h"
#include "lib/list.h"
#include "lib/types.h"

struct char_device;
struct uio;
struct vm_object;

/* One open file of a device; part of devfs's file. */
struct char_file {
    struct char_device *dev;
    void *private;  /* the driver's, set by open() */
    unsigned flags; /* open(2)'s O_* at open time, access mode included */
};

/* Transfer flags. */
#define CHAR_NONBLOCK 1u /* do not sleep: -EAGAIN */

/*
 * Operations; each may be NULL and then means what stands in brackets. All may sleep. Sleeps end
 * with -ERESTARTSYS when a signal comes and nothing has been transferred.
 */
struct char_ops {
    /* [0] @f->dev, ->flags are set, ->private is NULL. */
    int (*open)(struct char_file *f);
    void (*release)(struct char_file *f);
    /* [-EINVAL] Bytes transferred or -errno; 0 is the end of the file. */
    ssize_t (*read)(struct char_file *f, struct uio *uio, unsigned flags);
    ssize_t (*write)(struct char_file *f, struct uio *uio, unsigned flags);
    /* [-ENOTTY] @arg is the user's third argument. */
    long (*ioctl)(struct char_file *f, unsigned cmd, u64 arg);
    /* [POLLIN|POLLOUT, always ready] POLL* mask; see core/poll.h. */
    u32 (*poll)(struct char_file *f, struct poll_table *table);
    /* [-ESPIPE] New position; @whence is SEEK_*. */
    loff_t (*seek)(struct char_file *f, loff_t offset, int whence);
    /* [-ENODEV] What a mapping of @size bytes shows: *@out is an object with one reference for the
     * caller, or NULL: plain anonymous private memory. */
    int (*mmap)(struct char_file *f, u64 size, bool shared, struct vm_object **out);
};

struct char_device {
    const char *name; /* under /dev */
    u32 dev;          /* device number */
    u32 mode;         /* permission bits, such as 0666 */
    const struct char_ops *ops;
    void *driver;          /* the driver's */
    struct list_node link; /* registry */
};

/* Publishes @cdev (filled in, never freed) for good. Returns 0, -EEXIST (name or number taken). */
int char_register(struct char_device *cdev);
/* Device by number (for nodes made with mknod), or the @i-th in order of registration;
 * NULL when there is none. Devices are never removed, so pointers stay valid. */
struct char_device *char_find_dev(u32 dev);
struct char_device *char_at(unsigned i);
