/*
 * /proc/PID/pagemap and clear_refs: Linux's admin-guide/mm/pagemap.rst and proc_pid_clear_refs(5).
 *
 * A pagemap is read as far as the reader, and whoever opened it, may look into the process; frame
 * numbers are in it when the opener had CAP_SYS_ADMIN. Which pages were written since one asked is
 * not kept, so bit 55 is never set and writing 4 to clear_refs is refused.
 */
#include "proc/procfs_priv.h"

#include <linux/capability.h>
#include <linux/stat.h>

#include "lib/string.h"
#include "mm/rmap.h"
#include "mm/slab.h"
#include "mm/usercopy.h"

#define PM_FRAME_BITS 55
#define PM_SWAP_SHIFT 5 /* swap type below, slot above */
#define PM_EXCLUSIVE  (1UL << 56)
#define PM_FILE       (1UL << 61)
#define PM_SWAP       (1UL << 62)
#define PM_PRESENT    (1UL << 63)

/* What of the page table is asked for, and where it goes. */
struct window {
    struct aspace *aspace;
    u64 *words;
    u64 first, count; /* pages */
    bool frames;
};

static u64 page_word(pfn_t pfn, bool frames)
{
    u64 word = PM_PRESENT | (frames ? pfn.n & ((1UL << PM_FRAME_BITS) - 1) : 0);
    struct page *p = pfn_has_page(pfn) ? pfn_to_page(pfn) : NULL;
    if (!p || (p->state != PAGE_ANON && p->state != PAGE_FILE))
        return word; /* nobody's: the page of zeroes, the vDSO */
    if (p->state == PAGE_FILE)
        word |= PM_FILE;
    if (page_mappings(p) == 1)
        word |= PM_EXCLUSIVE;
    return word;
}

/* => The table's lock held. */
static void note_entry(void *arg, unsigned level, uvaddr_t va, pte_t pte)
{
    const struct window *w = arg;
    u64 page = va >> PAGE_SHIFT, pages = PT_SPAN(level) >> PAGE_SHIFT;
    if (pte_is_swap(pte)) {
        w->words[page - w->first] = PM_SWAP | (w->frames ? pte_swap_slot(pte) << PM_SWAP_SHIFT : 0);
        return;
    }
    if (!pte_is_leaf(pte))
        return;
    u64 from = MAX(page, w->first), to = MIN(page + pages, w->first + w->count);
    for (u64 i = from; i < to; i++)
        w->words[i - w->first] = page_word((pfn_t){pte_pfn(pte).n + (i - page)}, w->frames);
}

static void fill(void *arg, u64 first, u64 n, u64 *words)
{
    struct window *w = arg;
    w->words = words;
    w->first = first;
    w->count = n;
    memset(words, 0, n * sizeof(*words));
    READ_GUARD(&w->aspace->lock);
    aspace_walk_locked(w->aspace, first << PAGE_SHIFT, (first + n) << PAGE_SHIFT, note_entry, w);
}

static int pagemap_open(struct inode *inode, struct file *f)
{
    PROCESS_GUARD(p, procfs_node(inode));
    if (!p)
        return -ESRCH;
    if (!process_may_inspect(p))
        return -EACCES;
    f->private = capable(CAP_SYS_ADMIN) ? f : NULL; /* frame numbers are shown */
    return 0;
}

static ssize_t pagemap_read(struct file *f, struct uio *uio, loff_t *pos)
{
    PROCESS_GUARD(p, procfs_node(f->inode));
    if (p && !process_may_inspect(p))
        return -EACCES;
    struct window w = {.aspace = p ? process_aspace_get(p) : NULL, .frames = f->private};
    if (!w.aspace)
        return 0;
    ssize_t r = procfs_read_words(uio, pos, USER_TOP >> PAGE_SHIFT, fill, &w);
    aspace_put(w.aspace);
    return r;
}

static const struct file_ops pagemap_ops = {.open = pagemap_open, .read = pagemap_read};

static int clear_refs(struct aspace *as, char kind)
{
    switch (kind) {
    case '1':
        aspace_clear_referenced(as, true, true);
        return 0;
    case '2':
        aspace_clear_referenced(as, true, false);
        return 0;
    case '3':
        aspace_clear_referenced(as, false, true);
        return 0;
    case '5':
        aspace_reset_peak(as);
        return 0;
    default:
        return -EINVAL;
    }
}

static int write_clear_refs(const struct proc_node *n, const char *text, size_t len)
{
    struct aspace *as = procfs_aspace_get(n);
    int r = len == 1 ? 0 : -EINVAL;
    if (as && r == 0)
        r = clear_refs(as, text[0]);
    aspace_put(as);
    return r;
}

static struct proc_entry files[] = {
    {.name = "pagemap", .mode = S_IFREG | 0400, .file_ops = &pagemap_ops},
    {.name = "clear_refs", .mode = S_IFREG | 0200, .write = write_clear_refs},
};

void procfs_pagemap_init(void)
{
    procfs_add(&procfs_pid_dir, files, ARRAY_SIZE(files));
}
