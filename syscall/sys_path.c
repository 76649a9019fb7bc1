/* Calls that take path names. */
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/stat.h>

#include <asm/stat.h>
#include <asm/statfs.h>

#include "fs/cred.h"
#include "lib/string.h"
#include "syscall/syscall_priv.h"

#define AT_REMOVEDIR_ 0x200
#define AT_EACCESS_   0x200

/* ---- status ---- */

/* The kernel's 32-bit user-space form of a device number (MKDEV's split is Linux's). */
static long put_stat(uvaddr_t buf, struct inode *inode)
{
    struct inode_stat s;
    int r = inode_stat(inode, &s);
    if (r < 0)
        return r;
    struct stat out = {
        .st_dev = s.dev,
        .st_ino = s.ino,
        .st_mode = s.mode,
        .st_nlink = s.nlink,
        .st_uid = s.uid,
        .st_gid = s.gid,
        .st_rdev = s.rdev,
        .st_size = s.size,
        .st_blksize = s.block_size,
        .st_blocks = s.blocks,
        .st_atime = s.atime.sec,
        .st_atime_nsec = s.atime.nsec,
        .st_mtime = s.mtime.sec,
        .st_mtime_nsec = s.mtime.nsec,
        .st_ctime = s.ctime.sec,
        .st_ctime_nsec = s.ctime.nsec,
    };
    return copy_to_user(buf, &out, sizeof(out));
}

/* The inode that (dirfd, name, flags) means, for stat and statx: a reference. */
static int stat_lookup(int dirfd, uvaddr_t name, unsigned flags, struct inode **out)
{
    char first = 0;
    if (flags & AT_EMPTY_PATH && dirfd >= 0 &&
        (!name || (copy_from_user(&first, name, 1) == 0 && first == 0))) {
        FD_GUARD(f, dirfd);
        if (!f.file)
            return -EBADF;
        *out = f.file->inode;
        inode_ref(*out);
        return 0;
    }
    PATH_GUARD(path);
    int r = at_lookup(dirfd, name, flags, true, &path);
    if (r < 0)
        return r;
    *out = path.dentry->inode;
    inode_ref(*out);
    return 0;
}

long sys_newfstatat(int dirfd, uvaddr_t name, uvaddr_t buf, unsigned flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
        return -EINVAL;
    struct inode *inode;
    long r = stat_lookup(dirfd, name, flags, &inode);
    if (r < 0)
        return r;
    r = put_stat(buf, inode);
    inode_put(inode);
    return r;
}

long sys_fstat(int fd, uvaddr_t buf)
{
    FD_GUARD(f, fd);
    return f.file ? put_stat(buf, f.file->inode) : -EBADF;
}

static struct statx_timestamp statx_time(struct inode_time t)
{
    return (struct statx_timestamp){.tv_sec = t.sec, .tv_nsec = t.nsec};
}

/* Device numbers in Linux's split of a 64-bit dev_t: 12 bits of major above 8 + 12 of minor. */
static u32 dev_major(u64 dev)
{
    return dev >> 8 & 0xfff;
}
static u32 dev_minor(u64 dev)
{
    return (dev & 0xff) | (dev >> 12 & 0xfff00);
}

long sys_statx(int dirfd, uvaddr_t name, unsigned flags, unsigned mask, uvaddr_t buf)
{
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE)) ||
        (mask & STATX__RESERVED))
        return -EINVAL;
    struct inode *inode;
    struct inode_stat s;
    long r = stat_lookup(dirfd, name, flags, &inode);
    if (r < 0)
        return r;
    r = inode_stat(inode, &s);
    inode_put(inode);
    if (r < 0)
        return r;
    struct statx out = {
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = s.block_size,
        .stx_nlink = s.nlink,
        .stx_uid = s.uid,
        .stx_gid = s.gid,
        .stx_mode = s.mode,
        .stx_ino = s.ino,
        .stx_size = s.size,
        .stx_blocks = s.blocks,
        .stx_atime = statx_time(s.atime),
        .stx_mtime = statx_time(s.mtime),
        .stx_ctime = statx_time(s.ctime),
        .stx_rdev_major = dev_major(s.rdev),
        .stx_rdev_minor = dev_minor(s.rdev),
        .stx_dev_major = dev_major(s.dev),
        .stx_dev_minor = dev_minor(s.dev),
    };
    return copy_to_user(buf, &out, sizeof(out));
}

long sys_statfs(uvaddr_t name, uvaddr_t buf)
{
    PATH_GUARD(path);
    struct statfs out;
    int r = at_lookup(AT_FDCWD, name, 0, true, &path);
    if (r == 0)
        r = vfs_statfs(&path, &out);
    return r < 0 ? r : copy_to_user(buf, &out, sizeof(out));
}

long sys_fstatfs(int fd, uvaddr_t buf)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    struct super *sb = f.file->inode->super;
    struct statfs out;
    memset(&out, 0, sizeof(out));
    if (!sb->ops->statfs)
        return -ENOSYS;
    int r = sb->ops->statfs(sb, &out);
    return r < 0 ? r : copy_to_user(buf, &out, sizeof(out));
}

long sys_readlinkat(int dirfd, uvaddr_t name, uvaddr_t buf, int size)
{
    if (size <= 0)
        return -EINVAL;
    PATH_GUARD(path);
    int r = at_lookup(dirfd, name, AT_EMPTY_PATH, false, &path);
    if (r < 0)
        return r;
    char *target = kmalloc(PAGE_SIZE, 0);
    if (!target)
        return -ENOMEM;
    ssize_t n = vfs_readlink(&path, target, MIN((size_t)size, PAGE_SIZE));
    if (n > 0 && copy_to_user(buf, target, n) < 0)
        n = -EFAULT;
    kfree(target);
    return n;
}

/* ---- permissions, owners, times ---- */

/*
 * access(2) asks for the real ids: it runs with a copy of the credentials in which they stand where
 * permission checks look.
 */
static int access_as_real_user(const struct path *path, unsigned mask)
{
    struct thread *self = thread_self();
    struct cred *own = self->cred, *real = cred_copy(own);
    if (!real)
        return -ENOMEM;
    real->fsuid = own->uid;
    real->fsgid = own->gid;
    real->cap_effective = own->uid == 0 ? own->cap_permitted : 0;
    self->cred = real;
    int r = vfs_access(path, mask);
    self->cred = own;
    cred_put(real);
    return r;
}

long sys_faccessat2(int dirfd, uvaddr_t name, unsigned mode, unsigned flags)
{
    if ((mode & ~7u) || (flags & ~(AT_EACCESS_ | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -EINVAL;
    PATH_GUARD(path);
    int r = at_lookup(dirfd, name, flags & ~AT_EACCESS_, true, &path);
    if (r < 0)
        return r;
    if (mode == 0)
        return 0;
    return flags & AT_EACCESS_ ? vfs_access(&path, mode) : access_as_real_user(&path, mode);
}

long sys_faccessat(int dirfd, uvaddr_t name, unsigned mode)
{
    return sys_faccessat2(dirfd, name, mode, 0);
}

/* Applies @attr to an open file, by its path or directly for files without one. */
static int setattr_fd(int fd, struct inode_attr *attr)
{
    FD_GUARD(f, fd);
    if (!f.file || (f.file->flags & O_PATH))
        return -EBADF;
    PATH_GUARD(path);
    int r = file_path(f.file, &path);
    return r < 0 ? r : vfs_setattr(&path, attr);
}

static long chmod_at(int dirfd, uvaddr_t name, u32 mode, unsigned flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    PATH_GUARD(path);
    int r = at_lookup(dirfd, name, flags, true, &path);
    if (r < 0)
        return r;
    if (S_ISTYPE(path.dentry->inode, 0120000))
        return -EOPNOTSUPP;
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = mode & 07777};
    return vfs_setattr(&path, &attr);
}

long sys_fchmodat(int dirfd, uvaddr_t name, u32 mode)
{
    return chmod_at(dirfd, name, mode, 0);
}

long sys_fchmodat2(int dirfd, uvaddr_t name, u32 mode, unsigned flags)
{
    return chmod_at(dirfd, name, mode, flags);
}

long sys_fchmod(int fd, u32 mode)
{
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = mode & 07777};
    return setattr_fd(fd, &attr);
}

static struct inode_attr owner_attr(u32 uid, u32 gid)
{
    return (struct inode_attr){
        .valid = (uid != ~0u ? ATTR_UID : 0) | (gid != ~0u ? ATTR_GID : 0), .uid = uid, .gid = gid};
}

long sys_fchownat(int dirfd, uvaddr_t name, u32 uid, u32 gid, unsigned flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    PATH_GUARD(path);
    int r = at_lookup(dirfd, name, flags, true, &path);
    struct inode_attr attr = owner_attr(uid, gid);
    return r < 0 ? r : vfs_setattr(&path, &attr);
}

long sys_fchown(int fd, u32 uid, u32 gid)
{
    struct inode_attr attr = owner_attr(uid, gid);
    return setattr_fd(fd, &attr);
}

#define UTIME_NOW_  0x3fffffff
#define UTIME_OMIT_ 0x3ffffffe

/* One of utimensat's two times into *@out; its bit in @valid. */
static int utime_attr(const struct user_timespec *t, unsigned bit, struct inode_time *out,
                      unsigned *valid)
{
    if (t->nsec == UTIME_OMIT_)
        return 0;
    *valid |= bit;
    if (t->nsec == UTIME_NOW_) {
        *out = inode_time_now();
        return 0;
    }
    if (t->nsec < 0 || t->nsec >= (s64)NSEC_PER_SEC)
        return -EINVAL;
    *out = (struct inode_time){t->sec, t->nsec};
    return 0;
}

long sys_utimensat(int dirfd, uvaddr_t name, uvaddr_t times, unsigned flags)
{
    struct user_timespec t[2] = {{0, UTIME_NOW_}, {0, UTIME_NOW_}};
    struct inode_attr attr = {0};
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (times && copy_from_user(t, times, sizeof(t)) < 0)
        return -EFAULT;
    int r = utime_attr(&t[0], ATTR_ATIME, &attr.atime, &attr.valid);
    if (r == 0)
        r = utime_attr(&t[1], ATTR_MTIME, &attr.mtime, &attr.valid);
    if (r < 0)
        return r;
    /* "Now" for both is open to whoever may write; chosen times are the owner's. */
    if (t[0].nsec == UTIME_NOW_ && t[1].nsec == UTIME_NOW_)
        attr.valid |= ATTR_TOUCH;
    if (!name)
        return setattr_fd(dirfd, &attr);
    PATH_GUARD(path);
    r = at_lookup(dirfd, name, flags, true, &path);
    if (r < 0 || !attr.valid)
        return r;
    return vfs_setattr(&path, &attr);
}

long sys_truncate(uvaddr_t name, s64 size)
{
    if (size < 0)
        return -EINVAL;
    PATH_GUARD(path);
    int r = at_lookup(AT_FDCWD, name, 0, true, &path);
    return r < 0 ? r : vfs_truncate(&path, size);
}

/* ---- making and removing names ---- */

long sys_mkdirat(int dirfd, uvaddr_t addr, u32 mode)
{
    USER_NAME(name, addr);
    if (name_error)
        return name_error;
    AT_DIR(dir, dirfd, name.s);
    return dir_error ? dir_error : vfs_mkdir(dir.base, name.s, mode & 01777 & ~current_umask());
}

long sys_mknodat(int dirfd, uvaddr_t addr, u32 mode, u32 dev)
{
    USER_NAME(name, addr);
    if (name_error)
        return name_error;
    AT_DIR(dir, dirfd, name.s);
    return dir_error ? dir_error : vfs_mknod(dir.base, name.s, mode & ~current_umask(), dev);
}

long sys_symlinkat(uvaddr_t target_addr, int dirfd, uvaddr_t addr)
{
    USER_NAME(target, target_addr);
    if (target_error)
        return target_error;
    USER_NAME(name, addr);
    if (name_error)
        return name_error;
    AT_DIR(dir, dirfd, name.s);
    return dir_error ? dir_error : vfs_symlink(target.s, dir.base, name.s);
}

long sys_linkat(int olddir, uvaddr_t oldname, int newdir, uvaddr_t newname, unsigned flags)
{
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    USER_NAME(from, oldname);
    if (from_error)
        return from_error;
    USER_NAME(to, newname);
    if (to_error)
        return to_error;
    AT_DIR(from_dir, olddir, from.s);
    if (from_dir_error)
        return from_dir_error;
    AT_DIR(to_dir, newdir, to.s);
    if (to_dir_error)
        return to_dir_error;
    return vfs_link(from_dir.base, from.s, to_dir.base, to.s, flags & AT_SYMLINK_FOLLOW);
}

long sys_unlinkat(int dirfd, uvaddr_t addr, unsigned flags)
{
    if (flags & ~AT_REMOVEDIR_)
        return -EINVAL;
    USER_NAME(name, addr);
    if (name_error)
        return name_error;
    AT_DIR(dir, dirfd, name.s);
    return dir_error ? dir_error : vfs_unlink(dir.base, name.s, flags & AT_REMOVEDIR_);
}

long sys_renameat2(int olddir, uvaddr_t oldname, int newdir, uvaddr_t newname, unsigned flags)
{
    USER_NAME(from, oldname);
    if (from_error)
        return from_error;
    USER_NAME(to, newname);
    if (to_error)
        return to_error;
    AT_DIR(from_dir, olddir, from.s);
    if (from_dir_error)
        return from_dir_error;
    AT_DIR(to_dir, newdir, to.s);
    if (to_dir_error)
        return to_dir_error;
    return vfs_rename(from_dir.base, from.s, to_dir.base, to.s, flags);
}

/* ---- working directory, root, mounts ---- */

long sys_getcwd(uvaddr_t buf, u64 size)
{
    char *page = kmalloc(PAGE_SIZE, 0);
    if (!page)
        return -ENOMEM;
    PATH_GUARD(cwd);
    fs_context_get_cwd(thread_self()->fs, &cwd);
    int error = 0;
    char *name = path_name(&cwd, page, PAGE_SIZE, &error);
    long r = error;
    if (name) {
        size_t len = strlen(name) + 1;
        if (dentry_is_deleted(cwd.dentry))
            r = -ENOENT;
        else if (len > size)
            r = -ERANGE;
        else
            r = copy_to_user(buf, name, len) < 0 ? -EFAULT : (long)len;
    }
    kfree(page);
    return r;
}

static int set_cwd(const struct path *path)
{
    if (!S_ISTYPE(path->dentry->inode, 0040000))
        return -ENOTDIR;
    int r = inode_permission(path->dentry->inode, MAY_EXEC);
    if (r == 0)
        fs_context_set_cwd(thread_self()->fs, path);
    return r;
}

long sys_chdir(uvaddr_t name)
{
    PATH_GUARD(path);
    int r = at_lookup(AT_FDCWD, name, 0, true, &path);
    return r < 0 ? r : set_cwd(&path);
}

long sys_fchdir(int fd)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    PATH_GUARD(path);
    return file_path(f.file, &path) < 0 ? -ENOTDIR : set_cwd(&path);
}

long sys_chroot(uvaddr_t name)
{
    PATH_GUARD(path);
    int r = at_lookup(AT_FDCWD, name, 0, true, &path);
    if (r < 0)
        return r;
    if (!S_ISTYPE(path.dentry->inode, 0040000))
        return -ENOTDIR;
    r = inode_permission(path.dentry->inode, MAY_EXEC);
    if (r < 0)
        return r;
    if (!capable(CAP_SYS_CHROOT))
        return -EPERM;
    fs_context_set_root(thread_self()->fs, &path);
    return 0;
}

long sys_umask(u32 mask)
{
    return atomic_swap(&thread_self()->fs->umask, mask & 0777);
}

/* Kinds of mounting that are not built: moving, propagation types. */
#define MOUNT_UNSUPPORTED (MS_MOVE)
#define MOUNT_PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

long sys_mount(uvaddr_t source, uvaddr_t target, uvaddr_t type, u64 flags, uvaddr_t data)
{
    char fstype[32] = "", from[64] = "", options[256] = "";
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if ((type && copy_string_from_user(fstype, type, sizeof(fstype)) == -EFAULT) ||
        (source && copy_string_from_user(from, source, sizeof(from)) == -EFAULT) ||
        (data && copy_string_from_user(options, data, sizeof(options)) == -EFAULT))
        return -EFAULT;
    fstype[sizeof(fstype) - 1] = from[sizeof(from) - 1] = options[sizeof(options) - 1] = 0;
    PATH_GUARD(at);
    int r = at_lookup(AT_FDCWD, target, 0, true, &at);
    if (r < 0)
        return r;
    if (flags & MOUNT_UNSUPPORTED)
        return -EOPNOTSUPP;
    if (flags & MOUNT_PROPAGATION) /* there is one name space: every mount is private in it */
        return flags & MS_PRIVATE ? 0 : -EOPNOTSUPP;
    if (flags & MS_REMOUNT)
        return vfs_remount(&at, flags, options);
    if (flags & MS_BIND) {
        PATH_GUARD(what);
        r = at_lookup(AT_FDCWD, source, 0, true, &what);
        return r < 0 ? r : vfs_bind_mount(&what, &at);
    }
    return vfs_mount(source ? from : NULL, &at, fstype, flags, options);
}

#define UMOUNT_FLAGS (1 | 2 | 4 | 8) /* FORCE DETACH EXPIRE NOFOLLOW */

long sys_umount2(uvaddr_t target, unsigned flags)
{
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (flags & ~UMOUNT_FLAGS)
        return -EINVAL;
    PATH_GUARD(at);
    int r = at_lookup(AT_FDCWD, target, 0, !(flags & 8), &at);
    return r < 0 ? r : vfs_umount(&at, flags);
}
