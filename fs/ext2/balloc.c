/*
 * ext2: block bitmaps and group descriptors.
 *
 * Under alloc_lock one thread at a time searches. A request names a goal (right behind the file's
 * last block) and how many blocks it would like; it gets a run that begins at the goal, else near
 * it, else in free space of its own further on, else anywhere. Bitmaps are checked when they are
 * first used: a group whose own bitmaps and inode table are not marked as used is damaged, so no
 * later search can give those away.
 */
#include "fs/ext2/ext2_priv.h"
#include <linux/capability.h>

#define NEAR 64 /* blocks: this far from the goal any free block will do */

static bool range_is_system(const struct ext2_fs *fs, u32 g, u32 first, u32 count)
{
    const struct ext2_group_desc *d = &fs->group[g];
    u32 end = first + count;
    return (d->bg_block_bitmap >= first && d->bg_block_bitmap < end) ||
           (d->bg_inode_bitmap >= first && d->bg_inode_bitmap < end) ||
           (d->bg_inode_table < end && d->bg_inode_table + fs->table_blocks > first);
}

int ext2_group_store(struct ext2_fs *fs, u32 g)
{
    struct buf *b;
    int r = ext2_buf_read(fs, fs->first_data_block + 1 + g / fs->desc_per_block, &b);
    if (r)
        return r;
    ((struct ext2_group_desc *)b->data)[g % fs->desc_per_block] = fs->group[g];
    ext2_buf_dirty(fs, b);
    buf_release(b);
    return 0;
}

/* Does the block bitmap know that the group's own blocks are taken? */
static bool block_bitmap_sane(const struct ext2_fs *fs, u32 g, const u64 *bits)
{
    const struct ext2_group_desc *d = &fs->group[g];
    u32 first = ext2_group_first(fs, g);
    if (!bitmap_test(bits, d->bg_block_bitmap - first) ||
        !bitmap_test(bits, d->bg_inode_bitmap - first))
        return false;
    u32 from = d->bg_inode_table - first, end = from + fs->table_blocks;
    return bitmap_find_clear(bits, end, from) == end;
}

int ext2_bitmap_read(struct ext2_fs *fs, u32 g, unsigned which, struct buf **out)
{
    const struct ext2_group_desc *d = &fs->group[g];
    bool blocks = which == EXT2_CHECKED_BLOCKS;
    int r = ext2_buf_read(fs, blocks ? d->bg_block_bitmap : d->bg_inode_bitmap, out);
    if (r || (fs->bitmap_checked[g] & which))
        return r;
    const u64 *bits = (*out)->data;
    bool sane = blocks
                    ? block_bitmap_sane(fs, g, bits)
                    : g != 0 || bitmap_find_clear(bits, fs->first_ino - 1, 0) == fs->first_ino - 1;
    if (!sane) {
        buf_release(*out);
        return ext2_error(fs, "group %u: %s bitmap does not cover reserved ones", g,
                          blocks ? "block" : "inode");
    }
    fs->bitmap_checked[g] |= which;
    return 0;
}

/* First free bit of a search that starts at @goal; @n: none. */
static u32 find_free(const u64 *bits, u32 n, u32 goal)
{
    u32 bit = bitmap_find_clear(bits, n, goal);
    if (bit < n && bit - goal < NEAR)
        return bit;
    for (u32 w = DIV_UP(goal, 64); w < n / 64; w++) /* room to grow in */
        if (bits[w] == 0)
            return w * 64;
    return bit < n ? bit : bitmap_find_clear(bits, n, 0);
}

static int alloc_in_group(struct ext2_fs *fs, u32 g, u32 goal, u32 want, u32 *first, u32 *got)
{
    struct buf *b;
    int r = ext2_bitmap_read(fs, g, EXT2_CHECKED_BLOCKS, &b);
    if (r)
        return r;
    u32 n = ext2_group_blocks(fs, g);
    u32 bit = find_free(b->data, n, goal);
    if (bit >= n) {
        buf_release(b);
        return ext2_error(fs, "group %u: %u free blocks counted, none in the bitmap", g,
                          fs->group[g].bg_free_blocks_count);
    }
    want = MIN(want, fs->group[g].bg_free_blocks_count);
    u32 run = 0;
    for (; run < want && bit + run < n && !bitmap_test(b->data, bit + run); run++)
        bitmap_set(b->data, bit + run);
    ext2_buf_dirty(fs, b);
    buf_release(b);
    fs->group[g].bg_free_blocks_count -= run;
    fs->free_blocks -= run;
    *first = ext2_group_first(fs, g) + bit;
    *got = run;
    r = ext2_group_store(fs, g);
    if (r)
        ext2_error(fs, "group %u: descriptor cannot be read", g);
    return r;
}

/* May the caller use the blocks kept back for the super-user? */
static bool may_use_reserved(const struct ext2_fs *fs)
{
    const struct cred *c = cred_current();
    if (!c || cred_capable(c, CAP_SYS_RESOURCE) || c->fsuid == fs->disk.s_def_resuid)
        return true;
    return fs->disk.s_def_resgid != 0 && cred_in_group(c, fs->disk.s_def_resgid);
}

int ext2_alloc_blocks(struct ext2_fs *fs, u32 goal, u32 want, u32 *first, u32 *got)
{
    MUTEX_GUARD(&fs->alloc_lock);
    if (fs->sb->error)
        return -EROFS;
    u64 kept = fs->disk.s_r_blocks_count;
    if (fs->free_blocks <= kept && fs->free_blocks && may_use_reserved(fs))
        kept = 0;
    if (fs->free_blocks <= kept)
        return -ENOSPC;
    want = MIN(want, fs->free_blocks - kept);
    if (!ext2_block_in_range(fs, goal))
        goal = fs->first_data_block;
    u32 g = (goal - fs->first_data_block) / fs->blocks_per_group;
    u32 bit = (goal - fs->first_data_block) % fs->blocks_per_group;
    for (u32 i = 0; i < fs->groups; i++, bit = 0) {
        if (fs->group[g].bg_free_blocks_count)
            return alloc_in_group(fs, g, bit, want, first, got);
        if (++g == fs->groups)
            g = 0;
    }
    return -ENOSPC;
}

/* Clears bits [@bit, @bit + @count) of the group. */
static void free_in_group(struct ext2_fs *fs, u32 g, u32 bit, u32 count)
{
    struct buf *b;
    if (ext2_bitmap_read(fs, g, EXT2_CHECKED_BLOCKS, &b) != 0) {
        ext2_error(fs, "group %u: block bitmap cannot be read", g);
        return;
    }
    u32 freed = 0;
    for (u32 i = bit; i < bit + count; i++) {
        freed += bitmap_test(b->data, i);
        bitmap_clear(b->data, i);
    }
    ext2_buf_dirty(fs, b);
    buf_release(b);
    if (freed != count)
        ext2_error(fs, "group %u: freeing blocks that are free already", g);
    if (fs->group[g].bg_free_blocks_count + freed > ext2_group_blocks(fs, g))
        ext2_error(fs, "group %u: more free blocks than blocks", g);
    else
        fs->group[g].bg_free_blocks_count += freed;
    fs->free_blocks += freed;
    if (ext2_group_store(fs, g) != 0)
        ext2_error(fs, "group %u: descriptor cannot be read", g);
}

void ext2_free_blocks(struct ext2_fs *fs, u32 first, u32 count)
{
    if (!ext2_block_in_range(fs, first) || count > fs->blocks - first) {
        ext2_error(fs, "freeing block %u, which does not exist", first);
        return;
    }
    MUTEX_GUARD(&fs->alloc_lock);
    while (count) {
        u32 g = (first - fs->first_data_block) / fs->blocks_per_group;
        u32 bit = (first - fs->first_data_block) % fs->blocks_per_group;
        u32 n = MIN(count, ext2_group_blocks(fs, g) - bit);
        if (range_is_system(fs, g, first, n))
            ext2_error(fs, "a file claims block %u, which holds metadata", first);
        else
            free_in_group(fs, g, bit, n);
        first += n;
        count -= n;
    }
}
