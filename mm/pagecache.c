/*
 * Getting pages of an object: for reading (with readahead) and for writing.
 *
 * A page is usable once it is PG_UPTODATE. Whoever finds one that is not waits for its lock, which
 * I/O holds, and looks again: up to date, failed (it is read once more by the one who waits, and
 * when that fails too the answer is -EIO), or no longer part of the object (start over).
 */
#include "core/errno.h"
#include "lib/string.h"
#include "mm/counters.h"
#include "object_priv.h"
#include "reclaim_priv.h"

/* Starts reading locked pages with consecutive indices. They get unlocked in any case. */
static void submit_read(struct vm_object *o, struct page **pages, unsigned n)
{
    if (n == 0 || o->ops->read_pages(o, pages, n) == 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        page_flag_set(pages[i], PG_ERROR);
        page_unlock(pages[i]);
    }
}

static bool is_cached(struct vm_object *o, u64 index)
{
    SPIN_GUARD(&o->lock);
    return radix_lookup(&o->pages, index) != NULL;
}

/*
 * Reads the pages of @plan that are not cached, in runs. With @first the first page must be had:
 * it is returned with a reference, or NULL when somebody else put it there meanwhile. The others
 * are optional and never wait for memory. Returns 0 or why the first page could not be had.
 */
static int read_planned(struct vm_object *o, const struct ra_plan *plan, struct page **first)
{
    struct page *run[READAHEAD_MAX];
    unsigned n = 0;
    int r = 0;
    for (unsigned i = 0; i < plan->count; i++) {
        u64 index = plan->start + i;
        bool needed = first && i == 0;
        struct page *page = NULL;
        if (needed || !is_cached(o, index)) {
            unsigned flags = PA_USER | PA_NOZERO | (needed ? 0 : PA_NOWAIT);
            r = object_new_page(o, index, true, flags, &page);
            if (r && (needed || r != -EEXIST))
                break;
        }
        if (!page) { /* somebody has it: the run ends here */
            submit_read(o, run, n);
            n = 0;
            continue;
        }
        if (index == plan->marker)
            page_flag_set(page, PG_READAHEAD);
        if (needed) {
            *first = page;
        } else {
            vm_count(readahead_pages);
            page_put(page); /* locked, so the cache keeps it */
        }
        run[n++] = page;
    }
    submit_read(o, run, n);
    if (!first || *first || r == -EEXIST)
        return 0;
    return r;
}

void object_readahead(struct vm_object *o, u64 first, u64 n)
{
    u64 end = MIN(object_pages(o), n < ~0UL - first ? first + n : ~0UL);
    if (o->flags & OBJECT_NO_WRITEBACK)
        return;
    for (; first < end; first += READAHEAD_MAX) {
        struct ra_plan plan = {
            .start = first, .count = MIN(end - first, READAHEAD_MAX), .marker = NO_MARKER};
        (void)read_planned(o, &plan, NULL);
    }
}

/* A page of zeroes at @index of an object without backing store. As read_planned(). */
static int make_zero_page(struct vm_object *o, u64 index, struct page **out)
{
    int r = object_new_page(o, index, true, PA_ZERO, out);
    if (r)
        return r == -EEXIST ? 0 : r;
    page_flag_set(*out, PG_UPTODATE);
    page_unlock(*out);
    return 0;
}

static int page_missing(struct vm_object *o, u64 index, struct readahead *ra, struct page **out)
{
    if (o->flags & OBJECT_NO_WRITEBACK)
        return make_zero_page(o, index, out);
    struct ra_plan plan;
    readahead_miss(ra, index, &plan);
    return read_planned(o, &plan, out);
}

/* Reads @page, which is not up to date, unless that changes while its lock is waited for. */
static void read_again(struct vm_object *o, struct page *page)
{
    page_lock(page);
    if (page->object != o || page_flag(page, PG_UPTODATE)) {
        page_unlock(page);
        return;
    }
    if (o->flags & OBJECT_NO_WRITEBACK) { /* its first writer gave up */
        page_zero(page_to_virt(page));
        page_flag_set(page, PG_UPTODATE);
        page_unlock(page);
        return;
    }
    page_flag_clear(page, PG_ERROR);
    submit_read(o, &page, 1);
}

/* Notes the use of an up-to-date page and starts the next window when it is the marked one. */
static void page_used(struct vm_object *o, struct page *page, struct readahead *ra)
{
    u64 index = page->index;
    if (unlikely(page_flag(page, PG_READAHEAD))) {
        page_flag_clear(page, PG_READAHEAD);
        struct ra_plan plan;
        if (ra && readahead_hit(ra, index, &plan))
            (void)read_planned(o, &plan, NULL);
    }
    if (!ra || ra->prev_index != index)
        lru_touch(page);
    if (ra)
        ra->prev_index = index;
}

int object_get_page(struct vm_object *o, u64 index, struct readahead *ra, struct page **out)
{
    bool tried = false;
    for (;;) {
        if (unlikely(index >= object_pages(o)))
            return -ENXIO;
        struct page *page = object_find(o, index);
        if (!page) {
            int r = page_missing(o, index, ra, &page);
            if (r)
                return r;
            if (!page)
                continue;
            tried = true;
            if (!(o->flags & OBJECT_NO_WRITEBACK))
                thread_self()->pages_awaited++;
        }
        if (unlikely(!page_flag(page, PG_UPTODATE))) {
            thread_self()->pages_awaited++;
            page_wait_unlocked(page);
        }
        if (likely(page_flag(page, PG_UPTODATE))) {
            page_used(o, page, ra);
            *out = page;
            return 0;
        }
        bool gone = READ_ONCE(page->object) != o;
        if (!gone && !tried) {
            read_again(o, page);
            tried = true;
        } else if (!gone) {
            page_put(page);
            return -EIO;
        }
        page_put(page);
    }
}

/* True when nothing of the page at @index outside [from, to) is part of the object. */
static bool covers(const struct vm_object *o, u64 index, unsigned from, unsigned to)
{
    u64 size = READ_ONCE(o->size), base = index * PAGE_SIZE;
    u64 inside = size > base ? MIN(size - base, PAGE_SIZE) : 0;
    return inside == 0 || (from == 0 && to >= inside);
}

/* The page at @index locked and with a reference, whatever it contains; made when missing. */
static int lock_page_at(struct vm_object *o, u64 index, struct page **out)
{
    for (;;) {
        struct page *page = object_find(o, index);
        if (page) {
            page_lock(page);
            if (likely(page->object == o)) {
                *out = page;
                return 0;
            }
            page_unlock(page);
            page_put(page);
            continue;
        }
        int r = object_new_page(o, index, false, PA_USER | PA_NOZERO, out);
        if (r != -EEXIST)
            return r;
    }
}

/* Reads locked @page in and locks it again. Returns 0 or -EIO, with the page unlocked. */
static int read_locked(struct vm_object *o, struct page *page)
{
    page_flag_clear(page, PG_ERROR);
    submit_read(o, &page, 1);
    page_lock(page);
    if (page->object == o && page_flag(page, PG_UPTODATE))
        return 0;
    page_unlock(page);
    return -EIO;
}

/* Locks the page at @index with valid contents outside [from, to). */
static int lock_for_write(struct vm_object *o, u64 index, unsigned from, unsigned to,
                          struct page **out)
{
    int r = lock_page_at(o, index, out);
    if (r || page_flag(*out, PG_UPTODATE))
        return r;
    if (o->flags & OBJECT_NO_WRITEBACK || covers(o, index, from, to)) {
        u8 *data = page_to_virt(*out);
        memset(data, 0, from);
        memset(data + to, 0, PAGE_SIZE - to);
        return 0;
    }
    r = read_locked(o, *out);
    if (r)
        page_put(*out);
    return r;
}

int object_write_begin(struct vm_object *o, u64 index, unsigned from, unsigned to,
                       struct page **out)
{
    debug_assert(from <= to && to <= PAGE_SIZE);
    if (!(o->flags & OBJECT_NO_WRITEBACK))
        writeback_balance();
    int r = lock_for_write(o, index, from, to, out);
    if (r)
        return r;
    if (o->ops->reserve && (r = o->ops->reserve(o, index, from, to))) {
        page_unlock(*out);
        page_put(*out);
    }
    return r;
}

void object_write_end(struct vm_object *o, struct page *page)
{
    page_flag_clear(page, PG_ERROR);
    page_flag_set(page, PG_UPTODATE);
    object_mark_dirty(o, page);
    lru_touch(page);
    page_unlock(page);
}
