/* /proc/PID/fd, fdinfo, and the links cwd, root, exe: proc(5). */
#include "proc/procfs_priv.h"

#include <linux/fcntl.h>
#include <linux/stat.h>

/* The file open as @n->number, with a reference; NULL: none. */
static struct file *node_file(const struct proc_node *n, u32 fd, bool *cloexec)
{
    PROCESS_GUARD(p, n);
    struct fdtable *t = p ? process_fdtable_get(p) : NULL;
    if (!t)
        return NULL;
    struct file *f = fdtable_file(t, fd);
    if (f && cloexec) {
        SPIN_GUARD(&t->lock);
        *cloexec = fd < t->capacity && (t->cloexec[fd / 64] >> (fd % 64) & 1);
    }
    fdtable_put(t);
    return f;
}

static int fd_next(const struct proc_node *dir, u32 from, u32 *out)
{
    PROCESS_GUARD(p, dir);
    struct fdtable *t = p ? process_fdtable_get(p) : NULL;
    if (!t)
        return -ENOENT;
    int fd = fdtable_next(t, from);
    fdtable_put(t);
    *out = (u32)fd;
    return fd < 0 ? -ENOENT : 0;
}

static int follow_fd(const struct proc_node *n, struct path *out)
{
    struct file *f = node_file(n, (u32)n->number, NULL);
    if (!f)
        return -ENOENT;
    int r = file_path(f, out);
    file_put(f);
    return r;
}

static int show_fdinfo(struct seq *s, const struct proc_node *n)
{
    bool cloexec = false;
    struct file *f = node_file(n, (u32)n->number, &cloexec);
    if (!f)
        return -ENOENT;
    unsigned flags = READ_ONCE(f->flags) | (cloexec ? O_CLOEXEC : 0);
    seq_printf(s, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t%u\nino:\t%lu\n", (long)READ_ONCE(f->pos),
               flags, f->path.mount ? f->path.mount->id : 0, f->inode->ino);
    file_put(f);
    return 0;
}

static struct proc_entry fd_link = {
    .name = "FD", .mode = S_IFLNK | 0700, .flags = PROC_PRIVATE, .follow = follow_fd};
static struct proc_entry fdinfo_file = {
    .name = "FD", .mode = S_IFREG | 0400, .flags = PROC_PRIVATE, .show = show_fdinfo};

/* The link's permission bits tell how the file is open. */
static int fd_get_node(const struct proc_node *dir, u32 fd, struct proc_node *child)
{
    struct file *f = node_file(dir, fd, NULL);
    if (!f)
        return -ENOENT;
    child->entry = &fd_link;
    child->number = (s32)fd;
    child->mode = S_IXUSR;
    if (FILE_READABLE(f))
        child->mode |= S_IRUSR;
    if (FILE_WRITABLE(f))
        child->mode |= S_IWUSR;
    file_put(f);
    return 0;
}

static int fdinfo_get(const struct proc_node *dir, u32 fd, struct proc_node *child)
{
    struct file *f = node_file(dir, fd, NULL);
    if (!f)
        return -ENOENT;
    child->entry = &fdinfo_file;
    child->number = (s32)fd;
    file_put(f);
    return 0;
}

static const struct proc_numbers fd_numbers = {fd_get_node, fd_next};
static const struct proc_numbers fdinfo_numbers = {fdinfo_get, fd_next};

static int follow_exe(const struct proc_node *n, struct path *out)
{
    PROCESS_GUARD(p, n);
    struct file *exe = p ? process_exe_get(p) : NULL;
    if (!exe)
        return -ENOENT;
    path_get(&exe->path);
    *out = exe->path;
    file_put(exe);
    return 0;
}

static int follow_context(const struct proc_node *n, bool root, struct path *out)
{
    PROCESS_GUARD(p, n);
    struct fs_context *fs = p ? process_fs_get(p) : NULL;
    if (!fs)
        return -ENOENT;
    if (root)
        fs_context_get_root(fs, out);
    else
        fs_context_get_cwd(fs, out);
    fs_context_put(fs);
    return out->dentry ? 0 : -ENOENT;
}

static int follow_cwd(const struct proc_node *n, struct path *out)
{
    return follow_context(n, false, out);
}

static int follow_root(const struct proc_node *n, struct path *out)
{
    return follow_context(n, true, out);
}

static struct proc_entry entries[] = {
    {.name = "fd", .mode = S_IFDIR | 0500, .numbers = &fd_numbers},
    {.name = "fdinfo", .mode = S_IFDIR | 0500, .numbers = &fdinfo_numbers},
    {.name = "cwd", .mode = S_IFLNK | 0777, .flags = PROC_PRIVATE, .follow = follow_cwd},
    {.name = "root", .mode = S_IFLNK | 0777, .flags = PROC_PRIVATE, .follow = follow_root},
    {.name = "exe", .mode = S_IFLNK | 0777, .flags = PROC_PRIVATE, .follow = follow_exe},
};

/* The per-descriptor entries are in no directory's list, but their inodes need numbers. */
static struct proc_entry *const unlisted[] = {&fd_link, &fdinfo_file};

void procfs_fd_init(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(unlisted); i++)
        procfs_number(unlisted[i]);
    procfs_add(&procfs_pid_dir, entries, ARRAY_SIZE(entries));
}
