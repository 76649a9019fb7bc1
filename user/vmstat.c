/*
 * vmstat: what virtual memory does, from /proc alone.
 *
 * Without a delay it shows the memory by kind, the fault counters since boot, and a page table as a
 * tree. With one it prints a line of rates per interval. It runs on Linux too; what /proc does not
 * tell there is shown as "-".
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HEADER_EVERY 20 /* lines between two headers */
#define LEVELS       3  /* of a Sv39 page table */
#define UNKNOWN      UINT64_MAX

static int status; /* of the program */

static const char usage_text[] =
    "usage: vmstat [-p PID]\n"
    "       vmstat DELAY [COUNT]\n"
    "\n"
    "Shows the memory of the system by kind, fault counters, and the page table of vmstat\n"
    "itself or, with -p, of process PID. With DELAY: every DELAY seconds a line of rates per\n"
    "second (the first: since boot), COUNT times or until interrupted.\n"
    "\n"
    "  -p PID  whose page table is shown (yours, or anybody's for root)\n"
    "  -h      this text\n";

static void complain(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fputs("vmstat: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    status = 1;
}

/* ---- files of /proc ---- */

/* Reads all of @fd, NUL-terminated; NULL with errno set. */
static char *read_all(int fd)
{
    size_t size = 16384, used = 0;
    char *text = malloc(size);
    while (text) {
        ssize_t got = read(fd, text + used, size - used - 1);
        if (got < 0) {
            free(text);
            return NULL;
        }
        used += (size_t)got;
        text[used] = '\0';
        if (got == 0)
            return text;
        if (size - used < 2) {
            char *bigger = realloc(text, size *= 2);
            if (!bigger)
                free(text);
            text = bigger;
        }
    }
    return NULL;
}

/* The contents of @path (caller frees); NULL, reported unless @quiet. */
static char *read_file(const char *path, bool quiet)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd < 0 ? NULL : read_all(fd);
    if (!text && !quiet)
        complain("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return text;
}

/* The number behind @name and an optional colon at the start of a line of @text; else UNKNOWN. */
static uint64_t number_of(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, name, len) != 0)
            continue;
        const char *p = line + len + (line[len] == ':');
        if (isspace((unsigned char)*p))
            return strtoull(p, NULL, 10);
    }
    return UNKNOWN;
}

/* ---- the snapshot ---- */

struct row {
    const char *label, *name;
};

static void show_rows(const char *text, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = number_of(text, rows[i].name);
        if (value == UNKNOWN)
            printf("  %-34s %12s\n", rows[i].label, "-");
        else
            printf("  %-34s %12llu\n", rows[i].label, (unsigned long long)value);
    }
}

static void show_memory(void)
{
    static const struct row rows[] = {
        {"total", "MemTotal"},
        {"free", "MemFree"},
        {"available for new programs", "MemAvailable"},
        {"anonymous", "AnonPages"},
        {"file cache", "Cached"},
        {"  mapped", "Mapped"},
        {"  not yet written", "Dirty"},
        {"  shared memory and tmpfs", "Shmem"},
        {"page tables", "PageTables"},
        {"slabs", "Slab"},
        {"  buffers (file system metadata)", "Buffers"},
        {"kernel stacks", "KernelStack"},
        {"wired (kernel stacks among them)", "Wired"},
        {"promised to programs", "Committed_AS"},
        {"  at most", "CommitLimit"},
        {"swap", "SwapTotal"},
        {"  free", "SwapFree"},
    };
    char *text = read_file("/proc/meminfo", false);
    if (!text)
        return;
    printf("Memory, KiB\n");
    show_rows(text, rows, sizeof(rows) / sizeof(rows[0]));
    free(text);
}

/* The @field-th value of /proc/PID/stat, counted as in proc(5); fields behind the name only. */
static uint64_t stat_field(const char *text, unsigned field)
{
    const char *p = strrchr(text, ')');
    for (unsigned i = 2; p && i < field; i++) {
        p = strchr(p, ' ');
        if (p)
            p++;
    }
    return p ? strtoull(p, NULL, 10) : UNKNOWN;
}

static uint64_t threads_of(const char *pid)
{
    char path[300];
    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    char *text = read_file(path, true); /* it may just have ended */
    uint64_t threads = text ? stat_field(text, 20) : UNKNOWN;
    free(text);
    return threads;
}

static void show_processes(void)
{
    unsigned long processes = 0, threads = 0;
    DIR *dir = opendir("/proc");
    if (!dir) {
        complain("/proc: %s", strerror(errno));
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        uint64_t n = isdigit((unsigned char)e->d_name[0]) ? threads_of(e->d_name) : UNKNOWN;
        if (n != UNKNOWN) {
            processes++;
            threads += n;
        }
    }
    closedir(dir);
    printf("\nProcesses %lu, threads %lu\n", processes, threads);
}

static void show_counters(void)
{
    static const struct row rows[] = {
        {"page faults", "pgfault"},
        {"  that waited for a disk", "pgmajfault"},
        {"fresh zeroed page", "fault_zero"},
        {"shared page of zeroes", "fault_zero_page"},
        {"copied after fork", "fault_cow_copy"},
        {"reused after fork", "fault_cow_reuse"},
        {"file page", "fault_file"},
        {"  its neighbours mapped with it", "fault_around"},
        {"private copy of a file page", "fault_file_copy"},
        {"shared page", "fault_shared"},
        {"first write to a shared page", "fault_file_dirty"},
        {"from swap", "fault_swap"},
        {"stack grown", "fault_stack"},
        {"page table made", "fault_table"},
        {"already there", "fault_spurious"},
        {"pages allocated", "pgalloc"},
        {"pages freed", "pgfree"},
    };
    char *text = read_file("/proc/vmstat", false);
    if (!text)
        return;
    printf("\nFaults and pages since boot\n");
    show_rows(text, rows, sizeof(rows) / sizeof(rows[0]));
    free(text);
}

/* ---- the page table ---- */

static unsigned index_at(unsigned long long va, unsigned level)
{
    return va >> (12 + 9 * level) & 511;
}

/* "[255][511][12]", as deep as the entry is. */
static void index_path(char *buf, size_t size, unsigned long long va, unsigned level)
{
    size_t used = 0;
    for (unsigned l = LEVELS; l-- > level && used < size;)
        used += (size_t)snprintf(buf + used, size - used, "[%u]", index_at(va, l));
}

static const char *superpage(unsigned level)
{
    return level == 0 ? "" : level == 1 ? ", 2 MiB superpage" : ", 1 GiB superpage";
}

/* What stands behind the entry in its line. False: not understood. */
static bool show_entry_rest(const char *rest, unsigned level)
{
    char kind[16], flags[16];
    unsigned long long pa, slot;
    long refs, mapped;
    if (sscanf(rest, " swap slot %llu", &slot) == 1) {
        printf("  swap slot %llu\n", slot);
    } else if (sscanf(rest, " %15s pa %llx live %ld", kind, &pa, &mapped) == 3) {
        printf("  %s at %#llx, %ld %s\n", kind, pa, mapped, mapped == 1 ? "entry" : "entries");
    } else if (sscanf(rest, " %15s pa %llx flags %15s refs %ld mapped %ld", kind, &pa, flags, &refs,
                      &mapped) == 5) {
        printf("  %s  %s at %#llx, %ld reference%s, mapped %ld time%s%s\n", flags, kind, pa, refs,
               refs == 1 ? "" : "s", mapped, mapped == 1 ? "" : "s", superpage(level));
    } else if (sscanf(rest, " %15s pa %llx flags %15s", kind, &pa, flags) == 3) {
        printf("  %s  %s at %#llx%s\n", flags, kind, pa, superpage(level));
    } else {
        return false;
    }
    return true;
}

static bool show_entry(const char *line)
{
    unsigned level;
    unsigned long long va, entry;
    int used = 0;
    char path[32];
    if (sscanf(line, "%u %llx %llx%n", &level, &va, &entry, &used) != 3 || level >= LEVELS)
        return false;
    index_path(path, sizeof(path), va, level);
    int indent = 2 * (int)(LEVELS - level);
    printf("%*s%-*s %016llx  %016llx", indent, "", 22 - indent, path, va, entry);
    return show_entry_rest(line + used, level);
}

static void show_page_table(const char *pid)
{
    char path[64];
    unsigned long long root;
    long live;
    snprintf(path, sizeof(path), "/proc/%s/pagetable", pid);
    char *text = read_file(path, false);
    if (!text)
        return;
    printf("\nPage table of %s\n", strcmp(pid, "self") == 0 ? "this process" : pid);
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (sscanf(line, "root pa %llx live %ld", &root, &live) == 2)
            printf("  %-21s%-16s   %-16s  table at %#llx, %ld %s\n", "root", "virtual address",
                   "entry", root, live, live == 1 ? "entry" : "entries");
        else if (!show_entry(line))
            complain("%s: not understood: %s", path, line);
    }
    free(text);
}

/* ---- rates ---- */

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

static void show_rates(unsigned long delay, unsigned long count)
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

/* ---- options ---- */

/* A whole number from 1 to @max; 0: it is none. */
static unsigned long parse_number(const char *text, unsigned long max)
{
    char *end;
    errno = 0;
    unsigned long n = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;
    return n && !*end && !errno && n <= max ? n : 0;
}

static int fail_usage(void)
{
    fputs("Try 'vmstat -h'.\n", stderr);
    return 1;
}

static int run_rates(int argc, char **argv)
{
    unsigned long delay = parse_number(argv[0], 1000000), count = ULONG_MAX;
    if (argc > 2) {
        complain("too many arguments");
        return fail_usage();
    }
    if (!delay) {
        complain("the delay '%s' is not a number of seconds from 1 to 1000000", argv[0]);
        return fail_usage();
    }
    if (argc == 2 && !(count = parse_number(argv[1], ULONG_MAX))) {
        complain("the count '%s' is not a number from 1 up", argv[1]);
        return fail_usage();
    }
    show_rates(delay, count);
    return status;
}

int main(int argc, char **argv)
{
    const char *pid = NULL;
    int option;
    while ((option = getopt(argc, argv, "hp:")) != -1) {
        switch (option) {
        case 'h':
            fputs(usage_text, stdout);
            return 0;
        case 'p':
            pid = optarg;
            break;
        default:
            return fail_usage();
        }
    }
    if (pid && !parse_number(pid, INT_MAX)) {
        complain("'%s' is not a process id", pid);
        return fail_usage();
    }
    if (optind < argc && pid) {
        complain("-p and a delay do not go together");
        return fail_usage();
    }
    if (optind < argc)
        return run_rates(argc - optind, argv + optind);
    show_memory();
    show_processes();
    show_counters();
    show_page_table(pid ? pid : "self");
    return status;
}
