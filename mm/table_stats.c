/*
 * Superpages, counted by a look at every table of level 1. No lock is taken: a table may be freed
 * and reused meanwhile, so what is read is believed only as far as it makes sense.
 */
#include "core/errno.h"
#include "lib/bitmap.h"
#include "mm/object.h"
#include "mm/slab.h"

/* Blocks of 2 MiB of physical memory from the one with the first descriptor on. */
static u64 block_of(u64 pfn)
{
    return pfn / PT_ENTRIES - page_base_pfn / PT_ENTRIES;
}

/* Notes the blocks that @table, of level 1, maps as superpages. */
static void note_table(const struct page *table, u64 *blocks)
{
    const pte_t *entries = page_to_virt(table);
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        pte_t e = pte_read(&entries[i]);
        if (pte_is_leaf(e) && pfn_has_page(pte_pfn(e)))
            bitmap_set(blocks, block_of(pte_pfn(e).n));
    }
}

static void count_block(const struct page *head, struct superpage_stats *out)
{
    /* The field has other meanings in other states: read before the state. */
    const struct vm_object *o = load_acquire(&head->object);
    u8 state = READ_ONCE(head->state);
    if (state == PAGE_ANON)
        out->anon++;
    else if (state == PAGE_FILE)
        ++*(o && (o->flags & OBJECT_NO_WRITEBACK) ? &out->shared : &out->file);
}

int page_get_superpage_stats(struct superpage_stats *out)
{
    u64 count = block_of(page_base_pfn + page_array_count - 1) + 1;
    u64 *blocks = kzalloc(BITMAP_WORDS(count) * sizeof(u64), 0);
    if (!blocks)
        return -ENOMEM;
    *out = (struct superpage_stats){};
    for (const struct page *p = page_array; p < page_array + page_array_count; p++)
        if (READ_ONCE(p->state) == PAGE_TABLE && p->table_level == 1)
            note_table(p, blocks);
    u64 first = page_base_pfn / PT_ENTRIES * PT_ENTRIES;
    for (u64 b = bitmap_find_set(blocks, count, 0); b < count;
         b = bitmap_find_set(blocks, count, b + 1))
        count_block(pfn_to_page((pfn_t){first + b * PT_ENTRIES}), out);
    kfree(blocks);
    return 0;
}
