/* Bad pointers of every kind given to system calls: EFAULT, never a signal, never success. */
#include "check.h"

#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

/* libc's wrappers would look at some pointers themselves. */
#define CALL(nr, ...) syscall(SYS_##nr, __VA_ARGS__)

static void *bad[] = {
    NULL,                   /* an unmapped page */
    (void *)1,              /* the same, unaligned */
    (void *)0x3ffffff000UL, /* filled in: end of user space, read-only memory, PROT_NONE */
    (void *)(1UL << 40),    /* not canonical on Sv39 */
    (void *)(1UL << 62),
    (void *)0xffffffc000000000UL, /* the kernel's half */
    (void *)0xffffffff80200000UL,
    (void *)~0UL,
};

static void written_by_the_kernel(void)
{
    int fd = make_file("f", 100), fds[2];
    OK(pipe(fds));
    bad[2] = MAP(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        void *p = bad[i];
        OK(lseek(fd, 0, SEEK_SET));
        FAILS(CALL(read, fd, p, 10), EFAULT);
        EQ(lseek(fd, 0, SEEK_CUR), 0);
        FAILS(CALL(pread64, fd, p, 10, 0), EFAULT);
        FAILS(CALL(fstat, fd, p), EFAULT);
        FAILS(CALL(pipe2, p, 0), EFAULT);
        FAILS(CALL(getcwd, p, 100), EFAULT);
        FAILS(CALL(uname, p), EFAULT);
        FAILS(CALL(clock_gettime, CLOCK_MONOTONIC, p), EFAULT);
        FAILS(CALL(statfs, "/", p), EFAULT);
        FAILS(CALL(getrandom, p, 10, 0), EFAULT);
        if (p) {
            FAILS(CALL(getrlimit, RLIMIT_NOFILE, p), EFAULT);
            FAILS(CALL(rt_sigprocmask, SIG_BLOCK, NULL, p, 8), EFAULT);
            FAILS(CALL(rt_sigaction, SIGUSR1, NULL, p, 8), EFAULT);
            FAILS(CALL(sigaltstack, NULL, p), EFAULT);
            FAILS(CALL(getitimer, ITIMER_REAL, p), EFAULT);
        }
        /* What was in the pipe is not lost to a bad pointer. */
        EQ(write(fds[1], "data", 4), 4);
        FAILS(CALL(read, fds[0], p, 4), EFAULT);
        char back[4];
        EQ(read(fds[0], back, 4), 4);
        EQ(memcmp(back, "data", 4), 0);
    }
}

static void read_by_the_kernel(void)
{
    int fd = make_file("f", 100), fds[2];
    OK(pipe(fds));
    bad[2] = MAP(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        void *p = bad[i];
        FAILS(CALL(write, fd, p, 10), EFAULT);
        FAILS(CALL(pwrite64, fd, p, 10, 95), EFAULT);
        FAILS(CALL(write, fds[1], p, 10), EFAULT);
        FAILS(CALL(openat, AT_FDCWD, p, O_RDONLY), EFAULT);
        FAILS(CALL(mkdirat, AT_FDCWD, p, 0777), EFAULT);
        FAILS(CALL(chdir, p), EFAULT);
        FAILS(CALL(symlinkat, p, AT_FDCWD, "s"), EFAULT);
        FAILS(CALL(symlinkat, "s", AT_FDCWD, p), EFAULT);
        FAILS(CALL(renameat2, AT_FDCWD, "f", AT_FDCWD, p, 0), EFAULT);
        FAILS(CALL(execve, p, NULL, NULL), EFAULT);
        if (p)
            FAILS(CALL(nanosleep, p, NULL), EFAULT);
        FAILS(CALL(writev, fd, p, 2), EFAULT);
        FAILS(CALL(ppoll, p, 2, NULL, NULL, 8), EFAULT);
        FAILS(CALL(futex, p, 0, 0, NULL, NULL, 0), (uintptr_t)p % 4 ? EINVAL : EFAULT);
        if (p) {
            FAILS(CALL(rt_sigaction, SIGUSR1, p, NULL, 8), EFAULT);
            FAILS(CALL(rt_sigprocmask, SIG_BLOCK, p, NULL, 8), EFAULT);
            FAILS(CALL(setrlimit, RLIMIT_NOFILE, p), EFAULT);
        }
    }
    struct stat st;
    OK(fstat(fd, &st));
    EQ(st.st_size, 100);
}

/* A buffer whose second page is missing: what fits is done, or EFAULT before anything is. */
static void across_the_edge(void)
{
    int fd = make_file("f", 3 * PAGE);
    char *m = ANON(2 * PAGE);
    OK(munmap(m + PAGE, PAGE));
    OK(lseek(fd, 0, SEEK_SET));
    long got = read(fd, m + PAGE - 10, 100);
    if (got == -1)
        EQ(errno, EFAULT);
    else
        CHECK(got >= 0 && got <= 10);
    EQ(lseek(fd, 0, SEEK_CUR), got < 0 ? 0 : got);
    strcpy(m + PAGE - 2, "f");
    struct stat st;
    OK(stat(m + PAGE - 2, &st)); /* a string that ends with the page */
    memset(m + PAGE - 10, 'x', 10);
    FAILS(CALL(openat, AT_FDCWD, m + PAGE - 10, O_RDONLY), EFAULT);
    FAILS(CALL(fstat, fd, m + PAGE - 8), EFAULT);
    struct iovec io[2] = {{m, 5}, {m + PAGE, 5}};
    OK(lseek(fd, 0, SEEK_SET));
    got = readv(fd, io, 2);
    if (got == -1)
        EQ(errno, EFAULT);
    else
        EQ(got, 5);
    got = OK(lseek(fd, 0, SEEK_END));
    EQ(got, 3 * PAGE);
}

/* The kernel writes into copy-on-write and lazy memory as an access would. */
static void kernel_copies_on_write(void)
{
    int fd = make_file("f", 3 * PAGE);
    char *m = ANON(3 * PAGE);
    memset(m, 9, 2 * PAGE);
    pid_t child = FORK();
    if (child == 0) {
        EQ(pread(fd, m, 3 * PAGE, 0), (ssize_t)(3 * PAGE));
        for (size_t i = 0; i < 3 * PAGE; i++)
            EQ(m[i], pattern(i));
        _exit(0);
    }
    JOIN(child);
    for (size_t i = 0; i < 3 * PAGE; i++)
        EQ(m[i], i < 2 * PAGE ? 9 : 0);
    /* And reads memory nobody has written: zeros. */
    char *lazy = ANON(2 * PAGE);
    EQ(pwrite(fd, lazy, 2 * PAGE, 0), (ssize_t)(2 * PAGE));
    char c = 1;
    EQ(pread(fd, &c, 1, PAGE), 1);
    EQ(c, 0);
}

static void lengths(void)
{
    int fd = make_file("f", 10), out = OK(open("/dev/null", O_WRONLY));
    char buf[16];
    EQ(read(fd, NULL, 0), 0);
    OK(lseek(fd, 0, SEEK_SET));
    long got = CALL(read, fd, buf, -1L); /* cut to a size that does not wrap, or refused */
    CHECK(got == 10 || (got == -1 && errno == EFAULT));
    struct iovec io[1] = {{buf, (size_t)-1}};
    FAILS(readv(fd, io, 1), EINVAL);
    FAILS(writev(out, io, 1), EINVAL);
    FAILS(CALL(writev, out, io, 5000), EINVAL);
    FAILS(CALL(readv, fd, io, -1L), EINVAL);
    EQ(writev(out, io, 0), 0);
}

static const struct test tests[] = {
    TEST(written_by_the_kernel),
    TEST(read_by_the_kernel),
    TEST(across_the_edge),
    TEST(kernel_copies_on_write),
    TEST(lengths),
};
MAIN(tests)
