/* Inside of the page cache: shared by object.c, pagecache.c, truncate.c, writeback.c, reclaim.c. */
#pragma once

#include "mm/object.h"

/* Exact totals over all objects; atomic. */
struct object_totals {
    u64 cached, shmem, dirty;
};
extern struct object_totals object_totals;

/* Pages an object of @size bytes consists of. */
static inline u64 object_pages(const struct vm_object *o)
{
    return DIV_UP(READ_ONCE(o->size), PAGE_SIZE);
}

/*
 * Puts fresh @page (locked, nobody else knows it) into the cache, which takes a reference. With
 * @bounded only within the object's size. Returns 0, -EEXIST, -ENXIO, -ENOMEM, -ENOSPC (commit
 * limit). => May sleep unless PA_NOWAIT is in @flags.
 */
int object_insert(struct vm_object *o, struct page *page, u64 index, bool bounded, unsigned flags);
/* A new locked page at @index, with a reference. Errors as object_insert(); @flags for
 * page_alloc(). */
int object_new_page(struct vm_object *o, u64 index, bool bounded, unsigned flags,
                    struct page **out);
/* Takes locked @page out and drops the cache's reference. */
void object_remove(struct vm_object *o, struct page *page);
/* The same if it is clean and the caller (one reference) and the cache are all that know it. */
bool object_remove_unused(struct vm_object *o, struct page *page);
/* The first cached page at or after *@index and at most @last, with a reference; NULL at the end.
 */
struct page *object_next(struct vm_object *o, u64 *index, u64 last);
struct page *object_next_tagged(struct vm_object *o, u64 *index, u64 last, unsigned tag);
/*
 * Dirty locked @page is about to be written: moves it from dirty to PG_WRITEBACK (with @epoch_flag,
 * PG_WB_EPOCH or 0). False when it is clean.
 */
bool object_begin_writeback(struct vm_object *o, struct page *page, u32 epoch_flag);
/* Takes the tag off a page whose writeback has ended. The tag is a hint that outlives the I/O,
 * because that ends in interrupt context, where o->lock may not be taken. */
void object_forget_writeback(struct vm_object *o, struct page *page);
/* A locked mapping covers page @index (mm/mlock.c). */
bool object_is_locked(struct vm_object *o, u64 index);
/* Drops the pages [first, last]: unmapped, I/O waited for. */
void object_drop_range(struct vm_object *o, u64 first, u64 last);

/* readahead.c: which pages to read next. */
struct ra_plan {
    u64 start;
    unsigned count;
    u64 marker; /* page whose first touch starts the next window, or NO_MARKER */
};
#define NO_MARKER (~0UL)
/* Page @index is missing: plans a window that begins with it. @ra may be NULL. */
void readahead_miss(struct readahead *ra, u64 index, struct ra_plan *plan);
/* The marked page @index was touched: plans the next window. False when there is none. */
bool readahead_hit(struct readahead *ra, u64 index, struct ra_plan *plan);
