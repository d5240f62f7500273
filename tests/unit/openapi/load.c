#include "fixture.h"

/* Where a snippet stands: the line of its first byte is known. */
enum slot { WHOLE, PATHS, OPERATION, PARAMETER, SCHEMA, BODY };

static const struct {
    const char *format;
    int line;
} slots[] = {
    [WHOLE] = {"%s", 1},
    [PATHS] = {FIXTURE_HEAD "%s", 4},
    [OPERATION] = {FIXTURE_HEAD "  /x:\n    get: {%s}\n", 5},
    [PARAMETER] = {FIXTURE_OPERATION, 9},
    [SCHEMA] = {FIXTURE_HEAD "  /x:\n    get:\n      operationId: getX\n      security: []\n"
                             "      responses: {\"200\": {description: fine}}\n      parameters:\n"
                             "        - {name: q, in: query, explode: false, schema: %s}\n",
                10},
    [BODY] = {FIXTURE_HEAD "  /x:\n    post:\n      operationId: postX\n      security: []\n"
                           "      responses: {\"200\": {description: fine}}\n"
                           "      requestBody: {content: {application/json: {schema: %s}}}\n",
              9},
};

#define OK_RESPONSES "responses: {\"200\": {description: fine}}"
#define OP(path, id) path ":\n    get: {operationId: " id ", security: [], " OK_RESPONSES "}\n"
#define OPEN(path, id, rest) path ":\n    get: {operationId: " id ", security: [], " OK_RESPONSES ", " rest "}\n"
#define VARIABLE(name) "{name: " name ", in: path, required: true, schema: {type: string}}"

#define STRINGS "{type: object, additionalProperties: {type: string}}"

/* `line` counts from the snippet's own first line; `words` must stand in the message, usually a name. */
static const struct refusal {
    enum slot slot;
    const char *snippet;
    int line;
    const char *words;
} refusals[] = {
    {WHOLE, "openapi: 3.0.3\npaths: {}\n", 1, "3.1"},
    {WHOLE, "paths: {}\n", 1, "3.1"},
    {WHOLE, "openapi: [3.1.0]\n", 1, "3.1"},
    {WHOLE, "just words\n", 1, "3.1"},
    {WHOLE, "openapi: 3.1.0\ninfo: {title: T}\npaths: {}\n", 2, "version"},
    {WHOLE, "openapi: 3.1.0\npaths: {}\n", 1, "info"},
    {WHOLE, "openapi: 3.1.0\ninfo: {title: T, version: v}\n", 1, "paths"},
    {WHOLE, "openapi: 3.1.0\ninfo: {title: T, version: v}\npaths: []\n", 1, "paths"},
    {WHOLE, "openapi: 3.1.0\ninfo: {title: T, version: v}\npath: {}\n", 3, "path "},
    {WHOLE, "openapi: 3.1.0\ninfo: [\n", 3, ""},
    {WHOLE, "openapi: 3.1.0\nopenapi: 3.1.0\n", 2, "openapi"},
    {OPERATION,
     "operationId: getX, security: [], " OK_RESPONSES ", requestBody: {content: {text/csv: {schema: {type: string}}}}",
     1, "leave the schema out"},
    {PATHS, "  v1: {}\n", 1, "begin with /"},
    {PATHS, "  /v1/: {}\n", 1, "empty segment"},
    {PATHS, "  /a//b: {}\n", 1, "empty segment"},
    {PATHS, "  /a/../b: {}\n", 1, ".."},
    {PATHS, "  /a/b%20c: {}\n", 1, "unescaped"},
    {PATHS, "  /a/x{b}: {}\n", 1, "whole segment"},
    {PATHS, "  \"/a/{b}{c}\": {}\n", 1, "whole segment"},
    {PATHS, "  /a/b}: {}\n", 1, "whole segment"},
    {PATHS, "  \"/a/b\\0c\": {}\n", 1, "NUL"},
    {PATHS, "  \"/a/{}\": {}\n", 1, "whole segment"},
    {PATHS, "  \"/{a}/{a}\": {}\n", 1, "a stands twice"},
    {PATHS, "  /1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17: {}\n", 1, "16 segments"},
    {PATHS, OP("  /a", "one") "  /b:\n    get: {operationId: one, security: [], " OK_RESPONSES "}\n", 4, "one"},
    {PATHS,
     OPEN("  \"/a/{b}\"", "one", "parameters: [" VARIABLE("b") "]")
         OPEN("  \"/a/{c}\"", "two", "parameters: [" VARIABLE("c") "]"),
     3, "/a/{b}"},
    {PATHS, "  /a: [1]\n", 1, "path"},
    {PATHS, "  /a:\n    gett: {}\n", 2, "gett"},
    {PATHS, "  /a:\n    trace: {}\n", 2, "trace"},
    {PATHS, "  /a:\n    get: []\n", 2, "operation"},
    {PATHS, "  /a:\n    parameters: {a: b}\n    get: {operationId: a, security: [], " OK_RESPONSES "}\n", 2, "list"},
    {PATHS, OP("  \"/a/{b}\"", "one"), 2, "variable b"},
    {PATHS, OPEN("  /a", "one", "parameters: [" VARIABLE("ghost") "]"), 2, "ghost"},
    {OPERATION, "security: [], " OK_RESPONSES, 1, "GET /x has no operationId"},
    {OPERATION, "operationId: [], security: [], " OK_RESPONSES, 1, "operationId"},
    {OPERATION, "operationId: \"\", security: [], " OK_RESPONSES, 1, "operationId"},
    {OPERATION, "operationId: x, " OK_RESPONSES, 1, "security"},
    {OPERATION, "operationId: x, security: {}, " OK_RESPONSES, 1, "security"},
    {OPERATION, "operationId: x, security: [{ghost: []}], " OK_RESPONSES, 1, "ghost"},
    {OPERATION, "operationId: x, security: [{}], " OK_RESPONSES, 1, "exactly one"},
    {OPERATION, "operationId: x, security: [{a: []}, {b: []}], " OK_RESPONSES, 1, "exactly one"},
    {OPERATION, "operationId: x, security: [{}, {}], " OK_RESPONSES, 1, "exactly one"},
    {OPERATION, "operationId: x, security: [{}, {a: []}, {}], " OK_RESPONSES, 1, "exactly one"},
    {OPERATION, "operationId: x, security: [{}, {ghost: []}], " OK_RESPONSES, 1, "ghost"},
    {OPERATION, "operationId: x, security: [[], {a: []}], " OK_RESPONSES, 1, "exactly one"},
    {WHOLE,
     FIXTURE_HEAD "  /x:\n    get: {operationId: x, " OK_RESPONSES ", security: [{}, {jwt: [r]}]}\n"
                  "components: {securitySchemes: {jwt: {type: http}}}\n",
     5, "who sends none has none"},
    {OPERATION, "operationId: x, security: []", 1, "responses"},
    {OPERATION, "operationId: x, security: [], responses: []", 1, "responses"},
    {OPERATION, "operationId: x, security: [], responses: {\"20\": {description: d}}", 1, "20 "},
    {OPERATION, "operationId: x, security: [], responses: {\"200\": {}}", 1, "200"},
    {OPERATION, "operationId: x, security: [], responses: {\"200\": words}", 1, "response"},
    {OPERATION, "operationId: x, security: [], responses: {\"200\": {$ref: \"#/ghost\"}}", 1, "#/ghost"},
    {OPERATION,
     "operationId: x, security: [], responses: {\"200\": {description: d, content: {a/b: {schema: {shape: 1}}}}}", 1,
     "shape"},
    {OPERATION, "operationId: x, security: [], responses: {\"200\": {description: d, content: [1]}}", 1, "mapping"},
    {OPERATION,
     "operationId: x, security: [], responses: {\"200\": {description: d, headers: {A: {schema: {typ: a}}}}}", 1,
     "typ"},
    {OPERATION, "operationId: x, security: [], paramaters: [], " OK_RESPONSES, 1, "paramaters"},
    {OPERATION, "operationId: x, security: [], requestBody: {content: {}}, " OK_RESPONSES, 1, "media types"},
    {PARAMETER, "{in: query, schema: {type: string}}", 1, "name"},
    {PARAMETER, "{name: [], in: query, schema: {type: string}}", 1, "name"},
    {PARAMETER, "{name: a, schema: {type: string}}", 1, "`in`"},
    {PARAMETER, "{name: a, in: cookie, schema: {type: string}}", 1, "`in`"},
    {PARAMETER, "{name: a, in: query}", 1, "a needs a schema"},
    {PARAMETER, "{name: a, in: query, requird: true, schema: {type: string}}", 1, "requird"},
    {PARAMETER, "{name: a, in: query, required: 1, schema: {type: string}}", 1, "required"},
    {PARAMETER, "{name: a, in: query, allowReserved: true, schema: {type: string}}", 1, "allowReserved"},
    {PARAMETER, "{name: a, in: query, style: pipeDelimited, schema: {type: string}}", 1, "form"},
    {PARAMETER, "{name: a, in: header, style: form, schema: {type: string}}", 1, "simple"},
    {PARAMETER, "{name: a, in: query, explode: maybe, schema: {type: string}}", 1, "explode"},
    {PARAMETER, "{name: a, in: query, schema: {type: array}}", 1, "a must say explode: false"},
    {PARAMETER, "{name: a, in: query, schema: {type: object}}", 1, "object"},
    {PARAMETER, "{name: a, in: header, schema: " STRINGS "}", 1, "object"},
    {PARAMETER, "{name: a, in: query, explode: false, schema: " STRINGS "}", 1, "a must say explode: true"},
    {PARAMETER, "{name: a, in: query, explode: maybe, schema: " STRINGS "}", 1, "explode: true"},
    {PARAMETER, "{name: a, in: query, style: deepObject, schema: " STRINGS "}", 1, "style form"},
    {PARAMETER, "{name: a, in: query, schema: {type: object, additionalProperties: {type: integer}}}", 1, "object"},
    {PARAMETER, "{name: a, in: query, schema: {type: object, additionalProperties: false}}", 1, "object"},
    {PARAMETER,
     "{name: a, in: query, schema: {type: object, properties: {b: {type: string}}, "
     "additionalProperties: {type: string}}}",
     1, "object"},
    {PARAMETER, "{name: a, in: query, required: true, schema: " STRINGS "}", -2, "a can't be required"},
    {PARAMETER,
     "{name: b, in: query, required: true, schema: {type: string}}, {name: a, in: query, schema: " STRINGS "}", -2,
     "b can't be required"},
    {PARAMETER, "{name: a, in: query, schema: {}}", 1, "a needs exactly one type"},
    {PARAMETER, "{name: Authorization, in: header, schema: {type: string}}", 1, "authorization"},
    {PARAMETER, "{name: a, in: query, schema: {type: string}}, {name: a, in: query, schema: {type: string}}", 1,
     "a is declared twice"},
    {PARAMETER, "{name: a, in: query, schema: {type: string}}, {name: A, in: header, schema: {type: string}}", 1,
     "a is declared twice"},
    {PARAMETER, "words", 1, "mapping"},
    {PARAMETER, "{$ref: \"#/components/parameters/Ghost\"}", 1, "Ghost"},
    {PARAMETER, "{$ref: \"other.yaml#/a\"}", 1, "within the document"},
    {SCHEMA, "words", 1, "mapping"},
    {SCHEMA, "{type: text}", 1, "unknown type"},
    {SCHEMA, "{type: []}", 1, "type"},
    {SCHEMA, "{type: {a: b}}", 1, "type"},
    {SCHEMA, "{type: [integer, string]}", 1, "exactly one type"},
    {SCHEMA, "{type: string, format: email}", 1, "email"},
    {SCHEMA, "{type: integer, format: date}", 1, "date"},
    {SCHEMA, "{type: string, format: int32}", 1, "int32"},
    {SCHEMA, "{type: string, nullable: true}", 1, "nullable"},
    {SCHEMA, "{type: string,\n minLenght: 1}", 2, "minLenght"},
    {SCHEMA, "{type: string, if: {}}", 1, "if"},
    {SCHEMA, "{type: string, pattern: \"a(\"}", 1, "does not compile"},
    {SCHEMA, "{type: string, pattern: \"a\\\\C\"}", 1, "does not compile"},
    {SCHEMA, "{type: string, pattern: []}", 1, "pattern"},
    {SCHEMA, "{type: string, minLength: -1}", 1, "whole number"},
    {SCHEMA, "{type: string, maxLength: 1.5}", 1, "whole number"},
    {SCHEMA, "{type: string, minLength: 3, maxLength: 2}", 1, "minLength"},
    {SCHEMA, "{type: array, minItems: 3, maxItems: 2}", 1, "minItems"},
    {SCHEMA, "{type: array, uniqueItems: true}", 1, "maxItems"},
    {SCHEMA, "{type: array, uniqueItems: 1, maxItems: 2}", 1, "true or false"},
    {SCHEMA, "{type: array, items: {type: array}}", 1, "arrays within"},
    {SCHEMA, "{type: array, items: {type: object}}", 1, "object"},
    {SCHEMA, "{type: array, items: {}}", 1, "exactly one type"},
    {SCHEMA, "{type: integer, minimum: a}", 1, "number"},
    {SCHEMA, "{type: integer, minimum: \"1\"}", 1, "number"},
    {SCHEMA, "{type: integer, minimum: 1, exclusiveMinimum: 0}", 1, "exclusiveMinimum"},
    {SCHEMA, "{type: integer, maximum: 1, exclusiveMaximum: 0}", 1, "exclusiveMaximum"},
    {SCHEMA, "{type: integer, minimum: 2, maximum: 1}", 1, "above the maximum"},
    {SCHEMA, "{type: integer, minimum: 9007199254740993, maximum: 9007199254740992}", 1, "above the maximum"},
    {SCHEMA, "{type: integer, minimum: 0.2, maximum: 0.8}", 1, "above the maximum"},
    {SCHEMA, "{type: integer, exclusiveMinimum: 9223372036854775807}", 1, "leaves no"},
    {SCHEMA, "{type: integer, multipleOf: 0}", 1, "multipleOf"},
    {SCHEMA, "{type: integer, multipleOf: -2}", 1, "multipleOf"},
    {SCHEMA, "{type: string, enum: []}", 1, "enum"},
    {SCHEMA, "{type: string, enum: a}", 1, "enum"},
    {SCHEMA, "{type: string, enum: [[a]]}", 1, "scalars"},
    {SCHEMA, "{type: string, enum: [a, 2024]}", 1, "2024"},
    {SCHEMA, "{enum: [a, 1.5], type: integer}", 1, "value a"},
    {SCHEMA, "{type: string, const: [a]}", 1, "scalars"},
    {SCHEMA, "{type: string, const: a, enum: [a]}", 1, "not both"},
    {SCHEMA, "{type: array, items: {type: string}, enum: [a]}", 1, "not of the schema's type"},
    {SCHEMA, "{type: string, anyOf: [{minLength: 1}]}", 1, "anyOf"},
    {SCHEMA, "{type: string, allOf: {minLength: 1}}", 1, "list of schemas"},
    {SCHEMA, "{type: string, oneOf: []}", 1, "list of schemas"},
    {SCHEMA, "{$ref: \"#/ghost\"}", 1, "#/ghost"},
    {SCHEMA, "{$ref: []}", 1, "within the document"},
    {SCHEMA, "{$ref: \"#/info\", minLength: 2}", 1, "minLength beside"},
    {SCHEMA, "{$ref: \"#/paths/~1x/get/parameters\"}", 1, "mapping"},
    /* defaults outside of their schema */
    {SCHEMA, "{type: integer, default: a}", 1, "default"},
    {SCHEMA, "{default: 11, type: integer, maximum: 10}", 1, "at most 10"},
    {SCHEMA, "{default: 9007199254740993, type: integer, maximum: 9007199254740992}", 1, "at most 9007199254740992"},
    {SCHEMA, "{type: integer, format: int32, default: 2147483648}", 1, "32 bits"},
    {SCHEMA, "{type: integer, default: 9223372036854775808}", 1, "64 bits"},
    {SCHEMA, "{type: integer, default: \"5\"}", 1, "wrong type"},
    {SCHEMA, "{type: integer, default: 5.5}", 1, "wrong type"},
    {SCHEMA, "{type: string, default: 5}", 1, "wrong type"},
    {SCHEMA, "{type: string, default: null}", 1, "wrong type"},
    {SCHEMA, "{type: string, default: [a]}", 1, "wrong type"},
    {SCHEMA, "{type: string, enum: [a, b], default: c}", 1, "a, b"},
    {SCHEMA, "{type: string, pattern: ^a$, default: b}", 1, "^a$"},
    {SCHEMA, "{type: string, maxLength: 2, default: abc}", 1, "at most 2"},
    {SCHEMA, "{type: string, format: date, default: 2023-02-30}", 1, "2023-02-30"},
    {SCHEMA, "{type: boolean, default: \"true\"}", 1, "wrong type"},
    {SCHEMA, "{type: array, items: {type: integer}, default: a}", 1, "wrong type"},
    {SCHEMA, "{type: array, items: {type: integer}, default: [1, a]}", 1, "default"},
    {SCHEMA, "{type: array, maxItems: 1, items: {type: integer}, default: [1, 2]}", 1, "at most 1"},
    {BODY, "{type: object, properties: [a]}", 1, "properties"},
    {BODY, "{type: object, required: a}", 1, "required"},
    {BODY, "{type: object, required: [[a]]}", 1, "required"},
    {BODY, "{type: object, patternProperties: {}}", 1, "patternProperties"},
    {BODY, "{type: object, properties: {a: {type: strin}}}", 1, "unknown type"},
    {BODY, "{type: object, default: {a: 1}, additionalProperties: false}", 1, "not a known member"},
    {BODY, "{$ref: \"#/paths/~1x/post/requestBody/content/application~1json/schema\"}", 1, "refers to itself"},
    {BODY, "{items: {$ref: \"#/paths/~1x/post/requestBody/content/application~1json/schema\"}}", 1, "refers to itself"},
};

static void each_refusal_names_the_line_and_the_name(void **state)
{
    size_t wrong = 0, count = sizeof(refusals) / sizeof(refusals[0]);
    for (size_t i = 0; i < count; i++) {
        const struct refusal *one = &refusals[i];
        char yaml[4096], place[32];
        struct failure failure;
        /* The format is one of the constants above. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(yaml, sizeof(yaml), slots[one->slot].format, one->snippet);
        snprintf(place, sizeof(place), "api.yaml:%d:", slots[one->slot].line + one->line - 1);
        struct openapi *document = fixture_try(&failure, yaml);
        if (document == NULL && strstr(failure.message, one->words) != NULL &&
            strncmp(failure.message, place, strlen(place)) == 0 && failure.status == STATUS_INVALID)
            continue;
        print_error("%s\n  wanted %s … %s, got %s\n", one->snippet, place, one->words,
                    document != NULL ? "a document" : failure.message);
        openapi_free(document);
        wrong++;
    }
    assert_true(count >= 60);
    assert_int_equal(wrong, 0);
}

static void parameter_of_an_operation_is_read_with_its_schema(void **state)
{
    struct openapi *document =
        fixture_with_parameters("{name: X-Thing, in: header, schema: {type: integer}}, {name: b, in: query, required: "
                                "true, x-note: 1, schema: {type: string}}");
    const struct openapi_operation *operation = openapi_operation_at(document, 0);
    assert_int_equal(operation->parameter_count, 2);
    assert_true(text_equal(operation->parameters[0].name, TEXT("x-thing")));
    assert_int_equal(operation->parameters[0].place, OPENAPI_HEADER);
    assert_false(operation->parameters[0].required);
    assert_true(operation->parameters[1].required);
    assert_true(operation->is_public);
    openapi_free(document);
}

static void scopes_come_from_the_operation_or_from_the_root(void **state)
{
    struct openapi *document =
        fixture_load(FIXTURE_HEAD "  /a:\n    get: {operationId: a, " OK_RESPONSES "}\n"
                                  "    put: {operationId: b, security: [{jwt: [r:read, r:write]}], " OK_RESPONSES "}\n"
                                  "    delete: {operationId: c, security: [], " OK_RESPONSES "}\n"
                                  "    post: {operationId: d, security: [{jwt: []}], " OK_RESPONSES "}\n"
                                  "security: [{jwt: [all]}]\n"
                                  "components: {securitySchemes: {jwt: {type: http, scheme: bearer}}}\n");
    const struct openapi_operation *a = openapi_operation_by_id(document, TEXT("a")),
                                   *b = openapi_operation_by_id(document, TEXT("b")),
                                   *c = openapi_operation_by_id(document, TEXT("c")),
                                   *d = openapi_operation_by_id(document, TEXT("d"));
    assert_int_equal(a->scope_count, 1);
    assert_true(text_equal(a->scopes[0], TEXT("all")));
    assert_int_equal(b->scope_count, 2);
    assert_true(text_equal(b->scopes[1], TEXT("r:write")));
    assert_true(c->is_public);
    assert_true(!d->is_public && d->scope_count == 0);
    openapi_free(document);
}

static void token_is_optional_where_nothing_stands_beside_the_scheme(void **state)
{
    static const char *const blocks[] = {"[{}, {jwt: []}]", "[{jwt: []}, {}]"};
    for (size_t i = 0; i < 2; i++) {
        char yaml[1024];
        snprintf(yaml, sizeof(yaml),
                 FIXTURE_HEAD "  /a:\n    get: {operationId: a, " OK_RESPONSES ", security: %s}\n"
                              "    put: {operationId: b, " OK_RESPONSES ", security: [{jwt: []}]}\n"
                              "components: {securitySchemes: {jwt: {type: http, scheme: bearer}}}\n",
                 blocks[i]);
        struct openapi *document = fixture_load(yaml);
        const struct openapi_operation *a = openapi_operation_by_id(document, TEXT("a")),
                                       *b = openapi_operation_by_id(document, TEXT("b"));
        assert_true(a->optional_auth && !a->is_public && a->scope_count == 0);
        assert_true(!b->optional_auth && !b->is_public);
        openapi_free(document);
    }
}

static void reference_may_lead_through_escaped_steps_and_other_references(void **state)
{
    struct openapi *document = fixture_load(
        FIXTURE_HEAD "  /a~b:\n    get:\n      operationId: a\n      security: []\n      " OK_RESPONSES "\n"
                     "      parameters: [{name: q, in: query, schema: {$ref: \"#/components/schemas/One\"}}]\n"
                     "    put:\n      operationId: b\n      security: []\n      " OK_RESPONSES "\n"
                     "      parameters: [{name: q, in: query, schema: {$ref: \"#/components/schemas/a~1b~0c\"}}]\n"
                     "components: {schemas: {One: {$ref: \"#/components/schemas/Two\", description: words},\n"
                     "  Two: {type: integer}, a/b~c: {type: string}}}\n");
    assert_int_equal(openapi_operation_count(document), 2);
    openapi_free(document);
}

static void document_that_multiplies_itself_is_refused(void **state)
{
    char yaml[8192];
    struct failure failure;
    size_t at =
        (size_t)snprintf(yaml, sizeof(yaml), "%s",
                         FIXTURE_HEAD "  /x:\n    post:\n      operationId: x\n      security: []\n      " OK_RESPONSES
                                      "\n      requestBody: {content: {application/json: "
                                      "{schema: {$ref: \"#/components/schemas/S0\"}}}}\n"
                                      "components:\n  schemas:\n");
    for (int i = 0; i < 28; i++)
        at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
                               "    S%d: {allOf: [{$ref: \"#/components/schemas/S%d\"}, {$ref: "
                               "\"#/components/schemas/S%d\"}]}\n",
                               i, i + 1, i + 1);
    snprintf(yaml + at, sizeof(yaml) - at, "    S28: {type: string}\n");
    assert_null(fixture_try(&failure, yaml));
    assert_int_equal(failure.status, STATUS_TOO_LARGE);
}

static void body_without_a_schema_is_the_handlers_to_read(void **state)
{
    struct openapi *document = fixture_load(
        FIXTURE_HEAD "  /x:\n    put:\n      operationId: putX\n      security: []\n"
                     "      responses: {\"200\": {description: fine}}\n"
                     "      requestBody: {required: true, content: {text/csv: {}, application/json: {}}}\n");
    const struct openapi_operation *operation = openapi_operation_by_id(document, TEXT("putX"));
    assert_null(operation->body);
    assert_true(operation->body_required);
    assert_int_equal(operation->media_count, 2);
    assert_true(text_equal(operation->media[0], TEXT("text/csv")));
    openapi_free(document);
}

static void truncated_contract_never_crashes_the_loader(void **state)
{
    struct buffer source;
    struct failure failure;
    buffer_init(&source, 1 << 20);
    assert_int_equal(file_read(SLUICE_SOURCE_DIR "/openapi/openapi.yaml", &source, &failure), STATUS_OK);
    struct text whole = buffer_text(&source);
    for (size_t size = 0; size < whole.size; size += 211) {
        struct openapi *document = NULL;
        if (openapi_load("cut", text_of(whole.data, size), &document, &failure) == STATUS_OK)
            openapi_free(document);
        else
            assert_true(document == NULL && failure.message[0] != '\0');
    }
    buffer_free(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_names_the_line_and_the_name),
        cmocka_unit_test(parameter_of_an_operation_is_read_with_its_schema),
        cmocka_unit_test(scopes_come_from_the_operation_or_from_the_root),
        cmocka_unit_test(token_is_optional_where_nothing_stands_beside_the_scheme),
        cmocka_unit_test(reference_may_lead_through_escaped_steps_and_other_references),
        cmocka_unit_test(document_that_multiplies_itself_is_refused),
        cmocka_unit_test(body_without_a_schema_is_the_handlers_to_read),
        cmocka_unit_test(truncated_contract_never_crashes_the_loader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
