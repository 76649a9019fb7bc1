/* poll, select, sleeping and the clocks. */
#include "check.h"

#include <sys/select.h>
#include <sys/times.h>

static void poll_timeouts(void)
{
    int fds[2];
    OK(pipe(fds));
    struct pollfd p[3] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}, {-1, POLLIN, 7}};
    int64_t start = now_ns();
    EQ(poll(p, 1, 60), 0);
    CHECK(now_ns() - start >= 60000000 && now_ns() - start < 5000000000);
    EQ(poll(p, 3, -1), 1);
    EQ(p[1].revents, POLLOUT);
    EQ(p[2].revents, 0); /* a negative descriptor is passed over */
    p[0].fd = 99;
    EQ(poll(p, 1, 1000), 1);
    EQ(p[0].revents, POLLNVAL);
    start = now_ns();
    EQ(poll(NULL, 0, 30), 0);
    CHECK(now_ns() - start >= 30000000);
}

static void poll_wakes(void)
{
    int fds[2];
    OK(pipe(fds));
    pid_t child = FORK();
    if (child == 0) {
        sleep_ms(60);
        EQ(write(fds[1], "x", 1), 1);
        _exit(0);
    }
    struct pollfd p = {fds[0], POLLIN, 0};
    int64_t start = now_ms();
    EQ(poll(&p, 1, 20000), 1);
    CHECK(now_ms() - start < 15000);
    EQ(p.revents, POLLIN);
    JOIN(child);
}

static void poll_many(void)
{
    enum { N = 300 };
    static struct pollfd p[N];
    int fds[2];
    for (int i = 0; i < N; i++) {
        OK(pipe(fds));
        p[i] = (struct pollfd){fds[0], POLLIN, 0};
        if (i % 50 == 7)
            EQ(write(fds[1], "x", 1), 1);
    }
    EQ(poll(p, N, 0), N / 50);
    for (int i = 0; i < N; i++)
        EQ(p[i].revents, i % 50 == 7 ? POLLIN : 0);
}

static void select_sets(void)
{
    int a[2], b[2];
    fd_set in, out;
    OK(pipe(a));
    OK(pipe(b));
    EQ(write(b[1], "x", 1), 1);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(a[0], &in);
    FD_SET(b[0], &in);
    FD_SET(a[1], &out);
    struct timeval t = {5, 0};
    EQ(select(b[1] + 1, &in, &out, NULL, &t), 2);
    EQ(FD_ISSET(a[0], &in) != 0, 0);
    EQ(FD_ISSET(b[0], &in) != 0, 1);
    EQ(FD_ISSET(a[1], &out) != 0, 1);
    CHECK(t.tv_sec >= 4);
    FD_ZERO(&in);
    FD_SET(a[0], &in);
    t = (struct timeval){0, 50000};
    int64_t start = now_ms();
    EQ(select(a[0] + 1, &in, NULL, NULL, &t), 0);
    CHECK(now_ms() - start >= 49);
    EQ(FD_ISSET(a[0], &in) != 0, 0);
    close(a[0]);
    FD_SET(a[0], &in);
    FAILS(select(a[0] + 1, &in, NULL, NULL, &t), EBADF);
    t.tv_sec = -1;
    FAILS(select(0, NULL, NULL, NULL, &t), EINVAL);
}

static volatile sig_atomic_t signalled;
static void note(int sig UNUSED)
{
    signalled++;
}

/* The mask is exchanged for the time of waiting, without a gap. */
static void ppoll_mask(void)
{
    sigset_t blocked, none;
    signal(SIGUSR1, note);
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &blocked, NULL));
    raise(SIGUSR1);
    struct timespec t = {20, 0};
    FAILS(ppoll(NULL, 0, &t, &none), EINTR);
    EQ(signalled, 1);
    OK(sigprocmask(SIG_BLOCK, NULL, &none));
    EQ(sigismember(&none, SIGUSR1), 1);
    raise(SIGUSR1);
    t = (struct timespec){0, 20000000};
    EQ(ppoll(NULL, 0, &t, NULL), 0); /* blocked: does not wake */
    EQ(signalled, 1);
}

static void sleeping(void)
{
    struct timespec t = {0, 30000000}, at;
    int64_t start = now_ns();
    OK(nanosleep(&t, NULL));
    CHECK(now_ns() - start >= 30000000);
    t = (struct timespec){0, 0};
    OK(nanosleep(&t, NULL));
    t.tv_nsec = 1000000000;
    FAILS(nanosleep(&t, NULL), EINVAL);
    t = (struct timespec){-1, 0};
    FAILS(nanosleep(&t, NULL), EINVAL);
    OK(clock_gettime(CLOCK_MONOTONIC, &at));
    start = now_ns();
    at.tv_nsec += 40000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL), 0);
    CHECK(now_ns() - start >= 39000000);
    EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL), 0); /* long past */
    EQ(clock_nanosleep(77, 0, &t, NULL), EINVAL);
}

/* Ten sleepers wake in the order of their times. One that woke late had to wait for a processor: a
 * busy host is no fault. */
static void sleepers_in_order(void)
{
    enum { SPACING = 100000000 };
    struct {
        int64_t due, woke;
    } sleeper[10];
    struct timespec at;
    int fds[2];
    OK(pipe(fds));
    OK(clock_gettime(CLOCK_MONOTONIC, &at));
    int64_t start = at.tv_sec * 1000000000LL + at.tv_nsec;
    for (int i = 0; i < 10; i++)
        if (FORK() == 0) {
            int me = (i * 7) % 10;
            int64_t due = start + (int64_t)SPACING * (me + 3), told[2];
            at = (struct timespec){due / 1000000000, due % 1000000000};
            EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL), 0);
            told[0] = me;
            told[1] = now_ns();
            EQ(write(fds[1], told, sizeof(told)), sizeof(told));
            _exit(0);
        }
    for (int i = 0; i < 10; i++) {
        int64_t told[2];
        EQ(read(fds[0], told, sizeof(told)), sizeof(told));
        sleeper[told[0]].due = start + (int64_t)SPACING * (told[0] + 3);
        sleeper[told[0]].woke = told[1];
    }
    for (int i = 0; i < 10; i++) {
        CHECK(sleeper[i].woke >= sleeper[i].due);
        for (int later = i + 1; later < 10; later++)
            CHECK(sleeper[i].woke <= sleeper[later].woke ||
                  sleeper[i].woke - sleeper[i].due >= SPACING);
    }
}

static void clocks_agree(void)
{
    struct timespec by_vdso, by_call, resolution;
    static const clockid_t ids[] = {CLOCK_MONOTONIC,          CLOCK_REALTIME,
                                    CLOCK_BOOTTIME,           CLOCK_MONOTONIC_RAW,
                                    CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (size_t i = 0; i < COUNT(ids); i++) {
        for (int n = 0; n < 200; n++) {
            OK(clock_gettime(ids[i], &by_vdso));
            OK(syscall(SYS_clock_gettime, ids[i], &by_call));
            int64_t d = (by_call.tv_sec - by_vdso.tv_sec) * 1000000000LL + by_call.tv_nsec -
                        by_vdso.tv_nsec;
            if (d < 0)
                FAIL("clock %d went back by %lld ns", ids[i], (long long)-d);
            CHECK(d < 2000000000);
        }
        OK(clock_getres(ids[i], &resolution));
        CHECK(resolution.tv_sec == 0 && resolution.tv_nsec > 0 && resolution.tv_nsec <= 10000000);
    }
    FAILS(clock_gettime(55, &by_call), EINVAL);
    struct timeval tv;
    OK(gettimeofday(&tv, NULL));
    CHECK(labs(tv.tv_sec - time(NULL)) <= 1);
    CHECK(time(NULL) > 1700000000); /* the machine has a clock */
}

/* Every thread, on whatever hart, sees a clock that never goes back. */
static void *watch_clock(void *arg)
{
    int64_t last = 0;
    for (int i = 0; i < 20000; i++) {
        int64_t t = now_ns();
        if (t < last)
            FAIL("went back by %lld ns", (long long)(last - t));
        last = t;
        if (i % 1000 == 0)
            sched_yield();
    }
    return arg;
}

static void monotonic_everywhere(void)
{
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        EQ(pthread_create(&t[i], NULL, watch_clock, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

static void cpu_time(void)
{
    struct timespec a, b;
    struct tms times_a, times_b;
    struct rusage usage;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    sleep_ms(100);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    int64_t slept = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
    CHECK(slept < 60000000); /* sleeping costs none */
    CHECK(times(&times_a) != (clock_t)-1);
    for (;;) { /* until 100 ms are used up */
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        if ((a.tv_sec - b.tv_sec) * 1000000000LL + a.tv_nsec - b.tv_nsec > 150000000)
            break;
    }
    times(&times_b);
    CHECK(times_b.tms_utime + times_b.tms_stime - times_a.tms_utime - times_a.tms_stime >= 8);
    OK(getrusage(RUSAGE_SELF, &usage));
    CHECK(usage.ru_utime.tv_sec * 1000000LL + usage.ru_utime.tv_usec +
              usage.ru_stime.tv_sec * 1000000LL + usage.ru_stime.tv_usec >=
          100000);
}

/* Two spinning processes on one hart share it; nobody starves. */
static void processor_is_shared(void)
{
    enum { N = 6 };
    volatile long *work = (long *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child[N];
    for (int i = 0; i < N; i++) {
        child[i] = FORK();
        if (child[i] == 0)
            for (;;)
                work[i]++;
    }
    sleep_ms(600);
    long least = LONG_MAX;
    for (int i = 0; i < N; i++)
        kill(child[i], SIGKILL);
    for (int i = 0; i < N; i++) {
        JOIN_KILLED(child[i], SIGKILL);
        least = work[i] < least ? work[i] : least;
    }
    CHECK(least > 0);
}

static void interval_timers(void)
{
    signal(SIGALRM, note);
    struct itimerval once = {{0, 0}, {0, 50000}}, left;
    int64_t start = now_ms();
    OK(setitimer(ITIMER_REAL, &once, NULL));
    OK(getitimer(ITIMER_REAL, &left));
    CHECK(left.it_value.tv_usec > 0 && left.it_value.tv_usec <= 50000);
    FAILS(pause(), EINTR);
    CHECK(now_ms() - start >= 49);
    struct itimerval often = {{0, 5000}, {0, 5000}}, none = {{0, 0}, {0, 0}};
    signalled = 0;
    OK(setitimer(ITIMER_REAL, &often, NULL));
    while (signalled < 5)
        pause();
    OK(setitimer(ITIMER_REAL, &none, &left));
    EQ(left.it_interval.tv_usec, 5000);
    signal(SIGVTALRM, note);
    signal(SIGPROF, note);
    static const int kinds[] = {ITIMER_VIRTUAL, ITIMER_PROF};
    for (int i = 0; i < 2; i++) { /* these run with the processor time of the process */
        signalled = 0;
        struct itimerval cpu = {{0, 0}, {0, 30000}};
        OK(setitimer(kinds[i], &cpu, NULL));
        sleep_ms(60);
        EQ(signalled, 0);
        start = now_ms();
        while (!signalled && now_ms() - start < 20000)
            ;
        EQ(signalled, 1);
    }
    FAILS(setitimer(9, &once, NULL), EINVAL);
    once.it_value.tv_usec = 1000000;
    FAILS(setitimer(ITIMER_REAL, &once, NULL), EINVAL);
}

static const struct test tests[] = {
    TEST(interval_timers), TEST(poll_timeouts),        TEST(poll_wakes), TEST(poll_many),
    TEST(select_sets),     TEST(ppoll_mask),           TEST(sleeping),   TEST(sleepers_in_order),
    TEST(clocks_agree),    TEST(monotonic_everywhere), TEST(cpu_time),   TEST(processor_is_shared),
};
MAIN(tests)
