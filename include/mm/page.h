/*
 * struct page: everything the kernel knows about one physical frame, and the frame allocator.
 *
 * States and transitions (the allocator checks them in the debug build):
 *
 *   FREE -> SLAB, TABLE, ANON, FILE, WIRED          by page_alloc() and the first owner
 *   SLAB, TABLE, ANON, FILE, WIRED -> FREE          by page_free() / the last page_put()
 *
 * RESERVED is for counting only: frames that page_reserve() has set aside are FREE until
 * page_claim().
 *
 * References: whoever keeps a pointer holds one. A page-table entry that maps the page holds one
 * (and counts in ->mapped); the page cache holds one for each page it has; a table has one for each
 * upper entry that hangs it.
 */
#pragma once

#include "arch/mmu.h"
#include "core/panic.h"
#include "core/spinlock.h"
#include "lib/list.h"

/* What a leaf entry maps, as resident sets are told apart. */
enum resident_kind { RESIDENT_ANON, RESIDENT_FILE, RESIDENT_SHARED, RESIDENT_KINDS };

enum page_state {
    PAGE_FREE,
    PAGE_SLAB,
    PAGE_TABLE,
    PAGE_ANON,
    PAGE_FILE,
    PAGE_WIRED,
    PAGE_RESERVED,
    PAGE_STATES
};

/* page->flags, changed with page_flag_*() only */
#define PG_BUSY       (1u << 0)  /* sleeping lock of a page under I/O or truncation: page_lock() */
#define PG_UPTODATE   (1u << 1)  /* FILE: contents are valid */
#define PG_DIRTY      (1u << 2)  /* FILE: newer than the disk */
#define PG_WRITEBACK  (1u << 3)  /* FILE: being written */
#define PG_ERROR      (1u << 4)  /* FILE: the last transfer failed */
#define PG_REFERENCED (1u << 5)  /* software's accessed bit: read() and friends */
#define PG_LRU        (1u << 6)  /* on a reclaim list (->link) */
#define PG_RMAP_LOCK  (1u << 7)  /* bit lock of ->rmap and ->mapped */
#define PG_WAITERS    (1u << 8)  /* someone sleeps for PG_BUSY or PG_WRITEBACK */
#define PG_READAHEAD  (1u << 9)  /* FILE: touching it starts the next readahead */
#define PG_BUDDY      (1u << 10) /* head of a free block in the buddy lists */
#define PG_POISONED   (1u << 11) /* free, filled with the poison pattern (vm.poison) */
#define PG_WB_EPOCH   (1u << 12) /* FILE: which epoch of sync(2) the writeback began in */

#define PG_ACTIVE (1u << 13) /* with PG_LRU: on the list of pages in use, not of candidates */
#define PG_UNUSED (1u << 14) /* FILE: was mapped with a neighbour in vain; not done again */
#define PG_ZEROED (1u << 15) /* contents are zero: a table that is going, and free afterwards */

/* page->table_flags */
#define TABLE_READONLY 1u /* no entry is writable, while shared: mm/share.c */
#define TABLE_SUPER    2u /* hidden behind a superpage: mm/super.c */

/*
 * Legend: a: atomic; r: PG_RMAP_LOCK; o: object lock; t: the table's ->lock; z: buddy or slab.
 */
struct page {
    s32 refs;   /* a: 0 when free */
    u8 state;   /* enum page_state, set by the owner */
    u8 order;   /* z: order of the block this page heads */
    u16 age;    /* reclaim policy's */
    u32 flags;  /* a: PG_* */
    s32 mapped; /* r: page-table entries that map it; TABLE: entries that are not empty (t) */
    union {
        struct list_node link;           /* z: free list or slab list; FILE, ANON: reclaim list */
        struct reservation *reservation; /* TABLE, leaf: t; mm/super.c */
        struct page **hidden; /* TABLE above: leaf tables behind superpages, by index; NULL: none */
    };
    union {                       /* by state */
        struct vm_object *object; /* FILE: o and PG_BUSY */
        uvaddr_t table_va;        /* TABLE: first address it translates */
        void *owner;              /* SLAB: its cache */
    };
    union {
        u64 index; /* FILE: page number in the object */
        struct {   /* TABLE: t */
            u8 table_level;
            u8 table_flags;                     /* TABLE_* */
            u16 table_resident[RESIDENT_KINDS]; /* entries that map such pages */
        };
        void *freelist; /* SLAB: z */
    };
    uintptr_t rmap;     /* r: who maps it, see mm/rmap.c; SLAB: objects in use (z) */
    struct ticket lock; /* TABLE: guards its entries */
};
_Static_assert(sizeof(struct page) == 64, "struct page must stay within 64 bytes");

extern struct page *page_array; /* indexed by pfn - page_base_pfn */
extern u64 page_base_pfn, page_array_count;

static inline pfn_t page_to_pfn(const struct page *p)
{
    return (pfn_t){(u64)(p - page_array) + page_base_pfn};
}
static inline struct page *pfn_to_page(pfn_t pfn)
{
    debug_assert(pfn.n - page_base_pfn < page_array_count);
    return &page_array[pfn.n - page_base_pfn];
}
/* False for frames that are no RAM of ours (devices): these have no struct page. */
static inline bool pfn_has_page(pfn_t pfn)
{
    return pfn.n - page_base_pfn < page_array_count;
}
static inline paddr_t page_to_phys(const struct page *p)
{
    return page_to_pfn(p).n << PAGE_SHIFT;
}
static inline void *page_to_virt(const struct page *p)
{
    return direct_map(page_to_phys(p));
}
static inline struct page *virt_to_page(const void *va)
{
    return pfn_to_page((pfn_t){direct_to_phys(va) >> PAGE_SHIFT});
}

#define PAGE_MAX_ORDER 10

/* page_alloc() flags */
#define PA_NOWAIT  1u  /* may not sleep: interrupt context or under a spinlock */
#define PA_ZERO    2u  /* contents are zero */
#define PA_RESERVE 4u  /* may use the last reserves: paths that free memory */
#define PA_USER    8u  /* the page reaches user space: zeroed as vm.zero says, unless PA_NOZERO */
#define PA_NOZERO  16u /* with PA_USER: the caller overwrites the whole page itself */

/*
 * Allocates 2^@order contiguous frames with one reference on the first. When memory is short it
 * wakes the pagedaemon and, unless PA_NOWAIT, reclaims. Returns NULL when there is none.
 * The new state is @state.
 */
struct page *page_alloc(unsigned order, enum page_state state, unsigned flags);
/* Frees a block whose reference count is at most one and that nobody else can reach. */
void page_free(struct page *page, unsigned order);

/*
 * Sets a block of 2^@order frames aside without touching them; NULL when that would bring the
 * pagedaemon near. page_claim() takes one of them into use; page_unreserve() gives back those whose
 * bit in @taken is clear and returns their number. => Any context but interrupts.
 */
struct page *page_reserve(unsigned order);
void page_claim(struct page *page, enum page_state state, unsigned flags);
u64 page_unreserve(struct page *block, unsigned order, const u64 *taken);

static inline void page_get(struct page *p)
{
    debug_assert(p->refs > 0);
    atomic_add_relaxed(&p->refs, 1);
}
void page_release(struct page *p); /* the last reference of an order-0 page went: frees it */
static inline void page_put(struct page *p)
{
    debug_assert(p->refs > 0);
    if (atomic_sub(&p->refs, 1) == 0)
        page_release(p);
}

static inline bool page_flag(const struct page *p, u32 flag)
{
    return READ_ONCE(p->flags) & flag;
}
static inline void page_flag_set(struct page *p, u32 flag)
{
    atomic_or(&p->flags, flag);
}
static inline void page_flag_clear(struct page *p, u32 flag)
{
    atomic_and(&p->flags, ~flag);
}

/* PG_BUSY as a sleeping lock. */
void page_lock(struct page *p);
bool page_trylock(struct page *p) __must_check;
void page_unlock(struct page *p);
/* Sleeps until PG_BUSY was seen clear, without taking it. */
void page_wait_unlocked(struct page *p);
/* Sleeps until PG_WRITEBACK is clear. */
void page_wait_writeback(struct page *p);
void page_end_writeback(struct page *p); /* clears it and wakes; any context */

struct memory_region {
    paddr_t start, end;
};
/*
 * Boot. @ram: the RAM, sorted; @reserved: parts of it in use (firmware, image, devicetree). Builds
 * the descriptors out of RAM itself and gives the rest to the buddy allocator.
 */
void page_init(const struct memory_region *ram, unsigned nr_ram,
               const struct memory_region *reserved, unsigned nr_reserved);
/* Boot, after page_init(): one zeroed frame for a table of the kernel's map; panics when out. */
paddr_t early_page_alloc(void);

struct page_stats {
    u64 total;                           /* frames with a descriptor given to the allocator, ever */
    u64 free;                            /* in the buddy lists and the CPU stashes */
    u64 free_blocks[PAGE_MAX_ORDER + 1]; /* buddy lists only */
    u64 stashed;                         /* in CPU stashes */
    u64 by_state[PAGE_STATES];           /* frames in each state; PAGE_FREE equals free */
};
void page_get_stats(struct page_stats *out);
u64 page_free_count(void); /* cheap, approximate by at most the stashes in motion */
u64 page_total(void);      /* frames ever given to the allocator */
u64 page_high_level(void); /* free frames the pagedaemon strives for */
u64 page_state_count(enum page_state state); /* frames in @state, which is not PAGE_FREE */
u64 page_count_allocated(void), page_count_freed(void); /* frames since boot */

/* Levels that steer reclaim, in free pages, and the CPUs' stashes, for /proc/zoneinfo. */
struct page_zone_stats {
    u64 min, low, high;
    u64 stash_limit, stash_batch;
    u64 stashed[MAX_CPUS];
};
void page_get_zone_stats(struct page_zone_stats *out);

/* Mapped superpages by the kind of their pages; one mapped several times counts once. */
struct superpage_stats {
    u64 anon, file, shared; /* number of superpages */
};
/* Looks at all tables of level 1. 0, -ENOMEM. => May sleep. Exact when nothing changes. */
int page_get_superpage_stats(struct superpage_stats *out);

/* @page lies in a free block of the buddy lists (not in a stash). A hint: no lock is taken. */
bool page_in_buddy(const struct page *page);
void page_verify(void); /* debug: walks all lists, panics on a broken one */

/* The page of zeroes that read faults on anonymous memory map: WIRED, never counted or freed. */
extern struct page *zero_page;
