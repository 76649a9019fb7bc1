/*
 * Mapping and unmapping: what mmap, munmap and brk do to the vmas of an address space.
 *
 * Every change has three parts. Before the lock: allocate what it may need (struct map_op). Under
 * the write lock: check everything, charge the commit limit, then change; from the first visible
 * change on nothing can fail. After the lock: release discarded vmas, whose references may be the
 * last to a file and so take inode locks, which come before the aspace lock.
 */
#include <linux/mman.h>

#include "core/errno.h"
#include "lib/string.h"
#include "mm/mm_priv.h"

/* Below this nothing is placed unless asked for by MAP_FIXED, so that NULL stays a bad pointer. */
#define MMAP_MIN 0x10000UL

static int vm_max_map_count = 65530; /* Linux's */
PARAM_NUMBER(vm_max_map_count, "vm.max_map_count", 0, INT32_MAX, true,
             "mappings that one address space may have");

static struct kmem_cache *vma_cache;

void map_init(void)
{
    vma_cache = kmem_cache_create("vma", sizeof(struct vma), 0);
}

int map_op_begin(struct map_op *op, unsigned spares)
{
    op->spares = 0;
    list_init(&op->dead);
    while (op->spares < spares) {
        struct vma *v = kmem_cache_alloc(vma_cache, 0);
        if (!v) {
            map_op_end(op);
            return -ENOMEM;
        }
        op->spare[op->spares++] = v;
    }
    return 0;
}

void map_op_end(struct map_op *op)
{
    while (op->spares > 0)
        kmem_cache_free(vma_cache, op->spare[--op->spares]);
    struct vma *v, *tmp;
    list_for_each_entry_safe (v, tmp, &op->dead, object_link) {
        list_remove(&v->object_link);
        if (v->file)
            v->object->ops->file_put(v->file);
        if (v->object)
            v->object->ops->put(v->object);
        vma_name_put(v->name);
        kmem_cache_free(vma_cache, v);
    }
}

void vma_name_put(struct vma_name *name)
{
    if (name && atomic_sub(&name->refs, 1) == 0)
        kfree(name);
}

struct vma *map_op_take(struct map_op *op)
{
    assert(op->spares > 0);
    return op->spare[--op->spares];
}

void vma_attach(struct vma *v)
{
    list_init(&v->object_link);
    if (v->name)
        atomic_add_relaxed(&v->name->refs, 1);
    if (!v->object)
        return;
    v->object->ops->get(v->object);
    if (v->file)
        v->object->ops->file_get(v->file);
    if (vma_may_write_object(v)) /* whoever attaches it has such a mapping, or asked */
        atomic_add_relaxed(&v->object->writers, 1);
    SPIN_GUARD(&v->object->lock);
    list_push_back(&v->object->vmas, &v->object_link);
    v->object->locked_vmas += v->flags & VMA_LOCKED ? 1 : 0;
}

void vma_discard(struct map_op *op, struct vma *v)
{
    if (v->object) {
        if (vma_may_write_object(v))
            object_writer_gone(v->object);
        SPIN_GUARD(&v->object->lock);
        list_remove(&v->object_link);
        v->object->locked_vmas -= v->flags & VMA_LOCKED ? 1 : 0;
    }
    list_push_back(&op->dead, &v->object_link);
}

void vma_change_flags(struct vma *v, u32 set, u32 clear)
{
    u32 flags = (v->flags & ~clear) | set;
    if (v->object && ((v->flags ^ flags) & VMA_LOCKED)) {
        SPIN_GUARD(&v->object->lock);
        v->object->locked_vmas += flags & VMA_LOCKED ? 1 : -1;
    }
    v->flags = flags;
}

struct vma *vma_clone(struct map_op *op, const struct vma *from)
{
    struct vma *v = map_op_take(op);
    *v = *from;
    vma_attach(v);
    return v;
}

void vma_isolate(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end)
{
    uvaddr_t border[2] = {start, end};
    for (unsigned i = 0; i < 2; i++) {
        struct vma *v = vma_find(&as->vmas, border[i]);
        if (v && v->start < border[i])
            vma_split(&as->vmas, v, border[i], vma_clone(op, v));
    }
}

/* Lets @v swallow its right neighbour @next. A truncation in progress that has seen only one of the
 * two will see what they become. */
static void vma_swallow(struct aspace *as, struct map_op *op, struct vma *v, struct vma *next)
{
    uvaddr_t end = next->end;
    vma_remove(&as->vmas, next);
    if (v->object)
        spin_lock(&v->object->lock);
    vma_set_bounds(&as->vmas, v, v->start, end);
    v->unmap_seq = MIN(v->unmap_seq, next->unmap_seq);
    if (v->object)
        spin_unlock(&v->object->lock);
    vma_discard(op, next);
}

struct vma *vma_join(struct aspace *as, struct map_op *op, struct vma *v)
{
    struct vma *next = vma_next(v);
    if (next && vma_can_merge(v, next))
        vma_swallow(as, op, v, next);
    struct vma *prev = vma_prev(v);
    if (prev && vma_can_merge(prev, v)) {
        vma_swallow(as, op, prev, v);
        return prev;
    }
    return v;
}

void vma_join_range(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end)
{
    struct vma *v = vma_find_next(&as->vmas, start), *next, *prev = v ? vma_prev(v) : NULL;
    if (prev)
        v = prev;
    while (v && (next = vma_next(v)) && next->start <= end) {
        if (vma_can_merge(v, next))
            vma_swallow(as, op, v, next);
        else
            v = next;
    }
}

int check_map_count(struct aspace *as, unsigned more)
{
    return more && as->vmas.count + more > (u64)READ_ONCE(vm_max_map_count) ? -ENOMEM : 0;
}

unsigned vma_cuts(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    const struct vma *first = vma_find(&as->vmas, start), *last = vma_find(&as->vmas, end);
    return (first && first->start < start) + (last && last->start < end);
}

unsigned hole_adds(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    const struct vma *v = vma_find(&as->vmas, start);
    return v && v->start < start && end < v->end;
}

int check_range(uvaddr_t start, u64 len, uvaddr_t *end)
{
    if (!IS_ALIGNED(start, PAGE_SIZE) || start > USER_TOP || len > USER_TOP)
        return -EINVAL;
    *end = start + PAGE_UP(len);
    return *end > USER_TOP ? -EINVAL : 0;
}

int range_is_mapped(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    for (uvaddr_t at = start; at < end;) {
        struct vma *v = vma_find(&as->vmas, at);
        if (!v)
            return -ENOMEM;
        at = v->end;
    }
    return 0;
}

/* Gives @v another first address. Truncation looks for mappings under the object's lock alone: it
 * sees start and offset agree. */
static void vma_move_start(struct aspace *as, struct vma *v, uvaddr_t start)
{
    struct vm_object *o = v->object;
    if (o)
        spin_lock(&o->lock);
    if (o)
        v->offset += start - v->start;
    vma_set_bounds(&as->vmas, v, start, v->end);
    if (o)
        spin_unlock(&o->lock);
}

int unmap_locked(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end,
                 bool free_tables)
{
    struct vma *v = vma_find_next(&as->vmas, start);
    if (!v || v->start >= end)
        return 0;
    int r = pmap_own_borders(&as->pmap, start, end);
    if (r < 0)
        return r;
    if (v->start < start && v->end > end)
        vma_split(&as->vmas, v, end, vma_clone(op, v));

    struct tlb_batch batch;
    tlb_batch_init(&batch, &as->pmap);
    pmap_zap(&as->pmap, start, end, free_tables, &batch);
    tlb_batch_finish(&batch);

    u64 committed = as->pages_committed;
    v = vma_find_next(&as->vmas, start);
    while (v && v->start < end) {
        struct vma *next = v->end < end ? vma_next(v) : NULL;
        uvaddr_t from = MAX(v->start, start), to = MIN(v->end, end);
        book_pages(as, v->flags, -(s64)((to - from) >> PAGE_SHIFT));
        if (v->start < from) {
            vma_set_bounds(&as->vmas, v, v->start, from);
        } else if (to < v->end) {
            vma_move_start(as, v, to);
        } else {
            vma_remove(&as->vmas, v);
            vma_discard(op, v);
        }
        v = next;
    }
    commit_uncharge(committed - as->pages_committed);
    return 0;
}

int aspace_unmap(struct aspace *as, uvaddr_t start, u64 length)
{
    uvaddr_t end;
    int r = check_range(start, length, &end);
    if (r < 0 || length == 0)
        return -EINVAL;
    struct map_op op;
    r = map_op_begin(&op, 1);
    if (r < 0)
        return r;
    write_lock(&as->lock);
    r = check_map_count(as, hole_adds(as, start, end));
    if (r == 0)
        r = unmap_locked(as, &op, start, end, true);
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    return r;
}

int find_free_range(struct aspace *as, uvaddr_t hint, u64 len, uvaddr_t *out)
{
    hint = PAGE_DOWN(hint);
    if (hint >= MMAP_MIN && hint < USER_TOP && len <= USER_TOP - hint &&
        vma_range_free(&as->vmas, hint, hint + len)) {
        *out = hint;
        return 0;
    }
    if (vma_find_gap_down(&as->vmas, MMAP_MIN, as->mmap_top, len, out) == 0)
        return 0;
    return vma_find_gap_up(&as->vmas, MMAP_MIN, USER_TOP, len, out);
}

/* Where the mapping goes. => Write lock held. */
static int choose_address(struct aspace *as, const struct map_request *req, u64 len, uvaddr_t *out)
{
    if (!(req->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
        return find_free_range(as, req->addr, len, out);
    if (!IS_ALIGNED(req->addr, PAGE_SIZE))
        return -EINVAL;
    if (req->addr > USER_TOP - len)
        return -ENOMEM;
    if ((req->flags & MAP_FIXED_NOREPLACE) &&
        !vma_range_free(&as->vmas, req->addr, req->addr + len))
        return -EEXIST;
    *out = req->addr;
    return 0;
}

static unsigned vma_flags_of(const struct aspace *as, const struct map_request *req)
{
    unsigned flags = req->vma_flags;
    if (!(flags & VMA_SPECIAL))
        flags |= as->lock_future;
    if ((req->flags & MAP_TYPE) != MAP_PRIVATE)
        flags |= VMA_SHARED;
    if (req->flags & MAP_GROWSDOWN)
        flags |= VMA_GROWSDOWN;
    if ((req->flags & MAP_NORESERVE) && !commit_is_strict())
        flags |= VMA_NORESERVE;
    if (req->flags & MAP_LOCKED)
        flags |= VMA_LOCKED;
    if (req->flags & MAP_STACK) /* as Linux since 6.7: of a stack only the top is used, mostly */
        flags |= VMA_NOHUGE;
    if (vma_is_accountable(req->prot, flags))
        flags |= VMA_ACCOUNT;
    return flags;
}

u64 mapped_pages(struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    u64 pages = 0;
    for (struct vma *v = vma_find_next(&as->vmas, start); v && v->start < end; v = vma_next(v))
        pages += (MIN(v->end, end) - MAX(v->start, start)) >> PAGE_SHIFT;
    return pages;
}

int admit_pages(struct aspace *as, unsigned vma_flags, u64 pages, u64 replaced)
{
    if ((vma_flags & VMA_LOCKED) && as->pages_locked + pages > lock_limit_user() >> PAGE_SHIFT)
        return -EAGAIN;
    if (as->pages_mapped + pages - replaced > as->as_limit >> PAGE_SHIFT)
        return -ENOMEM;
    if (!(vma_flags & VMA_ACCOUNT))
        return 0;
    if (!(vma_flags & VMA_GROWSDOWN) && as->pages_committed + pages > as->data_limit >> PAGE_SHIFT)
        return -ENOMEM;
    return commit_charge(pages);
}

void book_pages(struct aspace *as, unsigned vma_flags, s64 pages)
{
    as->pages_mapped += (u64)pages;
    as->peak_mapped = MAX(as->peak_mapped, as->pages_mapped);
    if (vma_flags & VMA_ACCOUNT)
        as->pages_committed += (u64)pages;
    if (vma_flags & VMA_LOCKED)
        as->pages_locked += (u64)pages;
}

/* Puts the new mapping in place, as a vma or as a part of a neighbour that it continues;
 * everything is allocated, checked and charged. */
static void insert_mapping(struct aspace *as, struct map_op *op, const struct map_request *req,
                           unsigned vma_flags, uvaddr_t at, u64 len)
{
    struct vma new = {.start = at,
                      .end = at + len,
                      .prot = req->prot,
                      .max_prot = req->max_prot ? req->max_prot : PROT_R | PROT_W | PROT_X,
                      .flags = vma_flags,
                      .object = req->object,
                      .file = req->object ? req->file : NULL,
                      .offset = req->object ? req->offset : 0,
                      .aspace = as};
    struct vma *prev = vma_find(&as->vmas, at - 1), *next = vma_find(&as->vmas, new.end);
    if (prev && vma_can_merge(prev, &new)) {
        vma_set_bounds(&as->vmas, prev, prev->start, new.end);
        if (next && vma_can_merge(prev, next))
            vma_swallow(as, op, prev, next);
    } else if (next && vma_can_merge(&new, next)) {
        vma_move_start(as, next, at);
    } else {
        struct vma *v = map_op_take(op);
        *v = new;
        vma_attach(v);
        vma_insert(&as->vmas, v);
    }
    book_pages(as, vma_flags, (s64)(len >> PAGE_SHIFT));
}

/* => Write lock held, a spare, and one more for MAP_FIXED. */
static int map_locked(struct aspace *as, struct map_op *op, const struct map_request *req, u64 len,
                      uvaddr_t *out)
{
    uvaddr_t at;
    int r = choose_address(as, req, len, &at);
    if (r == 0)
        r = check_map_count(as, 1 + hole_adds(as, at, at + len));
    if (r < 0)
        return r;
    unsigned flags = vma_flags_of(as, req);
    bool replaces = req->flags & MAP_FIXED;
    if (replaces)
        r = pmap_own_borders(&as->pmap, at, at + len);
    if (r == 0)
        r = admit_pages(as, flags, len >> PAGE_SHIFT,
                        replaces ? mapped_pages(as, at, at + len) : 0);
    if (r < 0)
        return r;
    if (replaces)
        (void)unmap_locked(as, op, at, at + len, true);
    insert_mapping(as, op, req, flags, at, len);
    *out = at;
    return 0;
}

/* aspace_map() with an object (or private anonymous memory) and checked arguments. */
static int map_object(struct aspace *as, const struct map_request *req, u64 len, uvaddr_t *out)
{
    struct map_op op;
    int r = map_op_begin(&op, req->flags & MAP_FIXED ? 2 : 1);
    if (r < 0)
        return r;
    write_lock(&as->lock);
    r = map_locked(as, &op, req, len, out);
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    if (r < 0)
        return r;
    if ((req->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE || (!vm_lazy && !req->object))
        (void)populate_range(as, *out, *out + len, 0);
    else if ((req->flags & MAP_LOCKED) || READ_ONCE(as->lock_future))
        (void)populate_range(as, *out, *out + len, VMA_LOCKED);
    return 0;
}

/* aspace_map() of a shared object: its seal may forbid those who write. */
static int map_shared(struct aspace *as, const struct map_request *req, u64 len, uvaddr_t *out)
{
    bool writer = !req->max_prot || (req->max_prot & PROT_W);
    int r = writer ? object_allow_writer(req->object) : 0;
    if (r < 0)
        return r;
    r = map_object(as, req, len, out);
    if (writer)
        object_writer_gone(req->object);
    return r;
}

int aspace_map(struct aspace *as, const struct map_request *req, uvaddr_t *out)
{
    unsigned type = req->flags & MAP_TYPE;
    if (req->length == 0 || !IS_ALIGNED(req->offset, PAGE_SIZE) ||
        (type != MAP_SHARED && type != MAP_PRIVATE &&
         !(type == MAP_SHARED_VALIDATE && req->object)) ||
        ((req->flags & MAP_GROWSDOWN) && (type != MAP_PRIVATE || req->object)))
        return -EINVAL;
    if ((req->flags & MAP_LOCKED) && lock_limit_user() == 0)
        return -EPERM;
    if (req->length > USER_TOP)
        return -ENOMEM;
    u64 len = PAGE_UP(req->length);
    if (req->object && req->offset + len < req->offset)
        return -EOVERFLOW;
    if (type == MAP_PRIVATE)
        return map_object(as, req, len, out);
    if (req->object)
        return map_shared(as, req, len, out);

    struct map_request shared = *req;
    bool reserve = !(req->flags & MAP_NORESERVE) || commit_is_strict();
    int r = anon_object_create(len, reserve, &shared.object);
    if (r < 0)
        return r;
    shared.offset = 0;
    shared.file = NULL;
    r = map_object(as, &shared, len, out);
    shared.object->ops->put(shared.object);
    return r;
}

int aspace_map_frames(struct aspace *as, uvaddr_t hint, const pfn_t *frames, unsigned count,
                      unsigned prot, unsigned vma_flags, uvaddr_t *out)
{
    struct map_request req = {.addr = hint,
                              .length = count * PAGE_SIZE,
                              .prot = prot,
                              .max_prot = prot,
                              .flags = MAP_PRIVATE,
                              .vma_flags = vma_flags | VMA_SPECIAL};
    struct map_op op;
    int r = map_op_begin(&op, 1);
    if (r < 0)
        return r;
    write_lock(&as->lock);
    r = find_free_range(as, hint, req.length, out);
    if (r == 0)
        r = pmap_prepare(&as->pmap, *out, *out + req.length);
    if (r == 0)
        r = map_locked(as, &op, &req, req.length, out);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        struct pte_ref ref;
        r = pmap_lock(&as->pmap, *out + i * PAGE_SIZE, PMAP_CHANGE, &ref);
        assert(r == 0);
        pmap_install(&ref, pte_leaf(frames[i], prot, PTE_F_USER));
        pmap_unlock(&ref);
    }
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    return r;
}

/* Grows the heap to @end (page aligned). => Write lock held. */
static int brk_grow(struct aspace *as, struct map_op *op, uvaddr_t start, uvaddr_t end)
{
    struct map_request req = {
        .addr = start, .prot = PROT_R | PROT_W, .flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE};
    uvaddr_t at;
    return map_locked(as, op, &req, end - start, &at);
}

uvaddr_t aspace_brk(struct aspace *as, uvaddr_t brk, u64 data_limit)
{
    struct map_op op;
    if (map_op_begin(&op, 1) < 0)
        return as->brk;
    write_lock(&as->lock);
    uvaddr_t old_end = PAGE_UP(as->brk), new_end = PAGE_UP(brk);
    int r = 0;
    bool grown = false;
    if (brk < as->brk_start || brk > USER_TOP ||
        brk - as->brk_start + (as->data_end - as->data_start) > data_limit) {
        r = -ENOMEM;
    } else if (new_end > old_end) {
        r = brk_grow(as, &op, old_end, new_end);
        grown = r == 0;
    } else if (new_end < old_end) {
        r = unmap_locked(as, &op, new_end, old_end, true);
    }
    if (r == 0)
        as->brk = brk;
    brk = as->brk;
    aspace_changed(as);
    write_unlock(&as->lock);
    map_op_end(&op);
    if (grown)
        (void)populate_range(as, old_end, new_end, vm_lazy ? VMA_LOCKED : 0);
    return brk;
}
