/*
 * Accesses that must not succeed: which signal, which si_code, which si_addr; for every kind of
 * access the machine has, and where an access or an instruction lies across the border of two
 * pages.
 */
#include "check.h"

#include <ucontext.h>

/* ---- one access of a kind at an address ---- */

struct access {
    const char *name;
    unsigned size;
    bool writes;
    void (*run)(void *at);
};

#if defined(__riscv)

/* The instructions themselves; @at is in a0, which the compressed ones can name. */
#define INSTRUCTIONS(fn, text)                                                   \
    static void fn(void *at)                                                     \
    {                                                                            \
        register void *a0 __asm__("a0") = at;                                    \
        __asm__ volatile(".option push\n.option arch, +c\n" text "\n.option pop" \
                         : "+r"(a0)::"a1", "a2", "ft0", "memory");               \
    }
INSTRUCTIONS(load_1, "lb a1, 0(a0)")
INSTRUCTIONS(load_1u, "lbu a1, 0(a0)")
INSTRUCTIONS(load_2, "lh a1, 0(a0)")
INSTRUCTIONS(load_2u, "lhu a1, 0(a0)")
INSTRUCTIONS(load_4, "lw a1, 0(a0)")
INSTRUCTIONS(load_4u, "lwu a1, 0(a0)")
INSTRUCTIONS(load_8, "ld a1, 0(a0)")
INSTRUCTIONS(load_4c, "c.lw a1, 0(a0)")
INSTRUCTIONS(load_8c, "c.ld a1, 0(a0)")
INSTRUCTIONS(load_4f, "flw ft0, 0(a0)")
INSTRUCTIONS(load_8f, "fld ft0, 0(a0)")
INSTRUCTIONS(store_1, "sb zero, 0(a0)")
INSTRUCTIONS(store_2, "sh zero, 0(a0)")
INSTRUCTIONS(store_4, "sw zero, 0(a0)")
INSTRUCTIONS(store_8, "sd zero, 0(a0)")
INSTRUCTIONS(store_4c, "li a1, 0\nc.sw a1, 0(a0)")
INSTRUCTIONS(store_8c, "li a1, 0\nc.sd a1, 0(a0)")
INSTRUCTIONS(store_4f, "fsw ft0, 0(a0)")
INSTRUCTIONS(store_8f, "fsd ft0, 0(a0)")
INSTRUCTIONS(amo_add_4, "amoadd.w a1, zero, (a0)")
INSTRUCTIONS(amo_add_8, "amoadd.d a1, zero, (a0)")
INSTRUCTIONS(amo_swap_4, "amoswap.w.aqrl a1, zero, (a0)")
INSTRUCTIONS(amo_swap_8, "amoswap.d.aqrl a1, zero, (a0)")
INSTRUCTIONS(amo_or_4, "amoor.w a1, zero, (a0)")
INSTRUCTIONS(amo_max_8, "amomaxu.d a1, zero, (a0)")
INSTRUCTIONS(reserve_4, "lr.w a1, (a0)")
INSTRUCTIONS(reserve_8, "lr.d a1, (a0)")
/* A store-conditional needs the reservation: where even that fails, it is what faults. */
INSTRUCTIONS(conditional_4, "lr.w a1, (a0)\nsc.w a2, a1, (a0)")
INSTRUCTIONS(conditional_8, "lr.d a1, (a0)\nsc.d a2, a1, (a0)")

static const struct access accesses[] = {
    {"lb", 1, false, load_1},           {"lbu", 1, false, load_1u},
    {"lh", 2, false, load_2},           {"lhu", 2, false, load_2u},
    {"lw", 4, false, load_4},           {"lwu", 4, false, load_4u},
    {"ld", 8, false, load_8},           {"c.lw", 4, false, load_4c},
    {"c.ld", 8, false, load_8c},        {"flw", 4, false, load_4f},
    {"fld", 8, false, load_8f},         {"sb", 1, true, store_1},
    {"sh", 2, true, store_2},           {"sw", 4, true, store_4},
    {"sd", 8, true, store_8},           {"c.sw", 4, true, store_4c},
    {"c.sd", 8, true, store_8c},        {"fsw", 4, true, store_4f},
    {"fsd", 8, true, store_8f},         {"amoadd.w", 4, true, amo_add_4},
    {"amoadd.d", 8, true, amo_add_8},   {"amoswap.w", 4, true, amo_swap_4},
    {"amoswap.d", 8, true, amo_swap_8}, {"amoor.w", 4, true, amo_or_4},
    {"amomaxu.d", 8, true, amo_max_8},  {"lr.w", 4, false, reserve_4},
    {"lr.d", 8, false, reserve_8},      {"sc.w", 4, true, conditional_4},
    {"sc.d", 8, true, conditional_8},
};
/* Those that the machine takes at any address, the others only at multiples of their size. */
static const struct access any_address[] = {
    {"lh", 2, false, load_2},    {"lhu", 2, false, load_2u}, {"lw", 4, false, load_4},
    {"ld", 8, false, load_8},    {"flw", 4, false, load_4f}, {"fld", 8, false, load_8f},
    {"c.ld", 8, false, load_8c}, {"sh", 2, true, store_2},   {"sw", 4, true, store_4},
    {"sd", 8, true, store_8},    {"fsw", 4, true, store_4f}, {"fsd", 8, true, store_8f},
    {"c.sd", 8, true, store_8c},
};

/* Code that ends at a border: its length in bytes and the instructions. */
static const uint16_t compressed_return[] = {0x8082};                  /* c.jr ra */
static const uint16_t compressed_nop[] = {0x0001};                     /* c.nop */
static const uint16_t load_42_and_return[] = {0x0513, 0x02a0, 0x8082}; /* li a0, 42 (4); c.jr ra */
static const uint16_t long_nop[] = {0x0013, 0x0000};                   /* nop (4) */

#else

/* Elsewhere the same sizes in C: the loads, the stores, and an atomic operation of each. */
#define C_ACCESSES(type, suffix)                             \
    static void load_##suffix(void *at)                      \
    {                                                        \
        (void)*(volatile type *)at;                          \
    }                                                        \
    static void store_##suffix(void *at)                     \
    {                                                        \
        *(volatile type *)at = 0;                            \
    }                                                        \
    static void atomic_##suffix(void *at)                    \
    {                                                        \
        __atomic_fetch_add((type *)at, 0, __ATOMIC_SEQ_CST); \
    }
C_ACCESSES(uint8_t, 1)
C_ACCESSES(uint16_t, 2)
C_ACCESSES(uint32_t, 4)
C_ACCESSES(uint64_t, 8)

static const struct access accesses[] = {
    {"load 1", 1, false, load_1},    {"load 2", 2, false, load_2},
    {"load 4", 4, false, load_4},    {"load 8", 8, false, load_8},
    {"store 1", 1, true, store_1},   {"store 2", 2, true, store_2},
    {"store 4", 4, true, store_4},   {"store 8", 8, true, store_8},
    {"atomic 1", 1, true, atomic_1}, {"atomic 2", 2, true, atomic_2},
    {"atomic 4", 4, true, atomic_4}, {"atomic 8", 8, true, atomic_8},
};
static const struct access any_address[] = {
    {"load 2", 2, false, load_2},  {"load 4", 4, false, load_4},  {"load 8", 8, false, load_8},
    {"store 2", 2, true, store_2}, {"store 4", 4, true, store_4}, {"store 8", 8, true, store_8},
};

#endif

/* ---- what came of it ---- */

static void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGSEGV, &action, NULL));
    OK(sigaction(SIGBUS, &action, NULL));
}

static struct fault attempt(void (*run)(void *), void *at)
{
    fault_seen = (struct fault){0, 0, NULL};
    if (sigsetjmp(fault_return, 1) == 0)
        run(at);
    return fault_seen;
}

/* The access to @at must end in @sig (0: succeed) with @code and the address @where. */
static void expect(const struct access *a, void *at, int sig, int code, void *where,
                   const char *what)
{
    struct fault f = attempt(a->run, at);
    if (f.sig != sig || (sig && (f.code != code || f.addr != where)))
        FAIL("%s, %s at %p: signal %d code %d address %p, not signal %d code %d address %p", what,
             a->name, at, f.sig, f.code, f.addr, sig, code, where);
}

static void jump(void *to)
{
    ((void (*)(void))to)();
}
static const struct access fetch = {"fetch", 2, false, jump};

/* ---- every kind of access to every kind of wrong page ---- */

/* A file of one page, mapped as three: what lies behind its end exists for nobody. */
static char *beyond_the_end(int flags)
{
    int fd = make_file("short", PAGE);
    char *m = MAP(NULL, 3 * PAGE, RW | PROT_EXEC, flags, fd, 0);
    close(fd);
    unlink("short");
    return m + PAGE;
}

static void every_access(void)
{
    catch_faults();
    char *shared = beyond_the_end(MAP_SHARED), *private = beyond_the_end(MAP_PRIVATE);
    char *m = ANON(4 * PAGE);
    OK(munmap(m, PAGE));
    OK(mprotect(m + PAGE, PAGE, PROT_NONE));
    OK(mprotect(m + 2 * PAGE, PAGE, PROT_READ));
    for (unsigned i = 0; i < COUNT(accesses); i++) {
        const struct access *a = &accesses[i];
        for (unsigned at = 0; at + a->size <= PAGE; at += PAGE / 2 - 8) {
            expect(a, m + at, SIGSEGV, SEGV_MAPERR, m + at, "unmapped");
            char *p = m + PAGE + at;
            expect(a, p, SIGSEGV, SEGV_ACCERR, p, "PROT_NONE");
            p += PAGE;
            expect(a, p, a->writes ? SIGSEGV : 0, SEGV_ACCERR, p, "PROT_READ, fresh");
            expect(a, p, a->writes ? SIGSEGV : 0, SEGV_ACCERR, p, "PROT_READ");
            p += PAGE;
            OK(madvise(m + 3 * PAGE, PAGE, MADV_DONTNEED));
            expect(a, p, 0, 0, NULL, "fresh memory");
            expect(a, p, 0, 0, NULL, "memory");
            expect(a, shared + at, SIGBUS, BUS_ADRERR, shared + at, "behind a shared file");
            expect(a, private + at, SIGBUS, BUS_ADRERR, private + at, "behind a private file");
        }
    }
}

/* Present for reading (page of zeroes, page of a file, shared with a child): a write of each kind
 * finds its way. */
static void every_write_to_what_was_read(void)
{
    catch_faults();
    int fd = make_file("file", 3 * PAGE);
    volatile char *anon = ANON(PAGE);
    volatile char *shared = MAP(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    volatile char *private = MAP(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    for (unsigned i = 0; i < COUNT(accesses); i++) {
        OK(madvise((void *)anon, PAGE, MADV_DONTNEED));
        OK(madvise((void *)shared, PAGE, MADV_DONTNEED));
        OK(madvise((void *)private, PAGE, MADV_DONTNEED));
        EQ(anon[8], 0);
        (void)shared[8];
        (void)private[8];
        expect(&accesses[i], (void *)(anon + 8), 0, 0, NULL, "page of zeroes");
        expect(&accesses[i], (void *)(shared + 8), 0, 0, NULL, "shared file");
        expect(&accesses[i], (void *)(private + 8), 0, 0, NULL, "private file");
        pid_t child = FORK();
        if (child == 0) {
            expect(&accesses[i], (void *)(anon + 8), 0, 0, NULL, "in the child");
            _exit(0);
        }
        JOIN(child);
        expect(&accesses[i], (void *)(anon + 8), 0, 0, NULL, "in the parent");
    }
}

/* Where PROT_WRITE is all there is, memory can be read as well, before the first write too. */
static void write_implies_read(void)
{
    char *m = MAP(NULL, 2 * PAGE, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    READABLE(m);
    WRITABLE(m);
    pid_t child = FORK();
    if (child == 0) {
        READABLE(m);
        READABLE(m + PAGE);
        _exit(0);
    }
    JOIN(child);
    OK(mprotect(m, PAGE, PROT_READ));
    OK(mprotect(m, PAGE, PROT_WRITE));
    READABLE(m);
}

/* ---- across the border of two pages ---- */

/* @m has two pages, the second of which refuses with @sig and @code: the address is the second
 * page's, whichever part of the access lies there. */
static void across(char *m, int sig, int code, bool readable, const char *what)
{
    for (unsigned i = 0; i < COUNT(any_address); i++) {
        const struct access *a = &any_address[i];
        for (unsigned part = 1; part < a->size; part++)
            if (a->writes || !readable)
                expect(a, m + PAGE - part, sig, code, m + PAGE, what);
            else
                expect(a, m + PAGE - part, 0, 0, NULL, what);
    }
}

static void second_page_missing(void)
{
    catch_faults();
    char *m = ANON(3 * PAGE);
    OK(munmap(m + PAGE, PAGE));
    across(m, SIGSEGV, SEGV_MAPERR, false, "second page unmapped");
    m = ANON(2 * PAGE);
    OK(mprotect(m + PAGE, PAGE, PROT_NONE));
    across(m, SIGSEGV, SEGV_ACCERR, false, "second page PROT_NONE");
    OK(mprotect(m + PAGE, PAGE, PROT_READ));
    across(m, SIGSEGV, SEGV_ACCERR, true, "second page PROT_READ");
    across(beyond_the_end(MAP_SHARED) - PAGE, SIGBUS, BUS_ADRERR, false, "second page of no file");
}

/* The address is where the access begins. */
static void first_page_missing(void)
{
    catch_faults();
    char *m = ANON(3 * PAGE);
    OK(munmap(m + PAGE, PAGE));
    for (unsigned i = 0; i < COUNT(any_address); i++) {
        const struct access *a = &any_address[i];
        for (unsigned part = 1; part < a->size; part++) {
            char *p = m + 2 * PAGE - part;
            expect(a, p, SIGSEGV, SEGV_MAPERR, p, "first page unmapped");
        }
    }
}

/* Both pages have to be brought in for one access. */
static void both_pages_on_demand(void)
{
    catch_faults();
    char *m = ANON(2 * PAGE);
    for (unsigned i = 0; i < COUNT(any_address); i++) {
        const struct access *a = &any_address[i];
        for (unsigned part = 1; part < a->size; part++) {
            OK(madvise(m, 2 * PAGE, MADV_DONTNEED));
            expect(a, m + PAGE - part, 0, 0, NULL, "both fresh");
        }
    }
    OK(madvise(m, 2 * PAGE, MADV_DONTNEED));
    volatile uint64_t *word = (uint64_t *)(m + PAGE - 3);
    EQ(*word, 0);
    *word = 0x1122334455667788;
    EQ(*word, 0x1122334455667788);
    EQ((unsigned char)m[PAGE - 1], 0x66);
    EQ((unsigned char)m[PAGE], 0x55);
}

/* ---- a handler that mends the page: the access is made again, once ---- */

static char *mended;
static volatile int mendings;
static void mend(int sig UNUSED, siginfo_t *info, void *context UNUSED)
{
    CHECK((char *)info->si_addr >= mended && (char *)info->si_addr < mended + 2 * PAGE);
    mendings++;
    OK(mprotect((char *)((uintptr_t)info->si_addr & -PAGE), PAGE, RW));
}

static void mended_and_repeated(void)
{
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGSEGV, &action, NULL));
    mended = ANON(2 * PAGE);
    memset(mended, 0x11, 2 * PAGE);
    OK(mprotect(mended, 2 * PAGE, PROT_NONE));
    EQ(*(volatile uint64_t *)(mended + PAGE - 4), 0x1111111111111111);
    EQ(mendings, 2);
    OK(mprotect(mended, 2 * PAGE, PROT_READ));
    *(volatile uint64_t *)(mended + PAGE - 4) = 0x2222222222222222;
    EQ(mendings, 4);
    EQ(*(uint32_t *)(mended + PAGE - 4), 0x22222222);
    EQ(*(uint32_t *)(mended + PAGE), 0x22222222);
    OK(mprotect(mended, PAGE, PROT_READ));
    EQ(__atomic_fetch_add((uint64_t *)mended, 1, __ATOMIC_SEQ_CST), 0x1111111111111111);
    EQ(*(uint64_t *)mended, 0x1111111111111112);
    EQ(mendings, 5);
}

/* ---- wild pointers ---- */

static const char text_constant[64] = "in .rodata";
static int initialised = 42;

static void wild_pointers(void)
{
    catch_faults();
    for (unsigned i = 0; i < COUNT(accesses); i++) {
        const struct access *a = &accesses[i];
        expect(a, NULL, SIGSEGV, SEGV_MAPERR, NULL, "NULL");
        expect(a, (void *)8, SIGSEGV, SEGV_MAPERR, (void *)8, "a field of NULL");
        char *far = (char *)((uintptr_t)&i & ~63UL) - 256 * MIB;
        expect(a, far, SIGSEGV, SEGV_MAPERR, far, "far below the stack");
#if defined(__riscv)
        /* Where the kernel lives, and where no address is one. */
        static const uintptr_t nowhere[] = {0xffffffc080200000, 0xffffffff80000000,
                                            0xfffffffffffff000, 0x0000004000000000,
                                            0x8000000000000000, 0x0123456789abcde0};
        for (unsigned j = 0; j < COUNT(nowhere); j++)
            expect(a, (void *)nowhere[j], SIGSEGV, SEGV_MAPERR, (void *)nowhere[j], "no user's");
#endif
    }
}

static void writes_to_text(void)
{
    catch_faults();
    for (unsigned i = 0; i < COUNT(accesses); i++) {
        const struct access *a = &accesses[i];
        void *text = (void *)((uintptr_t)writes_to_text & ~7UL);
        void *constant = (void *)(((uintptr_t)text_constant + 7) & ~7UL);
        expect(a, text, a->writes ? SIGSEGV : 0, SEGV_ACCERR, text, "program text");
        expect(a, constant, a->writes ? SIGSEGV : 0, SEGV_ACCERR, constant, "constant");
    }
}

static void jumps(void)
{
    catch_faults();
    long on_the_stack = 0;
    char *fresh = ANON(PAGE), *end = beyond_the_end(MAP_PRIVATE);
    void *heap = malloc(100);
    char *m = ANON(2 * PAGE);
    OK(munmap(m + PAGE, PAGE));
    OK(mprotect(m, PAGE, PROT_NONE));
    expect(&fetch, NULL, SIGSEGV, SEGV_MAPERR, NULL, "jump to NULL");
    expect(&fetch, m + PAGE, SIGSEGV, SEGV_MAPERR, m + PAGE, "jump to nothing");
    expect(&fetch, m, SIGSEGV, SEGV_ACCERR, m, "jump to PROT_NONE");
    expect(&fetch, &initialised, SIGSEGV, SEGV_ACCERR, &initialised, "jump into .data");
    expect(&fetch, &on_the_stack, SIGSEGV, SEGV_ACCERR, &on_the_stack, "jump into the stack");
    expect(&fetch, heap, SIGSEGV, SEGV_ACCERR, heap, "jump into the heap");
    expect(&fetch, fresh, SIGSEGV, SEGV_ACCERR, fresh, "jump into fresh memory");
    expect(&fetch, end, SIGBUS, BUS_ADRERR, end, "jump behind a file");
#if defined(__riscv)
    void *kernel = (void *)0xffffffff80200000;
    expect(&fetch, kernel, SIGSEGV, SEGV_MAPERR, kernel, "jump into the kernel");
#endif
}

/* ---- instructions at the end of a page ---- */

#if defined(__riscv)

static uintptr_t fault_pc;
static void note_pc(int sig, siginfo_t *info, void *context)
{
    fault_pc = ((ucontext_t *)context)->uc_mcontext.__gregs[REG_PC];
    fault_handler(sig, info, context);
}

/* Puts @code so that @inside bytes of it lie in the first page of @m, which is executable. */
static char *place(char *m, const uint16_t *code, size_t size, size_t inside)
{
    OK(mprotect(m, PAGE, RW));
    memcpy(m + PAGE - inside, code, size < inside ? size : inside);
    OK(mprotect(m, PAGE, PROT_READ | PROT_EXEC));
    __builtin___clear_cache(m, m + PAGE);
    return m + PAGE - inside;
}

static void fetch_faults(char *m, const uint16_t *code, size_t size, size_t inside, int sig,
                         int error, bool starts_there, const char *what)
{
    char *at = place(m, code, size, inside);
    expect(&fetch, at, sig, error, m + PAGE, what);
    EQ(fault_pc, (uintptr_t)(starts_there ? m + PAGE : at));
}

/* A second page that refuses: the address is the second page, the program counter where the
 * instruction begins. */
static void fetch_across(char *m, int sig, int code)
{
    char *at = place(m, compressed_return, 2, 2);
    expect(&fetch, at, 0, 0, NULL, "compressed instruction at the end");
    fetch_faults(m, load_42_and_return, 6, 2, sig, code, false, "instruction cut in two");
    fetch_faults(m, compressed_nop, 2, 2, sig, code, true, "after a compressed one");
    fetch_faults(m, long_nop, 4, 4, sig, code, true, "after a long one");
}

static void fetch_across_pages(void)
{
    struct sigaction action = {.sa_sigaction = note_pc, .sa_flags = SA_SIGINFO};
    OK(sigaction(SIGSEGV, &action, NULL));
    OK(sigaction(SIGBUS, &action, NULL));
    char *m = ANON(3 * PAGE);
    OK(mprotect(m + PAGE, PAGE, PROT_NONE));
    fetch_across(m, SIGSEGV, SEGV_ACCERR);
    OK(mprotect(m + PAGE, PAGE, RW));
    fetch_across(m, SIGSEGV, SEGV_ACCERR);
    OK(munmap(m + PAGE, PAGE));
    fetch_across(m, SIGSEGV, SEGV_MAPERR);
    fetch_across(beyond_the_end(MAP_PRIVATE) - PAGE, SIGBUS, BUS_ADRERR);
}

/* An instruction of which each half has to be brought in from the file. */
static void fetch_both_on_demand(void)
{
    static const unsigned starts[] = {2, 4, 6};
    for (unsigned i = 0; i < COUNT(starts); i++) {
        int fd = make_file("code", 2 * PAGE);
        EQ(OK(pwrite(fd, load_42_and_return, 6, PAGE - starts[i])), 6);
        char *m = MAP(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        __builtin___clear_cache(m, m + 2 * PAGE);
        for (int round = 0; round < 3; round++) {
            EQ(((long (*)(void))(m + PAGE - starts[i]))(), 42);
            OK(madvise(m + (round & 1) * PAGE, PAGE, MADV_DONTNEED));
        }
        OK(munmap(m, 2 * PAGE));
        close(fd);
    }
}

/* Execute-only memory runs and cannot be read. */
static void execute_only(void)
{
    catch_faults();
    char *m = ANON(PAGE);
    memcpy(m, load_42_and_return, 6);
    OK(mprotect(m, PAGE, PROT_EXEC));
    __builtin___clear_cache(m, m + PAGE);
    EQ(((long (*)(void))m)(), 42);
    for (unsigned i = 0; i < COUNT(accesses); i++)
        expect(&accesses[i], m + 8, SIGSEGV, SEGV_ACCERR, m + 8, "execute-only");
    EQ(((long (*)(void))m)(), 42);
}

/* A reservation is for one place. */
static void store_conditional_to_another_page(void)
{
    catch_faults();
    char *m = ANON(2 * PAGE);
    long failed;
    m[0] = m[PAGE] = 1;
    __asm__ volatile("lr.d a1, (%1)\n sc.d %0, a1, (%2)"
                     : "=&r"(failed)
                     : "r"(m), "r"(m + PAGE)
                     : "a1", "memory");
    CHECK(failed != 0);
    EQ(m[PAGE], 1);
}

/* Code that changes, as a compiler at run time makes it. */
static void rewritten_code(void)
{
    enum { FLUSH_ICACHE = 259 };
    char *m = MAP(NULL, PAGE, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int value = 0; value < 30; value++) {
        uint16_t code[] = {0x4501 | value << 2, 0x8082}; /* c.li a0, value; ret */
        memcpy(m, code, sizeof(code));
        OK(syscall(FLUSH_ICACHE, m, m + sizeof(code), value & 1));
        EQ(((int (*)(void))m)(), value);
    }
    FAILS(syscall(FLUSH_ICACHE, m, m + PAGE, 2), EINVAL);
}

#endif

static const struct test tests[] = {
    TEST(every_access),        TEST(every_write_to_what_was_read),
    TEST(write_implies_read),  TEST(second_page_missing),
    TEST(first_page_missing),  TEST(both_pages_on_demand),
    TEST(mended_and_repeated), TEST(wild_pointers),
    TEST(writes_to_text),      TEST(jumps),
#if defined(__riscv)
    TEST(fetch_across_pages),  TEST(fetch_both_on_demand),
    TEST(execute_only),        TEST(store_conditional_to_another_page),
    TEST(rewritten_code),
#endif
};

MAIN(tests)
