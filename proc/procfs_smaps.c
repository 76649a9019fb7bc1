/*
 * /proc/PID/smaps: how much of each vma is resident, and shared with whom: proc_pid_smaps(5). One
 * walk of the page table under the address space's lock counts for all vmas; the text is made from
 * the counts under the same lock, so the figures belong to the vmas shown.
 *
 * Pages that nobody owns (the zero page, the vDSO) do not count, as on Linux.
 */
#include "proc/procfs_priv.h"

#include <linux/limits.h>
#include <linux/stat.h>

#include "mm/slab.h"

#define PSS_SHIFT 12 /* fraction bits of a page's share */

struct usage {
    u64 resident, shared_clean, shared_dirty, private_clean, private_dirty;
    u64 referenced, anonymous, swapped; /* pages */
    u64 share;                          /* pages << PSS_SHIFT, divided by the number of mappings */
};

struct counting {
    const struct vma *vma; /* the one the last entry lay in */
    struct usage *usage;   /* of that one; those of the others follow in order */
};

static void count_page(struct usage *u, const struct page *p, pte_t pte)
{
    s32 mapped = MAX(READ_ONCE(p->mapped), 1);
    bool dirty = pte_dirty(pte) || page_flag(p, PG_DIRTY);
    u->resident++;
    u->share += (1UL << PSS_SHIFT) / (u64)mapped;
    if (mapped > 1)
        ++*(dirty ? &u->shared_dirty : &u->shared_clean);
    else
        ++*(dirty ? &u->private_dirty : &u->private_clean);
    if (pte_accessed(pte) || page_flag(p, PG_REFERENCED))
        u->referenced++;
    if (p->state == PAGE_ANON)
        u->anonymous++;
}

/* => Address order, the table's lock held. */
static void count_entry(void *arg, unsigned level, uvaddr_t va, pte_t pte)
{
    struct counting *c = arg;
    bool swap = pte_is_swap(pte);
    if (!swap && !pte_is_leaf(pte))
        return;
    while (c->vma && va >= c->vma->end) {
        c->vma = vma_next(c->vma);
        c->usage++;
    }
    if (!c->vma)
        return;
    if (swap) {
        c->usage->swapped++;
        return;
    }
    for (u64 i = 0; i < PT_SPAN(level) >> PAGE_SHIFT; i++) {
        pfn_t pfn = {pte_pfn(pte).n + i};
        const struct page *p = pfn_has_page(pfn) ? pfn_to_page(pfn) : NULL;
        if (p && (p->state == PAGE_ANON || p->state == PAGE_FILE))
            count_page(c->usage, p, pte);
    }
}

static void show_flags(struct seq *s, const struct vma *v)
{
    const struct {
        bool set;
        const char *text;
    } flags[] = {
        {v->prot & PROT_R, "rd "},          {v->prot & PROT_W, "wr "},
        {v->prot & PROT_X, "ex "},          {v->flags & VMA_SHARED, "sh "},
        {v->max_prot & PROT_R, "mr "},      {v->max_prot & PROT_W, "mw "},
        {v->max_prot & PROT_X, "me "},      {v->flags & VMA_GROWSDOWN, "gd "},
        {v->flags & VMA_LOCKED, "lo "},     {v->flags & VMA_SEQ, "sr "},
        {v->flags & VMA_RAND, "rr "},       {v->flags & VMA_DONTFORK, "dc "},
        {v->flags & VMA_ACCOUNT, "ac "},    {v->flags & VMA_NORESERVE, "nr "},
        {v->flags & VMA_WIPEONFORK, "wf "}, {v->flags & VMA_HUGE, "hg "},
        {v->flags & VMA_NOHUGE, "nh "},
    };
    seq_puts(s, "VmFlags: ");
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        if (flags[i].set)
            seq_puts(s, flags[i].text);
    seq_putc(s, '\n');
}

static void show_usage(struct seq *s, const struct vma *v, const struct usage *u)
{
    u64 share = u->share * (PAGE_SIZE / 1024) >> PSS_SHIFT;
    const struct {
        const char *name;
        u64 pages;
    } lines[] = {
        {"Shared_Clean:", u->shared_clean},
        {"Shared_Dirty:", u->shared_dirty},
        {"Private_Clean:", u->private_clean},
        {"Private_Dirty:", u->private_dirty},
        {"Referenced:", u->referenced},
        {"Anonymous:", u->anonymous},
        {"Swap:", u->swapped},
    };
    seq_printf(s, "%-16s%8lu kB\n", "Size:", (v->end - v->start) / 1024);
    seq_printf(s, "%-16s%8lu kB\n", "KernelPageSize:", PAGE_SIZE / 1024);
    seq_printf(s, "%-16s%8lu kB\n", "MMUPageSize:", PAGE_SIZE / 1024);
    seq_printf(s, "%-16s%8lu kB\n", "Rss:", u->resident * PAGE_SIZE / 1024);
    seq_printf(s, "%-16s%8lu kB\n", "Pss:", share);
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        seq_printf(s, "%-16s%8lu kB\n", lines[i].name, lines[i].pages * PAGE_SIZE / 1024);
    seq_printf(s, "%-16s%8lu kB\n", "Locked:", v->flags & VMA_LOCKED ? share : 0);
    show_flags(s, v);
}

/* Counts and shows everything if @usage has room for @max vmas. -EAGAIN: there are more. */
static int show_all(struct seq *s, struct aspace *as, struct usage *usage, u64 max, char *buf)
{
    READ_GUARD(&as->lock);
    if (as->vmas.count > max)
        return -EAGAIN;
    struct counting c = {.vma = vma_first(&as->vmas), .usage = usage};
    aspace_walk_locked(as, count_entry, &c);
    for (const struct vma *v = vma_first(&as->vmas); v; v = vma_next(v)) {
        procfs_show_vma(s, v, buf);
        show_usage(s, v, usage++);
    }
    return 0;
}

static int show_smaps(struct seq *s, const struct proc_node *n)
{
    struct aspace *as = procfs_aspace_get(n);
    if (!as)
        return 0;
    char *buf = kmalloc(PATH_MAX, 0);
    int r = buf ? -EAGAIN : -ENOMEM;
    while (r == -EAGAIN) {
        u64 max = READ_ONCE(as->vmas.count) + 1;
        struct usage *usage = kzalloc(max * sizeof(*usage), 0);
        r = usage ? show_all(s, as, usage, max, buf) : -ENOMEM;
        kfree(usage);
    }
    kfree(buf);
    aspace_put(as);
    return r;
}

static struct proc_entry files[] = {
    {.name = "smaps", .mode = S_IFREG | 0444, .flags = PROC_PRIVATE, .show = show_smaps},
};

void procfs_smaps_init(void)
{
    procfs_add(&procfs_pid_dir, files, ARRAY_SIZE(files));
}
