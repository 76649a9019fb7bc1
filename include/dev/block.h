/*
 * Block devices: asynchronous transfers of 512-byte sectors.
 *
 * A bio is one request: an operation, a first sector, and a list of physically addressed segments.
 * Whoever submits it owns the memory (the bio too: it may lie on a stack) until the done callback
 * has been called. Requests in flight complete in any order; the only ordering tool is: wait for
 * the writes, then FLUSH. BIO_FUA on a write means: done when the data is on stable storage.
 *
 * Errors (no such sector, the device reports one, read-only) end in bio->status; nothing panics.
 */
#pragma once

#include "dev/devno.h"
#include "lib/list.h"
#include "lib/types.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE  512UL

struct bio;
struct block_device;

enum bio_op { BIO_READ, BIO_WRITE, BIO_FLUSH };

#define BIO_FUA 1u /* bio->flags, BIO_WRITE: stable when done */

/* A physically contiguous piece of memory. Lengths are multiples of 512. */
struct bio_vec {
    paddr_t addr;
    u32 len;
};

struct bio {
    struct block_device *bdev;
    enum bio_op op;
    unsigned flags;            /* BIO_* */
    u64 sector;                /* first one, from the start of @bdev */
    const struct bio_vec *vec; /* not owned; stays valid until done */
    unsigned vec_count;
    /* Called once, when the request is finished and ->status is set. Mostly in interrupt context,
     * but perhaps within block_submit(): must not sleep, may submit further bios, may free @bio. */
    void (*done)(struct bio *bio);
    void *private; /* the submitter's */

    int status; /* when done: 0, -EIO, -EINVAL, -EROFS */

    /* The driver's, while the request is under way. */
    struct list_node link;
    u64 submitted;      /* time_ns() */
    u32 bytes;          /* in all */
    unsigned next_vec;  /* first segment not yet given to the device, */
    u32 next_offset;    /* bytes of it that have been, */
    u64 next_sector;    /* and where they belong */
    u32 pieces;         /* requests at the device */
    bool flush_started; /* BIO_FUA: the flush behind the data */
};

struct block_ops {
    /* Starts @bio (checked, ->done set) or queues it; ends in bio_complete(). Neither fails nor
     * sleeps. => Any context. */
    void (*submit)(struct block_device *bdev, struct bio *bio);
};

/* What /proc/diskstats and /sys/block/NAME/stat show. Atomic. */
struct block_stats {
    u64 reads, writes, flushes; /* completed */
    u64 sectors_read, sectors_written;
    u64 read_ns, write_ns, flush_ns; /* summed time from submission to completion */
    u64 errors;
    u64 in_flight;  /* now */
    u64 busy_since; /* time_ns() at which the first of them came */
    u64 busy_ns;    /* time with requests in flight, up to when there were none last */
};

struct block_device {
    char name[16];  /* "vda" */
    u32 dev;        /* device number */
    u64 sectors;    /* capacity in 512-byte sectors */
    bool read_only; /* BIO_WRITE gives -EROFS */
    const struct block_ops *ops;
    struct block_stats stats;
    void *driver;          /* the driver's */
    void *cache;           /* the file layer's: the page cache of the device file, see fs/ */
    struct list_node link; /* registry */
};

/*
 * Starts an asynchronous request; never blocks, never fails for lack of resources: what the device
 * cannot take yet waits in a queue. All problems are reported through done(). => Any context, no
 * lock held that done() takes.
 */
void block_submit(struct bio *bio);

/* Submits @bio and sleeps until it is done (->done and ->private are overwritten). Returns
 * ->status.
 * => May sleep. */
int block_submit_wait(struct bio *bio);

/*
 * Reads or writes @len bytes (a multiple of 512) at @sector from or to kernel memory at @buf, which
 * is in the direct map or the kernel image (kmalloc, pages, statics; not a kernel stack), and
 * waits. Returns 0, -EIO, -EINVAL, -EROFS. => May sleep.
 */
int block_rw(struct block_device *bdev, enum bio_op op, u64 sector, void *buf, size_t len);

/* Makes all writes that are done stable. Returns 0, -EIO. => May sleep. */
int block_flush(struct block_device *bdev);

/* Drivers: @bio is finished with @status; updates the statistics and calls done(). => Any context,
 * none of the driver's locks held. */
void bio_complete(struct bio *bio, int status);

/* Drivers: publishes a filled-in device for good. Returns 0, -EEXIST (name or number taken). */
int block_register(struct block_device *bdev);

/* Registry. Devices are never removed, so pointers stay valid. */
struct block_device *block_find(const char *name); /* "vda"; NULL when there is none */
struct block_device *block_find_dev(u32 dev);
/* The @i-th device in order of registration, NULL behind the last. */
struct block_device *block_at(unsigned i);
