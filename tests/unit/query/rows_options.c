/* What the encoder's options change. */
#include "query/rows.h"

#include "tests/unit/query/warehouse.h"

static struct postgres_session *session;

static int set_up(void **state)
{
    warehouse_start();
    session = warehouse_open("postgres", "postgres");
    return 0;
}

static int tear_down(void **state)
{
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

struct encoding {
    struct rows_options options;
    size_t ceiling; /* of the buffer */
    struct buffer out;
};

static void encode(void *context, const struct postgres_rows *rows)
{
    struct encoding *encoding = context;
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    buffer_init(&encoding->out, encoding->ceiling);
    struct rows_encoder *encoder = rows_encoder_create(&arena, &encoding->options, rows);
    assert_non_null(encoder);
    rows_encoder_begin(encoder, &encoding->out);
    rows_encoder_append(encoder, rows, 0, postgres_rows_count(rows), &encoding->out);
    rows_encoder_end(encoder, &encoding->out);
    arena_free(&arena);
}

static void run(const char *sql, struct encoding *encoding)
{
    struct failure failure = {0};
    if (postgres_session_query(session, sql, 0, NULL, encode, encoding, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, sql);
}

static void expect_more(const char *sql, enum rows_format format, struct rows_options options, const char *wanted)
{
    struct encoding encoding = {.options = options, .ceiling = 1 << 20};
    encoding.options.format = format;
    run(sql, &encoding);
    assert_string_equal(buffer_c_string(&encoding.out), wanted);
    buffer_free(&encoding.out);
}

static void nulls_are_stripped_as_json_strip_nulls_does(void **state)
{
    static const char *const relations[] = {
        "select null::int a, 1 b, null::text c, 2 d",
        "select null::int a, null::int b",
        "select 1 a, null::int b",
        ("select '{\"a\": null, \"b\": {\"c\": null}, \"d\": [null, {\"e\": null, \"f\": 1}], \"g\": \"null\"}'::jsonb "
         "j"),
        "select ' { \"a\" : null , \"b\" : 1 , \"c\" : null } '::json j, '[ null , 1 ]'::json k, 'null'::json l",
        "select '{\"a\\\"\": null, \"b:\": \"null,}\", \"\": null, \"c\": \",\"}'::json j",
        "select array[null, 1] a, '{}'::int[] b, array['{\"a\": null}'::jsonb, null] c, 'null'::jsonb d, true e",
        "select 'null' a, 'x,\"' b, '{\"a\":null}'::text c, timestamp '2024-01-01' d, 1.50 e, null::date f"};
    for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++) {
        char sql[1024];
        snprintf(sql, sizeof(sql), "select json_strip_nulls(to_json(t))::text || e'\\n' from (%s) t", relations[i]);
        char *wanted = warehouse_value(session, sql);
        expect_more(relations[i], ROWS_NDJSON, (struct rows_options){.strip_nulls = true}, wanted);
        free(wanted);
    }
    expect_more("select * from (values (null, 1), (null, null), (2, 3)) x(a, b)", ROWS_JSON,
                (struct rows_options){.strip_nulls = true}, "[{\"b\":1},\n{},\n{\"a\":2,\"b\":3}]\n");
}

static void nulls_are_stripped_behind_a_leading_column_and_under_any_ceiling(void **state)
{
    const char *sql = "select null::int a, '{\"x\": null, \"y\": [1]}'::json b";
    struct encoding encoding = {
        .options = {.strip_nulls = true, .leading_name = TEXT("r"), .leading_value = TEXT("AR")}};
    size_t whole = 0;
    for (encoding.ceiling = 64; encoding.ceiling > 0; encoding.ceiling--) {
        run(sql, &encoding);
        if (!encoding.out.failed) {
            assert_string_equal(buffer_c_string(&encoding.out), "[{\"r\":\"AR\",\"b\":{\"y\":[1]}}]\n");
            whole++;
        }
        buffer_free(&encoding.out);
    }
    assert_true(whole > 0 && whole < 64);
}

static void the_one_row_of_a_singular_answer_stands_without_an_array(void **state)
{
    expect_more("select 1 a, 'x' b", ROWS_JSON, (struct rows_options){.singular = true}, "{\"a\":1,\"b\":\"x\"}\n");
    expect_more("select null::int a, 'x' b", ROWS_JSON, (struct rows_options){.singular = true, .strip_nulls = true},
                "{\"b\":\"x\"}\n");
}

static void columns_behind_the_visible_ones_are_not_written(void **state)
{
    const char *sql = "select 1 a, 2 b, 3 hidden";
    expect_more(sql, ROWS_JSON, (struct rows_options){.visible = 2}, "[{\"a\":1,\"b\":2}]\n");
    expect_more(sql, ROWS_CSV, (struct rows_options){.visible = 2}, "a,b\n1,2\n");
    expect_more(sql, ROWS_NDJSON, (struct rows_options){.visible = 9}, "{\"a\":1,\"b\":2,\"hidden\":3}\n");
}

static void csv_may_end_without_a_line_end(void **state)
{
    const struct rows_options more = {.no_final_newline = true};
    expect_more("select * from (values (1, null), (null, '')) x(a, b)", ROWS_CSV, more, "a,b\n1,\n,\"\"");
    expect_more("select 1 a where false", ROWS_CSV, more, "a");
}

static void a_type_that_is_told_counts_where_the_wire_says_the_same(void **state)
{
    struct type_field fields[] = {{TEXT("x"), type_builtin(23)}, {TEXT("y"), type_builtin(1009)}};
    const struct type point = {.oid = 2249, .base = 2249, .kind = TYPE_COMPOSITE, .fields = fields, .field_count = 2};
    const struct type *types[] = {&point, NULL, type_builtin(114)};
    const char *sql = "select row(1, array['a', null]) a, array[1, 2] b, '[1]'::text c";
    const struct rows_options more = {.types = types};
    expect_more(sql, ROWS_JSON, more, "[{\"a\":{\"x\":1,\"y\":[\"a\",null]},\"b\":[1,2],\"c\":\"[1]\"}]\n");
    expect_more(sql, ROWS_CSV, more, "a,b,c\n\"{\"\"x\"\":1,\"\"y\"\":[\"\"a\"\",null]}\",\"[1,2]\",[1]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nulls_are_stripped_as_json_strip_nulls_does),
        cmocka_unit_test(nulls_are_stripped_behind_a_leading_column_and_under_any_ceiling),
        cmocka_unit_test(the_one_row_of_a_singular_answer_stands_without_an_array),
        cmocka_unit_test(columns_behind_the_visible_ones_are_not_written),
        cmocka_unit_test(csv_may_end_without_a_line_end),
        cmocka_unit_test(a_type_that_is_told_counts_where_the_wire_says_the_same),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
