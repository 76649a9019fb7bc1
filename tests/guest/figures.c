/*
 * Every figure about memory against a walk: of this process by its page table (on Linux by its
 * pagemap), and on Quire of all processes, whose page tables must add up to what the machine says.
 * There nothing else runs in the guest, so the sums are exact; a thread of the kernel may be about
 * its business, so they are looked at a few times before they count as wrong.
 */
#include "check.h"

#include <dirent.h>
#include <linux/kernel-page-flags.h>

#define PRESENT  (1ULL << 63)
#define OBJECT   (1ULL << 61)
#define FRAME(w) ((w) & ((1ULL << 55) - 1))
#define FLAG(f)  (1ULL << (f))
#define ATTEMPTS 20
#define BUFFER   (2 * MIB)

/* In memory that was touched before: reading into it changes no figure. */
static char text[BUFFER];
static uint64_t *words; /* what is known of each frame from first_word on */
static uint64_t first_word, word_count;

/* The whole of a file, terminated. */
static char *all(const char *name)
{
    int fd = open(name, O_RDONLY);
    size_t n = 0;
    ssize_t got;
    if (fd < 0)
        return NULL;
    while ((got = OK(read(fd, text + n, BUFFER - 1 - n))) > 0)
        n += got;
    CHECK(n < BUFFER - 1);
    close(fd);
    text[n] = 0;
    return text;
}

/* The number after @key at the start of a line; -1 without one. */
static long value(const char *from, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = from; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && strchr(": \t", line[len]))
            return strtol(line + len + 1, NULL, 10);
    }
    return -1;
}

static void require_quire(void)
{
    if (access("/proc/self/pagetable", R_OK) != 0)
        SKIP("no /proc/PID/pagetable");
}

/* ---- What one process has ---- */

struct sums {
    long anon, object;   /* present pages */
    long tables, parked; /* upper entries, without the root */
    long accessed, superpages;
};

/* @visit gets the frame of each page and table. */
static struct sums walk(const char *pid, void (*visit)(uint64_t frame, bool table))
{
    char name[40], kind[16], flags[16];
    struct sums s = {0};
    snprintf(name, sizeof(name), "/proc/%s/pagetable", pid);
    for (char *line = all(name), *end; line && *line; line = end + 1) {
        unsigned level;
        unsigned long va, entry, pa;
        end = strchr(line, '\n');
        *end = 0;
        if (sscanf(line, "root pa %lx", &pa) == 1) {
            if (visit)
                visit(pa / PAGE, true);
            continue;
        }
        EQ(sscanf(line, "%u %lx %lx %15s pa %lx flags %15s", &level, &va, &entry, kind, &pa,
                  flags) >= 5,
           1);
        bool parked = strcmp(kind, "parked") == 0, table = parked || strcmp(kind, "table") == 0;
        bool anon = strcmp(kind, "anon") == 0, object = strcmp(kind, "file") == 0;
        long pages = 1L << (9 * level);
        s.parked += parked;
        s.tables += table;
        if (anon || object) {
            *(anon ? &s.anon : &s.object) += pages;
            s.accessed += flags[6] == 'A' ? pages : 0;
            s.superpages += level;
        }
        if (table && visit)
            visit(pa / PAGE, true);
        for (long i = 0; i < pages && (anon || object) && visit; i++)
            visit(pa / PAGE + i, false);
    }
    return s;
}

static void check_process(const char *pid)
{
    char name[40];
    struct sums s = walk(pid, NULL);
    snprintf(name, sizeof(name), "/proc/%s/status", pid);
    const char *t = all(name);
    EQ(value(t, "RssAnon") / 4, s.anon);
    EQ((value(t, "RssFile") + value(t, "RssShmem")) / 4, s.object);
    EQ(value(t, "VmRSS") / 4, s.anon + s.object);
    CHECK(value(t, "VmHWM") >= value(t, "VmRSS"));
    EQ(value(t, "VmPTE") / 4, s.tables + s.superpages + 1); /* behind a superpage there is one */
    EQ(value(t, "VmSwap"), 0);
    snprintf(name, sizeof(name), "/proc/%s/statm", pid);
    long size, resident, shared;
    EQ(sscanf(all(name), "%ld %ld %ld", &size, &resident, &shared), 3);
    EQ(resident, s.anon + s.object);
    EQ(shared, s.object);
    snprintf(name, sizeof(name), "/proc/%s/smaps_rollup", pid);
    t = all(name);
    EQ(value(t, "Rss") / 4, s.anon + s.object);
    EQ(value(t, "Anonymous") / 4, s.anon);
    EQ(value(t, "AnonHugePages") + value(t, "ShmemPmdMapped") + value(t, "FilePmdMapped"),
       s.superpages * 2048);
    CHECK(value(t, "Referenced") / 4 >= s.accessed);
    CHECK(value(t, "Referenced") <= value(t, "Rss"));
    EQ(value(t, "Shared_Clean") + value(t, "Shared_Dirty") + value(t, "Private_Clean") +
           value(t, "Private_Dirty"),
       value(t, "Rss"));
    CHECK(labs(value(t, "Pss_Anon") + value(t, "Pss_File") + value(t, "Pss_Shmem") -
               value(t, "Pss")) <= 2);
    CHECK(value(t, "Pss_Dirty") <= value(t, "Pss") && value(t, "Pss") <= value(t, "Rss"));
}

/* Some of everything: private, shared, files, holes, superpages where there are any. */
static void make_memory(void)
{
    char *m = ANON(600 * PAGE);
    for (int i = 0; i < 600; i += 7)
        m[i * PAGE] = 1;
    READABLE(m + PAGE);
    memset(ANON(4 * MIB), 1, 4 * MIB); /* has an aligned part of 2 MiB */
    memset(MAP(NULL, 4 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 1, 4 * MIB);
    char *shared = MAP(NULL, 20 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(shared, 1, 10 * PAGE);
    int fd = make_file("f", 30 * PAGE);
    char *file = MAP(NULL, 30 * PAGE, RW, MAP_SHARED, fd, 0);
    char *private = MAP(NULL, 30 * PAGE, RW, MAP_PRIVATE, fd, 0);
    for (int i = 0; i < 30; i += 3)
        file[i * PAGE] = private[(i + 1) * PAGE] = 1;
    READABLE(private);
}

/* Touches all there is, so that looking changes nothing: every page of every mapping that can be
 * read, and the buffers. */
static void settle(void)
{
    memset(text, 1, BUFFER);
    for (char *line = all("/proc/self/maps"), *end; *line; line = end + 1) {
        unsigned long start, stop;
        char perms[8];
        end = strchr(line, '\n');
        *end = 0;
        EQ(sscanf(line, "%lx-%lx %7s", &start, &stop, perms), 3);
        for (; perms[0] == 'r' && !strstr(line, "[v") && start < stop; start += PAGE)
            (void)*(volatile char *)start;
    }
    memset(text, 1, BUFFER);
}

/* Of all processes, each at rest but this one, which changes nothing while it looks. */
static void each_process(void)
{
    require_quire();
    int fds[2];
    char c, name[16];
    make_memory();
    settle();
    OK(pipe(fds));
    pid_t child = FORK(); /* shares some, has copies of some */
    if (child == 0) {
        close(fds[1]);
        memset(text, 2, BUFFER / 2);
        _exit((int)read(fds[0], &c, 1));
    }
    settle();
    snprintf(name, sizeof(name), "%d", child);
    sleep_ms(50);
    check_process("self");
    check_process(name);
    check_process("1");
    close(fds[1]);
    JOIN(child);
    check_process("self");
}

/* Sums over the mappings of smaps are smaps_rollup's, field by field. */
static void smaps_is_rollup(void)
{
    static const char *const fields[] = {
        "Rss",        "Shared_Clean", "Shared_Dirty", "Private_Clean",  "Private_Dirty",
        "Referenced", "Anonymous",    "KSM",          "LazyFree",       "AnonHugePages",
        "Swap",       "Locked",       "Pss",          "ShmemPmdMapped", "FilePmdMapped",
    };
    long sum[COUNT(fields)] = {0};
    char *locked = memset(ANON(4 * PAGE), 1, 4 * PAGE);
    make_memory();
    OK(mlock(locked, 4 * PAGE));
    settle();
    all("/proc/self/smaps"), all("/proc/self/smaps_rollup");
    long mappings = 0;
    for (const char *line = all("/proc/self/smaps"); *line; line = strchr(line, '\n') + 1) {
        mappings += strncmp(line, "VmFlags:", 8) == 0;
        for (size_t i = 0; i < COUNT(fields); i++)
            if (strncmp(line, fields[i], strlen(fields[i])) == 0 && line[strlen(fields[i])] == ':')
                sum[i] += strtol(line + strlen(fields[i]) + 1, NULL, 10);
    }
    const char *rollup = all("/proc/self/smaps_rollup");
    CHECK(strstr(rollup, "[rollup]\n") != NULL);
    for (size_t i = 0; i < COUNT(fields); i++) {
        long whole = value(rollup, fields[i]);
        bool rounded = strcmp(fields[i], "Pss") == 0 || strcmp(fields[i], "Locked") == 0;
        if (whole != sum[i] && !(rounded && whole >= sum[i] && whole <= sum[i] + mappings))
            FAIL("%s: the mappings have %ld kB, the whole %ld kB", fields[i], sum[i], whole);
    }
    EQ(value(rollup, "Locked"), 16);
}

/* The sizes of status are those of the mappings, by what they are for. */
static void status_sums_maps(void)
{
    long total = 0, data = 0, stack = 0, code = 0;
    char *big = ANON(123 * PAGE);
    OK(mprotect(big, 23 * PAGE, PROT_READ | PROT_EXEC));
    OK(mprotect(big + 23 * PAGE, 10 * PAGE, PROT_READ));
    MAP(NULL, 7 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    settle();
    for (char *line = all("/proc/self/maps"), *end; *line; line = end + 1) {
        unsigned long start, stop;
        char perms[8];
        end = strchr(line, '\n');
        *end = 0;
        EQ(sscanf(line, "%lx-%lx %7s", &start, &stop, perms), 3);
        if (strstr(line, "[vsyscall]")) /* a page of the kernel's that some ports list */
            continue;
        long kb = (stop - start) / 1024;
        total += kb;
        if (strstr(line, "[stack]"))
            stack += kb;
        else if (perms[1] == 'w' && perms[3] == 'p')
            data += kb;
        else if (perms[2] == 'x' && perms[1] != 'w')
            code += kb;
    }
    const char *t = all("/proc/self/status");
    EQ(value(t, "VmSize"), total);
    EQ(value(t, "VmStk"), stack);
    EQ(value(t, "VmData"), data);
    EQ(value(t, "VmExe") + value(t, "VmLib"), code);
    CHECK(value(t, "VmPeak") >= total && value(t, "VmExe") > 0);
    EQ(value(t, "VmPin"), 0);
}

/* pagemap has as many pages that count as smaps_rollup; on Quire it is the page table itself. */
static void pagemap_is_the_page_table(void)
{
    make_memory();
    settle();
    all("/proc/self/smaps_rollup");
    int fd = OK(open("/proc/self/pagemap", O_RDONLY)), flags = open("/proc/kpageflags", O_RDONLY);
    long rss = value(all("/proc/self/smaps_rollup"), "Rss") / 4, present = 0, object = 0;
    for (char *line = all("/proc/self/maps"), *end; *line; line = end + 1) {
        unsigned long start, at;
        uint64_t word, about = 0;
        end = strchr(line, '\n');
        *end = 0;
        EQ(sscanf(line, "%lx-%lx", &start, &at), 2);
        if (strstr(line, "[v")) /* vvar, vdso, vsyscall: the kernel's pages */
            continue;
        while (at > start) {
            at -= PAGE;
            EQ(pread(fd, &word, 8, at / PAGE * 8), 8);
            if (!(word & PRESENT))
                continue;
            if (flags >= 0 && FRAME(word))
                EQ(pread(flags, &about, 8, FRAME(word) * 8), 8);
            else if (!(word & (OBJECT | 1ULL << 56)))
                SKIP("the page of zeroes cannot be told");
            present += !(about & FLAG(KPF_ZERO_PAGE));
            object += (word & OBJECT) != 0;
        }
    }
    EQ(present, rss);
    if (access("/proc/self/pagetable", R_OK) != 0)
        return;
    struct sums s = walk("self", NULL);
    EQ(s.anon + s.object, present);
    EQ(s.object, object);
}

/* ---- What all processes have together ---- */

#define TABLE   (1ULL << 62)
#define MAPPERS 0xffffffffULL

static uint64_t anon_frames, object_frames, table_frames, superpages;

static void note_frame(uint64_t frame, bool table)
{
    CHECK(frame >= first_word && frame - first_word < word_count);
    uint64_t *word = &words[frame - first_word];
    *word = table ? *word | TABLE : *word + 1;
}

/* Notes the frames of all processes. */
static void walk_all(void)
{
    memset(words, 0, word_count * 8);
    superpages = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            superpages += walk(e->d_name, note_frame).superpages;
    closedir(dir);
}

struct machine {
    long free, stashed, anon, mapped, tables, slab, total;
    long allocated, freed, tables_made, tables_freed;
};

static struct machine machine(void)
{
    const char *t = all("/proc/vmstat");
    return (struct machine){
        .free = value(t, "nr_free_pages"),
        .stashed = value(t, "nr_stashed_pages"),
        .anon = value(t, "nr_anon_pages"),
        .mapped = value(t, "nr_mapped"),
        .tables = value(t, "nr_page_table_pages"),
        .slab = value(t, "nr_slab_pages"),
        .total = value(t, "nr_total_pages"),
        .allocated = value(t, "pgalloc"),
        .freed = value(t, "pgfree"),
        .tables_made = value(t, "table_alloc"),
        .tables_freed = value(t, "table_free"),
    };
}

static bool is_below_ram(int fd, uint64_t frame)
{
    uint64_t flags;
    EQ(pread(fd, &flags, 8, frame * 8), 8);
    return flags & FLAG(KPF_NOPAGE);
}

static bool is_in_file(int fd, uint64_t frame)
{
    uint64_t flags;
    return pread(fd, &flags, 8, frame * 8) == 8;
}

/* The first number in [low, high) for which @before is false; it is true up to there. */
static uint64_t first_not(bool (*before)(int fd, uint64_t frame), int fd, uint64_t low,
                          uint64_t high)
{
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (before(fd, middle))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Finds where RAM begins and ends. */
static void make_words(void)
{
    int fd = OK(open("/proc/kpageflags", O_RDONLY));
    uint64_t end = first_not(is_in_file, fd, 0, 1ULL << 32);
    first_word = first_not(is_below_ram, fd, 0, end);
    word_count = end - first_word;
    words = (uint64_t *)ANON(word_count * 8);
    close(fd);
}

/* One attempt: what was found wrong, NULL when all agrees. */
static const char *compare_sums(void)
{
    static char wrong[200];
    struct machine m = machine();
    walk_all();
    int flags_fd = OK(open("/proc/kpageflags", O_RDONLY));
    int count_fd = OK(open("/proc/kpagecount", O_RDONLY));
    static uint64_t flags[512], counts[512];
    uint64_t slab = 0, buddy = 0, bad = 0, other_tables = 0;
    anon_frames = object_frames = table_frames = 0;
    for (uint64_t base = 0; base < word_count; base += 512) {
        off_t at = (off_t)(first_word + base) * 8;
        ssize_t n = OK(pread(flags_fd, flags, sizeof(flags), at)) / 8;
        EQ(pread(count_fd, counts, sizeof(counts), at), n * 8);
        for (ssize_t i = 0; i < n; i++) {
            uint64_t w = words[base + i], f = flags[i];
            slab += (f & FLAG(KPF_SLAB)) != 0;
            buddy += (f & FLAG(KPF_BUDDY)) != 0;
            table_frames += (w & TABLE) != 0;
            other_tables += f & FLAG(KPF_PGTABLE) && !(w & TABLE);
            anon_frames += (w & MAPPERS) && f & FLAG(KPF_ANON);
            object_frames += (w & MAPPERS) && !(f & FLAG(KPF_ANON));
            bad += (w & MAPPERS) != counts[i];
            bad += !(w & MAPPERS) != !(f & FLAG(KPF_MMAP));
            bad += w & TABLE && !(f & FLAG(KPF_PGTABLE));
        }
    }
    close(flags_fd);
    close(count_fd);
    const struct {
        const char *what;
        long said, found;
    } lines[] = {
        {"frames that kpagecount or kpageflags see otherwise", 0, bad},
        {"nr_anon_pages", m.anon, anon_frames},
        {"nr_mapped", m.mapped, object_frames},
        {"nr_page_table_pages", m.tables, table_frames + superpages},
        {"table_alloc - table_free", m.tables_made - m.tables_freed, table_frames + superpages},
        {"nr_slab_pages", m.slab, slab},
        {"pgalloc - pgfree", m.allocated - m.freed, m.total - m.free},
    };
    for (size_t i = 0; i < COUNT(lines); i++)
        if (lines[i].said != lines[i].found) {
            snprintf(wrong, sizeof(wrong), "%s: %ld, a walk found %ld", lines[i].what,
                     lines[i].said, lines[i].found);
            return wrong;
        }
    /* Pages move between lists and stashes, by a batch at a time. */
    if (labs(m.free - m.stashed - (long)buddy) > 64 || other_tables > 100)
        return "free blocks or the kernel's tables";
    return NULL;
}

static void machine_is_the_sum(void)
{
    require_quire();
    int fds[2];
    char c;
    make_memory();
    settle();
    OK(pipe(fds));
    pid_t child = FORK();
    if (child == 0) {
        close(fds[1]);
        memset(text, 2, BUFFER / 2);
        _exit((int)read(fds[0], &c, 1));
    }
    make_words();
    settle();
    compare_sums();
    const char *wrong = NULL;
    for (int i = 0; i < ATTEMPTS && (i == 0 || wrong); i++) {
        sleep_ms(50);
        wrong = compare_sums();
    }
    if (wrong)
        FAIL("%s", wrong);
    close(fds[1]);
    JOIN(child);
}

/* All memory is in one row of meminfo; the rows that appear in two files are the same there. */
static const char *compare_meminfo(void)
{
    static char wrong[100];
    static const char *const parts[] = {"MemFree",    "AnonPages", "Cached",  "Slab",
                                        "PageTables", "Wired",     "Reserved"};
    struct machine m = machine();
    long free = -1;
    const char *t = all("/proc/meminfo");
    long total = value(t, "MemTotal");
    for (size_t i = 0; i < COUNT(parts); i++)
        total -= value(t, parts[i]);
    const struct {
        const char *key;
        long pages;
    } same[] = {{"AnonPages", m.anon}, {"Mapped", m.mapped},  {"PageTables", m.tables},
                {"Slab", m.slab},      {"MemTotal", m.total}, {"MemFree", m.free}};
    if (total != 0)
        return "the parts of MemTotal do not add up";
    for (size_t i = 0; i < COUNT(same); i++)
        if (value(t, same[i].key) / 4 != same[i].pages) {
            snprintf(wrong, sizeof(wrong), "%s is another in vmstat", same[i].key);
            return wrong;
        }
    t = strstr(all("/proc/zoneinfo"), "pages free");
    EQ(sscanf(t, "pages free %ld", &free), 1);
    return free == m.free ? NULL : "zoneinfo has another number of free pages";
}

static void meminfo_adds_up(void)
{
    require_quire();
    settle();
    compare_meminfo();
    const char *wrong = "";
    for (int i = 0; i < ATTEMPTS && wrong; i++)
        wrong = compare_meminfo();
    if (wrong)
        FAIL("%s", wrong);
}

static const struct test tests[] = {
    TEST(each_process),     TEST(smaps_is_rollup),    TEST(pagemap_is_the_page_table),
    TEST(status_sums_maps), TEST(machine_is_the_sum), TEST(meminfo_adds_up),
};
MAIN(tests)
