/* Path resolution: errors in their order, symbolic links, slashes, lengths, permissions. */
#include "files.h"

static int create(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    return fd < 0 ? -1 : close(fd);
}

static void directories(void)
{
    OK(mkdir("d", 0755));
    FAILS(mkdir("d", 0755), EEXIST);
    FAILS(mkdir("d/", 0755), EEXIST);
    OK(mkdir("e/", 0755));
    FAILS(mkdir("x/y", 0755), ENOENT);
    FAILS(mkdir(".", 0755), EEXIST);
    FAILS(mkdir("..", 0755), EEXIST);
    FAILS(mkdir("/", 0755), EEXIST);
    FAILS(mkdir("", 0755), ENOENT);
    FAILS(open("d", O_WRONLY), EISDIR);
    FAILS(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
    FAILS(open("d", O_RDONLY | O_TRUNC), EISDIR);
    FAILS(open("", O_RDONLY), ENOENT);
    FAILS(open((char *)8, O_RDONLY), EFAULT);
    FAILS(create("d/"), EISDIR);
    FAILS(create("none/"), EISDIR);
    FAILS(create("d/.."), EISDIR);
    FAILS(create("none/a"), ENOENT);
}

static void files_are_no_directories(void)
{
    put("f", "f");
    FAILS(create("f/"), EISDIR);
    FAILS(create("f/x"), ENOTDIR);
    FAILS(open("f/", O_RDONLY), ENOTDIR);
    FAILS(open("f/.", O_RDONLY), ENOTDIR);
    FAILS(open("f/..", O_RDONLY), ENOTDIR);
    FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open("f", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
    FAILS(chdir("f"), ENOTDIR);
    FAILS(chdir("none"), ENOENT);
    FAILS(access("f/x", F_OK), ENOTDIR);
    FAILS(openat(OK(open("f", O_RDONLY)), "x", O_RDONLY), ENOTDIR);
    FAILS(openat(-1, "x", O_RDONLY), EBADF);
}

static void dots(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("d/e", 0755));
    put("f", "f");
    HAS("d/../f", "f");
    HAS("./d//e/./../../f", "f");
    FAILS(open("d/none/../../f", O_RDONLY), ENOENT);
    EQ(INODE_OF("/.."), INODE_OF("/"));
    EQ(INODE_OF("/../../."), INODE_OF("/"));
    EQ(INODE_OF("d/e/.."), INODE_OF("d"));
    OK(chdir("d/e"));
    HAS("../../f", "f");
}

static void symbolic_links(void)
{
    char text[8];
    put("f", "f");
    OK(mkdir("d", 0755));
    OK(symlink("f", "s1"));
    OK(symlink("s1", "s2"));
    OK(symlink("loop", "loop"));
    OK(symlink("missing", "dangling"));
    OK(symlink("d", "sd"));
    FAILS(symlink("", "empty"), ENOENT);
    FAILS(symlink("a", "f"), EEXIST);
    FAILS(symlink("a", "zz/"), ENOENT);
    HAS("s2", "f");
    FAILS(open("loop", O_RDONLY), ELOOP);
    FAILS(open("loop", O_RDONLY | O_CREAT, 0644), ELOOP);
    FAILS(open("loop/x", O_RDONLY), ELOOP);
    FAILS(open("s1", O_RDONLY | O_NOFOLLOW), ELOOP);
    OK(open("s1", O_PATH | O_NOFOLLOW));
    FAILS(open("dangling", O_RDONLY), ENOENT);
    FAILS(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    FAILS(open("dangling", O_CREAT | O_NOFOLLOW | O_WRONLY, 0644), ELOOP);
    FAILS(mkdir("dangling", 0755), EEXIST);
    FAILS(mkdir("dangling/", 0755), EEXIST);
    OK(create("dangling"));
    CHECK(S_ISREG(MODE_OF("missing")));
    EQ(SIZE_OF("s1"), 1);
    EQ(readlink("s1", text, 8), 1);
    EQ(readlink("s2", text, 1), 1);
    EQ(text[0], 's');
    FAILS(readlink("f", text, 8), EINVAL);
    FAILS(readlink("none", text, 8), ENOENT);
    FAILS(readlink("s1", text, 0), EINVAL);
}

/* With a slash behind it a link means what it leads to. */
static void links_with_slashes(void)
{
    put("f", "f");
    OK(mkdir("d", 0755));
    OK(symlink("d", "sd"));
    OK(symlink("f", "sf"));
    OK(symlink("../../../../../../../..", "up"));
    CHECK(S_ISLNK(MODE_OF("sd")));
    CHECK(S_ISDIR(MODE_OF("sd/")));
    CHECK(S_ISDIR(MODE_OF("up/")));
    OK(open("sd/", O_RDONLY | O_NOFOLLOW));
    FAILS(open("sf/", O_RDONLY), ENOTDIR);
    OK(create("sd/inner"));
    CHECK(exists("d/inner"));
    FAILS(create("sd"), EISDIR);
    FAILS(unlink("sd/"), ENOTDIR);
    FAILS(rmdir("sd"), ENOTDIR);
    OK(unlink("sd"));
}

/* A path may lead over 40 links. */
static void chain_of_links(void)
{
    char name[16], target[16] = "f";
    put("f", "f");
    for (int i = 0; i < 42; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        OK(symlink(target, name));
        strcpy(target, name);
    }
    HAS("c39", "f");
    FAILS(open("c40", O_RDONLY), ELOOP);
    OK(open("c40", O_PATH | O_NOFOLLOW));
}

static void lengths(void)
{
    static char name[300], path[PATH_MAX + 10], target[PATH_MAX + 10], got[PATH_MAX];
    memset(name, 'a', 256);
    FAILS(create(name), ENAMETOOLONG);
    FAILS(mkdir(name, 0755), ENAMETOOLONG);
    FAILS(access(name, F_OK), ENAMETOOLONG);
    name[255] = 0;
    OK(mkdir(name, 0755));
    CHECK(S_ISDIR(MODE_OF(name)));
    OK(rmdir(name));

    for (size_t i = 0; i < PATH_MAX; i += 2)
        memcpy(path + i, "./", 2);
    path[PATH_MAX - 2] = '.';
    path[PATH_MAX - 1] = 0;
    OK(access(path, F_OK)); /* with its terminator just PATH_MAX */
    strcpy(path + PATH_MAX - 1, "/");
    FAILS(access(path, F_OK), ENAMETOOLONG);

    for (int length = 10; length < 4000; length = length * 2 + 1) { /* short ones live elsewhere */
        memset(target, 'b', length);
        target[length] = 0;
        OK(symlink(target, "s"));
        EQ(SIZE_OF("s"), length);
        EQ(readlink("s", got, sizeof(got)), length);
        EQ(memcmp(got, target, length), 0);
        OK(unlink("s"));
    }
    memset(target, 'b', PATH_MAX);
    FAILS(symlink(target, "s"), ENAMETOOLONG);
}

/* 60 folders deep: further than PATH_MAX reaches in one step. */
static void deep(void)
{
    enum { DEPTH = 60 };
    char name[100];
    static char path[20000];
    memset(name, 'd', 99);
    name[99] = 0;
    for (int i = 0; i < DEPTH; i++) {
        OK(mkdir(name, 0755));
        OK(chdir(name));
    }
    put("f", "deep");
    FAILS(syscall(SYS_getcwd, path, PATH_MAX), ENAMETOOLONG);
    for (int i = 0; i < DEPTH / 2; i++)
        OK(chdir(".."));
    CHECK(syscall(SYS_getcwd, path, PATH_MAX) > 99 * (DEPTH / 2));
    FAILS(syscall(SYS_getcwd, path, 100L), ERANGE);
    for (int i = 0; i < DEPTH / 2; i++) {
        strcat(i ? path : strcpy(path, ""), name);
        strcat(path, "/");
    }
    strcat(path, "f");
    HAS(path, "deep");
    for (int i = 0; i < DEPTH / 2; i++)
        OK(chdir(".."));
    for (int i = 0; i < DEPTH; i++)
        OK(chdir(name));
    OK(unlink("f"));
    for (int i = 0; i < DEPTH; i++) {
        OK(chdir(".."));
        OK(rmdir(name));
    }
}

static void accesses(void)
{
    put("f", "f");
    OK(mkdir("d", 0700));
    OK(access("f", R_OK | W_OK));
    FAILS(access("f", X_OK), EACCES); /* not even root, without any x */
    OK(access("d", X_OK));
    FAILS(access("none", F_OK), ENOENT);
    FAILS(access("f", 8), EINVAL);
    OK(chmod("f", 0));
    if (geteuid() == 0)
        OK(open("f", O_RDWR));
}

static void other_walks(void)
{
    FAILS(open("private/f", O_RDONLY), EACCES);
    FAILS(access("private/none", F_OK), EACCES);
    FAILS(chdir("private"), EACCES);
    FAILS(open("private", O_RDONLY | O_DIRECTORY), EACCES);
    HAS("through/f", "t"); /* x alone: known names open, no list */
    FAILS(open("through", O_RDONLY | O_DIRECTORY), EACCES);
    FAILS(create("through/new"), EACCES);
    OK(open("list", O_RDONLY | O_DIRECTORY)); /* r alone: a list, no names */
    FAILS(access("list/f", F_OK), EACCES);
    FAILS(unlink("shut/f"), EACCES);
    FAILS(rename("shut/f", "mine"), EACCES);
    FAILS(mkdir("shut/d", 0755), EACCES);
    FAILS(symlink("a", "shut/s"), EACCES);
    HAS("shut/f", "s");
    FAILS(open("shut/f", O_WRONLY), EACCES);
    FAILS(truncate("shut/f", 0), EACCES);
    FAILS(access("shut/f", W_OK), EACCES);
    FAILS(open("shut/none/x", O_RDONLY), ENOENT);
    FAILS(execl("shut/f", "f", (char *)NULL), EACCES);
    OK(create("mine"));
    OK(chmod("mine", 0077)); /* the owner's bits count for the owner, only they */
    FAILS(open("mine", O_RDONLY), EACCES);
}

static void permissions_of_another(void)
{
    static const struct {
        const char *name, *file, *text;
        mode_t mode;
    } folder[] = {
        {"private", "private/f", "p", 0700},
        {"through", "through/f", "t", 0711},
        {"list", "list/f", "l", 0744},
        {"shut", "shut/f", "s", 0755},
    };
    for (size_t i = 0; i < COUNT(folder); i++) {
        OK(mkdir(folder[i].name, 0755));
        put(folder[i].file, folder[i].text);
        OK(chmod(folder[i].name, folder[i].mode));
    }
    as_other(other_walks);
}

/* Inside a new root nothing leads out, and absolute links start there. */
static void new_root(void)
{
    char path[100];
    if (geteuid() != 0)
        SKIP("needs root");
    OK(mkdir("jail", 0755));
    OK(mkdir("jail/in", 0755));
    put("jail/in/f", "inside");
    OK(symlink("/in/f", "jail/abs"));
    OK(chroot("jail"));
    OK(chdir("/"));
    HAS("../../in/f", "inside");
    HAS("abs", "inside");
    OK(chdir("in"));
    CHECK(getcwd(path, sizeof(path)));
    EQ(strcmp(path, "/in"), 0);
    EQ(INODE_OF("../../.."), INODE_OF("/"));
    FAILS(access("../../../jail", F_OK), ENOENT);
    FAILS(chroot("f"), ENOTDIR);
}

static const struct test tests[] = {
    TEST(directories),        TEST(files_are_no_directories), TEST(dots),     TEST(symbolic_links),
    TEST(links_with_slashes), TEST(chain_of_links),           TEST(lengths),  TEST(deep),
    TEST(accesses),           TEST(permissions_of_another),   TEST(new_root),
};
MAIN(tests)
