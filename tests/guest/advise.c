/* madvise, each advice: what it changes and what it must leave alone. */
#include "check.h"

#include <sys/sysmacros.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#define A        (MAP_PRIVATE | MAP_ANONYMOUS)
#define S        (MAP_SHARED | MAP_ANONYMOUS)
#define ROUNDS   50 /* of waiting for something that begins at once and ends some time */
#define PAUSE_MS 20

static int resident(void *p, int pages)
{
    unsigned char core[64];
    int n = 0;
    OK(mincore(p, pages * PAGE, core));
    for (int i = 0; i < pages; i++)
        n += core[i] & 1;
    return n;
}

/* Only Quire tells of its faults by kind. */
static bool on_quire(void)
{
    return figure("/proc/vmstat", "fault_zero") >= 0;
}

static void freed_pages(void)
{
    char *m = ANON(4 * PAGE);
    memset(m, 'f', 4 * PAGE);
    OK(madvise(m, 2 * PAGE, MADV_FREE));
    for (size_t i = 0; i < 2 * PAGE; i++)
        CHECK(m[i] == 0 || m[i] == 'f');
    m[0] = 'n'; /* written after: stays */
    EQ(m[0], 'n');
    EQ(m[2 * PAGE], 'f');
    int fd = make_file("f", PAGE);
    FAILS(madvise(MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), PAGE, MADV_FREE), EINVAL);
    FAILS(madvise(MAP(NULL, PAGE, RW, S, -1, 0), PAGE, MADV_FREE), EINVAL);
}

static void wiped_on_fork(void)
{
    char *m = ANON(4 * PAGE);
    memset(m, 'w', 4 * PAGE);
    OK(madvise(m + PAGE, 2 * PAGE, MADV_WIPEONFORK));
    for (int deep = 0; deep < 2; deep++) {
        pid_t child = FORK();
        if (child != 0) {
            JOIN(child);
            break;
        }
        EQ(m[0], 'w');
        EQ(m[PAGE], 0);
        EQ(m[3 * PAGE - 1], 0);
        EQ(m[3 * PAGE], 'w');
        m[PAGE] = 'c';
        if (deep == 1)
            _exit(0);
    }
    if (m[PAGE] == 'c')
        _exit(0); /* the middle one */
    EQ(m[PAGE], 'w');
    OK(madvise(m, 4 * PAGE, MADV_KEEPONFORK));
    pid_t child = FORK();
    if (child == 0) {
        EQ(m[PAGE], 'w');
        _exit(0);
    }
    JOIN(child);
    int fd = make_file("f", PAGE);
    FAILS(madvise(MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), PAGE, MADV_WIPEONFORK), EINVAL);
    FAILS(madvise(MAP(NULL, PAGE, RW, S, -1, 0), PAGE, MADV_WIPEONFORK), EINVAL);
}

static void left_out_of_fork(void)
{
    char *m = ANON(3 * PAGE);
    memset(m, 'd', 3 * PAGE);
    OK(madvise(m + PAGE, PAGE, MADV_DONTFORK));
    pid_t child = FORK();
    if (child == 0) {
        EQ(m[0], 'd');
        FAULTS(m + PAGE, false, SIGSEGV, SEGV_MAPERR);
        EQ(m[2 * PAGE], 'd');
        _exit(0);
    }
    JOIN(child);
    EQ(m[PAGE], 'd');
    OK(madvise(m, 3 * PAGE, MADV_DOFORK));
    child = FORK();
    if (child == 0) {
        EQ(m[PAGE], 'd');
        _exit(0);
    }
    JOIN(child);
}

/* Shared memory gives the pages back for all who see it. */
static void removed(void)
{
    int fd = OK(memfd_create("x", 0)), file = make_file("f", PAGE);
    OK(ftruncate(fd, 4 * PAGE));
    char *m = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    char *other = MAP(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    char *copy = MAP(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0),
         *s = MAP(NULL, 4 * PAGE, RW, S, -1, 0);
    memset(m, 'r', 4 * PAGE);
    memset(s, 's', 4 * PAGE);
    copy[PAGE] = 'c';
    OK(madvise(m + PAGE, 2 * PAGE, MADV_REMOVE));
    for (int i = 0; i < 4; i++)
        EQ(other[i * PAGE], i == 1 || i == 2 ? 0 : 'r');
    EQ(copy[PAGE], 'c');
    EQ(copy[2 * PAGE], 0);
    struct stat st;
    OK(fstat(fd, &st));
    EQ(st.st_size, 4 * PAGE);
    m[PAGE] = 'n';
    EQ(other[PAGE], 'n');
    pid_t child = FORK();
    if (child == 0) {
        OK(madvise(s, PAGE, MADV_REMOVE));
        _exit(0);
    }
    JOIN(child);
    EQ(s[0], 0);
    EQ(s[PAGE], 's');
    FAILS(madvise(ANON(PAGE), PAGE, MADV_REMOVE), EINVAL);
    FAILS(madvise(copy, PAGE, MADV_REMOVE), EACCES);
    FAILS(madvise(MAP(NULL, PAGE, RW, MAP_PRIVATE, file, 0), PAGE, MADV_REMOVE), EACCES);
    OK(munmap(s + PAGE, PAGE));
    FAILS(madvise(s, 4 * PAGE, MADV_REMOVE), ENOMEM);
    EQ(s[2 * PAGE], 0); /* done all the same */
}

/* Cold and paged out memory has its contents when it is wanted again. */
static void cold_and_out(void)
{
    enum { N = 40 };
    int fd = make_file("f", N * PAGE);
    OK(fsync(fd));
    char *clean = MAP(NULL, N * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    char *anon = ANON(N * PAGE);
    memset(anon, 'a', N * PAGE);
    OK(madvise(clean, N * PAGE, MADV_POPULATE_READ));
    OK(madvise(clean, N * PAGE, MADV_COLD));
    OK(madvise(anon, N * PAGE, MADV_COLD));
    OK(madvise(anon, N * PAGE, MADV_PAGEOUT));
    EQ(resident(clean, N), N);
    OK(madvise(clean, N * PAGE, MADV_PAGEOUT));
    struct stat st;
    OK(fstat(fd, &st));
    if (on_quire() && major(st.st_dev) != 0) /* has a disk below it */
        EQ(resident(clean, N), 0);
    for (size_t i = 0; i < N * PAGE; i++)
        EQ(clean[i], pattern(i));
    char *dirty = MAP(NULL, N * PAGE, RW, MAP_SHARED, fd, 0);
    for (int i = 0; i < N; i++)
        dirty[i * PAGE] = 'D';
    OK(madvise(dirty, N * PAGE, MADV_PAGEOUT));
    for (size_t i = 0; i < N * PAGE; i++)
        EQ(dirty[i], i % PAGE ? pattern(i) : 'D');
    for (size_t i = 0; i < N * PAGE; i += 64)
        EQ(anon[i], 'a');
}

/* Reading begins before the first access. */
static void wanted_soon(void)
{
    enum { N = 60 };
    int fd = make_file("f", N * PAGE);
    OK(fsync(fd));
    OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    char *m = MAP(NULL, 2 * N * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    OK(madvise(m, 2 * N * PAGE, MADV_WILLNEED));
    for (int i = 0; i < ROUNDS && resident(m, N) < N; i++)
        sleep_ms(PAUSE_MS);
    EQ(resident(m, N), N);
    OK(madvise(ANON(PAGE), PAGE, MADV_WILLNEED));
}

static void populated(void)
{
    int fd = make_file("f", 2 * PAGE);
    char *m = ANON(6 * PAGE), *f = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    OK(madvise(m, 4 * PAGE, MADV_NOHUGEPAGE) == 0 || errno == EINVAL ? 0 : -1);
    OK(madvise(m, 2 * PAGE, MADV_POPULATE_WRITE));
    EQ(resident(m, 2), 2);
    OK(madvise(f, 2 * PAGE, MADV_POPULATE_WRITE));
    EQ(f[PAGE], pattern(PAGE)); /* nothing is written */
    FAILS(madvise(f, 4 * PAGE, MADV_POPULATE_READ), EFAULT);
    OK(mprotect(m, PAGE, PROT_READ));
    OK(mprotect(m + PAGE, PAGE, PROT_NONE));
    OK(munmap(m + 2 * PAGE, PAGE));
    OK(madvise(m, PAGE, MADV_POPULATE_READ));
    FAILS(madvise(m, PAGE, MADV_POPULATE_WRITE), EINVAL);
    FAILS(madvise(m + PAGE, PAGE, MADV_POPULATE_READ), EINVAL);
    FAILS(madvise(m + 2 * PAGE, 2 * PAGE, MADV_POPULATE_READ), ENOMEM);
}

/* The flags of the mapping at @p as smaps shows them. */
static bool has_flag(void *p, const char *flag)
{
    char line[512], key[32];
    bool found = false, in = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    CHECK(f);
    sprintf(key, "%08lx-", (unsigned long)p);
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, key, strlen(key)) == 0)
            in = true;
        if (in && strncmp(line, "VmFlags:", 8) == 0) {
            found = strstr(line, flag);
            break;
        }
    }
    CHECK(in);
    fclose(f);
    return found;
}

static void kept_as_flags(void)
{
    static const struct {
        int set, clear;
        const char *flag;
    } kept[] = {
        {MADV_DONTFORK, MADV_DOFORK, " dc "},     {MADV_WIPEONFORK, MADV_KEEPONFORK, " wf "},
        {MADV_DONTDUMP, MADV_DODUMP, " dd "},     {MADV_SEQUENTIAL, MADV_NORMAL, " sr "},
        {MADV_RANDOM, MADV_NORMAL, " rr "},       {MADV_HUGEPAGE, MADV_NOHUGEPAGE, " hg "},
        {MADV_NOHUGEPAGE, MADV_HUGEPAGE, " nh "},
    };
    for (unsigned i = 0; i < COUNT(kept); i++) {
        /* Borders of its own, whatever lies beside it. */
        char *m = MAP(NULL, 5 * PAGE, PROT_NONE, A, -1, 0) + PAGE;
        MAP(m, 3 * PAGE, RW, A | MAP_FIXED, -1, 0);
        if (madvise(m + PAGE, PAGE, kept[i].set) != 0) {
            EQ(errno, EINVAL);
            CHECK(strstr(" hg  nh ", kept[i].flag)); /* a Linux without superpages */
            continue;
        }
        CHECK(!has_flag(m, kept[i].flag));
        CHECK(has_flag(m + PAGE, kept[i].flag));
        CHECK(!has_flag(m + 2 * PAGE, kept[i].flag));
        /* Over a hole: done where something is. */
        OK(munmap(m + 2 * PAGE, PAGE));
        FAILS(madvise(m, 4 * PAGE, kept[i].clear), ENOMEM);
        CHECK(!has_flag(m, kept[i].flag));
    }
}

static void errors(void)
{
    char *m = ANON(PAGE);
    static const int advice[] = {MADV_NORMAL,   MADV_RANDOM,  MADV_SEQUENTIAL, MADV_WILLNEED,
                                 MADV_DONTNEED, MADV_FREE,    MADV_DONTFORK,   MADV_WIPEONFORK,
                                 MADV_COLD,     MADV_PAGEOUT, MADV_REMOVE,     MADV_POPULATE_READ};
    for (unsigned i = 0; i < COUNT(advice); i++) {
        FAILS(madvise(m + 1, PAGE, advice[i]), EINVAL);
        OK(madvise(m, 0, advice[i]));
        char *gone = ANON(PAGE);
        OK(munmap(gone, PAGE));
        FAILS(madvise(gone, PAGE, advice[i]), ENOMEM);
    }
    FAILS(madvise(m, PAGE, 12345), EINVAL);
    FAILS(madvise(m, PAGE, -1), EINVAL);
    OK(mlock(m, PAGE));
    m[0] = 1;
    OK(madvise(m, PAGE, MADV_DONTNEED_LOCKED));
    EQ(m[0], 0);
}

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static bool line_of(void *p, const char *text)
{
    char key[32];
    sprintf(key, "%08lx-", (unsigned long)p);
    const char *maps = contents("/proc/self/maps"), *line = strstr(maps, key);
    CHECK(line);
    const char *end = strchr(line, '\n'), *at = strstr(line, text);
    return at && at < end;
}

static void names(void)
{
    char *m = MAP(NULL, 5 * PAGE, PROT_NONE, A, -1, 0) + PAGE, *s = MAP(NULL, PAGE, RW, S, -1, 0);
    MAP(m, 3 * PAGE, RW, A | MAP_FIXED, -1, 0);
    if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m + PAGE, PAGE, "my memory") != 0) {
        EQ(errno, EINVAL);
        SKIP("a Linux without names");
    }
    CHECK(!line_of(m, "[anon"));
    CHECK(line_of(m + PAGE, "[anon:my memory]"));
    OK(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, s, PAGE, "seen"));
    CHECK(line_of(s, "[anon_shmem:seen]"));
    pid_t child = FORK();
    if (child == 0) {
        CHECK(line_of(m + PAGE, "[anon:my memory]"));
        _exit(0);
    }
    JOIN(child);
    /* Equal names join again, no name as well. */
    OK(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, PAGE, "my memory"));
    CHECK(line_of(m, "[anon:my memory]"));
    OK(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, 3 * PAGE, NULL));
    CHECK(!line_of(m, "[anon"));
    char name[90];
    memset(name, 'x', sizeof(name));
    name[79] = 0;
    OK(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, PAGE, name));
    name[79] = 'x';
    name[80] = 0;
    FAILS(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, PAGE, name), EINVAL);
    FAILS(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, PAGE, "a[b"), EINVAL);
    FAILS(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m + 1, PAGE, "a"), EINVAL);
    FAILS(prctl(PR_SET_VMA, 7, m, PAGE, "a"), EINVAL);
    char *f = MAP(NULL, PAGE, PROT_READ, MAP_PRIVATE, make_file("f", PAGE), 0);
    FAILS(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, f, PAGE, "a"), EBADF);
    OK(munmap(s, PAGE));
    FAILS(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, s, PAGE, "a"), ENOMEM);
}

static void superpages_off(void)
{
    EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
    OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
    FAILS(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
    pid_t child = FORK();
    if (child == 0) {
        EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
        OK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
        _exit(0);
    }
    JOIN(child);
    EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
}

static const struct test tests[] = {
    TEST(freed_pages),  TEST(wiped_on_fork), TEST(left_out_of_fork), TEST(removed),
    TEST(cold_and_out), TEST(wanted_soon),   TEST(populated),        TEST(kept_as_flags),
    TEST(errors),       TEST(names),         TEST(superpages_off),
};
MAIN(tests)
