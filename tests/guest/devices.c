/* The memory devices: /dev/null, zero, full, random, urandom. */
#include "files.h"
#include <sys/random.h>
#include <sys/sysmacros.h>

static char block[10000];

static void null(void)
{
    int fd = OK(open("/dev/null", O_RDWR));
    EQ(write(fd, block, sizeof(block)), sizeof(block));
    EQ(read(fd, block, sizeof(block)), 0);
    EQ(lseek(fd, 100, SEEK_SET), 0);
    struct stat st = lstat_of("/dev/null");
    CHECK(S_ISCHR(st.st_mode));
    EQ(st.st_rdev, makedev(1, 3));
    EQ(st.st_mode & 0777, 0666);
    close(OK(open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644)));
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    EQ(poll(&p, 1, 0), 1);
    EQ(p.revents, POLLIN | POLLOUT);
}

static void zero(void)
{
    int fd = OK(open("/dev/zero", O_RDWR));
    memset(block, 1, sizeof(block));
    EQ(read(fd, block, sizeof(block)), sizeof(block));
    for (size_t i = 0; i < sizeof(block); i++)
        EQ(block[i], 0);
    EQ(write(fd, block, 100), 100);
    char *m = MAP(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
    for (size_t i = 0; i < 4 * PAGE; i++)
        EQ(m[i], 0);
    m[5] = 5;
    EQ(read(fd, block, 10), 10);
    EQ(block[5], 0);
    int *s = (int *)MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    pid_t child = FORK();
    if (child == 0) {
        s[0] = 7;
        _exit(0);
    }
    JOIN(child);
    EQ(s[0], 7);
}

static void full(void)
{
    int fd = OK(open("/dev/full", O_RDWR));
    FAILS(write(fd, "x", 1), ENOSPC);
    EQ(read(fd, block, sizeof(block)), sizeof(block));
    EQ(block[77], 0);
}

/* Not a test of quality, only of being filled: some 256 values, no two blocks alike. */
static void looks_random(const char *what, const unsigned char *a, const unsigned char *b, size_t n)
{
    bool seen[256] = {false};
    int values = 0;
    CHECK(memcmp(a, b, n) != 0);
    for (size_t i = 0; i < n; i++) {
        values += !seen[a[i]];
        seen[a[i]] = true;
    }
    if (values < 200)
        FAIL("%s: %zu bytes hold only %d values", what, n, values);
}

static void urandom(void)
{
    static unsigned char a[4096], b[4096];
    static const char *const name[] = {"/dev/urandom", "/dev/random"};
    for (size_t i = 0; i < COUNT(name); i++) {
        int fd = OK(open(name[i], O_RDWR));
        EQ(read(fd, a, sizeof(a)), sizeof(a));
        EQ(read(fd, b, sizeof(b)), sizeof(b));
        looks_random(name[i], a, b, sizeof(a));
        EQ(write(fd, a, 16), 16); /* adds to the pool */
    }
    EQ(getrandom(a, sizeof(a), 0), sizeof(a));
    EQ(getrandom(b, sizeof(b), GRND_NONBLOCK), sizeof(b));
    looks_random("getrandom", a, b, sizeof(a));
    FAILS(getrandom(a, 1, 0x100), EINVAL);
    FAILS(syscall(SYS_getrandom, 8L, 100L, 0), EFAULT);
}

static void nodes(void)
{
    char c;
    if (geteuid() != 0)
        SKIP("needs root");
    OK(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
    int fd = OK(open("null", O_RDWR));
    EQ(write(fd, "x", 1), 1);
    EQ(read(fd, &c, 1), 0);
    OK(mknod("unknown", S_IFCHR | 0666, makedev(377, 77)));
    FAILS(open("unknown", O_RDWR), ENXIO);
    OK(mknod("socket", S_IFSOCK | 0644, 0));
    FAILS(open("socket", O_RDWR), ENXIO);
    FAILS(mknod("null", S_IFREG | 0644, 0), EEXIST);
    FAILS(mknod("dir", S_IFDIR | 0755, 0), EPERM);
    OK(mknod("file", 0644, 0));
    CHECK(S_ISREG(MODE_OF("file")));
}

static const struct test tests[] = {
    TEST(null), TEST(zero), TEST(full), TEST(urandom), TEST(nodes),
};
MAIN(tests)
