/* The pipelined pool, and what both kinds of pool share. */
#include "pool.h"

static struct postgres_statement statement_of(const char *sql)
{
    struct postgres_statement statement;
    postgres_statement_init(&statement, sql, 0, NULL);
    return statement;
}

static void pipelined_queries_are_answered_in_order(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement;
    static const uint32_t types[] = {23};
    struct outcome outcomes[200] = {0};
    char number[200][8];
    postgres_statement_init(&statement, "select $1 + 1, null::text, ''", 1, types);
    outcome_order = 0;
    for (int i = 0; i < 200; i++) {
        struct text parameter = text_of(number[i], (size_t)snprintf(number[i], sizeof(number[i]), "%d", i));
        assert_int_equal(start_with(pool, &statement, &parameter, &outcomes[i]), STATUS_OK);
        memset(number[i], 'x', sizeof(number[i])); /* parameters are copied */
    }
    TURN_UNTIL(outcome_order == 200, 10000);
    for (int i = 0; i < 200; i++) {
        char expected[8];
        snprintf(expected, sizeof(expected), "%d", i + 1);
        assert_int_equal(outcomes[i].status, STATUS_OK);
        assert_int_equal(outcomes[i].order, i + 1);
        assert_int_equal(outcomes[i].calls, 1);
        assert_string_equal(outcomes[i].value, expected);
    }
    assert_int_equal(postgres_statistics(pool).queries, 200);
    postgres_destroy(pool);
}

static void check_types(void *context, const struct postgres_rows *rows)
{
    assert_int_equal(postgres_rows_count(rows), 1);
    assert_int_equal(postgres_rows_columns(rows), 3);
    assert_string_equal(postgres_rows_name(rows, 1), "nothing");
    assert_int_equal(postgres_rows_type(rows, 0), 23);
    assert_true(text_equal(postgres_rows_value(rows, 0, 0), TEXT("7")));
    assert_null(postgres_rows_value(rows, 0, 1).data);
    assert_non_null(postgres_rows_value(rows, 0, 2).data);
    assert_int_equal(postgres_rows_value(rows, 0, 2).size, 0);
    assert_int_equal(postgres_rows_value(rows, 0, 2).data[0], '\0');
}

static void rows_tell_null_from_empty_and_a_null_parameter_is_null(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement;
    static const uint32_t types[] = {23, 25, 25};
    const struct postgres_handlers handlers = {check_types, outcome_on_done};
    struct outcome outcome = {0};
    postgres_statement_init(&statement, "select $1 as number, $2 as nothing, $3 as empty", 3, types);
    const struct text parameters[] = {TEXT("7"), TEXT_NONE, TEXT("")};
    const struct postgres_call call = {.statement = &statement, .parameters = parameters};
    assert_int_equal(postgres_start(pool, &call, &handlers, &outcome, &outcome.query), STATUS_OK);
    TURN_UNTIL(outcome.done, 5000);
    assert_int_equal(outcome.status, STATUS_OK);
    postgres_destroy(pool);
}

/* Every third fails, in another way each; several turns' worth of them at once, so that segments of statements that
 * were to be prepared in a spoiled segment follow it before its answer is there. */
static void a_failing_query_fails_alone(void **state)
{
    static const char *const sql[] = {"select 1 / (random() * 0)::int",
                                      "select 'good one'",
                                      "select 'good two'",
                                      "select no_such_column",
                                      "select 'good three'",
                                      "select 'good four'",
                                      "select from where",
                                      "select 'good five'",
                                      "select 'good six'"};
    static const enum status expected[] = {STATUS_INVALID, STATUS_OK,     STATUS_OK, STATUS_FAILED, STATUS_OK,
                                           STATUS_OK,      STATUS_FAILED, STATUS_OK, STATUS_OK};
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statements[9];
    struct outcome outcomes[180] = {0};
    for (int i = 0; i < 9; i++)
        statements[i] = statement_of(sql[i]);
    outcome_order = 0;
    for (int i = 0; i < 180; i++)
        start_ok(pool, &statements[i % 9], &outcomes[i]);
    TURN_UNTIL(outcome_order == 180, 10000);
    for (int i = 0; i < 180; i++) {
        if (outcomes[i].status != expected[i % 9])
            fail_msg("query %d (%s) ended with %s: %s %s", i, sql[i % 9], status_name(outcomes[i].status),
                     outcomes[i].sqlstate, outcomes[i].message);
        assert_int_equal(outcomes[i].calls, expected[i % 9] == STATUS_OK);
    }
    assert_string_equal(outcomes[0].sqlstate, "22012");
    assert_string_equal(outcomes[3].sqlstate, "42703");
    assert_string_equal(outcomes[6].sqlstate, "42601");
    assert_int_equal(postgres_statistics(pool).reconnects, 0);
    postgres_destroy(pool);
}

static void a_statement_is_prepared_once_a_connection(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    for (int i = 0; i < 20; i++)
        assert_answers(pool, "select 'again'", "again");
    assert_answers(pool, "select count(*) from pg_prepared_statements where statement = 'select ''again'''", "1");
    postgres_destroy(pool);
}

static void a_connection_forgets_its_statements_when_they_are_too_many(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    static char sql[700][32];
    static struct postgres_statement statements[700];
    static struct outcome outcomes[700];
    memset(outcomes, 0, sizeof(outcomes));
    for (int i = 0; i < 700; i++) {
        snprintf(sql[i], sizeof(sql[i]), "select %d", i);
        statements[i] = statement_of(sql[i]);
    }
    for (int first = 0; first < 700; first += 100) {
        outcome_order = 0;
        for (int i = first; i < first + 100; i++)
            start_ok(pool, &statements[i], &outcomes[i]);
        TURN_UNTIL(outcome_order == 100, 10000);
    }
    for (int i = 0; i < 700; i++) {
        assert_int_equal(outcomes[i].status, STATUS_OK);
        assert_string_equal(outcomes[i].value, sql[i] + strlen("select "));
    }
    struct outcome kept = ask(pool, "select count(*) from pg_prepared_statements");
    assert_true(atoi(kept.value) <= 256);
    assert_answers(pool, "select 3", "3");
    postgres_destroy(pool);
}

static void a_statement_that_outlives_its_limit_is_a_timeout_and_spares_its_neighbours(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    options.statement_timeout_ms = 1000; /* the limit of the quick ones too */
    struct postgres *pool = pool_open(&options);
    struct postgres_statement slow = statement_of("select pg_sleep(60)"), quick = statement_of("select 'quick'");
    struct outcome outcomes[5] = {0};
    outcome_order = 0;
    uint64_t begin = clock_monotonic_us();
    for (int i = 0; i < 5; i++)
        start_ok(pool, i == 2 ? &slow : &quick, &outcomes[i]);
    TURN_UNTIL(outcome_order == 5, 30000);
    assert_true(clock_monotonic_us() - begin < 20000000);
    for (int i = 0; i < 5; i++)
        assert_int_equal(outcomes[i].status, i == 2 ? STATUS_TIMEOUT : STATUS_OK);
    assert_string_equal(outcomes[2].sqlstate, "57014");
    postgres_destroy(pool);
}

static void a_full_queue_refuses_at_once(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    options.queue = 10;
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement = statement_of("select 1");
    struct outcome outcomes[11] = {0};
    outcome_order = 0;
    for (int i = 0; i < 10; i++)
        start_ok(pool, &statement, &outcomes[i]);
    assert_int_equal(start_with(pool, &statement, NULL, &outcomes[10]), STATUS_BUSY);
    assert_int_equal(postgres_statistics(pool).refused_busy, 1);
    TURN_UNTIL(outcome_order == 10, 5000);
    assert_int_equal(outcomes[10].done, 0);
    start_ok(pool, &statement, &outcomes[10]);
    TURN_UNTIL(outcomes[10].done, 5000);
    postgres_destroy(pool);
}

/* `mode`: fifty under way (those of a streamed pool mostly wait). */
static void lose_the_server_with_fifty_under_way(enum postgres_mode mode)
{
    struct postgres_options options = pool_options(mode, 4);
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    struct postgres_statement slow = statement_of("select pg_sleep(20)");
    struct outcome outcomes[50] = {0};
    TURN_UNTIL(mode == POSTGRES_STREAMED || postgres_statistics(pool).open == 4, 5000);
    outcome_order = 0;
    for (int i = 0; i < 50; i++)
        start_ok(pool, &slow, &outcomes[i]);
    TURN_UNTIL(sleepers(session) == 4, 5000);
    postgres_session_close(session);
    server_kill(&database, SIGQUIT);
    TURN_UNTIL(outcome_order == 50, 5000);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(outcomes[i].done, 1);
        assert_int_equal(outcomes[i].status, STATUS_UNAVAILABLE);
    }
    assert_false(postgres_is_up(pool));
    struct outcome last = {0}, refused = {0};
    if (start_with(pool, &slow, NULL, &last) == STATUS_OK) { /* waits for the next attempt */
        TURN_UNTIL(last.done, 5000);
        assert_int_equal(last.status, STATUS_UNAVAILABLE);
    }
    assert_int_equal(start_with(pool, &slow, NULL, &refused), STATUS_UNAVAILABLE);
    postgres_server_run(&database);
    postgres_session_close(session_open());
    TURN_UNTIL(postgres_is_up(pool), 5000); /* what the issue promises */
    assert_answers(pool, "select 'back'", "back");
    assert_int_equal(refused.done, 0);
    postgres_destroy(pool);
}

static void a_killed_server_fails_what_is_pipelined_and_the_pool_recovers(void **state)
{
    lose_the_server_with_fifty_under_way(POSTGRES_PIPELINED);
}

static void a_killed_server_fails_what_is_streamed_or_waits_and_the_pool_recovers(void **state)
{
    lose_the_server_with_fifty_under_way(POSTGRES_STREAMED);
}

static void a_terminated_backend_costs_only_its_own_queries(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    struct outcome ended = ask(pool, "select pg_terminate_backend(pg_backend_pid())");
    assert_int_equal(ended.status, STATUS_UNAVAILABLE);
    assert_answers(pool, "select 'back'", "back");
    assert_int_equal(postgres_statistics(pool).reconnects, 1);
    postgres_destroy(pool);
}

static void large_results_share_one_connection_and_leave_the_others_to_look_ups(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 2);
    struct postgres *pool = pool_open(&options);
    TURN_UNTIL(postgres_statistics(pool).open == 2, 10000);
    struct postgres_statement large = statement_of("select pg_backend_pid() /* large */"),
                              small = statement_of("select pg_backend_pid() /* small */");
    struct outcome outcomes[20] = {0};
    int apart = 0;
    large.large = true;
    outcome_order = 0;
    for (int i = 0; i < 10; i++)
        start_ok(pool, &large, &outcomes[i]);
    for (int i = 10; i < 20; i++)
        start_ok(pool, &small, &outcomes[i]);
    TURN_UNTIL(outcome_order == 20, 10000);
    for (int i = 1; i < 10; i++)
        assert_string_equal(outcomes[i].value, outcomes[0].value);
    for (int i = 10; i < 20; i++)
        apart += strcmp(outcomes[i].value, outcomes[0].value) != 0;
    assert_int_equal(apart, 10); /* the first has ten in flight, the other fewer until the last of them */
    postgres_destroy(pool);
}

static void a_role_that_the_check_refuses_gets_no_connection(void **state)
{
    struct postgres_session *session = session_open();
    (void)session_number(session, "select 1");
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 2);
    options.check = "select not rolsuper from pg_roles where rolname = current_user";
    struct postgres *pool = NULL;
    struct failure failure;
    struct postgres_statement statement = statement_of("select 1");
    struct outcome outcome = {0};
    assert_int_equal(postgres_create(loop, &options, &pool, &failure), STATUS_OK);
    start_ok(pool, &statement, &outcome); /* waits for the first attempt */
    TURN_UNTIL(outcome.done, 5000);
    assert_int_equal(outcome.status, STATUS_UNAVAILABLE);
    assert_false(postgres_is_up(pool));
    postgres_destroy(pool);
    assert_int_equal(postgres_session_script(session, "create role plain login noinherit", &failure), STATUS_OK);
    options.login.user = "plain";
    pool = pool_open(&options);
    assert_answers(pool, "select current_user", "plain");
    assert_int_equal(ask(pool, "select pg_read_file('PG_VERSION')").status, STATUS_DENIED);
    postgres_destroy(pool);
    postgres_session_close(session);
}

static void settings_are_made_at_login(void **state)
{
    static const char *const settings[] = {"work_mem",         "3MB",    "search_path", "pg_catalog",
                                           "application_name", "it's\\", NULL};
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    options.settings = settings;
    options.statement_timeout_ms = 12345;
    struct postgres *pool = pool_open(&options);
    assert_answers(pool, "show work_mem", "3MB");
    assert_answers(pool, "show search_path", "pg_catalog");
    assert_answers(pool, "show application_name", "it's\\");
    assert_answers(pool, "show statement_timeout", "12345ms");
    assert_answers(pool, "show timezone", "UTC");
    postgres_destroy(pool);
}

static void cancelling_a_pipelined_query_only_detaches_it(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    struct postgres_statement slow = statement_of(HELD_SQL), quick = statement_of("select 'quick'");
    struct outcome outcomes[4] = {0};
    outcome_order = 0;
    hold_queries(session);
    start_ok(pool, &slow, &outcomes[0]);
    start_ok(pool, &quick, &outcomes[1]);
    start_ok(pool, &quick, &outcomes[2]);
    postgres_cancel(outcomes[2].query); /* not sent yet */
    TURN_UNTIL(sleepers(session) == 1, 5000);
    postgres_cancel(outcomes[0].query);
    start_ok(pool, &quick, &outcomes[3]); /* takes over the cancelled one's structure */
    release_queries(session);
    TURN_UNTIL(outcome_order == 2, 5000);
    assert_int_equal(outcomes[0].done + outcomes[2].done, 0);
    assert_string_equal(outcomes[1].value, "quick");
    assert_string_equal(outcomes[3].value, "quick");
    assert_int_equal(outcomes[0].calls, 0);
    postgres_session_close(session);
    postgres_destroy(pool);
}

static struct postgres *restarted_pool;
static struct postgres_statement restarted_statement;
static struct outcome restarted;
static enum status restarted_status;

static void start_another(struct outcome *outcome)
{
    restarted_status = start_with(restarted_pool, &restarted_statement, NULL, &restarted);
}

static void a_query_may_be_started_within_on_done(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    restarted_pool = pool_open(&options);
    restarted_statement = statement_of("select 'second'");
    restarted = (struct outcome){0};
    struct outcome first = {.then = start_another};
    start_ok(restarted_pool, &restarted_statement, &first);
    TURN_UNTIL(restarted.done, 5000);
    assert_int_equal(restarted_status, STATUS_OK);
    assert_string_equal(restarted.value, "second");
    postgres_destroy(restarted_pool);
}

static void destroying_a_pool_ends_every_query_once(void **state)
{
    for (int turns = 0; turns < 40; turns += 3) {
        struct postgres_options options = pool_options(POSTGRES_PIPELINED, 2);
        struct failure failure;
        struct postgres_statement slow = statement_of("select pg_sleep(0.01)");
        struct outcome outcomes[100] = {0};
        assert_int_equal(postgres_create(loop, &options, &restarted_pool, &failure), STATUS_OK);
        restarted_statement = slow;
        for (int i = 0; i < 100; i++) {
            outcomes[i].then = i == 99 ? start_another : NULL;
            start_ok(restarted_pool, &slow, &outcomes[i]);
        }
        for (int i = 0; i < turns; i++)
            loop_turn(loop, 1);
        postgres_destroy(restarted_pool);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(outcomes[i].done, 1);
            assert_true(outcomes[i].status == STATUS_OK || outcomes[i].status == STATUS_UNAVAILABLE);
        }
        assert_int_equal(restarted_status, STATUS_UNAVAILABLE);
        for (int i = 0; i < 3; i++)
            loop_turn(loop, 1); /* nothing of it may still be watched */
    }
}

static void an_address_where_nobody_listens_is_unavailable(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 2);
    struct postgres *pool = NULL;
    struct failure failure;
    struct postgres_statement statement = statement_of("select 1");
    struct outcome outcome = {0};
    options.login.port = free_port();
    assert_int_equal(postgres_create(loop, &options, &pool, &failure), STATUS_OK);
    start_ok(pool, &statement, &outcome);
    TURN_UNTIL(outcome.done, 5000);
    assert_int_equal(outcome.status, STATUS_UNAVAILABLE);
    assert_int_equal(start_with(pool, &statement, NULL, &outcome), STATUS_UNAVAILABLE);
    postgres_destroy(pool);
}

/* What a taker of whole results saw of the pool within on_rows. */
struct look {
    struct outcome outcome; /* the first member: on_done takes it for this */
    struct postgres *pool;
    struct postgres_statistics seen;
};

static void look_on_rows(void *context, const struct postgres_rows *rows)
{
    struct look *look = context;
    look->seen = postgres_statistics(look->pool);
    outcome_on_rows(&look->outcome, rows);
}

static void a_connection_has_its_next_query_before_a_whole_result_is_handed_over(void **state)
{
    static const struct postgres_handlers handlers = {look_on_rows, outcome_on_done};
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement;
    postgres_statement_init(&statement, "select repeat('x', 100) from generate_series(1, 3000)", 0, NULL);
    const struct postgres_call call = {.statement = &statement, .whole = true};
    /* The first takes all, the second leaves within on_rows, the third pauses there, with nothing left to come. */
    struct look looks[4] = {
        {.outcome = {0}}, {.outcome.cancel_at = 3000}, {.outcome.pause_at = 3000}, {.outcome = {0}}};
    for (size_t i = 0; i < 4; i++) {
        looks[i].pool = pool;
        assert_int_equal(postgres_start(pool, &call, &handlers, &looks[i], &looks[i].outcome.query), STATUS_OK);
    }
    TURN_UNTIL(looks[3].outcome.done, 5000);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(looks[i].outcome.calls, 1);
        assert_int_equal(looks[i].outcome.rows, 3000);
        assert_int_equal(looks[i].outcome.done, i != 1);
        assert_int_equal(looks[i].outcome.status, STATUS_OK);
        assert_int_equal(looks[i].seen.busy, i != 3);
        assert_int_equal(looks[i].seen.waiting, i < 2 ? 2 - i : 0);
    }
    assert_int_equal(postgres_statistics(pool).cancels, 0); /* the server had long been through with it */
    assert_int_equal(postgres_statistics(pool).errors, 0);
    postgres_destroy(pool);
}

static void stop_pool(struct outcome *outcome)
{
    postgres_stop(((struct look *)outcome)->pool);
}

static void a_pool_may_be_stopped_while_a_whole_result_is_handed_over(void **state)
{
    static const struct postgres_handlers handlers = {look_on_rows, outcome_on_done};
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement;
    postgres_statement_init(&statement, "select 1", 0, NULL);
    const struct postgres_call call = {.statement = &statement, .whole = true};
    struct look looks[2] = {{.outcome.then = stop_pool, .pool = pool}, {.pool = pool}};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(postgres_start(pool, &call, &handlers, &looks[i], &looks[i].outcome.query), STATUS_OK);
    TURN_UNTIL(looks[1].outcome.done, 5000);
    assert_int_equal(looks[0].outcome.status, STATUS_OK);
    assert_int_equal(looks[0].outcome.done + looks[1].outcome.done, 2);
    assert_int_equal(looks[1].outcome.status, STATUS_UNAVAILABLE);
    postgres_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_queries_are_answered_in_order),
        cmocka_unit_test(rows_tell_null_from_empty_and_a_null_parameter_is_null),
        cmocka_unit_test(a_failing_query_fails_alone),
        cmocka_unit_test(a_statement_is_prepared_once_a_connection),
        cmocka_unit_test(a_connection_forgets_its_statements_when_they_are_too_many),
        cmocka_unit_test(a_statement_that_outlives_its_limit_is_a_timeout_and_spares_its_neighbours),
        cmocka_unit_test(a_full_queue_refuses_at_once),
        cmocka_unit_test(a_killed_server_fails_what_is_pipelined_and_the_pool_recovers),
        cmocka_unit_test(a_killed_server_fails_what_is_streamed_or_waits_and_the_pool_recovers),
        cmocka_unit_test(a_terminated_backend_costs_only_its_own_queries),
        cmocka_unit_test(large_results_share_one_connection_and_leave_the_others_to_look_ups),
        cmocka_unit_test(a_role_that_the_check_refuses_gets_no_connection),
        cmocka_unit_test(settings_are_made_at_login),
        cmocka_unit_test(cancelling_a_pipelined_query_only_detaches_it),
        cmocka_unit_test(a_query_may_be_started_within_on_done),
        cmocka_unit_test(destroying_a_pool_ends_every_query_once),
        cmocka_unit_test(an_address_where_nobody_listens_is_unavailable),
        cmocka_unit_test(a_connection_has_its_next_query_before_a_whole_result_is_handed_over),
        cmocka_unit_test(a_pool_may_be_stopped_while_a_whole_result_is_handed_over),
    };
    return cmocka_run_group_tests(tests, pool_group_setup, pool_group_teardown);
}
