/* What the files of the address-space half of mm/ share among themselves. */
#pragma once

#include "core/param.h"
#include "mm/aspace.h"
#include "mm/counters.h"
#include "mm/rmap.h"
#include "mm/slab.h"

/* Mechanisms that can be switched off for comparison (boot parameters vm.*). */
extern int vm_lazy, vm_cow, vm_fault_around;
#define FAULT_AROUND_MAX 64 /* greatest value of vm.fault_around */

extern struct lock_class table_lock_class;

/* ---- aspace.c ---- */

/* The end of a change of @as: the debug build looks, after some of them, whether all is well.
 * => aspace write-locked. */
#ifdef QUIRE_DEBUG
void aspace_changed(struct aspace *as);
#else
static inline void aspace_changed(struct aspace *as)
{
}
#endif

/* ---- pmap.c ---- */

/* The page table that @table, the root or one right below it, belongs to. */
struct pmap *table_pmap(const struct page *table);

/* The table that @upper, an entry above the leaves, hangs: linked, parked, or hidden behind a
 * superpage. NULL: none. => aspace locked. */
static inline struct page *hung_table(const pte_t *upper)
{
    pte_t e = pte_read(upper);
    if (pte_none(e))
        return NULL;
    if (likely(!pte_is_leaf(e)))
        return pfn_to_page(pte_pfn(e));
    memory_barrier(); /* ->hidden was filled before the leaf was stored */
    return virt_to_page(upper)->hidden[((vaddr_t)upper & ~PAGE_MASK) / sizeof(*upper)];
}

/* A fresh table of @level for @va, hung by @parent. NULL: out of memory. => May sleep. */
struct page *table_new(pte_t *parent, uvaddr_t va, unsigned level);

/*
 * The entry that hangs the leaf table for @va, with @create after making the tables above it.
 * NULL: there are none, or no memory for them. => aspace lock held.
 */
pte_t *pmap_upper(struct pmap *pmap, uvaddr_t va, bool create);

/* Address that the entry @pte of @table translates. */
static inline uvaddr_t table_entry_va(const struct page *table, const pte_t *pte)
{
    return table->table_va + (((vaddr_t)pte & ~PAGE_MASK) / sizeof(pte_t) << PAGE_SHIFT);
}

/* Fills the empty entry @ref with @leaf, which maps a page of its own (counted by the caller). */
static inline void pmap_install(struct pte_ref *ref, pte_t leaf)
{
    ref->table->mapped++;
    pte_write(ref->pte, leaf);
}

/* The kind of @page, which has an owner (ANON or FILE). */
static inline enum resident_kind resident_kind(const struct page *page)
{
    if (page->state == PAGE_ANON)
        return RESIDENT_ANON;
    const struct vm_object *o = page->object;
    return o && (o->flags & OBJECT_NO_WRITEBACK) ? RESIDENT_SHARED : RESIDENT_FILE;
}

/* Books @n entries more of @kind in @table. => Table locked, @pmap's alone. */
static inline void count_resident(struct pmap *pmap, struct page *table, enum resident_kind kind,
                                  s64 n)
{
    table->table_resident[kind] += (u16)n;
    atomic_add_relaxed(&pmap->resident[kind], (u64)n);
}

/* Greatest resident set so far; called before the set shrinks and when it is read. */
void pmap_note_peak(struct pmap *pmap);

/*
 * Steps through the leaf tables that touch [*va, end): the upper entry of the next one, an address
 * of it in *va; NULL at the end. => aspace locked.
 */
pte_t *pmap_next_upper(struct pmap *pmap, uvaddr_t *va, uvaddr_t end);

/*
 * Empties every entry in [start, end), dropping the pages through @batch. With @free_tables also
 * tables left without entries go, and shared ones that lie wholly in the range are only let go; the
 * others must be pmap_own()ed before: => aspace write-locked. Otherwise read-locked suffices, and
 * entries of a shared table go for all who share it.
 */
void pmap_zap(struct pmap *pmap, uvaddr_t start, uvaddr_t end, bool free_tables,
              struct tlb_batch *batch);

/*
 * Calls @fn for each entry that is not empty in [start, end), its table locked; @fn may change the
 * entry, if the table is the address space's own, but not empty or fill it. => aspace locked; @fn
 * does not sleep.
 */
void pmap_for_each(struct pmap *pmap, uvaddr_t start, uvaddr_t end,
                   void (*fn)(struct pte_ref *ref, uvaddr_t va, void *arg), void *arg);

/*
 * Gives the entries that are present in [start, end) the permissions @prot, but for writing: that
 * is only ever taken away. An entry gets it back by the next write fault, which knows whether the
 * page is shared copy-on-write or clean. True when an entry changed: a flush is due. => aspace
 * write-locked, tables its own.
 */
bool pmap_protect(struct pmap *pmap, uvaddr_t start, uvaddr_t end, unsigned prot);

/* Makes the leaf tables for [start, end), its own, so that pmap_lock() without create finds them.
 * => aspace write-locked. 0, -ENOMEM. */
int pmap_prepare(struct pmap *pmap, uvaddr_t start, uvaddr_t end);

/* Moves the entries of [from, from + len) to @to. => pmap_prepare() done for the destination. */
void pmap_move(struct pmap *pmap, uvaddr_t from, uvaddr_t to, u64 len);

/* This CPU runs on the kernel's own root table, which has no user half. => Preemption off. */
void pmap_load_kernel(void);

/* ---- fork.c ---- */

extern unsigned fork_share_min; /* changed by tests only */

/* ---- share.c ---- */

/* Takes write permission from @pte, which was @e. The entry as it is then. => Table locked. */
static inline pte_t entry_wrprotect(pte_t *pte, pte_t e)
{
    while (pte_writable(e) && !pte_cas(pte, &e, pte_wrprotect(e)))
        ;
    return pte_wrprotect(e);
}

extern int vm_share_tables;

/*
 * fork: @to hangs the leaf table that @upper of another address space hangs, its entry being
 * @to_upper. 0, -ENOMEM. => Both address spaces write-locked; the other one's TLB is flushed by the
 * caller, as its entry may have become parked.
 */
int table_share(pte_t *upper, struct pmap *to, pte_t *to_upper);
/* Lets go of the shared leaf @table hung by @upper, flushing unless @pmap is @dead. => Table
 * locked, aspace write-locked. */
void table_unshare(struct pmap *pmap, struct page *table, pte_t *upper, bool dead);
/* Makes the leaf tables that lie in [start, end), wholly or in part, @pmap's own and linked.
 * 0, -ENOMEM. => aspace write-locked. May sleep. */
int pmap_own(struct pmap *pmap, uvaddr_t start, uvaddr_t end);
/* The same for those that lie in it in part only: what pmap_zap() with @free_tables needs. */
int pmap_own_borders(struct pmap *pmap, uvaddr_t start, uvaddr_t end);
/* Some leaf table of [start, end) is shared. => aspace locked. */
bool pmap_shares(struct pmap *pmap, uvaddr_t start, uvaddr_t end);
/*
 * A fault found PMAP_SHARED. Links the table when @access is possible without changing it: 0, try
 * the access again; else makes it the address space's own: -EAGAIN, try the fault again. -ENOMEM.
 * => aspace write-locked. May sleep.
 */
int pmap_resolve(struct pmap *pmap, uvaddr_t va, enum vm_access access);
/* Calls @fn for each page table that the leaf @table hangs in. => Table locked. */
void table_for_each_pmap(struct page *table, void (*fn)(struct pmap *pmap, void *arg), void *arg);

/* ---- super.c ---- */

enum { THP_NEVER, THP_RESERVE, THP_ALWAYS };
extern int vm_thp;

void super_init(void);
/* A superpage may come to map the 2 MiB around @va, all of them @v's. */
bool super_eligible(const struct vma *v, uvaddr_t va);
/*
 * A frame, zeroed, for the empty entry of @table that translates @va of @v: its place in the
 * table's reservation, which is made now if the table is empty. NULL: take any other. => Table
 * locked.
 */
struct page *super_take(const struct vma *v, struct page *table, uvaddr_t va,
                        enum page_state state);
/* A write to @va shall map a superpage at once. => Table locked. */
bool super_wants_block(const struct vma *v, const struct page *table, uvaddr_t va);
/* A block of zeroed anonymous pages for super_fill(); NULL: none to spare. => May sleep. */
struct page *super_block_alloc(void);
void super_block_free(struct page *block);
/* Maps @block by the empty @table and promotes it. => Table locked. */
void super_fill(struct pmap *pmap, struct page *table, struct page *block, unsigned prot);
/* Hides @table, full and the address space's own, behind a superpage if its entries map a whole
 * block alike and writable. => Table locked. */
void super_promote(struct page *table);
void super_demote(struct page *table); /* => Table locked, TABLE_SUPER */
/* Unmaps the whole superpage in front of @table and frees its block; false: not possible, nothing
 * done. => Table locked, TABLE_SUPER. @dead: no flush is needed. */
bool super_zap(struct pmap *pmap, struct page *table, bool dead);
/* The reservation of @table, which goes away, ends. => Nothing locked. */
void super_break(struct page *table);

/* @table got an entry, or was linked again: perhaps it lacks nothing now. => Locked, not hidden. */
static inline void promote_full(struct page *table)
{
    if (unlikely(table->mapped == PT_ENTRIES))
        super_promote(table);
}

/* What changes entries of @table calls this first. => Table locked. */
static inline void table_plain(struct page *table)
{
    if (unlikely(table->table_flags & TABLE_SUPER))
        super_demote(table);
}

/* ---- rmap.c ---- */

/* rmap_add() for a fresh page that nobody else can reach yet. */
static inline void rmap_add_first(struct page *page, pte_t *pte)
{
    page->rmap = (uintptr_t)pte;
    page->mapped = 1;
}
/* The entry @from moved to @to; never fails. */
void rmap_replace(struct page *page, pte_t *from, pte_t *to);
/* rmap_add() and rmap_remove() for the upper entries of a table: ->mapped does not count them. */
int rmap_hang(struct page *table, pte_t *upper);
void rmap_unhang(struct page *table, pte_t *upper);
/* Any one entry of @page's chain; NULL: there is none. => Chain stable or page's rmap locked. */
pte_t *rmap_first(struct page *page);
/* Calls @fn for each entry of @page's chain. => Chain stable or page's rmap locked. */
void rmap_for_each(struct page *page, void (*fn)(pte_t *pte, void *arg), void *arg);
/* Empties @pte for all who share @table, flushes, and puts the page. => Table locked. */
void rmap_drop_entry(struct page *table, pte_t *pte);

/* ---- asid.c ---- */

/* A valid ASID for @pmap on this CPU; flushes the CPU after a rollover. => Preemption off. */
u16 asid_acquire(struct pmap *pmap);

/* ---- aspace.c, map.c ---- */

/*
 * Memory for one change of an address space, taken before the lock, and what the change discards,
 * released after it: vmas hold references whose last put may sleep and take inode locks.
 */
struct map_op {
    struct vma *spare[5];
    unsigned spares;
    struct list_node dead; /* vmas through ->object_link */
};
void map_init(void);                                  /* boot */
int map_op_begin(struct map_op *op, unsigned spares); /* 0, -ENOMEM */
void map_op_end(struct map_op *op);
struct vma *map_op_take(struct map_op *op); /* contents undefined */

void vma_attach(struct vma *v);                     /* references and the object's list */
void vma_discard(struct map_op *op, struct vma *v); /* out of the object's list, to op->dead */
struct vma *vma_clone(struct map_op *op, const struct vma *from);
/* Cuts vmas so that @start and @end are borders. Needs two spares. */
void vma_isolate(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end);
/* Joins @v with its neighbours where they are alike; returns the vma that now contains it. */
struct vma *vma_join(struct aspace *as, struct map_op *op, struct vma *v);
/* Joins whatever became alike around and within [start, end). */
void vma_join_range(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end);
/* Removes mappings in [start, end), pages and all, and with @free_tables the tables left without
 * entries. Needs a spare. 0; -ENOMEM, and nothing is done, which cannot be after
 * pmap_own_borders(). */
int unmap_locked(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end,
                 bool free_tables);
/* Sets and clears flags other than VMA_ACCOUNT and VMA_SHARED. */
void vma_change_flags(struct vma *v, u32 set, u32 clear);
void vma_name_put(struct vma_name *name); /* NULL is allowed */
/* Vmas that vma_isolate() would add. */
unsigned vma_cuts(struct aspace *as, uvaddr_t start, uvaddr_t end);
/* Vmas that unmapping [start, end) adds: a hole in the middle of one makes it two. */
unsigned hole_adds(struct aspace *as, uvaddr_t start, uvaddr_t end);
/* 0, -ENOMEM: @more vmas would be more than vm.max_map_count. */
int check_map_count(struct aspace *as, unsigned more);
/* Pages of [start, end) that are mapped. */
u64 mapped_pages(struct aspace *as, uvaddr_t start, uvaddr_t end);
/*
 * Limits and the commit charge for @pages new pages of a vma with @vma_flags, of which @replaced
 * take the place of mapped ones. 0, -ENOMEM, -EAGAIN (RLIMIT_MEMLOCK). => Write lock held.
 */
int admit_pages(struct aspace *as, unsigned vma_flags, u64 pages, u64 replaced);
/* The address space has @pages more (or fewer) of a vma with @vma_flags. => Write lock held. */
void book_pages(struct aspace *as, unsigned vma_flags, s64 pages);
/* 0 or -ENOMEM: no hole in [start, end). */
int range_is_mapped(struct aspace *as, uvaddr_t start, uvaddr_t end);
/* Free range of @len bytes for mmap; @hint is honoured when it is free. */
int find_free_range(struct aspace *as, uvaddr_t hint, u64 len, uvaddr_t *out);
/* Checks a page-aligned user range; @len is rounded up. Returns 0 and the end, or -EINVAL. */
int check_range(uvaddr_t start, u64 len, uvaddr_t *end);

static inline s64 vma_pages(const struct vma *v)
{
    return (s64)((v->end - v->start) >> PAGE_SHIFT);
}

/* Private, writable, and counted against the commit limit. */
static inline bool vma_is_accountable(unsigned prot, unsigned vma_flags)
{
    return (prot & PROT_W) && !(vma_flags & (VMA_SHARED | VMA_SPECIAL | VMA_NORESERVE));
}

/* Counts in object->writers. */
static inline bool vma_may_write_object(const struct vma *v)
{
    return v->object && (v->flags & VMA_SHARED) && (v->max_prot & PROT_W);
}

/* ---- mlock.c ---- */

/*
 * Faults in what is mapped of [start, end), writable private pages for writing, in vmas that have
 * all of @flags and not VMA_LOCKONFAULT. Goes on after errors; returns the first: -EACCES (no
 * access is allowed), what vm_fault() says, or at once -ERESTARTNOINTR. => No locks held.
 */
int populate_range(struct aspace *as, uvaddr_t start, uvaddr_t end, u32 flags);

/* ---- fault.c ---- */

/* Protection in the machine's terms: it knows no write without read. */
static inline unsigned entry_prot(unsigned prot)
{
    return prot & PROT_W ? prot | PROT_R : prot;
}

/* Protection an entry of @v gets: what the vma allows. */
static inline unsigned vma_entry_prot(const struct vma *v)
{
    return entry_prot(v->prot);
}
