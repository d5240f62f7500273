/* What the server takes is never refused before it gets there; what surely is wrong is. */
#include "query/select_private.h"

#include "tests/unit/query/shop.h"

static struct postgres_session *session;

static int open_server(void **state)
{
    warehouse_start();
    session = warehouse_open("postgres", "postgres");
    return 0;
}

static int close_server(void **state)
{
    postgres_session_close(session);
    warehouse_stop();
    return 0;
}

static const struct {
    uint32_t oid;
    const char *sql;
} types[] = {{21, "select $1::int2"},      {23, "select $1::int4"},    {20, "select $1::int8"},
             {1700, "select $1::numeric"}, {700, "select $1::float4"}, {701, "select $1::float8"},
             {16, "select $1::boolean"},   {2950, "select $1::uuid"},  {1082, "select $1::date"}};

static const char *const values[] = {"",
                                     " ",
                                     "0",
                                     "-0",
                                     "+0",
                                     "1",
                                     "-1",
                                     " 1",
                                     "1 ",
                                     "\t1\n",
                                     "\v\f\r1",
                                     "- 1",
                                     "+-1",
                                     "1.",
                                     ".5",
                                     ".",
                                     "-.5e3",
                                     "1e",
                                     "1e5",
                                     "1E+5",
                                     "1e-5",
                                     "1e+",
                                     "1e5.5",
                                     "1.5",
                                     "1,5",
                                     "1 000",
                                     "007",
                                     "00000000000000000000000000000012",
                                     "32767",
                                     "32768",
                                     "-32768",
                                     "-32769",
                                     "2147483647",
                                     "2147483648",
                                     "-2147483648",
                                     "-2147483649",
                                     "9223372036854775807",
                                     "9223372036854775808",
                                     "-9223372036854775808",
                                     "-9223372036854775809",
                                     "99999999999999999999999999",
                                     "1e400",
                                     "1e-400",
                                     "1e40",
                                     "0x1F",
                                     "0x1p3",
                                     "0b11",
                                     "1_000",
                                     "NaN",
                                     "nan",
                                     " NaN ",
                                     "-NaN",
                                     "+nan",
                                     "nan(1)",
                                     "inf",
                                     "Infinity",
                                     "-Infinity",
                                     "+inf",
                                     "-infinity",
                                     "infin",
                                     "infinityx",
                                     "t",
                                     "T",
                                     "tr",
                                     "true",
                                     "TRUE",
                                     " true ",
                                     "truex",
                                     "f",
                                     "false",
                                     "fal",
                                     "y",
                                     "yes",
                                     "ye",
                                     "n",
                                     "no",
                                     "nope",
                                     "o",
                                     "on",
                                     "of",
                                     "off",
                                     "offf",
                                     "10",
                                     "01",
                                     "abc",
                                     "null",
                                     "NULL",
                                     "00000000-0000-0000-0000-000000000001",
                                     "{00000000-0000-0000-0000-000000000001}",
                                     "00000000000000000000000000000001",
                                     "0000-0000-0000-0000-0000-0000-0000-0001",
                                     "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                                     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
                                     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
                                     "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                     " 00000000-0000-0000-0000-000000000001",
                                     "2021-10-31",
                                     " 2021-10-31 ",
                                     "2021-02-29",
                                     "2020-02-29",
                                     "1900-02-29",
                                     "2000-02-29",
                                     "2021-13-01",
                                     "2021-00-01",
                                     "2021-01-00",
                                     "2021-01-32",
                                     "2021-04-31",
                                     "0000-01-01",
                                     "2021-1-2",
                                     "20211031",
                                     "211031",
                                     "2021.123",
                                     "2021-Oct-31",
                                     "31-Oct-2021",
                                     "Oct 31 2021",
                                     "October 31, 2021",
                                     "10/31/2021",
                                     "31/10/2021",
                                     "2021-10-31 BC",
                                     "2021-10-31T12:00:00Z",
                                     "2021-10-31 12:00",
                                     "J2451187",
                                     "today",
                                     "TODAY",
                                     "tomorrow",
                                     "yesterday",
                                     "now",
                                     "epoch",
                                     "Epoch ",
                                     "allballs",
                                     "monday",
                                     "2021-10",
                                     "2021",
                                     "y2021m10d31",
                                     "Sunday, 31 October 2021",
                                     "99999-01-01",
                                     "10000000-01-01",
                                     "-1-01-01",
                                     "2021-W43-7",
                                     "2021-304",
                                     "ä",
                                     "１"};

static void what_the_server_takes_passes(void **state)
{
    for (size_t type = 0; type < sizeof(types) / sizeof(types[0]); type++)
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            struct text value = text_from_string(values[i]);
            bool taken = postgres_session_query(session, types[type].sql, 1, &value, NULL, NULL, NULL) == STATUS_OK;
            const char *expected = select_check(type_builtin(types[type].oid), value);
            if (taken && expected != NULL)
                fail_msg("%s with \"%s\" is taken by the server and refused here", types[type].sql, values[i]);
        }
}

static void what_surely_is_wrong_is_refused(void **state)
{
    static const struct {
        uint32_t oid;
        const char *value;
    } wrong[] = {{23, "abc"},
                 {23, ""},
                 {23, "1.5"},
                 {23, "2147483648"},
                 {21, "32768"},
                 {21, "-32769"},
                 {20, "9223372036854775808"},
                 {20, "1e3"},
                 {23, "- 1"},
                 {1700, "1,5"},
                 {1700, ""},
                 {701, "x"},
                 {700, "1e"},
                 {16, "maybe"},
                 {16, "o"},
                 {16, ""},
                 {2950, "1"},
                 {2950, ""},
                 {1082, "abc"},
                 {1082, "2021-13-01"},
                 {1082, "2021-02-29"},
                 {1082, ""}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (select_check(type_builtin(wrong[i].oid), text_from_string(wrong[i].value)) == NULL)
            fail_msg("\"%s\" passes as type %u", wrong[i].value, wrong[i].oid);
}

static void of_other_types_and_unknown_ones_the_server_judges(void **state)
{
    assert_null(select_check(NULL, TEXT("x")));
    assert_null(select_check(type_builtin(25), TEXT("x")));
    assert_null(select_check(type_builtin(1184), TEXT("x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_server_takes_passes),
        cmocka_unit_test(what_surely_is_wrong_is_refused),
        cmocka_unit_test(of_other_types_and_unknown_ones_the_server_judges),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
