/* The lanes of customers: one each, on their own login, bounded, forgotten. */
#include "../drivers/pool.h"

#include "api/customers.h"

static const char key[] = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
static struct postgres_session *session;
static struct customers *customers;
static struct config config;

static void run_sql(const char *sql)
{
    struct failure failure = {0};
    if (postgres_session_script(session, sql, &failure) != STATUS_OK)
        fail_msg("%s: %s", sql, failure.message);
}

static int set_up(void **state)
{
    if (pool_group_setup(state) != 0)
        return -1;
    session = session_open();
    run_sql("create role sluice_customer; create role other; create role sluice_c_anna login in role sluice_customer;"
            "create role sluice_c_bert login; create role sluice_c_wide login in role other;"
            "create role sluice_c_maker login createrole");
    struct postgres_login reader = pool_options(POSTGRES_STREAMED, 1).login;
    config.server.workers = 2;
    config.customers.connections = 8;
    config.customers.each = 2;
    config.customers.queue = 4;
    config.customers.idle_ms = 60000;
    config.customers.statement_timeout_ms = 10000;
    config.customers.queue_timeout_ms = 5000;
    customers = customers_create(loop, &config, &reader, TEXT(key));
    return customers != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    customers_destroy(customers);
    postgres_session_close(session);
    return pool_group_teardown(state);
}

static void a_customer_has_one_lane_and_each_his_own(void **state)
{
    struct postgres *anna = customers_lane(customers, TEXT("anna")), *bert = customers_lane(customers, TEXT("bert"));
    assert_non_null(anna);
    assert_ptr_not_equal(anna, bert);
    assert_ptr_equal(customers_lane(customers, TEXT("anna")), anna);
    assert_int_equal(customers_statistics(customers).pools, 2);
    assert_answers(anna, "select session_user", "sluice_c_anna");
    assert_answers(customers_lane(customers, TEXT("bert")), "select session_user", "sluice_c_bert");
    assert_answers(anna, "show search_path", "\"\"");
    assert_int_equal(customers_statistics(customers).lanes.queries, 3);
}

static void who_can_be_no_customer_has_no_lane(void **state)
{
    static const char *const names[] = {
        "", "Anna", "a b", "a\"", "pg_x", "0a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_null(customers_lane(customers, text_from_string(names[i])));
    assert_null(customers_lane(customers, TEXT_NONE));
    assert_null(customers_lane(NULL, TEXT("anna")));
}

static void a_role_that_is_missing_or_may_more_than_a_customer_is_refused(void **state)
{
    static const char *const names[] = {"nobody", "wide", "maker"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(ask(customers_lane(customers, text_from_string(names[i])), "select 1").status,
                         STATUS_UNAVAILABLE);
}

static void lanes_without_queries_and_connections_are_forgotten(void **state)
{
    char name[32];
    struct postgres *anna = customers_lane(customers, TEXT("anna"));
    assert_answers(anna, "select 'well'", "well");
    for (int i = 0; i < 1000; i++) {
        int size = snprintf(name, sizeof(name), "some%d", i);
        assert_non_null(customers_lane(customers, text_of(name, (size_t)size)));
        loop_turn(loop, 0);
    }
    assert_true(customers_statistics(customers).pools < 100);
    assert_ptr_equal(customers_lane(customers, TEXT("anna")), anna); /* it has a connection */
    assert_answers(anna, "select 'still'", "still");
}

static void lanes_are_no_more_than_4096_at_once(void **state)
{
    char name[32];
    int given = 0;
    for (int i = 0; i < 5000; i++) { /* within one turn, in which none may go */
        int size = snprintf(name, sizeof(name), "more%d", i);
        given += customers_lane(customers, text_of(name, (size_t)size)) != NULL;
    }
    assert_true(given <= 4096 && given > 3900);
    loop_turn(loop, 0);
    assert_true(customers_statistics(customers).pools < 100);
}

static void once_stopped_queries_end_and_no_lane_is_given(void **state)
{
    struct postgres_statement statement;
    struct outcome outcome = {0};
    postgres_statement_init(&statement, "select pg_sleep(30)", 0, NULL);
    start_ok(customers_lane(customers, TEXT("anna")), &statement, &outcome);
    TURN_UNTIL(customers_statistics(customers).lanes.busy == 1, 5000);
    customers_stop(customers);
    assert_int_equal(outcome.done, 1);
    assert_int_equal(outcome.status, STATUS_UNAVAILABLE);
    assert_null(customers_lane(customers, TEXT("anna")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_customer_has_one_lane_and_each_his_own),
        cmocka_unit_test(who_can_be_no_customer_has_no_lane),
        cmocka_unit_test(a_role_that_is_missing_or_may_more_than_a_customer_is_refused),
        cmocka_unit_test(lanes_without_queries_and_connections_are_forgotten),
        cmocka_unit_test(lanes_are_no_more_than_4096_at_once),
        cmocka_unit_test(once_stopped_queries_end_and_no_lane_is_given),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
