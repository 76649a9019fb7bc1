/*
 * Red-black tree, intrusive, optionally augmented. The caller walks down and links a node itself
 * (so that comparison is inlined), then rb_insert_fixup() balances.
 */
#pragma once

#include "lib/types.h"

struct rb_node {
    uintptr_t parent_colour; /* parent pointer, bit 0 set when black */
    struct rb_node *left, *right;
};

struct rb_root {
    struct rb_node *node;
};

/*
 * For augmented trees: recompute the value that @node derives from itself and its children.
 * => Called bottom up after every structural change; NULL when the tree is not augmented.
 */
typedef void (*rb_update_fn)(struct rb_node *node);

/* Hangs @node under @parent at *@link (one of the parent's child pointers or the root's). */
static inline void rb_link(struct rb_node *node, struct rb_node *parent, struct rb_node **link)
{
    node->parent_colour = (uintptr_t)parent;
    node->left = node->right = NULL;
    *link = node;
}

static inline struct rb_node *rb_parent(const struct rb_node *node)
{
    return (struct rb_node *)(node->parent_colour & ~(uintptr_t)1);
}

/* Balances after rb_link(); with @update also refreshes the augmented values up to the root. */
void rb_insert_fixup(struct rb_root *root, struct rb_node *node, rb_update_fn update);

/* Takes @node out of the tree. */
void rb_erase(struct rb_root *root, struct rb_node *node, rb_update_fn update);

/* Refreshes augmented values from @node up to the root, after the node's own value changed. */
void rb_update_up(struct rb_node *node, rb_update_fn update);

struct rb_node *rb_first(const struct rb_root *root); /* leftmost, NULL when empty */
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node); /* in-order successor or NULL */
struct rb_node *rb_prev(const struct rb_node *node);

/* Checks colours, black heights and parent links. Returns false on a broken tree (debug, tests). */
bool rb_verify(const struct rb_root *root);

#define rb_entry(node, type, member) container_of(node, type, member)
#define rb_for_each(pos, root)       for (pos = rb_first(root); pos; pos = rb_next(pos))
