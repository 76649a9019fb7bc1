/* The frame allocator against a map of who owns which frame. */
#include "test.h"

#include "host.h"
#include "mm/page_priv.h"
#include "mm_stubs.h"

#define RAM_BYTES (24UL << 20)
#define FRAMES    (RAM_BYTES >> PAGE_SHIFT)
#define CPUS      4

static const struct memory_region ram[] = {{HOST_RAM_BASE, HOST_RAM_BASE + RAM_BYTES}};
/* Firmware at the start, and ranges that begin and end within a frame. */
static const struct memory_region reserved[] = {
    {HOST_RAM_BASE, HOST_RAM_BASE + 0x80000},
    {HOST_RAM_BASE + 0x200123, HOST_RAM_BASE + 0x2a0001},
    {HOST_RAM_BASE + 0x2a0010, HOST_RAM_BASE + 0x2a0020},
};
#define RESERVED_FRAMES (0x80 + 0xa1)

static bool owned[FRAMES];

static u64 frame_of(const struct page *page)
{
    return page_to_pfn(page).n - (HOST_RAM_BASE >> PAGE_SHIFT);
}

static int setup(void **state)
{
    host_init(CPUS);
    host_memory_create(RAM_BYTES);
    memset(page_cpus, 0, sizeof(page_cpus));
    zone.free_pages = 0;
    memset(zone.free_blocks, 0, sizeof(zone.free_blocks));
    memset(owned, 0, sizeof(owned));
    page_init(ram, ARRAY_SIZE(ram), reserved, ARRAY_SIZE(reserved));
    return 0;
}

static int teardown(void **state)
{
    host_memory_destroy();
    return 0;
}

static void check_stats(u64 in_use)
{
    struct page_stats s;
    page_verify();
    page_get_stats(&s);
    u64 sum = 0;
    for (unsigned i = 0; i < PAGE_STATES; i++)
        sum += s.by_state[i];
    assert_int_equal(sum, s.total);
    assert_int_equal(s.total - s.free, in_use);
    assert_int_equal(page_count_allocated() - page_count_freed(), in_use);
}

static void own(struct page *page, unsigned order, enum page_state state)
{
    u64 first = frame_of(page);
    assert_true(IS_ALIGNED(page_to_pfn(page).n, 1UL << order));
    assert_int_equal(page->refs, 1);
    assert_int_equal(page->order, order);
    for (u64 i = first; i < first + (1UL << order); i++) {
        assert_true(i < FRAMES);
        assert_false(owned[i]);
        owned[i] = true;
        assert_int_equal(page[i - first].state, state);
        paddr_t pa = HOST_RAM_BASE + (i << PAGE_SHIFT);
        for (unsigned r = 0; r < ARRAY_SIZE(reserved); r++)
            assert_false(pa < reserved[r].end && pa + PAGE_SIZE > reserved[r].start);
    }
}

static void disown(struct page *page, unsigned order)
{
    for (u64 i = 0; i < 1UL << order; i++)
        owned[frame_of(page) + i] = false;
}

static void boot_gives_all_frames(void **state)
{
    u64 descriptors = DIV_UP(FRAMES * sizeof(struct page), PAGE_SIZE);
    assert_int_equal(zone.total, FRAMES - RESERVED_FRAMES - descriptors);
    check_stats(1); /* the page of zeroes */
    assert_int_equal(zero_page->state, PAGE_WIRED);
    assert_true(zone.free_blocks[PAGE_MAX_ORDER] >= 3);
}

#define HELD_MAX 3000

static void random_use(void **state)
{
    static struct {
        struct page *page;
        unsigned order;
    } held[HELD_MAX];
    unsigned count = 0;
    u64 in_use = 1;
    random_start("random_use");
    for (unsigned step = 0; step < 60000; step++) {
        host_set_cpu((unsigned)random_below(CPUS));
        bool grow = random_chance(step / 5000 % 2 ? 40 : 60);
        if (grow && count < HELD_MAX) {
            unsigned order = random_chance(90) ? 0 : (unsigned)random_below(PAGE_MAX_ORDER + 1);
            unsigned flags = PA_NOWAIT | (random_chance(20) ? PA_ZERO : 0);
            enum page_state st = (enum page_state)(1 + random_below(PAGE_STATES - 1));
            struct page *page = page_alloc(order, st, flags);
            if (!page)
                continue;
            own(page, order, st);
            u8 *bytes = page_to_virt(page);
            if (flags & PA_ZERO)
                for (u64 i = 0; i < PAGE_SIZE << order; i += 64)
                    assert_int_equal(bytes[i], 0);
            memset(bytes, 0x11, PAGE_SIZE << order);
            held[count].page = page;
            held[count++].order = order;
            in_use += 1UL << order;
        } else if (count > 0) {
            u64 i = random_below(count);
            disown(held[i].page, held[i].order);
            page_free(held[i].page, held[i].order);
            in_use -= 1UL << held[i].order;
            held[i] = held[--count];
        }
        if (step % 500 == 0)
            check_stats(in_use);
    }
    while (count-- > 0)
        page_free(held[count].page, held[count].order);
    check_stats(1);
}

/* Everything freed on all CPUs can be had again, by one CPU, as large blocks first. */
static void nothing_is_stranded(void **state)
{
    static struct page *pages[FRAMES];
    u64 n = 0;
    struct page *page;
    while ((page = page_alloc(0, PAGE_ANON, PA_NOWAIT | PA_RESERVE)))
        pages[n++] = page;
    assert_int_equal(n, zone.total - 1);
    for (u64 i = 0; i < n; i++) { /* a stash full on each CPU, the rest in the lists */
        host_set_cpu((unsigned)(i % CPUS));
        page_put(pages[i]);
    }
    check_stats(1);
    host_set_cpu(0);
    u64 largest = 0;
    while (page_alloc(PAGE_MAX_ORDER, PAGE_ANON, PA_NOWAIT | PA_RESERVE))
        largest++;
    assert_true(largest >= 3);
    n = 0;
    while (page_alloc(0, PAGE_ANON, PA_NOWAIT | PA_RESERVE))
        n++;
    assert_int_equal(n + (largest << PAGE_MAX_ORDER), zone.total - 1);
    check_stats(zone.total);
}

static void last_frames_are_reserved(void **state)
{
    u64 n = 0;
    while (page_alloc(0, PAGE_FILE, PA_NOWAIT))
        n++;
    assert_int_equal(zone.free_pages, zone.min);
    assert_true(host_pagedaemon_wakeups > 0);
    assert_null(page_alloc(3, PAGE_FILE, PA_NOWAIT));
    u64 more = 0;
    while (page_alloc(0, PAGE_FILE, PA_NOWAIT | PA_RESERVE))
        more++;
    assert_int_equal(more, zone.min);
    assert_int_equal(n + more + 1, zone.total);
}

static struct page *reclaimable[64];

static u64 give_some_back(u64 want)
{
    for (unsigned i = 0; i < ARRAY_SIZE(reclaimable); i++)
        if (reclaimable[i]) {
            page_put(reclaimable[i]);
            reclaimable[i] = NULL;
            return 1;
        }
    return 0;
}

static void short_of_memory_reclaims(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(reclaimable); i++)
        reclaimable[i] = page_alloc(0, PAGE_FILE, PA_NOWAIT);
    while (page_alloc(0, PAGE_ANON, PA_NOWAIT))
        ;
    host_reclaim = give_some_back;
    u64 n = 0;
    while (page_alloc(0, PAGE_ANON, 0))
        n++;
    assert_int_equal(n, ARRAY_SIZE(reclaimable));
}

static void free_twice(void *page)
{
    page_free(page, 0);
    page_free(page, 0);
}

static void double_free_is_found(void **state)
{
    assert_true(host_panics(free_twice, page_alloc(0, PAGE_ANON, PA_NOWAIT)));
}

static void allocate_once(void *arg)
{
    page_alloc(0, PAGE_ANON, PA_NOWAIT);
}

static void write_after_free_is_found(void **state)
{
    struct page *page = page_alloc(0, PAGE_ANON, PA_NOWAIT);
    page_put(page);
    ((u8 *)page_to_virt(page))[777] ^= 1;
    assert_true(host_panics(allocate_once, NULL));
}

/* The next time that interrupts come on the thread finds itself on the last CPU. */
static void move_to_last_cpu(void)
{
    host_irqs_came_on = NULL;
    host_set_cpu(CPUS - 1);
}

/* An allocation that found one CPU's stash empty and goes on where another one is full. */
static void migration_loses_no_frame(void **state)
{
    struct page *page[STASH_PAGES];
    host_set_cpu(CPUS - 1);
    for (unsigned i = 0; i < STASH_PAGES; i++)
        page[i] = page_alloc(0, PAGE_ANON, PA_NOWAIT);
    for (unsigned i = 0; i < STASH_PAGES; i++)
        page_put(page[i]);
    check_stats(1);  /* the page of zeroes */
    host_set_cpu(1); /* CPU 0 has something since boot */
    host_irqs_came_on = move_to_last_cpu;
    page[0] = page_alloc(0, PAGE_ANON, PA_NOWAIT);
    assert_null(host_irqs_came_on);
    check_stats(2);
    page_put(page[0]);
    check_stats(1);
}

int main(void)
{
    struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(boot_gives_all_frames),     T(random_use),
        T(nothing_is_stranded),       T(last_frames_are_reserved),
        T(short_of_memory_reclaims),  T(double_free_is_found),
        T(write_after_free_is_found), T(migration_loses_no_frame),
    };
    return RUN_TESTS("page", tests);
}
