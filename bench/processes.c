/* Processes: switching between them, making and ending them. */
#define _GNU_SOURCE
#include "bench.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE   4096UL
#define RING   8
#define ROUNDS 200

static void end_child(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* Passes bytes on from one descriptor to the other until the input ends. */
static void relay(int from, int to)
{
    char byte;
    while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1)
        ;
    _exit(0);
}

/* @hops pipes in a circle, a relaying process between each two; the caller closes the circle. */
static int circle(struct run *r, unsigned hops)
{
    int fds[RING][2];
    pid_t child[RING];
    char byte = 'x';
    for (unsigned i = 0; i < hops; i++)
        if (pipe(fds[i]) != 0)
            return -1;
    for (unsigned i = 0; i + 1 < hops; i++) {
        child[i] = fork();
        if (child[i] < 0)
            return -1;
        if (child[i] == 0)
            relay(fds[i][0], fds[i + 1][1]);
    }
    COUNT(r, ROUNDS,
          if (write(fds[0][1], &byte, 1) != 1 || read(fds[hops - 1][0], &byte, 1) != 1) break);
    for (unsigned i = 0; i + 1 < hops; i++)
        end_child(child[i]);
    for (unsigned i = 0; i < hops; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    return 0;
}

static int pipe_pair(struct run *r)
{
    return circle(r, 2);
}

static int switch_ring(struct run *r)
{
    int result = circle(r, RING);
    r->operations *= RING;
    return result;
}

/* Two processes that do nothing but yield; each counts its turns. */
static int switch_yield(struct run *r)
{
    volatile uint64_t *turns =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (turns == MAP_FAILED)
        return -1;
    *turns = 0;
    pid_t child = fork();
    if (child < 0)
        return -1;
    for (; child == 0; sched_yield())
        ++*turns;
    while (*turns < 2)
        sched_yield();
    uint64_t before = *turns;
    COUNT(r, 1000, sched_yield());
    r->operations += *turns - before;
    end_child(child);
    return munmap((void *)turns, PAGE);
}

static int fork_touched(struct run *r, size_t size, unsigned count)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -1;
    madvise(p, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += PAGE)
        p[at] = 1;
    pid_t child = 0;
    COUNT(r, count, child = fork(); if (child == 0) _exit(0); if (child < 0) break;
          waitpid(child, NULL, 0));
    int error = errno;
    munmap(p, size);
    errno = error;
    return child < 0 ? -1 : 0;
}

static int fork_1m(struct run *r)
{
    return fork_touched(r, 1UL << 20, 20);
}

static int fork_64m(struct run *r)
{
    return fork_touched(r, 64UL << 20, 2);
}

static int fork_256m(struct run *r)
{
    return fork_touched(r, 256UL << 20, 2);
}

/*
 * The smallest program: header, one segment, three instructions. It shows what exec costs without
 * the C library's start-up.
 */
struct tiny {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    uint32_t code[3];
};
#define TINY_BASE 0x10000
static const struct tiny tiny = {
    .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
               .e_type = ET_EXEC,
               .e_machine = EM_RISCV,
               .e_version = EV_CURRENT,
               .e_entry = TINY_BASE + offsetof(struct tiny, code),
               .e_phoff = offsetof(struct tiny, segment),
               .e_ehsize = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 1},
    .segment = {.p_type = PT_LOAD,
                .p_flags = PF_R | PF_X,
                .p_vaddr = TINY_BASE,
                .p_paddr = TINY_BASE,
                .p_filesz = sizeof(struct tiny),
                .p_memsz = sizeof(struct tiny),
                .p_align = PAGE},
    .code = {0x00000513 /* li a0, 0 */, 0x05d00893 /* li a7, 93 (exit) */, 0x00000073 /* ecall */},
};

static int make_tiny(void)
{
    int fd = open("tiny", O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, &tiny, sizeof(tiny));
    close(fd);
    return n == sizeof(tiny) ? 0 : -1;
}

static char *const no_environment[] = {NULL};

static pid_t fork_and_exec(const char *path)
{
    char *const argv[] = {(char *)path, (char *)"--exit", NULL};
    pid_t child = fork();
    if (child == 0) {
        execve(path, argv, no_environment);
        _exit(127);
    }
    return child;
}

/* Never inlined: the child shares this frame, so it must be no other function's. */
static __attribute__((noinline)) pid_t vfork_and_exec(const char *path)
{
    char *const argv[] = {(char *)path, (char *)"--exit", NULL};
    pid_t child = vfork();
    if (child == 0) {
        execve(path, argv, no_environment);
        _exit(127);
    }
    return child;
}

/* Starts @path and waits for it, several times; it must end well. */
static int start_and_wait(struct run *r, const char *path, pid_t (*start)(const char *path))
{
    int result = 0, status;
    COUNT(r, 10, pid_t child = start(path);
          if (child < 0 || waitpid(child, &status, 0) != child || status != 0) result = -1);
    if (result)
        errno = ENOEXEC;
    return result;
}

static int start_tiny(struct run *r, pid_t (*start)(const char *path))
{
    if (make_tiny() != 0)
        return -1;
    int result = start_and_wait(r, "./tiny", start);
    int error = errno;
    unlink("tiny");
    errno = error;
    return result;
}

static int fork_exec(struct run *r)
{
    return start_and_wait(r, bench_self, fork_and_exec);
}

static int fork_exec_tiny(struct run *r)
{
    return start_tiny(r, fork_and_exec);
}

static int vfork_exec(struct run *r)
{
    return start_and_wait(r, bench_self, vfork_and_exec);
}

static int vfork_exec_tiny(struct run *r)
{
    return start_tiny(r, vfork_and_exec);
}

const struct row process_rows[] = {
    {"pipe-pair", "1 byte to another process and back", pipe_pair},
    {"switch-ring", "1 byte on to the next of 8 processes", switch_ring},
    {"switch-yield", "sched_yield of two processes", switch_yield},
    {"fork-1m", "fork, exit, wait with 1 MiB touched", fork_1m},
    {"fork-64m", "fork, exit, wait with 64 MiB touched", fork_64m},
    {"fork-256m", "fork, exit, wait with 256 MiB touched", fork_256m},
    {"fork-exec", "fork, exec of this static program, exit, wait", fork_exec},
    {"fork-exec-tiny", "fork, exec of three instructions, exit, wait", fork_exec_tiny},
    {"vfork-exec", "vfork, exec of this static program, exit, wait", vfork_exec},
    {"vfork-exec-tiny", "vfork, exec of three instructions, exit, wait", vfork_exec_tiny},
    {NULL, NULL, NULL},
};
