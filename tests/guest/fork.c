/* fork and copy-on-write: every process sees its own copy, and all memory comes back. */
#include "check.h"

#define SHARERS 600

/* One page, 600 processes. All wait until the last is there, then each writes and looks again. */
static void shared_page_600(void)
{
    int *page = (int *)ANON(PAGE);
    malloc_trim(0); /* every child is promised memory for all that it could write */
    int gate[2], ready[2];
    pid_t child[SHARERS];
    OK(pipe(gate));
    OK(pipe(ready));
    page[0] = 12345;
    for (int i = 0; i < SHARERS; i++) {
        child[i] = FORK();
        if (child[i] == 0) {
            char c;
            close(gate[1]);
            EQ(page[0], 12345);
            EQ(write(ready[1], "r", 1), 1);
            EQ(read(gate[0], &c, 1), 0);
            EQ(page[0], 12345);
            page[0] = i;
            page[1] = ~i;
            sched_yield();
            EQ(page[0], i);
            EQ(page[1], ~i);
            _exit(0);
        }
    }
    for (int i = 0; i < SHARERS; i++) {
        char c;
        EQ(read(ready[0], &c, 1), 1);
    }
    page[0] = -1;
    close(gate[1]);
    for (int i = 0; i < SHARERS; i++)
        JOIN(child[i]);
    EQ(page[0], -1);
    EQ(page[1], 0);
}

/* A child that changes half of its inherited memory changes only its own. */
static void copies_are_private(void)
{
    enum { N = 256 };
    char *m = ANON(N * PAGE);
    for (int i = 0; i < N; i++)
        m[i * PAGE + i] = (char)i;
    pid_t child = FORK();
    if (child == 0) {
        for (int i = 0; i < N; i += 2)
            m[i * PAGE + i] = (char)~i;
        for (int i = 0; i < N; i++)
            EQ(m[i * PAGE + i], i % 2 ? (char)i : (char)~i);
        _exit(0);
    }
    for (int i = 0; i < N; i += 3)
        m[i * PAGE + 1 + i] = 7;
    JOIN(child);
    for (int i = 0; i < N; i++) {
        EQ(m[i * PAGE + i], (char)i);
        EQ(m[i * PAGE + 1 + i], i % 3 ? 0 : 7);
    }
}

/* Ten generations, each the parent of the next; all levels write the same page. */
static void generations(void)
{
    int *m = (int *)ANON(4 * PAGE);
    for (int depth = 0; depth < 10; depth++) {
        m[depth] = depth;
        pid_t child = FORK();
        if (child) {
            m[100 + depth] = 1;
            JOIN(child);
            for (int i = 0; i < 10; i++)
                EQ(m[i], i <= depth ? i : 0);
            for (int i = 0; i < 10; i++)
                EQ(m[100 + i], i == depth);
            if (depth > 0)
                _exit(0);
            return;
        }
    }
    _exit(0);
}

/* The last owner of a page writes in place: memory does not grow. */
static void shared_mapping_stays_shared(void)
{
    int *m = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = FORK();
    if (child == 0) {
        m[0] = 77;
        _exit(0);
    }
    JOIN(child);
    EQ(m[0], 77);
    child = FORK();
    if (child == 0) {
        EQ(m[0], 77);
        pid_t grandchild = FORK();
        if (grandchild == 0) {
            m[1] = 78;
            _exit(0);
        }
        JOIN(grandchild);
        EQ(m[1], 78);
        _exit(0);
    }
    JOIN(child);
    EQ(m[1], 78);
}

static long free_pages(void)
{
    return figure("/proc/vmstat", "nr_free_pages");
}

/* After 20 rounds of fork, write and exit, as much is free as before, but for caches. */
static void memory_returns(void)
{
    enum { N = 256 };
    char *m = ANON(N * PAGE);
    memset(m, 1, N * PAGE);
    long before = 0;
    for (int round = 0; round < 25; round++) {
        pid_t child[4];
        for (int i = 0; i < 4; i++) {
            child[i] = FORK();
            if (child[i] == 0) {
                memset(m, i, N * PAGE);
                _exit(0);
            }
        }
        for (int i = 0; i < 4; i++)
            JOIN(child[i]);
        if (round == 4)
            before = free_pages();
    }
    long after = free_pages();
    /* 80 children wrote 256 pages each: a leak of 1 % of that would show. */
    if (after < before - 200)
        FAIL("%ld pages were free after 5 rounds, %ld after 25", before, after);
}

/* Files, working directory, umask, signal actions and pending alarms as fork(2) says. */
static void what_a_child_inherits(void)
{
    int fd = make_file("f", 100);
    OK(lseek(fd, 10, SEEK_SET));
    signal(SIGUSR1, SIG_IGN);
    umask(027);
    OK(mkdir("d", 0755));
    OK(chdir("d"));
    pid_t parent = getpid(), child = FORK();
    if (child == 0) {
        struct sigaction old;
        CHECK(getpid() != parent);
        EQ(getppid(), parent);
        EQ(alarm(0), 0);
        OK(lseek(fd, 20, SEEK_SET)); /* the offset is shared */
        OK(sigaction(SIGUSR1, NULL, &old));
        CHECK(old.sa_handler == SIG_IGN);
        EQ(umask(0), 027);
        OK(mkdir("inner", 0755));
        OK(chdir("inner"));
        _exit(0);
    }
    JOIN(child);
    EQ(lseek(fd, 0, SEEK_CUR), 20);
    EQ(umask(022), 027);
    OK(rmdir("inner"));
    CHECK(alarm(TIME_LIMIT) > 0);
}

/* vfork: the parent waits until the child has gone, memory is one. */
static void vfork_shares_and_waits(void)
{
    static volatile int x;
    static volatile int64_t child_end;
    pid_t child = vfork();
    if (child == 0) {
        sleep_ms(50);
        x = 42;
        child_end = now_ns();
        _exit(3);
    }
    CHECK(child > 0);
    CHECK(now_ns() >= child_end);
    EQ(x, 42);
    JOIN_EXIT(child, 3);
}

static const struct test tests[] = {
    TEST(shared_page_600),
    TEST(copies_are_private),
    TEST(generations),
    TEST(shared_mapping_stays_shared),
    TEST(memory_returns),
    TEST(what_a_child_inherits),
    TEST(vfork_shares_and_waits),
};
MAIN(tests)
