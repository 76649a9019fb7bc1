/* Reading, writing and moving data between descriptors. */
#include "core/poll.h"
#include "lib/string.h"
#include "syscall/syscall_priv.h"

/* One transfer is at most this long, as on Linux. */
#define RW_MAX             (INT32_MAX & PAGE_MASK)
/* One readahead(2) starts at most this much. */
#define READAHEAD_CALL_MAX (2UL << 20)

/* A write that found its pipe or socket closed also raises SIGPIPE. */
static long written(long r)
{
    if (unlikely(r == -EPIPE))
        signal_kernel_thread(uthread_self(), SIGPIPE);
    return r;
}

/* @pos NULL: the file's own offset, if it has one. */
static long do_read(struct file *f, struct uio *uio, loff_t *pos)
{
    if (!FILE_READABLE(f))
        return -EBADF;
    return file_read(f, uio, pos);
}

static long do_write(struct file *f, struct uio *uio, loff_t *pos)
{
    if (!FILE_WRITABLE(f))
        return -EBADF;
    return written(file_write(f, uio, pos));
}

/*
 * One user buffer. The whole of it must lie in user space, also what is beyond the longest
 * transfer. 0, -EFAULT.
 */
static int user_buffer(struct uio *uio, struct uio_vec *vec, uvaddr_t buf, u64 n)
{
    if (unlikely(buf > USER_TOP || n > USER_TOP - buf))
        return -EFAULT;
    uio_init_user(uio, vec, buf, MIN(n, (u64)RW_MAX));
    return 0;
}

long sys_read(int fd, uvaddr_t buf, u64 n)
{
    FD_GUARD(f, fd);
    if (unlikely(!f.file))
        return -EBADF;
    struct uio uio;
    struct uio_vec vec;
    int bad = user_buffer(&uio, &vec, buf, n);
    return bad ? bad : do_read(f.file, &uio, NULL);
}

long sys_write(int fd, uvaddr_t buf, u64 n)
{
    FD_GUARD(f, fd);
    if (unlikely(!f.file))
        return -EBADF;
    struct uio uio;
    struct uio_vec vec;
    int bad = user_buffer(&uio, &vec, buf, n);
    return bad ? bad : do_write(f.file, &uio, NULL);
}

long sys_readv(int fd, uvaddr_t iov, u64 count)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    USER_IOV(v, iov, count);
    return v_error ? v_error : do_read(f.file, &v.uio, NULL);
}

long sys_writev(int fd, uvaddr_t iov, u64 count)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    USER_IOV(v, iov, count);
    return v_error ? v_error : do_write(f.file, &v.uio, NULL);
}

/* The pread family: a position of its own, on files that have positions. */
static int check_position(struct file *f, s64 pos)
{
    if (!f)
        return -EBADF;
    if (pos < 0)
        return -EINVAL;
    return f->has_pos ? 0 : -ESPIPE;
}

long sys_pread64(int fd, uvaddr_t buf, u64 n, s64 pos)
{
    FD_GUARD(f, fd);
    int r = check_position(f.file, pos);
    if (r < 0)
        return r;
    struct uio uio;
    struct uio_vec vec;
    int bad = user_buffer(&uio, &vec, buf, n);
    return bad ? bad : do_read(f.file, &uio, &pos);
}

long sys_pwrite64(int fd, uvaddr_t buf, u64 n, s64 pos)
{
    FD_GUARD(f, fd);
    int r = check_position(f.file, pos);
    if (r < 0)
        return r;
    struct uio uio;
    struct uio_vec vec;
    int bad = user_buffer(&uio, &vec, buf, n);
    return bad ? bad : do_write(f.file, &uio, &pos);
}

long sys_preadv(int fd, uvaddr_t iov, u64 count, s64 pos)
{
    FD_GUARD(f, fd);
    int r = check_position(f.file, pos);
    if (r < 0)
        return r;
    USER_IOV(v, iov, count);
    return v_error ? v_error : do_read(f.file, &v.uio, &pos);
}

long sys_pwritev(int fd, uvaddr_t iov, u64 count, s64 pos)
{
    FD_GUARD(f, fd);
    int r = check_position(f.file, pos);
    if (r < 0)
        return r;
    USER_IOV(v, iov, count);
    return v_error ? v_error : do_write(f.file, &v.uio, &pos);
}

/*
 * Moves up to @n bytes from @in at @in_pos to @out at @out_pos through a kernel buffer. Returns
 * bytes moved, or the first error when there were none. What was read but could not be written is
 * not taken from @in.
 */
static long move_data(struct file *in, loff_t *in_pos, struct file *out, loff_t *out_pos, u64 n)
{
    const size_t size = 4 * PAGE_SIZE;
    char *buf = kmalloc(size, 0);
    if (!buf)
        return -ENOMEM;
    long done = 0, r = 0;
    while (done < (long)n) {
        struct uio uio;
        struct uio_vec vec;
        loff_t at = *in_pos;
        uio_init_kernel(&uio, &vec, buf, MIN(size, n - done));
        r = file_read(in, &uio, &at);
        if (r <= 0)
            break;
        uio_init_kernel(&uio, &vec, buf, r);
        long got = r;
        r = written(file_write(out, &uio, out_pos));
        if (r < 0)
            break;
        *in_pos += r;
        done += r;
        if (r < got || signal_pending())
            break;
    }
    kfree(buf);
    return done ? done : r;
}

long sys_sendfile(int out, int in, uvaddr_t offset, u64 n)
{
    FD_GUARD(from, in);
    FD_GUARD(to, out);
    if (!from.file || !to.file || !FILE_READABLE(from.file) || !FILE_WRITABLE(to.file))
        return -EBADF;
    if (!S_ISTYPE(from.file->inode, 0100000))
        return -EINVAL;
    if (to.file->flags & O_APPEND)
        return -EINVAL;
    s64 pos = from.file->pos;
    if (offset && copy_from_user(&pos, offset, sizeof(pos)) < 0)
        return -EFAULT;
    if (pos < 0)
        return -EINVAL;
    long r = move_data(from.file, &pos, to.file, &to.file->pos, MIN(n, (u64)RW_MAX));
    if (r < 0)
        return r;
    if (!offset)
        from.file->pos = pos;
    else if (copy_to_user(offset, &pos, sizeof(pos)) < 0)
        return -EFAULT;
    return r;
}

/* A position argument of copy_file_range: the caller's variable, or the file's own. */
static int range_position(struct file *f, uvaddr_t addr, loff_t *pos)
{
    *pos = f->pos;
    if (addr && copy_from_user(pos, addr, sizeof(*pos)) < 0)
        return -EFAULT;
    return *pos < 0 ? -EINVAL : 0;
}

static int range_position_back(struct file *f, uvaddr_t addr, loff_t pos)
{
    if (addr)
        return copy_to_user(addr, &pos, sizeof(pos));
    f->pos = pos;
    return 0;
}

long sys_copy_file_range(int in, uvaddr_t in_pos, int out, uvaddr_t out_pos, u64 n, unsigned flags)
{
    FD_GUARD(from, in);
    FD_GUARD(to, out);
    if (!from.file || !to.file || !FILE_READABLE(from.file) || !FILE_WRITABLE(to.file) ||
        (to.file->flags & O_APPEND))
        return -EBADF;
    if (S_ISTYPE(from.file->inode, 0040000) || S_ISTYPE(to.file->inode, 0040000))
        return -EISDIR;
    if (flags || !S_ISTYPE(from.file->inode, 0100000) || !S_ISTYPE(to.file->inode, 0100000))
        return -EINVAL;
    loff_t from_at, to_at;
    int r = range_position(from.file, in_pos, &from_at);
    if (r == 0)
        r = range_position(to.file, out_pos, &to_at);
    if (r < 0)
        return r;
    n = MIN(n, (u64)RW_MAX);
    if (from.file->inode == to.file->inode && from_at < to_at + (loff_t)n &&
        to_at < from_at + (loff_t)n)
        return -EINVAL;
    long moved = move_data(from.file, &from_at, to.file, &to_at, n);
    if (moved < 0)
        return moved;
    if (range_position_back(from.file, in_pos, from_at) < 0 ||
        range_position_back(to.file, out_pos, to_at) < 0)
        return -EFAULT;
    return moved;
}

long sys_lseek(int fd, s64 offset, int whence)
{
    FD_GUARD(f, fd);
    return f.file ? file_seek(f.file, offset, whence) : -EBADF;
}

/* ---- directories ---- */

/* struct linux_dirent64, getdents64(2). */
struct dirent64 {
    u64 ino;
    s64 next; /* cookie of the entry behind this one */
    u16 length;
    u8 type;
    char name[];
};

struct dirent_buffer {
    struct dir_context ctx;
    char *buf;
    size_t used, size;
    struct dirent64 *last; /* its ->next is filled in when the next cookie is known */
    bool too_small;        /* not even one entry fits */
};

static bool emit_dirent(struct dir_context *ctx, const char *name, size_t len, u64 ino,
                        unsigned type)
{
    struct dirent_buffer *b = container_of(ctx, struct dirent_buffer, ctx);
    size_t length = ALIGN_UP(offsetof(struct dirent64, name) + len + 1, 8);
    if (b->used + length > b->size) {
        b->too_small = b->used == 0;
        return false;
    }
    if (b->last)
        b->last->next = ctx->pos;
    struct dirent64 *d = (struct dirent64 *)(b->buf + b->used);
    memset(d, 0, length);
    d->ino = ino;
    d->length = length;
    d->type = type;
    memcpy(d->name, name, len);
    b->last = d;
    b->used += length;
    return true;
}

long sys_getdents64(int fd, uvaddr_t buf, u64 size)
{
    FD_GUARD(f, fd);
    if (!f.file || !FILE_READABLE(f.file))
        return -EBADF;
    struct dirent_buffer b = {
        .ctx.emit = emit_dirent, .ctx.pos = f.file->pos, .size = MIN(size, 8 * PAGE_SIZE)};
    b.buf = kmalloc(MAX(b.size, (size_t)32), 0);
    if (!b.buf)
        return -ENOMEM;
    long r = file_readdir(f.file, &b.ctx);
    if (r == 0 && b.too_small)
        r = -EINVAL;
    if (r == 0 && b.last) {
        b.last->next = b.ctx.pos;
        r = copy_to_user(buf, b.buf, b.used);
    }
    if (r == 0) {
        f.file->pos = b.ctx.pos;
        r = b.used;
    }
    kfree(b.buf);
    return r;
}

/* ---- synchronization, advice ---- */

long sys_sync(void)
{
    vfs_sync(true);
    return 0;
}

long sys_syncfs(int fd)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    struct super *sb = f.file->inode->super;
    return sb && sb->ops->sync ? sb->ops->sync(sb, true) : 0;
}

long sys_fsync(int fd)
{
    FD_GUARD(f, fd);
    return f.file ? file_fsync(f.file, false) : -EBADF;
}

long sys_fdatasync(int fd)
{
    FD_GUARD(f, fd);
    return f.file ? file_fsync(f.file, true) : -EBADF;
}

long sys_ftruncate(int fd, s64 size)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    if (size < 0)
        return -EINVAL;
    return file_truncate(f.file, size);
}

long sys_fallocate(int fd, int mode, s64 offset, s64 len)
{
    FD_GUARD(f, fd);
    if (!f.file || !FILE_WRITABLE(f.file))
        return -EBADF;
    if (offset < 0 || len <= 0 || offset > INT64_MAX - len)
        return -EINVAL;
    return file_fallocate(f.file, mode, offset, len);
}

long sys_fadvise64(int fd, s64 offset, s64 len, int advice)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    if (!f.file->has_pos)
        return -ESPIPE;
    if (len < 0)
        return -EINVAL;
    struct readahead *ra = &f.file->readahead;
    switch (advice) {
    case 0: /* POSIX_FADV_NORMAL */
    case 2: /* POSIX_FADV_SEQUENTIAL */
        ra->max = READAHEAD_MAX;
        return 0;
    case 1: /* POSIX_FADV_RANDOM */
        ra->max = 0;
        return 0;
    case 3: /* POSIX_FADV_WILLNEED */
        return sys_readahead(fd, offset, len ? len : (s64)inode_size(f.file->inode) - offset);
    case 4: /* POSIX_FADV_DONTNEED */
        object_drop_clean(&f.file->inode->object, DIV_UP((u64)offset, PAGE_SIZE),
                          len ? ((u64)offset + len) / PAGE_SIZE - 1 : ~0UL);
        return 0;
    case 5: /* POSIX_FADV_NOREUSE */
        return 0;
    default:
        return -EINVAL;
    }
}

long sys_readahead(int fd, s64 offset, u64 count)
{
    FD_GUARD(f, fd);
    if (!f.file || !FILE_READABLE(f.file))
        return -EBADF;
    if (!S_ISTYPE(f.file->inode, 0100000) || offset < 0)
        return -EINVAL;
    u64 first = (u64)offset >> PAGE_SHIFT;
    object_readahead(&f.file->inode->object, first,
                     DIV_UP(MIN(count, READAHEAD_CALL_MAX), PAGE_SIZE));
    return 0;
}
