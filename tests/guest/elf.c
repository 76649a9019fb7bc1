/* Programs whose headers lie, or that are cut short: refused, or dead at once, and nothing else. */
#include "check.h"

extern char **environ;
static char self[PATH_MAX];

/* A file cut short and one with headers that lie must not bring anything down. */
static void broken_elf(void)
{
    enum { N = 4096 };
    unsigned char head[N];
    int in = OK(open(self, O_RDONLY));
    EQ(read(in, head, N), N);
    uint64_t seed = 7;
    for (int round = 0; round < 60; round++) {
        unsigned char copy[N];
        memcpy(copy, head, N);
        for (int i = 0; i < 1 + round % 4; i++)
            copy[(round % 2 ? 64 : 16) + next_random(&seed) % 200] = next_random(&seed);
        int fd = OK(open("broken", O_WRONLY | O_CREAT | O_TRUNC, 0755));
        EQ(write(fd, copy, round % 3 ? N : 64 + next_random(&seed) % 500) > 0, 1);
        close(fd);
        pid_t child = FORK();
        if (child == 0) {
            struct rlimit no_core = {0, 0};
            setrlimit(RLIMIT_CORE, &no_core);
            alarm(5);
            close(1);
            char *argv[] = {"broken", NULL};
            execve("broken", argv, environ);
            _exit(55);
        }
        int status;
        EQ(waitpid(child, &status, 0), child); /* any end will do, but an end */
    }
}

static const struct test tests[] = {
    TEST(broken_elf),
};

int main(int argc, char **argv)
{
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        FAIL("readlink /proc/self/exe: %m");
    return run_tests(argc, argv, tests, COUNT(tests));
}
