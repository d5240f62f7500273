#include "tests/unit/upload/transcript_assert.h"

#define assert_ndjson(file, expected) assert_transcript(table_ndjson_create, 0, TEXT(file), (expected))

/* One line behind a good one: a bad row for `reason`. */
static void assert_bad(const char *line, const char *reason)
{
    struct buffer file, expected;
    buffer_init(&file, 1 << 20);
    buffer_init(&expected, 1 << 20);
    buffer_printf(&file, "{\"a\":1}\n%s\n", line);
    buffer_printf(&expected, "= a\n1: #1\n!2: %s <%s>\n", reason, line);
    assert_transcript(table_ndjson_create, 0, buffer_text(&file), buffer_c_string(&expected));
    buffer_free(&file);
    buffer_free(&expected);
}

static void the_first_object_tells_the_columns_and_order_does_not_matter(void **state)
{
    assert_ndjson("{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"a\":2}\n{\"b\":\"z\"}",
                  "= a|b\n1: #1|'x'\n2: #2|'y'\n3: ~|'z'\n");
}

static void values_keep_their_kind_and_numbers_their_text(void **state)
{
    assert_ndjson(" { \"a\" : -0.10E+05 , \"b\" : true , \"c\" : null , \"d\" : \"007\",\"e\":false }\r\n\n",
                  "= a|b|c|d|e\n1: #-0.10E+05|?true|~|'007'|?false\n");
}

static void nested_values_are_compact_json(void **state)
{
    assert_ndjson("{\"a\": [1, 2.50 , {\"x y\" : \"q \\\" \\u00e9\", \"n\": null}, [ ] , { }]}\n",
                  "= a\n1: [1,2.50,{\"x y\":\"q \\\" \\u00e9\",\"n\":null},[],{}]\n");
}

static void escapes_are_resolved_in_texts_and_names(void **state)
{
    assert_ndjson("{\"\\u0061\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u0416 \\uD83D\\ude00 \\u20AC\"}\n{\"a\":\"\"}\n",
                  "= a\n1: '\"\\/\b\f\n\r\t \xD0\x96 \xF0\x9F\x98\x80 \xE2\x82\xAC'\n2: ''\n");
}

static void a_new_member_is_a_column_behind_the_others(void **state)
{
    assert_ndjson("{\"a\":1}\n{\"c\":3,\"a\":2,\"b\":4}\n{\"a\":5}\n{\"b\":6}\n",
                  "= a\n1: #1\n+ c\n+ b\n2: #2|#3|#4\n3: #5|~|~\n4: ~|~|#6\n");
}

static void a_bad_row_makes_no_columns(void **state)
{
    assert_ndjson("{\"a\":1}\n{\"x\":1,\"y\":}\n{\"y\":2}\n",
                  "= a\n1: #1\n!2: is not JSON: a value is expected at byte 12 <{\"x\":1,\"y\":}>\n+ y\n3: ~|#2\n");
}

static void names_are_postgresqls_and_found_by_the_files(void **state)
{
    assert_ndjson("{\" a \":1,\"\":2}\n{\"\":4,\" a \":3}\n", "= a|c2\n1: #1|#2\n2: #3|#4\n");
}

static void a_name_that_cannot_be_fails_the_file_first_and_the_row_later(void **state)
{
    struct transcript transcript = {0};
    buffer_init(&transcript.out, 1 << 16);
    transcript_feed(table_ndjson_create(&transcript_handlers, &transcript), &transcript,
                    TEXT("{\"ctid\":1}\n{\"a\":2}\n"), 0);
    assert_true(text_starts_with(buffer_text(&transcript.out), TEXT("invalid: line 1: ")));
    buffer_clear(&transcript.out);
    transcript_feed(table_ndjson_create(&transcript_handlers, &transcript), &transcript,
                    TEXT("{\"a\":1}\n{\"b\":1,\"ctid\":2}\n{\"a\":3}"), 0);
    assert_int_equal(transcript.rows, 2);
    assert_int_equal(transcript.bad, 1);
    assert_null(strchr(buffer_c_string(&transcript.out), '+'));
    buffer_free(&transcript.out);
}

static void a_repeated_member_is_a_bad_row(void **state)
{
    assert_bad("{\"a\":1,\"a\":2}", "has more than one member \"a\"");
    assert_bad("{\"b\":1,\"\\u0062\":2}", "has more than one member \"b\"");
    assert_ndjson("{\"a\":1,\"a\":2}\n{\"b\":1}\n",
                  "!1: has more than one member \"a\" <{\"a\":1,\"a\":2}>\n= b\n2: #1\n");
}

static void what_is_no_object_is_a_bad_row(void **state)
{
    assert_bad("[1]", "is not a JSON object: { is expected at byte 1");
    assert_bad("null", "is not a JSON object: { is expected at byte 1");
    assert_bad("{\"a\":1}{", "has something behind its end at byte 8");
    assert_bad("{\"a\":1", "is not JSON: , or } is expected at byte 7");
    assert_bad("{", "is not JSON: a member's name in quotes is expected at byte 2");
    assert_bad("{\"a\"", "is not JSON: : is expected at byte 5");
    assert_bad("{\"a\":", "is not JSON: a value is expected at byte 6");
    assert_bad("{\"a\":1,}", "is not JSON: a member's name in quotes is expected at byte 8");
    assert_bad("{,\"a\":1}", "is not JSON: a member's name in quotes is expected at byte 2");
    assert_bad("{a:1}", "is not JSON: a member's name in quotes is expected at byte 2");
}

static void json_is_read_strictly(void **state)
{
    assert_bad("{\"a\":01}", "is not JSON: , or } is expected at byte 7");
    assert_bad("{\"a\":+1}", "is not JSON: a value is expected at byte 6");
    assert_bad("{\"a\":.5}", "is not JSON: a value is expected at byte 6");
    assert_bad("{\"a\":1.}", "is not JSON: a digit is expected at byte 8");
    assert_bad("{\"a\":1e}", "is not JSON: a digit is expected at byte 8");
    assert_bad("{\"a\":-}", "is not JSON: a value is expected at byte 7");
    assert_bad("{\"a\":NaN}", "is not JSON: a value is expected at byte 6");
    assert_bad("{\"a\":nul}", "is not JSON: a value is expected at byte 6");
    assert_bad("{\"a\":truex}", "is not JSON: , or } is expected at byte 10");
    assert_bad("{\"a\":'x'}", "is not JSON: a value is expected at byte 6");
    assert_bad("{\"a\":\"x}", "is not JSON: a string without its closing quote at byte 9");
    assert_bad("{\"a\":\"\t\"}", "is not JSON: a control character within a string must be escaped; at byte 7");
    assert_bad("{\"a\":[1,]}", "is not JSON: a value is expected at byte 9");
    assert_bad("{\"a\":[1 2]}", "is not JSON: , or ] is expected at byte 9");
    assert_bad("{\"a\":{\"b\":1,}}", "is not JSON: a member's name in quotes is expected at byte 13");
    assert_bad("{\"a\":[}]", "is not JSON: a value is expected at byte 7");
}

static void escapes_that_text_cannot_hold_are_bad_rows_wherever_they_stand(void **state)
{
    assert_bad("{\"a\":\"\\u0000\"}", "holds \\u0000, which PostgreSQL cannot keep, at byte 13");
    assert_bad("{\"a\":[\"\\u0000\"]}", "holds \\u0000, which PostgreSQL cannot keep, at byte 14");
    assert_bad("{\"\\u0000\":1}", "holds \\u0000, which PostgreSQL cannot keep, at byte 9");
    assert_bad("{\"a\":\"\\uD800\"}", "holds half a surrogate pair (\\uD800 to \\uDBFF) at byte 13");
    assert_bad("{\"a\":\"\\uD800\\n\"}", "holds half a surrogate pair (\\uD800 to \\uDBFF) at byte 14");
    assert_bad("{\"a\":\"\\uD800\\u0041\"}", "holds half a surrogate pair (\\uD800 to \\uDBFF) at byte 19");
    assert_bad("{\"a\":{\"\\udc00\":1}}", "holds half a surrogate pair (\\uDC00 to \\uDFFF) at byte 14");
    assert_bad("{\"a\":\"\\x\"}", "is not JSON: an unknown escape at byte 8");
    assert_bad("{\"a\":\"\\u12G4\"}", "is not JSON: \\u without four hexadecimal digits at byte 9");
    assert_bad("{\"a\":\"\\u12", "is not JSON: \\u without four hexadecimal digits at byte 9");
}

static void nesting_is_bounded(void **state)
{
    char line[200] = "{\"a\":", raw[200];
    size_t at = strlen(line);
    memset(line + at, '[', 63);
    memset(line + at + 63, ']', 63);
    memcpy(line + at + 126, "}", 2);
    struct buffer expected;
    buffer_init(&expected, 1 << 16);
    buffer_printf(&expected, "= a\n1: %.126s\n", line + at);
    assert_transcript(table_ndjson_create, 0, text_from_string(line), buffer_c_string(&expected));
    buffer_free(&expected);
    memset(line + at, '[', 64);
    memset(line + at + 64, ']', 64);
    memcpy(line + at + 128, "}", 2);
    memcpy(raw, line, sizeof(raw));
    assert_bad(raw, "is nested deeper than 64 levels at byte 70");
}

static void numbers_within_json_stay_within_numeric(void **state)
{
    assert_ndjson("{\"a\":[1e131071, 1e-16383, 0.5]}\n", "= a\n1: [1e131071,1e-16383,0.5]\n");
    const char *bounds =
        "holds a number beyond PostgreSQL's numeric (131072 digits before the point, 16383 behind) at byte 15";
    assert_bad("{\"a\":[1e131072]}", bounds);
    assert_bad("{\"a\":[1e-16384]}", bounds);
    assert_bad("{\"a\":[1e99999999999999999999]}",
               "holds a number beyond PostgreSQL's numeric (131072 digits before the point, 16383 behind) at byte 29");
}

static void an_object_without_members_is_a_row_of_nulls_once_columns_are_known(void **state)
{
    assert_ndjson("{}\n{\"a\":1}\n{}\n", "!1: has no members, and no row before it that would tell columns <{}>\n"
                                         "= a\n2: #1\n3: ~\n");
}

static void a_file_without_an_object_is_refused(void **state)
{
    assert_ndjson("", "invalid: the file has no row\n");
    assert_ndjson("\n \r\n", "invalid: the file has no row\n");
    assert_ndjson("1\n", "!1: is not a JSON object: { is expected at byte 1 <1>\n"
                         "invalid: no line of the file is a JSON object with members\n");
}

static void lines_too_long_are_bad_rows_and_passed_over(void **state)
{
    assert_transcript(table_ndjson_create, 8, TEXT("{\"a\":12}\n{\"a\":123}\n{\"a\":3}\n{\"a\":12345678901234567890}"),
                      "= a\n1: #12\n!2: is longer than 8 bytes; NDJSON has an object a line <{\"a\":123>\n3: #3\n"
                      "!4: is longer than 8 bytes; NDJSON has an object a line <{\"a\":123>\n");
}

static void columns_are_bounded_and_a_row_of_many_names_is_bad(void **state)
{
    struct transcript transcript = {0};
    struct buffer file;
    buffer_init(&file, 1 << 20);
    buffer_init(&transcript.out, 1 << 20);
    buffer_append_literal(&file, "{\"a\":1}\n{");
    for (int i = 0; i < 1500; i++)
        buffer_printf(&file, "%s\"x%d\":%d", i != 0 ? "," : "", i, i);
    buffer_append_literal(&file, "}\n{");
    for (int i = 0; i < 1499; i++)
        buffer_printf(&file, "%s\"x%d\":%d", i != 0 ? "," : "", i, i);
    buffer_append_literal(&file, "}\n{\"y\":1}\n{\"x1498\":7}\n");
    transcript.brief = true;
    transcript_feed(table_ndjson_create(&transcript_handlers, &transcript), &transcript, buffer_text(&file), 777);
    const char *got = buffer_c_string(&transcript.out);
    assert_non_null(strstr(got, "!2: makes more than 1500 columns with \"x1499\" <"));
    assert_non_null(strstr(got, "+ x1498\n3: "));
    assert_non_null(strstr(got, "!4: makes more than 1500 columns with \"y\" <7>\n"));
    assert_int_equal(transcript.rows, 3);
    assert_int_equal(transcript.bad, 2);
    buffer_free(&transcript.out);
    buffer_free(&file);
}

static void a_handler_that_says_stop_ends_the_reading(void **state)
{
    for (size_t after = 1; after <= 3; after++) {
        struct transcript transcript = {.stop_after = after};
        buffer_init(&transcript.out, 1 << 16);
        static const char *const expected[] = {"= a\ndenied: reading the file was stopped\n",
                                               "= a\n1: #1\ndenied: reading the file was stopped\n",
                                               "= a\n1: #1\n+ b\ndenied: reading the file was stopped\n"};
        assert_int_equal(transcript_feed(table_ndjson_create(&transcript_handlers, &transcript), &transcript,
                                         TEXT("{\"a\":1}\n{\"b\":2}\n"), after),
                         STATUS_DENIED);
        assert_string_equal(buffer_c_string(&transcript.out), expected[after - 1]);
        buffer_free(&transcript.out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_object_tells_the_columns_and_order_does_not_matter),
        cmocka_unit_test(values_keep_their_kind_and_numbers_their_text),
        cmocka_unit_test(nested_values_are_compact_json),
        cmocka_unit_test(escapes_are_resolved_in_texts_and_names),
        cmocka_unit_test(a_new_member_is_a_column_behind_the_others),
        cmocka_unit_test(a_bad_row_makes_no_columns),
        cmocka_unit_test(names_are_postgresqls_and_found_by_the_files),
        cmocka_unit_test(a_name_that_cannot_be_fails_the_file_first_and_the_row_later),
        cmocka_unit_test(a_repeated_member_is_a_bad_row),
        cmocka_unit_test(what_is_no_object_is_a_bad_row),
        cmocka_unit_test(json_is_read_strictly),
        cmocka_unit_test(escapes_that_text_cannot_hold_are_bad_rows_wherever_they_stand),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(numbers_within_json_stay_within_numeric),
        cmocka_unit_test(an_object_without_members_is_a_row_of_nulls_once_columns_are_known),
        cmocka_unit_test(a_file_without_an_object_is_refused),
        cmocka_unit_test(lines_too_long_are_bad_rows_and_passed_over),
        cmocka_unit_test(columns_are_bounded_and_a_row_of_many_names_is_bad),
        cmocka_unit_test(a_handler_that_says_stop_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
