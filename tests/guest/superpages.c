/* Superpages: contents are right whatever happens to a part of one, and nothing is used in vain. */
#include "check.h"

#include <sys/prctl.h>

#define SUPER (2 * MIB)
#define SMALL (SUPER / PAGE) /* pages of a superpage */

static long vmstat(const char *key)
{
    return figure("/proc/vmstat", key);
}

static bool counts_superpages(void)
{
    return vmstat("thp_promote") >= 0;
}

/* Sets vm.thp where it is; the mode before is put back when the test ends, each runs in a guest. */
static const char *set_mode(const char *mode)
{
    static char before[16];
    int fd = open("/proc/sys/vm/thp", O_RDWR);
    if (fd < 0)
        return NULL; /* Linux */
    ssize_t n = OK(read(fd, before, sizeof(before) - 1));
    before[n] = '\0';
    EQ(OK(pwrite(fd, mode, strlen(mode), 0)), (ssize_t)strlen(mode));
    close(fd);
    return before;
}

/* @n superpages' worth of memory, aligned. */
static char *aligned(size_t n, int flags)
{
    char *m = MAP(NULL, (n + 1) * SUPER, RW, flags | MAP_ANONYMOUS, -1, 0);
    char *start = (char *)(((uintptr_t)m + SUPER - 1) & ~(SUPER - 1));
    if (start > m)
        OK(munmap(m, start - m));
    OK(munmap(start + n * SUPER, m + SUPER - start));
    return start;
}

static void fill(char *m, size_t from, size_t to, int value)
{
    for (size_t i = from; i < to; i++)
        *(long *)(m + i * PAGE) = value + (long)i;
}

static void expect(const char *m, size_t from, size_t to, int value)
{
    for (size_t i = from; i < to; i++)
        EQ(*(const long *)(m + i * PAGE), value + (long)i);
}

static long resident(void)
{
    return figure("/proc/self/status", "VmRSS");
}

/* Nothing is resident that was not touched, until the whole is full and becomes one entry. */
static void reserves_and_promotes(void)
{
    const char *before = set_mode("reserve");
    char *m = aligned(2, MAP_PRIVATE);
    long promoted = vmstat("thp_promote");
    if (!before)
        OK(madvise(m, 2 * SUPER, MADV_NOHUGEPAGE));
    m[5 * PAGE] = 1;
    long rss = resident();
    for (size_t i = 0; i < 10; i++)
        m[(20 + i) * PAGE] = 1;
    CHECK(resident() - rss <= 20 * 4);
    if (counts_superpages())
        EQ(vmstat("thp_promote"), promoted);
    fill(m, 0, 2 * SMALL, 7);
    if (counts_superpages())
        EQ(vmstat("thp_promote"), promoted + 2);
    expect(m, 0, 2 * SMALL, 7);
    CHECK(resident() - rss >= (long)(2 * SUPER / KIB) - 80);
    if (before)
        set_mode(before);
}

/* vm.thp=always, or advice: one fault for all of it. */
static void one_fault_each(void)
{
    struct rusage a, b;
    char *m = aligned(3, MAP_PRIVATE);
    OK(madvise(m, 3 * SUPER, MADV_NOHUGEPAGE));
    getrusage(RUSAGE_SELF, &a);
    fill(m, 0, SMALL, 1);
    getrusage(RUSAGE_SELF, &b);
    CHECK(b.ru_minflt - a.ru_minflt >= (long)SMALL);

    const char *before = set_mode("always");
    char *n = m + SUPER;
    if (madvise(n, 2 * SUPER, MADV_HUGEPAGE) != 0)
        EQ(errno, EINVAL);
    getrusage(RUSAGE_SELF, &a);
    fill(n, 0, 2 * SMALL, 2);
    getrusage(RUSAGE_SELF, &b);
    if (before)
        CHECK(b.ru_minflt - a.ru_minflt <= 2 + 8); /* the rest: this program's own */
    expect(m, 0, SMALL, 1);
    expect(n, 0, 2 * SMALL, 2);
    if (before)
        set_mode(before);
}

static void part_goes(char *m)
{
    OK(munmap(m + 7 * PAGE, 3 * PAGE));
    FAULTS(m + 8 * PAGE, false, SIGSEGV, SEGV_MAPERR);
    expect(m, 0, 7, 1);
    expect(m, 10, 2 * SMALL, 1);
}

static void part_is_protected(char *m)
{
    OK(mprotect(m + SUPER - PAGE, 2 * PAGE, PROT_READ));
    FAULTS(m + SUPER, true, SIGSEGV, SEGV_ACCERR);
    expect(m, 0, 2 * SMALL, 1);
    fill(m, 0, SMALL - 1, 2);
    OK(mprotect(m, 2 * SUPER, RW));
    fill(m, 0, 2 * SMALL, 3);
    expect(m, 0, 2 * SMALL, 3);
}

static void part_is_dropped(char *m)
{
    OK(madvise(m + 100 * PAGE, 100 * PAGE, MADV_DONTNEED));
    for (size_t i = 100; i < 200; i++)
        EQ(m[i * PAGE], 0);
    expect(m, 0, 100, 1);
    expect(m, 200, 2 * SMALL, 1);
    fill(m, 0, 2 * SMALL, 2);
    expect(m, 0, 2 * SMALL, 2);
}

static void all_is_dropped(char *m)
{
    OK(madvise(m, SUPER, MADV_DONTNEED));
    for (size_t i = 0; i < SMALL; i++)
        EQ(m[i * PAGE], 0);
    expect(m, SMALL, 2 * SMALL, 1);
    fill(m, 0, 2 * SMALL, 2);
    expect(m, 0, 2 * SMALL, 2);
}

static void part_moves(char *m)
{
    char *to = ANON(SUPER);
    OK(mremap(m + 3 * PAGE, SUPER, SUPER, MREMAP_MAYMOVE | MREMAP_FIXED, to));
    expect(m, 0, 3, 1);
    expect(m, SMALL + 3, 2 * SMALL, 1);
    expect(to - 3 * PAGE, 3, SMALL + 3, 1);
}

static void part_is_mapped_over(char *m)
{
    MAP(m + 500 * PAGE, 20 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (size_t i = 500; i < 520; i++)
        EQ(m[i * PAGE], 0);
    expect(m, 0, 500, 1);
    expect(m, 520, 2 * SMALL, 1);
}

static void both_write_after_fork(char *m)
{
    pid_t child = FORK();
    if (child == 0) {
        expect(m, 0, 2 * SMALL, 1);
        fill(m, 0, SMALL, 2);
        expect(m, 0, SMALL, 2);
        expect(m, SMALL, 2 * SMALL, 1);
        _exit(0);
    }
    fill(m, 100, SMALL + 100, 3);
    JOIN(child);
    expect(m, 0, 100, 1);
    expect(m, 100, SMALL + 100, 3);
    expect(m, SMALL + 100, 2 * SMALL, 1);
}

/* A child that touches nothing costs the parent no superpage. */
static void idle_child(char *m)
{
    pid_t child = FORK();
    if (child == 0)
        _exit(0);
    JOIN(child);
    fill(m, 0, 2 * SMALL, 2);
    expect(m, 0, 2 * SMALL, 2);
}

static void (*const splits[])(char *m) = {
    part_goes,  part_is_protected,   part_is_dropped,       all_is_dropped,
    part_moves, part_is_mapped_over, both_write_after_fork, idle_child,
};

static void splits_keep_contents(void)
{
    for (size_t i = 0; i < COUNT(splits); i++) {
        char *m = aligned(2, MAP_PRIVATE);
        fill(m, 0, 2 * SMALL, 1);
        splits[i](m);
        munmap(m, 2 * SUPER); /* parts may be gone */
    }
}

static void shared_memory(void)
{
    char *m = aligned(2, MAP_SHARED);
    fill(m, 0, 2 * SMALL, 1);
    pid_t child = FORK();
    if (child == 0) {
        expect(m, 0, 2 * SMALL, 1);
        fill(m, 5, SMALL + 5, 2);
        OK(munmap(m + SUPER, PAGE));
        _exit(0);
    }
    JOIN(child);
    expect(m, 0, 5, 1);
    expect(m, 5, SMALL + 5, 2);
    expect(m, SMALL + 5, 2 * SMALL, 1);
    OK(mprotect(m, PAGE, PROT_READ));
    fill(m, 1, 2 * SMALL, 3);
    expect(m, 1, 2 * SMALL, 3);
}

/* What is reserved and not used goes to those who need it. */
static void reservations_break(void)
{
    long limit = meminfo("CommitLimit") - meminfo("Committed_AS");
    if (limit > 128 * 1024) /* enough for a guest; Linux may have much more */
        limit = 128 * 1024;
    size_t sparse = limit / 2 / (SUPER / KIB), dense = (size_t)limit / 3 * KIB / PAGE;
    char *m = aligned(sparse, MAP_PRIVATE);
    for (size_t i = 0; i < sparse; i++)
        m[i * SUPER] = 1;
    char *all = ANON(dense * PAGE);
    fill(all, 0, dense, 1);
    expect(all, 0, dense, 1);
    for (size_t i = 0; i < sparse; i++)
        EQ(m[i * SUPER], 1);
    fill(m, 0, 8, 2);
    expect(m, 0, 8, 2);
}

static const struct test tests[] = {
    TEST(reserves_and_promotes), TEST(one_fault_each),     TEST(splits_keep_contents),
    TEST(shared_memory),         TEST(reservations_break),
};
MAIN(tests)
