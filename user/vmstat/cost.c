/*
 * vmstat -d: what one command cost.
 *
 * Times, faults and peak memory are the command's own and of the children it waited for, from
 * wait4(2). The counters are the machine's: whatever else runs meanwhile is in them. They are read
 * right before and right after, and the command is started without a copy of vmstat's memory.
 */
#include "vmstat.h"

#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

struct outcome {
    int status; /* as wait4() tells it */
    struct rusage usage;
    double elapsed; /* s */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* Like time(1): what the keyboard sends is for the command. 0, errno. */
static int run(char **command, struct outcome *out)
{
    pid_t pid;
    posix_spawnattr_t attr;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGQUIT);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    double begin = now();
    int r = posix_spawnp(&pid, command[0], NULL, &attr, command, environ);
    if (r != 0)
        return r;
    while (wait4(pid, &out->status, 0, &out->usage) < 0)
        if (errno != EINTR)
            return errno;
    out->elapsed = now() - begin;
    return 0;
}

static void show_count(const char *label, uint64_t value)
{
    if (value == UNKNOWN)
        fprintf(stderr, "  %-34s %12s\n", label, "-");
    else
        fprintf(stderr, "  %-34s %12llu\n", label, (unsigned long long)value);
}

static void show_outcome(const struct outcome *o)
{
    const struct rusage *u = &o->usage;
    fprintf(stderr, "Cost of the command and the children it waited for\n");
    fprintf(stderr, "  %-34s %12.3f\n", "elapsed, s", o->elapsed);
    fprintf(stderr, "  %-34s %12.3f\n", "  CPU in programs", seconds_of(u->ru_utime));
    fprintf(stderr, "  %-34s %12.3f\n", "  CPU in the kernel", seconds_of(u->ru_stime));
    show_count("peak resident, KiB", (uint64_t)u->ru_maxrss);
    show_count("page faults", (uint64_t)(u->ru_minflt + u->ru_majflt));
    show_count("  that waited for a disk", (uint64_t)u->ru_majflt);
    show_count("context switches", (uint64_t)(u->ru_nvcsw + u->ru_nivcsw));
}

static void show_counters(const char *before, const char *after)
{
    fprintf(stderr, "Counters of the whole machine meanwhile\n");
    for (unsigned i = 0; i < counter_row_count; i++) {
        uint64_t from = number_of(before, counter_rows[i].name);
        uint64_t to = number_of(after, counter_rows[i].name);
        show_count(counter_rows[i].label, from == UNKNOWN || to == UNKNOWN ? UNKNOWN : to - from);
    }
}

int show_cost(char **command)
{
    struct outcome o = {0};
    char *before = read_file("/proc/vmstat", false);
    int r = before ? run(command, &o) : EIO;
    char *after = r == 0 ? read_file("/proc/vmstat", false) : NULL;
    if (r == 0) {
        show_outcome(&o);
        if (after)
            show_counters(before, after);
    } else if (before) {
        complain("%s: %s", command[0], strerror(r));
    }
    free(before);
    free(after);
    if (r != 0)
        return r == ENOENT ? 127 : 126;
    return WIFSIGNALED(o.status) ? 128 + WTERMSIG(o.status) : WEXITSTATUS(o.status);
}
