/*
 * Page tables as objects.
 *
 * A table page has a struct page of state TABLE: its level, the first address it translates, the
 * number of its entries that are not empty (->mapped), the entries that hang it (->rmap; for a root
 * table the struct pmap itself) and, for leaf tables, a lock that guards the entries. Leaf tables
 * may be shared after fork: mm/share.c.
 *
 * Who may do what:
 *   - Tables appear under the aspace lock held for reading: an upper entry goes from empty to table
 *     by compare-and-swap, so two faults that race agree on one.
 *   - Tables disappear only under the aspace lock held for writing (or when nobody else knows the
 *     address space), so a walk under the read lock never meets a freed one.
 *   - Leaf entries change under their table's lock only. That is enough for those who come from the
 *     page (mm/rmap.c) without any aspace lock: while a table has a live entry it cannot go, and
 *     neither can the tables above it.
 *   - A shared leaf table is changed by those who come from the page alone. An address space first
 *     makes it its own, under the aspace lock held for writing.
 *
 * Counting: ->mapped of a leaf table is guarded by its lock; that of an upper table is atomic.
 * The page that a leaf entry maps holds one reference for it and knows the entry by its rmap,
 * except WIRED pages (the zero page, the vDSO), which are neither counted nor referenced.
 */
#include "core/errno.h"
#include "lib/string.h"
#include "mm/mm_priv.h"

DEFINE_LOCK_CLASS(table_lock_class, "page_table");

static pte_t *kernel_root;

static pte_t *table_entries(pte_t entry)
{
    return pfn_to_virt(pte_pfn(entry));
}

struct page *table_new(pte_t *parent, uvaddr_t va, unsigned level)
{
    struct page *table = page_alloc(0, PAGE_TABLE, PA_ZERO);
    if (!table)
        return NULL;
    table->table_va = ALIGN_DOWN(va, PT_SPAN(level + 1));
    table->table_level = level;
    table->rmap = (uintptr_t)parent;
    table->mapped = 0;
    table->lock = (struct ticket){0};
    table->link = (struct list_node){0}; /* no reservation, nothing hidden */
    vm_count(table_alloc);
    return table;
}

int pmap_init(struct pmap *pmap)
{
    struct page *root = table_new(NULL, 0, PT_LEVELS - 1);
    if (!root)
        return -ENOMEM;
    *pmap = (struct pmap){.root = page_to_virt(root), .root_pa = page_to_phys(root), .tables = 1};
    root->table_va = 0;
    root->rmap = (uintptr_t)pmap;
    memcpy(pmap->root + PT_ENTRIES / 2, kernel_root + PT_ENTRIES / 2,
           PT_ENTRIES / 2 * sizeof(pte_t));
    return 0;
}

void pmap_fini(struct pmap *pmap)
{
    struct page *root = virt_to_page(pmap->root);
    assert(root->mapped == 0 && pmap->tables == 1);
    vm_count(table_free);
    page_free(root, 0);
}

struct pmap *table_pmap(const struct page *table)
{
    while (table->table_level < PT_LEVELS - 1)
        table = virt_to_page((void *)table->rmap);
    return (struct pmap *)table->rmap;
}

/* Puts a new table of @level below @entry, which was empty, unless another CPU is faster. */
static int make_table(struct pmap *pmap, pte_t *entry, uvaddr_t va, unsigned level)
{
    struct page *table = table_new(entry, va, level);
    if (!table)
        return -ENOMEM;
    pte_t found = PTE_NONE;
    if (!pte_cas(entry, &found, pte_table(page_to_pfn(table)))) {
        vm_count(table_free);
        page_free(table, 0);
        return 0;
    }
    atomic_add(&virt_to_page(entry)->mapped, 1);
    atomic_add(&pmap->tables, 1);
    vm_count(fault_table);
    return 0;
}

pte_t *pmap_upper(struct pmap *pmap, uvaddr_t va, bool create)
{
    pte_t *entry = &pmap->root[PT_INDEX(va, 2)];
    if (!pte_is_table(pte_read(entry)) && (!create || make_table(pmap, entry, va, 1) < 0))
        return NULL;
    return &table_entries(pte_read(entry))[PT_INDEX(va, 1)];
}

/* pmap_lock() when the leaf table is shared: it is not left locked for a change. */
static __attribute__((noinline)) int lock_shared(enum pmap_use use, struct pte_ref *out)
{
    if (use == PMAP_LOOK)
        return 0;
    pmap_unlock(out);
    return PMAP_SHARED;
}

/* pmap_lock() when a table is missing, parked or hidden. */
static __attribute__((noinline)) int lock_missing(struct pmap *pmap, uvaddr_t va, enum pmap_use use,
                                                  struct pte_ref *out)
{
    pte_t *upper = pmap_upper(pmap, va, use == PMAP_CREATE);
    out->table = upper ? hung_table(upper) : NULL;
    if (out->table) {
        out->pte = (pte_t *)page_to_virt(out->table) + PT_INDEX(va, 0);
        ticket_lock(&out->table->lock, &table_lock_class);
        return pte_is_parked(pte_read(upper)) || out->table->refs > 1 ? lock_shared(use, out) : 0;
    }
    if (use != PMAP_CREATE)
        return -ENOENT;
    if (!upper || make_table(pmap, upper, va, 0) < 0)
        return -ENOMEM;
    return pmap_lock(pmap, va, PMAP_CHANGE, out);
}

/* pmap_lock() when another CPU has the table. */
static __attribute__((noinline)) int lock_contended(enum pmap_use use, struct pte_ref *out)
{
    ticket_lock(&out->table->lock, &table_lock_class);
    return READ_ONCE(out->table->refs) == 1 ? 0 : lock_shared(use, out);
}

/* The hottest walk, so it is written out and its rare cases are tail calls. */
int pmap_lock(struct pmap *pmap, uvaddr_t va, enum pmap_use use, struct pte_ref *out)
{
    _Static_assert(PT_LEVELS == 3, "two tables above the leaf");
    pte_t upper = pte_read(&pmap->root[PT_INDEX(va, 2)]);
    if (unlikely(!pte_is_table(upper)))
        return lock_missing(pmap, va, use, out);
    pte_t middle = pte_read(&table_entries(upper)[PT_INDEX(va, 1)]);
    if (unlikely(!pte_is_table(middle)))
        return lock_missing(pmap, va, use, out);
    out->table = pfn_to_page(pte_pfn(middle));
    out->pte = &table_entries(middle)[PT_INDEX(va, 0)];
    if (unlikely(!ticket_lock_uncontended(&out->table->lock, &table_lock_class)))
        return lock_contended(use, out);
    if (unlikely(READ_ONCE(out->table->refs) != 1))
        return lock_shared(use, out);
    return 0;
}

void pmap_unlock(struct pte_ref *ref)
{
    ticket_unlock(&ref->table->lock, &table_lock_class);
}

int pmap_prepare(struct pmap *pmap, uvaddr_t start, uvaddr_t end)
{
    int r = pmap_own(pmap, start, end);
    for (uvaddr_t va = start; va < end && r == 0; va = ALIGN_DOWN(va, PT_SPAN(1)) + PT_SPAN(1)) {
        struct pte_ref ref;
        r = pmap_lock(pmap, va, PMAP_CREATE, &ref);
        if (r == 0)
            pmap_unlock(&ref);
    }
    return r;
}

/* A file's @page is no longer mapped by an entry: what reclaim and fault-around learn from that. */
static inline void note_use(struct page *page, bool used)
{
    u32 flags = READ_ONCE(page->flags) & (PG_REFERENCED | PG_UNUSED);
    if (used && flags != PG_REFERENCED) {
        page_flag_clear(page, PG_UNUSED);
        page_flag_set(page, PG_REFERENCED);
    } else if (!used && flags == 0) {
        page_flag_set(page, PG_UNUSED);
    }
}

/*
 * Empties one entry of a locked table. Pages of files are uncounted here, anonymous ones by the
 * caller: true for such a one.
 */
static inline bool zap_entry(struct pmap *pmap, struct page *table, pte_t *pte, uvaddr_t va,
                             struct tlb_batch *batch)
{
    pte_t old = pte_exchange(pte, PTE_NONE);
    tlb_batch_add_range(batch, va, va + PAGE_SIZE);
    if (!pte_is_leaf(old))
        return false;
    struct page *page = pfn_to_page(pte_pfn(old));
    bool anon = page->state == PAGE_ANON;
    if (!anon) {
        if (page->state == PAGE_WIRED)
            return false;
        note_use(page, pte_accessed(old));
        count_resident(pmap, table, resident_kind(page), -1);
    }
    rmap_remove(page, pte);
    tlb_batch_add_page(batch, page);
    return anon;
}

/* Takes the empty @table off @parent. Walkers' caches may hold it: flush, then free. */
static void table_detach(struct pmap *pmap, struct page *table, pte_t *parent,
                         struct tlb_batch *batch)
{
    pte_write(parent, PTE_NONE);
    page_flag_set(table, PG_ZEROED); /* its next user is spared the work */
    preempt_disable();
    rmap_unhang(table, parent);
    preempt_enable();
    if (table->table_level == 0)
        super_break(table);
    else
        kfree(table->hidden);
    atomic_sub(&virt_to_page(parent)->mapped, 1);
    atomic_sub(&pmap->tables, 1);
    vm_count(table_free);
    tlb_batch_add_range(batch, 0, ~0UL);
    tlb_batch_add_page(batch, table);
}

/* => @table locked, its entries this address space's alone. */
static void zap_own_table(struct pmap *pmap, struct page *table, uvaddr_t start, uvaddr_t end,
                          struct tlb_batch *batch)
{
    pte_t *pte = (pte_t *)page_to_virt(table) + PT_INDEX(start, 0);
    u64 anon = 0;
    s32 left = table->mapped;
    for (uvaddr_t va = start; va < end && left > 0; va += PAGE_SIZE, pte++) {
        if (pte_none(pte_read(pte)))
            continue;
        anon += zap_entry(pmap, table, pte, va, batch);
        left--;
    }
    table->mapped = left;
    if (anon)
        count_resident(pmap, table, RESIDENT_ANON, -(s64)anon);
}

/* The same for all who share @table. => @table locked. */
static void zap_shared_table(struct page *table, uvaddr_t start, uvaddr_t end)
{
    pte_t *pte = (pte_t *)page_to_virt(table) + PT_INDEX(start, 0);
    for (uvaddr_t va = start; va < end; va += PAGE_SIZE, pte++)
        if (!pte_none(pte_read(pte)))
            rmap_drop_entry(table, pte);
}

/* The leaf table hung by @upper, [start, end) of which lies in the range. */
static void zap_leaf_table(struct pmap *pmap, pte_t *upper, uvaddr_t start, uvaddr_t end,
                           bool free_tables, struct tlb_batch *batch)
{
    struct page *table = hung_table(upper);
    bool whole = batch->dead || end - start == PT_SPAN(1);
    ticket_lock(&table->lock, &table_lock_class);
    bool own = table->refs == 1;
    if (own) {
        if (!(table->table_flags & TABLE_SUPER) || !whole || !super_zap(pmap, table, batch->dead)) {
            table_plain(table);
            zap_own_table(pmap, table, start, end, batch);
        }
    } else if (free_tables) {
        assert(whole);
        table_unshare(pmap, table, upper, batch->dead);
    } else {
        zap_shared_table(table, start, end);
    }
    ticket_unlock(&table->lock, &table_lock_class);
    if (own && free_tables && table->mapped == 0)
        table_detach(pmap, table, upper, batch);
}

/* Last address (exclusive) below @end that the entry at @level containing @va covers. */
static uvaddr_t entry_end(uvaddr_t va, unsigned level, uvaddr_t end)
{
    uvaddr_t next = ALIGN_DOWN(va, PT_SPAN(level)) + PT_SPAN(level);
    return next < end ? next : end;
}

static void zap_middle_table(struct pmap *pmap, struct page *middle, uvaddr_t start, uvaddr_t end,
                             bool free_tables, struct tlb_batch *batch)
{
    pte_t *entries = page_to_virt(middle);
    for (uvaddr_t va = start, next; va < end; va = next) {
        next = entry_end(va, 1, end);
        pte_t *upper = &entries[PT_INDEX(va, 1)];
        if (hung_table(upper))
            zap_leaf_table(pmap, upper, va, next, free_tables, batch);
    }
}

void pmap_zap(struct pmap *pmap, uvaddr_t start, uvaddr_t end, bool free_tables,
              struct tlb_batch *batch)
{
    const struct page *root = virt_to_page(pmap->root);
    pmap_note_peak(pmap);
    for (uvaddr_t va = start, next; va < end && READ_ONCE(root->mapped) > 0; va = next) {
        next = entry_end(va, 2, end);
        pte_t e = pte_read(&pmap->root[PT_INDEX(va, 2)]);
        if (!pte_is_table(e))
            continue;
        struct page *middle = pfn_to_page(pte_pfn(e));
        zap_middle_table(pmap, middle, va, next, free_tables, batch);
        if (free_tables && middle->mapped == 0)
            table_detach(pmap, middle, &pmap->root[PT_INDEX(va, 2)], batch);
    }
}

/* The leaf table for @va or NULL; *@next becomes the first address behind what was looked at. */
static struct page *find_leaf_table(struct pmap *pmap, uvaddr_t va, uvaddr_t end, uvaddr_t *next)
{
    pte_t e = pte_read(&pmap->root[PT_INDEX(va, 2)]);
    if (!pte_is_table(e)) {
        *next = entry_end(va, 2, end);
        return NULL;
    }
    *next = entry_end(va, 1, end);
    return hung_table(&table_entries(e)[PT_INDEX(va, 1)]);
}

pte_t *pmap_next_upper(struct pmap *pmap, uvaddr_t *va, uvaddr_t end)
{
    while (*va < end) {
        pte_t e = pte_read(&pmap->root[PT_INDEX(*va, 2)]);
        uvaddr_t stop = entry_end(*va, 2, end);
        if (!pte_is_table(e)) {
            *va = stop;
            continue;
        }
        for (pte_t *middle = table_entries(e); *va < stop; *va = entry_end(*va, 1, ~0UL)) {
            pte_t *upper = &middle[PT_INDEX(*va, 1)];
            if (hung_table(upper))
                return upper;
        }
    }
    return NULL;
}

void pmap_for_each(struct pmap *pmap, uvaddr_t start, uvaddr_t end,
                   void (*fn)(struct pte_ref *ref, uvaddr_t va, void *arg), void *arg)
{
    for (uvaddr_t va = start, next; va < end; va = next) {
        struct page *table = find_leaf_table(pmap, va, end, &next);
        if (!table)
            continue;
        pte_t *entries = page_to_virt(table);
        ticket_lock(&table->lock, &table_lock_class);
        for (; va < next && table->mapped > 0; va += PAGE_SIZE) {
            struct pte_ref ref = {&entries[PT_INDEX(va, 0)], table};
            if (!pte_none(pte_read(ref.pte)))
                fn(&ref, va, arg);
        }
        ticket_unlock(&table->lock, &table_lock_class);
    }
}

/* True when it changed. */
static inline bool protect_entry(pte_t *pte, unsigned prot)
{
    pte_t old = pte_read(pte), new;
    do {
        if (!pte_is_leaf(old))
            return false;
        new = pte_with_prot(old, pte_writable(old) ? prot : prot & ~PROT_W);
        if (new.v == old.v)
            return false;
    } while (!pte_cas(pte, &old, new));
    return true;
}

bool pmap_protect(struct pmap *pmap, uvaddr_t start, uvaddr_t end, unsigned prot)
{
    bool changed = false;
    for (uvaddr_t va = start, next; va < end; va = next) {
        struct page *table = find_leaf_table(pmap, va, end, &next);
        if (!table)
            continue;
        pte_t *pte = (pte_t *)page_to_virt(table) + PT_INDEX(va, 0);
        ticket_lock(&table->lock, &table_lock_class);
        for (; va < next; va += PAGE_SIZE)
            changed |= protect_entry(pte++, prot);
        ticket_unlock(&table->lock, &table_lock_class);
    }
    return changed;
}

/*
 * Moves one entry to a table that may be another one. Both are locked together: who comes by the
 * rmap finds the entry either here or there. That one only tries for locks, and the aspace write
 * lock keeps everybody else out, so no order is needed.
 */
static void move_entry(struct pmap *pmap, struct page *src, pte_t *pte, uvaddr_t to)
{
    uvaddr_t unused;
    struct page *dst = find_leaf_table(pmap, to, USER_TOP, &unused);
    assert(dst);
    pte_t *target = (pte_t *)page_to_virt(dst) + PT_INDEX(to, 0);
    ticket_lock(&src->lock, &table_lock_class);
    if (dst != src)
        ticket_lock_nested(&dst->lock, &table_lock_class, 1);
    pte_t old = pte_exchange(pte, PTE_NONE);
    if (!pte_none(old)) {
        struct page *page = pte_is_leaf(old) ? pfn_to_page(pte_pfn(old)) : NULL;
        src->mapped--;
        if (page && page->state != PAGE_WIRED) {
            enum resident_kind kind = resident_kind(page);
            src->table_resident[kind]--;
            dst->table_resident[kind]++;
            rmap_replace(page, pte, target);
        }
        pmap_install(&(struct pte_ref){target, dst}, old);
    }
    if (dst != src)
        ticket_unlock(&dst->lock, &table_lock_class);
    ticket_unlock(&src->lock, &table_lock_class);
}

void pmap_move(struct pmap *pmap, uvaddr_t from, uvaddr_t to, u64 len)
{
    uvaddr_t end = from + len;
    for (uvaddr_t va = from, next; va < end; va = next) {
        struct page *table = find_leaf_table(pmap, va, end, &next);
        if (!table)
            continue;
        pte_t *entries = page_to_virt(table);
        for (uvaddr_t p = va; p < next && READ_ONCE(table->mapped) > 0; p += PAGE_SIZE)
            if (!pte_none(pte_read(&entries[PT_INDEX(p, 0)])))
                move_entry(pmap, table, &entries[PT_INDEX(p, 0)], p - from + to);
    }
}

void pmap_note_peak(struct pmap *pmap)
{
    u64 now = pmap->resident_anon + pmap->resident_file + pmap->resident_shared;
    if (now > pmap->peak_resident)
        pmap->peak_resident = now;
}

/* ---- the kernel's half ---- */

void pmap_kernel_init(pte_t *root)
{
    kernel_root = root;
}

void pmap_load_kernel(void)
{
    arch_mmu_load(direct_to_phys(kernel_root), 0);
}

/*
 * The upper tables of the KVA area exist since boot. Leaf tables come on demand and stay; two CPUs
 * may race for one, entries themselves belong to whoever owns the addresses.
 */
static int kva_entry(vaddr_t va, bool create, pte_t **out)
{
    assert(va >= KVA_START && va < KVA_END);
    pte_t upper = pte_read(&kernel_root[PT_INDEX(va, 2)]);
    pte_t *middle = &table_entries(upper)[PT_INDEX(va, 1)];
    pte_t e = pte_read(middle);
    if (!pte_is_table(e)) {
        if (!create)
            return -ENOENT;
        struct page *table = page_alloc(0, PAGE_TABLE, PA_ZERO);
        if (!table)
            return -ENOMEM;
        e = PTE_NONE;
        if (pte_cas(middle, &e, pte_table(page_to_pfn(table))))
            e = pte_table(page_to_pfn(table));
        else
            page_free(table, 0);
    }
    *out = &table_entries(e)[PT_INDEX(va, 0)];
    return 0;
}

int pmap_kenter(vaddr_t va, pfn_t pfn, unsigned prot)
{
    pte_t *pte;
    int r = kva_entry(va, true, &pte);
    if (r < 0)
        return r;
    pte_write(pte, pte_leaf(pfn, prot, PTE_F_GLOBAL | (prot & PROT_W ? PTE_F_DIRTY : 0)));
    return 0;
}

pfn_t pmap_kremove(vaddr_t va)
{
    pte_t *pte;
    int r = kva_entry(va, false, &pte);
    assert(r == 0);
    return pte_pfn(pte_exchange(pte, PTE_NONE));
}

void pmap_kflush(vaddr_t start, vaddr_t end)
{
    preempt_disable();
    u64 others = cpu_online_mask & ~(1UL << this_cpu()->id);
    arch_tlb_flush_kernel(start, end);
    if (others)
        arch_tlb_flush_kernel_remote(others, start, end);
    preempt_enable();
}
