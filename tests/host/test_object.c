/*
 * The page cache over a simulated disk against a plain array of bytes: writes, reads with
 * readahead, truncation, sync, dropped pages, failing reads and writes.
 */
#include "test.h"

#include "core/errno.h"
#include "host.h"
#include "mm/aspace.h"
#include "mm/object_priv.h"
#include "mm/page_priv.h"
#include "mm/rmap.h"
#include "mm/slab.h"
#include "mm_stubs.h"

#define RAM_BYTES  (16UL << 20)
#define FILE_PAGES 300
#define FILE_BYTES (FILE_PAGES * PAGE_SIZE)
#define STALE      0xee /* what lies in blocks that belong to no file */

static const struct memory_region ram[] = {{HOST_RAM_BASE, HOST_RAM_BASE + RAM_BYTES}};

static u8 disk[FILE_BYTES], model[FILE_BYTES];
static bool block_used[FILE_PAGES];
static struct vm_object file;
static int next_write_error, next_read_error;
static u64 reads, pages_on_lists, charged;

/* --- what the page cache calls --- */

void lru_add(struct page *page)
{
    assert_false(page_flag(page, PG_LRU));
    page_flag_set(page, PG_LRU);
    pages_on_lists++;
}

void lru_remove(struct page *page)
{
    if (page_flag(page, PG_LRU))
        pages_on_lists--;
    page_flag_clear(page, PG_LRU);
}

bool rmap_clean(struct page *page)
{
    return false;
}

unsigned rmap_unmap_all(struct page *page)
{
    return 0;
}

void aspace_unmap_object(struct vm_object *o, u64 first, u64 last)
{
}

int commit_charge(u64 pages)
{
    charged += pages;
    return 0;
}

void commit_uncharge(u64 pages)
{
    charged -= pages;
}

void pagedaemon_start(void)
{
}

int thread_spawn(struct thread **out, const char *name, void (*fn)(void *), void *arg)
{
    return -ENOMEM;
}

/* --- the file --- */

static int file_read(struct vm_object *o, struct page **pages, unsigned n)
{
    reads++;
    for (unsigned i = 0; i < n; i++) {
        assert_true(page_flag(pages[i], PG_BUSY));
        assert_int_equal(pages[i]->index, pages[0]->index + i);
    }
    int error = next_read_error;
    next_read_error = 0;
    if (error == -ENOMEM)
        return error;
    for (unsigned i = 0; i < n; i++) {
        u64 index = pages[i]->index, base = index * PAGE_SIZE;
        u8 *data = page_to_virt(pages[i]);
        if (error) {
            page_flag_set(pages[i], PG_ERROR);
        } else {
            memset(data, 0, PAGE_SIZE);
            if (block_used[index] && base < o->size)
                memcpy(data, disk + base, MIN(PAGE_SIZE, o->size - base));
            page_flag_set(pages[i], PG_UPTODATE);
        }
        page_unlock(pages[i]);
    }
    return 0;
}

static int file_write(struct vm_object *o, struct page **pages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_true(page_flag(pages[i], PG_WRITEBACK) && page_flag(pages[i], PG_UPTODATE));
        assert_int_equal(pages[i]->index, pages[0]->index + i);
    }
    int error = next_write_error;
    next_write_error = 0;
    if (error == -ENOMEM)
        return error;
    for (unsigned i = 0; i < n; i++) {
        assert_true(block_used[pages[i]->index]);
        if (error)
            object_set_error(o, error);
        else
            memcpy(disk + pages[i]->index * PAGE_SIZE, page_to_virt(pages[i]), PAGE_SIZE);
        page_end_writeback(pages[i]);
    }
    return 0;
}

static int file_reserve(struct vm_object *o, u64 index, unsigned from, unsigned to)
{
    block_used[index] = true;
    return 0;
}

static const struct vm_object_ops file_ops = {
    .read_pages = file_read, .write_pages = file_write, .reserve = file_reserve};

static int setup(void **state)
{
    memset(disk, STALE, sizeof(disk));
    memset(model, 0, sizeof(model));
    memset(block_used, 0, sizeof(block_used));
    object_init(&file, &file_ops, 0);
    next_write_error = next_read_error = 0;
    return 0;
}

static int teardown(void **state)
{
    struct object_stats s;
    object_fini(&file);
    object_get_stats(&s);
    assert_int_equal(s.cached + s.dirty + s.writeback + s.shmem, 0);
    assert_int_equal(pages_on_lists, 0);
    assert_int_equal(page_state_count(PAGE_FILE), 0);
    slab_verify();
    page_verify();
    return 0;
}

/* --- operations on file and model --- */

static void do_write(u64 at, u64 n)
{
    u8 fill = (u8)random_u64();
    memset(model + at, fill, n);
    while (n > 0) {
        unsigned offset = at % PAGE_SIZE;
        unsigned part = (unsigned)MIN(PAGE_SIZE - offset, n);
        struct page *page;
        assert_int_equal(object_write_begin(&file, at / PAGE_SIZE, offset, offset + part, &page),
                         0);
        memset((u8 *)page_to_virt(page) + offset, fill, part);
        object_write_end(&file, page);
        page_put(page);
        at += part;
        n -= part;
        if (at > file.size)
            object_set_size(&file, at);
    }
}

static void do_read(struct readahead *ra, u64 at, u64 n)
{
    while (n > 0 && at < file.size) {
        u64 offset = at % PAGE_SIZE;
        u64 part = MIN(MIN(PAGE_SIZE - offset, n), file.size - at);
        struct page *page;
        assert_int_equal(object_get_page(&file, at / PAGE_SIZE, ra, &page), 0);
        assert_memory_equal((u8 *)page_to_virt(page) + offset, model + at, part);
        page_put(page);
        at += part;
        n -= part;
    }
}

static void do_truncate(u64 size)
{
    u64 old = file.size;
    object_set_size(&file, size);
    if (size >= old)
        return;
    memset(model + size, 0, FILE_BYTES - size);
    for (u64 i = DIV_UP(size, PAGE_SIZE); i < FILE_PAGES; i++) {
        block_used[i] = false;
        memset(disk + i * PAGE_SIZE, STALE, PAGE_SIZE);
    }
}

static void check_disk(void)
{
    for (u64 at = 0; at < file.size; at += PAGE_SIZE) {
        u64 n = MIN(PAGE_SIZE, file.size - at);
        if (block_used[at / PAGE_SIZE])
            assert_memory_equal(disk + at, model + at, n);
        else
            for (u64 i = 0; i < n; i++)
                assert_int_equal(model[at + i], 0);
    }
}

static void random_use(void **state)
{
    random_start("object_random_use");
    struct readahead ra;
    readahead_init(&ra);
    for (unsigned step = 0; step < 6000; step++) {
        u64 at = random_below(FILE_BYTES - 1);
        u64 n = random_chance(70) ? 1 + random_below(9000) : 1 + random_below(100000);
        n = MIN(n, FILE_BYTES - at);
        switch (random_below(8)) {
        case 0:
        case 1:
            do_write(at, n);
            break;
        case 2:
            do_write(ALIGN_DOWN(at, PAGE_SIZE), PAGE_SIZE);
            break;
        case 3:
        case 4:
            do_read(random_chance(50) ? &ra : NULL, at, n);
            break;
        case 5:
            if (random_chance(30))
                do_truncate(random_chance(20) ? 0 : random_below(FILE_BYTES));
            break;
        case 6:
            if (random_chance(10)) /* memory was short: the pages stay dirty, sync says so */
                next_write_error = -ENOMEM;
            if (random_chance(50)) {
                bool fails = next_write_error && file.nr_dirty > 0;
                next_write_error = fails ? next_write_error : 0;
                assert_int_equal(object_sync(&file, 0, ~0UL, true), fails ? -ENOMEM : 0);
                assert_int_equal(object_sync(&file, 0, ~0UL, true), 0);
                assert_int_equal(file.nr_dirty, 0);
                check_disk();
            } else {
                next_write_error = 0;
                writeback_all(true);
                assert_int_equal(file.nr_dirty, 0);
                check_disk();
            }
            break;
        default:
            object_drop_clean(&file, at / PAGE_SIZE, (at + n) / PAGE_SIZE);
            break;
        }
    }
    do_read(&ra, 0, FILE_BYTES);
}

static void sequential_reading_reads_ahead(void **state)
{
    do_write(0, FILE_BYTES);
    assert_int_equal(object_sync(&file, 0, FILE_BYTES, true), 0);
    assert_int_equal(object_drop_clean(&file, 0, ~0UL), FILE_PAGES);
    struct readahead ra;
    readahead_init(&ra);
    reads = 0;
    do_read(&ra, 0, FILE_BYTES);
    assert_in_range(reads, FILE_PAGES / READAHEAD_MAX, 10);
    object_drop_clean(&file, 0, ~0UL);
    readahead_init(&ra);
    ra.max = 0;
    reads = 0;
    do_read(&ra, 0, FILE_BYTES);
    assert_int_equal(reads, FILE_PAGES);
}

static void read_error_is_reported_and_passes(void **state)
{
    struct page *page;
    do_write(0, 3 * PAGE_SIZE);
    object_sync(&file, 0, ~0UL, true);
    object_drop_clean(&file, 0, ~0UL);
    next_read_error = -EIO;
    assert_int_equal(object_get_page(&file, 1, NULL, &page), -EIO);
    next_read_error = -ENOMEM;
    assert_int_equal(object_get_page(&file, 1, NULL, &page), -EIO);
    do_read(NULL, 0, 3 * PAGE_SIZE);
    assert_int_equal(object_get_page(&file, 3, NULL, &page), -ENXIO);
}

static void write_error_is_reported_once(void **state)
{
    do_write(0, 3 * PAGE_SIZE);
    next_write_error = -ENOSPC;
    assert_int_equal(object_sync(&file, 0, ~0UL, true), -ENOSPC);
    assert_int_equal(object_sync(&file, 0, ~0UL, true), 0);
}

static void memory_only_pages_are_charged(void **state)
{
    static const struct vm_object_ops no_ops;
    struct vm_object o;
    struct page *page;
    struct object_stats s;
    object_init(&o, &no_ops, OBJECT_NO_WRITEBACK);
    object_set_size(&o, 10 * PAGE_SIZE);
    assert_int_equal(object_get_page(&o, 3, NULL, &page), 0);
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        assert_int_equal(((u8 *)page_to_virt(page))[i], 0);
    page_put(page);
    assert_int_equal(object_write_begin(&o, 9, 5, 6, &page), 0);
    object_write_end(&o, page);
    page_put(page);
    object_get_stats(&s);
    assert_int_equal(s.shmem, 2);
    assert_int_equal(s.dirty, 0);
    assert_int_equal(charged, 2);
    assert_int_equal(object_drop_clean(&o, 0, ~0UL), 0);
    object_set_size(&o, 4 * PAGE_SIZE);
    assert_int_equal(charged, 1);
    object_fini(&o);
    assert_int_equal(charged, 0);
}

int main(void)
{
    host_init(2);
    host_memory_create(RAM_BYTES);
    page_init(ram, ARRAY_SIZE(ram), NULL, 0);
    slab_init();
    struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(random_use),
        T(sequential_reading_reads_ahead),
        T(read_error_is_reported_and_passes),
        T(write_error_is_reported_once),
        T(memory_only_pages_are_charged),
    };
    return RUN_TESTS("object", tests);
}
