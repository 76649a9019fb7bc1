/* mprotect: new permissions for a range, in the vmas and in the entries that exist. */
#include "core/errno.h"
#include "mm/mm_priv.h"

/* Pages of [start, end) that the change to @prot makes accountable. */
static u64 newly_accountable(struct aspace *as, uvaddr_t start, uvaddr_t end, unsigned prot)
{
    u64 pages = 0;
    for (struct vma *v = vma_find(&as->vmas, start); v && v->start < end; v = vma_next(v))
        if (!(v->flags & VMA_ACCOUNT) && vma_is_accountable(prot, v->flags))
            pages += (MIN(v->end, end) - MAX(v->start, start)) >> PAGE_SHIFT;
    return pages;
}

static int check_permitted(struct aspace *as, uvaddr_t start, uvaddr_t end, unsigned prot)
{
    for (struct vma *v = vma_find(&as->vmas, start); v && v->start < end; v = vma_next(v))
        if ((v->flags & VMA_SPECIAL) || (prot & ~v->max_prot))
            return -EACCES;
    return 0;
}

/*
 * Write permission is only ever taken away here. An entry gets it back by the next write fault,
 * which knows whether the page is shared copy-on-write or clean.
 */
static void protect_entry(struct pte_ref *ref, uvaddr_t va, void *arg)
{
    unsigned prot = entry_prot(*(unsigned *)arg);
    pte_t old = pte_read(ref->pte), new;
    if (!pte_is_leaf(old))
        return;
    do {
        new = pte_with_prot(old, prot & ~(pte_writable(old) ? 0 : PROT_W));
    } while (!pte_cas(ref->pte, &old, new));
}

int aspace_protect(struct aspace *as, uvaddr_t start, u64 length, unsigned prot)
{
    uvaddr_t end;
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
    r = range_is_mapped(as, start, end);
    if (r == 0)
        r = check_permitted(as, start, end, prot);
    if (r == 0)
        r = pmap_own(&as->pmap, start, end);
    if (r == 0) {
        charge = newly_accountable(as, start, end, prot);
        r = commit_charge(charge);
    }
    if (r == 0) {
        as->pages_committed += charge;
        vma_isolate(as, &op, start, end);
        for (struct vma *v = vma_find(&as->vmas, start); v && v->start < end; v = vma_next(v)) {
            v->prot = prot;
            if (vma_is_accountable(prot, v->flags))
                v->flags |= VMA_ACCOUNT;
        }
        pmap_for_each(&as->pmap, start, end, protect_entry, &prot);
        pmap_flush(&as->pmap, start, end);
        vma_join_range(as, &op, start, end);
    }
    write_unlock(&as->lock);
    map_op_end(&op);
    return r;
}
