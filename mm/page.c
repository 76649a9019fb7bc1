/*
 * Frame allocator.
 *
 * Concepts. Free frames lie in blocks of 2^order frames, naturally aligned, orders 0 to 10, on one
 * list per order (binary buddy system). Two blocks are buddies when their frame numbers differ in
 * bit `order` alone; freeing merges a block with its buddy as long as that is free too. The first
 * descriptor of a free block carries PG_BUDDY and the order, the others neither: merging
 * reads one descriptor, and boot touches one descriptor per block.
 *
 * Almost all requests are for one frame. Each CPU has a stash of them (stash_priv.h), filled from
 * and drained to the lists in batches under one acquisition of the zone lock. Filling takes small
 * blocks before it splits large ones. When the lists are down to the reserve, a CPU takes from the
 * stashes of the others, so no frame is ever stranded; a request for a larger block that fails
 * empties all stashes into the lists so that their frames can merge.
 *
 * Levels. Below `low` the pagedaemon is woken; it works until `high`. The last `min` frames of the
 * lists are only for PA_RESERVE, that is for those who free memory by using a little. A request
 * that may sleep reclaims itself, waits for the daemon's progress, tries several times, and then
 * fails with NULL.
 *
 * Locks. zone.lock is innermost and taken with interrupts off; a stash needs interrupts off only.
 * All of it may be used in interrupt handlers, with PA_NOWAIT.
 *
 * Poison. With vm.poison each freed frame is filled with a pattern and marked PG_POISONED; the next
 * allocation of it checks that nobody wrote in between.
 */
#include "mm/page.h"

#include "core/param.h"
#include "core/waitq.h"
#include "lib/bitmap.h"
#include "lib/string.h"
#include "mm/counters.h"
#include "mm/object.h"
#include "mm/slab.h"
#include "page_priv.h"
#include "reclaim_priv.h"

#define POISON_WORD     0x5a5a5a5a5a5a5a5aUL
#define ALLOC_TRIES     8
#define ALLOC_WAIT      (50 * NSEC_PER_MSEC)
#define RECLAIM_AT_ONCE 32

DEFINE_LOCK_CLASS(zone_lock_class, "zone");

struct zone zone = {.lock = SPINLOCK_INIT(zone_lock_class)};
struct page_cpu page_cpus[MAX_CPUS];
struct page *page_array;
u64 page_base_pfn, page_array_count;
struct page *zero_page;

static int vm_zero = 1;
#ifdef QUIRE_DEBUG
static int vm_poison = 1;
#else
static int vm_poison;
#endif
PARAM_NUMBER(vm_zero, "vm.zero", 0, 1, true, "zero pages before user space gets them (0: unsafe)");
PARAM_NUMBER(vm_poison, "vm.poison", 0, 1, true, "fill freed pages, check the pattern at reuse");

/* --- blocks; zone.lock held --- */

static void block_link(struct page *page, unsigned order)
{
    page->order = (u8)order;
    page->flags |= PG_BUDDY;
    list_push_front(&zone.free[order], &page->link);
    zone.free_blocks[order]++;
}

static void block_unlink(struct page *page)
{
    list_remove(&page->link);
    page->flags &= ~PG_BUDDY;
    zone.free_blocks[page->order]--;
}

void zone_put(struct page *page, unsigned order)
{
    zone.free_pages += 1UL << order;
    u64 pfn = page_to_pfn(page).n;
    for (; order < PAGE_MAX_ORDER; order++) {
        pfn_t buddy_pfn = {pfn ^ (1UL << order)};
        if (!pfn_has_page(buddy_pfn))
            break;
        struct page *buddy = pfn_to_page(buddy_pfn);
        if (!(buddy->flags & PG_BUDDY) || buddy->order != order)
            break;
        block_unlink(buddy);
        pfn &= ~(1UL << order);
    }
    block_link(pfn_to_page((pfn_t){pfn}), order);
}

/* A block of @order, split off a larger one if need be; NULL when the lists hold none. */
static struct page *zone_take(unsigned order)
{
    unsigned from = order;
    while (list_empty(&zone.free[from]))
        if (++from > PAGE_MAX_ORDER)
            return NULL;
    struct page *page = list_first(&zone.free[from], struct page, link);
    block_unlink(page);
    while (from > order) {
        from--;
        block_link(page + (1UL << from), from);
    }
    zone.free_pages -= 1UL << order;
    return page;
}

/* The largest order whose block fits into @room frames and needs no split; else the one to split.
 */
static unsigned fill_order(u64 room)
{
    unsigned fitting = 0;
    for (unsigned o = 0; 1UL << o <= room && o <= PAGE_MAX_ORDER; o++) {
        if (!list_empty(&zone.free[o]))
            return o;
        fitting = o;
    }
    return fitting;
}

/*
 * Moves up to a batch of frames from the lists to this CPU's stash, which is empty, leaving @floor
 * in the lists. => Interrupts off. Returns how many.
 */
static u64 stash_fill(struct page_cpu *pc, u64 floor)
{
    u64 got = 0;
    SPIN_GUARD(&zone.lock);
    while (got < zone.batch && zone.free_pages > floor) {
        u64 room = MIN(zone.batch - got, zone.free_pages - floor);
        unsigned order = fill_order(room);
        struct page *page = zone_take(order);
        while (!page && order > 0) /* only smaller blocks than that are left */
            page = zone_take(--order);
        if (!page)
            break;
        for (u64 i = 1UL << order; i-- > 0;) { /* ascending when popped */
            bool kept = stash_push(&pc->stash, pc->slot, page + i);
            assert(kept);
        }
        got += 1UL << order;
    }
    return got;
}

/* Moves up to @count frames of this CPU's stash to the lists. => Interrupts off. */
static void stash_drain(struct page_cpu *pc, u32 count)
{
    SPIN_GUARD(&zone.lock);
    struct page *page;
    while (count-- > 0 && (page = stash_pop(&pc->stash, pc->slot)))
        zone_put(page, 0);
}

/* One frame out of any other CPU's stash. */
static struct page *steal_page(void)
{
    for (struct page_cpu *pc = page_cpus; pc < page_cpus + MAX_CPUS; pc++) {
        u32 at = STASH_PAGES;
        struct page *page = stash_steal(pc->slot, &at);
        if (page) {
            vm_count(stash_steal);
            return page;
        }
    }
    return NULL;
}

/* Empties all stashes into the lists, so that frames can merge to larger blocks. */
static void stashes_flush(void)
{
    for (struct page_cpu *pc = page_cpus; pc < page_cpus + MAX_CPUS; pc++) {
        u32 at = STASH_PAGES;
        struct page *page;
        while ((page = stash_steal(pc->slot, &at))) {
            SPIN_GUARD_IRQ(&zone.lock);
            zone_put(page, 0);
        }
    }
}

/* --- what changes hands: descriptor and contents --- */

static __attribute__((noinline)) void poison_fill(struct page *page)
{
    u64 *word = page_to_virt(page);
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(u64); i++)
        word[i] = POISON_WORD;
}

static __attribute__((noinline)) void poison_check(struct page *page)
{
    const u64 *word = page_to_virt(page);
    for (unsigned i = 0; i < PAGE_SIZE / sizeof(u64); i++)
        if (word[i] != POISON_WORD)
            panic("free frame 0x%lx was written to at offset %u: 0x%lx", page_to_phys(page), i * 8,
                  word[i]);
}

static inline bool is_zero(const struct page *page)
{
    return memcmp(page_to_virt(page), page_to_virt(zero_page), PAGE_SIZE) == 0;
}

/* A frame leaves the free ones: fresh descriptor. */
static inline void frame_take(struct page *page, enum page_state state, s32 refs, unsigned order)
{
    debug_assert(page->state == PAGE_FREE && page->refs == 0);
    if (unlikely(page->flags & PG_POISONED))
        poison_check(page);
    page->state = (u8)state;
    page->order = (u8)order;
    page->age = 0;
    page->refs = refs;
    page->flags = 0;
    page->mapped = 0;
    page->owner = NULL;
    page->index = 0;
    page->rmap = 0;
    list_init(&page->link);
}

/* A frame becomes free. */
static inline void frame_retire(struct page *page)
{
    debug_assert(!(page->flags & (PG_BUDDY | PG_LRU | PG_WRITEBACK)));
    debug_assert(!(page->flags & PG_ZEROED) || is_zero(page));
    page->flags &= PG_ZEROED;
    page->state = PAGE_FREE;
    page->refs = 0;
    if (unlikely(vm_poison)) {
        poison_fill(page);
        page->flags = PG_POISONED;
    }
}

/* --- allocation --- */

static struct page_cpu *page_cpu_self(void)
{
    return &page_cpus[this_cpu()->id];
}

static inline bool must_zero(unsigned flags)
{
    return flags & PA_USER ? !(flags & PA_NOZERO) && vm_zero : flags & PA_ZERO;
}

/*
 * One frame: this CPU's stash, which may no longer be the empty one that its caller saw, the lists
 * down to @floor, the other stashes.
 */
static struct page *refill_frame(enum page_state state, u64 floor)
{
    unsigned long irq = arch_irq_save();
    struct page_cpu *pc = page_cpu_self();
    struct page *page = stash_pop(&pc->stash, pc->slot);
    if (!page && stash_fill(pc, floor))
        page = stash_pop(&pc->stash, pc->slot);
    if (!page)
        page = steal_page();
    if (page)
        pc->allocated[state]++;
    arch_irq_restore(irq);
    return page;
}

static struct page *take_block_once(unsigned order, enum page_state state, u64 floor)
{
    SPIN_GUARD_IRQ(&zone.lock);
    if (zone.free_pages < floor + (1UL << order))
        return NULL;
    struct page *page = zone_take(order);
    if (page)
        page_cpu_self()->allocated[state] += 1UL << order;
    return page;
}

static struct page *take(unsigned order, enum page_state state, unsigned flags)
{
    u64 floor = flags & PA_RESERVE ? 0 : zone.min;
    if (order == 0)
        return refill_frame(state, floor);
    struct page *page = take_block_once(order, state, floor);
    if (unlikely(!page)) {
        stashes_flush();
        page = take_block_once(order, state, floor);
    }
    return page;
}

/* Memory is short: reclaim and try again, several times. */
static struct page *take_hard(unsigned order, enum page_state state, unsigned flags)
{
    pagedaemon_wake();
    if (thread_self()->in_reclaim)
        return take(order, state, flags | PA_RESERVE);
    if (flags & PA_NOWAIT)
        return NULL;
    vm_count(allocstall);
    for (unsigned i = 0; i < ALLOC_TRIES; i++) {
        u64 freed = reclaim_pages(MAX(RECLAIM_AT_ONCE, 2UL << order));
        struct page *page = take(order, state, flags);
        if (page)
            return page;
        if (freed < RECLAIM_AT_ONCE)
            reclaim_wait(time_ns() + ALLOC_WAIT);
    }
    return take(order, state, flags);
}

/* All but a frame out of this CPU's stash. */
static __attribute__((noinline)) struct page *alloc_slow(unsigned order, enum page_state state,
                                                         unsigned flags)
{
    struct page *page = take(order, state, flags);
    if (unlikely(zone.free_pages < zone.low))
        pagedaemon_wake();
    if (unlikely(!page)) {
        page = take_hard(order, state, flags);
        if (!page)
            return NULL;
    }
    frame_take(page, state, 1, order);
    for (u64 i = 1; i < 1UL << order; i++)
        frame_take(page + i, state, 0, 0);
    if (must_zero(flags))
        for (u64 i = 0; i < 1UL << order; i++)
            page_zero(page_to_virt(page + i));
    return page;
}

struct page *page_alloc(unsigned order, enum page_state state, unsigned flags)
{
    debug_assert(order <= PAGE_MAX_ORDER && state != PAGE_FREE);
    if (unlikely(order > 0))
        return alloc_slow(order, state, flags);
    unsigned long irq = arch_irq_save();
    struct page_cpu *pc = page_cpu_self();
    struct page *page = stash_pop(&pc->stash, pc->slot);
    if (unlikely(!page)) {
        arch_irq_restore(irq);
        return alloc_slow(0, state, flags);
    }
    pc->allocated[state]++;
    arch_irq_restore(irq);
    bool zeroed = page->flags & PG_ZEROED;
    frame_take(page, state, 1, 0);
    if (must_zero(flags) && !zeroed)
        page_zero(page_to_virt(page));
    return page;
}

/* --- freeing --- */

static __attribute__((noinline)) void free_block(struct page *page, unsigned order)
{
    enum page_state state = page->state;
    for (u64 i = 0; i < 1UL << order; i++)
        frame_retire(page + i);
    SPIN_GUARD_IRQ(&zone.lock);
    page_cpu_self()->freed[state] += 1UL << order;
    zone_put(page, order);
}

/* This CPU's stash is full: makes room first. => Interrupts off. */
static __attribute__((noinline)) void stash_overflow(struct page_cpu *pc, struct page *page)
{
    stash_drain(pc, zone.batch);
    bool kept = stash_push(&pc->stash, pc->slot, page);
    assert(kept);
}

void page_free(struct page *page, unsigned order)
{
    assert(page->state != PAGE_FREE && page->refs <= 1);
    if (unlikely(order > 0)) {
        free_block(page, order);
        return;
    }
    enum page_state state = page->state;
    frame_retire(page);
    unsigned long irq = arch_irq_save();
    struct page_cpu *pc = page_cpu_self();
    pc->freed[state]++;
    if (unlikely(!stash_push(&pc->stash, pc->slot, page)))
        stash_overflow(pc, page);
    arch_irq_restore(irq);
}

/* --- blocks set aside --- */

struct page *page_reserve(unsigned order)
{
    SPIN_GUARD_IRQ(&zone.lock);
    if (zone.free_pages < zone.high + (2UL << order))
        return NULL;
    struct page *block = zone_take(order);
    if (block)
        page_cpu_self()->allocated[PAGE_RESERVED] += 1UL << order;
    return block;
}

void page_claim(struct page *page, enum page_state state, unsigned flags)
{
    unsigned long irq = arch_irq_save();
    struct page_cpu *pc = page_cpu_self();
    pc->freed[PAGE_RESERVED]++;
    pc->allocated[state]++;
    arch_irq_restore(irq);
    frame_take(page, state, 1, 0);
    if (must_zero(flags))
        page_zero(page_to_virt(page));
}

/* The largest naturally aligned block that begins at @from and ends at @end or before. */
static unsigned aligned_order(u64 from, u64 end)
{
    unsigned order = 0;
    while (order < PAGE_MAX_ORDER && !(from >> order & 1) && from + (2UL << order) <= end)
        order++;
    return order;
}

u64 page_unreserve(struct page *block, unsigned order, const u64 *taken)
{
    u64 count = 1UL << order, freed = 0;
    SPIN_GUARD_IRQ(&zone.lock);
    for (u64 i = bitmap_find_clear(taken, count, 0); i < count;) {
        u64 end = bitmap_find_set(taken, count, i);
        while (i < end) {
            unsigned o = aligned_order(i, end);
            zone_put(block + i, o);
            freed += 1UL << o;
            i += 1UL << o;
        }
        i = bitmap_find_clear(taken, count, i);
    }
    page_cpu_self()->freed[PAGE_RESERVED] += freed;
    return freed;
}

void page_release(struct page *page)
{
    page_free(page, 0);
}
