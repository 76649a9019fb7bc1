/* Who may do what: mode bits, owners, sticky folders, set-id bits; and the times of files. */
#include "check.h"

#include <grp.h>

#define NOBODY 65534

/* Runs @body as an ordinary user of group @gid. */
#define AS(uid, gid)                                              \
    for (pid_t child_ = as(uid, gid), once_ = 1; once_;           \
         (child_ == 0 ? _exit(0) : JOIN_VOID(child_)), once_ = 0) \
        if (child_ == 0)
#define JOIN_VOID(child) join_at(__FILE__, __LINE__, child, 0)

static pid_t as(uid_t uid, gid_t gid)
{
    if (geteuid() != 0)
        SKIP("needs root");
    pid_t child = FORK();
    if (child == 0) {
        OK(setgroups(0, NULL));
        OK(setgid(gid));
        OK(setuid(uid));
    }
    return child;
}

static void mode_bits(void)
{
    static const struct {
        int mode;
        uid_t uid;
        gid_t gid;
        int rights; /* of user 1000, group 1000 */
    } cases[] = {
        {0700, 1000, 1000, 7}, {0400, 1000, 1000, 4}, {0077, 1000, 1000, 0}, {0070, 1, 1000, 7},
        {0707, 1, 1000, 0},    {0007, 1, 1, 7},       {0770, 1, 1, 0},       {0004, 1, 1, 4},
        {0020, 1, 1000, 2},    {0001, 1, 1, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        close(make_file("f", 1));
        if (geteuid() == 0)
            OK(chown("f", cases[i].uid, cases[i].gid));
        OK(chmod("f", cases[i].mode));
        AS(1000, 1000)
        {
            for (int want = 1; want <= 7; want++)
                EQ(access("f", want), (cases[i].rights & want) == want ? 0 : -1);
            EQ(open("f", O_RDONLY) >= 0, (cases[i].rights & 4) != 0);
            EQ(open("f", O_WRONLY) >= 0, (cases[i].rights & 2) != 0);
        }
        OK(unlink("f"));
    }
}

static void supplementary_groups(void)
{
    close(make_file("f", 1));
    if (geteuid() != 0)
        SKIP("needs root");
    OK(chown("f", 1, 777));
    OK(chmod("f", 0040));
    pid_t child = FORK();
    if (child == 0) {
        gid_t groups[40], back[40];
        for (int i = 0; i < 40; i++)
            groups[i] = 740 + i;
        OK(setgroups(40, groups));
        EQ(getgroups(0, NULL), 40);
        EQ(getgroups(40, back), 40);
        EQ(memcmp(groups, back, sizeof(groups)), 0);
        FAILS(getgroups(10, back), EINVAL);
        OK(setuid(1000));
        OK(open("f", O_RDONLY));
        FAILS(open("f", O_WRONLY), EACCES);
        FAILS(setgroups(0, NULL), EPERM);
        _exit(0);
    }
    JOIN(child);
}

static void folders_need_search(void)
{
    struct stat st;
    OK(mkdir("d", 0755));
    OK(mkdir("d/e", 0755));
    close(make_file("d/e/f", 1));
    OK(chmod("d", 0744));
    AS(NOBODY, NOBODY)
    {
        FAILS(stat("d/e/f", &st), EACCES);
        FAILS(chdir("d"), EACCES);
        OK(open("d", O_RDONLY));
    }
    OK(chmod("d", 0711));
    AS(NOBODY, NOBODY)
    {
        OK(stat("d/e/f", &st));
        FAILS(open("d", O_RDONLY), EACCES);
        FAILS(open("d/new", O_RDWR | O_CREAT, 0600), EACCES);
        FAILS(unlink("d/e/f"), EACCES);
        FAILS(rename("d/e/f", "d/g"), EACCES);
        FAILS(mkdir("d/x", 0700), EACCES);
        FAILS(symlink("x", "d/x"), EACCES);
    }
}

static void sticky_folders(void)
{
    OK(mkdir("t", 0777));
    OK(chmod("t", 01777));
    AS(1000, 1000)
    {
        close(make_file("t/mine", 1));
    }
    AS(2000, 2000)
    {
        FAILS(unlink("t/mine"), EPERM);
        FAILS(rename("t/mine", "t/x"), EPERM);
        close(make_file("t/other", 1));
        FAILS(rename("t/other", "t/mine"), EPERM);
        OK(unlink("t/other"));
    }
    AS(1000, 1000)
    {
        OK(unlink("t/mine"));
    }
}

static void changing_modes_and_owners(void)
{
    close(make_file("f", 1));
    if (geteuid() != 0)
        SKIP("needs root");
    OK(chown("f", 1000, 1000));
    AS(2000, 2000)
    {
        FAILS(chmod("f", 0777), EPERM);
        FAILS(chown("f", 2000, 2000), EPERM);
    }
    AS(1000, 1000)
    {
        OK(chmod("f", 0600));
        OK(chown("f", -1, 1000));
        FAILS(chown("f", 2000, -1), EPERM);
        FAILS(chown("f", -1, 2000), EPERM);
    }
    struct stat st;
    OK(chmod("f", 06755));
    AS(1000, 1000)
    {
        OK(chown("f", 1000, 1000)); /* by an ordinary user: set-id bits go */
    }
    OK(stat("f", &st));
    EQ(st.st_mode & 07777, 0755);
    OK(chmod("f", 06755));
    OK(chmod("f", 07777));
    AS(1000, 1000)
    {
        int fd = OK(open("f", O_WRONLY));
        EQ(write(fd, "x", 1), 1); /* so does a write */
    }
    OK(stat("f", &st));
    EQ(st.st_mode & 06000, 0);
    OK(symlink("f", "s"));
    OK(lchown("s", 5, 6));
    OK(lstat("s", &st));
    EQ(st.st_uid, 5);
    OK(stat("s", &st));
    EQ(st.st_uid, 1000);
}

static void set_group_folders(void)
{
    OK(mkdir("d", 0755));
    if (geteuid() != 0)
        SKIP("needs root");
    OK(chown("d", 0, 321));
    OK(chmod("d", 02775));
    close(make_file("d/f", 1));
    OK(mkdir("d/sub", 0755));
    struct stat st;
    OK(stat("d/f", &st));
    EQ(st.st_gid, 321);
    OK(stat("d/sub", &st));
    EQ(st.st_gid, 321);
    EQ(st.st_mode & 02000, 02000);
}

static void umask_applies(void)
{
    struct stat st;
    umask(077);
    close(OK(open("f", O_WRONLY | O_CREAT, 0666)));
    OK(stat("f", &st));
    EQ(st.st_mode & 07777, 0600);
    OK(mkdir("d", 0777));
    OK(stat("d", &st));
    EQ(st.st_mode & 0777, 0700);
    umask(022);
}

static int64_t ns(struct timespec t)
{
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* File systems may keep times by the second. */
static void times_move(void)
{
    struct stat a, b;
    int fd = make_file("f", 10);
    OK(fstat(fd, &a));
    int64_t skew = llabs(ns(a.st_mtim) / 1000000000 - time(NULL));
    CHECK(skew <= 1);
    sleep_ms(1100);
    EQ(pwrite(fd, "x", 1, 0), 1);
    OK(fstat(fd, &b));
    CHECK(ns(b.st_mtim) > ns(a.st_mtim));
    CHECK(ns(b.st_ctim) > ns(a.st_ctim));
    EQ(ns(b.st_atim), ns(a.st_atim));
    a = b;
    sleep_ms(1100);
    OK(fchmod(fd, 0600));
    OK(fstat(fd, &b));
    EQ(ns(b.st_mtim), ns(a.st_mtim));
    CHECK(ns(b.st_ctim) > ns(a.st_ctim));
    struct stat d;
    OK(stat(".", &d));
    OK(rename("f", "g"));
    OK(stat(".", &a));
    CHECK(ns(a.st_mtim) > ns(d.st_mtim));
}

static void times_can_be_set(void)
{
    struct stat st;
    struct timespec when[2] = {{1000000001, 0}, {2000000002, 0}};
    close(make_file("f", 10));
    OK(utimensat(AT_FDCWD, "f", when, 0));
    OK(stat("f", &st));
    EQ(st.st_atim.tv_sec, 1000000001);
    EQ(st.st_mtim.tv_sec, 2000000002);
    CHECK(st.st_ctim.tv_sec != 2000000002);
    when[0].tv_nsec = UTIME_OMIT;
    when[1].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "f", when, 0));
    OK(stat("f", &st));
    EQ(st.st_atim.tv_sec, 1000000001);
    CHECK(llabs(st.st_mtim.tv_sec - time(NULL)) <= 2);
    when[0].tv_nsec = 2000000000;
    FAILS(utimensat(AT_FDCWD, "f", when, 0), EINVAL);
    OK(chmod("f", 0666));
    AS(NOBODY, NOBODY)
    {
        struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, set[2] = {{1, 0}, {1, 0}};
        OK(utimensat(AT_FDCWD, "f", now, 0)); /* who may write may set it to now, no more */
        FAILS(utimensat(AT_FDCWD, "f", set, 0), EPERM);
    }
}

static const struct test tests[] = {
    TEST(mode_bits),
    TEST(supplementary_groups),
    TEST(folders_need_search),
    TEST(sticky_folders),
    TEST(changing_modes_and_owners),
    TEST(set_group_folders),
    TEST(umask_applies),
    TEST(times_move),
    TEST(times_can_be_set),
};
MAIN(tests)
