/* User and group ids: who may become whom, and set-user-id programs. */
#include "check.h"

#include <grp.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>

static char self[PATH_MAX];

static void copy_self(const char *name, mode_t mode)
{
    int from = OK(open(self, O_RDONLY)), to = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700));
    while (OK(sendfile(to, from, NULL, MIB)) > 0)
        ;
    OK(fchmod(to, mode));
    close(from);
    close(to);
}

static void ids_are(uid_t real, uid_t effective, uid_t saved)
{
    uid_t r, e, s;
    OK(getresuid(&r, &e, &s));
    EQ(r, real);
    EQ(e, effective);
    EQ(s, saved);
    EQ(getuid(), real);
    EQ(geteuid(), effective);
}

static void need_root(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
}

/* Root gives itself up for good. */
static void drop_all(void)
{
    need_root();
    OK(setgroups(2, (gid_t[]){7, 8}));
    OK(setgid(100));
    OK(setuid(1000));
    ids_are(1000, 1000, 1000);
    gid_t groups[4];
    EQ(getgroups(4, groups), 2);
    EQ(groups[0] + groups[1], 15);
    FAILS(getgroups(1, groups), EINVAL);
    FAILS(setuid(0), EPERM);
    FAILS(seteuid(0), EPERM);
    FAILS(setgid(0), EPERM);
    FAILS(setgroups(0, NULL), EPERM);
    OK(setuid(1000));
    pid_t child = FORK();
    if (child == 0) {
        ids_are(1000, 1000, 1000);
        EQ(getgid(), 100);
        _exit(0);
    }
    JOIN(child);
}

/* The saved id is the way back. */
static void drop_and_return(void)
{
    need_root();
    OK(seteuid(1000));
    ids_are(0, 1000, 0);
    FAILS(setresuid(2000, -1, -1), EPERM);
    int fd = OK(open("mine", O_CREAT | O_WRONLY, 0600));
    struct stat st;
    OK(fstat(fd, &st));
    EQ(st.st_uid, 1000);
    OK(seteuid(0));
    ids_are(0, 0, 0);
    OK(setreuid(1000, 2000));
    ids_are(1000, 2000, 2000); /* the saved one follows */
    OK(setreuid(2000, 1000));
    ids_are(2000, 1000, 1000);
    OK(setresuid(1000, -1, 2000));
    ids_are(1000, 1000, 2000);
    FAILS(setresuid(0, -1, -1), EPERM);
}

/* Permissions of files follow the effective ids; access() follows the real ones. */
static void files_of_others(void)
{
    need_root();
    close(make_file("secret", 10));
    OK(chmod("secret", 0600));
    close(make_file("shared", 10));
    OK(chown("shared", 0, 100));
    OK(chmod("shared", 0640));
    OK(setgroups(0, NULL));
    OK(setegid(100));
    OK(seteuid(1000));
    FAILS(open("secret", O_RDONLY), EACCES);
    OK(access("secret", R_OK)); /* the real user is root */
    OK(close(OK(open("shared", O_RDONLY))));
    FAILS(open("shared", O_WRONLY), EACCES);
    FAILS(chmod("shared", 0666), EPERM);
    FAILS(chown("shared", 1000, -1), EPERM);
}

static void file_system_id(void)
{
    need_root();
    struct stat st;
    EQ(setfsuid(1000), 0);
    EQ(setfsuid(-1), 1000);
    int fd = OK(open("mine", O_CREAT | O_WRONLY, 0600));
    OK(fstat(fd, &st));
    EQ(st.st_uid, 1000);
    EQ(geteuid(), 0);
    OK(seteuid(0)); /* takes it along */
    EQ(setfsuid(-1), 0);
}

/* "@ids REAL EFFECTIVE": a program started by the test below. */
static int role_ids(char **argv)
{
    ids_are(atol(argv[2]), atol(argv[3]), atol(argv[3]));
    EQ(getauxval(AT_UID), getuid());
    EQ(getauxval(AT_EUID), geteuid());
    EQ(getauxval(AT_SECURE), getuid() != geteuid());
    return 0;
}

static void run_as(uid_t uid, const char *real, const char *effective)
{
    pid_t child = FORK();
    if (child == 0) {
        OK(setuid(uid));
        execl("./program", "program", "@ids", real, effective, NULL);
        FAIL("execl: %m");
    }
    JOIN(child);
}

static void set_user_id(void)
{
    struct statvfs fs;
    need_root();
    OK(statvfs(".", &fs));
    if (fs.f_flag & ST_NOSUID)
        SKIP("needs a file system that honours set-user-id");
    copy_self("program", 0755);
    OK(chown("program", 1234, 1234));
    run_as(4321, "4321", "4321");
    OK(chmod("program", 04755));
    run_as(0, "0", "1234");
    run_as(4321, "4321", "1234");
    OK(chown("program", 0, 0)); /* takes the bit away */
    run_as(4321, "4321", "4321");
    OK(chmod("program", 04755));
    run_as(4321, "4321", "0");
    pid_t child = FORK();
    if (child == 0) {
        OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        run_as(4321, "4321", "4321");
        _exit(0);
    }
    JOIN(child);
}

static const struct test tests[] = {
    TEST(drop_all),       TEST(drop_and_return), TEST(files_of_others),
    TEST(file_system_id), TEST(set_user_id),
};

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "@ids") == 0)
        return role_ids(argv);
    CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    return run_tests(argc, argv, tests, COUNT(tests));
}
