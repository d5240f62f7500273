/* Parameters: which is what, which of several counts, how they are decoded; and the canonical form. */
#include "tests/unit/query/dialect_print.h"

#include <time.h>

static void an_empty_query_string_asks_for_everything(void **state)
{
    static const struct dialect_case cases[] = {{"", ""}, {"&", ""}, {"&&a=eq.1&&b=eq.2&", "[a] eq '1' & [b] eq '2'"}};
    CHECK_CASES(cases);
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(dialect_parse(TEXT_NONE, &arena, &query, &mistake), STATUS_OK);
    assert_int_equal(query->select_count + query->condition_count + query->order_count, 0);
    assert_false(query->has_limit);
    assert_null(query->cursor.data);
    assert_null(query->format.data);
    arena_free(&arena);
}

static void names_and_values_are_decoded_after_the_split_and_plus_is_a_space(void **state)
{
    static const struct dialect_case cases[] = {
        {"a%2Db=eq.x+y%2Bz", "[a-b] eq 'x y+z'"},
        {"%73elect=a%2Cb", "; select [a], [b]"},
        {"a=eq.%26b=eq.2", "[a] eq '&b=eq.2'"},
        {"a%3Db=eq.2", "mistake a=b:0 …"},
        {"\"a%3Db\"=eq.2", "[a=b] eq '2'"},
        {"not%2Eand=(a.eq.1)", "!and([a] eq '1')"},
        {"a=cs.{\"x\":[\"^>\\\\\"]}", "[a] cs '{\"x\":[\"^>\\\\\"]}'"},
        {"a=eq.<>#'|`", "[a] eq '<>#'|`'"},
        {"a=eq.100%", "mistake a:7 an ill-formed percent-escape or a NUL at column 7; write % as %25…"},
        {"a=eq.%zz", "mistake a:4 …"},
        {"a=eq.%C3%BC%4", "mistake a:5 …"},
        {"a=eq.x%00y", "mistake a:5 an ill-formed percent-escape or a NUL…"},
        {"a%=eq.1", "mistake a:0 …at column 2 of the parameter's name; …"},
        {"a=eq.%FF", "mistake a:4 bytes that are not UTF-8 at column 4; send text as UTF-8, percent-encoded"},
        {"a=eq.x\xC3", "mistake a:5 bytes that are not UTF-8…"},
        {"a=eq.%C3%BC%C0%80", "mistake a:5 bytes that are not UTF-8…"},
        {"a=eq.%ED%A0%80", "mistake a:4 bytes that are not UTF-8…"},
        {"a=eq.%FF%zz", "mistake a:4 …"},
        {"b%C3=eq.1", "mistake b:0 …at column 2 of the parameter's name; …"},
        {"limit=%FF", "mistake limit:1 bytes that are not UTF-8…"},
    };
    CHECK_CASES(cases);
}

static void first_select_and_order_win_and_last_limit_and_offset(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=a&select=b,c&order=d&order=e", "; select [a]; order [d]"},
        {"select=&select=b", ""},
        {"select=a&select=(", "; select [a]"},
        {"limit=1&limit=2&offset=3&offset=4", "; limit 2; offset 4"},
        {"limit=-1&limit=2&offset=4&offset=-1", "; limit 2"},
        {"limit=2&limit=x", "; limit 2"},
        {"cursor=a&cursor=b", "; cursor 'b'"},
        {"a=eq.1&a=gt.2&a=eq.1", "[a] eq '1' & [a] gt '2' & [a] eq '1'"},
    };
    CHECK_CASES(cases);
}

static void limit_and_offset_are_whole_numbers_or_ignored(void **state)
{
    static const struct dialect_case cases[] = {
        {"limit=0", "; limit 0"},
        {"limit=10&offset=20", "; limit 10; offset 20"},
        {"limit=-1", "; limit negative"},
        {"limit=-0", "; limit 0"},
        {"offset=-5", ""},
        {"limit=abc&offset=1.5", ""},
        {"limit=&offset=", ""},
        {"limit&offset", ""},
        {"limit=-&offset=--1", ""},
        {"limit=+7+", "; limit 7"},
        {"limit=1e3", ""},
        {"limit=5%00", "mistake limit:2 …"},
        {"limit=9223372036854775807", "; limit 9223372036854775807"},
        {"limit=9223372036854775808", "; limit 9223372036854775807"},
        {"offset=99999999999999999999999999", "; offset 9223372036854775807"},
        {"limit=-99999999999999999999999999", "; limit negative"},
    };
    CHECK_CASES(cases);
}

static void cursor_and_format_are_handed_on_and_write_parameters_ignored(void **state)
{
    static const struct dialect_case cases[] = {
        {"cursor=abc-_.x", "; cursor 'abc-_.x'"},
        {"cursor=", "; cursor ''"},
        {"cursor", "; cursor ''"},
        {"format=csv", "; format 'csv'"},
        {"columns=a,b&on_conflict=c", ""},
        {"columns=((", ""},
        {"Select=eq.1", "[Select] eq '1'"},
        {"a", "mistake a:0 `=` is missing at column 2 of the parameter's name; write column=eq.value, column=is.null"},
    };
    CHECK_CASES(cases);
}

static void everything_together(void **state)
{
    static const struct dialect_case cases[] = {
        {"select=day,t:temp::text,count()&region=in.(\"DE,1\",FR)&day=gte.2021-01-01&day=lt.2022-01-01"
         "&or=(temp.gt.30,not.and(temp.is.null,rain.eq.0))&order=day.desc.nullslast,temp&limit=50&offset=100&format="
         "csv",
         "[region] in ('DE,1', 'FR') & [day] gte '2021-01-01' & [day] lt '2022-01-01' & "
         "or([temp] gt '30', !and([temp] is null, [rain] eq '0')); select [day], t=[temp]::text, .count(); "
         "order [day] desc nulls last, [temp]; limit 50; offset 100; format 'csv'"},
    };
    CHECK_CASES(cases);
}

static void check_canonical(const char *input, const char *expected)
{
    struct arena arena;
    struct text canonical;
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(dialect_canonical(text_from_string(input), &arena, &canonical), STATUS_OK);
    char *line = strndup(canonical.data, canonical.size);
    assert_string_equal(line, expected);
    free(line);
    arena_free(&arena);
}

static void the_canonical_form_is_sorted_by_name_and_encoded_one_way(void **state)
{
    check_canonical("", "");
    check_canonical("&&", "");
    check_canonical("b=eq.2&a=eq.1", "a=eq.1&b=eq.2");
    check_canonical("a=gt.2&b=eq.1&a=eq.1", "a=gt.2&a=eq.1&b=eq.1");
    check_canonical("ab=eq.1&a=eq.2&B=eq.3", "B=eq.3&a=eq.2&ab=eq.1");
    check_canonical("%61=%65q.x+y", "a=eq.x%20y");
    check_canonical("a=eq.x%20y%2B%26%3d", "a=eq.x%20y%2B%26%3D");
    check_canonical("a=in.(1,%22b%22)&s=cs.{\"x\"}", "a=in.(1,%22b%22)&s=cs.%7B%22x%22%7D");
    check_canonical("a=eq.%0d%0AX-Evil:1", "a=eq.%0D%0AX-Evil:1");
    check_canonical("a=eq.ü", "a=eq.%C3%BC");
    check_canonical("d-%3E%3Ea=eq.1", "d-%3E%3Ea=eq.1");
    check_canonical("select", "select=");
}

static void the_canonical_form_leaves_out_the_cursor(void **state)
{
    check_canonical("cursor=abc", "");
    check_canonical("b=eq.1&cursor=abc&a=eq.2&%63ursor=x", "a=eq.2&b=eq.1");
    check_canonical("limit=5&cursor=&order=a", "limit=5&order=a");
}

static void the_canonical_form_of_what_cannot_be_decoded_is_invalid(void **state)
{
    struct arena arena;
    struct text canonical;
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(dialect_canonical(TEXT("a=%zz"), &arena, &canonical), STATUS_INVALID);
    assert_int_equal(dialect_canonical(TEXT("%00=1"), &arena, &canonical), STATUS_INVALID);
    assert_int_equal(dialect_canonical(TEXT("cursor=%FF"), &arena, &canonical), STATUS_INVALID);
    arena_free(&arena);
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(dialect_canonical(TEXT("a=1"), &arena, &canonical), STATUS_TOO_LARGE);
    arena_free(&arena);
}

/* Processor time, so that a busy machine does not count. */
static double seconds_to_parse(const char *head, const char *item, const char *tail, size_t size)
{
    struct buffer input;
    struct arena arena;
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    struct text canonical;
    struct timespec start, end;
    buffer_init(&input, size + 4096);
    arena_init(&arena, NULL, 0, 512 << 20);
    buffer_append_string(&input, head);
    while (input.size < size)
        buffer_append_string(&input, item);
    buffer_append_string(&input, tail);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    enum status parsed = dialect_parse(buffer_text(&input), &arena, &query, &mistake);
    enum status sorted = dialect_canonical(buffer_text(&input), &arena, &canonical);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    assert_true(parsed == STATUS_OK || parsed == STATUS_INVALID);
    assert_int_equal(sorted, STATUS_OK);
    arena_free(&arena);
    buffer_free(&input);
    return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

/* What is quadratic takes minutes here. */
static void a_megabyte_of_anything_is_read_in_linear_time(void **state)
{
    static const struct {
        const char *head, *item, *tail;
    } shapes[] = {
        {"a=in.(", "\"x,", ")"},    {"a=in.(", "\"\\\",", ")"}, {"a=in.(", "\"\\\\\"x,", ")"},
        {"a=in.(", "1,", "2)"},     {"a=in.(", "    ,", ")"},   {"or=", "(or", ""},
        {"or=(a.eq.", "\"\\", ")"}, {"or=(a.eq.", "{", ")"},    {"or=(a.in.(", "\"x,", "))"},
        {"select=", "\"\\\"", ""},  {"select=a->", "1", ""},    {"select=", "a ", ""},
        {"select=", "a-", ""},      {"order=", "  ", "a"},      {"", "&", ""},
        {"", "limit=1&", ""},       {"", "z=&a=&", ""},         {"a=like.", "*", ""},
        {"a=eq.", "%C3%BC", ""},    {"a=fts(", "x", ")"},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        double seconds = seconds_to_parse(shapes[i].head, shapes[i].item, shapes[i].tail, 1 << 20);
        if (seconds > 3)
            fail_msg("%s%s… took %.1f s", shapes[i].head, shapes[i].item, seconds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_query_string_asks_for_everything),
        cmocka_unit_test(names_and_values_are_decoded_after_the_split_and_plus_is_a_space),
        cmocka_unit_test(first_select_and_order_win_and_last_limit_and_offset),
        cmocka_unit_test(limit_and_offset_are_whole_numbers_or_ignored),
        cmocka_unit_test(cursor_and_format_are_handed_on_and_write_parameters_ignored),
        cmocka_unit_test(everything_together),
        cmocka_unit_test(the_canonical_form_is_sorted_by_name_and_encoded_one_way),
        cmocka_unit_test(the_canonical_form_leaves_out_the_cursor),
        cmocka_unit_test(the_canonical_form_of_what_cannot_be_decoded_is_invalid),
        cmocka_unit_test(a_megabyte_of_anything_is_read_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
