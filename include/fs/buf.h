/*
 * Buffer cache: metadata blocks of block devices. Hashed by (device, block) with a lock per bucket.
 * File data never lives here. Theory in fs/buf.c.
 */
#pragma once

#include "core/mutex.h"
#include "lib/types.h"

struct block_device;

/* Legend: m: buf->lock held; b: the bucket's lock; d: the dirty list's lock; a: atomic. */
struct buf {
    struct block_device *bdev;
    u64 block;
    u32 size;   /* bytes, the file system's block size */
    s32 refs;   /* b */
    u32 flags;  /* a: BUF_* */
    void *data; /* m */
    struct mutex lock;
    struct list_node hash_link;  /* b */
    struct list_node dirty_link; /* d: on the dirty list while BUF_DIRTY */
};
#define BUF_UPTODATE   1u  /* the contents are valid */
#define BUF_DIRTY      2u  /* and newer than the disk's */
#define BUF_ERROR      4u  /* the last transfer failed */
#define BUF_WRITING    8u  /* a write is under way (its reference keeps the buffer) */
#define BUF_REFERENCED 16u /* used since the shrinker's hand passed */

/*
 * The block at @block (counted in @size bytes, a power of two from 512 to 4096), read from the
 * device if need be, locked, with a reference. All users of a device must use the same size;
 * buf_invalidate() stands between two of them. Returns 0, -EIO, -ENOMEM.
 * => May sleep. A thread that locks a second buffer must be sure that it is another one.
 */
int buf_read(struct block_device *bdev, u64 block, u32 size, struct buf **out);
/* The same without reading: the contents are zero, the caller fills it in and marks it dirty.
 * Returns 0, -ENOMEM. */
int buf_get(struct block_device *bdev, u64 block, u32 size, struct buf **out);
/* The contents were changed: they will be written in a few seconds or by buf_sync(). => Locked. */
void buf_mark_dirty(struct buf *b);
/* Unlocks and drops the reference; the block stays cached. */
void buf_release(struct buf *b);
/* A block is being freed: waits until no write of it is under way, forgets changes not yet written
 * and the contents. => May sleep; the caller does not hold the buffer. */
void buf_forget(struct block_device *bdev, u64 block, u32 size);
/*
 * Writes all blocks of @bdev (NULL: of all devices) that are dirty now; with @wait returns when
 * they are written (not flushed: see block_flush()), else leaves out those someone has locked.
 * A buffer that cannot be written stays dirty and is tried again next time.
 * Returns 0 or the first error. => May sleep; the caller holds no buffer when it waits.
 */
int buf_sync(struct block_device *bdev, bool wait);
/* Writes this one now if it is dirty and waits. Returns 0, -EIO. => Locked, stays so. */
int buf_write(struct buf *b);
/* Unmount or mount: drops every unused buffer of @bdev. Those still dirty (they could not be
 * written) are dropped with a line in the log. */
void buf_invalidate(struct block_device *bdev);
u64 buf_cached_bytes(void); /* for "Buffers" in /proc/meminfo */
/* Boot, after memory and threads work: makes the hash, the shrinker, starts the flush thread. */
void buf_init(void);
