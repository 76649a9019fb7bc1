/* Bitmaps as arrays of 64-bit words; bit 0 of word 0 first. No atomicity. */
#pragma once

#include "lib/types.h"

#define BITMAP_WORDS(bits) DIV_UP((bits), 64)

static inline void bitmap_set(u64 *map, size_t bit)
{
    map[bit / 64] |= 1UL << (bit % 64);
}

static inline void bitmap_clear(u64 *map, size_t bit)
{
    map[bit / 64] &= ~(1UL << (bit % 64));
}

static inline bool bitmap_test(const u64 *map, size_t bit)
{
    return map[bit / 64] >> (bit % 64) & 1;
}

/* First clear (or set) bit in [from, bits); @bits when there is none. */
size_t bitmap_find_clear(const u64 *map, size_t bits, size_t from);
size_t bitmap_find_set(const u64 *map, size_t bits, size_t from);

/* Number of set bits below @bits. */
size_t bitmap_weight(const u64 *map, size_t bits);
