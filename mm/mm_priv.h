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

/* ---- pmap.c ---- */

/* The address space's page table that @table (locked, with live entries) hangs in. */
struct pmap *table_pmap(struct page *table);

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

/* The resident counter that @page, a page with an owner (ANON or FILE), belongs to. */
u64 *pmap_resident_counter(struct pmap *pmap, const struct page *page);

/* Greatest resident set so far; called before the set shrinks and when it is read. */
void pmap_note_peak(struct pmap *pmap);

/*
 * Empties every entry in [start, end), dropping the pages through @batch. With @free_tables also
 * tables left without entries go: => aspace write-locked; otherwise read-locked suffices.
 */
void pmap_zap(struct pmap *pmap, uvaddr_t start, uvaddr_t end, bool free_tables,
              struct tlb_batch *batch);

/*
 * Calls @fn for each entry that is not empty in [start, end), its table locked; @fn may change the
 * entry but not empty or fill it. => aspace locked; @fn does not sleep.
 */
void pmap_for_each(struct pmap *pmap, uvaddr_t start, uvaddr_t end,
                   void (*fn)(struct pte_ref *ref, uvaddr_t va, void *arg), void *arg);

/* Makes the leaf tables for [start, end) so that pmap_lock() without create finds them. */
int pmap_prepare(struct pmap *pmap, uvaddr_t start, uvaddr_t end);

/* Moves the entries of [from, from + len) to @to. => pmap_prepare() done for the destination. */
void pmap_move(struct pmap *pmap, uvaddr_t from, uvaddr_t to, u64 len);

/* This CPU runs on the kernel's own root table, which has no user half. => Preemption off. */
void pmap_load_kernel(void);

/* ---- rmap.c ---- */

/* rmap_add() for a fresh page that nobody else can reach yet. */
static inline void rmap_add_first(struct page *page, pte_t *pte)
{
    page->rmap = (uintptr_t)pte;
    page->mapped = 1;
}
/* The entry @from moved to @to; never fails. */
void rmap_replace(struct page *page, pte_t *from, pte_t *to);

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
/* Removes mappings in [start, end), pages and all. Needs two spares. */
void unmap_locked(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end);
/* 0 or -ENOMEM: no hole in [start, end). */
int range_is_mapped(struct aspace *as, uvaddr_t start, uvaddr_t end);
/* Free range of @len bytes for mmap; @hint is honoured when it is free. */
int find_free_range(struct aspace *as, uvaddr_t hint, u64 len, uvaddr_t *out);
/* Checks a page-aligned user range; @len is rounded up. Returns 0 and the end, or -EINVAL. */
int check_range(uvaddr_t start, u64 len, uvaddr_t *end);

/* Private, writable, and counted against the commit limit. */
static inline bool vma_is_accountable(unsigned prot, unsigned vma_flags)
{
    return (prot & PROT_W) && !(vma_flags & (VMA_SHARED | VMA_SPECIAL));
}

/* ---- fault.c ---- */

/* Faults in [start, end) of a mapped range, as MAP_POPULATE does. Errors are not reported. */
void populate_range(struct aspace *as, uvaddr_t start, uvaddr_t end, bool write);

/* Protection an entry of @v gets: what the vma allows, in the machine's terms. */
static inline unsigned vma_entry_prot(const struct vma *v)
{
    return v->prot;
}
