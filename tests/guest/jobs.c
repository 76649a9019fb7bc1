/* Job control: stop and continue, process groups, sessions. */
#include "check.h"

/* A child that lives until it is killed. */
static pid_t child_waiting(void)
{
    pid_t child = FORK();
    if (child == 0)
        for (;;)
            pause();
    return child;
}

static void stop_and_continue(void)
{
    volatile int *count = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    siginfo_t info;
    pid_t child = FORK();
    if (child == 0)
        for (;;)
            ++*count;
    OK(kill(child, SIGSTOP));
    OK(waitid(P_PID, child, &info, WSTOPPED | WNOWAIT));
    EQ(info.si_code, CLD_STOPPED);
    EQ(info.si_status, SIGSTOP);
    EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    EQ(WSTOPSIG(status), SIGSTOP);
    EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0); /* reported once */
    int seen = *count;
    sleep_ms(50);
    EQ(*count, seen);
    OK(kill(child, SIGUSR1)); /* deadly, but not before it goes on */
    EQ(waitpid(child, &status, WNOHANG), 0);
    OK(kill(child, SIGCONT));
    EQ(waitpid(child, &status, 0), child);
    EQ(status, SIGUSR1);
}

static void continued_is_reported(void)
{
    int status;
    siginfo_t info;
    pid_t child = child_waiting();
    OK(kill(child, SIGTSTP));
    EQ(waitpid(child, &status, WUNTRACED), child);
    EQ(WSTOPSIG(status), SIGTSTP);
    OK(kill(child, SIGCONT));
    OK(waitid(P_PID, child, &info, WCONTINUED | WNOWAIT));
    EQ(info.si_code, CLD_CONTINUED);
    EQ(info.si_status, SIGCONT);
    EQ(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    EQ(waitpid(child, &status, WCONTINUED | WNOHANG), 0);
    OK(kill(child, SIGSTOP));
    EQ(waitpid(child, &status, WUNTRACED), child);
    OK(kill(child, SIGKILL)); /* works on a stopped process */
    JOIN_KILLED(child, SIGKILL);
}

static volatile sig_atomic_t chld_count, chld_code;

static void on_chld(int sig UNUSED, siginfo_t *info, void *context UNUSED)
{
    chld_count++;
    chld_code = info->si_code;
}

/* SIGCHLD for stops as well, but not with SA_NOCLDSTOP. */
static void sigchld_of_stops(void)
{
    struct sigaction action = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART};
    OK(sigaction(SIGCHLD, &action, NULL));
    pid_t child = child_waiting();
    int status;
    OK(kill(child, SIGSTOP));
    EQ(waitpid(child, &status, WUNTRACED), child);
    EQ(chld_count, 1);
    EQ(chld_code, CLD_STOPPED);
    action.sa_flags |= SA_NOCLDSTOP;
    OK(sigaction(SIGCHLD, &action, NULL));
    OK(kill(child, SIGCONT));
    EQ(waitpid(child, &status, WCONTINUED), child);
    EQ(chld_count, 1);
    OK(kill(child, SIGKILL));
    JOIN_KILLED(child, SIGKILL);
    EQ(chld_count, 2);
    EQ(chld_code, CLD_KILLED);
}

static void groups(void)
{
    EQ(getpgrp(), getpid()); /* the runner's doing */
    pid_t a = child_waiting(), b = child_waiting();
    EQ(getpgid(a), getpid());
    OK(setpgid(a, 0));
    EQ(getpgid(a), a);
    OK(setpgid(b, a));
    EQ(getpgid(b), a);
    FAILS(setpgid(b, 0x3ffffffe), EPERM); /* no such group */
    FAILS(setpgid(b, -1), EINVAL);
    FAILS(setpgid(getppid(), 0), ESRCH); /* no child of mine */
    FAILS(getpgid(0x3ffffffe), ESRCH);
    FAILS(kill(-0x3ffffffe, SIGTERM), ESRCH);
    OK(kill(-a, 0));
    OK(kill(-a, SIGTERM));
    JOIN_KILLED(a, SIGTERM);
    JOIN_KILLED(b, SIGTERM);
    FAILS(kill(-a, SIGTERM), ESRCH);
}

static void sessions(void)
{
    pid_t old = OK(getsid(0));
    FAILS(setsid(), EPERM); /* leader of a group */
    struct gate ready = gate_open(), go = gate_open();
    pid_t child = FORK();
    if (child == 0) {
        EQ(getsid(0), old);
        EQ(setsid(), getpid());
        EQ(getsid(0), getpid());
        EQ(getpgrp(), getpid());
        FAILS(setsid(), EPERM);
        FAILS(setpgid(0, 0), EPERM); /* leader of a session */
        FAILS(open("/dev/tty", O_RDWR), ENXIO);
        tell(&ready);
        await(&go);
        _exit(0);
    }
    await(&ready);
    EQ(getsid(child), child);
    FAILS(setpgid(child, getpid()), EPERM);
    tell(&go);
    JOIN(child);
}

/* A group that nobody in the session can continue any more, with a stopped member, gets SIGHUP and
 * SIGCONT when it comes to that. */
static void orphaned_group(void)
{
    OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    pid_t leader = FORK();
    if (leader == 0) {
        OK(setsid());
        pid_t shell = FORK();
        if (shell == 0) {
            pid_t job = child_waiting();
            OK(setpgid(job, job));
            OK(kill(job, SIGSTOP));
            int status;
            EQ(waitpid(job, &status, WUNTRACED), job);
            _exit(0);
        }
        JOIN(shell);
        _exit(0);
    }
    JOIN(leader);
    int status;
    CHECK(wait(&status) > 0);
    EQ(status, SIGHUP);
}

/* In an orphaned group the keyboard's stop signals do nothing; SIGSTOP does. */
static void orphaned_group_does_not_stop(void)
{
    pid_t child = FORK();
    if (child == 0) {
        OK(setsid());
        raise(SIGTSTP);
        raise(SIGTTIN);
        raise(SIGTTOU);
        raise(SIGSTOP);
        _exit(3);
    }
    int status;
    EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    EQ(WSTOPSIG(status), SIGSTOP);
    OK(kill(child, SIGCONT));
    JOIN_EXIT(child, 3);
}

static const struct test tests[] = {
    TEST(stop_and_continue),
    TEST(continued_is_reported),
    TEST(sigchld_of_stops),
    TEST(groups),
    TEST(sessions),
    TEST(orphaned_group),
    TEST(orphaned_group_does_not_stop),
};
MAIN(tests)
