/* Lazy memory and its counters, and the promise behind it: strict commit. */
#include "check.h"

#define N 512

static long vmstat(const char *key)
{
    return figure("/proc/vmstat", key);
}

/* Bytes of this process that are resident. */
static long resident(void)
{
    long size, rss;
    EQ(sscanf(contents("/proc/self/statm"), "%ld %ld", &size, &rss), 2);
    return rss * PAGE;
}

/* N pages that no superpage serves. */
static char *small_pages(void)
{
    char *m = ANON(N * PAGE);
    if (madvise(m, N * PAGE, MADV_NOHUGEPAGE) != 0)
        EQ(errno, EINVAL); /* a kernel without superpages */
    return m;
}

/* Mapping costs nothing, each first touch one page. */
static void touched_pages_become_resident(void)
{
    char *m = small_pages();
    resident(); /* touches what it needs itself */
    long before = resident();
    for (int i = 0; i < N; i += 2)
        m[i * PAGE] = 1;
    long after = resident();
    CHECK(after - before >= N / 2 * (long)PAGE);
    CHECK(after - before <= (N / 2 + 16) * (long)PAGE);
    OK(munmap(m, N * PAGE));
    CHECK(resident() <= before + 16 * (long)PAGE);
}

static void mincore_tells(void)
{
    unsigned char core[N];
    char *m = small_pages();
    for (int i = 0; i < N; i += 3)
        m[i * PAGE] = 1;
    OK(mincore(m, N * PAGE, core));
    for (int i = 0; i < N; i++)
        EQ(core[i] & 1, i % 3 == 0);
    FAILS(mincore(m + 1, PAGE, core), EINVAL);
    OK(munmap(m + PAGE, PAGE));
    FAILS(mincore(m, 4 * PAGE, core), ENOMEM);
    FAILS(mincore(m, PAGE, NULL), EFAULT);
}

/* Page faults of the process: one per page, none for pages touched before. */
static void faults_are_counted(void)
{
    struct rusage before, between, after;
    char *m = small_pages();
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < N; i++)
        m[i * PAGE] = 1;
    getrusage(RUSAGE_SELF, &between);
    for (int i = 0; i < N; i++)
        m[i * PAGE] = 2;
    getrusage(RUSAGE_SELF, &after);
    CHECK(between.ru_minflt - before.ru_minflt >= N);
    CHECK(between.ru_minflt - before.ru_minflt < N + 20);
    CHECK(after.ru_minflt - between.ru_minflt < 20);
}

/* Exact laws of Quire's own counters, where they exist. Nothing else runs in the guest. */
static void laws(void)
{
    if (vmstat("fault_zero") < 0)
        SKIP("no counters of Quire");
    char *m = ANON(N * PAGE);
    long zero = vmstat("fault_zero"), copy = vmstat("fault_cow_copy");
    long reuse = vmstat("fault_cow_reuse");
    for (int i = 0; i < N; i++)
        m[i * PAGE] = 1;
    zero = vmstat("fault_zero") - zero;
    CHECK(zero >= N && zero < N + 40); /* the rest: this test's own stack and heap */
    pid_t child = FORK();
    if (child == 0) {
        for (int i = 0; i < N; i++)
            m[i * PAGE] = 2;
        _exit(0);
    }
    JOIN(child);
    long copied = vmstat("fault_cow_copy") - copy;
    for (int i = 0; i < N; i++)
        m[i * PAGE] = 3;
    long total = vmstat("fault_cow_copy") - copy + vmstat("fault_cow_reuse") - reuse;
    CHECK(copied >= N && copied < N + 60);        /* the child copied, the parent still had them */
    CHECK(total >= 2 * N && total < 2 * N + 120); /* the parent then took its own back */
}

/* More than RAM and swap is refused at the call, not at the touch (Linux: mode 2 of overcommit). */
static void too_much_is_refused(void)
{
    if (strtol(contents("/proc/sys/vm/overcommit_memory"), NULL, 10) != 2)
        SKIP("overcommit_memory is not 2");
    size_t limit = meminfo("CommitLimit") * 1024UL;
    FAILS((long)mmap(NULL, limit * 2, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    FAILS((long)mmap(NULL, limit * 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), ENOMEM);
    FAILS(brk((char *)sbrk(0) + limit), ENOMEM);
    /* What can never be written needs no promise, until it can. */
    char *m = MAP(NULL, limit * 2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAILS(mprotect(m, limit * 2, RW), ENOMEM);
    OK(mprotect(m, PAGE, RW));
    m[0] = 1;
    OK(munmap(m, limit * 2));
}

/* fork needs the promise for the child's copies. A promise is given back with the mapping. */
static void fork_is_refused(void)
{
    if (strtol(contents("/proc/sys/vm/overcommit_memory"), NULL, 10) != 2)
        SKIP("overcommit_memory is not 2");
    size_t limit = meminfo("CommitLimit") * 1024UL;
    for (int round = 0; round < 10; round++) {
        size_t n = limit / 10 * 6 & ~(PAGE - 1);
        char *m = ANON(n);
        FAILS(fork(), ENOMEM);
        pid_t child = vfork(); /* shares, so it needs nothing */
        if (child == 0)
            _exit(0);
        JOIN(child);
        OK(munmap(m + PAGE, n - PAGE));
        child = FORK();
        if (child == 0)
            _exit(m[0]);
        JOIN(child);
        OK(munmap(m, PAGE));
    }
}

static void promises_add_up(void)
{
    if (meminfo("Committed_AS") < 0)
        FAIL("no Committed_AS");
    if (vmstat("fault_zero") < 0)
        SKIP("other programs run beside this one");
    long before = meminfo("Committed_AS");
    char *m = ANON(4 * MIB);
    EQ(meminfo("Committed_AS"), before + 4096);
    OK(mprotect(m, MIB, PROT_READ));
    OK(munmap(m + 3 * MIB, MIB));
    EQ(meminfo("Committed_AS"), before + 3072);
    OK(munmap(m, 3 * MIB));
    EQ(meminfo("Committed_AS"), before);
}

static const struct test tests[] = {
    TEST(touched_pages_become_resident),
    TEST(mincore_tells),
    TEST(faults_are_counted),
    TEST(laws),
    TEST(too_much_is_refused),
    TEST(fork_is_refused),
    TEST(promises_add_up),
};
MAIN(tests)
