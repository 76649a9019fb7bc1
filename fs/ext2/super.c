/*
 * ext2: mounting, the superblock, sync, unmounting.
 *
 * The superblock and the group descriptors are kept in memory (fs->disk, fs->group). Descriptors
 * go to their buffers with each change; the superblock, whose counts are only sums of theirs, goes
 * there at sync and unmount.
 *
 * While mounted for writing the state on disk says "not clean" (marked). An unmount, or turning
 * read-only, writes everything else first, flushes, and only then says "clean" - unless the file
 * system was not clean when we got it or was found damaged: only e2fsck may change that.
 */
#include "fs/ext2/ext2_priv.h"
#include "fs/ext2.h"
#include "lib/fmt.h"
#include <asm/statfs.h>
#include <linux/magic.h>

static DEFINE_LOCK_CLASS(sb_class, "ext2 state");
static DEFINE_LOCK_CLASS(alloc_class, "ext2 alloc");

static struct kmem_cache *inode_cache;

int ext2_error(struct ext2_fs *fs, const char *fmt, ...)
{
    if (atomic_swap(&fs->error_logged, 1) == 0) {
        char text[160];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        log_err("ext2: %s: damaged: %s; now read-only, run e2fsck", fs->bdev->name, text);
    }
    WRITE_ONCE(fs->sb->error, true);
    WRITE_ONCE(fs->sb->read_only, true);
    return -EUCLEAN;
}

static u32 wall_seconds(void)
{
    return inode_time_now().sec;
}

/* Copies the superblock to its buffer; locked. */
static int super_to_buf(struct ext2_fs *fs, struct buf **out)
{
    MUTEX_GUARD(&fs->alloc_lock);
    int r = ext2_buf_read(fs, EXT2_SUPER_OFFSET >> fs->block_shift, out);
    if (r)
        return r;
    fs->disk.s_free_blocks_count = fs->free_blocks;
    fs->disk.s_free_inodes_count = fs->free_inodes;
    fs->disk.s_wtime = wall_seconds();
    if (fs->sb->error)
        fs->disk.s_state |= EXT2_STATE_ERROR;
    memcpy((u8 *)(*out)->data + EXT2_SUPER_OFFSET % fs->block_size, &fs->disk, sizeof(fs->disk));
    ext2_buf_dirty(fs, *out);
    return 0;
}

/* Stores the superblock. @now: writes and flushes it at once. */
static int super_store(struct ext2_fs *fs, bool now)
{
    struct buf *b;
    int r = super_to_buf(fs, &b);
    if (r)
        return r;
    if (now)
        r = buf_write(b);
    buf_release(b);
    return now && !r ? block_flush(fs->bdev) : r;
}

void ext2_need_large_file(struct ext2_fs *fs)
{
    if (READ_ONCE(fs->disk.s_feature_ro_compat) & EXT2_RO_LARGE_FILE)
        return;
    mutex_lock(&fs->alloc_lock);
    if (fs->disk.s_rev_level == 0) { /* features need revision 1, which names what 0 implied */
        fs->disk.s_rev_level = 1;
        fs->disk.s_first_ino = EXT2_GOOD_FIRST_INO;
        fs->disk.s_inode_size = EXT2_OLD_INODE_SIZE;
    }
    fs->disk.s_feature_ro_compat |= EXT2_RO_LARGE_FILE;
    mutex_unlock(&fs->alloc_lock);
    super_store(fs, false); /* failing that, the next sync stores it */
}

/* Says on disk that the file system is in use. => sb_lock. */
static int mark_in_use(struct ext2_fs *fs)
{
    if (fs->marked)
        return 0;
    mutex_lock(&fs->alloc_lock);
    fs->disk.s_state &= ~EXT2_STATE_VALID;
    fs->disk.s_mnt_count++;
    fs->disk.s_mtime = wall_seconds();
    mutex_unlock(&fs->alloc_lock);
    fs->marked = true;
    int r = super_store(fs, true);
    if (r)
        log_err("ext2: %s: cannot write the superblock: error %d", fs->bdev->name, -r);
    return r;
}

/* Writes everything, then that the file system is not in use any more. => sb_lock. */
static int mark_unused(struct ext2_fs *fs)
{
    if (!fs->marked)
        return 0;
    int r = super_store(fs, false);
    int r2 = buf_sync(fs->bdev, true);
    int r3 = block_flush(fs->bdev);
    r = r ? r : r2 ? r2 : r3;
    if (r) {
        log_err("ext2: %s: not everything could be written: error %d", fs->bdev->name, -r);
        return r;
    }
    mutex_lock(&fs->alloc_lock);
    if (fs->was_clean && !fs->sb->error)
        fs->disk.s_state |= EXT2_STATE_VALID;
    mutex_unlock(&fs->alloc_lock);
    fs->marked = false;
    return super_store(fs, true);
}

static int ext2_sync(struct super *sb, bool wait)
{
    struct ext2_fs *fs = ext2_of(sb);
    if (!fs->marked)
        return 0;
    int r = super_sync_inodes(sb);
    int r2 = super_store(fs, false);
    int r3 = buf_sync(fs->bdev, wait);
    r = r ? r : r2 ? r2 : r3;
    if (wait && !r)
        r = block_flush(fs->bdev);
    if (r == -EIO)
        ext2_error(fs, "metadata cannot be written");
    return r;
}

static void fs_free(struct ext2_fs *fs)
{
    kfree(fs->group);
    kfree(fs->bitmap_checked);
    kfree(fs);
}

static void ext2_unmount(struct super *sb)
{
    struct ext2_fs *fs = ext2_of(sb);
    mutex_lock(&fs->sb_lock);
    mark_unused(fs);
    mutex_unlock(&fs->sb_lock);
    buf_invalidate(fs->bdev);
    sb->private = NULL;
    fs_free(fs);
}

static int ext2_statfs(struct super *sb, struct statfs *out)
{
    struct ext2_fs *fs = ext2_of(sb);
    u64 reserved = fs->disk.s_r_blocks_count;
    memset(out, 0, sizeof(*out));
    mutex_lock(&fs->alloc_lock);
    u64 free = fs->free_blocks;
    out->f_ffree = fs->free_inodes;
    mutex_unlock(&fs->alloc_lock);
    out->f_type = EXT2_SUPER_MAGIC;
    out->f_bsize = out->f_frsize = fs->block_size;
    out->f_blocks = fs->blocks - fs->overhead;
    out->f_bfree = free;
    out->f_bavail = free > reserved ? free - reserved : 0;
    out->f_files = fs->inodes;
    out->f_namelen = EXT2_NAME_MAX;
    u64 uuid[2];
    memcpy(uuid, fs->disk.s_uuid, sizeof(uuid));
    u64 id = uuid[0] ^ uuid[1];
    memcpy(&out->f_fsid, &id, sizeof(id));
    return 0;
}

static struct inode *ext2_inode_alloc(struct super *sb)
{
    struct ext2_inode *ei = kmem_cache_alloc(inode_cache, PA_ZERO);
    return ei ? &ei->vfs : NULL;
}

static void ext2_inode_free(struct inode *inode)
{
    kmem_cache_free(inode_cache, ext2_i(inode));
}

/* Mount. */

static bool options_ok(const char *data)
{
    return !data || !*data || !strcmp(data, "defaults") || !strcmp(data, "errors=remount-ro");
}

static int may_write(const struct ext2_fs *fs)
{
    u32 unknown = fs->disk.s_feature_ro_compat & ~EXT2_RO_KNOWN;
    if (unknown) {
        log_err("ext2: %s: unknown read-only features 0x%x: only a read-only mount is possible",
                fs->bdev->name, unknown);
        return -EROFS;
    }
    if (fs->bdev->read_only) {
        log_err("ext2: %s: the device is read-only", fs->bdev->name);
        return -EROFS;
    }
    return 0;
}

/* Is a deleted file still open? It would have to be freed on a disk that says "clean". */
static bool has_orphans(struct super *sb)
{
    struct inode *inode;
    SPIN_GUARD(&sb->inodes_lock);
    list_for_each_entry (inode, &sb->inodes, super_link) {
        if (READ_ONCE(inode->nlink) == 0)
            return true;
    }
    return false;
}

static int ext2_remount(struct super *sb, bool read_only, const char *data)
{
    struct ext2_fs *fs = ext2_of(sb);
    if (!options_ok(data))
        return -EINVAL;
    if (read_only) {
        if (!sb->error && has_orphans(sb))
            return -EBUSY;
        int r = sb->error ? 0 : ext2_sync(sb, true);
        if (r)
            return r;
        MUTEX_GUARD(&fs->sb_lock);
        return mark_unused(fs);
    }
    if (sb->error)
        return -EROFS;
    int r = may_write(fs);
    if (r)
        return r;
    MUTEX_GUARD(&fs->sb_lock);
    return mark_in_use(fs);
}

static const struct super_ops ext2_super_ops = {
    .inode_alloc = ext2_inode_alloc,
    .inode_free = ext2_inode_free,
    .inode_write = ext2_inode_write,
    .inode_evict = ext2_inode_evict,
    .statfs = ext2_statfs,
    .sync = ext2_sync,
    .remount = ext2_remount,
    .unmount = ext2_unmount,
};

/* Reads and checks the superblock, one log line when it will not do. */
static int super_read(struct ext2_fs *fs)
{
    struct ext2_super_block *disk = kmalloc(sizeof(*disk), 0);
    if (!disk)
        return -ENOMEM;
    const char *name = fs->bdev->name;
    int r = block_rw(fs->bdev, BIO_READ, EXT2_SUPER_OFFSET >> SECTOR_SHIFT, disk, sizeof(*disk));
    if (r) {
        log_err("ext2: %s: cannot read the superblock", name);
        kfree(disk);
        return -EIO;
    }
    u32 incompat = disk->s_rev_level ? disk->s_feature_incompat : 0;
    const char *wrong = ext2_check_super(disk, fs->bdev->sectors << SECTOR_SHIFT);
    r = -EINVAL;
    if (disk->s_magic == EXT2_MAGIC && (incompat & EXT2_INCOMPAT_RECOVER))
        log_err("ext2: %s: the journal must be recovered first: run e2fsck", name);
    else if (disk->s_magic == EXT2_MAGIC && (incompat & ~EXT2_INCOMPAT_KNOWN))
        log_err("ext2: %s: unknown incompatible features 0x%x", name,
                incompat & ~EXT2_INCOMPAT_KNOWN);
    else if (wrong)
        log_err("ext2: %s: %s", name, wrong);
    else
        r = 0;
    if (r == 0)
        ext2_geometry(fs, disk);
    kfree(disk);
    return r;
}

static int groups_read(struct ext2_fs *fs)
{
    fs->group = kmalloc((size_t)fs->groups * sizeof(*fs->group), 0);
    fs->bitmap_checked = kzalloc(fs->groups, 0);
    if (!fs->group || !fs->bitmap_checked)
        return -ENOMEM;
    for (u32 i = 0; i < fs->desc_blocks; i++) {
        struct buf *b;
        int r = ext2_buf_read(fs, fs->first_data_block + 1 + i, &b);
        if (r)
            return r;
        u32 first = i * fs->desc_per_block;
        memcpy(&fs->group[first], b->data,
               MIN(fs->desc_per_block, fs->groups - first) * sizeof(*fs->group));
        buf_release(b);
    }
    for (u32 g = 0; g < fs->groups; g++) {
        const char *wrong = ext2_check_group(fs, g, &fs->group[g]);
        if (wrong) {
            log_err("ext2: %s: group %u: %s", fs->bdev->name, g, wrong);
            return -EINVAL;
        }
        fs->free_blocks += fs->group[g].bg_free_blocks_count;
        fs->free_inodes += fs->group[g].bg_free_inodes_count;
        fs->dirs += fs->group[g].bg_used_dirs_count;
    }
    return 0;
}

/* Everything that needs no inode. */
static int fs_open(struct ext2_fs *fs, bool read_only)
{
    int r = super_read(fs);
    if (r == 0)
        r = groups_read(fs);
    if (r || read_only)
        return r;
    r = may_write(fs);
    if (r)
        return r;
    if (!fs->was_clean)
        log_warn("ext2: %s: not unmounted cleanly, e2fsck is recommended", fs->bdev->name);
    MUTEX_GUARD(&fs->sb_lock);
    return mark_in_use(fs);
}

static int ext2_mount(struct super *sb, const char *data)
{
    if (!options_ok(data)) {
        log_err("ext2: %s: unknown mount options \"%s\"", sb->bdev->name, data);
        return -EINVAL;
    }
    struct ext2_fs *fs = kzalloc(sizeof(*fs), 0);
    if (!fs)
        return -ENOMEM;
    fs->sb = sb;
    fs->bdev = sb->bdev;
    fs->next_generation = hash_u64(time_wall_ns());
    mutex_init(&fs->sb_lock, &sb_class);
    mutex_init(&fs->alloc_lock, &alloc_class);
    buf_invalidate(fs->bdev); /* what another block size left behind */
    int r = fs_open(fs, sb->read_only);
    if (r) {
        buf_invalidate(fs->bdev);
        fs_free(fs);
        return r;
    }
    sb->private = fs;
    sb->ops = &ext2_super_ops;
    sb->block_size = fs->block_size;
    sb->max_bytes = ext2_max_bytes(fs);
    r = ext2_iget(sb, EXT2_ROOT_INO, &sb->root_inode);
    if (r) {
        ext2_unmount(sb);
        return r == -ENOMEM || r == -EIO ? r : -EINVAL;
    }
    return 0;
}

static struct fs_type ext2_type = {.name = "ext2", .needs_device = true, .mount = ext2_mount};

void ext2_init(void)
{
    inode_cache = kmem_cache_create("ext2_inode", sizeof(struct ext2_inode), 0);
    fs_type_register(&ext2_type);
}
