/*
 * /proc/PID/maps and pagetable: what may be, and what is.
 *
 * maps: one line per vma, proc_pid_maps(5). pagetable: one line per entry of the page table that is
 * not empty, tables before what they contain; docs/pagetable.md defines the format. Both are made
 * under the address space's lock, so they show one moment; page-table lines are written with the
 * table's spinlock held too, into memory set aside before.
 */
#include "proc/procfs_priv.h"

#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/stat.h>

#include "dev/devno.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "mm/slab.h"

#define MAPS_NAME_COLUMN 73
#define TABLE_LINE       96 /* longest line of pagetable, about */

/* The break lies in it, as Linux decides it: the program's bss may be part of the same vma. */
static bool is_heap(const struct vma *v)
{
    const struct aspace *as = v->aspace;
    return !v->object && v->start <= as->brk && v->end >= as->brk_start && as->brk_start;
}

static const char *special_name(const struct vma *v)
{
    if (v->flags & VMA_VDSO)
        return v->prot & PROT_X ? "[vdso]" : "[vvar]";
    if (v->start <= v->aspace->stack_top && v->end >= v->aspace->stack_top)
        return "[stack]";
    if (is_heap(v))
        return "[heap]";
    return NULL;
}

void procfs_show_vma(struct seq *s, const struct vma *v, char *buf)
{
    struct vm_object *o = v->object;
    const char *name = special_name(v);
    u64 dev = 0, ino = 0;
    size_t from = seq_length(s);
    if (o && o->ops->ident)
        o->ops->ident(o, &dev, &ino);
    seq_printf(s, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", v->start, v->end,
               v->prot & PROT_R ? 'r' : '-', v->prot & PROT_W ? 'w' : '-',
               v->prot & PROT_X ? 'x' : '-', v->flags & VMA_SHARED ? 's' : 'p', o ? v->offset : 0,
               devno_major((u32)dev), devno_minor((u32)dev), ino);
    if (!name && v->name) {
        snprintf(buf, PATH_MAX, o ? "[anon_shmem:%s]" : "[anon:%s]", v->name->text);
        name = buf;
    }
    if (!name && o && o->ops->name) {
        buf[0] = '\0';
        o->ops->name(o, v->file, buf, PATH_MAX);
        name = buf;
    }
    if (name && *name) {
        seq_pad(s, from, MAPS_NAME_COLUMN);
        for (; *name; name++) {
            if (*name == '\n')
                seq_puts(s, "\\012");
            else
                seq_putc(s, *name);
        }
    }
    seq_putc(s, '\n');
}

static int show_maps(struct seq *s, const struct proc_node *n)
{
    struct aspace *as = procfs_aspace_get(n);
    if (!as)
        return 0;
    char *buf = kmalloc(PATH_MAX, 0);
    if (buf) {
        READ_GUARD(&as->lock);
        for (const struct vma *v = vma_first(&as->vmas); v; v = vma_next(v))
            procfs_show_vma(s, v, buf);
    }
    kfree(buf);
    aspace_put(as);
    return buf ? 0 : -ENOMEM;
}

struct table_show {
    struct seq *seq;
    bool addresses; /* physical addresses are shown */
};

static const char *page_kind(const struct page *p)
{
    if (p == zero_page)
        return "zero";
    switch (READ_ONCE(p->state)) {
    case PAGE_ANON:
        return "anon";
    case PAGE_FILE:
        return "file";
    default:
        return "wired";
    }
}

static void show_leaf(struct table_show *show, pte_t pte, paddr_t pa)
{
    char flags[9];
    pte_describe(pte, flags);
    if (!pfn_has_page(pte_pfn(pte))) {
        seq_printf(show->seq, " device pa %016lx flags %s\n", pa, flags);
        return;
    }
    const struct page *p = pfn_to_page(pte_pfn(pte));
    seq_printf(show->seq, " %s pa %016lx flags %s refs %d mapped %d\n", page_kind(p), pa, flags,
               READ_ONCE(p->refs), READ_ONCE(p->mapped));
}

/* => Under the address space's lock and, for leaves, the table's. */
static void show_entry(void *arg, unsigned level, uvaddr_t va, pte_t pte)
{
    struct table_show *show = arg;
    u64 raw = show->addresses ? pte.v : pte_without_frame(pte);
    paddr_t pa = show->addresses ? pte_pfn(pte).n << PAGE_SHIFT : 0;
    seq_printf(show->seq, "%u %016lx %016lx", level, va, raw);
    if (pte_is_swap(pte)) {
        seq_printf(show->seq, " swap slot %lu\n", pte_swap_slot(pte));
    } else if (pte_is_leaf(pte)) {
        show_leaf(show, pte, pa);
    } else {
        const struct page *table = pfn_to_page(pte_pfn(pte));
        seq_printf(show->seq, " %s pa %016lx live %d refs %d\n",
                   pte_is_parked(pte) ? "parked" : "table", pa, READ_ONCE(table->mapped),
                   READ_ONCE(table->refs));
    }
}

static void show_root(struct table_show *show, const struct pmap *pmap)
{
    const struct page *root = virt_to_page(pmap->root);
    seq_printf(show->seq, "root pa %016lx live %d\n", show->addresses ? pmap->root_pa : 0,
               READ_ONCE(root->mapped));
}

static int show_pagetable(struct seq *s, const struct proc_node *n)
{
    struct aspace *as = procfs_aspace_get(n);
    if (!as)
        return 0;
    struct table_show show = {.seq = s, .addresses = capable(CAP_SYS_ADMIN)};
    const struct pmap *pmap = &as->pmap;
    u64 entries = pmap->tables + pmap->resident_anon + pmap->resident_file + pmap->resident_shared +
                  pmap->swapped;
    size_t want = (entries + PT_ENTRIES) * TABLE_LINE, lost;
    int r;
    do {
        r = seq_atomic_begin(s, want);
        if (r < 0)
            break;
        show_root(&show, pmap);
        aspace_walk(as, show_entry, &show);
        lost = seq_atomic_end(s);
        want += lost;
    } while (lost > 0 && !signal_pending());
    if (r == 0 && lost > 0)
        r = -EINTR;
    aspace_put(as);
    return r;
}

static struct proc_entry files[] = {
    {.name = "maps", .mode = S_IFREG | 0444, .flags = PROC_PRIVATE, .show = show_maps},
    {.name = "pagetable", .mode = S_IFREG | 0444, .flags = PROC_PRIVATE, .show = show_pagetable},
};

void procfs_memory_files_init(void)
{
    procfs_add(&procfs_pid_dir, files, ARRAY_SIZE(files));
}
