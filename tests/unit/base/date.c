#include "base/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#define FIRST_DAY (-719162) /* 0001-01-01 */
#define LAST_DAY 2932896    /* 9999-12-31 */

static void every_day_of_the_years_1_to_9999_goes_there_and_back(void **state)
{
    int year = 1;
    unsigned month = 1, day_of_month = 1;
    static const unsigned lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int32_t day = FIRST_DAY; day <= LAST_DAY; day++) {
        int read_year;
        unsigned read_month, read_day;
        int32_t parsed;
        char text[DATE_TEXT_SIZE];
        date_to_civil(day, &read_year, &read_month, &read_day);
        if (read_year != year || read_month != month || read_day != day_of_month)
            fail_msg("day %d: %d-%u-%u, not %d-%u-%u", day, read_year, read_month, read_day, year, month, day_of_month);
        date_format(day, text);
        if (date_from_civil(year, month, day_of_month) != day || !date_parse(text_from_string(text), &parsed) ||
            parsed != day)
            fail_msg("day %d is %s", day, text);
        unsigned last = lengths[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        if (++day_of_month > last) {
            day_of_month = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
    }
    assert_int_equal(year, 10000);
}

static void known_days_have_their_numbers(void **state)
{
    static const struct {
        const char *text;
        int32_t day;
    } cases[] = {{"1970-01-01", 0},      {"1969-12-31", -1},        {"2000-02-29", 11016},
                 {"2000-03-01", 11017},  {"2024-02-29", 19782},     {"1900-03-01", -25508},
                 {"1900-02-28", -25509}, {"0001-01-01", FIRST_DAY}, {"9999-12-31", LAST_DAY}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t day;
        char text[DATE_TEXT_SIZE];
        assert_true(date_parse(text_from_string(cases[i].text), &day));
        assert_int_equal(day, cases[i].day);
        date_format(day, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void what_is_no_day_is_refused(void **state)
{
    static const struct text cases[] = {
        TEXT(""),           TEXT("2023-02-29"),       TEXT("2023-02-30"),  TEXT("1900-02-29"),  TEXT("2024-02-30"),
        TEXT("2023-04-31"), TEXT("2023-06-31"),       TEXT("2023-09-31"),  TEXT("2023-11-31"),  TEXT("2023-01-32"),
        TEXT("2023-00-10"), TEXT("2023-13-01"),       TEXT("2023-01-00"),  TEXT("0000-01-01"),  TEXT("2023-1-01"),
        TEXT("2023-01-1"),  TEXT("2023/01/01"),       TEXT("20230101"),    TEXT("10000-01-01"), TEXT("-001-01-01"),
        TEXT("+2023-1-1"),  TEXT("2023-01-01 "),      TEXT(" 2023-01-01"), TEXT("2023-01-0\0"), TEXT("2023-01-01T"),
        TEXT("2023-0a-01"), TEXT("2023-01-\xD9\xA1"), TEXT("today"),       TEXT("epoch"),       TEXT_NONE};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t day;
        if (date_parse(cases[i], &day))
            fail_msg("%.*s was taken for a day", TEXT_ARGS(cases[i]));
    }
}

static void days_no_year_can_show_are_written_as_the_nearest_that_can(void **state)
{
    char text[DATE_TEXT_SIZE], instant[DATE_INSTANT_TEXT_SIZE];
    date_format(FIRST_DAY - 1, text);
    assert_string_equal(text, "0001-01-01");
    date_format(INT32_MIN, text);
    assert_string_equal(text, "0001-01-01");
    date_format(LAST_DAY + 1, text);
    assert_string_equal(text, "9999-12-31");
    date_format(INT32_MAX, text);
    assert_string_equal(text, "9999-12-31");
    date_format_instant(INT64_MIN, instant);
    assert_string_equal(instant, "0001-01-01T00:00:00.000000Z");
    date_format_instant(INT64_MAX, instant);
    assert_string_equal(instant, "9999-12-31T23:59:59.999999Z");
}

static void civil_arithmetic_holds_to_the_bounds_of_32_bits(void **state)
{
    static const int32_t days[] = {INT32_MIN, INT32_MIN + 1, -1000000000, 1000000000, INT32_MAX - 1, INT32_MAX};
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        int year;
        unsigned month, day_of_month;
        date_to_civil(days[i], &year, &month, &day_of_month);
        assert_int_equal(date_from_civil(year, month, day_of_month), days[i]);
    }
}

static void an_instant_is_read_with_its_offset_and_cut_to_microseconds(void **state)
{
    static const struct {
        const char *text, *utc;
    } cases[] = {{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"},
                 {"2024-02-29t12:00:00.123456z", "2024-02-29T12:00:00.123456Z"},
                 {"2024-02-29T12:00:00.1Z", "2024-02-29T12:00:00.100000Z"},
                 {"2024-02-29T12:00:00.12345699999999999999999999Z", "2024-02-29T12:00:00.123456Z"},
                 {"2024-03-01T01:30:00+02:00", "2024-02-29T23:30:00.000000Z"},
                 {"2023-12-31T23:59:59.999999-00:01", "2024-01-01T00:00:59.999999Z"},
                 {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
                 {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"},
                 {"2024-01-01T00:00:00+23:59", "2023-12-31T00:01:00.000000Z"},
                 {"2024-01-01T00:00:00-00:00", "2024-01-01T00:00:00.000000Z"},
                 {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
                 {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t instant;
        char text[DATE_INSTANT_TEXT_SIZE];
        assert_true(date_parse_instant(text_from_string(cases[i].text), &instant));
        date_format_instant(instant, text);
        assert_string_equal(text, cases[i].utc);
    }
}

static void what_is_no_instant_is_refused(void **state)
{
    static const char *const cases[] = {"",
                                        "2024-01-01",
                                        "2024-01-01T00:00:00",
                                        "2024-01-01 00:00:00Z",
                                        "2024-01-01T00:00Z",
                                        "2024-01-01T24:00:00Z",
                                        "2024-01-01T00:60:00Z",
                                        "2024-01-01T00:00:61Z",
                                        "2024-02-30T00:00:00Z",
                                        "2024-01-01T00:00:00.Z",
                                        "2024-01-01T00:00:00,5Z",
                                        "2024-01-01T00:00:00.5",
                                        "2024-01-01T00:00:00ZZ",
                                        "2024-01-01T00:00:00+2:00",
                                        "2024-01-01T00:00:00+0200",
                                        "2024-01-01T00:00:00+24:00",
                                        "2024-01-01T00:00:00+02:60",
                                        "2024-01-01T00:00:00 02:00",
                                        "2024-01-01T00:00:00+02:00 ",
                                        "2024-01-01T-1:00:00Z",
                                        "0001-01-01T00:00:00+00:01",
                                        "9999-12-31T23:59:60Z",
                                        "9999-12-31T23:59:59-00:01"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t instant;
        if (date_parse_instant(text_from_string(cases[i]), &instant))
            fail_msg("%s was taken for an instant", cases[i]);
    }
}

static void instants_agree_with_the_c_library(void **state)
{
    for (int64_t i = -3000; i < 3000; i++) {
        int64_t seconds = i * 20000003, instant;
        char text[DATE_INSTANT_TEXT_SIZE], expected[40];
        struct tm civil;
        time_t time = (time_t)seconds;
        assert_non_null(gmtime_r(&time, &civil));
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.000007Z", civil.tm_year + 1900,
                 civil.tm_mon + 1, civil.tm_mday, civil.tm_hour, civil.tm_min, civil.tm_sec);
        date_format_instant(seconds * 1000000 + 7, text);
        assert_string_equal(text, expected);
        assert_true(date_parse_instant(text_from_string(text), &instant));
        assert_true(instant == seconds * 1000000 + 7);
    }
}

static void a_window_is_a_number_and_a_unit_of_at_most_200_years(void **state)
{
    static const struct {
        const char *text;
        int32_t months, days;
    } cases[] = {{"1d", 0, 1},      {"30d", 0, 30},     {"12w", 0, 84},       {"6m", 6, 0},        {"1y", 12, 0},
                 {"200y", 2400, 0}, {"2400m", 2400, 0}, {"73048d", 0, 73048}, {"10435w", 0, 73045}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct date_window window = {-1, -1};
        assert_true(date_window_parse(text_from_string(cases[i].text), &window));
        assert_int_equal(window.months, cases[i].months);
        assert_int_equal(window.days, cases[i].days);
    }
}

static void what_is_no_window_is_refused(void **state)
{
    static const char *const cases[] = {"",
                                        "d",
                                        "0d",
                                        "00d",
                                        "01d",
                                        "-1d",
                                        "+1d",
                                        "1",
                                        "30",
                                        "30D",
                                        "1h",
                                        "P1D",
                                        "1.5d",
                                        "1d ",
                                        " 1d",
                                        "1dd",
                                        "1y6m",
                                        "10000y",
                                        "201y",
                                        "2401m",
                                        "73049d",
                                        "10436w",
                                        "1e3d",
                                        "9223372036854775807y",
                                        "99999999999999999999999d"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct date_window window;
        if (date_window_parse(text_from_string(cases[i]), &window))
            fail_msg("%s was taken for a window", cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_of_the_years_1_to_9999_goes_there_and_back),
        cmocka_unit_test(known_days_have_their_numbers),
        cmocka_unit_test(what_is_no_day_is_refused),
        cmocka_unit_test(days_no_year_can_show_are_written_as_the_nearest_that_can),
        cmocka_unit_test(civil_arithmetic_holds_to_the_bounds_of_32_bits),
        cmocka_unit_test(an_instant_is_read_with_its_offset_and_cut_to_microseconds),
        cmocka_unit_test(what_is_no_instant_is_refused),
        cmocka_unit_test(instants_agree_with_the_c_library),
        cmocka_unit_test(a_window_is_a_number_and_a_unit_of_at_most_200_years),
        cmocka_unit_test(what_is_no_window_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
