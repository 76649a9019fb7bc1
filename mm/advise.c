/* msync, madvise, mincore, and unmapping an object's pages from every address space. */
#include <linux/mman.h>

#include "core/errno.h"
#include "lib/string.h"
#include "mm/mm_priv.h"
#include "mm/usercopy.h"
#include "reclaim_priv.h"

/* ---- parts of a range, for what must not hold the lock ---- */

/* The part of one vma within a range. */
struct part {
    uvaddr_t start, end;
    struct vm_object *object; /* with a reference, or NULL */
    u64 offset;               /* of start in it */
    u32 flags, max_prot;
};

static u64 object_offset(const struct vma *v, uvaddr_t va)
{
    return v->offset + (va - v->start);
}

/* The first mapped part of [at, end); False: there is none. */
static bool part_get(struct aspace *as, uvaddr_t at, uvaddr_t end, struct part *p)
{
    READ_GUARD(&as->lock);
    const struct vma *v = at < end ? vma_find_next(&as->vmas, at) : NULL;
    if (!v || v->start >= end)
        return false;
    at = MAX(at, v->start);
    *p =
        (struct part){at, MIN(v->end, end), v->object, object_offset(v, at), v->flags, v->max_prot};
    if (p->object)
        p->object->ops->get(p->object);
    return true;
}

/* Calls @fn, without locks, for all that is mapped of [start, end), until it fails. -ENOMEM when
 * something is not. */
static int for_each_part(struct aspace *as, uvaddr_t start, uvaddr_t end,
                         int (*fn)(const struct part *p, unsigned arg), unsigned arg)
{
    struct part p;
    int hole = 0;
    for (; part_get(as, start, end, &p); start = p.end) {
        if (p.start > start)
            hole = -ENOMEM;
        int r = fn(&p, arg);
        if (p.object)
            p.object->ops->put(p.object);
        if (r < 0)
            return r;
    }
    return start < end ? -ENOMEM : hole;
}

/* ---- msync ---- */

static int sync_part(const struct part *p, unsigned flags)
{
    if ((flags & MS_INVALIDATE) && (p->flags & VMA_LOCKED))
        return -EBUSY;
    if (!(flags & MS_SYNC) || !p->object || !(p->flags & VMA_SHARED))
        return 0;
    return object_sync(p->object, p->offset, p->offset + (p->end - p->start), true);
}

int aspace_sync(struct aspace *as, uvaddr_t start, u64 length, unsigned flags)
{
    uvaddr_t end;
    if ((flags & ~(MS_ASYNC | MS_SYNC | MS_INVALIDATE)) ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)) || !IS_ALIGNED(start, PAGE_SIZE))
        return -EINVAL;
    if (check_range(start, length, &end) < 0)
        return -ENOMEM;
    return for_each_part(as, start, end, sync_part, flags);
}

/* ---- madvise ---- */

/* Drops the pages of the range: anonymous ones read as zero again, objects' ones come back from
 * their cache. */
static void drop_entries(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    struct tlb_batch batch;
    tlb_batch_init(&batch, &as->pmap);
    pmap_zap(&as->pmap, start, end, false, &batch);
    tlb_batch_finish(&batch);
}

/* Pages of files that nobody else maps, each with a reference. */
struct page_run {
    unsigned count;
    struct page *page[32];
};

static void collect_page(struct pte_ref *ref, uvaddr_t va, void *arg)
{
    struct page_run *run = arg;
    pte_t pte = pte_read(ref->pte);
    if (!pte_is_leaf(pte) || !pfn_has_page(pte_pfn(pte)))
        return;
    struct page *page = pfn_to_page(pte_pfn(pte));
    if (!page_flag(page, PG_LRU) || READ_ONCE(page->mapped) > 1)
        return;
    page_get(page);
    run->page[run->count++] = page;
}

/* Calls @fn for each page of files mapped in [start, end) and nowhere else. */
static void for_own_pages(struct aspace *as, uvaddr_t start, uvaddr_t end,
                          void (*fn)(struct page *page))
{
    struct page_run run;
    for (uvaddr_t next; start < end; start = next) {
        next = MIN(start + ARRAY_SIZE(run.page) * PAGE_SIZE, end);
        run.count = 0;
        pmap_for_each(&as->pmap, start, next, collect_page, &run);
        for (unsigned i = 0; i < run.count; i++) {
            fn(run.page[i]);
            page_put(run.page[i]);
        }
    }
}

/* Advice about the pages of one part of a vma. => aspace read-locked. */
static int advise_pages(const struct vma *v, uvaddr_t start, uvaddr_t end, int advice)
{
    struct vm_object *o = v->object;
    bool locked = v->flags & VMA_LOCKED;
    if (advice == MADV_WILLNEED) {
        if (o)
            object_readahead(o, object_offset(v, start) >> PAGE_SHIFT, (end - start) >> PAGE_SHIFT);
        return 0;
    }
    if ((v->flags & VMA_SPECIAL) || (locked && advice != MADV_DONTNEED_LOCKED) ||
        (advice == MADV_FREE && o))
        return -EINVAL;
    switch (advice) {
    case MADV_COLD:
        for_own_pages(v->aspace, start, end, lru_deactivate);
        return 0;
    case MADV_PAGEOUT:
        if (o && (v->flags & VMA_SHARED))
            (void)object_sync(o, object_offset(v, start), object_offset(v, start) + (end - start),
                              false);
        for_own_pages(v->aspace, start, end, reclaim_page);
        return 0;
    default: /* DONTNEED; FREE: see docs/decisions.md */
        drop_entries(v->aspace, start, end);
        return 0;
    }
}

/* => Locked; the tables of the range are the address space's own if pages are to be dropped. */
static int advise_locked(struct aspace *as, uvaddr_t start, uvaddr_t end, int advice)
{
    uvaddr_t at = start;
    int hole = 0;
    for (struct vma *v = vma_find_next(&as->vmas, start); v && v->start < end; v = vma_next(v)) {
        if (v->start > at)
            hole = -ENOMEM;
        int r = advise_pages(v, MAX(v->start, at), MIN(v->end, end), advice);
        if (r < 0)
            return r;
        at = v->end;
    }
    return at < end ? -ENOMEM : hole;
}

static int advise_range(struct aspace *as, uvaddr_t start, uvaddr_t end, int advice)
{
    bool drops = advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_FREE;
    {
        READ_GUARD(&as->lock);
        if (!drops || !pmap_shares(&as->pmap, start, end))
            return advise_locked(as, start, end, advice);
    }
    WRITE_GUARD(&as->lock);
    int r = pmap_own(&as->pmap, start, end);
    return r < 0 ? r : advise_locked(as, start, end, advice);
}

static int remove_part(const struct part *p, unsigned arg)
{
    if ((p->flags & VMA_LOCKED) || !p->object)
        return -EINVAL;
    if (!(p->flags & VMA_SHARED) || !(p->max_prot & PROT_W))
        return -EACCES;
    if (!p->object->ops->punch)
        return -EOPNOTSUPP;
    return p->object->ops->punch(p->object, p->offset, p->offset + (p->end - p->start));
}

/* What is kept in the vmas of a range. */
struct vma_change {
    int advice;
    u32 set, clear;
    struct vma_name *name; /* for CHANGE_NAME */
};
#define CHANGE_NAME (-1) /* in place of advice */

static const struct vma_change flag_advice[] = {
    {MADV_NORMAL, 0, VMA_SEQ | VMA_RAND, NULL},    {MADV_RANDOM, VMA_RAND, VMA_SEQ, NULL},
    {MADV_SEQUENTIAL, VMA_SEQ, VMA_RAND, NULL},    {MADV_DONTFORK, VMA_DONTFORK, 0, NULL},
    {MADV_DOFORK, 0, VMA_DONTFORK, NULL},          {MADV_WIPEONFORK, VMA_WIPEONFORK, 0, NULL},
    {MADV_KEEPONFORK, 0, VMA_WIPEONFORK, NULL},    {MADV_DONTDUMP, VMA_DONTDUMP, 0, NULL},
    {MADV_DODUMP, 0, VMA_DONTDUMP, NULL},          {MADV_HUGEPAGE, VMA_HUGE, VMA_NOHUGE, NULL},
    {MADV_NOHUGEPAGE, VMA_NOHUGE, VMA_HUGE, NULL},
};

static int check_change(const struct vma *v, const struct vma_change *c)
{
    switch (c->advice) {
    case CHANGE_NAME:
        return v->object && !object_is_anonymous(v->object) ? -EBADF : 0;
    case MADV_WIPEONFORK:
        return v->object || (v->flags & VMA_SPECIAL) ? -EINVAL : 0;
    case MADV_DOFORK:
    case MADV_DODUMP:
        return v->flags & VMA_SPECIAL ? -EINVAL : 0;
    default:
        return 0;
    }
}

static void apply_change(struct vma *v, const struct vma_change *c)
{
    vma_change_flags(v, c->set, c->clear);
    if (c->advice != CHANGE_NAME)
        return;
    if (c->name)
        atomic_add_relaxed(&c->name->refs, 1);
    vma_name_put(v->name);
    v->name = c->name;
}

/* Changes what is mapped of the range. -ENOMEM also when something is not. */
static int change_locked(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end,
                         const struct vma_change *c)
{
    int r = check_map_count(as, vma_cuts(as, start, end));
    struct vma *v;
    for (v = vma_find_next(&as->vmas, start); r == 0 && v && v->start < end; v = vma_next(v))
        r = check_change(v, c);
    if (r < 0)
        return r;
    r = range_is_mapped(as, start, end);
    vma_isolate(as, op, start, end);
    for (v = vma_find_next(&as->vmas, start); v && v->start < end; v = vma_next(v))
        apply_change(v, c);
    vma_join_range(as, op, start, end);
    return r;
}

static int change_range(struct aspace *as, uvaddr_t start, uvaddr_t end, const struct vma_change *c)
{
    struct map_op op;
    int r = map_op_begin(&op, 2);
    if (r < 0)
        return r;
    write_lock(&as->lock);
    r = change_locked(as, &op, start, end, c);
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    return r;
}

int aspace_name(struct aspace *as, uvaddr_t start, u64 length, const char *name)
{
    struct vma_change c = {.advice = CHANGE_NAME};
    uvaddr_t end;
    if (check_range(start, length, &end) < 0)
        return IS_ALIGNED(start, PAGE_SIZE) ? -ENOMEM : -EINVAL;
    if (start == end)
        return 0;
    if (name) {
        c.name = kmalloc(sizeof(*c.name), 0);
        if (!c.name)
            return -ENOMEM;
        c.name->refs = 1;
        str_copy(c.name->text, name, sizeof(c.name->text));
    }
    int r = change_range(as, start, end, &c);
    vma_name_put(c.name);
    return r;
}

/* MADV_POPULATE_*: faults the range in; errors stop it. */
static int advise_populate(struct aspace *as, uvaddr_t start, uvaddr_t end, enum vm_access access)
{
    for (uvaddr_t va = start; va < end; va += PAGE_SIZE) {
        int r = vm_fault(as, va, access);
        if (r < 0)
            return r == -EACCES ? -EINVAL : r == -EFAULT || r == -ENOMEM ? -ENOMEM : -EFAULT;
        if (signal_pending())
            return -EINTR;
    }
    return 0;
}

int aspace_advise(struct aspace *as, uvaddr_t start, u64 length, int advice)
{
    uvaddr_t end;
    if (check_range(start, length, &end) < 0)
        return IS_ALIGNED(start, PAGE_SIZE) ? -ENOMEM : -EINVAL;
    for (unsigned i = 0; i < ARRAY_SIZE(flag_advice); i++)
        if (flag_advice[i].advice == advice)
            return start < end ? change_range(as, start, end, &flag_advice[i]) : 0;
    switch (advice) {
    case MADV_POPULATE_READ:
        return advise_populate(as, start, end, VM_ACCESS_READ);
    case MADV_POPULATE_WRITE:
        return advise_populate(as, start, end, VM_ACCESS_WRITE);
    case MADV_REMOVE:
        return for_each_part(as, start, end, remove_part, 0);
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return advise_range(as, start, end, advice);
    default:
        return -EINVAL;
    }
}

/* ---- mincore ---- */

struct residency {
    u8 *map;
    uvaddr_t start;
};

static void note_resident(struct pte_ref *ref, uvaddr_t va, void *arg)
{
    struct residency *m = arg;
    m->map[(va - m->start) >> PAGE_SHIFT] = pte_present(pte_read(ref->pte));
}

/* Pages of objects count as resident when they are in the cache, mapped or not. */
static void note_cached(struct residency *m, const struct vma *v, uvaddr_t start, uvaddr_t end)
{
    for (uvaddr_t va = start; v->object && va < end; va += PAGE_SIZE) {
        struct page *p = object_find(v->object, (v->offset + (va - v->start)) >> PAGE_SHIFT);
        if (!p)
            continue;
        m->map[(va - m->start) >> PAGE_SHIFT] = page_flag(p, PG_UPTODATE);
        page_put(p);
    }
}

int aspace_mincore(struct aspace *as, uvaddr_t start, u64 length, uvaddr_t vec)
{
    uvaddr_t end;
    if (!IS_ALIGNED(start, PAGE_SIZE))
        return -EINVAL;
    if (check_range(start, length, &end) < 0)
        return -ENOMEM;
    u8 map[256];
    for (uvaddr_t at = start, next; at < end; at = next) {
        next = MIN(at + sizeof(map) * PAGE_SIZE, end);
        struct residency m = {map, at};
        __builtin_memset(map, 0, sizeof(map));
        read_lock(&as->lock);
        int r = range_is_mapped(as, at, next);
        for (struct vma *v = vma_find(&as->vmas, at); r == 0 && v && v->start < next;
             v = vma_next(v)) {
            uvaddr_t from = MAX(at, v->start), to = MIN(next, v->end);
            note_cached(&m, v, from, to);
            pmap_for_each(&as->pmap, from, to, note_resident, &m);
        }
        read_unlock(&as->lock);
        if (r == 0)
            r = copy_to_user(vec + ((at - start) >> PAGE_SHIFT), map, (next - at) >> PAGE_SHIFT);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- truncation ---- */

/* Next vma of @o over pages [first, last] that operation @seq has not done yet, with a reference to
 * its address space; the range to clear goes to *@start and *@end. */
static struct aspace *next_mapping(struct vm_object *o, u64 first, u64 last, u64 seq,
                                   uvaddr_t *start, uvaddr_t *end)
{
    SPIN_GUARD(&o->lock);
    struct vma *v;
    list_for_each_entry (v, &o->vmas, object_link) {
        u64 v_first = v->offset >> PAGE_SHIFT;
        u64 v_last = v_first + ((v->end - v->start) >> PAGE_SHIFT) - 1;
        if (v->unmap_seq == seq || v_first > last || v_last < first)
            continue;
        v->unmap_seq = seq;
        if (!ref_get_unless_zero(&v->aspace->refs))
            continue;
        *start = v->start + (MAX(first, v_first) - v_first) * PAGE_SIZE;
        *end = v->start + (MIN(last, v_last) - v_first + 1) * PAGE_SIZE;
        return v->aspace;
    }
    return NULL;
}

/* Clears the parts of [start, end) that (still) map pages [first, last] of @o. */
static void unmap_from(struct aspace *as, struct vm_object *o, u64 first, u64 last, uvaddr_t start,
                       uvaddr_t end)
{
    READ_GUARD(&as->lock);
    for (struct vma *v = vma_find_next(&as->vmas, start); v && v->start < end; v = vma_next(v)) {
        if (v->object != o)
            continue;
        u64 v_first = v->offset >> PAGE_SHIFT;
        uvaddr_t from = first > v_first ? v->start + (first - v_first) * PAGE_SIZE : v->start;
        uvaddr_t to = v->end;
        if (last - v_first < (v->end - v->start) >> PAGE_SHIFT)
            to = v->start + (last - v_first + 1) * PAGE_SIZE;
        if (from < to)
            drop_entries(as, from, to);
    }
}

void aspace_unmap_object(struct vm_object *o, u64 first, u64 last)
{
    static u64 sequence;
    u64 seq = atomic_add(&sequence, 1);
    struct aspace *as;
    uvaddr_t start, end;
    while ((as = next_mapping(o, first, last, seq, &start, &end))) {
        unmap_from(as, o, first, last, start, end);
        aspace_put(as);
    }
}
