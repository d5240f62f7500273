#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct buffer buffer;

static int set_up(void **state)
{
    buffer_init(&buffer, 1 << 16);
    return 0;
}

static int tear_down(void **state)
{
    buffer_free(&buffer);
    return 0;
}

static void assert_holds(const char *expected)
{
    assert_false(buffer.failed);
    assert_string_equal(buffer_c_string(&buffer), expected);
    assert_int_equal(buffer.size, strlen(expected));
}

/* The text is read on the heap, where the sanitizer sees a byte too many. */
static void assert_string(struct text text, const char *expected)
{
    char *exact = malloc(text.size != 0 ? text.size : 1);
    if (text.size != 0)
        memcpy(exact, text.data, text.size);
    buffer_clear(&buffer);
    json_append_string(&buffer, text_of(exact, text.size));
    free(exact);
    assert_holds(expected);
}

static void every_control_character_is_escaped(void **state)
{
    static const char *const named[32] = {
        ['\b'] = "\"\\b\"", ['\t'] = "\"\\t\"", ['\n'] = "\"\\n\"", ['\f'] = "\"\\f\"", ['\r'] = "\"\\r\""};
    for (int byte = 0; byte < 32; byte++) {
        char text = (char)byte, expected[16];
        snprintf(expected, sizeof(expected), "\"\\u%04x\"", byte);
        assert_string(text_of(&text, 1), named[byte] != NULL ? named[byte] : expected);
    }
    assert_string(TEXT("\x7F"), "\"\x7F\"");
}

static void quotes_and_backslashes_are_escaped_and_nothing_else(void **state)
{
    assert_string(TEXT(""), "\"\"");
    assert_string(TEXT_NONE, "\"\"");
    assert_string(TEXT("say \"a\\b\"/'<&>"), "\"say \\\"a\\\\b\\\"/'<&>\"");
    assert_string(TEXT("\"\"\"\"\"\"\"\"\"\""), "\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"");
}

static void a_special_byte_is_seen_at_any_place_of_a_long_text(void **state)
{
    static const struct {
        char byte;
        const char *escape;
    } cases[] = {{'"', "\\\""},       {'\\', "\\\\"},    {'\n', "\\n"},
                 {'\x1F', "\\u001f"}, {'\0', "\\u0000"}, {'\xFF', "\xEF\xBF\xBD"}};
    for (size_t size = 1; size <= 40; size++)
        for (size_t at = 0; at < size; at++)
            for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char text[40], expected[64];
                memset(text, '!', sizeof(text)); /* next to the quote */
                memset(text, '[', at);           /* next to the backslash */
                text[at] = cases[i].byte;
                snprintf(expected, sizeof(expected), "\"%.*s%s%.*s\"", (int)at, text, cases[i].escape,
                         (int)(size - at - 1), text + at + 1);
                assert_string(text_of(text, size), expected);
            }
}

static void each_maximal_invalid_part_becomes_one_replacement(void **state)
{
#define R "\xEF\xBF\xBD"
    assert_string(TEXT("a\x80z"), "\"a" R "z\"");
    assert_string(TEXT("\xC3"), "\"" R "\"");
    assert_string(TEXT("\xE2\x82"), "\"" R "\"");
    assert_string(TEXT("\xE2\x82\xE2\x82\xAC"), "\"" R "\xE2\x82\xAC\"");
    assert_string(TEXT("\xC0\xAF"), "\"" R R "\"");
    assert_string(TEXT("\xED\xA0\x80"), "\"" R R R "\"");
    assert_string(TEXT("\xF4\x90\x80\x80"), "\"" R R R R "\"");
    assert_string(TEXT("\xF0\x9F\x92\""), "\"" R "\\\"\"");
    /* The example of Unicode 15, table 3-11. */
    assert_string(TEXT("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\"" R R R R "A\"");
    assert_string(TEXT("\xD0\xA1\xE2\x82\xAC\xF0\x9F\x98\x80"), "\"\xD0\xA1\xE2\x82\xAC\xF0\x9F\x98\x80\"");
#undef R
}

static void the_output_is_always_utf8_without_raw_controls(void **state)
{
    uint64_t bits = 88172645463325252;
    for (int round = 0; round < 50000; round++) {
        char text[24];
        for (size_t i = 0; i < sizeof(text); i++) {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            text[i] = (char)(bits >> (bits % 7));
        }
        buffer_clear(&buffer);
        json_append_string(&buffer, text_of(text, (size_t)round % sizeof(text)));
        assert_true(text_is_utf8(buffer_text(&buffer)));
        for (size_t i = 0; i < buffer.size; i++)
            assert_true((unsigned char)buffer.data[i] >= 0x20);
    }
}

static void numbers_that_json_lacks_are_strings(void **state)
{
    struct json json = json_writer(&buffer);
    json_open_array(&json);
    json_double(&json, NAN);
    json_double(&json, -NAN);
    json_double(&json, INFINITY);
    json_double(&json, -INFINITY);
    json_double(&json, 0.1);
    json_double(&json, -0.0);
    json_double(&json, 1e300);
    json_double(&json, 21);
    json_close_array(&json);
    assert_holds("[\"NaN\",\"NaN\",\"Infinity\",\"-Infinity\",0.1,-0,1e+300,21]");
}

static void commas_stand_between_and_nowhere_else(void **state)
{
    struct json json = json_writer(&buffer);
    json_open_object(&json);
    json_field_text(&json, "a\"", TEXT_NONE);
    json_field_string(&json, "b", "x");
    json_key(&json, TEXT("c"));
    json_open_array(&json);
    json_open_array(&json);
    json_close_array(&json);
    json_open_object(&json);
    json_close_object(&json);
    json_int64(&json, INT64_MIN);
    json_c_string(&json, NULL);
    json_nothing(&json);
    json_raw(&json, TEXT("{\"r\":1}"));
    json_close_array(&json);
    json_field_int64(&json, "d", -1);
    json_field_double(&json, "e", 2.5);
    json_field_bool(&json, "f", true);
    json_field_bool(&json, "g", false);
    json_field_text(&json, "", TEXT(""));
    json_close_object(&json);
    assert_holds("{\"a\\\"\":null,\"b\":\"x\",\"c\":[[],{},-9223372036854775808,null,null,{\"r\":1}],\"d\":-1,"
                 "\"e\":2.5,\"f\":true,\"g\":false,\"\":\"\"}");
}

static void every_cut_by_the_ceiling_is_a_failure_and_never_a_write_past_it(void **state)
{
    char text[] = "abcdefgh\n\xFF\"ijklmnop\x01";
    for (size_t ceiling = 1; ceiling < 64; ceiling++) {
        struct buffer small;
        buffer_init(&small, ceiling);
        json_append_string(&small, text_from_string(text));
        assert_true(small.size <= ceiling);
        /* 16 letters, \n, U+FFFD, \", \u0001 and the two quotes */
        assert_int_equal(small.failed, ceiling < 16 + 2 + 3 + 2 + 6 + 2);
        buffer_free(&small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_control_character_is_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quotes_and_backslashes_are_escaped_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_special_byte_is_seen_at_any_place_of_a_long_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_maximal_invalid_part_becomes_one_replacement, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_output_is_always_utf8_without_raw_controls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_that_json_lacks_are_strings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(commas_stand_between_and_nowhere_else, set_up, tear_down),
        cmocka_unit_test(every_cut_by_the_ceiling_is_a_failure_and_never_a_write_past_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
