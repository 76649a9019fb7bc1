/*
 * What can be said about superblock, group descriptors and directory records without reading
 * anything else: checks and derived geometry. Pure functions; a fuzzer can call them on the host.
 */
#include "fs/ext2/ext2_priv.h"

#define MAX_LOG_BLOCK_SIZE 2 /* 4096: a block never exceeds a page */

static u32 super_block_size(const struct ext2_super_block *sb)
{
    return 1024u << sb->s_log_block_size;
}

static u32 super_inode_size(const struct ext2_super_block *sb)
{
    return sb->s_rev_level == 0 ? EXT2_OLD_INODE_SIZE : sb->s_inode_size;
}

static u32 super_first_ino(const struct ext2_super_block *sb)
{
    return sb->s_rev_level == 0 ? EXT2_GOOD_FIRST_INO : sb->s_first_ino;
}

static u64 super_groups(const struct ext2_super_block *sb)
{
    return DIV_UP((u64)sb->s_blocks_count - sb->s_first_data_block, sb->s_blocks_per_group);
}

static const char *check_sizes(const struct ext2_super_block *sb)
{
    if (sb->s_log_block_size > MAX_LOG_BLOCK_SIZE)
        return "block size greater than 4096";
    u32 bs = super_block_size(sb), isize = super_inode_size(sb);
    if (sb->s_log_frag_size != sb->s_log_block_size)
        return "fragments differ from blocks";
    if (isize < EXT2_OLD_INODE_SIZE || isize > bs || (isize & (isize - 1)))
        return "impossible inode size";
    if (sb->s_blocks_per_group < 8 || sb->s_blocks_per_group > 8 * bs ||
        sb->s_blocks_per_group % 8 || sb->s_frags_per_group != sb->s_blocks_per_group)
        return "impossible number of blocks per group";
    if (sb->s_inodes_per_group < bs / isize || sb->s_inodes_per_group > 8 * bs ||
        sb->s_inodes_per_group % (bs / isize))
        return "impossible number of inodes per group";
    if (sb->s_inodes_per_group / (bs / isize) + 3 > sb->s_blocks_per_group)
        return "inode tables greater than their groups";
    if (sb->s_first_data_block != (bs == 1024))
        return "wrong first data block";
    return NULL;
}

static const char *check_counts(const struct ext2_super_block *sb, u64 device_bytes)
{
    if (sb->s_blocks_count <= sb->s_first_data_block + 3)
        return "too few blocks";
    if ((u64)sb->s_blocks_count * super_block_size(sb) > device_bytes)
        return "file system greater than its device";
    if (super_groups(sb) * sb->s_inodes_per_group != sb->s_inodes_count)
        return "wrong number of inodes";
    if (sb->s_r_blocks_count > sb->s_blocks_count || sb->s_free_blocks_count > sb->s_blocks_count ||
        sb->s_free_inodes_count > sb->s_inodes_count)
        return "free or reserved count greater than the total";
    if (super_first_ino(sb) < EXT2_GOOD_FIRST_INO || super_first_ino(sb) > sb->s_inodes_count)
        return "impossible first inode number";
    return NULL;
}

const char *ext2_check_super(const struct ext2_super_block *sb, u64 device_bytes)
{
    if (sb->s_magic != EXT2_MAGIC)
        return "no ext2 superblock (bad magic number)";
    if (sb->s_rev_level > 1)
        return "unknown revision";
    const char *wrong = check_sizes(sb);
    return wrong ? wrong : check_counts(sb, device_bytes);
}

static bool is_power_of(u32 n, u32 base)
{
    while (n % base == 0)
        n /= base;
    return n == 1;
}

bool ext2_group_has_super(const struct ext2_fs *fs, u32 g)
{
    if (g <= 1 || !(fs->disk.s_feature_ro_compat & EXT2_RO_SPARSE_SUPER))
        return true;
    return is_power_of(g, 3) || is_power_of(g, 5) || is_power_of(g, 7);
}

static u32 count_overhead(const struct ext2_fs *fs)
{
    u32 n = fs->first_data_block;
    u32 copy = 1 + fs->desc_blocks;
    if (fs->disk.s_feature_compat & EXT2_COMPAT_RESIZE_INODE)
        copy += fs->disk.s_reserved_gdt_blocks;
    for (u32 g = 0; g < fs->groups; g++)
        n += 2 + fs->table_blocks + (ext2_group_has_super(fs, g) ? copy : 0);
    return MIN(n, fs->blocks);
}

void ext2_geometry(struct ext2_fs *fs, const struct ext2_super_block *sb)
{
    fs->disk = *sb;
    if (sb->s_rev_level == 0) /* the fields behind it are not defined then */
        memset(&fs->disk.s_first_ino, 0,
               sizeof(*sb) - offsetof(struct ext2_super_block, s_first_ino));
    fs->block_shift = 10 + sb->s_log_block_size;
    fs->block_size = 1u << fs->block_shift;
    fs->sectors_per_block = fs->block_size >> SECTOR_SHIFT;
    fs->addr_shift = fs->block_shift - 2;
    fs->addr_per_block = 1u << fs->addr_shift;
    fs->blocks = sb->s_blocks_count;
    fs->inodes = sb->s_inodes_count;
    fs->groups = super_groups(sb);
    fs->first_data_block = sb->s_first_data_block;
    fs->first_ino = super_first_ino(sb);
    fs->blocks_per_group = sb->s_blocks_per_group;
    fs->inodes_per_group = sb->s_inodes_per_group;
    fs->inode_size = super_inode_size(sb);
    fs->table_blocks = fs->inodes_per_group * fs->inode_size >> fs->block_shift;
    fs->desc_per_block = fs->block_size / sizeof(struct ext2_group_desc);
    fs->desc_blocks = DIV_UP(fs->groups, fs->desc_per_block);
    fs->filetype = fs->disk.s_feature_incompat & EXT2_INCOMPAT_FILETYPE;
    fs->was_clean = (sb->s_state & EXT2_STATE_VALID) && !(sb->s_state & EXT2_STATE_ERROR);
    u32 room = fs->inode_size - EXT2_OLD_INODE_SIZE;
    fs->want_extra = MIN(room, 32u);
    if (room && sb->s_want_extra_isize >= 32 && sb->s_want_extra_isize <= room &&
        sb->s_want_extra_isize % 4 == 0)
        fs->want_extra = sb->s_want_extra_isize;
    fs->overhead = count_overhead(fs);
}

static bool in_group(const struct ext2_fs *fs, u32 g, u32 block, u32 count)
{
    u32 first = ext2_group_first(fs, g), n = ext2_group_blocks(fs, g);
    return block > fs->first_data_block && block >= first && block - first < n &&
           count <= n - (block - first);
}

const char *ext2_check_group(const struct ext2_fs *fs, u32 g, const struct ext2_group_desc *d)
{
    u32 table = d->bg_inode_table;
    if (!in_group(fs, g, d->bg_block_bitmap, 1))
        return "block bitmap outside the group";
    if (!in_group(fs, g, d->bg_inode_bitmap, 1) || d->bg_inode_bitmap == d->bg_block_bitmap)
        return "inode bitmap outside the group";
    if (!in_group(fs, g, table, fs->table_blocks))
        return "inode table outside the group";
    if (d->bg_block_bitmap - table < fs->table_blocks ||
        d->bg_inode_bitmap - table < fs->table_blocks)
        return "bitmap inside the inode table";
    if (d->bg_free_blocks_count > ext2_group_blocks(fs, g) ||
        d->bg_free_inodes_count > fs->inodes_per_group ||
        d->bg_used_dirs_count > fs->inodes_per_group)
        return "impossible counts";
    return NULL;
}

struct ext2_dirent *ext2_check_record(const struct ext2_fs *fs, void *data, u32 off)
{
    if (off + EXT2_DIRENT_LEN(1) > fs->block_size)
        return NULL;
    struct ext2_dirent *d = (struct ext2_dirent *)((u8 *)data + off);
    if (d->rec_len < EXT2_DIRENT_LEN(1) || d->rec_len % 4 || d->rec_len > fs->block_size - off)
        return NULL;
    if (d->inode &&
        (EXT2_DIRENT_LEN(d->name_len) > d->rec_len || d->name_len == 0 || d->inode > fs->inodes))
        return NULL;
    return d;
}
