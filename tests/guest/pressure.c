/* More data than memory: written files go to the disk, clean pages give way, nothing is lost. */
#include "check.h"

static long ram(void)
{
    return meminfo("MemTotal") * 1024L;
}

/* How much to move: twice the memory of a very small guest, more than there is in others. */
static long volume(void)
{
    if (ram() > 200 * (long)MIB)
        return 64 * MIB;
    return ram() < 48 * (long)MIB ? 2 * ram() : ram() / 4 * 5;
}

/* Block @n of the stream: a counter and a pseudo-random fill. */
enum { BLOCK = 65536 };
static void fill(uint64_t *block, uint64_t n, uint64_t salt)
{
    uint64_t v = n * 0x9e3779b97f4a7c15ULL ^ salt;
    for (size_t i = 0; i < BLOCK / 8; i++) {
        block[i] = v;
        v = v * 6364136223846793005ULL + 1442695040888963407ULL;
    }
}

static void file_larger_than_memory(void)
{
    static uint64_t block[BLOCK / 8], expected[BLOCK / 8];
    long blocks = volume() / BLOCK;
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    for (long i = 0; i < blocks; i++) {
        fill(block, i, 1);
        EQ(write(fd, block, BLOCK), BLOCK);
    }
    OK(lseek(fd, 0, SEEK_SET));
    for (long i = 0; i < blocks; i++) {
        EQ(read(fd, block, BLOCK), BLOCK);
        fill(expected, i, 1);
        if (memcmp(block, expected, BLOCK) != 0)
            FAIL("block %ld of %ld differs", i, blocks);
    }
}

/* Two thirds of memory dirty through a shared mapping, while another process reads. */
static void mapping_and_readers(void)
{
    long n = (volume() / 3) & ~(long)(BLOCK - 1);
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    OK(ftruncate(fd, n));
    char *m = MAP(NULL, n, RW, MAP_SHARED, fd, 0);
    for (long i = 0; i < n / BLOCK; i++)
        fill((uint64_t *)(m + i * BLOCK), i, 2);
    pid_t child = FORK();
    if (child == 0) {
        static uint64_t block[BLOCK / 8], expected[BLOCK / 8];
        for (long i = n / BLOCK - 1; i >= 0; i--) {
            EQ(pread(fd, block, BLOCK, i * BLOCK), BLOCK);
            fill(expected, i, 2);
            if (memcmp(block, expected, BLOCK) != 0)
                FAIL("block %ld differs", i);
        }
        _exit(0);
    }
    static uint64_t expected[BLOCK / 8];
    for (long i = 0; i < n / BLOCK; i++) {
        fill(expected, i, 2);
        if (memcmp(m + i * BLOCK, expected, BLOCK) != 0)
            FAIL("block %ld differs in the mapping", i);
    }
    JOIN(child);
}

/* Caches make room for a process that needs the memory. */
static void cache_gives_way(void)
{
    long n = ram() / 2;
    if (n > 100 * (long)MIB)
        n = 64 * MIB;
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    static uint64_t block[BLOCK / 8];
    for (long i = 0; i < n / BLOCK; i++) {
        fill(block, i, 3);
        EQ(write(fd, block, BLOCK), BLOCK);
    }
    OK(fsync(fd));
    char *m = ANON(n);
    for (long i = 0; i < n; i += PAGE) {
        EQ(m[i + 100], 0); /* read first: it is the zero page that is copied then */
        m[i] = (char)(i / PAGE);
    }
    for (long i = 0; i < n; i += PAGE) {
        EQ(m[i], (char)(i / PAGE));
        for (size_t at = 8; at < PAGE; at += 256)
            EQ(m[i + at], 0);
    }
}

/* What is refused is refused cleanly: after the error everything goes on. */
static void out_of_memory_is_an_error(void)
{
    char *m[400];
    int n = 0;
    if (ram() > 512 * (long)MIB)
        SKIP("a machine with this much memory");
    while (n < 400) {
        m[n] = mmap(NULL, MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m[n] == MAP_FAILED)
            break;
        memset(m[n], n, MIB);
        n++;
    }
    CHECK(n > 4 && n < 400);
    EQ(errno, ENOMEM);
    for (int i = 0; i < n; i++)
        for (size_t at = 0; at < MIB; at += PAGE)
            EQ(m[i][at], (char)i);
    for (int i = 0; i < n; i++)
        OK(munmap(m[i], MIB));
    pid_t child = FORK();
    if (child == 0)
        _exit(0);
    JOIN(child);
}

static const struct test tests[] = {
    TEST(file_larger_than_memory),
    TEST(mapping_and_readers),
    TEST(cache_gives_way),
    TEST(out_of_memory_is_an_error),
};
MAIN(tests)
