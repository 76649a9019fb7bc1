/* msync, madvise, mincore, and unmapping an object's pages from every address space. */
#include <linux/mman.h>

#include "core/errno.h"
#include "mm/mm_priv.h"
#include "mm/usercopy.h"

/* ---- msync ---- */

int aspace_sync(struct aspace *as, uvaddr_t start, u64 length, unsigned flags)
{
    uvaddr_t end;
    if ((flags & ~(MS_ASYNC | MS_SYNC | MS_INVALIDATE)) ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)) || !IS_ALIGNED(start, PAGE_SIZE))
        return -EINVAL;
    if (check_range(start, length, &end) < 0)
        return -ENOMEM;
    int hole = 0;
    for (uvaddr_t at = start; at < end;) {
        read_lock(&as->lock);
        struct vma *v = vma_find_next(&as->vmas, at);
        if (!v || v->start >= end) {
            read_unlock(&as->lock);
            return -ENOMEM;
        }
        if (v->start > at)
            hole = -ENOMEM;
        u64 first = MAX(at, v->start);
        at = MIN(v->end, end);
        struct vm_object *o = v->flags & VMA_SHARED ? v->object : NULL;
        u64 offset = v->offset + (first - v->start);
        if (o)
            o->ops->get(o);
        read_unlock(&as->lock);
        if (!o)
            continue;
        int r =
            flags & MS_ASYNC ? 0 : object_sync(o, offset, offset + (at - first), flags & MS_SYNC);
        o->ops->put(o);
        if (r < 0)
            return r;
    }
    return hole;
}

/* ---- madvise ---- */

/* Drops the pages of the range: anonymous ones read as zero again, objects' ones come back from
 * their cache. */
static void advise_dontneed(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    struct tlb_batch batch;
    tlb_batch_init(&batch, &as->pmap);
    pmap_zap(&as->pmap, start, end, false, &batch);
    tlb_batch_finish(&batch);
}

/* => Locked, the tables of the range are the address space's own. */
static int dontneed_locked(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    int r = 0;
    uvaddr_t at = start;
    for (struct vma *v = vma_find_next(&as->vmas, start); v && v->start < end; v = vma_next(v)) {
        if (v->flags & (VMA_SPECIAL | VMA_LOCKED))
            return -EINVAL;
        if (v->start > at)
            r = -ENOMEM;
        advise_dontneed(as, MAX(v->start, at), MIN(v->end, end));
        at = v->end;
    }
    return at < end ? -ENOMEM : r;
}

static int dontneed_range(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    {
        READ_GUARD(&as->lock);
        if (!pmap_shares(&as->pmap, start, end))
            return dontneed_locked(as, start, end);
    }
    WRITE_GUARD(&as->lock);
    int r = pmap_own(&as->pmap, start, end);
    return r < 0 ? r : dontneed_locked(as, start, end);
}

/* Sets and clears vma flags over a range. */
static int advise_flags(struct aspace *as, uvaddr_t start, uvaddr_t end, u32 set, u32 clear)
{
    struct map_op op;
    int r = map_op_begin(&op, 2);
    if (r < 0)
        return r;
    write_lock(&as->lock);
    r = range_is_mapped(as, start, end);
    if (r == 0) {
        vma_isolate(as, &op, start, end);
        for (struct vma *v = vma_find(&as->vmas, start); v && v->start < end; v = vma_next(v))
            v->flags = (v->flags & ~clear) | set;
        vma_join_range(as, &op, start, end);
    }
    write_unlock(&as->lock);
    map_op_end(&op);
    return r;
}

/* WILLNEED and POPULATE_*: faults the range in; errors stop it. */
static int advise_populate(struct aspace *as, uvaddr_t start, uvaddr_t end, enum vm_access access)
{
    for (uvaddr_t va = start; va < end; va += PAGE_SIZE) {
        int r = vm_fault(as, va, access);
        if (r < 0)
            return r == -EACCES ? -EINVAL : r == -ENXIO ? -EFAULT : -ENOMEM;
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
    switch (advice) {
    case MADV_NORMAL:
        return advise_flags(as, start, end, 0, VMA_SEQ | VMA_RAND);
    case MADV_RANDOM:
        return advise_flags(as, start, end, VMA_RAND, VMA_SEQ);
    case MADV_SEQUENTIAL:
        return advise_flags(as, start, end, VMA_SEQ, VMA_RAND);
    case MADV_DONTFORK:
        return advise_flags(as, start, end, VMA_DONTFORK, 0);
    case MADV_DOFORK:
        return advise_flags(as, start, end, 0, VMA_DONTFORK);
    case MADV_HUGEPAGE:
        return advise_flags(as, start, end, VMA_HUGE, VMA_NOHUGE);
    case MADV_NOHUGEPAGE:
        return advise_flags(as, start, end, VMA_NOHUGE, VMA_HUGE);
    case MADV_DONTNEED:
        return dontneed_range(as, start, end);
    case MADV_POPULATE_READ:
        return advise_populate(as, start, end, VM_ACCESS_READ);
    case MADV_POPULATE_WRITE:
        return advise_populate(as, start, end, VM_ACCESS_WRITE);
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

int aspace_lock_range(struct aspace *as, uvaddr_t start, u64 length, bool lock, u64 limit)
{
    uvaddr_t end;
    length += start & ~PAGE_MASK;
    start = PAGE_DOWN(start);
    if (check_range(start, length, &end) < 0)
        return -EINVAL;
    if (start == end)
        return 0;
    if (lock && (end - start) > limit)
        return -ENOMEM;
    int r = advise_flags(as, start, end, lock ? VMA_LOCKED : 0, lock ? 0 : VMA_LOCKED);
    if (r == 0 && lock)
        populate_range(as, start, end, false);
    return r;
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
            advise_dontneed(as, from, to);
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
