/* The pieces that validate.c's table of parameters does not reach one by one. */
#include "compiled.h"

static void text_that_is_already_decoded_is_not_decoded_again(void **state)
{
    struct compiled compiled;
    struct openapi_value value = {0};
    struct openapi_mistake mistake;
    compiled_open(&compiled, "{type: array, items: {type: string}}");
    assert_int_equal(schema_check_text(compiled.schema, TEXT("a%2Cb , c+d"), &compiled.arena, &value, &mistake),
                     STATUS_OK);
    assert_int_equal(value.count, 2);
    assert_true(text_equal(value.items[0].text, TEXT("a%2Cb")));
    assert_true(text_equal(value.items[1].text, TEXT("c+d")));
    assert_int_equal(schema_check_query(compiled.schema, TEXT("a%2Cb , c+d"), &compiled.arena, &value, &mistake),
                     STATUS_OK);
    assert_true(text_equal(value.items[0].text, TEXT("a,b ")));
    assert_true(text_equal(value.items[1].text, TEXT(" c d")));
    compiled_close(&compiled);
}

static void plain_text_is_used_where_it_stands(void **state)
{
    struct compiled compiled;
    struct openapi_mistake mistake;
    struct text plain = TEXT("plain"), escaped = TEXT("%70lain");
    const char *before = plain.data;
    compiled_open(&compiled, "{}");
    assert_int_equal(schema_decode_query(&plain, &compiled.arena, &mistake), STATUS_OK);
    assert_ptr_equal(plain.data, before);
    assert_int_equal(schema_decode_query(&escaped, &compiled.arena, &mistake), STATUS_OK);
    assert_true(text_equal(escaped, TEXT("plain")));
    compiled_close(&compiled);
}

static void long_enum_is_listed_as_far_as_it_fits(void **state)
{
    struct compiled compiled;
    char yaml[8192];
    size_t at = (size_t)snprintf(yaml, sizeof(yaml), "{type: string, enum: [");
    for (int i = 0; i < 200; i++)
        at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "alternative_%d, ", i);
    snprintf(yaml + at, sizeof(yaml) - at, "last]}");
    compiled_open(&compiled, yaml);
    struct openapi_value value = {0};
    struct openapi_mistake mistake;
    assert_int_equal(schema_check_text(compiled.schema, TEXT("x"), &compiled.arena, &value, &mistake), STATUS_INVALID);
    assert_int_equal(strlen(mistake.message), sizeof(mistake.message) - 1);
    assert_int_equal(schema_check_text(compiled.schema, TEXT("last"), &compiled.arena, &value, &mistake), STATUS_OK);
    compiled_close(&compiled);
}

static void text_past_its_length_is_marked_as_too_long_within_arrays_too(void **state)
{
    static const char *const schemas[] = {"{type: string, maxLength: 3}",
                                          "{type: array, items: {type: string, maxLength: 3}}"};
    for (size_t i = 0; i < 2; i++) {
        struct compiled compiled;
        struct openapi_value value = {0};
        struct openapi_mistake mistake = {0};
        compiled_open(&compiled, schemas[i]);
        assert_int_equal(schema_check_query(compiled.schema, TEXT("abcd"), &compiled.arena, &value, &mistake),
                         STATUS_INVALID);
        assert_true(mistake.too_long);
        compiled_close(&compiled);
    }
}

static void uuid_has_its_dashes_in_place(void **state)
{
    assert_true(schema_is_uuid(TEXT("00000000-0000-0000-0000-000000000000")));
    assert_true(schema_is_uuid(TEXT("FFFFffff-0a9A-0000-0000-000000000000")));
    assert_false(schema_is_uuid(TEXT("{0000000-0000-0000-0000-00000000000}")));
    assert_false(schema_is_uuid(TEXT("000000000000-0000-0000-000000000000-")));
    assert_false(schema_is_uuid(TEXT("00000000-0000-0000-0000-00000000000")));
    assert_false(schema_is_uuid(TEXT("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_already_decoded_is_not_decoded_again),
        cmocka_unit_test(plain_text_is_used_where_it_stands),
        cmocka_unit_test(long_enum_is_listed_as_far_as_it_fits),
        cmocka_unit_test(text_past_its_length_is_marked_as_too_long_within_arrays_too),
        cmocka_unit_test(uuid_has_its_dashes_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
