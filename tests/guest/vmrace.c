/*
 * Threads of one process, each the owner of pages that lie between those of the others, so that all
 * of them share page tables and mappings: their faults race with each other's munmap, mprotect,
 * mremap, madvise and fork. Each thread knows what its own pages hold and looks.
 *
 *     vmrace            2 seconds
 *     vmrace SECONDS    as long as that
 */
#include "check.h"

enum { THREADS = 6, PAGES = 48, WORDS = PAGE / 8 };

static int seconds = 2;
static int64_t end_time;
static pthread_barrier_t all_there; /* a thread that is made maps its stack anywhere */
static int file;                    /* page i begins and ends with file_word(i) */
static char *arena, *scratch;       /* PAGES * THREADS pages; one for each thread */

/* What a page is a mapping of, by its number. */
enum kind { PRIVATE, PRIVATE_TOO, SHARED, FILE_COPY, KINDS };

struct owner {
    unsigned number;
    uint64_t seed;
    uint64_t value[PAGES]; /* first and last word */
    unsigned long actions;
    int pipe[2];
};

static uint64_t file_word(unsigned page)
{
    return 0x1111111111111111UL * (page % 9 + 1);
}

static enum kind kind_of(unsigned page)
{
    return page % KINDS;
}

static volatile uint64_t *page_of(const struct owner *o, unsigned page)
{
    return (uint64_t *)(arena + (page * THREADS + o->number) * PAGE);
}

static uint64_t fresh_value(unsigned page)
{
    return kind_of(page) == FILE_COPY ? file_word(page) : 0;
}

static void look_at(const volatile uint64_t *at, uint64_t expected, const char *when)
{
    if (at[0] != expected || at[WORDS - 1] != expected)
        FAIL("%s: page %p holds %#lx and %#lx instead of %#lx", when, (void *)at, (long)at[0],
             (long)at[WORDS - 1], (long)expected);
}

static void look(const struct owner *o, unsigned page, const char *when)
{
    look_at(page_of(o, page), o->value[page], when);
}

static void stamp(struct owner *o, unsigned page)
{
    uint64_t value = next_random(&o->seed) | 1;
    volatile uint64_t *at = page_of(o, page);
    at[0] = at[WORDS - 1] = value;
    o->value[page] = value;
}

/* Puts a new mapping there. Nobody maps anything without MAP_FIXED meanwhile. */
static void renew(struct owner *o, unsigned page)
{
    void *at = (void *)page_of(o, page);
    if (kind_of(page) == FILE_COPY)
        MAP(at, PAGE, RW, MAP_PRIVATE | MAP_FIXED, file, page * PAGE);
    else
        MAP(at, PAGE, RW,
            (kind_of(page) == SHARED ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_FIXED, -1,
            0);
    o->value[page] = fresh_value(page);
}

/* The access must end in @sig with @code at the page. */
static void must_fault(volatile void *at, bool write, int sig, int code, const char *when)
{
    fault_seen = (struct fault){0, 0, NULL};
    if (sigsetjmp(fault_return, 1) == 0) {
        if (write)
            *(volatile char *)at = 0;
        else
            (void)*(volatile char *)at;
    }
    struct fault f = fault_seen;
    if (f.sig != sig || f.code != code || f.addr != at)
        FAIL("%s: page %p: signal %d code %d address %p, not signal %d code %d", when, (void *)at,
             f.sig, f.code, f.addr, sig, code);
}

/* --- what a thread does to a page of its own --- */

static void do_unmap(struct owner *o, unsigned page)
{
    volatile uint64_t *at = page_of(o, page);
    OK(munmap((void *)at, PAGE));
    must_fault(at, next_random(&o->seed) % 2, SIGSEGV, SEGV_MAPERR, "unmapped");
    renew(o, page);
    look(o, page, "after munmap and mmap");
}

static void do_protect(struct owner *o, unsigned page)
{
    volatile uint64_t *at = page_of(o, page);
    bool none = next_random(&o->seed) % 2;
    OK(mprotect((void *)at, PAGE, none ? PROT_NONE : PROT_READ));
    must_fault(at, !none || next_random(&o->seed) % 2, SIGSEGV, SEGV_ACCERR, "protected");
    if (!none)
        look(o, page, "read-only");
    OK(mprotect((void *)at, PAGE, RW));
    look(o, page, "after mprotect");
}

static void do_forget(struct owner *o, unsigned page)
{
    OK(madvise((void *)page_of(o, page), PAGE, MADV_DONTNEED));
    if (kind_of(page) != SHARED)
        o->value[page] = fresh_value(page);
    look(o, page, "after MADV_DONTNEED");
}

static void do_move(struct owner *o, unsigned page)
{
    char *away = scratch + o->number * PAGE, *home = (char *)page_of(o, page);
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    EQ(OK(mremap(home, PAGE, PAGE, flags, away)), away);
    must_fault(page_of(o, page), false, SIGSEGV, SEGV_MAPERR, "moved away");
    look_at((uint64_t *)away, o->value[page], "moved");
    EQ(OK(mremap(away, PAGE, PAGE, flags, home)), home);
    look(o, page, "moved back");
}

/* The child has what this thread had at this moment, and changes nothing of it in the parent. */
static void do_fork(struct owner *o, unsigned page)
{
    (void)page;
    pid_t child = FORK();
    if (child == 0) {
        for (unsigned i = 0; i < PAGES; i++)
            look(o, i, "in the child");
        for (unsigned i = 0; i < PAGES; i++)
            if (kind_of(i) != SHARED && next_random(&o->seed) % 2)
                stamp(o, i);
        for (unsigned i = 0; i < PAGES; i++)
            look(o, i, "written by the child");
        _exit(0);
    }
    for (unsigned i = 0; i < 4; i++)
        stamp(o, next_random(&o->seed) % PAGES & ~3U); /* not the shared ones: the child looks */
    JOIN(child);
    for (unsigned i = 0; i < PAGES; i++)
        look(o, i, "in the parent");
}

/* The kernel reads and writes the page. */
static void do_system_calls(struct owner *o, unsigned page)
{
    volatile uint64_t *at = page_of(o, page);
    uint64_t value = next_random(&o->seed);
    EQ(OK(write(o->pipe[1], (void *)at, 8)), 8);
    EQ(OK(read(o->pipe[0], &value, 8)), 8);
    EQ(value, o->value[page]);
    value = next_random(&o->seed);
    EQ(OK(write(o->pipe[1], &value, 8)), 8);
    EQ(OK(read(o->pipe[0], (void *)at, 8)), 8);
    at[WORDS - 1] = o->value[page] = value;
}

/* Cuts or joins the mappings of all. Fails over somebody's hole, which does not matter. */
static void do_advise_all(struct owner *o, unsigned page)
{
    static const int advice[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL};
    (void)madvise(arena + page * PAGE, PAGE * THREADS * (PAGES / 2),
                  advice[next_random(&o->seed) % COUNT(advice)]);
}

static void do_stamp(struct owner *o, unsigned page)
{
    for (unsigned i = 0; i < 8; i++) {
        look(o, page, "before writing");
        stamp(o, page);
        look(o, page, "written");
        page = next_random(&o->seed) % PAGES;
    }
}

static const struct {
    unsigned weight;
    void (*run)(struct owner *o, unsigned page);
} actions[] = {
    {40, do_stamp}, {12, renew},           {12, do_unmap},     {12, do_protect}, {12, do_forget},
    {8, do_move},   {12, do_system_calls}, {2, do_advise_all}, {2, do_fork},
};

static void act(struct owner *o)
{
    unsigned sum = 0, i = 0;
    for (unsigned j = 0; j < COUNT(actions); j++)
        sum += actions[j].weight;
    unsigned pick = next_random(&o->seed) % sum;
    for (; pick >= actions[i].weight; i++)
        pick -= actions[i].weight;
    actions[i].run(o, next_random(&o->seed) % PAGES);
    o->actions++;
}

static void *owner_thread(void *arg)
{
    struct owner *o = arg;
    pthread_barrier_wait(&all_there);
    for (unsigned i = 0; i < PAGES; i++)
        renew(o, i);
    while (now_ms() < end_time)
        for (int i = 0; i < 20; i++)
            act(o);
    for (unsigned i = 0; i < PAGES; i++)
        look(o, i, "at the end");
    return NULL;
}

static void faults_race_with_changes(void)
{
    static struct owner owners[THREADS];
    pthread_t threads[THREADS];
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGSEGV, &action, NULL));
    file = OK(open("words", O_RDWR | O_CREAT, 0600));
    for (unsigned i = 0; i < PAGES; i++) {
        uint64_t word = file_word(i);
        EQ(OK(pwrite(file, &word, 8, i * PAGE)), 8);
        EQ(OK(pwrite(file, &word, 8, (i + 1) * PAGE - 8)), 8);
    }
    arena = MAP(NULL, PAGES * THREADS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    scratch = MAP(NULL, THREADS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    alarm(seconds + TIME_LIMIT);
    end_time = now_ms() + seconds * 1000;
    const char *given = getenv("QUIRE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)now_ns();
    printf("QUIRE_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    EQ(pthread_barrier_init(&all_there, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        owners[i].number = i;
        owners[i].seed = seed + i;
        OK(pipe(owners[i].pipe));
        EQ(pthread_create(&threads[i], NULL, owner_thread, &owners[i]), 0);
    }
    unsigned long done = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        EQ(pthread_join(threads[i], NULL), 0);
        done += owners[i].actions;
    }
    printf("%lu actions\n", done);
}

/* --- truncation against fork and against mappings that are cut and joined --- */

enum { CUT = 64 }; /* pages of the file, each mapped with private copies of both processes */

static volatile int *truncated; /* shared with the children: how often the file was cut */
static volatile int wanted;     /* how often it shall be */

static void *cutter(void *arg)
{
    for (int round = 1; wanted >= 0; round++) {
        while (wanted >= 0 && wanted < round)
            sched_yield();
        if (wanted < 0)
            break;
        OK(ftruncate(file, 0));
        *truncated = round;
    }
    return arg;
}

static void truncation_races_with_fork(void)
{
    pthread_t thread;
    uint64_t seed = (uint64_t)now_ns();
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGBUS, &action, NULL));
    file = OK(open("cut", O_RDWR | O_CREAT, 0600));
    truncated = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *m = MAP(NULL, CUT * PAGE, RW, MAP_PRIVATE, file, 0);
    EQ(pthread_create(&thread, NULL, cutter, NULL), 0);
    end_time = now_ms() + seconds * 1000;
    for (int round = 1; now_ms() < end_time; round++) {
        OK(ftruncate(file, CUT * PAGE));
        for (unsigned i = 0; i < CUT; i++) /* neighbours are mappings of their own */
            OK(madvise(m + i * PAGE, PAGE, i % 2 ? MADV_RANDOM : MADV_NORMAL));
        for (unsigned i = 0; i < CUT; i++)
            m[i * PAGE] = 1;
        wanted = round;
        for (volatile unsigned i = next_random(&seed) % 100000; i > 0; i--)
            ; /* to come in the middle of it */
        bool fork_now = round % 3;
        pid_t child = fork_now ? FORK() : 0;
        if (!fork_now)
            OK(madvise(m, CUT * PAGE, MADV_NORMAL)); /* and now they are one */
        while (*truncated < round)
            sched_yield();
        for (unsigned i = 0; i < CUT; i++) /* in the child as well, whenever it was made */
            must_fault(m + i * PAGE, false, SIGBUS, BUS_ADRERR, child ? "parent" : "child");
        if (fork_now && child == 0)
            _exit(0);
        if (fork_now)
            JOIN(child);
    }
    wanted = -1;
    EQ(pthread_join(thread, NULL), 0);
}

static const struct test tests[] = {
    TEST(faults_race_with_changes),
    TEST(truncation_races_with_fork),
};

int main(int argc, char **argv)
{
    if (argc > 1 && atoi(argv[1]) > 0) {
        seconds = atoi(argv[1]);
        argv[1] = argv[0];
        argc--, argv++;
    }
    return run_tests(argc, argv, tests, COUNT(tests));
}
