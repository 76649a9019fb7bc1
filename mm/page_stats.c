/* What the frame allocator tells about itself, and the walk that checks it. */
#include "page_priv.h"

u64 page_free_count(void)
{
    u64 n = READ_ONCE(zone.free_pages);
    for (unsigned i = 0; i < cpu_count; i++)
        n += READ_ONCE(page_cpus[i].stash.top);
    return n;
}

u64 page_total(void)
{
    return zone.total;
}

u64 page_high_level(void)
{
    return zone.high;
}

u64 page_state_count(enum page_state state)
{
    u64 n = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        n += READ_ONCE(page_cpus[i].allocated[state]) - READ_ONCE(page_cpus[i].freed[state]);
    return n;
}

u64 page_count_allocated(void)
{
    u64 n = 0;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        for (unsigned s = 0; s < PAGE_STATES; s++)
            n += READ_ONCE(page_cpus[i].allocated[s]);
    return n;
}

u64 page_count_freed(void)
{
    u64 n = 0;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        for (unsigned s = 0; s < PAGE_STATES; s++)
            n += READ_ONCE(page_cpus[i].freed[s]);
    return n;
}

static u64 stashed_count(void)
{
    u64 n = 0;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        n += stash_count(page_cpus[i].slot, STASH_PAGES);
    return n;
}

void page_get_stats(struct page_stats *out)
{
    SPIN_GUARD_IRQ(&zone.lock);
    out->total = zone.total;
    out->stashed = stashed_count();
    out->free = zone.free_pages + out->stashed;
    for (unsigned i = 0; i <= PAGE_MAX_ORDER; i++)
        out->free_blocks[i] = zone.free_blocks[i];
    for (unsigned s = 0; s < PAGE_STATES; s++)
        out->by_state[s] = page_state_count(s);
    out->by_state[PAGE_FREE] = out->free;
}

void page_get_zone_stats(struct page_zone_stats *out)
{
    *out = (struct page_zone_stats){.min = zone.min,
                                    .low = zone.low,
                                    .high = zone.high,
                                    .stash_limit = page_cpus[0].stash.limit,
                                    .stash_batch = zone.batch};
    for (unsigned i = 0; i < MAX_CPUS; i++)
        out->stashed[i] = stash_count(page_cpus[i].slot, STASH_PAGES);
}

bool page_in_buddy(const struct page *page)
{
    u64 pfn = page_to_pfn(page).n;
    for (unsigned order = 0; order <= PAGE_MAX_ORDER; order++) {
        pfn_t head = {ALIGN_DOWN(pfn, 1UL << order)};
        if (!pfn_has_page(head))
            return false;
        const struct page *h = pfn_to_page(head);
        if (page_flag(h, PG_BUDDY) && READ_ONCE(h->order) >= order)
            return true;
    }
    return false;
}

static void block_verify(struct page *page, unsigned order)
{
    assert(page->flags & PG_BUDDY && page->order == order);
    assert(IS_ALIGNED(page_to_pfn(page).n, 1UL << order));
    for (u64 i = 0; i < 1UL << order; i++) {
        assert(page[i].state == PAGE_FREE && page[i].refs == 0);
        assert(i == 0 || !(page[i].flags & PG_BUDDY));
    }
    pfn_t buddy = {page_to_pfn(page).n ^ (1UL << order)};
    if (order < PAGE_MAX_ORDER && pfn_has_page(buddy)) {
        const struct page *b = pfn_to_page(buddy);
        assert(!(b->flags & PG_BUDDY && b->order == order)); /* they would have merged */
    }
}

void page_verify(void)
{
    SPIN_GUARD_IRQ(&zone.lock);
    u64 pages = 0;
    for (unsigned order = 0; order <= PAGE_MAX_ORDER; order++) {
        u64 blocks = 0;
        struct page *page;
        list_for_each_entry (page, &zone.free[order], link) {
            block_verify(page, order);
            blocks++;
        }
        assert(blocks == zone.free_blocks[order]);
        pages += blocks << order;
    }
    assert(pages == zone.free_pages);
    for (unsigned i = 0; i < MAX_CPUS; i++)
        for (unsigned s = 0; s < STASH_PAGES; s++) {
            const struct page *page = READ_ONCE(page_cpus[i].slot[s]);
            assert(!page || (page->state == PAGE_FREE && !(page->flags & PG_BUDDY)));
        }
}
