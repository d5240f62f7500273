#include "audit/line.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void texts_and_numbers_of_the_line_itself_are_picked(void **state)
{
    struct text line =
        TEXT("{\"seq\":7,\"a\":{\"event\":\"x\",\"l\":[1,{}]},\"event\":\"say \\\"\\u00e9\\\"\",\"n\":-1,"
             "\"f\":1.5e3,\"b\":true,\"z\":null,\"event\":\"second\"}\n");
    struct text raw;
    uint64_t number;
    assert_true(line_text(line, "event", &raw));
    assert_true(text_equal(raw, TEXT("say \\\"\\u00e9\\\"")));
    assert_true(line_number(line, "seq", &number));
    assert_int_equal(number, 7);
    assert_false(line_number(line, "n", &number));
    assert_false(line_number(line, "f", &number));
    assert_false(line_text(line, "seq", &raw));
    assert_false(line_text(line, "l", &raw));
    assert_false(line_text(line, "b", &raw));
}

static void what_is_no_json_ends_the_reading(void **state)
{
    static const char *const lines[] = {"",
                                        "\n",
                                        "{",
                                        "[]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "{\"a\":01}",
                                        "{\"a\":1}x",
                                        "{\"a\":1}\n\n",
                                        "{\"a\":tru}",
                                        "{\"a\":\"}",
                                        "{\"a\":\"\\x\"}",
                                        "{\"a\":\"\\u12g4\"}",
                                        "{,}",
                                        "{\"a\":1 }",
                                        "{\"a\":\"\t\"}",
                                        "{\"a\":[1}",
                                        "{\"a\":-}",
                                        "{\"a\":1.}"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct line_cursor cursor = line_begin(text_from_string(lines[i]));
        struct line_member member;
        while (line_next(&cursor, &member))
            ;
        if (!cursor.bad)
            fail_msg("taken for an object: %s", lines[i]);
    }
    struct line_cursor empty = line_begin(TEXT("{}\n"));
    struct line_member member;
    assert_false(line_next(&empty, &member));
    assert_false(empty.bad);
}

static void depth_is_bounded(void **state)
{
    struct buffer deep;
    struct line_member member;
    for (size_t depth = LINE_DEPTH_MAX; depth <= LINE_DEPTH_MAX + 1; depth++) {
        buffer_init(&deep, 1000);
        buffer_append_literal(&deep, "{\"a\":");
        for (size_t i = 0; i < depth; i++)
            buffer_append_char(&deep, '[');
        for (size_t i = 0; i < depth; i++)
            buffer_append_char(&deep, ']');
        buffer_append_char(&deep, '}');
        struct line_cursor cursor = line_begin(buffer_text(&deep));
        assert_int_equal(line_next(&cursor, &member), depth == LINE_DEPTH_MAX);
        buffer_free(&deep);
    }
}

static void numbers_that_do_not_fit_are_none(void **state)
{
    uint64_t number;
    assert_true(line_is_number(TEXT("18446744073709551615"), &number));
    assert_true(number == UINT64_MAX);
    assert_false(line_is_number(TEXT("18446744073709551616"), &number));
    assert_false(line_is_number(TEXT("007"), &number));
    assert_false(line_is_number(TEXT(""), &number));
}

static void a_word_is_encoded_as_the_writer_encodes_it(void **state)
{
    struct buffer out;
    buffer_init(&out, 100);
    buffer_append_literal(&out, "x");
    line_encode(&out, TEXT("a\"b\n"));
    assert_true(text_equal(buffer_text(&out), TEXT("xa\\\"b\\n")));
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_numbers_of_the_line_itself_are_picked),
        cmocka_unit_test(what_is_no_json_ends_the_reading),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(numbers_that_do_not_fit_are_none),
        cmocka_unit_test(a_word_is_encoded_as_the_writer_encodes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
