#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void a_whole_number_within_int64_is_read(void **state)
{
    static const struct {
        struct text text;
        int64_t value;
    } cases[] = {{TEXT("0"), 0},
                 {TEXT("-0"), 0},
                 {TEXT("007"), 7},
                 {TEXT("-42"), -42},
                 {TEXT("9223372036854775807"), INT64_MAX},
                 {TEXT("-9223372036854775808"), INT64_MIN}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 99;
        assert_true(text_to_int64(cases[i].text, &value));
        assert_true(value == cases[i].value);
    }
}

static void what_is_no_int64_is_refused_and_leaves_the_value(void **state)
{
    static const struct text cases[] = {TEXT(""),
                                        TEXT("-"),
                                        TEXT("+1"),
                                        TEXT(" 1"),
                                        TEXT("1 "),
                                        TEXT("1.0"),
                                        TEXT("1e3"),
                                        TEXT("--1"),
                                        TEXT("0x10"),
                                        TEXT("1\0"),
                                        TEXT("9223372036854775808"),
                                        TEXT("-9223372036854775809"),
                                        TEXT("99999999999999999999999999999999999999999"),
                                        TEXT_NONE};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 99;
        assert_false(text_to_int64(cases[i], &value));
        assert_true(value == 99);
    }
}

static void a_json_number_is_read_as_the_nearest_double(void **state)
{
    static const struct {
        struct text text;
        double value;
    } cases[] = {{TEXT("0"), 0},          {TEXT("-0"), 0},
                 {TEXT("12.5"), 12.5},    {TEXT("-1e-5"), -1e-5},
                 {TEXT("1E+20"), 1e20},   {TEXT("0.1"), 0.1},
                 {TEXT("1e-999"), 0},     {TEXT("1.7976931348623157e308"), 1.7976931348623157e308},
                 {TEXT("5e-324"), 5e-324}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double value = 99;
        assert_true(text_to_double(cases[i].text, &value));
        assert_true(value == cases[i].value);
    }
}

static void what_is_no_finite_json_number_is_refused(void **state)
{
    static const struct text cases[] = {TEXT(""),      TEXT("-"),        TEXT("+1"),      TEXT(".5"),    TEXT("5."),
                                        TEXT("01"),    TEXT("-01"),      TEXT("1e"),      TEXT("1e+"),   TEXT("NaN"),
                                        TEXT("nan"),   TEXT("Infinity"), TEXT("-inf"),    TEXT("1e999"), TEXT("0x1p3"),
                                        TEXT("1,5"),   TEXT(" 1"),       TEXT("1 "),      TEXT("1\0"),   TEXT("1.5.2"),
                                        TEXT("1e5e5"), TEXT("-1e400"),   TEXT("\xD9\xA1")};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double value = 99;
        assert_false(text_to_double(cases[i], &value));
        assert_true(value == 99);
    }
}

static void a_number_may_have_64_characters_and_no_more(void **state)
{
    char digits[65];
    double value = 0;
    memset(digits, '1', sizeof(digits));
    assert_true(text_to_double(text_of(digits, 64), &value));
    assert_true(value > 1.1e63 && value < 1.2e63);
    assert_false(text_to_double(text_of(digits, 65), &value));
}

static void splitting_yields_empty_parts_and_ends_with_none(void **state)
{
    struct text rest = TEXT(",a,,b,");
    static const char *const parts[] = {"", "a", "", "b", ""};
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(rest.data);
        assert_true(text_equal(text_split(&rest, ','), text_from_string(parts[i])));
    }
    assert_null(rest.data);
    rest = TEXT("");
    assert_int_equal(text_split(&rest, ',').size, 0);
    assert_null(rest.data);
    assert_null(text_split(&rest, ',').data);
}

static void comparing_knows_ascii_case_only(void **state)
{
    assert_true(text_equal_ignoring_case(TEXT("Content-TYPE"), TEXT("content-type")));
    assert_false(text_equal_ignoring_case(TEXT("abc"), TEXT("abcd")));
    assert_false(text_equal_ignoring_case(TEXT("[@"), TEXT("{`")));
    assert_false(text_equal_ignoring_case(TEXT("\xC3\x84"), TEXT("\xC3\xA4")));
    assert_true(text_equal(TEXT_NONE, TEXT("")));
    assert_true(text_starts_with(TEXT("abc"), TEXT("ab")));
    assert_true(text_starts_with(TEXT("abc"), TEXT_NONE));
    assert_false(text_starts_with(TEXT("a"), TEXT("ab")));
    assert_null(text_from_string(NULL).data);
}

static void trimming_takes_spaces_and_tabs_only(void **state)
{
    assert_true(text_equal(text_trim(TEXT(" \t a b\t ")), TEXT("a b")));
    assert_true(text_equal(text_trim(TEXT("\r\na\n")), TEXT("\r\na\n")));
    assert_int_equal(text_trim(TEXT(" \t ")).size, 0);
    assert_int_equal(text_trim(TEXT_NONE).size, 0);
}

/* What an independent, plain reading of RFC 3629 says of one code point's encoding. */
static bool is_encoding_of_a_scalar(const unsigned char *at, size_t size)
{
    uint32_t point;
    if (size == 1)
        return at[0] < 0x80;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return false;
    if (size == 2)
        return (at[0] & 0xE0) == 0xC0 && (at[0] & 0x1F) >= 2;
    if (size == 3) {
        point = (uint32_t)(at[0] & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
        return (at[0] & 0xF0) == 0xE0 && point >= 0x800 && (point < 0xD800 || point > 0xDFFF);
    }
    point =
        (uint32_t)(at[0] & 7) << 18 | (uint32_t)(at[1] & 0x3F) << 12 | (uint32_t)(at[2] & 0x3F) << 6 | (at[3] & 0x3F);
    return (at[0] & 0xF8) == 0xF0 && point >= 0x10000 && point <= 0x10FFFF;
}

static void utf8_of_one_to_four_bytes_is_judged_as_rfc_3629_says(void **state)
{
    /* Edges of every range in the table, at every place. */
    static const unsigned char edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                          0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    size_t count = sizeof(edges), all = count * count * count * count;
    for (size_t i = 0; i < all; i++) {
        unsigned char four[4] = {edges[i % count], edges[i / count % count], edges[i / count / count % count],
                                 edges[i / count / count / count]};
        size_t expected = 0;
        for (size_t size = 1; size <= 4 && expected == 0; size++)
            expected = is_encoding_of_a_scalar(four, size) ? size : 0;
        bool valid;
        size_t size = text_utf8_sequence(text_of((char *)four, 4), &valid);
        assert_int_equal(valid, expected != 0);
        assert_true(size >= 1 && (valid ? size == expected : size <= 3));
    }
}

static void an_ill_formed_sequence_is_measured_as_its_maximal_subpart(void **state)
{
    static const struct {
        struct text text;
        size_t size;
    } cases[] = {{TEXT("\x80"), 1},
                 {TEXT("\xC0\x80"), 1},
                 {TEXT("\xE0\x80\x80"), 1},
                 {TEXT("\xE1\x80\xE2"), 2},
                 {TEXT("\xED\xA0\x80"), 1},
                 {TEXT("\xF0\x90\x80"), 3},
                 {TEXT("\xF1\x80"), 2},
                 {TEXT("\xF4\x90\x80\x80"), 1},
                 {TEXT("\xE2\x82"
                       "A"),
                  2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool valid = true;
        assert_int_equal(text_utf8_sequence(cases[i].text, &valid), cases[i].size);
        assert_false(valid);
    }
}

static void one_bad_byte_is_found_at_any_place_of_a_long_text(void **state)
{
    char text[41];
    for (size_t size = 1; size <= sizeof(text); size++)
        for (size_t at = 0; at < size; at++) {
            memset(text, 'a', sizeof(text));
            assert_true(text_is_utf8(text_of(text, size)));
            text[at] = (char)0xFF;
            assert_false(text_is_utf8(text_of(text, size)));
            text[at] = (char)0xC3; /* alone */
            assert_false(text_is_utf8(text_of(text, size)));
            if (at + 1 < size) {
                text[at + 1] = (char)0xA4;
                assert_true(text_is_utf8(text_of(text, size)));
            }
        }
    assert_true(text_is_utf8(TEXT_NONE));
}

static void the_distance_counts_changes_and_far_texts_are_far(void **state)
{
    assert_int_equal(text_distance(TEXT("workers"), TEXT("workers")), 0);
    assert_int_equal(text_distance(TEXT("wrokers"), TEXT("workers")), 2);
    assert_int_equal(text_distance(TEXT(""), TEXT("abc")), 3);
    assert_int_equal(text_distance(TEXT("kitten"), TEXT("sitting")), 3);
    assert_int_equal(text_distance(TEXT("abcdefghijklmnopqrstuvwxyzabcdef"), TEXT("a")), SIZE_MAX);
}

static void every_character_is_written_as_the_utf8_that_is_read_back(void **state)
{
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char out[4];
        bool valid, is_surrogate = code >= 0xD800 && code <= 0xDFFF;
        size_t size = text_utf8_write(code, out);
        assert_int_equal(size, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        if (!is_surrogate)
            assert_int_equal(text_utf8_sequence(text_of(out, size), &valid), size);
        assert_true(is_surrogate || valid);
        uint32_t back = size == 1 ? (unsigned char)out[0] : (unsigned char)out[0] & (0x7Fu >> size);
        for (size_t i = 1; i < size; i++)
            back = back << 6 | ((unsigned char)out[i] & 0x3Fu);
        assert_int_equal(back, code);
    }
}

static void what_is_trimmed_of_lines_loses_every_space_at_its_ends_and_none_within(void **state)
{
    assert_true(text_equal(text_trim_lines(TEXT(" \t\r\n a b\n c\r\n ")), TEXT("a b\n c")));
    assert_true(text_equal(text_trim_lines(TEXT("a\f")), TEXT("a\f")));
    assert_int_equal(text_trim_lines(TEXT("\n \r\t")).size, 0);
    assert_int_equal(text_trim_lines(TEXT_NONE).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_distance_counts_changes_and_far_texts_are_far),
        cmocka_unit_test(a_whole_number_within_int64_is_read),
        cmocka_unit_test(what_is_no_int64_is_refused_and_leaves_the_value),
        cmocka_unit_test(a_json_number_is_read_as_the_nearest_double),
        cmocka_unit_test(what_is_no_finite_json_number_is_refused),
        cmocka_unit_test(a_number_may_have_64_characters_and_no_more),
        cmocka_unit_test(splitting_yields_empty_parts_and_ends_with_none),
        cmocka_unit_test(comparing_knows_ascii_case_only),
        cmocka_unit_test(trimming_takes_spaces_and_tabs_only),
        cmocka_unit_test(utf8_of_one_to_four_bytes_is_judged_as_rfc_3629_says),
        cmocka_unit_test(every_character_is_written_as_the_utf8_that_is_read_back),
        cmocka_unit_test(what_is_trimmed_of_lines_loses_every_space_at_its_ends_and_none_within),
        cmocka_unit_test(an_ill_formed_sequence_is_measured_as_its_maximal_subpart),
        cmocka_unit_test(one_bad_byte_is_found_at_any_place_of_a_long_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
