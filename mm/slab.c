/*
 * Slab allocator.
 *
 * Concepts. A cache hands out objects of one size. A slab is a block of frames cut into objects;
 * its descriptors know the cache (->owner), and the first one also the list of free objects
 * (->freelist, linked through the objects themselves) and the number in use (->rmap). In the other
 * frames of a slab ->age is the distance to the first, so any object address leads to its slab.
 * Slabs with a free object are on the cache's partial list, full ones on none.
 *
 * In front of it each CPU has a magazine of objects (stash_priv.h): allocation and freeing touch
 * nothing else until it runs empty or full, then half of it is exchanged under the cache's lock.
 * Objects in magazines count as in use for their slab.
 *
 * An empty slab goes back to the page allocator, but for one per cache, kept against thrashing.
 * slab_reap() takes those too, and the objects out of all magazines.
 *
 * Locks. cache->lock, interrupts off; no page is allocated or freed under it. All of it works in
 * interrupt handlers (PA_NOWAIT).
 *
 * Debug build. A word behind each object (red zone) tells whether it is free or in use: it catches
 * a second free and writes behind the end. Free objects are filled with a pattern, checked at the
 * next allocation.
 */
#include "mm/slab.h"

#include "core/log.h"
#include "lib/string.h"
#include "mm/counters.h"
#include "mm/page.h"
#include "slab_priv.h"
#include "stash_priv.h"

#define MAGAZINE_SLOTS  16
#define SLAB_MAX_ORDER  3
#define SLAB_KEEP_EMPTY 1

DEFINE_LOCK_CLASS(slab_lock_class, "slab");
DEFINE_LOCK_CLASS(slab_list_lock_class, "slab list");

struct magazine {
    struct stash stash;
    void *slot[MAGAZINE_SLOTS];
};

struct kmem_cache {
    const char *name;
    u32 size;   /* as asked for */
    u32 stride; /* distance of two objects */
    u32 order, per_slab;
    u32 batch; /* objects exchanged between a magazine and the slabs */
    struct spinlock lock;
    struct list_node partial; /* lock: slabs with free objects, empty ones at the end */
    u64 slabs, empty;         /* lock */
    u64 free_objects;         /* lock: in slabs, not magazines */
    struct kmem_cache *next;  /* all caches; set before it is published */
    struct magazine cpu[MAX_CPUS];
};

static struct kmem_cache cache_of_caches;
static struct kmem_cache *first_cache, *last_cache;
static struct spinlock cache_list_lock = SPINLOCK_INIT(slab_list_lock_class);

/* --- debug: red zone and pattern --- */

#ifdef QUIRE_DEBUG
#define REDZONE_BYTES sizeof(u64)
#define REDZONE_LIVE  0x11fe11fe11fe11feUL
#define REDZONE_FREE  0xf4eef4eef4eef4eeUL
#define FREE_BYTE     0x6b

static u64 *redzone_of(const struct kmem_cache *c, void *object)
{
    return (u64 *)((u8 *)object + ALIGN_UP((size_t)c->size, sizeof(u64)));
}

static void object_mark_free(const struct kmem_cache *c, void *object)
{
    memset((u8 *)object + sizeof(void *), FREE_BYTE, c->size - MIN(c->size, sizeof(void *)));
    *redzone_of(c, object) = REDZONE_FREE;
}

static void object_check_alloc(const struct kmem_cache *c, void *object)
{
    if (*redzone_of(c, object) != REDZONE_FREE)
        panic("slab %s: red zone of free object %p is 0x%lx", c->name, object,
              *redzone_of(c, object));
    for (u32 i = sizeof(void *); i < c->size; i++)
        if (((u8 *)object)[i] != FREE_BYTE)
            panic("slab %s: free object %p was written to at offset %u", c->name, object, i);
    *redzone_of(c, object) = REDZONE_LIVE;
}

static void object_check_free(const struct kmem_cache *c, void *object)
{
    u64 zone = *redzone_of(c, object);
    if (zone == REDZONE_FREE)
        panic("slab %s: object %p freed twice", c->name, object);
    if (zone != REDZONE_LIVE)
        panic("slab %s: object %p overrun, red zone 0x%lx", c->name, object, zone);
    object_mark_free(c, object);
}
#else
#define REDZONE_BYTES 0
static inline void object_mark_free(const struct kmem_cache *c, void *object)
{
}
static inline void object_check_alloc(const struct kmem_cache *c, void *object)
{
}
static inline void object_check_free(const struct kmem_cache *c, void *object)
{
}
#endif

/* --- slabs --- */

static struct page *slab_of(const void *object)
{
    struct page *page = virt_to_page(object);
    return page - page->age;
}

/* A new slab, all objects free; NULL when out of memory. */
static struct page *slab_create(struct kmem_cache *c, unsigned flags)
{
    struct page *slab = page_alloc(c->order, PAGE_SLAB, flags & (PA_NOWAIT | PA_RESERVE));
    if (!slab)
        return NULL;
    for (u32 i = 0; i < 1U << c->order; i++) {
        slab[i].owner = c;
        slab[i].age = (u16)i;
    }
    u8 *object = page_to_virt(slab);
    void **link = &slab->freelist;
    for (u32 i = 0; i < c->per_slab; i++, object += c->stride) {
        object_mark_free(c, object);
        *link = object;
        link = (void **)object;
    }
    *link = NULL;
    return slab;
}

/* => c->lock held from here on down to slab_give(). */
static void slab_add(struct kmem_cache *c, struct page *slab)
{
    list_push_front(&c->partial, &slab->link);
    c->slabs++;
    c->empty++;
    c->free_objects += c->per_slab;
}

/* One object off the slabs; NULL when all are full. */
static void *slab_get(struct kmem_cache *c)
{
    if (list_empty(&c->partial))
        return NULL;
    struct page *slab = list_first(&c->partial, struct page, link);
    void *object = slab->freelist;
    slab->freelist = *(void **)object;
    if (slab->rmap++ == 0)
        c->empty--;
    if (!slab->freelist)
        list_remove(&slab->link);
    c->free_objects--;
    return object;
}

/* Gives an object back to its slab. One empty slab too many is put on @doomed. */
static void slab_give(struct kmem_cache *c, void *object, struct list_node *doomed)
{
    struct page *slab = slab_of(object);
    debug_assert(slab->owner == c && slab->rmap > 0);
    if (!slab->freelist)
        list_push_front(&c->partial, &slab->link);
    *(void **)object = slab->freelist;
    slab->freelist = object;
    c->free_objects++;
    if (--slab->rmap > 0)
        return;
    list_remove(&slab->link);
    if (c->empty >= SLAB_KEEP_EMPTY) {
        list_push_back(doomed, &slab->link);
        c->slabs--;
        c->free_objects -= c->per_slab;
    } else {
        list_push_back(&c->partial, &slab->link);
        c->empty++;
    }
}

/* Frees the slabs on @doomed. => No lock held. Returns pages freed. */
static u64 slabs_free(struct kmem_cache *c, struct list_node *doomed)
{
    u64 pages = 0;
    while (!list_empty(doomed)) {
        struct page *slab = list_first(doomed, struct page, link);
        list_remove(&slab->link);
        page_free(slab, c->order);
        pages += 1UL << c->order;
    }
    return pages;
}

/* --- magazines --- */

static struct magazine *magazine_self(struct kmem_cache *c)
{
    return &c->cpu[this_cpu()->id];
}

/* The magazine is empty: takes one object from the slabs to return and a few to keep. */
static void *magazine_fill(struct kmem_cache *c)
{
    SPIN_GUARD_IRQ(&c->lock);
    void *object = slab_get(c);
    struct magazine *m = magazine_self(c);
    void *more;
    for (u32 i = 1; i < c->batch && object; i++) {
        if (m->stash.top >= m->stash.limit || !(more = slab_get(c)))
            break;
        (void)stash_push(&m->stash, m->slot, more);
    }
    return object;
}

static __attribute__((noinline)) void *alloc_slow(struct kmem_cache *c, unsigned flags)
{
    for (;;) {
        void *object = magazine_fill(c);
        if (object)
            return object;
        struct page *slab = slab_create(c, flags);
        if (!slab)
            return NULL;
        SPIN_GUARD_IRQ(&c->lock);
        slab_add(c, slab);
    }
}

/* The magazine is full: @object and a batch of its content go back to the slabs. */
static __attribute__((noinline)) void free_slow(struct kmem_cache *c, void *object)
{
    struct list_node doomed = LIST_INIT(doomed);
    {
        SPIN_GUARD_IRQ(&c->lock);
        struct magazine *m = magazine_self(c);
        slab_give(c, object, &doomed);
        for (u32 i = 0; i < c->batch && (object = stash_pop(&m->stash, m->slot)); i++)
            slab_give(c, object, &doomed);
    }
    slabs_free(c, &doomed);
}

void *kmem_cache_alloc(struct kmem_cache *c, unsigned flags)
{
    unsigned long irq = arch_irq_save();
    struct magazine *m = magazine_self(c);
    void *object = stash_pop(&m->stash, m->slot);
    arch_irq_restore(irq);
    if (unlikely(!object)) {
        object = alloc_slow(c, flags);
        if (!object)
            return NULL;
    }
    object_check_alloc(c, object);
    if (flags & PA_ZERO)
        memset(object, 0, c->size);
    return object;
}

void kmem_cache_free(struct kmem_cache *c, void *object)
{
    debug_assert(slab_of(object)->state == PAGE_SLAB && slab_of(object)->owner == c);
    debug_assert(((u8 *)object - (u8 *)page_to_virt(slab_of(object))) % c->stride == 0);
    object_check_free(c, object);
    unsigned long irq = arch_irq_save();
    struct magazine *m = magazine_self(c);
    bool kept = stash_push(&m->stash, m->slot, object);
    arch_irq_restore(irq);
    if (unlikely(!kept))
        free_slow(c, object);
}

/* --- caches --- */

/* The smallest slab that wastes at most an eighth, or the one that wastes least. */
static u32 choose_order(u32 stride)
{
    u32 best = SLAB_MAX_ORDER;
    for (u32 order = 0; order <= SLAB_MAX_ORDER; order++) {
        u32 bytes = (u32)PAGE_SIZE << order;
        if (bytes >= stride && bytes % stride <= bytes / 8)
            return order;
    }
    return best;
}

static void cache_setup(struct kmem_cache *c, const char *name, size_t size, size_t align)
{
    size = MAX(size, sizeof(void *));
    align = MAX(align, sizeof(void *));
    memset(c, 0, sizeof(*c));
    c->name = name;
    c->size = (u32)size;
    c->stride = (u32)ALIGN_UP(ALIGN_UP(size, sizeof(u64)) + REDZONE_BYTES, align);
    c->order = choose_order(c->stride);
    c->per_slab = ((u32)PAGE_SIZE << c->order) / c->stride;
    assert(c->per_slab > 0 && IS_ALIGNED(align, align) && align <= PAGE_SIZE);
    spin_init(&c->lock, &slab_lock_class);
    list_init(&c->partial);
    u32 limit = size <= 256 ? MAGAZINE_SLOTS : size <= 1024 ? MAGAZINE_SLOTS / 2 : 4;
    c->batch = limit / 2;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        c->cpu[i].stash.limit = limit;

    SPIN_GUARD_IRQ(&cache_list_lock);
    if (last_cache)
        store_release(&last_cache->next, c);
    else
        first_cache = c;
    last_cache = c;
}

struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align)
{
    struct kmem_cache *c = kmem_cache_alloc(&cache_of_caches, 0);
    if (!c)
        panic("no memory for the object cache %s", name);
    cache_setup(c, name, size, align);
    return c;
}

/* Caches are never destroyed, so the list may be walked without its lock. */
static struct kmem_cache *cache_after(struct kmem_cache *c)
{
    return c ? load_acquire(&c->next) : first_cache;
}

static u64 magazines_count(struct kmem_cache *c)
{
    u64 n = 0;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        n += stash_count(c->cpu[i].slot, MAGAZINE_SLOTS);
    return n;
}

bool kmem_cache_get_stats(unsigned i, struct kmem_cache_stats *out)
{
    struct kmem_cache *c = cache_after(NULL);
    while (c && i-- > 0)
        c = cache_after(c);
    if (!c)
        return false;
    SPIN_GUARD_IRQ(&c->lock);
    out->name = c->name;
    out->object_size = c->size;
    out->objects_total = c->slabs * c->per_slab;
    u64 unused = c->free_objects + magazines_count(c);
    out->objects_used = out->objects_total - MIN(unused, out->objects_total);
    out->pages = c->slabs << c->order;
    return true;
}

/* Takes everything out of the magazines of @c and every empty slab. Returns pages freed. */
static u64 cache_reap(struct kmem_cache *c)
{
    struct list_node doomed = LIST_INIT(doomed);
    for (unsigned i = 0; i < MAX_CPUS; i++) {
        u32 at = MAGAZINE_SLOTS;
        void *object;
        while ((object = stash_steal(c->cpu[i].slot, &at))) {
            SPIN_GUARD_IRQ(&c->lock);
            slab_give(c, object, &doomed);
        }
    }
    {
        SPIN_GUARD_IRQ(&c->lock);
        while (c->empty > 0) { /* the empty ones are last */
            struct page *slab = list_last(&c->partial, struct page, link);
            if (slab->rmap != 0) /* a new slab is put first and may still be unused */
                break;
            list_remove(&slab->link);
            list_push_back(&doomed, &slab->link);
            c->empty--;
            c->slabs--;
            c->free_objects -= c->per_slab;
        }
    }
    return slabs_free(c, &doomed);
}

u64 slab_reap(void)
{
    u64 pages = 0;
    for (struct kmem_cache *c = cache_after(NULL); c; c = cache_after(c))
        pages += cache_reap(c);
    vm_count_add(slabs_scanned, 1);
    return pages;
}

static void cache_verify(struct kmem_cache *c)
{
    SPIN_GUARD_IRQ(&c->lock);
    u64 empty = 0, free_objects = 0;
    struct page *slab;
    list_for_each_entry (slab, &c->partial, link) {
        assert(slab->state == PAGE_SLAB && slab->owner == c && slab->age == 0);
        u64 n = 0;
        for (void *object = slab->freelist; object; object = *(void **)object) {
            assert(slab_of(object) == slab && n < c->per_slab);
            assert(((u8 *)object - (u8 *)page_to_virt(slab)) % c->stride == 0);
            n++;
        }
        assert(n > 0 && n + slab->rmap == c->per_slab);
        empty += slab->rmap == 0;
        free_objects += n;
    }
    assert(empty == c->empty && free_objects == c->free_objects);
}

void slab_verify(void)
{
    for (struct kmem_cache *c = cache_after(NULL); c; c = cache_after(c))
        cache_verify(c);
}

void slab_init(void)
{
    cache_setup(&cache_of_caches, "kmem_cache", sizeof(struct kmem_cache), 64);
    kmalloc_init();
    radix_node_init();
}
