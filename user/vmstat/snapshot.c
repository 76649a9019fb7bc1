/* vmstat without a delay: memory by kind, processes, counters since boot. */
#include "vmstat.h"

#include <dirent.h>

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
        {"set aside for superpages", "Reserved"},
        {"promised to programs", "Committed_AS"},
        {"  at most", "CommitLimit"},
        {"swap", "SwapTotal"},
        {"  free", "SwapFree"},
    };
    char *text = read_file("/proc/meminfo", false);
    if (!text)
        return;
    printf("Memory, KiB\n");
    show_rows(text, rows, ARRAY_SIZE(rows));
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

const struct row counter_rows[] = {
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
    {"page table hung", "fault_table"},
    {"already there", "fault_spurious"},
    {"tables fork went through", "fork_tables"},
    {"  entries copied from them", "fork_entries"},
    {"tables it shared", "table_share"},
    {"  copied when written to", "table_copy"},
    {"superpages mapped at once", "thp_fault_alloc"},
    {"superpages made, in all", "thp_promote"},
    {"superpages split", "thp_split_page"},
    {"tables made", "table_alloc"},
    {"tables freed", "table_free"},
    {"pages allocated", "pgalloc"},
    {"pages freed", "pgfree"},
};
const unsigned counter_row_count = ARRAY_SIZE(counter_rows);

static void show_counters(void)
{
    char *text = read_file("/proc/vmstat", false);
    if (!text)
        return;
    printf("\nFaults and pages since boot\n");
    show_rows(text, counter_rows, counter_row_count);
    free(text);
}

void show_snapshot(void)
{
    show_memory();
    show_processes();
    show_counters();
}
