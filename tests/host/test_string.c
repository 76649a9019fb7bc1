/*
 * Memory and string functions against the C library and plain loops. Buffers end (or begin) right
 * at an unmapped page, so that an access too far faults.
 */
#include "test.h"

#include <errno.h>
#include <sys/mman.h>

#include "lib/string.h"

void *quire_memcpy(void *dst, const void *src, size_t n);
void *quire_memmove(void *dst, const void *src, size_t n);
void *quire_memset(void *dst, int c, size_t n);
int quire_memcmp(const void *a, const void *b, size_t n);
void *quire_memchr(const void *s, int c, size_t n);
size_t quire_strlen(const char *s);
size_t quire_strnlen(const char *s, size_t max);
int quire_strcmp(const char *a, const char *b);
int quire_strncmp(const char *a, const char *b, size_t n);
char *quire_strchr(const char *s, int c);
char *quire_strrchr(const char *s, int c);
char *quire_strstr(const char *haystack, const char *needle);

#define AREA (2 * PAGE_SIZE)

/* AREA accessible bytes between two pages that are not. */
static u8 *guarded(void)
{
    u8 *p = mmap(NULL, AREA + 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + PAGE_SIZE, AREA, PROT_READ | PROT_WRITE), 0);
    return p + PAGE_SIZE;
}

static u8 *area_a, *area_b, *area_model;

/* A place for @n bytes with the given alignment, at the start or the end of an area. */
static u8 *place(u8 *area, size_t n, unsigned align, bool at_end)
{
    return at_end ? area + AREA - n - (8 - align) % 8 : area + align;
}

static void check_copy(size_t n, unsigned dst_align, unsigned src_align, bool at_end)
{
    u8 *dst = place(area_a, n, dst_align, at_end), *src = place(area_b, n, src_align, !at_end);

    memcpy(area_model, area_a, AREA);
    memcpy(area_model + (dst - area_a), src, n);
    assert_ptr_equal(quire_memcpy(dst, src, n), dst);
    assert_memory_equal(area_a, area_model, AREA);
}

static void test_memcpy(void **state)
{
    random_start(__func__);
    random_bytes(area_b, AREA);
    for (unsigned d = 0; d < 8; d++)
        for (unsigned s = 0; s < 8; s++) {
            for (size_t n = 0; n < 200; n++)
                check_copy(n, d, s, n % 2);
            for (unsigned i = 0; i < 20; i++)
                check_copy(random_below(AREA - 16), d, s, i % 2);
        }
}

static void test_memmove(void **state)
{
    random_start(__func__);
    for (unsigned i = 0; i < 40000; i++) {
        size_t n = random_chance(90) ? random_below(200) : random_below(AREA);
        size_t src = random_below(AREA - n + 1);
        /* Mostly overlapping: a short distance away, in either direction. */
        size_t dst = src + random_below(100) - 50;
        if (dst > AREA - n)
            dst = random_below(AREA - n + 1);
        random_bytes(area_a + src, n);
        memcpy(area_model, area_a, AREA);
        memmove(area_model + dst, area_model + src, n);
        assert_ptr_equal(quire_memmove(area_a + dst, area_a + src, n), area_a + dst);
        assert_memory_equal(area_a, area_model, AREA);
    }
}

static void test_memset(void **state)
{
    random_start(__func__);
    for (unsigned align = 0; align < 8; align++)
        for (size_t n = 0; n < 300; n++) {
            u8 *dst = place(area_a, n, align, n % 2);
            int c = random_u64();
            memcpy(area_model, area_a, AREA);
            memset(area_model + (dst - area_a), c, n);
            assert_ptr_equal(quire_memset(dst, c, n), dst);
            assert_memory_equal(area_a, area_model, AREA);
        }
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

static void test_memcmp_memchr(void **state)
{
    random_start(__func__);
    for (unsigned i = 0; i < 60000; i++) {
        size_t n = random_below(70);
        u8 *a = place(area_a, n, random_below(8), random_chance(50));
        u8 *b = place(area_b, n, random_below(8), random_chance(50));
        random_bytes(a, n);
        memcpy(b, a, n);
        for (unsigned changes = random_below(3); n && changes; changes--)
            b[random_below(n)] = random_u64();
        assert_int_equal(sign(quire_memcmp(a, b, n)), sign(memcmp(a, b, n)));
        int c = n && random_chance(70) ? a[random_below(n)] | 0x100 : (int)random_below(256);
        assert_ptr_equal(quire_memchr(a, c, n), memchr(a, c, n));
    }
}

/* A string of @n letters out of few, ending right at the unmapped page. */
static char *random_string(u8 *area, size_t n)
{
    char *s = (char *)area + AREA - n - 1;

    for (size_t i = 0; i < n; i++)
        s[i] = random_chance(95) ? "ab"[random_below(2)] : (char)(0x80 + random_below(128));
    s[n] = '\0';
    return s;
}

static void test_strings(void **state)
{
    random_start(__func__);
    for (unsigned i = 0; i < 60000; i++) {
        char *a = random_string(area_a, random_below(24)),
             *b = random_string(area_b, random_below(6));
        size_t n = random_below(30);
        int c = random_chance(20) ? 0 : random_chance(80) ? 'a' : 'x';
        assert_int_equal(quire_strlen(a), strlen(a));
        assert_int_equal(quire_strnlen(a, n), strnlen(a, n));
        assert_int_equal(sign(quire_strcmp(a, b)), sign(strcmp(a, b)));
        assert_int_equal(sign(quire_strncmp(a, b, n)), sign(strncmp(a, b, n)));
        assert_int_equal(quire_strcmp(a, a), 0);
        assert_ptr_equal(quire_strchr(a, c), strchr(a, c));
        assert_ptr_equal(quire_strrchr(a, c), strrchr(a, c));
        assert_ptr_equal(quire_strstr(a, b), strstr(a, b));
        assert_int_equal(str_starts(a, b), strncmp(a, b, strlen(b)) == 0);
    }
}

static void test_str_copy(void **state)
{
    random_start(__func__);
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = random_below(24), size = random_below(30);
        char *src = random_string(area_b, len);
        memset(area_model, 0x5a, AREA);
        memset(area_a, 0x5a, AREA);
        char *dst = (char *)area_a + AREA - size;
        assert_int_equal(str_copy(dst, src, size), len);
        if (size) {
            size_t kept = MIN(len, size - 1);
            memcpy(area_model + AREA - size, src, kept);
            area_model[AREA - size + kept] = 0;
        }
        assert_memory_equal(area_a, area_model, AREA);
    }
}

static void check_number(const char *s, unsigned base, int result, u64 value, size_t used)
{
    u64 out = 0x1234;
    const char *end = NULL;

    assert_int_equal(str_to_u64(s, base, &out, &end), result);
    assert_int_equal(out, result ? 0x1234 : value);
    assert_int_equal(end - s, used);
    assert_int_equal(str_to_u64(s, base, &out, NULL), result);
}

static void test_numbers(void **state)
{
    check_number("0", 0, 0, 0, 1);
    check_number("0x1fG", 0, 0, 0x1f, 4);
    check_number("0X1F", 16, 0, 0x1f, 4);
    check_number("1F ", 16, 0, 0x1f, 2);
    check_number("0x", 0, 0, 0, 1);
    check_number("0xg", 16, 0, 0, 1);
    check_number("0x10", 10, 0, 0, 1);
    check_number("0779", 0, 0, 077, 3);
    check_number("12a", 0, 0, 12, 2);
    check_number("", 0, -EINVAL, 0, 0);
    check_number("-1", 10, -EINVAL, 0, 0);
    check_number(" 1", 10, -EINVAL, 0, 0);
    check_number("9", 8, -EINVAL, 0, 0);
    check_number("zZ", 36, 0, 35 * 36 + 35, 2);
    check_number("18446744073709551615", 10, 0, ~0UL, 20);
    check_number("18446744073709551616", 10, -ERANGE, 0, 20);
    check_number("99999999999999999999999", 10, -ERANGE, 0, 23);
    check_number("0xffffffffffffffff", 0, 0, ~0UL, 18);
    check_number("0x10000000000000000;", 0, -ERANGE, 0, 19);

    random_start(__func__);
    for (unsigned i = 0; i < 20000; i++) {
        static const char *const formats[] = {"%lu", "0x%lx", "0%lo"};
        char text[40];
        u64 v = random_magnitude();
        int n = snprintf(text, sizeof(text), formats[i % 3], v);
        check_number(text, 0, 0, v, n);
    }
}

static void test_pages(void **state)
{
    random_start(__func__);
    random_bytes(area_a, AREA);
    random_bytes(area_b, AREA);
    memcpy(area_model, area_a, AREA);
    memcpy(area_model + PAGE_SIZE, area_b, PAGE_SIZE);
    page_copy(area_a + PAGE_SIZE, area_b);
    assert_memory_equal(area_a, area_model, AREA);
    memset(area_model, 0, PAGE_SIZE);
    page_zero(area_a);
    assert_memory_equal(area_a, area_model, AREA);
}

/* The hash depends on every bit, the length and the seed, not on the alignment, and spreads. */
static void test_hash(void **state)
{
    unsigned buckets[256] = {};

    random_start(__func__);
    for (size_t n = 0; n < 40; n++) {
        u8 data[48];
        random_bytes(data, sizeof(data));
        u64 h = hash_bytes(data, n, 1);
        for (unsigned align = 0; align < 8; align++) {
            memcpy(area_a + align, data, n);
            assert_int_equal(hash_bytes(area_a + align, n, 1), h);
        }
        assert_int_not_equal(hash_bytes(data, n, 2), h);
        assert_int_not_equal(hash_bytes(data, n + 1, 1), h);
        for (unsigned bit = 0; bit < n * 8; bit++) {
            data[bit / 8] ^= 1 << bit % 8;
            assert_int_not_equal(hash_bytes(data, n, 1), h);
            data[bit / 8] ^= 1 << bit % 8;
        }
    }
    for (unsigned i = 0; i < 256 * 64; i++) {
        char name[16];
        int n = snprintf(name, sizeof(name), "file%u", i);
        buckets[hash_bytes(name, n, 0) % 256]++;
    }
    for (unsigned i = 0; i < 256; i++)
        assert_in_range(buckets[i], 64 - 48, 64 + 48); /* six standard deviations */
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memcpy),  cmocka_unit_test(test_memmove),
        cmocka_unit_test(test_memset),  cmocka_unit_test(test_memcmp_memchr),
        cmocka_unit_test(test_strings), cmocka_unit_test(test_str_copy),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_pages),
        cmocka_unit_test(test_hash),
    };
    area_a = guarded();
    area_b = guarded();
    area_model = guarded();
    return RUN_TESTS("string", tests);
}
