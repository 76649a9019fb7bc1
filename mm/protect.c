/* mprotect: new permissions for a range, in the vmas and in the entries that exist. */
#include <linux/mman.h>

#include "core/errno.h"
#include "mm/mm_priv.h"

/* Whether all of [start, end) may get @prot: 0, -ENOMEM: a hole, -EACCES. @charge: pages that
 * become accountable by it. */
static int check_permitted(struct aspace *as, uvaddr_t start, uvaddr_t end, unsigned prot,
                           u64 *charge)
{
    struct vma *v = vma_find(&as->vmas, start);
    uvaddr_t at = start;
    for (*charge = 0;; v = vma_next(v)) {
        if (!v || v->start > at)
            return -ENOMEM;
        if ((v->flags & VMA_SPECIAL) || (prot & ~v->max_prot))
            return -EACCES;
        if (!(v->flags & VMA_ACCOUNT) && vma_is_accountable(prot, v->flags))
            *charge += (MIN(v->end, end) - at) >> PAGE_SHIFT;
        at = v->end;
        if (at >= end)
            return 0;
    }
}

/* => Write lock held, two spares, nothing can fail any more. */
static void protect_locked(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end,
                           unsigned prot)
{
    struct vma *v = vma_find(&as->vmas, start);
    if (v->start != start || v->end != end) {
        vma_isolate(as, op, start, end);
        v = vma_find(&as->vmas, start);
    }
    for (;; v = vma_next(v)) {
        v->prot = prot;
        if (vma_is_accountable(prot, v->flags))
            v->flags |= VMA_ACCOUNT;
        if (v->end == end)
            break;
    }
    if (pmap_protect(&as->pmap, start, end, entry_prot(prot)))
        pmap_flush(&as->pmap, start, end);
    vma_join_range(as, op, start, end);
}

/* PROT_GROWSDOWN: the range begins where the stack that contains *@start does. */
static int stack_start(struct aspace *as, uvaddr_t *start)
{
    const struct vma *v = vma_find(&as->vmas, *start);
    if (!v)
        return -ENOMEM;
    *start = v->start;
    return v->flags & VMA_GROWSDOWN ? 0 : -EINVAL;
}

int aspace_protect(struct aspace *as, uvaddr_t start, u64 length, unsigned prot)
{
    uvaddr_t end;
    bool grows_down = prot & PROT_GROWSDOWN;
    prot &= PROT_R | PROT_W | PROT_X;
    int r = check_range(start, length, &end);
    if (r < 0)
        return IS_ALIGNED(start, PAGE_SIZE) ? -ENOMEM : r;
    if (start == end)
        return 0;
    struct map_op op;
    r = map_op_begin(&op, 2);
    if (r < 0)
        return r;
    write_lock(&as->lock);
    u64 charge = 0;
    if (grows_down)
        r = stack_start(as, &start);
    if (r == 0)
        r = check_permitted(as, start, end, prot, &charge);
    if (r == 0)
        r = check_map_count(as, vma_cuts(as, start, end));
    if (r == 0)
        r = pmap_own(&as->pmap, start, end);
    if (r == 0 && charge)
        r = admit_pages(as, VMA_ACCOUNT, charge, charge);
    if (r == 0) {
        as->pages_committed += charge;
        protect_locked(as, &op, start, end, prot);
    }
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    return r;
}
