/* Directories: reading them while they change, positions, buffers of any size, many at work. */
#include "files.h"

#define MANY 2000

static void fill(int first, int n)
{
    char name[40];
    for (int i = first; i < first + n; i++) {
        snprintf(name, sizeof(name), "file%d", i);
        close(OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644)));
    }
}

static int number_of(const char *name)
{
    return strncmp(name, "file", 4) == 0 ? atoi(name + 4) : -1;
}

/* The number of names in "." but for the two dots. */
static int count_names(void)
{
    int n = 0;
    DIR *d = opendir(".");
    CHECK(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* Every name comes exactly once, though each is removed as it comes. */
static void deleting_while_reading(void)
{
    static char seen[MANY];
    int dots = 0, n;
    fill(0, MANY);
    EQ(count_names(), MANY);
    DIR *d = opendir(".");
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        if ((n = number_of(e->d_name)) < 0) {
            CHECK(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
            EQ(e->d_type, DT_DIR);
            dots++;
            continue;
        }
        EQ(e->d_type, DT_REG);
        EQ(seen[n], 0);
        seen[n] = 1;
        OK(unlink(e->d_name));
    }
    EQ(dots, 2);
    EQ(memchr(seen, 0, MANY) == NULL, 1);
    rewinddir(d);
    for (n = 0; readdir(d); n++)
        ;
    EQ(n, 2);
    closedir(d);
}

/* Names come and go; those that stay are seen exactly once. */
static void changing_while_reading(void)
{
    enum { STAY = 300 };
    static char seen[STAY];
    int steps = 0, n;
    fill(0, STAY);
    DIR *d = opendir(".");
    CHECK(d);
    for (struct dirent *e; (e = readdir(d)) && steps < 20 * STAY; steps++) {
        char name[40];
        if ((n = number_of(e->d_name)) >= 0 && n < STAY)
            EQ(seen[n]++, 0);
        if (steps % 4 == 0 && steps < 2 * STAY) {
            snprintf(name, sizeof(name), "other%d", steps);
            put(name, "");
            snprintf(name, sizeof(name), "other%d", steps - 40);
            unlink(name);
        }
    }
    closedir(d);
    for (n = 0; n < STAY; n++)
        EQ(seen[n], 1);
}

static void positions(void)
{
    enum { N = 200 };
    long at[N + 2];
    char name[N + 2][256];
    uint64_t state = 3;
    fill(0, N);
    DIR *d = opendir(".");
    CHECK(d);
    for (int i = 0; i < N + 2; i++) {
        at[i] = telldir(d);
        struct dirent *e = readdir(d);
        CHECK(e);
        strcpy(name[i], e->d_name);
    }
    CHECK(readdir(d) == NULL);
    for (int k = 0; k < 300; k++) {
        int i = next_random(&state) % (N + 2);
        seekdir(d, at[i]);
        struct dirent *e = readdir(d);
        if (!e || strcmp(e->d_name, name[i]) != 0)
            FAIL("position %d gave %s, expected %s", i, e ? e->d_name : "the end", name[i]);
    }
    closedir(d);
}

struct entry {
    uint64_t inode, next;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* Any buffer that takes one entry reads them all; entries are aligned, terminated, whole. */
static void buffer_sizes(void)
{
    static const size_t size[] = {32, 48, 64, 100, 280, 1000, 4096, 60000};
    static char buffer[60000] __attribute__((aligned(8)));
    enum { N = 150 };
    fill(0, N);
    for (size_t i = 0; i < COUNT(size); i++) {
        int fd = OK(open(".", O_RDONLY | O_DIRECTORY)), n = 0;
        ssize_t got;
        char seen[N] = {0};
        while ((got = OK(syscall(SYS_getdents64, fd, buffer, size[i]))) > 0) {
            CHECK((size_t)got <= size[i]);
            for (ssize_t at = 0; at < got; n++) {
                struct entry *e = (struct entry *)(buffer + at);
                EQ(e->length % 8, 0);
                CHECK(e->length >= 24 && at + e->length <= got);
                CHECK(memchr(e->name, 0, e->length - offsetof(struct entry, name)));
                CHECK(e->inode != 0);
                int number = number_of(e->name);
                if (number >= 0)
                    EQ(seen[number]++, 0);
                at += e->length;
            }
        }
        EQ(n, N + 2);
        close(fd);
    }
}

static void reading_errors(void)
{
    char b[100];
    put("f", "f");
    int f = OK(open("f", O_RDONLY)), d = OK(open(".", O_RDONLY | O_DIRECTORY));
    FAILS(syscall(SYS_getdents64, f, b, 100), ENOTDIR);
    FAILS(syscall(SYS_getdents64, d, b, 10), EINVAL);
    FAILS(syscall(SYS_getdents64, -1, b, 100), EBADF);
    FAILS(syscall(SYS_getdents64, OK(open(".", O_PATH)), b, 100), EBADF);
    OK(mkdir("gone", 0755));
    d = OK(open("gone", O_RDONLY | O_DIRECTORY));
    OK(rmdir("gone"));
    FAILS(syscall(SYS_getdents64, d, b, 100), ENOENT);
}

/* Types and inode numbers agree with lstat. */
static void types(void)
{
    put("file", "");
    OK(mkdir("dir", 0755));
    OK(symlink("x", "link"));
    OK(mkfifo("pipe", 0644));
    DIR *d = opendir(".");
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st = lstat_of(e->d_name);
        EQ(e->d_type, IFTODT(st.st_mode));
        EQ(e->d_ino, st.st_ino);
    }
    closedir(d);
}

/* Names of any length come and go in holes of any size; what is left is what was meant. */
static void random_lengths(void)
{
    enum { N = 120 };
    static char name[N][256];
    bool there[N] = {false};
    uint64_t state = 11;
    int n = 0;
    for (int i = 0; i < N; i++) {
        size_t length = i < 3 ? 255 : 4 + next_random(&state) % (i % 2 ? 20 : 252);
        memset(name[i], 'a' + i % 26, length);
        snprintf(name[i], 4, "%03d", i);
        name[i][3] = '_';
    }
    for (int step = 0; step < 1200; step++) {
        int i = next_random(&state) % N;
        if (there[i])
            OK(unlink(name[i]));
        else
            close(OK(open(name[i], O_CREAT | O_EXCL | O_WRONLY, 0644)));
        there[i] = !there[i];
    }
    for (int i = 0; i < N; i++) {
        EQ(exists(name[i]), there[i]);
        n += there[i];
    }
    EQ(count_names(), n);
}

static void subdirectories_count(void)
{
    char name[40];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "dir%d", i);
        OK(mkdir(name, 0755));
    }
    EQ(LINKS_OF("."), 102);
    for (int i = 0; i < 100; i += 2) {
        snprintf(name, sizeof(name), "dir%d", i);
        OK(rmdir(name));
    }
    EQ(LINKS_OF("."), 52);
    EQ(count_names(), 50);
}

/* Eight processes in one directory, each with names of its own, all of which must obey it. */
static void hammer(int me)
{
    char a[40], b[40];
    for (int i = 0; i < 30; i++) {
        snprintf(a, sizeof(a), "p%d_new%d", me, i);
        snprintf(b, sizeof(b), "p%d_a_name_that_does_not_fit_%d", me, i);
        put(a, a);
        OK(rename(a, b));
        FAILS(unlink(a), ENOENT);
        HAS(b, a);
        if (i % 10 == 0)
            CHECK(count_names() >= i / 2);
        if (i % 2)
            OK(unlink(b));
        OK(mkdir(a, 0755));
        OK(rmdir(a));
    }
    _exit(0);
}

static void eight_hammer_one_directory(void)
{
    enum { N = 8 };
    pid_t child[N];
    char name[40];
    for (int i = 0; i < N; i++)
        if ((child[i] = FORK()) == 0)
            hammer(i);
    for (int i = 0; i < N; i++)
        JOIN(child[i]);
    EQ(count_names(), N * 15);
    EQ(LINKS_OF("."), 2);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 30; k += 2) {
            snprintf(name, sizeof(name), "p%d_a_name_that_does_not_fit_%d", i, k);
            OK(unlink(name));
        }
    EQ(count_names(), 0);
}

static const struct test tests[] = {
    TEST(deleting_while_reading), TEST(changing_while_reading), TEST(positions),
    TEST(buffer_sizes),           TEST(reading_errors),         TEST(types),
    TEST(random_lengths),         TEST(subdirectories_count),   TEST(eight_hammer_one_directory),
};
MAIN(tests)
