/*
 * File descriptor tables: a growing array of open files, a bitmap of used numbers (the lowest free
 * one is found by words), and a bitmap of the close-on-exec ones.
 *
 * Locks: fdtable->lock (spin) guards everything but ->refs. A table that only the calling thread
 * uses (refs == 1) is read without it: nobody else could close a file in it, others (/proc) only
 * look, under the lock. fd_get() then costs a bounds check and a load and takes no reference.
 */
#pragma once

#include "core/spinlock.h"
#include "fs/vfs.h"

struct fdtable {
    s32 refs; /* atomic: threads that use it (CLONE_FILES), and transient readers */
    struct spinlock lock;
    u32 capacity;  /* slots in files[], a multiple of 64 */
    u32 next_hint; /* no number below it is free */
    struct file **files;
    u64 *used; /* number is open, or reserved (files[] still NULL) */
    u64 *cloexec;
};

/* A file got from a descriptor; given back with fd_put(). */
struct fd_ref {
    struct file *file; /* NULL: bad descriptor */
    bool counted;      /* a reference was taken: the table is shared */
};

/* An empty table with one reference; NULL: out of memory. */
struct fdtable *fdtable_create(void);
/* Private copy with one reference (fork; unshare): every file gets one reference more.
 * Reserved numbers are not copied. NULL: out of memory. => May sleep. */
struct fdtable *fdtable_copy(struct fdtable *from);
static inline void fdtable_get(struct fdtable *t)
{
    atomic_add_relaxed(&t->refs, 1);
}
/* The last reference closes every file. => May sleep. */
void fdtable_put(struct fdtable *t);
/* exec: closes what is marked close-on-exec. => May sleep. */
void fdtable_close_on_exec(struct fdtable *t);

/* The calling thread's table. */
struct fdtable *fdtable_current(void);

struct fd_ref fd_get_shared(struct fdtable *t, unsigned fd); /* slow half of fd_get_from() */

/* The file open as @fd in @t, the caller's own table; .file is NULL when there is none (EBADF). */
static inline struct fd_ref fd_get_from(struct fdtable *t, unsigned fd)
{
    if (likely(READ_ONCE(t->refs) == 1))
        return (struct fd_ref){.file = fd < t->capacity ? t->files[fd] : NULL};
    return fd_get_shared(t, fd);
}
static inline struct fd_ref fd_get(int fd)
{
    return fd_get_from(fdtable_current(), (unsigned)fd);
}
static inline void fd_put(struct fd_ref ref)
{
    if (unlikely(ref.counted))
        file_put(ref.file);
}
static inline void fd_guard_release(struct fd_ref *ref)
{
    fd_put(*ref);
}
/* Scoped: FD_GUARD(f, fd); if (!f.file) return -EBADF; ... */
#define FD_GUARD(name, fd) struct fd_ref name __cleanup(fd_guard_release) = fd_get(fd)

/* File at @fd of any table, with a reference of its own; NULL when none (/proc/PID/fd). */
struct file *fdtable_file(struct fdtable *t, unsigned fd);
/* First open number >= @from in @t, -ENOENT behind the last. */
int fdtable_next(struct fdtable *t, unsigned from);

/*
 * Reserves the lowest free number >= @from below RLIMIT_NOFILE. It becomes visible with
 * fd_install(), or is returned with fd_release(). Returns the number, -EMFILE, -ENOMEM, -EINVAL
 * (@from beyond the limit).
 */
int fd_reserve(unsigned from, bool cloexec);
void fd_install(int fd, struct file *file); /* takes over the caller's reference */
void fd_release(int fd);
/*
 * Reserve and install. On success the caller's reference to @file has moved into the table; on
 * failure it is dropped (so `return fd_open(file, ...)` leaks nothing). @flags: O_CLOEXEC counts.
 */
int fd_open(struct file *file, unsigned flags);
/* close(2). 0, -EBADF. => May sleep. */
int fd_close(int fd);
/* close_range(2) on [first, last]; @cloexec: mark instead of closing. => May sleep. */
int fd_close_range(unsigned first, unsigned last, bool cloexec);
/* dup(2) and F_DUPFD: lowest number >= @from. Number, -EBADF, -EMFILE, -EINVAL, -ENOMEM. */
int fd_dup(int fd, unsigned from, bool cloexec);
/* dup3(2), old != new: @to is closed first, atomically. @to, -EBADF, -EMFILE, -EBUSY, -ENOMEM. */
int fd_dup_to(int fd, int to, bool cloexec);
/* F_GETFD (0 or 1, -EBADF) and F_SETFD (0, -EBADF). */
int fd_cloexec_get(int fd);
int fd_cloexec_set(int fd, bool cloexec);

/* Boot. */
void fdtable_init(void);
