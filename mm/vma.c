/*
 * The tree of mapped ranges.
 *
 * A red-black tree by address. Each vma knows the free space in front of it (->gap: from the end of
 * its predecessor, or from address 0), and the greatest such gap in its subtree (->max_gap), so
 * that a search for free space passes over whole subtrees that have none. The space behind the last
 * vma belongs to nobody's gap and is looked at separately.
 *
 *      gap of A      A     gap of B     B                 (no gap kept)
 *     |--------|[========)|--------|[======)|-----------------------------
 *     0
 *
 * Whoever changes a bound changes two gaps at most: that of the vma and that of its successor.
 *
 * Nothing here takes locks, allocates or can fail half-way; the address space's lock orders
 * callers.
 */
#include "mm/vma.h"

#include "core/errno.h"
#include "core/panic.h"
#include "lib/string.h"

static inline struct vma *vma_of(struct rb_node *node)
{
    return node ? rb_entry(node, struct vma, node) : NULL;
}

static inline u64 subtree_gap(struct rb_node *node)
{
    return node ? vma_of(node)->max_gap : 0;
}

static u64 computed_max_gap(const struct vma *v)
{
    u64 below = MAX(subtree_gap(v->node.left), subtree_gap(v->node.right));

    return MAX(v->gap, below);
}

static void update_max_gap(struct rb_node *node)
{
    struct vma *v = vma_of(node);

    v->max_gap = computed_max_gap(v);
}

void vma_tree_init(struct vma_tree *t)
{
    *t = (struct vma_tree){};
}

struct vma *vma_find(const struct vma_tree *t, u64 addr)
{
    struct rb_node *node = t->root.node;

    while (node) {
        struct vma *v = rb_entry(node, struct vma, node);
        if (addr < v->start)
            node = node->left;
        else if (addr >= v->end)
            node = node->right;
        else
            return v;
    }
    return NULL;
}

struct vma *vma_find_next(const struct vma_tree *t, u64 addr)
{
    struct rb_node *node = t->root.node;
    struct vma *best = NULL;

    while (node) {
        struct vma *v = rb_entry(node, struct vma, node);
        if (addr >= v->end) {
            node = node->right;
        } else {
            best = v;
            if (addr >= v->start)
                break;
            node = node->left;
        }
    }
    return best;
}

struct vma *vma_first(const struct vma_tree *t)
{
    return vma_of(rb_first(&t->root));
}

static struct vma *vma_last(const struct vma_tree *t)
{
    return vma_of(rb_last(&t->root));
}

struct vma *vma_next(const struct vma *v)
{
    return vma_of(rb_next(&v->node));
}

struct vma *vma_prev(const struct vma *v)
{
    return vma_of(rb_prev(&v->node));
}

void vma_insert(struct vma_tree *t, struct vma *v)
{
    struct rb_node **link = &t->root.node, *parent = NULL;
    struct vma *prev = NULL, *next = NULL;

    assert(v->start < v->end);
    while (*link) {
        struct vma *at = rb_entry(*link, struct vma, node);
        parent = *link;
        if (v->start < at->start) {
            next = at;
            link = &parent->left;
        } else {
            prev = at;
            link = &parent->right;
        }
    }
    assert(!prev || prev->end <= v->start);
    assert(!next || v->end <= next->start);

    /* The neighbours of a new leaf are its ancestors: one walk to the root refreshes them too. */
    v->gap = v->start - (prev ? prev->end : 0);
    if (next)
        next->gap = next->start - v->end;
    rb_link(&v->node, parent, link);
    rb_insert_fixup(&t->root, &v->node, update_max_gap);
    t->count++;
}

void vma_remove(struct vma_tree *t, struct vma *v)
{
    struct vma *next = vma_next(v);

    if (next)
        next->gap += v->gap + (v->end - v->start);
    rb_erase(&t->root, &v->node, update_max_gap);
    if (next)
        rb_update_up(&next->node, update_max_gap);
    t->count--;
}

void vma_set_bounds(struct vma_tree *t, struct vma *v, u64 start, u64 end)
{
    struct vma *next = vma_next(v);
    u64 floor = v->start - v->gap; /* where the predecessor ends */

    assert(start < end && floor <= start);
    assert(!next || end <= next->start);
    if (end != v->end) {
        v->end = end;
        if (next) {
            next->gap = next->start - end;
            rb_update_up(&next->node, update_max_gap);
        }
    }
    if (start != v->start) {
        v->start = start;
        v->gap = start - floor;
        rb_update_up(&v->node, update_max_gap);
    }
}

void vma_split(struct vma_tree *t, struct vma *v, u64 addr, struct vma *upper)
{
    assert(v->start < addr && addr < v->end);
    upper->start = addr;
    upper->end = v->end;
    upper->prot = v->prot;
    upper->max_prot = v->max_prot;
    upper->flags = v->flags;
    upper->object = v->object;
    upper->file = v->file;
    upper->offset = v->offset + (addr - v->start);
    upper->name = v->name;
    upper->aspace = v->aspace;
    v->end = addr; /* the successor's gap follows from vma_insert() */
    vma_insert(t, upper);
}

static bool same_name(const struct vma_name *a, const struct vma_name *b)
{
    return a == b || (a && b && strcmp(a->text, b->text) == 0);
}

bool vma_can_merge(const struct vma *a, const struct vma *b)
{
    if (a->end != b->start || a->flags != b->flags ||
        (a->flags & (VMA_SPECIAL | VMA_GROWSDOWN)) != 0)
        return false;
    if (a->prot != b->prot || a->max_prot != b->max_prot || a->object != b->object ||
        a->file != b->file || a->aspace != b->aspace || !same_name(a->name, b->name))
        return false;
    return !a->object || a->offset + (a->end - a->start) == b->offset;
}

/*
 * From @v on (itself included) downwards or upwards in address, the first vma with a gap of at
 * least @length. NULL when there is none. Visits a number of nodes proportional to the height:
 * subtrees without such a gap are passed over.
 */
static struct vma *seek_gap(struct vma *v, u64 length, bool down)
{
    while (v) {
        if (v->gap >= length)
            return v;
        /* What lies on the far side of @v in the direction of travel. */
        struct rb_node *node = &v->node;
        struct rb_node *sub = down ? node->left : node->right;
        if (subtree_gap(sub) >= length) {
            /* The answer is in there: go for the nearest end of it. */
            for (;;) {
                struct rb_node *near = down ? sub->right : sub->left;
                if (subtree_gap(near) >= length)
                    sub = near;
                else if (vma_of(sub)->gap >= length)
                    return vma_of(sub);
                else
                    sub = down ? sub->left : sub->right;
            }
        }
        struct rb_node *parent = rb_parent(node);
        while (parent && node == (down ? parent->left : parent->right)) {
            node = parent;
            parent = rb_parent(node);
        }
        v = vma_of(parent);
    }
    return NULL;
}

/* Clips a free range to the window; true when @length bytes fit. */
static bool range_fits(u64 *start, u64 *end, u64 low, u64 high, u64 length)
{
    *start = MAX(*start, low);
    *end = MIN(*end, high);
    return *start < *end && *end - *start >= length;
}

int vma_find_gap_down(const struct vma_tree *t, u64 low, u64 high, u64 length, u64 *out)
{
    if (low >= high || length == 0 || high - low < length)
        return -ENOMEM;

    /* The range that @high cuts: before the first vma that ends above it, or behind the last. */
    struct vma *v = vma_find_next(t, high);
    struct vma *prev = v ? vma_prev(v) : vma_last(t);
    u64 start = prev ? prev->end : 0, end = v ? v->start : ~0UL;
    if (!range_fits(&start, &end, low, high, length)) {
        /* Of those wholly below @high only the highest that is long enough can reach above @low. */
        v = seek_gap(prev, length, true);
        if (!v)
            return -ENOMEM;
        end = v->start;
        start = v->start - v->gap;
        if (!range_fits(&start, &end, low, high, length))
            return -ENOMEM;
    }
    *out = end - length;
    return 0;
}

int vma_find_gap_up(const struct vma_tree *t, u64 low, u64 high, u64 length, u64 *out)
{
    if (low >= high || length == 0 || high - low < length)
        return -ENOMEM;

    /* The range that @low cuts, then the lowest long enough above it, then that behind the last. */
    struct vma *v = vma_find_next(t, low);
    if (v) {
        u64 start = v->start - v->gap, end = v->start;
        if (range_fits(&start, &end, low, high, length)) {
            *out = start;
            return 0;
        }
        v = seek_gap(vma_next(v), length, false);
    }
    struct vma *last = v ? NULL : vma_last(t);
    u64 start = v ? v->start - v->gap : last ? last->end : 0;
    u64 end = v ? v->start : ~0UL;
    if (!range_fits(&start, &end, low, high, length))
        return -ENOMEM;
    *out = start;
    return 0;
}

bool vma_range_free(const struct vma_tree *t, u64 start, u64 end)
{
    const struct vma *v = vma_find_next(t, start);

    return !v || v->start >= end;
}

bool vma_tree_verify(const struct vma_tree *t)
{
    const struct vma *prev = NULL;
    u64 count = 0;

    if (!rb_verify(&t->root))
        return false;
    for (const struct vma *v = vma_first(t); v; prev = v, v = vma_next(v)) {
        if (v->start >= v->end || !IS_ALIGNED(v->start | v->end, PAGE_SIZE))
            return false;
        if (v->start < (prev ? prev->end : 0))
            return false;
        if (v->gap != v->start - (prev ? prev->end : 0) || v->max_gap != computed_max_gap(v))
            return false;
        if (prev && vma_can_merge(prev, v))
            return false;
        count++;
    }
    return count == t->count;
}
