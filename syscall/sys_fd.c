/* Descriptors: open, close, duplicate, control. */
#include "core/poll.h"
#include "fs/pipe.h"
#include "fs/tmpfs.h"
#include "proc/clone.h"
#include "syscall/syscall_priv.h"

#include <linux/close_range.h>

long sys_openat(int dirfd, uvaddr_t addr, unsigned flags, u32 mode)
{
    USER_NAME(name, addr);
    if (name_error)
        return name_error;
    AT_DIR(dir, dirfd, name.s);
    if (dir_error)
        return dir_error;
    struct file *file;
    int r = file_open(dir.base, name.s, flags, mode & 07777 & ~current_umask(), &file);
    return r < 0 ? r : fd_open(file, flags);
}

long sys_close(int fd)
{
    return fd_close(fd);
}

long sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
        return -EINVAL;
    if (flags & CLOSE_RANGE_UNSHARE) {
        int r = process_unshare(0x400); /* CLONE_FILES */
        if (r < 0)
            return r;
    }
    return fd_close_range(first, last, flags & CLOSE_RANGE_CLOEXEC);
}

long sys_dup(int fd)
{
    return fd_dup(fd, 0, false);
}

long sys_dup3(int fd, int to, unsigned flags)
{
    if ((flags & ~O_CLOEXEC) || fd == to)
        return -EINVAL;
    return fd_dup_to(fd, to, flags & O_CLOEXEC);
}

long sys_pipe2(uvaddr_t fds, unsigned flags)
{
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    struct file *end[2];
    int r = pipe_create(flags, &end[0], &end[1]);
    if (r < 0)
        return r;
    int fd[2] = {fd_open(end[0], flags), -1};
    if (fd[0] < 0) {
        file_put(end[1]);
        return fd[0];
    }
    fd[1] = fd_open(end[1], flags);
    r = fd[1] < 0 ? fd[1] : copy_to_user(fds, fd, sizeof(fd));
    if (r < 0) {
        fd_close(fd[0]);
        if (fd[1] >= 0)
            fd_close(fd[1]);
    }
    return r;
}

/* The status flags that F_SETFL may change. */
#define SETFL_FLAGS (O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT)

static void set_status_flags(struct file *f, unsigned flags)
{
    unsigned old = READ_ONCE(f->flags);
    while (!atomic_cas(&f->flags, &old, (old & ~SETFL_FLAGS) | (flags & SETFL_FLAGS)))
        ;
}

static long fcntl_lock(struct file *f, unsigned cmd, uvaddr_t arg)
{
    struct flock fl;
    if (copy_from_user(&fl, arg, sizeof(fl)) < 0)
        return -EFAULT;
    int r = flock_fcntl(f, cmd, &fl, fdtable_current(), process_self()->pid);
    if (r == 0 && (cmd == F_GETLK || cmd == F_OFD_GETLK))
        r = copy_to_user(arg, &fl, sizeof(fl));
    return r;
}

static long fcntl_file(struct file *f, unsigned cmd, u64 arg)
{
    switch (cmd) {
    case F_GETFL:
        return READ_ONCE(f->flags) & ~(O_CLOEXEC | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC);
    case F_SETFL:
        if ((arg ^ f->flags) & arg & O_DIRECT)
            return -EINVAL;
        set_status_flags(f, arg);
        return 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_lock(f, cmd, arg);
    case F_GETOWN:
        return f->owner_pid;
    case F_ADD_SEALS:
        return memfd_add_seals(f, arg);
    case F_GET_SEALS:
        return memfd_get_seals(f);
    case F_SETPIPE_SZ:
        return pipe_set_size(f, arg);
    case F_GETPIPE_SZ:
        return pipe_get_size(f);
    default:
        return -EINVAL;
    }
}

long sys_fcntl(int fd, unsigned cmd, u64 arg)
{
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return arg > INT32_MAX ? -EINVAL : fd_dup(fd, arg, cmd == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return fd_cloexec_get(fd);
    case F_SETFD:
        return fd_cloexec_set(fd, arg & FD_CLOEXEC);
    }
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    if ((f.file->flags & O_PATH) && cmd != F_GETFL)
        return -EBADF;
    return fcntl_file(f.file, cmd, arg);
}

/* <asm-generic/ioctls.h>: the ioctls every descriptor has. */
#define FIONBIO  0x5421
#define FIONCLEX 0x5450
#define FIOCLEX  0x5451

long sys_ioctl(int fd, unsigned cmd, u64 arg)
{
    FD_GUARD(f, fd);
    if (!f.file || (f.file->flags & O_PATH))
        return -EBADF;
    int on;
    switch (cmd) {
    case FIOCLEX:
        return fd_cloexec_set(fd, true);
    case FIONCLEX:
        return fd_cloexec_set(fd, false);
    case FIONBIO:
        if (copy_from_user(&on, arg, sizeof(on)) < 0)
            return -EFAULT;
        set_status_flags(f.file, on ? f.file->flags | O_NONBLOCK : f.file->flags & ~O_NONBLOCK);
        return 0;
    default:
        return file_ioctl(f.file, cmd, arg);
    }
}

long sys_flock(int fd, int operation)
{
    FD_GUARD(f, fd);
    return f.file ? flock_flock(f.file, operation) : -EBADF;
}
