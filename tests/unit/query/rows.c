#include "query/rows.h"

#include "tests/unit/query/warehouse.h"

static struct postgres_session *session;
static struct loop *loop; /* of the pool, which gives results in binary form */
static struct postgres *pool;

static int set_up(void **state)
{
    struct failure failure = {0};
    warehouse_start();
    session = warehouse_open("postgres", "postgres");
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
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

struct encoding {
    enum rows_format format;
    struct text leading_name, leading_value;
    size_t batch;   /* rows an append; 0: all in one */
    size_t ceiling; /* of the buffer; 0: far away */
    uint64_t count;
    bool done;
    struct buffer out;
};

static void encode(void *context, const struct postgres_rows *rows)
{
    struct encoding *encoding = context;
    struct arena arena;
    size_t count = postgres_rows_count(rows), batch = encoding->batch != 0 ? encoding->batch : count;
    arena_init(&arena, NULL, 0, 1 << 20);
    buffer_init(&encoding->out, encoding->ceiling != 0 ? encoding->ceiling : 64 << 20);
    const struct rows_options options = {
        .format = encoding->format, .leading_name = encoding->leading_name, .leading_value = encoding->leading_value};
    struct rows_encoder *encoder = rows_encoder_create(&arena, &options, rows);
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

static void on_done(void *context, const struct postgres_error *error)
{
    if (error != NULL)
        fail_msg("%s", error->message);
    ((struct encoding *)context)->done = true;
}

static void run_binary(const char *sql, struct encoding *encoding)
{
    static const struct postgres_handlers handlers = {encode, on_done};
    struct postgres_statement statement;
    struct postgres_query *query;
    postgres_statement_init(&statement, sql, 0, NULL);
    statement.binary = true;
    const struct postgres_call call = {.statement = &statement, .whole = true};
    assert_int_equal(postgres_start(pool, &call, &handlers, encoding, &query), STATUS_OK);
    while (!encoding->done)
        loop_turn(loop, 1000);
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

static void arrays_come_out_as_arrays(void **state)
{
    expect_to_json(
        "select array[1,2,null] as a, array['x \"y\"', ''] as words, array[array[1.50, 'NaN'], array[0, null]]"
        " as n, array[timestamp '2024-01-01'] as at, '{}'::bool[] as none, '1 2'::int2vector as v");
}

/* Of a type that nobody described only the text is known. */
static void values_of_types_that_are_not_known_come_out_as_strings(void **state)
{
    expect("select row(1, 'a')", ROWS_NDJSON, "{\"row\":\"(1,a)\"}\n");
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
           "\"{\"\"k\"\": 1}\",\"[1,2]\",\n");
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

/* Every kind of value that the binary form knows, in an order that changes from what is put to what is appended. */
static const char all_kinds[] =
    "select date '2023-12-20' + n as day, (n % 41 - 20) / 10.0::float8 as short, 1 / (n + 1)::float8 as long, "
    "case when n % 7 <> 0 then n::float8 end as hole, case n % 9 when 1 then 'NaN' when 2 then '-Infinity' when 3 then "
    "'-0' when 4 then '1e300' else '1234.5' end::float8 as odd, n::int2 as small, -n * 100003 as medium, n * 10::int8 "
    "^ 12 as power, n * 9876543210123::int8 as large, n % 2 = 0 as even, (n / 3.0)::numeric(12, 4) as exact, 'r\"' || "
    "n "
    "% 2 as word, null::date as never, "
    "timestamp '2023-12-30 23:59:59.5' + n * interval '7 hours 1.003 seconds' as at, timestamptz '0001-01-02 00:00+00' "
    "- n * interval '1 day 00:00:00.000001' as zoned, case n % 3 when 0 then 'infinity' when 1 then '-infinity' else "
    "'12345-01-01' end::timestamp as ends, time '00:00' + n * interval '3 min 0.1 sec' as clock, "
    "md5(n::text)::uuid as id, decode(md5(n::text), 'hex') as bytes, ''::bytea as no_bytes, "
    "date '0001-01-01' - n % 3 as era, n as \"a name that takes more than sixteen or thirty-two bytes\" "
    "from generate_series(0, 400) n";

static void the_binary_form_makes_the_same_answer_as_the_text(void **state)
{
    for (enum rows_format format = ROWS_JSON; format <= ROWS_NDJSON; format++)
        for (size_t batch = 0; batch < 8; batch += 7) {
            struct encoding text = run(all_kinds, format, 0), binary = {.format = format, .batch = batch};
            run_binary(all_kinds, &binary);
            assert_int_equal(binary.count, 401);
            assert_string_equal(buffer_c_string(&binary.out), buffer_c_string(&text.out));
            buffer_free(&text.out);
            buffer_free(&binary.out);
        }
}

/* A string is remembered from row to row: others, nulls, escapes and long ones come between. */
static void a_string_that_comes_again_comes_out_again(void **state)
{
    expect_to_json("select case n % 9 / 3 when 0 then 'AR' when 1 then E'a\"\\\\\n' end as s, n as number,"
                   " repeat('x', 30 + n % 6 / 2) as long, repeat(E'\\x01', n % 8 / 2) as escaped,"
                   " case when n % 4 < 2 then '' end as empty from generate_series(0, 80) n");
}

/* More is reserved than is written, but never asked of a ceiling under which the answer fits. */
static void an_answer_as_large_as_the_ceiling_fits_and_a_byte_less_does_not(void **state)
{
    for (enum rows_format format = ROWS_JSON; format <= ROWS_NDJSON; format++)
        for (size_t batch = 0; batch < 2; batch++) {
            struct encoding whole = {.format = format};
            run_binary(all_kinds, &whole);
            struct encoding fits = {.format = format, .batch = batch, .ceiling = whole.out.size};
            run_binary(all_kinds, &fits);
            assert_false(fits.out.failed);
            assert_true(text_equal(buffer_text(&fits.out), buffer_text(&whole.out)));
            struct encoding cut = {.format = format, .batch = batch, .ceiling = whole.out.size - 1};
            run_binary(all_kinds, &cut);
            assert_true(cut.out.failed);
            buffer_free(&whole.out);
            buffer_free(&fits.out);
            buffer_free(&cut.out);
        }
}

/* Of `columns` with a column of the value before them, made by the server. */
static void expect_leading(struct text value, const char *columns, enum rows_format format)
{
    struct buffer sql;
    buffer_init(&sql, 65536);
    buffer_append_literal(&sql, "select ");
    postgres_append_literal(&sql, value);
    buffer_printf(&sql, "::text as \"region \"\"id\", t.* from (%s) t", columns);
    struct encoding column = run(buffer_c_string(&sql), format, 0);
    for (int is_binary = 0; is_binary < 2; is_binary++) {
        struct failure failure = {0};
        struct encoding leading = {
            .format = format, .leading_name = TEXT("region \"id"), .leading_value = value, .batch = 30};
        if (is_binary)
            run_binary(columns, &leading);
        else
            assert_int_equal(postgres_session_query(session, columns, 0, NULL, encode, &leading, &failure), STATUS_OK);
        assert_string_equal(buffer_c_string(&leading.out), buffer_c_string(&column.out));
        assert_int_equal(leading.count, column.count);
        buffer_free(&leading.out);
    }
    buffer_free(&column.out);
    buffer_free(&sql);
}

static void a_leading_string_makes_the_same_answer_as_a_column_of_it(void **state)
{
    const struct text values[] = {TEXT("KE-plain-1"), TEXT(""), TEXT("a\"b,c\\d\ne"), TEXT("Łąkowo \x01"),
                                  TEXT("one that takes more than sixteen and more than thirty-two bytes")};
    for (enum rows_format format = ROWS_JSON; format <= ROWS_NDJSON; format++)
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            expect_leading(values[i], all_kinds, format);
            expect_leading(values[i], "select 'x' as only", format);
            expect_leading(values[i], "select 1 as a, 2 as b where false", format);
            expect_leading(values[i], "select from generate_series(1, 3)", format);
        }
}

static void try_small_arenas(void *context, const struct postgres_rows *rows)
{
    static char memory[4096];
    bool made = false;
    for (size_t size = 0; size <= sizeof(memory) && !made; size += 16) {
        struct arena arena;
        arena_init(&arena, memory, size, 0);
        made = rows_encoder_create(&arena, &(struct rows_options){.format = ROWS_CSV}, rows) != NULL;
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
        cmocka_unit_test(arrays_come_out_as_arrays),
        cmocka_unit_test(values_of_types_that_are_not_known_come_out_as_strings),
        cmocka_unit_test(names_of_columns_are_escaped_too),
        cmocka_unit_test(json_is_one_array_with_an_object_a_line),
        cmocka_unit_test(no_rows_are_an_empty_array_a_csv_head_and_no_lines),
        cmocka_unit_test(csv_tells_null_from_empty_and_quotes_what_needs_it),
        cmocka_unit_test(csv_values_have_the_form_of_json_without_its_quotes),
        cmocka_unit_test(rows_in_batches_make_the_same_answer_as_in_one),
        cmocka_unit_test(the_binary_form_makes_the_same_answer_as_the_text),
        cmocka_unit_test(a_string_that_comes_again_comes_out_again),
        cmocka_unit_test(an_answer_as_large_as_the_ceiling_fits_and_a_byte_less_does_not),
        cmocka_unit_test(a_leading_string_makes_the_same_answer_as_a_column_of_it),
        cmocka_unit_test(an_encoder_without_memory_is_not_made),
        cmocka_unit_test(each_format_has_its_media_type),
        cmocka_unit_test(single_values_are_null_number_or_string_by_their_type),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
