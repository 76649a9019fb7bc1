/*
 * ext2: inode numbers.
 *
 * Files go to their directory's group, so that a directory's files lie together. Directories at the
 * top of the tree are spread over the groups, as they begin unrelated trees; other directories stay
 * with their parent while its group has its share of room (Orlov's rule).
 */
#include "fs/ext2/ext2_priv.h"

static u32 group_of_ino(const struct ext2_fs *fs, u64 ino)
{
    return (ino - 1) / fs->inodes_per_group;
}

u32 ext2_ino_goal(const struct ext2_fs *fs, u64 ino)
{
    return ext2_group_first(fs, group_of_ino(fs, ino));
}

/* A group with at least its average share, fewest directories first. fs->groups: none. */
static u32 spread_group(const struct ext2_fs *fs, u32 start)
{
    u64 inodes = fs->free_inodes / fs->groups, blocks = fs->free_blocks / fs->groups;
    u32 best = fs->groups, best_dirs = ~0u;
    for (u32 i = 0, g = start; i < fs->groups; i++, g = g + 1 == fs->groups ? 0 : g + 1) {
        const struct ext2_group_desc *d = &fs->group[g];
        if (d->bg_free_inodes_count && d->bg_free_inodes_count >= inodes &&
            d->bg_free_blocks_count >= blocks && d->bg_used_dirs_count < best_dirs) {
            best = g;
            best_dirs = d->bg_used_dirs_count;
        }
    }
    return best;
}

static u64 less(u64 a, u64 b)
{
    return a > b ? a - b : 0;
}

/* The first group from the parent's on that is not fuller than it should be. */
static u32 near_group(const struct ext2_fs *fs, u32 parent)
{
    u64 max_dirs = fs->dirs / fs->groups + fs->inodes_per_group / 16 + 1;
    u64 min_inodes = MAX(less(fs->free_inodes / fs->groups, fs->inodes_per_group / 4), 1UL);
    u64 min_blocks = less(fs->free_blocks / fs->groups, fs->blocks_per_group / 4);
    for (u32 i = 0, g = parent; i < fs->groups; i++, g = g + 1 == fs->groups ? 0 : g + 1) {
        const struct ext2_group_desc *d = &fs->group[g];
        if (d->bg_used_dirs_count < max_dirs && d->bg_free_inodes_count >= min_inodes &&
            d->bg_free_blocks_count >= min_blocks)
            return g;
    }
    return fs->groups;
}

/* A group for a file: the parent's, else one that the parent's number leads to (so that the files
 * of one directory find the same), else any with a free inode. */
static u32 file_group(const struct ext2_fs *fs, u32 parent, u64 parent_ino)
{
    const struct ext2_group_desc *d = &fs->group[parent];
    if (d->bg_free_inodes_count && d->bg_free_blocks_count)
        return parent;
    u32 g = (parent + parent_ino) % fs->groups;
    for (u32 step = 1; step < fs->groups; step *= 2) {
        g = (g + step) % fs->groups;
        if (fs->group[g].bg_free_inodes_count && fs->group[g].bg_free_blocks_count)
            return g;
    }
    for (u32 i = 0, n = parent; i < fs->groups; i++, n = n + 1 == fs->groups ? 0 : n + 1)
        if (fs->group[n].bg_free_inodes_count)
            return n;
    return fs->groups;
}

static u32 choose_group(struct ext2_fs *fs, struct inode *dir, bool directory)
{
    u32 parent = group_of_ino(fs, dir->ino), g = fs->groups;
    if (directory && dir->ino == EXT2_ROOT_INO)
        g = spread_group(fs, hash_u64(READ_ONCE(fs->next_generation)) % fs->groups);
    else if (directory)
        g = near_group(fs, parent);
    return g < fs->groups ? g : file_group(fs, parent, dir->ino);
}

int ext2_alloc_ino(struct ext2_fs *fs, struct inode *dir, u32 mode, u32 *ino)
{
    bool directory = (mode & S_IFMT) == S_IFDIR;
    MUTEX_GUARD(&fs->alloc_lock);
    if (fs->sb->error)
        return -EROFS;
    if (fs->free_inodes == 0)
        return -ENOSPC;
    u32 g = choose_group(fs, dir, directory);
    if (g >= fs->groups)
        return -ENOSPC;
    struct buf *b;
    int r = ext2_bitmap_read(fs, g, EXT2_CHECKED_INODES, &b);
    if (r)
        return r;
    u32 bit = bitmap_find_clear(b->data, fs->inodes_per_group, 0);
    if (bit >= fs->inodes_per_group) {
        buf_release(b);
        return ext2_error(fs, "group %u: %u free inodes counted, none in the bitmap", g,
                          fs->group[g].bg_free_inodes_count);
    }
    bitmap_set(b->data, bit);
    ext2_buf_dirty(fs, b);
    buf_release(b);
    fs->group[g].bg_free_inodes_count--;
    fs->group[g].bg_used_dirs_count += directory;
    fs->dirs += directory;
    fs->free_inodes--;
    *ino = g * fs->inodes_per_group + bit + 1;
    r = ext2_group_store(fs, g);
    if (r)
        ext2_error(fs, "group %u: descriptor cannot be read", g);
    return r;
}

void ext2_free_ino(struct ext2_fs *fs, u32 ino, bool directory)
{
    u32 g = group_of_ino(fs, ino);
    struct buf *b;
    MUTEX_GUARD(&fs->alloc_lock);
    if (ext2_bitmap_read(fs, g, EXT2_CHECKED_INODES, &b) != 0) {
        ext2_error(fs, "group %u: inode bitmap cannot be read", g);
        return;
    }
    u32 bit = (ino - 1) % fs->inodes_per_group;
    bool used = bitmap_test(b->data, bit);
    bitmap_clear(b->data, bit);
    ext2_buf_dirty(fs, b);
    buf_release(b);
    if (!used || fs->group[g].bg_free_inodes_count >= fs->inodes_per_group) {
        ext2_error(fs, "freeing inode %u, which is free already", ino);
        return;
    }
    fs->group[g].bg_free_inodes_count++;
    fs->free_inodes++;
    if (directory && fs->group[g].bg_used_dirs_count) {
        fs->group[g].bg_used_dirs_count--;
        fs->dirs--;
    }
    if (ext2_group_store(fs, g) != 0)
        ext2_error(fs, "group %u: descriptor cannot be read", g);
}
