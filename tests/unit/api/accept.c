/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "api/accept.h"

#define NONE (-1) /* 406 */

struct choice {
    const char *accept;
    int format;
};

static void assert_choices(const struct choice *choices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum rows_format format;
        enum status status = accept_choose(text_from_string(choices[i].accept), &format);
        int chosen = status == STATUS_OK ? (int)format : NONE;
        if (chosen != choices[i].format || (status != STATUS_OK && status != STATUS_INVALID))
            fail_msg("%s: %d instead of %d", choices[i].accept, chosen, choices[i].format);
    }
}

#define CHOICES(...)                                                                                                   \
    do {                                                                                                               \
        static const struct choice choices[] = {__VA_ARGS__};                                                          \
        assert_choices(choices, sizeof(choices) / sizeof(choices[0]));                                                 \
    } while (0)

static void without_a_wish_the_answer_is_json(void **state)
{
    CHOICES({NULL, ROWS_JSON}, {"", ROWS_JSON}, {"  ", ROWS_JSON}, {"*/*", ROWS_JSON}, {"application/*", ROWS_JSON},
            {"*/*;q=0.1", ROWS_JSON}, {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ROWS_JSON});
}

static void a_named_format_is_given(void **state)
{
    CHOICES({"application/json", ROWS_JSON}, {"text/csv", ROWS_CSV}, {"application/x-ndjson", ROWS_NDJSON},
            {"application/ndjson", ROWS_NDJSON}, {"application/jsonl", ROWS_NDJSON}, {"TEXT/CSV", ROWS_CSV},
            {" text/csv ", ROWS_CSV}, {"text/csv;charset=utf-8", ROWS_CSV}, {"text/csv; header=present", ROWS_CSV},
            {"text/*", ROWS_CSV}, {"text/csv, */*", ROWS_CSV}, {"*/*, text/csv", ROWS_CSV});
}

static void the_highest_quality_wins_then_the_first_named(void **state)
{
    CHOICES({"text/csv;q=0.5, application/json", ROWS_JSON}, {"text/csv, application/json;q=0.9", ROWS_CSV},
            {"text/csv;q=0.8, application/x-ndjson;q=0.81", ROWS_NDJSON},
            {"text/csv;q=0.811, application/x-ndjson;q=0.81", ROWS_CSV}, {"text/csv, application/json", ROWS_CSV},
            {"application/json, text/csv", ROWS_JSON}, {"application/x-ndjson, text/csv", ROWS_NDJSON},
            {"text/csv;q=0.5, */*", ROWS_JSON}, {"text/csv ; q=0.4 , application/json ; q=0.6", ROWS_JSON},
            {"text/csv;Q=0.4, application/json;Q=0.2", ROWS_CSV},
            {"application/json;version=1;q=0.2, text/csv;q=0.3", ROWS_CSV});
}

static void the_most_specific_range_counts(void **state)
{
    CHOICES({"application/json;q=0, */*", ROWS_CSV}, {"*/*, application/json;q=0", ROWS_CSV},
            {"application/*;q=0, */*;q=0.1", ROWS_CSV}, {"text/csv;q=0.1, text/*, application/json;q=0.2", ROWS_JSON},
            {"application/*;q=0.2, application/x-ndjson;q=0.5", ROWS_NDJSON});
}

static void what_we_do_not_have_is_refused(void **state)
{
    CHOICES({"text/html", NONE}, {"application/xml, image/*", NONE}, {"application/json;q=0", NONE}, {"*/*;q=0", NONE},
            {"text/csv;q=0.000", NONE}, {"application/jsonx", NONE}, {"application", NONE}, {"json", NONE},
            {"*", NONE});
}

static void a_quality_that_nobody_understands_is_no_wish(void **state)
{
    CHOICES({"text/csv;q=2, application/json;q=0.1", ROWS_JSON}, {"text/csv;q=-1, application/json;q=0.1", ROWS_JSON},
            {"text/csv;q=1.001, application/json;q=0.1", ROWS_JSON},
            {"text/csv;q=0.9999, application/json;q=0.1", ROWS_JSON},
            {"text/csv;q=, application/json;q=0.1", ROWS_JSON}, {"text/csv;q=x, application/json;q=0.1", ROWS_JSON},
            {"text/csv;q=1.x, application/json;q=0.1", ROWS_JSON}, {"text/csv;q=1., application/json;q=0.1", ROWS_CSV},
            {"text/csv;q=1.000, application/json;q=0.9", ROWS_CSV});
}

static void empty_elements_of_the_list_are_passed_over(void **state)
{
    CHOICES({",text/csv", ROWS_CSV}, {"text/csv,", ROWS_CSV}, {",,,text/csv,,", ROWS_CSV}, {";,text/csv;", ROWS_CSV});
}

static void gzip_is_given_to_who_takes_it(void **state)
{
    static const char *const yes[] = {"gzip",
                                      "GZIP",
                                      "x-gzip",
                                      "deflate, gzip",
                                      "gzip;q=0.001",
                                      "br;q=1.0, gzip;q=0.8",
                                      "*",
                                      "identity;q=0, *;q=0.5",
                                      "gzip, *;q=0",
                                      " gzip ; q=1 "};
    static const char *const no[] = {"",      "identity", "deflate, br", "gzip;q=0", "gzip;q=0.0", "gzip;q=0, *",
                                     "*;q=0", "gzipped",  "gz",          "gzip;q=x", ","};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (!accept_gzip(text_from_string(yes[i])))
            fail_msg("not given: %s", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (accept_gzip(text_from_string(no[i])))
            fail_msg("given: %s", no[i]);
    assert_false(accept_gzip(TEXT_NONE));
}

struct form {
    const char *accept;
    const char *content_type; /* NULL: 406 */
};

#define JSON_FORM "application/json; charset=utf-8"
#define CSV_FORM "text/csv; charset=utf-8"
#define NDJSON_FORM "application/x-ndjson"
#define OBJECT "application/vnd.pgrst.object+json"
#define ARRAY "application/vnd.pgrst.array+json"
#define CHARSET "; charset=utf-8"

static void assert_forms(const struct form *forms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct accept_rows rows;
        enum status status = accept_rows(text_from_string(forms[i].accept), &rows);
        if (status != STATUS_OK && status != STATUS_INVALID)
            fail_msg("%s: status %s", forms[i].accept, status_name(status));
        if ((status == STATUS_OK) != (forms[i].content_type != NULL) ||
            (status == STATUS_OK && !text_equal(rows.content_type, text_from_string(forms[i].content_type))))
            fail_msg("%s: %.*s instead of %s", forms[i].accept, status == STATUS_OK ? (int)rows.content_type.size : 3,
                     status == STATUS_OK ? rows.content_type.data : "406", forms[i].content_type);
    }
}

#define FORMS(...)                                                                                                     \
    do {                                                                                                               \
        static const struct form forms[] = {__VA_ARGS__};                                                              \
        assert_forms(forms, sizeof(forms) / sizeof(forms[0]));                                                         \
    } while (0)

static void rows_are_json_without_a_wish_and_for_a_browser(void **state)
{
    FORMS({NULL, JSON_FORM}, {"", JSON_FORM}, {"*/*", JSON_FORM}, {"application/*", JSON_FORM},
          {"application/json", JSON_FORM}, {"application/json; charset=utf-8", JSON_FORM},
          {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", JSON_FORM});
}

static void rows_take_the_first_acceptable_entry_in_the_clients_order(void **state)
{
    FORMS({"text/csv, application/json", CSV_FORM}, {"application/json, text/csv", JSON_FORM},
          {"*/*, text/csv", JSON_FORM}, {"text/csv, */*", CSV_FORM}, {"image/png, text/csv", CSV_FORM},
          {"application/x-ndjson, */*", NDJSON_FORM}, {"application/ndjson", NDJSON_FORM},
          {"application/jsonl", NDJSON_FORM}, {"text/*", CSV_FORM}, {OBJECT ", text/csv", OBJECT CHARSET},
          {"text/csv, " OBJECT, CSV_FORM}, {",, text/csv ,", CSV_FORM});
}

static void an_entry_of_less_quality_comes_later_and_of_none_never(void **state)
{
    FORMS({"text/csv;q=0.5, application/json", JSON_FORM}, {"image/png, text/csv;q=0.9, */*;q=0.1", CSV_FORM},
          {"application/json;q=0, text/csv;q=0.1", CSV_FORM}, {"application/json;q=0, */*", CSV_FORM},
          {"*/*, application/json;q=0, text/csv;q=0", NDJSON_FORM}, {"application/json;q=0", NULL}, {"*/*;q=0", NULL},
          {OBJECT ";q=0", NULL}, {OBJECT ";nulls=stripped;q=0.2, text/csv;q=0.3", CSV_FORM});
}

static void the_dialects_types_are_echoed(void **state)
{
    FORMS({OBJECT, OBJECT CHARSET}, {"application/vnd.pgrst.object", OBJECT CHARSET}, {ARRAY, ARRAY CHARSET},
          {"application/vnd.pgrst.array", ARRAY CHARSET}, {"APPLICATION/vnd.PGRST.object+JSON", OBJECT CHARSET},
          {OBJECT ";nulls=stripped", OBJECT ";nulls=stripped" CHARSET},
          {OBJECT "; charset=utf-8; nulls=\"stripped\"", OBJECT ";nulls=stripped" CHARSET},
          {ARRAY "; nulls=stripped", ARRAY ";nulls=stripped" CHARSET},
          {"application/vnd.pgrst.object;nulls=stripped", OBJECT ";nulls=stripped" CHARSET},
          {OBJECT ";nulls=kept", OBJECT CHARSET}, {"application/json;nulls=stripped", JSON_FORM});
}

static void rows_have_no_other_types(void **state)
{
    FORMS({"text/html", NULL}, {"application/vnd.pgrst.plan+json", NULL}, {"application/geo+json", NULL},
          {"application/vnd.pgrst.objects+json", NULL}, {"text/plain", NULL}, {"*", NULL}, {"/", NULL}, {";", NULL});
}

static void only_objects_are_singular_and_only_stripped_ones_lose_nulls(void **state)
{
    static const struct {
        const char *accept;
        bool singular, strip_nulls;
    } asked[] = {{OBJECT, true, false},
                 {OBJECT ";nulls=stripped", true, true},
                 {ARRAY, false, false},
                 {ARRAY ";nulls=stripped", false, true},
                 {"application/json", false, false},
                 {"text/csv", false, false}};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        struct accept_rows rows;
        assert_int_equal(accept_rows(text_from_string(asked[i].accept), &rows), STATUS_OK);
        assert_int_equal(rows.singular, asked[i].singular);
        assert_int_equal(rows.strip_nulls, asked[i].strip_nulls);
        assert_int_equal(rows.format, i == 5 ? ROWS_CSV : ROWS_JSON);
    }
}

static void a_named_form_is_one_of_three(void **state)
{
    struct accept_rows rows;
    assert_true(accept_rows_named(TEXT("json"), &rows) && rows.format == ROWS_JSON && !rows.singular);
    assert_true(accept_rows_named(TEXT("csv"), &rows) && rows.format == ROWS_CSV);
    assert_true(text_equal(rows.content_type, TEXT(CSV_FORM)));
    assert_true(accept_rows_named(TEXT("ndjson"), &rows) && rows.format == ROWS_NDJSON);
    assert_false(accept_rows_named(TEXT("CSV"), &rows) || accept_rows_named(TEXT(""), &rows) ||
                 accept_rows_named(TEXT("jsonl"), &rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_wish_the_answer_is_json),
        cmocka_unit_test(a_named_format_is_given),
        cmocka_unit_test(the_highest_quality_wins_then_the_first_named),
        cmocka_unit_test(the_most_specific_range_counts),
        cmocka_unit_test(what_we_do_not_have_is_refused),
        cmocka_unit_test(a_quality_that_nobody_understands_is_no_wish),
        cmocka_unit_test(empty_elements_of_the_list_are_passed_over),
        cmocka_unit_test(rows_are_json_without_a_wish_and_for_a_browser),
        cmocka_unit_test(rows_take_the_first_acceptable_entry_in_the_clients_order),
        cmocka_unit_test(an_entry_of_less_quality_comes_later_and_of_none_never),
        cmocka_unit_test(the_dialects_types_are_echoed),
        cmocka_unit_test(rows_have_no_other_types),
        cmocka_unit_test(only_objects_are_singular_and_only_stripped_ones_lose_nulls),
        cmocka_unit_test(a_named_form_is_one_of_three),
        cmocka_unit_test(gzip_is_given_to_who_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
