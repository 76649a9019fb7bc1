/*
 * Radix tree.
 *
 *     root (shift 6)        index 67 = 1 << 6 | 3
 *       slot 0 -> leaf (shift 0), slots are items 0..63
 *       slot 1 -> leaf (shift 0), slot 3 is item 67
 *
 * The root is just high enough for the greatest index ever inserted since it was last lowered: it
 * is raised by putting new nodes on top and lowered when only slot 0 of it is in use. Every node
 * has at least one slot in use; the tree without items has no node.
 *
 * A tag bit in an inner node is the OR of the tag bits of the node below, so a search descends only
 * where there is something to find.
 */
#include "lib/radix.h"

#include <linux/errno.h>

#define SLOT_BITS 6
#define SLOT_MASK (RADIX_SLOTS - 1)
#define TOP_SHIFT (SLOT_BITS * (RADIX_MAX_HEIGHT - 1)) /* a node here uses 4 index bits only */
#define NO_TAG    RADIX_TAGS

/* What is left of @index above the bits that a node of @shift and those below it translate. */
static inline u64 beyond(u64 index, unsigned shift)
{
    return shift >= TOP_SHIFT ? 0 : index >> (shift + SLOT_BITS);
}

/* Shift of the lowest root that reaches @index. */
static unsigned root_shift(u64 index)
{
    unsigned shift = 0;

    while (beyond(index, shift))
        shift += SLOT_BITS;
    return shift;
}

static inline unsigned slot_of(const struct radix_node *node, u64 index)
{
    return index >> node->shift & SLOT_MASK;
}

/* The leaf that @index belongs to; NULL when there is none. */
static struct radix_node *leaf_of(const struct radix_tree *tree, u64 index)
{
    struct radix_node *node = tree->root;

    if (!node || beyond(index, node->shift))
        return NULL;
    while (node && node->shift)
        node = node->slot[slot_of(node, index)];
    return node;
}

unsigned radix_nodes_needed(const struct radix_tree *tree, u64 index)
{
    const struct radix_node *node = tree->root;

    if (!node)
        return root_shift(index) / SLOT_BITS + 1;
    if (beyond(index, node->shift)) {
        /* Nodes on top up to the new root, then a path below it: the old part is at slot 0. */
        unsigned top = root_shift(index);
        return (top - node->shift) / SLOT_BITS + top / SLOT_BITS;
    }
    while (node->shift) {
        const struct radix_node *child = node->slot[slot_of(node, index)];
        if (!child)
            return node->shift / SLOT_BITS;
        node = child;
    }
    return 0;
}

/* Takes a node from @spare and hangs it under @parent (NULL: as the root). */
static struct radix_node *add_node(struct radix_tree *tree, struct radix_node *parent, u64 index,
                                   unsigned shift, struct radix_spare *spare)
{
    struct radix_node *node = spare->node[--spare->count];

    node->shift = shift;
    node->parent = parent;
    if (parent) {
        node->offset = slot_of(parent, index);
        parent->slot[node->offset] = node;
        parent->count++;
    } else {
        tree->root = node;
    }
    return node;
}

/* Puts nodes on top of the root until it has @shift. */
static void raise_root(struct radix_tree *tree, unsigned shift, struct radix_spare *spare)
{
    while (tree->root->shift < shift) {
        struct radix_node *old = tree->root;
        struct radix_node *top = add_node(tree, NULL, 0, old->shift + SLOT_BITS, spare);
        top->slot[0] = old;
        top->count = 1;
        for (unsigned tag = 0; tag < RADIX_TAGS; tag++)
            top->tag[tag] = old->tag[tag] != 0;
        old->parent = top;
        old->offset = 0;
    }
}

int radix_insert(struct radix_tree *tree, u64 index, void *item, struct radix_spare *spare)
{
    struct radix_node *node = leaf_of(tree, index);

    if (!node) {
        if (radix_nodes_needed(tree, index) > spare->count)
            return -ENOMEM;
        if (!tree->root)
            add_node(tree, NULL, index, root_shift(index), spare);
        else
            raise_root(tree, root_shift(index), spare);
        for (node = tree->root; node->shift;) {
            struct radix_node *child = node->slot[slot_of(node, index)];
            node = child ? child : add_node(tree, node, index, node->shift - SLOT_BITS, spare);
        }
    }
    void **slot = &node->slot[index & SLOT_MASK];
    if (*slot)
        return -EEXIST;
    *slot = item;
    node->count++;
    return 0;
}

void *radix_lookup(const struct radix_tree *tree, u64 index)
{
    const struct radix_node *leaf = leaf_of(tree, index);

    return leaf ? leaf->slot[index & SLOT_MASK] : NULL;
}

void radix_lookup_run(const struct radix_tree *tree, u64 index, unsigned n, void **items)
{
    while (n > 0) {
        const struct radix_node *leaf = leaf_of(tree, index);
        unsigned i = index & SLOT_MASK;
        for (; i < RADIX_SLOTS && n > 0; i++, index++, n--)
            *items++ = leaf ? leaf->slot[i] : NULL;
    }
}

/* Clears @tag of slot @i of @node, and above where nothing else below carries it. */
static void clear_tag(struct radix_node *node, unsigned i, unsigned tag)
{
    while (node && (node->tag[tag] & 1UL << i)) {
        node->tag[tag] &= ~(1UL << i);
        if (node->tag[tag])
            return;
        i = node->offset;
        node = node->parent;
    }
}

/* Drops roots that only lead to their slot 0. */
static void lower_root(struct radix_tree *tree, void (*free_node)(struct radix_node *))
{
    struct radix_node *root = tree->root;

    while (root && root->shift && root->count == 1 && root->slot[0]) {
        tree->root = root->slot[0];
        tree->root->parent = NULL;
        free_node(root);
        root = tree->root;
    }
}

void *radix_remove(struct radix_tree *tree, u64 index, void (*free_node)(struct radix_node *))
{
    struct radix_node *node = leaf_of(tree, index);
    unsigned i = index & SLOT_MASK;
    void *item = node ? node->slot[i] : NULL;

    if (!item)
        return NULL;
    for (unsigned tag = 0; tag < RADIX_TAGS; tag++)
        clear_tag(node, i, tag);
    node->slot[i] = NULL;
    while (--node->count == 0) {
        struct radix_node *parent = node->parent;
        i = node->offset;
        free_node(node);
        if (!parent) {
            tree->root = NULL;
            return item;
        }
        parent->slot[i] = NULL;
        node = parent;
    }
    lower_root(tree, free_node);
    return item;
}

/* First slot >= @i of @node in use (and tagged); RADIX_SLOTS when there is none. */
static unsigned next_slot(const struct radix_node *node, unsigned i, unsigned tag)
{
    if (tag == NO_TAG) {
        while (i < RADIX_SLOTS && !node->slot[i])
            i++;
        return i;
    }
    u64 bits = i < RADIX_SLOTS ? node->tag[tag] & ~0UL << i : 0;
    return bits ? __builtin_ctzl(bits) : RADIX_SLOTS;
}

/*
 * Depth-first search from *@index. At each node: on to the next slot in use from @i; when there is
 * none, up and one slot further; below it, everything starts at slot 0.
 */
static void *find_next(const struct radix_tree *tree, u64 *index, unsigned tag)
{
    const struct radix_node *node = tree->root;

    if (!node || beyond(*index, node->shift))
        return NULL;
    u64 base = 0;      /* index of slot 0 of @node */
    bool exact = true; /* the path so far is that of *index, so its lower bits count */
    unsigned i = slot_of(node, *index);

    for (;;) {
        unsigned found = next_slot(node, i, tag);
        if (found == RADIX_SLOTS) {
            if (!node->parent)
                return NULL;
            i = node->offset + 1;
            node = node->parent;
            base -= (u64)(i - 1) << node->shift;
            exact = false;
            continue;
        }
        exact = exact && found == i;
        base += (u64)found << node->shift;
        if (node->shift == 0) {
            *index = base;
            return node->slot[found];
        }
        node = node->slot[found];
        i = exact ? slot_of(node, *index) : 0;
    }
}

void *radix_next(const struct radix_tree *tree, u64 *index)
{
    return find_next(tree, index, NO_TAG);
}

void *radix_next_tagged(const struct radix_tree *tree, u64 *index, unsigned tag)
{
    return find_next(tree, index, tag);
}

void radix_tag_set(struct radix_tree *tree, u64 index, unsigned tag)
{
    struct radix_node *node = leaf_of(tree, index);
    unsigned i = index & SLOT_MASK;

    if (!node || !node->slot[i])
        return;
    while (node && !(node->tag[tag] & 1UL << i)) {
        node->tag[tag] |= 1UL << i;
        i = node->offset;
        node = node->parent;
    }
}

void radix_tag_clear(struct radix_tree *tree, u64 index, unsigned tag)
{
    struct radix_node *leaf = leaf_of(tree, index);

    if (leaf)
        clear_tag(leaf, index & SLOT_MASK, tag);
}

bool radix_tag_get(const struct radix_tree *tree, u64 index, unsigned tag)
{
    const struct radix_node *leaf = leaf_of(tree, index);

    return leaf && (leaf->tag[tag] >> (index & SLOT_MASK) & 1);
}
