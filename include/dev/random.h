/* The kernel's random generator: getrandom(2), /dev/urandom, AT_RANDOM, hash seeds. dev/random.c.
 */
#pragma once

#include "lib/types.h"

/*
 * Fills @buf with @n unpredictable bytes (predictable ones only before random_ready()).
 * => Any context.
 */
void random_bytes(void *buf, size_t n);
/* True once enough entropy has come in for cryptographic use; never false again. */
bool random_ready(void);
/* Sleeps until random_ready(). Returns 0, -EINTR. => May sleep. */
int random_wait_ready(void);
/* Mixes @n bytes at @data into the pool, credited with @bits of entropy. => Any context. */
void random_add(const void *data, size_t n, unsigned bits);
/* Mixes in the time of an event, such as an interrupt (@source: which one). Cheap. => Any context.
 */
void random_add_event(u32 source);
/* Entropy credited so far, at most 256 bits: /proc/sys/kernel/random/entropy_avail. */
unsigned random_entropy_bits(void);
