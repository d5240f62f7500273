/* What is quoted must come back from the server as it was, whatever the server's settings. */
#include "pool.h"

static struct postgres_session *session;

static const char *const words[] = {
    "plain",  "it's",        "'",  "''", "a\"b", "\"", "\\", "\\'", "'\\", "\\\\'; drop table x; --",
    "Grün €", "line\nbreak", "$1", "%s", "E'x'", " "};

static void take_text(void *context, const struct postgres_rows *rows)
{
    struct text value = postgres_rows_value(rows, 0, 0);
    snprintf(context, 256, "%.*s", (int)value.size, value.data);
}

static void assert_first_value(const char *sql, const char *expected)
{
    struct failure failure = {0};
    char got[256] = "none";
    if (sql == NULL || postgres_session_query(session, sql, 0, NULL, take_text, got, &failure) != STATUS_OK)
        fail_msg("%s: %s", sql, failure.message);
    assert_string_equal(got, expected);
}

static void assert_script(const char *sql)
{
    struct failure failure = {0};
    if (sql == NULL || postgres_session_script(session, sql, &failure) != STATUS_OK)
        fail_msg("%s: %s", sql, failure.message);
}

static void literals_come_back_as_they_were_under_either_string_syntax(void **state)
{
    for (int conforming = 0; conforming < 2; conforming++) {
        assert_script(conforming ? "set standard_conforming_strings = on" : "set standard_conforming_strings = off");
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            struct buffer sql;
            buffer_init(&sql, 4096);
            buffer_append_string(&sql, "select");
            postgres_append_literal(&sql, text_from_string(words[i]));
            assert_first_value(buffer_c_string(&sql), words[i]);
            buffer_free(&sql);
        }
    }
}

static void identifiers_come_back_as_they_were(void **state)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct buffer sql;
        buffer_init(&sql, 4096);
        buffer_append_string(&sql, "drop table if exists t; create temp table t(");
        postgres_append_identifier(&sql, text_from_string(words[i]));
        buffer_append_string(&sql, " int)");
        assert_script(buffer_c_string(&sql));
        buffer_free(&sql);
        assert_first_value("select attname from pg_attribute where attrelid = 't'::regclass and attnum = 1", words[i]);
    }
}

static void a_nul_fails_the_buffer(void **state)
{
    static const struct text bad[] = {{"a\0b", 3}, {"a\\\0b", 4}, {"\0", 1}};
    for (size_t i = 0; i < 3; i++) {
        struct buffer sql;
        buffer_init(&sql, 64);
        postgres_append_literal(&sql, bad[i]);
        assert_true(sql.failed);
        buffer_clear(&sql);
        postgres_append_identifier(&sql, bad[i]);
        assert_true(sql.failed);
        buffer_free(&sql);
    }
}

static void an_empty_literal_is_two_quotes(void **state)
{
    struct buffer sql;
    buffer_init(&sql, 64);
    postgres_append_literal(&sql, TEXT_NONE);
    assert_string_equal(buffer_c_string(&sql), "''");
    buffer_free(&sql);
}

static int setup(void **state)
{
    postgres_server_start(&database);
    session = session_open();
    return 0;
}

static int teardown(void **state)
{
    postgres_session_close(session);
    postgres_server_stop(&database);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_come_back_as_they_were_under_either_string_syntax),
        cmocka_unit_test(identifiers_come_back_as_they_were),
        cmocka_unit_test(a_nul_fails_the_buffer),
        cmocka_unit_test(an_empty_literal_is_two_quotes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
