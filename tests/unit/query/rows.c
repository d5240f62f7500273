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
    enum rows_format format;
    size_t batch; /* rows an append; 0: all in one */
    uint64_t count;
    struct buffer out;
};

static void encode(void *context, const struct postgres_rows *rows)
{
    struct encoding *encoding = context;
    struct arena arena;
    size_t count = postgres_rows_count(rows), batch = encoding->batch != 0 ? encoding->batch : count;
    arena_init(&arena, NULL, 0, 1 << 20);
    buffer_init(&encoding->out, 64 << 20);
    struct rows_encoder *encoder = rows_encoder_create(&arena, encoding->format, rows);
    assert_non_null(encoder);
    rows_encoder_begin(encoder, &encoding->out);
    for (size_t first = 0; first < count; first += batch)
        rows_encoder_append(encoder, rows, first, count - first < batch ? count - first : batch, &encoding->out);
    rows_encoder_end(encoder, &encoding->out);
    encoding->count = rows_encoder_count(encoder);
    arena_free(&arena);
}

static struct encoding run(const char *sql, enum rows_format format, size_t batch)
{
    struct failure failure = {0};
    struct encoding encoding = {.format = format, .batch = batch};
    if (postgres_session_query(session, sql, 0, NULL, encode, &encoding, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, sql);
    assert_false(encoding.out.failed);
    return encoding;
}

static void expect(const char *sql, enum rows_format format, const char *wanted)
{
    struct encoding encoding = run(sql, format, 0);
    assert_string_equal(buffer_c_string(&encoding.out), wanted);
    buffer_free(&encoding.out);
}

/* The server's own to_json of each row, a line each, is what NDJSON must be, byte for byte. */
static void expect_to_json(const char *relation)
{
    char sql[4096], ask[4096];
    snprintf(sql, sizeof(sql), "select * from (%s) t", relation);
    snprintf(ask, sizeof(ask), "select coalesce(string_agg(to_json(t)::text || e'\\n', ''), '') from (%s) t", relation);
    struct encoding encoding = run(sql, ROWS_NDJSON, 0);
    char *wanted = warehouse_value(session, ask);
    assert_string_equal(buffer_c_string(&encoding.out), wanted);
    free(wanted);
    buffer_free(&encoding.out);
}

static void integers_come_out_exact(void **state)
{
    expect_to_json("select a::int2, b::int4, c::int8 from (values (-32768, -2147483648, -9223372036854775808), "
                   "(32767, 2147483647, 9223372036854775807), (0, 0, 0), (null, null, null)) v(a, b, c)");
}

static void numerics_come_out_exact_and_nan_and_infinities_as_strings(void **state)
{
    expect_to_json("select v::numeric from (values ('NaN'), ('Infinity'), ('-Infinity'), ('0'), ('-0.00'), ('1.10'), "
                   "('-0.000000000000000000000000000000001'), ('123456789012345678901234567890.123456789')) x(v)");
    expect_to_json("select v::numeric(10, 3) from (values (1.5), (-1), (0)) x(v)");
}

static void floats_come_out_as_the_shortest_text_that_reads_back(void **state)
{
    expect_to_json("select v::float8 from (values ('NaN'), ('Infinity'), ('-Infinity'), ('-0'), ('0.1'), ('1e308'), "
                   "('1.7976931348623157e308'), ('5e-324'), ('2.2250738585072014e-308'), ('1e15'), ('1e16'), "
                   "('123456.789')) x(v)");
    expect_to_json("select v::float4 from (values ('NaN'), ('-Infinity'), ('0.1'), ('3.4028235e38'), ('1e-45'), "
                   "('16777216')) x(v)");
}

static void booleans_come_out_as_json_booleans(void **state)
{
    expect_to_json("select v as is_coastal from (values (true), (false), (null)) x(v)");
}

static void days_come_out_as_strings_whatever_their_era(void **state)
{
    expect_to_json("select v::date from (values ('2024-02-29'), ('0044-03-15 BC'), ('0001-01-01'), ('9999-12-31'), "
                   "('12345-06-07'), "
                   "('4713-01-01 BC'), ('infinity'), ('-infinity')) x(v)");
}

static const char timestamps[] = "select v::timestamp as plain, v::timestamptz as zoned from (values ('2024-02-29 "
                                 "12:00:00.5'), ('2024-02-29 23:59:59.999999'), "
                                 "('2024-07-01'), ('0044-03-15 BC'), ('0044-03-15 11:22:33.000001 BC'), ('1899-12-31 "
                                 "12:00:00'), ('12345-06-07 01:02:03'), ('infinity'), "
                                 "('-infinity'), (null)) x(v)";

static void timestamps_have_a_t_and_whole_offsets_in_every_zone(void **state)
{
    /* Whole hours both ways, half and quarter hours, and the local mean times of old, which have seconds. */
    static const char *const zones[] = {"UTC",
                                        "America/Sao_Paulo",
                                        "Asia/Kolkata",
                                        "Asia/Kathmandu",
                                        "Europe/Amsterdam",
                                        "Africa/Monrovia",
                                        "Pacific/Kiritimati",
                                        "America/St_Johns"};
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        char set[100];
        snprintf(set, sizeof(set), "set timezone = '%s'", zones[i]);
        warehouse_script(session, set);
        expect_to_json(timestamps);
    }
    warehouse_script(session, "reset timezone");
}

static void times_intervals_and_bytes_come_out_as_strings(void **state)
{
    expect_to_json("select time '23:59:59.123456', timetz '12:00:00+05:30', interval '1 year 2 mons -3 days "
                   "04:05:06.789' as i, interval '0' as zero, "
                   "'\\xdeadbeef00'::bytea, ''::bytea as no_bytes");
}

static void text_types_escape_controls_quotes_and_keep_emoji(void **state)
{
    expect_to_json("select e'tab\\t nl\\n cr\\r ff\\f bs\\b quote\" slash/ back\\\\ del\\x7f \\x01\\x1f'::text, "
                   "'caf\u00e9 \U0001F30D \u2028'::varchar, "
                   "'ab'::char(5), ''::text as empty, 'n'::name, 'c'::\"char\", null::text as nothing");
    expect_to_json("select string_agg(chr(n), '' order by n) as every_character from generate_series(1, 1500) n");
}

static void oids_uuids_addresses_and_enumerations_come_out_as_strings(void **state)
{
    warehouse_script(session, "create type pg_temp.mood as enum ('sad', 'so \"so\"'); create domain pg_temp.share as "
                              "numeric check (value >= 0)");
    expect_to_json("select 26::oid, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '10.0.0.0/8'::cidr, 'fe80::1'::inet, "
                   "b'0101', 12.5::money, "
                   "point '(1,2)', int4range(1, 5), 'so \"so\"'::pg_temp.mood, 'a b'::tsvector");
    expect_to_json("select 0.5::pg_temp.share, 'pg_class'::regclass, xid '7'");
}

static void json_comes_out_as_it_is(void **state)
{
    expect_to_json("select '{\"a\": [1, 2.50, null], \"b\":\"x\\ny\"}'::jsonb, '{ \"z\":1,\"z\" : 2 }'::json, "
                   "'null'::jsonb as nothing, '\"s\"'::json as s, null::jsonb as absent");
}

/* Line ends between the tokens of a json value would break NDJSON's lines; within strings they are escapes. */
static void json_written_over_several_lines_stays_on_one(void **state)
{
    expect("select e'{\"a\":\\n 1,\\r\\n\"b\":\"\\\\n\"}'::json as j, 2 as n", ROWS_NDJSON,
           "{\"j\":{\"a\":  1,  \"b\":\"\\n\"},\"n\":2}\n");
}

static void arrays_come_out_as_strings_in_the_servers_form(void **state)
{
    expect("select array[1,2,null] as a, array['x \"y\"', ''] as t", ROWS_NDJSON,
           "{\"a\":\"{1,2,NULL}\",\"t\":\"{\\\"x \\\\\\\"y\\\\\\\"\\\",\\\"\\\"}\"}\n");
}

static void names_of_columns_are_escaped_too(void **state)
{
    expect_to_json("select 1 as \"a\"\"b\\c\", 2 as \"a,b\nc\", 3 as \"größe\"");
    expect("select 1 as \"a\"\"b\", 2 as \"c,d\"", ROWS_CSV, "\"a\"\"b\",\"c,d\"\n1,2\n");
}

static void json_is_one_array_with_an_object_a_line(void **state)
{
    expect("select n, 'x' as t from generate_series(1, 3) n", ROWS_JSON,
           "[{\"n\":1,\"t\":\"x\"},\n{\"n\":2,\"t\":\"x\"},\n{\"n\":3,\"t\":\"x\"}]\n");
}

static void no_rows_are_an_empty_array_a_csv_head_and_no_lines(void **state)
{
    expect("select 1 as a, 2 as b where false", ROWS_JSON, "[]\n");
    expect("select 1 as a, 2 as b where false", ROWS_CSV, "a,b\n");
    expect("select 1 as a, 2 as b where false", ROWS_NDJSON, "");
}

static void csv_tells_null_from_empty_and_quotes_what_needs_it(void **state)
{
    expect("select null::text as a, '' as b, 'q\"q' as c, 'x,y' as d, e'l\\nm' as e, 'plain' as f, null::int as g",
           ROWS_CSV, "a,b,c,d,e,f,g\n,\"\",\"q\"\"q\",\"x,y\",\"l\nm\",plain,\n");
}

static void csv_values_have_the_form_of_json_without_its_quotes(void **state)
{
    warehouse_script(session, "set timezone = 'UTC'");
    expect("select true as a, false as b, 'NaN'::float8 as c, 1.50 as d, date '2024-02-29' as e, timestamptz "
           "'2024-02-29 12:00+00' as f, "
           "timestamptz '0044-03-15 12:00:00+00 BC' as g, timestamp 'infinity' as h, '{\"k\": 1}'::jsonb as i, "
           "array[1,2] as j, null::timestamptz as k",
           ROWS_CSV,
           "a,b,c,d,e,f,g,h,i,j,k\ntrue,false,NaN,1.50,2024-02-29,2024-02-29T12:00:00+00:00,0044-03-15T12:00:00+00:00 "
           "BC,infinity,"
           "\"{\"\"k\"\": 1}\",\"{1,2}\",\n");
}

static void rows_in_batches_make_the_same_answer_as_in_one(void **state)
{
    static const char sql[] = "select n, nullif(n % 3, 0) as m, 'r' || n as t from generate_series(1, 25) n";
    for (enum rows_format format = ROWS_JSON; format <= ROWS_NDJSON; format++) {
        struct encoding whole = run(sql, format, 0);
        assert_int_equal(whole.count, 25);
        for (size_t batch = 1; batch < 25; batch += 6) {
            struct encoding parts = run(sql, format, batch);
            assert_int_equal(parts.count, 25);
            assert_string_equal(buffer_c_string(&parts.out), buffer_c_string(&whole.out));
            buffer_free(&parts.out);
        }
        buffer_free(&whole.out);
    }
}

static void try_small_arenas(void *context, const struct postgres_rows *rows)
{
    static char memory[4096];
    bool made = false;
    for (size_t size = 0; size <= sizeof(memory) && !made; size += 16) {
        struct arena arena;
        arena_init(&arena, memory, size, 0);
        made = rows_encoder_create(&arena, ROWS_CSV, rows) != NULL;
        arena_free(&arena);
        if (made && size < 300) /* less than names and keys need: one of them would be missing */
            fail_msg("an encoder was made of %zu bytes", size);
    }
    assert_true(made);
}

static void an_encoder_without_memory_is_not_made(void **state)
{
    struct failure failure = {0};
    assert_int_equal(
        postgres_session_query(session, "select 1 as b, 2 as c, 3 as a_column_with_a_name_of_more_than_forty_bytes_", 0,
                               NULL, try_small_arenas, NULL, &failure),
        STATUS_OK);
}

static void each_format_has_its_media_type(void **state)
{
    assert_string_equal(rows_media_type(ROWS_JSON), "application/json");
    assert_string_equal(rows_media_type(ROWS_CSV), "text/csv; charset=utf-8");
    assert_string_equal(rows_media_type(ROWS_NDJSON), "application/x-ndjson");
}

static void single_values_are_null_number_or_string_by_their_type(void **state)
{
    struct buffer out;
    buffer_init(&out, 4096);
    rows_append_json(&out, 25, TEXT_NONE);
    rows_append_json(&out, 701, TEXT("1e-05"));
    rows_append_json(&out, 701, TEXT("-"));
    rows_append_json(&out, 1700, TEXT(""));
    rows_append_json(&out, 16, TEXT("t"));
    assert_string_equal(buffer_c_string(&out), "null1e-05\"-\"\"\"true");
    buffer_free(&out);
    assert_true(rows_is_number(20) && rows_is_number(21) && rows_is_number(23) && rows_is_number(700) &&
                rows_is_number(701) && rows_is_number(1700));
    assert_false(rows_is_number(16) || rows_is_number(25) || rows_is_number(26) || rows_is_number(3802));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_come_out_exact),
        cmocka_unit_test(numerics_come_out_exact_and_nan_and_infinities_as_strings),
        cmocka_unit_test(floats_come_out_as_the_shortest_text_that_reads_back),
        cmocka_unit_test(booleans_come_out_as_json_booleans),
        cmocka_unit_test(days_come_out_as_strings_whatever_their_era),
        cmocka_unit_test(timestamps_have_a_t_and_whole_offsets_in_every_zone),
        cmocka_unit_test(times_intervals_and_bytes_come_out_as_strings),
        cmocka_unit_test(text_types_escape_controls_quotes_and_keep_emoji),
        cmocka_unit_test(oids_uuids_addresses_and_enumerations_come_out_as_strings),
        cmocka_unit_test(json_comes_out_as_it_is),
        cmocka_unit_test(json_written_over_several_lines_stays_on_one),
        cmocka_unit_test(arrays_come_out_as_strings_in_the_servers_form),
        cmocka_unit_test(names_of_columns_are_escaped_too),
        cmocka_unit_test(json_is_one_array_with_an_object_a_line),
        cmocka_unit_test(no_rows_are_an_empty_array_a_csv_head_and_no_lines),
        cmocka_unit_test(csv_tells_null_from_empty_and_quotes_what_needs_it),
        cmocka_unit_test(csv_values_have_the_form_of_json_without_its_quotes),
        cmocka_unit_test(rows_in_batches_make_the_same_answer_as_in_one),
        cmocka_unit_test(an_encoder_without_memory_is_not_made),
        cmocka_unit_test(each_format_has_its_media_type),
        cmocka_unit_test(single_values_are_null_number_or_string_by_their_type),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
