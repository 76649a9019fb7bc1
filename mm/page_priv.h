/* Inside of the frame allocator: shared by page.c, page_init.c and page_stats.c. */
#pragma once

#include "mm/page.h"
#include "stash_priv.h"

#define STASH_PAGES 64

/* Frames in no stash and with no owner: binary buddy lists, and the levels that steer reclaim. */
struct zone {
    struct spinlock lock;                      /* interrupts off; innermost */
    struct list_node free[PAGE_MAX_ORDER + 1]; /* lock */
    u64 free_blocks[PAGE_MAX_ORDER + 1];       /* lock */
    u64 free_pages;                            /* lock; read without for hints */
    u64 total;                                 /* frames ever given; fixed after boot */
    u64 min, low, high;                        /* watermarks in pages; fixed after boot */
    u32 batch;                                 /* frames moved between stash and lists at once */
};
extern struct zone zone;

/* One CPU's part. Counters only grow: frames in a state = allocated - freed, summed over CPUs. */
struct page_cpu {
    struct stash stash;
    void *slot[STASH_PAGES];
    u64 allocated[PAGE_STATES]; /* owner, interrupts off */
    u64 freed[PAGE_STATES];
} __cacheline;
extern struct page_cpu page_cpus[MAX_CPUS];

/* Gives a free block to the lists and merges it with its free buddies. => zone.lock held. */
void zone_put(struct page *page, unsigned order);

/* page_lock.c: the wait queues. */
void page_lock_init(void);
