/* Pipes and FIFOs: what is atomic, what blocks, what wakes, what ends. */
#include "files.h"
#include <sys/ioctl.h>

#define CAPACITY 65536

static volatile sig_atomic_t signals;
static void count_signal(int sig UNUSED)
{
    signals++;
}

static short events_of(int fd, short wanted)
{
    struct pollfd p = {fd, wanted, 0};
    OK(poll(&p, 1, 0));
    return p.revents;
}

/* Four writers; records up to PIPE_BUF arrive whole and in each writer's order. */
static void small_writes_are_atomic(void)
{
    enum { WRITERS = 4, RECORDS = 60 };
    static const int size[WRITERS] = {16, 1000, 4096, 3001};
    int ends[2], next[WRITERS] = {0};
    static unsigned char record[4096];
    pid_t child[WRITERS];
    OK(pipe(ends));
    for (int w = 0; w < WRITERS; w++) {
        if ((child[w] = FORK()))
            continue;
        for (int i = 0; i < RECORDS; i++) {
            memset(record, w * 60 + i, size[w]);
            record[0] = w;
            EQ(write(ends[1], record, size[w]), size[w]);
        }
        _exit(0);
    }
    close(ends[1]);
    for (unsigned char w; OK(read(ends[0], &w, 1)) == 1;) {
        CHECK(w < WRITERS);
        for (int at = 1; at < size[w];) {
            int n = OK(read(ends[0], record + at, size[w] - at));
            CHECK(n > 0);
            at += n;
        }
        for (int i = 1; i < size[w]; i++)
            EQ(record[i], (unsigned char)(w * 60 + next[w]));
        next[w]++;
    }
    for (int w = 0; w < WRITERS; w++) {
        EQ(next[w], RECORDS);
        JOIN(child[w]);
    }
}

/* A MiB in pieces that fit nothing. */
static void every_byte_in_order(void)
{
    static char out[7001], in[3001];
    int ends[2];
    size_t at = 0;
    ssize_t n;
    OK(pipe(ends));
    pid_t child = FORK();
    if (child == 0) {
        for (size_t sent = 0; sent < MIB; sent += n) {
            size_t part = MIB - sent < sizeof(out) ? MIB - sent : sizeof(out);
            for (size_t i = 0; i < part; i++)
                out[i] = pattern(sent + i);
            n = OK(write(ends[1], out, part));
        }
        _exit(0);
    }
    close(ends[1]);
    while ((n = OK(read(ends[0], in, sizeof(in)))) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            EQ(in[i], pattern(at));
    EQ(at, MIB);
    JOIN(child);
}

static void without_blocking(void)
{
    static char b[CAPACITY + 5000];
    int ends[2], n;
    OK(pipe2(ends, O_NONBLOCK));
    FAILS(read(ends[0], b, 1), EAGAIN);
    EQ(events_of(ends[0], POLLIN), 0);
    EQ(write(ends[1], "abc", 3), 3);
    OK(ioctl(ends[0], FIONREAD, &n));
    EQ(n, 3);
    EQ(read(ends[0], b, 10), 3);
    EQ(write(ends[1], b, sizeof(b)), CAPACITY);
    FAILS(write(ends[1], b, 1), EAGAIN);
    EQ(events_of(ends[1], POLLOUT), 0);
    EQ(read(ends[0], b, 100), 100);
    FAILS(write(ends[1], b, 4096), EAGAIN); /* all of PIPE_BUF or nothing */
    EQ(read(ends[0], b, 3996), 3996);
    EQ(events_of(ends[1], POLLOUT), POLLOUT);
    EQ(write(ends[1], b, 4096), 4096);
    EQ(read(ends[0], b, sizeof(b)), CAPACITY);
    EQ(write(ends[1], b, 0), 0);
    FAILS(read(ends[0], b, 1), EAGAIN);
}

static void directions(void)
{
    char c;
    int ends[2];
    struct stat st;
    OK(pipe(ends));
    FAILS(write(ends[0], "x", 1), EBADF);
    FAILS(read(ends[1], &c, 1), EBADF);
    FAILS(ftruncate(ends[1], 0), EINVAL);
    OK(fstat(ends[0], &st));
    CHECK(S_ISFIFO(st.st_mode));
    EQ(fcntl(ends[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    EQ(fcntl(ends[1], F_GETFL) & O_ACCMODE, O_WRONLY);
    FAILS(pipe2(ends, O_APPEND), EINVAL);
    FAILS(syscall(SYS_pipe2, 8L, 0), EFAULT);
}

static void capacity(void)
{
    static char b[CAPACITY];
    int ends[2];
    OK(pipe2(ends, O_NONBLOCK));
    EQ(fcntl(ends[0], F_GETPIPE_SZ), CAPACITY);
    EQ(fcntl(ends[0], F_SETPIPE_SZ, 1), 4096);
    EQ(write(ends[1], b, CAPACITY), 4096);
    EQ(fcntl(ends[1], F_SETPIPE_SZ, 5000), 8192);
    EQ(fcntl(ends[0], F_GETPIPE_SZ), 8192);
    EQ(write(ends[1], b, CAPACITY), 4096);
    FAILS(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
    EQ(read(ends[0], b, CAPACITY), 8192);
    OK(fcntl(ends[1], F_SETPIPE_SZ, 4096));
    FAILS(fcntl(OK(open(".", O_RDONLY)), F_GETPIPE_SZ), EBADF);
}

/* The last writer's end is end of file, also for a reader that waits already. */
static void end_of_file(void)
{
    int ends[2];
    char c;
    OK(pipe(ends));
    pid_t child = FORK();
    if (child == 0) {
        close(ends[0]);
        sleep_ms(50);
        _exit(0);
    }
    close(ends[1]);
    EQ(read(ends[0], &c, 1), 0);
    EQ(events_of(ends[0], POLLIN), POLLHUP);
    JOIN(child);
}

static void broken_pipe(void)
{
    int ends[2];
    signal(SIGPIPE, count_signal);
    OK(pipe(ends));
    close(ends[0]);
    FAILS(write(ends[1], "x", 1), EPIPE);
    EQ(signals, 1);
    EQ(events_of(ends[1], POLLOUT), POLLOUT | POLLERR);
    pid_t child = FORK();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        EQ(write(ends[1], "x", 1), 0);
        _exit(0);
    }
    JOIN_KILLED(child, SIGPIPE);
}

/* A writer that waits for room learns that the reader has gone. */
static void writer_wakes_when_reader_goes(void)
{
    static char b[2 * CAPACITY];
    int ends[2], gate[2];
    char c;
    OK(pipe(ends));
    OK(pipe(gate));
    pid_t child = FORK();
    if (child == 0) {
        signal(SIGPIPE, SIG_IGN);
        close(ends[0]);
        EQ(write(gate[1], "r", 1), 1);
        ssize_t n = write(ends[1], b, sizeof(b));
        CHECK(n == CAPACITY || (n == -1 && errno == EPIPE));
        FAILS(write(ends[1], b, 1), EPIPE);
        _exit(0);
    }
    EQ(read(gate[0], &c, 1), 1);
    sleep_ms(50);
    close(ends[0]);
    JOIN(child);
}

/* A signal ends a read with EINTR, or, with SA_RESTART, does not show. */
static void interrupted_read(void)
{
    int ends[2];
    char c;
    struct sigaction action = {.sa_handler = count_signal};
    OK(pipe(ends));
    for (int restart = 0; restart < 2; restart++) {
        pid_t parent = getpid();
        action.sa_flags = restart ? SA_RESTART : 0;
        OK(sigaction(SIGUSR1, &action, NULL));
        signals = 0;
        pid_t child = FORK();
        if (child == 0) {
            for (int i = 0; i < (restart ? 5 : 100); i++) { /* until one meets the read */
                sleep_ms(40);
                kill(parent, SIGUSR1);
            }
            EQ(write(ends[1], "x", 1), 1);
            _exit(0);
        }
        if (restart) {
            EQ(read(ends[0], &c, 1), 1);
            EQ(c, 'x');
            JOIN(child);
            CHECK(signals >= 1);
        } else {
            FAILS(read(ends[0], &c, 1), EINTR);
            kill(child, SIGKILL);
            JOIN_KILLED(child, SIGKILL);
        }
    }
}

static void fifo_without_blocking(void)
{
    char b[16];
    OK(mkfifo("p", 0644));
    FAILS(mkfifo("p", 0644), EEXIST);
    CHECK(S_ISFIFO(MODE_OF("p")));
    FAILS(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
    int r = OK(open("p", O_RDONLY | O_NONBLOCK));
    EQ(read(r, b, 1), 0); /* no writer yet */
    EQ(events_of(r, POLLIN), 0);
    int w = OK(open("p", O_WRONLY | O_NONBLOCK));
    FAILS(read(r, b, 1), EAGAIN);
    EQ(write(w, "hi", 2), 2);
    EQ(events_of(r, POLLIN), POLLIN);
    close(w);
    EQ(events_of(r, POLLIN), POLLIN | POLLHUP);
    EQ(read(r, b, 9), 2);
    EQ(read(r, b, 9), 0);
    close(r);
    int rw = OK(open("p", O_RDWR));
    EQ(write(rw, "q", 1), 1);
    EQ(read(rw, b, 1), 1);
    FAILS(lseek(rw, 0, SEEK_SET), ESPIPE);
}

/* Either side's open waits for the other's. */
static void fifo_rendezvous(void)
{
    char b[16] = "";
    OK(mkfifo("p", 0644));
    for (int writer_first = 0; writer_first < 2; writer_first++) {
        pid_t child = FORK();
        if (child == 0) {
            if (!writer_first)
                sleep_ms(60);
            int w = OK(open("p", O_WRONLY));
            EQ(write(w, "blocking", 8), 8);
            _exit(0);
        }
        if (writer_first)
            sleep_ms(60);
        int r = OK(open("p", O_RDONLY));
        EQ(read(r, b, 8), 8);
        EQ(memcmp(b, "blocking", 8), 0);
        EQ(read(r, b, 8), 0);
        close(r);
        JOIN(child);
    }
}

static void interrupted_open(void)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct itimerval every = {{0, 50000}, {0, 50000}};
    OK(sigaction(SIGALRM, &action, NULL));
    OK(mkfifo("p", 0644));
    OK(setitimer(ITIMER_REAL, &every, NULL));
    FAILS(open("p", O_RDONLY), EINTR);
    FAILS(open("p", O_WRONLY), EINTR);
}

static const struct test tests[] = {
    TEST(small_writes_are_atomic),
    TEST(every_byte_in_order),
    TEST(without_blocking),
    TEST(directions),
    TEST(capacity),
    TEST(end_of_file),
    TEST(broken_pipe),
    TEST(writer_wakes_when_reader_goes),
    TEST(interrupted_read),
    TEST(fifo_without_blocking),
    TEST(fifo_rendezvous),
    TEST(interrupted_open),
};
MAIN(tests)
