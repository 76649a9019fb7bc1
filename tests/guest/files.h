/* What the programs about files share, on top of check.h. */
#pragma once

#include "check.h"
#include <dirent.h>
#include <grp.h>

#define OTHER_ID 1000 /* a user and group that owns nothing */

static UNUSED struct stat lstat_of(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        FAIL("lstat %s: %m", path);
    return st;
}
#define MODE_OF(path)  (lstat_of(path).st_mode)
#define LINKS_OF(path) (lstat_of(path).st_nlink)
#define INODE_OF(path) (lstat_of(path).st_ino)
#define SIZE_OF(path)  (lstat_of(path).st_size)

static inline bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Creates or overwrites @path with @text. */
static UNUSED void put(const char *path, const char *text)
{
    int fd = OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    OK(close(fd));
}

#define HAS(path, text)                                                               \
    do {                                                                              \
        const char *c_ = contents(path);                                              \
        if (strcmp(c_, text) != 0)                                                    \
            FAIL("%s holds \"%s\", expected \"%s\"", path, c_, (const char *)(text)); \
    } while (0)

static UNUSED int renameat2_(const char *from, const char *to, unsigned flags)
{
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

/* Runs @body in a child without privileges and waits for it. */
static UNUSED void as_other(void (*body)(void))
{
    if (geteuid() != 0)
        SKIP("needs root");
    pid_t child = FORK();
    if (child == 0) {
        OK(setgroups(0, NULL));
        OK(setresgid(OTHER_ID, OTHER_ID, OTHER_ID));
        OK(setresuid(OTHER_ID, OTHER_ID, OTHER_ID));
        body();
        _exit(0);
    }
    JOIN(child);
}

/* Removes all @path holds and @path itself. */
static UNUSED void remove_tree(const char *path)
{
    OK(nftw(path, remove_one, 20, FTW_DEPTH | FTW_PHYS));
}
