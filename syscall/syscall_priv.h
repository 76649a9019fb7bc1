/*
 * The system-call layer: fetch arguments, check what is the call's own to check, call one kernel
 * function, return. No policy. Prototypes of all calls stand in calls.h, the list of them in
 * list.h.
 */
#pragma once

#include <linux/fcntl.h>

#include "core/errno.h"
#include "fs/vfs.h"
#include "mm/aspace.h"
#include "mm/slab.h"
#include "mm/usercopy.h"
#include "proc/fdtable.h"
#include "proc/process.h"
#include "syscall/calls.h"

/* A path name or other string out of user memory; short ones need no allocation. */
struct user_name {
    char *s;
    char small[120];
};
#define NAME_BUFFER 4096
/* 0, -EFAULT, -ENAMETOOLONG, -ENOMEM. Scoped: USER_NAME(n, addr); if (n_error) return n_error; */
int user_name_get(struct user_name *n, uvaddr_t addr);
void user_name_put(struct user_name *n);
#define USER_NAME(n, addr)                             \
    struct user_name n __cleanup(user_name_put) = {0}; \
    const int n##_error = user_name_get(&n, addr)

/* Where a relative name starts: the descriptor's path, or the working directory. */
struct at_dir {
    struct fd_ref ref;
    struct path path;
    const struct path *base; /* NULL: working directory */
};
/* @name decides whether @dirfd is needed at all. 0, -EBADF, -ENOTDIR. */
int at_dir_get(struct at_dir *d, int dirfd, const char *name);
void at_dir_put(struct at_dir *d);
#define AT_DIR(d, dirfd, name)                   \
    struct at_dir d __cleanup(at_dir_put) = {0}; \
    const int d##_error = at_dir_get(&d, dirfd, name)

/* The path that (@dirfd, @addr, AT_* @flags) names, with references. @follow: the default for a
 * symbolic link in the last component. */
int at_lookup(int dirfd, uvaddr_t addr, unsigned flags, bool follow, struct path *out);
static inline void path_guard_release(struct path *p)
{
    path_put(p);
}
#define PATH_GUARD(p) struct path p __cleanup(path_guard_release) = {0}

/* struct timespec of 64-bit fields, as all riscv64 calls pass it. */
struct user_timespec {
    s64 sec, nsec;
};
struct user_timeval {
    s64 sec, usec;
};
/* 0, -EFAULT, -EINVAL (negative, or nanoseconds out of range). */
int timespec_get(uvaddr_t addr, u64 *ns);
int timespec_put(uvaddr_t addr, u64 ns);
/* A relative timeout as a deadline in time_ns(); @addr 0: TIME_NEVER. */
int deadline_get(uvaddr_t addr, u64 *deadline);

/* Scatter/gather list from user memory. 0, -EINVAL, -EFAULT, -ENOMEM. */
struct user_iov {
    struct uio uio;
    struct uio_vec *vec;
    struct uio_vec small[8];
};
int user_iov_get(struct user_iov *v, uvaddr_t addr, u64 count);
void user_iov_put(struct user_iov *v);
#define USER_IOV(v, addr, count)                     \
    struct user_iov v __cleanup(user_iov_put) = {0}; \
    const int v##_error = user_iov_get(&v, addr, count)

/* A signal mask argument of ppoll and the like: 0 when absent. 0, -EINVAL (size), -EFAULT. */
int sigset_get(uvaddr_t addr, u64 size, u64 *out);

/* The whole current-process RLIMIT_DATA etc. go to the address space when they change. */
static inline u32 current_umask(void)
{
    return thread_self()->fs->umask;
}
