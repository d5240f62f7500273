#include "pool.h"

static struct postgres_login login_as(const char *user, const char *password)
{
    struct postgres_login login = pool_options(POSTGRES_PIPELINED, 1).login;
    login.user = user;
    login.password = password;
    return login;
}

static enum status open_as(struct postgres_login login, struct failure *failure)
{
    struct postgres_session *session = NULL;
    enum status status = postgres_session_open(&login, &session, failure);
    assert_true((status == STATUS_OK) == (session != NULL));
    postgres_session_close(session);
    return status;
}

static void what_trying_again_cannot_help_is_denied(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    assert_int_equal(postgres_session_script(session,
                                             "create role with_password login password 'right'; "
                                             "create role no_login nologin",
                                             &failure),
                     STATUS_OK);
    assert_int_equal(open_as(login_as("with_password", "right"), &failure), STATUS_OK);
    assert_int_equal(open_as(login_as("with_password", "wrong"), &failure), STATUS_DENIED);
    assert_non_null(strstr(failure.message, "with_password"));
    assert_null(strstr(failure.message, "wrong")); /* never a secret */
    assert_int_equal(open_as(login_as("with_password", NULL), &failure), STATUS_DENIED);
    assert_int_equal(open_as(login_as("nobody_like_this", NULL), &failure), STATUS_DENIED);
    assert_int_equal(open_as(login_as("no_login", NULL), &failure), STATUS_DENIED);
    struct postgres_login elsewhere = login_as("postgres", NULL);
    elsewhere.database = "no_such_database";
    assert_int_equal(open_as(elsewhere, &failure), STATUS_DENIED);
    assert_null(strchr(failure.message, '\n'));
    postgres_session_close(session);
}

static void nobody_listening_is_unavailable(void **state)
{
    struct failure failure = {0};
    struct postgres_login login = login_as("postgres", NULL);
    login.port = free_port();
    assert_int_equal(open_as(login, &failure), STATUS_UNAVAILABLE);
    login.host = "/tmp/no-such-folder";
    assert_int_equal(open_as(login, &failure), STATUS_UNAVAILABLE);
}

static void the_socket_in_a_folder_is_reached(void **state)
{
    struct failure failure = {0};
    struct postgres_login login = login_as("postgres", NULL);
    struct postgres_resolved storage;
    login.host = database.folder;
    assert_int_equal(postgres_resolve(&login, &storage, &failure), STATUS_OK);
    assert_string_equal(login.host, database.folder);
    assert_int_equal(open_as(login, &failure), STATUS_OK);
}

static void of_several_hosts_the_one_that_serves_is_reached(void **state)
{
    struct failure failure = {0};
    struct postgres_login login = login_as("postgres", NULL);
    struct postgres_resolved storage;
    char hosts[256], ports[64];
    snprintf(hosts, sizeof(hosts), "127.0.0.1,no-such-host.invalid,/tmp/no-such-folder,127.0.0.1");
    snprintf(ports, sizeof(ports), "%u,2,3,%u", free_port(), database.port);
    login.host = hosts;
    login.ports = ports;
    login.port = 1;
    assert_int_equal(postgres_resolve(&login, &storage, &failure), STATUS_OK);
    assert_string_equal(login.host,
                        "127.0.0.1,,127.0.0.1"); /* a folder has no address, and who is unknown is left out */
    assert_string_equal(login.host_name, "127.0.0.1,/tmp/no-such-folder,127.0.0.1");
    assert_int_equal(open_as(login, &failure), STATUS_OK);
    login = login_as("postgres", NULL);
    login.host = "no-such-host.invalid,neither.invalid";
    assert_int_equal(postgres_resolve(&login, &storage, &failure), STATUS_UNAVAILABLE);
    assert_non_null(strstr(failure.message, "neither.invalid"));
    login.host = "127.0.0.1,127.0.0.1";
    login.port = free_port();
    assert_int_equal(postgres_resolve(&login, &storage, &failure), STATUS_OK);
    assert_int_equal(open_as(login, &failure), STATUS_UNAVAILABLE);
    assert_null(strchr(failure.message, '\n'));
}

static void a_name_becomes_an_address(void **state)
{
    struct failure failure = {0};
    struct postgres_login login = login_as("postgres", NULL);
    struct postgres_resolved storage;
    login.host = "127.0.0.1";
    assert_int_equal(postgres_resolve(&login, &storage, &failure), STATUS_OK);
    assert_string_equal(login.host, "127.0.0.1");
    assert_int_equal(open_as(login, &failure), STATUS_OK);
    login.host = "no-such-host.invalid";
    assert_int_equal(postgres_resolve(&login, &storage, &failure), STATUS_UNAVAILABLE);
    assert_non_null(strstr(failure.message, "no-such-host.invalid"));
}

static void take_three(void *context, const struct postgres_rows *rows)
{
    ++*(int *)context;
    assert_int_equal(postgres_rows_count(rows), 3);
    assert_true(text_equal(postgres_rows_value(rows, 2, 0), TEXT("12")));
    assert_null(postgres_rows_value(rows, 2, 1).data);
}

static void a_query_takes_parameters_and_tells_the_servers_words(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    int calls = 0;
    const struct text parameters[] = {TEXT("10"), TEXT_NONE};
    assert_int_equal(postgres_session_query(session, "select i, $2::text from generate_series($1::int, 12) i", 2,
                                            parameters, take_three, &calls, &failure),
                     STATUS_OK);
    assert_int_equal(calls, 1);
    assert_int_equal(postgres_session_query(session, "select 1/0", 0, NULL, take_three, &calls, &failure),
                     STATUS_INVALID);
    assert_non_null(strstr(failure.message, "22012"));
    assert_non_null(strstr(failure.message, "division by zero"));
    assert_int_equal(calls, 1);
    assert_int_equal(postgres_session_query(session, "select 1", 65, NULL, NULL, NULL, &failure), STATUS_TOO_LARGE);
    assert_int_equal(postgres_session_query(session, "select 1", 0, NULL, NULL, NULL, &failure), STATUS_OK);
    postgres_session_close(session);
}

static void a_script_is_one_transaction(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    assert_int_equal(
        postgres_session_script(session, "create table kept(); select 1; create table half(); select 1/0", &failure),
        STATUS_INVALID);
    assert_int_equal(session_number(session, "select count(*) from pg_class where relname in ('kept', 'half')"), 0);
    assert_int_equal(postgres_session_script(session, "create table kept(); select 1", &failure), STATUS_OK);
    assert_int_equal(postgres_session_script(session, "", &failure), STATUS_OK);
    assert_int_equal(session_number(session, "select count(*) from pg_class where relname = 'kept'"), 1);
    postgres_session_close(session);
}

struct counted {
    long rows, sum, stop_at;
};

static bool count_row(void *context, const struct postgres_rows *rows)
{
    struct counted *counted = context;
    int64_t value = 0;
    assert_int_equal(postgres_rows_count(rows), 1);
    assert_true(text_to_int64(postgres_rows_value(rows, 0, 0), &value));
    counted->sum += value;
    return ++counted->rows != counted->stop_at;
}

static void rows_come_one_by_one_until_the_receiver_says_stop(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    struct counted counted = {0};
    const struct text most = TEXT("100000");
    static const char sql[] = "select i from generate_series(1, $1::int) i";
    assert_int_equal(postgres_session_each(session, sql, 1, &most, count_row, &counted, &failure), STATUS_OK);
    assert_int_equal(counted.rows, 100000);
    assert_int_equal(counted.sum, 5000050000);
    counted = (struct counted){0};
    assert_int_equal(postgres_session_each(session, "select 1 where false", 0, NULL, count_row, &counted, &failure),
                     STATUS_OK);
    /* Some rows come before the fault. */
    assert_int_equal(postgres_session_each(session, "select 7 / (50000 - i) from generate_series(1, 60000) i", 0, NULL,
                                           count_row, &counted, &failure),
                     STATUS_INVALID);
    assert_string_equal(postgres_session_error(session)->sqlstate, "22012");
    assert_int_equal(counted.rows, 49999);
    assert_int_equal(
        postgres_session_each(session, "copy (select 1) to stdout", 0, NULL, count_row, &counted, &failure),
        STATUS_FAILED);
    assert_int_equal(session_number(session, "select 7"), 7);
    counted = (struct counted){.stop_at = 10};
    const struct text endless = TEXT("2000000000");
    /* In the select list: in FROM the server would make all rows before it sends the first. */
    assert_int_equal(postgres_session_each(session, "select generate_series(1, $1::int)", 1, &endless, count_row,
                                           &counted, &failure),
                     STATUS_DENIED);
    assert_int_equal(counted.rows, 10);
    assert_int_equal(postgres_session_script(session, "select 1", &failure), STATUS_UNAVAILABLE);
    postgres_session_close(session);
}

static void rows_that_a_statement_touched_are_counted(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    static const char *const statements[] = {
        "create temp table t (i int)", "insert into t select generate_series(1, 7)", "update t set i = 1 where i > 2",
        "delete from t where i = 1", "select * from t"};
    static const uint64_t expected[] = {0, 7, 5, 6, 1};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(postgres_session_query(session, statements[i], 0, NULL, NULL, NULL, &failure), STATUS_OK);
        assert_int_equal(postgres_session_affected(session), expected[i]);
    }
    postgres_session_close(session);
}

/* COPY would leave the session between its two ends: it fails, in words, and the session goes on. */
static void a_copy_within_a_script_fails_in_words(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    assert_int_not_equal(postgres_session_script(session, "create temp table c(i int); copy c from stdin", &failure),
                         STATUS_OK);
    assert_non_null(strstr(failure.message, "COPY"));
    assert_int_equal(session_number(session, "select 7"), 7);
    assert_int_not_equal(
        postgres_session_script(session, "copy (select generate_series(1, 100000)) to stdout; select 8", &failure),
        STATUS_OK);
    assert_non_null(strstr(failure.message, "COPY"));
    assert_int_equal(session_number(session, "select 7"), 7);
    postgres_session_close(session);
}

static void a_session_that_was_terminated_is_unavailable(void **state)
{
    struct postgres_session *session = session_open();
    struct failure failure = {0};
    assert_int_equal(
        postgres_session_query(session, "select pg_terminate_backend(pg_backend_pid())", 0, NULL, NULL, NULL, &failure),
        STATUS_UNAVAILABLE);
    assert_int_equal(postgres_session_query(session, "select 1", 0, NULL, NULL, NULL, &failure), STATUS_UNAVAILABLE);
    assert_null(strchr(failure.message, '\n'));
    postgres_session_close(session);
}

static int setup(void **state)
{
    postgres_server_start(&database);
    return 0;
}

/* With close() the server lets go when it comes to it. Temporary tables, which it drops first, make that late. */
static void what_a_session_held_is_free_when_it_was_left(void **state)
{
    static const char hold[] = "do $$ begin for n in 1..50 loop execute 'create temp table t' || n || ' (id int "
                               "primary key)'; end loop; end $$;"
                               "begin; lock table left_behind; select pg_advisory_lock(77, 1)";
    static const char take[] = "begin; lock table left_behind nowait; commit; "
                               "do $$ begin if not pg_try_advisory_xact_lock(77, 1) then raise 'held'; end if; end $$";
    struct postgres_session *other = session_open();
    struct failure failure = {0};
    assert_int_equal(postgres_session_script(other, "create table left_behind (id int)", &failure), STATUS_OK);
    for (int turn = 0; turn < 8; turn++) {
        struct postgres_session *session = session_open();
        assert_int_equal(postgres_session_script(session, hold, &failure), STATUS_OK);
        if (turn % 2 != 0) /* in error as well */
            assert_int_not_equal(postgres_session_script(session, "select 1 / 0", &failure), STATUS_OK);
        postgres_session_leave(session);
        if (postgres_session_script(other, take, &failure) != STATUS_OK)
            fail_msg("turn %d: %s", turn, failure.message);
    }
    postgres_session_close(other);
    postgres_session_leave(NULL);
}

static void a_server_that_says_nothing_is_left_all_the_same(void **state)
{
    struct postgres_session *session = session_open();
    pid_t backend = (pid_t)session_number(session, "select pg_backend_pid()");
    assert_int_equal(kill(backend, SIGSTOP), 0);
    uint64_t begin_us = clock_monotonic_us();
    postgres_session_leave(session);
    uint64_t took_us = clock_monotonic_us() - begin_us;
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_in_range(took_us, 1900000, 20000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_trying_again_cannot_help_is_denied),
        cmocka_unit_test(nobody_listening_is_unavailable),
        cmocka_unit_test(the_socket_in_a_folder_is_reached),
        cmocka_unit_test(of_several_hosts_the_one_that_serves_is_reached),
        cmocka_unit_test(a_name_becomes_an_address),
        cmocka_unit_test(a_query_takes_parameters_and_tells_the_servers_words),
        cmocka_unit_test(rows_come_one_by_one_until_the_receiver_says_stop),
        cmocka_unit_test(rows_that_a_statement_touched_are_counted),
        cmocka_unit_test(a_script_is_one_transaction),
        cmocka_unit_test(a_copy_within_a_script_fails_in_words),
        cmocka_unit_test(a_session_that_was_terminated_is_unavailable),
        cmocka_unit_test(what_a_session_held_is_free_when_it_was_left),
        cmocka_unit_test(a_server_that_says_nothing_is_left_all_the_same),
    };
    return cmocka_run_group_tests(tests, setup, pool_group_teardown);
}
