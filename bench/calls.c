/* System calls that neither sleep nor touch a page table, and signals to oneself. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int null_call(struct run *r)
{
    COUNT(r, 10000, syscall(SYS_getppid));
    return 0;
}

static int repeat_read(struct run *r, int fd)
{
    char byte;
    if (fd < 0)
        return -1;
    COUNT(r, 2000, if (read(fd, &byte, 1) != 1) break);
    return close(fd);
}

static int repeat_write(struct run *r, int fd)
{
    char byte = 'x';
    if (fd < 0)
        return -1;
    COUNT(r, 2000, if (write(fd, &byte, 1) != 1) break);
    return close(fd);
}

static int read_zero(struct run *r)
{
    return repeat_read(r, open("/dev/zero", O_RDONLY));
}

static int write_null(struct run *r)
{
    return repeat_write(r, open("/dev/null", O_WRONLY));
}

static int with_file(struct run *r, const char *name, int (*repeat)(struct run *r, int fd))
{
    int fd = make_file(name, 4096);
    int result = fd < 0 ? -1 : repeat(r, fd);
    unlink(name);
    return result;
}

static int read_file(struct run *r)
{
    return with_file(r, "bytes", repeat_read);
}

static int write_file(struct run *r)
{
    return with_file(r, "bytes", repeat_write);
}

static int read_tmpfs(struct run *r)
{
    return need_tmpfs() ? -1 : with_file(r, "tmpfs/bytes", repeat_read);
}

static int write_tmpfs(struct run *r)
{
    return need_tmpfs() ? -1 : with_file(r, "tmpfs/bytes", repeat_write);
}

static int stat_path(struct run *r)
{
    struct stat st;
    int fd = make_file("stat", 1);
    if (fd < 0)
        return -1;
    close(fd);
    COUNT(r, 1000, if (stat("stat", &st) != 0) break);
    return unlink("stat");
}

static int stat_deep(struct run *r)
{
    struct stat st;
    if (stat(bench_self, &st) != 0)
        return -1;
    COUNT(r, 1000, if (stat(bench_self, &st) != 0) break);
    return 0;
}

static int open_close(struct run *r)
{
    int fd = make_file("open", 1);
    if (fd < 0)
        return -1;
    close(fd);
    COUNT(r, 1000, close(open("open", O_RDONLY)));
    return unlink("open");
}

static int pipe_self(struct run *r)
{
    int fds[2];
    char byte = 'x';
    if (pipe(fds) != 0)
        return -1;
    COUNT(r, 1000, if (write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1) break);
    close(fds[0]);
    return close(fds[1]);
}

static volatile sig_atomic_t handled;

static void handler(int signal)
{
    handled = signal;
}

static int signal_install(struct run *r)
{
    struct sigaction act = {.sa_handler = handler};
    COUNT(r, 2000, if (sigaction(SIGUSR1, &act, NULL) != 0) break);
    return 0;
}

static int signal_handle(struct run *r)
{
    struct sigaction act = {.sa_handler = handler};
    pid_t self = getpid();
    if (sigaction(SIGUSR1, &act, NULL) != 0)
        return -1;
    COUNT(r, 1000, kill(self, SIGUSR1));
    return 0;
}

const struct row call_rows[] = {
    {"null", "getppid through syscall()", null_call},
    {"read-zero", "read 1 byte of /dev/zero", read_zero},
    {"read-file", "read 1 byte of a cached file", read_file},
    {"read-tmpfs", "read 1 byte of a file in tmpfs", read_tmpfs},
    {"write-null", "write 1 byte to /dev/null", write_null},
    {"write-file", "write 1 byte to a cached file", write_file},
    {"write-tmpfs", "write 1 byte to a file in tmpfs", write_tmpfs},
    {"stat", "stat of a file in the working folder", stat_path},
    {"stat-path", "stat of this program, by its whole path", stat_deep},
    {"open", "open and close a file in the working folder", open_close},
    {"pipe-self", "write and read 1 byte of a pipe in one process", pipe_self},
    {"signal-install", "sigaction", signal_install},
    {"signal-handle", "kill oneself, handler, back", signal_handle},
    {NULL, NULL, NULL},
};
