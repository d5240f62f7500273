#include "tests/unit/upload/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct table_csv plain = {.delimiter = ',', .quote = '"', .has_header = true, .null = {"", 0}};

static void read_csv(const struct table_csv *options, size_t row_max, struct text file, size_t piece,
                     struct transcript *transcript)
{
    buffer_init(&transcript->out, (size_t)1 << 24);
    struct table_reader *reader = table_csv_create(options, &transcript_handlers, transcript);
    assert_non_null(reader);
    if (row_max != 0)
        reader->row_max = row_max;
    enum status status = transcript_feed(reader, transcript, file, piece);
    assert_true(status == STATUS_OK || status == STATUS_INVALID || status == STATUS_DENIED);
}

/* However the file is cut: all at once, byte by byte, and in between. */
static void assert_bounded_csv(const struct table_csv *options, size_t row_max, struct text file, const char *expected)
{
    static const size_t pieces[] = {0, 1, 2, 3, 5, 7, 16, 63, 64, 65, 129};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct transcript transcript = {0};
        read_csv(options, row_max, file, pieces[i], &transcript);
        const char *got = buffer_c_string(&transcript.out);
        if (strcmp(got, expected) != 0)
            print_error("in pieces of %zu bytes:\n", pieces[i]);
        assert_string_equal(got, expected);
        buffer_free(&transcript.out);
    }
}

#define assert_csv(options, file, expected) assert_bounded_csv((options), 0, TEXT(file), (expected))

static void a_header_names_the_columns_and_rows_follow(void **state)
{
    assert_csv(&plain, "id,name\n1,Sofia\n2,Varna\n", "= id|name\n2: 1|Sofia\n3: 2|Varna\n");
}

static void without_a_header_columns_are_numbered(void **state)
{
    struct table_csv options = plain;
    options.has_header = false;
    assert_csv(&options, "1,Sofia\n2,Varna\n", "= c1|c2\n1: 1|Sofia\n2: 2|Varna\n");
}

static void the_last_row_needs_no_line_end(void **state)
{
    assert_csv(&plain, "a,b\n1,2", "= a|b\n2: 1|2\n");
    assert_csv(&plain, "a,b\n1,", "= a|b\n2: 1|~\n");
    assert_csv(&plain, "a,b\n1,\"2\"", "= a|b\n2: 1|\"2\"\n");
    assert_csv(&plain, "a,b", "= a|b\n");
}

static void lines_end_with_lf_crlf_or_cr_and_are_counted_once(void **state)
{
    assert_csv(&plain, "a,b\r\n1,2\r\n3,4\r\n", "= a|b\n2: 1|2\n3: 3|4\n");
    assert_csv(&plain, "a,b\r1,2\r3,4\r", "= a|b\n2: 1|2\n3: 3|4\n");
    assert_csv(&plain, "a,b\n1,2\r3,4\r\n5,6\n", "= a|b\n2: 1|2\n3: 3|4\n4: 5|6\n");
    assert_csv(&plain, "a,b\n1,2\n\r3,4\r\r5,6\r\n\r\n7,8", "= a|b\n2: 1|2\n4: 3|4\n6: 5|6\n8: 7|8\n");
}

static void line_ends_within_quotes_are_text_and_counted(void **state)
{
    assert_csv(&plain, "a,b\n\"x\ny\r\nz\rw\",1\n2,3\n", "= a|b\n2: \"x\ny\r\nz\rw\"|1\n6: 2|3\n");
}

static void quotes_keep_delimiters_and_doubled_quotes(void **state)
{
    assert_csv(&plain, "a,b\n\"x,y\",\"say \"\"hi\"\"\"\n\"\",\"\"\"\"\n",
               "= a|b\n2: \"x,y\"|\"say \"hi\"\"\n3: \"\"|\"\"\"\n");
}

static void a_quote_within_an_unquoted_field_is_text(void **state)
{
    assert_csv(&plain, "a,b\n5\" pipe,1\n it\"s\",\" 2\n",
               "= a|b\n2: 5\" pipe|1\n"
               "invalid: the quote (\") that opens in line 3 is never closed: double the quotes that "
               "belong to the text, or state another `quote`\n");
    assert_csv(&plain, "a,b\n5\" pipe,1\n", "= a|b\n2: 5\" pipe|1\n");
}

static void without_quotes_a_quote_is_text(void **state)
{
    struct table_csv options = plain;
    options.quote = 0;
    assert_csv(&options, "a,b\n\"1,2\"\n", "= a|b\n2: \"1|2\"\n");
}

static void a_single_quote_can_be_the_quote(void **state)
{
    struct table_csv options = plain;
    options.quote = '\'';
    options.delimiter = ';';
    assert_csv(&options, "a;b\n'x;''y';\"1\n", "= a|b\n2: \"x;'y\"|\"1\n");
}

static void tabs_and_pipes_delimit(void **state)
{
    struct table_csv options = plain;
    options.delimiter = '\t';
    assert_csv(&options, "a\tb\n1,5\t2\n", "= a|b\n2: 1,5|2\n");
    options.delimiter = '|';
    assert_csv(&options, "a|b\n1,5|2\n", "= a|b\n2: 1,5|2\n");
}

static void the_null_text_is_null_only_without_quotes(void **state)
{
    struct table_csv options = plain;
    assert_csv(&options, "a,b\n,\"\"\n", "= a|b\n2: ~|\"\"\n");
    options.null = TEXT("NA");
    assert_csv(&options, "a,NA\nNA,\"NA\"\n,NAN\n", "= a|NA\n2: ~|\"NA\"\n3: |NAN\n");
}

static void spaces_around_unquoted_fields_go_where_told(void **state)
{
    struct table_csv options = plain;
    assert_csv(&options, "a,b\n 1 , x y \n", "= a|b\n2:  1 | x y \n");
    options.trims_spaces = true;
    assert_csv(&options, "a,b\n 1 , x y \n  ,\t\" 2 \" \n   \n", "= a|b\n2: 1|x y\n3: ~|\" 2 \"\n");
}

static void backslashes_escape_only_where_told(void **state)
{
    struct table_csv options = plain;
    assert_csv(&options, "a,b\n\"C:\\\",1\n", "= a|b\n2: \"C:\\\"|1\n");
    options.backslash_escapes = true;
    assert_csv(&options, "a,b\n\"say \\\"hi\\\", \\\\\",1\n\"C:\\new \"\"x\"\"\",\\n\n",
               "= a|b\n2: \"say \"hi\", \\\"|1\n3: \"C:\\new \"x\"\"|\\n\n");
}

static void empty_lines_are_passed_over(void **state)
{
    assert_csv(&plain, "\n\r\na,b\n\n1,2\n\n\n3,4\n\n", "= a|b\n5: 1|2\n8: 3|4\n");
    assert_csv(&plain, "a\n1\n\n2\n\"\"\n", "= a\n2: 1\n4: 2\n5: \"\"\n");
}

static void ragged_rows_are_bad_and_say_both_counts(void **state)
{
    assert_csv(&plain, "a,b\n1\n1,2,3\n4,5\n",
               "= a|b\n!2: has 1 field, 2 are expected <1>\n!3: has 3 fields, 2 are expected <1,2,3>\n4: 4|5\n");
    assert_csv(&plain, "a\n1,2\n", "= a\n!2: has 2 fields, 1 is expected <1,2>\n");
}

static void a_delimiter_at_every_end_is_an_empty_column(void **state)
{
    assert_csv(&plain, "a,b,\n1,2,\n", "= a|b|c3\n2: 1|2|~\n");
}

static void text_behind_a_closing_quote_is_a_bad_row(void **state)
{
    assert_csv(&plain, "a,b\n1,\"a\"b\n\"a\" ,2\n\"a\"b\"c,d\"\n5,6\n",
               "= a|b\n!2@1: has something behind the closing quote of field 2 <1,\"a\"b>\n"
               "!3@0: has something behind the closing quote of field 1 <\"a\" ,2>\n"
               "!4@0: has something behind the closing quote of field 1 <\"a\"b\"c,d\">\n5: 5|6\n");
    assert_csv(&plain, "a,\"b\"c\n1,2\n",
               "invalid: line 1: the header has something behind the closing quote of field 2\n");
}

static void a_quote_that_is_never_closed_names_its_line(void **state)
{
    assert_csv(
        &plain, "a,b\n1,\"x\ny\",\"2\n3,4\n",
        "= a|b\ninvalid: the quote (\") that opens in line 3 is never closed: double the quotes that belong to the "
        "text, or state another `quote`\n");
}

static void titles_before_the_header_are_skipped_where_told(void **state)
{
    struct table_csv options = plain;
    options.skip_lines = 2;
    assert_csv(&options, "My \"report\r\n\r\na,b\r\n1,2\r\n", "= a|b\n4: 1|2\n");
    assert_csv(&options, "one\ntwo", "invalid: the file has no row, not even a header\n");
}

static void a_file_without_rows_is_refused(void **state)
{
    struct table_csv options = plain;
    assert_csv(&options, "", "invalid: the file has no row, not even a header\n");
    assert_csv(&options, "\n\r\n", "invalid: the file has no row, not even a header\n");
    options.has_header = false;
    assert_csv(&options, "\n", "invalid: the file has no row\n");
}

static void names_that_cannot_be_fail_the_file_with_the_line(void **state)
{
    struct transcript transcript = {0};
    read_csv(&plain, 0, TEXT("\na,a\n1,2\n"), 0, &transcript);
    assert_true(text_starts_with(buffer_text(&transcript.out), TEXT("invalid: line 2: ")));
    buffer_free(&transcript.out);
}

static void rows_of_the_greatest_length_pass_and_longer_ones_are_bad(void **state)
{
    assert_bounded_csv(&plain, 8, TEXT("a,b\n1234,678\n1234,6789\n\"\n34\",678\n5,6\n"),
                       "= a|b\n2: 1234|678\n!3: is longer than 8 bytes; is a quote in it never closed? <1234,678>\n"
                       "!4: is longer than 8 bytes; is a quote in it never closed? <\"\n34\",67>\n6: 5|6\n");
    assert_bounded_csv(&plain, 8, TEXT("a,b\n12345678901,\"a,\r\n\"\"b\r\",\"\n\"\r\n5,6\r\n"),
                       "= a|b\n!2: is longer than 8 bytes; is a quote in it never closed? <12345678>\n6: 5|6\n");
    assert_bounded_csv(
        &plain, 8, TEXT("a,b\n12345678901,\"a\n5,6\n"),
        "= a|b\n!2: is longer than 8 bytes; is a quote in it never closed? <12345678>\n"
        "invalid: the quote (\") that opens in line 2 is never closed: double the quotes that belong to the "
        "text, or state another `quote`\n");
    assert_bounded_csv(&plain, 8, TEXT("abcdefghij,b\n1,2\n"), "invalid: line 1: the header is longer than 8 bytes\n");
}

static void what_is_passed_over_is_read_by_the_same_rules(void **state)
{
    struct table_csv options = plain;
    options.trims_spaces = options.backslash_escapes = true;
    assert_bounded_csv(&options, 8, TEXT("a,b\n1234567890,    \"x\\\"\n\\\\\"  , x \"\n5,6\n"),
                       "= a|b\n!2: is longer than 8 bytes; is a quote in it never closed? <12345678>\n4: 5|6\n");
}

static void ten_thousand_columns_are_refused(void **state)
{
    struct transcript transcript = {0};
    struct buffer file;
    buffer_init(&file, 1 << 20);
    for (int i = 0; i < 10000; i++)
        buffer_printf(&file, "%sx%d", i != 0 ? "," : "", i);
    buffer_append_literal(&file, "\n1,2\n");
    read_csv(&plain, 0, buffer_text(&file), 1000, &transcript);
    assert_string_equal(buffer_c_string(&transcript.out), "invalid: line 1 has 10000 columns; a table can have 1500: "
                                                          "is the delimiter ',' right?\n");
    buffer_free(&transcript.out);
    buffer_clear(&file);
    buffer_append_literal(&file, "a,b\n");
    for (int i = 0; i < 9999; i++)
        buffer_append_char(&file, ',');
    buffer_append_literal(&file, "\n1,2\n");
    transcript = (struct transcript){.brief = true};
    read_csv(&plain, 0, buffer_text(&file), 1000, &transcript);
    assert_string_equal(buffer_c_string(&transcript.out),
                        "= a|b\n!2: has 10000 fields, 2 are expected <9999>\n3: 1|1\n");
    buffer_free(&transcript.out);
    buffer_free(&file);
}

static void a_line_of_a_hundred_megabytes_is_one_bad_row_in_bounded_memory(void **state)
{
    struct transcript transcript = {.brief = true};
    struct failure failure;
    static char piece[1 << 20];
    memset(piece, 'x', sizeof(piece));
    buffer_init(&transcript.out, 4096);
    struct table_reader *reader = table_csv_create(&plain, &transcript_handlers, &transcript);
    assert_int_equal(table_read(reader, TEXT("a,b\n1,"), false, &failure), STATUS_OK);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(table_read(reader, text_of(piece, sizeof(piece)), false, &failure), STATUS_OK);
        assert_true(reader->kept.capacity <= TABLE_ROW_MAX + ((size_t)1 << 20));
    }
    assert_int_equal(transcript.bad, 1); /* told as soon as it is known */
    assert_int_equal(table_read(reader, TEXT("\n3,4\n"), true, &failure), STATUS_OK);
    assert_string_equal(buffer_c_string(&transcript.out),
                        "= a|b\n!2: is longer than 16777216 bytes; is a quote in it never closed? "
                        "<65536>\n3: 1|1\n");
    table_reader_free(reader);
    buffer_free(&transcript.out);
}

static void a_raw_row_is_cut_between_characters(void **state)
{
    struct transcript transcript = {.brief = true};
    struct buffer file;
    buffer_init(&file, 1 << 20);
    buffer_append_literal(&file, "a,b\nx");
    while (file.size < 70000)
        buffer_append_literal(&file, "\xD0\xA1");
    read_csv(&plain, 0, buffer_text(&file), 4096, &transcript);
    assert_string_equal(buffer_c_string(&transcript.out), "= a|b\n!2: has 1 field, 2 are expected <65535>\n");
    buffer_free(&transcript.out);
    buffer_free(&file);
}

static void a_handler_that_says_stop_ends_the_reading(void **state)
{
    for (size_t after = 1; after <= 4; after++) {
        struct transcript transcript = {.stop_after = after};
        read_csv(&plain, 0, TEXT("a,b\n1,2\n3\n4,5\n6,7\n"), after, &transcript);
        static const char *const expected[] = {
            "= a|b\ndenied: reading the file was stopped\n", "= a|b\n2: 1|2\ndenied: reading the file was stopped\n",
            "= a|b\n2: 1|2\n!3: has 1 field, 2 are expected <3>\ndenied: reading the file was stopped\n",
            "= a|b\n2: 1|2\n!3: has 1 field, 2 are expected <3>\n4: 4|5\ndenied: reading the file was stopped\n"};
        assert_string_equal(buffer_c_string(&transcript.out), expected[after - 1]);
        buffer_free(&transcript.out);
    }
}

static void bytes_that_matter_are_found_wherever_they_stand(void **state)
{
    static const char needles[] = {',', '\n', '\r', '"', '\\'};
    char block[64];
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t expected = 0;
        for (unsigned i = 0; i < sizeof(block); i++) {
            block[i] = rand() % 4 == 0 ? needles[rand() % 5] : (char)(rand() % 255 + 1);
            for (unsigned needle = 0; needle < 5; needle++)
                expected |= (uint64_t)(block[i] == needles[needle]) << i;
        }
        assert_int_equal(table_find(block, needles, 5), expected);
        unsigned size = round % 63 + 1;
        assert_int_equal(table_find_tail(block, size, needles, 5), expected & (((uint64_t)1 << size) - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_names_the_columns_and_rows_follow),
        cmocka_unit_test(without_a_header_columns_are_numbered),
        cmocka_unit_test(the_last_row_needs_no_line_end),
        cmocka_unit_test(lines_end_with_lf_crlf_or_cr_and_are_counted_once),
        cmocka_unit_test(line_ends_within_quotes_are_text_and_counted),
        cmocka_unit_test(quotes_keep_delimiters_and_doubled_quotes),
        cmocka_unit_test(a_quote_within_an_unquoted_field_is_text),
        cmocka_unit_test(without_quotes_a_quote_is_text),
        cmocka_unit_test(a_single_quote_can_be_the_quote),
        cmocka_unit_test(tabs_and_pipes_delimit),
        cmocka_unit_test(the_null_text_is_null_only_without_quotes),
        cmocka_unit_test(spaces_around_unquoted_fields_go_where_told),
        cmocka_unit_test(backslashes_escape_only_where_told),
        cmocka_unit_test(empty_lines_are_passed_over),
        cmocka_unit_test(ragged_rows_are_bad_and_say_both_counts),
        cmocka_unit_test(a_delimiter_at_every_end_is_an_empty_column),
        cmocka_unit_test(text_behind_a_closing_quote_is_a_bad_row),
        cmocka_unit_test(a_quote_that_is_never_closed_names_its_line),
        cmocka_unit_test(titles_before_the_header_are_skipped_where_told),
        cmocka_unit_test(a_file_without_rows_is_refused),
        cmocka_unit_test(names_that_cannot_be_fail_the_file_with_the_line),
        cmocka_unit_test(rows_of_the_greatest_length_pass_and_longer_ones_are_bad),
        cmocka_unit_test(what_is_passed_over_is_read_by_the_same_rules),
        cmocka_unit_test(ten_thousand_columns_are_refused),
        cmocka_unit_test(a_line_of_a_hundred_megabytes_is_one_bad_row_in_bounded_memory),
        cmocka_unit_test(a_raw_row_is_cut_between_characters),
        cmocka_unit_test(a_handler_that_says_stop_ends_the_reading),
        cmocka_unit_test(bytes_that_matter_are_found_wherever_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
