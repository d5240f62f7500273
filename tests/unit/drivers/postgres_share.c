/* Pools that share a bound on their connections: the bound, who gets the next free place, idle connections, the end. */
#include <stdlib.h>

#include "pool.h"

#define POOLS 12

static struct postgres_share *share;
static struct postgres *pools[POOLS];

static struct postgres_statement statement_of(const char *sql)
{
    struct postgres_statement statement;
    postgres_statement_init(&statement, sql, 0, NULL);
    return statement;
}

static struct postgres *make(const struct postgres_options *options)
{
    struct postgres *pool = NULL;
    struct failure failure;
    assert_int_equal(postgres_create(loop, options, &pool, &failure), STATUS_OK);
    return pool;
}

static struct postgres_options options_of(size_t connections)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, connections);
    options.share = share;
    return options;
}

static void begin(size_t limit, size_t count, size_t connections)
{
    share = postgres_share_create(limit);
    assert_non_null(share);
    for (size_t i = 0; i < POOLS; i++) {
        struct postgres_options options = options_of(connections);
        pools[i] = i < count ? make(&options) : NULL;
    }
}

static void end(void)
{
    for (size_t i = 0; i < POOLS; i++) {
        postgres_destroy(pools[i]);
        pools[i] = NULL;
    }
    assert_int_equal(postgres_share_used(share), 0);
    postgres_share_destroy(share);
}

static void a_pool_opens_nothing_before_it_is_asked(void **state)
{
    begin(4, 2, 2);
    for (int i = 0; i < 20; i++)
        loop_turn(loop, 1);
    assert_int_equal(postgres_share_used(share), 0);
    assert_true(postgres_is_idle(pools[0]));
    assert_answers(pools[0], "select 'well'", "well");
    assert_int_equal(postgres_share_used(share), 1);
    assert_false(postgres_is_idle(pools[0]));
    assert_true(postgres_is_idle(pools[1]));
    end();
}

static void the_connections_of_all_pools_stay_within_the_bound_and_all_are_answered(void **state)
{
    struct postgres_statement statement = statement_of("select pg_sleep(0.002)");
    struct outcome outcomes[POOLS][6] = {0};
    size_t most = 0, done = 0;
    begin(3, POOLS, 2);
    for (size_t i = 0; i < POOLS; i++)
        for (size_t k = 0; k < 6; k++)
            start_ok(pools[i], &statement, &outcomes[i][k]);
    for (uint64_t give_up = clock_monotonic_us() + 30000000; done < (size_t)POOLS * 6;) {
        assert_true(clock_monotonic_us() < give_up);
        loop_turn(loop, 5);
        most = postgres_share_used(share) > most ? postgres_share_used(share) : most;
        assert_true(postgres_share_used(share) <= 3);
        done = 0;
        for (size_t i = 0; i < POOLS; i++)
            for (size_t k = 0; k < 6; k++)
                done += (size_t)outcomes[i][k].done;
    }
    for (size_t i = 0; i < POOLS; i++)
        for (size_t k = 0; k < 6; k++)
            assert_int_equal(outcomes[i][k].status, STATUS_OK);
    assert_int_equal(most, 3);
    end();
}

static void an_idle_connection_of_another_pool_makes_room(void **state)
{
    begin(1, 2, 2);
    for (int i = 0; i < 5; i++) {
        assert_answers(pools[0], "select 'first'", "first");
        assert_int_equal(postgres_statistics(pools[1]).open, 0);
        assert_answers(pools[1], "select 'second'", "second");
        assert_int_equal(postgres_statistics(pools[0]).open, 0);
        assert_int_equal(postgres_share_used(share), 1);
    }
    end();
}

static void the_longest_idle_connection_goes_first(void **state)
{
    begin(2, 3, 1);
    assert_answers(pools[0], "select 1", "1");
    assert_answers(pools[1], "select 1", "1");
    assert_answers(pools[0], "select 1", "1");
    assert_answers(pools[2], "select 1", "1");
    assert_int_equal(postgres_statistics(pools[0]).open, 1);
    assert_int_equal(postgres_statistics(pools[1]).open, 0);
    end();
}

static void a_long_queue_starves_nobody(void **state)
{
    struct postgres_statement statement = statement_of("select pg_sleep(0.005)");
    struct outcome many[100] = {0}, few[POOLS] = {0};
    begin(2, 5, 2);
    outcome_order = 0;
    for (size_t i = 0; i < 100; i++)
        start_ok(pools[0], &statement, &many[i]);
    TURN_UNTIL(many[0].done, 10000);
    assert_int_equal(postgres_share_used(share), 2);
    for (size_t i = 1; i < 5; i++)
        start_ok(pools[i], &statement, &few[i]);
    TURN_UNTIL(few[1].done && few[2].done && few[3].done && few[4].done, 10000);
    size_t before = 0;
    for (size_t i = 0; i < 100; i++)
        before += (size_t)many[i].done;
    assert_true(before < 50); /* they took turns */
    TURN_UNTIL(many[99].done, 10000);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(many[i].status, STATUS_OK);
    end();
}

static void an_idle_connection_is_closed_after_its_time(void **state)
{
    begin(4, 0, 1);
    struct postgres_options options = options_of(2);
    options.idle_timeout_ms = 1000;
    pools[0] = make(&options);
    assert_answers(pools[0], "select 1", "1");
    assert_int_equal(postgres_share_used(share), 1);
    TURN_UNTIL(postgres_is_idle(pools[0]), 10000);
    assert_int_equal(postgres_share_used(share), 0);
    assert_answers(pools[0], "select 'again'", "again");
    end();
}

static void a_pool_that_goes_while_it_waits_leaves_the_others_in_peace(void **state)
{
    struct postgres_statement slow = statement_of("select pg_sleep(0.2)"), quick = statement_of("select 'well'");
    struct outcome first = {0}, second = {0}, third = {0};
    begin(1, 3, 1);
    start_ok(pools[0], &slow, &first);
    TURN_UNTIL(postgres_statistics(pools[0]).busy == 1, 5000);
    start_ok(pools[1], &quick, &second);
    start_ok(pools[2], &quick, &third);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 1);
    postgres_destroy(pools[1]);
    pools[1] = NULL;
    assert_int_equal(second.done, 1);
    assert_int_equal(second.status, STATUS_UNAVAILABLE);
    TURN_UNTIL(third.done, 5000);
    assert_int_equal(first.status, STATUS_OK);
    assert_value(third, "well");
    end();
}

static void a_pool_that_goes_while_its_query_is_cancelled_leaves_the_canceller_to_the_others(void **state)
{
    struct postgres_statement slow = statement_of("select pg_sleep(30)");
    begin(2, 2, 1);
    for (int i = 0; i < 10; i++) {
        struct outcome gone = {0}, kept = {0};
        struct postgres_options options = options_of(1);
        struct postgres *passing = make(&options);
        start_ok(passing, &slow, &gone);
        TURN_UNTIL(postgres_statistics(passing).busy == 1, 5000);
        postgres_cancel(gone.query);
        postgres_destroy(passing);
        start_ok(pools[1], &slow, &kept);
        TURN_UNTIL(postgres_statistics(pools[1]).busy == 1, 5000);
        postgres_cancel(kept.query);
        assert_answers(pools[1], "select 'well'", "well");
        assert_int_equal(gone.done + kept.done, 0);
    }
    assert_int_equal(postgres_statistics(pools[1]).reconnects, 0);
    end();
}

static void a_cancelled_query_gives_its_place_on(void **state)
{
    struct postgres_statement slow = statement_of("select pg_sleep(30)"), quick = statement_of("select 'well'");
    struct outcome first = {0}, second = {0};
    begin(1, 2, 1);
    start_ok(pools[0], &slow, &first);
    TURN_UNTIL(postgres_statistics(pools[0]).busy == 1, 5000);
    start_ok(pools[1], &quick, &second);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 1);
    assert_int_equal(second.done, 0);
    postgres_cancel(first.query);
    TURN_UNTIL(second.done, 5000);
    assert_value(second, "well");
    end();
}

static void a_login_that_fails_takes_no_place_and_is_tried_again_later(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    begin(1, 1, 1);
    struct postgres_options options = options_of(2);
    options.login.user = "somebody_new";
    pools[1] = make(&options);
    struct outcome outcome = ask(pools[1], "select 1");
    assert_int_equal(outcome.status, STATUS_UNAVAILABLE);
    assert_int_equal(postgres_share_used(share), 0);
    struct postgres_statement statement = statement_of("select 'here'");
    assert_int_equal(start_with(pools[1], &statement, NULL, &outcome),
                     STATUS_UNAVAILABLE); /* at once, without asking; later in the loop's time it would ask */
    assert_answers(pools[0], "select 'well'", "well");
    assert_int_equal(postgres_session_script(session, "create role somebody_new login", &failure), STATUS_OK);
    outcome = (struct outcome){0};
    TURN_UNTIL(start_with(pools[1], &statement, NULL, &outcome) == STATUS_OK, 5000);
    TURN_UNTIL(outcome.done, 5000);
    assert_value(outcome, "here");
    postgres_session_close(session);
    end();
}

static void a_lost_connection_is_replaced_for_those_that_wait(void **state)
{
    struct postgres_session *session = session_open();
    struct postgres_statement slow = statement_of("select pg_sleep(30)"), quick = statement_of("select 'well'");
    struct outcome first = {0}, second = {0};
    /* What tests before left asleep notices only now that nobody listens. */
    session_number(session, "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where "
                            "application_name = 'sluice-under-test'");
    TURN_UNTIL(sleepers(session) == 0, 5000);
    begin(1, 1, 2);
    start_ok(pools[0], &slow, &first);
    TURN_UNTIL(sleepers(session) == 1, 5000);
    start_ok(pools[0], &quick, &second);
    loop_turn(loop, 1);
    session_number(session, "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = "
                            "'sluice-under-test'");
    TURN_UNTIL(second.done, 5000);
    assert_int_equal(first.status, STATUS_UNAVAILABLE);
    assert_value(second, "well");
    postgres_session_close(session);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_opens_nothing_before_it_is_asked),
        cmocka_unit_test(the_connections_of_all_pools_stay_within_the_bound_and_all_are_answered),
        cmocka_unit_test(an_idle_connection_of_another_pool_makes_room),
        cmocka_unit_test(the_longest_idle_connection_goes_first),
        cmocka_unit_test(a_long_queue_starves_nobody),
        cmocka_unit_test(an_idle_connection_is_closed_after_its_time),
        cmocka_unit_test(a_pool_that_goes_while_it_waits_leaves_the_others_in_peace),
        cmocka_unit_test(a_pool_that_goes_while_its_query_is_cancelled_leaves_the_canceller_to_the_others),
        cmocka_unit_test(a_cancelled_query_gives_its_place_on),
        cmocka_unit_test(a_login_that_fails_takes_no_place_and_is_tried_again_later),
        cmocka_unit_test(a_lost_connection_is_replaced_for_those_that_wait),
    };
    return cmocka_run_group_tests(tests, pool_group_setup, pool_group_teardown);
}
