/*
 * rename(2).
 *
 * Two directories are locked in an order that no other rename can cross: under the super's
 * rename_lock the tree above them stands still; an ancestor is locked before what lies below it,
 * unrelated ones by address. Then the objects themselves, unless they are those directories: an
 * object that is a directory and the one it replaces must not change meanwhile.
 */
#include "vfs_priv.h"

#include "mm/slab.h"

#include <linux/fs.h>

struct renaming {
    struct walk old_walk, new_walk;
    struct walk_result from, to;
    struct dentry *old, *new; /* referenced */
    unsigned flags;
};

static void lock_pair(struct inode *first, struct inode *second, unsigned subclass)
{
    write_lock_nested(&first->lock, subclass);
    if (second != first)
        write_lock_nested(&second->lock, subclass + 1);
}

static void lock_directories(struct renaming *r)
{
    struct dentry *a = r->from.path.dentry, *b = r->to.path.dentry;
    if (a != b)
        mutex_lock(&a->super->rename_lock);
    if (dentry_is_below(b, a))
        lock_pair(a->inode, b->inode, 0);
    else if (dentry_is_below(a, b) || b->inode < a->inode)
        lock_pair(b->inode, a->inode, 0);
    else
        lock_pair(a->inode, b->inode, 0);
}

static void unlock_directories(struct renaming *r)
{
    struct dentry *a = r->from.path.dentry, *b = r->to.path.dentry;
    write_unlock(&a->inode->lock);
    if (a != b) {
        write_unlock(&b->inode->lock);
        mutex_unlock(&a->super->rename_lock);
    }
}

/* Both names are known: do their kinds go together? */
static int check_names(struct renaming *r)
{
    struct inode *moved = r->old->inode, *victim = r->new->inode;
    bool exchange = r->flags & RENAME_EXCHANGE;
    if (!moved)
        return -ENOENT;
    if ((r->flags & RENAME_NOREPLACE) && victim)
        return -EEXIST;
    if (exchange && !victim)
        return -ENOENT;
    if (exchange && r->to.last_slash && !S_ISTYPE(victim, S_IFDIR))
        return -ENOTDIR;
    if (!S_ISTYPE(moved, S_IFDIR) && (r->from.last_slash || (!exchange && r->to.last_slash)))
        return -ENOTDIR;
    if (dentry_is_below(r->to.path.dentry, r->old))
        return -EINVAL; /* into itself */
    if (victim && dentry_is_below(r->from.path.dentry, r->new))
        return exchange ? -EINVAL : -ENOTEMPTY;
    return 0;
}

/* A directory that gets another parent is itself changed (its ".."). */
static int may_reparent(struct renaming *r, struct inode *inode)
{
    if (!S_ISTYPE(inode, S_IFDIR) || r->from.path.dentry == r->to.path.dentry)
        return 0;
    return inode_permission(inode, MAY_WRITE);
}

static int check_permission(struct renaming *r)
{
    struct inode *old_dir = r->from.path.dentry->inode, *new_dir = r->to.path.dentry->inode;
    struct inode *moved = r->old->inode, *victim = r->new->inode;
    bool directory = S_ISTYPE(moved, S_IFDIR), exchange = r->flags & RENAME_EXCHANGE;
    int err = may_delete(old_dir, moved, directory);
    if (!err && !victim)
        err = may_create(new_dir);
    if (!err && victim)
        err = may_delete(new_dir, victim, exchange ? S_ISTYPE(victim, S_IFDIR) : directory);
    if (!err)
        err = may_reparent(r, moved);
    if (!err && exchange)
        err = may_reparent(r, victim);
    return err;
}

/* Everything checked: @moved and @victim (maybe NULL) get locked, the file system does it. */
static int rename_objects(struct renaming *r)
{
    struct inode *old_dir = r->from.path.dentry->inode, *new_dir = r->to.path.dentry->inode;
    struct inode *moved = r->old->inode, *victim = r->new->inode;
    bool exchange = r->flags & RENAME_EXCHANGE;
    char *long_name = NULL;
    if (!old_dir->ops->rename)
        return -EPERM;
    int err = exchange ? 0 : dentry_long_name(r->new, &long_name);
    if (err)
        return err;
    struct inode *low = victim && victim < moved ? victim : moved;
    struct inode *high = !victim ? moved : low == moved ? victim : moved;
    lock_pair(low, high, INODE_LOCK_OBJECT);
    if ((READ_ONCE(r->old->flags) | READ_ONCE(r->new->flags)) & DENTRY_MOUNTED)
        err = -EBUSY;
    else
        err = old_dir->ops->rename(old_dir, r->old->name, r->old->name_len, moved, new_dir,
                                   r->new->name, r->new->name_len, victim, exchange);
    if (high != low)
        write_unlock(&high->lock);
    write_unlock(&low->lock);
    if (err) {
        kfree(long_name);
    } else if (exchange) {
        dentry_exchange(r->old, r->new);
    } else {
        if (victim && S_ISTYPE(victim, S_IFDIR))
            dentry_prune(r->new);
        dentry_move(r->old, r->new, long_name);
    }
    return err;
}

static int rename_locked(struct renaming *r)
{
    int err = dentry_lookup(r->from.path.dentry, r->from.last, r->from.last_len, &r->old);
    if (err) {
        r->old = NULL;
        return err;
    }
    err = dentry_lookup(r->to.path.dentry, r->to.last, r->to.last_len, &r->new);
    if (err) {
        r->new = NULL;
        return r->old->inode ? err : -ENOENT;
    }
    err = check_names(r);
    if (err)
        return err;
    if (r->old->inode == r->new->inode)
        return 0; /* two names of one file: POSIX wants nothing done */
    err = check_permission(r);
    return err ? err : rename_objects(r);
}

/* What can be said before the locks. */
static int check_parents(const struct renaming *r)
{
    if (r->from.path.mount != r->to.path.mount)
        return -EXDEV;
    if (r->from.last_special)
        return -EBUSY;
    if (r->to.last_special)
        return r->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    return mount_want_write(r->from.path.mount);
}

int vfs_rename(const struct path *old_base, const char *old_name, const struct path *new_base,
               const char *new_name, unsigned flags)
{
    struct renaming r = {.flags = flags};
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL; /* whiteouts too: no file system here has them */
    if ((flags & RENAME_NOREPLACE) && (flags & RENAME_EXCHANGE))
        return -EINVAL;
    int err = walk_parent(old_base, old_name, &r.old_walk, &r.from);
    if (!err) {
        err = walk_parent(new_base, new_name, &r.new_walk, &r.to);
        if (!err)
            err = check_parents(&r);
        if (!err) {
            lock_directories(&r);
            err = rename_locked(&r);
            unlock_directories(&r);
        }
        if (r.new)
            dentry_put(r.new); /* the end of what was replaced, perhaps: without the locks */
        if (r.old)
            dentry_put(r.old);
        walk_end(&r.new_walk);
    }
    walk_end(&r.old_walk);
    return err;
}
