/* Processes: exit, wait, who is told and who inherits the children. */
#include "check.h"

#include <sched.h>

static pid_t child_exiting(int status)
{
    pid_t child = FORK();
    if (child == 0)
        _exit(status);
    return child;
}

/* A child that lives until it is killed. */
static pid_t child_waiting(void)
{
    pid_t child = FORK();
    if (child == 0)
        for (;;)
            pause();
    return child;
}

static void statuses(void)
{
    int status;
    for (int i = 0; i < 256; i += 51) {
        EQ(waitpid(child_exiting(i + 0x4200), &status, 0) > 0, 1);
        CHECK(WIFEXITED(status));
        EQ(WEXITSTATUS(status), i);
    }
    static const int deadly[] = {SIGKILL, SIGTERM, SIGHUP, SIGUSR1, SIGALRM, SIGPIPE};
    for (size_t i = 0; i < COUNT(deadly); i++) {
        pid_t child = child_waiting();
        OK(kill(child, deadly[i]));
        EQ(waitpid(child, &status, 0), child);
        EQ(status, deadly[i]); /* no core either */
    }
}

static void wait_chooses(void)
{
    int status;
    FAILS(wait(&status), ECHILD);
    pid_t a = child_exiting(1), b = child_exiting(2), c = child_waiting();
    FAILS(waitpid(getpid(), &status, 0), ECHILD);
    FAILS(waitpid(-1, &status, 0x40000), EINVAL);
    EQ(waitpid(b, &status, 0), b);
    EQ(WEXITSTATUS(status), 2);
    EQ(waitpid(0, &status, 0), a); /* my own group */
    EQ(WEXITSTATUS(status), 1);
    EQ(waitpid(-1, &status, WNOHANG), 0);
    OK(setpgid(c, c));
    FAILS(waitpid(0, &status, WNOHANG), ECHILD);
    EQ(waitpid(-c, &status, WNOHANG), 0);
    OK(kill(-c, SIGINT));
    EQ(waitpid(-c, &status, 0), c);
    EQ(status, SIGINT);
    FAILS(waitpid(-1, &status, WNOHANG), ECHILD);
}

/* The first one to end is the first one reported, whatever the order of birth. */
static void wait_reports_who_ended(void)
{
    enum { N = 16 };
    struct gate gates[N];
    pid_t child[N];
    for (int i = 0; i < N; i++) {
        gates[i] = gate_open();
        if ((child[i] = FORK()) == 0) {
            await(&gates[i]);
            _exit(i);
        }
    }
    for (int k = 0; k < N; k++) {
        int i = (k * 7 + 3) % N, status;
        tell(&gates[i]);
        EQ(wait(&status), child[i]);
        EQ(WEXITSTATUS(status), i);
    }
}

static void waitid_fills_siginfo(void)
{
    siginfo_t info;
    pid_t child = child_exiting(77);
    OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    EQ(info.si_signo, SIGCHLD);
    EQ(info.si_pid, child);
    EQ(info.si_uid, getuid());
    EQ(info.si_code, CLD_EXITED);
    EQ(info.si_status, 77);
    memset(&info, 0, sizeof(info));
    OK(waitid(P_ALL, 0, &info, WEXITED)); /* it was left: seen again */
    EQ(info.si_pid, child);
    FAILS(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    child = child_waiting();
    info.si_pid = 1;
    OK(waitid(P_PGID, getpgrp(), &info, WEXITED | WNOHANG));
    EQ(info.si_pid, 0);
    FAILS(waitid(P_PID, child, &info, 0), EINVAL);
    OK(kill(child, SIGKILL));
    OK(waitid(P_PID, child, NULL, WEXITED | WNOWAIT));
    OK(waitid(P_PID, child, &info, WEXITED));
    EQ(info.si_code, CLD_KILLED);
    EQ(info.si_status, SIGKILL);
}

/* Children whose parent ignores SIGCHLD leave nothing behind; wait() waits for the last. */
static void ignored_children_are_reaped(void)
{
    for (int round = 0; round < 2; round++) {
        struct sigaction action = {.sa_handler = round ? SIG_DFL : SIG_IGN,
                                   .sa_flags = round ? SA_NOCLDWAIT : 0};
        OK(sigaction(SIGCHLD, &action, NULL));
        pid_t child[4];
        for (int i = 0; i < 4; i++)
            child[i] = child_exiting(1);
        FAILS(wait(NULL), ECHILD);
        for (int i = 0; i < 4; i++)
            FAILS(kill(child[i], 0), ESRCH);
    }
}

/* Orphans go to the nearest ancestor that asked for them, and it can wait for them. */
static void subreaper_gets_orphans(void)
{
    int on = -1;
    struct gate orphaned = gate_open();
    OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    OK(prctl(PR_GET_CHILD_SUBREAPER, &on, 0, 0, 0));
    EQ(on, 1);
    pid_t me = getpid(), child = FORK(), grandchild;
    if (child == 0) {
        OK(prctl(PR_GET_CHILD_SUBREAPER, &on, 0, 0, 0));
        EQ(on, 0); /* not inherited */
        pid_t parent = getpid();
        if (FORK() == 0) {
            await(&orphaned);
            CHECK(getppid() != parent);
            EQ(getppid(), me);
            _exit(9);
        }
        _exit(0);
    }
    JOIN(child);
    int status;
    EQ(waitpid(-1, &status, WNOHANG), 0);
    tell(&orphaned);
    grandchild = wait(&status);
    CHECK(grandchild > 0 && grandchild != child);
    EQ(status, 9 << 8);
    /* A zombie is inherited too. */
    child = FORK();
    if (child == 0) {
        grandchild = child_exiting(8);
        siginfo_t info;
        OK(waitid(P_PID, grandchild, &info, WEXITED | WNOWAIT));
        _exit(0);
    }
    JOIN(child);
    CHECK(wait(&status) > 0);
    EQ(status, 8 << 8);
}

static void parent_death_signal(void)
{
    struct gate ready = gate_open();
    OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    pid_t child = FORK();
    if (child == 0) {
        if (FORK() == 0) {
            int sig = 0;
            OK(prctl(PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0));
            OK(prctl(PR_GET_PDEATHSIG, &sig, 0, 0, 0));
            EQ(sig, SIGUSR2);
            tell(&ready);
            for (;;)
                pause();
        }
        await(&ready);
        _exit(0);
    }
    JOIN(child);
    int status;
    CHECK(wait(&status) > 0);
    EQ(status, SIGUSR2);
}

static void clone_parent(void)
{
    pid_t child = FORK();
    if (child == 0) {
        pid_t sibling = OK(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
        if (sibling == 0)
            _exit(6);
        FAILS(waitpid(sibling, NULL, 0), ECHILD);
        _exit(5);
    }
    int sum = 0, status;
    for (int i = 0; i < 2; i++) {
        pid_t got = wait(&status);
        CHECK(got > 0);
        EQ(WEXITSTATUS(status), got == child ? 5 : 6);
        sum += WEXITSTATUS(status);
    }
    EQ(sum, 11);
}

/* A child that ends without a signal is only waited for with __WCLONE or __WALL. */
static void clone_without_signal(void)
{
    pid_t child = OK(syscall(SYS_clone, 0, 0, 0, 0, 0));
    if (child == 0)
        _exit(4);
    int status;
    FAILS(waitpid(child, &status, 0), ECHILD);
    EQ(waitpid(child, &status, __WCLONE), child);
    EQ(WEXITSTATUS(status), 4);
    child = OK(syscall(SYS_clone, 0, 0, 0, 0, 0));
    if (child == 0)
        _exit(4);
    EQ(waitpid(child, &status, __WALL), child);
}

static void usage_of_children(void)
{
    struct rusage usage, sum;
    struct timespec t;
    pid_t child = FORK();
    if (child == 0) {
        do
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        while (t.tv_sec == 0 && t.tv_nsec < 100000000);
        _exit(0);
    }
    EQ(wait4(child, NULL, 0, &usage), child);
    OK(getrusage(RUSAGE_CHILDREN, &sum));
    long us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
              usage.ru_stime.tv_usec;
    CHECK(us >= 80000);
    EQ(sum.ru_utime.tv_usec, usage.ru_utime.tv_usec);
    EQ(sum.ru_stime.tv_usec, usage.ru_stime.tv_usec);
    CHECK(sum.ru_maxrss > 0);
}

static const struct test tests[] = {
    TEST(statuses),
    TEST(wait_chooses),
    TEST(wait_reports_who_ended),
    TEST(waitid_fills_siginfo),
    TEST(ignored_children_are_reaped),
    TEST(subreaper_gets_orphans),
    TEST(parent_death_signal),
    TEST(clone_parent),
    TEST(clone_without_signal),
    TEST(usage_of_children),
};
MAIN(tests)
