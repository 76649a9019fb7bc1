/* vmstat DELAY: a line of rates per interval. */
#include "vmstat.h"

#include <time.h>

#define HEADER_EVERY 20 /* lines between two headers */

enum { MEM_FREE, MEM_ANON, MEM_CACHE, MEM_SLAB, MEM_TABLES, MEM_COUNT };
static const char *const mem_names[MEM_COUNT] = {"MemFree", "AnonPages", "Cached", "Slab",
                                                 "PageTables"};
enum {
    EV_IN,
    EV_OUT,
    EV_FAULT,
    EV_ZERO,
    EV_COW,
    EV_REUSE,
    EV_FILE,
    EV_SWAP,
    EV_ALLOC,
    EV_FREE,
    EV_COUNT
};
static const char *const event_names[EV_COUNT] = {
    "pgpgin",          "pgpgout",    "pgfault",    "fault_zero", "fault_cow_copy",
    "fault_cow_reuse", "fault_file", "fault_swap", "pgalloc",    "pgfree"};

/* user + nice, system + interrupts, idle, waiting: clock ticks */
enum { CPU_USER, CPU_SYSTEM, CPU_IDLE, CPU_WAIT, CPU_COUNT };

struct sample {
    struct timespec when;
    uint64_t running, blocked, interrupts, switches;
    uint64_t cpu[CPU_COUNT];
    uint64_t memory[MEM_COUNT];
    uint64_t events[EV_COUNT];
};

static bool sample_stat(struct sample *s)
{
    char *text = read_file("/proc/stat", false);
    unsigned long long t[8] = {0};
    if (!text)
        return false;
    sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4],
           &t[5], &t[6], &t[7]);
    s->cpu[CPU_USER] = t[0] + t[1];
    s->cpu[CPU_SYSTEM] = t[2] + t[5] + t[6] + t[7];
    s->cpu[CPU_IDLE] = t[3];
    s->cpu[CPU_WAIT] = t[4];
    s->interrupts = number_of(text, "intr");
    s->switches = number_of(text, "ctxt");
    s->running = number_of(text, "procs_running");
    s->blocked = number_of(text, "procs_blocked");
    free(text);
    return true;
}

static bool sample_file(const char *path, const char *const *names, unsigned count, uint64_t *out)
{
    char *text = read_file(path, false);
    if (!text)
        return false;
    for (unsigned i = 0; i < count; i++)
        out[i] = number_of(text, names[i]);
    free(text);
    return true;
}

static bool sample_take(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    clock_gettime(CLOCK_MONOTONIC, &s->when);
    return sample_stat(s) && sample_file("/proc/meminfo", mem_names, MEM_COUNT, s->memory) &&
           sample_file("/proc/vmstat", event_names, EV_COUNT, s->events);
}

static double seconds(const struct timespec *t)
{
    return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

static void print_value(int width, uint64_t value)
{
    if (value == UNKNOWN)
        printf(" %*s", width, "-");
    else
        printf(" %*llu", width, (unsigned long long)value);
}

static void print_rate(int width, uint64_t before, uint64_t now, double interval)
{
    if (now == UNKNOWN || before == UNKNOWN || now < before)
        print_value(width, UNKNOWN);
    else
        print_value(width, (uint64_t)((double)(now - before) / interval + 0.5));
}

static void print_cpu(const struct sample *before, const struct sample *now)
{
    uint64_t used[CPU_COUNT], all = 0;
    for (unsigned i = 0; i < CPU_COUNT; i++) {
        used[i] = now->cpu[i] > before->cpu[i] ? now->cpu[i] - before->cpu[i] : 0;
        all += used[i];
    }
    for (unsigned i = 0; i < CPU_COUNT; i++)
        print_value(2, all ? (100 * used[i] + all / 2) / all : 0);
}

static void print_header(void)
{
    printf("procs ------------------memory, KiB------------------ ----io--- ---system-- ----cpu----"
           " -----------------------faults----------------------- ----pages----\n");
    printf(" r  b     free     anon    cache     slab   tables    bi    bo    in    cs us sy id wa"
           "    all   zero    cow  reuse   file   swap  alloc   free\n");
}

static void print_line(const struct sample *before, const struct sample *now)
{
    double interval = seconds(&now->when) - seconds(&before->when);
    if (interval <= 0)
        interval = 1;
    printf("%2llu %2llu", (unsigned long long)now->running, (unsigned long long)now->blocked);
    for (unsigned i = 0; i < MEM_COUNT; i++)
        print_value(8, now->memory[i]);
    print_rate(5, before->events[EV_IN], now->events[EV_IN], interval);
    print_rate(5, before->events[EV_OUT], now->events[EV_OUT], interval);
    print_rate(5, before->interrupts, now->interrupts, interval);
    print_rate(5, before->switches, now->switches, interval);
    print_cpu(before, now);
    for (unsigned i = EV_FAULT; i < EV_COUNT; i++)
        print_rate(6, before->events[i], now->events[i], interval);
    putchar('\n');
    fflush(stdout);
}

/* When the system was started, on the monotonic clock: what "since boot" is measured from. */
static const struct sample boot;

void show_rates(unsigned long delay, unsigned long count)
{
    struct sample before = boot, now;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned long i = 0; i < count; i++) {
        if (i % HEADER_EVERY == 0)
            print_header();
        if (!sample_take(&now))
            return;
        print_line(&before, &now);
        before = now;
        next.tv_sec += (time_t)delay;
        while (i + 1 < count && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) != 0)
            ;
    }
}
