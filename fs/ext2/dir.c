/*
 * ext2: directory contents.
 *
 * A directory is a file without holes whose blocks each hold a gapless chain of records. Adding
 * splits the first record with room enough:
 *
 *     before  | 12 | rec_len 24 | 3 | 1 | "abc" 0 | . . . 12 unused . . . |
 *     after   | 12 | rec_len 12 | 3 | 1 | "abc" 0 | 13 | 12 | 1 | 1 | "x" |
 *
 * and removing gives a record to the one before it; the first of a block becomes unused (inode 0).
 * Blocks are only added at the end and never given back.
 *
 * Searches are linear, with two hints: names are often looked up in the order they lie in, so a
 * search begins in the block of the last hit and goes round; and room is searched from the block
 * on where it was found last (insert_hint), which a removal moves back.
 *
 * The hash tree other systems add (EXT2_FL_INDEX) hides in blocks that look like unused records.
 * An insertion may overwrite it, so the first one clears the flag; e2fsck takes that for what it
 * is, a linear directory. Removals leave the tree valid.
 *
 * Records are checked one by one as they are met; a bad one ends the operation with -EUCLEAN.
 */
#include "fs/ext2/ext2_priv.h"

enum { FT_UNKNOWN, FT_REG, FT_DIR, FT_CHR, FT_BLK, FT_FIFO, FT_SOCK, FT_LNK, FT_COUNT };

/* d_type of getdents(2) is the type part of st_mode, shifted down. */
static const u8 ft_to_dtype[FT_COUNT] = {0,
                                         S_IFREG >> 12,
                                         S_IFDIR >> 12,
                                         S_IFCHR >> 12,
                                         S_IFBLK >> 12,
                                         S_IFIFO >> 12,
                                         S_IFSOCK >> 12,
                                         S_IFLNK >> 12};

static u8 mode_to_ft(const struct ext2_fs *fs, u32 mode)
{
    if (fs->filetype)
        for (u8 ft = FT_REG; ft < FT_COUNT; ft++)
            if (ft_to_dtype[ft] == mode >> 12)
                return ft;
    return FT_UNKNOWN;
}

static struct ext2_fs *fs_of(struct inode *dir)
{
    return ext2_of(dir->super);
}

static u32 dir_blocks(struct inode *dir)
{
    return inode_size(dir) >> fs_of(dir)->block_shift;
}

static int damaged(struct inode *dir, u32 lblock, u32 off)
{
    return ext2_error(fs_of(dir), "directory %lu, block %u: bad record at %u", dir->ino, lblock,
                      off);
}

/* A run of mapped blocks, kept from one block to the next. */
struct cursor {
    u32 lblock, phys, count;
};

/* Reads block @lblock of the directory; locked. */
static int block_read(struct inode *dir, struct cursor *c, u32 lblock, struct buf **out)
{
    if (lblock - c->lblock >= c->count) {
        c->lblock = lblock;
        c->count = dir_blocks(dir) - lblock;
        int r = ext2_map(ext2_i(dir), lblock, &c->phys, &c->count);
        if (r == 0 && c->phys == 0)
            r = ext2_error(fs_of(dir), "directory %lu has no block %u", dir->ino, lblock);
        if (r) {
            c->count = 0;
            return r;
        }
    }
    return ext2_buf_read(fs_of(dir), c->phys + (lblock - c->lblock), out);
}

/* Searches one block. 0 (found or not: *@found), -EUCLEAN. */
static int search_block(struct inode *dir, struct buf *b, u32 lblock, const char *name, size_t len,
                        struct ext2_place *out, bool *found)
{
    struct ext2_fs *fs = fs_of(dir);
    struct ext2_dirent *d;
    for (u32 off = 0; off < fs->block_size; off += d->rec_len) {
        d = ext2_check_record(fs, b->data, off);
        if (!d)
            return damaged(dir, lblock, off);
        if (d->name_len == len && d->inode && d->name[0] == name[0] &&
            memcmp(d->name, name, len) == 0) {
            *out = (struct ext2_place){lblock, off, d->inode, d->file_type};
            *found = true;
            break;
        }
    }
    return 0;
}

int ext2_dir_find(struct inode *dir, const char *name, size_t len, struct ext2_place *out)
{
    struct cursor c = {0};
    u32 n = dir_blocks(dir), lblock = READ_ONCE(ext2_i(dir)->lookup_hint);
    if (len > EXT2_NAME_MAX)
        return -ENAMETOOLONG;
    if (lblock >= n)
        lblock = 0;
    for (u32 i = 0; i < n; i++) {
        struct buf *b;
        bool found = false;
        int r = block_read(dir, &c, lblock, &b);
        if (r)
            return r;
        r = search_block(dir, b, lblock, name, len, out, &found);
        buf_release(b);
        if (found)
            WRITE_ONCE(ext2_i(dir)->lookup_hint, lblock);
        if (r || found)
            return r;
        if (++lblock == n)
            lblock = 0;
    }
    return -ENOENT;
}

void ext2_dir_touched(struct inode *dir)
{
    dir->mtime = dir->ctime = inode_time_now();
    ext2_inode_write(dir);
}

/* The bytes a record's own name needs; 0 for an unused one. */
static u32 record_used(const struct ext2_dirent *d)
{
    return d->inode ? EXT2_DIRENT_LEN(d->name_len) : 0;
}

static void record_fill(const struct ext2_fs *fs, struct ext2_dirent *d, const char *name,
                        size_t len, u32 ino, u32 mode)
{
    d->inode = ino;
    d->name_len = len;
    d->file_type = mode_to_ft(fs, mode);
    memcpy(d->name, name, len);
    memset(d->name + len, 0, EXT2_DIRENT_LEN(len) - 8 - len);
}

/* First record of the block with @need bytes to spare: *@out, or NULL. */
static int block_find_room(struct inode *dir, struct buf *b, u32 lblock, u32 need,
                           struct ext2_dirent **out)
{
    struct ext2_fs *fs = fs_of(dir);
    struct ext2_dirent *d;
    *out = NULL;
    for (u32 off = 0; off < fs->block_size; off += d->rec_len) {
        d = ext2_check_record(fs, b->data, off);
        if (!d)
            return damaged(dir, lblock, off);
        if (d->rec_len >= record_used(d) + need) {
            *out = d;
            break;
        }
    }
    return 0;
}

/* Splits @d if it is in use. The part that is free. */
static struct ext2_dirent *record_split(struct ext2_dirent *d)
{
    u32 used = record_used(d);
    if (used == 0)
        return d;
    struct ext2_dirent *rest = (struct ext2_dirent *)((u8 *)d + used);
    rest->rec_len = d->rec_len - used;
    d->rec_len = used;
    return rest;
}

/* Adds a block that holds nothing but the new record. */
static int append_block(struct inode *dir, const char *name, size_t len, u32 ino, u32 mode)
{
    struct ext2_fs *fs = fs_of(dir);
    u32 lblock = dir_blocks(dir), phys, count = 1;
    struct buf *b;
    if (inode_size(dir) + fs->block_size > 0x7fffffff)
        return -ENOSPC;
    int r = ext2_map_alloc(ext2_i(dir), lblock, &phys, &count, NULL);
    if (r)
        return r;
    r = buf_get(fs->bdev, phys, fs->block_size, &b);
    if (r) {
        ext2_map_truncate(ext2_i(dir), lblock);
        return r;
    }
    struct ext2_dirent *d = b->data;
    d->rec_len = fs->block_size;
    record_fill(fs, d, name, len, ino, mode);
    ext2_buf_dirty(fs, b);
    buf_release(b);
    WRITE_ONCE(dir->object.size, inode_size(dir) + fs->block_size);
    ext2_i(dir)->insert_hint = lblock;
    return 0;
}

int ext2_dir_insert(struct inode *dir, const char *name, size_t len, u32 ino, u32 mode)
{
    struct ext2_fs *fs = fs_of(dir);
    struct ext2_inode *ei = ext2_i(dir);
    struct cursor c = {0};
    u32 n = dir_blocks(dir);
    if (len > EXT2_NAME_MAX)
        return -ENAMETOOLONG;
    bool added = false;
    for (u32 lblock = ei->insert_hint; lblock < n && !added; lblock++) {
        struct buf *b;
        struct ext2_dirent *d;
        int r = block_read(dir, &c, lblock, &b);
        if (r)
            return r;
        r = block_find_room(dir, b, lblock, EXT2_DIRENT_LEN(len), &d);
        if (d) {
            record_fill(fs, record_split(d), name, len, ino, mode);
            ext2_buf_dirty(fs, b);
            ei->insert_hint = lblock;
            added = true;
        }
        buf_release(b);
        if (r)
            return r;
    }
    int r = added ? 0 : append_block(dir, name, len, ino, mode);
    if (r)
        return r;
    ei->flags &= ~EXT2_FL_INDEX;
    ext2_dir_touched(dir);
    return 0;
}

/* The record at @at, still the one it was, and the one before it in the block (NULL: none). */
static int place_find(struct inode *dir, struct buf *b, const struct ext2_place *at,
                      struct ext2_dirent **prev, struct ext2_dirent **out)
{
    struct ext2_fs *fs = fs_of(dir);
    struct ext2_dirent *d = NULL;
    u32 off = 0;
    for (*prev = NULL;; off += d->rec_len, *prev = d) {
        d = off < fs->block_size ? ext2_check_record(fs, b->data, off) : NULL;
        if (!d || off > at->offset)
            return damaged(dir, at->lblock, off);
        if (off == at->offset)
            break;
    }
    *out = d;
    return d->inode == at->ino ? 0 : damaged(dir, at->lblock, off);
}

int ext2_dir_remove(struct inode *dir, const struct ext2_place *at)
{
    struct cursor c = {0};
    struct buf *b;
    struct ext2_dirent *d, *prev;
    int r = block_read(dir, &c, at->lblock, &b);
    if (r)
        return r;
    r = place_find(dir, b, at, &prev, &d);
    if (r == 0) {
        if (prev)
            prev->rec_len += d->rec_len;
        d->inode = 0;
        ext2_buf_dirty(fs_of(dir), b);
        if (at->lblock < ext2_i(dir)->insert_hint)
            ext2_i(dir)->insert_hint = at->lblock;
    }
    buf_release(b);
    if (r == 0)
        ext2_dir_touched(dir);
    return r;
}

int ext2_dir_replace(struct inode *dir, const struct ext2_place *at, u32 ino, u32 mode)
{
    struct cursor c = {0};
    struct buf *b;
    struct ext2_dirent *d, *prev;
    int r = block_read(dir, &c, at->lblock, &b);
    if (r)
        return r;
    r = place_find(dir, b, at, &prev, &d);
    if (r == 0) {
        d->inode = ino;
        d->file_type = mode_to_ft(fs_of(dir), mode);
        ext2_buf_dirty(fs_of(dir), b);
    }
    buf_release(b);
    if (r == 0)
        ext2_dir_touched(dir);
    return r;
}

int ext2_dir_init(struct inode *dir, u32 parent)
{
    struct ext2_fs *fs = fs_of(dir);
    u32 phys, count = 1;
    struct buf *b;
    int r = ext2_map_alloc(ext2_i(dir), 0, &phys, &count, NULL);
    if (r == 0)
        r = buf_get(fs->bdev, phys, fs->block_size, &b);
    if (r)
        return r;
    struct ext2_dirent *d = b->data;
    record_fill(fs, d, ".", 1, dir->ino, S_IFDIR);
    d->rec_len = EXT2_DIRENT_LEN(1);
    d = (struct ext2_dirent *)((u8 *)d + d->rec_len);
    record_fill(fs, d, "..", 2, parent, S_IFDIR);
    d->rec_len = fs->block_size - EXT2_DIRENT_LEN(1);
    ext2_buf_dirty(fs, b);
    buf_release(b);
    WRITE_ONCE(dir->object.size, (u64)fs->block_size);
    return 0;
}

static bool is_dot_or_dotdot(const struct ext2_dirent *d)
{
    return d->name[0] == '.' && (d->name_len == 1 || (d->name_len == 2 && d->name[1] == '.'));
}

int ext2_dir_empty(struct inode *dir)
{
    struct ext2_fs *fs = fs_of(dir);
    struct cursor c = {0};
    for (u32 lblock = 0, n = dir_blocks(dir); lblock < n; lblock++) {
        struct buf *b;
        struct ext2_dirent *d;
        int r = block_read(dir, &c, lblock, &b);
        for (u32 off = 0; r == 0 && off < fs->block_size; off += d->rec_len) {
            d = ext2_check_record(fs, b->data, off);
            if (!d)
                r = damaged(dir, lblock, off);
            else if (d->inode && !is_dot_or_dotdot(d))
                r = -ENOTEMPTY;
            if (r)
                buf_release(b);
        }
        if (r)
            return r;
        buf_release(b);
    }
    return 0;
}

/* Passes on the records of the copied block @data from byte @ctx->pos of the directory on. Records
 * may have been split and merged since that cookie was given: the walk starts at the block's
 * beginning and goes on at the first record not before it. *@full: the receiver has no room. */
static int block_emit(struct inode *dir, void *data, u32 lblock, struct dir_context *ctx,
                      bool *full)
{
    struct ext2_fs *fs = fs_of(dir);
    u64 base = (u64)lblock << fs->block_shift;
    struct ext2_dirent *d;
    for (u32 off = 0; off < fs->block_size; off += d->rec_len) {
        d = ext2_check_record(fs, data, off);
        if (!d)
            return damaged(dir, lblock, off);
        if (base + off < (u64)ctx->pos)
            continue;
        unsigned type = fs->filetype && d->file_type < FT_COUNT ? ft_to_dtype[d->file_type] : 0;
        if (d->inode && !ctx->emit(ctx, d->name, d->name_len, d->inode, type)) {
            *full = true;
            return 0;
        }
        ctx->pos = base + off + d->rec_len;
    }
    ctx->pos = base + fs->block_size; /* also when the cookie lay within the last record */
    return 0;
}

static int ext2_readdir(struct file *file, struct dir_context *ctx)
{
    struct inode *dir = file->inode;
    struct ext2_fs *fs = fs_of(dir);
    struct cursor c = {0};
    bool full = false;
    int r = 0;
    if (ctx->pos < 0 || (u64)ctx->pos >= inode_size(dir))
        return 0;
    /* The receiver may copy to user memory and sleep: it works on a copy, no buffer is held. */
    void *copy = kmalloc(fs->block_size, 0);
    if (!copy)
        return -ENOMEM;
    while (r == 0 && !full && (u64)ctx->pos < inode_size(dir)) {
        struct buf *b;
        u32 lblock = ctx->pos >> fs->block_shift;
        r = block_read(dir, &c, lblock, &b);
        if (r)
            break;
        memcpy(copy, b->data, fs->block_size);
        buf_release(b);
        r = block_emit(dir, copy, lblock, ctx, &full);
    }
    kfree(copy);
    return r;
}

static int ext2_dir_fsync(struct file *file, bool data_only)
{
    return ext2_sync_inode(file->inode);
}

const struct file_ops ext2_dir_file_ops = {
    .readdir = ext2_readdir,
    .fsync = ext2_dir_fsync,
};
