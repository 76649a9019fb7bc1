/*
 * Memory that stays resident: mlock, mlockall, MAP_LOCKED; and filling ranges ahead of their use.
 *
 * A vma that is VMA_LOCKED counts in as->pages_locked, against RLIMIT_MEMLOCK. Anonymous pages have
 * no place to be reclaimed to. Pages of objects are reclaimed from the page's end, where no address
 * space is known; so each object counts its locked vmas, and reclaim asks object_is_locked() before
 * it takes a mapped page (mm/reclaim.c). A page on which reclaim has decided already it holds
 * locked: populate_range() waits for that before it faults the page in.
 */
#include "core/errno.h"
#include "mm/mm_priv.h"
#include "object_priv.h"

bool object_is_locked(struct vm_object *o, u64 index)
{
    const struct vma *v;
    if (READ_ONCE(o->locked_vmas) == 0)
        return false;
    SPIN_GUARD(&o->lock);
    list_for_each_entry (v, &o->vmas, object_link) {
        u64 first = v->offset >> PAGE_SHIFT;
        if ((v->flags & VMA_LOCKED) && index >= first && index - first < (u64)vma_pages(v))
            return true;
    }
    return false;
}

/* ---- filling ---- */

/* The access that makes a page of @v what it should be, as far as it allows any. */
static enum vm_access access_to_fill(const struct vma *v)
{
    if ((v->prot & PROT_W) && !(v->flags & VMA_SHARED))
        return VM_ACCESS_WRITE;
    return v->prot & (PROT_R | PROT_W) ? VM_ACCESS_READ : VM_ACCESS_EXEC;
}

/* Waits for those who hold pages of [start, end) of @v, reclaim perhaps. */
static void wait_for_holders(const struct vma *v, uvaddr_t start, uvaddr_t end)
{
    u64 index = (v->offset + (start - v->start)) >> PAGE_SHIFT;
    u64 last = index + ((end - start) >> PAGE_SHIFT) - 1;
    struct page *page;
    for (; (page = object_next(v->object, &index, last)); index++) {
        page_wait_unlocked(page);
        page_put(page);
    }
}

struct fill {
    uvaddr_t start, end;
    enum vm_access access;
};

/* The first part of [f->start, f->end) that is to be filled. False: there is none. */
static bool next_to_fill(struct aspace *as, struct fill *f, u32 flags)
{
    READ_GUARD(&as->lock);
    for (struct vma *v = vma_find_next(&as->vmas, f->start); v && v->start < f->end;
         v = vma_next(v)) {
        if ((v->flags & flags) != flags || (v->flags & (VMA_SPECIAL | VMA_LOCKONFAULT)))
            continue;
        f->start = MAX(f->start, v->start);
        f->end = MIN(f->end, v->end);
        f->access = access_to_fill(v);
        if (v->object && (v->flags & VMA_LOCKED))
            wait_for_holders(v, f->start, f->end);
        return true;
    }
    return false;
}

int populate_range(struct aspace *as, uvaddr_t start, uvaddr_t end, u32 flags)
{
    int first_error = 0;
    struct fill f = {.start = start, .end = end};
    for (; f.start < end && next_to_fill(as, &f, flags); f.start = f.end, f.end = end) {
        int r = 0;
        for (uvaddr_t va = f.start; va < f.end && r == 0; va += PAGE_SIZE)
            r = signal_pending() ? -ERESTARTNOINTR : vm_fault(as, va, f.access);
        if (r == -ERESTARTNOINTR)
            return r;
        if (first_error == 0)
            first_error = r;
    }
    return first_error;
}

/* ---- locking ---- */

/* The vmas of [start, end), whose borders are vma borders, get @lock. => Write lock held. */
static void set_lock(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end, u32 lock)
{
    for (struct vma *v = vma_find_next(&as->vmas, start); v && v->start < end; v = vma_next(v)) {
        if (v->flags & VMA_SPECIAL)
            continue;
        book_pages(as, v->flags & VMA_LOCKED, -vma_pages(v));
        vma_change_flags(v, lock, VMA_LOCK_FLAGS);
        book_pages(as, v->flags & VMA_LOCKED, vma_pages(v));
    }
    vma_join_range(as, op, start, end);
}

/* Pages of [start, end) that are not locked yet. */
static u64 unlocked_pages(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    u64 pages = 0;
    for (struct vma *v = vma_find_next(&as->vmas, start); v && v->start < end; v = vma_next(v))
        if (!(v->flags & (VMA_LOCKED | VMA_SPECIAL)))
            pages += (MIN(v->end, end) - MAX(v->start, start)) >> PAGE_SHIFT;
    return pages;
}

static int lock_locked(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end, u32 lock)
{
    int r = range_is_mapped(as, start, end);
    if (r == 0)
        r = check_map_count(as, vma_cuts(as, start, end));
    if (r == 0 && lock &&
        as->pages_locked + unlocked_pages(as, start, end) > lock_limit_user() >> PAGE_SHIFT)
        r = -ENOMEM;
    if (r < 0)
        return r;
    vma_isolate(as, op, start, end);
    set_lock(as, op, start, end, lock);
    return 0;
}

int aspace_lock(struct aspace *as, uvaddr_t start, u64 length, u32 lock)
{
    if (lock && lock_limit_user() == 0)
        return -EPERM;
    u64 len = PAGE_UP(length + (start & ~PAGE_MASK));
    uvaddr_t end;
    start = PAGE_DOWN(start);
    if (start + len < start)
        return -EINVAL;
    if (check_range(start, len, &end) < 0)
        return -ENOMEM;
    if (start == end)
        return 0;
    struct map_op op;
    int r = map_op_begin(&op, 2);
    if (r < 0)
        return r;
    write_lock(&as->lock);
    r = lock_locked(as, &op, start, end, lock);
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    if (r < 0 || !lock)
        return r;
    r = populate_range(as, start, end, VMA_LOCKED);
    return r == 0 || r == -ERESTARTNOINTR ? r : r == -ENOMEM ? -EAGAIN : -ENOMEM;
}

int aspace_lock_all(struct aspace *as, bool present, u32 lock, u32 future)
{
    struct map_op op;
    int r = map_op_begin(&op, 0);
    if (r < 0)
        return r;
    if (lock && lock_limit_user() == 0)
        r = -EPERM;
    write_lock(&as->lock);
    if (r == 0 && lock && present && as->pages_mapped > lock_limit_user() >> PAGE_SHIFT)
        r = -ENOMEM;
    if (r == 0) {
        as->lock_future = future;
        if (present)
            set_lock(as, &op, 0, USER_TOP, lock);
    }
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    if (r < 0 || !present || !lock)
        return r;
    r = populate_range(as, 0, USER_TOP, VMA_LOCKED);
    return r == -ERESTARTNOINTR ? r : 0; /* what can be filled is */
}
