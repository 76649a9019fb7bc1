/*
 * What every guest program needs. A program is a table of tests; each test runs in a child of its
 * own (its own process group, an empty folder as working directory, a time limit), so a failure,
 * a crash or a hang of one says nothing about the others.
 *
 *     program               all tests
 *     program NAME...       those
 *     program -x NAME...    all but those
 *
 * Output: "ok NAME", "skip NAME: why" or "FAIL NAME: how it ended" per test, and before that what
 * was expected, with file and line. Exit status 0 when nothing failed. QUIRE_SEED shuffles.
 * The programs know nothing of Quire: they must pass on Linux too.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED      __attribute__((unused))
#define PAGE        4096UL
#define KIB         1024UL
#define MIB         (1024UL * 1024)
#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
#define TIME_LIMIT  90 /* seconds a test may take */
#define STATUS_SKIP 77

struct test {
    const char *name;
    void (*run)(void);
};
#define TEST(fn) \
    {            \
#fn, fn  \
    }

/* ---- Expectations. They end the process they fail in; JOIN() passes a child's failure on. ---- */

static UNUSED void __attribute__((noreturn, format(printf, 3, 4)))
fail_at(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    int n = snprintf(text, sizeof(text), "%s:%d: ", file, line);
    n += vsnprintf(text + n, sizeof(text) - n - 2, format, ap);
    va_end(ap);
    if (n > (int)sizeof(text) - 2)
        n = sizeof(text) - 2;
    text[n++] = '\n';
    ssize_t written = write(1, text, n); /* one write: lines of several processes do not mix */
    _exit(written == n ? 1 : 2);
}

#define FAIL(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(c)                                           \
    do {                                                   \
        if (!(c))                                          \
            FAIL("expected %s (errno %d: %m)", #c, errno); \
    } while (0)
/* The two integers are equal. */
#define EQ(a, b)                                                                            \
    do {                                                                                    \
        long long a_ = (long long)(a), b_ = (long long)(b);                                 \
        if (a_ != b_)                                                                       \
            FAIL("%s is %lld (%#llx), expected %s = %lld (%#llx)", #a, a_, a_, #b, b_, b_); \
    } while (0)
/* The call does not return -1; its value. */
#define OK(call)                                           \
    ({                                                     \
        __typeof__(call) r_ = (call);                      \
        if ((long)r_ == -1)                                \
            FAIL("%s failed: errno %d: %m", #call, errno); \
        r_;                                                \
    })
/* The call returns -1 with errno @e. */
#define FAILS(call, e)                                                           \
    do {                                                                         \
        errno = 0;                                                               \
        long r_ = (long)(call);                                                  \
        if (r_ != -1)                                                            \
            FAIL("%s returned %ld, expected errno %s", #call, r_, #e);           \
        if (errno != (e))                                                        \
            FAIL("%s failed with errno %d (%m), expected %s", #call, errno, #e); \
    } while (0)
#define SKIP(why)                      \
    do {                               \
        printf("skipping: %s\n", why); \
        fflush(stdout);                \
        _exit(STATUS_SKIP);            \
    } while (0)

/* ---- Processes ---- */

#define FORK() OK(fork())

static UNUSED void join_at(const char *file, int line, pid_t child, int wanted)
{
    int status;
    pid_t got;
    do
        got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != child)
        fail_at(file, line, "waitpid(%d) returned %d: %m", child, got);
    if (WIFSIGNALED(status) && wanted != -WTERMSIG(status))
        fail_at(file, line, "child was killed by signal %d, expected %d", WTERMSIG(status), wanted);
    if (WIFEXITED(status) && wanted != WEXITSTATUS(status))
        fail_at(file, line, "child exited with %d, expected %d", WEXITSTATUS(status), wanted);
}
/* Waits; the child must have exited with 0, or with @status, or died of signal @sig. */
#define JOIN(child)           join_at(__FILE__, __LINE__, child, 0)
#define JOIN_EXIT(child, s)   join_at(__FILE__, __LINE__, child, s)
#define JOIN_KILLED(child, s) join_at(__FILE__, __LINE__, child, -(s))

/* A pipe to wait for others with: tell() lets one await() return. */
struct gate {
    int fd[2];
};

static UNUSED struct gate gate_open(void)
{
    struct gate g;
    OK(pipe(g.fd));
    return g;
}

static UNUSED void tell(const struct gate *g)
{
    EQ(write(g->fd[1], "", 1), 1);
}

static UNUSED void await(const struct gate *g)
{
    char c;
    EQ(read(g->fd[0], &c, 1), 1);
}

/* ---- Time and figures ---- */

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

static inline void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* The number after @key at the start of a line of @file; -1 without such a line. */
static UNUSED long figure(const char *file, const char *key)
{
    char line[256];
    long value = -1;
    FILE *f = fopen(file, "r");
    if (!f)
        FAIL("cannot open %s: %m", file);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0 && strchr(": \t", line[strlen(key)])) {
            value = strtol(line + strlen(key) + 1, NULL, 10);
            break;
        }
    fclose(f);
    return value;
}
/* kB */
static inline long meminfo(const char *key)
{
    return figure("/proc/meminfo", key);
}

/* A generator whose numbers a seed repeats. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* ---- Memory ---- */

static UNUSED void *map_at(const char *file, int line, void *addr, size_t n, int prot, int flags,
                           int fd, off_t offset)
{
    void *p = mmap(addr, n, prot, flags, fd, offset);
    if (p == MAP_FAILED)
        fail_at(file, line, "mmap(%p, %zu, %d, %#x, %d, %lld) failed: %m", addr, n, prot, flags, fd,
                (long long)offset);
    return p;
}
#define MAP(addr, n, prot, flags, fd, off) \
    ((char *)map_at(__FILE__, __LINE__, addr, n, prot, flags, fd, off))
#define RW      (PROT_READ | PROT_WRITE)
/* Anonymous private memory, read and write. */
#define ANON(n) MAP(NULL, n, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)

/* What an access does: sig 0 when it worked. */
struct fault {
    int sig, code;
    void *addr;
};
static __thread sigjmp_buf fault_return;
static __thread struct fault fault_seen;

static void fault_handler(int sig, siginfo_t *info, void *context UNUSED)
{
    fault_seen = (struct fault){sig, info->si_code, info->si_addr};
    siglongjmp(fault_return, 1);
}

static UNUSED struct fault touch(volatile void *p, bool write)
{
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
    struct sigaction old_segv, old_bus;
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
    fault_seen = (struct fault){0, 0, NULL};
    if (sigsetjmp(fault_return, 1) == 0) {
        volatile char *c = p;
        if (write)
            *c = *c; /* keeps the contents */
        else
            (void)*c;
    }
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    return fault_seen;
}
#define READABLE(p) EQ(touch(p, false).sig, 0)
#define WRITABLE(p) EQ(touch(p, true).sig, 0)
/* The access must fault with this signal and code, at exactly this address. */
#define FAULTS(p, write, wanted_sig, wanted_code) \
    do {                                          \
        struct fault f_ = touch(p, write);        \
        EQ(f_.sig, wanted_sig);                   \
        EQ(f_.code, wanted_code);                 \
        EQ((uintptr_t)f_.addr, (uintptr_t)(p));   \
    } while (0)

/* ---- Files ---- */

/* A new file @name of @n bytes, byte i being pattern(i). The descriptor. */
static inline char pattern(size_t i)
{
    return (char)(i * 31 + (i >> 8) * 17 + (i >> 16) * 5 + 1);
}

static UNUSED int make_file(const char *name, size_t n)
{
    char block[8192];
    int fd = OK(open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));
    for (size_t at = 0; at < n;) {
        size_t part = n - at < sizeof(block) ? n - at : sizeof(block);
        for (size_t i = 0; i < part; i++)
            block[i] = pattern(at + i);
        ssize_t got = OK(write(fd, block, part));
        CHECK(got > 0);
        at += got;
    }
    return fd;
}

/* The whole of a small file as a string in static memory. */
static UNUSED const char *contents(const char *name)
{
    static char text[65536];
    int fd = OK(open(name, O_RDONLY));
    size_t n = 0;
    ssize_t got;
    while (n < sizeof(text) - 1 && (got = OK(read(fd, text + n, sizeof(text) - 1 - n))) > 0)
        n += got;
    close(fd);
    text[n] = 0;
    return text;
}

/* ---- The runner ---- */

static int remove_one(const char *path, const struct stat *st UNUSED, int kind UNUSED,
                      struct FTW *at UNUSED)
{
    return remove(path);
}

/* The child: a folder, a process group, a limit. Never returns. */
static void __attribute__((noreturn)) run_alone(const struct test *t, const char *folder)
{
    setpgid(0, 0);
    if (chdir(folder) != 0)
        FAIL("chdir %s: %m", folder);
    alarm(TIME_LIMIT);
    /* Where memory is promised strictly, every thread's stack of 8 MiB counts in full. */
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * KIB);
    pthread_setattr_default_np(&attr);
    t->run();
    fflush(stdout);
    _exit(0);
}

/* true unless it failed. */
static bool run_one(const struct test *t)
{
    char folder[] = "test.XXXXXX";
    if (!mkdtemp(folder) || chmod(folder, 0777) != 0)
        FAIL("cannot make a folder: %m");
    fflush(stdout);
    pid_t child = FORK();
    if (child == 0)
        run_alone(t, folder);
    setpgid(child, child);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            FAIL("waitpid: %m");
    kill(-child, SIGKILL);
    nftw(folder, remove_one, 20, FTW_DEPTH | FTW_PHYS);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        printf("ok %s\n", t->name);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_SKIP)
        printf("skip %s\n", t->name);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("FAIL %s: not done after %d seconds\n", t->name, TIME_LIMIT);
    else if (WIFSIGNALED(status))
        printf("FAIL %s: killed by signal %d\n", t->name, WTERMSIG(status));
    else
        printf("FAIL %s: exit status %d\n", t->name, WEXITSTATUS(status));
    return WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == STATUS_SKIP);
}

static bool named(const char *name, char **words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

/* Signals as a program starts with them, whoever started this one: a shell ignores SIGINT in what
 * it runs in the background. */
static void default_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int sig = 1; sig < NSIG; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            signal(sig, SIG_DFL);
}

static UNUSED int run_tests(int argc, char **argv, const struct test *tests, int n)
{
    bool except = argc > 1 && strcmp(argv[1], "-x") == 0;
    char **words = argv + 1 + except;
    int word_count = argc - 1 - except, order[n], failed = 0;
    const char *given = getenv("QUIRE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 0;
    default_signals();
    umask(022);
    mallopt(M_TOP_PAD, 0); /* a small heap: memory is promised per process when it forks */
    malloc_trim(0);
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = n; given && i > 1; i--) {
        int j = next_random(&seed) % i, t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
    for (int i = 0; i < n; i++) {
        const struct test *t = &tests[order[i]];
        if (word_count && named(t->name, words, word_count) == except)
            continue;
        failed += !run_one(t);
        fflush(stdout);
    }
    return failed ? 1 : 0;
}
#define MAIN(tests)                                        \
    int main(int argc, char **argv)                        \
    {                                                      \
        return run_tests(argc, argv, tests, COUNT(tests)); \
    }
