/*
 * struct vm_object: what backs a mapped range (a file, shared anonymous memory) and the page cache
 * of it. One cache serves read, write, mmap and exec.
 *
 * A page in the cache is FILE state, ->object and ->index set, one reference held by the cache.
 * Reads: PG_UPTODATE says that the contents are valid; I/O runs with PG_BUSY held.
 * Writes: dirty pages carry PG_DIRTY and the radix tag; writeback clears it, write-protects the
 * mappings, sets PG_WRITEBACK, writes, ends writeback.
 */
#pragma once

#include "core/mutex.h"
#include "lib/radix.h"
#include "mm/page.h"

struct file;
struct vm_object;

#define OBJECT_TAG_DIRTY     0
#define OBJECT_TAG_WRITEBACK 1

struct vm_object_ops {
    /*
     * Fills @n pages with consecutive indices, all locked and not up to date. Sets PG_UPTODATE or
     * PG_ERROR and unlocks each page, now or when the I/O completes (asynchronously). Bytes beyond
     * the end of the object read as zero. Returns 0 when every page was or will be unlocked; a
     * negative errno when none was touched: the caller marks them and unlocks.
     */
    int (*read_pages)(struct vm_object *o, struct page **pages, unsigned n);
    /*
     * Writes @n consecutive pages, all with PG_WRITEBACK set by the caller. Each gets
     * page_end_writeback() when done (asynchronously), after object_set_error() on failure.
     * Returns 0 when every page was or will be ended; a negative errno when none was touched: the
     * caller ends them, after marking them dirty again when it was -ENOMEM. Called by the writeback
     * thread and by object_sync(), never by reclaim.
     */
    int (*write_pages)(struct vm_object *o, struct page **pages, unsigned n);
    /*
     * Makes sure that bytes [from, to) of the page at @index can be written back later (allocates
     * blocks, space); blocks may be smaller than a page, so no more than what becomes valid may be
     * asked for. Called before a page becomes dirty: object_write_begin() passes its own range, a
     * shared mapping's first write [0, what of the page lies within the object).
     * Returns 0, -ENOSPC, -EIO, ... => May sleep. NULL: nothing needed.
     */
    int (*reserve)(struct vm_object *o, u64 index, unsigned from, unsigned to);
    /* madvise(MADV_REMOVE): gives the storage of bytes [start, end) back; they read as zero. NULL:
     * not possible. 0, -EPERM (sealed). => May take the owner's locks. */
    int (*punch)(struct vm_object *o, u64 start, u64 end);
    /* References to the object's owner (inode), and to the file a mapping was made from. */
    void (*get)(struct vm_object *o);
    void (*put)(struct vm_object *o);
    void (*file_get)(struct file *f);
    void (*file_put)(struct file *f);
    /* Name of the mapping for /proc/PID/maps. */
    void (*name)(struct vm_object *o, struct file *f, char *buf, size_t size);
    /* Identity for /proc/PID/maps. */
    void (*ident)(struct vm_object *o, u64 *dev, u64 *ino);
};

/* No backing store: pages live in memory only (tmpfs, shared anonymous). Never written back, never
 * dropped by reclaim; read_pages is not called, a missing page is made of zeroes. Each page is
 * charged to the commit limit while it exists, unless OBJECT_CHARGED. */
#define OBJECT_NO_WRITEBACK 1u
#define OBJECT_CHARGED      2u /* the owner charged the whole size already */

struct vm_object {
    const struct vm_object_ops *ops;
    struct spinlock lock; /* pages, vmas, nr_*; inner to aspace, outer to page tables' */
    struct radix_tree pages;
    u64 nr_pages, nr_dirty;
    u64 size; /* bytes; atomic. Pages wholly beyond it do not exist (SIGBUS) */
    unsigned flags;
    u32 locked_vmas; /* of ->vmas, how many are VMA_LOCKED: their pages are not reclaimed */
    s32 writers; /* atomic: shared mappings that may write; negative: forbidden (F_SEAL_WRITE) */
    int error;   /* first write error since the last object_sync() */
    struct list_node vmas;       /* mappings, through vma->object_link */
    struct list_node dirty_link; /* on the writeback thread's list while nr_dirty > 0 */
    u64 dirtied_when;            /* time_ns() of the oldest dirty page, about */
    s32 pins;                    /* atomic: the writeback thread works on it; object_fini() waits */
};

void object_init(struct vm_object *o, const struct vm_object_ops *ops, unsigned flags);
/* Drops every page (the object is going away; nothing maps it, nobody uses it). */
void object_fini(struct vm_object *o);

/* How the caller reads: drives readahead. One per open file. */
struct readahead {
    u64 start;      /* current window */
    u32 size;       /* pages in it; 0: none yet */
    u32 async_size; /* tail part whose first touch starts the next window */
    u64 prev_index; /* last page read */
    u32 max;        /* pages; 0: no readahead (POSIX_FADV_RANDOM) */
};
#define READAHEAD_MAX 64 /* pages: 256 KiB */
void readahead_init(struct readahead *ra);

/* Page at @index if cached (any state), with a reference; NULL otherwise. Does not sleep. */
struct page *object_find(struct vm_object *o, u64 index);
/*
 * Of the @n pages from @index on, those that are cached, up to date and not PG_UNUSED, with a
 * reference, in ascending order to @out. Returns how many. Does not sleep.
 */
unsigned object_find_range(struct vm_object *o, u64 index, unsigned n, struct page **out);
/*
 * Page at @index, up to date, with a reference; reads it in (with readahead when @ra) if need be.
 * Returns 0, -EIO, -ENOMEM, -ENXIO (beyond the end). => May sleep. No spinlock, no page lock.
 */
int object_get_page(struct vm_object *o, u64 index, struct readahead *ra, struct page **out);
/* @page, fresh, zeroed and FILE, becomes the page at @index of an object without backing store, if
 * that has none and may; it is freed otherwise. => May sleep. */
void object_offer(struct vm_object *o, u64 index, struct page *page);
/*
 * Locked page at @index, with a reference, for overwriting bytes [from, to) of it: reads it in
 * first unless the bytes cover the whole page or all that lies within the object. Calls
 * ops->reserve. May lie beyond the end of the object, which the caller then moves. Waits while too
 * much is dirty. Returns 0, -ENOMEM, -EIO, or what ops->reserve returned.
 * When the page was not up to date before, bytes [from, to) hold anything: the caller must fill all
 * of them before object_write_end(), or give up with page_unlock().
 * object_write_end() marks it up to date and dirty and unlocks it. The caller drops the reference.
 * => Caller holds the inode's lock for writing. No spinlock, no page lock.
 */
int object_write_begin(struct vm_object *o, u64 index, unsigned from, unsigned to,
                       struct page **out);
void object_write_end(struct vm_object *o, struct page *page);
/* Marks a page of the object dirty (a shared mapping's first write): either with the page locked
 * or after the entry became writable, so that a concurrent writeback protects the entry again.
 * Nothing happens when the page has left the object. => PG_BUSY not needed; a reference held. */
void object_mark_dirty(struct vm_object *o, struct page *page);
/*
 * Changes the size. When shrinking: unmaps everything beyond from all address spaces (private
 * copies too), waits for I/O, drops the pages, zeroes the tail of the last one.
 * => Caller holds the inode's lock for writing. May sleep.
 */
void object_set_size(struct vm_object *o, u64 size);
/* Bytes [start, end) of an object without backing store read as zero; pages that lie wholly in the
 * range are dropped. => May sleep. What may not happen meanwhile the caller excludes. */
void object_punch(struct vm_object *o, u64 start, u64 end);
/* Zeroes what follows @size (no multiple of the page size) in @page, the page that contains it;
 * marks it dirty when anything was there. => @page locked and still the object's. */
void object_zero_tail(struct vm_object *o, struct page *page, u64 size);
/* Writes dirty pages of [start, end) bytes; with @wait waits and returns the first error. */
int object_sync(struct vm_object *o, u64 start, u64 end, bool wait);
void object_set_error(struct vm_object *o, int error); /* any context */
/* Starts reading those of @n pages from @first on that are not cached; waits for nothing. */
void object_readahead(struct vm_object *o, u64 first, u64 n);
/* One more shared mapping that may write, or none ever again (until then 0, -EPERM and -EBUSY). */
int object_allow_writer(struct vm_object *o);
void object_writer_gone(struct vm_object *o);
int object_deny_writers(struct vm_object *o);
/* Drops clean, unmapped, unused pages (posix_fadvise DONTNEED, drop_caches). Returns how many. */
u64 object_drop_clean(struct vm_object *o, u64 first, u64 last);

/* New object of shared anonymous memory of @size bytes, one reference. All of it is charged to the
 * commit limit now if @reserve, else each page when it comes into being. 0, -ENOMEM. */
int anon_object_create(u64 size, bool reserve, struct vm_object **out);
bool object_is_anonymous(const struct vm_object *o); /* one of these */

/* All dirty objects: sync(2). With @wait returns when all that was dirty has been written. */
void writeback_all(bool wait);
/* Waits while more of memory is dirty than the limit allows; gives up when a signal is pending or
 * after a few seconds. For those who dirty pages. => No spinlock, no page lock. */
void writeback_balance(void);
void writeback_init(void); /* starts the writeback thread and the pagedaemon */
/*
 * Reclaims about @want pages now; the direct half of the pagedaemon. Returns pages freed.
 * => May sleep, no locks held that reclaim may want (page locks, object locks).
 */
u64 reclaim_pages(u64 want);
void pagedaemon_wake(void); /* any context */
/* Other caches (dentries, inodes, buffers): asked to free about @want objects; returns how many. */
struct shrinker {
    const char *name;
    u64 (*count)(void);
    u64 (*shrink)(u64 want);
    u64 (*bytes)(void); /* page memory that the objects hold and would give back; may be NULL */
    struct list_node link;
};
void shrinker_register(struct shrinker *s);
/* Pages that registered caches would give back: not lost to those who were promised memory. */
u64 shrinkable_pages(void);

/* @page, in state FILE, is shared memory or tmpfs's. => It cannot leave its object: it is mapped
 * and the table is locked, or it is locked. */
static inline bool page_is_shared_memory(const struct page *page)
{
    return page->object && (page->object->flags & OBJECT_NO_WRITEBACK);
}

struct object_stats {
    u64 cached; /* FILE pages in all objects */
    u64 dirty, writeback;
    u64 shmem; /* of them in OBJECT_NO_WRITEBACK objects */
};
void object_get_stats(struct object_stats *out);
