#include "pool.h"

#include <pthread.h>
#include <unistd.h>

#define LONG_MS 20000

static struct postgres_session *session;
static struct failure failure;

static int open_one(void **state)
{
    failure = (struct failure){0};
    session = session_open();
    assert_int_equal(postgres_session_script(session,
                                             "create temp table target (id bigint primary key, words text, "
                                             "constraint small check (id < 1000000))",
                                             &failure),
                     STATUS_OK);
    return 0;
}

static int close_one(void **state)
{
    postgres_session_close(session);
    return 0;
}

static void begin_copy(void)
{
    assert_int_equal(postgres_session_copy_begin(session, "copy target from stdin", &failure), STATUS_OK);
}

static enum status put(const char *bytes)
{
    return postgres_session_copy_put(session, text_from_string(bytes), &failure);
}

static void rows_arrive_whatever_the_pieces_are(void **state)
{
    uint64_t rows = 0;
    begin_copy();
    assert_int_equal(put("1\tone\n2\t"), STATUS_OK);
    assert_int_equal(put(""), STATUS_OK);
    assert_int_equal(put("two\n"), STATUS_OK);
    assert_int_equal(put("3\t\\N"), STATUS_OK);
    assert_int_equal(put("\n"), STATUS_OK);
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_OK);
    assert_int_equal(rows, 3);
    assert_int_equal(session_number(session, "select sum(id) from target where words is null"), 3);
    begin_copy();
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_OK);
    assert_int_equal(rows, 0);
}

static long resident_kb(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_int_equal(fscanf(file, "%ld %ld", &pages, &resident), 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* 200 MB through a server that reads slower than we write. */
static void memory_stays_bounded_however_much_is_put(void **state)
{
    static char piece[1 << 20];
    const char row[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123\n";
    uint64_t rows = 0;
    size_t filled = 0;
    for (; filled + sizeof(row) <= sizeof(piece); filled += sizeof(row) - 1)
        memcpy(piece + filled, row, sizeof(row) - 1);
    assert_int_equal(postgres_session_script(session, "create unlogged table wide (words text)", &failure), STATUS_OK);
    assert_int_equal(postgres_session_copy_begin(session, "copy wide from stdin", &failure), STATUS_OK);
    long before = resident_kb();
    for (int i = 0; i < 200; i++)
        assert_int_equal(postgres_session_copy_put(session, text_of(piece, filled), &failure), STATUS_OK);
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_OK);
    assert_int_equal(rows, 200 * (filled / (sizeof(row) - 1)));
    assert_true(resident_kb() - before < 16384);
    assert_int_equal(postgres_session_script(session, "drop table wide", &failure), STATUS_OK);
}

static void the_servers_error_names_line_column_and_constraint(void **state)
{
    uint64_t rows;
    const struct postgres_session_error *error = postgres_session_error(session);
    begin_copy();
    assert_int_equal(put("1\tone\nx\ttwo\n"), STATUS_OK);
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_INVALID);
    assert_string_equal(error->sqlstate, "22P02");
    assert_int_equal(error->copy_line, 2);
    assert_string_equal(error->column, "id");
    begin_copy();
    assert_int_equal(put("1\tone\n2\ttwo\n1000000\tlarge\n"), STATUS_OK);
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_INVALID);
    assert_string_equal(error->sqlstate, "23514");
    assert_string_equal(error->constraint, "small");
    assert_string_equal(error->relation, "target");
    assert_int_equal(error->copy_line, 3);
    assert_non_null(strstr(failure.message, "23514"));
    /* The copy is over, and the session goes on. */
    assert_int_equal(put("3\tthree\n"), STATUS_FAILED);
    assert_string_equal(error->sqlstate, "");
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_FAILED);
    postgres_session_copy_abort(session, "harmless");
    assert_int_equal(session_number(session, "select count(*) from target"), 0);
}

/* The row that ends it is the first: what follows would be sent for nothing. */
static void an_error_of_the_server_ends_the_putting(void **state)
{
    static char rest[64 << 10];
    enum status status;
    memset(rest, 'x', sizeof(rest));
    uint64_t end_us = clock_monotonic_us() + LONG_MS * (uint64_t)1000;
    begin_copy();
    assert_int_equal(put("x\tone\n"), STATUS_OK);
    do
        status = postgres_session_copy_put(session, text_of(rest, sizeof(rest)), &failure);
    while (status == STATUS_OK && clock_monotonic_us() < end_us);
    assert_int_equal(status, STATUS_INVALID);
    assert_string_equal(postgres_session_error(session)->sqlstate, "22P02");
    assert_int_equal(postgres_session_error(session)->copy_line, 1);
    assert_int_equal(session_number(session, "select 7"), 7);
}

static void an_aborted_copy_leaves_nothing_and_the_transaction_in_error(void **state)
{
    assert_int_equal(postgres_session_script(session, "begin", &failure), STATUS_OK);
    begin_copy();
    assert_int_equal(put("1\tone\n"), STATUS_OK);
    postgres_session_copy_abort(session, "the file was refused");
    assert_int_equal(postgres_session_script(session, "select 1", &failure), STATUS_FAILED);
    assert_string_equal(postgres_session_error(session)->sqlstate, "25P02");
    assert_int_equal(postgres_session_script(session, "rollback", &failure), STATUS_OK);
    assert_int_equal(session_number(session, "select count(*) from target"), 0);
}

static void what_is_no_copy_from_stdin_is_refused(void **state)
{
    assert_int_equal(postgres_session_copy_begin(session, "select 1", &failure), STATUS_FAILED);
    assert_int_equal(postgres_session_copy_begin(session, "copy target to stdout", &failure), STATUS_FAILED);
    assert_int_equal(postgres_session_copy_begin(session, "copy no_such_table from stdin", &failure), STATUS_FAILED);
    assert_string_equal(postgres_session_error(session)->sqlstate, "42P01");
    assert_int_equal(session_number(session, "select 7"), 7);
}

static void nothing_else_is_asked_while_a_copy_is_under_way(void **state)
{
    uint64_t rows;
    begin_copy();
    assert_int_equal(postgres_session_query(session, "select 1", 0, NULL, NULL, NULL, &failure), STATUS_FAILED);
    assert_int_equal(postgres_session_script(session, "select 1", &failure), STATUS_FAILED);
    assert_int_equal(put("1\tone\n"), STATUS_OK);
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_OK);
    assert_int_equal(rows, 1);
}

static void a_server_that_goes_within_a_copy_is_unavailable(void **state)
{
    static char piece[64 << 10];
    char sql[64];
    enum status status;
    struct postgres_session *other = session_open();
    memset(piece, '\n', sizeof(piece));
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%ld)",
             (long)session_number(session, "select pg_backend_pid()"));
    assert_int_equal(postgres_session_copy_begin(session, "copy target (words) from stdin", &failure), STATUS_OK);
    assert_int_equal(postgres_session_script(other, sql, &failure), STATUS_OK);
    uint64_t rows, end_us = clock_monotonic_us() + LONG_MS * (uint64_t)1000;
    do
        status = postgres_session_copy_put(session, text_of(piece, sizeof(piece)), &failure);
    while (status == STATUS_OK && clock_monotonic_us() < end_us);
    assert_int_not_equal(status, STATUS_OK);
    assert_int_not_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_OK);
    assert_int_equal(postgres_session_script(session, "select 1", &failure), STATUS_UNAVAILABLE);
    postgres_session_copy_abort(session, "gone");
    postgres_session_close(other);
}

static void *interrupt(void *context)
{
    postgres_session_interrupt(context);
    return NULL;
}

/* Interrupted from another thread once `condition` is true of the server. */
static pthread_t interrupt_when(struct postgres_session *watching, const char *condition)
{
    pthread_t thread;
    uint64_t end_us = clock_monotonic_us() + LONG_MS * (uint64_t)1000;
    while (session_number(watching, condition) == 0)
        if (clock_monotonic_us() > end_us)
            fail_msg("never: %s", condition);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, session), 0);
    return thread;
}

struct sleeping {
    enum status status;
    uint64_t took_us;
};

static void *sleep_in_server(void *context)
{
    struct sleeping *sleeping = context;
    uint64_t from_us = clock_monotonic_us();
    sleeping->status = postgres_session_script(session, "select pg_sleep(60)", &failure);
    sleeping->took_us = clock_monotonic_us() - from_us;
    return NULL;
}

static void an_interrupt_ends_a_statement_and_all_that_follow(void **state)
{
    pthread_t asking;
    struct sleeping sleeping = {0};
    struct postgres_session *watching = session_open();
    assert_int_equal(pthread_create(&asking, NULL, sleep_in_server, &sleeping), 0);
    pthread_t thread = interrupt_when(watching, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'");
    pthread_join(thread, NULL);
    pthread_join(asking, NULL);
    assert_int_equal(sleeping.status, STATUS_UNAVAILABLE);
    assert_true(sleeping.took_us < 30000000);
    assert_int_equal(postgres_session_script(session, "select 1", &failure), STATUS_UNAVAILABLE);
    /* A server that is slow to hear of it is given up after two seconds: then it hears of it yet. */
    uint64_t end_us = clock_monotonic_us() + LONG_MS * (uint64_t)1000;
    while (session_number(watching, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") != 0)
        assert_true(clock_monotonic_us() < end_us);
    postgres_session_close(watching);
}

/* The word comes while a lock is waited for that another one holds. */
static bool is_told(void *context)
{
    struct postgres_session *watching = context;
    return session_number(watching, "select count(*) from pg_locks where not granted") != 0;
}

static void a_session_asks_by_itself_whether_it_is_to_end(void **state)
{
    struct postgres_session *watching = session_open();
    assert_int_equal(postgres_session_script(watching, "create table held (i int)", &failure), STATUS_OK);
    assert_int_equal(postgres_session_script(watching, "begin; lock table held", &failure), STATUS_OK);
    postgres_session_watch(session, is_told, watching);
    assert_int_equal(postgres_session_script(session, "select * from held", &failure), STATUS_UNAVAILABLE);
    assert_int_equal(postgres_session_script(session, "select 1", &failure), STATUS_UNAVAILABLE);
    assert_int_equal(postgres_session_script(watching, "rollback", &failure), STATUS_OK);
    postgres_session_close(watching);
}

/* Its process is stopped: the socket stays open, and nothing comes. */
static void an_interrupt_ends_the_wait_for_a_silent_server(void **state)
{
    static const char wait_sql[] = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    pthread_t asking;
    struct sleeping sleeping = {0};
    struct postgres_session *watching = session_open();
    pid_t backend = (pid_t)session_number(session, "select pg_backend_pid()");
    assert_int_equal(pthread_create(&asking, NULL, sleep_in_server, &sleeping), 0);
    uint64_t end_us = clock_monotonic_us() + LONG_MS * (uint64_t)1000;
    while (session_number(watching, wait_sql) == 0)
        assert_true(clock_monotonic_us() < end_us);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    postgres_session_interrupt(session);
    pthread_join(asking, NULL);
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_int_equal(sleeping.status, STATUS_UNAVAILABLE);
    assert_true(sleeping.took_us < 30000000);
    assert_int_equal(postgres_session_script(session, "select 1", &failure), STATUS_UNAVAILABLE);
    postgres_session_close(watching);
}

static void an_interrupt_ends_a_copy(void **state)
{
    uint64_t rows;
    begin_copy();
    assert_int_equal(put("1\tone\n"), STATUS_OK);
    postgres_session_interrupt(session);
    assert_int_equal(put("2\ttwo\n"), STATUS_UNAVAILABLE);
    assert_int_equal(put("3\tthree\n"), STATUS_UNAVAILABLE);
    assert_int_equal(postgres_session_copy_end(session, &rows, &failure), STATUS_UNAVAILABLE);
}

static int setup(void **state)
{
    postgres_server_start(&database);
    return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, open_one, close_one)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(rows_arrive_whatever_the_pieces_are),
        EACH(memory_stays_bounded_however_much_is_put),
        EACH(the_servers_error_names_line_column_and_constraint),
        EACH(an_error_of_the_server_ends_the_putting),
        EACH(an_aborted_copy_leaves_nothing_and_the_transaction_in_error),
        EACH(what_is_no_copy_from_stdin_is_refused),
        EACH(nothing_else_is_asked_while_a_copy_is_under_way),
        EACH(a_server_that_goes_within_a_copy_is_unavailable),
        EACH(an_interrupt_ends_a_statement_and_all_that_follow),
        EACH(a_session_asks_by_itself_whether_it_is_to_end),
        EACH(an_interrupt_ends_the_wait_for_a_silent_server),
        EACH(an_interrupt_ends_a_copy),
    };
    return cmocka_run_group_tests(tests, setup, pool_group_teardown);
}
