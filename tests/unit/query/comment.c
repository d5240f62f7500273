#include "query/comment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>

static void expect(const char *comment, const char *description, const char *unit, enum aggregate aggregate)
{
    struct catalog_measure measure = {.aggregate = AGGREGATE_MAX};
    assert_int_equal(comment_parse(text_from_string(comment), &measure), STATUS_OK);
    if (!text_equal(measure.description, text_from_string(description)))
        fail_msg("'%s': description is '%.*s'", comment, TEXT_ARGS(measure.description));
    if (!text_equal(measure.unit, text_from_string(unit)) || (measure.unit.data == NULL) != (unit == NULL))
        fail_msg("'%s': unit is '%.*s'", comment, TEXT_ARGS(measure.unit));
    assert_int_equal(measure.aggregate, aggregate);
}

static void words_unit_and_function_are_told_apart(void **state)
{
    expect("Precipitation [mm; sum]", "Precipitation", "mm", AGGREGATE_SUM);
    expect("Mean air temperature [°C; mean]", "Mean air temperature", "°C", AGGREGATE_MEAN);
    expect("Gust [km/h;max]", "Gust", "km/h", AGGREGATE_MAX);
    expect("Frost [ °C ; min ]  ", "Frost", "°C", AGGREGATE_MIN);
}

static void both_parts_of_the_brackets_may_be_missing(void **state)
{
    expect("Price [EUR/MWh]", "Price", "EUR/MWh", AGGREGATE_MEAN);
    expect("Visitors [; sum]", "Visitors", NULL, AGGREGATE_SUM);
    expect("Odd []", "Odd", NULL, AGGREGATE_MEAN);
    expect("[mm; sum]", "", "mm", AGGREGATE_SUM);
    expect("", "", NULL, AGGREGATE_MEAN);
}

static void only_the_brackets_at_the_end_count(void **state)
{
    expect("Wind [see note] at 10 m", "Wind [see note] at 10 m", NULL, AGGREGATE_MEAN);
    expect("Wind [10 m] [km/h; max]", "Wind [10 m]", "km/h", AGGREGATE_MAX);
    expect("no opening]", "no opening]", NULL, AGGREGATE_MEAN);
    expect("no closing [mm; sum", "no closing [mm; sum", NULL, AGGREGATE_MEAN);
    expect("]", "]", NULL, AGGREGATE_MEAN);
    expect("[", "[", NULL, AGGREGATE_MEAN);
}

static void an_unknown_function_is_refused(void **state)
{
    static const char *const comments[] = {"a [mm; average]", "a [mm; SUM]", "a [mm;]", "a [mm; sum; max]", "a [;;]"};
    for (size_t i = 0; i < sizeof(comments) / sizeof(comments[0]); i++) {
        struct catalog_measure measure;
        assert_int_equal(comment_parse(text_from_string(comments[i]), &measure), STATUS_INVALID);
    }
}

static void the_slices_point_into_the_comment(void **state)
{
    struct text comment = TEXT("Precipitation [mm; sum]");
    struct catalog_measure measure;
    assert_int_equal(comment_parse(comment, &measure), STATUS_OK);
    assert_ptr_equal(measure.description.data, comment.data);
    assert_ptr_equal(measure.unit.data, comment.data + 15);
}

static void an_absent_comment_is_no_words(void **state)
{
    struct catalog_measure measure;
    assert_int_equal(comment_parse(TEXT_NONE, &measure), STATUS_OK);
    assert_int_equal(measure.description.size, 0);
    assert_null(measure.unit.data);
}

static void each_function_is_known_by_its_name_and_its_sql(void **state)
{
    static const char *const names[] = {"mean", "sum", "min", "max"}, *const sql[] = {"avg", "sum", "min", "max"};
    for (enum aggregate each = AGGREGATE_MEAN; each <= AGGREGATE_MAX; each++) {
        enum aggregate parsed = AGGREGATE_MEAN;
        assert_string_equal(aggregate_name(each), names[each]);
        assert_string_equal(aggregate_sql(each), sql[each]);
        assert_true(comment_parse_aggregate(text_from_string(names[each]), &parsed));
        assert_int_equal(parsed, each);
    }
    enum aggregate untouched = AGGREGATE_MIN;
    assert_false(comment_parse_aggregate(TEXT("avg"), &untouched));
    assert_false(comment_parse_aggregate(TEXT(""), &untouched));
    assert_int_equal(untouched, AGGREGATE_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_unit_and_function_are_told_apart),
        cmocka_unit_test(both_parts_of_the_brackets_may_be_missing),
        cmocka_unit_test(only_the_brackets_at_the_end_count),
        cmocka_unit_test(an_unknown_function_is_refused),
        cmocka_unit_test(the_slices_point_into_the_comment),
        cmocka_unit_test(an_absent_comment_is_no_words),
        cmocka_unit_test(each_function_is_known_by_its_name_and_its_sql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
