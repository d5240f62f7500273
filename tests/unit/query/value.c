/* What value_append_json makes of a value's text is what the server's own to_json prints of the value, byte for byte:
 * for every type of pg_catalog alone, in arrays, in composites, in domains and in each other. */
#include "query/value.h"

#include "base/arena.h"
#include "base/json.h"
#include "tests/unit/query/warehouse.h"

static struct postgres_session *session;
static struct arena arena;

static int set_up(void **state)
{
    warehouse_start();
    session = warehouse_open("postgres", "postgres");
    arena_init(&arena, NULL, 0, 64 << 20);
    /* As api/worker.c has them. */
    warehouse_script(
        session,
        "set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres';set bytea_output = hex; set "
        "extra_float_digits = 1; create type mood as enum ('so so', 'it''s \"good\"', '', 'ÄÖ,{}()')");
    return 0;
}

static int tear_down(void **state)
{
    arena_free(&arena);
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

/* Descriptions of types that are not built in, as the catalog's reader makes them. */
struct description {
    struct type type;
    uint32_t base, element;
    char kind;
    size_t count;
    char names[8][64];
    uint32_t oids[8];
};

static uint32_t number_at(const struct postgres_rows *rows, size_t row, size_t column)
{
    struct text value = postgres_rows_value(rows, row, column);
    return value.data != NULL ? (uint32_t)strtoul(value.data, NULL, 10) : 0;
}

static void read_description(void *context, const struct postgres_rows *rows)
{
    struct description *description = context;
    assert_true(postgres_rows_count(rows) > 0 && postgres_rows_count(rows) <= 8);
    description->kind = postgres_rows_value(rows, 0, 0).data[0];
    description->base = number_at(rows, 0, 1);
    description->element = number_at(rows, 0, 2);
    description->type.delimiter = postgres_rows_value(rows, 0, 3).data[0];
    for (size_t i = 0; i < postgres_rows_count(rows) && postgres_rows_value(rows, i, 4).data != NULL; i++) {
        snprintf(description->names[i], sizeof(description->names[i]), "%s", postgres_rows_value(rows, i, 4).data);
        description->oids[i] = number_at(rows, i, 5);
        description->count = i + 1;
    }
}

static const struct type *describe(uint32_t oid)
{
    const struct type *known = type_builtin(oid);
    if (known != NULL)
        return known;
    struct failure failure = {0};
    char sql[1024];
    struct description *d = arena_calloc(&arena, 1, sizeof(*d));
    snprintf(sql, sizeof(sql),
             "select t.typtype, t.typbasetype, case when t.typsubscript = 'array_subscript_handler'::regproc then "
             "t.typelem else 0 end, coalesce(e.typdelim, ','), a.attname, a.atttypid from pg_type t left join pg_type "
             "e on e.oid = t.typelem left join pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0 and not "
             "a.attisdropped where t.oid = %u order by a.attnum",
             oid);
    assert_int_equal(postgres_session_query(session, sql, 0, NULL, read_description, d, &failure), STATUS_OK);
    if (d->kind == 'd') {
        d->type = *describe(d->base);
    } else if (d->kind == 'c') {
        struct type_field *fields = arena_calloc(&arena, d->count + 1, sizeof(*fields));
        for (size_t i = 0; i < d->count; i++)
            fields[i] = (struct type_field){text_from_string(d->names[i]), describe(d->oids[i])};
        d->type.kind = TYPE_COMPOSITE;
        d->type.fields = fields;
        d->type.field_count = d->count;
    } else if (d->element != 0) {
        d->type.kind = TYPE_ARRAY;
        d->type.element = describe(d->element);
    }
    d->type.oid = oid;
    return &d->type;
}

struct answer {
    size_t count;
    uint32_t oids[64];
    char *values[64], *wanted[64];
};

static void keep_answer(void *context, const struct postgres_rows *rows)
{
    struct answer *answer = context;
    answer->count = postgres_rows_columns(rows) / 2;
    for (size_t i = 0; i < answer->count; i++) {
        struct text value = postgres_rows_value(rows, 0, i * 2), wanted = postgres_rows_value(rows, 0, i * 2 + 1);
        answer->oids[i] = postgres_rows_type(rows, i * 2);
        answer->values[i] = value.data != NULL ? strdup(value.data) : NULL;
        answer->wanted[i] = wanted.data != NULL ? strdup(wanted.data) : NULL;
    }
}

static size_t compared;

/* `sql` selects pairs: a value, and its to_json as text. */
static void expect_pairs(const char *sql)
{
    struct failure failure = {0};
    struct answer answer = {0};
    if (postgres_session_query(session, sql, 0, NULL, keep_answer, &answer, &failure) != STATUS_OK)
        fail_msg("%s\nin: %s", failure.message, sql);
    assert_true(answer.count > 0);
    for (size_t i = 0; i < answer.count; i++) {
        struct buffer out;
        buffer_init(&out, 1 << 20);
        if (answer.values[i] == NULL) {
            assert_null(answer.wanted[i]);
            continue;
        }
        struct text value = text_from_string(answer.values[i]);
        if (!value_append_json(&out, describe(answer.oids[i]), value))
            fail_msg("type %u: %s is said to be of another form\nin: %s", answer.oids[i], answer.values[i], sql);
        if (!text_equal(buffer_text(&out), text_from_string(answer.wanted[i])))
            fail_msg("type %u: made %s, the server %s\nof: %s\nin: %s", answer.oids[i], buffer_c_string(&out),
                     answer.wanted[i], answer.values[i], sql);
        compared++;
        free(answer.values[i]);
        free(answer.wanted[i]);
        buffer_free(&out);
    }
}

/* For each type of pg_catalog that a table may have: some of its values, as literals. */
static const struct sample {
    const char *type, *values[8];
} samples[] = {
    {"bool", {"t", "f"}},
    {"bytea", {"", "\\x00ff5c22", "abc"}},
    {"\"char\"", {"a", "", "\"", "\\", "{", ",", " "}},
    {"name", {"", "a b", "it''s", "\"q\"", "NULL", "null", "{},()"}},
    {"int8", {"-9223372036854775808", "9223372036854775807", "0"}},
    {"int2", {"-32768", "7"}},
    {"int2vector", {"", "1", "1 -2 3"}},
    {"int4", {"-2147483648", "42"}},
    {"regproc", {"now", "0"}},
    {"text",
     {"", "NULL", "a,b", "q\"\\q", " {lead (tail)} ", "tab\tline\nfeed\rback\bform\f\x01\x1f\x7f", "Zoë 😀 /",
      "''; drop table x --"}},
    {"oid", {"0", "4294967295"}},
    {"tid", {"(0,1)", "(4294967295,65535)"}},
    {"xid", {"0", "4294967295"}},
    {"cid", {"7"}},
    {"oidvector", {"", "1 4294967295"}},
    {"json", {"null", "{\"a\":[1, 2, \"x\\\"y\"], \"a\": 1e5}", "\"s\"", "  7 ", "[]"}},
    {"xml", {"<a b=\"c\">d,e</a>", "x"}},
    {"xid8", {"18446744073709551615"}},
    {"point", {"(1,2)", "(-1e300,NaN)"}},
    {"lseg", {"[(1,2),(3,4)]"}},
    {"path", {"((1,2),(3,4))", "[(1,2),(3,4)]"}},
    {"box", {"(1,2),(0,0)", "(Infinity,2),(0.1,0)"}},
    {"polygon", {"((1,2),(3,4),(5,6))"}},
    {"line", {"{1,2,3}"}},
    {"cidr", {"10.0.0.0/8", "2001:db8::/32"}},
    {"float4", {"NaN", "-Infinity", "0.1", "3.4028235e38", "1e-45", "-0"}},
    {"float8", {"NaN", "Infinity", "0.1", "1.7976931348623157e308", "5e-324", "-0", "1e15", "1e16"}},
    {"circle", {"<(1,2),3>"}},
    {"money", {"-1234.5", "0", "1000000"}},
    {"macaddr", {"08:00:2b:01:02:03"}},
    {"inet", {"10.1.2.3", "10.1.2.3/8", "::ffff:1.2.3.4"}},
    {"macaddr8", {"08:00:2b:01:02:03:04:05"}},
    {"aclitem", {"postgres=r/postgres", "=a*/postgres"}},
    {"bpchar", {"", "a  ", "x,y"}},
    {"char(5)", {"", "a", "\"\\"}},
    {"varchar", {"", "a b", "NULL"}},
    {"date", {"2024-02-29", "0044-03-15 BC", "infinity", "-infinity", "12345-06-07"}},
    {"time", {"00:00", "23:59:59.999999", "24:00"}},
    {"timestamp",
     {"2024-02-29 12:00:00.5", "0044-03-15 11:22:33.000001 BC", "infinity", "-infinity", "12345-06-07 01:02:03",
      "1999-12-31"}},
    {"timestamptz",
     {"2024-02-29 12:00:00.5+03", "0044-03-15 11:22:33 BC", "infinity", "-infinity", "12345-06-07 01:02:03"}},
    {"interval", {"1 year -2 mons 3 days 04:05:06.789", "0", "-1 sec"}},
    {"timetz", {"04:05:06+00", "23:59:59.999999-15:59", "04:05:06+05:30"}},
    {"bit(4)", {"1010"}},
    {"varbit", {"", "1", "10101"}},
    {"numeric", {"NaN", "Infinity", "-Infinity", "0.00", "-0.000000000000000000000001", "12345678901234567890.125"}},
    {"numeric(6,2)", {"1", "-1234.5"}},
    {"refcursor", {"", "c 1"}},
    {"regprocedure", {"upper(text)", "0"}},
    {"regoper", {"0", "||/"}},
    {"regoperator", {"+(integer,integer)", "0"}},
    {"regclass", {"pg_class", "0", "12345678"}},
    {"regcollation", {"\"C\"", "0"}},
    {"regtype", {"integer", "timestamp with time zone", "int4[]"}},
    {"regrole", {"postgres", "0"}},
    {"regnamespace", {"pg_catalog", "0"}},
    {"regconfig", {"english", "0"}},
    {"regdictionary", {"simple", "0"}},
    {"uuid", {"00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}},
    {"pg_lsn", {"0/0", "16/B374D848"}},
    {"tsvector", {"", "''it''''s'':1A,2 b:3", "a b c"}},
    {"tsquery", {"", "fat & (rat:ab | ''x y'')", "!a <-> b"}},
    {"jsonb", {"null", "{\"a\": [1, 2.50, \"x\\\"y\\u00e9\"], \"b\": {}}", "\"s\"", "7", "[]"}},
    {"jsonpath", {"$.a[*] ? (@.b > 1)"}},
    {"txid_snapshot", {"10:20:10,14,15"}},
    {"pg_snapshot", {"10:20:10,14,15", "10:10:"}},
    {"int4range", {"empty", "[1,5)", "(,)"}},
    {"numrange", {"[1.50,2)", "empty"}},
    {"tsrange", {"[2024-01-01,2024-02-01 12:00)", "(,infinity]"}},
    {"tstzrange", {"[2024-01-01 00:00+02,)"}},
    {"daterange", {"[2024-01-01,2024-02-01)", "empty"}},
    {"int8range", {"[-1,)"}},
    {"int4multirange", {"{}", "{[1,3),[5,8)}"}},
    {"nummultirange", {"{[1.5,2],[3,3]}"}},
    {"tsmultirange", {"{[2024-01-01,2024-01-02]}"}},
    {"tstzmultirange", {"{}", "{[2024-01-01,2024-01-02]}"}},
    {"datemultirange", {"{[2024-01-01,2024-01-05)}"}},
    {"int8multirange", {"{(,5),[9,)}"}},
    {"mood", {"so so", "it''s \"good\"", "", "ÄÖ,{}()"}},
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* With the value, its backslashes doubled, in the place of %s. */
static void expect_with(const char *sql, const char *value)
{
    struct buffer whole;
    const char *hole = strstr(sql, "%s");
    buffer_init(&whole, 1 << 16);
    buffer_append(&whole, sql, (size_t)(hole - sql));
    for (; *value != '\0'; value++)
        buffer_append(&whole, *value == '\\' ? "\\\\" : value, *value == '\\' ? 2 : 1);
    buffer_append_string(&whole, hole + 2);
    expect_pairs(buffer_c_string(&whole));
    buffer_free(&whole);
}

static void every_type_alone_and_nested_is_what_to_json_prints(void **state)
{
    compared = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        const char *type = samples[i].type;
        char sql[4096];
        snprintf(
            sql, sizeof(sql),
            "create domain d%zu as %s; create domain da%zu as %s[]; create type c%zu as (\"a b\" %s, \"q\"\"\" %s[], d "
            "d%zu, e int); create domain dc%zu as c%zu; create type cc%zu as (x c%zu, y c%zu[], z da%zu, v dc%zu)",
            i, type, i, type, i, type, type, i, i, i, i, i, i, i, i);
        warehouse_script(session, sql);
        for (size_t k = 0; k < 8 && samples[i].values[k] != NULL; k++) {
            const char *value = samples[i].values[k];
            snprintf(sql, sizeof(sql),
                     "with s as (select e'%%s'::%s as v), c as (select v, row(v, array[v, null, v], v, null)::c%zu as "
                     "c from s), x as (select v as a, v::d%zu as b, array[v] as c, array[v, null] as d, array[array[v, "
                     "null], array[null, v]] as e, array[v]::d%zu[] as f, array[v, v]::da%zu as g, array[v, v]::d%zu[] "
                     "as h, c as i, array[c, null, c] as j, c::dc%zu as k, row(c, array[c], array[v], c)::cc%zu as l, "
                     "array[row(c, array[c, c], null, null)::cc%zu] as m from c) select a, to_json(a)::text, b, "
                     "to_json(b)::text, c, to_json(c)::text, d, to_json(d)::text, e, to_json(e)::text, f, "
                     "to_json(f)::text, g, to_json(g)::text, h, to_json(h)::text, i, to_json(i)::text, j, "
                     "to_json(j)::text, k, to_json(k)::text, l, to_json(l)::text, m, to_json(m)::text from x",
                     type, i, i, i, i, i, i, i, i);
            expect_with(sql, value);
        }
    }
    assert_true(compared > 2500);
}

static void no_type_of_the_catalog_is_left_out(void **state)
{
    struct buffer sql;
    buffer_init(&sql, 1 << 16);
    buffer_append_string(
        &sql,
        "select string_agg(typname, ' ') from pg_type where typnamespace = 'pg_catalog'::regnamespace and typtype in "
        "('b', 'r', 'm') and typcategory <> 'A' and typname not in ('pg_node_tree', 'gtsvector', 'pg_ndistinct', "
        "'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary') and oid not in (0");
    for (size_t i = 0; i < SAMPLES; i++)
        buffer_printf(&sql, ", '%s'::regtype", samples[i].type);
    buffer_append_char(&sql, ')');
    char *left = warehouse_value(session, buffer_c_string(&sql));
    assert_string_equal(left, "(null)");
    free(left);
    buffer_free(&sql);
}

static void bounds_of_arrays_are_left_out_and_all_dimensions_are_kept(void **state)
{
    expect_pairs("select a, to_json(a)::text, b, to_json(b)::text, c, to_json(c)::text, d, to_json(d)::text from "
                 "(select '[0:1]={1,2}'::int[] a, '[-3:-2][7:8]={{\"a]=\",b},{c,NULL}}'::text[] b, '{}'::int[] c, "
                 "'{{{{{{1}}}}}}'::numeric[] d) x");
    expect_pairs("select a, to_json(a)::text, b, to_json(b)::text from (select '[2:3]={\"(1,1),(0,0)\";NULL}'::box[] "
                 "a, array['', '1 2']::int2vector[] b) x");
}

static void domains_over_arrays_and_enums_are_what_they_are_over(void **state)
{
    warehouse_script(session,
                     "create domain list as int[]; create domain listing as list; create domain feeling as mood");
    expect_pairs("select a, to_json(a)::text, b, to_json(b)::text, c, to_json(c)::text from (select "
                 "'{\"{1,NULL}\",NULL,\"{}\"}'::list[] a, '{{\"{{1},{2}}\"}}'::listing[] b, array['so so', "
                 "null]::feeling[] c) x");
}

static void composites_without_columns_with_one_null_and_with_dropped_ones_differ(void **state)
{
    warehouse_script(session, "create type nothing as (); create type one as (a text); create table held (a int, b "
                              "text, c int[]); alter table held drop column b");
    expect_pairs("select a, to_json(a)::text, b, to_json(b)::text, c, to_json(c)::text, d, to_json(d)::text from "
                 "(select row()::nothing a, row(null)::one b, row('')::one c, row(1, '{2}')::held d) x");
    expect_pairs("select a, to_json(a)::text, b, to_json(b)::text from (select array[row(null)::one, "
                 "row('(a,\"b)')::one] a, array[row()::nothing] b) x");
}

static void lines_of_json_become_spaces_wherever_it_stands(void **state)
{
    struct buffer out;
    buffer_init(&out, 4096);
    assert_true(value_append_json(&out, type_builtin(114), TEXT("{\n\"a\":\r\n1}")));
    assert_true(value_append_json(&out, type_builtin(199), TEXT("{\"[1,\n2]\",NULL}")));
    assert_string_equal(buffer_c_string(&out), "{ \"a\":  1}[[1, 2],null]");
    buffer_free(&out);
}

static void a_text_of_another_form_is_a_string_and_said_to_be_one(void **state)
{
    static const struct type_field fields[] = {{{"a", 1}, NULL}, {{"b", 1}, NULL}};
    struct type_field two[] = {fields[0], fields[1]};
    two[0].type = two[1].type = type_builtin(23);
    const struct type composite = {.kind = TYPE_COMPOSITE, .fields = two, .field_count = 2};
    static const char *const wrong_arrays[] = {"",     "{",      "{1",     "{1,}",  "{,1}", "{1}x",   "1",       "{{1}",
                                               "{\"1", "{1\\2}", "{a}{b}", "[0:1]", "{1}}", "{1,{2}", "{\"1\"2}"};
    static const char *const wrong_rows[] = {"",     "(",   "()",     "(1)",     "(1,2,3)",
                                             "(1,2", "1,2", "(1,2)x", "(\"1,2)", "(x,2)"};
    static const char *const wrong_numbers[] = {"",    "-",   "01", "1.", ".5",  "1e",
                                                "0x1", "nan", "1 ", "+1", "1e+", "--1"};
    const struct {
        const struct type *type;
        const char *const *values;
        size_t count;
    } sets[] = {{type_builtin(1007), wrong_arrays, sizeof(wrong_arrays) / sizeof(wrong_arrays[0])},
                {&composite, wrong_rows, sizeof(wrong_rows) / sizeof(wrong_rows[0])},
                {type_builtin(1700), wrong_numbers, sizeof(wrong_numbers) / sizeof(wrong_numbers[0])},
                {type_builtin(16), wrong_numbers, 1},
                {type_builtin(1184), (const char *const[]){"2024\"", ""}, 2}};
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        for (size_t k = 0; k < sets[i].count; k++) {
            struct buffer out, wanted;
            buffer_init(&out, 4096);
            buffer_init(&wanted, 4096);
            struct text value = text_from_string(sets[i].values[k]);
            json_append_string(&wanted, value);
            if (value_append_json(&out, sets[i].type, value))
                fail_msg("taken: %s", sets[i].values[k]);
            assert_string_equal(buffer_c_string(&out), buffer_c_string(&wanted));
            buffer_free(&out);
            buffer_free(&wanted);
        }
}

static void what_lies_deeper_than_the_limit_is_a_string(void **state)
{
    struct type types[2 * VALUE_MAX_DEPTH];
    memset(types, 0, sizeof(types));
    size_t count = sizeof(types) / sizeof(types[0]);
    struct type_field fields[2 * VALUE_MAX_DEPTH];
    for (size_t i = 0; i + 1 < count; i++) {
        fields[i] = (struct type_field){{"a", 1}, &types[i + 1]};
        types[i].kind = TYPE_COMPOSITE;
        types[i].fields = &fields[i];
        types[i].field_count = 1;
    }
    types[count - 1].kind = TYPE_STRING;
    struct buffer out;
    buffer_init(&out, 1 << 16);
    /* Only the server can write such a thing without its quotes doubling at each step: here the innermost is at hand.
     */
    assert_true(value_append_json(&out, &types[count - 2], TEXT("(x)")));
    assert_string_equal(buffer_c_string(&out), "{\"a\":\"x\"}");
    buffer_clear(&out);
    const struct type self = {.kind = TYPE_ARRAY, .delimiter = ',', .element = &self};
    assert_true(value_append_json(&out, &self, TEXT("{\"{\\\"{}\\\"}\"}")));
    assert_string_equal(buffer_c_string(&out), "[[[]]]");
    buffer_clear(&out);
    struct buffer braces;
    buffer_init(&braces, 1 << 16);
    for (size_t i = 0; i < 100000 / 2; i++)
        buffer_append_char(&braces, '{');
    assert_false(value_append_json(&out, type_builtin(1007), buffer_text(&braces)));
    assert_int_equal(out.size, braces.size + 2);
    buffer_free(&braces);
    buffer_free(&out);
}

static void expect_field(uint32_t oid, const char *value, const char *wanted)
{
    struct buffer out;
    buffer_init(&out, 4096);
    value_append_csv(&out, type_builtin(oid), text_from_string(value));
    assert_string_equal(buffer_c_string(&out), wanted);
    buffer_free(&out);
}

static void fields_of_csv_are_bare_but_where_they_need_quotes(void **state)
{
    expect_field(25, "", "\"\"");
    expect_field(25, "NULL", "NULL");
    expect_field(25, "a,b", "\"a,b\"");
    expect_field(25, "long enough to be looked at by words", "long enough to be looked at by words");
    expect_field(25, "long enough to be looked at by words,", "\"long enough to be looked at by words,\"");
    expect_field(25, "12345678\n", "\"12345678\n\"");
    expect_field(25, "\r2345678", "\"\r2345678\"");
    expect_field(25, "say \"twelve\"", "\"say \"\"twelve\"\"\"");
    expect_field(1700, "NaN", "NaN");
    expect_field(1184, "2024-02-29 12:00:00+00", "2024-02-29T12:00:00+00:00");
    expect_field(1184, "infinity", "infinity");
    expect_field(16, "t", "true");
    expect_field(1007, "{1,NULL}", "\"[1,null]\"");
    expect_field(1009, "{a,\"b \\\"c\"}", "\"[\"\"a\"\",\"\"b \\\"\"c\"\"]\"");
    expect_field(1007, "{1}", "[1]");
    expect_field(3904, "[1,5)", "\"[1,5)\"");
    expect_field(3802, "{\"a\": 1}", "\"{\"\"a\"\": 1}\"");
}

static void a_full_buffer_is_a_failure_and_nothing_else(void **state)
{
    for (size_t ceiling = 1; ceiling < 40; ceiling++) {
        struct buffer out;
        buffer_init(&out, ceiling);
        (void)value_append_json(&out, type_builtin(1009), TEXT("{\"a\\\"bcdefgh\",{b},c,NULL,\"{}\",0123456789}"));
        value_append_csv(&out, type_builtin(1009), TEXT("{\"a\\\"b\",b,c,NULL,\"{}\",0123456789,0123456789}"));
        assert_true(out.failed);
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_alone_and_nested_is_what_to_json_prints),
        cmocka_unit_test(no_type_of_the_catalog_is_left_out),
        cmocka_unit_test(bounds_of_arrays_are_left_out_and_all_dimensions_are_kept),
        cmocka_unit_test(domains_over_arrays_and_enums_are_what_they_are_over),
        cmocka_unit_test(composites_without_columns_with_one_null_and_with_dropped_ones_differ),
        cmocka_unit_test(lines_of_json_become_spaces_wherever_it_stands),
        cmocka_unit_test(a_text_of_another_form_is_a_string_and_said_to_be_one),
        cmocka_unit_test(what_lies_deeper_than_the_limit_is_a_string),
        cmocka_unit_test(fields_of_csv_are_bare_but_where_they_need_quotes),
        cmocka_unit_test(a_full_buffer_is_a_failure_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
