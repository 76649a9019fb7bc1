/*
 * Operations of test_vm.c that access memory: as programs do, through the simulated hardware, and
 * as the kernel does on their behalf. Whatever is read has to be what the model holds.
 */
#include "vm_world.h"

#include "core/errno.h"
#include "host.h"
#include "mm/usercopy.h"
#include "test.h"

int touch(uvaddr_t va, enum vm_access access, u64 *value)
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

void op_touch(struct space *s)
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
void op_sweep(struct space *s)
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

/* The kernel copies two words that lie on either side of a page's end, in the address space it runs
 * in or (ptrace, /proc) in another. What of the first page was possible is done. */
void op_usercopy(struct space *s)
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
