/*
 * The comparison: what a program would see of each page, read off the page tables, the caches and
 * the disks without touching them, against the model; vmas, charges and reverse maps; TLBs.
 */
#include "vm_world.h"

#include <stdlib.h>

#include "core/cpu.h"
#include "lib/string.h"
#include "mm/slab.h"

static u64 round;

/* --- page tables, as the kernel means them --- */

struct found {
    pte_t pte; /* PTE_NONE: no entry, or an empty one */
    unsigned level;
    bool parked; /* hardware does not get there: a table on the way is parked */
};

static struct found find_entry(const struct aspace *as, uvaddr_t va)
{
    struct found f = {.pte = PTE_NONE};
    const pte_t *table = as->pmap.root;
    for (f.level = PT_LEVELS - 1;; f.level--) {
        f.pte = pte_read(&table[PT_INDEX(va, f.level)]);
        if (pte_is_parked(f.pte)) {
            f.parked = true;
            f.pte = pte_unpark(f.pte);
        }
        if (f.level == 0 || !pte_is_table(f.pte))
            return f;
        table = pfn_to_virt(pte_pfn(f.pte));
    }
}

static struct page *found_page(const struct found *f, uvaddr_t va)
{
    u64 offset = (va & (PT_SPAN(f->level) - 1)) >> PAGE_SHIFT;
    return pfn_to_page((pfn_t){pte_pfn(f->pte).n + offset});
}

/* --- contents --- */

static void check_words(const char *what, u64 where, const u64 *found, const u64 *expected)
{
    for (unsigned w = 0; w < WORDS; w++)
        if (found[w] != expected[w])
            panic("%s 0x%lx, word %u: 0x%lx instead of 0x%lx", what, where, w, found[w],
                  expected[w]);
}

static void page_words(const struct page *page, u64 words[WORDS])
{
    for (unsigned w = 0; w < WORDS; w++)
        words[w] = *word_at(page, w);
}

/* Contents of the object, cached or not: once in a comparison. */
static void check_object(struct mobject *o)
{
    if (o->checked == round)
        return;
    o->checked = round;
    const struct test_file *file = container_of(o->real, struct test_file, object);
    if (o->real->size != o->size)
        panic("object has %lu bytes instead of %lu", o->real->size, o->size);
    for (u64 i = 0; i < DIV_UP(o->size, PAGE_SIZE); i++) {
        u64 words[WORDS] = {0};
        struct page *page = object_find(o->real, i);
        if (page && page_flag(page, PG_UPTODATE))
            page_words(page, words);
        else if (o->is_file)
            memcpy(words, file->disk[i], sizeof(words));
        if (page)
            page_put(page);
        for (unsigned w = 0; w < WORDS; w++)
            if (i * PAGE_SIZE + word_offset(w) >= o->size)
                words[w] = 0; /* what lies behind the end is nobody's */
        check_words("page of an object", i, words, o->word[i]);
    }
}

/* What the entry lets a program do must be allowed, and it must find there what the model says. */
static void check_entry(const struct mpage *m, const struct found *f, uvaddr_t va)
{
    static const enum vm_access all[] = {VM_ACCESS_READ, VM_ACCESS_WRITE, VM_ACCESS_EXEC};
    if (!pte_is_leaf(f->pte))
        panic("strange entry 0x%lx at 0x%lx", f->pte.v, va);
    for (unsigned i = 0; i < ARRAY_SIZE(all) && !f->parked; i++)
        if (pte_allows(f->pte, all[i]) && model_access(m, all[i]) < 0)
            panic("entry 0x%lx at 0x%lx allows access %u, which should fail", f->pte.v, va, all[i]);
    u64 words[WORDS], expected[WORDS];
    page_words(found_page(f, va), words);
    for (unsigned w = 0; w < WORDS; w++)
        expected[w] = model_read(m, w);
    check_words("page at", va, words, expected);
}

static void check_page(const struct aspace *as, const struct mpage *m, uvaddr_t va)
{
    static const u64 nothing[WORDS];
    if (m->object)
        check_object(m->object);
    struct found f = find_entry(as, va);
    bool own = !m->object || m->copied;
    bool exists = own || m->index < DIV_UP(m->object->size, PAGE_SIZE);
    if (!pte_none(f.pte) && (!m->mapped || !exists))
        panic("entry 0x%lx at 0x%lx where nothing should be", f.pte.v, va);
    if (!pte_none(f.pte))
        check_entry(m, &f, va);
    else if (m->copied)
        panic("private copy at 0x%lx is lost", va);
    else if (m->mapped && !m->object)
        check_words("untouched page at", va, nothing, m->word);
}

/* --- vmas and charges --- */

static const u32 ADVICE = VMA_RAND | VMA_SEQ | VMA_DONTFORK | VMA_LOCK_FLAGS | VMA_GROWSDOWN;

static void check_vma(const struct vma *v, const struct mpage *m, uvaddr_t va)
{
    if (!v || v->start > va) {
        if (m->mapped)
            panic("no mapping at 0x%lx", va);
        return;
    }
    if (!m->mapped)
        panic("mapping at 0x%lx", va);
    struct vm_object *object = m->object ? m->object->real : NULL;
    bool same = v->prot == m->prot && !!(v->flags & VMA_SHARED) == m->shared &&
                !!(v->flags & VMA_ACCOUNT) == m->account && (v->flags & ADVICE) == m->advice &&
                v->object == object &&
                (!object || v->offset + (va - v->start) == m->index * PAGE_SIZE);
    if (!same)
        panic("mapping at 0x%lx: prot %u flags 0x%x offset 0x%lx, not prot %u shared %d account %d "
              "advice 0x%x page %lu",
              va, v->prot, v->flags, v->offset, m->prot, m->shared, m->account, m->advice,
              m->index);
}

static void check_space(const struct space *s)
{
    struct aspace *as = s->as;
    u64 mapped = (USER_TOP - ARENA_END + ARENA - PAGE_SIZE * 16) >> PAGE_SHIFT;
    aspace_verify(as);
    for (unsigned p = 0; p < ARENA_PAGES; p++) {
        const struct mpage *m = &s->model.page[p];
        check_vma(vma_find_next(&as->vmas, page_va(p)), m, page_va(p));
        check_page(as, m, page_va(p));
        mapped += m->mapped;
    }
    if (as->pages_mapped != mapped)
        panic("%lu pages mapped instead of %lu", as->pages_mapped, mapped);
    if (as->pages_committed != model_committed(&s->model))
        panic("address space is charged %lu pages instead of %lu", as->pages_committed,
              model_committed(&s->model));
    if (as->brk != ARENA_BRK + s->model.brk)
        panic("break at 0x%lx instead of 0x%lx", as->brk, ARENA_BRK + s->model.brk);
}

/* --- reverse maps: who maps a page must be known to it, and nobody else holds it --- */

static u16 *entries_of; /* by frame: leaf entries that map it, in distinct tables */
static bool *table_seen;

static void count_table(const pte_t *table, unsigned level, unsigned n)
{
    u64 frame = page_to_pfn(virt_to_page(table)).n - page_base_pfn;
    if (table_seen[frame])
        return;
    table_seen[frame] = true;
    for (unsigned i = 0; i < n; i++) {
        pte_t pte = pte_read(&table[i]);
        if (pte_is_parked(pte))
            pte = pte_unpark(pte);
        if (pte_is_table(pte))
            count_table(pfn_to_virt(pte_pfn(pte)), level - 1, PT_ENTRIES);
        else if (pte_is_leaf(pte)) /* a superpage stands for the table that it hides */
            for (u64 k = 0; k < PT_SPAN(level) >> PAGE_SHIFT; k++)
                entries_of[pte_pfn(pte).n - page_base_pfn + k]++;
    }
}

static void check_frame(const struct page *page, unsigned entries)
{
    if (page->state != PAGE_ANON && page->state != PAGE_FILE)
        return;
    u64 frame = page_to_pfn(page).n;
    if (page->mapped != (s32)entries)
        panic("frame 0x%lx is mapped %u times and counts %d", frame, entries, page->mapped);
    s32 refs = page->mapped + (page->state == PAGE_FILE && page->object ? 1 : 0);
    if (page->refs != refs)
        panic("frame 0x%lx has %d references instead of %d", frame, page->refs, refs);
    if (!page->rmap != !entries)
        panic("frame 0x%lx, mapped %u times, has rmap 0x%lx", frame, entries, page->rmap);
}

static void check_frames(void)
{
    entries_of = calloc(page_array_count, sizeof(*entries_of));
    table_seen = calloc(page_array_count, sizeof(*table_seen));
    for (unsigned i = 0; i < SPACES; i++)
        if (spaces[i].as)
            count_table(spaces[i].as->pmap.root, PT_LEVELS - 1, PT_ENTRIES / 2);
    for (u64 i = 0; i < page_array_count; i++)
        check_frame(&page_array[i], entries_of[i]);
    free(entries_of);
    free(table_seen);
}

/* --- TLBs --- */

/* A CPU that is not active in its address space may lag behind: it flushes when it comes back. */
static void check_tlb(const struct cpu *cpu)
{
    const struct aspace *as = cpu->loaded_aspace;
    if (as && as->pmap.active & 1UL << cpu->id)
        vm_machine_verify(cpu->id);
}

void check_world(void)
{
    u64 committed = model_shared_pages;
    round++;
    for (unsigned i = 0; i < SPACES; i++) {
        if (!spaces[i].as)
            continue;
        check_space(&spaces[i]);
        committed += model_committed(&spaces[i].model);
    }
    for (unsigned i = 0; i < FILES; i++)
        check_object(files[i].model);
    if (commit_used() != committed)
        panic("%lu pages charged instead of %lu", commit_used(), committed);
    check_frames();
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        check_tlb(&cpus[cpu]);
    if (round % 16 == 0) {
        page_verify();
        slab_verify();
    }
}
