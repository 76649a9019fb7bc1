/*
 * What the compiler calls for __builtin_ctzl(), __builtin_clzl(), __builtin_ffsl() and
 * __builtin_popcountl() (and their int forms) where the machine has no instruction for them. The
 * kernel links no compiler support library; these are the only functions of one that it needs.
 */
#include "lib/types.h"

int __ctzdi2(u64 x);
int __clzdi2(u64 x);
int __ffsdi2(u64 x);
int __popcountdi2(u64 x);

/*
 * A de Bruijn sequence: all 64 six-bit windows of the constant differ, so the top six bits of its
 * product with a power of two tell which power it was.
 */
#define DE_BRUIJN 0x03f79d71b4cb0a89UL

static const u8 de_bruijn_index[64] = {
    0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,  62, 55, 59, 36, 53, 51,
    43, 22, 45, 39, 33, 30, 24, 18, 12, 5,  63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21,
    44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
};

int __ctzdi2(u64 x)
{
    return de_bruijn_index[(x & -x) * DE_BRUIJN >> 58];
}

int __clzdi2(u64 x)
{
    int n = 0;

    for (int step = 32; step; step >>= 1) {
        if (x >> (64 - step) == 0) {
            x <<= step;
            n += step;
        }
    }
    return n;
}

int __ffsdi2(u64 x)
{
    return x ? __ctzdi2(x) + 1 : 0;
}

int __popcountdi2(u64 x)
{
    x -= x >> 1 & 0x5555555555555555UL;
    x = (x & 0x3333333333333333UL) + (x >> 2 & 0x3333333333333333UL);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fUL;
    return x * 0x0101010101010101UL >> 56;
}
