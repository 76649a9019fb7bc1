/*
 * What every host test needs: cmocka, a seeded random generator, and a runner that shuffles the
 * order of the tests. The seed is printed; QUIRE_SEED=number repeats a run. A test's random numbers
 * depend on the seed and its name only, not on the order.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/types.h"

/* Starts the random numbers of the test called @name: first statement of each property test. */
void random_start(const char *name);
u64 random_u64(void);
u64 random_below(u64 n); /* 0 .. n - 1 */
bool random_chance(unsigned percent);
/* A number of random size: small ones and those around powers of two are as likely as huge ones. */
u64 random_magnitude(void);
void random_bytes(void *buf, size_t n);

/* Shuffles and runs; the result is the process's exit status. */
int run_shuffled(const char *name, struct CMUnitTest *tests, size_t n);
#define RUN_TESTS(name, tests) run_shuffled(name, tests, ARRAY_SIZE(tests))
