/*
 * /proc/kpagecount and kpageflags: one 64-bit word per page frame, by frame number: Linux's
 * admin-guide/mm/pagemap.rst. Taken without locks: each word is true of its own moment.
 */
#include "procfs_priv.h"

#include "mm/rmap.h"

#include <linux/kernel-page-flags.h>

#define BIT(flag)     (1UL << (flag))
#define WORDS_AT_ONCE (PAGE_SIZE / sizeof(u64))

ssize_t procfs_read_words(struct uio *uio, loff_t *pos, u64 count,
                          void (*fill)(void *arg, u64 first, u64 n, u64 *words), void *arg)
{
    if (*pos % sizeof(u64) || uio->resid % sizeof(u64))
        return -EINVAL;
    u64 *words = kmalloc(PAGE_SIZE, 0);
    size_t done = 0;
    bool fault = false;
    if (!words)
        return -ENOMEM;
    for (u64 at = (u64)*pos / sizeof(u64), n; uio->resid > 0 && at < count && !fault; at += n) {
        n = MIN(MIN(uio->resid / sizeof(u64), WORDS_AT_ONCE), count - at);
        fill(arg, at, n, words);
        size_t moved = uio_write(uio, words, n * sizeof(u64));
        done += moved;
        fault = moved < n * sizeof(u64);
    }
    kfree(words);
    *pos += (loff_t)done;
    return fault && done == 0 ? -EFAULT : (ssize_t)done;
}

static u64 state_flags(struct page *p)
{
    switch (READ_ONCE(p->state)) {
    case PAGE_FREE:
        return page_in_buddy(p) ? BIT(KPF_BUDDY) : 0;
    case PAGE_SLAB:
        return BIT(KPF_SLAB);
    case PAGE_TABLE:
        return BIT(KPF_PGTABLE);
    case PAGE_ANON:
        return BIT(KPF_ANON) | BIT(KPF_SWAPBACKED) | (page_mappings(p) ? BIT(KPF_MMAP) : 0);
    case PAGE_FILE:
        return page_mappings(p) ? BIT(KPF_MMAP) : 0;
    default:
        return p == zero_page ? BIT(KPF_ZERO_PAGE) : 0;
    }
}

static u64 frame_flags(struct page *p)
{
    static const struct {
        u32 flag;
        unsigned bit;
    } map[] = {
        {PG_BUSY, KPF_LOCKED},       {PG_ERROR, KPF_ERROR},         {PG_REFERENCED, KPF_REFERENCED},
        {PG_UPTODATE, KPF_UPTODATE}, {PG_DIRTY, KPF_DIRTY},         {PG_LRU, KPF_LRU},
        {PG_ACTIVE, KPF_ACTIVE},     {PG_WRITEBACK, KPF_WRITEBACK},
    };
    u64 flags = state_flags(p);
    for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
        if (page_flag(p, map[i].flag))
            flags |= BIT(map[i].bit);
    return flags;
}

static void fill_counts(void *arg, u64 first, u64 n, u64 *words)
{
    for (u64 i = 0; i < n; i++) {
        pfn_t pfn = {first + i};
        words[i] = pfn_has_page(pfn) ? page_mappings(pfn_to_page(pfn)) : 0;
    }
}

static void fill_flags(void *arg, u64 first, u64 n, u64 *words)
{
    for (u64 i = 0; i < n; i++) {
        pfn_t pfn = {first + i};
        words[i] = pfn_has_page(pfn) ? frame_flags(pfn_to_page(pfn)) : BIT(KPF_NOPAGE);
    }
}

static ssize_t counts_read(struct file *f, struct uio *uio, loff_t *pos)
{
    return procfs_read_words(uio, pos, page_base_pfn + page_array_count, fill_counts, NULL);
}

static ssize_t flags_read(struct file *f, struct uio *uio, loff_t *pos)
{
    return procfs_read_words(uio, pos, page_base_pfn + page_array_count, fill_flags, NULL);
}

static const struct file_ops counts_ops = {.read = counts_read};
static const struct file_ops flags_ops = {.read = flags_read};

static struct proc_entry files[] = {
    {.name = "kpagecount", .mode = S_IFREG | 0400, .file_ops = &counts_ops},
    {.name = "kpageflags", .mode = S_IFREG | 0400, .file_ops = &flags_ops},
};

void procfs_frames_init(void)
{
    procfs_add(&procfs_root, files, ARRAY_SIZE(files));
}
