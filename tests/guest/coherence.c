/*
 * One file seen through every window at once: what one of them has shown, no other may be behind.
 *
 * A writer counts upwards in words of the file, now by write(), now through a mapping. Whoever
 * looks through one window and then through another must not see time run backwards.
 */
#include "check.h"

enum { PAGES = 4, STEPS = 800, LOOKERS = 3, STRIDE = 4000 }; /* words lie on and across pages */

static int file;
static uint64_t *shared;
static volatile bool done;

static uint64_t *word(void *base, int i)
{
    return (uint64_t *)((char *)base + i * STRIDE / 8 * 8);
}
#define WORDS 4

static uint64_t by_read(int i)
{
    uint64_t v = 0;
    EQ(pread(file, &v, 8, (char *)word(shared, i) - (char *)shared), 8);
    return v;
}

static uint64_t by_mapping(int i)
{
    return __atomic_load_n(word(shared, i), __ATOMIC_ACQUIRE);
}

/* A private mapping that nobody wrote to, made for one look. */
static uint64_t by_private(int i)
{
    char *p = MAP(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    uint64_t v = __atomic_load_n(word(p, i), __ATOMIC_ACQUIRE);
    OK(munmap(p, PAGES * PAGE));
    return v;
}

/* As another process sees it that has it open on its own. */
static uint64_t by_another_open(int i)
{
    uint64_t v = 0;
    int fd = OK(open("f", O_RDONLY));
    EQ(pread(fd, &v, 8, (char *)word(shared, i) - (char *)shared), 8);
    close(fd);
    return v;
}

static void look(unsigned seed)
{
    static uint64_t (*const windows[])(int) = {by_read, by_mapping, by_private, by_another_open};
    uint64_t last[WORDS] = {0}, random = seed;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        int i = next_random(&random) % WORDS, w = next_random(&random) % COUNT(windows);
        uint64_t v = windows[w](i);
        if (v < last[i])
            FAIL("window %d shows %ld after %ld", w, (long)v, (long)last[i]);
        last[i] = v;
    }
}

static void *looker(void *arg)
{
    look((unsigned)(uintptr_t)arg);
    return NULL;
}

static void start_file(void)
{
    char zero[PAGE] = {0};
    file = OK(open("f", O_RDWR | O_CREAT, 0600));
    for (int i = 0; i < PAGES; i++)
        EQ(write(file, zero, PAGE), PAGE);
    shared = (uint64_t *)MAP(NULL, PAGES * PAGE, RW, MAP_SHARED, file, 0);
}

static void write_all(void)
{
    uint64_t seed = 1;
    for (uint64_t n = 1; n <= STEPS; n++) {
        int i = next_random(&seed) % WORDS;
        if (next_random(&seed) % 2)
            __atomic_store_n(word(shared, i), n, __ATOMIC_RELEASE);
        else
            EQ(pwrite(file, &n, 8, (char *)word(shared, i) - (char *)shared), 8);
        if (n % 100 == 0)
            OK(msync(shared, PAGES * PAGE, MS_SYNC)); /* clean pages in between */
        if (n % 70 == 0)
            OK(madvise(shared, PAGES * PAGE, MADV_DONTNEED));
    }
}

static void threads(void)
{
    pthread_t t[LOOKERS];
    start_file();
    for (long i = 0; i < LOOKERS; i++)
        EQ(pthread_create(&t[i], NULL, looker, (void *)(i + 7)), 0);
    write_all();
    done = true;
    for (int i = 0; i < LOOKERS; i++)
        EQ(pthread_join(t[i], NULL), 0);
}

static void stop(int sig)
{
    (void)sig;
    done = true;
}

static void processes(void)
{
    pid_t child[LOOKERS];
    start_file();
    signal(SIGTERM, stop);
    for (int i = 0; i < LOOKERS; i++)
        if ((child[i] = FORK()) == 0) {
            look(i + 70);
            _exit(0);
        }
    write_all();
    for (int i = 0; i < LOOKERS; i++) {
        OK(kill(child[i], SIGTERM));
        JOIN(child[i]);
    }
}

/*
 * The file is cut off and grows again: bytes are what was written since, or zero, never what was
 * there before the cut. While it is short, a look through the mapping is SIGBUS.
 */
static void *truncating_looker(void *arg)
{
    uint64_t last = 0;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        struct fault f = touch((char *)shared + 2 * PAGE, false);
        if (f.sig != 0) {
            EQ(f.sig, SIGBUS);
            EQ(f.code, BUS_ADRERR);
        }
        uint64_t v = 0;
        ssize_t n = OK(pread(file, &v, 8, 2 * PAGE));
        CHECK(n == 0 || n == 4 || n == 8); /* 4: while its end is in the word */
        if (v != 0 && v < last)
            FAIL("%ld is back after %ld", (long)v, (long)last);
        last = v ? v : last;
    }
    return arg;
}

static void truncation(void)
{
    pthread_t t;
    start_file();
    EQ(pthread_create(&t, NULL, truncating_looker, NULL), 0);
    for (uint64_t n = 1; n <= 100; n++) {
        OK(ftruncate(file, n % 2 ? PAGE : 2 * PAGE + 4));
        OK(ftruncate(file, PAGES * PAGE));
        EQ(by_mapping(0), 0);
        uint64_t v = *(uint64_t *)((char *)shared + 2 * PAGE);
        CHECK(n % 2 ? v == 0 : v >> 32 == 0); /* half of the word was cut off */
        if (n % 3 == 0)
            *(uint64_t *)((char *)shared + 2 * PAGE) = n;
        else
            EQ(pwrite(file, &n, 8, 2 * PAGE), 8);
    }
    done = true;
    EQ(pthread_join(t, NULL), 0);
}

/* A script that changes between its runs, by write and through a mapping. */
static void programs(void)
{
    static const char text[] = "#!/bin/sh\nexit 00\n";
    int fd = OK(open("script", O_RDWR | O_CREAT, 0755));
    EQ(write(fd, text, sizeof(text) - 1), (int)sizeof(text) - 1);
    close(fd); /* what is open for writing, or mapped so, cannot be run */
    size_t at = strstr(text, "00") - text;
    for (int n = 1; n <= 20; n++) {
        char digits[3];
        sprintf(digits, "%02d", n);
        fd = OK(open("script", O_RDWR));
        if (n % 2) {
            char *m = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
            memcpy(m + at, digits, 2);
            OK(munmap(m, PAGE));
        } else {
            EQ(pwrite(fd, digits, 2, at), 2);
        }
        close(fd);
        pid_t child = FORK();
        if (child == 0) {
            execl("./script", "script", NULL);
            _exit(99);
        }
        JOIN_EXIT(child, n);
    }
}

static const struct test tests[] = {
    TEST(threads),
    TEST(processes),
    TEST(truncation),
    TEST(programs),
};
MAIN(tests)
