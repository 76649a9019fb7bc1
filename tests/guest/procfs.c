/* /proc tells the truth: its figures agree with each other and with what the process did. */
#include "check.h"

#include <dirent.h>

static char *big(void)
{
    static char text[1 << 20];
    return text;
}

/* The whole of @name, which may be larger than contents() can hold. */
static char *all(const char *name)
{
    char *text = big();
    int fd = OK(open(name, O_RDONLY));
    size_t n = 0;
    ssize_t got;
    while (n < (1 << 20) - 1 && (got = OK(read(fd, text + n, (1 << 20) - 1 - n))) > 0)
        n += got;
    text[n] = 0;
    close(fd);
    return text;
}

/* Pages the mappings of /proc/self/maps span; vvar and vdso count. */
static long mapped_pages(void)
{
    long pages = 0;
    for (char *line = strtok(all("/proc/self/maps"), "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long start, end;
        EQ(sscanf(line, "%lx-%lx ", &start, &end), 2);
        CHECK(start < end && start % PAGE == 0 && end % PAGE == 0);
        if (!strstr(line, "[vsyscall]")) /* a page of the kernel's that some ports list */
            pages += (end - start) / PAGE;
    }
    return pages;
}

static long statm(int column)
{
    long v[7] = {0};
    EQ(sscanf(contents("/proc/self/statm"), "%ld %ld %ld %ld %ld %ld %ld", v, v + 1, v + 2, v + 3,
              v + 4, v + 5, v + 6),
       7);
    return v[column];
}

static void maps_and_statm_agree(void)
{
    mapped_pages(), statm(0);
    long pages = mapped_pages();
    EQ(statm(0), pages);
    char *m = ANON(100 * PAGE);
    EQ(statm(0), pages + 100);
    long rss = statm(1);
    for (int i = 0; i < 60; i++)
        m[i * PAGE] = 1;
    EQ(statm(1), rss + 60);
    OK(munmap(m, 100 * PAGE));
    EQ(statm(1), rss);
    EQ(statm(0), pages);
}

static void status_fields(void)
{
    char expected[100];
    snprintf(expected, sizeof(expected), "\nPid:\t%d\nPPid:\t%d\n", getpid(), getppid());
    const char *text = contents("/proc/self/status");
    CHECK(strstr(text, expected) != NULL);
    EQ(figure("/proc/self/status", "Threads"), 1);
    EQ(figure("/proc/self/status", "Tgid"), getpid());
    EQ(figure("/proc/self/status", "Uid"), getuid());
    long size = figure("/proc/self/status", "VmSize");
    EQ(size * 1024 / (long)PAGE, statm(0));
    text = contents("/proc/self/stat");
    int pid, ppid;
    char name[40], state;
    EQ(sscanf(text, "%d %39s %c %d", &pid, name, &state, &ppid), 4);
    EQ(pid, getpid());
    EQ(ppid, getppid());
    EQ(state, 'R');
    OK(prctl(PR_SET_NAME, "renamed"));
    CHECK(strcmp(contents("/proc/self/comm"), "renamed\n") == 0);
    CHECK(strstr(contents("/proc/self/stat"), "(renamed)") != NULL);
}

static void meminfo_makes_sense(void)
{
    long total = meminfo("MemTotal"), left = meminfo("MemFree");
    long available = meminfo("MemAvailable"), cached = meminfo("Cached");
    CHECK(total > 1000 && left > 0 && left < total && available <= total && cached < total);
    char *m = ANON(8 * MIB);
    long anon = meminfo("AnonPages");
    memset(m, 1, 8 * MIB);
    long grown = meminfo("AnonPages") - anon;
    CHECK(grown >= 8 * 1024 - 64);
    if (figure("/proc/vmstat", "fault_zero") >= 0)
        CHECK(grown <= 8 * 1024 + 64);
}

static void command_line_and_environment(void)
{
    char *text = all("/proc/self/cmdline");
    CHECK(strlen(text) > 0);
    char link[PATH_MAX], here[PATH_MAX];
    ssize_t n = OK(readlink("/proc/self/cwd", link, sizeof(link) - 1));
    link[n] = 0;
    CHECK(strcmp(link, getcwd(here, sizeof(here))) == 0);
    n = OK(readlink("/proc/self/exe", link, sizeof(link) - 1));
    link[n] = 0;
    CHECK(strstr(link, "procfs") != NULL);
    n = OK(readlink("/proc/self", link, sizeof(link) - 1));
    link[n] = 0;
    EQ(atoi(link), getpid());
    int fd = make_file("f", 10);
    char name[40];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    n = OK(readlink(name, link, sizeof(link) - 1));
    link[n] = 0;
    CHECK(strcmp(strrchr(link, '/'), "/f") == 0);
    char c;
    EQ(read(OK(open(name, O_RDONLY)), &c, 1), 1); /* opened anew, from the start */
    EQ(c, pattern(0));
}

/* /proc/PID exists from fork to wait. */
static void processes_come_and_go(void)
{
    char name[40];
    struct stat st;
    int fds[2];
    OK(pipe(fds));
    pid_t child = FORK();
    if (child == 0) {
        char c;
        close(fds[1]);
        _exit((int)read(fds[0], &c, 1));
    }
    snprintf(name, sizeof(name), "/proc/%d", child);
    OK(stat(name, &st));
    bool listed = false;
    DIR *dir = opendir("/proc");
    for (struct dirent *e; (e = readdir(dir));)
        listed = listed || atoi(e->d_name) == child;
    closedir(dir);
    CHECK(listed);
    int dir_fd = OK(open(name, O_RDONLY));
    close(fds[1]);
    siginfo_t info;
    OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    snprintf(name, sizeof(name), "/proc/%d/stat", child);
    CHECK(strstr(contents(name), ") Z ") != NULL);
    JOIN(child);
    FAILS(open(name, O_RDONLY), ENOENT);
    int fd = openat(dir_fd, "stat", O_RDONLY);
    CHECK(fd < 0 && (errno == ESRCH || errno == ENOENT));
}

static void reads_in_small_pieces(void)
{
    char whole[65536], pieces[65536];
    int fd = OK(open("/proc/self/maps", O_RDONLY));
    ssize_t n = 0, got;
    while ((got = OK(read(fd, pieces + n, 7))) > 0)
        n += got;
    OK(lseek(fd, 0, SEEK_SET));
    ssize_t m = 0;
    while ((got = OK(read(fd, whole + m, 4096))) > 0)
        m += got;
    EQ(m, n);
    EQ(memcmp(whole, pieces, n), 0);
    FAILS(open("/proc/self/maps/x", O_RDONLY), ENOTDIR);
    EQ(mkdir("/proc/x", 0755), -1);
}

static const struct test tests[] = {
    TEST(maps_and_statm_agree),         TEST(status_fields),         TEST(meminfo_makes_sense),
    TEST(command_line_and_environment), TEST(processes_come_and_go), TEST(reads_in_small_pieces),
};
MAIN(tests)
