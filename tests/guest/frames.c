/* Signal frames: other stacks, nesting, leaving by longjmp, faults, registers that survive. */
#include "check.h"

#include <sched.h>

static char other[64 * 1024] __attribute__((aligned(16)));
static volatile sig_atomic_t runs, on_other, state;

static bool here_is_other(void)
{
    char c, *volatile p = &c;
    return p >= other && p < other + sizeof(other);
}

static void look(int sig UNUSED)
{
    stack_t now;
    runs++;
    on_other = here_is_other();
    OK(sigaltstack(NULL, &now));
    state = now.ss_flags;
    if (state == SS_ONSTACK)
        FAILS(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL), EPERM);
}

static void alternate_stack(void)
{
    stack_t mine = {.ss_sp = other, .ss_size = sizeof(other)}, old;
    struct sigaction action = {.sa_handler = look, .sa_flags = SA_ONSTACK};
    OK(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1); /* none is set: the normal one */
    EQ(on_other, 0);
    EQ(state, SS_DISABLE);
    FAILS(sigaltstack(&(stack_t){.ss_sp = other, .ss_size = 512}, NULL), ENOMEM);
    FAILS(sigaltstack(&(stack_t){.ss_sp = other, .ss_size = sizeof(other), .ss_flags = 8}, NULL),
          EINVAL);
    OK(sigaltstack(&mine, &old));
    EQ(old.ss_flags, SS_DISABLE);
    raise(SIGUSR1);
    EQ(on_other, 1);
    EQ(state, SS_ONSTACK);
    action.sa_flags = 0;
    OK(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1);
    EQ(on_other, 0);
    EQ(state, 0);
    EQ(runs, 3);
    pid_t child = FORK();
    if (child == 0) { /* a copy of the parent's */
        OK(sigaltstack(NULL, &old));
        CHECK(old.ss_sp == other && old.ss_size == sizeof(other) && old.ss_flags == 0);
        _exit(0);
    }
    JOIN(child);
}

/* Handlers of different signals nest; a longjmp out of the inner one leaves both. */
static sigjmp_buf out;
static volatile sig_atomic_t depth, deepest;

static void nest(int sig)
{
    depth++;
    if (depth > deepest)
        deepest = depth;
    if (sig < SIGRTMIN + 10)
        raise(sig + 1);
    else if (runs)
        siglongjmp(out, 1);
    depth--;
}

static void nesting(void)
{
    for (int i = 1; i <= 10; i++)
        signal(SIGRTMIN + i, nest);
    raise(SIGRTMIN + 1);
    EQ(depth, 0);
    EQ(deepest, 10);
    for (int i = 0; i < 100; i++) {
        depth = 0;
        runs = 1;
        if (sigsetjmp(out, 1) == 0) {
            raise(SIGRTMIN + 1);
            FAIL("siglongjmp did not leave the handlers");
        }
    }
    EQ(depth, 10);
}

/* Many pending signals: one frame on top of the other, and each is undone. */
static void all_at_once(void)
{
    sigset_t all, none;
    struct sigaction action = {.sa_handler = look};
    sigfillset(&all);
    sigemptyset(&none);
    OK(sigprocmask(SIG_SETMASK, &all, NULL));
    for (int i = SIGRTMIN; i <= SIGRTMAX; i++) {
        OK(sigaction(i, &action, NULL));
        raise(i);
    }
    OK(sigprocmask(SIG_SETMASK, &none, NULL));
    EQ(runs, SIGRTMAX - SIGRTMIN + 1);
}

static void bad_frame_kills(void)
{
    pid_t child = FORK();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        char *hole = ANON(16 * PAGE);
        struct sigaction action = {.sa_handler = look, .sa_flags = SA_ONSTACK};
        OK(sigaltstack(&(stack_t){.ss_sp = hole, .ss_size = 16 * PAGE}, NULL));
        OK(munmap(hole, 16 * PAGE));
        OK(sigaction(SIGUSR1, &action, NULL));
        raise(SIGUSR1);
        _exit(0);
    }
    JOIN_KILLED(child, SIGSEGV);
}

/* A blocked or ignored fault cannot be survived. */
static void faults_cannot_be_ignored(void)
{
    for (int mode = 0; mode < 2; mode++) {
        pid_t child = FORK();
        if (child == 0) {
            struct rlimit no_core = {0, 0};
            sigset_t set;
            setrlimit(RLIMIT_CORE, &no_core);
            sigemptyset(&set);
            sigaddset(&set, SIGSEGV);
            if (mode)
                signal(SIGSEGV, SIG_IGN);
            else
                OK(sigprocmask(SIG_BLOCK, &set, NULL));
            *(volatile int *)MAP(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
            _exit(0);
        }
        JOIN_KILLED(child, SIGSEGV);
    }
}

static struct fault run_instruction(int which)
{
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGILL, &action, NULL));
    OK(sigaction(SIGTRAP, &action, NULL));
    if (sigsetjmp(fault_return, 1) == 0) {
#ifdef __riscv
        if (which)
            __asm__ volatile("ebreak");
        else
            __asm__ volatile(".4byte 0xffffffff");
#else
        if (which)
            raise(SIGTRAP);
        else
            __builtin_trap();
#endif
    }
    return fault_seen;
}

static void illegal_and_breakpoint(void)
{
    struct fault f = run_instruction(0);
    EQ(f.sig, SIGILL);
    CHECK(f.addr != NULL);
    EQ(run_instruction(1).sig, SIGTRAP);
}

/* Floating-point registers: all of them hold values of this process over @loops turns. */
static void __attribute__((noinline)) hold_registers(double seed, long loops)
{
    double v[32], w[32];
    for (int i = 0; i < 32; i++)
        v[i] = seed + i;
#ifdef __riscv
#define EACH(op)                                                                                   \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) \
        op(15) op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) \
            op(28) op(29) op(30) op(31)
#define LOAD(n)  "fld f" #n ", " #n "*8(%1)\n"
#define STORE(n) "fsd f" #n ", " #n "*8(%2)\n"
#define NAME(n)  , "f" #n
    __asm__ volatile(EACH(LOAD) "1: addi %0, %0, -1\n bnez %0, 1b\n" EACH(STORE)
                     : "+&r"(loops)
                     : "r"(v), "r"(w)
                     : "memory" EACH(NAME));
#else
    for (volatile long i = 0; i < loops; i++)
        ;
    memcpy(w, v, sizeof(v));
#endif
    for (int i = 0; i < 32; i++)
        if (v[i] != w[i])
            FAIL("f%d became %f, was %f", i, w[i], v[i]);
}

static void hold_for_ms(double seed, int ms)
{
    for (int64_t end = now_ms() + ms; now_ms() < end; seed += 100)
        hold_registers(seed, 20000);
}

/* The rounding mode, a part of the floating-point state. */
#ifdef __riscv
static void round_to(long mode)
{
    __asm__ volatile("fsrm %0" : : "r"(mode));
}

static bool rounds_to(long mode)
{
    long now;
    __asm__ volatile("frrm %0" : "=r"(now));
    return now == mode;
}
#else
static void round_to(long mode UNUSED)
{
}

static bool rounds_to(long mode UNUSED)
{
    return true;
}
#endif

static void spoil_registers(int sig UNUSED)
{
    runs++;
    round_to(2);
    hold_registers(-1e6 * runs, 10);
}

static void registers_survive_handlers(void)
{
    struct itimerval every = {{0, 2000}, {0, 2000}};
    struct sigaction action = {.sa_handler = spoil_registers, .sa_flags = SA_RESTART};
    OK(sigaction(SIGALRM, &action, NULL));
    round_to(3);
    OK(setitimer(ITIMER_REAL, &every, NULL));
    while (runs < 50) {
        hold_for_ms(1, 20);
        CHECK(rounds_to(3));
    }
}

static void registers_survive_switches(void)
{
    enum { N = 10 };
    pid_t child[N];
    for (int i = 0; i < N; i++) {
        round_to(i % 4);
        if ((child[i] = FORK()) == 0) {
            for (int turn = 0; turn < 10; turn++) {
                hold_for_ms(i * 1000, 20);
                sched_yield();
                CHECK(rounds_to(i % 4)); /* inherited, and kept */
            }
            _exit(0);
        }
    }
    for (int i = 0; i < N; i++)
        JOIN(child[i]);
}

/* Integer registers too: a long computation under a storm of signals gives the same number. */
static uint64_t __attribute__((noinline)) compute(void)
{
    uint64_t s = 1, sum = 0;
    for (int i = 0; i < 3000000; i++)
        sum += next_random(&s) * (sum | 1);
    return sum;
}

static void computing_under_signals(void)
{
    uint64_t wanted = compute();
    struct itimerval every = {{0, 500}, {0, 500}};
    struct sigaction action = {.sa_handler = spoil_registers};
    OK(sigaction(SIGALRM, &action, NULL));
    OK(setitimer(ITIMER_REAL, &every, NULL));
    while (runs < 100)
        CHECK(compute() == wanted);
}

static const struct test tests[] = {
    TEST(alternate_stack),
    TEST(nesting),
    TEST(all_at_once),
    TEST(bad_frame_kills),
    TEST(faults_cannot_be_ignored),
    TEST(illegal_and_breakpoint),
    TEST(registers_survive_handlers),
    TEST(registers_survive_switches),
    TEST(computing_under_signals),
};
MAIN(tests)
