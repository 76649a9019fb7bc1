/* What files hold: offsets, holes, sizes, append, vectors, copies between descriptors. */
#include "files.h"
#include <sys/sendfile.h>
#include <sys/uio.h>

#define GIB (1024UL * MIB)

static int new_file(const char *name)
{
    return OK(open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));
}

/* Bytes [from, to) of @fd are zero. */
static void zeroes(int fd, off_t from, off_t to)
{
    char block[8192];
    while (from < to) {
        size_t n = to - from < (off_t)sizeof(block) ? (size_t)(to - from) : sizeof(block);
        EQ(pread(fd, block, n, from), (ssize_t)n);
        for (size_t i = 0; i < n; i++)
            if (block[i])
                FAIL("byte %lld is %d, expected 0", (long long)from + (long long)i, block[i]);
        from += n;
    }
}

static blkcnt_t blocks_of(int fd)
{
    struct stat st;
    OK(fstat(fd, &st));
    return st.st_blocks;
}

static void offsets(void)
{
    char b[16];
    int fd = new_file("f"), ends[2];
    EQ(write(fd, "hello", 5), 5);
    EQ(lseek(fd, 0, SEEK_CUR), 5);
    EQ(lseek(fd, -2, SEEK_END), 3);
    EQ(read(fd, b, 16), 2);
    EQ(read(fd, b, 16), 0);
    EQ(pread(fd, b, 3, 1), 3);
    EQ(memcmp(b, "ell", 3), 0);
    EQ(pwrite(fd, "EL", 2, 1), 2);
    EQ(lseek(fd, 0, SEEK_CUR), 5); /* neither moves the offset */
    HAS("f", "hELlo");
    EQ(lseek(fd, 100, SEEK_CUR), 105);
    EQ(read(fd, b, 1), 0);
    FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
    FAILS(lseek(fd, 0, 9), EINVAL);
    FAILS(pread(fd, b, 1, -1), EINVAL);
    FAILS(pwrite(fd, b, 1, -1), EINVAL);
    OK(pipe(ends));
    FAILS(lseek(ends[0], 0, SEEK_SET), ESPIPE);
    FAILS(pread(ends[0], b, 1, 0), ESPIPE);
    FAILS(pwrite(ends[1], b, 1, 0), ESPIPE);
}

static void wrong_descriptors(void)
{
    char b[4];
    put("f", "x");
    int r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY)), p = OK(open("f", O_PATH));
    int d = OK(open(".", O_RDONLY | O_DIRECTORY));
    FAILS(write(r, "x", 1), EBADF);
    FAILS(read(w, b, 1), EBADF);
    FAILS(read(p, b, 1), EBADF);
    FAILS(write(p, b, 1), EBADF);
    FAILS(ftruncate(p, 0), EBADF);
    FAILS(read(-1, b, 1), EBADF);
    FAILS(read(d, b, 1), EISDIR);
    FAILS(write(d, b, 1), EBADF);
    FAILS(open(".", O_WRONLY), EISDIR);
    FAILS(ftruncate(r, 0), EINVAL);
    FAILS(ftruncate(w, -1), EINVAL);
    FAILS(truncate(".", 0), EISDIR);
    FAILS(truncate("none", 0), ENOENT);
}

static void holes(void)
{
    int fd = new_file("f");
    EQ(pwrite(fd, "x", 1, 10000), 1);
    EQ(SIZE_OF("f"), 10001);
    zeroes(fd, 0, 10000);
    EQ(pwrite(fd, "y", 1, 4096 * 100), 1);
    zeroes(fd, 10001, 4096 * 100);
    CHECK(blocks_of(fd) < 100 * 8 / 2);
    EQ(lseek(fd, 4096 * 101, SEEK_SET), 4096 * 101);
    FAILS(lseek(fd, 4096 * 101, SEEK_DATA), ENXIO);
    CHECK(OK(lseek(fd, 10000, SEEK_DATA)) == 10000);
    CHECK(OK(lseek(fd, 0, SEEK_HOLE)) <= 4096 * 100 + 1);
}

/* With blocks of 4 KiB, offsets from 4 GiB on stand behind three levels of block lists. */
static void sparse_giant(void)
{
    static const off_t at[] = {0,           45 * KIB,          4 * MIB, 4 * MIB + 5000, 3 * GIB,
                               4 * GIB - 3, 4 * GIB + 5 * MIB, 5 * GIB, 9 * GIB + 77,   15 * GIB};
    char text[16], got[16];
    int fd = new_file("f");
    for (size_t i = COUNT(at); i-- > 0;) {
        snprintf(text, sizeof(text), "mark %09zu", i * 1234567);
        EQ(pwrite(fd, text, 15, at[i]), 15);
    }
    EQ(SIZE_OF("f"), (long long)(15 * GIB + 15));
    CHECK(blocks_of(fd) < 1024); /* half a MiB, lists included */
    OK(fsync(fd));
    for (size_t i = 0; i < COUNT(at); i++) {
        snprintf(text, sizeof(text), "mark %09zu", i * 1234567);
        EQ(pread(fd, got, 15, at[i]), 15);
        EQ(memcmp(text, got, 15), 0);
        if (at[i] > 8192)
            zeroes(fd, at[i] - 4096, at[i] - (i == 3 ? 4096 : 0));
    }
    blkcnt_t all = blocks_of(fd);
    OK(ftruncate(fd, 5 * GIB + 4));
    CHECK(blocks_of(fd) < all);
    OK(ftruncate(fd, 10 * GIB));
    EQ(pread(fd, got, 15, 5 * GIB), 15);
    EQ(memcmp(got, "mark\0\0\0\0\0\0\0\0\0\0", 15), 0);
    zeroes(fd, 9 * GIB, 9 * GIB + 200);
    OK(ftruncate(fd, 0));
    EQ(blocks_of(fd), 0);
    EQ(pwrite(fd, "z", 1, 4 * MIB + 100), 1);
    zeroes(fd, 4 * MIB - 5000, 4 * MIB + 100);
}

static void truncate_zeroes(void)
{
    static const size_t cut[] = {0, 1, 4095, 4096, 4097, 8191, 12288, 50000};
    for (size_t i = 0; i < COUNT(cut); i++) {
        int fd = make_file("f", 60000);
        char c;
        OK(ftruncate(fd, cut[i]));
        EQ(SIZE_OF("f"), (long long)cut[i]);
        EQ(pread(fd, &c, 1, cut[i]), 0);
        OK(ftruncate(fd, 70000));
        zeroes(fd, cut[i], 70000);
        if (cut[i]) {
            EQ(pread(fd, &c, 1, cut[i] - 1), 1);
            EQ(c, pattern(cut[i] - 1));
        }
        close(fd);
    }
    close(OK(open("f", O_WRONLY | O_TRUNC)));
    EQ(SIZE_OF("f"), 0);
}

/* Records of several processes that append arrive whole, and all of them. */
static void append(void)
{
    enum { WRITERS = 4, RECORDS = 100, SIZE = 97 };
    char record[SIZE], got[SIZE];
    pid_t child[WRITERS];
    int count[WRITERS] = {0}, fd = new_file("f");
    for (int w = 0; w < WRITERS; w++) {
        if ((child[w] = FORK()))
            continue;
        int mine = OK(open("f", O_WRONLY | O_APPEND));
        memset(record, 'a' + w, SIZE);
        for (int i = 0; i < RECORDS; i++) {
            lseek(mine, 0, SEEK_SET);
            EQ(write(mine, record, SIZE), SIZE);
        }
        _exit(0);
    }
    for (int w = 0; w < WRITERS; w++)
        JOIN(child[w]);
    for (int i = 0; i < WRITERS * RECORDS; i++) {
        EQ(read(fd, got, SIZE), SIZE);
        CHECK(got[0] >= 'a' && got[0] < 'a' + WRITERS);
        for (int k = 1; k < SIZE; k++)
            EQ(got[k], got[0]);
        count[got[0] - 'a']++;
    }
    EQ(read(fd, got, 1), 0);
    for (int w = 0; w < WRITERS; w++)
        EQ(count[w], RECORDS);
    OK(fcntl(fd, F_SETFL, O_APPEND)); /* from now on at the end, pwrite too */
    EQ(pwrite(fd, "end", 3, 0), 3);
    EQ(SIZE_OF("f"), WRITERS * RECORDS * SIZE + 3);
}

static void vectors(void)
{
    char a[3], b[5];
    struct iovec out[] = {{"ab", 2}, {"", 0}, {"cdefg", 5}}, in[] = {{a, 3}, {NULL, 0}, {b, 5}};
    static struct iovec many[IOV_MAX + 1];
    int fd = new_file("f");
    EQ(writev(fd, out, 3), 7);
    EQ(pwritev(fd, out, 1, 7), 2);
    HAS("f", "abcdefgab");
    EQ(preadv(fd, in, 3, 0), 8);
    EQ(memcmp(a, "abc", 3), 0);
    EQ(memcmp(b, "defga", 5), 0);
    lseek(fd, 6, SEEK_SET);
    EQ(readv(fd, in, 3), 3);
    EQ(memcmp(a, "gab", 3), 0);
    EQ(readv(fd, in, 0), 0);
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct iovec){a, 1};
    EQ(writev(fd, many, IOV_MAX), IOV_MAX);
    FAILS(writev(fd, many, IOV_MAX + 1), EINVAL);
    FAILS(syscall(SYS_readv, fd, many, -1L), EINVAL);
}

static void copies_between_descriptors(void)
{
    enum { N = 200000 };
    static char got[N];
    int in = make_file("in", N), out = new_file("out"), ends[2];
    off_t at = 1000, to = 50;
    EQ(sendfile(out, in, &at, 5000), 5000);
    EQ(at, 6000);
    EQ(pread(out, got, N, 0), 5000);
    for (int i = 0; i < 5000; i++)
        EQ(got[i], pattern(1000 + i));
    lseek(in, N - 10, SEEK_SET);
    EQ(sendfile(out, in, NULL, 100), 10);
    EQ(sendfile(out, in, NULL, 100), 0);
    OK(pipe(ends));
    at = 0;
    EQ(sendfile(ends[1], in, &at, 3000), 3000);
    EQ(read(ends[0], got, N), 3000);
    EQ(got[2999], pattern(2999));

    out = new_file("copy");
    at = 0;
    while (at < N) {
        loff_t from = at, target = to + at;
        ssize_t n = OK(copy_file_range(in, &from, out, &target, N - at, 0));
        CHECK(n > 0);
        at += n;
    }
    EQ(SIZE_OF("copy"), N + 50);
    EQ(pread(out, got, N, 50), N);
    for (int i = 0; i < N; i++)
        EQ(got[i], pattern(i));
    zeroes(out, 0, 50);
    FAILS(copy_file_range(in, NULL, ends[1], NULL, 1, 0), EINVAL);
}

static void syncs(void)
{
    int fd = make_file("f", 100000), d = OK(open(".", O_RDONLY | O_DIRECTORY)), ends[2];
    OK(fsync(fd));
    OK(fdatasync(fd));
    OK(fsync(d));
    OK(pipe(ends));
    FAILS(fsync(ends[0]), EINVAL);
    FAILS(fsync(-1), EBADF);
    EQ(posix_fallocate(fd, 90000, 20000), 0);
    EQ(SIZE_OF("f"), 110000);
    zeroes(fd, 100000, 110000);
}

static volatile sig_atomic_t signals;
static void count_signal(int sig UNUSED)
{
    signals++;
}

/* A write stops at RLIMIT_FSIZE; the next one is SIGXFSZ and EFBIG. */
static void size_limit(void)
{
    static char block[8000];
    struct rlimit limit = {10000, RLIM_INFINITY};
    int fd = new_file("f");
    signal(SIGXFSZ, count_signal);
    OK(setrlimit(RLIMIT_FSIZE, &limit));
    EQ(write(fd, block, 8000), 8000);
    EQ(write(fd, block, 8000), 2000);
    EQ(signals, 0);
    FAILS(write(fd, block, 1), EFBIG);
    EQ(signals, 1);
    FAILS(ftruncate(fd, 10001), EFBIG);
    EQ(signals, 2);
    OK(ftruncate(fd, 5));
}

/* Some thousand writes, reads and truncations of one file and of an array do the same. */
static void random_against_model(void)
{
    enum { MAX = 200000 };
    static char model[MAX], b[20000];
    uint64_t state = 5;
    size_t size = 0;
    int fd = new_file("f");
    for (int i = 0; i < 1500; i++) {
        size_t at = next_random(&state) % (MAX - sizeof(b)), n = next_random(&state) % sizeof(b);
        if (i % 4)
            n %= 300;
        switch (next_random(&state) % 8) {
        case 0:
            n = at % 3 ? size / 2 + at / 2 : at;
            if (n < size)
                memset(model + n, 0, size - n);
            OK(ftruncate(fd, n));
            size = n;
            break;
        case 1:
        case 2:
        case 3:
            memset(b, i, n);
            memcpy(model + at, b, n);
            EQ(pwrite(fd, b, n, at), (ssize_t)n);
            if (n && at + n > size)
                size = at + n;
            break;
        default: {
            size_t wanted = at >= size ? 0 : n < size - at ? n : size - at;
            EQ(pread(fd, b, n, at), (ssize_t)wanted);
            EQ(memcmp(b, model + at, wanted), 0);
        }
        }
    }
    EQ(SIZE_OF("f"), (long long)size);
}

static const struct test tests[] = {
    TEST(offsets),
    TEST(wrong_descriptors),
    TEST(holes),
    TEST(sparse_giant),
    TEST(truncate_zeroes),
    TEST(append),
    TEST(vectors),
    TEST(copies_between_descriptors),
    TEST(syncs),
    TEST(size_limit),
    TEST(random_against_model),
};
MAIN(tests)
