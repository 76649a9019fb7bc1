/* Object caches over the page allocator, with per-CPU magazines, and kmalloc() on top of them. */
#pragma once

#include "lib/types.h"

struct kmem_cache;

/* Creates a cache of objects of @size bytes aligned to @align (power of two; 0: 8). Never fails at
 * boot. => May sleep. */
struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align);
/* An object (contents undefined) or NULL. @flags: PA_NOWAIT, PA_ZERO, PA_RESERVE. */
void *kmem_cache_alloc(struct kmem_cache *cache, unsigned flags);
void kmem_cache_free(struct kmem_cache *cache, void *object);

/* General memory, any size up to 4 MiB (large ones straight from the buddy allocator). */
void *kmalloc(size_t size, unsigned flags);
static inline void *kzalloc(size_t size, unsigned flags)
{
    return kmalloc(size, flags | 2u /* PA_ZERO */);
}
void kfree(void *p); /* NULL is allowed */
char *kstrdup(const char *s, unsigned flags);

struct kmem_cache_stats {
    const char *name;
    size_t object_size;
    u64 objects_used, objects_total, pages;
};
/* Statistics of the @i-th cache; false behind the last. */
bool kmem_cache_get_stats(unsigned i, struct kmem_cache_stats *out);
/* Frees every slab page that holds no object, magazines included. Returns pages freed. */
u64 slab_reap(void);
void slab_init(void);
void slab_verify(void); /* debug */

/* Radix-tree nodes from a slab, for the tree's users. */
struct radix_spare;
struct radix_node;
int radix_spare_fill(struct radix_spare *spare, unsigned need, unsigned flags); /* 0, -ENOMEM */
void radix_spare_free(struct radix_spare *spare);
void radix_node_free(struct radix_node *node);
