/* The radix tree against a sorted array of (index, item, tags). */
#include "test.h"

#include "lib/radix.h"

#include <errno.h>

struct entry {
    u64 index;
    void *item;
    bool tag[RADIX_TAGS];
};

#define MAX_ENTRIES 2000
static struct entry model[MAX_ENTRIES]; /* sorted by index */
static unsigned entries;
static long nodes_live;

static void free_node(struct radix_node *node)
{
    nodes_live--;
    free(node);
}

static void spare_fill(struct radix_spare *spare, unsigned n)
{
    assert_true(n <= RADIX_MAX_NEED);
    for (spare->count = 0; spare->count < n; spare->count++) {
        spare->node[spare->count] = calloc(1, sizeof(struct radix_node));
        nodes_live++;
    }
}

static void spare_drop(struct radix_spare *spare)
{
    while (spare->count)
        free_node(spare->node[--spare->count]);
}

/* Position of the first entry with an index >= @index. */
static unsigned model_find(u64 index)
{
    unsigned lo = 0, hi = entries;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (model[mid].index < index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct entry *model_at(u64 index)
{
    unsigned i = model_find(index);

    return i < entries && model[i].index == index ? &model[i] : NULL;
}

static void model_insert(u64 index, void *item)
{
    unsigned i = model_find(index);

    memmove(&model[i + 1], &model[i], (entries - i) * sizeof(model[0]));
    model[i] = (struct entry){.index = index, .item = item};
    entries++;
}

static void model_remove(struct entry *e)
{
    memmove(e, e + 1, (&model[entries] - (e + 1)) * sizeof(*e));
    entries--;
}

/* Structure: counts, parent links, no empty node, tags are the OR of those below. */
static u64 check_node(const struct radix_node *node, u64 base)
{
    unsigned count = 0;
    u64 items = 0;

    for (unsigned i = 0; i < RADIX_SLOTS; i++) {
        const void *slot = node->slot[i];
        u64 index = base | (u64)i << node->shift;
        if (!slot) {
            for (unsigned tag = 0; tag < RADIX_TAGS; tag++)
                assert_false(node->tag[tag] >> i & 1);
            continue;
        }
        count++;
        if (node->shift == 0) {
            struct entry *e = model_at(index);
            assert_non_null(e);
            assert_ptr_equal(e->item, slot);
            for (unsigned tag = 0; tag < RADIX_TAGS; tag++)
                assert_int_equal(node->tag[tag] >> i & 1, e->tag[tag]);
            items++;
            continue;
        }
        const struct radix_node *child = slot;
        assert_ptr_equal(child->parent, node);
        assert_int_equal(child->offset, i);
        assert_int_equal(child->shift + 6, node->shift);
        for (unsigned tag = 0; tag < RADIX_TAGS; tag++)
            assert_int_equal(node->tag[tag] >> i & 1, child->tag[tag] != 0);
        items += check_node(child, index);
    }
    assert_true(count > 0);
    assert_int_equal(node->count, count);
    return items;
}

static void check_tree(const struct radix_tree *tree)
{
    if (tree->root) {
        assert_null(tree->root->parent);
        assert_int_equal(check_node(tree->root, 0), entries);
    } else {
        assert_int_equal(entries, 0);
        assert_int_equal(nodes_live, 0);
    }
}

static void check_next(const struct radix_tree *tree, u64 from)
{
    for (unsigned tag = 0; tag <= RADIX_TAGS; tag++) {
        unsigned i = model_find(from);
        while (i < entries && tag < RADIX_TAGS && !model[i].tag[tag])
            i++;
        u64 index = from;
        void *item =
            tag < RADIX_TAGS ? radix_next_tagged(tree, &index, tag) : radix_next(tree, &index);
        if (i == entries) {
            assert_null(item);
        } else {
            assert_ptr_equal(item, model[i].item);
            assert_int_equal(index, model[i].index);
        }
    }
}

static void insert(struct radix_tree *tree, u64 index)
{
    void *item = (void *)(random_u64() | 1);
    struct radix_spare spare;
    bool taken = model_at(index);
    unsigned need = radix_nodes_needed(tree, index);

    if (taken)
        assert_int_equal(need, 0);
    if (need) {
        /* One node too few: refused, and nothing has changed. */
        spare_fill(&spare, need - 1);
        assert_int_equal(radix_insert(tree, index, item, &spare), -ENOMEM);
        assert_int_equal(spare.count, need - 1);
        assert_null(radix_lookup(tree, index));
        spare_drop(&spare);
        if (random_chance(10))
            check_tree(tree);
    }
    spare_fill(&spare, need);
    assert_int_equal(radix_insert(tree, index, item, &spare), taken ? -EEXIST : 0);
    assert_int_equal(spare.count, 0); /* the need was exact */
    if (!taken)
        model_insert(index, item);
}

static void remove_index(struct radix_tree *tree, u64 index)
{
    struct entry *e = model_at(index);

    assert_ptr_equal(radix_remove(tree, index, free_node), e ? e->item : NULL);
    if (e)
        model_remove(e);
    assert_null(radix_lookup(tree, index));
}

static void change_tag(struct radix_tree *tree, u64 index, unsigned tag, bool set)
{
    struct entry *e = model_at(index);

    if (set)
        radix_tag_set(tree, index, tag);
    else
        radix_tag_clear(tree, index, tag);
    if (e)
        e->tag[tag] = set;
    assert_int_equal(radix_tag_get(tree, index, tag), e && set);
}

/* Indices near each other, spread, or at the very end of the range. */
static u64 pick_index(unsigned style)
{
    if (entries && random_chance(40))
        return model[random_below(entries)].index + random_below(2);
    switch (style % 4) {
    case 0:
        return random_below(300);
    case 1:
        return random_below(1 << 20);
    case 2:
        return random_magnitude();
    default:
        return ~random_magnitude();
    }
}

static void test_model(void **state)
{
    random_start(__func__);
    for (unsigned round = 0; round < 16; round++) {
        struct radix_tree tree = {};
        entries = 0;
        for (unsigned step = 0; step < 3000; step++) {
            u64 index = pick_index(round < 12 ? round : random_below(4));
            unsigned tag = random_below(RADIX_TAGS);
            bool grow = step / 600 % 2 == 0;
            unsigned what = random_below(100);
            if (what < (grow ? 45 : 10) && entries < MAX_ENTRIES)
                insert(&tree, index);
            else if (what < 55)
                remove_index(&tree, index);
            else
                change_tag(&tree, index, tag, what < 85);
            struct entry *e = model_at(index);
            assert_ptr_equal(radix_lookup(&tree, index), e ? e->item : NULL);
            check_next(&tree, pick_index(round));
            if (step % 64 == 0)
                check_tree(&tree);
        }
        check_next(&tree, 0);
        check_next(&tree, ~0UL);
        while (entries)
            remove_index(&tree, model[random_below(entries)].index);
        check_tree(&tree);
    }
}

/* The greatest indices, and the greatest possible need of nodes. */
static void test_extremes(void **state)
{
    static const u64 indices[] = {0, 63, 64, 4095, 4096, 1UL << 59, 1UL << 60, 1UL << 63, ~0UL};
    struct radix_tree tree = {};

    random_start(__func__);
    entries = 0;
    assert_int_equal(radix_nodes_needed(&tree, 0), 1);
    assert_int_equal(radix_nodes_needed(&tree, ~0UL), RADIX_MAX_HEIGHT);
    insert(&tree, 0);
    assert_int_equal(radix_nodes_needed(&tree, ~0UL), RADIX_MAX_NEED);
    for (unsigned i = 1; i < ARRAY_SIZE(indices); i++) {
        insert(&tree, indices[i]);
        change_tag(&tree, indices[i], i % 2, true);
        check_tree(&tree);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(indices); i++) {
        check_next(&tree, indices[i]);
        check_next(&tree, indices[i] + 1);
    }
    /* Taking the greatest ones out lowers the tree to one node again. */
    for (unsigned i = ARRAY_SIZE(indices); i-- > 1;)
        remove_index(&tree, indices[i]);
    check_tree(&tree);
    assert_int_equal(nodes_live, 1);
    remove_index(&tree, 0);
    assert_int_equal(nodes_live, 0);
    u64 index = 0;
    assert_null(radix_next(&tree, &index));
    assert_null(radix_lookup(&tree, 0));
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_extremes),
    };
    return RUN_TESTS("radix", tests);
}
