/* The plain model of address spaces; see vm_model.h. */
#include "vm_model.h"

#include <stdlib.h>

#include "core/errno.h"
#include "lib/string.h"

u64 model_shared_pages;

struct mobject *model_object_create(struct vm_object *real, bool is_file, u64 pages)
{
    struct mobject *o = calloc(1, sizeof(*o));
    o->real = real;
    o->is_file = is_file;
    o->capacity = pages;
    o->size = is_file ? 0 : pages * PAGE_SIZE;
    o->word = calloc(pages, sizeof(o->word[0]));
    if (!is_file)
        model_shared_pages += pages;
    return o;
}

static void object_unuse(struct mobject *o)
{
    if (--o->uses > 0 || o->is_file)
        return;
    model_shared_pages -= o->capacity;
    free(o->word);
    free(o);
}

void model_object_resize(struct mobject *o, u64 size)
{
    for (u64 i = 0; i < o->capacity; i++)
        for (unsigned w = 0; w < WORDS; w++)
            if (i * PAGE_SIZE + word_offset(w) >= size)
                o->word[i][w] = 0;
    o->size = size;
}

void model_drop(struct mpage *page)
{
    if (page->object)
        object_unuse(page->object);
    *page = (struct mpage){0};
}

void model_set(struct mpage *to, const struct mpage *from)
{
    struct mpage copy = *from;
    if (copy.object)
        copy.object->uses++;
    model_drop(to);
    *to = copy;
}

void model_forget(struct mpage *page)
{
    page->copied = false;
    memset(page->word, 0, sizeof(page->word));
}

int model_access(const struct mpage *page, enum vm_access access)
{
    static const unsigned need[] = {
        [VM_ACCESS_READ] = PROT_R | PROT_W, [VM_ACCESS_WRITE] = PROT_W, [VM_ACCESS_EXEC] = PROT_X};
    if (!page->mapped)
        return -EFAULT;
    if (!(page->prot & need[access]))
        return -EACCES;
    bool own = !page->object || page->copied;
    return own || page->index < DIV_UP(page->object->size, PAGE_SIZE) ? 0 : -ENXIO;
}

static u64 *words_of(const struct mpage *page)
{
    bool own = !page->object || page->copied;
    return own ? (u64 *)page->word : page->object->word[page->index];
}

u64 model_read(const struct mpage *page, unsigned word)
{
    return words_of(page)[word];
}

void model_copy(struct mpage *page)
{
    if (!page->object || page->shared || page->copied)
        return;
    memcpy(page->word, words_of(page), sizeof(page->word));
    page->copied = true;
}

void model_write(struct mpage *page, unsigned word, u64 value)
{
    model_copy(page);
    words_of(page)[word] = value;
}

bool model_same_vma(const struct mpage *a, const struct mpage *b)
{
    return a->mapped && b->mapped && a->shared == b->shared && a->account == b->account &&
           a->prot == b->prot && a->advice == b->advice && a->object == b->object &&
           (!a->object || a->index + 1 == b->index);
}

bool model_has_gap(const struct mspace *s, unsigned pages)
{
    unsigned run = 0;
    for (unsigned p = 0; p < ARENA_PAGES && run < pages; p++)
        run = s->page[p].mapped ? 0 : run + 1;
    return run >= pages;
}

u64 model_committed(const struct mspace *s)
{
    u64 pages = 0;
    for (unsigned p = 0; p < ARENA_PAGES; p++)
        pages += s->page[p].account;
    return pages;
}
