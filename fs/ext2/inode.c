/*
 * ext2: inodes between the disk, the VFS, and the end.
 *
 * A name-space operation stores the inodes it changes in their buffers at once
 * (ext2_inode_write()); only sizes, times and block maps of files being written wait for the VFS to
 * ask for it. The disk inode is changed in place, so what we do not know stays as it is; that of a
 * new inode is cleared first (inode->fresh).
 *
 * An inode without links lives on while it is open. The last reference brings
 * ext2_inode_evict(): blocks, attribute block and number are freed, and the disk inode gets its
 * time of deletion.
 */
#include "fs/ext2/ext2_priv.h"
#include "dev/devno.h"

static DEFINE_LOCK_CLASS(map_class, "ext2 map");

/* Reads the block of the inode table that holds @ino. */
static int table_read(struct ext2_fs *fs, u64 ino, struct buf **out, struct ext2_disk_inode **disk)
{
    u32 g = (ino - 1) / fs->inodes_per_group;
    u32 byte = (ino - 1) % fs->inodes_per_group * fs->inode_size;
    int r = ext2_buf_read(fs, fs->group[g].bg_inode_table + (byte >> fs->block_shift), out);
    if (r == 0)
        *disk = (void *)((u8 *)(*out)->data + (byte & (fs->block_size - 1)));
    return r;
}

/* Times: 32 bits of seconds, and where the inode has room two more and the nanoseconds. */

static bool has_extra(const struct ext2_fs *fs, const struct ext2_disk_inode *d, size_t end)
{
    return fs->inode_size > EXT2_OLD_INODE_SIZE && EXT2_OLD_INODE_SIZE + d->i_extra_isize >= end;
}
#define HAS_FIELD(fs, d, field) \
    has_extra(fs, d, offsetof(struct ext2_disk_inode, field) + sizeof((d)->field))

static struct inode_time time_decode(u32 low, u32 extra)
{
    return (struct inode_time){
        .sec = (s64)(s32)low + ((s64)(extra & 3) << 32),
        .nsec = MIN(extra >> 2, 999999999u),
    };
}

static u32 time_low(struct inode_time t, bool extra)
{
    s64 max = extra ? 0x37fffffffL : 0x7fffffffL;
    return (u32)MAX(MIN(t.sec, max), -0x80000000L);
}

static u32 time_extra(struct inode_time t)
{
    s64 sec = MAX(MIN(t.sec, 0x37fffffffL), -0x80000000L);
    return (u32)((sec - (s32)sec) >> 32 & 3) | t.nsec << 2;
}

static void times_load(const struct ext2_fs *fs, struct ext2_inode *ei,
                       const struct ext2_disk_inode *d)
{
    struct inode *inode = &ei->vfs;
    inode->ctime = time_decode(d->i_ctime, HAS_FIELD(fs, d, i_ctime_extra) ? d->i_ctime_extra : 0);
    inode->mtime = time_decode(d->i_mtime, HAS_FIELD(fs, d, i_mtime_extra) ? d->i_mtime_extra : 0);
    inode->atime = time_decode(d->i_atime, HAS_FIELD(fs, d, i_atime_extra) ? d->i_atime_extra : 0);
}

static void times_store(const struct ext2_fs *fs, const struct ext2_inode *ei,
                        struct ext2_disk_inode *d)
{
    const struct inode *inode = &ei->vfs;
    bool c = HAS_FIELD(fs, d, i_ctime_extra), m = HAS_FIELD(fs, d, i_mtime_extra),
         a = HAS_FIELD(fs, d, i_atime_extra);
    d->i_ctime = time_low(inode->ctime, c);
    d->i_mtime = time_low(inode->mtime, m);
    d->i_atime = time_low(inode->atime, a);
    if (c)
        d->i_ctime_extra = time_extra(inode->ctime);
    if (m)
        d->i_mtime_extra = time_extra(inode->mtime);
    if (a)
        d->i_atime_extra = time_extra(inode->atime);
}

/* Reading. */

static void set_ops(struct inode *inode)
{
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        inode->ops = &ext2_file_inode_ops;
        inode->file_ops = &ext2_file_ops;
        inode->object.ops = &ext2_object_ops;
        break;
    case S_IFDIR:
        inode->ops = &ext2_dir_ops;
        inode->file_ops = &ext2_dir_file_ops;
        break;
    case S_IFLNK:
        inode->ops = &ext2_symlink_ops;
        break;
    default: /* devices, FIFOs, sockets: opening them is the VFS's business */
        inode->ops = &ext2_special_ops;
    }
}

/* Device numbers: the old 16-bit form in the first word, else the new one in the second. */
static u64 rdev_load(const struct ext2_inode *ei)
{
    if (ei->data[0])
        return devno_make(ei->data[0] >> 8 & 0xff, ei->data[0] & 0xff);
    return ei->data[1];
}

static void rdev_store(struct ext2_inode *ei)
{
    u32 dev = ei->vfs.rdev;
    bool small = devno_major(dev) < 256 && devno_minor(dev) < 256;
    ei->data[0] = small ? devno_major(dev) << 8 | devno_minor(dev) : 0;
    ei->data[1] = small ? 0 : dev;
}

static bool is_device(const struct inode *inode)
{
    return S_ISTYPE(inode, S_IFCHR) || S_ISTYPE(inode, S_IFBLK);
}

static bool type_known(u32 mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

/* NULL, or what is wrong with the inode. */
static const char *check_inode(struct ext2_fs *fs, const struct ext2_disk_inode *d, u32 ino,
                               u64 size)
{
    u32 type = d->i_mode & S_IFMT;
    if (d->i_links_count == 0)
        return "in a directory, but free";
    if (!type_known(d->i_mode) || (ino == EXT2_ROOT_INO && type != S_IFDIR))
        return "of impossible type";
    if (d->i_flags & (EXT2_FL_EXTENTS | EXT2_FL_INLINE))
        return "in a format that the features do not allow";
    if (size > fs->sb->max_bytes)
        return "too large";
    if (type == S_IFDIR && (size == 0 || size % fs->block_size || size > 0x7fffffff))
        return "a directory of impossible size";
    if (type == S_IFLNK && (size == 0 || size >= fs->block_size))
        return "a symbolic link of impossible length";
    if (d->i_file_acl && !ext2_block_in_range(fs, d->i_file_acl))
        return "with an attribute block that does not exist";
    if (fs->inode_size > EXT2_OLD_INODE_SIZE &&
        (d->i_extra_isize > fs->inode_size - EXT2_OLD_INODE_SIZE || d->i_extra_isize % 4))
        return "of impossible extra size";
    return NULL;
}

static int inode_load(struct ext2_fs *fs, struct ext2_inode *ei)
{
    struct inode *inode = &ei->vfs;
    struct ext2_disk_inode *d;
    struct buf *b;
    int r = table_read(fs, inode->ino, &b, &d);
    if (r)
        return r;
    bool regular = (d->i_mode & S_IFMT) == S_IFREG;
    u64 size = d->i_size | (regular ? (u64)d->i_size_high << 32 : 0);
    const char *wrong = check_inode(fs, d, inode->ino, size);
    if (wrong) {
        buf_release(b);
        return ext2_error(fs, "inode %lu is %s", inode->ino, wrong);
    }
    inode->mode = d->i_mode;
    inode->uid = d->i_uid | (u32)d->i_uid_high << 16;
    inode->gid = d->i_gid | (u32)d->i_gid_high << 16;
    inode->nlink = d->i_links_count;
    inode->blocks = d->i_blocks;
    inode->generation = d->i_generation;
    inode->object.size = size;
    times_load(fs, ei, d);
    memcpy(ei->data, d->i_block, sizeof(ei->data));
    ei->flags = d->i_flags;
    ei->file_acl = d->i_file_acl;
    buf_release(b);
    if (is_device(inode))
        inode->rdev = rdev_load(ei);
    set_ops(inode);
    return 0;
}

int ext2_iget(struct super *sb, u32 ino, struct inode **out)
{
    struct ext2_fs *fs = ext2_of(sb);
    struct inode *inode;
    bool fresh;
    if (ino > fs->inodes || (ino < fs->first_ino && ino != EXT2_ROOT_INO))
        return ext2_error(fs, "a directory names inode %u, which is none", ino);
    int r = inode_get(sb, ino, &inode, &fresh);
    if (r)
        return r;
    if (fresh) {
        mutex_init(&ext2_i(inode)->map_lock, &map_class);
        r = inode_load(fs, ext2_i(inode));
        if (r) {
            inode_failed(inode);
            return r;
        }
        inode_ready(inode);
    }
    *out = inode;
    return 0;
}

/* Writing. */

/* What only a new inode gets. */
static void fresh_store(struct ext2_fs *fs, struct ext2_inode *ei, struct ext2_disk_inode *d)
{
    memset(d, 0, fs->inode_size);
    d->i_generation = ei->vfs.generation;
    if (fs->inode_size == EXT2_OLD_INODE_SIZE)
        return;
    d->i_extra_isize = fs->want_extra;
    if (HAS_FIELD(fs, d, i_crtime_extra)) {
        d->i_crtime = time_low(ei->crtime, true);
        d->i_crtime_extra = time_extra(ei->crtime);
    }
}

int ext2_inode_write(struct inode *inode)
{
    struct ext2_fs *fs = ext2_of(inode->super);
    struct ext2_inode *ei = ext2_i(inode);
    struct ext2_disk_inode *d;
    struct buf *b;
    if (inode->super->read_only)
        return inode->super->error ? -EROFS : 0;
    u64 size = inode_size(inode);
    bool regular = S_ISTYPE(inode, S_IFREG);
    if (regular && size > 0x7fffffff)
        ext2_need_large_file(fs);
    MUTEX_GUARD(&ei->map_lock);
    int r = table_read(fs, inode->ino, &b, &d);
    if (r)
        return r;
    if (ei->fresh)
        fresh_store(fs, ei, d);
    ei->fresh = false;
    spin_lock(&inode->state_lock);
    d->i_mode = inode->mode;
    d->i_uid = inode->uid;
    d->i_uid_high = inode->uid >> 16;
    d->i_gid = inode->gid;
    d->i_gid_high = inode->gid >> 16;
    d->i_links_count = inode->nlink;
    times_store(fs, ei, d);
    spin_unlock(&inode->state_lock);
    d->i_size = size;
    if (regular)
        d->i_size_high = size >> 32;
    d->i_blocks = inode->blocks;
    d->i_dtime = ei->dtime;
    d->i_flags = ei->flags;
    d->i_file_acl = ei->file_acl;
    memcpy(d->i_block, ei->data, sizeof(d->i_block));
    ext2_buf_dirty(fs, b);
    buf_release(b);
    return 0;
}

int ext2_setattr(struct inode *inode, const struct inode_attr *attr)
{
    struct ext2_inode *ei = ext2_i(inode);
    struct page *tail = NULL;
    bool resize = attr->valid & ATTR_SIZE;
    if (resize && !S_ISTYPE(inode, S_IFREG))
        return -EINVAL;
    if (resize && attr->size > inode->super->max_bytes)
        return -EFBIG;
    bool shrink = resize && attr->size < inode_size(inode);
    /* The new last page is needed as it is now, so that its tail can be found in need of zeroing:
     * read after the change, it would look zero. */
    if (shrink && attr->size % PAGE_SIZE) {
        int r = object_get_page(&inode->object, attr->size >> PAGE_SHIFT, NULL, &tail);
        if (r)
            return r;
    }
    int r = inode_setattr(inode, attr);
    if (tail)
        page_put(tail);
    if (shrink)
        ext2_map_truncate(ei, ext2_size_blocks(ext2_of(inode->super), attr->size));
    return r ? r : ext2_inode_write(inode);
}

/* The beginning and the end. */

int ext2_inode_create(struct inode *dir, u32 mode, u64 rdev, struct inode **out)
{
    struct ext2_fs *fs = ext2_of(dir->super);
    bool directory = (mode & S_IFMT) == S_IFDIR;
    u32 ino;
    int r = ext2_alloc_ino(fs, dir, mode, &ino);
    if (r)
        return r;
    struct inode *inode = inode_new(dir->super);
    if (!inode) {
        ext2_free_ino(fs, ino, directory);
        return -ENOMEM;
    }
    struct ext2_inode *ei = ext2_i(inode);
    mutex_init(&ei->map_lock, &map_class);
    inode_init_owner(inode, dir, mode);
    inode->ino = ino;
    inode->nlink = directory ? 2 : 1;
    inode->generation = atomic_add_relaxed(&fs->next_generation, 1);
    ei->crtime = inode->ctime;
    ei->flags = ext2_i(dir)->flags & EXT2_FL_INHERITED;
    ei->fresh = true;
    if (is_device(inode)) {
        inode->rdev = rdev;
        rdev_store(ei);
    }
    set_ops(inode);
    if (inode_hash(inode) < 0) {
        inode_failed(inode); /* gone without touching what belongs to the other */
        return ext2_error(fs, "inode %u is in use and marked as free", ino);
    }
    r = ext2_inode_write(inode);
    if (r) {
        ext2_inode_abandon(inode);
        return r;
    }
    *out = inode;
    return 0;
}

void ext2_inode_abandon(struct inode *inode)
{
    WRITE_ONCE(inode->nlink, 0);
    inode_put(inode);
}

/* Drops the inode's share of its attribute block; the last one frees it. */
static void xattr_drop(struct ext2_fs *fs, struct ext2_inode *ei)
{
    struct buf *b;
    u32 block = ei->file_acl;
    if (!block)
        return;
    ei->file_acl = 0;
    ei->vfs.blocks -= MIN(ei->vfs.blocks, (u64)fs->sectors_per_block);
    if (ext2_buf_read(fs, block, &b) != 0)
        return;
    struct ext2_xattr_header *h = b->data;
    bool sane = h->h_magic == EXT2_XATTR_MAGIC && h->h_refcount > 0;
    bool last = sane && h->h_refcount == 1;
    if (sane && !last) {
        h->h_refcount--;
        ext2_buf_dirty(fs, b);
    }
    buf_release(b);
    if (!sane) {
        ext2_error(fs, "inode %lu: block %u holds no attributes", ei->vfs.ino, block);
    } else if (last) {
        ext2_buf_forget(fs, block);
        ext2_free_blocks(fs, block, 1);
    }
}

void ext2_inode_evict(struct inode *inode)
{
    struct ext2_fs *fs = ext2_of(inode->super);
    struct ext2_inode *ei = ext2_i(inode);
    bool directory = S_ISTYPE(inode, S_IFDIR);
    if (inode->super->read_only)
        return;
    bool has_map = S_ISTYPE(inode, S_IFREG) || directory ||
                   (S_ISTYPE(inode, S_IFLNK) && !ext2_is_fast_symlink(ei));
    if (has_map)
        ext2_map_truncate(ei, 0);
    xattr_drop(fs, ei);
    WRITE_ONCE(inode->object.size, 0UL);
    ei->dtime = inode_time_now().sec;
    ext2_inode_write(inode);
    if (!inode->super->error)
        ext2_free_ino(fs, inode->ino, directory);
}
