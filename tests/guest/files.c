/* Files as such: modes of opening, life after unlink, the space they take. */
#include "check.h"

#include <sys/statfs.h>

static void open_flags(void)
{
    close(make_file("f", 100));
    FAILS(open("f", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    OK(symlink("nowhere", "dangling"));
    FAILS(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    FAILS(open("dangling", O_RDONLY), ENOENT);
    FAILS(open("dangling", O_RDONLY | O_NOFOLLOW), ELOOP);
    close(OK(open("dangling", O_RDWR | O_CREAT, 0600))); /* creates the target */
    struct stat st;
    OK(stat("nowhere", &st));
    FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open(".", O_RDWR), EISDIR);
    FAILS(open("f/x", O_RDONLY), ENOTDIR);
    FAILS(open("", O_RDONLY), ENOENT);
    FAILS(open("none/x", O_RDWR | O_CREAT, 0600), ENOENT);
    char name[300];
    memset(name, 'n', sizeof(name));
    name[299] = 0;
    FAILS(open(name, O_RDWR | O_CREAT, 0600), ENAMETOOLONG);
    name[255] = 0;
    close(OK(open(name, O_RDWR | O_CREAT, 0600)));
    int fd = OK(open("f", O_RDONLY));
    FAILS(write(fd, "x", 1), EBADF);
    fd = OK(open("f", O_WRONLY));
    char c;
    FAILS(read(fd, &c, 1), EBADF);
    fd = OK(open("f", O_RDWR | O_TRUNC));
    OK(fstat(fd, &st));
    EQ(st.st_size, 0);
    fd = OK(open("f", O_PATH));
    FAILS(read(fd, &c, 1), EBADF);
    OK(fstat(fd, &st));
}

static void unlinked_files_live_on(void)
{
    struct statfs before, during, after;
    struct stat st;
    sync();
    OK(statfs(".", &before));
    int fd = make_file("f", 300000);
    OK(fsync(fd));
    OK(unlink("f"));
    FAILS(open("f", O_RDONLY), ENOENT);
    OK(fstat(fd, &st));
    EQ(st.st_nlink, 0);
    char c;
    EQ(pread(fd, &c, 1, 299999), 1);
    EQ(c, pattern(299999));
    EQ(pwrite(fd, "more", 4, 300000), 4);
    OK(statfs(".", &during));
    CHECK(during.f_bfree < before.f_bfree);
    close(fd);
    for (int i = 0; i < 200; i++) {
        OK(statfs(".", &after));
        if (after.f_bfree >= before.f_bfree)
            break;
        sleep_ms(10);
    }
    CHECK((long)(before.f_bfree - after.f_bfree) * (long)before.f_bsize < 300000);
}

static void statfs_counts(void)
{
    struct statfs s, t;
    sync();
    OK(statfs(".", &s));
    CHECK(s.f_bsize >= 512 && s.f_blocks > 0 && s.f_bfree <= s.f_blocks);
    CHECK(s.f_bavail <= s.f_bfree && s.f_ffree <= s.f_files && s.f_namelen == 255);
    int fd = make_file("f", MIB);
    OK(fsync(fd));
    OK(fstatfs(fd, &t));
    long used = (long)(s.f_bfree - t.f_bfree) * (long)s.f_bsize;
    CHECK(used >= (long)MIB && used < 2 * (long)MIB);
}

static void preallocation(void)
{
    int fd = make_file("f", 100);
    struct stat st;
    if (fallocate(fd, 0, 0, 50000) != 0) {
        EQ(errno, EOPNOTSUPP); /* ext2 on Linux has none */
        EQ(posix_fallocate(fd, 0, 50000), 0);
    }
    OK(fstat(fd, &st));
    EQ(st.st_size, 50000);
    char c = 1;
    EQ(pread(fd, &c, 1, 40000), 1);
    EQ(c, 0);
    EQ(pread(fd, &c, 1, 99), 1);
    EQ(c, pattern(99));
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
    FAILS(fallocate(fd, 0, -1, 10), EINVAL);
}

static const struct test tests[] = {
    TEST(open_flags),
    TEST(unlinked_files_live_on),
    TEST(statfs_counts),
    TEST(preallocation),
};
MAIN(tests)
