/* Descriptors: what duplicates share and what is their own; the lowest number is taken. */
#include "check.h"

static void duplicates_share(void)
{
    int fd = make_file("f", 100);
    OK(lseek(fd, 0, SEEK_SET));
    int d = OK(dup(fd));
    char c;
    EQ(read(fd, &c, 1), 1);
    EQ(lseek(d, 0, SEEK_CUR), 1);
    OK(fcntl(d, F_SETFL, O_APPEND));
    CHECK(fcntl(fd, F_GETFL) & O_APPEND);
    OK(fcntl(d, F_SETFD, FD_CLOEXEC));
    EQ(fcntl(fd, F_GETFD), 0); /* this one is the descriptor's own */
    EQ(dup2(fd, 100), 100);
    EQ(dup2(fd, fd), fd);
    FAILS(dup2(99, 101), EBADF);
    FAILS(dup3(fd, fd, 0), EINVAL);
    FAILS(dup3(fd, 50, 1), EINVAL);
    EQ(dup3(fd, 50, O_CLOEXEC), 50);
    EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
    EQ(fcntl(fd, F_DUPFD, 60), 60);
    EQ(fcntl(fd, F_DUPFD_CLOEXEC, 60), 61);
    OK(syscall(SYS_close_range, 50, 200, 0));
    FAILS(fcntl(100, F_GETFD), EBADF);
    FAILS(fcntl(60, F_GETFD), EBADF);
    FAILS(close(60), EBADF);
    OK(fcntl(fd, F_GETFD));
    close(fd);
    EQ(open("f", O_RDONLY), fd); /* the lowest free one */
}

static const struct test tests[] = {
    TEST(duplicates_share),
};
MAIN(tests)
