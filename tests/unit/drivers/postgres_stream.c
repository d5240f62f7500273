/* The streamed pool: backpressure, cancelling, idle connections, the end. */
#include <malloc.h>

#include <signal.h>
#include <stdlib.h>

#include "pool.h"

static struct postgres_statement statement_of(const char *sql)
{
    struct postgres_statement statement;
    postgres_statement_init(&statement, sql, 0, NULL);
    return statement;
}

static void turn_for(uint64_t milliseconds)
{
    for (uint64_t end = clock_monotonic_us() + milliseconds * 1000; clock_monotonic_us() < end;)
        loop_turn(loop, 5);
}

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* Bytes that are allocated. (The sanitizers' quarantine makes the resident set say nothing.) */
static long allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes != NULL)
        return (long)__sanitizer_get_current_allocated_bytes();
    struct mallinfo2 now = mallinfo2();
    return (long)(now.uordblks + now.hblkhd);
}

static void rows_come_one_by_one_and_a_whole_result_at_once(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement some = statement_of("select generate_series(1, 1000)"),
                              none = statement_of("select 1 where false");
    struct outcome one_by_one = {0}, whole = {0}, empty = {0}, empty_whole = {0};
    start_ok(pool, &some, &one_by_one);
    const struct postgres_call some_whole = {.statement = &some, .whole = true},
                               none_whole = {.statement = &none, .whole = true};
    assert_int_equal(postgres_start(pool, &some_whole, &outcome_handlers, &whole, &whole.query), STATUS_OK);
    start_ok(pool, &none, &empty);
    assert_int_equal(postgres_start(pool, &none_whole, &outcome_handlers, &empty_whole, &empty_whole.query), STATUS_OK);
    TURN_UNTIL(empty_whole.done, 5000);
    assert_int_equal(one_by_one.calls, 1000);
    assert_int_equal(one_by_one.rows, 1000);
    assert_int_equal(whole.calls, 1);
    assert_int_equal(whole.rows, 1000);
    assert_int_equal(empty.calls, 1);
    assert_int_equal(empty.rows, 0);
    assert_int_equal(empty_whole.calls, 1);
    assert_int_equal(whole.status + one_by_one.status + empty.status + empty_whole.status, STATUS_OK);
    assert_int_equal(postgres_statistics(pool).open, 1);
    postgres_destroy(pool);
}

/* What comes until the server has heard of the end is read too. */
static void a_whole_result_that_outgrows_its_bound_ends(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    const char *const sql[] = {"select repeat('x', 100), generate_series(1, 100000000)",
                               "select repeat('x', 300000), generate_series(1, 100000000)"};
    for (size_t i = 0; i < 2; i++) {
        struct postgres_statement statement = statement_of(sql[i]);
        const struct postgres_call call = {.statement = &statement, .whole = true, .whole_most = 1 << 20};
        struct outcome outcome = {0};
        assert_int_equal(postgres_start(pool, &call, &outcome_handlers, &outcome, &outcome.query), STATUS_OK);
        long before = allocated();
        TURN_UNTIL(outcome.done, 5000);
        assert_true(allocated() - before < 16 << 20);
        assert_int_equal(outcome.status, STATUS_TOO_LARGE);
        assert_int_equal(outcome.calls, 0);
        assert_answers(pool, "select 'free'", "free");
    }
    assert_int_equal(postgres_statistics(pool).reconnects, 0);
    postgres_destroy(pool);
}

static void a_whole_result_within_its_bound_comes(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement = statement_of("select repeat('x', 100) from generate_series(1, 5000)");
    const struct postgres_call call = {.statement = &statement, .whole = true, .whole_most = 1 << 20};
    for (int i = 0; i < 5; i++) {
        struct outcome outcome = {0};
        assert_int_equal(postgres_start(pool, &call, &outcome_handlers, &outcome, &outcome.query), STATUS_OK);
        TURN_UNTIL(outcome.done, 5000);
        assert_int_equal(outcome.status, STATUS_OK);
        assert_int_equal(outcome.rows, 5000);
        assert_int_equal(outcome.calls, 1);
    }
    postgres_destroy(pool);
}

static void an_error_after_rows_ends_the_query_and_not_the_connection(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct outcome outcome = ask(pool, "select 100 / (5000 - i) from generate_series(1, 10000) i");
    assert_int_equal(outcome.status, STATUS_INVALID);
    assert_string_equal(outcome.sqlstate, "22012");
    assert_int_equal(outcome.rows, 4999);
    assert_int_equal(ask(pool, "select from where").status, STATUS_FAILED);
    assert_answers(pool, "select 'well'", "well");
    assert_int_equal(postgres_statistics(pool).reconnects, 0);
    postgres_destroy(pool);
}

static void a_timeout_ends_a_streamed_query(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    options.statement_timeout_ms = 1000; /* the next one's too */
    struct postgres *pool = pool_open(&options);
    assert_int_equal(ask(pool, "select pg_sleep(60)").status, STATUS_TIMEOUT);
    assert_answers(pool, "select 'well'", "well");
    postgres_destroy(pool);
}

static void more_connections_open_when_needed_and_idle_ones_close(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 3);
    options.idle_timeout_ms = 100;
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    struct postgres_statement slow = statement_of(HELD_SQL);
    struct outcome outcomes[5] = {0};
    hold_queries(session);
    turn_for(150); /* the first stays */
    assert_int_equal(postgres_statistics(pool).open, 1);
    outcome_order = 0;
    for (int i = 0; i < 5; i++)
        start_ok(pool, &slow, &outcomes[i]);
    TURN_UNTIL(postgres_statistics(pool).busy == 3, 8000);
    assert_int_equal(postgres_statistics(pool).waiting, 2);
    release_queries(session);
    TURN_UNTIL(outcome_order == 5, 5000);
    TURN_UNTIL(postgres_statistics(pool).open == 1, 10000);
    assert_true(postgres_is_up(pool));
    assert_int_equal(postgres_statistics(pool).reconnects, 0);
    assert_answers(pool, "select 'well'", "well");
    postgres_session_close(session);
    postgres_destroy(pool);
}

/* Its turn behind it, so that the pool knows the time of its start; microseconds from before that. */
static uint64_t start_at(struct postgres *pool, const struct postgres_statement *statement, struct outcome *outcome)
{
    uint64_t before_us = clock_monotonic_us();
    loop_turn(loop, 0);
    start_ok(pool, statement, outcome);
    return before_us;
}

/* Each after its own time: a machine that stands still may make it later, and nothing earlier. */
static void whoever_waits_too_long_is_told(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    options.queue = 2;
    options.queue_timeout_ms = 80;
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    struct postgres_statement slow = statement_of(HELD_SQL);
    struct outcome outcomes[5] = {0};
    hold_queries(session);
    start_ok(pool, &slow, &outcomes[0]);
    TURN_UNTIL(postgres_statistics(pool).busy == 1, 5000);
    uint64_t first_us = start_at(pool, &slow, &outcomes[1]);
    start_ok(pool, &slow, &outcomes[2]);
    assert_int_equal(start_with(pool, &slow, NULL, &outcomes[3]), STATUS_BUSY);
    TURN_UNTIL(outcomes[1].done, 5000);
    assert_true(clock_monotonic_us() - first_us >= 79000);
    TURN_UNTIL(outcomes[2].done, 5000);
    start_ok(pool, &slow, &outcomes[3]);
    turn_for(40);
    uint64_t last_us = start_at(pool, &slow, &outcomes[4]);
    TURN_UNTIL(outcomes[3].done, 5000);
    TURN_UNTIL(outcomes[4].done, 5000);
    assert_true(clock_monotonic_us() - last_us >= 79000); /* not with the one before it */
    for (int i = 1; i < 5; i++)
        assert_int_equal(outcomes[i].status, STATUS_BUSY);
    assert_int_equal(outcomes[0].done, 0);
    release_queries(session);
    TURN_UNTIL(outcomes[0].done, 5000);
    assert_int_equal(outcomes[0].status, STATUS_OK);
    postgres_session_close(session);
    postgres_destroy(pool);
}

static void a_cancelled_sleep_is_gone_within_100_ms(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    struct postgres_statement slow = statement_of("select pg_sleep(30)");
    long backend = atol(ask(pool, "select pg_backend_pid()").value);
    unsigned rounds = 0, prompt = 0;
    /* Most of ten; of more, where the machine is busy for a while. */
    for (; rounds < 10 || (prompt * 2 <= rounds && rounds < 60); rounds++) {
        struct outcome outcome = {0};
        start_ok(pool, &slow, &outcome);
        TURN_UNTIL(sleepers(session) == 1, 5000);
        loop_turn(loop, 0); /* the loop's time is of its turn */
        uint64_t begin = clock_monotonic_us();
        postgres_cancel(outcome.query);
        TURN_UNTIL(sleepers(session) == 0, 5000);
        prompt += clock_monotonic_us() - begin < 100000;
        struct outcome next = ask(pool, "select pg_backend_pid()");
        assert_int_equal(next.status, STATUS_OK);
        assert_int_equal(atol(next.value), backend); /* clean, not replaced */
        assert_int_equal(outcome.done + (int)outcome.calls, 0);
    }
    assert_true(prompt * 2 > rounds);
    assert_int_equal(postgres_statistics(pool).cancels, rounds);
    postgres_session_close(session);
    postgres_destroy(pool);
}

static void a_cancelled_queued_query_never_runs(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement slow = statement_of("select pg_sleep(0.1)"), side = statement_of("create table never()");
    struct outcome first = {0}, queued = {0};
    start_ok(pool, &slow, &first);
    start_ok(pool, &side, &queued);
    postgres_cancel(queued.query);
    TURN_UNTIL(first.done, 5000);
    assert_answers(pool, "select count(*) from pg_class where relname = 'never'", "0");
    assert_int_equal(queued.done, 0);
    postgres_destroy(pool);
}

/* The whole result is in libpq's memory by then: no byte will come that would wake the loop. */
static void cancelling_within_on_rows_frees_the_connection_soon(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement few = statement_of("select generate_series(1, 20)"),
                              many = statement_of("select repeat('x', 2000), generate_series(1, 10000000)");
    for (int i = 0; i < 20; i++) {
        struct outcome outcome = {.cancel_at = i % 2 ? 20 : 1};
        start_ok(pool, i % 3 ? &few : &many, &outcome);
        TURN_UNTIL(outcome.rows == (i % 2 ? 20 : 1), 5000);
        assert_answers(pool, "select 'free'", "free");
        if (postgres_statistics(pool).reconnects != 0) /* after the deadline of 2,000 ms the connection is replaced */
            fail_msg("%d: only on another connection", i);
        assert_int_equal(outcome.done, 0);
    }
    postgres_destroy(pool);
}

/* Cancelled at every moment of preparing, sending and answering: what the connection believes about its statements
 * must stay true. */
static void a_query_may_be_cancelled_at_any_moment(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    static char sql[300][64];
    for (int i = 0; i < 300; i++) {
        struct outcome outcome = {0}, again = {0};
        snprintf(sql[i], sizeof(sql[i]), "select %d + generate_series(1, 3)", i);
        struct postgres_statement statement = statement_of(sql[i]);
        start_ok(pool, &statement, &outcome);
        for (int turns = 0; turns < i % 6 && outcome.done == 0; turns++)
            loop_turn(loop, 1);
        if (outcome.done == 0)
            postgres_cancel(outcome.query);
        start_ok(pool, &statement, &again);
        TURN_UNTIL(again.done, 5000);
        if (again.status != STATUS_OK)
            fail_msg("after %d turns: %s %s", i % 6, again.sqlstate, again.message);
        assert_int_equal(again.rows, 3);
    }
    assert_int_equal(postgres_statistics(pool).reconnects, 0);
    postgres_destroy(pool);
}

static void a_paused_stream_of_a_million_rows_holds_little_memory(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    options.statement_timeout_ms = 0;
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement = statement_of("select i, repeat('x', 100) from generate_series(1, 1000000) i");
    struct outcome outcome = {.pause_at = 1000};
    start_ok(pool, &statement, &outcome);
    TURN_UNTIL(outcome.rows == 1000, 5000);
    long before = allocated();
    turn_for(500);
    assert_int_equal(outcome.rows, 1000);
    assert_true(allocated() - before < 1 << 20);
    for (size_t at = 250000; at <= 1000000; at += 250000) {
        outcome.pause_at = at;
        postgres_resume(outcome.query);
        TURN_UNTIL(outcome.rows == at, 60000);
        loop_turn(loop, 20);
        assert_int_equal(outcome.rows, at);
        if (allocated() - before >= 1 << 20)
            fail_msg("%ld bytes more after %zu rows", allocated() - before, at);
    }
    assert_int_equal(outcome.done, 0);
    postgres_resume(outcome.query);
    TURN_UNTIL(outcome.done, 5000);
    assert_int_equal(outcome.status, STATUS_OK);
    assert_string_equal(outcome.value, "1000000");
    postgres_destroy(pool);
}

static void a_client_may_leave_while_paused(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    struct postgres_statement statement = statement_of("select generate_series(1, 1000000), repeat('x', 100)");
    struct outcome outcome = {.pause_at = 10};
    start_ok(pool, &statement, &outcome);
    TURN_UNTIL(outcome.rows == 10, 5000);
    turn_for(50); /* the server now waits for room in its socket */
    postgres_cancel(outcome.query);
    TURN_UNTIL(sleepers(session) == 0, 5000);
    assert_answers(pool, "select 'free'", "free");
    assert_int_equal(outcome.done, 0);
    assert_int_equal(outcome.rows, 10);
    assert_int_equal(postgres_statistics(pool).reconnects, 0);
    postgres_session_close(session);
    postgres_destroy(pool);
}

static void a_query_paused_before_it_is_sent_waits_for_resume(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement = statement_of("select 1");
    struct outcome outcome = {0};
    start_ok(pool, &statement, &outcome);
    postgres_pause(outcome.query);
    turn_for(50);
    assert_int_equal(outcome.rows + (size_t)outcome.done, 0);
    postgres_resume(outcome.query);
    TURN_UNTIL(outcome.done, 5000);
    assert_int_equal(outcome.rows, 1);
    postgres_destroy(pool);
}

/* A slow reader of one stream must not keep the loop from others. */
static void a_long_stream_leaves_turns_to_others(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 2);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement many = statement_of("select generate_series(1, 500000000)");
    struct outcome stream = {0};
    start_ok(pool, &many, &stream);
    TURN_UNTIL(stream.rows != 0, 5000);
    assert_answers(pool, "select 'beside'", "beside");
    assert_int_equal(stream.done, 0);
    postgres_cancel(stream.query);
    postgres_destroy(pool);
}

static void a_backend_that_ends_mid_stream_is_told(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    long backend = atol(ask(pool, "select pg_backend_pid()").value);
    struct postgres_statement many = statement_of("select i, repeat('x', 100) from generate_series(1, 1000000) i");
    struct outcome outcome = {.pause_at = 10};
    char sql[64];
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%ld)::int", backend);
    start_ok(pool, &many, &outcome);
    TURN_UNTIL(outcome.rows == 10, 5000);
    assert_int_equal(session_number(session, sql), 1);
    postgres_resume(outcome.query);
    TURN_UNTIL(outcome.done, 5000);
    assert_int_equal(outcome.done, 1);
    assert_int_equal(outcome.status, STATUS_UNAVAILABLE);
    assert_answers(pool, "select 'back'", "back");
    postgres_session_close(session);
    postgres_destroy(pool);
}

static void destroying_a_pool_ends_every_query_once(void **state)
{
    for (int turns = 0; turns < 60; turns += 4) {
        struct postgres_options options = pool_options(POSTGRES_STREAMED, 3);
        struct postgres *pool = NULL;
        struct failure failure;
        struct postgres_statement slow = statement_of("select pg_sleep(10)"),
                                  many = statement_of("select generate_series(1, 1000000)");
        struct outcome outcomes[8] = {{.pause_at = 5}};
        assert_int_equal(postgres_create(loop, &options, &pool, &failure), STATUS_OK);
        for (int i = 0; i < 8; i++)
            start_ok(pool, i % 2 ? &slow : &many, &outcomes[i]);
        for (int i = 0; i < turns; i++)
            loop_turn(loop, 1);
        if (outcomes[1].done == 0)
            postgres_cancel(outcomes[1].query); /* PQcancel may be at work when the pool goes */
        postgres_destroy(pool);
        for (int i = 0; i < 8; i++) {
            assert_int_equal(outcomes[i].done, i != 1);
            assert_int_equal(outcomes[i].status, i != 1 ? STATUS_UNAVAILABLE : STATUS_OK);
        }
        turn_for(10); /* nothing of it may still be watched or posted */
    }
}

/* A server that neither answers nor closes (stopped, here) must not hold the caller's stop up. */
static void destroying_a_pool_does_not_wait_for_a_server_that_hangs(void **state)
{
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_session *session = session_open();
    struct postgres_statement slow = statement_of("select pg_sleep(9)");
    struct outcome outcome = {0};
    /* Queries of pools that were destroyed go on until they find nobody to answer. */
    (void)session_number(session,
                         "select count(pg_terminate_backend(pid)) from pg_stat_activity where state = 'active' "
                         "and application_name = 'sluice-under-test'");
    TURN_UNTIL(sleepers(session) == 0, 10000);
    start_ok(pool, &slow, &outcome);
    TURN_UNTIL(sleepers(session) == 1, 8000);
    kill(database.pid, SIGSTOP); /* accepts no more, so that PQcancel waits */
    postgres_cancel(outcome.query);
    turn_for(50);
    alarm(20);
    uint64_t begin = clock_monotonic_us();
    postgres_destroy(pool);
    uint64_t took = clock_monotonic_us() - begin;
    kill(database.pid, SIGCONT);
    alarm(0);
    assert_true(took < 5000000);
    turn_for(100);
    postgres_session_close(session);
}

/* Whether SIGINT waits for a stopped process. */
static bool interrupt_is_pending(long pid)
{
    char path[64], line[256];
    unsigned long long pending = 0;
    snprintf(path, sizeof(path), "/proc/%ld/status", pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "ShdPnd:", 7) == 0)
            pending = strtoull(line + 7, NULL, 16);
    if (file != NULL)
        fclose(file);
    return (pending & (1ull << (SIGINT - 1))) != 0;
}

/* PostgreSQL ignores a request that comes while it still reads: the backend is stopped so that it does. */
static void a_request_to_cancel_that_comes_before_the_query_is_made_again(void **state)
{
    static const uint32_t types[] = {701};
    struct postgres_options options = pool_options(POSTGRES_STREAMED, 1);
    struct postgres *pool = pool_open(&options);
    struct postgres_statement statement;
    struct outcome first = {0}, outcome = {0};
    const struct text none = TEXT("0"), long_time = TEXT("9");
    postgres_statement_init(&statement, "select pg_sleep($1)", 1, types);
    uint64_t before = postgres_statistics(pool).reconnects; /* of a server that was still starting */
    assert_int_equal(start_with(pool, &statement, &none, &first), STATUS_OK);
    TURN_UNTIL(first.done, 5000);
    struct outcome backend = ask(pool, "select pg_backend_pid()");
    long pid = strtol(backend.value, NULL, 10);
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    assert_int_equal(start_with(pool, &statement, &long_time, &outcome), STATUS_OK);
    TURN_UNTIL(postgres_statistics(pool).busy == 1, 5000);
    postgres_cancel(outcome.query);
    TURN_UNTIL(interrupt_is_pending(pid), 1500);
    assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
    assert_answers(pool, "select 'clean'", "clean");
    assert_int_equal(postgres_statistics(pool).reconnects, before);
    postgres_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_to_cancel_that_comes_before_the_query_is_made_again),
        cmocka_unit_test(rows_come_one_by_one_and_a_whole_result_at_once),
        cmocka_unit_test(a_whole_result_that_outgrows_its_bound_ends),
        cmocka_unit_test(a_whole_result_within_its_bound_comes),
        cmocka_unit_test(an_error_after_rows_ends_the_query_and_not_the_connection),
        cmocka_unit_test(a_timeout_ends_a_streamed_query),
        cmocka_unit_test(more_connections_open_when_needed_and_idle_ones_close),
        cmocka_unit_test(whoever_waits_too_long_is_told),
        cmocka_unit_test(a_cancelled_sleep_is_gone_within_100_ms),
        cmocka_unit_test(a_cancelled_queued_query_never_runs),
        cmocka_unit_test(cancelling_within_on_rows_frees_the_connection_soon),
        cmocka_unit_test(a_query_may_be_cancelled_at_any_moment),
        cmocka_unit_test(a_paused_stream_of_a_million_rows_holds_little_memory),
        cmocka_unit_test(a_client_may_leave_while_paused),
        cmocka_unit_test(a_query_paused_before_it_is_sent_waits_for_resume),
        cmocka_unit_test(a_long_stream_leaves_turns_to_others),
        cmocka_unit_test(a_backend_that_ends_mid_stream_is_told),
        cmocka_unit_test(destroying_a_pool_ends_every_query_once),
        cmocka_unit_test(destroying_a_pool_does_not_wait_for_a_server_that_hangs),
    };
    return cmocka_run_group_tests(tests, pool_group_setup, pool_group_teardown);
}
