/*
 * General memory: the smallest fitting of a set of object caches up to 2 KiB, whole blocks of
 * frames above (WIRED, the order in the first descriptor).
 */
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "slab_priv.h"

#define KMALLOC_MAX_CLASS 2048
#define CLASS_STEP        16

static const struct {
    u16 size;
    const char *name;
} classes[] = {
    {16, "kmalloc-16"},     {32, "kmalloc-32"},     {48, "kmalloc-48"},   {64, "kmalloc-64"},
    {96, "kmalloc-96"},     {128, "kmalloc-128"},   {192, "kmalloc-192"}, {256, "kmalloc-256"},
    {384, "kmalloc-384"},   {512, "kmalloc-512"},   {768, "kmalloc-768"}, {1024, "kmalloc-1024"},
    {1536, "kmalloc-1536"}, {2048, "kmalloc-2048"},
};

/* By (size - 1) / CLASS_STEP. */
static struct kmem_cache *cache_by_step[KMALLOC_MAX_CLASS / CLASS_STEP];

void kmalloc_init(void)
{
    unsigned step = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(classes); i++) {
        struct kmem_cache *c = kmem_cache_create(classes[i].name, classes[i].size, CLASS_STEP);
        while (step < classes[i].size / CLASS_STEP)
            cache_by_step[step++] = c;
    }
}

static void *kmalloc_large(size_t size, unsigned flags)
{
    unsigned order = 0;
    while (PAGE_SIZE << order < size)
        if (++order > PAGE_MAX_ORDER)
            return NULL;
    struct page *page = page_alloc(order, PAGE_WIRED, flags & (PA_NOWAIT | PA_ZERO | PA_RESERVE));
    return page ? page_to_virt(page) : NULL;
}

void *kmalloc(size_t size, unsigned flags)
{
    if (unlikely(size > KMALLOC_MAX_CLASS))
        return kmalloc_large(size, flags);
    return kmem_cache_alloc(cache_by_step[size ? (size - 1) / CLASS_STEP : 0], flags);
}

void kfree(void *p)
{
    if (!p)
        return;
    struct page *page = virt_to_page(p);
    if (likely(page->state == PAGE_SLAB)) {
        kmem_cache_free(page->owner, p);
        return;
    }
    assert(page->state == PAGE_WIRED && page->refs == 1 && IS_ALIGNED((vaddr_t)p, PAGE_SIZE));
    page_free(page, page->order);
}

char *kstrdup(const char *s, unsigned flags)
{
    size_t size = strlen(s) + 1;
    char *copy = kmalloc(size, flags);
    return copy ? memcpy(copy, s, size) : NULL;
}
