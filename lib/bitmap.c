/* Bitmaps: searching a word at a time. */
#include "lib/bitmap.h"

/* First bit in [from, bits) of the map with each word xor @flip that is set. */
static size_t find(const u64 *map, size_t bits, size_t from, u64 flip)
{
    if (from >= bits)
        return bits;
    size_t word = from / 64;
    u64 w = (map[word] ^ flip) & ~0UL << from % 64;
    while (w == 0) {
        if (++word >= BITMAP_WORDS(bits))
            return bits;
        w = map[word] ^ flip;
    }
    size_t bit = word * 64 + __builtin_ctzl(w);
    return MIN(bit, bits);
}

size_t bitmap_find_clear(const u64 *map, size_t bits, size_t from)
{
    return find(map, bits, from, ~0UL);
}

size_t bitmap_find_set(const u64 *map, size_t bits, size_t from)
{
    return find(map, bits, from, 0);
}

size_t bitmap_weight(const u64 *map, size_t bits)
{
    size_t weight = 0;

    for (size_t i = 0; i < bits / 64; i++)
        weight += __builtin_popcountl(map[i]);
    if (bits % 64)
        weight += __builtin_popcountl(map[bits / 64] & ~(~0UL << bits % 64));
    return weight;
}
