/* Children that nobody waits for in time: adopted, reaped, none lost. */
#include "check.h"

static pid_t exiter(int status)
{
    pid_t child = FORK();
    if (child == 0)
        _exit(status);
    return child;
}

/* Nobody's child goes to process 1 (or to the nearest subreaper), who cleans up after it. */
static void orphans_are_adopted(void)
{
    int fds[2];
    pid_t told[2];
    OK(pipe(fds));
    pid_t child = FORK();
    if (child == 0) {
        pid_t middle = getpid();
        pid_t grandchild = FORK();
        if (grandchild == 0) {
            while (getppid() == middle)
                sleep_ms(1);
            pid_t both[2] = {getpid(), getppid()};
            EQ(write(fds[1], both, sizeof(both)), sizeof(both));
            _exit(0);
        }
        _exit(0);
    }
    JOIN(child);
    EQ(read(fds[0], told, sizeof(told)), sizeof(told));
    CHECK(told[1] != child && told[1] != 0);
    for (int i = 0; i < 5000 && kill(told[0], 0) == 0; i++)
        sleep_ms(1);
    FAILS(kill(told[0], 0), ESRCH); /* reaped by its new parent */
}

/* With SIGCHLD ignored no zombies stay, and wait returns when the last child has gone. */
static void ignored_children_vanish(void)
{
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 5; i++)
        exiter(i);
    FAILS(wait(NULL), ECHILD);
    signal(SIGCHLD, SIG_DFL);
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    OK(sigaction(SIGCHLD, &action, NULL));
    exiter(3);
    FAILS(wait(NULL), ECHILD);
}

/* Children that end while all wait: nobody is lost among 200. */
static void many_children(void)
{
    enum { N = 200 };
    int sum = 0, status;
    for (int i = 0; i < N; i++)
        exiter(i % 100);
    for (int i = 0; i < N; i++) {
        CHECK(wait(&status) > 0);
        sum += WEXITSTATUS(status);
    }
    EQ(sum, 2 * 4950);
    FAILS(wait(&status), ECHILD);
}

static const struct test tests[] = {
    TEST(orphans_are_adopted),
    TEST(ignored_children_vanish),
    TEST(many_children),
};
MAIN(tests)
