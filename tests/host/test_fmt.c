/*
 * Formatting against the C library's printf: random combinations of flags, width, precision,
 * length and conversion, and all buffer sizes. (%p of NULL and %s of NULL differ by design.)
 */
#include "test.h"

#include <limits.h>

#include "lib/fmt.h"

int quire_snprintf(char *buf, size_t size, const char *fmt, ...);

/* Both write into buffers of @size bytes and must agree on everything. */
#define CHECK_SIZE(size_, ...)                                                                   \
    do {                                                                                         \
        char want_[512], got_[512];                                                              \
        memset(want_, '#', sizeof(want_));                                                       \
        memset(got_, '#', sizeof(got_));                                                         \
        size_t n_ = (size_);                                                                     \
        int want_n_ = snprintf(want_, n_, __VA_ARGS__);                                          \
        int got_n_ = quire_snprintf(got_, n_, __VA_ARGS__);                                      \
        if (want_n_ != got_n_ || memcmp(want_, got_, sizeof(want_)) != 0)                        \
            print_error("format \"%s\": expected \"%.60s\", got \"%.60s\"\n", fmt, want_, got_); \
        assert_int_equal(got_n_, want_n_);                                                       \
        assert_memory_equal(got_, want_, sizeof(want_));                                         \
    } while (0)

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-truncation"

static size_t random_size(void)
{
    return random_chance(60) ? 512 : random_below(40);
}

/* "%", flags, width and precision; what * takes is put into @stars. */
static char *random_spec(char *p, int *stars, unsigned *nr_stars)
{
    *nr_stars = 0;
    *p++ = '%';
    for (unsigned n = random_below(4); n; n--)
        *p++ = "-+ #0"[random_below(5)];
    if (random_chance(20)) {
        *p++ = '*';
        stars[(*nr_stars)++] = (int)random_below(60) - 30;
    } else if (random_chance(50)) {
        p += sprintf(p, "%d", 1 + (int)random_below(50));
    }
    if (random_chance(15)) {
        p += sprintf(p, ".*");
        stars[(*nr_stars)++] = (int)random_below(40) - 8;
    } else if (random_chance(35)) {
        *p++ = '.';
        if (random_chance(80))
            p += sprintf(p, "%d", (int)random_below(35));
    }
    return p;
}

#define CHECK_STARS(fmt, value)                               \
    do {                                                      \
        size_t size = random_size();                          \
        if (nr_stars == 0)                                    \
            CHECK_SIZE(size, fmt, value);                     \
        else if (nr_stars == 1)                               \
            CHECK_SIZE(size, fmt, stars[0], value);           \
        else                                                  \
            CHECK_SIZE(size, fmt, stars[0], stars[1], value); \
    } while (0)

static void test_integers(void **state)
{
    static const char *const lengths[] = {"hh", "h", "", "l", "ll", "z", "j", "t"};

    random_start(__func__);
    for (unsigned i = 0; i < 200000; i++) {
        char fmt[64], *p = fmt;
        int stars[2];
        unsigned nr_stars, length = random_below(ARRAY_SIZE(lengths));
        p += sprintf(p, "a%%%%");
        p = random_spec(p, stars, &nr_stars);
        p += sprintf(p, "%s%cz", lengths[length], "diuxXo"[random_below(6)]);
        u64 v = random_magnitude();
        if (random_chance(30))
            v = -v;
        if (random_chance(5))
            v = 0;
        if (length < 3)
            CHECK_STARS(fmt, (unsigned)v);
        else
            CHECK_STARS(fmt, v);
    }
}

static void test_strings(void **state)
{
    random_start(__func__);
    for (unsigned i = 0; i < 50000; i++) {
        char fmt[64], text[80], *p;
        int stars[2];
        unsigned nr_stars;
        size_t n = random_below(sizeof(text));
        for (size_t k = 0; k < n; k++)
            text[k] = ' ' + random_below(90);
        text[n] = '\0';
        p = random_spec(fmt, stars, &nr_stars);
        sprintf(p, "s|%%s");
        if (nr_stars == 0)
            CHECK_SIZE(random_size(), fmt, text, "end");
        else if (nr_stars == 1)
            CHECK_SIZE(random_size(), fmt, stars[0], text, "end");
        else
            CHECK_SIZE(random_size(), fmt, stars[0], stars[1], text, "end");
    }
}

static void test_chars_pointers(void **state)
{
    random_start(__func__);
    for (unsigned i = 0; i < 20000; i++) {
        char fmt[64];
        int width = (int)random_below(40) - 20, c = random_below(256);
        void *pointer = (void *)(random_magnitude() | 1);
        sprintf(fmt, "[%%%dc][%%%dp][%%c]", width ? width : 1, width ? width : 1);
        CHECK_SIZE(random_size(), fmt, c, pointer, 0);
    }
}

static void test_fixed(void **state)
{
    char buf[64], fmt[] = "";
    int length;

    CHECK_SIZE(64, "%d %d %ld %ld", INT_MIN, INT_MAX, LONG_MIN, LONG_MAX);
    CHECK_SIZE(64, "%u %lu %lx %lo", UINT_MAX, ULONG_MAX, ULONG_MAX, ULONG_MAX);
    CHECK_SIZE(64, "%.0d|%.0x|%#.0o|%#x|%#o|%+.0d", 0, 0, 0, 0, 0, 0);
    CHECK_SIZE(64, "100%%");
    CHECK_SIZE(64, "plain");
    CHECK_SIZE(64, "%s", "");
    CHECK_SIZE(0, "%d", 12345);
    CHECK_SIZE(1, "%d", 12345);
    CHECK_SIZE(5, "%d", 12345);
    CHECK_SIZE(6, "%d", 12345);
    assert_int_equal(quire_snprintf(NULL, 0, "%08lx", 1UL), 8);

    /* A precision bounds what is read: the text need not end. */
    char *open = malloc(3);
    memcpy(open, "abc", 3);
    length = quire_snprintf(buf, sizeof(buf), "<%.3s>", open);
    free(open);
    assert_int_equal(length, 5);
    assert_string_equal(buf, "<abc>");

    quire_snprintf(buf, sizeof(buf), "%s|%.2s|%p", NULL, NULL, NULL);
    assert_string_equal(buf, "(null)|(n|0x0");
    /* Unknown conversions stand as they are; a format that ends early is no overrun. */
    quire_snprintf(buf, sizeof(buf), "%-5y %d", 7);
    assert_string_equal(buf, "%-5y 7");
    quire_snprintf(buf, sizeof(buf), "50%");
    assert_string_equal(buf, "50%");
    quire_snprintf(buf, sizeof(buf), "%l");
    assert_string_equal(buf, "%l");
    length = quire_snprintf(buf, sizeof(buf), "%*d", INT_MIN, 5);
    assert_true(length >= 999999999 && buf[0] == '5' && buf[1] == ' ' && buf[63] == '\0');
}

/* The sink sees all bytes in order, and the total is right. */
static char sunk[256];
static size_t sunk_n;

static void sink(void *arg, const char *s, size_t n)
{
    assert_ptr_equal(arg, sunk);
    assert_true(n > 0);
    memcpy(sunk + sunk_n, s, n);
    sunk_n += n;
}

static int to_sink(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = fmt_vformat(sink, sunk, fmt, ap);
    va_end(ap);
    return n;
}

static void test_sink(void **state)
{
    sunk_n = 0;
    int n = to_sink("<%40s|%-20d|%020x>", "right", -5, 0xabcu);
    assert_int_equal(n, sunk_n);
    sunk[sunk_n] = '\0';
    assert_string_equal(sunk, "<                                   right|-5                  |"
                              "00000000000000000abc>");
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),       cmocka_unit_test(test_strings),
        cmocka_unit_test(test_chars_pointers), cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_sink),
    };
    return RUN_TESTS("fmt", tests);
}
