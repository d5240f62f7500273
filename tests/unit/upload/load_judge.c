/* The judgements of load_judge.c beside those of the server, which has the last word. */
#include "tests/unit/upload/lake.h"
#include "upload/load_private.h"

/* Does the server take `text` for the type? */
static bool server_takes(const char *text, const char *type)
{
    struct failure failure = {0};
    struct buffer sql;
    buffer_init(&sql, 8192);
    buffer_append_literal(&sql, "select ");
    postgres_append_literal(&sql, text_from_string(text));
    buffer_printf(&sql, "::%s", type);
    enum status status = postgres_session_script(lake.admin, buffer_c_string(&sql), &failure);
    buffer_free(&sql);
    return status == STATUS_OK;
}

static void a_uuid_is_what_the_server_takes_for_one(void **state)
{
    static const char *const texts[] = {"6f2d8b7e-0000-4000-8000-00000000000A",
                                        "{6F2D8B7E-0000-4000-8000-00000000000a}",
                                        "6f2d8b7e00004000800000000000000a",
                                        "6f2d-8b7e-0000-4000-8000-0000-0000-000a",
                                        "{6f2d8b7e00004000800000000000000a",
                                        "6f2d8b7e00004000800000000000000a}",
                                        "6f2d8b7e-0000-4000-8000-00000000000",
                                        "6f2d8b7e-0000-4000-8000-00000000000aa",
                                        "6f2d8b7e--0000-4000-8000-00000000000a",
                                        "6f2d8b7e-0000-4000-8000-00000000000a-",
                                        "6f-2d8b7e0000400080000000000000000a",
                                        "6f2d8b7e-0000-4000-8000-00000000000g",
                                        "{}",
                                        "{",
                                        ""};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char uuid[37], wanted[128];
        bool taken = load_judge_uuid(text_from_string(texts[i]), uuid);
        if (taken != server_takes(texts[i], "uuid"))
            fail_msg("%s", texts[i]);
        snprintf(wanted, sizeof(wanted), "select '%s'::uuid", texts[i]);
        if (taken)
            assert_string_equal(uuid, lake_value(wanted));
    }
}

static void a_number_fits_its_precision_as_the_server_rounds_it(void **state)
{
    static const struct {
        const char *type;
        int precision, scale;
    } types[] = {{"numeric(6,2)", 6, 2}, {"numeric(1)", 1, 0},     {"numeric(3,3)", 3, 3},
                 {"numeric(2,5)", 2, 5}, {"numeric(3,-2)", 3, -2}, {"numeric(30,10)", 30, 10}};
    static const char *const texts[] = {"0",
                                        "-0",
                                        "0.000",
                                        "9999.99",
                                        "9999.994",
                                        "9999.995",
                                        "-9999.9949999",
                                        "-9999.995",
                                        "1e4",
                                        "9.99e3",
                                        "1E+4",
                                        "0.01e6",
                                        "100000",
                                        "00009999",
                                        "0.999",
                                        "0.9994",
                                        "0.9995",
                                        "1",
                                        "9.4",
                                        "9.5",
                                        "9.49999",
                                        "10",
                                        "0.00099",
                                        "0.000994",
                                        "0.000996",
                                        "0.000995",
                                        "0.001",
                                        "99900",
                                        "99949",
                                        "99950",
                                        "99949.99",
                                        "12345",
                                        ".5",
                                        "5.",
                                        "-.5e1",
                                        "NaN",
                                        "Infinity",
                                        "-inf",
                                        "1e-300",
                                        "1e300",
                                        "0e999",
                                        "0.0e-99",
                                        "12345678901234567890.12345678905",
                                        "99999999999999999999.99999999995"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
            if (load_judge_numeric(text_from_string(texts[j]), types[i].precision, types[i].scale) !=
                server_takes(texts[j], types[i].type))
                fail_msg("%s as %s", texts[j], types[i].type);
}

static void a_number_fits_a_float_as_the_server_reads_it(void **state)
{
    static const char *const texts[] = {"0",
                                        "1",
                                        "-1.5",
                                        "1e38",
                                        "3.4e38",
                                        "3.5e38",
                                        "1e39",
                                        "1e308",
                                        "1.8e308",
                                        "1e999",
                                        "1e-37",
                                        "1e-45",
                                        "1e-46",
                                        "1e-50",
                                        "4.9e-324",
                                        "1e-325",
                                        "1e-999",
                                        "0e999",
                                        "NaN",
                                        "Infinity",
                                        "-1e309",
                                        "9999999999999999999999999999999999999999999",
                                        "0.00000000000000000000000000000000000000000000000001"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (int single = 0; single < 2; single++)
            if (load_judge_float(text_from_string(texts[i]), single) !=
                server_takes(texts[i], single ? "real" : "double precision"))
                fail_msg("%s as %s", texts[i], single ? "real" : "double precision");
}

static void labels_are_taken_byte_by_byte(void **state)
{
    struct arena arena;
    struct load_labels labels;
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_true(load_judge_labels(&arena, TEXT("4:sent4:held3:a:b5:\xc3\xa4\n,x"), &labels));
    assert_int_equal(labels.count, 4);
    assert_true(load_judge_is_label(&labels, TEXT("held")));
    assert_true(load_judge_is_label(&labels, TEXT("a:b")));
    assert_true(load_judge_is_label(&labels, TEXT("\xc3\xa4\n,x")));
    assert_false(load_judge_is_label(&labels, TEXT("hel")));
    assert_false(load_judge_is_label(&labels, TEXT("Held")));
    assert_false(load_judge_is_label(&labels, TEXT("")));
    assert_non_null(strstr(labels.words, "sent, held, a:b"));
    assert_true(load_judge_labels(&arena, TEXT(""), &labels));
    assert_false(load_judge_is_label(&labels, TEXT("")));
    assert_false(load_judge_labels(&arena, TEXT("9:short"), &labels));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uuid_is_what_the_server_takes_for_one),
        cmocka_unit_test(a_number_fits_its_precision_as_the_server_rounds_it),
        cmocka_unit_test(a_number_fits_a_float_as_the_server_reads_it),
        cmocka_unit_test(labels_are_taken_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, lake_setup, lake_teardown);
}
