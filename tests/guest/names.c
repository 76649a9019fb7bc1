/* Names: hard links, rename with all its rules, names relative to a folder, special files. */
#include "check.h"

static struct stat at(const char *name)
{
    struct stat st;
    if (lstat(name, &st) != 0)
        FAIL("lstat %s: %m", name);
    return st;
}

static bool missing(const char *name)
{
    struct stat st;
    return lstat(name, &st) != 0 && errno == ENOENT;
}

static void removed_working_directory(void)
{
    char buf[PATH_MAX];
    OK(mkdir("d", 0755));
    OK(chdir("d"));
    OK(rmdir("../d"));
    FAILS(syscall(SYS_getcwd, buf, sizeof(buf)), ENOENT);
    FAILS(open("x", O_RDWR | O_CREAT, 0600), ENOENT);
    OK(chdir(".."));
    CHECK(getcwd(buf, sizeof(buf)) != NULL);
    FAILS(syscall(SYS_getcwd, buf, 2), ERANGE);
}

static void hard_links(void)
{
    int fd = make_file("a", 100);
    OK(link("a", "b"));
    EQ(at("a").st_ino, at("b").st_ino);
    EQ(at("a").st_nlink, 2);
    EQ(pwrite(fd, "Z", 1, 0), 1);
    EQ(contents("b")[0], 'Z');
    FAILS(link("a", "b"), EEXIST);
    FAILS(link("missing", "c"), ENOENT);
    OK(mkdir("d", 0755));
    FAILS(link("d", "dd"), EPERM);
    OK(unlink("a"));
    EQ(at("b").st_nlink, 1);
    OK(symlink("b", "s"));
    OK(linkat(AT_FDCWD, "s", AT_FDCWD, "s2", 0));
    EQ(S_ISLNK(at("s2").st_mode), 1);
    OK(linkat(AT_FDCWD, "s", AT_FDCWD, "b2", AT_SYMLINK_FOLLOW));
    EQ(at("b2").st_ino, at("b").st_ino);
}

/* What happens to each kind renamed onto each kind. */
static void rename_matrix(void)
{
    enum { NONE, A_FILE, EMPTY, FULL, LINK, KINDS };
    for (int from = A_FILE; from < KINDS; from++)
        for (int to = NONE; to < KINDS; to++) {
            const char *name[2] = {"from", "to"};
            int kind[2] = {from, to}, expected = 0;
            for (int i = 0; i < 2; i++) {
                if (kind[i] == A_FILE)
                    close(make_file(name[i], 10 + i));
                if (kind[i] == EMPTY || kind[i] == FULL)
                    OK(mkdir(name[i], 0755));
                if (kind[i] == FULL) {
                    char inner[20];
                    snprintf(inner, sizeof(inner), "%s/x", name[i]);
                    close(make_file(inner, 1));
                }
                if (kind[i] == LINK)
                    OK(symlink("nowhere", name[i]));
            }
            bool from_dir = from == EMPTY || from == FULL, to_dir = to == EMPTY || to == FULL;
            ino_t ino = at("from").st_ino;
            if (from_dir && (to == A_FILE || to == LINK))
                expected = ENOTDIR;
            else if (!from_dir && to_dir)
                expected = EISDIR;
            else if (from_dir && to == FULL)
                expected = ENOTEMPTY;
            int r = rename("from", "to");
            if (r != (expected ? -1 : 0) || (expected && errno != expected && errno != EEXIST))
                FAIL("rename kind %d onto %d: %d (%m), expected errno %d", from, to, r, expected);
            if (!expected) {
                EQ(at("to").st_ino, ino);
                CHECK(missing("from"));
            } else {
                EQ(at("from").st_ino, ino);
            }
            static const char *const rest[] = {"from/x", "to/x", "from", "to"};
            for (int i = 0; i < 4; i++)
                remove(rest[i]);
        }
}

static void rename_rules(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("d/e", 0755));
    OK(mkdir("d/e/f", 0755));
    OK(mkdir("other", 0755));
    FAILS(rename("d", "d/e/x"), EINVAL); /* into itself */
    FAILS(rename("d", "d/e/f"), EINVAL);
    FAILS(rename("d/e/f", "d"), ENOTEMPTY);
    FAILS(rename("d/.", "x"), EBUSY);
    FAILS(rename("missing", "x"), ENOENT);
    FAILS(rename("d", "missing/x"), ENOENT);
    nlink_t links = at("d").st_nlink;
    OK(rename("d/e", "other/moved")); /* a folder to another parent: ".." and counts follow */
    EQ(at("other/moved/..").st_ino, at("other").st_ino);
    EQ(at("d").st_nlink == links - 1 || links == 1, 1);
    FAILS(rmdir("other"), ENOTEMPTY);
    OK(rename("other/moved", "other/moved")); /* onto itself: nothing */
    close(make_file("a", 1));
    OK(link("a", "b"));
    OK(rename("a", "b")); /* two names of one file: nothing */
    EQ(at("a").st_ino, at("b").st_ino);
    int fd = make_file("victim", 100);
    OK(rename("a", "victim")); /* what was there lives on while it is open */
    char c;
    EQ(pread(fd, &c, 1, 99), 1);
    EQ(at("victim").st_size, 1);
}

static void rename_flags(void)
{
    close(make_file("a", 1));
    close(make_file("b", 2));
    OK(mkdir("d", 0755));
    FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    EQ(at("b").st_size, 2);
    OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    EQ(at("c").st_size, 1);
    FAILS(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", 0x100), EINVAL);
    if (renameat2(AT_FDCWD, "b", AT_FDCWD, "d", RENAME_EXCHANGE) == 0) {
        EQ(S_ISDIR(at("b").st_mode), 1);
        EQ(at("d").st_size, 2);
    } else {
        EQ(errno, EINVAL); /* a file system need not have it */
    }
}

static void relative_to_a_folder(void)
{
    OK(mkdir("d", 0755));
    int dir = OK(open("d", O_RDONLY | O_DIRECTORY));
    int fd = OK(openat(dir, "f", O_RDWR | O_CREAT, 0600));
    struct stat st, same;
    OK(fstatat(dir, "f", &st, 0));
    OK(fstatat(fd, "", &same, AT_EMPTY_PATH));
    EQ(st.st_ino, same.st_ino);
    OK(mkdirat(dir, "e", 0755));
    OK(renameat(dir, "f", AT_FDCWD, "g"));
    OK(unlinkat(dir, "e", AT_REMOVEDIR));
    FAILS(unlinkat(dir, "e", 0), ENOENT);
    FAILS(openat(fd, "x", O_RDONLY), ENOTDIR);
    FAILS(openat(99, "x", O_RDONLY), EBADF);
    OK(openat(99, "/", O_RDONLY));
    OK(fchdir(dir));
    OK(stat("../g", &st));
    FAILS(fchdir(fd), ENOTDIR);
    FAILS(fstatat(dir, "", &st, 0), ENOENT);
}

static void special_files(void)
{
    OK(mknod("fifo", S_IFIFO | 0644, 0));
    EQ(S_ISFIFO(at("fifo").st_mode), 1);
    OK(mknod("plain", S_IFREG | 0600, 0));
    EQ(S_ISREG(at("plain").st_mode), 1);
    if (geteuid() == 0) {
        OK(mknod("null", S_IFCHR | 0666, (1 << 8) | 3));
        EQ(at("null").st_rdev, (1 << 8) | 3);
        int fd = OK(open("null", O_RDWR));
        char c;
        EQ(write(fd, "x", 1), 1);
        EQ(read(fd, &c, 1), 0);
    }
}

static const struct test tests[] = {
    TEST(removed_working_directory),
    TEST(hard_links),
    TEST(rename_matrix),
    TEST(rename_rules),
    TEST(rename_flags),
    TEST(relative_to_a_folder),
    TEST(special_files),
};
MAIN(tests)
