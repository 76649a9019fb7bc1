/* File mappings: one page cache for read, write and mmap; what lies beyond the end of the file. */
#include "check.h"

static void read_sees_mapping_sees_write(void)
{
    int fd = make_file("f", 3 * PAGE);
    char *a = MAP(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0), *b, c;
    a[5000] = 'a';
    EQ(pread(fd, &c, 1, 5000), 1);
    EQ(c, 'a');
    EQ(pwrite(fd, "w", 1, 5001), 1);
    EQ(a[5001], 'w');
    b = MAP(NULL, PAGE, RW, MAP_SHARED, OK(open("f", O_RDWR)), PAGE);
    EQ(b[5000 - PAGE], 'a');
    b[10] = 'b';
    EQ(a[PAGE + 10], 'b');
    for (size_t i = 0; i < 3 * PAGE; i++)
        if (i < 4096 || i > 5001)
            EQ(a[i], i == PAGE + 10 ? 'b' : pattern(i));
}

static void private_keeps_its_writes(void)
{
    int fd = make_file("f", 2 * PAGE);
    char *p = MAP(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0), c;
    EQ(pwrite(fd, "1", 1, 0), 1);
    EQ(p[0], '1'); /* not yet copied: still the file's page */
    p[1] = 'x';
    EQ(pread(fd, &c, 1, 1), 1);
    EQ(c, pattern(1));
    EQ(pwrite(fd, "2", 1, 0), 1);
    EQ(p[0], '1'); /* copied: the file's later changes do not show */
    pid_t child = FORK();
    if (child == 0) {
        EQ(p[1], 'x');
        p[1] = 'y';
        p[PAGE] = 'y';
        _exit(0);
    }
    JOIN(child);
    EQ(p[1], 'x');
    EQ(p[PAGE], pattern(PAGE));
}

static void shared_across_fork(void)
{
    int fd = make_file("f", 2 * PAGE);
    char *s = MAP(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    pid_t child = FORK();
    if (child == 0) {
        s[100] = 'c';
        s[PAGE + 100] = 'd';
        _exit(0);
    }
    JOIN(child);
    EQ(s[100], 'c');
    EQ(s[PAGE + 100], 'd');
    close(fd);
    EQ(s[100], 'c');
    OK(munmap(s, 2 * PAGE));
    EQ(contents("f")[100], 'c');
}

/* The rest of the last page is zero and not part of the file; pages beyond are SIGBUS. */
static void beyond_the_end(void)
{
    int fd = make_file("f", PAGE + 100);
    char *m = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0), c;
    EQ(m[PAGE + 99], pattern(PAGE + 99));
    for (size_t i = PAGE + 100; i < 2 * PAGE; i++)
        EQ(m[i], 0);
    FAULTS(m + 2 * PAGE, false, SIGBUS, BUS_ADRERR);
    FAULTS(m + 3 * PAGE + 7, true, SIGBUS, BUS_ADRERR);
    m[PAGE + 200] = 'z'; /* allowed, lost */
    EQ(pread(fd, &c, 1, PAGE + 200), 0);
    OK(ftruncate(fd, PAGE + 300));
    EQ(pread(fd, &c, 1, PAGE + 200), 1);
    EQ(c, 0); /* really lost: the file grows by zeros */
    EQ(pwrite(fd, "!", 1, 2 * PAGE + 5), 1);
    EQ(m[2 * PAGE + 5], '!');
    FAULTS(m + 3 * PAGE, false, SIGBUS, BUS_ADRERR);
    /* As a system call's buffer it is EFAULT, not a signal. */
    FAILS(write(fd, m + 3 * PAGE, 10), EFAULT);
}

static void after_truncate(void)
{
    int fd = make_file("f", 4 * PAGE);
    char *s = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    char *p = MAP(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
    for (int i = 0; i < 4; i++)
        s[i * PAGE] = p[i * PAGE + 1] = 'q';
    OK(ftruncate(fd, PAGE + 10));
    FAULTS(s + 2 * PAGE, false, SIGBUS, BUS_ADRERR);
    FAULTS(p + 3 * PAGE, true, SIGBUS, BUS_ADRERR); /* its private copies are gone too */
    EQ(s[0], 'q');
    EQ(p[1], 'q');
    EQ(s[PAGE + 9], pattern(PAGE + 9));
    EQ(s[PAGE + 10], 0); /* cut off bytes are zero */
    OK(ftruncate(fd, 4 * PAGE));
    for (size_t i = PAGE + 10; i < 4 * PAGE; i++)
        EQ(s[i], 0);
    EQ(p[3 * PAGE + 1], 0);
}

/* Written through a mapping, read after everything is closed, and again by another open. */
static void dirty_pages_reach_the_file(void)
{
    int fd = make_file("f", 50 * PAGE);
    char *m = MAP(NULL, 50 * PAGE, RW, MAP_SHARED, fd, 0);
    for (int i = 0; i < 50; i++)
        m[i * PAGE + i] = (char)(i + 100);
    close(fd);
    OK(msync(m, 50 * PAGE, MS_SYNC));
    for (int i = 0; i < 50; i++)
        m[i * PAGE + i + 1] = (char)(i + 150); /* dirtied again after the page was clean */
    OK(munmap(m, 50 * PAGE));
    sync();
    fd = OK(open("f", O_RDONLY));
    for (int i = 0; i < 50; i++) {
        unsigned char two[2];
        EQ(pread(fd, two, 2, i * PAGE + i), 2);
        EQ(two[0], (i + 100) & 0xff);
        EQ(two[1], (i + 150) & 0xff);
    }
}

static void hole_reads_zero_and_fills(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    OK(ftruncate(fd, 100 * PAGE));
    char *m = MAP(NULL, 100 * PAGE, RW, MAP_SHARED, fd, 0);
    for (int i = 0; i < 100; i++)
        EQ(m[i * PAGE + 3], 0);
    m[57 * PAGE] = 1;
    OK(msync(m, 100 * PAGE, MS_SYNC));
    struct stat st;
    OK(fstat(fd, &st));
    EQ(st.st_size, 100 * PAGE);
    if (st.st_blocks < 1 || st.st_blocks > 64)
        FAIL("%ld blocks", (long)st.st_blocks);
    char c;
    EQ(pread(fd, &c, 1, 57 * PAGE), 1);
    EQ(c, 1);
}

/* write() from a mapping of the very page it writes to, and read() into one. */
static void buffer_is_the_file(void)
{
    int fd = make_file("f", 4 * PAGE);
    char *m = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    EQ(pwrite(fd, m + PAGE, 2 * PAGE, 0), (ssize_t)(2 * PAGE));
    for (size_t i = 0; i < 2 * PAGE; i++)
        CHECK(m[i] == pattern(PAGE + i) || (i >= PAGE && m[i] == m[i - PAGE]));
    EQ(pwrite(fd, m, PAGE, 0), (ssize_t)PAGE);
    EQ(pread(fd, m + PAGE, PAGE, PAGE), (ssize_t)PAGE);
    EQ(pread(fd, m + 2 * PAGE, PAGE, 0), (ssize_t)PAGE);
    EQ(memcmp(m, m + 2 * PAGE, PAGE), 0);
}

/* An unlinked file lives on in its mapping. */
static void mapping_of_unlinked_file(void)
{
    int fd = make_file("f", PAGE);
    char *m = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    OK(unlink("f"));
    close(fd);
    m[1] = 'u';
    EQ(m[0], pattern(0));
    fd = make_file("f", 10);
    EQ(m[1], 'u');
}

/* How many neighbours one read of the first of 16 pages at @m maps, too. */
static long neighbours(volatile char *m, int fd)
{
    MAP((char *)m, 16 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    long before = figure("/proc/vmstat", "fault_around");
    EQ(m[0], 'x');
    return figure("/proc/vmstat", "fault_around") - before;
}

/* Quire maps the cached neighbours of a page, but not again those that were mapped in vain. */
static void neighbours_come_if_used(void)
{
    if (figure("/proc/vmstat", "fault_around") < 0 ||
        strtol(contents("/proc/sys/vm/fault_around"), NULL, 10) != 16)
        SKIP("no such counter, or vm.fault_around is not 16");
    static char data[16 * PAGE];
    memset(data, 'x', sizeof(data));
    int fd = OK(open("f", O_RDWR | O_CREAT | O_TRUNC, 0600));
    EQ(write(fd, data, sizeof(data)), (ssize_t)sizeof(data));
    OK(fsync(fd));
    uintptr_t room = (uintptr_t)MAP(NULL, 32 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile char *m = (char *)((room + 16 * PAGE - 1) / (16 * PAGE) * (16 * PAGE));
    EQ(neighbours(m, fd), 15);
    EQ(neighbours(m, fd), 0);
    EQ(m[5 * PAGE], 'x'); /* a fault of its own */
    EQ(neighbours(m, fd), 1);
    EQ(neighbours(m, fd), 1);
}

static const struct test tests[] = {
    TEST(read_sees_mapping_sees_write),
    TEST(private_keeps_its_writes),
    TEST(shared_across_fork),
    TEST(beyond_the_end),
    TEST(after_truncate),
    TEST(dirty_pages_reach_the_file),
    TEST(hole_reads_zero_and_fills),
    TEST(buffer_is_the_file),
    TEST(mapping_of_unlinked_file),
    TEST(neighbours_come_if_used),
};
MAIN(tests)
