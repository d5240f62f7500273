/* The table of types against a running server's pg_type, and the names that callers write in casts. */
#include "query/type.h"

#include "tests/unit/query/warehouse.h"

static struct postgres_session *session;

static int set_up(void **state)
{
    warehouse_start();
    session = warehouse_open("postgres", "postgres");
    warehouse_script(session, "set search_path = ''");
    return 0;
}

static int tear_down(void **state)
{
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

static const char all_types[] =
    "select t.oid, pg_catalog.format_type(t.oid, null), t.typtype, case when t.typsubscript = "
    "'pg_catalog.array_subscript_handler'::pg_catalog.regproc then t.typelem else 0 end, e.typdelim, t.typname from "
    "pg_catalog.pg_type t left join pg_catalog.pg_type e on e.oid = t.typelem where t.typnamespace = "
    "'pg_catalog'::pg_catalog.regnamespace and t.typtype in ('b', 'd', 'e', 'r', 'm') and coalesce(e.typtype, 'b') "
    "not in ('c', 'p')";

static uint32_t number_at(const struct postgres_rows *rows, size_t row, size_t column)
{
    return (uint32_t)strtoul(postgres_rows_value(rows, row, column).data, NULL, 10);
}

static void compare(void *context, const struct postgres_rows *rows)
{
    *(size_t *)context = postgres_rows_count(rows);
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        uint32_t oid = number_at(rows, i, 0), element = number_at(rows, i, 3);
        struct text name = postgres_rows_value(rows, i, 1), internal = postgres_rows_value(rows, i, 5);
        const struct type *type = type_builtin(oid);
        char kind = postgres_rows_value(rows, i, 2).data[0];
        if (type == NULL)
            fail_msg("%s is not known", name.data);
        assert_int_equal(type->oid, oid);
        assert_int_equal(type->base, oid);
        assert_true(text_equal(type->name, name));
        assert_int_equal(type->is_range, kind == 'r' || kind == 'm');
        assert_int_equal(type->kind == TYPE_ARRAY, element != 0);
        if (element != 0) {
            assert_int_equal(type->element->oid, element);
            assert_int_equal(type->delimiter, postgres_rows_value(rows, i, 4).data[0]);
        }
        assert_int_equal(type->is_vector, text_equal(name, TEXT("int2vector")) || text_equal(name, TEXT("oidvector")));
        bool refused = text_starts_with(internal, TEXT("reg")) || text_starts_with(internal, TEXT("_reg")) ||
                       text_equal(internal, TEXT("aclitem")) || text_equal(internal, TEXT("_aclitem")) ||
                       text_equal(internal, TEXT("char"));
        if (!refused && type_of_cast(internal) != type)
            fail_msg("a cast to %s is of another type", internal.data);
    }
}

static void every_type_of_the_catalog_is_known_as_the_server_describes_it(void **state)
{
    struct failure failure = {0};
    size_t count = 0;
    assert_int_equal(postgres_session_query(session, all_types, 0, NULL, compare, &count, &failure), STATUS_OK);
    assert_true(count > 150);
}

static void types_of_nobody_and_of_others_are_not_known(void **state)
{
    assert_null(type_builtin(0));
    assert_null(type_builtin(1));
    assert_null(type_builtin(6158));
    assert_null(type_builtin(16384));
    assert_null(type_builtin(UINT32_MAX));
    assert_int_equal(type_builtin(2249)->kind, TYPE_STRING); /* record: its columns' types are not known */
}

static void remember_order(void *context, const struct postgres_rows *rows)
{
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        const struct type *type = type_builtin(number_at(rows, i, 0));
        bool ordered = postgres_rows_value(rows, i, 1).data[0] == 't';
        if (type->has_no_order == ordered)
            fail_msg("%.*s: the server thinks otherwise of its order", TEXT_ARGS(type->name));
        *(size_t *)context += !ordered;
    }
}

/* The server refuses to sort by what has no order. */
static void types_without_an_order_are_those_that_the_server_does_not_sort(void **state)
{
    struct failure failure = {0};
    size_t unordered = 0;
    char sql[2048];
    warehouse_script(session,
                     "create function public.sorts(name text) returns bool language plpgsql as $$ begin execute "
                     "pg_catalog.format('select 1 from (select null::%s v) x order by v', name); return true; "
                     "exception when undefined_function then return false; end $$");
    snprintf(sql, sizeof(sql), "select x.oid, public.sorts(x.format_type) from (%s) x", all_types);
    if (postgres_session_query(session, sql, 0, NULL, remember_order, &unordered, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    assert_true(unordered > 20);
}

static void expect_cast(const char *name, const char *wanted)
{
    struct buffer sql;
    buffer_init(&sql, 1024);
    bool taken = type_append_cast(&sql, text_from_string(name));
    if (taken != (wanted != NULL))
        fail_msg("%s is %s", name, taken ? "taken" : "refused");
    if (taken)
        assert_string_equal(buffer_c_string(&sql), wanted);
    else
        assert_int_equal(sql.size, 0);
    if (!taken)
        assert_null(type_of_cast(text_from_string(name)));
    buffer_free(&sql);
}

/* The server takes what was written, and calls the type by the name that it has for what the caller wrote. */
static void expect_same_type(const char *name)
{
    struct buffer sql;
    const struct type *type = type_of_cast(text_from_string(name));
    assert_non_null(type);
    buffer_init(&sql, 4096);
    buffer_append_string(&sql, "select case when pg_catalog.pg_typeof(null::");
    buffer_append_string(&sql, name);
    buffer_append_string(&sql, ") = pg_catalog.pg_typeof(null::");
    assert_true(type_append_cast(&sql, text_from_string(name)));
    buffer_append_string(&sql, ") then pg_catalog.pg_typeof(null::");
    buffer_append_string(&sql, name);
    buffer_append_string(&sql, ")::text else 'another' end");
    char *served = warehouse_value(session, buffer_c_string(&sql));
    if (!text_equal(text_from_string(served), type->name))
        fail_msg("%s is %s, not %.*s", name, served, TEXT_ARGS(type->name));
    free(served);
    buffer_free(&sql);
}

static const char *const sql_names[] = {"int",
                                        "integer",
                                        "smallint",
                                        "bigint",
                                        "real",
                                        "float",
                                        "float(1)",
                                        "float(24)",
                                        "float(25)",
                                        "float( 53 )",
                                        "double precision",
                                        "DOUBLE   Precision",
                                        "boolean",
                                        "decimal",
                                        "dec(5)",
                                        "numeric(10, 2)",
                                        "numeric(3,-2)",
                                        "character varying",
                                        "character varying(3)",
                                        "varchar",
                                        "varchar(10)",
                                        "char",
                                        "char(3)",
                                        "character",
                                        "nchar(2)",
                                        "national character varying(2)",
                                        "bit",
                                        "bit(3)",
                                        "bit varying",
                                        "bit varying(5)",
                                        "varbit",
                                        "timestamp",
                                        "timestamp(3)",
                                        "timestamp(3) with time zone",
                                        "timestamp with time zone",
                                        "TIMESTAMP WITHOUT TIME ZONE",
                                        "timestamptz(0)",
                                        "time",
                                        "time with time zone",
                                        "time (2) without time zone",
                                        "timetz",
                                        "interval",
                                        "interval(3)",
                                        "int4",
                                        "_int4",
                                        "int4[]",
                                        "int[3]",
                                        "int[][]",
                                        "text []",
                                        "INT8",
                                        "uuid",
                                        "jsonb",
                                        "\"char\"",
                                        "name",
                                        "numrange",
                                        "int4multirange[]",
                                        "tsvector",
                                        "bytea",
                                        "money[]",
                                        "varchar(4)[]",
                                        " date ",
                                        "box[]",
                                        "int2vector"};

static void names_of_sql_and_of_the_catalog_mean_what_the_server_means(void **state)
{
    for (size_t i = 0; i < sizeof(sql_names) / sizeof(sql_names[0]); i++)
        expect_same_type(sql_names[i]);
}

static void modifiers_hold_and_char_is_one_character_long_where_sql_says_so(void **state)
{
    static const char *const pairs[][2] = {{"varchar(3)", "varchar(3)"}, {"char", "char"},
                                           {"character", "character"},   {"bpchar", "bpchar"},
                                           {"char(2)", "char(2)"},       {"\"char\"", "\"char\""}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char ask[512];
        struct buffer sql;
        buffer_init(&sql, 1024);
        assert_true(type_append_cast(&sql, text_from_string(pairs[i][0])));
        snprintf(ask, sizeof(ask), "select ('abcdef'::%s)::text = ('abcdef'::%s)::text", pairs[i][1],
                 buffer_c_string(&sql));
        char *same = warehouse_value(session, ask);
        assert_string_equal(same, "t");
        free(same);
        buffer_free(&sql);
    }
}

static void casts_are_written_quoted_and_of_the_catalog(void **state)
{
    expect_cast("int", "\"pg_catalog\".\"int4\"");
    expect_cast("NUMERIC( 10 , 2 )[]", "\"pg_catalog\".\"numeric\"(10,2)[]");
    expect_cast("interval(3)", "\"pg_catalog\".\"interval\"(32767,3)");
    expect_cast("_int4", "\"pg_catalog\".\"_int4\"");
    expect_cast("char", "\"pg_catalog\".\"bpchar\"(1)");
    expect_cast("\"char\"", "\"pg_catalog\".\"char\"");
    expect_cast("timestamp(3) with time zone", "\"pg_catalog\".\"timestamptz\"(3)");
    expect_cast("no_such_type", "\"pg_catalog\".\"no_such_type\"");
    expect_cast("größe[]", "\"pg_catalog\".\"größe\"[]");
    expect_cast("\"Mixed Case\"", "\"pg_catalog\".\"Mixed Case\"");
    assert_null(type_of_cast(TEXT("no_such_type")));
    assert_null(type_of_cast(TEXT("_int4[]")));
}

static const char *const no_types[] = {"",
                                       " ",
                                       "[]",
                                       "()",
                                       "1",
                                       "int4;",
                                       "int4 --",
                                       "int4/**/",
                                       "int4)",
                                       "int4(",
                                       "int4()",
                                       "int4(1)",
                                       "text(3)",
                                       "varchar()",
                                       "varchar(1,2)",
                                       "varchar(-1)",
                                       "varchar(a)",
                                       "varchar(1",
                                       "varchar(1)(2)",
                                       "varchar(999999999)",
                                       "numeric(1,2,3)",
                                       "numeric(1,)",
                                       "numeric(,1)",
                                       "numeric(-1)",
                                       "float(0)",
                                       "float(54)",
                                       "float(1,2)",
                                       "float8(3)",
                                       "no_such(1)",
                                       "no such",
                                       "int]",
                                       "int[",
                                       "int[-1]",
                                       "int[a]",
                                       "a.b",
                                       "pg_catalog.int4",
                                       "\"",
                                       "\"\"",
                                       "\"a",
                                       "\"a\"b\"",
                                       "\"a\"(1)",
                                       "int4'",
                                       "int4,int4",
                                       "int4::text",
                                       "int\\",
                                       "caf\xe9",
                                       "\"caf\xe9\"",
                                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl",
                                       "[]int",
                                       "int[] x"};

static void what_is_no_type_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof(no_types) / sizeof(no_types[0]); i++)
        expect_cast(no_types[i], NULL);
    struct buffer sql;
    buffer_init(&sql, 64);
    assert_false(type_append_cast(&sql, TEXT("\"a\0b\"")));
    assert_false(type_append_cast(&sql, TEXT("int4\0")));
    buffer_free(&sql);
}

/* "select=id::regrole" would list other tenants' roles from a column of small numbers. */
static void types_that_name_relations_schemas_or_roles_are_no_casts(void **state)
{
    static const char *const names[] = {"regclass", "regrole",   "regnamespace", "REGCLASS",  "\"regclass\"",
                                        "_regrole", "regtype[]", "regproc",      "regconfig", "aclitem",
                                        "_aclitem", "aclitem[]", "regprocedure"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        expect_cast(names[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_the_catalog_is_known_as_the_server_describes_it),
        cmocka_unit_test(types_of_nobody_and_of_others_are_not_known),
        cmocka_unit_test(types_without_an_order_are_those_that_the_server_does_not_sort),
        cmocka_unit_test(names_of_sql_and_of_the_catalog_mean_what_the_server_means),
        cmocka_unit_test(modifiers_hold_and_char_is_one_character_long_where_sql_says_so),
        cmocka_unit_test(casts_are_written_quoted_and_of_the_catalog),
        cmocka_unit_test(what_is_no_type_is_refused),
        cmocka_unit_test(types_that_name_relations_schemas_or_roles_are_no_casts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
