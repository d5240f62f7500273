#include "tests/unit/upload/transcript_assert.h"

#define WANTED ". A JSON file is an array of objects ([{…}, {…}]) or one object; objects one a line are NDJSON\n"

#define assert_json(file, expected) assert_transcript(table_json_create, 0, TEXT(file), (expected))

static void an_array_of_objects_is_rows_with_the_lines_they_begin_in(void **state)
{
    assert_json("[{\"a\":1,\"b\":\"x\"},{\"b\":\"y\"}]", "= a|b\n1: #1|'x'\n1: ~|'y'\n");
    assert_json("\n[\n  {\n    \"a\": 1\n  } ,\r\n  {\"a\": 2},\n{\"c\":{\"d\":[1, {}]}}]\n\n",
                "= a\n3: #1\n6: #2\n+ c\n7: ~|{\"d\":[1,{}]}\n");
}

static void one_object_is_one_row(void **state)
{
    assert_json(" {\"a\": 1}\n", "= a\n1: #1\n");
}

static void braces_and_quotes_within_strings_are_text(void **state)
{
    assert_json("[{\"a\":\"}{\"},{\"a\":\"\\\"}\"},{\"a\":\"\\\\\"},{\"a\":\"\\\\\\\"]\"}]",
                "= a\n1: '}{'\n1: '\"}'\n1: '\\'\n1: '\\\"]'\n");
}

static void a_mistake_within_an_object_is_a_bad_row(void **state)
{
    assert_json("[{\"a\":1},\n{\"a\":1,},\n{\"a\":]},{\"a\":\"\\u0000\"},{\"a\":2}]",
                "= a\n1: #1\n!2: is not JSON: a member's name in quotes is expected at byte 8 <{\"a\":1,}>\n"
                "!3: is not JSON: a value is expected at byte 6 <{\"a\":]}>\n"
                "!3: holds \\u0000, which PostgreSQL cannot keep, at byte 13 <{\"a\":\"\\u0000\"}>\n3: #2\n");
}

static void anything_but_objects_is_refused_and_says_what_is_wanted(void **state)
{
    assert_json("[1,2]", "invalid: line 1: an object is wanted in the array: here stands a number" WANTED);
    assert_json("[{\"a\":1},\nnull]", "= a\n1: #1\ninvalid: line 2: an object is wanted behind the comma: here stands "
                                      "true, false or null" WANTED);
    assert_json("[{\"a\":1},]",
                "= a\n1: #1\ninvalid: line 1: an object is wanted behind the comma: here stands punctuation" WANTED);
    assert_json("[[1]]", "invalid: line 1: an object is wanted in the array: here stands an array" WANTED);
    assert_json("\"x\"", "invalid: line 1: an array of objects is wanted: here stands a text" WANTED);
    assert_json("a,b\n1,2\n", "invalid: line 1: an array of objects is wanted: here stands no JSON" WANTED);
    assert_json("[{\"a\":1}\n{\"a\":2}]",
                "= a\n1: #1\ninvalid: line 2: , or ] is wanted behind an object: here stands an object" WANTED);
    assert_json("{\"a\":1}\n{\"a\":2}\n",
                "= a\n1: #1\ninvalid: line 2: nothing is wanted behind the end: here stands an object" WANTED);
}

static void a_file_that_does_not_end_is_refused(void **state)
{
    assert_json("", "invalid: the file has no row\n");
    assert_json(" \n", "invalid: the file has no row\n");
    assert_json("[", "invalid: the array does not end: ] is missing behind line 1\n");
    assert_json("[{\"a\":1}\n", "= a\n1: #1\ninvalid: the array does not end: ] is missing behind line 2\n");
    assert_json("[{\"a\":1},\n{\"a\":\n2", "= a\n1: #1\ninvalid: the object that begins in line 2 does not end\n");
    assert_json("[{\"a\":\"1}]",
                "invalid: the object that begins in line 1 does not end: the file ends within a string\n");
}

static void an_array_without_objects_has_no_columns(void **state)
{
    assert_json("[]", "invalid: the file has no object with members, so no columns are known\n");
    assert_json("[{}]", "!1: has no members, and no row before it that would tell columns <{}>\n"
                        "invalid: the file has no object with members, so no columns are known\n");
}

static void objects_too_long_are_bad_rows_and_passed_over(void **state)
{
    assert_transcript(table_json_create, 8, TEXT("[{\"a\":12},\n{\"a\":\"x}\\\\\\\"}\n\",\"b\":{}},\n{\"a\":3}]"),
                      "= a\n1: #12\n!2: is longer than 8 bytes <{\"a\":\"x}>\n4: #3\n");
    assert_transcript(table_json_create, 8, TEXT("[{\"a\":1234567}"),
                      "!1: is longer than 8 bytes <{\"a\":123>\n"
                      "invalid: the array does not end: ] is missing behind line 1\n");
}

static void an_object_of_a_hundred_megabytes_is_one_bad_row_in_bounded_memory(void **state)
{
    struct transcript transcript = {.brief = true};
    struct failure failure;
    static char piece[1 << 20];
    memset(piece, '{', sizeof(piece));
    buffer_init(&transcript.out, 4096);
    struct table_reader *reader = table_json_create(&transcript_handlers, &transcript);
    assert_int_equal(table_read(reader, TEXT("[{\"a\":1},{\"a\":\""), false, &failure), STATUS_OK);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(table_read(reader, text_of(piece, sizeof(piece)), false, &failure), STATUS_OK);
        assert_true(reader->kept.capacity <= TABLE_ROW_MAX + ((size_t)1 << 20));
    }
    assert_int_equal(table_read(reader, TEXT("\"},{\"a\":2}]"), true, &failure), STATUS_OK);
    assert_string_equal(buffer_c_string(&transcript.out),
                        "= a\n1: #1\n!1: is longer than 16777216 bytes <65536>\n1: #1\n");
    table_reader_free(reader);
    buffer_free(&transcript.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_of_objects_is_rows_with_the_lines_they_begin_in),
        cmocka_unit_test(one_object_is_one_row),
        cmocka_unit_test(braces_and_quotes_within_strings_are_text),
        cmocka_unit_test(a_mistake_within_an_object_is_a_bad_row),
        cmocka_unit_test(anything_but_objects_is_refused_and_says_what_is_wanted),
        cmocka_unit_test(a_file_that_does_not_end_is_refused),
        cmocka_unit_test(an_array_without_objects_has_no_columns),
        cmocka_unit_test(objects_too_long_are_bad_rows_and_passed_over),
        cmocka_unit_test(an_object_of_a_hundred_megabytes_is_one_bad_row_in_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
