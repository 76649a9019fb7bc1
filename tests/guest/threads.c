/* Threads and futexes. */
#include "check.h"

#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>

static long futex(void *word, int op, int value, const struct timespec *timeout, void *word2,
                  int value3)
{
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

static pthread_t start(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    EQ(pthread_create(&thread, NULL, run, arg), 0);
    return thread;
}

static void *finish(pthread_t thread)
{
    void *value;
    EQ(pthread_join(thread, &value), 0);
    return value;
}

static __thread long mine = 17;

static void *own_storage(void *arg)
{
    EQ(mine, 17);
    mine = (long)arg;
    sched_yield();
    EQ(mine, (long)arg);
    return (void *)(mine * 2);
}

static void values_and_storage(void)
{
    enum { N = 50 };
    pthread_t thread[N];
    for (long i = 0; i < N; i++)
        thread[i] = start(own_storage, (void *)i);
    for (long i = 0; i < N; i++)
        EQ((long)finish(thread[i]), i * 2);
    EQ(mine, 17);
}

static void many_in_turn(void)
{
    for (long i = 0; i < 500; i++)
        EQ((long)finish(start(own_storage, (void *)i)), i * 2);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long counter;
static volatile int turn;

static void *add(void *arg UNUSED)
{
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&lock);
        long seen = counter;
        if (i % 500 == 0)
            sched_yield();
        counter = seen + 1;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void mutex_excludes(void)
{
    pthread_t thread[8];
    for (int i = 0; i < 8; i++)
        thread[i] = start(add, NULL);
    for (int i = 0; i < 8; i++)
        finish(thread[i]);
    EQ(counter, 8 * 5000);
}

static void *take_turns(void *arg)
{
    int me = (long)arg;
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(&lock);
        while (turn != me)
            pthread_cond_wait(&changed, &lock);
        turn = (me + 1) % 4;
        counter++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void condition_variable(void)
{
    pthread_t thread[4];
    for (long i = 0; i < 4; i++)
        thread[i] = start(take_turns, (void *)i);
    for (int i = 0; i < 4; i++)
        finish(thread[i]);
    EQ(counter, 1200);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    pthread_mutex_lock(&lock);
    EQ(pthread_cond_timedwait(&changed, &lock, &t), ETIMEDOUT);
    pthread_mutex_unlock(&lock);
    sem_t s;
    OK(sem_init(&s, 0, 1));
    OK(sem_wait(&s));
    FAILS(sem_timedwait(&s, &t), ETIMEDOUT);
}

static void futex_errors(void)
{
    static int word = 5;
    struct timespec soon = {0, 20000000}, bad = {0, 1000000000}, at;
    FAILS(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
    int64_t begin = now_ns();
    FAILS(futex(&word, FUTEX_WAIT, 5, &soon, NULL, 0), ETIMEDOUT); /* relative */
    CHECK(now_ns() - begin >= 20000000);
    at = (struct timespec){0, 1}; /* absolute: just after boot, however early this runs */
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 5, &at, NULL, -1), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &at);
    FAILS(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, &at, NULL, -1), ETIMEDOUT);
    FAILS(futex(&word, FUTEX_WAIT, 5, &bad, NULL, 0), EINVAL);
    FAILS(futex((char *)&word + 1, FUTEX_WAIT, 5, NULL, NULL, 0), EINVAL);
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0), EINVAL);
    FAILS(futex((void *)PAGE, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
    EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

static int gate, gate2;
static volatile int passed;

static void *wait_at_gate(void *arg UNUSED)
{
    OK(futex(&gate, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    __atomic_fetch_add(&passed, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* How many waiters a wake took off, adding up to @n: they may still be on their way to wait. */
static void wake(int *word, int n)
{
    while (n > 0) {
        int got = OK(futex(word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0));
        CHECK(got <= n);
        n -= got;
        sched_yield();
    }
}

static void wake_counts_and_requeue(void)
{
    pthread_t thread[6];
    for (int i = 0; i < 6; i++)
        thread[i] = start(wait_at_gate, NULL);
    wake(&gate, 2);
    while (passed < 2)
        sched_yield();
    sleep_ms(20);
    EQ(passed, 2);
    for (int moved = 0; moved < 4;) /* none woken, the rest to the other word */
        moved += OK(futex(&gate, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)4L, &gate2, 0));
    FAILS(futex(&gate, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)4L, &gate2, 1), EAGAIN);
    EQ(futex(&gate, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
    EQ(passed, 2);
    EQ(futex(&gate2, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 4);
    for (int i = 0; i < 6; i++)
        finish(thread[i]);
}

/* A futex in shared memory works between processes; a private key does not find it. */
static void between_processes(void)
{
    int *word = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = FORK();
    if (child == 0) {
        OK(futex(word, FUTEX_WAIT, 0, NULL, NULL, 0));
        _exit(8);
    }
    EQ(futex(word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
    while (OK(futex(word, FUTEX_WAKE, 1, NULL, NULL, 0)) == 0)
        sched_yield();
    JOIN_EXIT(child, 8);
}

static pthread_mutex_t *robust;

static void *die_holding(void *arg UNUSED)
{
    EQ(pthread_mutex_lock(robust), 0);
    return NULL;
}

/* The owner of a robust mutex dies, as a thread and as a process: the next one learns of it. */
static void owner_death(void)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    robust = (void *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EQ(pthread_mutex_init(robust, &attr), 0);
    finish(start(die_holding, NULL));
    EQ(pthread_mutex_lock(robust), EOWNERDEAD);
    EQ(pthread_mutex_consistent(robust), 0);
    EQ(pthread_mutex_unlock(robust), 0);
    int ready[2];
    char c;
    OK(pipe(ready));
    pid_t child = FORK();
    if (child == 0) {
        die_holding(NULL);
        EQ(write(ready[1], "", 1), 1);
        sleep_ms(50); /* so that the other one probably waits by then */
        raise(SIGKILL);
    }
    EQ(read(ready[0], &c, 1), 1);
    EQ(pthread_mutex_lock(robust), EOWNERDEAD);
    EQ(pthread_mutex_consistent(robust), 0);
    EQ(pthread_mutex_unlock(robust), 0);
    JOIN_KILLED(child, SIGKILL);
}

static volatile pid_t got_signal;

static void on_signal(int sig UNUSED)
{
    got_signal = syscall(SYS_gettid);
}

static void *tell_tid(void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    *(volatile pid_t *)arg = syscall(SYS_gettid);
    while (!got_signal)
        sleep_ms(5);
    return NULL;
}

/* A signal to the process goes to a thread that does not block it, one to a thread there. */
static void which_thread_gets_it(void)
{
    sigset_t set;
    signal(SIGUSR1, on_signal);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int directed = 0; directed < 2; directed++) {
        volatile pid_t tid = got_signal = 0;
        pthread_t thread = start(tell_tid, (void *)&tid);
        while (!tid)
            sched_yield();
        if (directed)
            EQ(pthread_kill(thread, SIGUSR1), 0);
        else
            OK(kill(getpid(), SIGUSR1));
        finish(thread);
        EQ(got_signal, tid);
    }
    FAILS(syscall(SYS_tgkill, getpid(), getppid(), 0), ESRCH);
    FAILS(syscall(SYS_tgkill, -1, 1, 0), EINVAL);
}

static void *sleep_long(void *arg UNUSED)
{
    sleep_ms(100000);
    return NULL;
}

static void *exit_all(void *arg UNUSED)
{
    sleep_ms(20);
    _exit(9);
}

static void *exit_late(void *arg UNUSED)
{
    sleep_ms(100);
    exit(6);
}

/* exit_group ends all threads; the first thread's end alone ends nothing. */
static void ends_of_processes(void)
{
    pid_t child = FORK();
    if (child == 0) {
        for (int i = 0; i < 10; i++)
            start(sleep_long, NULL);
        start(exit_all, NULL);
        pause();
    }
    JOIN_EXIT(child, 9);
    child = FORK();
    if (child == 0) {
        start(exit_late, NULL);
        pthread_exit(NULL);
    }
    siginfo_t info = {.si_pid = 0};
    OK(waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT));
    EQ(info.si_pid, 0);
    JOIN_EXIT(child, 6);
    child = FORK();
    if (child == 0) {
        for (int i = 0; i < 10; i++)
            start(sleep_long, NULL);
        raise(SIGTERM);
    }
    JOIN_KILLED(child, SIGTERM);
}

/* fork copies one thread: the caller. */
static void *fork_here(void *arg UNUSED)
{
    pid_t child = FORK();
    if (child == 0) {
        EQ(syscall(SYS_gettid), getpid());
        EQ(figure("/proc/self/status", "Threads"), 1);
        _exit(0);
    }
    JOIN(child);
    CHECK(syscall(SYS_gettid) != getpid());
    return NULL;
}

static void fork_in_a_thread(void)
{
    pthread_t sleeper = start(sleep_long, NULL);
    finish(start(fork_here, NULL));
    EQ(pthread_cancel(sleeper), 0); /* out of a system call */
    EQ((long)finish(sleeper), (long)PTHREAD_CANCELED);
}

/* The word is cleared and woken when the thread has gone, also without any library. */
static int lightweight(void *arg)
{
    *(int *)arg = 41;
    syscall(SYS_exit, 0);
    return 0;
}

static void child_tid_is_cleared(void)
{
    static volatile pid_t tid = -1;
    int value = 0;
    char *stack = ANON(64 * KIB);
    pid_t child = OK(clone(lightweight, stack + 64 * KIB,
                           CLONE_VM | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, &value,
                           NULL, NULL, &tid));
    for (pid_t now; (now = tid) != 0;)
        if (futex((void *)&tid, FUTEX_WAIT, now, NULL, NULL, 0) != 0)
            EQ(errno, EAGAIN);
    EQ(value, 41);
    JOIN(child);
}

static const struct test tests[] = {
    TEST(values_and_storage), TEST(many_in_turn),     TEST(mutex_excludes),
    TEST(condition_variable), TEST(futex_errors),     TEST(wake_counts_and_requeue),
    TEST(between_processes),  TEST(owner_death),      TEST(which_thread_gets_it),
    TEST(ends_of_processes),  TEST(fork_in_a_thread), TEST(child_tid_is_cleared),
};
MAIN(tests)
