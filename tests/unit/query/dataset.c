#include "query/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs those before it. */
#include <cmocka.h>
#include <stdlib.h>

static const struct dataset_column columns[] = {{.name = {"region_id", 9}}, {.name = {"day", 3}}, {.name = {"Day", 3}}};
static const unsigned short region_and_day[] = {0, 1}, only_day[] = {2}, far[] = {64};
static const struct dataset_key keys[] = {{region_and_day, 2, true}, {only_day, 1, false}, {far, 1, false}};

static struct dataset make(void)
{
    return (struct dataset){.columns = columns, .column_count = 3, .keys = keys, .key_count = 3};
}

static void a_column_is_found_by_its_exact_name(void **state)
{
    struct dataset dataset = make();
    assert_ptr_equal(dataset_column(&dataset, TEXT("day")), &columns[1]);
    assert_ptr_equal(dataset_column(&dataset, TEXT("Day")), &columns[2]);
    assert_null(dataset_column(&dataset, TEXT("DAY")));
    assert_null(dataset_column(&dataset, TEXT("da")));
    assert_null(dataset_column(&dataset, TEXT_NONE));
}

static void a_key_is_found_when_all_its_columns_are_given_and_no_sooner(void **state)
{
    struct dataset dataset = make();
    assert_null(dataset_key_within(&dataset, 0));
    assert_null(dataset_key_within(&dataset, 1));
    assert_null(dataset_key_within(&dataset, 2));
    assert_ptr_equal(dataset_key_within(&dataset, 3), &keys[0]);
    assert_ptr_equal(dataset_key_within(&dataset, 4), &keys[1]);
    assert_ptr_equal(dataset_key_within(&dataset, 7), &keys[0]);
    assert_ptr_equal(dataset_key_within(&dataset, UINT64_MAX), &keys[0]);
}

static void a_key_beyond_the_mask_is_not_within_it(void **state)
{
    struct dataset dataset = make();
    dataset.keys = &keys[2];
    dataset.key_count = 1;
    assert_null(dataset_key_within(&dataset, UINT64_MAX));
}

static void every_kind_has_its_name(void **state)
{
    assert_string_equal(dataset_kind_name(DATASET_TABLE), "table");
    assert_string_equal(dataset_kind_name(DATASET_VIEW), "view");
    assert_string_equal(dataset_kind_name(DATASET_MATERIALIZED), "materialized view");
    assert_string_equal(dataset_kind_name(DATASET_FOREIGN), "foreign table");
    assert_string_equal(dataset_kind_name(DATASET_PARTITIONED), "partitioned table");
}

/* The sanitizer sees a use after the end, or a leak. */
static void the_last_reference_frees_it(void **state)
{
    struct dataset *dataset = calloc(1, sizeof(*dataset));
    assert_non_null(dataset);
    dataset->references = 1;
    arena_init(&dataset->arena, NULL, 0, 4096);
    dataset->description = arena_copy(&dataset->arena, TEXT("words"));
    dataset_ref(dataset);
    dataset_unref(dataset);
    assert_true(text_equal(dataset->description, TEXT("words")));
    dataset_unref(dataset);
    dataset_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_column_is_found_by_its_exact_name),
        cmocka_unit_test(a_key_is_found_when_all_its_columns_are_given_and_no_sooner),
        cmocka_unit_test(a_key_beyond_the_mask_is_not_within_it),
        cmocka_unit_test(every_kind_has_its_name),
        cmocka_unit_test(the_last_reference_frees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
