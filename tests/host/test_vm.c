/*
 * Virtual memory, whole: random operations on a handful of address spaces, carried out by the real
 * mm/ code on a simulated machine (vm_machine.h) and by a plain model (vm_model.h), which must
 * agree on every result, every word and every page charged (vm_check.c).
 *
 * All address spaces have one small arena in which everything happens; the rest of each is taken by
 * two mappings without access, so that mmap finds room nowhere else. An operation is one function
 * and one row in the table at the end. It picks its arguments, runs the kernel's function, decides
 * from the model alone what the answer has to be, and changes the model.
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
#include "mm/usercopy.h"
#include "vm_world.h"

#define RAM_BYTES   (64UL << 20)
#define CPUS        4
#define STEPS       70000
#define CHECK_EVERY 250
#define FENCE_START 0x10000UL /* below it mmap places nothing by itself */

static const struct memory_region ram[] = {{HOST_RAM_BASE, HOST_RAM_BASE + RAM_BYTES}};

struct space spaces[SPACES];
struct test_file files[FILES];
static bool tracing;

#define TRACE(...)                             \
    do {                                       \
        if (tracing)                           \
            fprintf(stderr, "\t" __VA_ARGS__); \
    } while (0)

/* --- allocations that fail (the linker sends every call of these two here: --wrap) --- */

static unsigned fail_percent; /* 0: none fails */
static bool failed;           /* one has */

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

/* From here to the end of the step, perhaps. */
static void inject(void)
{
    fail_percent = random_chance(15) ? 1 + (unsigned)random_below(40) : 0;
}

static void inject_end(void)
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

static struct test_file *random_file(void)
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

static void run_anywhere(struct space *s)
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

/* A mapped one if some tries find it. */
static unsigned random_mapped_page(const struct space *s)
{
    unsigned p = random_page();
    for (unsigned tries = 0; tries < 12 && !s->model.page[p].mapped; tries++)
        p = random_page();
    return p;
}

struct range {
    unsigned first, pages;
};

static struct range random_range(void)
{
    static const unsigned sizes[] = {1, 4, 16, 16, 64, 600};
    struct range r = {random_page(), 1 + (unsigned)random_below(sizes[random_below(6)])};
    if (random_chance(3)) /* a whole table's worth */
        r = (struct range){ARENA_PAGES / 2 - 512 + 512 * (unsigned)random_below(2), 512};
    r.pages = MIN(r.pages, ARENA_PAGES - r.first);
    return r;
}

/* Bytes in a range of whole pages, not always a multiple of the page. */
static u64 random_length(unsigned pages)
{
    return pages * PAGE_SIZE - (random_chance(30) ? random_below(PAGE_SIZE) : 0);
}

/* A range of mapped pages, of one vma if @alike; once in a while just any. */
static struct range random_mapped_range(const struct space *s, bool alike)
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

#define for_range(s, r, m)                                            \
    for (typeof(&(s)->model.page[0]) m = &(s)->model.page[(r).first]; \
         m < &(s)->model.page[(r).first + (r).pages]; m++)

static bool range_free(const struct space *s, struct range r)
{
    for_range(s, r, m) if (m->mapped) return false;
    return true;
}

static bool range_mapped(const struct space *s, struct range r)
{
    for_range(s, r, m) if (!m->mapped) return false;
    return true;
}

/* --- judging answers --- */

/* -ENOMEM is an excuse when an allocation was made to fail or @charge pages are too many. The
 * limit moves by what the kernel allocates meanwhile. */
static bool may_lack_memory(u64 charge)
{
    u64 limit = commit_limit(), used = commit_used();
    return failed || used + charge + 64 > limit;
}

static void expect(const char *what, int found, int expected)
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

/* --- mappings --- */

/* What populating for writing does to private pages of objects, up to the first that fails. */
static void model_populate(struct space *s, struct range r)
{
    for_range(s, r, m)
    {
        if (model_access(m, VM_ACCESS_WRITE) < 0)
            return;
        model_copy(m);
    }
}

struct mapping {
    struct map_request req;
    struct mpage page; /* the model's first page */
    struct range at;   /* asked for */
};

static struct mapping random_mapping(void)
{
    struct mapping m = {.at = random_range()};
    bool shared = random_chance(40);
    unsigned prot = random_chance(75) ? PROT_R | PROT_W : (unsigned)random_below(8);
    m.page = (struct mpage){.mapped = true, .shared = shared, .prot = (u8)prot};
    m.page.account = !shared && (prot & PROT_W);
    m.req = (struct map_request){.addr = page_va(m.at.first),
                                 .length = random_length(m.at.pages),
                                 .prot = prot,
                                 .flags = shared ? MAP_SHARED : MAP_PRIVATE};
    if (random_chance(40)) {
        struct test_file *f = random_file();
        m.req.object = &f->object;
        m.page.object = f->model;
        m.page.index = random_chance(50) ? 0 : random_below(FILE_PAGES);
        m.req.offset = m.page.index * PAGE_SIZE;
    }
    if (random_chance(70))
        m.req.flags |= MAP_FIXED;
    else if (random_chance(30))
        m.req.flags |= MAP_FIXED_NOREPLACE;
    else if (random_chance(50))
        m.req.addr = 0;
    if (random_chance(15))
        m.req.flags |= MAP_POPULATE;
    if (!shared && !m.req.object && random_chance(10)) {
        m.req.flags |= MAP_GROWSDOWN;
        m.page.advice = VMA_GROWSDOWN;
    }
    return m;
}

static void model_map(struct space *s, const struct mapping *m, struct range at)
{
    struct mpage page = m->page;
    if (page.shared && !page.object) {
        struct vm_object *real = vma_find(&s->as->vmas, page_va(at.first))->object;
        page.object = model_object_create(real, false, at.pages);
    }
    for_range(s, at, p)
    {
        model_set(p, &page);
        page.index += page.object != NULL;
    }
    if ((m->req.flags & MAP_POPULATE) && (page.prot & PROT_W) && !page.shared)
        model_populate(s, at);
}

static int expected_map_error(struct space *s, const struct mapping *m, int r)
{
    bool charged = m->page.account || (m->page.shared && !m->page.object);
    if ((m->req.flags & MAP_FIXED_NOREPLACE) && !range_free(s, m->at))
        return r == -ENOMEM && failed ? r : -EEXIST;
    bool lacks_room = !(m->req.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) &&
                      !model_has_gap(&s->model, m->at.pages);
    return lacks_room || may_lack_memory(charged ? m->at.pages : 0) ? -ENOMEM : 0;
}

static void op_map(struct space *s)
{
    struct mapping m = random_mapping();
    uvaddr_t at = 0;
    run_anywhere(s);
    if (!(m.req.flags & MAP_POPULATE))
        inject();
    int r = aspace_map(s->as, &m.req, &at);
    inject_end();
    TRACE("%d = map %ld pages %u+%u prot %u flags 0x%x file page %lu at 0x%lx\n", r, s - spaces,
          m.at.first, m.at.pages, m.req.prot, m.req.flags, m.page.index, at);
    if (r < 0) {
        expect("mmap", r, expected_map_error(s, &m, r));
        return;
    }
    struct range got = {(unsigned)((at - ARENA) >> PAGE_SHIFT), m.at.pages};
    if (at < ARENA || at >= ARENA_END || at + m.at.pages * PAGE_SIZE > ARENA_END)
        panic("mmap placed %u pages at 0x%lx", m.at.pages, at);
    if (m.req.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
        expect("place of mmap", (int)got.first, (int)m.at.first);
    if (!(m.req.flags & MAP_FIXED) && !range_free(s, got))
        panic("mmap replaced something");
    model_map(s, &m, got);
}

static void op_unmap(struct space *s)
{
    struct range r = random_range();
    run_anywhere(s);
    inject();
    int e = aspace_unmap(s->as, page_va(r.first), random_length(r.pages));
    inject_end();
    TRACE("%d = unmap %ld pages %u+%u\n", e, s - spaces, r.first, r.pages);
    expect("munmap", e, failed && e ? -ENOMEM : 0);
    if (e)
        return;
    for_range(s, r, m) model_drop(m);
}

static void op_protect(struct space *s)
{
    struct range r = random_mapped_range(s, false);
    unsigned prot = random_chance(50) ? PROT_R | PROT_W : (unsigned)random_below(8);
    u64 charge = 0;
    for_range(s, r, m) charge += m->mapped && !m->shared && !m->account && (prot & PROT_W);
    run_anywhere(s);
    inject();
    int e = aspace_protect(s->as, page_va(r.first), random_length(r.pages), prot);
    inject_end();
    TRACE("%d = protect %ld pages %u+%u prot %u\n", e, s - spaces, r.first, r.pages, prot);
    if (e) {
        expect("mprotect", e, !range_mapped(s, r) || may_lack_memory(charge) ? -ENOMEM : 0);
        return;
    }
    for_range(s, r, m)
    {
        m->prot = (u8)prot;
        m->account |= !m->shared && (prot & PROT_W);
    }
}

/* --- mremap --- */

struct remapping {
    struct range old, new; /* new.first: with MREMAP_FIXED, or where it went */
    unsigned flags;
};

static struct remapping random_remapping(const struct space *s)
{
    struct remapping r = {.old = random_mapped_range(s, true), .new = random_range()};
    unsigned flags[] = {0, MREMAP_MAYMOVE, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED};
    r.flags = flags[random_below(4)];
    if (random_chance(40))
        r.new.pages = MIN(r.old.pages, ARENA_PAGES - r.new.first);
    return r;
}

static bool one_vma(const struct space *s, struct range r)
{
    for_range(s, r, m) if (!m->mapped ||
                           (m > &s->model.page[r.first] && !model_same_vma(m - 1, m))) return false;
    return true;
}

/* Could the mapping become as long as asked for without moving? */
static bool may_grow_in_place(const struct space *s, const struct remapping *r)
{
    struct range behind = {r->old.first + r->old.pages, r->new.pages - r->old.pages};
    return behind.first + behind.pages <= ARENA_PAGES && range_free(s, behind);
}

static bool overlap(struct range a, struct range b)
{
    return a.first < b.first + b.pages && b.first < a.first + a.pages;
}

/* What is cut off may be of any mappings, or none. */
static bool only_cuts(const struct remapping *r)
{
    return !(r->flags & MREMAP_FIXED) && r->new.pages <= r->old.pages;
}

static int expected_remap_error(const struct space *s, const struct remapping *r)
{
    const struct mpage *m = &s->model.page[r->old.first];
    if (only_cuts(r))
        return failed ? -ENOMEM : m->mapped ? 0 : -EFAULT;
    if (m->mapped && (r->flags & MREMAP_FIXED) && overlap(r->old, r->new))
        return failed ? -ENOMEM : -EINVAL;
    if (!one_vma(s, r->old))
        return failed ? -ENOMEM : -EFAULT;
    bool grows = r->new.pages > r->old.pages;
    if (may_lack_memory(grows && m->account ? r->new.pages - r->old.pages : 0))
        return -ENOMEM;
    bool moves = grows && !may_grow_in_place(s, r) && !(r->flags & MREMAP_FIXED);
    bool may_move = (r->flags & MREMAP_MAYMOVE) && model_has_gap(&s->model, r->new.pages);
    return moves && !may_move ? -ENOMEM : 0;
}

/* Moves the model's pages to r->new, which may be where they are. */
static void model_remap(struct space *s, const struct remapping *r)
{
    static struct mpage moved[ARENA_PAGES];
    struct mpage next = s->model.page[r->old.first];
    struct mpage *new = &s->model.page[r->new.first];
    memset(moved, 0, sizeof(moved));
    for (unsigned i = 0; i < r->new.pages; i++) {
        if (i < r->old.pages)
            next = s->model.page[r->old.first + i];
        else
            model_forget(&next);
        model_set(&moved[i], &next);
        next.index += next.object != NULL;
    }
    for_range(s, r->old, m) model_drop(m);
    for (unsigned i = 0; i < r->new.pages; i++) {
        model_set(&new[i], &moved[i]);
        model_drop(&moved[i]);
    }
}

static void op_remap(struct space *s)
{
    struct remapping r = random_remapping(s);
    uvaddr_t at = 0;
    for_range(s, r.old,
              m) if (m->advice &
                     VMA_GROWSDOWN) /* which of these are one vma the model does not know */
        return;
    run_anywhere(s);
    inject();
    int e = aspace_remap(s->as, page_va(r.old.first), random_length(r.old.pages),
                         random_length(r.new.pages), r.flags, page_va(r.new.first), &at);
    inject_end();
    TRACE("%d = remap %ld pages %u+%u to %u+%u flags %u at 0x%lx\n", e, s - spaces, r.old.first,
          r.old.pages, r.new.first, r.new.pages, r.flags, at);
    if (e) {
        int expected = expected_remap_error(s, &r);
        if (failed && e != -ENOMEM)
            failed = false, expected = expected_remap_error(s, &r);
        expect("mremap", e, expected);
        return;
    }
    struct range place = {(unsigned)((at - ARENA) >> PAGE_SHIFT), r.new.pages};
    if (only_cuts(&r)) {
        struct range cut = {r.old.first + r.new.pages, r.old.pages - r.new.pages};
        expect("place of mremap", (int)place.first, (int)r.old.first);
        for_range(s, cut, m) model_drop(m);
        return;
    }
    bool fixed = r.flags & MREMAP_FIXED;
    if (!one_vma(s, r.old) || (fixed && (overlap(r.old, r.new) || place.first != r.new.first)))
        panic("mremap should have failed, or moved elsewhere");
    if (!fixed && place.first != r.old.first && !range_free(s, place))
        panic("mremap replaced something");
    if (place.first == r.old.first && r.new.pages > r.old.pages && !may_grow_in_place(s, &r))
        panic("mremap had no room to grow");
    r.new = place;
    model_remap(s, &r);
}

static void op_brk(struct space *s)
{
    u64 brk = (s->model.brk + random_below(20 * PAGE_SIZE)) % (150 * PAGE_SIZE);
    unsigned first = (unsigned)((ARENA_BRK - ARENA) >> PAGE_SHIFT);
    unsigned old = first + (unsigned)DIV_UP(s->model.brk, PAGE_SIZE);
    unsigned new = first + (unsigned)DIV_UP(brk, PAGE_SIZE);
    struct range grown = {old, new > old ? new - old : 0}, lost = {new, old > new ? old - new : 0};
    struct mpage heap = {.mapped = true, .account = true, .prot = PROT_R | PROT_W};
    run_anywhere(s);
    inject();
    uvaddr_t r = aspace_brk(s->as, ARENA_BRK + brk, ~0UL);
    inject_end();
    TRACE("0x%lx = brk %ld 0x%lx\n", r, s - spaces, ARENA_BRK + brk);
    if (r != ARENA_BRK + brk) {
        if (r != ARENA_BRK + s->model.brk ||
            (range_free(s, grown) && !may_lack_memory(grown.pages)))
            panic("brk answers 0x%lx", r);
        return;
    }
    s->model.brk = brk;
    for_range(s, grown, m) model_set(m, &heap);
    for_range(s, lost, m) model_drop(m);
}

/* --- advice --- */

static int model_dontneed(struct space *s, struct range r)
{
    int e = 0;
    for_range(s, r, m)
    {
        if (m->advice & VMA_LOCKED)
            return -EINVAL;
        if (m->mapped)
            model_forget(m);
        else
            e = -ENOMEM;
    }
    return e;
}

static void op_dontneed(struct space *s)
{
    struct range r = random_mapped_range(s, false);
    run_anywhere(s);
    int e = aspace_advise(s->as, page_va(r.first), random_length(r.pages), MADV_DONTNEED);
    TRACE("%d = dontneed %ld pages %u+%u\n", e, s - spaces, r.first, r.pages);
    expect("MADV_DONTNEED", e, model_dontneed(s, r));
}

static void op_advise(struct space *s)
{
    static const struct {
        int advice;
        u32 set, clear;
    } kinds[] = {{MADV_NORMAL, 0, VMA_RAND | VMA_SEQ},
                 {MADV_RANDOM, VMA_RAND, VMA_SEQ},
                 {MADV_SEQUENTIAL, VMA_SEQ, VMA_RAND},
                 {MADV_DONTFORK, VMA_DONTFORK, 0},
                 {MADV_DOFORK, 0, VMA_DONTFORK},
                 {-1, VMA_LOCK_FLAGS, 0},
                 {-1, 0, VMA_LOCK_FLAGS}};
    unsigned kind = (unsigned)random_below(ARRAY_SIZE(kinds));
    struct range r = random_mapped_range(s, false);
    uvaddr_t va = page_va(r.first);
    bool lock = kinds[kind].advice < 0, whole = range_mapped(s, r);
    run_anywhere(s);
    if (whole)
        inject();
    int e = lock ? aspace_lock(s->as, va, r.pages * PAGE_SIZE, kinds[kind].set)
                 : aspace_advise(s->as, va, r.pages * PAGE_SIZE, kinds[kind].advice);
    inject_end();
    TRACE("%d = advise %ld pages %u+%u %d\n", e, s - spaces, r.first, r.pages, kinds[kind].advice);
    if (e)
        expect("madvise", e, failed || !whole ? -ENOMEM : 0);
    if (e && (whole || lock))
        return;
    for_range(s, r, m)
    {
        if (m->mapped) /* madvise does what there is */
            m->advice = (m->advice & ~kinds[kind].clear) | kinds[kind].set;
    }
}

/* --- accesses --- */

/* A program makes the access on a CPU: again after each fault that the kernel says it mended. */
static int touch(uvaddr_t va, enum vm_access access, u64 *value)
{
    for (unsigned faults = 0; faults < 20; faults++) {
        if (vm_machine_access(va, access, value))
            return 0;
        int r = vm_fault_user(va, access);
        if (r < 0)
            return r;
    }
    panic("access %u to 0x%lx faults for ever", access, va);
}

/* Writing to what of a shared page lies behind the end of the file is undefined. */
static bool is_undefined(const struct mpage *m, unsigned word, enum vm_access access)
{
    return access == VM_ACCESS_WRITE && m->mapped && m->shared &&
           m->index * PAGE_SIZE + word_offset(word) >= m->object->size;
}

/* A program or the kernel is about to access page @p: is there a stack above that grows to it? */
static void model_grow(struct space *s, unsigned p)
{
    struct mpage *page = s->model.page;
    unsigned above = p, below = p;
    while (above < ARENA_PAGES && !page[above].mapped)
        above++;
    if (above == p || above == ARENA_PAGES || !(page[above].advice & VMA_GROWSDOWN))
        return;
    while (below > 0 && !page[below].mapped)
        below--;
    if (page[below].mapped && page[below].prot != 0 && p - below <= 256)
        return;
    struct mpage fresh = page[above];
    model_forget(&fresh);
    for (; p < above; p++)
        model_set(&page[p], &fresh);
}

static void op_touch(struct space *s)
{
    static const enum vm_access kinds[] = {VM_ACCESS_WRITE, VM_ACCESS_READ, VM_ACCESS_WRITE,
                                           VM_ACCESS_READ, VM_ACCESS_EXEC};
    enum vm_access access = kinds[random_below(ARRAY_SIZE(kinds))];
    unsigned p = random_mapped_page(s), word = (unsigned)random_below(WORDS);
    struct mpage *m = &s->model.page[p];
    model_grow(s, p);
    if (is_undefined(m, word, access))
        word = 0;
    u64 value = random_u64();
    run_anywhere(s);
    inject();
    int r = touch(page_va(p) + word_offset(word), access, &value);
    inject_end();
    TRACE("%d = touch %ld on CPU %u page %u word %u access %u: 0x%lx\n", r, s - spaces,
          host_current->cpu->id, p, word, access, value);
    if (r == -ENOMEM && failed)
        return;
    expect("touch", r, model_access(m, access));
    if (r == 0 && access == VM_ACCESS_WRITE)
        model_write(m, word, value);
    else if (r == 0 && model_read(m, word) != value)
        panic("read 0x%lx at 0x%lx, word %u, instead of 0x%lx", value, page_va(p), word,
              model_read(m, word));
}

/* A run of accesses, as programs make them. */
static void op_sweep(struct space *s)
{
    struct range r = random_mapped_range(s, false);
    bool write = random_chance(50);
    r.pages = MIN(r.pages, 64);
    run_anywhere(s);
    TRACE("sweep %ld pages %u+%u write %d\n", s - spaces, r.first, r.pages, write);
    for_range(s, r, m)
    {
        u64 value = random_u64();
        enum vm_access access = write ? VM_ACCESS_WRITE : VM_ACCESS_READ;
        unsigned p = (unsigned)(m - s->model.page);
        uvaddr_t va = page_va(p);
        model_grow(s, p);
        int e = touch(va, access, &value);
        expect("touch", e, model_access(m, access));
        if (e == 0 && write)
            model_write(m, 0, value);
        else if (e == 0 && model_read(m, 0) != value)
            panic("read 0x%lx at 0x%lx instead of 0x%lx", value, va, model_read(m, 0));
    }
}

/* Fresh anonymous memory where a superpage fits, every page of it written. */
static void op_super(struct space *s)
{
    unsigned span = PT_SPAN(1) >> PAGE_SHIFT;
    unsigned first = (unsigned)((ALIGN_DOWN(ARENA, PT_SPAN(1)) + PT_SPAN(1) - ARENA) >> PAGE_SHIFT);
    struct mapping m = {.at = {first + (random_chance(50) ? span : 0), span}};
    bool shared = random_chance(30);
    m.page = (struct mpage){
        .mapped = true, .shared = shared, .account = !shared, .prot = PROT_R | PROT_W};
    m.req = (struct map_request){.addr = page_va(m.at.first),
                                 .length = PT_SPAN(1),
                                 .prot = PROT_R | PROT_W,
                                 .flags = (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED};
    uvaddr_t at = 0;
    run_anywhere(s);
    int e = aspace_map(s->as, &m.req, &at);
    TRACE("%d = super %ld pages %u+%u shared %d\n", e, s - spaces, m.at.first, m.at.pages, shared);
    expect("mmap", e, expected_map_error(s, &m, e));
    if (e)
        return;
    model_map(s, &m, m.at);
    for_range(s, m.at, p)
    {
        u64 value = random_u64();
        expect("touch", touch(page_va((unsigned)(p - s->model.page)), VM_ACCESS_WRITE, &value), 0);
        model_write(p, 0, value);
    }
}

/* The kernel copies two words that lie on either side of a page's end, in the address space it runs
 * in or (ptrace, /proc) in another. What of the first page was possible is done. */
static void op_usercopy(struct space *s)
{
    unsigned p = random_mapped_page(s) % (ARENA_PAGES - 1);
    struct mpage *m[2] = {&s->model.page[p], &s->model.page[p + 1]};
    bool write = random_chance(50), foreign = random_chance(30);
    enum vm_access access = write ? VM_ACCESS_WRITE : VM_ACCESS_READ;
    if (is_undefined(m[0], 1, access) || is_undefined(m[1], 0, access))
        return;
    uvaddr_t va = page_va(p) + word_offset(1);
    u64 value[2] = {random_u64(), random_u64()};
    int possible = 0;
    for (; possible < 2; possible++) {
        model_grow(s, p + possible);
        if (model_access(m[possible], access) < 0)
            break;
    }
    run_anywhere(foreign ? NULL : s);
    int r;
    if (foreign) {
        size_t n = write ? aspace_write(s->as, va, value, 16) : aspace_read(s->as, va, value, 16);
        expect("bytes copied", (int)n, possible * 8);
    } else {
        r = write ? copy_to_user(va, value, 16) : copy_from_user(value, va, 16);
        expect("user copy", r, possible == 2 ? 0 : -EFAULT);
    }
    TRACE("usercopy %ld page %u write %d foreign %d possible %d: 0x%lx 0x%lx\n", s - spaces, p,
          write, foreign, possible, value[0], value[1]);
    for (int i = 0; i < possible; i++) {
        if (write)
            model_write(m[i], !i, value[i]);
        else if (model_read(m[i], !i) != value[i])
            panic("copied 0x%lx from page %u instead of 0x%lx", value[i], p + i,
                  model_read(m[i], !i));
    }
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
