/* Bitmaps against an array of bools; the bit functions against the compiler's own. */
#include "test.h"

#include "lib/bitmap.h"

#define MAX_BITS 300

int __ctzdi2(u64 x);
int __clzdi2(u64 x);
int __ffsdi2(u64 x);
int __popcountdi2(u64 x);

static size_t model_find(const bool *model, size_t bits, size_t from, bool value)
{
    for (size_t i = from; i < bits; i++)
        if (model[i] == value)
            return i;
    return bits;
}

static void check_all(const u64 *map, const bool *model, size_t bits)
{
    size_t weight = 0;

    for (size_t i = 0; i < bits; i++) {
        assert_int_equal(bitmap_test(map, i), model[i]);
        weight += model[i];
    }
    assert_int_equal(bitmap_weight(map, bits), weight);
    for (size_t from = 0; from <= bits + 1; from++) {
        assert_int_equal(bitmap_find_set(map, bits, from), model_find(model, bits, from, true));
        assert_int_equal(bitmap_find_clear(map, bits, from), model_find(model, bits, from, false));
    }
}

static void test_model(void **state)
{
    random_start(__func__);
    for (unsigned round = 0; round < 400; round++) {
        size_t bits = 1 + random_below(MAX_BITS);
        unsigned density = random_below(4) * 33;
        /* Exactly as many words as needed, so that the sanitizer sees a step too far; the bits
         * behind the end are noise that must not be found. */
        u64 *map = malloc(BITMAP_WORDS(bits) * sizeof(u64));
        bool model[MAX_BITS];
        random_bytes(map, BITMAP_WORDS(bits) * sizeof(u64));
        for (size_t i = 0; i < bits; i++) {
            model[i] = random_chance(density);
            if (model[i])
                bitmap_set(map, i);
            else
                bitmap_clear(map, i);
        }
        check_all(map, model, bits);
        free(map);
    }
}

static void test_bit_functions(void **state)
{
    random_start(__func__);
    assert_int_equal(__popcountdi2(0), 0);
    assert_int_equal(__ffsdi2(0), 0);
    for (unsigned i = 0; i < 100000; i++) {
        u64 x = i < 64 ? 1UL << i : random_magnitude() | (i & 1);
        assert_int_equal(__popcountdi2(x), __builtin_popcountl(x));
        assert_int_equal(__ffsdi2(x), __builtin_ffsl(x));
        if (x) {
            assert_int_equal(__ctzdi2(x), __builtin_ctzl(x));
            assert_int_equal(__clzdi2(x), __builtin_clzl(x));
        }
    }
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_bit_functions),
    };
    return RUN_TESTS("bitmap", tests);
}
