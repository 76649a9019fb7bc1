/* The usual memory and string functions, with the C standard's meaning. */
#pragma once

#include "lib/types.h"

#ifdef QUIRE_HOST
#include <string.h>
#else
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *haystack, const char *needle);
#endif

/*
 * Copies at most @size - 1 bytes and always terminates (when @size > 0).
 * Returns the length of @src; a result >= @size means that it was cut.
 */
size_t str_copy(char *dst, const char *src, size_t size);

/* True when @s begins with @prefix. */
bool str_starts(const char *s, const char *prefix);

/*
 * Parses an unsigned number in @base (0: by its 0x/0 prefix). *@end, when given, is set behind it.
 * Returns 0, -EINVAL when there is no digit, -ERANGE on overflow.
 */
int str_to_u64(const char *s, unsigned base, u64 *out, const char **end);

/* Zeroes or copies one whole page (4096 bytes, both aligned), unrolled. */
void page_zero(void *page);
void page_copy(void *dst, const void *src);

/* 64-bit mixing hash of a byte string, for hash tables. */
u64 hash_bytes(const void *data, size_t n, u64 seed);

static inline u64 hash_u64(u64 x)
{
    x ^= x >> 32;
    x *= 0x9e3779b97f4a7c15UL;
    return x ^ x >> 29;
}
