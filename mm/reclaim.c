/*
 * Reclaim: getting frames back from the page cache and from other caches.
 *
 * Concepts. Every page of an object with backing store is on one of two lists. New pages enter
 * `inactive`; its tail holds the candidates. A candidate that was used since it was last looked at
 * (accessed bit of a mapping, or PG_REFERENCED from a second read()) moves to `active`; one that is
 * clean, unused and unlocked is unmapped everywhere and dropped; a dirty one stays, and the
 * writeback thread is kicked. While `active` is the longer list, its tail is examined too: used
 * pages go round once more, unused ones become candidates. This is the second-chance clock with two
 * hands. Anonymous pages join the same lists once they have a place to be written to.
 *
 * Frames set aside for superpages that nobody touched go first (mm/super.c). Other caches
 * (dentries, inodes, kernel stacks) register a shrinker and are asked for a share of what they hold
 * that grows with the urgency. Then the slab allocator gives back empty slabs.
 *
 * Who. The pagedaemon sleeps until the free frames fall below the low level and works until the
 * high one. A thread that finds nothing at all reclaims itself (page_alloc()). While a thread
 * reclaims, in_reclaim lets its own allocations use the last reserve and never reclaim or wait.
 *
 * Locks. Reclaim comes from the wrong end of the lock order, from the page to its users; so it only
 * ever tries for page locks. It does no I/O and takes no lock of a file system: a thread may
 * allocate while it holds one. lru_lock is a leaf; page->link and PG_LRU, PG_ACTIVE belong to it. A
 * page on a list is in the cache, which holds a reference until after lru_remove(); so under
 * lru_lock a reference to any page on a list may be taken.
 */
#include "core/errno.h"
#include "core/param.h"
#include "core/waitq.h"
#include "mm/aspace.h"
#include "mm/counters.h"
#include "mm/rmap.h"
#include "mm/slab.h"
#include "object_priv.h"
#include "page_priv.h"
#include "reclaim_priv.h"
#include "writeback_priv.h"

#define SCAN_BATCH     16
#define URGENCIES      5   /* the first round looks at 1/16 of the pages, the last at all */
#define URGENCY_SLABS  2   /* rounds from this on reap slabs even if nothing was shrunk */
#define SHRINK_AT_ONCE 128 /* objects */
#define DAEMON_REST    (100 * NSEC_PER_MSEC)

DEFINE_LOCK_CLASS(lru_lock_class, "page lists");
DEFINE_LOCK_CLASS(shrinker_lock_class, "shrinkers");

struct lru {
    struct list_node list; /* most recent first */
    u64 count;
};

static struct spinlock lru_lock = SPINLOCK_INIT(lru_lock_class);
static struct lru active = {.list = LIST_INIT(active.list)};     /* lru_lock */
static struct lru inactive = {.list = LIST_INIT(inactive.list)}; /* lru_lock */

static struct spinlock shrinker_lock = SPINLOCK_INIT(shrinker_lock_class);
static struct list_node shrinkers = LIST_INIT(shrinkers); /* only grows */

static struct waitq daemon_queue = WAITQ_INIT(daemon_queue);
static struct waitq progress_queue = WAITQ_INIT(progress_queue);
static u32 daemon_wanted; /* atomic */
static u64 daemon_rounds; /* atomic: changes when waiting allocations should try again */

static const char *const policies[] = {"clock", NULL};
static int vm_policy;
PARAM_CHOICE(vm_policy, "vm.policy", policies, true, "which pages are reclaimed first");

/* --- the lists --- */

static struct lru *list_of(const struct page *page)
{
    return page_flag(page, PG_ACTIVE) ? &active : &inactive;
}

/* => lru_lock held. */
static void put_first(struct lru *l, struct page *page)
{
    list_push_front(&l->list, &page->link);
    l->count++;
}

static void take_off(struct page *page)
{
    list_remove(&page->link);
    list_of(page)->count--;
}

void lru_add(struct page *page)
{
    SPIN_GUARD(&lru_lock);
    page_flag_set(page, PG_LRU);
    put_first(&inactive, page);
}

void lru_remove(struct page *page)
{
    SPIN_GUARD(&lru_lock);
    if (!page_flag(page, PG_LRU))
        return;
    take_off(page);
    page_flag_clear(page, PG_LRU | PG_ACTIVE);
}

/* Moves a page of the cache to the front of the other list. */
static void lru_move(struct page *page, bool to_active)
{
    SPIN_GUARD(&lru_lock);
    if (!page_flag(page, PG_LRU))
        return;
    take_off(page);
    if (to_active)
        page_flag_set(page, PG_ACTIVE);
    else
        page_flag_clear(page, PG_ACTIVE);
    put_first(list_of(page), page);
}

/*
 * Moves up to @max pages from the tail of @l to its front and returns in @out those that could be
 * locked, each with a reference. *@scanned is increased by the number looked at.
 */
static unsigned lru_next(struct lru *l, unsigned max, struct page **out, u64 *scanned)
{
    unsigned n = 0;
    SPIN_GUARD(&lru_lock);
    for (; max > 0 && !list_empty(&l->list); max--) {
        struct page *page = list_last(&l->list, struct page, link);
        list_remove(&page->link);
        list_push_front(&l->list, &page->link);
        ++*scanned;
        if (!page_trylock(page))
            continue;
        page_get(page);
        out[n++] = page;
    }
    return n;
}

/* --- one page --- */

/* Was the page used since this was last asked? => Page locked. */
static bool test_and_clear_used(struct page *page)
{
    bool used = atomic_and(&page->flags, ~PG_REFERENCED) & PG_REFERENCED;
    if (READ_ONCE(page->mapped) > 0 && rmap_test_and_clear_accessed(page) > 0)
        used = true;
    return used;
}

/* Drops a candidate if possible. True when it was dropped. => Page locked, one reference held. */
static bool reclaim_candidate(struct page *page)
{
    struct vm_object *o = page->object;
    if (!o || page_flag(page, PG_WRITEBACK))
        return false;
    if (test_and_clear_used(page)) {
        lru_move(page, true);
        return false;
    }
    if (page_flag(page, PG_DIRTY)) {
        writeback_kick();
        return false;
    }
    if (READ_ONCE(page->mapped) > 0) {
        if (object_is_locked(o, page->index))
            return false;
        rmap_unmap_all(page);
    }
    return object_remove_unused(o, page);
}

void lru_deactivate(struct page *page)
{
    if (!page_trylock(page))
        return;
    (void)test_and_clear_used(page);
    if (page->object)
        lru_move(page, false);
    page_unlock(page);
}

void reclaim_page(struct page *page)
{
    if (!page_trylock(page))
        return;
    (void)test_and_clear_used(page);
    (void)reclaim_candidate(page);
    page_unlock(page);
}

/* --- rounds --- */

/* Looks at up to @scan candidates until @want are dropped. Returns how many. */
static u64 shrink_inactive(u64 scan, u64 want, u64 *scanned)
{
    struct page *batch[SCAN_BATCH];
    u64 dropped = 0, seen = 0;
    while (seen < scan && dropped < want) {
        u64 before = seen;
        unsigned n = lru_next(&inactive, MIN(SCAN_BATCH, scan - seen), batch, &seen);
        for (unsigned i = 0; i < n; i++) {
            dropped += reclaim_candidate(batch[i]);
            page_unlock(batch[i]);
            page_put(batch[i]);
        }
        if (seen == before)
            break;
    }
    *scanned += seen;
    return dropped;
}

/* While the active list is the longer one: unused pages at its tail become candidates. */
static void shrink_active(u64 scan, u64 *scanned)
{
    struct page *batch[SCAN_BATCH];
    u64 seen = 0;
    while (seen < scan && READ_ONCE(active.count) > READ_ONCE(inactive.count)) {
        unsigned n = lru_next(&active, SCAN_BATCH, batch, &seen);
        for (unsigned i = 0; i < n; i++) {
            if (!test_and_clear_used(batch[i]))
                lru_move(batch[i], false);
            page_unlock(batch[i]);
            page_put(batch[i]);
        }
    }
    *scanned += seen;
}

/* Asks each cache for its share. Returns objects freed. */
static u64 shrink_caches(unsigned shift)
{
    u64 freed = 0;
    for (struct list_node *n = load_acquire(&shrinkers.next); n != &shrinkers;
         n = load_acquire(&n->next)) {
        struct shrinker *s = list_entry(n, struct shrinker, link);
        u64 share = s->count() >> shift;
        if (share > 0)
            freed += s->shrink(MIN(share, SHRINK_AT_ONCE));
    }
    return freed;
}

/* Rounds of growing urgency until @want frames are free again. Returns how many. */
static u64 reclaim(u64 want, bool daemon)
{
    u64 freed = super_reclaim(want), scanned = 0, stolen = 0;
    for (unsigned round = 0; round < URGENCIES && freed < want; round++) {
        unsigned shift = URGENCIES - 1 - round;
        u64 pages = READ_ONCE(active.count) + READ_ONCE(inactive.count);
        u64 scan = MAX(pages >> shift, SCAN_BATCH);
        shrink_active(scan, &scanned);
        u64 dropped = shrink_inactive(scan, want - freed, &scanned);
        stolen += dropped;
        freed += dropped;
        if (freed < want && (shrink_caches(shift) > 0 || round >= URGENCY_SLABS))
            freed += slab_reap();
    }
    if (daemon) {
        vm_count_add(pgscan_kswapd, scanned);
        vm_count_add(pgsteal_kswapd, stolen);
    } else {
        vm_count_add(pgscan_direct, scanned);
        vm_count_add(pgsteal_direct, stolen);
    }
    return freed;
}

u64 reclaim_pages(u64 want)
{
    struct thread *self = thread_self();
    bool was = self->in_reclaim;
    self->in_reclaim = true;
    u64 freed = reclaim(want, false);
    self->in_reclaim = was;
    return freed;
}

u64 shrinkable_pages(void)
{
    u64 bytes = 0;
    for (struct list_node *n = load_acquire(&shrinkers.next); n != &shrinkers;
         n = load_acquire(&n->next)) {
        struct shrinker *s = list_entry(n, struct shrinker, link);
        bytes += s->bytes ? s->bytes() : 0;
    }
    return bytes >> PAGE_SHIFT;
}

void shrinker_register(struct shrinker *s)
{
    SPIN_GUARD(&shrinker_lock);
    s->link.next = &shrinkers;
    s->link.prev = shrinkers.prev;
    store_release(&shrinkers.prev->next, &s->link); /* a walker sees it whole or not at all */
    shrinkers.prev = &s->link;
}

/* --- the daemon --- */

void pagedaemon_wake(void)
{
    if (READ_ONCE(daemon_wanted) || atomic_swap(&daemon_wanted, 1))
        return;
    waitq_wake_all(&daemon_queue);
}

static void announce_progress(void)
{
    atomic_add(&daemon_rounds, 1);
    waitq_wake_all(&progress_queue);
}

void reclaim_wait(u64 deadline)
{
    u64 seen = READ_ONCE(daemon_rounds);
    (void)WAIT_LOOP_(&progress_queue, READ_ONCE(daemon_rounds) != seen, THREAD_SLEEPING, deadline);
}

static void pagedaemon(void *arg)
{
    thread_self()->in_reclaim = true;
    for (;;) {
        wait_event(&daemon_queue, READ_ONCE(daemon_wanted));
        while (READ_ONCE(zone.free_pages) < zone.high) {
            u64 freed = reclaim(zone.high - zone.low, true);
            announce_progress();
            if (freed == 0) { /* all in use or being written: look again after a while */
                sleep_until(time_ns() + DAEMON_REST);
                break;
            }
        }
        WRITE_ONCE(daemon_wanted, 0);
        announce_progress();
    }
}

void pagedaemon_start(void)
{
    if (thread_spawn(NULL, "pagedaemon", pagedaemon, NULL))
        panic("no memory for the pagedaemon");
}
