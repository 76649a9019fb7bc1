#include "test.h"

#include <time.h>

static u64 seed, state;

static u64 splitmix(u64 *s)
{
    u64 z = (*s += 0x9e3779b97f4a7c15UL);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
    return z ^ z >> 31;
}

void random_start(const char *name)
{
    state = seed;
    for (; *name; name++)
        state = state * 31 + (u8)*name;
}

u64 random_u64(void)
{
    return splitmix(&state);
}

u64 random_below(u64 n)
{
    return random_u64() % n;
}

bool random_chance(unsigned percent)
{
    return random_below(100) < percent;
}

u64 random_magnitude(void)
{
    u64 v = random_u64() >> random_below(64);

    return random_chance(30) ? (1UL << random_below(64)) + random_below(3) - 1 : v;
}

void random_bytes(void *buf, size_t n)
{
    for (u8 *p = buf; n; n--)
        *p++ = random_u64();
}

int run_shuffled(const char *name, struct CMUnitTest *tests, size_t n)
{
    const char *given = getenv("QUIRE_SEED");

    seed = given ? strtoull(given, NULL, 0) : (u64)time(NULL) * 1000003 % 1000000007;
    printf("%s: QUIRE_SEED=%lu\n", name, seed);
    fflush(stdout);
    random_start(name);
    for (size_t i = n; i > 1; i--) {
        size_t j = random_below(i);
        struct CMUnitTest t = tests[i - 1];
        tests[i - 1] = tests[j];
        tests[j] = t;
    }
    return _cmocka_run_group_tests(name, tests, n, NULL, NULL) ? 1 : 0;
}
