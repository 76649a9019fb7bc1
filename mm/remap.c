/*
 * mremap: a mapping gets another size, and if it must, another place. Entries move, pages stay.
 *
 * With an old size of 0 a shared mapping is mapped a second time; with MREMAP_DONTUNMAP the old
 * mapping stays as well, but without its pages.
 */
#include <linux/mman.h>

#include "core/errno.h"
#include "mm/mm_priv.h"

struct remap {
    struct aspace *as;
    struct map_op op;
    uvaddr_t old;
    u64 old_len, new_len; /* page multiples */
    unsigned flags;
    uvaddr_t new_addr; /* MREMAP_FIXED: the place; MREMAP_DONTUNMAP: a hint */
};

/* The old mapping stays where it is. */
static bool keeps_old(const struct remap *r)
{
    return r->old_len == 0 || (r->flags & MREMAP_DONTUNMAP);
}

/* May the old range, which begins in @v, become new_len long? */
static int check_resize(const struct remap *r, const struct vma *v)
{
    if ((r->old_len == 0 && !(v->flags & VMA_SHARED)) ||
        ((r->flags & MREMAP_DONTUNMAP) && (v->flags & VMA_SPECIAL)))
        return -EINVAL;
    if (r->old_len > v->end - r->old)
        return -EFAULT;
    if (r->new_len == r->old_len)
        return 0;
    if (v->object && v->offset + (r->old - v->start) + r->new_len < v->offset)
        return -EINVAL;
    return v->flags & VMA_SPECIAL ? -EFAULT : 0;
}

/* Room behind @v for @grow more bytes, and @v ends where the old range ends. */
static bool can_grow_in_place(struct remap *r, struct vma *v, u64 grow)
{
    uvaddr_t end = r->old + r->old_len;
    return v->end == end && grow <= USER_TOP - end && vma_range_free(&r->as->vmas, end, end + grow);
}

/* The old mapping, cut out, goes with what is left in it. */
static void drop_old(struct remap *r, struct vma *v)
{
    struct aspace *as = r->as;
    struct tlb_batch batch;
    tlb_batch_init(&batch, &as->pmap);
    pmap_zap(&as->pmap, v->start, v->end, true, &batch);
    tlb_batch_finish(&batch);
    book_pages(as, v->flags, -vma_pages(v));
    vma_remove(&as->vmas, v);
    vma_discard(&r->op, v);
}

/* The old mapping, cut out and now empty, stays; it is not locked any more. */
static void keep_old(struct remap *r, struct vma *v)
{
    book_pages(r->as, v->flags & VMA_LOCKED, -vma_pages(v));
    vma_change_flags(v, 0, VMA_LOCK_FLAGS);
    book_pages(r->as, 0, vma_pages(v));
    vma_join(r->as, &r->op, v);
}

/* Moves [old, old + old_len), all of one vma, to the free range at @to. Cannot fail. */
static void move_vma(struct remap *r, uvaddr_t to)
{
    struct aspace *as = r->as;
    u64 keep = MIN(r->old_len, r->new_len);
    if (r->old_len)
        vma_isolate(as, &r->op, r->old, r->old + r->old_len);
    struct vma *v = vma_find(&as->vmas, r->old), *moved = vma_clone(&r->op, v);
    moved->start = to;
    moved->end = to + r->new_len;
    moved->offset += r->old - v->start;
    moved->unmap_seq = 0;
    book_pages(as, moved->flags, vma_pages(moved));
    if (keep) {
        pmap_move(&as->pmap, r->old, to, keep);
        pmap_flush(&as->pmap, r->old, r->old + keep);
    }
    if (!keeps_old(r))
        drop_old(r, v);
    else if (r->old_len)
        keep_old(r, v);
    vma_insert(&as->vmas, moved);
    vma_join(as, &r->op, moved);
}

/* To @to, of which @replaced pages are mapped. */
static int move_to(struct remap *r, struct vma *v, uvaddr_t to, u64 replaced)
{
    struct aspace *as = r->as;
    u64 keep = keeps_old(r) ? 0 : MIN(r->old_len, r->new_len);
    u64 more = (r->new_len - keep) >> PAGE_SHIFT, less = keeps_old(r) ? 0 : r->old_len - keep;
    bool account = v->flags & VMA_ACCOUNT;
    /* Two cuts at the old place, the new vma, a hole where it goes. */
    int e = check_map_count(as, 4);
    if (e == 0)
        e = pmap_own(&as->pmap, r->old, r->old + r->old_len);
    if (e == 0)
        e = pmap_own(&as->pmap, to, to + r->new_len);
    if (e == 0)
        e = pmap_prepare(&as->pmap, to, to + MIN(r->old_len, r->new_len));
    if (e == 0)
        e = admit_pages(as, v->flags, more, replaced);
    if (e < 0)
        return e;
    if (replaced) /* but for the tables, which are needed */
        (void)unmap_locked(as, &r->op, to, to + r->new_len, false);
    move_vma(r, to);
    if (account)
        commit_uncharge(less >> PAGE_SHIFT);
    return 0;
}

/* MREMAP_FIXED, MREMAP_DONTUNMAP. */
static int remap_elsewhere(struct remap *r, struct vma *v, uvaddr_t *out)
{
    struct aspace *as = r->as;
    uvaddr_t new_end;
    if (check_range(r->new_addr, r->new_len, &new_end) < 0 ||
        (r->new_addr < r->old + r->old_len && r->old < new_end))
        return -EINVAL;
    int e = check_resize(r, v);
    if (e == 0 && r->old == r->new_addr) /* nothing of it, to where it is */
        e = -EFAULT;
    if (e < 0)
        return e;
    *out = r->new_addr;
    if (r->flags & MREMAP_FIXED)
        return move_to(r, v, r->new_addr, mapped_pages(as, r->new_addr, new_end));
    e = find_free_range(as, r->new_addr, r->new_len, out);
    return e < 0 ? e : move_to(r, v, *out, 0);
}

static int grow(struct remap *r, struct vma *v, uvaddr_t *out)
{
    struct aspace *as = r->as;
    u64 more = r->new_len - r->old_len;
    int e = check_resize(r, v);
    if (e < 0)
        return e;
    if (can_grow_in_place(r, v, more)) {
        e = admit_pages(as, v->flags, more >> PAGE_SHIFT, 0);
        if (e < 0)
            return e;
        vma_set_bounds(&as->vmas, v, v->start, v->end + more);
        book_pages(as, v->flags, (s64)(more >> PAGE_SHIFT));
        vma_join(as, &r->op, v);
        return 0;
    }
    if (!(r->flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    e = find_free_range(as, 0, r->new_len, out);
    return e < 0 ? e : move_to(r, v, *out, 0);
}

static int remap_locked(struct remap *r, uvaddr_t *out)
{
    struct aspace *as = r->as;
    struct vma *v = vma_find(&as->vmas, r->old);
    if (!v)
        return -EFAULT;
    if (r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        return remap_elsewhere(r, v, out);
    *out = r->old;
    if (r->new_len > r->old_len)
        return grow(r, v, out);
    if (r->new_len == r->old_len)
        return 0;
    uvaddr_t new_end = r->old + r->new_len, old_end = r->old + r->old_len;
    int e = check_map_count(as, hole_adds(as, new_end, old_end));
    return e < 0 ? e : unmap_locked(as, &r->op, new_end, old_end, true);
}

int aspace_remap(struct aspace *as, uvaddr_t old, u64 old_len, u64 new_len, unsigned flags,
                 uvaddr_t new_addr, uvaddr_t *out)
{
    uvaddr_t end;
    if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) || new_len == 0 ||
        ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE)) ||
        ((flags & MREMAP_DONTUNMAP) && old_len != new_len) || !IS_ALIGNED(old, PAGE_SIZE))
        return -EINVAL;
    if (check_range(old, old_len, &end) < 0)
        return -EFAULT;
    if (new_len > USER_TOP)
        return flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) ? -EINVAL : -ENOMEM;
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
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&r.op);
    if (e == 0 && r.new_len > r.old_len)
        (void)populate_range(as, *out + r.old_len, *out + r.new_len, vm_lazy ? VMA_LOCKED : 0);
    return e;
}
