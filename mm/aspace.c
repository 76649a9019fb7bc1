/*
 * Address spaces: creation, switching, the end. mm/map.c changes mappings, mm/fault.c fills them,
 * mm/fork.c copies them.
 *
 * Locks: aspace->lock is taken for writing by whatever changes vmas, for reading by faults and user
 * copies. Order: inode -> aspace -> object -> page busy -> table -> rmap -> free lists.
 *
 * Loading is lazy. A kernel thread runs on whatever table the CPU has; cpu->loaded_aspace says
 * whose. An address space that dies may so still be loaded on other CPUs: they are told to leave
 * it (ipi) before its tables are freed.
 */
#include "core/errno.h"
#include "core/irq.h"
#include "mm/mm_priv.h"

DEFINE_LOCK_CLASS(aspace_lock_class, "aspace");

int vm_lazy = 1, vm_cow = 1, vm_fault_around = 16;
PARAM_NUMBER(vm_lazy, "vm.lazy", 0, 1, true, "0: mmap and brk fill their pages at once");
PARAM_NUMBER(vm_cow, "vm.cow", 0, 1, true, "0: fork copies every private page at once");
PARAM_NUMBER(vm_fault_around, "vm.fault_around", 1, FAULT_AROUND_MAX, true,
             "cached file pages mapped by one fault");

static struct kmem_cache *aspace_cache;

struct aspace *aspace_create(void)
{
    struct aspace *as = kmem_cache_alloc(aspace_cache, PA_ZERO);
    if (!as)
        return NULL;
    if (pmap_init(&as->pmap) < 0) {
        kmem_cache_free(aspace_cache, as);
        return NULL;
    }
    rwlock_init(&as->lock, &aspace_lock_class);
    vma_tree_init(&as->vmas);
    as->refs = 1;
    as->stack_limit = as->as_limit = as->data_limit = ~0UL;
    return as;
}

static void leave(void *arg)
{
    struct aspace *as = arg;
    struct cpu *cpu = this_cpu();
    if (cpu->loaded_aspace == as) {
        cpu->loaded_aspace = NULL;
        pmap_deactivate(&as->pmap);
    }
}

/* Makes every CPU leave @as, which no thread runs in any more. */
static void leave_everywhere(struct aspace *as)
{
    preempt_disable();
    leave(as);
    u64 others = READ_ONCE(as->pmap.loaded);
    preempt_enable();
    if (others)
        ipi_call(others, leave, as);
}

static void destroy(struct aspace *as)
{
    leave_everywhere(as);
    struct tlb_batch batch;
    tlb_batch_init(&batch, &as->pmap);
    batch.dead = true;
    struct map_op op;
    map_op_begin(&op, 0);
    for (struct vma *v = vma_first(&as->vmas), *next; v; v = next) {
        pmap_zap(&as->pmap, v->start, v->end, true, &batch);
        next = vma_next(v); /* nobody looks at the tree any more: it needs no repair */
        vma_discard(&op, v);
    }
    pmap_zap(&as->pmap, 0, USER_TOP, true, &batch); /* tables that never had an entry */
    tlb_batch_finish(&batch);
    pmap_fini(&as->pmap);
    map_op_end(&op);
    commit_uncharge(as->pages_committed);
    kmem_cache_free(aspace_cache, as);
}

void aspace_put(struct aspace *as)
{
    if (as && atomic_sub(&as->refs, 1) == 0)
        destroy(as);
}

void aspace_load(struct aspace *next)
{
    struct cpu *cpu = this_cpu();
    struct aspace *loaded = cpu->loaded_aspace;
    if (!next) {
        if (loaded)
            pmap_idle(&loaded->pmap);
        return;
    }
    if (next == loaded && (READ_ONCE(next->pmap.active) & 1UL << cpu->id))
        return;
    cpu->loaded_aspace = next;
    pmap_activate(&next->pmap);
    if (loaded && loaded != next)
        pmap_forget(&loaded->pmap);
}

void aspace_switch(struct aspace *as)
{
    preempt_disable();
    thread_self()->aspace = as;
    struct cpu *cpu = this_cpu();
    if (as)
        aspace_load(as);
    else if (cpu->loaded_aspace)
        leave(cpu->loaded_aspace);
    preempt_enable();
}

struct walk {
    void (*fn)(void *arg, unsigned level, uvaddr_t va, pte_t pte);
    void *arg;
    uvaddr_t start, end;
};

/* The entries of @table, which translates addresses from @base on, and what hangs below them. */
static void walk_table(const struct walk *w, struct page *table, unsigned level, uvaddr_t base)
{
    const pte_t *entries = page_to_virt(table);
    uvaddr_t va = ALIGN_DOWN(MAX(w->start, base), PT_SPAN(level));
    uvaddr_t end = MIN(w->end, base + PT_ENTRIES * PT_SPAN(level));
    if (level == 0)
        ticket_lock(&table->lock, &table_lock_class);
    for (; va < end; va += PT_SPAN(level)) {
        pte_t e = pte_read(&entries[PT_INDEX(va, level)]);
        if (pte_none(e))
            continue;
        w->fn(w->arg, level, va, e);
        if (level > 0 && !pte_is_leaf(e))
            walk_table(w, pfn_to_page(pte_pfn(e)), level - 1, va);
    }
    if (level == 0)
        ticket_unlock(&table->lock, &table_lock_class);
}

void aspace_walk_locked(struct aspace *as, uvaddr_t start, uvaddr_t end,
                        void (*fn)(void *arg, unsigned level, uvaddr_t va, pte_t pte), void *arg)
{
    struct walk w = {fn, arg, start, MIN(end, USER_TOP)};
    walk_table(&w, virt_to_page(as->pmap.root), PT_LEVELS - 1, 0);
}

void aspace_walk(struct aspace *as, void (*fn)(void *arg, unsigned level, uvaddr_t va, pte_t pte),
                 void *arg)
{
    READ_GUARD(&as->lock);
    aspace_walk_locked(as, 0, USER_TOP, fn, arg);
}

static void make_old(pte_t *entry)
{
    pte_t old = pte_read(entry);
    while (pte_is_leaf(old) && pte_accessed(old) && !pte_cas(entry, &old, pte_mkold(old)))
        ;
}

static void forget_use(struct pte_ref *ref, uvaddr_t va, void *arg)
{
    pte_t e = pte_read(ref->pte);
    make_old(ref->pte);
    if (ref->table->table_flags & TABLE_SUPER)
        make_old(rmap_first(ref->table));
    if (pte_is_leaf(e) && pfn_has_page(pte_pfn(e)))
        page_flag_clear(pfn_to_page(pte_pfn(e)), PG_REFERENCED);
}

void aspace_clear_referenced(struct aspace *as, bool anon, bool objects)
{
    READ_GUARD(&as->lock);
    for (const struct vma *v = vma_first(&as->vmas); v; v = vma_next(v))
        if (v->object ? objects : anon)
            pmap_for_each(&as->pmap, v->start, v->end, forget_use, NULL);
    /* Else a page whose translation is cached would not be marked again for a while. */
    pmap_flush(&as->pmap, 0, ~0UL);
}

void aspace_reset_peak(struct aspace *as)
{
    WRITE_ONCE(as->pmap.peak_resident, 0);
}

struct counts {
    u64 tables, leaves;
};

static void count_entry(void *arg, unsigned level, uvaddr_t va, pte_t pte)
{
    struct counts *c = arg;
    if (level > 0) {
        c->tables++;
        c->leaves += pte_is_leaf(pte) ? PT_ENTRIES : 0;
    } else if (pte_is_leaf(pte) && pfn_to_page(pte_pfn(pte))->state != PAGE_WIRED) {
        assert(pfn_to_page(pte_pfn(pte))->mapped > 0);
        c->leaves++;
    }
}

/* What @table says of itself is what its entries say. => Locked. */
static void leaf_table_verify(const struct page *table)
{
    const pte_t *entries = page_to_virt(table);
    bool readonly = table->refs > 1 && (table->table_flags & TABLE_READONLY);
    u16 found[RESIDENT_KINDS] = {0};
    s32 live = 0;
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        pte_t e = pte_read(&entries[i]);
        live += !pte_none(e);
        if (!pte_is_leaf(e))
            continue;
        const struct page *page = pfn_to_page(pte_pfn(e));
        assert(!readonly || !pte_writable(e));
        if (page->state == PAGE_WIRED)
            continue;
        assert(READ_ONCE(page->mapped) > 0 && READ_ONCE(page->refs) > 0);
        found[resident_kind(page)]++;
    }
    assert(live == table->mapped);
    for (unsigned kind = 0; kind < RESIDENT_KINDS; kind++)
        assert(found[kind] == table->table_resident[kind]);
}

void aspace_verify_locked(struct aspace *as)
{
    pte_t *upper;
    assert(vma_tree_verify(&as->vmas));
    for (uvaddr_t va = 0; (upper = pmap_next_upper(&as->pmap, &va, USER_TOP)); va += PT_SPAN(1)) {
        struct page *table = hung_table(upper);
        ticket_lock(&table->lock, &table_lock_class);
        assert(table->table_va == va && table->table_level == 0);
        assert(pte_is_leaf(pte_read(upper)) == !!(table->table_flags & TABLE_SUPER));
        leaf_table_verify(table);
        ticket_unlock(&table->lock, &table_lock_class);
    }
}

/* Counters against a walk. Meaningful while no other thread faults in @as. */
void aspace_verify(struct aspace *as)
{
    struct counts c = {.tables = 1};
    aspace_walk(as, count_entry, &c);
    READ_GUARD(&as->lock);
    aspace_verify_locked(as);
    if (READ_ONCE(as->refs) > 1)
        return;
    assert(c.tables == as->pmap.tables);
    assert(c.leaves == as->pmap.resident_anon + as->pmap.resident_file + as->pmap.resident_shared);
}

#ifdef QUIRE_DEBUG
#define VERIFY_EVERY    16   /* changes */
#define VERIFY_VMAS_MAX 2000 /* with more a look costs too much */

void aspace_changed(struct aspace *as)
{
    static u32 changes;
    if (atomic_add(&changes, 1) % VERIFY_EVERY == 0 && as->vmas.count <= VERIFY_VMAS_MAX)
        aspace_verify_locked(as);
}
#endif

void aspace_init(void)
{
    aspace_cache = kmem_cache_create("aspace", sizeof(struct aspace), 0);
    map_init();
    super_init();
}
