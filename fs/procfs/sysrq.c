/*
 * /proc/sysrq-trigger: what an administrator may ask of the kernel itself, one letter a write. Only
 * root can open it. Of Linux's letters there is 'c': crash, which shows (and lets the tests see)
 * what a panic says. Any other is -EINVAL; Linux would print a list.
 */
#include "procfs_priv.h"

static int show_nothing(struct seq *s, const struct proc_node *n)
{
    return -EIO;
}

static int write_sysrq(const struct proc_node *n, const char *text, size_t len)
{
    if (len == 1 && text[0] == 'c')
        panic("sysrq: crash asked for through /proc/sysrq-trigger");
    return -EINVAL;
}

static struct proc_entry files[] = {
    {.name = "sysrq-trigger", .mode = S_IFREG | 0200, .show = show_nothing, .write = write_sysrq}};

void procfs_sysrq_init(void)
{
    procfs_add(&procfs_root, files, ARRAY_SIZE(files));
}
