/*
 * Promised memory: every path that takes from the promise gives back exactly what it took. Only
 * where nothing else runs can that be seen, so on other systems than Quire the sequences run and
 * only their results are looked at.
 */
#include "check.h"

#define A (MAP_PRIVATE | MAP_ANONYMOUS)
#define S (MAP_SHARED | MAP_ANONYMOUS)

static bool alone(void)
{
    return figure("/proc/vmstat", "fault_zero") >= 0;
}

/* kB */
static long committed(void)
{
    return meminfo("Committed_AS");
}

/* The kB that are promised now, beyond @before, are @wanted. */
#define PROMISED(before, wanted)                  \
    do {                                          \
        if (alone())                              \
            EQ(committed() - (before), (wanted)); \
    } while (0)
#define KB(pages) ((pages) * (long)(PAGE / 1024))

static int mode(void)
{
    return strtol(contents("/proc/sys/vm/overcommit_memory"), NULL, 10);
}

static void set(const char *file, const char *value)
{
    int fd = OK(open(file, O_WRONLY));
    EQ(write(fd, value, strlen(value)), (int)strlen(value));
    close(fd);
}

static void each_call(void)
{
    char *m = ANON(PAGE); /* brings malloc and stdio to rest */
    OK(munmap(m, PAGE));
    long before = committed();
    m = ANON(10 * PAGE);
    PROMISED(before, KB(10));
    OK(munmap(m + 2 * PAGE, 3 * PAGE));
    PROMISED(before, KB(7));
    char *n = mremap(m + 5 * PAGE, 5 * PAGE, 20 * PAGE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED);
    PROMISED(before, KB(22));
    CHECK(mremap(n, 20 * PAGE, 4 * PAGE, 0) == n);
    PROMISED(before, KB(6));
    char *k = mremap(n, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(k != MAP_FAILED && k != n); /* both may be written */
    PROMISED(before, KB(10));
    OK(munmap(k, 4 * PAGE));
    OK(munmap(n, 4 * PAGE));
    MAP(m, 2 * PAGE, PROT_READ, A | MAP_FIXED, -1, 0);
    PROMISED(before, 0);
    OK(mprotect(m, PAGE, RW));
    PROMISED(before, KB(1));
    OK(mprotect(m, PAGE, PROT_NONE)); /* its contents stay */
    m = MAP(m, 2 * PAGE, PROT_NONE, A | MAP_FIXED, -1, 0);
    PROMISED(before, 0);
    OK(munmap(m, 2 * PAGE));

    char *s = MAP(NULL, 8 * PAGE, PROT_READ, S, -1, 0); /* as a whole, whoever may write */
    PROMISED(before, KB(8));
    char *t = mremap(s, 0, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(t != MAP_FAILED);
    OK(munmap(s, 8 * PAGE));
    PROMISED(before, KB(8));
    OK(munmap(t + PAGE, 7 * PAGE));
    PROMISED(before, KB(8));
    OK(munmap(t, PAGE));
    PROMISED(before, 0);

    int fd = OK(memfd_create("x", 0));
    OK(ftruncate(fd, 100 * PAGE));
    PROMISED(before, 0); /* by page */
    EQ(pwrite(fd, "x", 1, 5 * PAGE), 1);
    m = MAP(NULL, 10 * PAGE, RW, MAP_SHARED, fd, 0);
    m[0] = 1;
    PROMISED(before, KB(2));
    OK(madvise(m, PAGE, MADV_REMOVE));
    PROMISED(before, KB(1));
    m = MAP(NULL, 10 * PAGE, RW, MAP_PRIVATE, fd, 0);
    PROMISED(before, KB(11));
    OK(munmap(m, 10 * PAGE));
    OK(ftruncate(fd, 0));
    PROMISED(before, 0);

    char *end = OK((char *)sbrk(0));
    OK(brk(end + 10 * PAGE));
    PROMISED(before, KB(10));
    OK(brk(end));
    PROMISED(before, 0);
    m = MAP(NULL, PAGE, RW, A | MAP_GROWSDOWN, -1, 0);
    PROMISED(before, KB(1));
    OK(munmap(m, PAGE));
    PROMISED(before, 0);
}

/* A step of a random life in @base, N pages; failures are as good as successes. */
enum { N = 96 };
static void step(char *base, uint64_t *seed, int fd)
{
    static const int prots[] = {PROT_NONE, PROT_READ, RW, RW};
    size_t from = next_random(seed) % N, n = 1 + next_random(seed) % (N - from);
    size_t to = next_random(seed) % N;
    int prot = prots[next_random(seed) % 4];
    char *p = base + from * PAGE;
    if (n > 20)
        n = 20;
    switch (next_random(seed) % 13) {
    case 0:
    case 1:
        mmap(p, n * PAGE, prot, A | MAP_FIXED, -1, 0);
        break;
    case 2:
        mmap(p, n * PAGE, prot, S | MAP_FIXED, -1, 0);
        break;
    case 3:
        mmap(p, n * PAGE, prot, MAP_SHARED | MAP_FIXED, fd, from * PAGE);
        break;
    case 4:
        mmap(p, n * PAGE, prot, MAP_PRIVATE | MAP_FIXED, fd, from * PAGE);
        break;
    case 5:
        munmap(p, n * PAGE);
        break;
    case 6:
        mprotect(p, n * PAGE, prot);
        break;
    case 7:
        if (n <= N - to)
            mremap(p, (1 + next_random(seed) % n) * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                   base + to * PAGE);
        break;
    case 8:
        if (n <= N - to)
            mremap(p, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                   base + to * PAGE);
        break;
    case 9:
        mremap(p, n * PAGE, (1 + next_random(seed) % n) * PAGE, 0);
        break;
    case 10:
        madvise(p, n * PAGE, next_random(seed) % 2 ? MADV_DONTNEED : MADV_REMOVE);
        break;
    case 11:
        mlock(p, n * PAGE);
        break;
    case 12:
        OK(ftruncate(fd, next_random(seed) % N * PAGE));
        break;
    }
    touch(base + to * PAGE, true);
}

static void random_life(uint64_t seed, int steps)
{
    char *base = MAP(NULL, N * PAGE, PROT_NONE, A | MAP_NORESERVE, -1, 0);
    int fd = OK(memfd_create("life", 0));
    for (int i = 0; i < steps; i++) {
        step(base, &seed, fd);
        if (i % 100 == 50) {
            pid_t child = FORK();
            if (child == 0) {
                for (int k = 0; k < 20; k++)
                    step(base, &seed, fd);
                _exit(0);
            }
            JOIN(child);
        }
        if (i % 64 == 0)
            brk((char *)sbrk(0) + (next_random(&seed) % 16) * PAGE);
    }
    if (next_random(&seed) % 2) {
        execl("/proc/self/exe", "exit", "-x", "each_call", "random_lives", "modes", "ratio",
              "unreserved", "refused", NULL);
        FAIL("exec: %m");
    }
}

static void random_lives(void)
{
    const char *given = getenv("QUIRE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    long before = committed();
    for (int round = 0; round < 4; round++) {
        pid_t child = FORK();
        if (child == 0) {
            random_life(seed + round, 600);
            _exit(0);
        }
        JOIN(child);
        PROMISED(before, 0);
    }
}

/* Root alone can change the mode; it is put back whatever happens. */
static void with_mode(const char *m, void (*fn)(void))
{
    char old[16];
    sprintf(old, "%d", mode());
    set("/proc/sys/vm/overcommit_memory", m);
    pid_t child = FORK();
    if (child == 0) {
        fn();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    set("/proc/sys/vm/overcommit_memory", old);
    EQ(status, 0);
}

static size_t beyond(void)
{
    return meminfo("CommitLimit") * KIB + (64UL << 20);
}

static void in_always(void)
{
    EQ(mode(), 1);
    char *m = ANON(1UL << 36);
    m[0] = 1;
    m[(1UL << 36) - 1] = 1;
}

static void in_heuristic(void)
{
    EQ(mode(), 0);
    size_t ram = meminfo("MemTotal") * KIB;
    FAILS((long)mmap(NULL, 2 * ram, RW, A, -1, 0), ENOMEM);
    for (int i = 0; i < 4; i++) /* each alone is reasonable */
        ANON(ram / 2 & ~(PAGE - 1));
}

static void in_strict(void)
{
    EQ(mode(), 2);
    FAILS((long)mmap(NULL, beyond(), RW, A, -1, 0), ENOMEM);
    FAILS((long)mmap(NULL, beyond(), RW, A | MAP_NORESERVE, -1, 0), ENOMEM);
    FAILS((long)mmap(NULL, beyond(), RW, S | MAP_NORESERVE, -1, 0), ENOMEM);
    MAP(NULL, beyond(), PROT_READ, A, -1, 0);
}

static void modes(void)
{
    if (!alone())
        SKIP("would change the mode of a machine that others use");
    with_mode("0", in_heuristic);
    with_mode("1", in_always);
    with_mode("2", in_strict);
    int fd = OK(open("/proc/sys/vm/overcommit_memory", O_WRONLY));
    FAILS(write(fd, "3", 1), EINVAL);
    FAILS(write(fd, "x", 1), EINVAL);
    EQ(mode(), 2);
}

/* MAP_NORESERVE promises nothing where that is allowed. */
static void without_promise(void)
{
    long before = committed();
    char *m = MAP(NULL, 16 * MIB, RW, A | MAP_NORESERVE, -1, 0);
    EQ(committed(), before);
    OK(mprotect(m, MIB, PROT_READ));
    OK(mprotect(m, MIB, RW));
    EQ(committed(), before);
    m = MAP(NULL, 16 * MIB, RW, S | MAP_NORESERVE, -1, 0);
    EQ(committed(), before);
    m[5 * PAGE] = 1; /* by page */
    EQ(committed(), before + 4);
    OK(munmap(m, 16 * MIB));
    EQ(committed(), before);
    MAP(NULL, 16 * MIB, RW, A, -1, 0);
    EQ(committed(), before + 16 * 1024);
}

static void unreserved(void)
{
    if (!alone())
        SKIP("would change the mode of a machine that others use");
    with_mode("0", without_promise);
    with_mode("1", without_promise);
    long before = committed();
    MAP(NULL, MIB, RW, A | MAP_NORESERVE, -1, 0); /* strict: no effect */
    EQ(committed(), before + 1024);
}

static void ratio(void)
{
    if (!alone())
        SKIP("would change the limit of a machine that others use");
    const char *file = "/proc/sys/vm/overcommit_ratio";
    EQ(strtol(contents(file), NULL, 10), 100);
    long whole = meminfo("CommitLimit"), half;
    set(file, "50");
    half = meminfo("CommitLimit");
    set(file, "100");
    CHECK(half > whole / 2 - 1024 && half < whole / 2 + 1024);
}

static void refused(void)
{
    if (mode() != 2)
        SKIP("overcommit_memory is not 2");
    long before = committed();
    size_t n = beyond();
    char *m = ANON(4 * PAGE), *r = MAP(NULL, n, PROT_READ, A, -1, 0);
    FAILS((long)mremap(m, 4 * PAGE, n, MREMAP_MAYMOVE), ENOMEM);
    FAILS(mprotect(r, n, RW), ENOMEM);
    FAILS((long)mmap(r, n, RW, A | MAP_FIXED, -1, 0), ENOMEM);
    EQ(r[0], 0); /* still there */
    FAILS((long)mmap(NULL, n, RW, S, -1, 0), ENOMEM);
    PROMISED(before, KB(4));
    OK(munmap(m, 4 * PAGE));
    PROMISED(before, 0);
}

static const struct test tests[] = {
    TEST(each_call), TEST(random_lives), TEST(modes), TEST(unreserved), TEST(ratio), TEST(refused),
};
MAIN(tests)
