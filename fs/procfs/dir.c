/*
 * Directories of /proc. Their contents are the registered entries, then the numbers (processes,
 * threads, descriptors) that exist at the moment.
 *
 * A directory is live when its names may go stale: those about a process, and /proc itself. There a
 * cached name is looked at, and the owner of what it means brought up to date, before it is used
 * (revalidate). The others are as fast as any directory.
 */
#include "procfs_priv.h"

#include "lib/fmt.h"

#define FIRST_NUMBER 0x10000 /* readdir cookies: entries below, numbers from here */

/* A decimal number without leading zeros. */
static bool parse_number(const char *name, size_t len, u32 *out)
{
    u64 n = 0;
    if (len == 0 || len > 10 || (name[0] == '0' && len > 1))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        n = n * 10 + (u64)(name[i] - '0');
    }
    *out = (u32)n;
    return n <= INT32_MAX;
}

/* What @name means in @dir. 0, -ENOENT. */
static int find_node(const struct proc_node *dir, const char *name, size_t len,
                     struct proc_node *out)
{
    u32 number;
    const struct proc_numbers *numbers = proc_numbers_of(dir);
    *out = *dir;
    out->number = -1;
    out->mode = 0;
    out->entry = proc_child(dir, name, len);
    if (out->entry)
        return 0;
    return numbers && parse_number(name, len, &number) ? numbers->get(dir, number, out) : -ENOENT;
}

/* The one instance; it is there for good once a name was looked up in it. */
static struct super *proc_super; /* atomic */

void procfs_forget(s32 pid)
{
    struct super *sb = load_acquire(&proc_super);
    char name[12];
    if (sb)
        dentry_forget(sb->root, name, (size_t)snprintf(name, sizeof(name), "%d", pid));
}

static int proc_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct proc_node node;
    int r = find_node(&proc_i(dir)->node, name, len, &node);
    store_release(&proc_super, dir->super);
    if (r == 0)
        r = proc_inode_make(dir->super, &node, out);
    if (r == -ENOENT || r == -ESRCH) {
        *out = NULL;
        r = 0;
    }
    return r;
}

static bool proc_revalidate(struct inode *dir, struct dentry *dentry)
{
    struct inode *inode = load_acquire(&dentry->inode);
    struct proc_node now;
    if (!inode)
        return false;
    struct proc_node *n = &proc_i(inode)->node;
    if (n->pid == 0)
        return true;
    if (find_node(&proc_i(dir)->node, dentry->name, dentry->name_len, &now) < 0 ||
        now.birth != n->birth || now.entry != n->entry)
        return false;
    if (proc_refresh(inode) < 0)
        return false;
    if (now.mode != n->mode) { /* a descriptor means another file now */
        SPIN_GUARD(&inode->state_lock);
        n->mode = now.mode;
        inode->mode = (inode->mode & S_IFMT) | now.mode;
    }
    return true;
}

/* What is not there cannot be made either; Linux's answer is that the name is unknown. */
static int proc_mkdir(struct inode *dir, const char *name, size_t len, u32 mode, struct inode **out)
{
    return -ENOENT;
}

const struct inode_ops proc_static_dir_ops = {
    .lookup = proc_lookup, .mkdir = proc_mkdir, .create = proc_mkdir, .setattr = proc_setattr};
const struct inode_ops proc_live_dir_ops = {.lookup = proc_lookup,
                                            .mkdir = proc_mkdir,
                                            .create = proc_mkdir,
                                            .setattr = proc_setattr,
                                            .getattr = proc_refresh,
                                            .revalidate = proc_revalidate};

static bool emit(struct dir_context *ctx, const char *name, size_t len, u64 ino, u32 mode)
{
    return ctx->emit(ctx, name, len, ino, (mode & S_IFMT) >> 12);
}

/* "." and "..". False: full. */
static bool emit_dots(struct file *file, struct dir_context *ctx)
{
    const struct dentry *d = file->path.dentry;
    if (ctx->pos == 0) {
        if (!emit(ctx, ".", 1, file->inode->ino, S_IFDIR))
            return false;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!emit(ctx, "..", 2, d->parent->inode->ino, S_IFDIR))
            return false;
        ctx->pos = 2;
    }
    return true;
}

static bool emit_entries(const struct proc_node *dir, struct dir_context *ctx)
{
    for (; ctx->pos < FIRST_NUMBER; ctx->pos++) {
        struct proc_node child = *dir;
        child.number = -1;
        child.entry = proc_child_at(dir, (unsigned)ctx->pos - 2);
        if (!child.entry) {
            ctx->pos = FIRST_NUMBER;
            break;
        }
        if (!emit(ctx, child.entry->name, strlen(child.entry->name), proc_ino(&child),
                  child.entry->mode))
            return false;
    }
    return true;
}

static void emit_numbers(const struct proc_node *dir, struct dir_context *ctx)
{
    const struct proc_numbers *numbers = proc_numbers_of(dir);
    u32 number = (u32)(ctx->pos - FIRST_NUMBER);
    char name[12];
    while (numbers && numbers->next(dir, number, &number) == 0) {
        struct proc_node child = *dir;
        if (numbers->get(dir, number, &child) == 0) {
            int len = snprintf(name, sizeof(name), "%u", number);
            ctx->pos = FIRST_NUMBER + (loff_t)number;
            if (!emit(ctx, name, (size_t)len, proc_ino(&child), child.entry->mode))
                return;
        }
        number++;
        ctx->pos = FIRST_NUMBER + (loff_t)number;
    }
}

static int proc_readdir(struct file *file, struct dir_context *ctx)
{
    const struct proc_node *dir = &proc_i(file->inode)->node;
    if (proc_refresh(file->inode) < 0)
        return -ENOENT;
    if (emit_dots(file, ctx) && emit_entries(dir, ctx))
        emit_numbers(dir, ctx);
    return 0;
}

const struct file_ops proc_dir_file_ops = {.readdir = proc_readdir};
