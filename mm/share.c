/*
 * Leaf tables shared after fork.
 *
 * Theory. What fork would copy of private memory are the entries of leaf tables; so it shares the
 * tables themselves. A shared table hangs in several address spaces, one upper entry in each; its
 * ->refs counts them and its rmap names them. RISC-V has no write permission in upper entries, so
 * that nobody writes through a shared table it is either parked or read-only:
 *
 *   parked     the upper entry is invalid but keeps the pointer. After fork both sides are: it
 * costs two stores. The entries may still be writable, for nobody can use them. read-only  every
 * entry has lost its write permission (TABLE_READONLY), so upper entries may be valid. The first
 * access that only reads makes a parked table so, once for all.
 *
 * A shared table is not changed by the address spaces that share it. One that wants to (a write, a
 * page that is missing, munmap, mprotect ...) first makes the table its own: pmap_own(). While
 * others have it too, that copies it, the pages becoming shared copy-on-write as after a classic
 * fork; the last one just keeps it. The copy carries what must not be lost, anonymous pages and the
 * kernel's own, and those pages of files that were used; the rest comes back by a fault.
 *
 * Those who come from the page (truncation, writeback, reclaim) change entries of shared tables,
 * for all who share them: what they do is right in every address space, because all have the same
 * vmas there. An address space that gives itself other vmas makes its tables its own first.
 *
 * Locks. The number of address spaces that share a table changes under the table's lock. It grows
 * only by fork and shrinks for an address space only under that one's write lock; so who holds the
 * aspace lock and finds a table its own (refs 1, linked) may rely on it. Upper entries of leaf
 * tables change under the write lock too, but for make_table(), which fills an empty one.
 *
 * Flushes. Parking is followed by fork's flush. Linking needs none, the entry was invalid.
 * Replacing a linked table by its copy flushes before the table is let go, since walkers may cache
 * the pointer.
 */
#include "core/errno.h"
#include "mm/mm_priv.h"

int vm_share_tables = 1;
PARAM_NUMBER(vm_share_tables, "vm.share_tables", 0, 1, true, "0: fork copies page-table entries");

/* ---- who shares ---- */

struct pmap_call {
    void (*fn)(struct pmap *pmap, void *arg);
    void *arg;
};

static void call_for_upper(pte_t *upper, void *arg)
{
    const struct pmap_call *call = arg;
    call->fn(table_pmap(virt_to_page(upper)), call->arg);
}

void table_for_each_pmap(struct page *table, void (*fn)(struct pmap *pmap, void *arg), void *arg)
{
    struct pmap_call call = {fn, arg};
    rmap_for_each(table, call_for_upper, &call);
}

static void count_table(struct pmap *pmap, const struct page *table, u64 sign)
{
    for (unsigned kind = 0; kind < RESIDENT_KINDS; kind++)
        atomic_add_relaxed(&pmap->resident[kind], sign * table->table_resident[kind]);
    atomic_add_relaxed(&pmap->tables, sign);
}

int table_share(pte_t *upper, struct pmap *to, pte_t *to_upper)
{
    struct page *table = hung_table(upper);
    ticket_lock(&table->lock, &table_lock_class);
    table_plain(table);
    pte_t e = pte_read(upper);
    int r = rmap_hang(table, to_upper);
    if (r == 0) {
        if (table->refs == 1)
            table->table_flags &= ~TABLE_READONLY;
        if (!(table->table_flags & TABLE_READONLY)) {
            e = pte_park(e);
            pte_write(upper, e);
        }
        pte_write(to_upper, e);
        atomic_add(&virt_to_page(to_upper)->mapped, 1);
        page_get(table);
        count_table(to, table, 1);
        vm_count(table_share);
    }
    ticket_unlock(&table->lock, &table_lock_class);
    return r;
}

/* @upper becomes @entry and lets the shared @table go, whose last user may then free it at once:
 * flushed before, unless @pmap is dead. => Table locked. */
static void let_go(struct pmap *pmap, struct page *table, pte_t *upper, pte_t entry, bool dead)
{
    bool linked = pte_is_table(pte_read(upper));
    pte_write(upper, entry);
    if (linked && !dead)
        pmap_flush(pmap, 0, ~0UL);
    rmap_unhang(table, upper);
    count_table(pmap, table, -1UL);
    atomic_sub(&table->refs, 1);
}

void table_unshare(struct pmap *pmap, struct page *table, pte_t *upper, bool dead)
{
    let_go(pmap, table, upper, PTE_NONE, dead);
    atomic_sub(&virt_to_page(upper)->mapped, 1);
}

/* ---- a table of one's own ---- */

/* Whether a copy of the table has a copy of the entry @e, which maps @page. */
static bool must_carry(const struct page *page, pte_t e)
{
    return page->state != PAGE_FILE || pte_accessed(e);
}

/* Copies the entries of @from to the empty table @to. -ENOMEM: some of them. => Both locked. */
static int copy_entries(struct page *from, struct page *to)
{
    pte_t *src = page_to_virt(from), *dst = page_to_virt(to);
    for (s32 left = from->mapped; left > 0; src++, dst++) {
        pte_t e = pte_read(src);
        if (pte_none(e))
            continue;
        left--;
        struct page *page = pfn_to_page(pte_pfn(e));
        if (!must_carry(page, e))
            continue;
        if (page->state != PAGE_WIRED) {
            if (rmap_add(page, dst) < 0)
                return -ENOMEM;
            page_get(page);
            to->table_resident[resident_kind(page)]++;
        }
        pte_write(dst, entry_wrprotect(src, e));
        to->mapped++;
    }
    return 0;
}

/* Takes back what copy_entries() did to @table, which hangs nowhere. => Locked. */
static void drop_entries(struct page *table)
{
    pte_t *pte = page_to_virt(table);
    for (; table->mapped > 0; pte++) {
        pte_t e = pte_exchange(pte, PTE_NONE);
        if (pte_none(e))
            continue;
        table->mapped--;
        struct page *page = pfn_to_page(pte_pfn(e));
        if (page->state == PAGE_WIRED)
            continue;
        rmap_remove(page, pte);
        page_put(page); /* the original's reference stays */
    }
}

/* @upper hangs @copy instead of the shared @table. => Both locked. */
static void replace_table(struct pmap *pmap, pte_t *upper, struct page *table, struct page *copy)
{
    pmap_note_peak(pmap);
    count_table(pmap, copy, 1);
    let_go(pmap, table, upper, pte_table(page_to_pfn(copy)), false);
    vm_count(table_copy);
}

/* Nobody else has the table any more: links it if it is parked. => Table locked. */
static bool keep_table(pte_t *upper, const struct page *table)
{
    if (table->refs > 1)
        return false;
    pte_t e = pte_read(upper);
    if (pte_is_parked(e))
        pte_write(upper, pte_unpark(e));
    return true;
}

static int copy_table(struct pmap *pmap, pte_t *upper, struct page *table)
{
    struct page *copy = table_new(upper, table->table_va, 0);
    if (!copy)
        return -ENOMEM;
    ticket_lock(&table->lock, &table_lock_class);
    ticket_lock_nested(&copy->lock, &table_lock_class, 1);
    int r = 0;
    bool kept = keep_table(upper, table);
    if (!kept) {
        r = copy_entries(table, copy);
        if (r == 0)
            replace_table(pmap, upper, table, copy);
        else
            drop_entries(copy);
    }
    ticket_unlock(&copy->lock, &table_lock_class);
    ticket_unlock(&table->lock, &table_lock_class);
    if (kept || r < 0) {
        vm_count(table_free);
        page_free(copy, 0);
    }
    return r;
}

/* Makes the leaf table hung by @upper @pmap's own, and plain. 0, -ENOMEM. */
static int own_table(struct pmap *pmap, pte_t *upper)
{
    struct page *table = hung_table(upper);
    if (pte_is_table(pte_read(upper)) && READ_ONCE(table->refs) == 1)
        return 0;
    ticket_lock(&table->lock, &table_lock_class);
    bool kept = keep_table(upper, table);
    if (kept)
        table_plain(table);
    ticket_unlock(&table->lock, &table_lock_class);
    return kept ? 0 : copy_table(pmap, upper, table);
}

/* ---- ranges ---- */

int pmap_own(struct pmap *pmap, uvaddr_t start, uvaddr_t end)
{
    pte_t *upper;
    for (uvaddr_t va = ALIGN_DOWN(start, PT_SPAN(1)); (upper = pmap_next_upper(pmap, &va, end));
         va += PT_SPAN(1)) {
        int r = own_table(pmap, upper);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The leaf table for @va, if there is one. */
static int own_table_at(struct pmap *pmap, uvaddr_t va)
{
    pte_t *upper = pmap_upper(pmap, va, false);
    return upper && hung_table(upper) ? own_table(pmap, upper) : 0;
}

int pmap_own_borders(struct pmap *pmap, uvaddr_t start, uvaddr_t end)
{
    int r = 0;
    if (!IS_ALIGNED(start, PT_SPAN(1)))
        r = own_table_at(pmap, start);
    if (r == 0 && !IS_ALIGNED(end, PT_SPAN(1)))
        r = own_table_at(pmap, end);
    return r;
}

bool pmap_shares(struct pmap *pmap, uvaddr_t start, uvaddr_t end)
{
    pte_t *upper;
    for (uvaddr_t va = ALIGN_DOWN(start, PT_SPAN(1)); (upper = pmap_next_upper(pmap, &va, end));
         va += PT_SPAN(1))
        if (READ_ONCE(hung_table(upper)->refs) > 1)
            return true;
    return false;
}

/* ---- faults ---- */

/* Links the shared @table for reading. => Table locked. */
static void link_table(pte_t *upper, struct page *table)
{
    pte_t *pte = page_to_virt(table);
    if (!(table->table_flags & TABLE_READONLY))
        for (unsigned i = 0; i < PT_ENTRIES; i++)
            (void)entry_wrprotect(&pte[i], pte_read(&pte[i]));
    table->table_flags |= TABLE_READONLY;
    pte_write(upper, pte_unpark(pte_read(upper)));
    vm_count(table_link);
}

int pmap_resolve(struct pmap *pmap, uvaddr_t va, enum vm_access access)
{
    pte_t *upper = pmap_upper(pmap, va, false);
    struct page *table = upper ? hung_table(upper) : NULL;
    if (!table)
        return -EAGAIN;
    if (access != VM_ACCESS_WRITE) {
        ticket_lock(&table->lock, &table_lock_class);
        pte_t *pte = (pte_t *)page_to_virt(table) + PT_INDEX(va, 0), e = pte_read(pte);
        bool there = pte_allows(e, access), parked = pte_is_parked(pte_read(upper));
        if (there && parked && keep_table(upper, table))
            promote_full(table);
        else if (there && parked)
            link_table(upper, table);
        if (there) /* for harts that fault to have it set (Svade) */
            pte_write(pte, pte_mkyoung(pte_read(pte)));
        ticket_unlock(&table->lock, &table_lock_class);
        if (there && !parked) /* another thread linked it, or a stale TLB entry */
            pmap_flush(pmap, va, va + PAGE_SIZE);
        if (there)
            return 0;
    }
    int r = own_table(pmap, upper);
    if (r < 0)
        return r;
    table = hung_table(upper);
    ticket_lock(&table->lock, &table_lock_class);
    promote_full(table);
    ticket_unlock(&table->lock, &table_lock_class);
    return -EAGAIN;
}
