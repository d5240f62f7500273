#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>

#include "query/rules.h"

static const struct dataset_column columns[] = {{.name = {"region_id", 9}}, {.name = {"day", 3}}, {.name = {"x", 1}}};
static const unsigned short key_columns[] = {0, 1};
static const struct dataset_key keys[] = {{key_columns, 2, true}};

static struct dataset some_dataset(void)
{
    return (struct dataset){
        .columns = columns, .column_count = 3, .keys = keys, .key_count = 1, .time_column = 1, .version = 7};
}

static void a_key_look_up_takes_the_fast_lane_and_is_not_explained(void **state)
{
    (void)state;
    const struct select_plan select = {.by_key = true};
    const struct dataset dataset = some_dataset();
    const struct plan plan = {.lane = rules_lane(&dataset, &select)};
    assert_int_equal(plan.lane, PLAN_FAST);
    assert_false(rules_needs_estimate(&plan));
}

static void everything_else_is_scanned_and_explained(void **state)
{
    (void)state;
    const struct select_plan select = {.by_key = false};
    const struct dataset dataset = some_dataset();
    const struct plan plan = {.lane = rules_lane(&dataset, &select)};
    assert_int_equal(plan.lane, PLAN_SCAN);
    assert_true(rules_needs_estimate(&plan));
}

static void what_a_limit_or_a_modest_estimate_bounds_comes_in_one_piece(void **state)
{
    (void)state;
    const struct {
        struct plan plan;
        bool whole;
    } cases[] = {
        {{.lane = PLAN_SCAN, .rows_at_most = 1024}, true},
        {{.lane = PLAN_SCAN, .rows_at_most = 1025}, false},
        {{.lane = PLAN_SCAN}, false},
        {{.lane = PLAN_FAST, .rows_at_most = 1}, false},
        {{.lane = PLAN_SCAN, .rows_at_most = 9, .estimate = {.known = true, .rows = 9, .bytes = 1 << 21}}, false},
        {{.lane = PLAN_SCAN, .estimate = {.known = true, .rows = 1000, .bytes = 50000}}, true},
        {{.lane = PLAN_SCAN, .rows_at_most = 5000, .estimate = {.known = true, .rows = 1000, .bytes = 50000}}, true},
        {{.lane = PLAN_SCAN, .estimate = {.known = true, .rows = 3000, .bytes = 50000}}, false},
        {{.lane = PLAN_SCAN, .estimate = {.known = true, .rows = 1000, .bytes = 500000}}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (rules_comes_whole(&cases[i].plan) != cases[i].whole)
            fail_msg("case %d", (int)i);
}

static void an_estimate_that_was_refuted_is_not_trusted_again(void **state)
{
    (void)state;
    const struct plan plan = {
        .lane = PLAN_SCAN, .rows_at_most = 9, .estimate = {.known = true, .rows = 9, .bytes = 90, .refuted = true}};
    assert_false(rules_comes_whole(&plan));
}

static void a_scan_may_lag_if_its_version_was_seen_before_what_the_standby_holds(void **state)
{
    (void)state;
    const struct {
        enum plan_lane lane;
        uint64_t version, seen_ms, fresh_ms;
        bool may;
    } cases[] = {
        {PLAN_SCAN, 7, 1000, 1000, true},  {PLAN_SCAN, 7, 1000, 5000, true},     {PLAN_SCAN, 7, 1001, 1000, false},
        {PLAN_SCAN, 7, 1000, 0, false},    {PLAN_SCAN, 7, 0, 0, false},          {PLAN_SCAN, 0, 9000, 5000, true},
        {PLAN_SCAN, 0, 9000, 0, false},    {PLAN_FAST, 7, 1000, 5000, false},    {PLAN_CUSTOMER, 7, 1000, 5000, false},
        {PLAN_COPY, 0, 1000, 5000, false}, {PLAN_REPLICA, 7, 1000, 5000, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (rules_may_lag(cases[i].lane, cases[i].version, cases[i].seen_ms, cases[i].fresh_ms) != cases[i].may)
            fail_msg("case %d", (int)i);
}

static void what_fails_on_a_standby_alone_is_asked_of_the_primary(void **state)
{
    (void)state;
    const struct {
        struct postgres_error error;
        bool home;
    } cases[] = {
        {{STATUS_FAILED, "40001", "canceling statement due to conflict with recovery"}, true},
        {{STATUS_UNAVAILABLE, "57P01", "terminating connection"}, true},
        {{STATUS_UNAVAILABLE, "", "the connection to the database was lost"}, true},
        {{STATUS_FAILED, "42703", "a column that is not there yet"}, true},
        {{STATUS_DENIED, "42501", "a grant that is not there yet"}, true},
        {{STATUS_TIMEOUT, "57014", "canceling statement due to statement timeout"}, false},
        {{STATUS_INVALID, "22P02", "invalid input syntax"}, false},
        {{STATUS_BUSY, "", "waited too long for a connection"}, false},
        {{STATUS_TOO_LARGE, "", "a whole result that has grown"}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (rules_goes_home(&cases[i].error) != cases[i].home)
            fail_msg("case %d", (int)i);
}

static void a_relation_of_the_warehouse_is_read_there(void **state)
{
    (void)state;
    const struct dataset dataset = some_dataset();
    assert_int_equal(rules_target(&dataset), PLAN_WAREHOUSE);
}

static void what_is_read_as_a_customer_takes_his_lane_also_by_key(void **state)
{
    (void)state;
    const struct select_plan select = {.by_key = true};
    struct dataset dataset = some_dataset();
    dataset.role = TEXT("sluice_c_acme");
    dataset.prefix = TEXT("uploads");
    const struct plan plan = {.lane = rules_lane(&dataset, &select), .target = rules_target(&dataset)};
    assert_int_equal(plan.lane, PLAN_CUSTOMER);
    assert_int_equal(plan.target, PLAN_UPLOAD);
    assert_true(rules_needs_estimate(&plan));
    dataset.prefix = TEXT("analytics");
    assert_int_equal(rules_target(&dataset), PLAN_ANALYTICS);
}

static void only_answers_of_a_known_version_are_kept(void **state)
{
    (void)state;
    struct dataset dataset = some_dataset();
    assert_int_equal(rules_cache(&dataset), PLAN_CACHE_VERSION);
    dataset.version = 0;
    assert_int_equal(rules_cache(&dataset), PLAN_CACHE_NONE);
}

static void what_depends_on_the_caller_or_the_moment_is_not_kept(void **state)
{
    (void)state;
    struct dataset dataset = some_dataset();
    dataset.asks_caller = true;
    assert_int_equal(rules_cache(&dataset), PLAN_CACHE_NONE);
    dataset = some_dataset();
    dataset.moves = true;
    assert_int_equal(rules_cache(&dataset), PLAN_CACHE_NONE);
}

static void a_budget_names_what_is_exceeded(void **state)
{
    (void)state;
    const struct plan_estimate estimate = {.known = true, .cost = 100, .rows = 1000, .bytes = 50000};
    assert_int_equal(rules_judge(&estimate, &(struct rules_budget){0, 0, 0}), RULES_WITHIN);
    assert_int_equal(rules_judge(&estimate, &(struct rules_budget){100, 1000, 50000}), RULES_WITHIN);
    assert_int_equal(rules_judge(&estimate, &(struct rules_budget){99, 1000, 50000}), RULES_COST);
    assert_int_equal(rules_judge(&estimate, &(struct rules_budget){0, 999, 50000}), RULES_ROWS);
    assert_int_equal(rules_judge(&estimate, &(struct rules_budget){100, 0, 49999}), RULES_BYTES);
    assert_string_equal(rules_excess_name(RULES_ROWS), "rows");
}

static void nobody_is_refused_for_an_estimate_that_is_not_known(void **state)
{
    (void)state;
    const struct plan_estimate unknown = {.known = false, .cost = 1e9};
    assert_int_equal(rules_judge(&unknown, &(struct rules_budget){1, 1, 1}), RULES_WITHIN);
}

static void assert_narrow(const struct dataset *dataset, const struct select_plan *select, const char *words)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 65536);
    struct text narrow = rules_narrow(dataset, select, &arena);
    assert_string_equal(narrow.data, words);
    arena_free(&arena);
}

static void the_remedy_names_the_time_column_and_the_key(void **state)
{
    (void)state;
    struct dataset dataset = some_dataset();
    struct select_plan select = {.time_filtered = false};
    assert_narrow(
        &dataset, &select,
        "filter on the time column: day=gte.…&day=lt.…, or filter on the key: region_id, day, or set a limit");
    select.time_filtered = true;
    assert_narrow(&dataset, &select,
                  "give a shorter range of day, or filter on the key: region_id, day, or set a limit");
    dataset.time_column = -1;
    assert_narrow(&dataset, &select, "filter on the key: region_id, day, or set a limit");
    dataset.key_count = 0;
    assert_narrow(&dataset, &select, "add a filter, or set a limit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_look_up_takes_the_fast_lane_and_is_not_explained),
        cmocka_unit_test(everything_else_is_scanned_and_explained),
        cmocka_unit_test(what_a_limit_or_a_modest_estimate_bounds_comes_in_one_piece),
        cmocka_unit_test(an_estimate_that_was_refuted_is_not_trusted_again),
        cmocka_unit_test(a_scan_may_lag_if_its_version_was_seen_before_what_the_standby_holds),
        cmocka_unit_test(what_fails_on_a_standby_alone_is_asked_of_the_primary),
        cmocka_unit_test(a_relation_of_the_warehouse_is_read_there),
        cmocka_unit_test(what_is_read_as_a_customer_takes_his_lane_also_by_key),
        cmocka_unit_test(only_answers_of_a_known_version_are_kept),
        cmocka_unit_test(what_depends_on_the_caller_or_the_moment_is_not_kept),
        cmocka_unit_test(a_budget_names_what_is_exceeded),
        cmocka_unit_test(nobody_is_refused_for_an_estimate_that_is_not_known),
        cmocka_unit_test(the_remedy_names_the_time_column_and_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
