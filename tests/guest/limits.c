/* Resource limits: each is kept at the call that would pass it. */
#include "check.h"

static void limit(int what, rlim_t value)
{
    struct rlimit l;
    OK(getrlimit(what, &l));
    l.rlim_cur = value;
    OK(setrlimit(what, &l));
}

static void number_of_files(void)
{
    limit(RLIMIT_NOFILE, 20);
    int last = -1, fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        last = fd;
    EQ(errno, EMFILE);
    EQ(last, 19);
    int fds[2];
    FAILS(pipe(fds), EMFILE);
    FAILS(dup(0), EMFILE);
    FAILS(dup2(0, 20), EBADF);
    FAILS(fcntl(0, F_DUPFD, 20), EINVAL);
    close(10);
    EQ(dup(0), 10);
    /* One place is too few for a pipe, and none is lost by trying. */
    close(11);
    FAILS(pipe(fds), EMFILE);
    EQ(dup(0), 11);
}

static void thousands_of_files(void)
{
    enum { N = 3000 };
    struct rlimit l;
    OK(getrlimit(RLIMIT_NOFILE, &l));
    if (l.rlim_max < N + 10)
        SKIP("the hard limit is lower");
    limit(RLIMIT_NOFILE, N + 10);
    int fd = make_file("f", 10);
    for (int i = 0; i < N; i++)
        CHECK(dup(fd) >= 0);
    pid_t child = FORK();
    if (child == 0) {
        char c;
        EQ(pread(fd + N / 2, &c, 1, 3), 1);
        EQ(c, pattern(3));
        _exit(0);
    }
    JOIN(child);
}

static void file_size_of_a_sparse_write(void)
{
    signal(SIGXFSZ, SIG_IGN);
    limit(RLIMIT_FSIZE, 1000);
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    FAILS(pwrite(fd, "x", 1, 1000), EFBIG);
    EQ(pwrite(fd, "x", 1, 999), 1);
}

static void *idle(void *arg)
{
    pause();
    return arg;
}

static void number_of_processes(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
    pid_t child = FORK();
    if (child == 0) {
        OK(setpgid(0, 0));
        limit(RLIMIT_NPROC, 8);
        OK(setuid(54321)); /* a user of whom nothing else runs */
        int n = 0;
        pid_t p;
        while ((p = fork()) != -1 && n < 100) {
            if (p == 0)
                for (;;)
                    pause();
            n++;
        }
        EQ(errno, EAGAIN);
        EQ(n, 7);
        pthread_t t;
        EQ(pthread_create(&t, NULL, idle, NULL), EAGAIN);
        signal(SIGTERM, SIG_IGN);
        kill(0, SIGTERM); /* ends the others */
        while (wait(NULL) > 0)
            n--;
        EQ(n, 0);
        p = FORK(); /* there is room again */
        if (p == 0)
            _exit(0);
        JOIN(p);
        _exit(0);
    }
    JOIN(child);
}

static void address_space(void)
{
    limit(RLIMIT_AS, 64 * MIB);
    FAILS((long)mmap(NULL, 80 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    char *m = MAP(NULL, 20 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FAILS((long)mremap(m, 20 * MIB, 100 * MIB, MREMAP_MAYMOVE), ENOMEM);
    OK(munmap(m, 20 * MIB));
}

static void errors(void)
{
    struct rlimit l = {10, 5};
    FAILS(setrlimit(RLIMIT_NOFILE, &l), EINVAL);
    FAILS(getrlimit(99, &l), EINVAL);
    OK(syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &l));
    FAILS(syscall(SYS_prlimit64, 999999, RLIMIT_CORE, NULL, &l), ESRCH);
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        OK(getrlimit(i, &l));
        CHECK(l.rlim_cur <= l.rlim_max);
    }
    /* A limit belongs to the process and goes to its children. */
    limit(RLIMIT_NOFILE, 33);
    pid_t child = FORK();
    if (child == 0) {
        OK(getrlimit(RLIMIT_NOFILE, &l));
        EQ(l.rlim_cur, 33);
        _exit(0);
    }
    JOIN(child);
}

static void cpu_seconds(void)
{
    pid_t child = FORK();
    if (child == 0) {
        struct rlimit l = {1, 2}, no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        OK(setrlimit(RLIMIT_CPU, &l));
        for (;;)
            ;
    }
    JOIN_KILLED(child, SIGXCPU);
}

static const struct test tests[] = {
    TEST(number_of_files),     TEST(thousands_of_files), TEST(file_size_of_a_sparse_write),
    TEST(number_of_processes), TEST(address_space),      TEST(errors),
    TEST(cpu_seconds),
};
MAIN(tests)
