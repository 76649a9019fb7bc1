/*
 * What one command costs, for `./quire compare`: runs it and writes a report of figures on stdout.
 * Everything that the command itself writes goes to stderr.
 *
 *     quire-measure [-p] CMD ARG...
 *
 *     vm NAME VALUE      each parameter under /proc/sys/vm
 *     status N           how the command ended, as a shell tells it
 *     cpu_us N           processor time of the command and its descendants. Under QEMU's -icount
 *                        1 us is 1,000 instructions, and waiting for a disk is not in it
 *     peak N             with -p, pages: by how much the memory in use grew at most, see in_use()
 *     before NAME VALUE  the lines of /proc/vmstat before and
 *     after NAME VALUE   after the command
 *
 * The peak is the highest of many samples, which interrupt the command all the time: with -p the
 * other figures are not worth much.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX    16384
#define INTERVAL_NS 20000 /* between two samples */
#define BEHIND      (CLOCKS_PER_SEC / 50)

static char before[TEXT_MAX], after[TEXT_MAX], now[TEXT_MAX];

static void die(const char *what)
{
    fprintf(stderr, "quire-measure: %s: %s\n", what, strerror(errno));
    exit(126);
}

static void read_text(const char *path, char text[TEXT_MAX])
{
    size_t used = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(path);
    while (used < TEXT_MAX - 1 && (n = read(fd, text + used, TEXT_MAX - 1 - used)) > 0)
        used += (size_t)n;
    close(fd);
    if (n < 0)
        die(path);
    text[used] = '\0';
}

static long figure(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += length)
        if ((at == text || at[-1] == '\n') && at[length] == ' ')
            return atol(at + length);
    errno = ENOENT;
    die(name);
    return 0;
}

/* Pages that are given back when memory is short: contents of files, which the disk has too, and
 * frames set aside for superpages that nobody has touched. */
static long spare_pages(void)
{
    read_text("/proc/vmstat", now);
    return figure(now, "nr_file_pages") - figure(now, "nr_shmem") +
           figure(now, "nr_reserved_pages");
}

static long used_pages(void)
{
    struct sysinfo info;
    if (sysinfo(&info) != 0)
        die("sysinfo");
    return (long)(info.totalram - info.freeram);
}

/* Pages that are neither free nor spare: programs' memory, page tables, the kernel's. */
static long in_use(void)
{
    return used_pages() - spare_pages();
}

static void print_lines(const char *prefix, char *text)
{
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        printf("%s %s\n", prefix, line);
}

static void print_parameters(void)
{
    const char *folder = "/proc/sys/vm";
    DIR *dir = opendir(folder);
    if (!dir || chdir(folder) != 0)
        die(folder);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            read_text(e->d_name, now);
            printf("vm %s %s\n", e->d_name, strtok(now, "\n"));
        }
    closedir(dir);
}

static void set_priority(int priority)
{
    if (setpriority(PRIO_PROCESS, 0, priority) != 0)
        die("setpriority");
}

/* Uses the processor for some time, so that a watcher, which sleeps meanwhile, is owed enough of it
 * to interrupt the command at once whenever it wakes. */
static void fall_behind(void)
{
    while (clock() < BEHIND)
        ;
}

static pid_t start(char **command, bool watched)
{
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child > 0)
        return child;
    if (watched) {
        set_priority(0);
        fall_behind();
    }
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(command[0], command);
    fprintf(stderr, "quire-measure: %s: %s\n", command[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

/*
 * The most memory in use until @child ends. What is free is asked often, because that is cheap. How
 * much of the rest is spare costs a million instructions to find out, so that is asked only when
 * the answer may raise the peak by more than 1/64, and, because a reserved frame comes into use
 * without a change in what is free, each time that the watch has become longer by 1/32.
 */
static long watch(pid_t child, int *status)
{
    const struct timespec interval = {0, INTERVAL_NS};
    long spare = 0, peak = 0;
    for (unsigned samples = 0, asked = 0; waitpid(child, status, WNOHANG) == 0; samples++) {
        long used = used_pages();
        if (used - spare > peak + peak / 64 || samples - asked > samples / 32) {
            asked = samples;
            spare = spare_pages();
            if (used - spare > peak)
                peak = used - spare;
        }
        nanosleep(&interval, NULL);
    }
    return peak;
}

static void report(int status, const struct rusage *usage)
{
    long long us = (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000LL +
                   usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
    print_parameters();
    printf("status %d\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    printf("cpu_us %lld\n", us);
    print_lines("before", before);
    print_lines("after", after);
}

int main(int argc, char **argv)
{
    int status;
    struct rusage usage;
    bool with_peak = argc > 1 && strcmp(argv[1], "-p") == 0;
    char **command = argv + 1 + with_peak;
    if (argc < 2 + with_peak) {
        fprintf(stderr, "usage: quire-measure [-p] CMD ARG...\n");
        return 2;
    }
    long base = in_use();
    read_text("/proc/vmstat", after); /* touches it, so that it takes no faults the second time */
    read_text("/proc/vmstat", before);
    if (with_peak)
        set_priority(-20); /* each sample at its time, whatever the command does */
    pid_t child = start(command, with_peak);
    if (with_peak) {
        long peak = watch(child, &status) - base;
        printf("peak %ld\n", peak > 0 ? peak : 0);
    } else {
        waitpid(child, &status, 0);
    }
    read_text("/proc/vmstat", after);
    getrusage(RUSAGE_CHILDREN, &usage);
    report(status, &usage);
    return 0;
}
