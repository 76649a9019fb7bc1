/*
 * The driver: picks rows, runs each several times, prints the median per operation.
 *
 *     bench [ROW...]    all rows, or those named; "fork" names fork itself and all "fork-..."
 *     bench --list      the names
 *
 * It runs the same on Quire and on Linux. It works in a folder of its own below the current
 * one, whose file system it so measures, and removes it.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS 7 /* counted; one more goes before them to warm the caches */

static const struct row *const groups[] = {call_rows, file_rows, memory_rows, process_rows};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

char bench_self[512];
static char folder[] = "bench.XXXXXX";
static int tmpfs_error; /* why there is no tmpfs; 0: there is one */

int need_tmpfs(void)
{
    errno = tmpfs_error;
    return tmpfs_error ? -1 : 0;
}

static void leave_folder(void)
{
    if (!tmpfs_error)
        umount("tmpfs");
    rmdir("tmpfs");
    if (chdir("..") != 0 || rmdir(folder) != 0)
        fprintf(stderr, "bench: cannot remove %s: %s\n", folder, strerror(errno));
}

static bool enter_folder(const char *argv0)
{
    ssize_t n = readlink("/proc/self/exe", bench_self, sizeof(bench_self) - 1);
    if (n < 0)
        snprintf(bench_self, sizeof(bench_self), "%s", argv0);
    if (!mkdtemp(folder) || chdir(folder) != 0 || mkdir("tmpfs", 0700) != 0) {
        fprintf(stderr, "bench: cannot make a folder here: %s\n", strerror(errno));
        return false;
    }
    tmpfs_error = mount("bench", "tmpfs", "tmpfs", 0, NULL) == 0 ? 0 : errno;
    return true;
}

static bool matches(const struct row *row, const char *wanted)
{
    size_t n = strlen(wanted);
    return n > 0 && strncmp(row->name, wanted, n) == 0 &&
           (row->name[n] == '\0' || row->name[n] == '-');
}

static bool known(const char *wanted)
{
    for (size_t g = 0; g < GROUPS; g++)
        for (const struct row *row = groups[g]; row->name; row++)
            if (matches(row, wanted))
                return true;
    return false;
}

static void list_rows(FILE *to)
{
    for (size_t g = 0; g < GROUPS; g++)
        for (const struct row *row = groups[g]; row->name; row++)
            fprintf(to, "%s\n", row->name);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median over the runs. 0, or -1 with errno. */
static int measure(const struct row *row, double *median)
{
    double result[RUNS];
    for (int i = -1; i < RUNS; i++) {
        struct run r = {0, 0};
        if (row->measure(&r) != 0)
            return -1;
        if (i >= 0)
            result[i] = (double)r.instructions / (double)r.operations;
    }
    qsort(result, RUNS, sizeof(result[0]), by_value);
    *median = result[RUNS / 2];
    return 0;
}

/* 1234567 as "1,234,567". */
static const char *grouped(unsigned long long v, char buf[32])
{
    char digits[24];
    size_t n = (size_t)snprintf(digits, sizeof(digits), "%llu", v), used = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            buf[used++] = ',';
        buf[used++] = digits[i];
    }
    buf[used] = '\0';
    return buf;
}

static bool print_row(const struct row *row)
{
    double median;
    char buf[32];
    int r = measure(row, &median);
    if (r == 0)
        printf("%-16s %13s  %s\n", row->name, grouped((unsigned long long)(median + 0.5), buf),
               row->what);
    else
        printf("%-16s %13s  %s: %s\n", row->name, "-", row->what, strerror(errno));
    return r == 0 && fflush(stdout) == 0;
}

/* In a process of its own, so that no row meets the memory that another one has touched. */
static bool run_row(const struct row *row)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(print_row(row) ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static sigjmp_buf no_counter;

static void illegal(int signal)
{
    siglongjmp(no_counter, signal);
}

static bool counter_works(void)
{
    struct sigaction old, act = {.sa_handler = illegal};
    sigaction(SIGILL, &act, &old);
    bool works = sigsetjmp(no_counter, 1) == 0;
    if (works) {
        (void)counter(); /* QEMU's stands still only from the first reading on */
        uint64_t before = counter();
        works = counter() != before;
    }
    sigaction(SIGILL, &old, NULL);
    if (!works)
        fprintf(stderr, "bench: programs may not read the instruction counter here, or it stands "
                        "still; on Linux: initcall_blacklist=pmu_sbi_devinit\n");
    return works;
}

static bool run_rows(char **wanted)
{
    bool good = true;
    printf("%-16s %13s\n", "row", "instructions");
    for (size_t g = 0; g < GROUPS; g++)
        for (const struct row *row = groups[g]; row->name; row++) {
            bool chosen = !*wanted;
            for (char **w = wanted; *w && !chosen; w++)
                chosen = matches(row, *w);
            if (chosen)
                good = run_row(row) && good;
        }
    printf("Median of %d runs, per operation. The loop around the operation is counted with it,\n"
           "and so is everything else that the hart does meanwhile.\n",
           RUNS);
    return good;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--exit") == 0)
        _exit(0);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list_rows(stdout);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (!known(argv[i])) {
            fprintf(stderr, "bench: there is no row %s; there are:\n", argv[i]);
            list_rows(stderr);
            return 2;
        }
    if (!counter_works() || !enter_folder(argv[0]))
        return 1;
    bool good = run_rows(argv + 1);
    leave_folder();
    return good ? 0 : 1;
}
