/*
 * Operations of test_vm.c that change mappings: mmap, munmap, mprotect, mremap, brk, madvise and
 * mlock. Each knows from the model alone whether the kernel may refuse, and with which error.
 */
#include "vm_world.h"

#include <linux/mman.h>

#include "core/errno.h"
#include "test.h"

/* --- mmap --- */

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

void op_map(struct space *s)
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

/* Fresh anonymous memory where a superpage fits, every page of it written. */
void op_super(struct space *s)
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

/* --- munmap and mprotect --- */

void op_unmap(struct space *s)
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

void op_protect(struct space *s)
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

void op_remap(struct space *s)
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

void op_brk(struct space *s)
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

/* --- madvise and mlock --- */

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

void op_dontneed(struct space *s)
{
    struct range r = random_mapped_range(s, false);
    run_anywhere(s);
    int e = aspace_advise(s->as, page_va(r.first), random_length(r.pages), MADV_DONTNEED);
    TRACE("%d = dontneed %ld pages %u+%u\n", e, s - spaces, r.first, r.pages);
    expect("MADV_DONTNEED", e, model_dontneed(s, r));
}

void op_advise(struct space *s)
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
