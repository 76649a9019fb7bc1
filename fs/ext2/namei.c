/*
 * ext2: operations on names.
 *
 * Each operation first does what can fail for want of space or memory (a new inode, room for the
 * entry), with nothing visible; then it changes entries and link counts, which can fail only when
 * the device or the format on it is broken. The VFS holds the directories' locks.
 */
#include "fs/ext2/ext2_priv.h"

static struct ext2_fs *fs_of(struct inode *inode)
{
    return ext2_of(inode->super);
}

static bool is_dir(const struct inode *inode)
{
    return S_ISTYPE(inode, S_IFDIR);
}

/* Changes the link count and stores the inode. A count that would go below 0 was wrong on disk. */
static void add_links(struct inode *inode, int delta)
{
    bool wrong = false;
    {
        SPIN_GUARD(&inode->state_lock);
        if (delta < 0 && inode->nlink < (u32)-delta) {
            wrong = true;
            delta = -(int)inode->nlink;
        }
        WRITE_ONCE(inode->nlink, inode->nlink + delta);
        inode->ctime = inode_time_now();
    }
    if (wrong)
        ext2_error(fs_of(inode), "inode %lu: link count too small", inode->ino);
    ext2_inode_write(inode);
}

static int ext2_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct ext2_place at;
    *out = NULL;
    int r = ext2_dir_find(dir, name, len, &at);
    if (r)
        return r == -ENOENT ? 0 : r;
    return ext2_iget(dir->super, at.ino, out);
}

/* Gives a new inode its name; without success the inode is gone. */
static int name_new(struct inode *dir, const char *name, size_t len, struct inode *inode,
                    struct inode **out)
{
    int r = ext2_dir_insert(dir, name, len, inode->ino, inode->mode);
    if (r) {
        ext2_inode_abandon(inode);
        return r;
    }
    *out = inode;
    return 0;
}

static int ext2_mknod(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                      struct inode **out)
{
    struct inode *inode;
    int r = ext2_inode_create(dir, mode, rdev, &inode);
    return r ? r : name_new(dir, name, len, inode, out);
}

static int ext2_create(struct inode *dir, const char *name, size_t len, u32 mode,
                       struct inode **out)
{
    return ext2_mknod(dir, name, len, (mode & 07777) | S_IFREG, 0, out);
}

static int ext2_symlink(struct inode *dir, const char *name, size_t len, const char *target,
                        struct inode **out)
{
    size_t target_len = strlen(target);
    struct inode *inode;
    if (target_len >= fs_of(dir)->block_size)
        return -ENAMETOOLONG;
    int r = ext2_inode_create(dir, S_IFLNK | 0777, 0, &inode);
    if (r)
        return r;
    r = ext2_symlink_write(inode, target, target_len);
    if (r) {
        ext2_inode_abandon(inode);
        return r;
    }
    return name_new(dir, name, len, inode, out);
}

static int ext2_mkdir(struct inode *dir, const char *name, size_t len, u32 mode, struct inode **out)
{
    struct inode *inode;
    if (dir->nlink >= EXT2_LINK_MAX)
        return -EMLINK;
    int r = ext2_inode_create(dir, (mode & 07777) | S_IFDIR, 0, &inode);
    if (r)
        return r;
    r = ext2_dir_init(inode, dir->ino);
    if (r == 0)
        r = ext2_inode_write(inode);
    if (r) {
        ext2_inode_abandon(inode);
        return r;
    }
    r = name_new(dir, name, len, inode, out);
    if (r == 0)
        add_links(dir, 1); /* the new one's ".." */
    return r;
}

static int ext2_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
    if (target->nlink >= EXT2_LINK_MAX)
        return -EMLINK;
    int r = ext2_dir_insert(dir, name, len, target->ino, target->mode);
    if (r == 0)
        add_links(target, 1);
    return r;
}

/* The entry @name of @dir, which the VFS knows to be @inode. */
static int find_known(struct inode *dir, const char *name, size_t len, const struct inode *inode,
                      struct ext2_place *at)
{
    int r = ext2_dir_find(dir, name, len, at);
    if (r == 0 && at->ino != inode->ino)
        r = ext2_error(fs_of(dir), "directory %lu changed under us", dir->ino);
    return r;
}

static int ext2_unlink(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    struct ext2_place at;
    int r = find_known(dir, name, len, victim, &at);
    if (r == 0)
        r = ext2_dir_remove(dir, &at);
    if (r == 0)
        add_links(victim, -1);
    return r;
}

static int ext2_rmdir(struct inode *dir, const char *name, size_t len, struct inode *victim)
{
    struct ext2_place at;
    int r = ext2_dir_empty(victim);
    if (r == 0)
        r = find_known(dir, name, len, victim, &at);
    if (r == 0)
        r = ext2_dir_remove(dir, &at);
    if (r)
        return r;
    add_links(victim, -(int)victim->nlink);
    add_links(dir, -1);
    return 0;
}

/* Rename. */

/* Points ".." of @moved at its new parent. */
static int set_dotdot(struct inode *moved, struct inode *parent)
{
    struct ext2_place at;
    int r = ext2_dir_find(moved, "..", 2, &at);
    if (r == -ENOENT)
        return ext2_error(fs_of(moved), "directory %lu has no \"..\"", moved->ino);
    return r ? r : ext2_dir_replace(moved, &at, parent->ino, S_IFDIR);
}

static int exchange(struct inode *old_dir, const struct ext2_place *old_at, struct inode *a,
                    struct inode *new_dir, const char *new_name, size_t new_len, struct inode *b)
{
    struct ext2_place new_at;
    bool apart = old_dir != new_dir;
    int shift = apart ? is_dir(a) - is_dir(b) : 0; /* subdirectories new_dir gains */
    if ((shift > 0 && new_dir->nlink >= EXT2_LINK_MAX) ||
        (shift < 0 && old_dir->nlink >= EXT2_LINK_MAX))
        return -EMLINK;
    int r = find_known(new_dir, new_name, new_len, b, &new_at);
    if (r == 0)
        r = ext2_dir_replace(new_dir, &new_at, a->ino, a->mode);
    if (r == 0)
        r = ext2_dir_replace(old_dir, old_at, b->ino, b->mode);
    if (r == 0 && apart && is_dir(a))
        r = set_dotdot(a, new_dir);
    if (r == 0 && apart && is_dir(b))
        r = set_dotdot(b, old_dir);
    if (r)
        return r;
    if (shift) {
        add_links(new_dir, shift);
        add_links(old_dir, -shift);
    }
    add_links(a, 0); /* the change time */
    add_links(b, 0);
    return 0;
}

/* Makes @new_name in @new_dir lead to @moved, in @victim's place if there is one. */
static int enter_moved(struct inode *moved, struct inode *new_dir, const char *new_name,
                       size_t new_len, struct inode *victim)
{
    struct ext2_place at;
    if (!victim)
        return ext2_dir_insert(new_dir, new_name, new_len, moved->ino, moved->mode);
    int r = is_dir(victim) ? ext2_dir_empty(victim) : 0;
    if (r == 0)
        r = find_known(new_dir, new_name, new_len, victim, &at);
    return r ? r : ext2_dir_replace(new_dir, &at, moved->ino, moved->mode);
}

static int ext2_rename(struct inode *old_dir, const char *old_name, size_t old_len,
                       struct inode *moved, struct inode *new_dir, const char *new_name,
                       size_t new_len, struct inode *victim, bool swap)
{
    struct ext2_place at;
    int r = find_known(old_dir, old_name, old_len, moved, &at);
    if (r)
        return r;
    if (swap)
        return exchange(old_dir, &at, moved, new_dir, new_name, new_len, victim);
    bool changes_parent = is_dir(moved) && old_dir != new_dir;
    bool frees_link = victim && is_dir(victim);
    if (changes_parent && !frees_link && new_dir->nlink >= EXT2_LINK_MAX)
        return -EMLINK;
    r = enter_moved(moved, new_dir, new_name, new_len, victim);
    if (r)
        return r;
    /* The insertion may have split the old record: its place is unchanged, its bytes are read
     * again. From here on only a broken device or format can fail. */
    r = ext2_dir_remove(old_dir, &at);
    if (r == 0 && changes_parent)
        r = set_dotdot(moved, new_dir);
    if (r)
        return r;
    if (victim)
        add_links(victim, is_dir(victim) ? -(int)victim->nlink : -1);
    if (changes_parent)
        add_links(old_dir, -1);
    if (changes_parent != frees_link)
        add_links(new_dir, changes_parent ? 1 : -1);
    add_links(moved, 0); /* the change time */
    return 0;
}

const struct inode_ops ext2_dir_ops = {
    .lookup = ext2_lookup,
    .create = ext2_create,
    .mkdir = ext2_mkdir,
    .mknod = ext2_mknod,
    .symlink = ext2_symlink,
    .link = ext2_link,
    .unlink = ext2_unlink,
    .rmdir = ext2_rmdir,
    .rename = ext2_rename,
    .setattr = ext2_setattr,
};
