/* Page faults and the calls that change an address space. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE   4096UL
#define PAGES  4096UL /* of the ranges that faults are counted on */
#define CALLS  500    /* of mmap and its like */
#define REGION (64 * 1024UL)

static volatile char *map_anon(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* One entry and one page for each; huge pages would measure something else. */
    madvise(p, size, MADV_NOHUGEPAGE);
    return p;
}

static int unmap(volatile char *p, size_t size)
{
    return munmap((void *)p, size);
}

static void touch(volatile char *p, size_t size)
{
    for (size_t at = 0; at < size; at += PAGE)
        p[at] = 1;
}

static int fault_anon(struct run *r)
{
    volatile char *p = map_anon(PAGES * PAGE);
    if (!p)
        return -1;
    COUNT(r, PAGES, p[i * PAGE] = 1);
    return unmap(p, PAGES * PAGE);
}

static int fault_zero(struct run *r)
{
    volatile char *p = map_anon(PAGES * PAGE);
    if (!p)
        return -1;
    COUNT(r, PAGES, (void)p[i * PAGE]);
    return unmap(p, PAGES * PAGE);
}

static int fault_file(struct run *r)
{
    size_t size = PAGES / 4 * PAGE;
    int fd = make_file("mapped", size);
    if (fd < 0)
        return -1;
    volatile char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    unlink("mapped");
    if (p == MAP_FAILED)
        return -1;
    COUNT(r, PAGES / 4, (void)p[i * PAGE]);
    return unmap(p, size);
}

static int fault_cow(struct run *r)
{
    size_t size = PAGES / 4 * PAGE;
    volatile char *p = map_anon(size);
    if (!p)
        return -1;
    touch(p, size);
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0)
        for (;;)
            pause();
    COUNT(r, PAGES / 4, p[i * PAGE] = 2);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return unmap(p, size);
}

static int map_unmap(struct run *r)
{
    volatile char *p;
    COUNT(
        r, CALLS,
        if (!(p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) ||
            unmap(p, REGION) != 0) break);
    return 0;
}

static int map_touch_unmap(struct run *r)
{
    volatile char *p;
    COUNT(r, CALLS,
          p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          if (p == MAP_FAILED) break; p[0] = 1; unmap(p, REGION));
    return 0;
}

static int protect(struct run *r)
{
    volatile char *p = map_anon(REGION);
    if (!p)
        return -1;
    touch(p, REGION);
    COUNT(r, CALLS, mprotect((void *)p, REGION, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ));
    return unmap(p, REGION);
}

static int grow_shrink(struct run *r)
{
    COUNT(r, CALLS, if (sbrk(PAGE) == (void *)-1) break; sbrk(-(intptr_t)PAGE));
    return 0;
}

static int grow_touch_shrink(struct run *r)
{
    /* Page aligned, so that the page behind it is fresh each time. */
    char *start = sbrk(0);
    if (sbrk((intptr_t)(-(uintptr_t)start % PAGE)) == (void *)-1)
        return -1;
    volatile char *p;
    COUNT(r, CALLS, p = sbrk(PAGE); if (p == (void *)-1) break; *p = 1; sbrk(-(intptr_t)PAGE));
    return 0;
}

const struct row memory_rows[] = {
    {"fault-anon", "first write to a page of anonymous memory", fault_anon},
    {"fault-zero", "first read of a page of anonymous memory", fault_zero},
    {"fault-file", "first read of a page of a mapped, cached file", fault_file},
    {"fault-cow", "first write to a page after fork", fault_cow},
    {"mmap", "mmap and munmap of 64 KiB", map_unmap},
    {"mmap-touch", "the same with one page written", map_touch_unmap},
    {"mprotect", "mprotect of 64 KiB, all pages in use", protect},
    {"brk", "brk up by a page and down again", grow_shrink},
    {"brk-touch", "the same with the page written", grow_touch_shrink},
    {NULL, NULL, NULL},
};
