/*
 * Who may do what: mode bits, capabilities, and the rules for names in a directory.
 * path_resolution(7), capabilities(7), inode(7).
 */
#include "vfs_priv.h"

#include <linux/capability.h>

static int capable_override(u32 mode, unsigned mask)
{
    if (S_ISDIR(mode)) {
        if (capable(CAP_DAC_OVERRIDE))
            return 0;
        return !(mask & MAY_WRITE) && capable(CAP_DAC_READ_SEARCH) ? 0 : -EACCES;
    }
    if ((!(mask & MAY_EXEC) || (mode & 0111)) && capable(CAP_DAC_OVERRIDE))
        return 0;
    return mask == MAY_READ && capable(CAP_DAC_READ_SEARCH) ? 0 : -EACCES;
}

int inode_permission_generic(const struct inode *inode, unsigned mask)
{
    const struct cred *cred = cred_current();
    u32 mode = READ_ONCE(inode->mode), bits = mode;
    if (!cred)
        return 0; /* a kernel thread */
    if (cred->fsuid == inode->uid)
        bits >>= 6;
    else if ((mode >> 3 & 7) != (mode & 7) && cred_in_group(cred, inode->gid))
        bits >>= 3;
    if ((bits & mask) == mask)
        return 0;
    return capable_override(mode, mask);
}

int inode_permission(struct inode *inode, unsigned mask)
{
    if ((mask & MAY_WRITE) && inode->super->read_only) {
        u32 type = inode->mode & S_IFMT;
        if (type == S_IFREG || type == S_IFDIR || type == S_IFLNK)
            return -EROFS;
    }
    return inode->ops->permission ? inode->ops->permission(inode, mask)
                                  : inode_permission_generic(inode, mask);
}

bool inode_owner_or_capable(struct inode *inode)
{
    const struct cred *cred = cred_current();
    return !cred || cred->fsuid == inode->uid || capable(CAP_FOWNER);
}

int may_create(struct inode *dir)
{
    if (dir->nlink == 0)
        return -ENOENT;
    return inode_permission(dir, MAY_WRITE | MAY_EXEC);
}

int may_delete(struct inode *dir, struct inode *victim, bool directory)
{
    int err = inode_permission(dir, MAY_WRITE | MAY_EXEC);
    if (err)
        return err;
    const struct cred *cred = cred_current();
    if ((dir->mode & S_ISVTX) && cred && cred->fsuid != victim->uid && cred->fsuid != dir->uid &&
        !capable(CAP_FOWNER))
        return -EPERM;
    if (directory)
        return S_ISTYPE(victim, S_IFDIR) ? 0 : -ENOTDIR;
    return S_ISTYPE(victim, S_IFDIR) ? -EISDIR : 0;
}
