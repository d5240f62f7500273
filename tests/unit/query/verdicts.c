#include "query/verdicts.h"
#include "tests/unit/query/warehouse.h"

static void an_estimate_is_found_again_by_shape_and_version(void **state)
{
    struct verdicts *verdicts = verdicts_create(4);
    struct dataset dataset = {.signature = 1, .version = 1};
    const struct plan_estimate estimate = {.known = true, .cost = 1.5, .rows = 2, .bytes = 3};
    struct plan_estimate found = {0};
    assert_false(verdicts_find(verdicts, &dataset, 9, &found));
    verdicts_keep(verdicts, &dataset, 9, &estimate);
    assert_true(verdicts_find(verdicts, &dataset, 9, &found));
    assert_true(found.known && found.cost == 1.5 && found.rows == 2 && found.bytes == 3);
    assert_false(verdicts_find(verdicts, &dataset, 8, &found));
    dataset.version = 2;
    assert_false(verdicts_find(verdicts, &dataset, 9, &found));
    dataset.version = 1;
    dataset.signature = 2;
    assert_false(verdicts_find(verdicts, &dataset, 9, &found));
    verdicts_destroy(verdicts);
}

static void the_memory_of_estimates_is_bounded(void **state)
{
    struct verdicts *verdicts = verdicts_create(4);
    const struct dataset dataset = {.signature = 1, .version = 1};
    const struct plan_estimate estimate = {.known = true, .cost = 1, .rows = 1, .bytes = 1};
    struct plan_estimate found;
    size_t left = 0;
    for (uint64_t id = 0; id < 100; id++)
        verdicts_keep(verdicts, &dataset, id, &estimate);
    for (uint64_t id = 0; id < 100; id++)
        left += verdicts_find(verdicts, &dataset, id, &found);
    assert_int_equal(left, 4);
    assert_true(verdicts_find(verdicts, &dataset, 99, &found));
    verdicts_destroy(verdicts);
}

static void read_estimate(void *context, const struct postgres_rows *rows)
{
    assert_int_equal(verdicts_read(rows, context), STATUS_OK);
}

static void the_servers_planner_tells_cost_rows_and_bytes(void **state)
{
    struct arena arena;
    struct plan_estimate estimate = {0};
    struct failure failure;
    struct postgres_session *session = *state;
    struct postgres_statement statement, explain;
    arena_init(&arena, NULL, 0, 65536);
    postgres_statement_init(&statement, "select g from generate_series(1, 500) g where g > $1::int", 1, NULL);
    assert_int_equal(verdicts_explain(&statement, &arena, &explain), STATUS_OK);
    assert_int_not_equal(explain.id, statement.id);
    const struct text parameter = TEXT("0");
    assert_int_equal(postgres_session_query(session, explain.sql, 1, &parameter, read_estimate, &estimate, &failure),
                     STATUS_OK);
    assert_true(estimate.known && estimate.cost > 0 && estimate.rows > 0 && estimate.bytes >= estimate.rows);
    arena_free(&arena);
}

static void read_nothing(void *context, const struct postgres_rows *rows)
{
    struct plan_estimate estimate;
    assert_int_equal(verdicts_read(rows, &estimate), STATUS_FAILED);
    ++*(int *)context;
}

static void what_is_no_plan_is_no_estimate(void **state)
{
    int answers = 0;
    struct failure failure;
    static const char *const others[] = {
        "select '[]'",      "select '{}'", "select '[{\"Plan\":{\"Total Cost\":\"x\"}}]'",
        "select 'no json'", "select 1, 2", "select 1 where false"};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(postgres_session_query(*state, others[i], 0, NULL, read_nothing, &answers, &failure),
                         STATUS_OK);
    assert_int_equal(answers, 6);
}

static int set_up(void **state)
{
    warehouse_start();
    *state = warehouse_open("postgres", "postgres");
    return 0;
}

static int tear_down(void **state)
{
    postgres_session_close(*state);
    warehouse_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_estimate_is_found_again_by_shape_and_version),
        cmocka_unit_test(the_memory_of_estimates_is_bounded),
        cmocka_unit_test(the_servers_planner_tells_cost_rows_and_bytes),
        cmocka_unit_test(what_is_no_plan_is_no_estimate),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
