/*
 * Reverse map: page -> page-table entries.
 *
 * page->rmap is 0 (unmapped), the address of the one entry, or, with bit 0 set, the address of the
 * first of a chain of 64-byte blocks with up to seven entries each. Only the first block of a chain
 * may have free places: additions go there, a removal fills its hole from there. A page that drops
 * to one entry keeps its block until the last goes.
 *
 * Lock: bit PG_RMAP_LOCK of the page, inner to the table's lock. Those who come from the page
 * (truncation, writeback, reclaim) need both in the other order, so they only try the table's lock
 * and begin again when somebody has it. What they do is either idempotent or takes the entry off
 * the chain, so beginning again is harmless.
 */
#include "core/errno.h"
#include "mm/mm_priv.h"

#define BLOCK_ENTRIES 7
#define CHAINED       1UL

struct rmap_block {
    struct rmap_block *next;
    pte_t *pte[BLOCK_ENTRIES]; /* filled from the front */
};
_Static_assert(sizeof(struct rmap_block) == 64, "one cache line");

static struct kmem_cache *block_cache;

void rmap_init(void)
{
    block_cache = kmem_cache_create("rmap_block", sizeof(struct rmap_block), 64);
}

/* => Preemption off: the holder of a table's lock has it so. */
static inline void rmap_lock_nopreempt(struct page *page)
{
    debug_assert(thread_self()->preempt_count > 0);
    while (unlikely(atomic_or(&page->flags, PG_RMAP_LOCK) & PG_RMAP_LOCK))
        arch_relax();
}

static inline void rmap_unlock_nopreempt(struct page *page)
{
    atomic_and(&page->flags, ~PG_RMAP_LOCK);
}

static void rmap_lock(struct page *page)
{
    preempt_disable();
    rmap_lock_nopreempt(page);
}

static void rmap_unlock(struct page *page)
{
    rmap_unlock_nopreempt(page);
    preempt_enable();
}

static struct rmap_block *chain(const struct page *page)
{
    return page->rmap & CHAINED ? (struct rmap_block *)(page->rmap & ~CHAINED) : NULL;
}

static unsigned block_used(const struct rmap_block *b)
{
    unsigned n = 0;
    while (n < BLOCK_ENTRIES && b->pte[n])
        n++;
    return n;
}

/* A second entry, or one more than fits: needs a block. => Page's rmap locked; unlocks. */
static __attribute__((noinline)) int add_block(struct page *page, pte_t *pte, s32 mapped)
{
    struct rmap_block *b = kmem_cache_alloc(block_cache, PA_NOWAIT | PA_ZERO);
    if (b) {
        b->next = chain(page);
        b->pte[0] = pte;
        if (!b->next)
            b->pte[1] = (pte_t *)page->rmap;
        page->rmap = (uintptr_t)b | CHAINED;
        page->mapped += mapped;
    }
    rmap_unlock_nopreempt(page);
    return b ? 0 : -ENOMEM;
}

/* Puts @pte on the chain and adds @mapped to the count. */
static inline int add_entry(struct page *page, pte_t *pte, s32 mapped)
{
    rmap_lock_nopreempt(page);
    if (!page->rmap) {
        page->rmap = (uintptr_t)pte;
    } else {
        struct rmap_block *head = chain(page);
        unsigned used = head ? block_used(head) : BLOCK_ENTRIES;
        if (unlikely(used == BLOCK_ENTRIES))
            return add_block(page, pte, mapped);
        head->pte[used] = pte;
    }
    page->mapped += mapped;
    rmap_unlock_nopreempt(page);
    return 0;
}

int rmap_add(struct page *page, pte_t *pte)
{
    return add_entry(page, pte, 1);
}

int rmap_hang(struct page *table, pte_t *upper)
{
    return add_entry(table, upper, 0);
}

/* Where @pte stands in the chain. It must. => Page's rmap locked. */
static pte_t **chain_find(struct page *page, const pte_t *pte)
{
    for (struct rmap_block *b = chain(page); b; b = b->next)
        for (unsigned i = 0; i < BLOCK_ENTRIES; i++)
            if (b->pte[i] == pte)
                return &b->pte[i];
    panic("rmap: page %p is not mapped by entry %p", page, pte);
}

/* The usual cases of a removal. False: nothing was done. => Page's rmap locked. */
static inline bool remove_simple(struct page *page, pte_t *pte)
{
    if (page->rmap == (uintptr_t)pte) {
        page->rmap = 0;
        return true;
    }
    struct rmap_block *head = chain(page);
    if (unlikely(!head))
        return false;
    unsigned i = 0;
    while (i < BLOCK_ENTRIES && head->pte[i] != pte)
        i++;
    unsigned last = i;
    while (last + 1 < BLOCK_ENTRIES && head->pte[last + 1])
        last++;
    if (unlikely(i == BLOCK_ENTRIES || last == 0))
        return false;
    head->pte[i] = head->pte[last];
    head->pte[last] = NULL;
    return true;
}

/* Any removal: @pte is in some block, and the first block may go. => Page's rmap locked. */
static void remove_chained(struct page *page, pte_t *pte)
{
    struct rmap_block *head = chain(page);
    assert(head);
    pte_t **hole = chain_find(page, pte);
    unsigned last = block_used(head) - 1;
    *hole = head->pte[last];
    head->pte[last] = NULL;
    if (last == 0) {
        page->rmap = head->next ? (uintptr_t)head->next | CHAINED : 0;
        kmem_cache_free(block_cache, head);
    }
}

/* => Page's rmap locked. */
static void remove_locked(struct page *page, pte_t *pte)
{
    page->mapped--;
    if (!remove_simple(page, pte))
        remove_chained(page, pte);
}

/* => Page's rmap locked; unlocks. */
static __attribute__((noinline)) void remove_unlock(struct page *page, pte_t *pte)
{
    remove_chained(page, pte);
    rmap_unlock_nopreempt(page);
}

void rmap_remove(struct page *page, pte_t *pte)
{
    rmap_lock_nopreempt(page);
    page->mapped--;
    if (likely(remove_simple(page, pte)))
        rmap_unlock_nopreempt(page);
    else
        remove_unlock(page, pte);
}

void rmap_unhang(struct page *table, pte_t *upper)
{
    rmap_lock_nopreempt(table);
    if (!remove_simple(table, upper))
        remove_chained(table, upper);
    rmap_unlock_nopreempt(table);
}

void rmap_replace(struct page *page, pte_t *from, pte_t *to)
{
    rmap_lock_nopreempt(page);
    if (chain(page))
        *chain_find(page, from) = to;
    else
        page->rmap = (uintptr_t)to;
    rmap_unlock_nopreempt(page);
}

void rmap_for_each(struct page *page, void (*fn)(pte_t *pte, void *arg), void *arg)
{
    struct rmap_block *b = chain(page);
    if (!b && page->rmap)
        fn((pte_t *)page->rmap, arg);
    for (; b; b = b->next)
        for (unsigned i = 0; i < BLOCK_ENTRIES && b->pte[i]; i++)
            fn(b->pte[i], arg);
}

pte_t *rmap_first(struct page *page)
{
    struct rmap_block *head = chain(page);
    return head ? head->pte[0] : (pte_t *)page->rmap;
}

/* An entry that changes for all address spaces that share its table. */
struct shared_change {
    uvaddr_t va;
    enum resident_kind gone; /* what it no longer maps; RESIDENT_KINDS: it still does */
};

static void follow_change(struct pmap *pmap, void *arg)
{
    const struct shared_change *c = arg;
    if (c->gone < RESIDENT_KINDS) {
        pmap_note_peak(pmap);
        atomic_add_relaxed(&pmap->resident[c->gone], -1UL);
    }
    pmap_flush(pmap, c->va, c->va + PAGE_SIZE);
}

/* Empties @pte, whose table is locked, and flushes it everywhere. => Page's rmap locked. */
static void unmap_entry(struct page *page, struct page *table, pte_t *pte)
{
    struct shared_change c = {table_entry_va(table, pte), resident_kind(page)};
    table_plain(table);
    pte_exchange(pte, PTE_NONE);
    table->mapped--;
    table->table_resident[c.gone]--;
    remove_locked(page, pte);
    table_for_each_pmap(table, follow_change, &c);
}

void rmap_drop_entry(struct page *table, pte_t *pte)
{
    pte_t old = pte_read(pte);
    struct page *page = pte_is_leaf(old) ? pfn_to_page(pte_pfn(old)) : NULL;
    if (!page || page->state == PAGE_WIRED) {
        struct shared_change c = {table_entry_va(table, pte), RESIDENT_KINDS};
        pte_exchange(pte, PTE_NONE);
        table->mapped--;
        table_for_each_pmap(table, follow_change, &c);
        return;
    }
    rmap_lock_nopreempt(page);
    unmap_entry(page, table, pte);
    rmap_unlock_nopreempt(page);
    page_put(page);
}

unsigned rmap_unmap_all(struct page *page)
{
    unsigned removed = 0;
    for (;;) {
        rmap_lock(page);
        pte_t *pte = rmap_first(page);
        if (!pte) {
            rmap_unlock(page);
            return removed;
        }
        struct page *table = virt_to_page(pte);
        bool locked = ticket_trylock(&table->lock, &table_lock_class);
        if (locked) {
            unmap_entry(page, table, pte);
            ticket_unlock(&table->lock, &table_lock_class);
        }
        rmap_unlock(page);
        if (locked) {
            page_put(page);
            removed++;
        } else {
            arch_relax();
        }
    }
}

/*
 * Runs @fn on every entry with its table locked, starting over when a table is busy.
 * => Nothing locked. @fn is idempotent.
 */
static void for_each_entry(struct page *page, void (*fn)(struct page *table, pte_t *pte, void *arg),
                           void *arg)
{
    for (bool done = false; !done;) {
        rmap_lock(page);
        struct rmap_block *b = chain(page);
        pte_t *single[2] = {b ? NULL : (pte_t *)page->rmap, NULL};
        done = true;
        while (done && (b || single[0])) {
            pte_t **list = b ? b->pte : single;
            for (unsigned i = 0; i < (b ? BLOCK_ENTRIES : 1) && list[i] && done; i++) {
                struct page *table = virt_to_page(list[i]);
                done = ticket_trylock(&table->lock, &table_lock_class);
                if (done) {
                    fn(table, list[i], arg);
                    ticket_unlock(&table->lock, &table_lock_class);
                }
            }
            single[0] = NULL;
            b = b ? b->next : NULL;
        }
        rmap_unlock(page);
        if (!done)
            arch_relax();
    }
}

static void clean_entry(struct page *table, pte_t *pte, void *arg)
{
    bool *was_dirty = arg;
    pte_t old = pte_read(pte);
    if (!pte_writable(old) && !pte_dirty(old))
        return;
    table_plain(table);
    /* Hardware may set A or D between the look and the store: store only what was looked at. */
    while (!pte_cas(pte, &old, pte_mkclean(pte_wrprotect(old))))
        ;
    *was_dirty |= pte_dirty(old);
    struct shared_change c = {table_entry_va(table, pte), RESIDENT_KINDS};
    table_for_each_pmap(table, follow_change, &c);
}

bool rmap_clean(struct page *page)
{
    bool was_dirty = false;
    for_each_entry(page, clean_entry, &was_dirty);
    return was_dirty;
}

/*
 * No flush: a CPU that still has the translation cached does not set the bit again for a while,
 * which makes the page look a little older than it is and costs nothing else.
 */
static void age_entry(struct page *table, pte_t *pte, void *arg)
{
    unsigned *referenced = arg;
    if (table->table_flags & TABLE_SUPER) /* the whole superpage was used, or not */
        pte = rmap_first(table);
    pte_t old = pte_read(pte);
    if (!pte_accessed(old))
        return;
    while (!pte_cas(pte, &old, pte_mkold(old)))
        ;
    (*referenced)++;
}

unsigned rmap_test_and_clear_accessed(struct page *page)
{
    unsigned referenced = 0;
    for_each_entry(page, age_entry, &referenced);
    return referenced;
}

static void add_sharers(pte_t *pte, void *arg)
{
    *(u64 *)arg += (u64)READ_ONCE(virt_to_page(pte)->refs);
}

static bool has_mappings(const struct page *page)
{
    u8 state = READ_ONCE(page->state);
    return state == PAGE_ANON || state == PAGE_FILE;
}

/*
 * The caller may have found the page without holding it. While its rmap is locked and not empty it
 * cannot go; what rmap means is known from the state before and after.
 */
u64 page_mappings(struct page *page)
{
    u64 n = 0;
    if (!has_mappings(page))
        return 0;
    rmap_lock(page);
    uintptr_t rmap = has_mappings(page) ? load_acquire(&page->rmap) : 0;
    if (rmap && has_mappings(page))
        rmap_for_each(page, add_sharers, &n);
    rmap_unlock(page);
    return n;
}
