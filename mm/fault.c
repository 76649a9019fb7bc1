/*
 * The page fault.
 *
 * Theory. The vma says what may be, the entry what is. A fault is the moment where the two are
 * brought together for one page, and every case is one row of this table; a combination that is no
 * row is refused.
 *
 *   vma                     entry           access       does                        function
 *   -----------------------------------------------------------------------------------------------
 *   none                    -               any          -EFAULT (or grows a stack)  grow_stack
 *   does not allow access   any             any          -EACCES                     vm_fault
 *   anonymous               empty           read, exec   maps the page of zeroes     fault_anon
 *   anonymous               empty           write        fresh zeroed page           fault_anon
 *   object, beyond its end  empty           any          -ENXIO (SIGBUS)             fault_object
 *   object, private         empty           read, exec   cached page, read-only,     fault_object
 *                                                        with cached neighbours
 *   object, private         empty           write        private copy                fault_object
 *   object, shared          empty           any          cached page                 fault_object
 *   any                     allows access   any          spurious: another CPU was   fault_present
 *                                                        first, or a stale TLB entry
 *   private                 read-only       write        reuses the page if it is    fault_cow
 *                                                        the last user's, else copies
 *   shared object           read-only       write        page becomes dirty          fault_dirty
 *   any                     less than vma   read, exec   permissions restored        fault_present
 *   any                     in a table      any          links or copies the table
 * fault_shared_table shared by fork               (mm/share.c), tries again
 *
 * Locks: aspace lock (read), then for pages of objects PG_BUSY, then the table's lock. PG_BUSY
 * keeps truncation and writeback away while a page of an object is being mapped. The state of the
 * entry is looked at again under the table's lock before anything is stored; whoever finds it
 * changed lets go and the access is simply tried again.
 *
 * Memory is first asked for without sleeping, under the table's lock. When there is none the lock
 * is dropped, the allocation is made with sleeping and reclaim, and the fault begins again with
 * that page in hand (struct fault, ->spare).
 *
 * Invariant used by writeback: an entry that lets a shared object's page be written exists only
 * while the page is PG_DIRTY.
 */
#include "core/errno.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "reclaim_priv.h"

/* Distance kept between a growing stack and the mapping below it (as Linux: 256 pages). */
#define STACK_GUARD (256 * PAGE_SIZE)

/* The fault needs memory and could not sleep for it: make some, begin again. */
#define FAULT_NEED_PAGE  1
#define FAULT_NEED_BLOCK 3 /* for a superpage (2 is PMAP_SHARED) */

struct fault {
    struct aspace *as;
    struct vma *vma;
    uvaddr_t va; /* page aligned */
    enum vm_access access;
    struct page *spare; /* allocated with sleeping, not yet used */
    struct page *block; /* the same, of the size of a superpage */
    bool no_block;      /* there was none: small pages will do */
    unsigned refills;   /* how often memory was made for it */
    bool mapped;        /* with its neighbours */
    bool dirtied;       /* a page of a file became dirty: the writer may have to wait */
};

/* A page for this fault, contents undefined unless @zero. NULL: out, for without sleeping. */
static struct page *take_page(struct fault *f, bool zero)
{
    struct page *page = f->spare;
    if (likely(!page))
        return page_alloc(0, PAGE_ANON, PA_NOWAIT | PA_USER | (zero ? PA_ZERO : PA_NOZERO));
    f->spare = NULL;
    if (zero)
        page_zero(page_to_virt(page));
    return page;
}

static pte_t user_leaf(struct page *page, unsigned prot, bool dirty)
{
    return pte_leaf(page_to_pfn(page), prot, PTE_F_USER | (dirty ? PTE_F_DIRTY : 0));
}

/* For a page that nobody asked for yet: its first use will show in the accessed bit. */
static pte_t unused_leaf(struct page *page, unsigned prot)
{
    return pte_leaf(page_to_pfn(page), prot, PTE_F_USER | PTE_F_OLD);
}

/* Maps @page, fresh and private, at the empty entry @ref. */
static void install_anon(struct fault *f, struct pte_ref *ref, struct page *page)
{
    rmap_add_first(page, ref->pte);
    count_resident(&f->as->pmap, ref->table, RESIDENT_ANON, 1);
    pmap_install(ref, user_leaf(page, vma_entry_prot(f->vma), true));
    promote_full(ref->table);
}

/* Anonymous memory that was never touched (or was dropped). => Table locked, entry empty. */
static int fault_anon(struct fault *f, struct pte_ref *ref)
{
    if (f->access != VM_ACCESS_WRITE) {
        pmap_install(ref, user_leaf(zero_page, vma_entry_prot(f->vma) & ~PROT_W, false));
        vm_count(fault_zero_page);
        return 0;
    }
    bool may_be_super = unlikely(ref->table->mapped == 0 || ref->table->reservation);
    if (may_be_super && super_wants_block(f->vma, ref->table, f->va) && !f->no_block) {
        if (!f->block)
            return FAULT_NEED_BLOCK;
        super_fill(&f->as->pmap, ref->table, f->block, vma_entry_prot(f->vma));
        f->block = NULL;
        return 0;
    }
    struct page *page = may_be_super ? super_take(f->vma, ref->table, f->va, PAGE_ANON) : NULL;
    if (!page && !(page = take_page(f, true)))
        return FAULT_NEED_PAGE;
    install_anon(f, ref, page);
    vm_count(fault_zero);
    return 0;
}

/* Replaces what a read-only private entry maps by @page. */
static void replace_entry(struct fault *f, struct pte_ref *ref, struct page *page)
{
    struct page *old = pfn_to_page(pte_pfn(pte_read(ref->pte)));
    struct pmap *pmap = &f->as->pmap;
    bool counted = old->state != PAGE_WIRED;
    if (counted) {
        rmap_remove(old, ref->pte);
        count_resident(pmap, ref->table, resident_kind(old), -1);
    }
    rmap_add_first(page, ref->pte);
    count_resident(pmap, ref->table, RESIDENT_ANON, 1);
    pte_write(ref->pte, user_leaf(page, vma_entry_prot(f->vma), true));
    pmap_flush(pmap, f->va, f->va + PAGE_SIZE);
    if (counted)
        page_put(old);
}

/*
 * A write to a private page that is mapped read-only. => Table locked.
 * One reference means that this entry is the only user: fork, which adds users, holds the aspace
 * lock for writing.
 */
static int fault_cow(struct fault *f, struct pte_ref *ref, pte_t pte)
{
    struct page *old = pfn_to_page(pte_pfn(pte));
    if (old->state == PAGE_ANON && READ_ONCE(old->refs) == 1) {
        pte_write(ref->pte, user_leaf(old, vma_entry_prot(f->vma), true));
        vm_count(fault_cow_reuse);
        return 0;
    }
    bool zero = old == zero_page;
    struct page *page =
        zero && ref->table->reservation ? super_take(f->vma, ref->table, f->va, PAGE_ANON) : NULL;
    if (!page && !(page = take_page(f, zero)))
        return FAULT_NEED_PAGE;
    if (zero) {
        vm_count(fault_zero);
    } else {
        page_copy(page_to_virt(page), page_to_virt(old));
        if (old->state == PAGE_ANON)
            vm_count(fault_cow_copy);
        else
            vm_count(fault_file_copy);
    }
    replace_entry(f, ref, page);
    if (zero)
        promote_full(ref->table);
    return 0;
}

/* The entry is there. => Table locked. Shared pages that become dirty are fault_dirty()'s. */
static int fault_present(struct fault *f, struct pte_ref *ref, pte_t pte)
{
    if (f->access == VM_ACCESS_WRITE && !pte_writable(pte))
        return fault_cow(f, ref, pte);
    if (!pte_allows(pte, f->access)) {
        unsigned prot = vma_entry_prot(f->vma) & ~(pte_writable(pte) ? 0 : PROT_W);
        pte_write(ref->pte, pte_with_prot(pte, prot));
    } else {
        vm_count(fault_spurious);
        /* Harts that fault to have A and D set (Svade) find them set now. */
        pte_t young = pte_mkyoung(pte);
        if (f->access == VM_ACCESS_WRITE)
            young = pte_mkdirty(young);
        while (!pte_cas(ref->pte, &pte, young) && pte_present(pte))
            young = pte_mkyoung(pte_mkdirty(pte));
    }
    preempt_disable();
    arch_tlb_flush_page((u16)f->as->pmap.asid, f->va);
    preempt_enable();
    return 0;
}

/* ---- pages of objects ---- */

static u64 object_index(const struct vma *v, uvaddr_t va)
{
    return (v->offset + (va - v->start)) >> PAGE_SHIFT;
}

/* Shared memory without a file behind it: its pages are never clean. */
static bool is_memory(const struct vma *v)
{
    return (v->flags & VMA_SHARED) && (v->object->flags & OBJECT_NO_WRITEBACK);
}

/* Maps @page of the vma's object at the empty entry @ref. => Page busy, table locked. */
static int install_object_page(struct fault *f, struct pte_ref *ref, struct page *page,
                               bool writable)
{
    if (rmap_add(page, ref->pte) < 0)
        return FAULT_NEED_PAGE;
    page_get(page);
    unsigned prot = vma_entry_prot(f->vma) & ~(writable ? 0 : PROT_W);
    count_resident(&f->as->pmap, ref->table, resident_kind(page), 1);
    pmap_install(ref, user_leaf(page, prot, writable));
    promote_full(ref->table);
    return 0;
}

/* Pages that map_run() handles at once. */
#define MAP_RUN 16

/*
 * Maps those of the busy @pages whose entries, all in one leaf table, are empty, handing the
 * caller's reference over to the entry. A page that was mapped is NULL in @pages afterwards.
 * => The table of @ref, which is for the vma's page @first, is locked. Returns how many.
 */
static unsigned install_run(struct fault *f, struct pte_ref *ref, u64 first, struct page **pages,
                            unsigned n)
{
    unsigned prot = vma_entry_prot(f->vma), mapped = 0;
    if (!is_memory(f->vma))
        prot &= ~PROT_W;
    for (unsigned i = 0; i < n; i++) {
        struct page *page = pages[i];
        pte_t *pte = ref->pte + (s64)(page->index - first);
        bool wanted = page->index == object_index(f->vma, f->va);
        if ((wanted && page_flag(page, PG_READAHEAD)) || !pte_none(pte_read(pte)) ||
            rmap_add(page, pte) < 0)
            continue;
        pte_write(pte, wanted ? user_leaf(page, prot, false) : unused_leaf(page, prot));
        if (wanted) {
            lru_touch(page);
            vm_count(fault_file);
            f->mapped = true;
        }
        pages[i] = NULL;
        mapped++;
    }
    ref->table->mapped += mapped;
    promote_full(ref->table);
    return mapped;
}

/* Maps what is cached of [start, end), at most MAP_RUN pages under one leaf table. */
static void map_run(struct fault *f, uvaddr_t start, uvaddr_t end)
{
    struct vm_object *o = f->vma->object;
    struct page *found[MAP_RUN], *busy[MAP_RUN], *unused[MAP_RUN];
    u64 first = object_index(f->vma, start);
    unsigned n = object_find_range(o, first, (end - start) >> PAGE_SHIFT, found), locked = 0;
    for (unsigned i = 0; i < n; i++) {
        if (page_trylock(found[i])) {
            if (likely(found[i]->object == o)) {
                busy[locked++] = found[i];
                continue;
            }
            page_unlock(found[i]);
        }
        page_put(found[i]);
    }
    if (locked == 0)
        return;
    memcpy(unused, busy, locked * sizeof(busy[0]));
    struct pte_ref ref;
    if (pmap_lock(&f->as->pmap, start, PMAP_CREATE, &ref) == 0) {
        bool had = f->mapped;
        unsigned mapped = install_run(f, &ref, first, unused, locked);
        count_resident(&f->as->pmap, ref.table, resident_kind(busy[0]), mapped);
        pmap_unlock(&ref);
        vm_count_add(fault_around, mapped - (f->mapped && !had));
    }
    for (unsigned i = 0; i < locked; i++) {
        page_unlock(busy[i]);
        if (unused[i])
            page_put(unused[i]);
    }
}

/* Maps cached neighbours of @va that share its leaf table: cheaper now than a fault each. Those
 * that were mapped before and not used (PG_UNUSED) are left out. The page at @va is one of them if
 * nothing else has to be done about it: f->mapped. */
static void map_around(struct fault *f)
{
    struct vma *v = f->vma;
    u64 window = (u64)vm_fault_around << PAGE_SHIFT;
    uvaddr_t start = MAX(ALIGN_DOWN(f->va, PT_SPAN(1)), v->start);
    uvaddr_t end = MIN(ALIGN_DOWN(f->va, PT_SPAN(1)) + PT_SPAN(1), v->end);
    start = MAX(start, f->va - f->va % window);
    end = MIN(end, start + window);
    for (uvaddr_t va = start; va < end; va += MAP_RUN * PAGE_SIZE)
        map_run(f, va, MIN(va + MAP_RUN * PAGE_SIZE, end));
}

/* Private write: maps a copy of the busy @page. */
static int map_private_copy(struct fault *f, struct page *page)
{
    struct pte_ref ref;
    int r = pmap_lock(&f->as->pmap, f->va, PMAP_CREATE, &ref);
    if (r)
        return r;
    if (pte_none(pte_read(ref.pte))) {
        struct page *copy = take_page(f, false);
        if (copy) {
            page_copy(page_to_virt(copy), page_to_virt(page));
            install_anon(f, &ref, copy);
            vm_count(fault_file_copy);
        } else {
            r = FAULT_NEED_PAGE;
        }
    }
    pmap_unlock(&ref);
    return r;
}

/* Maps the busy @page itself; @writable: shared, and already marked dirty. */
static int map_object_page(struct fault *f, struct page *page, bool writable)
{
    struct pte_ref ref;
    int r = pmap_lock(&f->as->pmap, f->va, PMAP_CREATE, &ref);
    if (r)
        return r;
    pte_t pte = pte_read(ref.pte);
    if (pte_none(pte)) {
        r = install_object_page(f, &ref, page, writable);
        if (r == 0 && f->vma->flags & VMA_SHARED)
            vm_count(fault_shared);
        else if (r == 0)
            vm_count(fault_file);
    } else if (writable && pte_is_leaf(pte) && pte_pfn(pte).n == page_to_pfn(page).n) {
        pte_write(ref.pte, user_leaf(page, vma_entry_prot(f->vma), true));
        arch_tlb_flush_page((u16)f->as->pmap.asid, f->va);
    }
    pmap_unlock(&ref);
    return r;
}

/* A cached page of the vma's object, in hand and busy: maps it as the vma and the access say. */
static int map_busy_page(struct fault *f, struct page *page)
{
    struct vma *v = f->vma;
    bool write = f->access == VM_ACCESS_WRITE;
    if (!(v->flags & VMA_SHARED))
        return write ? map_private_copy(f, page) : map_object_page(f, page, false);
    bool writable = false;
    if ((v->prot & PROT_W) && (write || is_memory(v))) {
        object_mark_dirty(v->object, page);
        f->dirtied = true;
        vm_count(fault_file_dirty);
        writable = true;
    }
    return map_object_page(f, page, writable);
}

/*
 * A page of the vma's object, in hand and busy. The object's storage for it is reserved only now
 * that its contents are here: the other way round a page read afterwards would show what a freshly
 * allocated block happened to hold.
 */
static int fault_busy_page(struct fault *f, struct page *page, u64 index)
{
    struct vm_object *o = f->vma->object;
    if (page->object != o || !page_flag(page, PG_UPTODATE))
        return 0; /* truncated meanwhile: the access is tried again */
    if (f->access == VM_ACCESS_WRITE && (f->vma->flags & VMA_SHARED) && o->ops->reserve) {
        u64 inside = READ_ONCE(o->size) - index * PAGE_SIZE;
        int r = o->ops->reserve(o, index, 0, MIN(inside, PAGE_SIZE));
        if (r < 0)
            return r == -ENOMEM ? r : -EIO;
    }
    return map_busy_page(f, page);
}

/*
 * Shared memory: a page that is missing comes from the place reserved for it, so that a superpage
 * can follow. 0, also when it comes from elsewhere; PMAP_SHARED, -ENOMEM.
 */
static int offer_place(struct fault *f, u64 index)
{
    struct page *page = object_find(f->vma->object, index);
    if (page) {
        page_put(page);
        return 0;
    }
    struct pte_ref ref;
    int r = pmap_lock(&f->as->pmap, f->va, PMAP_CREATE, &ref);
    if (r)
        return r;
    page = super_take(f->vma, ref.table, f->va, PAGE_FILE);
    pmap_unlock(&ref);
    if (page)
        object_offer(f->vma->object, index, page);
    return 0;
}

/* An access to a page of an object that is not mapped, or mapped read-only and shared. */
static int fault_object(struct fault *f)
{
    struct vma *v = f->vma;
    struct vm_object *o = v->object;
    u64 index = object_index(v, f->va);
    if (index >= DIV_UP(READ_ONCE(o->size), PAGE_SIZE))
        return -ENXIO;
    int r = is_memory(v) && super_eligible(v, f->va) ? offer_place(f, index) : 0;
    if (r)
        return r;
    bool around = f->access != VM_ACCESS_WRITE && vm_fault_around > 1 && !(v->flags & VMA_RAND);
    if (around && !(v->flags & VMA_SHARED)) {
        map_around(f);
        if (f->mapped)
            return 0;
    }
    struct readahead ra;
    readahead_init(&ra);
    struct page *page;
    r = object_get_page(o, index, v->flags & VMA_RAND ? NULL : &ra, &page);
    if (r < 0)
        return r;
    page_lock(page);
    r = fault_busy_page(f, page, index);
    page_unlock(page);
    page_put(page);
    if (r == 0 && around)
        map_around(f);
    return r;
}

/* ---- the fault itself ---- */

static bool vma_permits(const struct vma *v, enum vm_access access)
{
    switch (access) {
    case VM_ACCESS_WRITE:
        return v->prot & PROT_W;
    case VM_ACCESS_EXEC:
        return v->prot & PROT_X;
    default:
        /* The machine knows no write without read. */
        return v->prot & (PROT_R | PROT_W);
    }
}

/* The entry's case. => aspace lock held for reading. */
static int fault_entry(struct fault *f)
{
    struct vma *v = f->vma;
    struct pte_ref ref;
    int r = pmap_lock(&f->as->pmap, f->va, v->object ? PMAP_CHANGE : PMAP_CREATE, &ref);
    if (r == -ENOENT)
        return fault_object(f);
    if (r)
        return r;
    pte_t pte = pte_read(ref.pte);
    bool none = pte_none(pte);
    bool dirtying =
        !none && f->access == VM_ACCESS_WRITE && !pte_writable(pte) && (v->flags & VMA_SHARED);
    if ((none && v->object) || dirtying) {
        pmap_unlock(&ref);
        return v->flags & VMA_SPECIAL ? -ENXIO : fault_object(f);
    }
    if (none)
        r = v->flags & VMA_SPECIAL ? -ENXIO : fault_anon(f, &ref);
    else
        r = fault_present(f, &ref, pte);
    pmap_unlock(&ref);
    return r;
}

/* What a growing stack's next lower neighbour leaves room for. */
static bool stack_may_grow_to(struct aspace *as, struct vma *stack, uvaddr_t va)
{
    if (stack->end - va > as->stack_limit)
        return false;
    struct vma *below = vma_prev(stack);
    return va >= STACK_GUARD && (!below || below->prot == 0 || below->end + STACK_GUARD <= va);
}

/* No vma at @va: if a stack begins above, extends it down to @va. 0: try again. */
static int grow_stack(struct aspace *as, uvaddr_t va)
{
    WRITE_GUARD(&as->lock);
    struct vma *v = vma_find_next(&as->vmas, va);
    if (v && v->start <= va)
        return 0;
    if (!v || !(v->flags & VMA_GROWSDOWN) || !stack_may_grow_to(as, v, va))
        return -EFAULT;
    u64 pages = (v->start - va) >> PAGE_SHIFT;
    if (admit_pages(as, v->flags, pages, 0) < 0)
        return -EFAULT;
    vma_set_bounds(&as->vmas, v, va, v->end);
    book_pages(as, v->flags, (s64)pages);
    vm_count(fault_stack);
    return 0;
}

/* The leaf table is shared since a fork: links it, or makes it this address space's own. */
static int fault_shared_table(struct fault *f)
{
    WRITE_GUARD(&f->as->lock);
    int r = pmap_resolve(&f->as->pmap, f->va, f->access);
    return r == -ENOMEM ? FAULT_NEED_PAGE : r;
}

/* One attempt. FAULT_NEED_PAGE and -EAGAIN: again. */
static int fault_once(struct fault *f)
{
    read_lock(&f->as->lock);
    f->vma = vma_find(&f->as->vmas, f->va);
    int r;
    if (!f->vma) {
        read_unlock(&f->as->lock);
        r = grow_stack(f->as, f->va);
        return r == 0 ? -EAGAIN : r;
    }
    r = vma_permits(f->vma, f->access) ? fault_entry(f) : -EACCES;
    read_unlock(&f->as->lock);
    return r == PMAP_SHARED ? fault_shared_table(f) : r;
}

/* Makes memory for a fault that could not go on without. -EAGAIN, or -ENOMEM when there is none. */
static int refill(struct fault *f)
{
    if (f->refills++ == 16)
        return -ENOMEM;
    if (f->spare)
        reclaim_pages(16);
    else
        f->spare = page_alloc(0, PAGE_ANON, PA_USER | PA_NOZERO);
    return f->spare ? -EAGAIN : -ENOMEM;
}

/* Makes a block for a superpage, or notes that there is none. */
static int refill_block(struct fault *f)
{
    f->block = super_block_alloc();
    f->no_block = !f->block;
    return -EAGAIN;
}

int vm_fault(struct aspace *as, uvaddr_t va, enum vm_access access)
{
    vm_count(pgfault);
    if (va >= USER_TOP)
        return -EFAULT;
    struct fault f = {.as = as, .va = PAGE_DOWN(va), .access = access};
    struct thread *self = thread_self();
    u64 awaited = self->pages_awaited;
    int r;
    do {
        r = fault_once(&f);
        if (unlikely(r == FAULT_NEED_PAGE))
            r = refill(&f);
        else if (unlikely(r == FAULT_NEED_BLOCK))
            r = refill_block(&f);
    } while (r == -EAGAIN);
    if (likely(self->pages_awaited == awaited)) {
        self->faults_minor++;
    } else {
        self->faults_major++;
        vm_count(pgmajfault);
    }
    if (unlikely(f.dirtied))
        writeback_balance();
    if (unlikely(f.spare))
        page_free(f.spare, 0);
    if (unlikely(f.block))
        super_block_free(f.block);
    return r;
}

int vm_fault_user(uvaddr_t va, enum vm_access access)
{
    return vm_fault(thread_self()->aspace, va, access);
}
