/*
 * /proc/meminfo, vmstat, buddyinfo, zoneinfo, slabinfo. Every figure comes from a counter of mm/ or
 * from a walk; docs/counters.md defines each line.
 */
#include "procfs_priv.h"

#include "dev/block.h"
#include "fs/buf.h"
#include "mm/aspace.h"
#include "mm/counters.h"
#include "mm/kva.h"

#define KB_PER_PAGE (PAGE_SIZE / 1024)

/* Pages by what they are used for, all at one time as nearly as can be. */
struct memory {
    struct page_stats pages;
    struct object_stats files;
    struct superpage_stats super;
    u64 tables;       /* of address spaces */
    u64 wired;        /* the kernel's own, tables of its map included */
    u64 mapped;       /* FILE pages in some page table */
    u64 active[2];    /* on the reclaim lists, in use: anonymous [0], file [1] */
    u64 inactive[2];  /* the same, candidates */
    u64 buffers;      /* bytes in the buffer cache */
    u64 slab_reclaim; /* pages of slabs whose objects the shrinkers can give back */
};

/* One look at every frame. What changes meanwhile is counted as it was found. */
static void count_frames(struct memory *m)
{
    for (const struct page *p = page_array; p < page_array + page_array_count; p++) {
        u8 state = READ_ONCE(p->state);
        u32 flags = READ_ONCE(p->flags);
        if (state != PAGE_ANON && state != PAGE_FILE)
            continue;
        bool file = state == PAGE_FILE;
        if (file && READ_ONCE(p->mapped) > 0)
            m->mapped++;
        if (flags & PG_LRU)
            (flags & PG_ACTIVE ? m->active : m->inactive)[file]++;
    }
}

/* Caches with a shrinker: those of dentries and inodes of every file system. */
static bool cache_is_reclaimable(const char *name)
{
    size_t len = strlen(name);
    return strcmp(name, "dentry") == 0 || (len >= 5 && strcmp(name + len - 5, "inode") == 0);
}

static void count_slabs(struct memory *m)
{
    struct kmem_cache_stats cache;
    for (unsigned i = 0; kmem_cache_get_stats(i, &cache); i++)
        if (cache_is_reclaimable(cache.name))
            m->slab_reclaim += cache.pages;
}

/* Tables of address spaces and of the kernel's map are in one state; the former are counted. */
static void count_tables(struct memory *m)
{
    u64 freed = vm_counter_read(VMC_table_free), all = m->pages.by_state[PAGE_TABLE];
    m->tables = MIN(vm_counter_read(VMC_table_alloc) - freed, all);
    m->wired = m->pages.by_state[PAGE_WIRED] + all - m->tables;
}

static int memory_get(struct memory *m)
{
    memset(m, 0, sizeof(*m));
    page_get_stats(&m->pages);
    count_tables(m);
    object_get_stats(&m->files);
    m->buffers = buf_cached_bytes();
    count_frames(m);
    count_slabs(m);
    return page_get_superpage_stats(&m->super);
}

/* Free, reserved and not used, or file contents that can be had from the disk again, less what is
 * kept free anyway. */
static u64 available_pages(const struct memory *m)
{
    u64 unreadable = m->files.shmem + m->files.dirty + m->files.writeback;
    u64 clean = m->files.cached - MIN(unreadable, m->files.cached);
    u64 all = m->pages.free + m->pages.by_state[PAGE_RESERVED] + clean;
    return all - MIN(page_high_level(), all);
}

static void line(struct seq *s, const char *name, u64 kb)
{
    seq_printf(s, "%-16s%8lu kB\n", name, kb);
}

static int show_meminfo(struct seq *s, const struct proc_node *n)
{
    struct memory m;
    int r = memory_get(&m);
    if (r < 0)
        return r;
    u64 slab = m.pages.by_state[PAGE_SLAB], reclaimable = MIN(m.slab_reclaim, slab);
    const struct {
        const char *name;
        u64 pages;
    } lines[] = {
        {"MemTotal:", m.pages.total},
        {"MemFree:", m.pages.free},
        {"MemAvailable:", available_pages(&m)},
        {"Buffers:", m.buffers / PAGE_SIZE},
        {"Cached:", m.files.cached},
        {"SwapCached:", 0},
        {"Active:", m.active[0] + m.active[1]},
        {"Inactive:", m.inactive[0] + m.inactive[1]},
        {"Active(anon):", m.active[0]},
        {"Inactive(anon):", m.inactive[0]},
        {"Active(file):", m.active[1]},
        {"Inactive(file):", m.inactive[1]},
        {"SwapTotal:", 0},
        {"SwapFree:", 0},
        {"Dirty:", m.files.dirty},
        {"Writeback:", m.files.writeback},
        {"AnonPages:", m.pages.by_state[PAGE_ANON]},
        {"Mapped:", m.mapped},
        {"Shmem:", m.files.shmem},
        {"KReclaimable:", reclaimable},
        {"Slab:", slab},
        {"SReclaimable:", reclaimable},
        {"SUnreclaim:", slab - reclaimable},
        {"KernelStack:", kstack_count() * (KSTACK_SIZE / PAGE_SIZE)},
        {"PageTables:", m.tables},
        {"CommitLimit:", commit_limit()},
        {"Committed_AS:", commit_used()},
        {"VmallocTotal:", (KVA_END - KVA_START) / PAGE_SIZE},
        {"Percpu:", 0}, /* part of the kernel's image */
        {"AnonHugePages:", m.super.anon * PT_ENTRIES},
        {"ShmemHugePages:", m.super.shared * PT_ENTRIES},
        {"FileHugePages:", m.super.file * PT_ENTRIES},
        {"Wired:", m.wired},
        {"Reserved:", m.pages.by_state[PAGE_RESERVED]},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        line(s, lines[i].name, lines[i].pages * KB_PER_PAGE);
    return 0;
}

/* Kilobytes moved to and from block devices. */
static void count_transfers(u64 *in, u64 *out)
{
    const struct block_device *bdev;
    *in = *out = 0;
    for (unsigned i = 0; (bdev = block_at(i)); i++) {
        *in += READ_ONCE(bdev->stats.sectors_read) / 2;
        *out += READ_ONCE(bdev->stats.sectors_written) / 2;
    }
}

/* All counters, read before the text allocates pages of its own. */
static void counters_get(u64 value[VM_COUNTER_COUNT])
{
    for (unsigned i = 0; i < VM_COUNTER_COUNT; i++)
        value[i] = vm_counter_read(i);
    count_transfers(&value[VMC_pgpgin], &value[VMC_pgpgout]);
}

static int show_vmstat(struct seq *s, const struct proc_node *n)
{
    struct memory m;
    u64 counters[VM_COUNTER_COUNT];
    counters_get(counters);
    int r = memory_get(&m);
    if (r < 0)
        return r;
    const u64 *state = m.pages.by_state;
    const struct {
        const char *name;
        u64 value;
    } lines[] = {
        {"nr_free_pages", m.pages.free},
        {"nr_inactive_anon", m.inactive[0]},
        {"nr_active_anon", m.active[0]},
        {"nr_inactive_file", m.inactive[1]},
        {"nr_active_file", m.active[1]},
        {"nr_slab_reclaimable", MIN(m.slab_reclaim, state[PAGE_SLAB])},
        {"nr_slab_unreclaimable", state[PAGE_SLAB] - MIN(m.slab_reclaim, state[PAGE_SLAB])},
        {"nr_anon_pages", state[PAGE_ANON]},
        {"nr_mapped", m.mapped},
        {"nr_file_pages", m.files.cached},
        {"nr_dirty", m.files.dirty},
        {"nr_writeback", m.files.writeback},
        {"nr_shmem", m.files.shmem},
        {"nr_kernel_stack", kstack_count() * (KSTACK_SIZE / 1024)},
        {"nr_page_table_pages", m.tables},
        {"nr_anon_transparent_hugepages", m.super.anon},
        {"nr_shmem_hugepages", m.super.shared},
        {"nr_file_hugepages", m.super.file},
        {"nr_total_pages", m.pages.total},
        {"nr_stashed_pages", m.pages.stashed},
        {"nr_slab_pages", state[PAGE_SLAB]},
        {"nr_wired_pages", m.wired},
        {"nr_reserved_pages", state[PAGE_RESERVED]},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        seq_printf(s, "%s %lu\n", lines[i].name, lines[i].value);
    for (unsigned i = 0; i < VM_COUNTER_COUNT; i++)
        seq_printf(s, "%s %lu\n", vm_counter_names[i], counters[i]);
    return 0;
}

static int show_buddyinfo(struct seq *s, const struct proc_node *n)
{
    struct page_stats stats;
    page_get_stats(&stats);
    seq_printf(s, "Node %d, zone %8s ", 0, "Normal");
    for (unsigned i = 0; i <= PAGE_MAX_ORDER; i++)
        seq_printf(s, "%6lu ", stats.free_blocks[i]);
    seq_putc(s, '\n');
    return 0;
}

/* Linux's format, the lines that Quire has; a stash is what Linux calls a pageset. */
static int show_zoneinfo(struct seq *s, const struct proc_node *n)
{
    struct page_stats stats;
    struct page_zone_stats zone;
    page_get_stats(&stats);
    page_get_zone_stats(&zone);
    seq_printf(s, "Node 0, zone   Normal\n  pages free     %lu\n", stats.free);
    seq_printf(s, "        min      %lu\n        low      %lu\n        high     %lu\n", zone.min,
               zone.low, zone.high);
    seq_printf(s, "        spanned  %lu\n        managed  %lu\n", page_array_count, stats.total);
    seq_puts(s, "  pagesets\n");
    for_each_online_cpu (c)
        seq_printf(s,
                   "    cpu: %u\n              count: %lu\n              high:  %lu\n"
                   "              batch: %lu\n",
                   c->id, zone.stashed[c->id], zone.stash_limit, zone.stash_batch);
    seq_printf(s, "  start_pfn:           %lu\n", page_base_pfn);
    return 0;
}

/*
 * The allocator tells pages, not slabs: a slab is counted as one page here, so pages per slab is 1,
 * and objects per slab is what a page holds on average.
 */
static int show_slabinfo(struct seq *s, const struct proc_node *n)
{
    struct kmem_cache_stats c;
    seq_puts(s, "slabinfo - version: 2.1\n"
                "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
                " : tunables <limit> <batchcount> <sharedfactor>"
                " : slabdata <active_slabs> <num_slabs> <sharedavail>\n");
    for (unsigned i = 0; kmem_cache_get_stats(i, &c); i++) {
        u64 per_page = c.pages ? MAX(c.objects_total / c.pages, 1UL) : 1;
        seq_printf(s,
                   "%-17s %6lu %6lu %6lu %4lu %4d : tunables %4d %4d %4d"
                   " : slabdata %6lu %6lu %6d\n",
                   c.name, c.objects_used, c.objects_total, c.object_size, per_page, 1, 0, 0, 0,
                   c.pages, c.pages, 0);
    }
    return 0;
}

static struct proc_entry files[] = {
    PROC_FILE("meminfo", 0444, show_meminfo),     PROC_FILE("vmstat", 0444, show_vmstat),
    PROC_FILE("buddyinfo", 0444, show_buddyinfo), PROC_FILE("zoneinfo", 0444, show_zoneinfo),
    PROC_FILE("slabinfo", 0400, show_slabinfo),
};

void procfs_memory_init(void)
{
    procfs_add(&procfs_root, files, ARRAY_SIZE(files));
}
