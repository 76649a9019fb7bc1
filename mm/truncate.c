/*
 * Changing an object's size, and dropping pages.
 *
 * Shrinking: first the size (under o->lock, so that no page beyond it is put into the cache any
 * more), then the mappings, then page by page under its lock. A fault that found a page before its
 * removal may map it between the two: what is still mapped when the page is locked is unmapped
 * once more, and later faults see page->object NULL.
 *
 * The tail of the last page must read as zeroes when the object grows again, on the disk too. So
 * the page is read in while the old size still holds, and its tail is cleared later; it becomes
 * dirty only if the tail held anything, which also shows that it has a place on the disk.
 */
#include "core/errno.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "mm/rmap.h"
#include "object_priv.h"

/* Takes @page out of @o, waiting for its I/O. The caller's reference stays. */
static void drop_page(struct vm_object *o, struct page *page)
{
    page_lock(page);
    if (page->object == o) {
        page_wait_writeback(page);
        if (READ_ONCE(page->mapped) > 0)
            rmap_unmap_all(page);
        object_remove(o, page);
    }
    page_unlock(page);
}

void object_drop_range(struct vm_object *o, u64 first, u64 last)
{
    struct page *page;
    for (u64 index = first; (page = object_next(o, &index, last)); index++) {
        drop_page(o, page);
        page_put(page);
        if (index == last)
            return;
    }
}

/* Zeroes bytes [from, to) of the page at @index, if there is one. */
static void zero_part(struct vm_object *o, u64 index, size_t from, size_t to)
{
    struct page *page = from < to ? object_find(o, index) : NULL;
    if (!page)
        return;
    page_lock(page);
    if (page->object == o)
        memset((u8 *)page_to_virt(page) + from, 0, to - from);
    page_unlock(page);
    page_put(page);
}

void object_punch(struct vm_object *o, u64 start, u64 end)
{
    debug_assert(o->flags & OBJECT_NO_WRITEBACK);
    u64 first = DIV_UP(start, PAGE_SIZE), behind = end >> PAGE_SHIFT;
    if (behind < first) { /* within one page */
        zero_part(o, behind, start % PAGE_SIZE, end % PAGE_SIZE);
        return;
    }
    if (start % PAGE_SIZE)
        zero_part(o, first - 1, start % PAGE_SIZE, PAGE_SIZE);
    zero_part(o, behind, 0, end % PAGE_SIZE);
    if (first < behind)
        object_drop_range(o, first, behind - 1);
}

static bool is_zero(const u8 *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/*
 * The page that will be the last one of @size bytes and reaches beyond them, with a reference; NULL
 * when there is none. => Before the size changes: reading fills with zeroes what is beyond the end.
 */
static struct page *tail_page(struct vm_object *o, u64 size)
{
    struct page *page = NULL;
    if (size % PAGE_SIZE == 0)
        return NULL;
    if (o->flags & OBJECT_NO_WRITEBACK)
        return object_find(o, size >> PAGE_SHIFT);
    int r = object_get_page(o, size >> PAGE_SHIFT, NULL, &page);
    if (r) /* the stale tail stays on the disk: the next sync reports it */
        object_set_error(o, r);
    return r ? NULL : page;
}

void object_zero_tail(struct vm_object *o, struct page *page, u64 size)
{
    size_t from = size % PAGE_SIZE;
    u8 *tail = (u8 *)page_to_virt(page) + from;
    if (is_zero(tail, PAGE_SIZE - from))
        return;
    memset(tail, 0, PAGE_SIZE - from);
    object_mark_dirty(o, page);
}

void object_set_size(struct vm_object *o, u64 size)
{
    u64 old = READ_ONCE(o->size);
    struct page *last = size < old ? tail_page(o, size) : NULL;
    bool mapped;
    {
        SPIN_GUARD(&o->lock);
        WRITE_ONCE(o->size, size);
        mapped = !list_empty(&o->vmas);
    }
    if (size >= old)
        return;
    u64 first = DIV_UP(size, PAGE_SIZE);
    if (mapped)
        aspace_unmap_object(o, first, ~0UL >> PAGE_SHIFT);
    object_drop_range(o, first, ~0UL);
    if (last) {
        page_lock(last);
        if (last->object == o)
            object_zero_tail(o, last, size);
        page_unlock(last);
        page_put(last);
    }
}
