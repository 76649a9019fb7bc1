/*
 * memfd_create(2): files of a tmpfs that nobody sees, without names, and the seals that keep such a
 * file from being changed behind the back of those it was given to.
 *
 * Seals only grow. They change under inode->lock held for writing, which write, truncate, chmod and
 * fallocate hold too. A mapping that may write needs none of these: object->writers counts them,
 * and F_SEAL_WRITE closes that count, or fails while there are any.
 */
#include "fs/tmpfs.h"
#include "tmpfs_priv.h"

#include "lib/fmt.h"

#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/stat.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* Linux 6.3 */
#endif

#define SEALS_KNOWN                                                                         \
    ((u32)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
           F_SEAL_EXEC))

static struct mount *memfd_mount;

void memfd_init(struct fs_type *tmpfs)
{
    memfd_mount = mount_hidden(tmpfs, "size=0,nr_inodes=0"); /* no limit but memory */
}

int memfd_create(const char *name, unsigned flags, struct file **out)
{
    char shown[MEMFD_NAME_MAX + sizeof("/memfd: (deleted)")];
    struct inode *inode;
    u32 mode = flags & MFD_NOEXEC_SEAL ? 0666 : 0777;
    int err = tmpfs_inode_new(memfd_mount->super, NULL, S_IFREG | mode, 0, &inode);
    if (err)
        return err;
    inode->nlink = 0;
    if (flags & MFD_NOEXEC_SEAL)
        inode->seals = INODE_SEALABLE | F_SEAL_EXEC;
    else if (flags & MFD_ALLOW_SEALING)
        inode->seals = INODE_SEALABLE;
    snprintf(shown, sizeof(shown), "/memfd:%s (deleted)", name);
    return file_new_named(memfd_mount, inode, shown, O_RDWR | O_LARGEFILE, out);
}

int memfd_add_seals(struct file *f, u32 seals)
{
    struct inode *inode = f->inode;
    if (!FILE_WRITABLE(f))
        return -EPERM;
    if (seals & ~SEALS_KNOWN)
        return -EINVAL;
    WRITE_GUARD(&inode->lock);
    if (!(inode->seals & INODE_SEALABLE))
        return -EINVAL;
    if (inode->seals & F_SEAL_SEAL)
        return -EPERM;
    if ((seals & F_SEAL_EXEC) && (inode->mode & 0111)) /* what can be run is not to be changed */
        seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
    int err = seals & F_SEAL_WRITE ? object_deny_writers(&inode->object) : 0;
    if (!err)
        WRITE_ONCE(inode->seals, inode->seals | seals);
    return err;
}

int memfd_get_seals(struct file *f)
{
    u32 seals = READ_ONCE(f->inode->seals);
    return seals & INODE_SEALABLE ? (int)(seals & SEALS_KNOWN) : -EINVAL;
}
