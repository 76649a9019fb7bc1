/* Mounts: tmpfs and bind mounts, what keeps them busy, read-only, full. Needs root. */
#include "files.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>

/* Mounts of a test stay its own where the system can keep them apart. */
static void start(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
    if (unshare(CLONE_NEWNS) == 0)
        OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    OK(mkdir("m", 0755));
    OK(mkdir("d", 0755));
    put("f", "f");
}

static int create(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    return fd < 0 ? -1 : close(fd);
}

static void covers_and_uncovers(void)
{
    start();
    put("m/under", "under");
    dev_t below = lstat_of("m").st_dev;
    OK(mount("none", "m", "tmpfs", 0, "size=64k,mode=0711"));
    EQ(MODE_OF("m"), S_IFDIR | 0711);
    CHECK(lstat_of("m").st_dev != below);
    CHECK(!exists("m/under"));
    put("m/a", "a");
    EQ(INODE_OF("m/.."), INODE_OF("."));
    OK(mount("none", "m", "tmpfs", 0, NULL)); /* and once more above it */
    CHECK(!exists("m/a"));
    OK(umount("m"));
    HAS("m/a", "a");
    OK(umount("m"));
    HAS("m/under", "under");
    FAILS(umount("m"), EINVAL);
}

static void borders(void)
{
    start();
    OK(mount("none", "m", "tmpfs", 0, NULL));
    put("m/a", "a");
    FAILS(rename("m/a", "moved"), EXDEV);
    FAILS(link("m/a", "hard"), EXDEV);
    FAILS(rmdir("m"), EBUSY);
    FAILS(rename("m", "n"), EBUSY);
    FAILS(rename("d", "m"), EBUSY);
    FAILS(umount("m/a"), EINVAL);
    FAILS(umount("f"), EINVAL);
    FAILS(umount("none"), ENOENT);
    OK(umount("m"));
    OK(rmdir("m"));
}

static void busy(void)
{
    start();
    OK(mount("none", "m", "tmpfs", 0, NULL));
    int fd = OK(open("m/a", O_CREAT | O_RDWR, 0644));
    FAILS(umount("m"), EBUSY);
    OK(ftruncate(fd, PAGE));
    char *map = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    close(fd);
    FAILS(umount("m"), EBUSY);
    OK(munmap(map, PAGE));
    OK(chdir("m"));
    FAILS(umount("../m"), EBUSY);
    OK(chdir(".."));
    OK(mkdir("m/in", 0755));
    OK(mount("none", "m/in", "tmpfs", 0, NULL));
    FAILS(umount("m"), EBUSY);
    OK(umount("m/in"));
    OK(umount("m"));
}

/* A detached mount has no place any more but lives while it is used. */
static void detached(void)
{
    start();
    OK(mount("none", "m", "tmpfs", 0, NULL));
    int fd = OK(open("m/a", O_CREAT | O_RDWR, 0644));
    OK(umount2("m", MNT_DETACH));
    CHECK(!exists("m/a"));
    EQ(write(fd, "alive", 5), 5);
    FAILS(umount("m"), EINVAL);
}

static void read_only(void)
{
    start();
    OK(mount("none", "m", "tmpfs", 0, NULL));
    put("m/a", "a");
    int fd = OK(open("m/a", O_WRONLY));
    FAILS(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
    close(fd);
    OK(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
    HAS("m/a", "a");
    FAILS(create("m/b"), EROFS);
    FAILS(open("m/a", O_RDWR), EROFS);
    FAILS(unlink("m/a"), EROFS);
    FAILS(mkdir("m/d", 0755), EROFS);
    FAILS(rename("m/a", "m/b"), EROFS);
    FAILS(chmod("m/a", 0), EROFS);
    FAILS(access("m/a", W_OK), EROFS);
    FAILS(truncate("m/a", 0), EROFS);
    OK(mount("none", "m", NULL, MS_REMOUNT, NULL));
    OK(create("m/b"));
    OK(umount("m"));
}

/* The same directory in two places. */
static void bind(void)
{
    start();
    put("d/a", "a");
    OK(mount("d", "m", NULL, MS_BIND, NULL));
    HAS("m/a", "a");
    put("m/b", "b");
    HAS("d/b", "b");
    EQ(INODE_OF("m/a"), INODE_OF("d/a"));
    FAILS(rename("m/a", "d/c"), EXDEV);
    EQ(INODE_OF("m/.."), INODE_OF("."));
    OK(umount("m"));
    CHECK(!exists("m/a"));
    OK(mount("d/a", "f", NULL, MS_BIND, NULL)); /* files too */
    HAS("f", "a");
    OK(umount("f"));
    HAS("f", "f");
    FAILS(mount("d", "f", NULL, MS_BIND, NULL), ENOTDIR);
}

static void errors(void)
{
    start();
    FAILS(mount("none", "m", "nosuch", 0, NULL), ENODEV);
    FAILS(mount("none", "f", "tmpfs", 0, NULL), ENOTDIR);
    FAILS(mount("none", "none", "tmpfs", 0, NULL), ENOENT);
    FAILS(mount("none", "m", "tmpfs", 0, "bogus=1"), EINVAL);
    FAILS(mount("none", "m", NULL, MS_BIND, NULL), ENOENT);
    FAILS(mount("none", "m", NULL, MS_REMOUNT, NULL), EINVAL);
}

static void other_mounts(void)
{
    FAILS(mount("none", "m", "tmpfs", 0, NULL), EPERM);
    FAILS(umount("d"), EPERM);
}

static void needs_privilege(void)
{
    start();
    OK(mount("none", "d", "tmpfs", 0, NULL));
    as_other(other_mounts);
    OK(umount("d"));
}

/* A full tmpfs is ENOSPC; room comes back as files go. */
static void full(void)
{
    static char b[70000];
    struct statfs fs;
    char name[32];
    start();
    OK(mount("none", "m", "tmpfs", 0, "size=64k,nr_inodes=20"));
    int fd = OK(open("m/a", O_CREAT | O_RDWR, 0644));
    EQ(write(fd, b, sizeof(b)), (long long)(64 * KIB));
    FAILS(write(fd, b, 1), ENOSPC);
    OK(statfs("m", &fs));
    EQ(fs.f_blocks, 16);
    EQ(fs.f_bfree, 0);
    OK(ftruncate(fd, 0));
    EQ(write(fd, b, 100), 100);
    OK(ftruncate(fd, 0));
    for (int round = 0; round < 20; round++) {
        EQ(pwrite(fd, b, 64 * KIB, 0), (long long)(64 * KIB));
        OK(unlink("m/a"));
        close(fd);
        fd = OK(open("m/a", O_CREAT | O_EXCL | O_RDWR, 0644));
    }
    int made = 0;
    for (; made < 30; made++) {
        snprintf(name, sizeof(name), "m/n%d", made);
        if (create(name) != 0)
            break;
    }
    EQ(errno, ENOSPC);
    CHECK(made >= 16 && made < 20);
    OK(unlink("m/n0"));
    OK(create("m/n0"));
    close(fd);
    OK(umount("m"));
}

static const struct test tests[] = {
    TEST(covers_and_uncovers), TEST(borders), TEST(busy),   TEST(detached),
    TEST(read_only),           TEST(bind),    TEST(errors), TEST(full),
    TEST(needs_privilege),
};
MAIN(tests)
