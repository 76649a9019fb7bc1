/* mremap: a mapping gets another size, and if it must, another place. Entries move, pages stay. */
#include <linux/mman.h>

#include "core/errno.h"
#include "mm/mm_priv.h"

struct remap {
    struct aspace *as;
    struct map_op op;
    uvaddr_t old;
    u64 old_len, new_len; /* page multiples */
    unsigned flags;
    uvaddr_t new_addr; /* MREMAP_FIXED */
};

/* Charges @pages more of @v's kind. */
static int charge_growth(struct aspace *as, const struct vma *v, u64 pages)
{
    if (as->pages_mapped + pages > as->as_limit >> PAGE_SHIFT)
        return -ENOMEM;
    if (!(v->flags & VMA_ACCOUNT))
        return 0;
    int r = commit_charge(pages);
    if (r == 0)
        as->pages_committed += pages;
    return r;
}

static void note_mapped(struct aspace *as, u64 pages)
{
    as->pages_mapped += pages;
    as->peak_mapped = MAX(as->peak_mapped, as->pages_mapped);
}

/* Room behind @v for @grow more bytes, and @v ends where the old range ends. */
static bool can_grow_in_place(struct remap *r, struct vma *v, u64 grow)
{
    uvaddr_t end = r->old + r->old_len;
    return v->end == end && grow <= USER_TOP - end && vma_range_free(&r->as->vmas, end, end + grow);
}

/* Moves [old, old + old_len), all of one vma, to @to, where it becomes new_len long. */
static int move_to(struct remap *r, struct vma *v, uvaddr_t to)
{
    struct aspace *as = r->as;
    u64 keep = MIN(r->old_len, r->new_len);
    u64 grow = r->new_len - keep;
    int e = charge_growth(as, v, grow >> PAGE_SHIFT);
    if (e < 0)
        return e;
    e = pmap_own(&as->pmap, r->old, r->old + r->old_len);
    if (e == 0)
        e = pmap_own(&as->pmap, to, to + r->new_len);
    if (e == 0)
        e = pmap_prepare(&as->pmap, to, to + keep);
    if (e < 0) {
        if (v->flags & VMA_ACCOUNT) {
            as->pages_committed -= grow >> PAGE_SHIFT;
            commit_uncharge(grow >> PAGE_SHIFT);
        }
        return e;
    }
    (void)unmap_locked(as, &r->op, to, to + r->new_len, false); /* MREMAP_FIXED: what was there */
    vma_isolate(as, &r->op, r->old, r->old + r->old_len);
    v = vma_find(&as->vmas, r->old);
    struct vma *moved = vma_clone(&r->op, v);
    moved->start = to;
    moved->end = to + r->new_len;
    moved->unmap_seq = 0;

    pmap_move(&as->pmap, r->old, to, keep);
    pmap_flush(&as->pmap, r->old, r->old + r->old_len);
    /* What moved is counted once: the old vma goes without its pages and their charge. */
    u64 pages = keep >> PAGE_SHIFT;
    note_mapped(as, r->new_len >> PAGE_SHIFT);
    if (v->flags & VMA_ACCOUNT)
        as->pages_committed += pages;
    struct tlb_batch batch;
    tlb_batch_init(&batch, &as->pmap);
    pmap_zap(&as->pmap, r->old, r->old + r->old_len, true, &batch);
    tlb_batch_finish(&batch);
    u64 old_pages = r->old_len >> PAGE_SHIFT;
    as->pages_mapped -= old_pages;
    if (v->flags & VMA_ACCOUNT) {
        as->pages_committed -= old_pages;
        commit_uncharge(old_pages - pages);
    }
    vma_remove(&as->vmas, v);
    vma_discard(&r->op, v);
    vma_insert(&as->vmas, moved);
    vma_join(as, &r->op, moved);
    return 0;
}

static int remap_fixed(struct remap *r, struct vma *v, uvaddr_t *out)
{
    uvaddr_t old_end = r->old + r->old_len, new_end;
    if (check_range(r->new_addr, r->new_len, &new_end) < 0 ||
        (r->new_addr < old_end && r->old < new_end))
        return -EINVAL;
    *out = r->new_addr;
    return move_to(r, v, r->new_addr);
}

static int remap_locked(struct remap *r, uvaddr_t *out)
{
    struct vma *v = vma_find(&r->as->vmas, r->old);
    if (!v || v->end < r->old + r->old_len || (v->flags & VMA_SPECIAL))
        return -EFAULT;
    if (r->flags & MREMAP_FIXED)
        return remap_fixed(r, v, out);
    *out = r->old;
    if (r->new_len == r->old_len)
        return 0;
    if (r->new_len < r->old_len)
        return unmap_locked(r->as, &r->op, r->old + r->new_len, r->old + r->old_len, true);
    u64 grow = r->new_len - r->old_len;
    if (can_grow_in_place(r, v, grow)) {
        int e = charge_growth(r->as, v, grow >> PAGE_SHIFT);
        if (e < 0)
            return e;
        vma_set_bounds(&r->as->vmas, v, v->start, v->end + grow);
        note_mapped(r->as, grow >> PAGE_SHIFT);
        vma_join(r->as, &r->op, v);
        return 0;
    }
    if (!(r->flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    int e = find_free_range(r->as, 0, r->new_len, out);
    return e < 0 ? e : move_to(r, v, *out);
}

int aspace_remap(struct aspace *as, uvaddr_t old, u64 old_len, u64 new_len, unsigned flags,
                 uvaddr_t new_addr, uvaddr_t *out)
{
    uvaddr_t end;
    if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) || new_len == 0 || old_len == 0 ||
        ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE)) ||
        check_range(old, old_len, &end) < 0)
        return -EINVAL;
    if (new_len > USER_TOP)
        return -ENOMEM;
    struct remap r = {.as = as,
                      .old = old,
                      .old_len = end - old,
                      .new_len = PAGE_UP(new_len),
                      .flags = flags,
                      .new_addr = new_addr};
    /* Two cuts at the old place, the vma at the new one, and two cuts there (MREMAP_FIXED). */
    int e = map_op_begin(&r.op, 5);
    if (e < 0)
        return e;
    write_lock(&as->lock);
    e = remap_locked(&r, out);
    write_unlock(&as->lock);
    map_op_end(&r.op);
    if (e == 0 && !vm_lazy && r.new_len > r.old_len)
        populate_range(as, *out + r.old_len, *out + r.new_len, true);
    return e;
}
