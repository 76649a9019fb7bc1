/*
 * The address space of a forked child.
 *
 * Private memory becomes copy-on-write. Leaf tables with more than a few entries are shared as they
 * are (mm/share.c). The others are copied, because both sides will write to what is in them, mostly
 * stacks, at once: each anonymous page is mapped read-only in both, and the first writer copies it
 * (mm/fault.c). Pages of files and of shared memory need no entries in the child: a fault finds
 * them in their object's cache.
 */
#include <linux/mman.h>

#include "core/errno.h"
#include "lib/string.h"
#include "mm/mm_priv.h"

/*
 * Anonymous pages from which on a table is shared rather than copied. Sharing what is written to
 * soon after costs two faults and a look at each entry more than copying at once.
 */
unsigned fork_share_min = 64;

struct fork_copy {
    struct aspace *child;
    const struct vma *vma;
    u64 entries; /* copied so far */
};

/* With vm.cow=0: a copy now. Returns the entry for the child, or an empty one: out of memory. */
static pte_t eager_copy(const struct page *page, pte_t src, pte_t *dst)
{
    struct page *copy = page_alloc(0, PAGE_ANON, PA_NOWAIT | PA_USER | PA_NOZERO);
    if (!copy)
        return PTE_NONE;
    page_copy(page_to_virt(copy), page_to_virt(page));
    vm_count(fault_cow_copy);
    rmap_add_first(copy, dst);
    return pte_leaf(page_to_pfn(copy), pte_prot(src), PTE_F_USER | PTE_F_DIRTY);
}

/* The child's entry for @page, an anonymous page which the parent's entry @src = @old maps. */
static inline pte_t share_entry(pte_t *src, pte_t old, pte_t *dst, struct page *page)
{
    if (rmap_add(page, dst) < 0)
        return PTE_NONE;
    page_get(page);
    return entry_wrprotect(src, old);
}

/*
 * Copies the entries of the parent's leaf table @src from @va on to the same places of the child's
 * @dst. => Both locked; the child's is known to nobody but the rmap, whose users only try its lock.
 */
static int copy_entries(struct fork_copy *c, struct page *src, struct page *dst, uvaddr_t va,
                        uvaddr_t end)
{
    pte_t *from = (pte_t *)page_to_virt(src) + PT_INDEX(va, 0);
    pte_t *to = (pte_t *)page_to_virt(dst) + PT_INDEX(va, 0);
    bool special = c->vma->flags & VMA_SPECIAL;
    s32 left = src->mapped;
    s64 anon = 0;
    int r = 0;
    for (; va < end && left > 0; va += PAGE_SIZE, from++, to++) {
        pte_t old = pte_read(from);
        if (pte_none(old))
            continue;
        left--;
        if (!pte_is_leaf(old))
            continue;
        struct page *page = pfn_to_page(pte_pfn(old));
        if (!special) {
            if (page->state != PAGE_ANON)
                continue;
            old = likely(vm_cow) ? share_entry(from, old, to, page) : eager_copy(page, old, to);
            if (unlikely(pte_none(old))) {
                r = -ENOMEM;
                break;
            }
            anon++;
        }
        pte_write(to, old);
        dst->mapped++;
        c->entries++;
    }
    count_resident(&c->child->pmap, dst, RESIDENT_ANON, anon);
    return r;
}

/* The part of the vma that lies in the leaf table hung by @upper, entry by entry. */
static int copy_part(struct fork_copy *c, pte_t *upper, uvaddr_t va, uvaddr_t end)
{
    struct pte_ref dst;
    struct page *src = hung_table(upper);
    int r = pmap_lock(&c->child->pmap, va, PMAP_CREATE, &dst);
    if (r < 0)
        return r;
    ticket_lock_nested(&src->lock, &table_lock_class, 1);
    table_plain(src);
    r = copy_entries(c, src, dst.table, va, end);
    ticket_unlock(&src->lock, &table_lock_class);
    pmap_unlock(&dst);
    return r;
}

/* The vma's private pages reach the child. */
static bool is_inherited(const struct vma *v)
{
    return !(v->flags & (VMA_DONTFORK | VMA_WIPEONFORK));
}

/* All of [va, end) means the same in the child. */
static bool may_share(struct aspace *from, uvaddr_t va, uvaddr_t end)
{
    for (struct vma *v = vma_find_next(&from->vmas, va); v && v->start < end; v = vma_next(v))
        if (!is_inherited(v))
            return false;
    return true;
}

/* The leaf table hung by @upper, which translates [va, va + 2 MiB). */
static int fork_table(struct aspace *from, struct fork_copy *c, pte_t *upper, uvaddr_t va)
{
    const struct page *table = hung_table(upper);
    uvaddr_t end = va + PT_SPAN(1);
    vm_count(fork_tables);
    if (vm_cow && vm_share_tables && table->table_resident[RESIDENT_ANON] >= fork_share_min &&
        may_share(from, va, end)) {
        pte_t *to_upper = pmap_upper(&c->child->pmap, va, true);
        return to_upper ? table_share(upper, &c->child->pmap, to_upper) : -ENOMEM;
    }
    int r = 0;
    for (struct vma *v = vma_find_next(&from->vmas, va); v && v->start < end && r == 0;
         v = vma_next(v)) {
        c->vma = v;
        if (is_inherited(v) && !(v->flags & VMA_SHARED))
            r = copy_part(c, upper, MAX(v->start, va), MIN(v->end, end));
    }
    return r;
}

/* All that the parent's page table holds and the child may see. */
static int fork_tables(struct aspace *from, struct aspace *child)
{
    struct fork_copy c = {.child = child};
    uvaddr_t va = 0; /* all below is done */
    int r = 0;
    for (struct vma *v = vma_first(&from->vmas); v && r == 0; v = vma_next(v)) {
        pte_t *upper;
        va = MAX(va, ALIGN_DOWN(v->start, PT_SPAN(1)));
        for (; r == 0 && (upper = pmap_next_upper(&from->pmap, &va, v->end)); va += PT_SPAN(1))
            if (READ_ONCE(hung_table(upper)->mapped) > 0)
                r = fork_table(from, &c, upper, va);
    }
    vm_count_add(fork_entries, c.entries);
    return r;
}

/* One vma of the child. */
static int fork_vma(struct aspace *child, const struct vma *vma)
{
    struct map_op op;
    int r = map_op_begin(&op, 1);
    if (r < 0)
        return r;
    u64 pages = (vma->end - vma->start) >> PAGE_SHIFT;
    if (vma->flags & VMA_ACCOUNT)
        r = commit_charge(pages);
    if (r == 0) {
        struct vma *v = map_op_take(&op);
        *v = *vma;
        v->aspace = child;
        v->flags &= ~VMA_LOCK_FLAGS;
        v->unmap_seq = 0; /* a truncation that waits for the parent's lock has seen only that */
        vma_attach(v);
        vma_insert(&child->vmas, v);
        child->pages_mapped += pages;
        if (v->flags & VMA_ACCOUNT)
            child->pages_committed += pages;
        vma_join(child, &op, v); /* the parent's may have differed in VMA_LOCKED only */
    }
    map_op_end(&op);
    return r;
}

int aspace_fork(struct aspace *from, struct aspace **out)
{
    struct aspace *child = aspace_create();
    if (!child)
        return -ENOMEM;
    write_lock(&from->lock);
    write_lock_nested(&child->lock, 1); /* truncations come by its vmas' objects */
    child->brk_start = from->brk_start;
    child->brk = from->brk;
    child->mmap_top = from->mmap_top;
    child->stack_top = from->stack_top;
    child->code_start = from->code_start;
    child->code_end = from->code_end;
    child->data_start = from->data_start;
    child->data_end = from->data_end;
    child->arg_start = from->arg_start;
    child->arg_end = from->arg_end;
    child->env_start = from->env_start;
    child->env_end = from->env_end;
    child->vdso = from->vdso;
    memcpy(child->auxv, from->auxv, sizeof(child->auxv));
    child->auxv_words = from->auxv_words;
    child->stack_limit = from->stack_limit;
    child->as_limit = from->as_limit;
    child->data_limit = from->data_limit;

    int r = 0;
    for (struct vma *v = vma_first(&from->vmas); v && r == 0; v = vma_next(v))
        if (!(v->flags & VMA_DONTFORK))
            r = fork_vma(child, v);
    if (r == 0)
        r = fork_tables(from, child);
    pmap_flush(&from->pmap, 0, ~0UL);
    child->peak_mapped = child->pages_mapped;
    aspace_changed(child);
    aspace_changed(from);
    write_unlock(&child->lock);
    write_unlock(&from->lock);
    if (r < 0) {
        aspace_put(child);
        return r;
    }
    *out = child;
    return 0;
}
