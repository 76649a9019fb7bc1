/* Concurrent changes of names, and what they must never break. */
#include "files.h"

/* Of several who create one name with O_EXCL exactly one succeeds. */
static void exclusive_create_races(void)
{
    enum { ROUNDS = 25, RACERS = 4 };
    char name[32];
    int *wins = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child[RACERS];
    for (int i = 0; i < RACERS; i++) {
        child[i] = FORK();
        if (child[i])
            continue;
        for (int r = 0; r < ROUNDS; r++) {
            snprintf(name, sizeof(name), "x%d", r);
            int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
            if (fd >= 0)
                __atomic_add_fetch(&wins[r], 1, __ATOMIC_SEQ_CST);
            else
                EQ(errno, EEXIST);
            close(fd);
        }
        _exit(0);
    }
    for (int i = 0; i < RACERS; i++)
        JOIN(child[i]);
    for (int r = 0; r < ROUNDS; r++)
        EQ(wins[r], 1);
}

/* A file that is replaced by rename is there at every moment, whole. */
static void rename_is_atomic(void)
{
    volatile int *done = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    put("f", "0000");
    pid_t child = FORK();
    if (child == 0) {
        while (!*done) {
            const char *c = contents("f"); /* fails when the name is missing */
            CHECK(strlen(c) == 4 && c[0] == c[1] && c[1] == c[2] && c[2] == c[3]);
        }
        _exit(0);
    }
    for (int i = 0; i < 100; i++) {
        char text[5] = {'0' + i % 10, '0' + i % 10, '0' + i % 10, '0' + i % 10, 0};
        put("new", text);
        OK(rename("new", "f"));
    }
    *done = 1;
    JOIN(child);
}

static void random_name(char *name, uint64_t *state)
{
    uint64_t r = next_random(state);
    sprintf(name, "d%d/%s%d", (int)(r % 4),
            r & 64 ? "a_name_that_is_longer_than_forty_characters_for_sure" : "f",
            (int)(r >> 8) % 8);
}

/* Any changes of a few names; only what they leave behind is looked at. */
static void storm_worker(uint64_t seed)
{
    char a[128], b[128], path[PATH_MAX];
    struct stat st;
    int fd, home = OK(open(".", O_RDONLY | O_DIRECTORY)), unused = 0;
    for (int n = 0; n < 400; n++) {
        random_name(a, &seed);
        random_name(b, &seed);
        switch (next_random(&seed) % 12) {
        case 0:
        case 1:
            if ((fd = open(a, O_CREAT | O_RDWR, 0644)) >= 0)
                unused |= write(fd, a, 100) < 0;
            close(fd);
            break;
        case 2:
        case 3:
            rename(a, b);
            break;
        case 4:
            unlink(a);
            break;
        case 5:
            mkdir(a, 0755);
            break;
        case 6:
            rmdir(a);
            break;
        case 7:
            unused |= link(a, b);
            break;
        case 8:
            unused |= symlink(b + 3, a);
            break;
        case 9:
            rename(b, strcat(a, "/moved")); /* into a directory, perhaps its own child */
            break;
        case 10:
            renameat2_(a, b, RENAME_EXCHANGE);
            break;
        default:
            if (chdir(a) == 0) {
                unused |= getcwd(path, sizeof(path)) == NULL;
                stat("../..", &st);
                OK(fchdir(home));
            }
        }
    }
    _exit(0);
}

static int check_node(const char *path, const struct stat *st, int kind, struct FTW *at UNUSED)
{
    if (kind != FTW_D)
        return 0;
    nlink_t wanted = 2;
    DIR *d = opendir(path);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));)
        wanted += e->d_type == DT_DIR && e->d_name[0] != '.';
    closedir(d);
    if (st->st_nlink != wanted)
        FAIL("%s has link count %lu, expected %lu", path, (long)st->st_nlink, (long)wanted);
    return 0;
}

static void storm(void)
{
    pid_t child[4];
    const char *folder[] = {"d0", "d1", "d2", "d3"};
    for (int i = 0; i < 4; i++)
        OK(mkdir(folder[i], 0755));
    for (int i = 0; i < 4; i++)
        if ((child[i] = FORK()) == 0)
            storm_worker(i + 1);
    for (int i = 0; i < 4; i++)
        JOIN(child[i]);
    OK(nftw(".", check_node, 20, FTW_PHYS));
    for (int i = 0; i < 4; i++)
        remove_tree(folder[i]);
    EQ(LINKS_OF("."), 2);
}

static const struct test tests[] = {
    TEST(exclusive_create_races),
    TEST(rename_is_atomic),
    TEST(storm),
};
MAIN(tests)
