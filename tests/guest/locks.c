/* File locks: fcntl ranges by process and by open file, flock, conflicts, deadlock, release. */
#include "files.h"
#include <sys/file.h>

static int lock(int fd, int command, int type, off_t start, off_t length)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &l);
}

/* Whether another process could lock [@start, @start + @length) with @type now. */
static bool free_for_others(int type, off_t start, off_t length)
{
    pid_t child = FORK();
    if (child == 0) {
        int fd = OK(open("f", O_RDWR));
        if (lock(fd, F_SETLK, type, start, length) == 0)
            _exit(0);
        _exit(errno == EAGAIN || errno == EACCES ? 1 : 2);
    }
    int status;
    EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

/* What F_GETLK says in another process: the first conflict with a write lock from @start on. */
static void conflict(off_t start, int type, off_t first, off_t length)
{
    pid_t owner = getpid(), child = FORK();
    if (child == 0) {
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start};
        OK(fcntl(OK(open("f", O_RDWR)), F_GETLK, &l));
        EQ(l.l_type, type);
        if (type != F_UNLCK) {
            EQ(l.l_start, first);
            EQ(l.l_len, length);
            EQ(l.l_pid, owner);
        }
        _exit(0);
    }
    JOIN(child);
}

static void ranges(void)
{
    int fd = make_file("f", 200);
    OK(lock(fd, F_SETLK, F_WRLCK, 0, 100));
    CHECK(!free_for_others(F_RDLCK, 99, 1));
    CHECK(free_for_others(F_WRLCK, 100, 1));
    conflict(0, F_WRLCK, 0, 100);
    OK(lock(fd, F_SETLK, F_UNLCK, 40, 10)); /* splits */
    CHECK(free_for_others(F_WRLCK, 40, 10));
    CHECK(!free_for_others(F_WRLCK, 40, 11));
    conflict(0, F_WRLCK, 0, 40);
    conflict(45, F_WRLCK, 50, 50);
    OK(lock(fd, F_SETLK, F_RDLCK, 20, 60)); /* over the gap, and changing kinds */
    conflict(20, F_RDLCK, 20, 60);
    conflict(80, F_WRLCK, 80, 20);
    CHECK(free_for_others(F_RDLCK, 20, 60));
    CHECK(!free_for_others(F_RDLCK, 19, 2));
    OK(lock(fd, F_SETLK, F_WRLCK, 0, 0)); /* to the end, wherever that will be */
    conflict(1000000, F_WRLCK, 0, 0);
    OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    conflict(0, F_UNLCK, 0, 0);
}

static void origins(void)
{
    int fd = make_file("f", 200);
    OK(lseek(fd, 50, SEEK_SET));
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 10, .l_len = 5};
    OK(fcntl(fd, F_SETLK, &l));
    conflict(0, F_WRLCK, 60, 5);
    l.l_type = F_UNLCK;
    OK(fcntl(fd, F_SETLK, &l));
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -20, .l_len = -10};
    OK(fcntl(fd, F_SETLK, &l)); /* a negative length: the bytes before */
    conflict(0, F_WRLCK, 170, 10);
}

static void lock_errors(void)
{
    int fd = make_file("f", 10), r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY));
    FAILS(lock(r, F_SETLK, F_WRLCK, 0, 1), EBADF);
    FAILS(lock(w, F_SETLK, F_RDLCK, 0, 1), EBADF);
    FAILS(lock(fd, F_SETLK, 9, 0, 1), EINVAL);
    FAILS(lock(fd, F_SETLK, F_WRLCK, -5, 1), EINVAL);
    FAILS(lock(-1, F_SETLK, F_WRLCK, 0, 1), EBADF);
    FAILS(fcntl(fd, F_SETLK, (void *)8), EFAULT);
    FAILS(flock(fd, 77), EINVAL);
    FAILS(flock(-1, LOCK_SH), EBADF);
}

/* Any close of the file, and exit, releases a process's locks; fork does not inherit them. */
static void release(void)
{
    int fd = make_file("f", 10), gate[2], ready[2];
    char c;
    OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    pid_t child = FORK();
    if (child == 0) {
        FAILS(lock(fd, F_SETLK, F_WRLCK, 0, 1), EAGAIN);
        close(fd); /* nor does its close release the parent's */
        _exit(0);
    }
    JOIN(child);
    CHECK(!free_for_others(F_RDLCK, 0, 1));
    close(OK(open("f", O_RDONLY)));
    CHECK(free_for_others(F_WRLCK, 0, 0));

    OK(pipe(gate));
    OK(pipe(ready));
    child = FORK();
    if (child == 0) {
        OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
        EQ(write(ready[1], "x", 1), 1);
        EQ(read(gate[0], &c, 1), 1);
        _exit(0);
    }
    EQ(read(ready[0], &c, 1), 1);
    FAILS(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
    EQ(write(gate[1], "x", 1), 1);
    OK(lock(fd, F_SETLKW, F_WRLCK, 0, 0)); /* waits for the exit */
    JOIN(child);
}

/* Each waits for what the other holds: the second to wait is told. */
static void deadlock(void)
{
    int fd = make_file("f", 10), ready[2];
    char c;
    OK(pipe(ready));
    OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
    pid_t child = FORK();
    if (child == 0) {
        OK(lock(fd, F_SETLK, F_WRLCK, 1, 1));
        EQ(write(ready[1], "x", 1), 1);
        if (lock(fd, F_SETLKW, F_WRLCK, 0, 1) == 0)
            _exit(10);
        EQ(errno, EDEADLK);
        _exit(11);
    }
    EQ(read(ready[0], &c, 1), 1);
    int got = lock(fd, F_SETLKW, F_WRLCK, 1, 1), error = errno, status;
    if (got != 0)
        EQ(error, EDEADLK);
    OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    EQ(WEXITSTATUS(status), got == 0 ? 11 : 10); /* exactly one of the two */
}

static void handler(int sig UNUSED)
{
}

static void interrupted_wait(void)
{
    struct sigaction action = {.sa_handler = handler};
    struct itimerval every = {{0, 50000}, {0, 50000}};
    int fd = make_file("f", 10), ready[2];
    char c;
    OK(pipe(ready));
    pid_t child = FORK();
    if (child == 0) {
        OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
        int own = OK(open("f", O_RDWR));
        OK(flock(own, LOCK_EX));
        EQ(write(ready[1], "x", 1), 1);
        pause();
    }
    EQ(read(ready[0], &c, 1), 1);
    OK(sigaction(SIGALRM, &action, NULL));
    OK(setitimer(ITIMER_REAL, &every, NULL));
    FAILS(lock(fd, F_SETLKW, F_WRLCK, 0, 1), EINTR);
    FAILS(flock(fd, LOCK_SH), EINTR);
    kill(child, SIGKILL);
    JOIN_KILLED(child, SIGKILL);
    OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
}

/* Locks of an open file: between descriptors of one process, shared after dup, gone at the end. */
static void open_file_locks(void)
{
    int fd = make_file("f", 10), other = OK(open("f", O_RDWR)), copy = OK(dup(fd));
    OK(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
    FAILS(lock(other, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
    FAILS(lock(other, F_SETLK, F_WRLCK, 5, 1), EAGAIN);
    OK(lock(copy, F_OFD_SETLK, F_RDLCK, 5, 1));
    OK(lock(other, F_OFD_SETLK, F_RDLCK, 5, 1));
    close(fd);
    FAILS(lock(other, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
    close(copy);
    OK(lock(other, F_OFD_SETLK, F_WRLCK, 0, 10));
    struct flock l = {.l_type = F_WRLCK, .l_pid = 1};
    FAILS(fcntl(other, F_OFD_SETLK, &l), EINVAL); /* the process must be given as 0 */
}

static void flocks(void)
{
    int a = make_file("f", 1), b = OK(open("f", O_RDONLY)), copy = OK(dup(a));
    OK(flock(a, LOCK_EX));
    FAILS(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    OK(flock(copy, LOCK_SH)); /* the same open file: converts */
    OK(flock(b, LOCK_SH | LOCK_NB));
    FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    OK(flock(b, LOCK_UN));
    OK(flock(a, LOCK_EX | LOCK_NB));
    close(a);
    FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(copy);
    OK(flock(b, LOCK_EX | LOCK_NB));
    CHECK(free_for_others(F_WRLCK, 0, 0)); /* the two kinds do not meet */
}

/* Waiters get it in the end; nobody is in the middle of another's count. */
static void as_a_mutex(void)
{
    enum { N = 4, ROUNDS = 30 };
    volatile int *count = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fd = make_file("f", 10);
    pid_t child[N];
    for (int i = 0; i < N; i++) {
        if ((child[i] = FORK()))
            continue;
        int own = OK(open("f", O_RDWR));
        for (int k = 0; k < ROUNDS; k++) {
            if (i % 2)
                OK(lock(fd, F_SETLKW, F_WRLCK, 3, 1));
            else
                OK(flock(own, LOCK_EX));
            int before = count[i % 2];
            sched_yield();
            count[i % 2] = before + 1;
            if (i % 2)
                OK(lock(fd, F_SETLK, F_UNLCK, 3, 1));
            else
                OK(flock(own, LOCK_UN));
        }
        _exit(0);
    }
    for (int i = 0; i < N; i++)
        JOIN(child[i]);
    EQ(count[0], N / 2 * ROUNDS);
    EQ(count[1], N / 2 * ROUNDS);
}

static const struct test tests[] = {
    TEST(ranges),          TEST(origins),  TEST(lock_errors),
    TEST(release),         TEST(deadlock), TEST(interrupted_wait),
    TEST(open_file_locks), TEST(flocks),   TEST(as_a_mutex),
};
MAIN(tests)
