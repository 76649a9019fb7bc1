/*
 * Kernel stacks in the KVA area.
 *
 * The area is cut into slots of KSTACK_ALIGN bytes; a bitmap says which are taken. A stack is the
 * upper half of its slot, four frames that need not be neighbours; the lower half is never mapped,
 * so an overflow faults and bit 14 of the stack pointer tells it apart at once.
 *
 * Mapping and unmapping cost table work and a flush on all harts, so each CPU keeps a few freed
 * stacks (stash_priv.h): a fork and exit pair finds one there. A shrinker gives them back when
 * memory is short. A slot becomes free after its flush, so a stale entry never meets a new stack.
 */
#include "mm/kva.h"

#include "core/errno.h"
#include "lib/bitmap.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/pmap.h"
#include "mm/slab.h"
#include "stash_priv.h"

#define KVA_SLOTS    ((KVA_END - KVA_START) / KSTACK_ALIGN)
#define STACK_PAGES  (KSTACK_SIZE / PAGE_SIZE)
#define STACKS_KEPT  4 /* per CPU */
#define SLOT_BASE(i) (KVA_START + (i)*KSTACK_ALIGN + (KSTACK_ALIGN - KSTACK_SIZE))

DEFINE_LOCK_CLASS(kva_lock_class, "kva");

static struct spinlock kva_lock = SPINLOCK_INIT(kva_lock_class);
static u64 *slot_map;     /* kva_lock; bit set: taken */
static size_t slot_hint;  /* kva_lock: no free slot below */
static u64 stacks_in_use; /* atomic */

static struct kept_stacks {
    struct stash stash;
    void *slot[STACKS_KEPT];
} __cacheline kept[MAX_CPUS];

static vaddr_t slot_take(void)
{
    SPIN_GUARD(&kva_lock);
    size_t i = bitmap_find_clear(slot_map, KVA_SLOTS, slot_hint);
    if (i == KVA_SLOTS)
        return 0;
    bitmap_set(slot_map, i);
    slot_hint = i + 1;
    return SLOT_BASE(i);
}

static void slot_give(vaddr_t base)
{
    SPIN_GUARD(&kva_lock);
    size_t i = (base - KVA_START) / KSTACK_ALIGN;
    bitmap_clear(slot_map, i);
    slot_hint = MIN(slot_hint, i);
}

/* Unmaps the first @pages of the stack at @base and frees frames and slot. */
static void stack_unmap(vaddr_t base, unsigned pages)
{
    struct page *page[STACK_PAGES];
    for (unsigned i = 0; i < pages; i++)
        page[i] = pfn_to_page(pmap_kremove(base + i * PAGE_SIZE));
    if (pages > 0)
        pmap_kflush(base, base + pages * PAGE_SIZE);
    for (unsigned i = 0; i < pages; i++)
        page_free(page[i], 0);
    slot_give(base);
}

static vaddr_t stack_map(void)
{
    vaddr_t base = slot_take();
    if (!base)
        return 0;
    for (unsigned i = 0; i < STACK_PAGES; i++) {
        struct page *page = page_alloc(0, PAGE_WIRED, 0);
        if (page && pmap_kenter(base + i * PAGE_SIZE, page_to_pfn(page), PROT_R | PROT_W) == 0)
            continue;
        if (page)
            page_free(page, 0);
        stack_unmap(base, i);
        return 0;
    }
    return base;
}

vaddr_t kstack_alloc(void)
{
    unsigned long irq = arch_irq_save();
    struct kept_stacks *k = &kept[this_cpu()->id];
    vaddr_t base = (vaddr_t)stash_pop(&k->stash, k->slot);
    arch_irq_restore(irq);
    if (!base)
        base = stack_map();
    if (base)
        atomic_add_relaxed(&stacks_in_use, 1);
    return base;
}

void kstack_free(vaddr_t base)
{
    debug_assert(base >= KVA_START && base < KVA_END && (base & (KSTACK_ALIGN - 1)) == KSTACK_SIZE);
    atomic_add_relaxed(&stacks_in_use, -1UL);
    unsigned long irq = arch_irq_save();
    struct kept_stacks *k = &kept[this_cpu()->id];
    bool kept_it = stash_push(&k->stash, k->slot, (void *)base);
    arch_irq_restore(irq);
    if (!kept_it)
        stack_unmap(base, STACK_PAGES);
}

u64 kstack_count(void)
{
    return READ_ONCE(stacks_in_use);
}

static u64 kept_count(void)
{
    u64 n = 0;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        n += stash_count(kept[i].slot, STACKS_KEPT);
    return n;
}

static u64 kept_shrink(u64 want)
{
    u64 freed = 0;
    for (unsigned i = 0; i < MAX_CPUS && freed < want; i++) {
        u32 at = STACKS_KEPT;
        void *base;
        while (freed < want && (base = stash_steal(kept[i].slot, &at))) {
            stack_unmap((vaddr_t)base, STACK_PAGES);
            freed++;
        }
    }
    return freed;
}

static struct shrinker kept_shrinker = {
    .name = "kernel stacks", .count = kept_count, .shrink = kept_shrink};

void kva_init(void)
{
    slot_map = kzalloc(BITMAP_WORDS(KVA_SLOTS) * sizeof(u64), 0);
    assert(slot_map);
    for (unsigned i = 0; i < MAX_CPUS; i++)
        kept[i].stash.limit = STACKS_KEPT;
    shrinker_register(&kept_shrinker);
}
