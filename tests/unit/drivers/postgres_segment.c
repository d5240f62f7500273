/* Settings that hold for one query, and statements that go stale; in both kinds of pool. */
#include "pool.h"

static const enum postgres_mode modes[] = {POSTGRES_PIPELINED, POSTGRES_STREAMED};
#define EACH_MODE(i) for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)

static struct postgres_statement statement_of(const char *sql)
{
    struct postgres_statement statement;
    postgres_statement_init(&statement, sql, 0, NULL);
    return statement;
}

/* With up to eight settings, to its end. */
static struct outcome ask_with(struct postgres *pool, const char *sql, const struct postgres_setting *settings,
                               size_t count)
{
    struct postgres_statement statement = statement_of(sql);
    struct outcome outcome = {0};
    const struct postgres_call call = {.statement = &statement, .settings = settings, .setting_count = count};
    assert_int_equal(postgres_start(pool, &call, &outcome_handlers, &outcome, &outcome.query), STATUS_OK);
    TURN_UNTIL(outcome.done, 10000);
    assert_int_equal(outcome.done, 1);
    return outcome;
}

static void run_script(struct postgres_session *session, const char *sql)
{
    struct failure failure = {0};
    if (postgres_session_script(session, sql, &failure) != STATUS_OK)
        fail_msg("%s: %s", sql, failure.message);
}

static void settings_hold_for_their_query_alone(void **state)
{
    static const char sql[] = "select coalesce(current_setting('app.a', true), '') || '|' || "
                              "coalesce(current_setting('app.b', true), '') || '|' || current_setting('work_mem')";
    const struct postgres_setting settings[] = {
        {"app.a", TEXT("it's \\ \"quoted\" $1; --")}, {"app.b", TEXT("Zürich 東京 🚕")}, {"work_mem", TEXT("3MB")}};
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        uint64_t before = postgres_statistics(pool).reconnects; /* of a server that was still starting */
        for (int times = 0; times < 3; times++) {
            assert_value(ask_with(pool, sql, settings, 3), "it's \\ \"quoted\" $1; --|Zürich 東京 🚕|3MB");
            assert_value(ask_with(pool, sql, NULL, 0), "||4MB");
            assert_value(ask_with(pool, sql, settings + 1, 1), "|Zürich 東京 🚕|4MB");
        }
        assert_int_equal(postgres_statistics(pool).reconnects, before);
        postgres_destroy(pool);
    }
}

static void a_value_ends_where_its_size_says_and_more_than_eight_settings_are_refused(void **state)
{
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        struct postgres_statement statement = statement_of("select current_setting('app.a8')");
        struct postgres_setting settings[9];
        char names[9][8];
        for (int n = 0; n < 9; n++) {
            snprintf(names[n], sizeof(names[n]), "app.a%d", n + 1);
            settings[n] = (struct postgres_setting){names[n], text_of("value and more", 5)};
        }
        assert_value(ask_with(pool, statement.sql, settings, 8), "value");
        struct outcome outcome = {0};
        const struct postgres_call call = {.statement = &statement, .settings = settings, .setting_count = 9};
        assert_int_equal(postgres_start(pool, &call, &outcome_handlers, &outcome, &outcome.query), STATUS_TOO_LARGE);
        postgres_destroy(pool);
    }
}

static void a_limit_of_time_may_be_set_for_one_query(void **state)
{
    const struct postgres_setting limit = {"statement_timeout", TEXT("50ms")};
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        assert_int_equal(ask_with(pool, "select pg_sleep(5)", &limit, 1).status, STATUS_TIMEOUT);
        assert_value(ask_with(pool, "select 'free' from pg_sleep(0.1)", NULL, 0), "free");
        postgres_destroy(pool);
    }
}

static void a_setting_that_the_server_refuses_fails_its_query_and_no_other(void **state)
{
    const struct postgres_setting wrong[] = {{"app.a", TEXT("kept out")}, {"work_mem", TEXT("much")}};
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        for (int times = 0; times < 2; times++) {
            struct outcome refused = ask_with(pool, "select 'ran'", wrong, 2);
            assert_int_equal(refused.status, STATUS_INVALID);
            assert_string_equal(refused.sqlstate, "22023");
            assert_int_equal(refused.calls, 0);
            struct outcome failed = ask_with(pool, "select 1 / (random() * 0)::int", wrong, 1);
            assert_string_equal(failed.sqlstate, "22012");
            assert_int_equal(ask_with(pool, "select from where", wrong, 1).status, STATUS_FAILED);
            assert_value(ask_with(pool, "select coalesce(current_setting('app.a', true), '')", NULL, 0), "");
        }
        assert_int_equal(postgres_statistics(pool).reconnects, 0);
        postgres_destroy(pool);
    }
}

/* Ordinary queries, failing ones, and those with settings, some of which fail too, within the same turns. */
static void queries_with_settings_and_without_share_a_connection(void **state)
{
    static const char *const sql[] = {"select coalesce(current_setting('app.n', true), '') /* 0 */",
                                      "select coalesce(current_setting('app.n', true), '') /* 1 */",
                                      "select 1 / (random() * 0)::int", "select no_such_column",
                                      "select coalesce(current_setting('app.n', true), '') /* 4 */"};
    struct postgres_options options = pool_options(POSTGRES_PIPELINED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statements[5];
    static struct outcome outcomes[600];
    memset(outcomes, 0, sizeof(outcomes));
    for (int i = 0; i < 5; i++)
        statements[i] = statement_of(sql[i]);
    for (int first = 0; first < 600; first += 150) {
        outcome_order = 0;
        for (int i = first; i < first + 150; i++) {
            char value[16];
            const struct postgres_setting settings[] = {
                {"app.n", text_of(value, (size_t)snprintf(value, sizeof(value), "%d", i))}, {"app.m", TEXT("m")}};
            const struct postgres_call call = {
                .statement = &statements[i % 5], .settings = settings, .setting_count = (size_t)i % 3};
            assert_int_equal(postgres_start(pool, &call, &outcome_handlers, &outcomes[i], &outcomes[i].query),
                             STATUS_OK);
        }
        TURN_UNTIL(outcome_order == 150, 10000);
    }
    for (int i = 0; i < 600; i++) {
        char expected[16] = "";
        if (i % 3 != 0)
            snprintf(expected, sizeof(expected), "%d", i);
        if (i % 5 == 2 || i % 5 == 3)
            assert_string_equal(outcomes[i].sqlstate, i % 5 == 2 ? "22012" : "42703");
        else
            assert_value(outcomes[i], expected);
    }
    assert_int_equal(postgres_statistics(pool).reconnects, 0);
    postgres_destroy(pool);
}

static void an_answer_under_another_user_is_refused_and_the_connection_closed(void **state)
{
    const struct postgres_setting other = {"role", TEXT("somebody")}, same = {"role", TEXT("postgres")},
                                  harmless = {"app.a", TEXT("a")};
    struct postgres_session *session = session_open();
    run_script(session, "create role somebody");
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        uint64_t before = postgres_statistics(pool).reconnects;
        struct outcome refused = ask_with(pool, "select 'secret'", &other, 1);
        assert_int_equal(refused.status, STATUS_DENIED);
        assert_int_equal(refused.calls, 0);
        assert_int_equal(postgres_statistics(pool).reconnects, before + 1);
        assert_value(ask_with(pool, "select current_user", &same, 1), "postgres");
        /* What an earlier query left behind counts as much. */
        assert_int_equal(ask_with(pool, "select set_config('role', 'somebody', false)", NULL, 0).status, STATUS_OK);
        refused = ask_with(pool, "select 'secret'", &harmless, 1);
        assert_int_equal(refused.status, STATUS_DENIED);
        assert_int_equal(refused.calls, 0);
        assert_value(ask_with(pool, "select current_user", &harmless, 1), "postgres");
        postgres_destroy(pool);
    }
    run_script(session, "drop role somebody");
    postgres_session_close(session);
}

static void a_connection_forgets_its_statements_also_between_queries_with_settings(void **state)
{
    static char sql[600][32];
    static struct postgres_statement statements[600];
    static struct outcome outcomes[600];
    const struct postgres_setting settings[] = {{"app.a", TEXT("a")}, {"app.b", TEXT("b")}, {"app.c", TEXT("c")}};
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        options.queue = 600;
        struct postgres *pool = pool_open(&options);
        memset(outcomes, 0, sizeof(outcomes));
        outcome_order = 0;
        for (int n = 0; n < 600; n++) {
            snprintf(sql[n], sizeof(sql[n]), "select %d", n);
            statements[n] = statement_of(sql[n]);
            const struct postgres_call call = {
                .statement = &statements[n], .settings = settings, .setting_count = (size_t)n % 4};
            assert_int_equal(postgres_start(pool, &call, &outcome_handlers, &outcomes[n], &outcomes[n].query),
                             STATUS_OK);
        }
        TURN_UNTIL(outcome_order == 600, 20000);
        for (int n = 0; n < 600; n++)
            assert_value(outcomes[n], sql[n] + strlen("select "));
        assert_true(atoi(ask(pool, "select count(*) from pg_prepared_statements").value) <= 256);
        postgres_destroy(pool);
    }
}

/* Stale statements. */

static void a_view_that_was_altered_is_read_as_it_is_now(void **state)
{
    const struct postgres_setting setting = {"app.a", TEXT("a")};
    struct postgres_session *session = session_open();
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        struct postgres_statement statement = statement_of("select * from changing");
        for (size_t count = 0; count < 2; count++) {
            run_script(session, "create view changing as select 1 as number");
            assert_value(ask_with(pool, statement.sql, &setting, count), "1");
            run_script(session, "drop view changing; create view changing as select 'now text'::text as words");
            /* Several at once: they all fail before the first is known to. */
            struct outcome outcomes[20] = {0};
            outcome_order = 0;
            for (int n = 0; n < 20; n++)
                start_ok(pool, &statement, &outcomes[n]);
            TURN_UNTIL(outcome_order == 20, 5000);
            for (int n = 0; n < 20; n++)
                assert_value(outcomes[n], "now text");
            assert_value(ask_with(pool, statement.sql, &setting, count), "now text");
            run_script(session, "drop view changing");
        }
        assert_int_equal(postgres_statistics(pool).reconnects, 0);
        assert_int_equal(postgres_statistics(pool).errors, 0);
        postgres_destroy(pool);
    }
    postgres_session_close(session);
}

static void a_statement_whose_relation_is_gone_is_forgotten(void **state)
{
    struct postgres_session *session = session_open();
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        struct postgres_statement statement = statement_of("select * from passing");
        run_script(session, "create view passing as select 'first'::text");
        assert_value(ask_with(pool, statement.sql, NULL, 0), "first");
        run_script(session, "drop view passing");
        for (int n = 0; n < 2; n++)
            assert_string_equal(ask_with(pool, statement.sql, NULL, 0).sqlstate, "42P01");
        assert_answers(pool, "select count(*) from pg_prepared_statements where statement ~ 'from passing$'", "0");
        run_script(session, "create view passing as select 2 as second, 'and more' as more");
        assert_value(ask_with(pool, statement.sql, NULL, 0), "2");
        run_script(session, "drop view passing");
        assert_int_equal(postgres_statistics(pool).reconnects, 0);
        postgres_destroy(pool);
    }
    postgres_session_close(session);
}

static void a_statement_that_a_query_has_deallocated_is_prepared_again(void **state)
{
    const struct postgres_setting setting = {"app.a", TEXT("a")};
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        for (size_t count = 0; count < 2; count++) {
            assert_value(ask_with(pool, "select 'kept'", &setting, count), "kept");
            assert_int_equal(ask_with(pool, "deallocate all", NULL, 0).status, STATUS_OK);
            for (int n = 0; n < 4; n++)
                assert_value(ask_with(pool, "select 'kept'", &setting, count), "kept");
        }
        assert_answers(pool, "select count(*) from pg_prepared_statements where statement = 'select ''kept'''", "1");
        assert_int_equal(postgres_statistics(pool).reconnects, 0);
        postgres_destroy(pool);
    }
}

/* 0A000 has other causes: they end after one more attempt. */
static void a_query_that_the_server_never_supports_fails(void **state)
{
    EACH_MODE(i)
    {
        struct postgres_options options = pool_options(modes[i], 1);
        struct postgres *pool = pool_open(&options);
        struct outcome outcome = ask(pool, "do $$ begin raise exception 'never' using errcode = '0A000'; end $$");
        assert_string_equal(outcome.sqlstate, "0A000");
        assert_int_equal(outcome.done, 1);
        assert_answers(pool, "select 'next'", "next");
        postgres_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_hold_for_their_query_alone),
        cmocka_unit_test(a_value_ends_where_its_size_says_and_more_than_eight_settings_are_refused),
        cmocka_unit_test(a_limit_of_time_may_be_set_for_one_query),
        cmocka_unit_test(a_setting_that_the_server_refuses_fails_its_query_and_no_other),
        cmocka_unit_test(queries_with_settings_and_without_share_a_connection),
        cmocka_unit_test(an_answer_under_another_user_is_refused_and_the_connection_closed),
        cmocka_unit_test(a_connection_forgets_its_statements_also_between_queries_with_settings),
        cmocka_unit_test(a_view_that_was_altered_is_read_as_it_is_now),
        cmocka_unit_test(a_statement_whose_relation_is_gone_is_forgotten),
        cmocka_unit_test(a_statement_that_a_query_has_deallocated_is_prepared_again),
        cmocka_unit_test(a_query_that_the_server_never_supports_fails),
    };
    return cmocka_run_group_tests(tests, pool_group_setup, pool_group_teardown);
}
