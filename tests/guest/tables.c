/* Page tables that parent and child share after fork: whatever one does, the other never sees it.
 */
#include "check.h"

#include <pthread.h>

/* Three leaf tables and a bit, not aligned to them, so that there are borders within tables. */
#define SPAN  (2 * MIB)
#define BYTES (6 * MIB + 64 * KIB)
#define PAGES (BYTES / PAGE)

static long vmstat(const char *key)
{
    return figure("/proc/vmstat", key);
}

/* The stamp of page @i in generation @g. */
static long stamp(long i, long g)
{
    return g << 32 | (i + 1);
}

static void fill(char *m, long from, long to, long g)
{
    for (long i = from; i < to; i++)
        *(long *)(m + i * PAGE) = stamp(i, g);
}

static void expect(const char *m, long from, long to, long g)
{
    for (long i = from; i < to; i++)
        EQ(*(const long *)(m + i * PAGE), stamp(i, g));
}

/* Memory of small pages, every page stamped. */
static char *stamped(void)
{
    char *m = ANON(BYTES);
    if (madvise(m, BYTES, MADV_NOHUGEPAGE) != 0)
        EQ(errno, EINVAL); /* a kernel without superpages */
    fill(m, 0, PAGES, 1);
    return m;
}

/* fork does not copy what is only inherited, and what the child writes it pays for. */
static void fork_costs_tables(void)
{
    char *m = stamped();
    long shared = vmstat("table_share"), copied = vmstat("fault_cow_copy");
    pid_t child = FORK();
    if (child == 0)
        _exit(0);
    JOIN(child);
    if (shared >= 0 && strtol(contents("/proc/sys/vm/share_tables"), NULL, 10) &&
        strtol(contents("/proc/sys/vm/cow"), NULL, 10)) {
        CHECK(vmstat("table_share") - shared >= 3);
        CHECK(vmstat("fault_cow_copy") - copied < 100);
    }
    expect(m, 0, PAGES, 1);
}

/* ---- One side changes, the other looks ---- */

static void change_write(char *m)
{
    fill(m, 0, PAGES, 2);
    expect(m, 0, PAGES, 2);
}

static void change_write_some(char *m)
{
    fill(m, 3, 5, 2);
    expect(m, 0, 3, 1);
    expect(m, 3, 5, 2);
    expect(m, 5, PAGES, 1);
}

static void change_unmap_all(char *m)
{
    OK(munmap(m, BYTES));
    FAULTS(m, false, SIGSEGV, SEGV_MAPERR);
}

static void change_unmap_part(char *m)
{
    char *from = m + SPAN / 2;
    OK(munmap(from, 2 * SPAN));
    FAULTS(from, false, SIGSEGV, SEGV_MAPERR);
    expect(m, 0, SPAN / 2 / PAGE, 1);
    expect(m, 5 * SPAN / 2 / PAGE, PAGES, 1);
}

static void change_protect(char *m)
{
    OK(mprotect(m + PAGE, SPAN, PROT_NONE));
    FAULTS(m + PAGE, true, SIGSEGV, SEGV_ACCERR);
    OK(mprotect(m + PAGE, SPAN, PROT_READ));
    expect(m, 0, PAGES, 1);
    FAULTS(m + PAGE, true, SIGSEGV, SEGV_ACCERR);
    OK(mprotect(m, BYTES, RW));
    fill(m, 0, PAGES, 2);
    expect(m, 0, PAGES, 2);
}

static void change_dontneed(char *m)
{
    OK(madvise(m + PAGE, SPAN, MADV_DONTNEED));
    expect(m, 0, 1, 1);
    for (size_t i = 1; i <= SPAN / PAGE; i++)
        EQ(m[i * PAGE], 0);
    expect(m, SPAN / PAGE + 1, PAGES, 1);
}

static void change_move(char *m)
{
    char *to = ANON(BYTES + SPAN);
    OK(mremap(m, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to + 5 * PAGE));
    expect(to + 5 * PAGE, 0, PAGES, 1);
    fill(to + 5 * PAGE, 0, PAGES, 2);
    FAULTS(m, false, SIGSEGV, SEGV_MAPERR);
}

static void change_shrink(char *m)
{
    EQ(OK(mremap(m, BYTES, SPAN, 0)), m);
    expect(m, 0, SPAN / PAGE, 1);
}

static void change_map_over(char *m)
{
    EQ(MAP(m + SPAN / 2, SPAN, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), m + SPAN / 2);
    for (size_t i = 0; i < SPAN; i += PAGE)
        EQ(m[SPAN / 2 + i], 0);
    expect(m, 0, SPAN / 2 / PAGE, 1);
}

static void change_by_kernel(char *m)
{
    int fd = OK(open("/proc/self/exe", O_RDONLY));
    EQ(OK(pread(fd, m + 2 * PAGE, 2 * PAGE, 0)), 2 * PAGE);
    EQ(memcmp(m + 2 * PAGE, "\177ELF", 4), 0);
    expect(m, 0, 2, 1);
    expect(m, 4, PAGES, 1);
}

static void change_fork(char *m)
{
    pid_t child = FORK();
    if (child == 0) {
        fill(m, 0, PAGES, 3);
        expect(m, 0, PAGES, 3);
        _exit(0);
    }
    expect(m, 0, PAGES, 1);
    JOIN(child);
    fill(m, 0, PAGES, 2);
}

static void (*const changes[])(char *m) = {
    change_write,    change_write_some, change_unmap_all, change_unmap_part,
    change_protect,  change_dontneed,   change_move,      change_shrink,
    change_map_over, change_by_kernel,  change_fork,
};

/* The child changes, with the table shared by two, read by the parent before or not. */
static void child_changes(void)
{
    for (size_t i = 0; i < COUNT(changes) * 2; i++) {
        char *m = stamped();
        pid_t child = FORK();
        if (child == 0) {
            if (i & 1)
                expect(m, 0, PAGES, 1);
            changes[i / 2](m);
            _exit(0);
        }
        if (i & 1)
            expect(m, 0, PAGES, 1);
        JOIN(child);
        expect(m, 0, PAGES, 1);
        fill(m, 0, PAGES, 4);
        OK(munmap(m, BYTES));
    }
}

/* The parent changes while two children have the same tables, one of which has read them. */
static void parent_changes(void)
{
    struct gate gate = gate_open(), ready = gate_open();
    for (size_t i = 0; i < COUNT(changes); i++) {
        char *m = stamped();
        pid_t child[2];
        for (int k = 0; k < 2; k++) {
            child[k] = FORK();
            if (child[k] == 0) {
                if (k == 0)
                    expect(m, 0, PAGES, 1);
                tell(&ready);
                await(&gate);
                expect(m, 0, PAGES, 1);
                fill(m, 0, PAGES, 5);
                expect(m, 0, PAGES, 5);
                _exit(0);
            }
        }
        await(&ready);
        await(&ready);
        changes[i](m);
        tell(&gate);
        tell(&gate);
        JOIN(child[0]);
        JOIN(child[1]);
        munmap(m, BYTES); /* a change may have unmapped it */
    }
}

/* Truncation takes pages from all who map the file, also their private copies. */
static void truncation_reaches_all(void)
{
    enum { SIZE = 4 * 1024 * 1024 };
    int fd = OK(open("file", O_RDWR | O_CREAT, 0600));
    OK(ftruncate(fd, SIZE));
    struct gate gate = gate_open(), ready = gate_open();
    char *m = MAP(NULL, SIZE, RW, MAP_PRIVATE, fd, 0);
    for (size_t i = 0; i < SIZE; i += PAGE)
        m[i] = 1;
    pid_t child = FORK();
    if (child == 0) {
        EQ(m[SIZE - PAGE], 1);
        tell(&ready);
        await(&gate);
        EQ(m[0], 1);
        FAULTS(m + SIZE - PAGE, false, SIGBUS, BUS_ADRERR);
        _exit(0);
    }
    await(&ready);
    OK(ftruncate(fd, SIZE / 2));
    tell(&gate);
    EQ(m[SIZE / 2 - PAGE], 1);
    FAULTS(m + SIZE / 2, false, SIGBUS, BUS_ADRERR);
    JOIN(child);
}

/* What a process has is counted in each that shares it. */
static void resident_sets(void)
{
    char *m = stamped();
    pid_t child = FORK();
    if (child == 0) {
        CHECK(figure("/proc/self/status", "RssAnon") >= (long)(BYTES / KIB));
        OK(munmap(m, BYTES));
        CHECK(figure("/proc/self/status", "RssAnon") < (long)(BYTES / KIB));
        _exit(0);
    }
    JOIN(child);
    CHECK(figure("/proc/self/status", "RssAnon") >= (long)(BYTES / KIB));
}

/* ---- Threads that run into a shared table together ---- */

#define THREADS 4
static char *arena;
static pthread_barrier_t barrier;

/* Each thread owns every fourth page. */
static void *write_own_pages(void *arg)
{
    long me = (long)arg;
    for (int round = 0; round < 12; round++) {
        pthread_barrier_wait(&barrier); /* the main thread has just forked */
        for (long i = me; i < (long)PAGES; i += THREADS) {
            long *p = (long *)(arena + i * PAGE);
            EQ(*p, stamp(i, round + 1));
            *p = stamp(i, round + 2);
        }
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void threads_race(void)
{
    pthread_t thread[THREADS];
    arena = stamped();
    EQ(pthread_barrier_init(&barrier, NULL, THREADS + 1), 0);
    for (long i = 0; i < THREADS; i++)
        EQ(pthread_create(&thread[i], NULL, write_own_pages, (void *)i), 0);
    for (int round = 0; round < 12; round++) {
        pid_t child = FORK();
        if (child == 0) {
            expect(arena, 0, PAGES, round + 1);
            _exit(0);
        }
        pthread_barrier_wait(&barrier);
        JOIN(child);
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    expect(arena, 0, PAGES, 13);
}

static const struct test tests[] = {
    TEST(fork_costs_tables),      TEST(child_changes), TEST(parent_changes),
    TEST(truncation_reaches_all), TEST(resident_sets), TEST(threads_race),
};
MAIN(tests)
