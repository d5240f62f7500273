#include "base/decimal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/decimal_table.h"

__extension__ typedef unsigned __int128 wide;

/* xorshift64: the same numbers on every run. */
static uint64_t next_random(void)
{
    static uint64_t bits = 88172645463325252;
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static const char *formatted(double value)
{
    static char text[DECIMAL_TEXT_SIZE + 1];
    memset(text, '#', sizeof(text));
    size_t size = decimal_format(value, text);
    assert_true(size > 0 && size <= DECIMAL_TEXT_SIZE);
    text[size] = '\0';
    return text;
}

/* What psql of PostgreSQL 15.20 printed for `select …::float8`. */
static void numbers_look_as_postgresql_prints_them(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {-12.5, "-12.5"},
                 {0.1, "0.1"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {100, "100"},
                 {0.0001, "0.0001"},
                 {0.00001, "1e-05"},
                 {0.000123456789, "0.000123456789"},
                 {123456789012345, "123456789012345"},
                 {999999999999999, "999999999999999"},
                 {1e14, "100000000000000"},
                 {1e15, "1e+15"},
                 {1234567890123456, "1.234567890123456e+15"},
                 {12345678901234.5, "12345678901234.5"},
                 {1e20, "1e+20"},
                 {1.5e20, "1.5e+20"},
                 {1e100, "1e+100"},
                 {-1.2345678901234567e-308, "-1.2345678901234567e-308"},
                 {5e-324, "5e-324"},
                 {2.2250738585072014e-308, "2.2250738585072014e-308"},
                 {2.225073858507201e-308, "2.225073858507201e-308"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {9007199254740992, "9.007199254740992e+15"},
                 {9007199254740994, "9.007199254740994e+15"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(formatted(cases[i].value), cases[i].text);
}

/* Here a shorter decimal lies exactly halfway to the neighbour, where PostgreSQL does not go. */
static void a_decimal_halfway_to_the_neighbour_is_not_taken(void **state)
{
    static const char *const texts[] = {"3.0892612233637952e+16", "-6.6766885433589616e+16", "2.5106504398391322e+17",
                                        "1.3683508952223379e+17", "2.2027253115117921e+18",  "1.0532988543890099e+17",
                                        "5.5259523886800016e+16"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_string_equal(formatted(strtod(texts[i], NULL)), texts[i]);
    assert_string_equal(formatted(1e23), "9.999999999999999e+22");
    assert_string_equal(formatted(9.5e22), "9.5e+22");
}

/* Digits without sign, point, exponent and outer zeros; returns their number. */
static size_t significant(const char *text, char out[32])
{
    size_t count = 0;
    for (; *text != '\0' && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (count != 0 || *text != '0'))
            out[count++] = *text;
    while (count != 0 && out[count - 1] == '0')
        count--;
    out[count] = '\0';
    return count;
}

/* Whether `text` reads back as the value, and does not by the rule for ties only. */
static bool is_within(const char *text, double value)
{
    if (strtod(text, NULL) != value)
        return false;
    long double half = ((long double)value + nextafter(value, strtold(text, NULL) > value ? INFINITY : -INFINITY)) / 2;
    return strtold(text, NULL) != half;
}

/* Compared with printf, which is exact: as many digits are the closest, and one digit less is not enough. */
static void check_shortest(double value)
{
    char digits[32], printed[64], expected[32];
    const char *text = formatted(value);
    size_t count = significant(text, digits);
    if (bits_of(strtod(text, NULL)) != bits_of(value))
        fail_msg("%.17g was written as %s", value, text);
    /* At a power of two the interval is not centred, so that the closest of as few digits may lie outside it. */
    if ((bits_of(value) << 12) == 0)
        return;
    snprintf(printed, sizeof(printed), "%.*e", (int)count - 1, value);
    significant(printed, expected);
    if (strcmp(digits, expected) != 0)
        fail_msg("%.17g was written as %s, closer is %s", value, text, printed);
    if (count == 1)
        return;
    snprintf(printed, sizeof(printed), "%.*e", (int)count - 2, value);
    if (is_within(printed, value))
        fail_msg("%.17g was written as %s, shorter is %s", value, text, printed);
}

static void random_doubles_get_the_shortest_and_closest_decimal(void **state)
{
    for (int i = 0; i < 150000; i++) {
        double value = double_of(next_random());
        if (isfinite(value))
            check_shortest(value);
    }
}

static void measures_as_people_write_them_come_out_as_written(void **state)
{
    char expected[40];
    for (int i = 0; i < 200000; i++) {
        int places = i % 7;
        int64_t hundredths = (int64_t)(next_random() % 2000000000) - 1000000000;
        snprintf(expected, sizeof(expected), "%.*f", places, (double)hundredths / pow(10, places));
        double value = strtod(expected, NULL);
        size_t end = strlen(expected);
        while (places != 0 && expected[end - 1] == '0')
            end--;
        expected[expected[end - 1] == '.' ? end - 1 : end] = '\0';
        if (fabs(value) >= 1e-4)
            assert_string_equal(formatted(value), expected);
    }
}

/* The digits of `thousandths`, made without floating point. */
static const char *written(uint64_t thousandths)
{
    static char text[40];
    size_t end = (size_t)snprintf(text, sizeof(text), "%llu.%03llu", (unsigned long long)(thousandths / 1000),
                                  (unsigned long long)(thousandths % 1000));
    while (text[end - 1] == '0')
        end--;
    text[text[end - 1] == '.' ? end - 1 : end] = '\0';
    return text;
}

static void check_thousandths(uint64_t thousandths)
{
    double value = (double)thousandths / 1000;
    assert_string_equal(formatted(value), written(thousandths));
    assert_true(formatted(-value)[0] == '-');
    assert_string_equal(formatted(-value) + 1, written(thousandths));
}

static void all_numbers_below_a_thousand_of_three_decimals_come_out_as_written(void **state)
{
    for (uint64_t i = 0; i < 1001000; i++)
        check_thousandths(i);
    for (int i = 0; i < 300000; i++)
        check_thousandths((next_random() >> (i % 24)) % 1000000000000000);
    check_thousandths(999999999999999);
}

/* They differ in the last bit: the short digits are the neighbour's. */
static void neighbours_of_short_decimals_keep_all_their_digits(void **state)
{
    for (uint64_t i = 1; i < 300000; i++) {
        double value = (double)(i * 7 % 1000000) / 1000;
        for (int up = 0; up < 2 && value != 0; up++) {
            double neighbour = nextafter(value, up ? INFINITY : 0);
            if (bits_of(strtod(formatted(neighbour), NULL)) != bits_of(neighbour))
                fail_msg("%.17g was written as %s", neighbour, formatted(neighbour));
        }
    }
}

/* Every power of ten in the table, with the significands at the ends of the range. */
static void every_binary_exponent_is_written_right(void **state)
{
    const uint64_t most = ((uint64_t)1 << 52) - 1;
    for (uint64_t biased = 0; biased < 2047; biased++) {
        const uint64_t fractions[] = {0, 1, 2, 3, most / 2, most / 2 + 1, most - 1, most, next_random() & most};
        for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++)
            if (biased != 0 || fractions[i] != 0)
                check_shortest(double_of(biased << 52 | fractions[i]));
    }
}

/* Too many significands would be needed to notice a wrong last bit in the output; but each power is ten times the one
 * before it, cut to 128 bits and rounded up, and 10^0 is known. */
static void the_table_goes_up_by_tens(void **state)
{
    const size_t count = sizeof(decimal_powers) / sizeof(decimal_powers[0]);
    assert_int_equal(count, DECIMAL_TABLE_LAST - DECIMAL_TABLE_FIRST + 1);
    assert_true(decimal_powers[-DECIMAL_TABLE_FIRST].high == (uint64_t)1 << 63);
    assert_true(decimal_powers[-DECIMAL_TABLE_FIRST].low == 0);
    for (size_t i = 0; i + 1 < count; i++) {
        wide power = (wide)decimal_powers[i].high << 64 | decimal_powers[i].low;
        wide next = (wide)decimal_powers[i + 1].high << 64 | decimal_powers[i + 1].low;
        wide eighth = power / 8 * 5 + power % 8 * 5 / 8; /* ten sixteenths; ten eighths where that has lost a bit */
        wide expected = eighth >> 127 != 0 ? eighth : power / 4 * 5 + power % 4 * 5 / 4;
        wide distance = expected > next ? expected - next : next - expected;
        assert_true(next >> 127 == 1 && distance <= 2);
    }
}

static void whole_numbers_of_all_sizes_are_written_right(void **state)
{
    for (int i = 0; i < 60000; i++)
        check_shortest((double)(next_random() >> (i % 64)) + 1);
    for (int i = 0; i < 60000; i++) /* where decimals halfway between two doubles are common */
        check_shortest(ldexp((double)(next_random() >> 11 | 1), i % 16));
}

static void a_million_random_doubles_read_back_as_themselves(void **state)
{
    for (int i = 0; i < 1000000; i++) {
        double value = double_of(next_random());
        if (isfinite(value) && bits_of(strtod(formatted(value), NULL)) != bits_of(value))
            fail_msg("%.17g was written as %s", value, formatted(value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_look_as_postgresql_prints_them),
        cmocka_unit_test(a_decimal_halfway_to_the_neighbour_is_not_taken),
        cmocka_unit_test(random_doubles_get_the_shortest_and_closest_decimal),
        cmocka_unit_test(measures_as_people_write_them_come_out_as_written),
        cmocka_unit_test(all_numbers_below_a_thousand_of_three_decimals_come_out_as_written),
        cmocka_unit_test(neighbours_of_short_decimals_keep_all_their_digits),
        cmocka_unit_test(every_binary_exponent_is_written_right),
        cmocka_unit_test(the_table_goes_up_by_tens),
        cmocka_unit_test(whole_numbers_of_all_sizes_are_written_right),
        cmocka_unit_test(a_million_random_doubles_read_back_as_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
