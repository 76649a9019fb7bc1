/*
 * Memory and string functions.
 *
 * The memory functions work on aligned 64-bit words, eight to a round. When source and destination
 * are not aligned alike, copying still loads and stores aligned words and shifts the source into
 * place: misaligned accesses may trap to the firmware on real machines. That reads whole aligned
 * words around the source's ends; such a word never crosses a page, so it cannot fault.
 *
 * Little-endian only, as the machine is.
 */
#include "lib/string.h"

#include <linux/errno.h>

#define WORD_SIZE sizeof(u64)

/* A word that may alias anything. */
typedef u64 __attribute__((may_alias)) word;
typedef u32 __attribute__((may_alias)) half;

/* Eight words each way. All loads come before all stores, so an overlap with dst < src is fine. */
static __always_inline void copy_block(word *d, const word *s)
{
    u64 a = s[0], b = s[1], c = s[2], e = s[3];
    u64 f = s[4], g = s[5], h = s[6], i = s[7];

    d[0] = a;
    d[1] = b;
    d[2] = c;
    d[3] = e;
    d[4] = f;
    d[5] = g;
    d[6] = h;
    d[7] = i;
}

static __always_inline void zero_block(word *d, u64 v)
{
    d[0] = v;
    d[1] = v;
    d[2] = v;
    d[3] = v;
    d[4] = v;
    d[5] = v;
    d[6] = v;
    d[7] = v;
}

static inline bool same_alignment(const void *a, const void *b)
{
    return (((uintptr_t)a ^ (uintptr_t)b) & (WORD_SIZE - 1)) == 0;
}

/*
 * Copies @n bytes, a multiple of the word size, to the aligned @dst from the misaligned @src.
 * Each source word is loaded once and joined with its successor.
 */
__attribute__((no_sanitize_address)) static void copy_shifted(u8 *dst, const u8 *src, size_t n)
{
    unsigned right = (uintptr_t)src % WORD_SIZE * 8, left = 64 - right;
    const word *s = (const word *)((uintptr_t)src - right / 8);
    word *d = (word *)dst, *end = (word *)(dst + n);
    u64 low = *s++;

    while (d < end) {
        u64 high = *s++;
        *d++ = low >> right | high << left;
        low = high;
    }
}

/* Copies upwards; right also for overlaps with dst < src. */
static __always_inline void copy_up(void *dst, const void *src, size_t n)
{
    u8 *d = dst;
    const u8 *s = src;

    if (n >= 2 * WORD_SIZE) {
        for (; (uintptr_t)d % WORD_SIZE; n--)
            *d++ = *s++;
        if (same_alignment(d, s)) {
            for (; n >= 8 * WORD_SIZE; n -= 8 * WORD_SIZE) {
                copy_block((word *)d, (const word *)s);
                d += 8 * WORD_SIZE;
                s += 8 * WORD_SIZE;
            }
            for (; n >= WORD_SIZE; n -= WORD_SIZE) {
                *(word *)d = *(const word *)s;
                d += WORD_SIZE;
                s += WORD_SIZE;
            }
        } else {
            size_t words = ALIGN_DOWN(n, WORD_SIZE);
            copy_shifted(d, s, words);
            d += words;
            s += words;
            n -= words;
        }
    } else if (n >= WORD_SIZE && ((uintptr_t)d | (uintptr_t)s) % WORD_SIZE == 0) {
        *(word *)d = *(const word *)s;
        d += WORD_SIZE;
        s += WORD_SIZE;
        n -= WORD_SIZE;
    }
    while (n--)
        *d++ = *s++;
}

/* Copies downwards, for overlaps with dst > src. */
static void copy_down(void *dst, const void *src, size_t n)
{
    u8 *d = (u8 *)dst + n;
    const u8 *s = (const u8 *)src + n;

    if (same_alignment(d, s)) {
        for (; n && (uintptr_t)d % WORD_SIZE; n--)
            *--d = *--s;
        for (; n >= WORD_SIZE; n -= WORD_SIZE) {
            d -= WORD_SIZE;
            s -= WORD_SIZE;
            *(word *)d = *(const word *)s;
        }
    }
    while (n--)
        *--d = *--s;
}

void *memcpy(void *dst, const void *src, size_t n)
{
    copy_up(dst, src, n);
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    if ((uintptr_t)dst - (uintptr_t)src < n)
        copy_down(dst, src, n);
    else
        copy_up(dst, src, n);
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    u8 *d = dst;

    if (n >= 2 * WORD_SIZE) {
        u64 v = (u8)c * 0x0101010101010101UL;
        for (; (uintptr_t)d % WORD_SIZE; n--)
            *d++ = c;
        for (; n >= 8 * WORD_SIZE; n -= 8 * WORD_SIZE) {
            zero_block((word *)d, v);
            d += 8 * WORD_SIZE;
        }
        for (; n >= WORD_SIZE; n -= WORD_SIZE) {
            *(word *)d = v;
            d += WORD_SIZE;
        }
    }
    while (n--)
        *d++ = c;
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *p = a, *q = b;

    if (same_alignment(p, q)) {
        for (; n && (uintptr_t)p % WORD_SIZE; n--, p++, q++)
            if (*p != *q)
                return *p - *q;
        for (; n >= WORD_SIZE && *(const word *)p == *(const word *)q; n -= WORD_SIZE) {
            p += WORD_SIZE;
            q += WORD_SIZE;
        }
    }
    for (; n; n--, p++, q++)
        if (*p != *q)
            return *p - *q;
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    for (const u8 *p = s; n; n--, p++)
        if (*p == (u8)c)
            return (void *)p;
    return NULL;
}

size_t strlen(const char *s)
{
    const char *p = s;

    while (*p)
        p++;
    return p - s;
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (u8)*a - (u8)*b;
    return 0;
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++)
        if (!*s)
            return NULL;
    return (char *)s;
}

char *strrchr(const char *s, int c)
{
    const char *last = NULL;

    do {
        if (*s == (char)c)
            last = s;
    } while (*s++);
    return (char *)last;
}

char *strstr(const char *haystack, const char *needle)
{
    size_t n = strlen(needle);

    if (n == 0)
        return (char *)haystack;
    for (; (haystack = strchr(haystack, *needle)); haystack++)
        if (strncmp(haystack, needle, n) == 0)
            return (char *)haystack;
    return NULL;
}

size_t str_copy(char *dst, const char *src, size_t size)
{
    size_t len = strlen(src);

    if (size) {
        size_t n = MIN(len, size - 1);
        copy_up(dst, src, n);
        dst[n] = '\0';
    }
    return len;
}

bool str_starts(const char *s, const char *prefix)
{
    while (*prefix)
        if (*s++ != *prefix++)
            return false;
    return true;
}

/* The value of a digit in bases up to 36; 36 for anything else. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 10;
    return 36;
}

int str_to_u64(const char *s, unsigned base, u64 *out, const char **end)
{
    bool hex_prefix = s[0] == '0' && (s[1] | 0x20) == 'x' && digit_value(s[2]) < 16;
    bool overflow = false, any = false;
    u64 value = 0;
    unsigned digit;

    if (hex_prefix && (base == 0 || base == 16)) {
        base = 16;
        s += 2;
    } else if (base == 0) {
        base = *s == '0' ? 8 : 10;
    }
    for (; (digit = digit_value(*s)) < base; s++) {
        any = true;
        overflow |= __builtin_mul_overflow(value, (u64)base, &value);
        overflow |= __builtin_add_overflow(value, (u64)digit, &value);
    }
    if (end)
        *end = s;
    if (!any)
        return -EINVAL;
    if (overflow)
        return -ERANGE;
    *out = value;
    return 0;
}

void page_zero(void *page)
{
    word *d = page, *end = d + PAGE_SIZE / WORD_SIZE;

    for (; d < end; d += 64) {
        zero_block(d, 0);
        zero_block(d + 8, 0);
        zero_block(d + 16, 0);
        zero_block(d + 24, 0);
        zero_block(d + 32, 0);
        zero_block(d + 40, 0);
        zero_block(d + 48, 0);
        zero_block(d + 56, 0);
    }
}

void page_copy(void *dst, const void *src)
{
    word *d = dst, *end = d + PAGE_SIZE / WORD_SIZE;

    for (const word *s = src; d < end; d += 32, s += 32) {
        copy_block(d, s);
        copy_block(d + 8, s + 8);
        copy_block(d + 16, s + 16);
        copy_block(d + 24, s + 24);
    }
}

/* Eight bytes at any alignment, first byte lowest. */
static inline u64 load_word(const u8 *p)
{
    u64 v = 0;

    if ((uintptr_t)p % WORD_SIZE == 0)
        return *(const word *)p;
    if ((uintptr_t)p % sizeof(half) == 0)
        return *(const half *)p | (u64) * (const half *)(p + 4) << 32;
    for (unsigned i = 0; i < WORD_SIZE; i++)
        v |= (u64)p[i] << 8 * i;
    return v;
}

/*
 * One multiplication per eight bytes. Both halves of the 128-bit product are used: low bits of the
 * result depend on all bits of the input, and tables index by the low bits.
 */
static inline u64 hash_step(u64 h, u64 v)
{
    unsigned __int128 product = (unsigned __int128)(h ^ v) * 0x9e3779b97f4a7c15UL;

    return (u64)product ^ (u64)(product >> 64);
}

u64 hash_bytes(const void *data, size_t n, u64 seed)
{
    const u8 *p = data;
    u64 h = seed ^ n * 0xff51afd7ed558ccdUL, tail = 0;

    for (; n >= WORD_SIZE; n -= WORD_SIZE, p += WORD_SIZE)
        h = hash_step(h, load_word(p));
    for (unsigned i = 0; i < n; i++)
        tail |= (u64)p[i] << 8 * i;
    return hash_u64(hash_step(h, tail));
}
