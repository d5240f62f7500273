#include "upload/infer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct infer_options point = {false, -1}, comma = {true, -1};

static void add(struct infer_column *column, const struct infer_options *options, enum field_kind kind,
                const char *value)
{
    struct field field = {kind, text_from_string(value)};
    infer_add(column, options, &field);
}

/* The type of a column of these plain fields, NULL at the end. */
static const char *type_of(const struct infer_options *options, enum field_kind kind, const char *const *values)
{
    struct infer_column column;
    struct infer_result result;
    infer_begin(&column);
    for (; *values != NULL; values++)
        add(&column, options, kind, *values);
    infer_end(&column, options, &result);
    return infer_type_name(result.type);
}
#define plain(...) type_of(&point, FIELD_PLAIN, (const char *const[]){__VA_ARGS__, NULL})
#define with_comma(...) type_of(&comma, FIELD_PLAIN, (const char *const[]){__VA_ARGS__, NULL})
#define strings(...) type_of(&point, FIELD_STRING, (const char *const[]){__VA_ARGS__, NULL})
#define numbers(...) type_of(&point, FIELD_NUMBER, (const char *const[]){__VA_ARGS__, NULL})

static const char *copy_of(struct infer_result result, enum field_kind kind, const char *value)
{
    static char text[256];
    struct buffer out;
    struct field field = {kind, text_from_string(value)};
    const char *reason = NULL;
    buffer_init(&out, 1 << 16);
    enum status status = infer_append_copy(&out, &result, &field, &reason);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_INVALID);
        assert_int_equal(out.size, 0);
        assert_non_null(reason);
    }
    snprintf(text, sizeof(text), "%.*s", TEXT_ARGS(status == STATUS_OK ? buffer_text(&out) : text_from_string(reason)));
    buffer_free(&out);
    return text;
}
static const char *copy(enum infer_type type, const char *value)
{
    return copy_of((struct infer_result){type, SNIFF_DMY, false}, FIELD_PLAIN, value);
}

static void whole_numbers_are_bigint_and_past_64_bits_numeric(void **state)
{
    assert_string_equal(plain("0", "-1", "123456789012345678"), "bigint");
    assert_string_equal(plain("9223372036854775807", "-9223372036854775808"), "bigint");
    assert_string_equal(plain("9223372036854775808"), "numeric");
    assert_string_equal(plain("-9223372036854775809", "1"), "numeric");
    assert_string_equal(plain("99999999999999999999999999999999999999"), "numeric");
    assert_string_equal(plain(" 12", "13 "), "bigint");
}

static void what_would_not_come_back_as_it_stood_is_text(void **state)
{
    const char *const wrong[] = {"007",  "+1",    "-0",  "00",   "-007", "01.5", "+1.5",    "1.",
                                 "1..2", "1.2.3", "-",   ".",    "e5",   "1e",   "1e+",     "1e1001",
                                 "0x1F", "NaN",   "5%",  "$5",   "--1",  "1 2",  "1,23,45", "1234,5678",
                                 "--",   "1_000", "inf", "1.5f", "١٢"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_string_equal(plain(wrong[i]), "text");
        assert_string_equal(plain("1.5", wrong[i]), "text");
    }
}

static void numbers_with_a_mark_are_numeric_to_the_last_digit(void **state)
{
    assert_string_equal(plain("1.50", "2"), "numeric");
    assert_string_equal(plain("-0.0", ".5", "0.1234567890123456789012345678901234567890"), "numeric");
    assert_string_equal(plain("1.5e-10", "1E+5"), "numeric");
    assert_string_equal(copy(INFER_NUMERIC, "0.10"), "0.10");
    assert_string_equal(copy(INFER_NUMERIC, "-1.5E-10"), "-1.5E-10");
    assert_string_equal(with_comma("1,5", "2"), "numeric");
    assert_string_equal(with_comma("1.5"), "text");
}

static void thousands_and_bare_exponents_count_only_beside_a_value_without_doubt(void **state)
{
    struct infer_result result = {INFER_NUMERIC, SNIFF_YMD, true};
    assert_string_equal(plain("1,234", "5,678"), "text");
    assert_string_equal(plain("1,234", "5.5"), "numeric");
    assert_string_equal(plain("1,234,567", "1,000"), "bigint");
    assert_string_equal(with_comma("1.234"), "text");
    assert_string_equal(with_comma("1.234", "0,5"), "numeric");
    assert_string_equal(with_comma("0.123", "0,5"), "text");
    assert_string_equal(plain("12e4", "7"), "text");
    assert_string_equal(plain("12e4", "7.5"), "numeric");
    assert_string_equal(plain("12e4", "1e+5"), "numeric");
    assert_string_equal(numbers("12e4", "7"), "numeric");
    assert_string_equal(copy(INFER_INTEGER, "1,234,567"), "1234567");
    assert_string_equal(copy_of(result, FIELD_PLAIN, "-1.234.567,80"), "-1234567.80");
    assert_string_equal(copy_of(result, FIELD_QUOTED,
                                "1\xE2\x80\xAF"
                                "234,5"),
                        "1234.5");
}

static void booleans_have_one_spelling_and_short_ones_both_values(void **state)
{
    assert_string_equal(plain("true", "false"), "boolean");
    assert_string_equal(plain("TRUE"), "boolean");
    assert_string_equal(plain("True", "FALSE"), "text");
    assert_string_equal(plain("yes", "no"), "boolean");
    assert_string_equal(plain("NO", "NO"), "text");
    assert_string_equal(plain("t", "f", "t"), "boolean");
    assert_string_equal(plain("F", "F"), "text");
    assert_string_equal(plain("t", "no"), "text");
    assert_string_equal(plain("0", "1"), "bigint");
    assert_string_equal(plain("true", "1"), "text");
}

static void dates_need_an_order_that_all_values_have(void **state)
{
    assert_string_equal(plain("2021-10-01", "2021/1/2"), "date");
    assert_string_equal(plain("01/10/2021", "13/10/2021"), "date");
    assert_string_equal(plain("01/10/2021"), "text");
    assert_string_equal(plain("13/10/2021", "10/13/2021"), "text");
    assert_string_equal(plain("2021-10-01", "13.10.2021"), "text");
    assert_string_equal(plain("2021-02-29"), "text");
    assert_string_equal(plain("2024-02-29", "2000-02-29"), "date");
    assert_string_equal(plain("1900-02-29"), "text");
    assert_string_equal(plain("0000-01-01"), "text");
    assert_string_equal(plain("2021.10.01"), "text");
    assert_string_equal(plain("01.10.21"), "text");
    assert_string_equal(plain("20211001"), "bigint");
    assert_string_equal(copy(INFER_DATE, "1.2.2021"), "2021-02-01");
    assert_string_equal(copy(INFER_DATE, "2021-3-4"), "2021-03-04");
    assert_string_equal(copy(INFER_DATE, "10/13/2021"), "is no date as day, month, year");
    assert_string_equal(copy(INFER_DATE, "2021-10-01 00:00:00"), "2021-10-01");
    assert_string_equal(copy(INFER_DATE, "2021-10-01 00:00:01"), "has a time of day, and the column is a date");
}

static void a_told_order_settles_doubtful_dates_only(void **state)
{
    const struct infer_options told = {false, SNIFF_MDY};
    struct infer_column column;
    struct infer_result result;
    infer_begin(&column);
    add(&column, &told, FIELD_PLAIN, "01/10/2021");
    infer_end(&column, &told, &result);
    assert_int_equal(result.type, INFER_DATE);
    assert_int_equal(result.date_order, SNIFF_MDY);
    add(&column, &told, FIELD_PLAIN, "13/10/2021");
    infer_end(&column, &told, &result);
    assert_int_equal(result.type, INFER_TEXT);
}

static void timestamps_have_six_digits_and_a_zone_in_all_values_or_none(void **state)
{
    assert_string_equal(plain("2021-10-01 10:00", "2021-10-01T10:00:00.123456"), "timestamp");
    assert_string_equal(plain("2021-10-01 10:00:00.1234567"), "text");
    assert_string_equal(plain("2021-10-01T10:00:00Z", "2021-10-01 10:00:00+05:30", "2021-10-01 10:00:00-0330",
                              "2021-10-01 10:00:00+02"),
                        "timestamptz");
    assert_string_equal(plain("2021-10-01T10:00:00Z", "2021-10-01T10:00:00"), "text");
    assert_string_equal(plain("2021-10-01 24:00:00"), "text");
    assert_string_equal(plain("2021-10-01 23:59:60"), "text");
    assert_string_equal(plain("2021-10-01 10:00:00+16:00"), "text");
    assert_string_equal(plain("2021-10-01 10:00:00+02:"), "text");
    assert_string_equal(plain("2021-10-01", "2021-10-01 10:00"), "text");
    assert_string_equal(strings("2021-10-01T10:00:00Z"), "timestamptz");
    assert_string_equal(copy(INFER_TIMESTAMP, "1/2/2021 9:05"), "2021-02-01 09:05:00");
    assert_string_equal(copy(INFER_TIMESTAMP, "2021-10-01"), "2021-10-01 00:00:00");
    assert_string_equal(copy(INFER_TIMESTAMPTZ, "2021-10-01T10:00:00.25-0330"), "2021-10-01 10:00:00.25-03:30");
    assert_string_equal(copy(INFER_TIMESTAMPTZ, "2021-10-01T10:00:00"),
                        "has no offset from UTC, and the column is a timestamptz");
}

static void an_empty_quoted_field_is_text_but_where_all_is_quoted(void **state)
{
    struct infer_column column;
    struct infer_result result;
    infer_begin(&column);
    add(&column, &point, FIELD_QUOTED, "5");
    add(&column, &point, FIELD_QUOTED, "");
    infer_end(&column, &point, &result);
    assert_int_equal(result.type, INFER_INTEGER);
    assert_string_equal(copy_of(result, FIELD_QUOTED, ""), "\\N");
    add(&column, &point, FIELD_PLAIN, "6");
    infer_end(&column, &point, &result);
    assert_int_equal(result.type, INFER_TEXT);
    assert_string_equal(copy_of(result, FIELD_QUOTED, ""), "");
    assert_string_equal(copy_of(result, FIELD_NULL, ""), "\\N");
}

static void a_column_without_values_is_text(void **state)
{
    struct infer_column column;
    struct infer_result result;
    infer_begin(&column);
    add(&column, &point, FIELD_NULL, "");
    infer_end(&column, &point, &result);
    assert_int_equal(result.type, INFER_TEXT);
    assert_int_equal(column.nulls, 1);
    assert_int_equal(column.values, 0);
}

static void kinds_of_json_are_kept(void **state)
{
    struct infer_column column;
    struct infer_result result;
    assert_string_equal(numbers("1", "-2"), "bigint");
    assert_string_equal(numbers("1", "2.50"), "numeric");
    assert_string_equal(strings("1", "2"), "text");
    infer_begin(&column);
    add(&column, &point, FIELD_NUMBER, "1");
    add(&column, &point, FIELD_STRING, "a\"b");
    infer_end(&column, &point, &result);
    assert_int_equal(result.type, INFER_TEXT);
    add(&column, &point, FIELD_JSON, "[1]");
    infer_end(&column, &point, &result);
    assert_int_equal(result.type, INFER_JSON);
    assert_string_equal(copy_of(result, FIELD_STRING, "a\"b\n"), "\"a\\\\\"b\\\\n\"");
    assert_string_equal(copy_of(result, FIELD_STRING, ""), "\"\"");
    assert_string_equal(copy_of(result, FIELD_BOOLEAN, "true"), "true");
    add(&column, &point, FIELD_JSON, "[1e9999]"); /* jsonb has no such number */
    infer_end(&column, &point, &result);
    assert_int_equal(result.type, INFER_TEXT);
}

static void told_types_take_more_as_long_as_the_value_stays(void **state)
{
    assert_string_equal(copy(INFER_INTEGER, "007"), "7");
    assert_string_equal(copy(INFER_INTEGER, "+7"), "7");
    assert_string_equal(copy(INFER_INTEGER, " 7.00 "), "7");
    assert_string_equal(copy(INFER_INTEGER, "7.5"), "is no integer");
    assert_string_equal(copy(INFER_INTEGER, "9223372036854775808"), "is out of the range of bigint");
    assert_string_equal(copy(INFER_INTEGER, "-9223372036854775808"), "-9223372036854775808");
    assert_string_equal(copy(INFER_NUMERIC, "x"), "is no number with a decimal point");
    assert_string_equal(copy(INFER_BOOLEAN, "1"), "t");
    assert_string_equal(copy(INFER_BOOLEAN, "No"), "f");
    assert_string_equal(copy(INFER_BOOLEAN, "2"), "is neither true nor false");
    assert_string_equal(copy(INFER_JSON, "{\"a\": [1, \"x\\n\"]}"), "{\"a\": [1, \"x\\\\n\"]}");
    assert_string_equal(copy(INFER_JSON, "7"), "7");
    assert_string_equal(copy(INFER_JSON, "\"1e9999\""), "\"1e9999\"");
    assert_string_equal(copy(INFER_JSON, "1,\"b\":2"), "is no JSON");
    assert_string_equal(copy(INFER_JSON, "1e9999"), "holds a number that is too long for the database");
    assert_string_equal(copy(INFER_JSON, "{"), "is no JSON");
    assert_string_equal(copy(INFER_JSON, ""), "\\N");
}

static void copy_escapes_what_its_text_format_means_otherwise(void **state)
{
    assert_string_equal(copy(INFER_TEXT, "a\tb\nc\rd\\e"), "a\\tb\\nc\\rd\\\\e");
    assert_string_equal(copy(INFER_TEXT, "\\."), "\\\\.");
    assert_string_equal(copy(INFER_TEXT, "\\N"), "\\\\N");
    assert_string_equal(copy(INFER_TEXT, "a long text without anything, and at its end\\"),
                        "a long text without anything, and at its end\\\\");
}

static void types_are_known_by_callers_words(void **state)
{
    enum infer_type type;
    assert_true(infer_type_named(TEXT("Integer"), &type));
    assert_int_equal(type, INFER_INTEGER);
    assert_true(infer_type_named(TEXT("double precision"), &type));
    assert_int_equal(type, INFER_NUMERIC);
    assert_true(infer_type_named(TEXT("json"), &type));
    assert_int_equal(type, INFER_JSON);
    assert_false(infer_type_named(TEXT("money"), &type));
    assert_false(infer_type_named(TEXT_NONE, &type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_bigint_and_past_64_bits_numeric),
        cmocka_unit_test(what_would_not_come_back_as_it_stood_is_text),
        cmocka_unit_test(numbers_with_a_mark_are_numeric_to_the_last_digit),
        cmocka_unit_test(thousands_and_bare_exponents_count_only_beside_a_value_without_doubt),
        cmocka_unit_test(booleans_have_one_spelling_and_short_ones_both_values),
        cmocka_unit_test(dates_need_an_order_that_all_values_have),
        cmocka_unit_test(a_told_order_settles_doubtful_dates_only),
        cmocka_unit_test(timestamps_have_six_digits_and_a_zone_in_all_values_or_none),
        cmocka_unit_test(an_empty_quoted_field_is_text_but_where_all_is_quoted),
        cmocka_unit_test(a_column_without_values_is_text),
        cmocka_unit_test(kinds_of_json_are_kept),
        cmocka_unit_test(told_types_take_more_as_long_as_the_value_stays),
        cmocka_unit_test(copy_escapes_what_its_text_format_means_otherwise),
        cmocka_unit_test(types_are_known_by_callers_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
