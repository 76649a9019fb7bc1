/* Locked memory: what is locked is resident, counted, and within the limit. */
#include "check.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif
#define A (MAP_PRIVATE | MAP_ANONYMOUS)

/* Pages that /proc calls locked. */
static long locked(void)
{
    return figure("/proc/self/status", "VmLck") * 1024 / (long)PAGE;
}

static int resident(void *p, int pages)
{
    unsigned char core[256];
    int n = 0;
    CHECK(pages <= (int)COUNT(core));
    OK(mincore(p, pages * PAGE, core));
    for (int i = 0; i < pages; i++)
        n += core[i] & 1;
    return n;
}

static void limit(rlim_t bytes)
{
    struct rlimit l = {bytes, bytes};
    OK(setrlimit(RLIMIT_MEMLOCK, &l));
}

/* Gives up the right to lock without limit. */
static void unprivileged(void)
{
    if (geteuid() == 0) {
        OK(setgid(54321));
        OK(setuid(54321));
        OK(prctl(PR_SET_DUMPABLE, 1));
    }
}

static void counted_once(void)
{
    char *m = ANON(16 * PAGE);
    EQ(locked(), 0);
    OK(mlock(m, 4 * PAGE));
    EQ(locked(), 4);
    OK(mlock(m + 2 * PAGE, 4 * PAGE)); /* two of them a second time */
    EQ(locked(), 6);
    OK(munlock(m + PAGE, PAGE)); /* not counted: once is enough */
    EQ(locked(), 5);
    OK(munlock(m + 8 * PAGE, 8 * PAGE)); /* was not locked */
    OK(mlock(m + 10 * PAGE + 7, 1));     /* whole pages */
    EQ(locked(), 6);
    OK(munmap(m, 3 * PAGE));
    EQ(locked(), 4);
    MAP(m + 3 * PAGE, PAGE, RW, A | MAP_FIXED, -1, 0);
    EQ(locked(), 3);
    OK(munmap(m, 16 * PAGE));
    EQ(locked(), 0);
}

static void resident_at_once(void)
{
    int fd = make_file("f", 8 * PAGE);
    char *m = ANON(8 * PAGE), *lazy = ANON(8 * PAGE);
    char *f = MAP(NULL, 8 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    OK(madvise(lazy, 8 * PAGE, MADV_NOHUGEPAGE) == 0 || errno == EINVAL ? 0 : -1);
    OK(mlock(m, 8 * PAGE));
    EQ(resident(m, 8), 8);
    OK(mlock(f, 8 * PAGE));
    EQ(resident(f, 8), 8);
    OK(syscall(SYS_mlock2, lazy, 8 * PAGE, MLOCK_ONFAULT));
    EQ(resident(lazy, 8), 0);
    lazy[3 * PAGE] = 1;
    EQ(resident(lazy, 8), 1);
    EQ(locked(), 24);
    OK(mlock(lazy, 2 * PAGE));
    EQ(resident(lazy, 8), 3);
    /* What can be written has been: no fault is left to come. */
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 8; i++)
        m[i * PAGE] = 1;
    getrusage(RUSAGE_SELF, &after);
    EQ(after.ru_minflt, before.ru_minflt);
    char *p = MAP(NULL, 8 * PAGE, RW, A | MAP_LOCKED, -1, 0);
    EQ(resident(p, 8), 8);
    EQ(locked(), 32);
}

static void errors(void)
{
    char *m = ANON(6 * PAGE);
    OK(munmap(m + 2 * PAGE, PAGE));
    FAILS(mlock(m, 6 * PAGE), ENOMEM);
    FAILS(munlock(m, 6 * PAGE), ENOMEM);
    FAILS(mlock(m + 2 * PAGE, PAGE), ENOMEM);
    FAILS(syscall(SYS_mlock2, m, PAGE, 2), EINVAL);
    FAILS(mlock(m + PAGE, (size_t)-3 * PAGE), EINVAL);
    OK(mlock(m + 2 * PAGE, 0));
    OK(munlock(m, 2 * PAGE));
    OK(mprotect(m + 3 * PAGE, PAGE, PROT_NONE));
    FAILS(mlock(m + 3 * PAGE, PAGE), ENOMEM); /* nothing can make it resident */
    FAILS(mlockall(0), EINVAL);
    FAILS(mlockall(8), EINVAL);
    FAILS(mlockall(MCL_ONFAULT), EINVAL);
}

/* What would undo a lock is refused. */
static void kept_in_place(void)
{
    int fd = make_file("f", 4 * PAGE);
    char *m = ANON(4 * PAGE), *f = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    OK(mlock(m + PAGE, PAGE));
    OK(mlock(f, PAGE));
    m[PAGE] = 7;
    FAILS(madvise(m + PAGE, PAGE, MADV_DONTNEED), EINVAL);
    FAILS(madvise(m, 4 * PAGE, MADV_FREE), EINVAL);
    FAILS(madvise(f, PAGE, MADV_COLD), EINVAL);
    FAILS(madvise(f, PAGE, MADV_PAGEOUT), EINVAL);
    FAILS(madvise(f, PAGE, MADV_REMOVE), EINVAL);
    FAILS(msync(f, 4 * PAGE, MS_SYNC | MS_INVALIDATE), EBUSY);
    FAILS(msync(m, 4 * PAGE, MS_INVALIDATE), EBUSY);
    OK(msync(f, 4 * PAGE, MS_SYNC));
    OK(msync(f + PAGE, PAGE, MS_SYNC | MS_INVALIDATE));
    EQ(m[PAGE], 7);
    OK(munlock(m, 4 * PAGE));
    OK(madvise(m, 4 * PAGE, MADV_DONTNEED));
    EQ(m[PAGE], 0);
}

/* Pages of a file stay where they are while everything else that can go has to. */
static void under_pressure(void)
{
    enum { N = 64 };
    int fd = make_file("f", N * PAGE);
    OK(fsync(fd));
    char *f = MAP(NULL, N * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    OK(mlock(f, N * PAGE));
    long kb = meminfo("CommitLimit") - meminfo("Committed_AS") - 2048;
    size_t n = kb > 200 * 1024 ? 200 * MIB : kb > 0 ? kb * KIB & ~(PAGE - 1) : 0;
    char *m = mmap(NULL, n, RW, A, -1, 0);
    for (size_t i = 0; m != MAP_FAILED && i < n; i += PAGE)
        m[i] = 1;
    /* In what is left, pages of another file, used more than once, come and go. */
    static char block[64 * KIB];
    int other = OK(open("other", O_RDWR | O_CREAT, 0600));
    OK(ftruncate(other, 8 * MIB));
    for (int i = 0; i < 3 * 8 * 16; i++) {
        for (int twice = 0; twice < 2; twice++)
            EQ(pread(other, block, sizeof(block), i % (8 * 16) * sizeof(block)), sizeof(block));
        if (i % 100 == 0)
            EQ(resident(f, N), N);
    }
    EQ(resident(f, N), N);
}

static void limit_over_the_sum(void)
{
    limit(64 * KIB);
    unprivileged();
    char *m = ANON(32 * PAGE);
    OK(mlock(m, 12 * PAGE));
    FAILS(mlock(m + 12 * PAGE, 5 * PAGE), ENOMEM);
    OK(mlock(m, 16 * PAGE)); /* 12 of them are locked already */
    FAILS(mlock(m + 16 * PAGE, PAGE), ENOMEM);
    EQ(locked(), 16);
    FAILS((long)mmap(NULL, PAGE, RW, A | MAP_LOCKED, -1, 0), EAGAIN);
    OK(munlock(m, PAGE));
    MAP(NULL, PAGE, RW, A | MAP_LOCKED, -1, 0);
    FAILS((long)mremap(m + 15 * PAGE, PAGE, 4 * PAGE, MREMAP_MAYMOVE), EAGAIN);
    FAILS(mlockall(MCL_CURRENT), ENOMEM);
    OK(mlockall(MCL_FUTURE));
    FAILS((long)mmap(NULL, PAGE, RW, A, -1, 0), EAGAIN);
    OK(munlock(m, 32 * PAGE));
    char *f = ANON(4 * PAGE);
    EQ(resident(f, 4), 4);
    long at = syscall(SYS_brk, 0);
    EQ(syscall(SYS_brk, at + 64 * PAGE), at);
    OK(munlockall());
    EQ(locked(), 0);
    EQ(syscall(SYS_brk, at + 4 * PAGE), at + 4 * (long)PAGE);
}

static void not_allowed_at_all(void)
{
    limit(0);
    unprivileged();
    char *m = ANON(PAGE);
    FAILS(mlock(m, PAGE), EPERM);
    FAILS(mlockall(MCL_FUTURE), EPERM);
    FAILS((long)mmap(NULL, PAGE, RW, A | MAP_LOCKED, -1, 0), EPERM);
    OK(munlock(m, PAGE));
    OK(munlockall());
}

static void all_of_it(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
    char *none = MAP(NULL, PAGE, PROT_NONE, A, -1, 0), *m = ANON(4 * PAGE);
    (void)none;
    OK(mlockall(MCL_CURRENT | MCL_FUTURE));
    EQ(resident(m, 4), 4);
    long before = locked();
    CHECK(before >= 5);
    char *n = ANON(4 * PAGE);
    EQ(resident(n, 4), 4);
    EQ(locked(), before + 4);
    OK(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
    EQ(locked(), before + 4);
    n = ANON(4 * PAGE);
    EQ(resident(n, 4), 0);
    EQ(locked(), before + 8);
    /* Not inherited. */
    pid_t child = FORK();
    if (child == 0) {
        EQ(locked(), 0);
        n = ANON(4 * PAGE);
        EQ(locked(), 0);
        _exit(0);
    }
    JOIN(child);
    OK(mlockall(MCL_CURRENT)); /* no future any more */
    before = locked();
    ANON(PAGE);
    EQ(locked(), before);
    OK(munlockall());
    EQ(locked(), 0);
}

/* A locked mapping stays locked where it moves to, and what it grows by is resident. */
static void remapped(void)
{
    char *m = ANON(8 * PAGE);
    OK(munmap(m + 4 * PAGE, 4 * PAGE));
    OK(mlock(m, 2 * PAGE));
    char *n = mremap(m, 2 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED && n != m);
    EQ(locked(), 6);
    EQ(resident(n, 6), 6);
    CHECK(mremap(n, 6 * PAGE, PAGE, 0) == n);
    EQ(locked(), 1);
}

static const struct test tests[] = {
    TEST(counted_once),  TEST(resident_at_once),   TEST(errors),
    TEST(kept_in_place), TEST(limit_over_the_sum), TEST(not_allowed_at_all),
    TEST(all_of_it),     TEST(remapped),           TEST(under_pressure),
};
MAIN(tests)
