/*
 * Boot: from the list of RAM and of what is in use already to descriptors and free blocks.
 *
 * The descriptors cover the frames from the first to the last of RAM, holes included. They are put
 * into the first free range that is large enough. Frames that are not given to the allocator
 * (firmware, image, descriptors, holes) are WIRED for ever and counted nowhere.
 */
#include "core/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "page_priv.h"

/* The memory as boot described it. */
static const struct memory_region *ram_list, *reserved_list;
static unsigned ram_count, reserved_count;
static struct memory_region descriptors; /* taken since */

/* The end of the used range that holds @pa; 0 when @pa is in none. */
static paddr_t used_until(const struct memory_region *r, paddr_t pa)
{
    return r->start < r->end && PAGE_DOWN(r->start) <= pa && pa < PAGE_UP(r->end) ? PAGE_UP(r->end)
                                                                                  : 0;
}

static paddr_t any_used_until(paddr_t pa)
{
    for (unsigned i = 0; i < reserved_count; i++) {
        paddr_t end = used_until(&reserved_list[i], pa);
        if (end)
            return end;
    }
    return used_until(&descriptors, pa);
}

static void cut_at(const struct memory_region *used, paddr_t start, paddr_t *end)
{
    if (used->start < used->end && used->start > start)
        *end = MIN(*end, PAGE_DOWN(used->start));
}

/* The first free range of whole frames at or above @from; false when there is none. */
static bool next_free(paddr_t from, struct memory_region *out)
{
    for (unsigned i = 0; i < ram_count; i++) {
        paddr_t start = MAX(PAGE_UP(ram_list[i].start), from);
        paddr_t end = PAGE_DOWN(ram_list[i].end);
        paddr_t skip;
        while (start < end && (skip = any_used_until(start)))
            start = skip;
        if (start >= end)
            continue;
        for (unsigned k = 0; k < reserved_count; k++)
            cut_at(&reserved_list[k], start, &end);
        cut_at(&descriptors, start, &end);
        *out = (struct memory_region){start, end};
        return true;
    }
    return false;
}

#define for_each_free(r) for (struct memory_region r = {0}; next_free(r.end, &r);)

paddr_t early_page_alloc(void)
{
    struct page *page = page_alloc(0, PAGE_TABLE, PA_ZERO | PA_NOWAIT);
    assert(page);
    return page_to_phys(page);
}

/* Finds room for the descriptors and zeroes them. */
static void descriptors_place(void)
{
    page_base_pfn = PAGE_UP(ram_list[0].start) >> PAGE_SHIFT;
    u64 count = (ram_list[ram_count - 1].end >> PAGE_SHIFT) - page_base_pfn;
    u64 bytes = PAGE_UP(count * sizeof(struct page));
    for_each_free(r)
    {
        if (r.end - r.start < bytes)
            continue;
        for (paddr_t pa = r.start; pa < r.start + bytes; pa += PAGE_SIZE)
            page_zero(direct_map(pa));
        descriptors = (struct memory_region){r.start, r.start + bytes};
        page_array_count = count;
        page_array = direct_map(r.start);
        return;
    }
    panic("no room for %lu page descriptors", count);
}

/* Frames [start, end) are not ours to give. */
static void wire_frames(u64 start, u64 end)
{
    for (struct page *p = page_array + (start - page_base_pfn); start < end; p++, start++) {
        p->state = PAGE_WIRED;
        p->refs = 1;
        list_init(&p->link);
    }
}

/* Gives frames [start, end) to the lists in the largest aligned blocks. */
static void free_frames(u64 start, u64 end)
{
    while (start < end) {
        unsigned order = 0;
        while (order < PAGE_MAX_ORDER && IS_ALIGNED(start, 2UL << order) &&
               start + (2UL << order) <= end)
            order++;
        zone_put(pfn_to_page((pfn_t){start}), order);
        start += 1UL << order;
    }
}

/* Levels by size of memory; see page.c. */
static void set_levels(void)
{
    zone.min = MIN(MAX(zone.total / 128, 32), 2048);
    zone.low = zone.min * 2;
    zone.high = zone.min * 3;
    u32 limit = (u32)MIN(MAX(zone.total / 256, 8), STASH_PAGES);
    zone.batch = limit / 2;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        page_cpus[i].stash.limit = limit;
}

void page_init(const struct memory_region *ram, unsigned nr_ram,
               const struct memory_region *reserved, unsigned nr_reserved)
{
    assert(nr_ram > 0);
    page_lock_init();
    ram_list = ram;
    ram_count = nr_ram;
    reserved_list = reserved;
    reserved_count = nr_reserved;
    for (unsigned i = 0; i <= PAGE_MAX_ORDER; i++)
        list_init(&zone.free[i]);
    descriptors_place();
    u64 at = page_base_pfn;
    {
        SPIN_GUARD_IRQ(&zone.lock);
        for_each_free(r)
        {
            wire_frames(at, r.start >> PAGE_SHIFT);
            at = r.end >> PAGE_SHIFT;
            free_frames(r.start >> PAGE_SHIFT, at);
        }
        zone.total = zone.free_pages;
    }
    wire_frames(at, page_base_pfn + page_array_count);
    set_levels();
    zero_page = page_alloc(0, PAGE_WIRED, PA_ZERO | PA_NOWAIT);
    assert(zero_page);
    log_info("memory: %lu MiB, %lu KiB free, descriptors %lu KiB", page_array_count >> 8,
             zone.total << 2, (descriptors.end - descriptors.start) >> 10);
}
