/*
 * /proc/PID/smaps and smaps_rollup: how much of each vma (of all together) is resident, and shared
 * with whom: proc_pid_smaps(5). One walk of the page table under the address space's lock counts
 * for all vmas; the text is made from the counts under the same lock, so the figures belong to the
 * vmas shown.
 *
 * Pages that nobody owns (the zero page, the vDSO) do not count, as on Linux.
 */
#include "proc/procfs_priv.h"

#include <linux/limits.h>
#include <linux/stat.h>

#include "mm/rmap.h"
#include "mm/slab.h"

#define SHARE_SHIFT  12 /* fraction bits of a page's share */
#define KB_OF(share) ((share) >> (SHARE_SHIFT + 10))
#define ROLLUP_NAME  73 /* column */

/* Shares are bytes << SHARE_SHIFT, each page's divided by the number of its mappings. */
struct usage {
    u64 resident, shared_clean, shared_dirty, private_clean, private_dirty; /* pages */
    u64 referenced, anonymous, swapped;
    u64 huge_anon, huge_shared, huge_file; /* of superpages */
    u64 share, share_dirty, share_anon, share_file, share_shared, share_locked;
};

struct counting {
    const struct vma *vma; /* the one the last entry lay in */
    struct usage *usage;   /* of that one; those of the others follow in order */
};

static void count_page(struct usage *u, struct page *p, pte_t pte, bool huge)
{
    bool anon = p->state == PAGE_ANON, shared = !anon && page_is_shared_memory(p);
    bool dirty = pte_dirty(pte) || page_flag(p, PG_DIRTY);
    u64 mappings = MAX(page_mappings(p), 1UL), share = (PAGE_SIZE << SHARE_SHIFT) / mappings;
    u->resident++;
    if (mappings > 1)
        ++*(dirty ? &u->shared_dirty : &u->shared_clean);
    else
        ++*(dirty ? &u->private_dirty : &u->private_clean);
    u->referenced += pte_accessed(pte) || page_flag(p, PG_REFERENCED);
    u->anonymous += anon;
    *(anon ? &u->huge_anon : shared ? &u->huge_shared : &u->huge_file) += huge;
    u->share += share;
    u->share_dirty += dirty ? share : 0;
    *(anon ? &u->share_anon : shared ? &u->share_shared : &u->share_file) += share;
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
        struct page *p = pfn_has_page(pfn) ? pfn_to_page(pfn) : NULL;
        if (p && (p->state == PAGE_ANON || p->state == PAGE_FILE))
            count_page(c->usage, p, pte, level > 0);
    }
}

static void show_flags(struct seq *s, const struct vma *v)
{
    const struct {
        bool set;
        const char *text;
    } flags[] = {
        {v->prot & PROT_R, "rd "},         {v->prot & PROT_W, "wr "},
        {v->prot & PROT_X, "ex "},         {v->flags & VMA_SHARED, "sh "},
        {v->max_prot & PROT_R, "mr "},     {v->max_prot & PROT_W, "mw "},
        {v->max_prot & PROT_X, "me "},     {v->flags & VMA_GROWSDOWN, "gd "},
        {v->flags & VMA_LOCKED, "lo "},    {v->flags & VMA_LOCKONFAULT, "lf "},
        {v->flags & VMA_SEQ, "sr "},       {v->flags & VMA_RAND, "rr "},
        {v->flags & VMA_DONTFORK, "dc "},  {v->flags & VMA_ACCOUNT, "ac "},
        {v->flags & VMA_NORESERVE, "nr "}, {v->flags & VMA_WIPEONFORK, "wf "},
        {v->flags & VMA_DONTDUMP, "dd "},  {v->flags & VMA_HUGE, "hg "},
        {v->flags & VMA_NOHUGE, "nh "},
    };
    seq_puts(s, "VmFlags: ");
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        if (flags[i].set)
            seq_puts(s, flags[i].text);
    seq_putc(s, '\n');
}

static void kb_line(struct seq *s, const char *name, u64 kb)
{
    seq_printf(s, "%-16s%8lu kB\n", name, kb);
}

/* The lines smaps and smaps_rollup have in common; only the latter has shares by kind. */
static void show_usage(struct seq *s, const struct usage *u, bool rollup)
{
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
        {"KSM:", 0},      /* equal pages are not looked for */
        {"LazyFree:", 0}, /* MADV_FREE frees at once, or not at all */
        {"AnonHugePages:", u->huge_anon},
        {"ShmemPmdMapped:", u->huge_shared},
        {"FilePmdMapped:", u->huge_file},
    };
    kb_line(s, "Rss:", u->resident * PAGE_SIZE / 1024);
    kb_line(s, "Pss:", KB_OF(u->share));
    kb_line(s, "Pss_Dirty:", KB_OF(u->share_dirty));
    if (rollup) {
        kb_line(s, "Pss_Anon:", KB_OF(u->share_anon));
        kb_line(s, "Pss_File:", KB_OF(u->share_file));
        kb_line(s, "Pss_Shmem:", KB_OF(u->share_shared));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        kb_line(s, lines[i].name, lines[i].pages * PAGE_SIZE / 1024);
    /* There is no hugetlbfs. Of a swap slot no sharers are known: it counts in full. */
    seq_printf(s, "Shared_Hugetlb: %8d kB\nPrivate_Hugetlb: %7d kB\n", 0, 0);
    kb_line(s, "Swap:", u->swapped * PAGE_SIZE / 1024);
    kb_line(s, "SwapPss:", u->swapped * PAGE_SIZE / 1024);
    kb_line(s, "Locked:", KB_OF(u->share_locked));
}

static void show_vma(struct seq *s, const struct vma *v, const struct usage *u, char *buf)
{
    procfs_show_vma(s, v, buf);
    kb_line(s, "Size:", (v->end - v->start) / 1024);
    kb_line(s, "KernelPageSize:", PAGE_SIZE / 1024);
    kb_line(s, "MMUPageSize:", PAGE_SIZE / 1024);
    show_usage(s, u, false);
    seq_printf(s, "%-16s%8d\n", "THPeligible:", super_possible(v));
    show_flags(s, v);
}

static void add_usage(struct usage *sum, const struct usage *u)
{
    u64 *to = (u64 *)sum;
    const u64 *from = (const u64 *)u;
    _Static_assert(sizeof(*u) % sizeof(u64) == 0, "figures only");
    for (unsigned i = 0; i < sizeof(*u) / sizeof(u64); i++)
        to[i] += from[i];
}

static void show_rollup(struct seq *s, u64 start, u64 end, const struct usage *sum)
{
    size_t from = seq_length(s);
    seq_printf(s, "%08lx-%08lx ---p 00000000 00:00 0 ", start, end);
    seq_pad(s, from, ROLLUP_NAME);
    seq_puts(s, "[rollup]\n");
    show_usage(s, sum, true);
}

/*
 * Counts and shows everything if @usage has room for @max vmas; @buf: PATH_MAX bytes, NULL: only
 * the sum is wanted. -EAGAIN: there are more.
 */
static int show_all(struct seq *s, struct aspace *as, struct usage *usage, u64 max, char *buf)
{
    READ_GUARD(&as->lock);
    if (as->vmas.count > max)
        return -EAGAIN;
    const struct vma *first = vma_first(&as->vmas);
    struct counting c = {.vma = first, .usage = usage};
    struct usage sum = {};
    u64 end = 0;
    aspace_walk_locked(as, 0, USER_TOP, count_entry, &c);
    for (const struct vma *v = first; v; v = vma_next(v), usage++) {
        usage->share_locked = v->flags & VMA_LOCKED ? usage->share : 0;
        add_usage(&sum, usage);
        end = v->end;
        if (buf)
            show_vma(s, v, usage, buf);
    }
    if (!buf)
        show_rollup(s, first ? first->start : 0, end, &sum);
    return 0;
}

static int show_counted(struct seq *s, const struct proc_node *n, bool rollup)
{
    struct aspace *as = procfs_aspace_get(n);
    if (!as)
        return rollup ? -ESRCH : 0;
    char *buf = rollup ? NULL : kmalloc(PATH_MAX, 0);
    int r = buf || rollup ? -EAGAIN : -ENOMEM;
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

static int show_smaps(struct seq *s, const struct proc_node *n)
{
    return show_counted(s, n, false);
}

static int show_smaps_rollup(struct seq *s, const struct proc_node *n)
{
    return show_counted(s, n, true);
}

static struct proc_entry files[] = {
    {.name = "smaps", .mode = S_IFREG | 0444, .flags = PROC_PRIVATE, .show = show_smaps},
    {.name = "smaps_rollup",
     .mode = S_IFREG | 0444,
     .flags = PROC_PRIVATE,
     .show = show_smaps_rollup},
};

void procfs_smaps_init(void)
{
    procfs_add(&procfs_pid_dir, files, ARRAY_SIZE(files));
}
