/* The mapping calls over every kind of range: holes, splits, both ends, the middle. */
#include "check.h"

#include <sys/syscall.h>

#define A (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* true when the page at @p belongs to a mapping: only then msync() accepts it. */
static bool mapped(void *p)
{
    return msync(p, PAGE, MS_ASYNC) == 0;
}

/* Room for @n pages in which nothing is mapped (another thread would be needed to disturb it). */
static char *room(size_t n)
{
    char *p = MAP(NULL, n * PAGE, PROT_NONE, A | MAP_NORESERVE, -1, 0);
    OK(munmap(p, n * PAGE));
    return p;
}

static void zero_at_first(void)
{
    char *m = ANON(64 * PAGE);
    for (size_t i = 0; i < 64 * PAGE; i += 64)
        EQ(m[i], 0);
    memset(m, 0xff, 64 * PAGE);
    OK(munmap(m, 64 * PAGE));
    m = ANON(64 * PAGE);
    for (size_t i = 0; i < 64 * PAGE; i += 64)
        EQ(m[i], 0);
}

static void unmap_middle_and_ends(void)
{
    char *m = ANON(9 * PAGE);
    for (int i = 0; i < 9; i++)
        m[i * PAGE] = (char)i;
    OK(munmap(m + 4 * PAGE, PAGE));
    OK(munmap(m, PAGE));
    OK(munmap(m + 8 * PAGE, PAGE));
    for (int i = 0; i < 9; i++) {
        bool gone = i == 0 || i == 4 || i == 8;
        EQ(mapped(m + i * PAGE), !gone);
        if (gone)
            FAULTS(m + i * PAGE, false, SIGSEGV, SEGV_MAPERR);
        else
            EQ(m[i * PAGE], i);
    }
}

/* munmap over holes and several mappings at once; a range with nothing in it is fine as well. */
static void unmap_over_holes(void)
{
    char *base = room(20);
    for (int i = 0; i < 20; i += 2)
        MAP(base + i * PAGE, PAGE, i % 4 ? PROT_READ : RW, A | MAP_FIXED, -1, 0);
    OK(munmap(base + 3 * PAGE, 12 * PAGE));
    for (int i = 0; i < 20; i++)
        EQ(mapped(base + i * PAGE), i % 2 == 0 && (i < 3 || i >= 15));
    OK(munmap(base + 3 * PAGE, 12 * PAGE));
    OK(munmap(base, 20 * PAGE));
}

static void unmap_errors(void)
{
    char *m = ANON(PAGE);
    FAILS(munmap(m + 1, PAGE), EINVAL);
    FAILS(munmap(m, 0), EINVAL);
    FAILS(munmap((void *)-PAGE, PAGE), EINVAL);
    FAILS(munmap((void *)PAGE, ~0UL - 2 * PAGE), EINVAL);
    EQ(m[0], 0);
}

static void map_errors(void)
{
    int fd = make_file("f", PAGE), out = OK(open("f", O_WRONLY)), in = OK(open("f", O_RDONLY));
    FAILS((long)mmap(NULL, 0, RW, A, -1, 0), EINVAL);
    FAILS((long)mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(syscall(SYS_mmap, 0, PAGE, RW, MAP_PRIVATE, fd, 100), EINVAL);
    FAILS((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, 99, 0), EBADF);
    FAILS((long)mmap((void *)123, PAGE, RW, A | MAP_FIXED, -1, 0), EINVAL);
    FAILS((long)mmap((void *)(1UL << 62), PAGE, RW, A | MAP_FIXED, -1, 0), ENOMEM);
    FAILS((long)mmap(NULL, ~0UL - 100 * PAGE, RW, A, -1, 0), ENOMEM);
    FAILS((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, out, 0), EACCES);
    FAILS((long)mmap(NULL, PAGE, RW, MAP_SHARED, in, 0), EACCES);
    char *m = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, in, 0);
    FAILS(mprotect(m, PAGE, RW), EACCES);
    MAP(NULL, PAGE, RW, MAP_PRIVATE, in, 0);
    int dir = OK(open(".", O_RDONLY));
    FAILS((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0), ENODEV);
}

static void fixed_replaces(void)
{
    char *m = ANON(5 * PAGE);
    memset(m, 5, 5 * PAGE);
    char *same = MAP(m + 2 * PAGE, PAGE, RW, A | MAP_FIXED, -1, 0);
    CHECK(same == m + 2 * PAGE);
    EQ(m[2 * PAGE - 1], 5);
    EQ(m[2 * PAGE], 0);
    EQ(m[3 * PAGE - 1], 0);
    EQ(m[3 * PAGE], 5);
}

static void noreplace(void)
{
    char *m = ANON(3 * PAGE);
    m[PAGE] = 9;
    FAILS((long)mmap(m + PAGE, PAGE, RW, A | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    FAILS((long)mmap(m + 2 * PAGE, 4 * PAGE, RW, A | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    EQ(m[PAGE], 9);
    OK(munmap(m + PAGE, PAGE));
    CHECK(MAP(m + PAGE, PAGE, RW, A | MAP_FIXED_NOREPLACE, -1, 0) == m + PAGE);
    EQ(m[PAGE], 0);
}

static void hints_are_taken_when_free(void)
{
    char *m = ANON(8 * PAGE);
    OK(munmap(m + 2 * PAGE, 4 * PAGE));
    CHECK(MAP(m + 3 * PAGE, PAGE, RW, A, -1, 0) == m + 3 * PAGE);
    CHECK(MAP(m, PAGE, RW, A, -1, 0) != m);
}

static void protect_splits(void)
{
    char *m = ANON(7 * PAGE);
    memset(m, 3, 7 * PAGE);
    OK(mprotect(m + 2 * PAGE, 3 * PAGE, PROT_READ));
    OK(mprotect(m + 3 * PAGE, PAGE, PROT_NONE));
    for (int i = 0; i < 7; i++) {
        char *p = m + i * PAGE;
        if (i == 3)
            FAULTS(p, false, SIGSEGV, SEGV_ACCERR);
        else
            READABLE(p);
        if (i >= 2 && i <= 4)
            FAULTS(p, true, SIGSEGV, SEGV_ACCERR);
        else
            WRITABLE(p);
    }
    OK(mprotect(m, 7 * PAGE, RW));
    for (int i = 0; i < 7; i++) {
        WRITABLE(m + i * PAGE);
        EQ(m[i * PAGE + 10], 3);
    }
}

/* mprotect over a hole: ENOMEM. (What lies before the hole may have changed; on Linux it has.) */
static void protect_hole(void)
{
    char *m = ANON(5 * PAGE);
    memset(m, 1, 5 * PAGE);
    OK(munmap(m + 2 * PAGE, PAGE));
    FAILS(mprotect(m, 5 * PAGE, PROT_READ), ENOMEM);
    WRITABLE(m + 3 * PAGE);
    FAILS(mprotect(m + 2 * PAGE, PAGE, PROT_READ), ENOMEM);
    EQ(m[PAGE], 1);
    FAILS(mprotect(m + 1, PAGE, PROT_READ), EINVAL);
    OK(mprotect(m, 0, PROT_READ));
}

/* A page made writable again after fork is still a copy on write. */
static void protect_and_fork(void)
{
    char *m = ANON(2 * PAGE);
    m[0] = 1;
    OK(mprotect(m, 2 * PAGE, PROT_READ));
    pid_t child = FORK();
    if (child == 0) {
        OK(mprotect(m, 2 * PAGE, RW));
        m[0] = 2;
        m[PAGE] = 2;
        _exit(0);
    }
    JOIN(child);
    EQ(m[0], 1);
    EQ(m[PAGE], 0);
    OK(mprotect(m, 2 * PAGE, RW));
    m[0] = 3;
    EQ(m[0], 3);
}

static void prot_none_then_protect(void)
{
    char *m = MAP(NULL, 64 * MIB, PROT_NONE, A | MAP_NORESERVE, -1, 0);
    FAULTS(m, false, SIGSEGV, SEGV_ACCERR);
    OK(mprotect(m + 32 * MIB, 4 * PAGE, RW));
    m[32 * MIB] = 1;
    FAULTS(m + 32 * MIB - 1, false, SIGSEGV, SEGV_ACCERR);
    FAULTS(m + 32 * MIB + 4 * PAGE, true, SIGSEGV, SEGV_ACCERR);
}

/* Code in memory: runs when PROT_EXEC, else SEGV_ACCERR at its own address. */
static void execute(void)
{
#if defined(__riscv)
    static const uint32_t code[] = {0x02a00513, 0x00008067}; /* li a0, 42; ret */
#else
    static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
#endif
    char *m = ANON(PAGE);
    memcpy(m, code, sizeof(code));
    OK(mprotect(m, PAGE, PROT_READ | PROT_EXEC));
    __builtin___clear_cache(m, m + sizeof(code));
    int (*call)(void) = (int (*)(void))m;
    EQ(call(), 42);
    OK(mprotect(m, PAGE, RW));
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGSEGV, &action, NULL));
    if (sigsetjmp(fault_return, 1) == 0) {
        call();
        FAIL("a page without PROT_EXEC was executed");
    }
    EQ(fault_seen.code, SEGV_ACCERR);
    CHECK(fault_seen.addr == m);
    OK(mprotect(m, PAGE, PROT_EXEC));
    EQ(call(), 42);
}

static void remap_grows_and_moves(void)
{
    char *m = MAP(room(20), 3 * PAGE, RW, A | MAP_FIXED, -1, 0);
    for (int i = 0; i < 3; i++)
        m[i * PAGE] = (char)(i + 1);
    /* Room behind: grows in place. */
    CHECK(mremap(m, 3 * PAGE, 4 * PAGE, 0) == m);
    EQ(m[2 * PAGE], 3);
    EQ(m[3 * PAGE], 0);
    /* No room behind. */
    MAP(m + 3 * PAGE, PAGE, PROT_READ, A | MAP_FIXED, -1, 0);
    char *other = ANON(PAGE);
    FAILS((long)mremap(m, 3 * PAGE, 9 * PAGE, 0), ENOMEM);
    char *n = mremap(m, 3 * PAGE, 9 * PAGE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED && n != m);
    for (int i = 0; i < 3; i++)
        EQ(n[i * PAGE], i + 1);
    EQ(n[8 * PAGE], 0);
    FAULTS(m, false, SIGSEGV, SEGV_MAPERR);
    /* Shrinking cuts the end off. */
    CHECK(mremap(n, 9 * PAGE, 2 * PAGE, 0) == n);
    EQ(mapped(n + 2 * PAGE), false);
    EQ(n[PAGE], 2);
    /* To a given place, over what is there. */
    other[0] = 99;
    CHECK(mremap(n, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other);
    EQ(other[0], 1);
    EQ(mapped(n), false);
    EQ(n[PAGE], 2);
}

static void remap_errors(void)
{
    char *m = ANON(4 * PAGE);
    OK(munmap(m + 2 * PAGE, PAGE));
    FAILS((long)mremap(m + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EINVAL);
    FAILS((long)mremap(m, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
    FAILS((long)mremap(m + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    FAILS((long)mremap(m, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);
    FAILS((long)mremap(m, PAGE, PAGE, MREMAP_FIXED, m + 3 * PAGE), EINVAL);
    FAILS((long)mremap(m, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, m + PAGE), EINVAL);
    m[0] = 1;
    EQ(m[0], 1);
}

/* A moved file mapping goes on at the same place of the file. */
static void remap_file(void)
{
    int fd = make_file("f", 8 * PAGE);
    char *m = MAP(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 2 * PAGE);
    char *n = mremap(m, 2 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED);
    for (size_t i = 0; i < 6 * PAGE; i += 999)
        EQ(n[i], pattern(2 * PAGE + i));
    n[5 * PAGE] = 'X';
    char c;
    EQ(pread(fd, &c, 1, 7 * PAGE), 1);
    EQ(c, 'X');
}

static void dontneed_zeroes(void)
{
    char *m = ANON(6 * PAGE);
    memset(m, 8, 6 * PAGE);
    OK(madvise(m + PAGE, 3 * PAGE, MADV_DONTNEED));
    for (int i = 0; i < 6; i++)
        EQ(m[i * PAGE + 5], i >= 1 && i < 4 ? 0 : 8);
    /* Over a hole: done where something is, and ENOMEM. */
    OK(munmap(m + 2 * PAGE, PAGE));
    memset(m, 8, 2 * PAGE);
    FAILS(madvise(m, 6 * PAGE, MADV_DONTNEED), ENOMEM);
    EQ(m[0], 0);
    EQ(m[5 * PAGE], 0);
    FAILS(madvise(m + 1, PAGE, MADV_DONTNEED), EINVAL);
    FAILS(madvise(m, PAGE, 12345), EINVAL);
    OK(madvise(m, 0, MADV_DONTNEED));
    /* Private file pages come back from the file, shared ones keep what was written. */
    int fd = make_file("f", PAGE);
    char *f = MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), *s = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    f[7] = 'P';
    s[9] = 'S';
    OK(madvise(f, PAGE, MADV_DONTNEED));
    OK(madvise(s, PAGE, MADV_DONTNEED));
    EQ(f[7], pattern(7));
    EQ(s[9], 'S');
    EQ(f[9], 'S');
}

static void sync_errors(void)
{
    int fd = make_file("f", 3 * PAGE);
    char *m = MAP(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    m[0] = 1;
    OK(msync(m, 3 * PAGE, MS_SYNC));
    OK(msync(m, 3 * PAGE, MS_ASYNC));
    OK(msync(m, 3 * PAGE, MS_SYNC | MS_INVALIDATE));
    FAILS(msync(m, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    FAILS(msync(m, PAGE, 64), EINVAL);
    FAILS(msync(m + 1, PAGE, MS_SYNC), EINVAL);
    OK(munmap(m + PAGE, PAGE));
    FAILS(msync(m, 3 * PAGE, MS_SYNC), ENOMEM);
}

static void brk_grows_and_shrinks(void)
{
    char *start = OK((char *)sbrk(0));
    OK(brk(start + 20 * PAGE));
    for (int i = 0; i < 19; i++)
        start[i * PAGE + 4095] = (char)(i + 1);
    OK(brk(start + 5 * PAGE));
    EQ(start[4 * PAGE - 1], 4);
    FAULTS(start + 6 * PAGE, false, SIGSEGV, SEGV_MAPERR);
    OK(brk(start + 20 * PAGE));
    for (int i = 6; i < 19; i++)
        EQ(start[i * PAGE + 4095], 0); /* fresh, not what was there */
    EQ(start[3 * PAGE + 4095], 4);
    /* Where it cannot go it stays. */
    long at = syscall(SYS_brk, 0);
    EQ(syscall(SYS_brk, 1), at);
    EQ(syscall(SYS_brk, 1UL << 60), at);
    char *top = (char *)((at + PAGE - 1) & ~(PAGE - 1));
    MAP(top + 10 * PAGE, PAGE, RW, A | MAP_FIXED, -1, 0)[0] = 'w';
    EQ(syscall(SYS_brk, at + 20 * PAGE), at);
    EQ(top[10 * PAGE], 'w');
}

static void brk_obeys_rlimit_data(void)
{
    struct rlimit limit;
    char *at = OK((char *)sbrk(0));
    getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = 256 * KIB;
    OK(setrlimit(RLIMIT_DATA, &limit));
    FAILS(brk(at + MIB), ENOMEM);
}

/* Shared anonymous memory: the same for all, whoever comes first. */
static void shared_anonymous(void)
{
    volatile int *m = (int *)MAP(NULL, 3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    m[0] = 1;
    pid_t child = FORK();
    if (child == 0) {
        EQ(m[0], 1);
        m[1] = 2;
        m[1024] = 3; /* a page nobody has touched before */
        OK(madvise((void *)m, 3 * PAGE, MADV_DONTNEED));
        EQ(m[1], 2); /* it belongs to the mapping, not to the process */
        OK(munmap((void *)m, 3 * PAGE));
        _exit(0);
    }
    JOIN(child);
    EQ(m[1], 2);
    EQ(m[1024], 3);
    EQ(m[2048], 0);
}

/* 2,000 mappings with alternating rights stay apart; unmapping every other one leaves the rest. */
static void many_mappings(void)
{
    enum { N = 2000 };
    char *base = room(N);
    for (int i = 0; i < N; i++)
        MAP(base + i * PAGE, PAGE, i % 2 ? PROT_READ : RW, A | MAP_FIXED, -1, 0);
    for (int i = 0; i < N; i += 2)
        base[i * PAGE] = (char)i;
    for (int i = 0; i < N; i += 4)
        OK(munmap(base + i * PAGE, PAGE));
    for (int i = 0; i < N; i++)
        EQ(mapped(base + i * PAGE), i % 4 != 0);
    for (int i = 2; i < N; i += 4)
        EQ(base[i * PAGE], (char)i);
    OK(munmap(base, N * PAGE));
    EQ(mapped(base + (N - 1) * PAGE), false);
}

/* Random mmap, munmap and mprotect on 64 pages against a model of what each page must be. */
static void random_against_model(void)
{
    enum { N = 64, STEPS = 1500 };
    struct {
        signed char prot; /* -1: not mapped */
        char value;
    } model[N];
    static const int prots[] = {PROT_NONE, PROT_READ, RW};
    const char *given = getenv("QUIRE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    char *base = room(N);
    for (int i = 0; i < N; i++)
        model[i].prot = -1;
    for (int step = 0; step < STEPS; step++) {
        int from = next_random(&seed) % N, n = 1 + next_random(&seed) % (N - from);
        int prot = prots[next_random(&seed) % 3], what = next_random(&seed) % 4;
        bool hole = false;
        if (n > 12)
            n = 12;
        switch (what) {
        case 0:
            MAP(base + from * PAGE, n * PAGE, prot, A | MAP_FIXED, -1, 0);
            for (int i = from; i < from + n; i++) {
                model[i].prot = prot;
                model[i].value = 0;
            }
            break;
        case 1:
            OK(munmap(base + from * PAGE, n * PAGE));
            for (int i = from; i < from + n; i++)
                model[i].prot = -1;
            break;
        case 2:
            for (int i = from; i < from + n; i++)
                hole = hole || model[i].prot < 0;
            if (hole)
                break;
            for (int i = from; i < from + n; i++)
                model[i].prot = prot;
            OK(mprotect(base + from * PAGE, n * PAGE, prot));
            break;
        case 3:
            for (int i = from; i < from + n; i++)
                if (model[i].prot == RW)
                    base[i * PAGE + i] = model[i].value = (char)(step | 1);
            break;
        }
        int i = next_random(&seed) % N;
        struct fault f = touch(base + i * PAGE + i, false);
        EQ(f.sig != 0, model[i].prot <= 0);
        if (f.sig)
            EQ(f.code, model[i].prot < 0 ? SEGV_MAPERR : SEGV_ACCERR);
        else
            EQ(base[i * PAGE + i], model[i].value);
    }
}

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* An old size of 0: the same shared memory a second time. */
static void remap_twice(void)
{
    int fd = make_file("f", 4 * PAGE);
    char *m = MAP(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    char *n = mremap(m + PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED && n != m + PAGE);
    EQ(n[0], pattern(PAGE));
    n[PAGE] = 'n';
    EQ(m[2 * PAGE], 'n');
    OK(munmap(m, 4 * PAGE));
    EQ(n[PAGE], 'n');
    char *s = MAP(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *at = room(2);
    CHECK(mremap(s, 0, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
    at[PAGE] = 's';
    EQ(s[PAGE], 's');
    FAILS((long)mremap(s, 0, 2 * PAGE, 0), ENOMEM);
    FAILS((long)mremap(ANON(PAGE), 0, PAGE, MREMAP_MAYMOVE), EINVAL);
}

/* MREMAP_DONTUNMAP: the pages go, the mapping stays. */
static void remap_leaves_the_old(void)
{
    char *m = ANON(4 * PAGE);
    memset(m, 'o', 4 * PAGE);
    OK(mprotect(m, PAGE, PROT_READ));
    char *n = mremap(m + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(n != MAP_FAILED);
    EQ(n[PAGE], 'o');
    EQ(m[PAGE], 0);
    EQ(m[2 * PAGE], 0);
    EQ(m[3 * PAGE], 'o');
    m[PAGE] = 'm';
    EQ(n[0], 'o');
    char *at = room(2);
    CHECK(mremap(n, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, at) ==
          at);
    EQ(at[0], 'o');
    EQ(n[0], 0);
    FAILS((long)mremap(m, PAGE, PAGE, MREMAP_DONTUNMAP, NULL), EINVAL);
    FAILS((long)mremap(m, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), EINVAL);
    FAILS((long)mremap(m, PAGE, PAGE, 8), EINVAL);
}

/* Shrinking and sizes that stay ask nothing of what lies in the range. */
static void remap_over_holes(void)
{
    char *m = ANON(6 * PAGE);
    OK(munmap(m + 2 * PAGE, PAGE));
    CHECK(mremap(m, 6 * PAGE, 6 * PAGE, 0) == m);
    CHECK(mremap(m, 6 * PAGE, PAGE, 0) == m);
    EQ(mapped(m), true);
    for (int i = 1; i < 6; i++)
        EQ(mapped(m + i * PAGE), false);
    FAILS((long)mremap(m, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, m + 1), EINVAL);
}

static void grows_down(void)
{
    enum { TOP = 1990, BELOW = 1000, GAP = 256 };
    char *base = room(TOP + 1);
    int fd = make_file("f", PAGE);
    FAILS((long)mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0), EINVAL);
    FAILS((long)mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0), EINVAL);
    char *m = MAP(base + TOP * PAGE, PAGE, RW, A | MAP_FIXED | MAP_GROWSDOWN | MAP_STACK, -1, 0);
    MAP(base + BELOW * PAGE, PAGE, RW, A | MAP_FIXED, -1, 0);
    WRITABLE(m);
    WRITABLE(m - 1);
    EQ(mapped(m - PAGE), true);
    EQ(mapped(m - 2 * PAGE), false);
    char *low = base + (BELOW + 1 + GAP) * PAGE;
    FAULTS(low - PAGE, true, SIGSEGV, SEGV_MAPERR); /* too near to what is below */
    WRITABLE(low);
    EQ(low[5 * PAGE], 0);
    EQ(mapped(m - 2 * PAGE), true);
    /* From its beginning, wherever that is by now. */
    OK(mprotect(m, PAGE, PROT_READ | PROT_GROWSDOWN));
    FAULTS(low, true, SIGSEGV, SEGV_ACCERR);
    FAILS(mprotect(base + BELOW * PAGE, PAGE, PROT_READ | PROT_GROWSDOWN), EINVAL);
}

/* kB */
static long status(const char *key)
{
    return figure("/proc/self/status", key);
}

/* 10 GiB of a file of four pages. */
static void sparse(void)
{
    const size_t n = 10UL << 30;
    int fd = make_file("f", 4 * PAGE);
    long tables = status("VmPTE"), rss = status("VmRSS");
    char *m = MAP(NULL, n, RW, MAP_SHARED, fd, 0);
    for (size_t i = 0; i < 4 * PAGE; i++)
        EQ(m[i], pattern(i));
    FAULTS(m + 4 * PAGE, false, SIGBUS, BUS_ADRERR);
    FAULTS(m + n / 2, true, SIGBUS, BUS_ADRERR);
    FAULTS(m + n - 1, false, SIGBUS, BUS_ADRERR);
    CHECK(status("VmPTE") - tables < 64);
    CHECK(status("VmRSS") - rss < 256);
    OK(ftruncate(fd, 8 * PAGE));
    m[7 * PAGE] = 'e';
    OK(munmap(m + 2 * PAGE, n - 4 * PAGE)); /* a hole of nearly all of it */
    EQ(mapped(m + n / 2), false);
    FAULTS(m + n - PAGE, false, SIGBUS, BUS_ADRERR);
    char c;
    EQ(pread(fd, &c, 1, 7 * PAGE), 1);
    EQ(c, 'e');
}

static void populated(void)
{
    unsigned char core[4];
    char *m = MAP(NULL, 4 * PAGE, RW, A | MAP_POPULATE, -1, 0);
    OK(mincore(m, 4 * PAGE, core));
    for (int i = 0; i < 4; i++)
        EQ(core[i] & 1, 1);
    int fd = make_file("f", 2 * PAGE);
    m = MAP(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_POPULATE, fd, 0); /* as far as there is anything */
    EQ(m[PAGE], pattern(PAGE));
    MAP(NULL, PAGE, PROT_NONE, A | MAP_POPULATE, -1, 0);
}

/* Code that can be run but not read, by the program or for it. */
static void execute_only(void)
{
#if defined(__riscv)
    static const uint32_t code[] = {0x02a00513, 0x00008067}; /* li a0, 42; ret */
    char *m = ANON(PAGE);
    memcpy(m, code, sizeof(code));
    OK(mprotect(m, PAGE, PROT_EXEC));
    __builtin___clear_cache(m, m + sizeof(code));
    EQ(((int (*)(void))m)(), 42);
    FAULTS(m, false, SIGSEGV, SEGV_ACCERR);
    FAULTS(m, true, SIGSEGV, SEGV_ACCERR);
    int fds[2];
    OK(pipe(fds));
    FAILS(write(fds[1], m, 4), EFAULT);
    OK(mprotect(m, PAGE, PROT_READ));
    EQ(write(fds[1], m, 4), 4);
#endif
}

#define MAX_MAP_COUNT "/proc/sys/vm/max_map_count"

static void set_max_map_count(long n)
{
    char text[32];
    int fd = OK(open(MAX_MAP_COUNT, O_WRONLY)), len = sprintf(text, "%ld", n);
    EQ(write(fd, text, len), len);
    close(fd);
}

/* Nobody else is bothered when the limit changes. */
static bool on_quire(void)
{
    return figure("/proc/vmstat", "fault_zero") >= 0;
}

static void number_of_mappings(void)
{
    long max = strtol(contents(MAX_MAP_COUNT), NULL, 10), n = 0;
    if (on_quire()) {
        EQ(max, 65530);
        set_max_map_count(max = 1000);
    } else if (max > 100000) {
        SKIP("the limit is far");
    }
    char *base = MAP(NULL, 2 * (max + 10) * PAGE, PROT_NONE, A | MAP_NORESERVE, -1, 0);
    while (n <= max && mprotect(base + (2 * n + 1) * PAGE, PAGE, PROT_READ) == 0)
        n++;
    EQ(errno, ENOMEM);
    CHECK(2 * n > max - 100 && 2 * n < max);
    while (mmap(NULL, PAGE, n % 2 ? PROT_READ : RW, A, -1, 0) != MAP_FAILED)
        n++;
    EQ(errno, ENOMEM);
    char *large = base + (2 * max + 3) * PAGE; /* the end of it was never cut */
    FAILS(munmap(large, PAGE), ENOMEM);
    OK(munmap(base + PAGE, PAGE)); /* whole ones can always go */
    OK(munmap(base, 2 * (max + 10) * PAGE));
    char *m = ANON(3 * PAGE);
    OK(munmap(m + PAGE, PAGE));
    if (on_quire())
        set_max_map_count(65530);
}

/* As many as memory has room for, up to 200,000. */
static void hundreds_of_thousands(void)
{
    if (!on_quire())
        SKIP("needs another limit");
    long n = meminfo("MemFree") * KIB / 3 / 160; /* two thirds of it stay free */
    if (n > 200000)
        n = 200000;
    n &= ~3L;
    set_max_map_count(n + 100);
    char *base = MAP(NULL, n * PAGE, PROT_NONE, A | MAP_NORESERVE, -1, 0);
    for (long i = 1; i < n; i += 2)
        OK(mprotect(base + i * PAGE, PAGE, PROT_READ));
    FAULTS(base + (n / 2) * PAGE, false, SIGSEGV, SEGV_ACCERR);
    READABLE(base + (n / 2 + 1) * PAGE);
    FAULTS(base + (n / 2 + 1) * PAGE, true, SIGSEGV, SEGV_ACCERR);
    OK(munmap(base, n * PAGE));
    set_max_map_count(65530);
}

static const struct test tests[] = {
    TEST(zero_at_first),
    TEST(unmap_middle_and_ends),
    TEST(unmap_over_holes),
    TEST(unmap_errors),
    TEST(map_errors),
    TEST(fixed_replaces),
    TEST(noreplace),
    TEST(hints_are_taken_when_free),
    TEST(protect_splits),
    TEST(protect_hole),
    TEST(protect_and_fork),
    TEST(prot_none_then_protect),
    TEST(execute),
    TEST(remap_grows_and_moves),
    TEST(remap_errors),
    TEST(remap_file),
    TEST(dontneed_zeroes),
    TEST(sync_errors),
    TEST(brk_grows_and_shrinks),
    TEST(brk_obeys_rlimit_data),
    TEST(shared_anonymous),
    TEST(many_mappings),
    TEST(random_against_model),
    TEST(remap_twice),
    TEST(remap_leaves_the_old),
    TEST(remap_over_holes),
    TEST(grows_down),
    TEST(sparse),
    TEST(populated),
    TEST(execute_only),
    TEST(number_of_mappings),
    TEST(hundreds_of_thousands),
};
MAIN(tests)
