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

/* ---- Exact laws of Quire's own counters, where they exist; nothing else runs in the guest ---- */

enum {
    ZERO,
    ZERO_PAGE,
    COPY,
    REUSE,
    ALLOCATED,
    FREED,
    TABLES_MADE,
    TABLES_FREED,
    FREE,
    SLAB,
    WIRED,
    COUNTERS
};
static const char *const counter_names[COUNTERS] = {
    "fault_zero",    "fault_zero_page", "fault_cow_copy", "fault_cow_reuse",
    "pgalloc",       "pgfree",          "table_alloc",    "table_free",
    "nr_free_pages", "nr_slab_pages",   "nr_wired_pages",
};
struct counters {
    long v[COUNTERS];
};

/* Reads them without touching memory for the first time, but for the first time it runs. */
static struct counters counters(void)
{
    static char text[16384];
    struct counters c;
    int fd = OK(open("/proc/vmstat", O_RDONLY));
    ssize_t n = OK(read(fd, text, sizeof(text) - 1));
    close(fd);
    text[n] = 0;
    for (int i = 0; i < COUNTERS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "\n%s ", counter_names[i]);
        const char *line = strncmp(text, key + 1, strlen(key + 1)) ? strstr(text, key) : text - 1;
        c.v[i] = line ? strtol(line + strlen(key), NULL, 10) : -1;
    }
    if (c.v[ZERO] < 0)
        SKIP("no counters of Quire");
    return c;
}

/* What happened since @before. */
static struct counters since(const struct counters *before)
{
    struct counters now = counters();
    for (int i = 0; i < COUNTERS; i++)
        now.v[i] -= before->v[i];
    return now;
}

static void write_pages(char *m, int n, int value)
{
    for (int i = 0; i < n; i++)
        m[i * PAGE] = value;
}

/*
 * What @run does with N pages, less what it does with none (its own stack), is what @wanted says. A
 * thread of the kernel, or one that is not quite gone, may have its share in a counter: one of a
 * few attempts must be exact.
 */
static void costs(struct counters (*run)(char *m, int n), const long wanted[REUSE + 1])
{
    for (int attempt = 0;; attempt++) {
        char *m = small_pages();
        run(m, 0);
        struct counters none = run(m, 0), all = run(m, N);
        bool exact = true;
        for (int i = 0; i <= REUSE; i++)
            exact = exact && all.v[i] - none.v[i] == wanted[i];
        OK(munmap(m, N * PAGE));
        if (exact)
            return;
        for (int i = 0; i <= REUSE && attempt == 4; i++)
            printf("%s: %ld, expected %ld\n", counter_names[i], all.v[i] - none.v[i], wanted[i]);
        if (attempt == 4)
            FAIL("the law is broken");
        sleep_ms(100);
    }
}

static struct counters run_touch(char *m, int n)
{
    struct counters before = counters();
    write_pages(m, n, 1);
    return since(&before);
}

static struct counters run_read_then_write(char *m, int n)
{
    volatile char *v = m;
    struct counters before = counters();
    for (int i = 0; i < n; i++)
        (void)v[i * PAGE];
    write_pages(m, n / 2, 1);
    return since(&before);
}

/* Pages touched = zero-fill faults. */
static void law_of_touching(void)
{
    costs(run_touch, (long[]){[ZERO] = N, [ZERO_PAGE] = 0, [COPY] = 0, [REUSE] = 0});
    costs(run_read_then_write, (long[]){[ZERO] = N / 2, [ZERO_PAGE] = N, [COPY] = 0, [REUSE] = 0});
}

/* The child writes @n pages, then the parent does. */
static struct counters run_fork_write(char *m, int n)
{
    write_pages(m, N, 1);
    struct counters before = counters();
    pid_t child = FORK();
    if (child == 0) {
        write_pages(m, n, 2);
        _exit(0);
    }
    JOIN(child);
    write_pages(m, n, 3);
    return since(&before);
}

/* The parent writes @n pages while the child looks on, then the child does. */
static struct counters run_write_before_child(char *m, int n)
{
    int fds[2];
    char c;
    write_pages(m, N, 1);
    OK(pipe(fds));
    struct counters before = counters();
    pid_t child = FORK();
    if (child == 0) {
        close(fds[1]);
        CHECK(read(fds[0], &c, 1) == 0);
        write_pages(m, n, 2);
        _exit(0);
    }
    close(fds[0]);
    write_pages(m, n, 3);
    close(fds[1]);
    JOIN(child);
    return since(&before);
}

/* Pages written after fork = copies + reuses: of each pair one is copied, the other reused. */
static void law_of_copying(void)
{
    costs(run_fork_write, (long[]){[ZERO] = 0, [ZERO_PAGE] = 0, [COPY] = N, [REUSE] = N});
    costs(run_write_before_child, (long[]){[ZERO] = 0, [ZERO_PAGE] = 0, [COPY] = N, [REUSE] = N});
}

/* Allocated = freed after everything exits: of 500 rounds nothing is left. */
static void law_of_leaving(void)
{
    enum { WARM_UP = 50, ROUNDS = 500, PAGES = 40 };
    struct counters before = counters(), c = {{0}};
    char *m = small_pages();
    write_pages(m, PAGES, 1);
    for (int i = 0; i < WARM_UP + ROUNDS; i++) {
        pid_t child = FORK();
        if (child == 0) {
            write_pages(m, PAGES, 2); /* copies */
            write_pages(m + PAGES * PAGE, PAGES, 2);
            _exit(0);
        }
        JOIN(child);
        if (i == WARM_UP) {
            sleep_ms(100);
            before = counters();
        }
    }
    /* The last child's table goes when its CPU is through with it. The kernel keeps stacks and
     * pages of slabs for the next ones: more on one CPU, fewer on another. */
    long kept = 0, net = 1;
    for (int attempt = 0; attempt < 50 && net != kept; attempt++) {
        sleep_ms(20);
        c = since(&before);
        net = c.v[ALLOCATED] - c.v[FREED];
        kept = c.v[SLAB] + c.v[WIRED];
    }
    CHECK(c.v[ALLOCATED] >= (ROUNDS - 1) * 2 * PAGES);
    EQ(net, kept);
    EQ(c.v[FREE], -kept);
    EQ(c.v[TABLES_MADE], c.v[TABLES_FREED]);
    /* That is bounded by what the CPUs may keep; a page lost in each round would be 500. */
    CHECK(labs(c.v[SLAB]) <= 40 && labs(c.v[WIRED]) <= 200);
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
    TEST(law_of_touching),
    TEST(law_of_copying),
    TEST(law_of_leaving),
    TEST(too_much_is_refused),
    TEST(fork_is_refused),
    TEST(promises_add_up),
};
MAIN(tests)
