/*
 * /proc/PID: finding the process behind a name, the directories of processes and threads, and the
 * files of /proc that are about processes in general.
 *
 * A node names a process by its number and its time of birth, so a name that outlived its process
 * never leads to the next process with that number.
 */
#include "proc/procfs_priv.h"

#include <linux/capability.h>
#include <linux/stat.h>

#include "core/sched.h"
#include "lib/fmt.h"
#include "lib/string.h"

static int thread_get(const struct proc_node *dir, u32 tid, struct proc_node *child);
static int thread_next(const struct proc_node *dir, u32 from, u32 *out);
static const struct proc_numbers thread_numbers = {thread_get, thread_next};

struct proc_entry procfs_pid_dir = PROC_DIR("PID");
struct proc_entry procfs_tid_dir = {
    .name = "TID", .mode = S_IFDIR | 0555, .same_as = &procfs_pid_dir};

struct process *procfs_process_get(const struct proc_node *n)
{
    struct process *p = process_find_get(n->pid);
    if (p && p->start_ns != n->birth) {
        process_put(p);
        p = NULL;
    }
    return p;
}

struct aspace *procfs_aspace_get(const struct proc_node *n)
{
    PROCESS_GUARD(p, n);
    return p ? process_aspace_get(p) : NULL;
}

int procfs_info(const struct proc_node *n, struct process_info *out)
{
    PROCESS_GUARD(p, n);
    return p ? process_info_get(p, n->tid, out) : -ESRCH;
}

/* Files of a process that may not be dumped (it changed its identity) are root's: proc(5). */
static int node_owner(const struct proc_node *n, u32 *uid, u32 *gid)
{
    PROCESS_GUARD(p, n);
    if (!p || (n->tid && process_next_thread(p, n->tid) != n->tid))
        return -ESRCH;
    *uid = *gid = 0;
    if (!READ_ONCE(p->dumpable) && n->entry != &procfs_pid_dir)
        return 0;
    struct cred *c = process_cred_get(p);
    *uid = c->euid;
    *gid = c->egid;
    cred_put(c);
    return 0;
}

static bool node_may_inspect(const struct proc_node *n)
{
    PROCESS_GUARD(p, n);
    return p && process_may_inspect(p);
}

static int pid_get(const struct proc_node *dir, u32 pid, struct proc_node *child)
{
    struct process *p = process_find_get((s32)pid);
    if (!p)
        return -ENOENT;
    child->entry = &procfs_pid_dir;
    child->pid = (s32)pid;
    child->birth = p->start_ns;
    WRITE_ONCE(p->was_shown, true);
    process_put(p);
    return 0;
}

void procfs_process_gone(struct process *p)
{
    if (READ_ONCE(p->was_shown))
        procfs_forget(p->pid);
}

static int pid_next(const struct proc_node *dir, u32 from, u32 *out)
{
    struct process *p = process_next_get((s32)MAX(from, 1U));
    if (!p)
        return -ENOENT;
    *out = (u32)p->pid;
    process_put(p);
    return 0;
}

static int thread_get(const struct proc_node *dir, u32 tid, struct proc_node *child)
{
    PROCESS_GUARD(p, dir);
    if (!p || tid == 0 || process_next_thread(p, (s32)tid) != (s32)tid)
        return -ENOENT;
    child->entry = &procfs_tid_dir;
    child->tid = (s32)tid;
    return 0;
}

static int thread_next(const struct proc_node *dir, u32 from, u32 *out)
{
    PROCESS_GUARD(p, dir);
    s32 tid = p ? process_next_thread(p, (s32)MAX(from, 1U)) : 0;
    *out = (u32)tid;
    return tid ? 0 : -ENOENT;
}

static const struct proc_process_ops process_ops = {
    .owner = node_owner, .may_inspect = node_may_inspect, .numbers = {pid_get, pid_next}};

/* Files of /proc itself. */

static ssize_t put_text(char *buf, size_t size, const char *text)
{
    size_t len = MIN(strlen(text), size);
    memcpy(buf, text, len);
    return (ssize_t)len;
}

static ssize_t read_self(const struct proc_node *n, char *buf, size_t size)
{
    char text[16];
    const struct process *p = process_self_or_null();
    if (!p)
        return -ENOENT;
    snprintf(text, sizeof(text), "%d", p->pid);
    return put_text(buf, size, text);
}

static ssize_t read_thread_self(const struct proc_node *n, char *buf, size_t size)
{
    char text[40];
    const struct process *p = process_self_or_null();
    if (!p)
        return -ENOENT;
    snprintf(text, sizeof(text), "%d/task/%d", p->pid, uthread_self()->tid);
    return put_text(buf, size, text);
}

static ssize_t read_mounts(const struct proc_node *n, char *buf, size_t size)
{
    return put_text(buf, size, "self/mounts");
}

static void show_load(struct seq *s, u64 load)
{
    u64 hundredths = (load * 100 + 32768) / 65536;
    seq_printf(s, "%lu.%02lu ", hundredths / 100, hundredths % 100);
}

static int show_loadavg(struct seq *s, const struct proc_node *n)
{
    struct sched_stats stats;
    sched_get_stats(&stats);
    show_load(s, stats.load_1);
    show_load(s, stats.load_5);
    show_load(s, stats.load_15);
    seq_printf(s, "%lu/%lu %d\n", stats.runnable, stats.threads, process_last_pid());
    return 0;
}

static int show_pid_max(struct seq *s, const struct proc_node *n)
{
    seq_printf(s, "%d\n", process_pid_max());
    return 0;
}

static int write_pid_max(const struct proc_node *n, const char *text, size_t len)
{
    u64 max;
    const char *end;
    int r = str_to_u64(text, 0, &max, &end);
    if (r < 0 || *end || max > INT32_MAX)
        return -EINVAL;
    return process_pid_max_set((s32)max);
}

static struct proc_entry root_files[] = {
    PROC_FILE("loadavg", 0444, show_loadavg),
    {.name = "self", .mode = S_IFLNK | 0777, .readlink = read_self},
    {.name = "thread-self", .mode = S_IFLNK | 0777, .readlink = read_thread_self},
    {.name = "mounts", .mode = S_IFLNK | 0777, .readlink = read_mounts},
};

static struct proc_entry kernel_files[] = {
    {.name = "pid_max", .mode = S_IFREG | 0644, .show = show_pid_max, .write = write_pid_max}};

static struct proc_entry pid_dirs[] = {{.name = "task",
                                        .mode = S_IFDIR | 0555,
                                        .flags = PROC_NOT_A_THREAD,
                                        .numbers = &thread_numbers}};

void procfs_processes_init(void)
{
    procfs_set_process_ops(&process_ops);
    procfs_add(&procfs_root, root_files, ARRAY_SIZE(root_files));
    procfs_add(procfs_sys_kernel(), kernel_files, ARRAY_SIZE(kernel_files));
    procfs_add(&procfs_pid_dir, pid_dirs, ARRAY_SIZE(pid_dirs));
    procfs_status_init();
    procfs_memory_files_init();
    procfs_smaps_init();
    procfs_pagemap_init();
    procfs_oom_init();
    procfs_fd_init();
    procfs_thread_init();
}
