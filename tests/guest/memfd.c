/* memfd_create: files without a name, and the seals on them. */
#include "check.h"

#include <sys/uio.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#define MFD_EXEC        16U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 32
#endif
#ifndef FALLOC_FL_PUNCH_HOLE
#define FALLOC_FL_KEEP_SIZE  1
#define FALLOC_FL_PUNCH_HOLE 2
#endif
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* A sealable file of @pages pages. */
static int new_file(int pages)
{
    int fd = OK(memfd_create("test", MFD_ALLOW_SEALING));
    OK(ftruncate(fd, pages * PAGE));
    return fd;
}

static void add(int fd, int seals)
{
    OK(fcntl(fd, F_ADD_SEALS, seals));
}

static void like_a_file(void)
{
    int fd = OK(memfd_create("a name", MFD_CLOEXEC));
    struct stat st;
    char link[40], text[100] = "", c;
    OK(fstat(fd, &st));
    EQ(st.st_size, 0);
    EQ(st.st_nlink, 0);
    EQ(st.st_mode, S_IFREG | 0777);
    EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    sprintf(link, "/proc/self/fd/%d", fd);
    OK(readlink(link, text, sizeof(text) - 1));
    CHECK(strcmp(text, "/memfd:a name (deleted)") == 0);
    EQ(write(fd, "hello", 5), 5);
    EQ(lseek(fd, 0, SEEK_CUR), 5);
    int again = OK(open(link, O_RDONLY));
    EQ(read(again, &c, 1), 1);
    EQ(c, 'h');
    OK(ftruncate(fd, 3 * PAGE));
    char *m = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, PAGE);
    m[5] = 'm';
    EQ(pread(again, &c, 1, PAGE + 5), 1);
    EQ(c, 'm');
    FAULTS(m + 2 * PAGE, true, SIGBUS, BUS_ADRERR);
    sprintf(text, "%lx-", (unsigned long)m);
    const char *line = strstr(contents("/proc/self/maps"), text);
    CHECK(line);
    CHECK(strstr(line, "rw-s 00001000"));
    CHECK(strstr(line, "/memfd:a name (deleted)\n"));
    close(fd);
    close(again);
    EQ(m[5], 'm');
}

static void flags_and_names(void)
{
    char name[300];
    memset(name, 'n', sizeof(name));
    name[249] = 0;
    close(OK(memfd_create(name, 0)));
    name[249] = 'n';
    name[250] = 0;
    FAILS(memfd_create(name, 0), EINVAL);
    FAILS(syscall(SYS_memfd_create, NULL, 0), EFAULT);
    FAILS(syscall(SYS_memfd_create, "x", 0x100), EINVAL);
    FAILS(syscall(SYS_memfd_create, "x", MFD_EXEC | MFD_NOEXEC_SEAL), EINVAL);
    /* Many may have one name. */
    int a = OK(memfd_create("same", 0)), b = OK(memfd_create("same", 0));
    struct stat sa, sb;
    OK(fstat(a, &sa));
    OK(fstat(b, &sb));
    CHECK(sa.st_ino != sb.st_ino);
}

static void without_sealing(void)
{
    int fd = OK(memfd_create("x", 0));
    EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    int fds[2];
    OK(pipe(fds));
    FAILS(fcntl(fds[0], F_GET_SEALS), EINVAL);
    FAILS(fcntl(fds[1], F_ADD_SEALS, F_SEAL_WRITE), EINVAL);
    fd = new_file(1);
    EQ(fcntl(fd, F_GET_SEALS), 0);
    FAILS(fcntl(fd, F_ADD_SEALS, 1 << 20), EINVAL);
    add(fd, F_SEAL_SEAL);
    EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    /* Only through a descriptor that may write. */
    char link[40];
    sprintf(link, "/proc/self/fd/%d", new_file(1));
    int in = OK(open(link, O_RDONLY));
    FAILS(fcntl(in, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    EQ(fcntl(in, F_GET_SEALS), 0);
}

static void shrink_and_grow(void)
{
    int fd = new_file(2);
    char page[2 * PAGE] = "x";
    add(fd, F_SEAL_SHRINK);
    FAILS(ftruncate(fd, PAGE), EPERM);
    OK(ftruncate(fd, 3 * PAGE));
    add(fd, F_SEAL_GROW);
    EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
    FAILS(ftruncate(fd, 4 * PAGE), EPERM);
    FAILS(fallocate(fd, 0, 0, 4 * PAGE), EPERM);
    OK(ftruncate(fd, 3 * PAGE));
    OK(fallocate(fd, 0, 0, 3 * PAGE));
    FAILS(pwrite(fd, page, 1, 3 * PAGE), EPERM);
    ssize_t n = pwrite(fd, page, 2 * PAGE, 2 * PAGE);
    CHECK(n == PAGE || (n < 0 && errno == EPERM)); /* Linux decides by folios, of whatever size */
    EQ(pwrite(fd, page, 2 * PAGE, PAGE), 2 * (int)PAGE);
    struct stat st;
    OK(fstat(fd, &st));
    EQ(st.st_size, 3 * PAGE);
}

static void write_seal(void)
{
    int fd = new_file(2);
    char *m = MAP(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    m[0] = 'w';
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    OK(mprotect(m, 2 * PAGE, PROT_READ)); /* it may come back */
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    OK(munmap(m, PAGE));
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    pid_t child = FORK(); /* has a mapping of its own */
    if (child == 0) {
        char c;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            if (read(fd, &c, 0) == 0)
                pause();
    }
    OK(munmap(m + PAGE, PAGE));
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    OK(kill(child, SIGKILL));
    JOIN_KILLED(child, SIGKILL);
    char *p = MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    add(fd, F_SEAL_WRITE);
    FAILS(pwrite(fd, "x", 1, 0), EPERM);
    FAILS(fallocate(fd, PUNCH, 0, PAGE), EPERM);
    FAILS((long)mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
    EQ(p[0], 'w');
    p[0] = 'p'; /* a copy of its own */
    p = MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    EQ(p[0], 'w');
    char c, link[40];
    EQ(pread(fd, &c, 1, 0), 1);
    EQ(c, 'w');
    sprintf(link, "/proc/self/fd/%d", fd);
    m = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, OK(open(link, O_RDONLY)), 0);
    EQ(m[0], 'w');
    FAILS(mprotect(m, PAGE, RW), EACCES);
    OK(ftruncate(fd, PAGE)); /* another seal's business */
}

/* What can write already goes on, nothing new can. */
static void future_write(void)
{
    int fd = new_file(2);
    char *m = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    add(fd, F_SEAL_FUTURE_WRITE);
    FAILS(pwrite(fd, "x", 1, 0), EPERM);
    FAILS((long)mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
    m[0] = 'f';
    char c, *r = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    EQ(r[0], 'f');
    FAILS(mprotect(r, PAGE, RW), EACCES);
    EQ(pread(fd, &c, 1, 0), 1);
    EQ(c, 'f');
    FAILS(madvise(m, PAGE, MADV_REMOVE), EPERM);
}

static void not_executable(void)
{
    int fd = memfd_create("x", MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        SKIP("a Linux before 6.3");
    struct stat st;
    OK(fstat(fd, &st));
    EQ(st.st_mode & 0777, 0666);
    EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
    FAILS(fchmod(fd, 0777), EPERM);
    OK(fchmod(fd, 0600));
    add(fd, F_SEAL_GROW);
    /* A program that is sealed against becoming something else. */
    fd = OK(memfd_create("x", MFD_EXEC | MFD_ALLOW_SEALING));
    add(fd, F_SEAL_EXEC);
    EQ(fcntl(fd, F_GET_SEALS),
       F_SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
    FAILS(fchmod(fd, 0666), EPERM);
}

/* Holes read as zero, everywhere, and give their memory back; private copies stay. */
static void holes(void)
{
    int fd = new_file(8);
    char *m = MAP(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0);
    char *p = MAP(NULL, 8 * PAGE, RW, MAP_PRIVATE, fd, 0);
    memset(m, 'm', 8 * PAGE);
    p[2 * PAGE] = 'p';
    struct stat before, after;
    OK(fstat(fd, &before));
    OK(fallocate(fd, PUNCH, PAGE + 100, 3 * PAGE));
    OK(fstat(fd, &after));
    EQ(after.st_size, 8 * PAGE);
    EQ(before.st_blocks - after.st_blocks, 2 * (int)PAGE / 512);
    for (size_t i = 0; i < 8 * PAGE; i++)
        EQ(m[i], i >= PAGE + 100 && i < 4 * PAGE + 100 ? 0 : 'm');
    EQ(p[2 * PAGE], 'p');
    EQ(p[3 * PAGE], 0);
    OK(fallocate(fd, PUNCH, 5 * PAGE + 5, 10));
    for (size_t i = 5 * PAGE; i < 6 * PAGE; i++)
        EQ(m[i], i >= 5 * PAGE + 5 && i < 5 * PAGE + 15 ? 0 : 'm');
    OK(fallocate(fd, PUNCH, 7 * PAGE, 100 * PAGE));
    EQ(m[7 * PAGE], 0);
    EQ(m[7 * PAGE - 1], 'm');
    FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE), EOPNOTSUPP);
    FAILS(fallocate(fd, PUNCH, 0, 0), EINVAL);
}

/* Sealing and mapping race: either the seal is refused, or nothing can write any more. */
static int race_fd;
static void *map_and_write(void *arg)
{
    for (int i = 0; i < 300; i++) {
        char *m = mmap(NULL, PAGE, RW, MAP_SHARED, race_fd, 0);
        if (m == MAP_FAILED) {
            EQ(errno, EPERM);
            continue;
        }
        m[0]++;
        OK(munmap(m, PAGE));
    }
    return arg;
}

static void race(void)
{
    for (int round = 0; round < 10; round++) {
        pthread_t t;
        char a, b;
        race_fd = new_file(1);
        EQ(pthread_create(&t, NULL, map_and_write, NULL), 0);
        int tries = 0;
        while (fcntl(race_fd, F_ADD_SEALS, F_SEAL_WRITE) != 0 && tries++ < 100000)
            EQ(errno, EBUSY);
        EQ(pread(race_fd, &a, 1, 0), 1);
        EQ(pthread_join(t, NULL), 0);
        EQ(pread(race_fd, &b, 1, 0), 1);
        if (fcntl(race_fd, F_GET_SEALS) & F_SEAL_WRITE)
            EQ(a, b);
        close(race_fd);
    }
}

static const struct test tests[] = {
    TEST(like_a_file),     TEST(flags_and_names), TEST(without_sealing),
    TEST(shrink_and_grow), TEST(write_seal),      TEST(future_write),
    TEST(not_executable),  TEST(holes),           TEST(race),
};
MAIN(tests)
