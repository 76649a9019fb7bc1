/*
 * /proc/PID/stat, status, statm, cmdline, comm, environ, auxv, limits: proc(5). Whoever may not
 * inspect the process sees no addresses of it.
 */
#include "proc/procfs_priv.h"

#include <linux/stat.h>

#include "lib/string.h"
#include "mm/slab.h"
#include "mm/usercopy.h"

#define KB_PER_PAGE (PAGE_SIZE / 1024)

/* Books a vma under one kind; all code is under library at first, see the caller. */
static void count_vma(const struct vma *v, struct memory_sizes *out)
{
    u64 pages = (v->end - v->start) >> PAGE_SHIFT;
    if (v->flags & VMA_GROWSDOWN)
        out->stack += pages;
    else if ((v->prot & PROT_W) && !(v->flags & VMA_SHARED))
        out->data += pages;
    else if ((v->prot & PROT_X) && !(v->prot & PROT_W))
        out->library += pages;
}

void procfs_sizes(struct aspace *as, struct memory_sizes *out)
{
    READ_GUARD(&as->lock);
    const struct pmap *pmap = &as->pmap;
    *out = (struct memory_sizes){
        .total = as->pages_mapped,
        .peak = MAX(as->peak_mapped, as->pages_mapped),
        .locked = as->pages_locked,
        .anon = READ_ONCE(pmap->resident_anon),
        .file = READ_ONCE(pmap->resident_file),
        .shared = READ_ONCE(pmap->resident_shared),
        .swapped = READ_ONCE(pmap->swapped),
        .tables = READ_ONCE(pmap->tables),
        .code = (PAGE_UP(as->code_end) - PAGE_DOWN(as->code_start)) >> PAGE_SHIFT,
    };
    out->peak_resident = pmap_peak_resident(pmap);
    for (const struct vma *v = vma_first(&as->vmas); v; v = vma_next(v))
        count_vma(v, out);
    out->code = MIN(out->code, out->library);
    out->library -= out->code;
}

/* What stat and status need, gathered once. */
struct report {
    struct process_info info;
    struct aspace *aspace; /* a reference, or NULL */
    struct memory_sizes sizes;
    struct rlimit_value limits[RLIM_NLIMITS];
    bool inspect;
};

static int report_get(const struct proc_node *n, struct report *r)
{
    PROCESS_GUARD(p, n);
    memset(r, 0, sizeof(*r));
    if (!p)
        return -ESRCH;
    int err = process_info_get(p, n->tid, &r->info);
    if (err < 0)
        return err;
    spin_lock(&p->limits_lock);
    memcpy(r->limits, p->limits, sizeof(r->limits));
    spin_unlock(&p->limits_lock);
    r->inspect = process_may_inspect(p);
    r->aspace = process_aspace_get(p);
    if (r->aspace)
        procfs_sizes(r->aspace, &r->sizes);
    return 0;
}

static struct report *report_new(const struct proc_node *n, int *err)
{
    struct report *r = kmalloc(sizeof(*r), 0);
    *err = r ? report_get(n, r) : -ENOMEM;
    if (*err == 0)
        return r;
    kfree(r);
    return NULL;
}

static void report_free(struct report *r)
{
    aspace_put(r->aspace);
    kfree(r);
}

static u64 ticks(u64 ns)
{
    return ns / NS_PER_TICK;
}

/* Fields 3 to 22: identity, faults, times. */
static void stat_head(struct seq *s, const struct process_info *i)
{
    const struct resource_usage *u = &i->usage, *c = &i->children;
    seq_printf(s, "%c %d %d %d %d %d %u", i->state, i->ppid, i->pgid, i->sid, (s32)i->tty_dev,
               i->tty_pgrp, 0U /* flags of Linux's own */);
    seq_printf(s, " %lu %lu %lu %lu", u->minor_faults, c->minor_faults, u->major_faults,
               c->major_faults);
    seq_printf(s, " %lu %lu %lu %lu", ticks(u->user_ns), ticks(u->system_ns), ticks(c->user_ns),
               ticks(c->system_ns));
    seq_printf(s, " %d %d %u 0 %lu", 20 + i->nice, i->nice, i->threads, ticks(i->start_ns));
}

/* Fields 23 to 30: sizes and places of the program. */
static void stat_memory(struct seq *s, const struct report *r)
{
    const struct memory_sizes *m = &r->sizes;
    const struct aspace *as = r->inspect ? r->aspace : NULL;
    seq_printf(s, " %lu %lu %lu", m->total << PAGE_SHIFT, m->anon + m->file + m->shared,
               r->limits[RLIMIT_RSS].soft);
    seq_printf(s, " %lu %lu %lu 0 0", as ? as->code_start : 0, as ? as->code_end : 0,
               as ? as->stack_top : 0);
}

/* Fields 31 to 44: signals, scheduling. */
static void stat_middle(struct seq *s, const struct process_info *i)
{
    /* Only the first 31 signals, for the sake of old readers; status has all. */
    u64 mask = 0x7fffffff;
    seq_printf(s, " %lu %lu %lu %lu", i->pending & mask, i->blocked & mask, i->ignored & mask,
               i->caught & mask);
    seq_printf(s, " %d 0 0 %d %u 0 0 0 0 0", i->wait_what ? 1 : 0, i->exit_signal, i->cpu);
}

/* Fields 45 to 52. */
static void stat_tail(struct seq *s, const struct report *r)
{
    const struct aspace *as = r->inspect ? r->aspace : NULL;
    if (as)
        seq_printf(s, " %lu %lu %lu %lu %lu %lu %lu", as->data_start, as->data_end, as->brk_start,
                   as->arg_start, as->arg_end, as->env_start, as->env_end);
    else
        seq_puts(s, " 0 0 0 0 0 0 0");
    seq_printf(s, " %d\n", r->inspect ? r->info.exit_status : 0);
}

static int show_stat(struct seq *s, const struct proc_node *n)
{
    int err;
    struct report *r = report_new(n, &err);
    if (!r)
        return err;
    seq_printf(s, "%d (%s) ", n->tid ? r->info.tid : r->info.pid, r->info.name);
    stat_head(s, &r->info);
    stat_memory(s, r);
    stat_middle(s, &r->info);
    stat_tail(s, r);
    report_free(r);
    return 0;
}

static int show_statm(struct seq *s, const struct proc_node *n)
{
    struct memory_sizes m = {};
    struct aspace *as = procfs_aspace_get(n);
    if (as) {
        procfs_sizes(as, &m);
        aspace_put(as);
    }
    seq_printf(s, "%lu %lu %lu %lu 0 %lu 0\n", m.total, m.anon + m.file + m.shared,
               m.file + m.shared, m.code, m.data + m.stack);
    return 0;
}

static const char *state_name(char state)
{
    switch (state) {
    case 'R':
        return "R (running)";
    case 'S':
        return "S (sleeping)";
    case 'D':
        return "D (disk sleep)";
    case 'T':
        return "T (stopped)";
    case 'Z':
        return "Z (zombie)";
    default:
        return "X (dead)";
    }
}

/* The name as status shows it: newlines and backslashes escaped. */
static void status_name(struct seq *s, const char *name)
{
    for (; *name; name++) {
        if (*name == '\n')
            seq_puts(s, "\\n");
        else if (*name == '\\')
            seq_puts(s, "\\\\");
        else
            seq_putc(s, *name);
    }
}

static void status_umask(struct seq *s, struct process *p)
{
    struct fs_context *fs = process_fs_get(p);
    if (!fs)
        return;
    seq_printf(s, "Umask:\t%04o\n", READ_ONCE(fs->umask));
    fs_context_put(fs);
}

static void status_files(struct seq *s, struct process *p)
{
    struct fdtable *t = process_fdtable_get(p);
    seq_printf(s, "FDSize:\t%u\n", t ? READ_ONCE(t->capacity) : 0);
    if (t)
        fdtable_put(t);
}

static void status_groups(struct seq *s, struct process *p)
{
    struct cred *c = process_cred_get(p);
    seq_puts(s, "Groups:\t");
    for (u32 i = 0; i < c->group_count; i++)
        seq_printf(s, "%u ", c->groups[i]);
    seq_putc(s, '\n');
    cred_put(c);
}

static void status_identity(struct seq *s, const struct process_info *i, struct process *p)
{
    seq_puts(s, "Name:\t");
    status_name(s, i->name);
    seq_putc(s, '\n');
    status_umask(s, p);
    seq_printf(s, "State:\t%s\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
               state_name(i->state), i->pid, i->tid, i->ppid);
    seq_printf(s, "Uid:\t%u\t%u\t%u\t%u\n", i->uid, i->euid, i->suid, i->fsuid);
    seq_printf(s, "Gid:\t%u\t%u\t%u\t%u\n", i->gid, i->egid, i->sgid, i->fsgid);
    status_files(s, p);
    status_groups(s, p);
}

/* Nothing pins pages for good, and there is no hugetlbfs: two lines are 0. */
static void status_memory(struct seq *s, const struct memory_sizes *m)
{
    const struct {
        const char *name;
        u64 pages;
    } lines[] = {
        {"VmPeak", m->peak},         {"VmSize", m->total},
        {"VmLck", m->locked},        {"VmPin", 0},
        {"VmHWM", m->peak_resident}, {"VmRSS", m->anon + m->file + m->shared},
        {"RssAnon", m->anon},        {"RssFile", m->file},
        {"RssShmem", m->shared},     {"VmData", m->data},
        {"VmStk", m->stack},         {"VmExe", m->code},
        {"VmLib", m->library},       {"VmPTE", m->tables},
        {"VmSwap", m->swapped},      {"HugetlbPages", 0},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        seq_printf(s, "%s:\t%8lu kB\n", lines[i].name, lines[i].pages * KB_PER_PAGE);
}

static void status_signals(struct seq *s, const struct report *r)
{
    const struct process_info *i = &r->info;
    seq_printf(s, "Threads:\t%u\nSigQ:\t%u/%lu\n", i->threads, i->signals_queued,
               r->limits[RLIMIT_SIGPENDING].soft);
    seq_printf(s, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n", i->pending,
               i->shared_pending, i->blocked);
    seq_printf(s, "SigIgn:\t%016lx\nSigCgt:\t%016lx\n", i->ignored, i->caught);
}

static void status_powers(struct seq *s, const struct process_info *i)
{
    seq_printf(s, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\n", i->cap_inheritable,
               i->cap_permitted, i->cap_effective);
    seq_printf(s, "CapBnd:\t%016lx\nCapAmb:\t%016lx\nNoNewPrivs:\t%d\n", i->cap_bounding,
               i->cap_ambient, i->no_new_privs);
}

/* CPU numbers of @mask as "0-1,3". */
static void show_cpu_list(struct seq *s, u64 mask)
{
    const char *comma = "";
    for (unsigned i = 0; i < MAX_CPUS; i++) {
        unsigned last = i;
        if (!(mask >> i & 1))
            continue;
        while (last + 1 < MAX_CPUS && (mask >> (last + 1) & 1))
            last++;
        seq_printf(s, last > i ? "%s%u-%u" : "%s%u", comma, i, last);
        comma = ",";
        i = last;
    }
}

static void status_scheduling(struct seq *s, const struct process_info *i)
{
    u64 cpus = i->allowed_cpus & READ_ONCE(cpu_online_mask);
    seq_printf(s, "Cpus_allowed:\t%lx\nCpus_allowed_list:\t", cpus);
    show_cpu_list(s, cpus);
    seq_printf(s, "\nvoluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
               i->usage.switches_voluntary, i->usage.switches_involuntary);
}

static int show_status(struct seq *s, const struct proc_node *n)
{
    int err;
    PROCESS_GUARD(p, n);
    struct report *r = p ? report_new(n, &err) : NULL;
    if (!r)
        return p ? err : -ESRCH;
    status_identity(s, &r->info, p);
    if (r->aspace)
        status_memory(s, &r->sizes);
    status_signals(s, r);
    status_powers(s, &r->info);
    status_scheduling(s, &r->info);
    report_free(r);
    return 0;
}

/* Copies [start, end) of @as, as far as it is mapped. */
static int show_range(struct seq *s, struct aspace *as, uvaddr_t start, uvaddr_t end)
{
    char *buf = kmalloc(PAGE_SIZE, 0);
    if (!buf)
        return -ENOMEM;
    while (start < end) {
        size_t want = MIN(end - start, PAGE_SIZE);
        size_t got = aspace_read(as, start, buf, want);
        seq_write(s, buf, got);
        if (got < want)
            break;
        start += got;
    }
    kfree(buf);
    return 0;
}

static int show_cmdline(struct seq *s, const struct proc_node *n)
{
    struct aspace *as = procfs_aspace_get(n);
    if (!as)
        return 0; /* a zombie has no memory */
    int r = show_range(s, as, as->arg_start, as->arg_end);
    aspace_put(as);
    return r;
}

static int show_environ(struct seq *s, const struct proc_node *n)
{
    struct aspace *as = procfs_aspace_get(n);
    if (!as)
        return 0;
    int r = show_range(s, as, as->env_start, as->env_end);
    aspace_put(as);
    return r;
}

static int show_auxv(struct seq *s, const struct proc_node *n)
{
    struct aspace *as = procfs_aspace_get(n);
    if (!as)
        return 0;
    seq_write(s, as->auxv, MIN(as->auxv_words, ARRAY_SIZE(as->auxv)) * sizeof(u64));
    aspace_put(as);
    return 0;
}

static int show_comm(struct seq *s, const struct proc_node *n)
{
    struct process_info info;
    int r = procfs_info(n, &info);
    if (r == 0)
        seq_printf(s, "%s\n", info.name);
    return r;
}

/* A process may name its own threads. */
static int write_comm(const struct proc_node *n, const char *text, size_t len)
{
    struct process *p = process_self_or_null();
    struct uthread *t;
    if (!p || p->pid != n->pid)
        return -EINVAL;
    TREE_GUARD();
    list_for_each_entry (t, &p->threads, link) {
        if (t->tid == (n->tid ? n->tid : n->pid)) {
            str_copy(t->thread.name, text, sizeof(t->thread.name));
            return 0;
        }
    }
    return -ESRCH;
}

static void show_limit(struct seq *s, u64 value)
{
    if (value == RLIMIT_UNLIMITED)
        seq_printf(s, "%-20s ", "unlimited");
    else
        seq_printf(s, "%-20lu ", value);
}

static int show_limits(struct seq *s, const struct proc_node *n)
{
    static const struct {
        const char *name, *unit;
    } names[RLIM_NLIMITS] = {
        [RLIMIT_CPU] = {"Max cpu time", "seconds"},
        [RLIMIT_FSIZE] = {"Max file size", "bytes"},
        [RLIMIT_DATA] = {"Max data size", "bytes"},
        [RLIMIT_STACK] = {"Max stack size", "bytes"},
        [RLIMIT_CORE] = {"Max core file size", "bytes"},
        [RLIMIT_RSS] = {"Max resident set", "bytes"},
        [RLIMIT_NPROC] = {"Max processes", "processes"},
        [RLIMIT_NOFILE] = {"Max open files", "files"},
        [RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
        [RLIMIT_AS] = {"Max address space", "bytes"},
        [RLIMIT_LOCKS] = {"Max file locks", "locks"},
        [RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
        [RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
        [RLIMIT_NICE] = {"Max nice priority", ""},
        [RLIMIT_RTPRIO] = {"Max realtime priority", ""},
        [RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
    };
    struct rlimit_value limits[RLIM_NLIMITS];
    PROCESS_GUARD(p, n);
    if (!p)
        return -ESRCH;
    spin_lock(&p->limits_lock);
    memcpy(limits, p->limits, sizeof(limits));
    spin_unlock(&p->limits_lock);
    seq_printf(s, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (unsigned i = 0; i < RLIM_NLIMITS; i++) {
        seq_printf(s, "%-25s ", names[i].name);
        show_limit(s, limits[i].soft);
        show_limit(s, limits[i].hard);
        seq_printf(s, "%-10s\n", names[i].unit);
    }
    return 0;
}

static struct proc_entry files[] = {
    PROC_FILE("stat", 0444, show_stat),
    PROC_FILE("status", 0444, show_status),
    PROC_FILE("statm", 0444, show_statm),
    PROC_FILE("cmdline", 0444, show_cmdline),
    {.name = "comm", .mode = S_IFREG | 0644, .show = show_comm, .write = write_comm},
    {.name = "environ", .mode = S_IFREG | 0400, .flags = PROC_PRIVATE, .show = show_environ},
    {.name = "auxv", .mode = S_IFREG | 0400, .flags = PROC_PRIVATE, .show = show_auxv},
    PROC_FILE("limits", 0444, show_limits),
    PROC_FILE("mounts", 0444, procfs_show_mounts),
    PROC_FILE("mountinfo", 0444, procfs_show_mountinfo),
};

void procfs_status_init(void)
{
    procfs_add(&procfs_pid_dir, files, ARRAY_SIZE(files));
}
