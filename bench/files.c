/* Bulk file I/O out of and into the page cache, and directory entries. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BULK (1024 * 1024)

static char bulk[BULK] __attribute__((aligned(4096)));

int make_file(const char *name, size_t size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return -1;
    memset(bulk, 'x', sizeof(bulk));
    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof(bulk) ? size - done : sizeof(bulk);
        ssize_t n = write(fd, bulk, part);
        if (n <= 0) {
            close(fd);
            unlink(name);
            return -1;
        }
        done += (size_t)n;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int file_read(struct run *r)
{
    int fd = make_file("bulk", BULK);
    if (fd < 0)
        return -1;
    COUNT(r, 4, if (pread(fd, bulk, BULK, 0) != BULK) break);
    close(fd);
    return unlink("bulk");
}

static int file_write(struct run *r)
{
    int fd = make_file("bulk", BULK);
    if (fd < 0)
        return -1;
    COUNT(r, 4, if (pwrite(fd, bulk, BULK, 0) != BULK) break);
    close(fd);
    return unlink("bulk");
}

static int file_fill(struct run *r)
{
    int fd = make_file("bulk", 0);
    if (fd < 0)
        return -1;
    COUNT(r, 4, if (pwrite(fd, bulk, BULK, 0) != BULK || ftruncate(fd, 0) != 0) break);
    close(fd);
    return unlink("bulk");
}

static int create_unlink_at(struct run *r, const char *name)
{
    int fd = make_file(name, 0);
    if (fd < 0 || close(fd) != 0 || unlink(name) != 0)
        return -1;
    COUNT(r, 200, close(open(name, O_WRONLY | O_CREAT | O_EXCL, 0600)); unlink(name));
    return 0;
}

static int create_file(struct run *r)
{
    return create_unlink_at(r, "new");
}

static int create_tmpfs(struct run *r)
{
    return need_tmpfs() ? -1 : create_unlink_at(r, "tmpfs/new");
}

const struct row file_rows[] = {
    {"file-read", "read 1 MiB of a cached file", file_read},
    {"file-write", "write 1 MiB over a cached file", file_write},
    {"file-fill", "write 1 MiB into an empty file, truncate it again", file_fill},
    {"create", "create, close, unlink", create_file},
    {"create-tmpfs", "create, close, unlink in tmpfs", create_tmpfs},
    {NULL, NULL, NULL},
};
