/* The mount table as text: proc_pid_mounts(5), proc_pid_mountinfo(5). */
#include "procfs_priv.h"

#include "dev/devno.h"

#include <linux/limits.h>
#include <linux/mount.h>

struct show {
    struct seq *seq;
    char *buf; /* PATH_MAX bytes */
};

static void show_path(const struct show *show, const struct path *path)
{
    int err;
    const char *name = path_name(path, show->buf, PATH_MAX, &err);
    seq_escape(show->seq, name ? name : "???"); /* longer than PATH_MAX */
}

/* Where the mount hangs. => The mount is in the tree (mount_for_each()). */
static void show_mountpoint(const struct show *show, struct mount *m)
{
    show_path(show, &(struct path){m, m->root});
}

/* The mounted directory as seen from its file system's root: other than "/" for a bind mount. */
static void show_mounted_root(const struct show *show, const struct mount *m)
{
    struct mount whole = {.super = m->super, .root = m->super->root};
    show_path(show, &(struct path){&whole, m->root});
}

static void show_flags(struct seq *s, const struct mount *m)
{
    static const struct {
        unsigned flag;
        const char *text;
    } names[] = {{MS_NOSUID, ",nosuid"},
                 {MS_NODEV, ",nodev"},
                 {MS_NOEXEC, ",noexec"},
                 {MS_NOATIME, ",noatime"},
                 {MS_NODIRATIME, ",nodiratime"}};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (m->flags & names[i].flag)
            seq_puts(s, names[i].text);
    if (!(m->flags & (MS_NOATIME | MS_STRICTATIME)))
        seq_puts(s, ",relatime");
}

static void show_super_options(struct seq *s, struct super *sb)
{
    char options[128] = "";
    if (sb->ops->show_options)
        sb->ops->show_options(sb, options, sizeof(options));
    seq_puts(s, options);
}

static int show_mount(struct mount *m, void *arg)
{
    const struct show *show = arg;
    struct seq *s = show->seq;
    seq_escape(s, m->source);
    seq_putc(s, ' ');
    show_mountpoint(show, m);
    seq_printf(s, " %s %s", m->super->type->name,
               (m->flags & MS_RDONLY) || m->super->read_only ? "ro" : "rw");
    show_flags(s, m);
    show_super_options(s, m->super);
    seq_puts(s, " 0 0\n");
    return 0;
}

static int show_mount_long(struct mount *m, void *arg)
{
    const struct show *show = arg;
    struct seq *s = show->seq;
    struct super *sb = m->super;
    seq_printf(s, "%u %u %u:%u ", m->id, m->parent ? m->parent->id : m->id,
               devno_major((u32)sb->dev), devno_minor((u32)sb->dev));
    show_mounted_root(show, m);
    seq_putc(s, ' ');
    show_mountpoint(show, m);
    seq_puts(s, m->flags & MS_RDONLY ? " ro" : " rw");
    show_flags(s, m);
    seq_printf(s, " - %s ", sb->type->name);
    seq_escape(s, m->source);
    seq_puts(s, sb->read_only ? " ro" : " rw");
    show_super_options(s, sb);
    seq_putc(s, '\n');
    return 0;
}

static int show_table(struct seq *s, int (*fn)(struct mount *m, void *arg))
{
    struct show show = {.seq = s, .buf = kmalloc(PATH_MAX, 0)};
    if (!show.buf)
        return -ENOMEM;
    mount_for_each(fn, &show);
    kfree(show.buf);
    return 0;
}

int procfs_show_mounts(struct seq *s, const struct proc_node *n)
{
    return show_table(s, show_mount);
}

int procfs_show_mountinfo(struct seq *s, const struct proc_node *n)
{
    return show_table(s, show_mount_long);
}
