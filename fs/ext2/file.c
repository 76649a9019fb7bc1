/*
 * ext2: regular files and special files. Contents go through the page cache (fs/ext2/pageio.c).
 */
#include "fs/ext2/ext2_priv.h"

int ext2_sync_inode(struct inode *inode)
{
    struct ext2_fs *fs = ext2_of(inode->super);
    int r = ext2_inode_write(inode);
    if (r)
        return r;
    /* Without a journal nobody knows which blocks this inode needs: indirect blocks, bitmaps, the
     * directories above. Writing all that is dirty is right, and little more than these. */
    r = buf_sync(fs->bdev, true);
    return r ? r : block_flush(fs->bdev);
}

static int ext2_fsync(struct file *file, bool data_only)
{
    int r = object_sync(&file->inode->object, 0, ~0UL, true);
    int r2 = ext2_sync_inode(file->inode);
    return r ? r : r2;
}

const struct file_ops ext2_file_ops = {
    .read = generic_read,
    .write = generic_write,
    .fsync = ext2_fsync,
};

const struct inode_ops ext2_file_inode_ops = {.setattr = ext2_setattr};
const struct inode_ops ext2_special_ops = {.setattr = ext2_setattr};
