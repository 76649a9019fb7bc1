/*
 * /proc/PID/oom_score and oom_score_adj: how much memory a process would set free, in Linux's
 * measure, and the correction that administrators and programs make to it. Quire kills nobody for
 * want of memory; the figures are for those who choose a victim themselves.
 */
#include "proc/procfs_priv.h"

#include <linux/capability.h>
#include <linux/oom.h>
#include <linux/stat.h>

#include "lib/string.h"

/* What Linux prints: 0 to 1333; about 667 for a process that has nothing. */
static s64 score(const struct memory_sizes *m, s64 adjust)
{
    s64 total = (s64)page_total();
    s64 used = (s64)(m->anon + m->file + m->shared + m->swapped + m->tables);
    s64 badness = used + adjust * (total / 1000);
    return MAX((1000 + badness * 1000 / total) * 2 / 3, 0);
}

static int show_score(struct seq *s, const struct proc_node *n)
{
    struct memory_sizes sizes;
    PROCESS_GUARD(p, n);
    if (!p)
        return -ESRCH;
    s64 adjust = READ_ONCE(p->oom_score_adj), points = 0;
    struct aspace *as = process_aspace_get(p);
    if (as && adjust != OOM_SCORE_ADJ_MIN && p->pid != 1) {
        procfs_sizes(as, &sizes);
        points = score(&sizes, adjust);
    }
    aspace_put(as);
    seq_printf(s, "%ld\n", points);
    return 0;
}

static int show_adjust(struct seq *s, const struct proc_node *n)
{
    PROCESS_GUARD(p, n);
    if (!p)
        return -ESRCH;
    seq_printf(s, "%d\n", READ_ONCE(p->oom_score_adj));
    return 0;
}

static int write_adjust(const struct proc_node *n, const char *text, size_t len)
{
    u64 size;
    const char *end;
    bool minus = *text == '-';
    int r = str_to_u64(text + minus, 0, &size, &end);
    if (r < 0 || *end || size > OOM_SCORE_ADJ_MAX)
        return -EINVAL;
    PROCESS_GUARD(p, n);
    if (!p)
        return -ESRCH;
    s16 value = minus ? -(s16)size : (s16)size;
    if (value < READ_ONCE(p->oom_score_adj_min) && !capable(CAP_SYS_RESOURCE))
        return -EACCES;
    if (capable(CAP_SYS_RESOURCE))
        WRITE_ONCE(p->oom_score_adj_min, value);
    WRITE_ONCE(p->oom_score_adj, value);
    return 0;
}

static struct proc_entry files[] = {
    PROC_FILE("oom_score", 0444, show_score),
    {.name = "oom_score_adj", .mode = S_IFREG | 0644, .show = show_adjust, .write = write_adjust},
};

void procfs_oom_init(void)
{
    procfs_add(&procfs_pid_dir, files, ARRAY_SIZE(files));
}
