/*
 * The machine page table of an address space. Table pages are objects: each has a struct page with
 * its level, its first address, the number of its live entries, a lock for the entries, and an
 * rmap (the upper entries that hang it). See mm/pmap.c for the theory statement.
 */
#pragma once

#include "mm/page.h"

struct pmap {
    pte_t *root;
    paddr_t root_pa;
    u64 asid;              /* generation << 16 | ASID; see mm/asid.c */
    u64 active;            /* atomic: CPUs that run threads in it now and need its flushes */
    u64 loaded;            /* atomic: CPUs whose page table it is, perhaps only left over */
    u64 tlb_gen;           /* atomic: bumped by each flush */
    u64 cpu_gen[MAX_CPUS]; /* tlb_gen up to which that CPU has flushed */
    u64 tables;            /* atomic: table pages, the root and shared ones included */
    union {                /* atomic: present leaf entries; the page of zeroes is not counted */
        u64 resident[RESIDENT_KINDS];
        struct {
            u64 resident_anon;
            u64 resident_file;
            u64 resident_shared; /* shared anonymous and tmpfs */
        };
    };
    u64 swapped;       /* swap entries */
    u64 peak_resident; /* their greatest sum before the set last shrank: pmap_peak_resident() */
};

/* Greatest resident set so far, in pages; the one of now counts as well. */
static inline u64 pmap_peak_resident(const struct pmap *pmap)
{
    u64 now = READ_ONCE(pmap->resident_anon) + READ_ONCE(pmap->resident_file) +
              READ_ONCE(pmap->resident_shared);
    return MAX(READ_ONCE(pmap->peak_resident), now);
}

/* Where an entry of a leaf table is, with the table's lock held. */
struct pte_ref {
    pte_t *pte;
    struct page *table;
};

int pmap_init(struct pmap *pmap);  /* 0, -ENOMEM */
void pmap_fini(struct pmap *pmap); /* every user entry must be gone */

enum pmap_use {
    PMAP_LOOK,   /* entries are only read, or get A or D set */
    PMAP_CHANGE, /* entries of this address space alone: PMAP_SHARED when the table is not its own
                  */
    PMAP_CREATE, /* the same, and missing tables are made */
};
#define PMAP_SHARED 2 /* pmap_resolve() or pmap_own() must come first: mm/share.c */

/*
 * Finds the leaf entry for @va and locks its table.
 * Returns 0, PMAP_SHARED, -ENOENT (no table; not with PMAP_CREATE), -ENOMEM.
 * => aspace lock held (read or write). Sleeps only to allocate. pmap_unlock() releases.
 */
int pmap_lock(struct pmap *pmap, uvaddr_t va, enum pmap_use use, struct pte_ref *out);
void pmap_unlock(struct pte_ref *ref);

/* Kernel half: maps one frame at @va in the KVA area / removes it (returns its frame, flushes). */
int pmap_kenter(vaddr_t va, pfn_t pfn, unsigned prot);
pfn_t pmap_kremove(vaddr_t va);
void pmap_kernel_init(pte_t *kernel_root);
/* Drops TLB entries of [start, end) in the KVA area on all harts. */
void pmap_kflush(vaddr_t start, vaddr_t end);

/*
 * A batch of changes: entries are cleared first, then one flush, then the pages are put.
 */
#define TLB_BATCH 64
struct tlb_batch {
    struct pmap *pmap;
    bool dead;           /* nobody can run in it any more: no flush is needed */
    uvaddr_t start, end; /* range that needs a flush; start > end: nothing */
    unsigned count;
    struct page *pages[TLB_BATCH];
};
void tlb_batch_init(struct tlb_batch *b, struct pmap *pmap);
void tlb_batch_finish(struct tlb_batch *b);
static inline void tlb_batch_add_range(struct tlb_batch *b, uvaddr_t start, uvaddr_t end)
{
    if (start < b->start)
        b->start = start;
    if (end > b->end)
        b->end = end;
}
/* @page goes with the batch's reference; the batch may be finished to make room. */
static inline void tlb_batch_add_page(struct tlb_batch *b, struct page *page)
{
    if (b->dead) {
        page_put(page);
        return;
    }
    if (unlikely(b->count == TLB_BATCH))
        tlb_batch_finish(b);
    b->pages[b->count++] = page;
}
/* Flushes [start, end) of @pmap now, on every CPU that needs it. */
void pmap_flush(struct pmap *pmap, uvaddr_t start, uvaddr_t end);

/* Loads @pmap's table on this CPU (ASID, flushes that were missed). => Preemption off. */
void pmap_activate(struct pmap *pmap);
/* This CPU goes to a kernel thread: the table stays loaded, flushes can wait. => Preemption off. */
void pmap_idle(struct pmap *pmap);
/* Another table has been loaded on this CPU. => Preemption off. */
void pmap_forget(struct pmap *pmap);
/* This CPU leaves @pmap: runs on the kernel's own table. => Preemption off. */
void pmap_deactivate(struct pmap *pmap);
