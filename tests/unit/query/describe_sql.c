#include "query/describe.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/unit/query/warehouse.h"

static int set_up(void **state)
{
    warehouse_start();
    warehouse_migrate();
    struct postgres_session *owner = warehouse_open("sluice_owner", "sluice");
    warehouse_script(owner, "create schema lake; grant usage on schema lake to sluice_reader;"
                            "alter default privileges in schema lake grant select on tables to sluice_reader;"
                            "create table lake.swapped (id int, v int); create schema closed;"
                            "create table closed.swapped (id int, v int)");
    postgres_session_close(owner);
    return 0;
}

static int tear_down(void **state)
{
    warehouse_stop();
    return 0;
}

/* Another session, which replaces the table again and again: whoever looks finds the old one or the new one. */
static atomic_bool ended;

static void *replace(void *context)
{
    struct postgres_session *owner = context;
    warehouse_script(owner, "do $$ begin for i in 1..200 loop drop table lake.swapped, closed.swapped;"
                            " create table lake.swapped (id int, v int); create table closed.swapped (id int, v int);"
                            " commit; perform pg_sleep(0.005); end loop; end $$");
    atomic_store(&ended, true);
    return NULL;
}

struct seen {
    size_t rows;
    bool whole;
};

static void see_description(void *context, const struct postgres_rows *rows)
{
    struct seen *seen = context;
    seen->rows = postgres_rows_count(rows);
    seen->whole = seen->rows == 1 && strstr(postgres_rows_value(rows, 0, 0).data, "\"v\"") != NULL;
}

static void see_list(void *context, const struct postgres_rows *rows)
{
    struct seen *seen = context;
    seen->rows = postgres_rows_count(rows);
    seen->whole = seen->rows == 1 && text_equal(postgres_rows_value(rows, 0, 1), TEXT("swapped"));
}

/* Prepared, as the driver does it: to plan it takes some replacements. */
static void prepare(struct postgres_session *session, const struct postgres_statement *statement)
{
    struct buffer sql;
    buffer_init(&sql, 1 << 20);
    buffer_append_literal(&sql, "set plan_cache_mode = force_generic_plan; prepare question as ");
    buffer_append_string(&sql, statement->sql);
    warehouse_script(session, buffer_c_string(&sql));
    buffer_free(&sql);
}

/* The answers meanwhile; with `again` one may be that the question has to be put again. */
static void look(const struct postgres_statement *statement, const char *values,
                 void (*see)(void *context, const struct postgres_rows *rows), bool again)
{
    struct postgres_session *owner = warehouse_open("sluice_owner", "sluice");
    struct postgres_session *reader = warehouse_open("sluice_reader", "sluice");
    struct failure failure = {0};
    struct seen seen = {0};
    char sql[256];
    pthread_t thread;
    prepare(reader, statement);
    snprintf(sql, sizeof(sql), "execute question %s", values);
    if (postgres_session_query(reader, sql, 0, NULL, see, &seen, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    atomic_store(&ended, false);
    assert_int_equal(pthread_create(&thread, NULL, replace, owner), 0);
    size_t answers = 0, repeats = 0;
    while (!atomic_load(&ended)) {
        seen = (struct seen){0};
        if (postgres_session_query(reader, sql, 0, NULL, see, &seen, &failure) == STATUS_OK) {
            answers++;
            if (!seen.whole)
                fail_msg("answer %zu: %zu rows, and not what stands there", answers, seen.rows);
            continue;
        }
        const char *state = postgres_session_error(reader)->sqlstate;
        if (!again || (strcmp(state, "42P01") != 0 && strcmp(state, "XX000") != 0))
            fail_msg("%s (%s)", failure.message, state);
        repeats++;
    }
    pthread_join(thread, NULL);
    print_message("%zu answers, %zu times to be asked again\n", answers, repeats);
    assert_true(answers > 0);
    postgres_session_close(owner);
    postgres_session_close(reader);
}

static void a_relation_that_is_replaced_is_never_missed(void **state)
{
    look(describe_statement(), "('lake', 'swapped', null)", see_description, true);
    look(describe_statement(), "('closed', 'swapped', 'sluice_owner')", see_description, true);
}

static void a_relation_that_is_replaced_stays_in_the_list(void **state)
{
    look(describe_list_statement(), "('{lake}', null, null, '100', '{\"\"}')", see_list, false);
    look(describe_list_statement(), "('{closed}', null, null, '100', '{sluice_owner}')", see_list, false);
}

static void count_rows(void *context, const struct postgres_rows *rows)
{
    *(size_t *)context = postgres_rows_count(rows);
}

static size_t described(struct postgres_session *session, struct text relation, struct text role)
{
    const struct text values[] = {TEXT("lake"), relation, role};
    struct failure failure = {0};
    size_t rows = 7;
    if (postgres_session_query(session, describe_statement()->sql, 3, values, count_rows, &rows, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    return rows;
}

static void who_is_no_role_and_what_is_not_there_give_no_row(void **state)
{
    struct postgres_session *reader = warehouse_open("sluice_reader", "sluice");
    assert_int_equal(described(reader, TEXT("swapped"), TEXT_NONE), 1);
    assert_int_equal(described(reader, TEXT("swapped"), TEXT("sluice_owner")), 1);
    assert_int_equal(described(reader, TEXT("swapped"), TEXT("nobody_like_this")), 0);
    assert_int_equal(described(reader, TEXT("swapped"), TEXT("sluice_writer")), 0);
    assert_int_equal(described(reader, TEXT("swopped"), TEXT_NONE), 0);
    postgres_session_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relation_that_is_replaced_is_never_missed),
        cmocka_unit_test(a_relation_that_is_replaced_stays_in_the_list),
        cmocka_unit_test(who_is_no_role_and_what_is_not_there_give_no_row),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
