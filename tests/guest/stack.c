/* The stack: it grows on demand to its limit, and not a byte further. */
#include "check.h"

#include <sys/auxv.h>

#define FRAME 1024

static int __attribute__((noinline)) descend(long bytes)
{
    volatile char frame[FRAME];
    frame[0] = (char)bytes;
    frame[FRAME - 1] = (char)(bytes >> 8);
    if (bytes < FRAME)
        return frame[0];
    int below = descend(bytes - FRAME);
    return below + (frame[0] == (char)bytes) + (frame[FRAME - 1] == (char)(bytes >> 8));
}

static void recursion_to_7_mib(void)
{
    CHECK(descend(7 * MIB) >= 7 * 1024);
}

/* Beyond the limit: SIGSEGV, SEGV_MAPERR at the address, and nothing else happens. */
static char other_stack[64 * 1024];

static void overflow_handler(int sig, siginfo_t *info, void *context UNUSED)
{
    char *base = other_stack;
    CHECK((char *)&base > other_stack && (char *)&base < other_stack + sizeof(other_stack));
    EQ(sig, SIGSEGV);
    CHECK(info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR);
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    /* The address is at most the limit, and at least most of it, below where main() stood. */
    long depth = (char *)getauxval(AT_RANDOM) - (char *)info->si_addr;
    CHECK(depth > (long)limit.rlim_cur / 10 * 9);
    CHECK(depth < (long)limit.rlim_cur + (long)MIB);
    _exit(42);
}

static void overflow_is_sigsegv(void)
{
    pid_t child = FORK();
    if (child == 0) {
        stack_t alternate = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
        struct sigaction action = {.sa_sigaction = overflow_handler,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK};
        OK(sigaltstack(&alternate, NULL));
        OK(sigaction(SIGSEGV, &action, NULL));
        _exit(descend(1024 * MIB) & 1);
    }
    JOIN_EXIT(child, 42);
    child = FORK();
    if (child == 0) { /* without another stack there is no place for the frame: it dies of it */
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        struct sigaction action = {.sa_sigaction = overflow_handler, .sa_flags = SA_SIGINFO};
        OK(sigaction(SIGSEGV, &action, NULL));
        _exit(descend(1024 * MIB) & 1);
    }
    JOIN_KILLED(child, SIGSEGV);
}

/* RLIMIT_STACK is obeyed as it stands at the time of the fault. */
static void lowered_limit(void)
{
    pid_t child = FORK();
    if (child == 0) {
        struct rlimit limit = {1 * MIB, RLIM_INFINITY};
        struct rlimit no_core = {0, 0};
        getrlimit(RLIMIT_STACK, &limit);
        limit.rlim_cur = 1 * MIB;
        OK(setrlimit(RLIMIT_STACK, &limit));
        setrlimit(RLIMIT_CORE, &no_core);
        if (descend(MIB / 2) < 0)
            _exit(1);
        _exit(descend(2 * MIB) & 1);
    }
    JOIN_KILLED(child, SIGSEGV);
}

/* The stack does not grow into a mapping close below: a gap stays. */
static void guard_gap(void)
{
    pid_t child = FORK();
    if (child == 0) {
        char here;
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        /* 512 KiB below is free: the stack of this test is far from that deep. */
        char *below = (char *)((uintptr_t)&here & ~(PAGE - 1)) - 512 * KIB;
        char *m = mmap(below, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        CHECK(m == below);
        m[PAGE - 1] = 33;
        /* Just above the mapping: inside the gap, no growth. */
        FAULTS(m + PAGE, true, SIGSEGV, SEGV_MAPERR);
        EQ(m[PAGE - 1], 33);
        /* Recursion runs into the gap, not into the mapping. */
        _exit(descend(1 * MIB) & 1);
    }
    JOIN_KILLED(child, SIGSEGV);
}

/* A system call's buffer on a part of the stack never touched grows it as an access would. */
static void __attribute__((noinline)) read_deep(int fd)
{
    volatile char far_frame[1500 * 1024];
    char *low = (char *)far_frame;
    EQ(read(fd, low, 4096 * 3 + 100), 4096 * 3 + 100);
    for (size_t i = 0; i < 4096 * 3 + 100; i++)
        if (low[i] != pattern(i))
            FAIL("byte %zu differs", i);
}

static void system_call_grows_the_stack(void)
{
    int fd = make_file("f", 20000);
    OK(lseek(fd, 0, SEEK_SET));
    read_deep(fd);
}

/* Threads' stacks are plain mappings with a guard page of PROT_NONE. */
static void *overflow_thread(void *arg UNUSED)
{
    return (void *)(long)descend(4 * MIB);
}

static void thread_stack_overflow(void)
{
    pid_t child = FORK();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        pthread_attr_t attr;
        pthread_t thread;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, 256 * KIB);
        EQ(pthread_create(&thread, &attr, overflow_thread, NULL), 0);
        pthread_join(thread, NULL);
        _exit(0);
    }
    JOIN_KILLED(child, SIGSEGV);
}

static const struct test tests[] = {
    TEST(recursion_to_7_mib), TEST(overflow_is_sigsegv),         TEST(lowered_limit),
    TEST(guard_gap),          TEST(system_call_grows_the_stack), TEST(thread_stack_overflow),
};
MAIN(tests)
