#include "base/random.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void every_byte_of_every_size_is_filled_and_none_behind(void **state)
{
    for (size_t size = 0; size <= 600; size++) {
        unsigned char seen[600] = {0};
        unsigned char *out = malloc(size != 0 ? size : 1); /* to the byte: the sanitizer sees one too many */
        /* A byte stays zero in 16 tries with a chance of 2^-128. */
        for (int i = 0; i < 16; i++) {
            random_bytes(out, size);
            for (size_t at = 0; at < size; at++)
                seen[at] |= out[at];
        }
        for (size_t at = 0; at < size; at++)
            assert_true(seen[at] != 0);
        free(out);
    }
}

static void values_are_within_the_bound_and_even(void **state)
{
    size_t counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t value = random_below(7);
        assert_true(value < 7);
        counts[value]++;
    }
    /* 10,000 each; the deviation is 93, so that 7 of it come once in 10^11 runs. */
    for (int i = 0; i < 7; i++)
        assert_true(counts[i] > 9350 && counts[i] < 10650);
}

/* Of three quarters of all values: folding the last quarter onto the first would give that one half of the draws. */
static void a_bound_that_does_not_divide_the_range_favours_no_value(void **state)
{
    const uint64_t quarter = (uint64_t)1 << 62;
    size_t low = 0;
    for (int i = 0; i < 30000; i++)
        low += random_below(3 * quarter) < quarter;
    assert_true(low > 9400 && low < 10600); /* 7 deviations of 82 */
}

static void extreme_bounds_are_kept(void **state)
{
    for (int i = 0; i < 1000; i++) {
        assert_true(random_below(1) == 0);
        assert_true(random_below(UINT64_MAX) != UINT64_MAX);
        assert_true(random_below(((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
    }
}

#define THREADS 4
#define EACH 20000

static void *draw(void *out)
{
    for (size_t i = 0; i < EACH; i++)
        random_bytes((uint64_t *)out + i, sizeof(uint64_t));
    return NULL;
}

static void no_thread_gets_what_another_or_it_itself_got(void **state)
{
    static uint64_t drawn[THREADS * EACH];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, draw, drawn + i * EACH), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(drawn, THREADS * EACH, sizeof(uint64_t), compare);
    for (size_t i = 1; i < THREADS * EACH; i++)
        assert_true(drawn[i] != drawn[i - 1]);
}

static void a_uuid_is_one_of_version_4_and_no_other(void **state)
{
    char one[RANDOM_UUID_SIZE], other[RANDOM_UUID_SIZE];
    random_uuid(one);
    random_uuid(other);
    assert_int_equal(strlen(one), 36);
    assert_int_equal(strspn(one, "0123456789abcdef-"), 36);
    assert_true(one[8] == '-' && one[13] == '-' && one[18] == '-' && one[23] == '-');
    assert_int_equal(one[14], '4');
    assert_non_null(strchr("89ab", one[19]));
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uuid_is_one_of_version_4_and_no_other),
        cmocka_unit_test(every_byte_of_every_size_is_filled_and_none_behind),
        cmocka_unit_test(values_are_within_the_bound_and_even),
        cmocka_unit_test(a_bound_that_does_not_divide_the_range_favours_no_value),
        cmocka_unit_test(extreme_bounds_are_kept),
        cmocka_unit_test(no_thread_gets_what_another_or_it_itself_got),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
