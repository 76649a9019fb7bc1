/*
 * A large sparse array: 64 MiB, of which every 16th page gets an entry, in no order; then all
 * entries and as many empty places are read, four times.
 */
#include <stdint.h>
#include <stdlib.h>

#define PAGE   4096
#define PAGES  16384
#define STEP   16
#define ROUNDS 4

/* All multiples of STEP below PAGES, each once: the factor is odd. */
static size_t place(uint32_t i)
{
    return i * 387 % (PAGES / STEP) * STEP;
}

int main(void)
{
    unsigned found = 0;
    volatile char *array = calloc(PAGES, PAGE);
    if (!array)
        return 1;
    for (uint32_t i = 0; i < PAGES / STEP; i++)
        array[place(i) * PAGE] = 1;
    for (uint32_t i = 0; i < ROUNDS * (PAGES / STEP); i++)
        found += array[place(i) * PAGE] + array[(place(i) + 1) * PAGE];
    return found == ROUNDS * (PAGES / STEP) ? 0 : 1;
}
