/* What the tests of the PostgreSQL pools share: a server, a loop, a blocking session that watches the server, and
 * queries that write down what became of them. */
#ifndef TESTS_UNIT_DRIVERS_POOL_H
#define TESTS_UNIT_DRIVERS_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/postgres.h"
#include "drivers/postgres_session.h"

#include "servers.h"

static struct server database;
static struct loop *loop; /* for the life of the process: h2o's can't be destroyed without a leak */

/* Turns the loop until the condition holds; fails the test after `limit_ms`. */
#define TURN_UNTIL(condition, limit_ms)                                                                                \
    for (uint64_t end_us = clock_monotonic_us() + (limit_ms) * (uint64_t)1000; !(condition); loop_turn(loop, 5))       \
        if (clock_monotonic_us() > end_us)                                                                             \
    fail_msg("%s:%d: not within %d ms: %s", __FILE__, __LINE__, (int)(limit_ms), #condition)

struct outcome {
    struct postgres_query *query;
    size_t calls, rows; /* of on_rows; rows in them */
    size_t pause_at;    /* pause when this many rows have come; 0: never */
    size_t cancel_at;   /* cancel within on_rows, the same */
    int done;           /* times */
    unsigned order;     /* 1: the first that was done since outcome_order = 0 */
    enum status status;
    char sqlstate[6], message[256], value[256]; /* the last row's first value */
    void (*then)(struct outcome *outcome);      /* within on_done */
};
static unsigned outcome_order;

static inline void outcome_on_rows(void *context, const struct postgres_rows *rows)
{
    struct outcome *outcome = context;
    size_t count = postgres_rows_count(rows);
    assert_int_equal(outcome->done, 0);
    outcome->calls++;
    outcome->rows += count;
    if (count != 0 && postgres_rows_columns(rows) != 0) {
        struct text value = postgres_rows_value(rows, count - 1, 0);
        snprintf(outcome->value, sizeof(outcome->value), "%.*s", (int)value.size, value.data != NULL ? value.data : "");
    }
    if (outcome->pause_at != 0 && outcome->rows >= outcome->pause_at) {
        outcome->pause_at = 0;
        postgres_pause(outcome->query);
    }
    if (outcome->cancel_at != 0 && outcome->rows >= outcome->cancel_at)
        postgres_cancel(outcome->query);
}

static inline void outcome_on_done(void *context, const struct postgres_error *error)
{
    struct outcome *outcome = context;
    outcome->done++;
    outcome->order = ++outcome_order;
    outcome->status = error != NULL ? error->status : STATUS_OK;
    if (error != NULL) {
        memcpy(outcome->sqlstate, error->sqlstate, sizeof(outcome->sqlstate));
        memcpy(outcome->message, error->message, sizeof(outcome->message));
    }
    outcome->query = NULL;
    if (outcome->then != NULL)
        outcome->then(outcome);
}

static const struct postgres_handlers outcome_handlers = {outcome_on_rows, outcome_on_done};

static inline struct postgres_options pool_options(enum postgres_mode mode, size_t connections)
{
    return (struct postgres_options){.login = {.host = "127.0.0.1",
                                               .port = database.port,
                                               .database = "postgres",
                                               .user = "postgres",
                                               .sslmode = "disable",
                                               .application_name = "sluice-under-test",
                                               .connect_timeout_ms = 5000},
                                     .mode = mode,
                                     .connections = connections,
                                     .queue = 200,
                                     .statement_timeout_ms = 10000};
}

static inline struct postgres *pool_open(const struct postgres_options *options)
{
    struct postgres *pool = NULL;
    struct failure failure;
    assert_int_equal(postgres_create(loop, options, &pool, &failure), STATUS_OK);
    TURN_UNTIL(postgres_is_up(pool), 10000);
    return pool;
}

static inline enum status start_with(struct postgres *pool, const struct postgres_statement *statement,
                                     const struct text *parameters, struct outcome *outcome)
{
    const struct postgres_call call = {.statement = statement, .parameters = parameters};
    return postgres_start(pool, &call, &outcome_handlers, outcome, &outcome->query);
}

static inline void start_ok(struct postgres *pool, const struct postgres_statement *statement, struct outcome *outcome)
{
    assert_int_equal(start_with(pool, statement, NULL, outcome), STATUS_OK);
    assert_int_equal(outcome->done, 0);
}

static inline void assert_value(struct outcome outcome, const char *expected)
{
    if (outcome.status != STATUS_OK)
        fail_msg("%s %s", outcome.sqlstate, outcome.message);
    assert_string_equal(outcome.value, expected);
}

/* One query, to its end. */
static inline struct outcome ask(struct postgres *pool, const char *sql)
{
    struct postgres_statement statement;
    struct outcome outcome = {0};
    postgres_statement_init(&statement, sql, 0, NULL);
    start_ok(pool, &statement, &outcome);
    TURN_UNTIL(outcome.done, 10000);
    assert_int_equal(outcome.done, 1);
    return outcome;
}

#define assert_answers(pool, sql, expected)                                                                            \
    do {                                                                                                               \
        struct outcome asked = ask(pool, sql);                                                                         \
        if (asked.status != STATUS_OK)                                                                                 \
            fail_msg("%s: %s %s", sql, asked.sqlstate, asked.message);                                                 \
        assert_string_equal(asked.value, expected);                                                                    \
    } while (0)

/* The session beside. */

static inline struct postgres_session *session_open(void)
{
    struct postgres_login login = pool_options(POSTGRES_PIPELINED, 1).login;
    struct postgres_session *session = NULL;
    struct failure failure = {0};
    login.application_name = "watcher";
    /* A server that has just been started again still recovers. */
    for (uint64_t end = clock_monotonic_us() + SERVER_WAIT_US; session == NULL; usleep(2000)) {
        enum status status = postgres_session_open(&login, &session, &failure);
        if (status != STATUS_OK && clock_monotonic_us() > end)
            fail_msg("%s", failure.message);
    }
    return session;
}

static inline void session_take_number(void *context, const struct postgres_rows *rows)
{
    *(long *)context = atol(postgres_rows_value(rows, 0, 0).data);
}

static inline long session_number(struct postgres_session *session, const char *sql)
{
    long number = -1;
    struct failure failure = {0};
    if (postgres_session_query(session, sql, 0, NULL, session_take_number, &number, &failure) != STATUS_OK)
        fail_msg("%s: %s", sql, failure.message);
    return number;
}

static inline long sleepers(struct postgres_session *session)
{
    return session_number(session, "select count(*) from pg_stat_activity where state = 'active' and "
                                   "application_name = 'sluice-under-test'");
}

/* A query that is at work, and stays so until it is released: however late whoever looks at it comes. */
#define HELD_SQL "select 'released' from pg_advisory_xact_lock_shared(7)"

static inline void hold_queries(struct postgres_session *session)
{
    (void)session_number(session, "select 1 from pg_advisory_lock(7)");
}

static inline void release_queries(struct postgres_session *session)
{
    (void)session_number(session, "select pg_advisory_unlock(7)::int");
}

static inline int pool_group_setup(void **state)
{
    postgres_server_start(&database);
    loop = loop_create();
    return loop != NULL ? 0 : -1;
}

static inline int pool_group_teardown(void **state)
{
    postgres_server_stop(&database);
    return 0;
}

#endif
