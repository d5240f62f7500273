#include "fixture.h"

/* `schema` of POST /x, a body, and the mistake: "field|words", or NULL when it fits. */
static const struct body_case {
    const char *schema, *body, *mistake;
} cases[] = {
    {"{}", "1", NULL},
    {"{}", "null", NULL},
    {"{}", " {\"a\": [1, {}]}\n", NULL},
    {"{}", "", "|is empty"},
    {"{}", " ", "|is no JSON"},
    {"{}", "{", "|line 1"},
    {"{}", "{\n\"a\": }", "|line 2, column"},
    {"{}", "1 2", "|is no JSON"},
    {"{}", "{\"a\": 1,}", "|is no JSON"},
    {"{}", "nul", "|is no JSON"},
    {"{}", "NaN", "|is no JSON"},
    {"{}", "\"\xff\"", "|is no JSON"},
    {"{}", "\"a\\u0000b\"", "|\\u0000"},
    {"{}", "{\"a\\u0000b\": 1}", "|\\u0000"},
    {"{}", "\"\\ud800\"", "|is no JSON"},
    {"{}", "{\"a\": 1, \"a\": 2}", "|twice"},
    {"{}", "1e999", "|beyond"},
    {"{}", "1234567890123456789012345678901234567890", "|beyond 64 bits"},
    /* types */
    {"{type: string}", "1", "|wrong type; needed is string"},
    {"{type: [string, \"null\"]}", "null", NULL},
    {"{type: [string, \"null\"]}", "true", "|string or null"},
    {"{type: integer}", "1.0", NULL},
    {"{type: integer}", "1.5", "|integer"},
    {"{type: integer}", "1e18", NULL},
    {"{type: integer}", "1e19", "|within 64 bits"},
    {"{type: integer}", "-1e300", "|within 64 bits"},
    {"{type: number}", "1", NULL},
    {"{type: number}", "\"1\"", "|number"},
    {"{type: boolean}", "0", "|boolean"},
    {"{type: object}", "[]", "|object"},
    /* bounds, exactly */
    {"{type: integer, maximum: 9007199254740992}", "9007199254740993", "|at most 9007199254740992"},
    {"{type: integer, minimum: 9007199254740993}", "9007199254740992", "|at least 9007199254740993"},
    {"{type: number, maximum: 9007199254740992}", "9007199254740993", "|at most"},
    {"{type: integer, format: int32}", "2147483648", "|32 bits"},
    {"{type: integer, format: int32}", "2147483648.0", "|32 bits"},
    {"{type: number, exclusiveMinimum: 0}", "0", "|more than 0"},
    {"{type: number, exclusiveMinimum: 0}", "1e-9", NULL},
    {"{type: number, minimum: 0.5}", "0", "|at least 0.5"},
    {"{type: integer, multipleOf: 3}", "10", "|multiple of 3"},
    {"{type: integer, multipleOf: 3}", "9.0", NULL},
    /* strings */
    {"{type: string, format: date}", "\"2024-02-30\"", "|calendar"},
    {"{type: string, format: uuid}", "\"x\"", "|UUID"},
    {"{type: string, maxLength: 1}", "\"\\u00e9\"", NULL},
    {"{type: string, maxLength: 1}", "\"ab\"", "|at most 1"},
    {"{type: string, pattern: ^a$}", "\"b\"", "|^a$"},
    {"{pattern: ^a$}", "1", NULL},
    /* enum and const */
    {"{enum: [a, 1, 1.5, true, null]}", "\"a\"", NULL},
    {"{enum: [a, 1, 1.5, true, null]}", "1", NULL},
    {"{enum: [a, 1, 1.5, true, null]}", "1.0", NULL},
    {"{enum: [a, 1, 1.5, true, null]}", "1.5", NULL},
    {"{enum: [a, 1, 1.5, true, null]}", "true", NULL},
    {"{enum: [a, 1, 1.5, true, null]}", "null", NULL},
    {"{enum: [a, 1, 1.5, true, null]}", "\"1\"", "|one of a, 1, 1.5, true, null"},
    {"{enum: [a, 1, 1.5, true, null]}", "false", "|one of"},
    {"{enum: [a, 1, 1.5, true, null]}", "{}", "|one of"},
    {"{enum: [a]}", "null", "|must be a|"},
    {"{const: 9007199254740993}", "9007199254740992", "|must be 9007199254740993"},
    /* objects */
    {"{type: object, required: [a]}", "{\"b\": 1}", "|member a is missing"},
    {"{properties: {a: {type: object, required: [b]}}}", "{\"a\": {}}", "/a|member b is missing"},
    {"{properties: {a: {type: string}}}", "{\"a\": 1, \"b\": 1}", "/a|string"},
    {"{properties: {a: {type: string}}}", "{\"b\": 1}", NULL},
    {"{properties: {a: {}}, additionalProperties: false}", "{\"b\": 1}", "/b|not a known member"},
    {"{additionalProperties: true}", "{\"b\": 1}", NULL},
    {"{additionalProperties: {type: integer}}", "{\"b\": \"c\"}", "/b|integer"},
    {"{additionalProperties: false}", "{\"a/b~c\": 1}", "/a~1b~0c|known"},
    {"{additionalProperties: false}", "{\"\": 1}", "/|known"},
    {"{additionalProperties: false}", "{\"\\n\\u00e9\": 1}", "/\?\?\?|known"},
    {"{additionalProperties: {additionalProperties: {type: integer}}}", "{\"a\": {\"b\": null}}", "/a/b|integer"},
    /* arrays */
    {"{items: {type: integer}}", "[1, 2, \"3\"]", "/2|integer"},
    {"{items: {items: {type: integer}}}", "[[], [1, null]]", "/1/1|integer"},
    {"{minItems: 2, maxItems: 2}", "[1]", "|exactly 2 items, has 1"},
    {"{maxItems: 2}", "[1, 2, 3]", "|at most 2 items"},
    {"{uniqueItems: true, maxItems: 5}", "[1, {\"a\": 1}, {\"a\": 1}]", "/2|twice"},
    {"{uniqueItems: true, maxItems: 5}", "[1, \"1\", [1]]", NULL},
    /* combinations */
    {"{allOf: [{minimum: 1}, {maximum: 3}]}", "4", "|at most 3"},
    {"{anyOf: [{type: string, maxLength: 1}, {type: integer}]}", "\"ab\"", "|integer"},
    {"{anyOf: [{type: string, maxLength: 1}, {type: string}]}", "\"ab\"", NULL},
    {"{oneOf: [{type: string}, {type: integer}]}", "1", NULL},
    {"{oneOf: [{type: string}, {type: integer}]}", "null", "|integer"},
    {"{oneOf: [{type: integer}, {minimum: 1}]}", "1", "|more than one"},
};

static struct openapi *with_body(const char *schema)
{
    char yaml[2048];
    snprintf(yaml, sizeof(yaml),
             FIXTURE_HEAD "  /x:\n    post:\n      operationId: postX\n      security: []\n"
                          "      responses: {\"200\": {description: fine}}\n"
                          "      requestBody: {required: true, content: {application/json: {schema: %s}}}\n",
             schema);
    return fixture_load(yaml);
}

static void each_body_fits_or_names_where_it_does_not(void **state)
{
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct openapi_mistake mistake;
        char got[600];
        struct openapi *document = with_body(cases[i].schema);
        const struct openapi_operation *operation = openapi_operation_at(document, 0);
        assert_true(operation->body_required);
        memset(&mistake, 0xA5, sizeof(mistake));
        enum status status = openapi_validate_body(operation, text_from_string(cases[i].body), &mistake);
        const char *wanted = cases[i].mistake;
        bool right = (status == STATUS_OK) == (wanted == NULL);
        if (status != STATUS_OK) {
            snprintf(got, sizeof(got), "%s|%s|", mistake.field, mistake.message);
            const char *words = wanted != NULL ? strchr(wanted, '|') : NULL;
            right = right && words != NULL && mistake.place == OPENAPI_BODY &&
                    strncmp(got, wanted, (size_t)(words - wanted) + 1) == 0 &&
                    strstr(mistake.message, "\xff") == NULL &&
                    (strstr(mistake.message, words + 1) != NULL || strstr(got, words) != NULL);
        }
        if (!right)
            print_error("%s <- %s\n  wanted %s, got %s\n", cases[i].schema, cases[i].body,
                        wanted != NULL ? wanted : "no mistake", status != STATUS_OK ? got : "no mistake");
        wrong += !right;
        openapi_free(document);
    }
    assert_int_equal(wrong, 0);
}

static void nesting_is_taken_to_64_levels_and_no_further(void **state)
{
    struct openapi_mistake mistake;
    struct openapi *document = with_body("{}");
    const struct openapi_operation *operation = openapi_operation_at(document, 0);
    static char body[200000];
    for (size_t depth = 60; depth < 70; depth++) {
        memset(body, '[', depth);
        memset(body + depth, ']', depth);
        enum status status = openapi_validate_body(operation, text_of(body, 2 * depth), &mistake);
        assert_int_equal(status, depth <= 64 ? STATUS_OK : STATUS_INVALID);
    }
    assert_non_null(strstr(mistake.message, "64 levels"));
    memset(body, '[', sizeof(body));
    assert_int_equal(openapi_validate_body(operation, text_of(body, sizeof(body)), &mistake), STATUS_INVALID);
    /* Brackets within strings are no nesting. */
    memset(body + 1, '{', 100);
    memcpy(body, "\"", 1);
    memcpy(body + 98, "\\\"[\"", 4);
    assert_int_equal(openapi_validate_body(operation, text_of(body, 102), &mistake), STATUS_OK);
    openapi_free(document);
}

static void long_pointers_and_names_are_cut(void **state)
{
    struct openapi_mistake mistake;
    char body[1024], name[301];
    struct openapi *document = with_body("{additionalProperties: {additionalProperties: false}}");
    memset(name, '~', 300);
    name[300] = '\0';
    snprintf(body, sizeof(body), "{\"%s\": {\"%s\": 1}}", name, name);
    assert_int_equal(openapi_validate_body(openapi_operation_at(document, 0), text_from_string(body), &mistake),
                     STATUS_INVALID);
    assert_in_range(strlen(mistake.field), 120, sizeof(mistake.field) - 1);
    openapi_free(document);
}

static void size_of_an_alternative_that_was_passed_over_is_no_mistake(void **state)
{
    struct openapi_mistake mistake;
    struct openapi *document =
        with_body("{properties: {a: {anyOf: [{type: string, maxLength: 1}, {type: string}]}, b: {type: integer}}}");
    assert_int_equal(
        openapi_validate_body(openapi_operation_at(document, 0), TEXT("{\"a\": \"long\", \"b\": null}"), &mistake),
        STATUS_INVALID);
    assert_string_equal(mistake.field, "/b");
    assert_false(mistake.too_long);
    openapi_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_body_fits_or_names_where_it_does_not),
        cmocka_unit_test(nesting_is_taken_to_64_levels_and_no_further),
        cmocka_unit_test(long_pointers_and_names_are_cut),
        cmocka_unit_test(size_of_an_alternative_that_was_passed_over_is_no_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
