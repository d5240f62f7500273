/* What binary_append makes of the server's bits is what the server itself prints: each query gives a value twice, as it
 * is and as text, and its result is asked for in binary form. */
#include "query/binary.h"

#include "tests/unit/query/warehouse.h"

static struct loop *loop;
static struct postgres *pool;

struct outcome {
    size_t rows, put; /* put: by binary_put too */
    struct binary_day near;
    bool done;
};

static bool most_put; /* binary_put took nearly all of the last query's values */

static int set_up(void **state)
{
    struct failure failure = {0};
    warehouse_start();
    struct postgres_options options = {.login = warehouse_login("postgres", "postgres"),
                                       .mode = POSTGRES_STREAMED,
                                       .connections = 1,
                                       .queue = 4,
                                       .statement_timeout_ms = 60000,
                                       .idle_timeout_ms = 60000};
    loop = loop_create();
    return postgres_create(loop, &options, &pool, &failure) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    postgres_destroy(pool);
    loop_destroy(loop);
    warehouse_stop();
    return 0;
}

static void compare(void *context, const struct postgres_rows *rows)
{
    struct outcome *outcome = context;
    uint32_t type = postgres_rows_type(rows, 0);
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        struct buffer out;
        buffer_init(&out, 1 << 20);
        assert_true(postgres_rows_is_binary(rows, 0));
        assert_true(binary_knows(type));
        binary_append(&out, type, postgres_rows_value(rows, i, 0));
        struct text wanted = postgres_rows_value(rows, i, 1);
        if (!text_equal(buffer_text(&out), wanted))
            fail_msg("type %u: made %.*s, the server prints %.*s", type, (int)out.size, out.data, TEXT_ARGS(wanted));
        buffer_free(&out);
        char room[BINARY_PUT_SIZE], *end = binary_put(room, type, postgres_rows_value(rows, i, 0), &outcome->near);
        if (end != NULL && !text_equal(text_of(room, (size_t)(end - room)), wanted))
            fail_msg("type %u: put %.*s, the server prints %.*s", type, (int)(end - room), room, TEXT_ARGS(wanted));
        outcome->put += end != NULL;
        outcome->rows++;
    }
}

static void on_done(void *context, const struct postgres_error *error)
{
    if (error != NULL)
        fail_msg("%s", error->message);
    ((struct outcome *)context)->done = true;
}

static void expect_equal(const char *sql, size_t rows)
{
    static const struct postgres_handlers handlers = {compare, on_done};
    struct postgres_statement statement;
    struct postgres_query *query;
    struct outcome outcome = {0};
    postgres_statement_init(&statement, sql, 0, NULL);
    statement.binary = true;
    const struct postgres_call call = {.statement = &statement, .whole = true};
    assert_int_equal(postgres_start(pool, &call, &handlers, &outcome, &query), STATUS_OK);
    while (!outcome.done)
        loop_turn(loop, 1000);
    assert_int_equal(outcome.rows, rows);
    most_put = rows > 1000 && outcome.put > rows - rows / 100;
}

static void numerics_of_every_shape_are_printed_as_the_server_does(void **state)
{
    expect_equal("select v, v::text from (values (0::numeric), (0.00), (-0.5), (1), (10000), (9999), (99999999), "
                 "(100000000.0001), (1e-20), (-1e30),"
                 " (12345678901234567890123456789012345678.12345678901234567890), (0.0001), (0.00010), (0.1234567), "
                 "('NaN'), ('Infinity'),"
                 " ('-Infinity'), (123e500), (1e-500), (5000.0050), (0.99990001)) x(v)",
                 21);
    expect_equal(
        "select v, v::text from (select ((random() - 0.5) * power(10, (random() * 40 - 20)::int))::numeric as v"
        " from generate_series(1, 20000)) x",
        20000);
    expect_equal(
        "select v, v::text from (select avg(n)::numeric / 7 as v from generate_series(1, 2000) n group by n % 300) x",
        300);
}

static void floating_point_is_printed_as_the_server_does(void **state)
{
    expect_equal("select v, v::text from (values (0::float8), ('-0'), (1), (-1.5), (0.1), (1e15), (1e16), (1e-5), "
                 "(1e-4), (1e300), (5e-324),"
                 " (1.7976931348623157e308), ('NaN'), ('Infinity'), ('-Infinity'), (1e23), (123456789.125)) x(v)",
                 17);
    expect_equal("select v, v::text from (select round((random() * 200 - 100)::numeric, 1)::float8 as v from "
                 "generate_series(1, 20000)) x",
                 20000);
    expect_equal("select v, v::text from (select (random() - 0.5) * power(10, (random() * 600 - 300)::int) as v from "
                 "generate_series(1, 20000)) x",
                 20000);
}

static void whole_numbers_are_printed_to_their_bounds(void **state)
{
    expect_equal("select v, v::text from (values (0::int2), (32767), (-32768)) x(v)", 3);
    expect_equal("select v, v::text from (values (0::int4), (2147483647), (-2147483648)) x(v)", 3);
    expect_equal("select v, v::text from (values (0::int8), (9223372036854775807), (-9223372036854775808)) x(v)", 3);
}

static void days_are_printed_with_their_era(void **state)
{
    expect_equal(
        "select v, v::text from (values (date '2000-01-01'), ('1970-01-01'), ('2024-02-29'), ('0001-01-01'), "
        "('9999-12-31'),"
        " ('10000-01-01'), ('0001-12-31 BC'), ('4713-01-01 BC'), ('infinity'), ('-infinity'), ('5874897-12-31')) x(v)",
        11);
    expect_equal("select v, v::text from (select date '0001-01-01' + n * 37 as v from generate_series(0, 98000) n) x",
                 98001);
}

static void days_in_a_row_are_printed_as_the_server_does(void **state)
{
    expect_equal("select v, v::text from (select date '1999-12-01' + n as v from generate_series(0, 20000) n) x",
                 20001);
    assert_true(most_put);
    expect_equal("select v, v::text from (select date '2024-03-01' - n as v from generate_series(0, 20000) n) x",
                 20001);
    expect_equal("select v, v::text from (select date '9999-12-20' + n as v from generate_series(0, 20) n) x", 21);
}

static void texts_stay_as_they_are(void **state)
{
    expect_equal("select v, v from (values (''::text), ('a\"b'), ('Łąkowo')) x(v)", 3);
    expect_equal("select v, v::text from (values ('ab'::varchar), ('')) x(v)", 2);
    expect_equal("select v, case when v then 't' else 'f' end from (values (true), (false)) x(v)", 2);
}

static void a_value_of_a_wrong_size_appends_nothing(void **state)
{
    static const uint32_t types[] = {20, 21, 23, 701, 1082, 1700};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (size_t size = 0; size < 2; size++) {
            struct buffer out;
            buffer_init(&out, 64);
            binary_append(&out, types[i], text_of("\x7F", size));
            assert_int_equal(out.size, 0);
            buffer_free(&out);
        }
}

static void timestamps_of_every_era_are_printed_as_the_server_does(void **state)
{
    expect_equal("select v, v::text from (values (timestamp '2024-02-29 12:00:00'), ('2024-02-29 12:00:00.5'), "
                 "('2024-02-29 23:59:59.999999'), ('1999-12-31 23:59:59.999999'), ('2000-01-01'), ('1970-01-01'), "
                 "('0001-01-01'), ('9999-12-31 23:59:59.000001'), ('10000-01-01'), ('0001-12-31 23:59:59.9 BC'), "
                 "('4713-01-01 BC'), ('294276-12-31 23:59:59.999999'), ('infinity'), ('-infinity')) x(v)",
                 14);
    expect_equal("select v, v::text from (values (timestamptz '2024-02-29 12:00:00+03'), ('2024-02-29 12:00:00.12'), "
                 "('0044-03-15 11:22:33.000001+00 BC'), ('12345-06-07 01:02:03+00'), ('infinity'), ('-infinity')) x(v)",
                 6);
}

static void timestamps_hour_by_hour_are_printed_as_the_server_does(void **state)
{
    expect_equal("select v, v::text from (select timestamp '1999-10-01 00:00:00' + n * interval '59 minutes 0.001 "
                 "seconds' as v from generate_series(0, 5000) n) x",
                 5001);
    assert_true(most_put);
    expect_equal("select v, v::text from (select timestamptz '2024-03-15 00:00:00+00' - n * interval '1 day "
                 "0.00001 seconds' as v from generate_series(0, 5000) n) x",
                 5001);
    assert_true(most_put);
}

static void times_uuids_and_bytes_are_printed_as_the_server_does(void **state)
{
    expect_equal("select v, v::text from (values (time '00:00'), ('24:00'), ('23:59:59.999999'), ('12:30:00.1'), "
                 "('00:00:00.000001')) x(v)",
                 5);
    expect_equal("select v, v::text from (select md5(n::text)::uuid as v from generate_series(0, 2000) n) x", 2001);
    assert_true(most_put);
    expect_equal("select v, v::text from (values (''::bytea), ('\\x00ff'), (convert_to('a\"', 'UTF8')), "
                 "(decode(repeat('0123456789abcdef', 1000), 'hex'))) x(v)",
                 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numerics_of_every_shape_are_printed_as_the_server_does),
        cmocka_unit_test(floating_point_is_printed_as_the_server_does),
        cmocka_unit_test(whole_numbers_are_printed_to_their_bounds),
        cmocka_unit_test(days_are_printed_with_their_era),
        cmocka_unit_test(days_in_a_row_are_printed_as_the_server_does),
        cmocka_unit_test(texts_stay_as_they_are),
        cmocka_unit_test(a_value_of_a_wrong_size_appends_nothing),
        cmocka_unit_test(timestamps_of_every_era_are_printed_as_the_server_does),
        cmocka_unit_test(timestamps_hour_by_hour_are_printed_as_the_server_does),
        cmocka_unit_test(times_uuids_and_bytes_are_printed_as_the_server_does),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
