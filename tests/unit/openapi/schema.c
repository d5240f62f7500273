#include "compiled.h"

static void keywords_are_compiled_in_whatever_order_they_stand(void **state)
{
    struct compiled compiled;
    compiled_open(&compiled,
                  "{default: 7, exclusiveMaximum: 10, multipleOf: 7, format: int64, minimum: -3, type: integer}");
    assert_non_null(compiled.schema);
    assert_int_equal(compiled.schema->types, SCHEMA_INTEGER);
    assert_int_equal(compiled.schema->format, SCHEMA_INT64);
    assert_int_equal(compiled.schema->minimum.whole, -3);
    assert_int_equal(compiled.schema->maximum.whole, 9);
    assert_true(compiled.schema->maximum.exclusive);
    assert_int_equal(compiled.schema->whole_multiple, 7);
    assert_int_equal(compiled.schema->default_value.integer, 7);
    compiled_close(&compiled);
}

static void bounds_are_exact_at_the_ends_of_int64(void **state)
{
    static const struct {
        const char *yaml;
        int64_t minimum, maximum;
    } cases[] = {
        {"{minimum: -9223372036854775808, maximum: 9223372036854775807}", INT64_MIN, INT64_MAX},
        {"{minimum: -1e300, maximum: 1e300}", INT64_MIN, INT64_MAX},
        {"{minimum: -0.5, maximum: 0.5}", 0, 0},
        {"{exclusiveMinimum: -1, exclusiveMaximum: 1}", 0, 0},
        {"{exclusiveMinimum: -1.5, exclusiveMaximum: 1.5}", -1, 1},
        {"{minimum: 9007199254740993, maximum: 9007199254740995}", 9007199254740993, 9007199254740995},
        {"{exclusiveMinimum: 9007199254740992, exclusiveMaximum: 9007199254740994}", 9007199254740993,
         9007199254740993},
        {"{exclusiveMinimum: -9223372036854775808, exclusiveMaximum: 9223372036854775807}", INT64_MIN + 1,
         INT64_MAX - 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct compiled compiled;
        compiled_open(&compiled, cases[i].yaml);
        assert_non_null(compiled.schema);
        assert_true(compiled.schema->minimum.whole == cases[i].minimum);
        assert_true(compiled.schema->maximum.whole == cases[i].maximum);
        compiled_close(&compiled);
    }
}

static void words_about_a_schema_are_no_keywords(void **state)
{
    struct compiled compiled;
    compiled_open(&compiled, "{title: t, description: d, example: 1, examples: [1], deprecated: true, readOnly: true, "
                             "writeOnly: false, $comment: c, x-own: {a: b}}");
    assert_non_null(compiled.schema);
    assert_int_equal(compiled.schema->types, 0);
    compiled_close(&compiled);
}

static void null_default_is_none(void **state)
{
    struct compiled compiled;
    compiled_open(&compiled, "{type: [string, \"null\"], default: null}");
    assert_non_null(compiled.schema);
    assert_false(compiled.schema->has_default);
    compiled_close(&compiled);
    compiled_open(&compiled, "{type: [string, \"null\"], default: \"null\"}");
    assert_non_null(compiled.schema);
    assert_true(compiled.schema->has_default);
    compiled_close(&compiled);
}

static void nesting_ends_at_32_schemas(void **state)
{
    for (int depth = 31; depth <= 33; depth++) {
        struct compiled compiled;
        char yaml[1024];
        size_t at = 0;
        for (int i = 1; i < depth; i++)
            at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "{items: ");
        at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "{}");
        for (int i = 1; i < depth; i++)
            at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "}");
        compiled_open(&compiled, yaml);
        assert_true((compiled.schema != NULL) == (depth <= 32));
        compiled_close(&compiled);
    }
}

static void types_are_named_for_people(void **state)
{
    char names[80], few[8];
    schema_name_types(127, names, sizeof(names));
    assert_string_equal(names, "string or integer or number or boolean or array or object or null");
    schema_name_types(SCHEMA_INTEGER | SCHEMA_NULL, few, sizeof(few));
    assert_string_equal(few, "integer");
}

static void length_counts_characters(void **state)
{
    assert_int_equal(schema_length(TEXT("")), 0);
    assert_int_equal(schema_length(TEXT("abc")), 3);
    assert_int_equal(schema_length(TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a")), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords_are_compiled_in_whatever_order_they_stand),
        cmocka_unit_test(bounds_are_exact_at_the_ends_of_int64),
        cmocka_unit_test(words_about_a_schema_are_no_keywords),
        cmocka_unit_test(null_default_is_none),
        cmocka_unit_test(nesting_ends_at_32_schemas),
        cmocka_unit_test(types_are_named_for_people),
        cmocka_unit_test(length_counts_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
