/*
 * The vma tree against a map with one entry per page of a small address space: which "mapping" the
 * page belongs to and its attributes. After every operation the whole tree must describe exactly
 * the map.
 */
#include "test.h"

#include "host.h"
#include "mm/vma.h"

#include <errno.h>

#define PAGES 96 /* of the modelled address space */

/* What the model knows of a page: 0 free, else the vma it lies in. */
static struct vma *map[PAGES];
static struct vma_tree tree;

static u64 addr(unsigned page)
{
    return page * PAGE_SIZE;
}

static struct vma *new_vma(unsigned start, unsigned end)
{
    struct vma *v = calloc(1, sizeof(*v));

    v->start = addr(start);
    v->end = addr(end);
    v->prot = random_below(2) ? 3 : 1;
    v->max_prot = 7;
    v->flags = random_chance(50) ? VMA_ACCOUNT : 0;
    if (random_chance(50)) {
        v->object = (struct vm_object *)(uintptr_t)(0x1000 * (1 + random_below(2)));
        v->file = (struct file *)v->object;
        v->offset = random_chance(50) ? addr(start) : addr(random_below(1000));
    }
    v->aspace = (struct aspace *)0x100;
    return v;
}

static void paint(unsigned start, unsigned end, struct vma *v)
{
    for (unsigned p = start; p < end; p++)
        map[p] = v;
}

static bool model_free(unsigned start, unsigned end)
{
    for (unsigned p = start; p < end; p++)
        if (map[p])
            return false;
    return true;
}

static struct vma *model_next(unsigned page)
{
    for (; page < PAGES; page++)
        if (map[page])
            return map[page];
    return NULL;
}

/* The highest (lowest) page range of @n free pages in [low, high); -1 when none. */
static int model_gap(unsigned low, unsigned high, unsigned n, bool down)
{
    if (low >= high || high - low < n)
        return -1;
    for (unsigned i = 0; i <= high - low - n; i++) {
        unsigned start = down ? high - n - i : low + i;
        if (model_free(start, start + n))
            return start;
    }
    return -1;
}

static void check_gap(unsigned low, unsigned high, unsigned n)
{
    u64 out = 1;
    int want = model_gap(low, high, n, true);

    assert_int_equal(vma_find_gap_down(&tree, addr(low), addr(high), addr(n), &out),
                     want < 0 ? -ENOMEM : 0);
    assert_int_equal(out, want < 0 ? 1 : addr(want));
    out = 1;
    want = model_gap(low, high, n, false);
    assert_int_equal(vma_find_gap_up(&tree, addr(low), addr(high), addr(n), &out),
                     want < 0 ? -ENOMEM : 0);
    assert_int_equal(out, want < 0 ? 1 : addr(want));
}

/* Neighbours that could be one vma make vma_tree_verify() fail, as they should. */
static bool model_has_mergeable(void)
{
    for (unsigned p = 1; p < PAGES; p++)
        if (map[p - 1] && map[p] && map[p] != map[p - 1] && vma_can_merge(map[p - 1], map[p]))
            return true;
    return false;
}

static void check_all(void)
{
    struct vma *seen = NULL;
    unsigned count = 0;

    assert_int_equal(vma_tree_verify(&tree), !model_has_mergeable());
    for (unsigned p = 0; p < PAGES; p++) {
        u64 inside = addr(p) + random_below(PAGE_SIZE);
        assert_ptr_equal(vma_find(&tree, inside), map[p]);
        assert_ptr_equal(vma_find_next(&tree, inside), model_next(p));
        if (map[p] && map[p] != seen) {
            assert_int_equal(map[p]->start, addr(p));
            assert_ptr_equal(vma_prev(map[p]), seen);
            assert_ptr_equal(seen ? vma_next(seen) : vma_first(&tree), map[p]);
            seen = map[p];
            count++;
        }
        if (map[p] && (p + 1 == PAGES || map[p + 1] != map[p]))
            assert_int_equal(map[p]->end, addr(p + 1));
    }
    assert_int_equal(tree.count, count);
    assert_null(seen ? vma_next(seen) : vma_first(&tree));
    for (unsigned i = 0; i < 12; i++) {
        unsigned low = random_below(PAGES), high = random_below(PAGES + 1);
        check_gap(low, high, 1 + random_below(i < 6 ? 4 : 30));
        if (low < high)
            assert_int_equal(vma_range_free(&tree, addr(low), addr(high)), model_free(low, high));
    }
}

static struct vma *random_vma(void)
{
    return model_next(random_below(PAGES));
}

static void op_insert(void)
{
    unsigned start = random_below(PAGES), end = start + 1 + random_below(8);

    if (end > PAGES || !model_free(start, end))
        return;
    struct vma *v = new_vma(start, end);
    vma_insert(&tree, v);
    paint(start, end, v);
}

static void op_remove(struct vma *v)
{
    vma_remove(&tree, v);
    paint(v->start / PAGE_SIZE, v->end / PAGE_SIZE, NULL);
    free(v);
}

static void op_split(struct vma *v)
{
    unsigned start = v->start / PAGE_SIZE, end = v->end / PAGE_SIZE;
    struct vma *upper = calloc(1, sizeof(*upper));

    if (end - start < 2) {
        free(upper);
        return;
    }
    struct vma before = *v;
    unsigned at = start + 1 + random_below(end - start - 1);
    list_init(&upper->object_link);
    vma_split(&tree, v, addr(at), upper);
    paint(at, end, upper);
    assert_int_equal(v->offset, before.offset);
    assert_int_equal(upper->offset, before.offset + addr(at - start));
    assert_int_equal(upper->prot, before.prot);
    assert_int_equal(upper->max_prot, before.max_prot);
    assert_int_equal(upper->flags, before.flags);
    assert_ptr_equal(upper->object, before.object);
    assert_ptr_equal(upper->file, before.file);
    assert_ptr_equal(upper->aspace, before.aspace);
    assert_ptr_equal(upper->name, before.name);
    assert_true(list_empty(&upper->object_link)); /* the caller's: he has locked the object */
    assert_true(vma_can_merge(v, upper)); /* the parts of a split can always be joined again */
    if (random_chance(50))
        upper->prot ^= 4;
}

static void op_bounds(struct vma *v)
{
    unsigned start = v->start / PAGE_SIZE, end = v->end / PAGE_SIZE;
    int new_start = (int)start + (int)random_below(9) - 4;
    int new_end = (int)end + (int)random_below(9) - 4;

    new_start = MAX(0, new_start);
    new_end = MIN(PAGES, new_end);
    if (new_start >= new_end)
        return;
    paint(start, end, NULL);
    /* It must keep its place: no vma between the old range and the new one. */
    unsigned low = MIN((unsigned)new_start, start), high = MAX((unsigned)new_end, end);
    if (model_free(low, high)) {
        vma_set_bounds(&tree, v, addr(new_start), addr(new_end));
        paint(new_start, new_end, v);
    } else {
        paint(start, end, v);
    }
}

static void op_merge(struct vma *a)
{
    struct vma *b = vma_next(a);

    if (!b || !vma_can_merge(a, b))
        return;
    u64 end = b->end;
    op_remove(b);
    paint(a->start / PAGE_SIZE, end / PAGE_SIZE, a);
    vma_set_bounds(&tree, a, a->start, end);
}

static void clear(void)
{
    struct vma *v;

    while ((v = vma_first(&tree)))
        op_remove(v);
}

static void test_model(void **state)
{
    random_start(__func__);
    vma_tree_init(&tree);
    for (unsigned step = 0; step < 30000; step++) {
        unsigned insert_share = step / 2000 % 2 ? 25 : 55;
        unsigned what = random_below(100);
        struct vma *v = random_vma();
        if (what < insert_share)
            op_insert();
        else if (v && what < 65)
            op_split(v);
        else if (v && what < 80)
            op_bounds(v);
        else if (v && what < 90)
            op_merge(v);
        else if (v)
            op_remove(v);
        check_all();
    }
    clear();
    check_all();
    assert_null(tree.root.node);
}

/* Each attribute alone keeps two neighbours apart. */
static void test_can_merge(void **state)
{
    const struct vma base_a = {.start = addr(10),
                               .end = addr(14),
                               .prot = 3,
                               .max_prot = 7,
                               .flags = VMA_ACCOUNT,
                               .object = (void *)0x10,
                               .file = (void *)0x20,
                               .offset = addr(3),
                               .aspace = (void *)0x30};
    struct vma base_b = base_a;

    base_b.start = addr(14);
    base_b.end = addr(20);
    base_b.offset = addr(7);
    struct vma_name x = {.text = "x"}, also_x = {.text = "x"}, y = {.text = "y"};
#define MERGES(change_a, change_b)         \
    ({                                     \
        struct vma a = base_a, b = base_b; \
        change_a;                          \
        change_b;                          \
        vma_can_merge(&a, &b);             \
    })
    assert_true(MERGES(, ));
    assert_false(MERGES(, b.prot = 1));
    assert_false(MERGES(, b.max_prot = 3));
    assert_false(MERGES(a.flags = 0, ));
    assert_false(MERGES(, b.flags |= VMA_LOCKED));
    assert_false(MERGES(, b.object = (void *)0x18));
    assert_false(MERGES(, b.object = NULL));
    assert_false(MERGES(, b.file = (void *)0x28));
    assert_false(MERGES(, b.aspace = (void *)0x38));
    assert_false(MERGES(, b.offset += PAGE_SIZE));
    assert_false(MERGES(, b.offset -= PAGE_SIZE));
    assert_false(MERGES(, b.start += PAGE_SIZE));
    assert_false(MERGES(a.end -= PAGE_SIZE, b.offset -= PAGE_SIZE));
    assert_false(MERGES(a.flags |= VMA_SPECIAL, b.flags |= VMA_SPECIAL));
    assert_false(MERGES(a.flags |= VMA_GROWSDOWN, b.flags |= VMA_GROWSDOWN));
    assert_true(MERGES(a.flags |= VMA_LOCKED, b.flags |= VMA_LOCKED));
    assert_false(MERGES(, b.name = &x));
    assert_false(MERGES(a.name = &x, b.name = &y));
    assert_true(MERGES(a.name = &x, b.name = &also_x));
    /* Anonymous memory has no offsets to fit. */
    assert_true(MERGES(a.object = NULL, (b.object = NULL, b.offset = 0)));
    assert_false(vma_can_merge(&base_b, &base_a));
#undef MERGES
}

static void test_gap_edges(void **state)
{
    struct vma low = {.start = PAGE_SIZE, .end = 2 * PAGE_SIZE};
    struct vma top = {.start = 1UL << 37, .end = 1UL << 38, .prot = 1};
    u64 out = 7, end = 1UL << 38;

    vma_tree_init(&tree);
    assert_int_equal(vma_find_gap_down(&tree, 0, end, end, &out), 0);
    assert_int_equal(out, 0);
    assert_int_equal(vma_find_gap_down(&tree, PAGE_SIZE, end, end, &out), -ENOMEM);
    assert_int_equal(vma_find_gap_up(&tree, 0, end, ~0UL, &out), -ENOMEM);
    assert_int_equal(vma_find_gap_up(&tree, 0, end, 0, &out), -ENOMEM);
    assert_int_equal(vma_find_gap_down(&tree, end, 0, PAGE_SIZE, &out), -ENOMEM);
    vma_insert(&tree, &low);
    vma_insert(&tree, &top);
    assert_true(vma_tree_verify(&tree));
    assert_int_equal(vma_find_gap_down(&tree, 0, end, PAGE_SIZE, &out), 0);
    assert_int_equal(out, (1UL << 37) - PAGE_SIZE);
    assert_int_equal(vma_find_gap_up(&tree, PAGE_SIZE, end, PAGE_SIZE, &out), 0);
    assert_int_equal(out, 2 * PAGE_SIZE);
    assert_int_equal(vma_find_gap_up(&tree, 0, end, PAGE_SIZE, &out), 0);
    assert_int_equal(out, 0);
    u64 all = (1UL << 37) - 2 * PAGE_SIZE;
    assert_int_equal(vma_find_gap_down(&tree, 0, end, all, &out), 0);
    assert_int_equal(out, 2 * PAGE_SIZE);
    assert_int_equal(vma_find_gap_down(&tree, 0, end, all + PAGE_SIZE, &out), -ENOMEM);
    assert_int_equal(vma_find_gap_up(&tree, 0, end, all + PAGE_SIZE, &out), -ENOMEM);
}

/* vma_tree_verify() must see each kind of damage. */
static void test_verify_detects(void **state)
{
    struct vma v[7] = {};

    vma_tree_init(&tree);
    assert_true(vma_tree_verify(&tree));
    for (unsigned i = 0; i < 7; i++) {
        v[i].start = addr(10 * i + 2);
        v[i].end = addr(10 * i + 5);
        vma_insert(&tree, &v[i]);
    }
    assert_true(vma_tree_verify(&tree));
#define DETECTS(field, value)                 \
    do {                                      \
        u64 saved = field;                    \
        field = value;                        \
        assert_false(vma_tree_verify(&tree)); \
        field = saved;                        \
        assert_true(vma_tree_verify(&tree));  \
    } while (0)
    for (unsigned i = 0; i < 7; i++) {
        DETECTS(v[i].gap, saved + PAGE_SIZE);
        DETECTS(v[i].max_gap, saved + PAGE_SIZE);
        DETECTS(v[i].max_gap, 0);
        DETECTS(v[i].start, v[i].end);
        DETECTS(v[i].start, saved + 1);
        DETECTS(v[i].start, saved - PAGE_SIZE);
        if (i < 6)
            DETECTS(v[i].end, v[i + 1].start + PAGE_SIZE);
    }
    DETECTS(tree.count, saved + 1);
    v[2].prot = 1; /* neighbours with different attributes are fine, equal ones are not */
    vma_set_bounds(&tree, &v[2], v[2].start, v[3].start);
    assert_true(vma_tree_verify(&tree));
    DETECTS(v[2].prot, 0);
#undef DETECTS
}

/* Broken callers are stopped, not obeyed. */
static void insert_it(void *v)
{
    vma_insert(&tree, v);
}

static void test_asserts(void **state)
{
    struct vma a = {.start = addr(10), .end = addr(20)};
    static const unsigned bad[][2] = {{9, 11}, {19, 21}, {12, 13}, {5, 25}, {10, 20}, {30, 30}};

    vma_tree_init(&tree);
    vma_insert(&tree, &a);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct vma b = {.start = addr(bad[i][0]), .end = addr(bad[i][1])};
        assert_true(host_panics(insert_it, &b));
        assert_non_null(strstr(host_panic_text(), "vma.c"));
        assert_true(vma_tree_verify(&tree)); /* the check came before the change */
    }
    struct vma b = {.start = addr(20), .end = addr(21), .prot = 1};
    assert_false(host_panics(insert_it, &b));
    assert_true(vma_tree_verify(&tree));
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),     cmocka_unit_test(test_can_merge),
        cmocka_unit_test(test_gap_edges), cmocka_unit_test(test_verify_detects),
        cmocka_unit_test(test_asserts),
    };
    host_init(1);
    return RUN_TESTS("vma", tests);
}
