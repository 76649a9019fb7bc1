/*
 * tmpfs directories: two balanced trees over the same entries, by name for lookup, by a cookie that
 * only grows for readdir, so that a listing neither skips nor repeats entries that stay.
 */
#include "tmpfs_priv.h"

#include "lib/string.h"
#include "mm/slab.h"

#include <linux/stat.h>

#define FIRST_COOKIE 2 /* 0 and 1 are "." and ".." */

static int compare(const struct tmpfs_entry *e, u32 hash, const char *name, size_t len)
{
    if (e->hash != hash)
        return hash < e->hash ? -1 : 1;
    if (e->len != len)
        return len < e->len ? -1 : 1;
    return memcmp(name, e->name, len);
}

static struct tmpfs_entry *find(struct inode *dir, const char *name, size_t len)
{
    u32 hash = (u32)hash_bytes(name, len, 0);
    struct rb_node *node = tmpfs_i(dir)->names.node;
    while (node) {
        struct tmpfs_entry *e = rb_entry(node, struct tmpfs_entry, by_name);
        int c = compare(e, hash, name, len);
        if (c == 0)
            return e;
        node = c < 0 ? node->left : node->right;
    }
    return NULL;
}

/* Memory for an entry; put into a directory with insert(). */
static struct tmpfs_entry *entry_alloc(const char *name, size_t len)
{
    struct tmpfs_entry *e = kmalloc(sizeof(*e) + len, 0);
    if (!e)
        return NULL;
    e->hash = (u32)hash_bytes(name, len, 0);
    e->len = (u16)len;
    memcpy(e->name, name, len);
    return e;
}

/* Links @e, naming @inode (whose reference it takes over), into @dir, which has no such name. */
static void insert(struct inode *dir, struct tmpfs_entry *e, struct inode *inode)
{
    struct tmpfs_inode *ti = tmpfs_i(dir);
    struct rb_node **link = &ti->names.node, *parent = NULL;
    e->inode = inode;
    e->cookie = ti->next_cookie++;
    while (*link) {
        parent = *link;
        const struct tmpfs_entry *other = rb_entry(parent, struct tmpfs_entry, by_name);
        link = compare(other, e->hash, e->name, e->len) < 0 ? &parent->left : &parent->right;
    }
    rb_link(&e->by_name, parent, link);
    rb_insert_fixup(&ti->names, &e->by_name, NULL);
    parent = rb_last(&ti->cookies);
    rb_link(&e->by_cookie, parent, parent ? &parent->right : &ti->cookies.node);
    rb_insert_fixup(&ti->cookies, &e->by_cookie, NULL);
    dir->object.size = dir->object.size + 1;
}

/* Takes @e out and frees it; its reference goes to the caller. */
static struct inode *extract(struct inode *dir, struct tmpfs_entry *e)
{
    struct tmpfs_inode *ti = tmpfs_i(dir);
    struct inode *inode = e->inode;
    rb_erase(&ti->names, &e->by_name, NULL);
    rb_erase(&ti->cookies, &e->by_cookie, NULL);
    dir->object.size = dir->object.size - 1;
    kfree(e);
    return inode;
}

void tmpfs_dir_init(struct tmpfs_inode *ti)
{
    ti->names.node = ti->cookies.node = NULL;
    ti->next_cookie = FIRST_COOKIE;
}

void tmpfs_dir_fini(struct tmpfs_inode *ti)
{
    /* An unmount: children that are directories hand their entries to this one first, so that the
     * depth of the tree does not become the depth of the stack. */
    struct rb_node *node;
    while ((node = rb_last(&ti->cookies)) != NULL) {
        struct tmpfs_entry *e = rb_entry(node, struct tmpfs_entry, by_cookie);
        struct inode *child = e->inode;
        if (S_ISDIR(child->mode)) {
            struct rb_node *below = rb_last(&tmpfs_i(child)->cookies);
            if (below) {
                struct tmpfs_entry *moved = rb_entry(below, struct tmpfs_entry, by_cookie);
                rb_erase(&tmpfs_i(child)->names, &moved->by_name, NULL);
                rb_erase(&tmpfs_i(child)->cookies, &moved->by_cookie, NULL);
                insert(&ti->inode, moved, moved->inode);
                continue;
            }
        }
        inode_put(extract(&ti->inode, e));
    }
}

static int tmpfs_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct tmpfs_entry *e = find(dir, name, len);
    *out = e ? e->inode : NULL;
    if (e)
        inode_ref(e->inode);
    return 0;
}

/* The new @inode (one reference, the caller's) gets its name. */
static int make(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                struct inode **out)
{
    struct tmpfs_entry *e = entry_alloc(name, len);
    if (!e)
        return -ENOSPC;
    int err = tmpfs_inode_new(dir->super, dir, mode, rdev, out);
    if (err) {
        kfree(e);
        return err;
    }
    inode_ref(*out);
    insert(dir, e, *out);
    if (S_ISDIR(mode))
        inode_set_nlink(dir, dir->nlink + 1);
    inode_touch_mtime(dir);
    return 0;
}

static int tmpfs_create(struct inode *dir, const char *name, size_t len, u32 mode,
                        struct inode **out)
{
    return make(dir, name, len, S_IFREG | (mode & 07777), 0, out);
}

static int tmpfs_mkdir(struct inode *dir, const char *name, size_t len, u32 mode,
                       struct inode **out)
{
    return make(dir, name, len, S_IFDIR | (mode & 07777), 0, out);
}

static int tmpfs_mknod(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                       struct inode **out)
{
    return make(dir, name, len, mode, rdev, out);
}

static int tmpfs_symlink(struct inode *dir, const char *name, size_t len, const char *target,
                         struct inode **out)
{
    char *copy = kstrdup(target, 0);
    if (!copy)
        return -ENOSPC;
    int err = make(dir, name, len, S_IFLNK | 0777, 0, out);
    if (err) {
        kfree(copy);
        return err;
    }
    tmpfs_i(*out)->target = copy;
    (*out)->object.size = strlen(copy);
    return 0;
}

static int tmpfs_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
    struct tmpfs_entry *e = entry_alloc(name, len);
    if (!e)
        return -ENOSPC;
    inode_ref(target);
    insert(dir, e, target);
    inode_set_nlink(target, target->nlink + 1);
    inode_touch_ctime(target);
    inode_touch_mtime(dir);
    return 0;
}

static int tmpfs_unlink(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    struct tmpfs_entry *e = find(dir, name, len);
    if (!e)
        return -ENOENT;
    (void)extract(dir, e);
    inode_set_nlink(victim, victim->nlink - 1);
    inode_touch_ctime(victim);
    inode_touch_mtime(dir);
    inode_put(victim);
    return 0;
}

static bool is_empty(struct inode *dir)
{
    return !tmpfs_i(dir)->names.node;
}

static int tmpfs_rmdir(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    struct tmpfs_entry *e = find(dir, name, len);
    if (!e)
        return -ENOENT;
    if (!is_empty(victim))
        return -ENOTEMPTY;
    (void)extract(dir, e);
    inode_set_nlink(victim, 0);
    inode_set_nlink(dir, dir->nlink - 1);
    inode_touch_ctime(victim);
    inode_touch_mtime(dir);
    inode_put(victim);
    return 0;
}

/* A subdirectory moved from one parent to another. */
static void move_parent_link(struct inode *from, struct inode *to)
{
    if (from != to) {
        inode_set_nlink(from, from->nlink - 1);
        inode_set_nlink(to, to->nlink + 1);
    }
}

static void rename_times(struct inode *old_dir, struct inode *new_dir, struct inode *moved)
{
    inode_touch_ctime(moved);
    inode_touch_mtime(old_dir);
    if (new_dir != old_dir)
        inode_touch_mtime(new_dir);
}

static void exchange_entries(struct inode *old_dir, struct tmpfs_entry *a, struct inode *new_dir,
                             struct tmpfs_entry *b)
{
    struct inode *inode = a->inode;
    if (S_ISDIR(a->inode->mode))
        move_parent_link(old_dir, new_dir);
    if (S_ISDIR(b->inode->mode))
        move_parent_link(new_dir, old_dir);
    a->inode = b->inode;
    b->inode = inode;
    inode_touch_ctime(a->inode);
    rename_times(old_dir, new_dir, b->inode);
}

/* @e, the new name, stops naming @victim. */
static void replace(struct inode *new_dir, struct tmpfs_entry *e, struct inode *victim)
{
    bool directory = S_ISDIR(victim->mode);
    inode_set_nlink(victim, directory ? 0 : victim->nlink - 1);
    if (directory)
        inode_set_nlink(new_dir, new_dir->nlink - 1);
    inode_touch_ctime(victim);
    inode_put(victim);
}

static int tmpfs_rename(struct inode *old_dir, const char *old_name, size_t old_len,
                        struct inode *moved, struct inode *new_dir, const char *new_name,
                        size_t new_len, struct inode *victim, bool exchange)
{
    struct tmpfs_entry *from = find(old_dir, old_name, old_len);
    struct tmpfs_entry *to = find(new_dir, new_name, new_len);
    if (!from || (victim && !to))
        return -ENOENT;
    if (exchange) {
        exchange_entries(old_dir, from, new_dir, to);
        return 0;
    }
    if (victim && S_ISDIR(victim->mode) && !is_empty(victim))
        return -ENOTEMPTY;
    if (!to) {
        to = entry_alloc(new_name, new_len);
        if (!to)
            return -ENOSPC;
        insert(new_dir, to, moved);
    } else {
        replace(new_dir, to, victim);
        to->inode = moved;
    }
    (void)extract(old_dir, from); /* its reference is now the new entry's */
    if (S_ISDIR(moved->mode))
        move_parent_link(old_dir, new_dir);
    rename_times(old_dir, new_dir, moved);
    return 0;
}

/* The first entry with a cookie of at least @cookie. */
static struct tmpfs_entry *entry_from(struct inode *dir, u64 cookie)
{
    struct rb_node *node = tmpfs_i(dir)->cookies.node;
    struct tmpfs_entry *best = NULL;
    while (node) {
        struct tmpfs_entry *e = rb_entry(node, struct tmpfs_entry, by_cookie);
        if (e->cookie >= cookie) {
            best = e;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

static int tmpfs_readdir(struct file *f, struct dir_context *ctx)
{
    struct inode *dir = f->inode;
    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, dir->ino, S_IFDIR >> 12))
            return 0;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        const struct inode *parent = f->path.dentry->parent->inode;
        if (!ctx->emit(ctx, "..", 2, parent->ino, S_IFDIR >> 12))
            return 0;
        ctx->pos = FIRST_COOKIE;
    }
    struct tmpfs_entry *e = entry_from(dir, (u64)ctx->pos);
    while (e) {
        if (!ctx->emit(ctx, e->name, e->len, e->inode->ino, (e->inode->mode & S_IFMT) >> 12))
            return 0;
        ctx->pos = (loff_t)e->cookie + 1;
        struct rb_node *next = rb_next(&e->by_cookie);
        e = next ? rb_entry(next, struct tmpfs_entry, by_cookie) : NULL;
    }
    return 0;
}

static int tmpfs_dir_fsync(struct file *f, bool data_only)
{
    return 0; /* memory is as stable as it gets */
}

const struct inode_ops tmpfs_dir_ops = {.lookup = tmpfs_lookup,
                                        .create = tmpfs_create,
                                        .mkdir = tmpfs_mkdir,
                                        .mknod = tmpfs_mknod,
                                        .symlink = tmpfs_symlink,
                                        .link = tmpfs_link,
                                        .unlink = tmpfs_unlink,
                                        .rmdir = tmpfs_rmdir,
                                        .rename = tmpfs_rename};

const struct file_ops tmpfs_dir_file_ops = {.readdir = tmpfs_readdir, .fsync = tmpfs_dir_fsync};
