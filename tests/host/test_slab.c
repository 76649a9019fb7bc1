/* Object caches and kmalloc against a list of live objects with known contents. */
#include "test.h"

#include "host.h"
#include "mm/page_priv.h"
#include "mm/slab.h"
#include "mm_stubs.h"

#define RAM_BYTES (32UL << 20)
#define CPUS      4
#define LIVE_MAX  4000

static const struct memory_region ram[] = {{HOST_RAM_BASE, HOST_RAM_BASE + RAM_BYTES}};

struct live {
    u8 *object;
    struct kmem_cache *cache; /* NULL: kmalloc */
    size_t size;
    u8 fill;
};
static struct live live[LIVE_MAX];
static unsigned live_count;

static void check_contents(const struct live *l)
{
    for (size_t i = 0; i < l->size; i++)
        assert_int_equal(l->object[i], l->fill);
}

static void add(u8 *object, struct kmem_cache *cache, size_t size, size_t align, bool zeroed)
{
    assert_int_equal((uintptr_t)object % align, 0);
    if (zeroed)
        for (size_t i = 0; i < size; i++)
            assert_int_equal(object[i], 0);
    struct live *l = &live[live_count++];
    *l = (struct live){object, cache, size, (u8)random_u64()};
    memset(object, l->fill, size);
}

static void drop(unsigned i)
{
    check_contents(&live[i]);
    if (live[i].cache)
        kmem_cache_free(live[i].cache, live[i].object);
    else
        kfree(live[i].object);
    live[i] = live[--live_count];
}

static u64 used_objects(void)
{
    u64 used = 0;
    struct kmem_cache_stats s;
    for (unsigned i = 0; kmem_cache_get_stats(i, &s); i++)
        used += s.objects_used;
    return used;
}

static const size_t cache_sizes[] = {1, 8, 24, 64, 200, 544, 1100, 2000, 5000};
static struct kmem_cache *caches[ARRAY_SIZE(cache_sizes)];

static int setup(void **state)
{
    host_init(CPUS);
    host_memory_create(RAM_BYTES);
    page_init(ram, ARRAY_SIZE(ram), NULL, 0);
    slab_init();
    for (unsigned i = 0; i < ARRAY_SIZE(cache_sizes); i++)
        caches[i] = kmem_cache_create("test", cache_sizes[i], i % 2 ? 64 : 0);
    return 0;
}

static void random_use(void **state)
{
    random_start("slab_random_use");
    u64 used_before = used_objects();
    for (unsigned step = 0; step < 40000; step++) {
        host_set_cpu((unsigned)random_below(CPUS));
        unsigned flags = PA_NOWAIT | (random_chance(30) ? PA_ZERO : 0);
        if (!random_chance(step / 4000 % 2 ? 45 : 60) || live_count == LIVE_MAX) {
            if (live_count > 0)
                drop((unsigned)random_below(live_count));
        } else if (random_chance(50)) {
            unsigned c = (unsigned)random_below(ARRAY_SIZE(caches));
            u8 *object = kmem_cache_alloc(caches[c], flags);
            if (object)
                add(object, caches[c], cache_sizes[c], c % 2 ? 64 : 8, flags & PA_ZERO);
        } else {
            size_t size = random_chance(95) ? random_below(2200) : random_below(40000);
            u8 *object = kmalloc(size, flags);
            if (object)
                add(object, NULL, size, 8, flags & PA_ZERO);
        }
        if (step % 1000 == 0) {
            slab_verify();
            page_verify();
        }
        if (random_chance(1) && random_chance(10))
            slab_reap();
    }
    while (live_count > 0)
        drop(0);
    slab_verify();
    assert_int_equal(used_objects(), used_before);
}

static void reap_returns_all_pages(void **state)
{
    random_start("slab_reap");
    slab_reap();
    u64 slab_pages = page_state_count(PAGE_SLAB), used = used_objects();
    for (unsigned i = 0; i < LIVE_MAX; i++) {
        host_set_cpu(i % CPUS);
        unsigned c = i % ARRAY_SIZE(caches);
        u8 *object = kmem_cache_alloc(caches[c], PA_NOWAIT);
        assert_non_null(object);
        add(object, caches[c], cache_sizes[c], 8, false);
    }
    assert_int_equal(used_objects(), used + LIVE_MAX);
    while (live_count > 0) {
        host_set_cpu(live_count % CPUS);
        drop((unsigned)random_below(live_count));
    }
    assert_true(slab_reap() > 0);
    assert_int_equal(page_state_count(PAGE_SLAB), slab_pages);
    slab_verify();
    page_verify();
}

static void exhaustion_is_null(void **state)
{
    static void *blocks[2 * RAM_BYTES / PAGE_SIZE];
    unsigned n = 0;
    while ((blocks[n] = kmalloc(2000, PA_NOWAIT)))
        n++;
    assert_true(n > 10000);
    assert_null(kmalloc(8 << 20, PA_NOWAIT));
    while (n-- > 0)
        kfree(blocks[n]);
    slab_verify();
    page_verify();
}

static void sizes(void **state)
{
    for (size_t size = 0; size <= 4UL << 20; size = size * 5 / 4 + 1) {
        u8 *p = kmalloc(size, PA_NOWAIT | PA_ZERO);
        assert_non_null(p);
        if (size > 0)
            assert_int_equal(p[0] | p[size - 1], 0);
        memset(p, 0xff, size);
        kfree(p);
    }
    assert_null(kmalloc((4UL << 20) + 1, PA_NOWAIT));
    kfree(NULL);
    char *copy = kstrdup("quire", PA_NOWAIT);
    assert_string_equal(copy, "quire");
    kfree(copy);
}

static void free_twice(void *p)
{
    kfree(p);
    kfree(p);
}

static void write_behind(void *p)
{
    ((u8 *)p)[64] = 1;
    kfree(p);
}

static void write_after_free(void *p)
{
    kfree(p);
    ((u8 *)p)[20] ^= 0xff;
    for (unsigned i = 0; i < 10000; i++)
        kmalloc(64, PA_NOWAIT);
}

/* These leave a damaged object behind, so each takes one off a cache that it has for itself. */
static void misuse_is_found(void **state)
{
    assert_true(host_panics(free_twice, kmalloc(200, PA_NOWAIT)));
    assert_true(host_panics(write_behind, kmalloc(64, PA_NOWAIT)));
    assert_true(host_panics(write_after_free, kmalloc(64, PA_NOWAIT)));
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use),
        cmocka_unit_test(reap_returns_all_pages),
        cmocka_unit_test(exhaustion_is_null),
        cmocka_unit_test(sizes),
    };
    struct CMUnitTest last[] = {cmocka_unit_test(misuse_is_found)};
    setup(NULL);
    int failed = RUN_TESTS("slab", tests);
    return failed ? failed : RUN_TESTS("slab misuse", last);
}
