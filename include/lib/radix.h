/*
 * Radix tree from a 64-bit index to a non-NULL pointer, 64 slots a node, with two tags per entry
 * (for example dirty and writeback) that can be searched. Takes no locks and allocates nothing
 * itself: the caller hands node memory in through radix_prepare().
 */
#pragma once

#include "lib/types.h"

#define RADIX_SLOTS      64
#define RADIX_MAX_HEIGHT 11
#define RADIX_TAGS       2
/* Most nodes one insertion takes: up to 10 to raise the root, as many again for the new path. */
#define RADIX_MAX_NEED   (2 * (RADIX_MAX_HEIGHT - 1))

struct radix_node {
    u8 shift;  /* index bits below this node */
    u8 offset; /* slot in the parent */
    u16 count; /* non-NULL slots */
    struct radix_node *parent;
    void *slot[RADIX_SLOTS];
    u64 tag[RADIX_TAGS]; /* bit i: slot i (or something below it) carries the tag */
};

struct radix_tree {
    struct radix_node *root;
};

/* Spare nodes for one insertion, filled by the caller before it takes its lock. */
struct radix_spare {
    unsigned count;
    struct radix_node *node[RADIX_MAX_NEED];
};

/* How many nodes inserting @index may need at most, given the tree as it is now. */
unsigned radix_nodes_needed(const struct radix_tree *tree, u64 index);

/*
 * Inserts @item (non-NULL) at @index, taking zeroed nodes from @spare.
 * Returns 0, -EEXIST when the slot is taken, -ENOMEM when @spare runs out (tree unchanged).
 */
int radix_insert(struct radix_tree *tree, u64 index, void *item, struct radix_spare *spare);

/* The item at @index or NULL. */
void *radix_lookup(const struct radix_tree *tree, u64 index);

/* The @n items from @index on, each in its place of @items; NULL where there is none. */
void radix_lookup_run(const struct radix_tree *tree, u64 index, unsigned n, void **items);

/*
 * Removes and returns the item at @index (NULL when none). Nodes that become empty are passed to
 * @free_node, which must not sleep.
 */
void *radix_remove(struct radix_tree *tree, u64 index, void (*free_node)(struct radix_node *));

/* First item at an index >= *@index; sets *@index to where it is. NULL at the end. */
void *radix_next(const struct radix_tree *tree, u64 *index);

/* The same, among items carrying @tag. */
void *radix_next_tagged(const struct radix_tree *tree, u64 *index, unsigned tag);

/* Tags belong to items: setting one where no item is does nothing; a new item carries none. */
void radix_tag_set(struct radix_tree *tree, u64 index, unsigned tag);
void radix_tag_clear(struct radix_tree *tree, u64 index, unsigned tag);
bool radix_tag_get(const struct radix_tree *tree, u64 index, unsigned tag);
