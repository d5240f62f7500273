#include "query/sql_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it. */
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql_check_allowed.h"
#include "sql_check_refused.h"

static const struct {
    const char *schema, *name, *real_schema, *real_name;
} relations[] = {
    {"", "weather", "wx", "weather"},
    {"wx", "weather", "wx", "weather"},
    {"", "market", "wx", "market"},
    {"uploads", "sales", "acme_uploads", "sales"},
    {"analytics", "hot", "acme_analytics", "hot"},
    {"uploads", "odd", "acme_uploads", "odd_real"},
    /* What a resolver must never say: the checker doesn't believe it. */
    {"", "trap", "pg_catalog", "pg_authid"},
    {"", "trap2", "information_schema", "tables"},
    {"", "trap3", "", "x"},
};

static bool resolve(void *context, struct text schema, struct text name, struct text *real_schema,
                    struct text *real_name)
{
    for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++)
        if (text_equal(schema, text_from_string(relations[i].schema)) &&
            text_equal(name, text_from_string(relations[i].name))) {
            *real_schema = text_from_string(relations[i].real_schema);
            *real_name = text_from_string(relations[i].real_name);
            return true;
        }
    return false;
}

/* Of a view: names are the real ones. */
static bool resolve_real(void *context, struct text schema, struct text name, struct text *real_schema,
                         struct text *real_name)
{
    *real_schema = schema;
    *real_name = name;
    return text_equal(schema, TEXT("wx")) || text_equal(schema, TEXT("acme_uploads"));
}

struct trial {
    struct arena arena;
    struct sql_checked checked;
    struct sql_check_mistake mistake;
    enum status status;
};

static struct trial try(struct text sql)
{
    struct trial trial;
    arena_init(&trial.arena, NULL, 0, 16 << 20);
    trial.status = sql_check(sql, resolve, NULL, &trial.arena, &trial.checked, &trial.mistake);
    return trial;
}

static void allowed_sql_is_written_back_with_real_names(void **state)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        struct trial trial = try(text_from_string(allowed[i].sql));
        if (trial.status != STATUS_OK)
            fail_msg("'%s': refused at %u: %s", allowed[i].sql, trial.mistake.position, trial.mistake.message);
        if (allowed[i].written != NULL && strcmp(trial.checked.sql.data, allowed[i].written) != 0)
            fail_msg("'%s': became '%s'", allowed[i].sql, trial.checked.sql.data);
        assert_int_equal(strlen(trial.checked.sql.data), trial.checked.sql.size);
        arena_free(&trial.arena);
    }
}

static void what_is_written_back_is_a_view_that_is_written_back_as_itself(void **state)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        struct trial first = try(text_from_string(allowed[i].sql)), second;
        arena_init(&second.arena, NULL, 0, 16 << 20);
        second.status =
            sql_check_view(first.checked.sql, resolve_real, NULL, &second.arena, &second.checked, &second.mistake);
        if (first.checked.parameter_count != 0)
            assert_non_null(strstr(second.mistake.message, "a view has no parameters"));
        else if (strstr(first.checked.sql.data, "acme_analytics") == NULL &&
                 (second.status != STATUS_OK || !text_equal(first.checked.sql, second.checked.sql)))
            fail_msg("'%s': %s%s", first.checked.sql.data, second.mistake.message,
                     second.status == STATUS_OK ? second.checked.sql.data : "");
        arena_free(&first.arena);
        arena_free(&second.arena);
    }
}

static void everything_else_is_refused_with_its_place(void **state)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct trial trial = try(text_from_string(refused[i].sql));
        if (trial.status != STATUS_INVALID)
            fail_msg("'%s': allowed as '%s'", refused[i].sql, trial.status == STATUS_OK ? trial.checked.sql.data : "");
        if (strstr(trial.mistake.message, refused[i].word) == NULL || trial.mistake.position != refused[i].position)
            fail_msg("'%s': at %u: %s", refused[i].sql, trial.mistake.position, trial.mistake.message);
        arena_free(&trial.arena);
    }
}

static void a_relation_that_is_not_the_callers_is_told_as_one_that_does_not_exist(void **state)
{
    struct trial one = try(TEXT("select * from pg_class")), other = try(TEXT("select * from nothing_"));
    assert_string_equal(one.mistake.message,
                        "there is no relation pg_class that you may read: GET /v1/datasets lists yours");
    assert_string_equal(other.mistake.message,
                        "there is no relation nothing_ that you may read: GET /v1/datasets lists yours");
    arena_free(&one.arena);
    arena_free(&other.arena);
}

static void relations_are_told_once_with_both_names(void **state)
{
    struct trial trial =
        try(TEXT("select * from weather a, wx.weather b, uploads.odd where exists (table uploads.odd)"));
    assert_int_equal(trial.status, STATUS_OK);
    assert_int_equal(trial.checked.relation_count, 2);
    assert_null(trial.checked.relations[0].schema.data);
    assert_true(text_equal(trial.checked.relations[0].real_schema, TEXT("wx")));
    assert_true(text_equal(trial.checked.relations[1].schema, TEXT("uploads")));
    assert_true(text_equal(trial.checked.relations[1].name, TEXT("odd")));
    assert_true(text_equal(trial.checked.relations[1].real_name, TEXT("odd_real")));
    arena_free(&trial.arena);
}

static void named_parameters_get_numbers_in_the_order_of_their_first_use(void **state)
{
    struct trial trial =
        try(TEXT("select :b::int, ':no', $$:no$$, tags[1:2], tags[x:y], tags[:a:3], :b /* :no */ -- :no"));
    if (trial.status != STATUS_OK)
        fail_msg("%s", trial.mistake.message);
    assert_string_equal(trial.checked.sql.data, "SELECT $1::int, ':no', ':no', tags[1:2], tags[x:y], tags[$2:3], $1");
    assert_int_equal(trial.checked.parameter_count, 2);
    assert_true(text_equal(trial.checked.parameters[0], TEXT("b")));
    assert_true(text_equal(trial.checked.parameters[1], TEXT("a")));
    arena_free(&trial.arena);
}

static void numbered_parameters_have_no_names(void **state)
{
    struct trial trial = try(TEXT("select $2::text, $1::int"));
    assert_int_equal(trial.status, STATUS_OK);
    assert_int_equal(trial.checked.parameter_count, 2);
    assert_null(trial.checked.parameters[1].data);
    arena_free(&trial.arena);
}

static void order_and_limit_of_the_outermost_select_are_told(void **state)
{
    static const struct {
        const char *sql;
        bool order, limit;
    } cases[] = {{"select 1", false, false},
                 {"select 1 order by 1 limit 2", true, true},
                 {"select * from (select 1 order by 1 limit 1) x", false, false},
                 {"select 1 limit all", false, false},
                 {"select 1 limit null", false, false},
                 {"select 1 offset 1", false, false},
                 {"(select 1 limit 1) union (select 2 order by 1)", false, false},
                 {"select 1 union select 2 order by 1 fetch first row only", true, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct trial trial = try(text_from_string(cases[i].sql));
        assert_int_equal(trial.status, STATUS_OK);
        if (trial.checked.has_order != cases[i].order || trial.checked.has_limit != cases[i].limit)
            fail_msg("'%s'", cases[i].sql);
        arena_free(&trial.arena);
    }
}

static void sizes_and_counts_are_bounded(void **state)
{
    struct buffer sql;
    buffer_init(&sql, 1 << 20);
    buffer_append_literal(&sql, "select 1");
    while (sql.size < SQL_CHECK_TEXT_MAX)
        buffer_append_char(&sql, ' ');
    struct trial trial = try(buffer_text(&sql));
    assert_int_equal(trial.status, STATUS_OK);
    arena_free(&trial.arena);
    buffer_append_char(&sql, ' ');
    trial = try(buffer_text(&sql));
    assert_string_equal(trial.mistake.message, "this query has 8193 bytes: at most 8192 can be taken");
    arena_free(&trial.arena);
    buffer_clear(&sql);
    for (int i = 0; i < 101; i++)
        buffer_printf(&sql, "%s:p%d", i == 0 ? "select " : ",", i);
    trial = try(buffer_text(&sql));
    assert_non_null(strstr(trial.mistake.message, ":p100 is one too many"));
    arena_free(&trial.arena);
    buffer_free(&sql);
    trial = try(TEXT("select 1\0 from x"));
    assert_non_null(strstr(trial.mistake.message, "not text"));
    arena_free(&trial.arena);
    trial = try(TEXT("select '\xff'"));
    assert_non_null(strstr(trial.mistake.message, "not text"));
    arena_free(&trial.arena);
}

static void a_small_arena_is_too_large_and_not_a_crash(void **state)
{
    struct text sql = TEXT("with x as (select :a::int from weather) select (array[x])[1] from x, uploads.odd");
    for (size_t ceiling = 1; ceiling < (256 << 10); ceiling += 97 + ceiling / 7) {
        struct trial trial;
        arena_init(&trial.arena, NULL, 0, ceiling);
        trial.status = sql_check(sql, resolve, NULL, &trial.arena, &trial.checked, &trial.mistake);
        if (trial.status != STATUS_OK && trial.status != STATUS_TOO_LARGE)
            fail_msg("%zu bytes: %s", ceiling, trial.mistake.message);
        arena_free(&trial.arena);
    }
}

/* before × n, middle, after × n: as many as fit. */
struct nest {
    const char *before, *middle, *after;
};

static void *check_nests(void *unused)
{
    static const struct nest nests[] = {
        {"(", "1", ")"},
        {"(", "", ""},
        {"[", "", ""},
        {"array[", "1", "]"},
        {"[", "1", "]"},
        {"not ", "a", ""},
        {"- ", "a", ""},
        {"a+", "a", ""},
        {"(select ", "1", ")"},
        {"", "a", "::int"},
        {"", "a", "[1]"},
        {"lower(", "a", ")"},
        {"", "1", " union select 1"},
        {"(values(", "1", "))"},
        {"(", "1", ",1)"},
        {"", "a", " isnull"},
        {"a[", "1", "]"},
        {"case when ", "a", " then 1 end"},
        {"", "a", ".a"},
        {"(", "a", ")[1]"},
        {"", "a", " at time zone 'x'"},
        {"1,", "1", ""},
    };
    static char sql[2 * SQL_CHECK_TEXT_MAX];
    for (size_t i = 0; i < sizeof(nests) / sizeof(nests[0]); i++) {
        const struct nest *nest = &nests[i];
        /* All that fits, and what is just as deep as may be. */
        for (int pass = 0; pass < 2; pass++) {
            size_t each = strlen(nest->before) + strlen(nest->after), size;
            size_t count = pass == 0 ? (SQL_CHECK_TEXT_MAX - 16) / each : 240;
            char *at = stpcpy(sql, i == 4 ? "select array" : "select ");
            for (size_t k = 0; k < count; k++)
                at = stpcpy(at, nest->before);
            at = stpcpy(at, nest->middle);
            for (size_t k = 0; k < count; k++)
                at = stpcpy(at, nest->after);
            size = (size_t)(at - sql);
            if (size > SQL_CHECK_TEXT_MAX)
                continue;
            struct trial trial = try(text_of(sql, size));
            if (trial.status != STATUS_OK && trial.status != STATUS_INVALID)
                abort();
            arena_free(&trial.arena);
        }
    }
    return unused;
}

static void any_nesting_fits_into_8_mb_of_stack(void **state)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    assert_int_equal(pthread_create(&thread, &attributes, check_nests, NULL), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

static void deep_nesting_is_refused_in_words(void **state)
{
    char sql[8000] = "select ";
    for (int i = 0; i < 3000; i++)
        strcat(sql, "- ");
    struct trial trial;
    trial = try(text_from_string(strcat(sql, "a")));
    assert_non_null(strstr(trial.mistake.message, "nested too deep"));
    arena_free(&trial.arena);
}

static void a_hundred_kilobytes_are_refused_by_their_size(void **state)
{
    char *sql = malloc(100001);
    memset(sql, '(', 100000);
    struct trial trial = try(text_of(sql, 100000));
    assert_non_null(strstr(trial.mistake.message, "at most 8192"));
    arena_free(&trial.arena);
    free(sql);
}

static void a_view_of_psql_is_checked_as_pg_get_viewdef_writes_it(void **state)
{
    static const struct {
        const char *definition, *word;
    } views[] = {
        {" SELECT w.day,\n    (w.a)::text AS a,\n    date_trunc('month'::text, (w.day)::timestamp with time zone) AS "
         "m\n"
         "   FROM (wx.weather w\n     JOIN acme_uploads.sales s USING (day))\n  WHERE ((w.a > (1)::numeric) AND (s.b "
         "IS "
         "NOT NULL));",
         NULL},
        {" SELECT g.g FROM generate_series(1, 3) g(g);", NULL},
        {" SELECT EXTRACT(year FROM weather.day) AS y, count(*) AS n FROM wx.weather GROUP BY (EXTRACT(year FROM "
         "weather.day));",
         NULL},
        {" SELECT 'x'::regclass AS r;", "regclass"},
        {" SELECT pg_read_file('x'::text) AS r;", "pg_read_file"},
        {" SELECT * FROM other_uploads.sales;", "other_uploads.sales"},
        {" SELECT pg_class.relname FROM pg_class;", "pg_class"},
        {" SELECT acme_uploads.mine(1) AS mine;", "mine"},
        {" SELECT :a;", "syntax"},
    };
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        struct trial trial;
        arena_init(&trial.arena, NULL, 0, 16 << 20);
        trial.status = sql_check_view(text_from_string(views[i].definition), resolve_real, NULL, &trial.arena,
                                      &trial.checked, &trial.mistake);
        if (views[i].word == NULL ? trial.status != STATUS_OK : strstr(trial.mistake.message, views[i].word) == NULL)
            fail_msg("'%s': %s", views[i].definition, trial.mistake.message);
        arena_free(&trial.arena);
    }
}

static void a_copy_needs_nothing_of_what_it_was_made_from(void **state)
{
    struct trial trial = try(TEXT("select s.id, :word from uploads.odd s, weather where id > :least"));
    struct sql_checked copy;
    struct arena arena, narrow;
    (void)state;
    assert_int_equal(trial.status, STATUS_OK);
    arena_init(&arena, NULL, 0, 1 << 20);
    arena_init(&narrow, NULL, 0, 64);
    assert_int_equal(sql_checked_copy(&trial.checked, &arena, &copy), STATUS_OK);
    assert_int_equal(sql_checked_copy(&trial.checked, &narrow, &(struct sql_checked){.sql = TEXT_NONE}),
                     STATUS_TOO_LARGE);
    char *sql = strdup(trial.checked.sql.data);
    arena_free(&trial.arena);
    assert_string_equal(copy.sql.data, sql);
    free(sql);
    assert_int_equal(copy.parameter_count, 2);
    assert_true(text_equal(copy.parameters[0], TEXT("word")) && text_equal(copy.parameters[1], TEXT("least")));
    assert_int_equal(copy.relation_count, 2);
    assert_true(text_equal(copy.relations[0].real_schema, TEXT("acme_uploads")));
    assert_true(text_equal(copy.relations[0].real_name, TEXT("odd_real")));
    assert_null(copy.relations[1].schema.data);
    assert_true(text_equal(copy.relations[1].name, TEXT("weather")));
    arena_free(&arena);
    arena_free(&narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_needs_nothing_of_what_it_was_made_from),
        cmocka_unit_test(allowed_sql_is_written_back_with_real_names),
        cmocka_unit_test(what_is_written_back_is_a_view_that_is_written_back_as_itself),
        cmocka_unit_test(everything_else_is_refused_with_its_place),
        cmocka_unit_test(a_relation_that_is_not_the_callers_is_told_as_one_that_does_not_exist),
        cmocka_unit_test(relations_are_told_once_with_both_names),
        cmocka_unit_test(named_parameters_get_numbers_in_the_order_of_their_first_use),
        cmocka_unit_test(numbered_parameters_have_no_names),
        cmocka_unit_test(order_and_limit_of_the_outermost_select_are_told),
        cmocka_unit_test(sizes_and_counts_are_bounded),
        cmocka_unit_test(a_small_arena_is_too_large_and_not_a_crash),
        cmocka_unit_test(any_nesting_fits_into_8_mb_of_stack),
        cmocka_unit_test(deep_nesting_is_refused_in_words),
        cmocka_unit_test(a_hundred_kilobytes_are_refused_by_their_size),
        cmocka_unit_test(a_view_of_psql_is_checked_as_pg_get_viewdef_writes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
