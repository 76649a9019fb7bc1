/*
 * Superpages of 2 MiB for anonymous memory, private and shared, by reservation.
 *
 * Theory. A leaf table translates just as much as a superpage does. So a reservation, a block of
 * 512 frames, belongs to a leaf table: the first write to a range that could become a superpage
 * sets the block aside, and each page of the range is then put at its place within the block
 * (super_take()). Frames that nobody touched stay free in all but name: a bitmap tells which were
 * taken, the others go back when memory is short (super_reclaim()) or the table goes
 * (super_break()).
 *
 * When all 512 entries map one aligned block with equal permissions the range is promoted: the
 * upper entry becomes a leaf. The table stays behind it, entries, reverse maps and all, in the
 * upper table's ->hidden array; it is looked up and locked as ever. So demotion needs no memory and
 * cannot fail, it only hangs the table again; whatever changes an entry of a hidden table demotes
 * first. A page within a superpage has nothing special about it.
 *
 *     upper table                            hidden leaf table            block
 *     [ leaf: block, rwx.. ] ------------------------------------------> [ page 0 | ... | page 511
 * ] hidden[i] ----------------------------> [ e0 | e1 | ... | e511 ] --^    each maps its page
 *
 * After a fork the table is shared like any other, demoted. If nobody used it until one address
 * space has it for itself again, it is promoted again (mm/share.c).
 *
 * vm.thp: `never`; `reserve` as told; `always` fills the block with zeroes and promotes it at the
 * first write. madvise(MADV_HUGEPAGE) does that for its range under `reserve`; MADV_NOHUGEPAGE
 * keeps a range out of both.
 *
 * Locks. Upper entry, ->hidden[] and the reservation of a leaf table belong to its lock; the list
 * of reservations, and so who may free one, to reserve_lock, which is inner to the table's. Reclaim
 * comes from the list and only tries the table's lock.
 */
#include <linux/mman.h>

#include "core/errno.h"
#include "lib/bitmap.h"
#include "lib/string.h"
#include "mm/mm_priv.h"

#define SUPER_ORDER 9
_Static_assert(1UL << SUPER_ORDER == PT_ENTRIES, "a leaf table translates one superpage");

struct reservation {
    struct list_node link;               /* reserve_lock */
    struct page *table;                  /* the leaf table it belongs to */
    struct page *block;                  /* its first frame */
    u64 taken[BITMAP_WORDS(PT_ENTRIES)]; /* table's lock */
};

int vm_thp = THP_RESERVE;
static const char *const thp_modes[] = {"never", "reserve", "always", NULL};
PARAM_CHOICE(vm_thp, "vm.thp", thp_modes, true, "superpages: never, reserve, always");

static DEFINE_LOCK_CLASS(reserve_lock_class, "reservations");
static struct spinlock reserve_lock = SPINLOCK_INIT(reserve_lock_class);
static struct list_node reservations = LIST_INIT(reservations); /* oldest first */
static struct kmem_cache *reservation_cache;

void super_init(void)
{
    reservation_cache = kmem_cache_create("reservation", sizeof(struct reservation), 0);
}

/* ---- reservations ---- */

/* The leaf table's range at @va is one that a superpage may map. */
bool super_eligible(const struct vma *v, uvaddr_t va)
{
    uvaddr_t start = ALIGN_DOWN(va, PT_SPAN(1));
    bool anon = !v->object || ((v->flags & VMA_SHARED) && (v->object->flags & OBJECT_NO_WRITEBACK));
    return vm_thp != THP_NEVER && !v->aspace->no_superpages && anon && (v->prot & PROT_W) &&
           !(v->flags & (VMA_SPECIAL | VMA_NOHUGE | VMA_GROWSDOWN)) && start >= v->start &&
           start + PT_SPAN(1) <= v->end;
}

bool super_possible(const struct vma *v)
{
    return super_eligible(v, ALIGN_UP(v->start, PT_SPAN(1)));
}

bool super_wants_block(const struct vma *v, const struct page *table, uvaddr_t va)
{
    return table->mapped == 0 && !table->reservation && !v->object && super_eligible(v, va) &&
           (vm_thp == THP_ALWAYS || (v->flags & VMA_HUGE));
}

/* Sets a block aside for the empty @table. NULL: there is none to spare. => Table locked. */
static struct reservation *reserve(struct page *table)
{
    struct reservation *r = kmem_cache_alloc(reservation_cache, PA_NOWAIT | PA_ZERO);
    if (!r)
        return NULL;
    r->table = table;
    r->block = page_reserve(SUPER_ORDER);
    if (!r->block) {
        kmem_cache_free(reservation_cache, r);
        return NULL;
    }
    table->reservation = r;
    SPIN_GUARD(&reserve_lock);
    list_push_back(&reservations, &r->link);
    vm_count(reserve_made);
    return r;
}

struct page *super_take(const struct vma *v, struct page *table, uvaddr_t va, enum page_state state)
{
    struct reservation *r = table->reservation;
    if (!r && (table->mapped > 0 || !super_eligible(v, va) || !(r = reserve(table))))
        return NULL;
    unsigned i = PT_INDEX(va, 0);
    if (bitmap_test(r->taken, i))
        return NULL;
    bitmap_set(r->taken, i);
    page_claim(r->block + i, state, PA_USER);
    return r->block + i;
}

/* Gives back the frames that were not taken. Returns how many. => @r belongs to nobody any more. */
static u64 dissolve(struct reservation *r)
{
    u64 freed = page_unreserve(r->block, SUPER_ORDER, r->taken);
    kmem_cache_free(reservation_cache, r);
    if (freed)
        vm_count(reserve_broken);
    return freed;
}

void super_break(struct page *table)
{
    ticket_lock(&table->lock, &table_lock_class);
    struct reservation *r = table->reservation;
    if (r) {
        SPIN_GUARD(&reserve_lock);
        list_remove(&r->link);
        table->reservation = NULL;
    }
    ticket_unlock(&table->lock, &table_lock_class);
    if (r)
        dissolve(r);
}

/* Takes the oldest reservation whose table is not busy off the list and its table. */
static struct reservation *take_oldest(void)
{
    SPIN_GUARD(&reserve_lock);
    struct reservation *r;
    list_for_each_entry (r, &reservations, link) {
        struct page *table = r->table;
        if (!ticket_trylock(&table->lock, &table_lock_class))
            continue;
        list_remove(&r->link);
        table->reservation = NULL;
        ticket_unlock(&table->lock, &table_lock_class);
        return r;
    }
    return NULL;
}

u64 super_reclaim(u64 want)
{
    u64 freed = 0;
    struct reservation *r;
    while (freed < want && (r = take_oldest()))
        freed += dissolve(r);
    return freed;
}

/* ---- promotion and demotion ---- */

/* The block that all entries map, with the permissions of the first; a leaf for the upper entry, or
 * an empty one. => Table locked. */
static pte_t whole_block(const struct page *table)
{
    const pte_t *pte = page_to_virt(table);
    pte_t first = pte_read(pte);
    u64 pfn = pte_pfn(first).n;
    unsigned prot = pte_prot(first);
    if (!pte_is_leaf(first) || pfn % PT_ENTRIES || !pte_writable(first))
        return PTE_NONE;
    for (unsigned i = 1; i < PT_ENTRIES; i++) {
        pte_t e = pte_read(&pte[i]);
        if (!pte_is_leaf(e) || pte_pfn(e).n != pfn + i || pte_prot(e) != prot)
            return PTE_NONE;
    }
    return pte_leaf((pfn_t){pfn}, prot, PTE_F_USER | PTE_F_DIRTY);
}

/* The place of @upper's table in the ->hidden array of its own. NULL: out of memory. */
static struct page **hidden_place(pte_t *upper)
{
    struct page *middle = virt_to_page(upper);
    struct page **hidden = READ_ONCE(middle->hidden);
    if (!hidden) {
        struct page **fresh = kzalloc(PT_ENTRIES * sizeof(*fresh), PA_NOWAIT);
        if (!fresh)
            return NULL;
        if (atomic_cas(&middle->hidden, &hidden, fresh))
            hidden = fresh;
        else
            kfree(fresh);
    }
    return &hidden[((vaddr_t)upper & ~PAGE_MASK) / sizeof(*upper)];
}

void super_promote(struct page *table)
{
    pte_t leaf = whole_block(table);
    pte_t *upper = rmap_first(table);
    struct page **place = pte_none(leaf) ? NULL : hidden_place(upper);
    if (!place)
        return;
    *place = table;
    table->table_flags |= TABLE_SUPER;
    pte_write(upper, leaf);
    struct pmap *pmap = table_pmap(virt_to_page(upper));
    pmap_flush(pmap, 0, ~0UL);
    vm_count(thp_promote);
}

/* Hangs the hidden @table again. */
static void hang_again(struct page *table, pte_t *upper)
{
    table->table_flags &= ~TABLE_SUPER;
    pte_write(upper, pte_table(page_to_pfn(table)));
}

void super_demote(struct page *table)
{
    pte_t *upper = rmap_first(table);
    hang_again(table, upper);
    pmap_flush(table_pmap(virt_to_page(upper)), 0, ~0UL);
    vm_count(thp_split_page);
}

/* ---- whole blocks ---- */

struct page *super_block_alloc(void)
{
    struct page *block = page_reserve(SUPER_ORDER);
    if (!block)
        vm_count(thp_fault_fallback);
    for (unsigned i = 0; block && i < PT_ENTRIES; i++)
        page_claim(block + i, PAGE_ANON, PA_USER);
    return block;
}

void super_block_free(struct page *block)
{
    page_free(block, SUPER_ORDER);
}

void super_fill(struct pmap *pmap, struct page *table, struct page *block, unsigned prot)
{
    pte_t *pte = page_to_virt(table);
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        rmap_add_first(block + i, &pte[i]);
        pte_write(&pte[i], pte_leaf(page_to_pfn(block + i), prot, PTE_F_USER | PTE_F_DIRTY));
    }
    table->mapped = PT_ENTRIES;
    count_resident(pmap, table, RESIDENT_ANON, PT_ENTRIES);
    vm_count(thp_fault_alloc);
    super_promote(table);
}

/* The pages of a superpage have no user but their entries. => Table locked. */
static bool is_exclusive(const struct page *block)
{
    for (unsigned i = 0; i < PT_ENTRIES; i++)
        if (block[i].state != PAGE_ANON || READ_ONCE(block[i].refs) != 1)
            return false;
    return true;
}

bool super_zap(struct pmap *pmap, struct page *table, bool dead)
{
    pte_t *pte = page_to_virt(table);
    struct page *block = pfn_to_page(pte_pfn(pte_read(pte)));
    if (!is_exclusive(block))
        return false;
    hang_again(table, rmap_first(table));
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        pte_write(&pte[i], PTE_NONE);
        block[i].rmap = 0;
        block[i].mapped = 0;
    }
    table->mapped = 0;
    count_resident(pmap, table, RESIDENT_ANON, -(s64)PT_ENTRIES);
    if (!dead)
        pmap_flush(pmap, 0, ~0UL);
    super_block_free(block);
    return true;
}
