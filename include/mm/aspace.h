/*
 * Address spaces: a balanced tree of vmas says what may be, the page table says what is.
 * The anonymous pages of a range are recorded nowhere but in the page table.
 */
#pragma once

#include "core/mutex.h"
#include "core/upcall.h"
#include "mm/object.h"
#include "mm/pmap.h"
#include "mm/vma.h"

struct aspace {
    struct rwlock lock; /* vmas and everything below; faults and user copies read-lock it */
    struct vma_tree vmas;
    struct pmap pmap;
    s32 refs; /* threads that run in it, and /proc readers: atomic */
    /* fixed at exec, write-locked afterwards */
    uvaddr_t brk_start, brk;
    uvaddr_t mmap_top; /* mappings are placed downwards from here */
    uvaddr_t stack_top;
    uvaddr_t code_start, code_end, data_start, data_end;
    uvaddr_t arg_start, arg_end, env_start, env_end;
    uvaddr_t vdso;
    u64 auxv[2 * 24]; /* for /proc/PID/auxv */
    unsigned auxv_words;
    u64 pages_mapped, pages_committed, pages_locked; /* write lock */
    u64 peak_mapped;                                 /* resident peak: pmap.peak_resident */
    u32 lock_future;          /* VMA_LOCK_FLAGS of mappings to come: MCL_FUTURE; write lock */
    bool no_superpages;       /* PR_SET_THP_DISABLE; goes to children and through exec */
    u64 stack_limit;          /* bytes, from RLIMIT_STACK at exec and setrlimit */
    u64 as_limit, data_limit; /* bytes, RLIMIT_AS, RLIMIT_DATA */
};

struct aspace *aspace_create(void); /* one reference; NULL: out of memory */
static inline void aspace_get(struct aspace *as)
{
    atomic_add_relaxed(&as->refs, 1);
}
void aspace_put(struct aspace *as); /* the last one unmaps and frees all. => May sleep. */
/* Copy for fork: private memory copy-on-write. Returns 0, -ENOMEM. */
int aspace_fork(struct aspace *from, struct aspace **out);
/* Makes @as (NULL: the kernel's) the current one of this thread and loads it. */
void aspace_switch(struct aspace *as);
/* Scheduler: loads the page table for @next. => Preemption off. */
void aspace_load(struct aspace *next);

/* What to map. */
struct map_request {
    uvaddr_t addr;            /* hint, or exact with MAP_FIXED */
    u64 length;               /* bytes, rounded up */
    unsigned prot;            /* PROT_R | PROT_W | PROT_X */
    unsigned flags;           /* Linux's MAP_* */
    unsigned vma_flags;       /* VMA_* to add (stack, vdso) */
    struct vm_object *object; /* NULL: private anonymous */
    struct file *file;        /* for object->ops->file_get; may be NULL */
    u64 offset;               /* bytes, page aligned */
    unsigned max_prot;        /* what mprotect may ever give; 0: all */
};
/* mmap(2). Returns 0, -EINVAL, -ENOMEM, -EEXIST (MAP_FIXED_NOREPLACE), -EPERM. */
int aspace_map(struct aspace *as, const struct map_request *req, uvaddr_t *out);
/*
 * Maps @count wired frames of the kernel's own (the vDSO: code and data pages) at or near @hint
 * (0: anywhere): present at once, never faulted, never counted, not protectable; fork copies the
 * entries. Returns 0 and the address, -ENOMEM. => May sleep.
 */
int aspace_map_frames(struct aspace *as, uvaddr_t hint, const pfn_t *frames, unsigned count,
                      unsigned prot, unsigned vma_flags, uvaddr_t *out);
int aspace_unmap(struct aspace *as, uvaddr_t start, u64 length);
int aspace_protect(struct aspace *as, uvaddr_t start, u64 length, unsigned prot);
int aspace_remap(struct aspace *as, uvaddr_t old, u64 old_len, u64 new_len, unsigned flags,
                 uvaddr_t new_addr, uvaddr_t *out);
int aspace_sync(struct aspace *as, uvaddr_t start, u64 length, unsigned flags);
int aspace_advise(struct aspace *as, uvaddr_t start, u64 length, int advice);
int aspace_mincore(struct aspace *as, uvaddr_t start, u64 length, uvaddr_t vec);
/* Names private or shared anonymous memory; @name NULL: no name any more. 0, -EINVAL,
 * -ENOMEM (also for holes), -EBADF (pages of a file). */
int aspace_name(struct aspace *as, uvaddr_t start, u64 length, const char *name);
/*
 * mlock2 and munlock: the range gets the VMA_LOCK_FLAGS @lock, 0: none. Locked pages are faulted in
 * unless VMA_LOCKONFAULT. Returns 0, -EPERM (nothing may be locked), -ENOMEM (the limit, a hole, a
 * part that allows no access), -EINVAL, -EAGAIN (no memory), -ERESTARTNOINTR.
 */
int aspace_lock(struct aspace *as, uvaddr_t start, u64 length, u32 lock);
/* mlockall and munlockall: all that is there gets @lock if @present, what comes @future. */
int aspace_lock_all(struct aspace *as, bool present, u32 lock, u32 future);
/* brk(2): returns the break in force afterwards. */
uvaddr_t aspace_brk(struct aspace *as, uvaddr_t brk, u64 data_limit);

/*
 * The fault: makes @va accessible for @access or says why not. Returns as vm_fault_user().
 * => No locks held. May sleep.
 */
int vm_fault(struct aspace *as, uvaddr_t va, enum vm_access access);

/*
 * Unmaps pages [first, last] of @o, and the private copies made from them, from every address
 * space (truncation). => May sleep; takes aspace locks for reading.
 */
void aspace_unmap_object(struct vm_object *o, u64 first, u64 last);

/* Superpages (mm/super.c): some range of @v may get one. => Its address space locked. */
bool super_possible(const struct vma *v);
/* Gives back frames set aside for superpages and not used; how many, @want or more if possible.
 * => Any context but interrupts; only tries for locks of tables. */
u64 super_reclaim(u64 want);

/* Commit accounting (mm/commit.c), in pages. */
int commit_charge(u64 pages); /* 0, -ENOMEM */
void commit_uncharge(u64 pages);
u64 commit_limit(void), commit_used(void);
bool commit_is_strict(void); /* MAP_NORESERVE has no effect */

void aspace_init(void);                /* boot */
void aspace_verify(struct aspace *as); /* debug: vmas, tables, counts agree */
/* The same but for the address space's own counts. => aspace locked. */
void aspace_verify_locked(struct aspace *as);

/*
 * Calls @fn for each entry of the page table that is not empty, in address order, an upper entry
 * before what hangs below it (parked tables too): @level of the entry, the first address it
 * translates, the entry. A table that hangs in several address spaces is walked for each of them.
 * => aspace read-locked by the walk, a leaf table's lock held for its entries: @fn must not sleep.
 */
void aspace_walk(struct aspace *as, void (*fn)(void *arg, unsigned level, uvaddr_t va, pte_t pte),
                 void *arg);
/* The same for entries that translate part of [start, end). => aspace read-locked by the caller. */
void aspace_walk_locked(struct aspace *as, uvaddr_t start, uvaddr_t end,
                        void (*fn)(void *arg, unsigned level, uvaddr_t va, pte_t pte), void *arg);

/* Forgets that pages were used: those of anonymous mappings, those of mappings of objects. */
void aspace_clear_referenced(struct aspace *as, bool anon, bool objects);
/* The greatest resident set is counted anew, from what is resident now. */
void aspace_reset_peak(struct aspace *as);
