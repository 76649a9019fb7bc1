/*
 * Micro-benchmarks in instructions: what the rows share.
 *
 * A row's function performs one run: it prepares, counts a loop of operations, and cleans up. The
 * loop itself is counted with them (two or three instructions a turn). The counter is the hart's
 * instruction counter, read in user mode; it counts whatever the hart runs between two readings,
 * the kernel and other processes included, which is what a row means to show. Under QEMU's -icount
 * it is exact.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct run {
    uint64_t instructions;
    uint64_t operations;
};

struct row {
    const char *name, *what;
    /* One run. 0, or -1 with errno when the system refuses something that the row needs. */
    int (*measure)(struct run *r);
};

/* Ended by a row without a name. */
extern const struct row call_rows[], file_rows[], memory_rows[], process_rows[];

static inline uint64_t counter(void)
{
    uint64_t v;
    __asm__ volatile("rdinstret %0" : "=r"(v)::"memory");
    return v;
}

/* Runs @body @count times and counts it; `i` is the turn. */
#define COUNT(out, count, body)                              \
    do {                                                     \
        const uint64_t count_ = (count), start_ = counter(); \
        for (uint64_t i = 0; i < count_; i++) {              \
            body;                                            \
        }                                                    \
        *(out) = (struct run){counter() - start_, count_};   \
    } while (0)

/* bench.c: this program's file; 0 when the working folder has a tmpfs, else -1 with errno. */
extern char bench_self[];
int need_tmpfs(void);

/* files.c: a cached file of @size bytes in the working folder. A descriptor, or -1 with errno. */
int make_file(const char *name, size_t size);
