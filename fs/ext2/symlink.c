/*
 * ext2: symbolic links. A text of less than 60 bytes lies in the inode where the block map would
 * be (a fast link); a longer one, up to a block less one byte, in the link's only block.
 */
#include "fs/ext2/ext2_priv.h"

bool ext2_is_fast_symlink(const struct ext2_inode *ei)
{
    const struct inode *inode = &ei->vfs;
    u64 xattr = ei->file_acl ? inode->super->block_size >> SECTOR_SHIFT : 0;
    return S_ISTYPE(inode, S_IFLNK) && inode->blocks == xattr &&
           inode_size(inode) < sizeof(ei->data);
}

int ext2_symlink_write(struct inode *inode, const char *target, size_t len)
{
    struct ext2_fs *fs = ext2_of(inode->super);
    struct ext2_inode *ei = ext2_i(inode);
    if (len < sizeof(ei->data)) {
        memcpy(ei->data, target, len);
    } else {
        u32 phys, count = 1;
        struct buf *b;
        int r = ext2_map_alloc(ei, 0, &phys, &count, NULL);
        if (r == 0)
            r = buf_get(fs->bdev, phys, fs->block_size, &b);
        if (r)
            return r;
        memcpy(b->data, target, len);
        ext2_buf_dirty(fs, b);
        buf_release(b);
    }
    WRITE_ONCE(inode->object.size, (u64)len);
    return ext2_inode_write(inode);
}

static ssize_t ext2_readlink(struct inode *inode, char *buf, size_t size)
{
    struct ext2_fs *fs = ext2_of(inode->super);
    struct ext2_inode *ei = ext2_i(inode);
    size_t len = MIN(size, (size_t)inode_size(inode));
    if (ext2_is_fast_symlink(ei)) {
        memcpy(buf, ei->data, len);
        return len;
    }
    u32 phys, count = 1;
    struct buf *b;
    int r = ext2_map(ei, 0, &phys, &count);
    if (r == 0 && phys == 0)
        r = ext2_error(fs, "symbolic link %lu has no block", inode->ino);
    if (r == 0)
        r = ext2_buf_read(fs, phys, &b);
    if (r)
        return r;
    memcpy(buf, b->data, len); /* the size was checked: less than a block */
    buf_release(b);
    return len;
}

const struct inode_ops ext2_symlink_ops = {
    .readlink = ext2_readlink,
    .setattr = ext2_setattr,
};
