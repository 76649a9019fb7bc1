/*
 * The red-black tree against a sorted set of keys, with an augmented value: the sum of the keys and
 * the number of nodes of each subtree.
 */
#include "test.h"

#include "lib/rbtree.h"

#define KEYS 600

struct item {
    struct rb_node node;
    u64 key;
    u64 sum, count; /* of the subtree */
};

static struct item *item_of(struct rb_node *n)
{
    return rb_entry(n, struct item, node);
}

static u64 expected_sum(struct item *it)
{
    struct rb_node *l = it->node.left, *r = it->node.right;

    return it->key + (l ? item_of(l)->sum : 0) + (r ? item_of(r)->sum : 0);
}

static u64 expected_count(struct item *it)
{
    struct rb_node *l = it->node.left, *r = it->node.right;

    return 1 + (l ? item_of(l)->count : 0) + (r ? item_of(r)->count : 0);
}

static void update(struct rb_node *n)
{
    item_of(n)->sum = expected_sum(item_of(n));
    item_of(n)->count = expected_count(item_of(n));
}

static void insert(struct rb_root *root, struct item *it, rb_update_fn fn)
{
    struct rb_node **link = &root->node, *parent = NULL;

    while (*link) {
        parent = *link;
        link = it->key < item_of(parent)->key ? &parent->left : &parent->right;
    }
    rb_link(&it->node, parent, link);
    rb_insert_fixup(root, &it->node, fn);
}

/* The tree holds exactly the keys k with present[k], forwards and backwards. */
static void check(const struct rb_root *root, const bool *present, bool augmented)
{
    struct rb_node *n = rb_first(root), *last = NULL;
    u64 sum = 0, count = 0;

    assert_true(rb_verify(root));
    for (u64 k = 0; k < KEYS; k++) {
        if (!present[k])
            continue;
        assert_non_null(n);
        assert_int_equal(item_of(n)->key, k);
        assert_ptr_equal(rb_prev(n), last);
        if (augmented) {
            assert_int_equal(item_of(n)->sum, expected_sum(item_of(n)));
            assert_int_equal(item_of(n)->count, expected_count(item_of(n)));
        }
        sum += k;
        count++;
        last = n;
        n = rb_next(n);
    }
    assert_null(n);
    assert_ptr_equal(rb_last(root), last);
    if (augmented && root->node) {
        assert_int_equal(item_of(root->node)->sum, sum);
        assert_int_equal(item_of(root->node)->count, count);
    }
}

static void random_operations(bool augmented)
{
    rb_update_fn fn = augmented ? update : NULL;

    for (unsigned round = 0; round < 12; round++) {
        struct rb_root root = {};
        struct item *items[KEYS] = {};
        bool present[KEYS] = {};
        unsigned range = 1 + random_below(round < 4 ? 12 : KEYS);

        for (unsigned step = 0; step < 2500; step++) {
            u64 k = random_below(range);
            /* Phases that grow and phases that shrink. */
            bool grow = random_chance(step / 500 % 2 ? 30 : 70);
            if (grow && !present[k]) {
                items[k] = malloc(sizeof(*items[k]));
                items[k]->key = k;
                insert(&root, items[k], fn);
                present[k] = true;
            } else if (!grow && present[k]) {
                rb_erase(&root, &items[k]->node, fn);
                free(items[k]); /* a pointer left behind is seen by the sanitizer */
                present[k] = false;
            }
            if (step % 7 == 0 || range < 20)
                check(&root, present, augmented);
        }
        for (u64 k = 0; k < range; k++) {
            if (present[k]) {
                rb_erase(&root, &items[k]->node, fn);
                free(items[k]);
                present[k] = false;
            }
        }
        check(&root, present, augmented);
        assert_null(root.node);
    }
}

static void test_plain(void **state)
{
    random_start(__func__);
    random_operations(false);
}

static void test_augmented(void **state)
{
    random_start(__func__);
    random_operations(true);
}

/* Every order of erasing from every tree that ascending insertion of few keys builds. */
static void test_small_exhaustive(void **state)
{
    for (unsigned n = 1; n <= 6; n++) {
        unsigned orders = 1;
        for (unsigned i = 2; i <= n; i++)
            orders *= i;
        for (unsigned order = 0; order < orders; order++) {
            struct item items[6];
            struct rb_root root = {};
            bool present[KEYS] = {};
            for (unsigned i = 0; i < n; i++) {
                items[i].key = i;
                insert(&root, &items[i], update);
                present[i] = true;
            }
            for (unsigned left = n, rest = order; left; left--) {
                unsigned pick = rest % left, k = 0;
                rest /= left;
                while (!present[k] || pick--)
                    k++;
                rb_erase(&root, &items[k].node, update);
                present[k] = false;
                check(&root, present, true);
            }
        }
    }
}

static void test_height(void **state)
{
    static struct item items[1 << 14];
    struct rb_root root = {};
    unsigned height = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(items); i++) {
        items[i].key = i;
        insert(&root, &items[i], NULL);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(items); i++) {
        unsigned depth = 0;
        for (struct rb_node *n = &items[i].node; n; n = rb_parent(n))
            depth++;
        height = MAX(height, depth);
    }
    assert_in_range(height, 14, 28);
}

static void test_update_up(void **state)
{
    struct item items[100];
    struct rb_root root = {};
    u64 sum = 0;

    random_start(__func__);
    for (unsigned i = 0; i < 100; i++) {
        items[i].key = i * 10;
        insert(&root, &items[i], update);
        sum += i * 10;
    }
    for (unsigned i = 0; i < 100; i++) {
        struct item *it = &items[random_below(100)];
        it->key++;
        sum++;
        rb_update_up(&it->node, update);
        assert_int_equal(item_of(root.node)->sum, sum);
    }
}

/* rb_verify() must see each kind of damage. */
static void test_verify_detects(void **state)
{
    struct item items[31];
    struct rb_root root = {};

    assert_true(rb_verify(&root));
    for (unsigned i = 0; i < 31; i++) {
        items[i].key = i;
        insert(&root, &items[i], NULL);
    }
    assert_true(rb_verify(&root));
    for (unsigned i = 0; i < 31; i++) {
        items[i].node.parent_colour ^= 1; /* some paths, not all, change their length */
        assert_false(rb_verify(&root));
        items[i].node.parent_colour ^= 1;
        uintptr_t saved = items[i].node.parent_colour;
        items[i].node.parent_colour = (uintptr_t)&items[i].node | (saved & 1);
        assert_false(rb_verify(&root));
        items[i].node.parent_colour = saved;
        if (&items[i].node != root.node) {
            items[i].node.parent_colour = saved & 1;
            assert_false(rb_verify(&root));
            items[i].node.parent_colour = saved;
        }
    }
    assert_true(rb_verify(&root));
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_augmented),
        cmocka_unit_test(test_small_exhaustive),
        cmocka_unit_test(test_height),
        cmocka_unit_test(test_update_up),
        cmocka_unit_test(test_verify_detects),
    };
    return RUN_TESTS("rbtree", tests);
}
