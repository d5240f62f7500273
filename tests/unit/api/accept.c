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
        cmocka_unit_test(gzip_is_given_to_who_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
