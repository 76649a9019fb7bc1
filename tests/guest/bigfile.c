/* Sparse files into the triple indirect blocks of ext2, and their truncation. */
#include "check.h"

#include <sys/statfs.h>

/* With blocks of 4 KiB: direct to 48 KiB, indirect to 4 MiB, double to 4 GiB, triple beyond. With
 * 1 KiB: 12 KiB, 268 KiB, 64 MiB, 16 GiB. */
static const off_t places[] = {
    0,           11 * 1024 + 7, 48 * 1024 - 3, 268 * 1024 + 1, 4 * 1024 * 1024 + 48 * 1024,
    65000000,    2147483640,    2147484000,    4299165690,     4299169696,
    4299210752L, 5000000000L,   12345678901L,  16000000000L,
};

static void every_level(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    struct stat st;
    char name[32], back[32];
    for (size_t i = 0; i < COUNT(places); i++) {
        int n = snprintf(name, sizeof(name), "at %lld.", (long long)places[i]);
        EQ(pwrite(fd, name, n, places[i]), n);
        OK(fstat(fd, &st));
        EQ(st.st_size, places[i] + n);
    }
    OK(fsync(fd));
    for (size_t i = 0; i < COUNT(places); i++) {
        int n = snprintf(name, sizeof(name), "at %lld.", (long long)places[i]);
        EQ(pread(fd, back, n, places[i]), n);
        if (memcmp(name, back, n) != 0)
            FAIL("at %lld: read \"%.*s\"", (long long)places[i], n, back);
        EQ(pread(fd, back, 16, places[i] + 100000), i + 1 < COUNT(places) ? 16 : 0);
    }
    OK(fstat(fd, &st));
    CHECK(st.st_blocks * 512 < 400 * 1024);
    /* Cut within the triple indirect range, then the double, then below: the rest stays. */
    for (int i = COUNT(places) - 1; i > 0; i--) {
        OK(ftruncate(fd, places[i]));
        OK(fstat(fd, &st));
        EQ(st.st_size, places[i]);
        int n = snprintf(name, sizeof(name), "at %lld.", (long long)places[i - 1]);
        if (places[i - 1] + n <= places[i]) {
            EQ(pread(fd, back, n, places[i - 1]), n);
            CHECK(memcmp(name, back, n) == 0);
        }
    }
    OK(ftruncate(fd, 0));
    OK(fsync(fd));
    OK(fstat(fd, &st));
    CHECK(st.st_blocks <= 8);
}

static void all_blocks_come_back(void)
{
    struct statfs before, after;
    sync();
    OK(statfs(".", &before));
    for (int round = 0; round < 3; round++) {
        int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
        for (size_t i = 0; i < COUNT(places); i++)
            EQ(pwrite(fd, "x", 1, places[i]), 1);
        OK(unlink("f"));
        close(fd);
    }
    for (int i = 0; i < 200; i++) {
        sync();
        OK(statfs(".", &after));
        if (after.f_bfree >= before.f_bfree)
            break;
        sleep_ms(10);
    }
    EQ(after.f_bfree, before.f_bfree);
    EQ(after.f_ffree, before.f_ffree);
}

static void mapping_far_out(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    OK(ftruncate(fd, 9000000000L));
    off_t at = 8800000000L & ~(off_t)(PAGE - 1);
    char *m = MAP(NULL, 2 * PAGE, RW, MAP_SHARED, fd, at), c;
    EQ(m[5000], 0);
    m[5000] = 'F';
    OK(msync(m, 2 * PAGE, MS_SYNC));
    EQ(pread(fd, &c, 1, at + 5000), 1);
    EQ(c, 'F');
}

static void beyond_the_largest(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    FAILS(pwrite(fd, "x", 1, 0x7ffffffffffff000), EFBIG);
    FAILS(ftruncate(fd, 0x7ffffffffffff000), EFBIG);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {10000, 10000};
    OK(setrlimit(RLIMIT_FSIZE, &limit));
    char buf[8000] = {0};
    EQ(pwrite(fd, buf, 8000, 5000), 5000); /* what fits */
    FAILS(pwrite(fd, buf, 1, 10000), EFBIG);
    FAILS(ftruncate(fd, 10001), EFBIG);
    OK(ftruncate(fd, 10000));
    signal(SIGXFSZ, SIG_DFL);
    pid_t child = FORK();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (pwrite(fd, buf, 1, 10000) >= 0)
            _exit(1);
        _exit(2);
    }
    JOIN_KILLED(child, SIGXFSZ);
}

static const struct test tests[] = {
    TEST(every_level),
    TEST(all_blocks_come_back),
    TEST(mapping_far_out),
    TEST(beyond_the_largest),
};
MAIN(tests)
