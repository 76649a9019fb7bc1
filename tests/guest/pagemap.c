/* /proc/PID/pagemap and clear_refs, /proc/kpagecount and kpageflags, oom_score_adj. */
#include "check.h"

#include <linux/kernel-page-flags.h>

#define EXCLUSIVE (1ULL << 56)
#define OBJECT    (1ULL << 61) /* page of a file or of shared memory */
#define SWAPPED   (1ULL << 62)
#define PRESENT   (1ULL << 63)
#define KINDS     (EXCLUSIVE | OBJECT | SWAPPED | PRESENT)
#define FRAME(w)  ((w) & ((1ULL << 55) - 1))
#define FLAG(f)   (1ULL << (f))

static uint64_t word_at(const char *file, uint64_t index)
{
    uint64_t word;
    int fd = OK(open(file, O_RDONLY));
    EQ(pread(fd, &word, 8, (off_t)index * 8), 8);
    close(fd);
    return word;
}

static uint64_t pagemap(const void *p)
{
    return word_at("/proc/self/pagemap", (uintptr_t)p / PAGE);
}

/* Pages that no superpage serves. */
static char *small_pages(size_t n)
{
    char *m = ANON(n * PAGE);
    if (madvise(m, n * PAGE, MADV_NOHUGEPAGE) != 0)
        EQ(errno, EINVAL); /* a kernel without superpages */
    return m;
}

static void kinds_of_pages(void)
{
    char *m = small_pages(4);
    EQ(pagemap(m + PAGE), 0);
    m[0] = 1;
    EQ(pagemap(m) & KINDS, PRESENT | EXCLUSIVE);
    READABLE(m + 2 * PAGE);
    EQ(pagemap(m + 2 * PAGE) & KINDS, PRESENT); /* the page of zeroes is nobody's */
    char *shared = MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared[0] = 1;
    EQ(pagemap(shared) & KINDS, PRESENT | EXCLUSIVE | OBJECT);
    int fd = make_file("f", 2 * PAGE);
    char *file = MAP(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    READABLE(file);
    EQ(pagemap(file) & KINDS, PRESENT | EXCLUSIVE | OBJECT);
    char *again = MAP(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    READABLE(again);
    EQ(pagemap(file) & KINDS, PRESENT | OBJECT);
    EQ(FRAME(pagemap(file)), FRAME(pagemap(again)));
    file[0] = 1; /* a copy */
    EQ(pagemap(file) & KINDS, PRESENT | EXCLUSIVE);
    OK(munmap(m, PAGE));
    EQ(pagemap(m), 0);
}

static void shared_by_fork(void)
{
    int fds[2];
    char c, *m = small_pages(2);
    m[0] = m[PAGE] = 1;
    OK(pipe(fds));
    pid_t child = FORK();
    if (child == 0) {
        close(fds[1]);
        m[PAGE] = 2;
        _exit((int)read(fds[0], &c, 1));
    }
    char name[40];
    snprintf(name, sizeof(name), "/proc/%d/pagemap", child);
    while (pagemap(m + PAGE) & PRESENT && !(pagemap(m + PAGE) & EXCLUSIVE))
        sleep_ms(1); /* until the child has its copy */
    EQ(pagemap(m) & KINDS, PRESENT);
    EQ(word_at(name, (uintptr_t)m / PAGE) & KINDS, PRESENT);
    EQ(FRAME(word_at(name, (uintptr_t)m / PAGE)), FRAME(pagemap(m)));
    EQ(word_at(name, (uintptr_t)m / PAGE + 1) & KINDS, PRESENT | EXCLUSIVE);
    close(fds[1]);
    JOIN(child);
    EQ(pagemap(m) & KINDS, PRESENT | EXCLUSIVE);
}

/* One large read is many small ones; reads have the size of whole words. */
static void reading(void)
{
    enum { N = 1500 }; /* more than one table's worth */
    static uint64_t words[N];
    char *m = small_pages(N);
    for (int i = 0; i < N; i += 3)
        m[i * PAGE] = 1;
    int fd = OK(open("/proc/self/pagemap", O_RDONLY));
    OK(lseek(fd, (off_t)((uintptr_t)m / PAGE * 8), SEEK_SET));
    EQ(read(fd, words, sizeof(words)), sizeof(words));
    for (int i = 0; i < N; i++) {
        EQ(words[i] >> 63, i % 3 == 0);
        if (i % 100 < 6)
            EQ(words[i], pagemap(m + i * PAGE));
    }
    FAILS(pread(fd, words, 7, 0), EINVAL);
    FAILS(pread(fd, words, 8, 4), EINVAL);
    FAILS(pread(fd, MAP(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8, 0), EFAULT);
    EQ(pread(fd, words, 0, 8), 0);
    EQ(pread(fd, words, 8, 1LL << 57), 0); /* behind the last address */
}

/* Frame numbers are for the privileged, other users' processes for nobody else. */
static void who_may_read(void)
{
    if (getuid() != 0)
        SKIP("needs root");
    char *m = small_pages(1);
    m[0] = 1;
    CHECK(FRAME(pagemap(m)) != 0);
    char name[40];
    snprintf(name, sizeof(name), "/proc/%d/pagemap", getpid());
    pid_t child = FORK();
    if (child == 0) {
        OK(setuid(12345));
        FAILS(open("/proc/self/pagemap", O_RDONLY), EACCES);
        OK(prctl(PR_SET_DUMPABLE, 1));
        EQ(FRAME(pagemap(m)), 0);
        CHECK(pagemap(m) & PRESENT);
        FAILS(open(name, O_RDONLY), EACCES);
        FAILS(open("/proc/kpagecount", O_RDONLY), EACCES);
        FAILS(open("/proc/kpageflags", O_RDONLY), EACCES);
        _exit(0);
    }
    JOIN(child);
}

static uint64_t frame_of(const void *p)
{
    uint64_t frame = FRAME(pagemap(p));
    if (!frame)
        SKIP("frame numbers are not shown");
    return frame;
}

static void frames(void)
{
    int fds[2];
    char c, *m = small_pages(3);
    m[0] = 1;
    uint64_t frame = frame_of(m), flags = word_at("/proc/kpageflags", frame);
    EQ(word_at("/proc/kpagecount", frame), 1);
    EQ(flags & (FLAG(KPF_ANON) | FLAG(KPF_MMAP) | FLAG(KPF_SWAPBACKED)),
       FLAG(KPF_ANON) | FLAG(KPF_MMAP) | FLAG(KPF_SWAPBACKED));
    EQ(flags & (FLAG(KPF_NOPAGE) | FLAG(KPF_SLAB) | FLAG(KPF_BUDDY) | FLAG(KPF_ZERO_PAGE)), 0);
    OK(pipe(fds));
    pid_t child = FORK();
    if (child == 0) {
        close(fds[1]);
        _exit((int)read(fds[0], &c, 1));
    }
    EQ(word_at("/proc/kpagecount", frame), 2);
    close(fds[1]);
    JOIN(child);
    EQ(word_at("/proc/kpagecount", frame), 1);
    READABLE(m + PAGE);
    CHECK(word_at("/proc/kpageflags", frame_of(m + PAGE)) & FLAG(KPF_ZERO_PAGE));

    char *file = MAP(NULL, PAGE, RW, MAP_SHARED, make_file("f", PAGE), 0);
    file[0] = 1;
    flags = word_at("/proc/kpageflags", frame_of(file));
    CHECK(flags & FLAG(KPF_MMAP) && flags & FLAG(KPF_UPTODATE) && !(flags & FLAG(KPF_ANON)));
    EQ(word_at("/proc/kpagecount", frame_of(file)), 1);

    uint64_t word;
    int fd = OK(open("/proc/kpageflags", O_RDONLY));
    FAILS(pread(fd, &word, 8, 1), EINVAL);
    FAILS(pread(fd, &word, 4, 0), EINVAL);
    EQ(pread(fd, &word, 8, 1LL << 50), 0);
}

static void write_text(const char *file, const char *text)
{
    int fd = OK(open(file, O_WRONLY));
    EQ(OK(write(fd, text, strlen(text))), strlen(text));
    close(fd);
}

static void refuse_text(const char *file, const char *text, int wanted)
{
    int fd = OK(open(file, O_WRONLY));
    FAILS(write(fd, text, strlen(text)), wanted);
    close(fd);
}

/* kB of the mapping of smaps that contains @p. */
static long smaps_of(const void *p, const char *key)
{
    char line[512];
    bool inside = false;
    long value = -1;
    FILE *f = fopen("/proc/self/smaps", "r");
    while (value < 0 && fgets(line, sizeof(line), f)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = (uintptr_t)p >= start && (uintptr_t)p < end;
        else if (inside && strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key) + 1, NULL, 10);
    }
    fclose(f);
    return value;
}

/* Touches @n pages in a way that no cached translation hides. */
static void touch_again(char *m, size_t n)
{
    OK(mprotect(m, n * PAGE, PROT_NONE));
    OK(mprotect(m, n * PAGE, PROT_READ));
    for (size_t i = 0; i < n; i++)
        (void)((volatile char *)m)[i * PAGE];
}

static void referenced_pages(void)
{
    enum { N = 16 };
    char *anon = small_pages(N);
    memset(anon, 1, N * PAGE);
    OK(mprotect(anon, N * PAGE, PROT_READ));
    char *file = MAP(NULL, N * PAGE, PROT_READ, MAP_SHARED, make_file("f", N * PAGE), 0);
    touch_again(file, N);
    EQ(smaps_of(anon, "Referenced"), N * 4);
    EQ(smaps_of(file, "Referenced"), N * 4);
    write_text("/proc/self/clear_refs", "2\n");
    EQ(smaps_of(anon, "Referenced"), 0);
    EQ(smaps_of(anon, "Rss"), N * 4);
    EQ(smaps_of(file, "Referenced"), N * 4);
    write_text("/proc/self/clear_refs", "3");
    EQ(smaps_of(file, "Referenced"), 0);
    touch_again(anon, N / 2);
    OK(mprotect(anon, N * PAGE, PROT_READ)); /* one mapping again */
    EQ(smaps_of(anon, "Referenced"), N / 2 * 4);
    touch_again(file, N);
    EQ(smaps_of(file, "Referenced"), N * 4);
    write_text("/proc/self/clear_refs", "1");
    EQ(smaps_of(anon, "Referenced"), 0);
    EQ(smaps_of(file, "Referenced"), 0);
    refuse_text("/proc/self/clear_refs", "0", EINVAL);
    refuse_text("/proc/self/clear_refs", "6", EINVAL);
    refuse_text("/proc/self/clear_refs", "x", EINVAL);
}

static void peak_is_reset(void)
{
    char *m = ANON(8 * MIB);
    memset(m, 1, 8 * MIB);
    OK(munmap(m, 8 * MIB));
    long peak = figure("/proc/self/status", "VmHWM");
    CHECK(peak >= 8 * 1024);
    write_text("/proc/self/clear_refs", "5");
    long now = figure("/proc/self/status", "VmHWM");
    CHECK(now <= peak - 7 * 1024);
    CHECK(now >= figure("/proc/self/smaps_rollup", "Rss") - 512);
}

static long number_in(const char *file)
{
    return strtol(contents(file), NULL, 10);
}

static void oom_adjustment(void)
{
    const char *adjust = "/proc/self/oom_score_adj", *score = "/proc/self/oom_score";
    write_text(adjust, "300");
    EQ(number_in(adjust), 300);
    long before = number_in(score);
    pid_t child = FORK();
    if (child == 0) {
        EQ(number_in(adjust), 300);
        write_text(adjust, "900\n");
        EQ(number_in(adjust), 900);
        CHECK(number_in(score) > before);
        if (getuid() == 0) {
            write_text(adjust, "0");
            OK(setuid(12345));
            OK(prctl(PR_SET_DUMPABLE, 1));
            write_text(adjust, "800");
            write_text(adjust, "0");
            refuse_text(adjust, "-1", EACCES);
            EQ(number_in(adjust), 0);
        }
        _exit(0);
    }
    JOIN(child);
    EQ(number_in(adjust), 300);
    refuse_text(adjust, "1001", EINVAL);
    refuse_text(adjust, "-1001", EINVAL);
    refuse_text(adjust, "many", EINVAL);
    int fd = OK(open(adjust, O_WRONLY));
    if (write(fd, "-1000", 5) == 5)
        EQ(number_in(score), 0);
    else
        EQ(errno, EACCES); /* also for root where it may not exceed limits */
}

static const struct test tests[] = {
    TEST(kinds_of_pages), TEST(shared_by_fork),   TEST(reading),       TEST(who_may_read),
    TEST(frames),         TEST(referenced_pages), TEST(peak_is_reset), TEST(oom_adjustment),
};
MAIN(tests)
