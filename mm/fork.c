/*
 * The address space of a forked child.
 *
 * Private memory becomes copy-on-write: each anonymous page is mapped read-only in both, and the
 * first writer copies it (mm/fault.c). Pages of files and of shared memory need no entries in the
 * child: a fault finds them in their object's cache. So what fork costs is the anonymous pages.
 */
#include <linux/mman.h>

#include "core/errno.h"
#include "lib/string.h"
#include "mm/mm_priv.h"

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
    while (pte_writable(old) && !pte_cas(src, &old, pte_wrprotect(old)))
        ;
    return pte_wrprotect(old);
}

/*
 * Copies the entries of the parent's leaf table @src from @va on to the same places of the child's
 * @dst. => Both locked; the child's is known to nobody but the rmap, whose users only try its lock.
 */
static int copy_leaf_table(struct fork_copy *c, struct page *src, struct page *dst, uvaddr_t va,
                           uvaddr_t end)
{
    pte_t *from = (pte_t *)page_to_virt(src) + PT_INDEX(va, 0);
    pte_t *to = (pte_t *)page_to_virt(dst) + PT_INDEX(va, 0);
    bool special = c->vma->flags & VMA_SPECIAL;
    s32 left = src->mapped;
    u64 anon = 0;
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
    atomic_add_relaxed(&c->child->pmap.resident_anon, anon);
    return r;
}

/* Copies the entries of the vma, one leaf table at a time. */
static int copy_entries(struct aspace *from, struct fork_copy *c)
{
    uvaddr_t end = c->vma->end;
    int r = 0;
    for (uvaddr_t va = c->vma->start, next; va < end && r == 0; va = next) {
        next = MIN(ALIGN_DOWN(va, PT_SPAN(1)) + PT_SPAN(1), end);
        struct pte_ref src, dst;
        if (pmap_lock(&from->pmap, va, false, &src) < 0)
            continue;
        bool empty = src.table->mapped == 0;
        pmap_unlock(&src);
        if (empty)
            continue;
        r = pmap_lock(&c->child->pmap, va, true, &dst);
        if (r < 0)
            break;
        ticket_lock_nested(&src.table->lock, &table_lock_class, 1);
        r = copy_leaf_table(c, src.table, dst.table, va, next);
        pmap_unlock(&src);
        pmap_unlock(&dst);
        vm_count(fork_tables);
    }
    return r;
}

/* One vma of the child, entries and all. */
static int copy_vma(struct aspace *from, struct aspace *child, const struct vma *vma)
{
    struct map_op op;
    int r = map_op_begin(&op, 1);
    if (r < 0)
        return r;
    u64 pages = (vma->end - vma->start) >> PAGE_SHIFT;
    if (vma->flags & VMA_ACCOUNT)
        r = commit_charge(pages);
    if (r == 0) {
        struct vma *v = vma_clone(&op, vma);
        v->aspace = child;
        v->flags &= ~VMA_LOCKED;
        vma_insert(&child->vmas, v);
        child->pages_mapped += pages;
        if (v->flags & VMA_ACCOUNT)
            child->pages_committed += pages;
        struct fork_copy c = {.child = child, .vma = vma};
        if (!(vma->flags & (VMA_SHARED | VMA_WIPEONFORK)))
            r = copy_entries(from, &c);
        vm_count_add(fork_entries, c.entries);
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
            r = copy_vma(from, child, v);
    pmap_flush(&from->pmap, 0, ~0UL);
    child->peak_mapped = child->pages_mapped;
    write_unlock(&from->lock);
    if (r < 0) {
        aspace_put(child);
        return r;
    }
    *out = child;
    return 0;
}
