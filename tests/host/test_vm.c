/*
 * Virtual memory, whole: random operations on a handful of address spaces, carried out by the real
 * mm/ code on a simulated machine (vm_machine.h) and by a plain model (vm_model.h), which must
 * agree on every result, every word and every page charged (vm_check.c).
 *
 * All address spaces have one small arena in which everything happens; the rest of each is taken by
 * two mappings without access, so that mmap finds room nowhere else. An operation is one function
 * and one row in the table at the end. It picks its arguments, runs the kernel's function, decides
 * from the model alone what the answer has to be, and changes the model. Those that change mappings
 * are in vm_mapping.c, accesses to memory in vm_access.c, all others here; vm_world.h has what they
 * share.
 *
 * In some operations allocations fail at random (inject()). What then answers -ENOMEM must have
 * changed nothing.
 *
 * When it fails: the seed is printed. QUIRE_SEED=n repeats it, QUIRE_CHECK=1 compares after every
 * step, QUIRE_LOG=1 prints each. QUIRE_STEPS=n does n steps in each of the seven tests.
 */
#include "test.h"

#include <linux/mman.h>

#include "core/errno.h"
#include "host.h"
#include "mm/mm_priv.h"
#include "mm/object_priv.h"
#include "mm/page_priv.h"
#include "vm_world.h"

#define RAM_BYTES   (64UL << 20)
#define CPUS        4
#define STEPS       70000
#define CHECK_EVERY 250
#define FENCE_START 0x10000UL /* below it mmap places nothing by itself */

static const struct memory_region ram[] = {{HOST_RAM_BASE, HOST_RAM_BASE + RAM_BYTES}};

struct space spaces[SPACES];
struct test_file files[FILES];
bool tracing;

/* --- allocations that fail (the linker sends every call of these two here: --wrap) --- */

static unsigned fail_percent; /* 0: none fails */
bool failed;

struct page *__real_page_alloc(unsigned order, enum page_state state, unsigned flags);
struct page *__wrap_page_alloc(unsigned order, enum page_state state, unsigned flags);
void *__real_kmem_cache_alloc(struct kmem_cache *cache, unsigned flags);
void *__wrap_kmem_cache_alloc(struct kmem_cache *cache, unsigned flags);

static bool fails_now(void)
{
    if (fail_percent == 0 || !random_chance(fail_percent))
        return false;
    failed = true;
    return true;
}

struct page *__wrap_page_alloc(unsigned order, enum page_state state, unsigned flags)
{
    return fails_now() ? NULL : __real_page_alloc(order, state, flags);
}

void *__wrap_kmem_cache_alloc(struct kmem_cache *cache, unsigned flags)
{
    return fails_now() ? NULL : __real_kmem_cache_alloc(cache, flags);
}

void inject(void)
{
    fail_percent = random_chance(15) ? 1 + (unsigned)random_below(40) : 0;
}

void inject_end(void)
{
    fail_percent = 0;
}

/* RLIMIT_MEMLOCK */
u64 lock_limit_user(void)
{
    return ~0UL;
}

/* The threads of writeback and reclaim: operations do their work. */
int thread_spawn(struct thread **out, const char *name, void (*fn)(void *), void *arg)
{
    return -ENOMEM;
}

/* --- files --- */

static struct test_file *file_of(struct vm_object *o)
{
    return container_of(o, struct test_file, object);
}

static int file_read(struct vm_object *o, struct page **pages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        u64 index = pages[i]->index;
        memset(page_to_virt(pages[i]), 0, PAGE_SIZE);
        for (unsigned w = 0; w < WORDS; w++)
            if (index * PAGE_SIZE + word_offset(w) < o->size)
                *word_at(pages[i], w) = file_of(o)->disk[index][w];
        page_flag_set(pages[i], PG_UPTODATE);
        page_unlock(pages[i]);
    }
    return 0;
}

static int file_write(struct vm_object *o, struct page **pages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        for (unsigned w = 0; w < WORDS; w++)
            file_of(o)->disk[pages[i]->index][w] = *word_at(pages[i], w);
        page_end_writeback(pages[i]);
    }
    return 0;
}

static void file_get(struct vm_object *o)
{
    file_of(o)->refs++;
}

static void file_put(struct vm_object *o)
{
    file_of(o)->refs--;
}

static const struct vm_object_ops file_ops = {
    .read_pages = file_read, .write_pages = file_write, .get = file_get, .put = file_put};

struct test_file *random_file(void)
{
    return &files[random_below(FILES)];
}

/* --- CPUs: any of them runs any address space, or none --- */

static unsigned cpus_used;

static void run_on(unsigned cpu, struct space *s)
{
    host_set_cpu(cpu);
    host_current->aspace = s ? s->as : NULL;
    aspace_load(host_current->aspace);
}

void run_anywhere(struct space *s)
{
    run_on((unsigned)random_below(cpus_used), s);
}

/* --- random arguments --- */

static struct space *random_space(void)
{
    for (;;) {
        struct space *s = &spaces[random_below(SPACES)];
        if (s->as)
            return s;
    }
}

static struct space *unused_space(void)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (!spaces[i].as)
            return &spaces[i];
    return NULL;
}

static unsigned hot;

/* Most of the time near where something happened before, so that operations meet. */
static unsigned random_page(void)
{
    if (random_chance(5))
        hot = (unsigned)random_below(ARENA_PAGES);
    return random_chance(70) ? (hot + (unsigned)random_below(24)) % ARENA_PAGES
                             : (unsigned)random_below(ARENA_PAGES);
}

unsigned random_mapped_page(const struct space *s)
{
    unsigned p = random_page();
    for (unsigned tries = 0; tries < 12 && !s->model.page[p].mapped; tries++)
        p = random_page();
    return p;
}

struct range random_range(void)
{
    static const unsigned sizes[] = {1, 4, 16, 16, 64, 600};
    struct range r = {random_page(), 1 + (unsigned)random_below(sizes[random_below(6)])};
    if (random_chance(3)) /* a whole table's worth */
        r = (struct range){ARENA_PAGES / 2 - 512 + 512 * (unsigned)random_below(2), 512};
    r.pages = MIN(r.pages, ARENA_PAGES - r.first);
    return r;
}

u64 random_length(unsigned pages)
{
    return pages * PAGE_SIZE - (random_chance(30) ? random_below(PAGE_SIZE) : 0);
}

struct range random_mapped_range(const struct space *s, bool alike)
{
    struct range r = random_range();
    if (random_chance(15))
        return r;
    r.first = random_mapped_page(s);
    const struct mpage *m = &s->model.page[r.first];
    unsigned n = 1;
    while (n < r.pages && r.first + n < ARENA_PAGES &&
           (alike ? model_same_vma(&m[n - 1], &m[n]) : m[n].mapped))
        n++;
    return (struct range){r.first, n};
}

bool range_free(const struct space *s, struct range r)
{
    for_range(s, r, m) if (m->mapped) return false;
    return true;
}

bool range_mapped(const struct space *s, struct range r)
{
    for_range(s, r, m) if (!m->mapped) return false;
    return true;
}

/* --- judging answers --- */

/* The limit moves by what the kernel allocates meanwhile. */
bool may_lack_memory(u64 charge)
{
    u64 limit = commit_limit(), used = commit_used();
    return failed || used + charge + 64 > limit;
}

void expect(const char *what, int found, int expected)
{
    if (found != expected)
        panic("%s answers %d instead of %d", what, found, expected);
}

/* --- life and death of address spaces --- */

static struct space *space_create(void)
{
    struct space *s = unused_space();
    uvaddr_t at;
    memset(&s->model, 0, sizeof(s->model));
    s->as = aspace_create();
    s->as->mmap_top = ARENA_BRK;
    s->as->brk_start = s->as->brk = ARENA_BRK;
    struct map_request fence = {
        .addr = FENCE_START, .length = ARENA - FENCE_START, .flags = MAP_PRIVATE | MAP_FIXED};
    expect("fence", aspace_map(s->as, &fence, &at), 0);
    fence.addr = ARENA_END;
    fence.length = USER_TOP - ARENA_END;
    expect("fence", aspace_map(s->as, &fence, &at), 0);
    return s;
}

/* As process exit does it: the last thread leaves, then the address space goes. */
static void space_destroy(struct space *s)
{
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        host_set_cpu(cpu);
        if (host_current->aspace != s->as)
            continue;
        if (random_chance(50))
            aspace_switch(NULL);
        else
            run_on(cpu, NULL);
    }
    aspace_put(s->as);
    s->as = NULL;
    for (unsigned p = 0; p < ARENA_PAGES; p++)
        model_drop(&s->model.page[p]);
}

static void op_exit(struct space *s)
{
    unsigned others = 0;
    for (unsigned i = 0; i < SPACES; i++)
        others += spaces[i].as && &spaces[i] != s;
    space_destroy(s);
    if (others == 0 || (unused_space() && random_chance(20)))
        space_create();
}

static void op_fork(struct space *s)
{
    struct space *child = unused_space();
    if (!child)
        return;
    inject();
    int r = aspace_fork(s->as, &child->as);
    inject_end();
    TRACE("%d = fork %ld to %ld\n", r, s - spaces, child - spaces);
    if (r < 0) {
        child->as = NULL;
        expect("fork", r, may_lack_memory(model_committed(&s->model)) ? -ENOMEM : 0);
        return;
    }
    memset(&child->model, 0, sizeof(child->model));
    child->model.brk = s->model.brk;
    for (unsigned p = 0; p < ARENA_PAGES; p++) {
        struct mpage *m = &child->model.page[p];
        if (s->model.page[p].advice & VMA_DONTFORK)
            continue;
        model_set(m, &s->model.page[p]);
        m->advice &= ~VMA_LOCK_FLAGS;
    }
}

/* A CPU runs something else, or goes idle with the last page table still loaded. */
static void op_schedule(struct space *s)
{
    run_anywhere(random_chance(50) ? s : NULL);
}

/* --- files, from behind the mappings --- */

static void file_resize(struct test_file *f, u64 size)
{
    u64 pages = DIV_UP(size, PAGE_SIZE);
    for (unsigned i = 0; i < SPACES; i++)
        for (unsigned p = 0; spaces[i].as && p < ARENA_PAGES; p++) {
            struct mpage *m = &spaces[i].model.page[p];
            if (m->object == f->model && m->index >= pages)
                model_forget(m);
        }
    model_object_resize(f->model, size);
    object_set_size(&f->object, size);
    if (pages < FILE_PAGES) /* a file system frees the blocks */
        memset(f->disk[pages], 0, (FILE_PAGES - pages) * sizeof(f->disk[0]));
}

static void op_truncate(struct space *s)
{
    struct test_file *f = random_file();
    u64 size = random_below(FILE_PAGES + 1) * PAGE_SIZE;
    if (size > 0 && random_chance(40))
        size -= 8 * random_below(PAGE_SIZE / 8);
    TRACE("truncate file %ld to %lu pages, %lu bytes\n", f - files, size / PAGE_SIZE, size);
    file_resize(f, size);
}

static void op_file_write(struct space *s)
{
    struct test_file *f = random_file();
    u64 index = random_below(FILE_PAGES), value = random_u64();
    unsigned word = (unsigned)random_below(WORDS), from = (unsigned)word_offset(word);
    u64 end = index * PAGE_SIZE + from + 8;
    if (end > f->object.size && random_chance(80))
        return;
    struct page *page;
    inject();
    int r = object_write_begin(&f->object, index, from, from + 8, &page);
    inject_end();
    TRACE("%d = write file %ld page %lu word %u: 0x%lx\n", r, f - files, index, word, value);
    if (r) {
        expect("write", r, failed ? r : 0);
        return;
    }
    *word_at(page, word) = value;
    object_write_end(&f->object, page);
    page_put(page);
    if (end > f->object.size)
        file_resize(f, end);
    f->model->word[index][word] = value;
}

/* msync() finds what is mapped, object_sync() is fsync(). */
static void op_sync(struct space *s)
{
    struct range r = random_range();
    run_anywhere(s);
    int e = aspace_sync(s->as, page_va(r.first), r.pages * PAGE_SIZE, MS_SYNC);
    TRACE("%d = msync %ld pages %u+%u\n", e, s - spaces, r.first, r.pages);
    expect("msync", e, range_mapped(s, r) ? 0 : -ENOMEM);
    struct test_file *f = random_file();
    TRACE("sync file %ld\n", f - files);
    expect("sync", object_sync(&f->object, 0, ~0UL, true), 0);
    expect("dirty pages after sync", (int)f->object.nr_dirty, 0);
}

static void op_reclaim(struct space *s)
{
    run_anywhere(random_chance(50) ? s : NULL);
    u64 n = reclaim_pages(1 + random_below(64));
    TRACE("%lu = reclaim\n", n);
}

/* Reclaim and truncation, page by page: what they do to any page of an object at any time. */
static void op_unmap_page(struct space *s)
{
    const struct mpage *m = &s->model.page[random_mapped_page(s)];
    struct page *page = m->object ? object_find(m->object->real, m->index) : NULL;
    if (!page)
        return;
    page_lock(page);
    unsigned n = random_chance(50) ? rmap_unmap_all(page) : rmap_test_and_clear_accessed(page);
    page_unlock(page);
    page_put(page);
    TRACE("%u = unmap or age page %lu of object %p\n", n, m->index, (void *)m->object);
}

/* --- the mix --- */

static const struct operation {
    const char *name;
    unsigned weight;
    void (*run)(struct space *s);
} operations[] = {
    {"touch", 500, op_touch},
    {"sweep", 40, op_sweep},
    {"usercopy", 60, op_usercopy},
    {"map", 60, op_map},
    {"unmap", 25, op_unmap},
    {"protect", 40, op_protect},
    {"remap", 30, op_remap},
    {"brk", 10, op_brk},
    {"dontneed", 15, op_dontneed},
    {"advise", 15, op_advise},
    {"fork", 25, op_fork},
    {"exit", 20, op_exit},
    {"schedule", 30, op_schedule},
    {"truncate", 5, op_truncate},
    {"file write", 40, op_file_write},
    {"super", 3, op_super},
    {"sync", 5, op_sync},
    {"reclaim", 10, op_reclaim},
    {"unmap page", 30, op_unmap_page},
};

static void step(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++)
        sum += operations[i].weight;
    unsigned pick = (unsigned)random_below(sum);
    const struct operation *op = operations;
    for (; pick >= op->weight; op++)
        pick -= op->weight;
    failed = false;
    op->run(random_space());
}

static u64 number_from(const char *name, u64 otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void files_create(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        object_init(&files[i].object, &file_ops, 0);
        files[i].refs = 0;
        memset(files[i].disk, 0, sizeof(files[i].disk));
        files[i].model = model_object_create(&files[i].object, true, FILE_PAGES);
    }
}

static u64 slab_objects(void)
{
    struct kmem_cache_stats cache;
    u64 objects = 0;
    for (unsigned i = 0; kmem_cache_get_stats(i, &cache); i++)
        objects += cache.objects_used;
    return objects;
}

/* Everything ends, and nothing may be left over. */
static void end_of_world(u64 objects_before)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (spaces[i].as)
            space_destroy(&spaces[i]);
    for (unsigned i = 0; i < FILES; i++) {
        assert_int_equal(files[i].refs, 0);
        object_fini(&files[i].object);
        free(files[i].model->word);
        free(files[i].model);
    }
    assert_int_equal(commit_used(), 0);
    assert_int_equal(model_shared_pages, 0);
    assert_int_equal(page_state_count(PAGE_ANON), 0);
    assert_int_equal(page_state_count(PAGE_FILE), 0);
    assert_int_equal(page_state_count(PAGE_TABLE), 0);
    assert_int_equal(slab_objects(), objects_before);
    slab_verify();
    page_verify();
}

/* A mix that never comes to one of these tests nothing of it. */
static const enum vm_counter needed[] = {
    VMC_fault_zero,     VMC_fault_zero_page, VMC_fault_cow_copy,   VMC_fault_cow_reuse,
    VMC_fault_file,     VMC_fault_file_copy, VMC_fault_file_dirty, VMC_fault_shared,
    VMC_fault_stack,    VMC_fault_spurious,  VMC_fault_around,     VMC_fault_table,
    VMC_pgsteal_direct,
};

static void check_mix(const u64 *before)
{
    for (unsigned i = 0; i < ARRAY_SIZE(needed); i++) {
        u64 n = vm_counter_read(needed[i]) - before[i];
        TRACE("%s %lu\n", vm_counter_names[needed[i]], n);
        bool rare = needed[i] == VMC_fault_cow_reuse && !vm_cow;
        if (n == 0 && !rare)
            fail_msg("no %s in all these steps", vm_counter_names[needed[i]]);
    }
}

static void fuzz(const char *name, unsigned nr_cpus, unsigned asid_bits)
{
    u64 objects_before = slab_objects();
    random_start(name);
    host_init(CPUS);
    cpus_used = nr_cpus;
    hot = 0;
    vm_machine_init(asid_bits);
    files_create();
    space_create();
    u64 steps = number_from("QUIRE_STEPS", STEPS), every = number_from("QUIRE_CHECK", CHECK_EVERY);
    u64 before[ARRAY_SIZE(needed)];
    for (unsigned i = 0; i < ARRAY_SIZE(needed); i++)
        before[i] = vm_counter_read(needed[i]);
    for (u64 i = 1; i <= steps; i++) {
        if (tracing)
            fprintf(stderr, "%lu:", i);
        step();
        if (i % every == 0)
            check_world();
    }
    check_world();
    if (steps >= STEPS)
        check_mix(before);
    end_of_world(objects_before);
}

static void on_one_cpu(void **state)
{
    fuzz("vm_on_one_cpu", 1, 16);
}

static void on_four_cpus(void **state)
{
    fuzz("vm_on_four_cpus", CPUS, 16);
}

/* Hardly more identifiers than address spaces: they run out all the time. */
static void with_few_asids(void **state)
{
    fuzz("vm_with_few_asids", CPUS, 4);
}

static void without_asids(void **state)
{
    fuzz("vm_without_asids", 2, 0);
}

/* Tables are shared however little they hold, and superpages are mapped at once. */
static void all_shared_and_super(void **state)
{
    unsigned share_min = fork_share_min;
    fork_share_min = 1;
    vm_thp = THP_ALWAYS;
    fuzz("vm_all_shared_and_super", CPUS, 16);
    vm_thp = THP_RESERVE;
    fork_share_min = share_min;
}

static void nothing_shared_nor_super(void **state)
{
    vm_share_tables = 0;
    vm_thp = THP_NEVER;
    fuzz("vm_nothing_shared_nor_super", 2, 16);
    vm_thp = THP_RESERVE;
    vm_share_tables = 1;
}

static void without_cow(void **state)
{
    vm_cow = 0;
    fuzz("vm_without_cow", 2, 16);
    vm_cow = 1;
}

int main(void)
{
    static pte_t kernel_root[PT_ENTRIES];
    tracing = getenv("QUIRE_LOG");
    host_init(CPUS);
    host_memory_create(RAM_BYTES);
    page_init(ram, ARRAY_SIZE(ram), NULL, 0);
    slab_init();
    pmap_kernel_init(kernel_root);
    rmap_init();
    aspace_init();
    struct CMUnitTest tests[] = {
        cmocka_unit_test(on_one_cpu),
        cmocka_unit_test(on_four_cpus),
        cmocka_unit_test(with_few_asids),
        cmocka_unit_test(without_asids),
        cmocka_unit_test(without_cow),
        cmocka_unit_test(all_shared_and_super),
        cmocka_unit_test(nothing_shared_nor_super),
    };
    return RUN_TESTS("vm", tests);
}
