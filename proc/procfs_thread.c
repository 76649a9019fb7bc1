/* /proc/PID/wchan and stack: where a thread sleeps in the kernel. Names only, no addresses. */
#include "proc/procfs_priv.h"

#include <linux/capability.h>
#include <linux/stat.h>

#include "lib/string.h"

#define STACK_DEPTH 32

/* Return addresses of the node's thread. Their number, -ESRCH. */
static int node_backtrace(const struct proc_node *n, vaddr_t *pcs)
{
    PROCESS_GUARD(p, n);
    return p ? process_backtrace(p, n->tid, pcs, STACK_DEPTH) : -ESRCH;
}

/* The machinery of sleeping, which tells nothing about what for. */
static bool is_sleep_function(const char *name)
{
    static const char *const prefixes[] = {"sched",       "reschedule", "wait_",
                                           "waitq_",      "thread_",    "arch_switch",
                                           "sleep_until", "mutex_lock", "rwlock_wait"};
    for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (str_starts(name, prefixes[i]))
            return true;
    return false;
}

static int show_wchan(struct seq *s, const struct proc_node *n)
{
    vaddr_t pcs[STACK_DEPTH];
    struct process_info info;
    int r = procfs_info(n, &info);
    if (r < 0)
        return r;
    if (info.state != 'S' && info.state != 'D' && info.state != 'T') {
        seq_putc(s, '0');
        return 0;
    }
    const char *what = info.wait_what;
    int depth = what ? 0 : node_backtrace(n, pcs);
    for (int i = 0; i < depth && !what; i++) {
        u64 offset;
        const char *name = ksym_lookup(pcs[i], &offset);
        if (name && !is_sleep_function(name))
            what = name;
    }
    seq_puts(s, what ? what : "0");
    return 0;
}

static int show_stack(struct seq *s, const struct proc_node *n)
{
    vaddr_t pcs[STACK_DEPTH];
    if (!capable(CAP_SYS_ADMIN))
        return -EACCES;
    int depth = node_backtrace(n, pcs);
    for (int i = 0; i < depth; i++) {
        u64 offset;
        const char *name = ksym_lookup(pcs[i], &offset);
        if (name)
            seq_printf(s, "[<0>] %s+0x%lx\n", name, offset);
    }
    return depth < 0 ? depth : 0;
}

static struct proc_entry files[] = {
    {.name = "wchan", .mode = S_IFREG | 0444, .flags = PROC_PRIVATE, .show = show_wchan},
    {.name = "stack", .mode = S_IFREG | 0400, .flags = PROC_PRIVATE, .show = show_stack},
};

void procfs_thread_init(void)
{
    procfs_add(&procfs_pid_dir, files, ARRAY_SIZE(files));
}
