/*
 * The page cache of one object: what is in it, and what of that is dirty.
 *
 * Life of a cached page. A fresh frame is locked (PG_BUSY) and put into the radix tree; from then
 * on page->object and ->index say where it is. It is filled by I/O or by its writer and unlocked.
 * It leaves the tree, locked, by truncation, by reclaim or with the object; page->object becomes
 * NULL then. So whoever found a page without holding its lock, and needs it to be still part of the
 * object, locks it and looks at page->object.
 *
 * Locks. o->lock guards the tree, its tags, page->object, and the counts; lookups take it for a few
 * instructions. References are gained under it, so a remover that holds it and counts only its own
 * and the cache's reference knows that nobody else can reach the page (object_remove_unused()).
 * Order: page lock, o->lock, list of dirty objects; the reclaim lists after o->lock is dropped.
 *
 * Dirty. PG_DIRTY, the tag in the tree and nr_dirty change together under o->lock. Pages of objects
 * without backing store are never dirty: there is nothing they differ from.
 */
#include "core/errno.h"
#include "core/timer.h"
#include "mm/aspace.h"
#include "mm/slab.h"
#include "object_priv.h"
#include "reclaim_priv.h"
#include "writeback_priv.h"

DEFINE_LOCK_CLASS(object_lock_class, "vm_object");

struct object_totals object_totals;

void object_init(struct vm_object *o, const struct vm_object_ops *ops, unsigned flags)
{
    *o = (struct vm_object){.ops = ops, .flags = flags};
    spin_init(&o->lock, &object_lock_class);
    list_init(&o->vmas);
    list_init(&o->dirty_link);
}

void object_fini(struct vm_object *o)
{
    debug_assert(list_empty(&o->vmas));
    object_drop_range(o, 0, ~0UL);
    writeback_forget(o);
    assert(o->nr_pages == 0 && o->nr_dirty == 0);
}

/* True when each page of @o is charged while it exists. */
static bool charges_pages(const struct vm_object *o)
{
    return (o->flags & (OBJECT_NO_WRITEBACK | OBJECT_CHARGED)) == OBJECT_NO_WRITEBACK;
}

/* Books @n (1 or -1) pages of @o. */
static void totals_add(const struct vm_object *o, u64 n)
{
    atomic_add_relaxed(&object_totals.cached, n);
    if (o->flags & OBJECT_NO_WRITEBACK)
        atomic_add_relaxed(&object_totals.shmem, n);
}

/* Inserts under the lock, with tree nodes supplied as the tree asks for them. */
static int insert_with_nodes(struct vm_object *o, struct page *page, u64 index, bool bounded,
                             unsigned flags)
{
    struct radix_spare spare = {.count = 0};
    int r;
    do {
        unsigned need = 0;
        {
            SPIN_GUARD(&o->lock);
            r = bounded && index >= object_pages(o) ? -ENXIO
                                                    : radix_insert(&o->pages, index, page, &spare);
            if (r == 0) {
                page->object = o;
                page->index = index;
                page_get(page);
                o->nr_pages++;
            } else if (r == -ENOMEM) {
                need = radix_nodes_needed(&o->pages, index);
            }
        }
        if (need == 0)
            break;
        r = radix_spare_fill(&spare, need, flags & (PA_NOWAIT | PA_RESERVE));
    } while (r == 0);
    radix_spare_free(&spare);
    return r;
}

int object_insert(struct vm_object *o, struct page *page, u64 index, bool bounded, unsigned flags)
{
    if (charges_pages(o) && commit_charge(1))
        return -ENOSPC;
    int r = insert_with_nodes(o, page, index, bounded, flags);
    if (r) {
        if (charges_pages(o))
            commit_uncharge(1);
        return r;
    }
    totals_add(o, 1);
    if (!(o->flags & OBJECT_NO_WRITEBACK))
        lru_add(page);
    return 0;
}

int object_new_page(struct vm_object *o, u64 index, bool bounded, unsigned flags, struct page **out)
{
    struct page *page = page_alloc(0, PAGE_FILE, flags);
    if (!page)
        return -ENOMEM;
    page->flags = PG_BUSY;
    int r = object_insert(o, page, index, bounded, flags);
    if (r) {
        page->flags = 0;
        page_put(page);
        return r;
    }
    *out = page;
    return 0;
}

void object_offer(struct vm_object *o, u64 index, struct page *page)
{
    page->flags = PG_BUSY | PG_UPTODATE;
    if (object_insert(o, page, index, true, 0) == 0)
        page_unlock(page);
    else
        page->flags = 0;
    page_put(page);
}

/* The page is no longer newer than the disk, or no longer matters. => o->lock held. */
static void clear_dirty(struct vm_object *o, struct page *page)
{
    if (!(atomic_and(&page->flags, ~PG_DIRTY) & PG_DIRTY))
        return;
    radix_tag_clear(&o->pages, page->index, OBJECT_TAG_DIRTY);
    atomic_add_relaxed(&object_totals.dirty, -1UL);
    if (--o->nr_dirty == 0)
        writeback_object_clean(o);
}

/* => o->lock and the page's lock held. */
static void unlink_page(struct vm_object *o, struct page *page)
{
    debug_assert(page->object == o && page_flag(page, PG_BUSY) && !page_flag(page, PG_WRITEBACK));
    clear_dirty(o, page);
    void *found = radix_remove(&o->pages, page->index, radix_node_free);
    assert(found == page);
    o->nr_pages--;
    page->object = NULL;
    totals_add(o, -1UL);
    if (charges_pages(o))
        commit_uncharge(1);
}

void object_remove(struct vm_object *o, struct page *page)
{
    {
        SPIN_GUARD(&o->lock);
        unlink_page(o, page);
    }
    lru_remove(page);
    page_put(page);
}

bool object_remove_unused(struct vm_object *o, struct page *page)
{
    {
        SPIN_GUARD(&o->lock);
        if (READ_ONCE(page->refs) != 2 || page_flag(page, PG_DIRTY | PG_WRITEBACK))
            return false;
        unlink_page(o, page);
    }
    lru_remove(page);
    page_put(page);
    return true;
}

unsigned object_find_range(struct vm_object *o, u64 index, unsigned n, struct page **out)
{
    unsigned found = 0;
    SPIN_GUARD(&o->lock);
    radix_lookup_run(&o->pages, index, n, (void **)out);
    for (unsigned i = 0; i < n; i++) {
        struct page *page = out[i];
        if (!page || (READ_ONCE(page->flags) & (PG_UPTODATE | PG_UNUSED)) != PG_UPTODATE)
            continue;
        page_get(page);
        out[found++] = page;
    }
    return found;
}

struct page *object_find(struct vm_object *o, u64 index)
{
    SPIN_GUARD(&o->lock);
    struct page *page = radix_lookup(&o->pages, index);
    if (page)
        page_get(page);
    return page;
}

struct page *object_next(struct vm_object *o, u64 *index, u64 last)
{
    SPIN_GUARD(&o->lock);
    struct page *page = radix_next(&o->pages, index);
    if (!page || *index > last)
        return NULL;
    page_get(page);
    return page;
}

struct page *object_next_tagged(struct vm_object *o, u64 *index, u64 last, unsigned tag)
{
    SPIN_GUARD(&o->lock);
    struct page *page = radix_next_tagged(&o->pages, index, tag);
    if (!page || *index > last)
        return NULL;
    page_get(page);
    return page;
}

void object_mark_dirty(struct vm_object *o, struct page *page)
{
    if (page_flag(page, PG_DIRTY) || o->flags & OBJECT_NO_WRITEBACK)
        return;
    {
        SPIN_GUARD(&o->lock);
        if (page->object != o || atomic_or(&page->flags, PG_DIRTY) & PG_DIRTY)
            return;
        radix_tag_set(&o->pages, page->index, OBJECT_TAG_DIRTY);
        atomic_add_relaxed(&object_totals.dirty, 1);
        if (o->nr_dirty++ == 0) {
            o->dirtied_when = time_ns();
            writeback_object_dirty(o);
        }
    }
    writeback_page_dirtied();
}

bool object_begin_writeback(struct vm_object *o, struct page *page, u32 epoch_flag)
{
    SPIN_GUARD(&o->lock);
    if (!page_flag(page, PG_DIRTY))
        return false;
    page_flag_clear(page, PG_WB_EPOCH);
    page_flag_set(page, PG_WRITEBACK | epoch_flag);
    radix_tag_set(&o->pages, page->index, OBJECT_TAG_WRITEBACK);
    clear_dirty(o, page);
    return true;
}

void object_forget_writeback(struct vm_object *o, struct page *page)
{
    SPIN_GUARD(&o->lock);
    if (page->object == o && !page_flag(page, PG_WRITEBACK))
        radix_tag_clear(&o->pages, page->index, OBJECT_TAG_WRITEBACK);
}

void object_set_error(struct vm_object *o, int error)
{
    int none = 0;
    (void)atomic_cas(&o->error, &none, error);
}

int object_allow_writer(struct vm_object *o)
{
    s32 old = READ_ONCE(o->writers);
    do {
        if (old < 0)
            return -EPERM;
    } while (!atomic_cas(&o->writers, &old, old + 1));
    return 0;
}

void object_writer_gone(struct vm_object *o)
{
    (void)atomic_sub(&o->writers, 1);
}

int object_deny_writers(struct vm_object *o)
{
    s32 none = 0;
    return atomic_cas(&o->writers, &none, -1) || none < 0 ? 0 : -EBUSY;
}

u64 object_drop_clean(struct vm_object *o, u64 first, u64 last)
{
    u64 dropped = 0;
    if (o->flags & OBJECT_NO_WRITEBACK)
        return 0;
    struct page *page;
    for (u64 index = first; (page = object_next(o, &index, last)); index++) {
        if (page_trylock(page)) {
            if (page->object == o && READ_ONCE(page->mapped) == 0)
                dropped += object_remove_unused(o, page);
            page_unlock(page);
        }
        page_put(page);
        if (index == ~0UL)
            break;
    }
    return dropped;
}

void object_get_stats(struct object_stats *out)
{
    *out = (struct object_stats){
        .cached = READ_ONCE(object_totals.cached),
        .dirty = READ_ONCE(object_totals.dirty),
        .writeback = writeback_pages(),
        .shmem = READ_ONCE(object_totals.shmem),
    };
}
