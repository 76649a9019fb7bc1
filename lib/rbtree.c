/*
 * Red-black trees, bottom-up, with parent pointers.
 *
 * Rules: the root is black; a red node has black children; every path from a node down to a missing
 * child passes the same number of black nodes (missing children count as black). Together they
 * bound the height by twice the logarithm of the size.
 *
 * A new node is red. If its parent is red too, the violation is recoloured upwards until one or two
 * rotations end it. Taking out a black node leaves one path a black node short; the shortage is
 * moved upwards until a red node can be painted black or a rotation borrows one from the sibling.
 *
 * Augmentation: a node carries a value that is a function of the nodes of its subtree (not of their
 * arrangement). Linking or unlinking refreshes the path to the root once; a rotation keeps the set
 * of nodes below its top, so only the two nodes that change places are refreshed.
 */
#include "lib/rbtree.h"

#define RB_BLACK ((uintptr_t)1)

static inline bool is_red(const struct rb_node *n)
{
    return n && !(n->parent_colour & RB_BLACK);
}

static inline void set_black(struct rb_node *n)
{
    n->parent_colour |= RB_BLACK;
}

static inline void set_red(struct rb_node *n)
{
    n->parent_colour &= ~RB_BLACK;
}

static inline void set_parent(struct rb_node *n, struct rb_node *parent)
{
    n->parent_colour = (uintptr_t)parent | (n->parent_colour & RB_BLACK);
}

/* Lets whatever pointed at @old (its parent or the root) point at @new, which may be NULL. */
static inline void replace_child(struct rb_root *root, struct rb_node *parent,
                                 const struct rb_node *old, struct rb_node *new)
{
    if (!parent)
        root->node = new;
    else if (parent->left == old)
        parent->left = new;
    else
        parent->right = new;
}

/* Hangs @up, a child of @down, in the place of @down, and @down below it. */
static inline void rotate_finish(struct rb_root *root, struct rb_node *down, struct rb_node *up,
                                 rb_update_fn update)
{
    struct rb_node *parent = rb_parent(down);

    set_parent(up, parent);
    replace_child(root, parent, down, up);
    set_parent(down, up);
    if (update) {
        update(down);
        update(up);
    }
}

static void rotate_left(struct rb_root *root, struct rb_node *down, rb_update_fn update)
{
    struct rb_node *up = down->right;

    down->right = up->left;
    if (up->left)
        set_parent(up->left, down);
    up->left = down;
    rotate_finish(root, down, up, update);
}

static void rotate_right(struct rb_root *root, struct rb_node *down, rb_update_fn update)
{
    struct rb_node *up = down->left;

    down->left = up->right;
    if (up->right)
        set_parent(up->right, down);
    up->right = down;
    rotate_finish(root, down, up, update);
}

void rb_update_up(struct rb_node *node, rb_update_fn update)
{
    for (; node; node = rb_parent(node))
        update(node);
}

void rb_insert_fixup(struct rb_root *root, struct rb_node *node, rb_update_fn update)
{
    struct rb_node *parent;

    if (update)
        rb_update_up(node, update);
    while (is_red(parent = rb_parent(node))) {
        struct rb_node *grand = rb_parent(parent); /* exists: a red node is not the root */
        bool left = parent == grand->left;
        struct rb_node *uncle = left ? grand->right : grand->left;

        if (is_red(uncle)) {
            set_black(parent);
            set_black(uncle);
            set_red(grand);
            node = grand;
            continue;
        }
        if (left) {
            if (node == parent->right) {
                rotate_left(root, parent, update);
                parent = node;
            }
            rotate_right(root, grand, update);
        } else {
            if (node == parent->left) {
                rotate_right(root, parent, update);
                parent = node;
            }
            rotate_left(root, grand, update);
        }
        set_black(parent);
        set_red(grand);
        break;
    }
    set_black(root->node);
}

/*
 * The paths through @node (a child of @parent, possibly missing) are one black node short.
 */
static void erase_fixup(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
                        rb_update_fn update)
{
    while (parent && !is_red(node)) {
        bool left = node == parent->left;
        struct rb_node *sibling = left ? parent->right : parent->left;

        if (is_red(sibling)) {
            set_black(sibling);
            set_red(parent);
            if (left)
                rotate_left(root, parent, update);
            else
                rotate_right(root, parent, update);
            sibling = left ? parent->right : parent->left;
        }
        struct rb_node *near = left ? sibling->left : sibling->right;
        struct rb_node *far = left ? sibling->right : sibling->left;
        if (!is_red(near) && !is_red(far)) {
            set_red(sibling);
            node = parent;
            parent = rb_parent(node);
            continue;
        }
        if (!is_red(far)) {
            set_black(near);
            set_red(sibling);
            if (left)
                rotate_right(root, sibling, update);
            else
                rotate_left(root, sibling, update);
            far = sibling;
            sibling = near;
        }
        if (is_red(parent))
            set_red(sibling);
        else
            set_black(sibling);
        set_black(parent);
        set_black(far);
        if (left)
            rotate_left(root, parent, update);
        else
            rotate_right(root, parent, update);
        return;
    }
    if (node)
        set_black(node);
}

void rb_erase(struct rb_root *root, struct rb_node *node, rb_update_fn update)
{
    struct rb_node *child, *parent; /* what moves up, and what it hangs from afterwards */
    bool was_red;

    if (node->left && node->right) {
        /* The successor has no left child: take it out below, then put it in @node's place. */
        struct rb_node *next = node->right;
        while (next->left)
            next = next->left;
        child = next->right;
        was_red = is_red(next);
        parent = rb_parent(next);
        if (parent == node) {
            parent = next;
        } else {
            parent->left = child;
            if (child)
                set_parent(child, parent);
            next->right = node->right;
            set_parent(next->right, next);
        }
        next->left = node->left;
        set_parent(next->left, next);
        replace_child(root, rb_parent(node), node, next);
        next->parent_colour = node->parent_colour;
    } else {
        child = node->left ? node->left : node->right;
        was_red = is_red(node);
        parent = rb_parent(node);
        replace_child(root, parent, node, child);
        if (child)
            set_parent(child, parent);
    }
    if (update)
        rb_update_up(parent, update);
    if (!was_red)
        erase_fixup(root, child, parent, update);
}

struct rb_node *rb_first(const struct rb_root *root)
{
    struct rb_node *n = root->node;

    while (n && n->left)
        n = n->left;
    return n;
}

struct rb_node *rb_last(const struct rb_root *root)
{
    struct rb_node *n = root->node;

    while (n && n->right)
        n = n->right;
    return n;
}

struct rb_node *rb_next(const struct rb_node *node)
{
    struct rb_node *n = node->right;

    if (n) {
        while (n->left)
            n = n->left;
        return n;
    }
    for (n = rb_parent(node); n && node == n->right; n = rb_parent(n))
        node = n;
    return n;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
    struct rb_node *n = node->left;

    if (n) {
        while (n->right)
            n = n->right;
        return n;
    }
    for (n = rb_parent(node); n && node == n->left; n = rb_parent(n))
        node = n;
    return n;
}

/*
 * Parent and child pointers agree. Each node's link to its parent is checked before the walk goes
 * on through it, so the walk cannot go astray.
 */
static bool links_agree(const struct rb_root *root)
{
    const struct rb_node *n;

    rb_for_each (n, root) {
        const struct rb_node *parent = rb_parent(n);
        if (parent ? parent->left != n && parent->right != n : n != root->node)
            return false;
        if ((n->left && rb_parent(n->left) != n) || (n->right && rb_parent(n->right) != n))
            return false;
    }
    return true;
}

bool rb_verify(const struct rb_root *root)
{
    const struct rb_node *n;
    long expected = -1; /* black nodes on each path from the root to a missing child */

    if (is_red(root->node) || !links_agree(root))
        return false;
    rb_for_each (n, root) {
        if (is_red(n) && (is_red(n->left) || is_red(n->right)))
            return false;
        if (n->left && n->right)
            continue;
        long black = 0;
        for (const struct rb_node *up = n; up; up = rb_parent(up))
            black += !is_red(up);
        if (expected >= 0 && black != expected)
            return false;
        expected = black;
    }
    return true;
}
