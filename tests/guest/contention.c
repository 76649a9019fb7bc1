/* Several threads and processes at the same memory, file or process table at once. */
#include "check.h"

#define SECONDS 2

static int64_t end_time;
static bool over(void)
{
    return now_ms() > end_time;
}

/* Threads fault on a range while others unmap, remap and protect it. Every fault is either served
 * or a SIGSEGV; values read are zero or what was written. */
enum { RANGE = 64 };
static char *range;

static void touch_one(volatile unsigned char *p)
{
    if (sigsetjmp(fault_return, 1) == 0) {
        unsigned char v = *p;
        if (v != 0 && v != 0xA5)
            FAIL("read %#x", v);
        *p = 0xA5;
    }
}

static void *toucher(void *arg)
{
    uint64_t seed = (uintptr_t)arg;
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    while (!over())
        for (int i = 0; i < 200; i++)
            touch_one((volatile unsigned char *)range + next_random(&seed) % RANGE * PAGE);
    return NULL;
}

static void *unmapper(void *arg)
{
    uint64_t seed = (uintptr_t)arg;
    while (!over()) {
        size_t at = next_random(&seed) % RANGE, n = 1 + next_random(&seed) % 16;
        if (at + n > RANGE)
            n = RANGE - at;
        char *p = range + at * PAGE;
        /* Replaced in one step, so that nobody else's mapping can get in between. */
        switch (next_random(&seed) % 4) {
        case 0:
            MAP(p, n * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            break;
        case 1:
            mprotect(p, n * PAGE, PROT_READ);
            break;
        case 2:
            madvise(p, n * PAGE, MADV_DONTNEED);
            break;
        default:
            MAP(p, n * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            break;
        }
        mprotect(range, RANGE * PAGE, RW);
    }
    return NULL;
}

static void faults_against_unmapping(void)
{
    pthread_t t[5];
    end_time = now_ms() + SECONDS * 1000;
    range = ANON(RANGE * PAGE);
    for (long i = 0; i < 5; i++)
        EQ(pthread_create(&t[i], NULL, i < 3 ? toucher : unmapper, (void *)(i + 1)), 0);
    for (int i = 0; i < 5; i++)
        EQ(pthread_join(t[i], NULL), 0);
}

/* A page taken away is away for all harts when the call returns: nobody writes to it later. */
static volatile char *victim;
static volatile int stop_writing;
static void *writer(void *arg)
{
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    while (!stop_writing)
        if (sigsetjmp(fault_return, 1) == 0)
            for (int i = 0; i < 1000; i++)
                victim[0]++;
    return arg;
}

static void protection_takes_effect_everywhere(void)
{
    pthread_t t[3];
    victim = ANON(PAGE);
    for (int i = 0; i < 3; i++)
        EQ(pthread_create(&t[i], NULL, writer, NULL), 0);
    end_time = now_ms() + SECONDS * 1000;
    for (int round = 0; !over() && round < 2000; round++) {
        OK(mprotect((void *)victim, PAGE, PROT_READ));
        char before = victim[0];
        for (volatile int i = 0; i < 2000; i++)
            ;
        if (victim[0] != before)
            FAIL("round %d: written through an old translation", round);
        OK(mprotect((void *)victim, PAGE, RW));
        sched_yield();
    }
    stop_writing = 1;
    for (int i = 0; i < 3; i++)
        EQ(pthread_join(t[i], NULL), 0);
}

/* fork while other threads write: the child's copy is of one moment for each page, and its later
 * writes stay its own. */
static long *pair;
static void *write_pairs(void *arg)
{
    for (long v = 1; !stop_writing; v++) {
        __atomic_store_n(&pair[0], v, __ATOMIC_SEQ_CST);
        __atomic_store_n(&pair[1], v, __ATOMIC_SEQ_CST);
    }
    return arg;
}

static void fork_while_writing(void)
{
    pthread_t t;
    pair = (long *)ANON(PAGE);
    EQ(pthread_create(&t, NULL, write_pairs, NULL), 0);
    while (__atomic_load_n(&pair[1], __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    for (int round = 0; round < 60; round++) {
        pid_t child = FORK();
        if (child == 0) {
            long a = pair[0], b = pair[1];
            CHECK(a == b || a == b + 1);
            for (int i = 0; i < 1000; i++)
                EQ(pair[0], a); /* nobody else writes here any more */
            pair[0] = -1;
            _exit(0);
        }
        JOIN(child);
        CHECK(pair[0] > 0);
    }
    stop_writing = 1;
    pthread_join(t, NULL);
}

/* One file, written by some, truncated by others, mapped by others still. */
static void hammer_one_file(void)
{
    enum { WORKERS = 6 };
    pid_t child[WORKERS];
    int fd = make_file("f", 100000);
    for (int w = 0; w < WORKERS; w++) {
        child[w] = FORK();
        if (child[w])
            continue;
        static char block[9000];
        uint64_t seed = w + 1;
        memset(block, 0x77, sizeof(block));
        end_time = now_ms() + SECONDS * 1000;
        while (!over()) {
            off_t at = next_random(&seed) % 100000;
            size_t n = next_random(&seed) % sizeof(block);
            static char back[9000];
            switch (w % 3) {
            case 0:
                EQ(pwrite(fd, block, n, at), (ssize_t)n);
                break;
            case 1:
                OK(ftruncate(fd, at));
                break;
            default: {
                OK(pread(fd, back, n, at));
                char *m = mmap(NULL, 100000, PROT_READ, MAP_SHARED, fd, 0);
                CHECK(m != MAP_FAILED);
                struct fault f = touch(m + at, false);
                CHECK(f.sig == 0 || (f.sig == SIGBUS && f.code == BUS_ADRERR));
                OK(munmap(m, 100000));
            }
            }
        }
        _exit(0);
    }
    for (int w = 0; w < WORKERS; w++)
        JOIN(child[w]);
}

/* Signals, forks, execs of nothing and waits, all at once. */
static volatile sig_atomic_t children_gone;
static void reap(int sig UNUSED)
{
    int saved = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        children_gone++;
    errno = saved;
}

static void fork_storm(void)
{
    struct sigaction action = {.sa_handler = reap, .sa_flags = SA_RESTART};
    OK(sigaction(SIGCHLD, &action, NULL));
    int started = 0;
    end_time = now_ms() + SECONDS * 1000;
    while (!over()) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        pid_t child = fork();
        if (child == 0) {
            char *m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (m != MAP_FAILED)
                m[PAGE] = 1;
            _exit(0);
        }
        if (child > 0)
            started++;
        else
            CHECK(errno == EAGAIN || errno == ENOMEM);
    }
    for (int i = 0; i < 10000 && children_gone < started; i++)
        sleep_ms(1);
    EQ(children_gone, started);
}

static const struct test tests[] = {
    TEST(faults_against_unmapping),
    TEST(protection_takes_effect_everywhere),
    TEST(fork_while_writing),
    TEST(hammer_one_file),
    TEST(fork_storm),
};
MAIN(tests)
