/* Nodes of radix trees, from an object cache. */
#include "core/errno.h"
#include "lib/radix.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "slab_priv.h"

static struct kmem_cache *node_cache;

void radix_node_init(void)
{
    node_cache = kmem_cache_create("radix_node", sizeof(struct radix_node), 0);
}

int radix_spare_fill(struct radix_spare *spare, unsigned need, unsigned flags)
{
    while (spare->count < need) {
        struct radix_node *node = kmem_cache_alloc(node_cache, flags | PA_ZERO);
        if (!node)
            return -ENOMEM;
        spare->node[spare->count++] = node;
    }
    return 0;
}

void radix_spare_free(struct radix_spare *spare)
{
    while (spare->count > 0)
        radix_node_free(spare->node[--spare->count]);
}

void radix_node_free(struct radix_node *node)
{
    kmem_cache_free(node_cache, node);
}
