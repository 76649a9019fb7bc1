/*
 * Reverse map: from a page (data or table) to the page-table entries that point at it. The first is
 * kept in struct page itself, more in a chain of small blocks. An entry's table page tells the
 * virtual address and, through its own rmap, the address spaces.
 */
#pragma once

#include "mm/pmap.h"

/* Blocks may be needed when a page gets its second mapping. Fill before taking a table's lock. */
struct rmap_block;
int rmap_add(struct page *page, pte_t *pte); /* 0, -ENOMEM; => table lock held, does not sleep */
void rmap_remove(struct page *page, pte_t *pte); /* => table lock held */
/*
 * Removes every mapping of @page (truncation, reclaim, write-back of shared pages), flushing the
 * TLBs. => @page locked (PG_BUSY) or otherwise stable, no spinlock held. Returns entries removed.
 */
unsigned rmap_unmap_all(struct page *page);
/* Write-protects and cleans every mapping; returns true when any entry had been dirty. */
bool rmap_clean(struct page *page);
/* Clears the accessed bits; returns how many were set. */
unsigned rmap_test_and_clear_accessed(struct page *page);
/* How many times address spaces map @page: an entry of a shared table counts for each that shares
 * it. 0 for pages that are not ANON or FILE. A hint unless the page cannot go away. */
u64 page_mappings(struct page *page);
void rmap_init(void);
