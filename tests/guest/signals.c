/* Signals: handlers and what they are told, masks, queues, restart of system calls. */
#include "check.h"

#include <ucontext.h>

static volatile sig_atomic_t count, order[64];
static volatile siginfo_t last;

static void note(int sig, siginfo_t *info, void *context UNUSED)
{
    order[count++ % 64] = sig;
    last = *info;
}

static void handle(int sig, int flags)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | flags};
    OK(sigaction(sig, &action, NULL));
}

static sigset_t set_of(int a, int b)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    sigaddset(&set, b);
    return set;
}

static void block(int a, int b)
{
    sigset_t set = set_of(a, b);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void unblock(int a, int b)
{
    sigset_t set = set_of(a, b);
    OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

/* A child that sends @sig to its parent every 20 ms until it is killed. */
static pid_t pester(int sig)
{
    pid_t child = FORK();
    if (child == 0)
        for (;;) {
            sleep_ms(20);
            kill(getppid(), sig);
        }
    return child;
}

static void silence(pid_t child)
{
    kill(child, SIGKILL);
    JOIN_KILLED(child, SIGKILL);
}

static void who_sent_it(void)
{
    handle(SIGUSR1, 0);
    OK(kill(getpid(), SIGUSR1));
    EQ(count, 1);
    EQ(last.si_signo, SIGUSR1);
    EQ(last.si_code, SI_USER);
    EQ(last.si_pid, getpid());
    EQ(last.si_uid, getuid());
    OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_ptr = (void *)0x123456789abcUL}));
    EQ(count, 2);
    EQ(last.si_code, SI_QUEUE);
    EQ(last.si_pid, getpid());
    EQ((long)last.si_value.sival_ptr, 0x123456789abc);
    OK(raise(SIGUSR1));
    EQ(last.si_code, SI_TKILL);
    pid_t child = FORK();
    if (child == 0) {
        OK(kill(getppid(), SIGUSR1));
        _exit(5);
    }
    while (count < 4)
        sleep_ms(5);
    EQ(last.si_pid, child);
    JOIN_EXIT(child, 5);
    handle(SIGCHLD, 0);
    if ((child = FORK()) == 0)
        _exit(6);
    JOIN_EXIT(child, 6);
    EQ(last.si_signo, SIGCHLD);
    EQ(last.si_code, CLD_EXITED);
    EQ(last.si_pid, child);
    EQ(last.si_status, 6);
}

static void errors_of_kill(void)
{
    FAILS(kill(getpid(), 65), EINVAL);
    FAILS(kill(getpid(), -1), EINVAL);
    FAILS(kill(0x3ffffffe, SIGTERM), ESRCH);
    OK(kill(getpid(), 0));
    OK(kill(0, 0));
    struct sigaction action = {.sa_handler = SIG_IGN};
    FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
    FAILS(sigaction(SIGSTOP, &action, NULL), EINVAL);
    FAILS(sigaction(65, &action, NULL), EINVAL);
    if (getuid() != 0)
        return;
    pid_t parent = getpid(), child = FORK();
    if (child == 0) {
        OK(setuid(12345));
        FAILS(kill(parent, SIGTERM), EPERM);
        FAILS(kill(parent, 0), EPERM);
        OK(kill(getpid(), 0));
        OK(kill(parent, SIGCONT)); /* to the same session always */
        _exit(0);
    }
    JOIN(child);
}

/* What blocked signals do: wait, once each, lowest number first; SIGKILL cannot be blocked. */
static void blocked_wait(void)
{
    sigset_t all, now;
    handle(SIGUSR1, 0);
    handle(SIGUSR2, 0);
    handle(SIGHUP, 0);
    sigfillset(&all);
    OK(sigprocmask(SIG_SETMASK, &all, NULL));
    OK(sigprocmask(SIG_SETMASK, NULL, &now));
    EQ(sigismember(&now, SIGKILL) | sigismember(&now, SIGSTOP), 0);
    EQ(sigismember(&now, SIGUSR1), 1);
    for (int i = 0; i < 3; i++) {
        raise(SIGUSR2);
        raise(SIGUSR1);
        kill(getpid(), SIGHUP);
    }
    EQ(count, 0);
    OK(sigpending(&now));
    EQ(sigismember(&now, SIGUSR1) + sigismember(&now, SIGUSR2) + sigismember(&now, SIGHUP), 3);
    EQ(sigismember(&now, SIGTERM), 0);
    if (FORK() == 0) { /* pending signals are not inherited, the mask is */
        OK(sigpending(&now));
        EQ(sigismember(&now, SIGUSR1), 0);
        OK(sigprocmask(SIG_BLOCK, NULL, &now));
        EQ(sigismember(&now, SIGUSR1), 1);
        _exit(0);
    }
    int status;
    CHECK(wait(&status) > 0);
    EQ(status, 0);
    sigemptyset(&all);
    OK(sigprocmask(SIG_SETMASK, &all, NULL));
    EQ(count, 3);
}

static void ignoring_discards(void)
{
    handle(SIGUSR1, 0);
    block(SIGUSR1, SIGUSR1);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    handle(SIGUSR1, 0);
    unblock(SIGUSR1, SIGUSR1);
    EQ(count, 0);
    raise(SIGCHLD); /* ignored by default */
    raise(SIGURG);
    raise(SIGWINCH);
    raise(SIGCONT);
}

/* Real-time signals: all of them, lower numbers first, each number in order. */
static volatile int values[64];
static void note_value(int sig, siginfo_t *info, void *context UNUSED)
{
    order[count % 64] = sig;
    values[count++ % 64] = info->si_value.sival_int;
}

static void real_time_queue(void)
{
    int low = SIGRTMIN + 1, high = SIGRTMIN + 2;
    struct sigaction action = {.sa_sigaction = note_value, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask); /* so that the handlers run one after the other */
    OK(sigaction(low, &action, NULL));
    OK(sigaction(high, &action, NULL));
    block(low, high);
    for (int i = 0; i < 10; i++) {
        OK(sigqueue(getpid(), high, (union sigval){.sival_int = 100 + i}));
        OK(sigqueue(getpid(), low, (union sigval){.sival_int = i}));
    }
    unblock(low, high);
    EQ(count, 20);
    for (int i = 0; i < 20; i++) {
        EQ(order[i], i < 10 ? low : high);
        EQ(values[i], i < 10 ? i : 90 + i);
    }
}

static void queue_limit(void)
{
    struct rlimit none = {0, 0};
    OK(setrlimit(RLIMIT_SIGPENDING, &none));
    block(SIGRTMIN + 1, SIGUSR1);
    FAILS(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 1}), EAGAIN);
    OK(kill(getpid(), SIGUSR1)); /* arrives all the same */
    sigset_t now;
    OK(sigpending(&now));
    EQ(sigismember(&now, SIGUSR1), 1);
}

/* sa_mask and the signal itself are blocked in the handler, unless SA_NODEFER. */
static volatile sig_atomic_t mask_seen;
static void look_at_mask(int sig)
{
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    mask_seen = sigismember(&now, sig) | sigismember(&now, SIGUSR2) << 1;
}

static void masks_of_handlers(void)
{
    struct sigaction action = {.sa_handler = look_at_mask}, old;
    sigset_t now;
    sigaddset(&action.sa_mask, SIGUSR2);
    OK(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1);
    EQ(mask_seen, 3);
    action.sa_flags = SA_NODEFER | SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    OK(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1);
    EQ(mask_seen, 0);
    OK(sigaction(SIGUSR1, NULL, &old));
    CHECK(old.sa_handler == SIG_DFL);
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    EQ(sigismember(&now, SIGUSR1) | sigismember(&now, SIGUSR2), 0);
}

/* The mask in the frame is the one that returning from the handler sets. */
static void change_frame_mask(int sig UNUSED, siginfo_t *info UNUSED, void *context)
{
    sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

static void frame_mask_is_used(void)
{
    struct sigaction action = {.sa_sigaction = change_frame_mask, .sa_flags = SA_SIGINFO};
    sigset_t now;
    OK(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    EQ(sigismember(&now, SIGUSR2), 1);
}

/* With SA_RESTART a read goes on; without it fails with EINTR, but never when it has data. */
static void restart(void)
{
    int fd[2], status;
    char c;
    OK(pipe(fd));
    handle(SIGUSR1, 0);
    pid_t child = pester(SIGUSR1);
    FAILS(read(fd[0], &c, 1), EINTR);
    FAILS(waitpid(child, &status, 0), EINTR);
    silence(child);
    handle(SIGUSR1, SA_RESTART);
    int before = count;
    pid_t writer = FORK();
    if (writer == 0) {
        for (int i = 0; i < 5; i++) {
            sleep_ms(20);
            OK(kill(getppid(), SIGUSR1));
        }
        EQ(write(fd[1], "x", 1), 1);
        for (int i = 0; i < 5; i++) {
            sleep_ms(20);
            OK(kill(getppid(), SIGUSR1));
        }
        _exit(7);
    }
    EQ(read(fd[0], &c, 1), 1);
    EQ(c, 'x');
    EQ(waitpid(writer, &status, 0), writer);
    EQ(status, 7 << 8);
    CHECK(count > before);
}

/* These do not restart, whatever the flags say. */
static void never_restarted(void)
{
    handle(SIGUSR1, SA_RESTART);
    pid_t child = pester(SIGUSR1);
    struct timespec t = {100, 0}, left = {0, 0};
    sigset_t other = set_of(SIGUSR2, SIGUSR2);
    FAILS(poll(NULL, 0, 100000), EINTR);
    FAILS(select(0, NULL, NULL, NULL, &(struct timeval){100, 0}), EINTR);
    FAILS(nanosleep(&t, &left), EINTR);
    CHECK(left.tv_sec < 100 && left.tv_sec > 30);
    EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){now_ms() / 1000 + 99, 0},
                       NULL),
       EINTR);
    FAILS(pause(), EINTR);
    FAILS(sigtimedwait(&other, NULL, &t), EINTR);
    silence(child);
}

/* Signals that run no handler interrupt nothing: a stop, an ignored one. */
static void sleep_through(void)
{
    pid_t sleeper = FORK();
    if (sleeper == 0) {
        struct timespec t = {0, 300000000}, left = {77, 77};
        int64_t start = now_ns();
        signal(SIGUSR1, SIG_IGN);
        OK(nanosleep(&t, &left));
        CHECK(now_ns() - start >= 300000000);
        _exit(0);
    }
    int status;
    sleep_ms(50);
    OK(kill(sleeper, SIGURG));
    OK(kill(sleeper, SIGSTOP));
    EQ(waitpid(sleeper, &status, WUNTRACED), sleeper);
    sleep_ms(20);
    OK(kill(sleeper, SIGCONT));
    JOIN(sleeper);
}

static void sigsuspend_swaps_the_mask(void)
{
    sigset_t none, now;
    handle(SIGUSR1, 0);
    block(SIGUSR1, SIGUSR2);
    raise(SIGUSR1);
    sigemptyset(&none);
    FAILS(sigsuspend(&none), EINTR);
    EQ(count, 1);
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    EQ(sigismember(&now, SIGUSR1) + sigismember(&now, SIGUSR2), 2);
    raise(SIGUSR1);
    FAILS(ppoll(NULL, 0, NULL, &none), EINTR);
    EQ(count, 2);
}

static void sigtimedwait_takes(void)
{
    siginfo_t info;
    struct timespec soon = {0, 30000000}, zero = {0, 0};
    sigset_t set = set_of(SIGUSR1, SIGRTMIN + 3);
    handle(SIGUSR1, 0);
    block(SIGUSR1, SIGRTMIN + 3);
    FAILS(sigtimedwait(&set, &info, &zero), EAGAIN);
    int64_t start = now_ns();
    FAILS(sigtimedwait(&set, &info, &soon), EAGAIN);
    CHECK(now_ns() - start >= 30000000);
    OK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 11}));
    OK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 12}));
    kill(getpid(), SIGUSR1);
    EQ(sigwaitinfo(&set, &info), SIGUSR1);
    EQ(info.si_code, SI_USER);
    for (int i = 11; i <= 12; i++) {
        EQ(sigtimedwait(&set, &info, &zero), SIGRTMIN + 3);
        EQ(info.si_value.sival_int, i);
    }
    pid_t child = pester(SIGUSR1);
    EQ(sigwaitinfo(&set, &info), SIGUSR1);
    EQ(info.si_pid, child);
    EQ(count, 0); /* no handler ran */
    silence(child);
}

static void broken_pipe(void)
{
    int fd[2];
    OK(pipe(fd));
    close(fd[0]);
    handle(SIGPIPE, 0);
    FAILS(write(fd[1], "x", 1), EPIPE);
    EQ(count, 1);
    pid_t child = FORK();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        _exit(write(fd[1], "x", 1) != 0);
    }
    JOIN_KILLED(child, SIGPIPE);
}

static const struct test tests[] = {
    TEST(who_sent_it),        TEST(errors_of_kill),     TEST(blocked_wait),
    TEST(ignoring_discards),  TEST(real_time_queue),    TEST(queue_limit),
    TEST(masks_of_handlers),  TEST(frame_mask_is_used), TEST(restart),
    TEST(never_restarted),    TEST(sleep_through),      TEST(sigsuspend_swaps_the_mask),
    TEST(sigtimedwait_takes), TEST(broken_pipe),
};
MAIN(tests)
