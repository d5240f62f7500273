#include "fixture.h"

#include <inttypes.h>

#include "base/arena.h"

struct given_headers {
    const char *name;
    struct text value;
};

static struct text give_header(void *context, struct text lower_name)
{
    const struct given_headers *given = context;
    return text_equal(lower_name, text_from_string(given->name)) ? given->value : TEXT_NONE;
}

/* Routes GET `path` and validates; the values live in `arena`. */
static enum status validate(const struct openapi *document, struct text path, struct text query, struct arena *arena,
                            const struct openapi_value **values, struct openapi_mistake *mistake)
{
    struct openapi_route route;
    openapi_route(document, TEXT("GET"), path, arena, &route);
    assert_int_equal(route.status, STATUS_OK);
    struct openapi_input input = {.route = &route, .query = query};
    return openapi_validate(&input, arena, values, mistake);
}

/* Writes a value so that a table can hold it: type, value; "-" where there is none. */
static void describe(const struct openapi_value *value, char *out, size_t size)
{
    size_t at;
    if (!value->present) {
        snprintf(out, size, "-");
        return;
    }
    switch (value->type) {
    case OPENAPI_STRING:
        snprintf(out, size, "s:%.*s", TEXT_ARGS(value->text));
        break;
    case OPENAPI_NUMBER:
        snprintf(out, size, "n:%.17g", value->number);
        break;
    case OPENAPI_ARRAY:
        at = (size_t)snprintf(out, size, "[");
        for (size_t i = 0; i < value->count && at < size; i++) {
            describe(&value->items[i], out + at, size - at);
            at += strlen(out + at);
            at += (size_t)snprintf(out + at, size - at, "%s", i + 1 < value->count ? "|" : "]");
        }
        break;
    default:
        snprintf(out, size, "%c:%" PRId64, "sinbdt"[value->type], value -> integer);
    }
}

/* `schema` of the query parameter p, the query, and what comes of it: a value as describe writes it, or "!words". */
static const struct parameter_case {
    const char *schema, *query, *result;
} cases[] = {
    /* strings */
    {"{type: string}", "p=abc", "s:abc"},
    {"{type: string}", "p=", "s:"},
    {"{type: string}", "p", "s:"},
    {"{type: string}", "p=a=b", "s:a=b"},
    {"{type: string}", "", "-"},
    {"{type: string}", "&&p=a&&", "s:a"},
    {"{type: string}", "p=a+b%2Bc", "s:a b+c"},
    {"{type: string}", "%70=a", "s:a"},
    {"{type: string}", "p=%26%3D%25", "s:&=%"},
    {"{type: string}", "p=%2541", "s:%41"},
    {"{type: string}", "p=a,b", "s:a,b"},
    {"{type: string}", "p=%c3%a9\xc3\xa9", "s:\xc3\xa9\xc3\xa9"},
    {"{type: string}", "p=%zz", "!percent-escape"},
    {"{type: string}", "p=%4", "!percent-escape"},
    {"{type: string}", "p=%", "!percent-escape"},
    {"{type: string}", "p=a%00b", "!NUL"},
    {"{type: string}", "p=%ff", "!UTF-8"},
    {"{type: string}", "p=\xc3", "!UTF-8"},
    {"{type: string}", "p=%c0%af", "!UTF-8"},
    {"{type: string}", "p=%ed%a0%80", "!UTF-8"},
    {"{type: string, minLength: 2}", "p=a", "!at least 2 characters, has 1"},
    {"{type: string, minLength: 1}", "p=", "!at least 1 character, has 0"},
    {"{type: string, maxLength: 2}", "p=%c3%a9%c3%a9", "s:\xc3\xa9\xc3\xa9"},
    {"{type: string, maxLength: 2}", "p=abc", "!at most 2 characters, has 3"},
    {"{type: string, default: x}", "", "s:x"},
    {"{type: string, default: x}", "p=", "s:"},
    {"{type: [string, \"null\"]}", "p=null", "s:null"},
    /* enum and const */
    {"{type: string, enum: [day, week]}", "p=week", "s:week"},
    {"{type: string, enum: [day, week]}", "p=Week", "!must be one of day, week"},
    {"{type: string, enum: [day, week]}", "p=", "!must be one of day, week"},
    {"{type: string, enum: [\"1\", \"2\"]}", "p=1", "s:1"},
    {"{type: string, const: a}", "p=b", "!must be a"},
    {"{type: integer, enum: [1, 9007199254740993]}", "p=9007199254740993", "i:9007199254740993"},
    {"{type: integer, enum: [1, 9007199254740993]}", "p=9007199254740992", "!must be one of 1, 9007199254740993"},
    {"{type: number, enum: [0.5, 1]}", "p=5e-1", "n:0.5"},
    {"{type: number, enum: [0.5, 1]}", "p=1", "n:1"},
    {"{type: number, enum: [0.5, 1]}", "p=2", "!must be one of 0.5, 1"},
    {"{type: boolean, const: true}", "p=false", "!must be true"},
    /* pattern */
    {"{type: string, pattern: \"^[a-z]+$\"}", "p=abc", "s:abc"},
    {"{type: string, pattern: \"^[a-z]+$\"}", "p=abc%0A", "!must match the pattern ^[a-z]+$"},
    {"{type: string, pattern: \"b\"}", "p=abc", "s:abc"},
    {"{type: string, pattern: \"^.$\"}", "p=%f0%9f%8c%8a", "s:\xf0\x9f\x8c\x8a"},
    {"{type: string, pattern: \"^(a+)+$\"}", "p=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "!pattern"},
    {"{type: string, pattern: \"^[1-9][0-9]{0,5}[dwmy]$\"}", "p=0d", "!pattern"},
    /* formats */
    {"{type: string, format: date}", "p=2024-02-29", "d:19782"},
    {"{type: string, format: date}", "p=1969-12-31", "d:-1"},
    {"{type: string, format: date}", "p=2023-02-29", "!2023-02-29 is no day of the calendar"},
    {"{type: string, format: date}", "p=2024-02-30", "!no day of the calendar"},
    {"{type: string, format: date}", "p=0000-01-01", "!no day of the calendar"},
    {"{type: string, format: date}", "p=2024-2-3", "!YYYY-MM-DD"},
    {"{type: string, format: date}", "p=2024-01-01T00:00:00Z", "!YYYY-MM-DD"},
    {"{type: string, format: date}", "p=", "!YYYY-MM-DD"},
    {"{type: string, format: date, default: 2024-01-02}", "", "d:19724"},
    {"{type: string, format: date-time}", "p=1970-01-01T00:00:01.5Z", "t:1500000"},
    {"{type: string, format: date-time}", "p=1970-01-01T02:00:00%2B02:00", "t:0"},
    {"{type: string, format: date-time}", "p=1970-01-01T02:00:00+02:00", "!RFC 3339"},
    {"{type: string, format: date-time}", "p=1970-01-01", "!RFC 3339"},
    {"{type: string, format: date-time}", "p=1970-01-01T25:00:00Z", "!RFC 3339"},
    {"{type: string, format: uuid}", "p=123e4567-E89B-12d3-a456-426614174000",
     "s:123e4567-E89B-12d3-a456-426614174000"},
    {"{type: string, format: uuid}", "p=123e4567-e89b-12d3-a456-42661417400", "!UUID"},
    {"{type: string, format: uuid}", "p=123e4567-e89b-12d3-a456-42661417400g", "!UUID"},
    {"{type: string, format: uuid}", "p=123e4567e89b-12d3-a456-4266141740000-", "!UUID"},
    /* integers */
    {"{type: integer}", "p=-5", "i:-5"},
    {"{type: integer}", "p=9223372036854775807", "i:9223372036854775807"},
    {"{type: integer}", "p=-9223372036854775808", "i:-9223372036854775808"},
    {"{type: integer}", "p=9223372036854775808", "!within 64 bits"},
    {"{type: integer}", "p=1234567890123456789012345678901234567890", "!within 64 bits"},
    {"{type: integer}", "p=1.0", "!whole number"},
    {"{type: integer}", "p=1e3", "!whole number"},
    {"{type: integer}", "p=+5", "!whole number"},
    {"{type: integer}", "p=0x10", "!whole number"},
    {"{type: integer}", "p=", "!whole number"},
    {"{type: integer}", "p=%205", "!whole number"},
    {"{type: integer, format: int32}", "p=2147483647", "i:2147483647"},
    {"{type: integer, format: int32}", "p=2147483648", "!within 32 bits"},
    {"{type: integer, format: int32}", "p=-2147483649", "!within 32 bits"},
    {"{type: integer, format: int64}", "p=-2147483649", "i:-2147483649"},
    {"{type: integer, minimum: 1, maximum: 1000}", "p=0", "!at least 1"},
    {"{type: integer, minimum: 1, maximum: 1000}", "p=1", "i:1"},
    {"{type: integer, minimum: 1, maximum: 1000}", "p=1001", "!at most 1000"},
    {"{type: integer, minimum: 1, maximum: 1000}", "p=ten", "!from 1 to 1000"},
    {"{type: integer, exclusiveMinimum: 0}", "p=0", "!more than 0"},
    {"{type: integer, exclusiveMinimum: 0}", "p=1", "i:1"},
    {"{type: integer, exclusiveMaximum: 10}", "p=10", "!less than 10"},
    {"{type: integer, exclusiveMaximum: 10}", "p=9", "i:9"},
    {"{type: integer, minimum: 0.5}", "p=0", "!at least 0.5"},
    {"{type: integer, minimum: 0.5}", "p=1", "i:1"},
    {"{type: integer, maximum: -0.5}", "p=0", "!at most -0.5"},
    {"{type: integer, maximum: 9007199254740992}", "p=9007199254740993", "!at most 9007199254740992"},
    {"{type: integer, maximum: 9007199254740993}", "p=9007199254740993", "i:9007199254740993"},
    {"{type: integer, minimum: 9007199254740993}", "p=9007199254740992", "!at least 9007199254740993"},
    {"{type: integer, exclusiveMinimum: 9007199254740992}", "p=9007199254740993", "i:9007199254740993"},
    {"{type: integer, exclusiveMaximum: 9223372036854775807}", "p=9223372036854775807", "!less than"},
    {"{type: integer, exclusiveMaximum: 9223372036854775807}", "p=9223372036854775806", "i:9223372036854775806"},
    {"{type: integer, maximum: 1e30}", "p=9223372036854775807", "i:9223372036854775807"},
    {"{type: integer, multipleOf: 5}", "p=-15", "i:-15"},
    {"{type: integer, multipleOf: 2}", "p=9007199254740993", "!multiple of 2"},
    {"{type: integer, multipleOf: 0.5}", "p=3", "i:3"},
    {"{type: integer, default: 9007199254740993}", "", "i:9007199254740993"},
    {"{type: integer, default: -9223372036854775808}", "", "i:-9223372036854775808"},
    {"{default: 100, maximum: 1000, minimum: 1, format: int32, type: integer}", "", "i:100"},
    {"{type: integer, default: 0x1F}", "", "i:31"},
    /* numbers */
    {"{type: number}", "p=12.5", "n:12.5"},
    {"{type: number}", "p=-1e-3", "n:-0.001"},
    {"{type: number}", "p=1e999", "!finite"},
    {"{type: number}", "p=NaN", "!finite"},
    {"{type: number}", "p=Infinity", "!finite"},
    {"{type: number}", "p=.5", "!finite"},
    {"{type: number}", "p=1,5", "!finite"},
    {"{type: number, minimum: -180, maximum: 180}", "p=180.0000001", "!at most 180"},
    {"{type: number, minimum: -180, maximum: 180}", "p=-180", "n:-180"},
    {"{type: number, exclusiveMinimum: 0}", "p=0.0", "!more than 0"},
    {"{type: number, exclusiveMaximum: 1}", "p=1", "!less than 1"},
    {"{type: number, multipleOf: 0.1}", "p=0.3", "n:0.29999999999999999"},
    {"{type: number, multipleOf: 0.1}", "p=0.35", "!multiple of 0.1"},
    {"{type: number, default: .5}", "", "n:0.5"},
    /* booleans */
    {"{type: boolean}", "p=true", "b:1"},
    {"{type: boolean}", "p=false", "b:0"},
    {"{type: boolean}", "p=True", "!true or false"},
    {"{type: boolean}", "p=1", "!true or false"},
    {"{type: boolean, default: True}", "", "b:1"},
    /* arrays */
    {"{type: array, items: {type: string}}", "p=a,b", "[s:a|s:b]"},
    {"{type: array, items: {type: string}}", "p=a%2Cb,c", "[s:a,b|s:c]"},
    {"{type: array, items: {type: string}}", "p=a%2cb", "[s:a,b]"},
    {"{type: array, items: {type: string}}", "p=a%252Cb", "[s:a%2Cb]"},
    {"{type: array, items: {type: string}}", "p=a+b,%2B", "[s:a b|s:+]"},
    {"{type: array, items: {type: string}}", "p=a,", "[s:a|s:]"},
    {"{type: array, items: {type: string, minLength: 1}}", "p=a,", "!value 2 must have at least 1"},
    {"{type: array, items: {type: string, minLength: 1}}", "p=", "!value 1"},
    {"{type: array, items: {type: string}}", "p=a,%zz", "!value 2 holds a broken percent-escape"},
    {"{type: array, items: {type: string}}", "p=%ff,a", "!value 1"},
    {"{type: array}", "p=a,b", "[s:a|s:b]"},
    {"{type: array, items: {type: number, minimum: -180, maximum: 180}, minItems: 2, maxItems: 2}", "p=23.5,42",
     "[n:23.5|n:42]"},
    {"{type: array, items: {type: number, minimum: -180, maximum: 180}, minItems: 2, maxItems: 2}", "p=23.5%2C42",
     "!exactly 2 values separated by commas, has 1"},
    {"{type: array, items: {type: number}, minItems: 2, maxItems: 2}", "p=1,2,3", "!exactly 2"},
    {"{type: array, items: {type: number, maximum: 180}}", "p=1,181", "!value 2 must be at most 180"},
    {"{type: array, items: {type: integer}, minItems: 2}", "p=1", "!at least 2"},
    {"{type: array, items: {type: integer}, maxItems: 2}", "p=1,2,3", "!at most 2"},
    {"{type: array, items: {type: string}, uniqueItems: true, maxItems: 9}", "p=a,b,a", "!names a twice"},
    {"{type: array, items: {type: string}, uniqueItems: true, maxItems: 9}", "p=a,%61", "!names a twice"},
    {"{type: array, items: {type: string}, uniqueItems: true, maxItems: 9}", "p=a,A", "[s:a|s:A]"},
    {"{type: array, items: {type: integer}, uniqueItems: true, maxItems: 9}", "p=1,01", "!twice"},
    {"{type: array, items: {type: number}, uniqueItems: true, maxItems: 9}", "p=1,1.0", "!twice"},
    {"{type: array, items: {type: string, format: date}}", "p=2024-01-01,2024-01-32", "!value 2"},
    {"{type: array, items: {type: string}, default: [a, \"b,c\"]}", "", "[s:a|s:b,c]"},
    {"{type: array, items: {type: integer}, default: [9007199254740993]}", "", "[i:9007199254740993]"},
    {"{type: array, items: {type: integer}, default: []}", "", "["},
    /* names */
    {"{type: string}", "p=a&p=b", "!twice"},
    {"{type: string}", "p=a&%70=a", "!twice"},
    {"{type: string, default: x}", "p&p", "!twice"},
    {"{type: string}", "q=a", "!unknown parameter; known are p; did you mean p?"},
    {"{type: string}", "P=a", "!unknown"},
    {"{type: string}", "=a", "!unknown"},
    {"{type: string}", "p[]=a", "!unknown"},
    {"{type: string}", "p;q=a", "!unknown"},
    {"{type: string}", "%zz=a", "!percent-escape"},
    {"{type: string}", "p%00=a", "!NUL"},
    {"{type: string}", "p=a?q=b", "s:a?q=b"},
};

static void each_parameter_case_gives_its_value_or_its_mistake(void **state)
{
    size_t wrong = 0, count = sizeof(cases) / sizeof(cases[0]);
    for (size_t i = 0; i < count; i++) {
        const struct openapi_value *values = NULL;
        struct openapi_mistake mistake;
        struct arena arena;
        char result[600];
        struct openapi *document = fixture_with_schema(cases[i].schema);
        /* An exact copy on the heap, so that the address sanitizer sees a read past the end. */
        size_t size = strlen(cases[i].query);
        char *copy = malloc(size != 0 ? size : 1);
        assert_non_null(copy);
        for (size_t k = 0; k < size; k++)
            copy[k] = cases[i].query[k];
        arena_init(&arena, NULL, 0, 1 << 20);
        memset(&mistake, 0xA5, sizeof(mistake));
        if (validate(document, TEXT("/x"), text_of(copy, size), &arena, &values, &mistake) == STATUS_OK) {
            describe(&values[0], result, sizeof(result));
        } else {
            snprintf(result, sizeof(result), "!%s", mistake.message);
            wrong += mistake.place != OPENAPI_QUERY;
        }
        bool refused = cases[i].result[0] == '!';
        bool as_wanted = refused ? result[0] == '!' && strstr(result, cases[i].result + 1) != NULL
                                 : strcmp(result, cases[i].result) == 0;
        if (!as_wanted)
            print_error("%s ?%s\n  wanted %s, got %s\n", cases[i].schema, cases[i].query, cases[i].result, result);
        wrong += !as_wanted;
        arena_free(&arena);
        free(copy);
        openapi_free(document);
    }
    assert_true(count >= 80);
    assert_int_equal(wrong, 0);
}

static void absent_query_leaves_defaults_and_missing_ones_are_named(void **state)
{
    const struct openapi_value *values = NULL;
    struct openapi_mistake mistake;
    struct arena arena;
    struct openapi *document = fixture_with_parameters(
        "{name: a, in: query, schema: {type: integer, default: 7}}, {name: b, in: query, required: true, schema: "
        "{type: string}}");
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(validate(document, TEXT("/x"), TEXT_NONE, &arena, &values, &mistake), STATUS_INVALID);
    assert_string_equal(mistake.field, "b");
    assert_string_equal(mistake.message, "is missing");
    assert_false(mistake.too_long);
    assert_int_equal(validate(document, TEXT("/x"), TEXT("b=z"), &arena, &values, &mistake), STATUS_OK);
    assert_int_equal(values[0].integer, 7);
    assert_true(text_equal(values[1].text, TEXT("z")));
    arena_free(&arena);
    openapi_free(document);
}

static void unknown_parameter_is_printable_and_its_neighbours_are_named(void **state)
{
    const struct openapi_value *values;
    struct openapi_mistake mistake;
    struct arena arena;
    struct openapi *document = fixture_contract();
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(validate(document, TEXT("/v1/regions"), TEXT("lmit=3"), &arena, &values, &mistake),
                     STATUS_INVALID);
    assert_string_equal(mistake.field, "lmit");
    assert_non_null(strstr(mistake.message, "bbox"));
    assert_non_null(strstr(mistake.message, "did you mean limit?"));
    assert_int_equal(validate(document, TEXT("/v1/regions"), TEXT("a%0A%1b%c3%a9=3"), &arena, &values, &mistake),
                     STATUS_INVALID);
    assert_string_equal(mistake.field, "a????");
    char long_name[401];
    memset(long_name, 'n', 400);
    long_name[400] = '\0';
    assert_int_equal(validate(document, TEXT("/v1/regions"), text_from_string(long_name), &arena, &values, &mistake),
                     STATUS_INVALID);
    assert_int_equal(strlen(mistake.field), sizeof(mistake.field) - 1);
    arena_free(&arena);
    openapi_free(document);
}

static void path_parameter_is_checked_by_its_schema(void **state)
{
    const struct openapi_value *values;
    struct openapi_mistake mistake;
    struct arena arena;
    struct openapi *document = fixture_contract();
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_int_equal(validate(document, TEXT("/v1/regions/BG-s%6Ffia"), TEXT_NONE, &arena, &values, &mistake),
                     STATUS_OK);
    size_t index = openapi_parameter_index(openapi_operation_by_id(document, TEXT("getRegion")), TEXT("region_id"));
    assert_true(text_equal(values[index].text, TEXT("BG-sofia")));
    assert_int_equal(validate(document, TEXT("/v1/regions/a%2fb"), TEXT_NONE, &arena, &values, &mistake),
                     STATUS_INVALID);
    assert_int_equal(mistake.place, OPENAPI_PATH);
    assert_string_equal(mistake.field, "region_id");
    assert_false(mistake.too_long);
    arena_free(&arena);
    openapi_free(document);
}

static void header_parameter_is_found_by_its_lower_case_name(void **state)
{
    const struct openapi_value *values;
    struct openapi_mistake mistake;
    struct openapi_route route;
    struct arena arena;
    struct openapi *document = fixture_with_parameters(
        "{name: X-Days, in: header, required: true, schema: {type: array, items: {type: integer}}}");
    arena_init(&arena, NULL, 0, 1 << 20);
    openapi_route(document, TEXT("GET"), TEXT("/x"), &arena, &route);
    struct given_headers given = {"x-days", TEXT("1, 2,3")};
    struct openapi_input input = {.route = &route, .header = give_header, .header_context = &given};
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_OK);
    assert_int_equal(values[0].count, 3);
    assert_int_equal(values[0].items[1].integer, 2);
    /* Headers are not percent-encoded. */
    given.value = TEXT("%31");
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    assert_int_equal(mistake.place, OPENAPI_HEADER);
    assert_string_equal(mistake.field, "x-days");
    given.value = TEXT("\xff");
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    given.name = "other";
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    assert_string_equal(mistake.message, "is missing");
    input.header = NULL;
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    arena_free(&arena);
    openapi_free(document);
}

static void open_query_is_left_to_the_handler_whole(void **state)
{
    static const char *const queries[] = {"",     "limit=x", "day=gte.1&day=lt.2", "a=%zz",     "a=%00",
                                          "=&&=", "limit=1", "order=\xff",         "filters=1", "limit=1&limit=2"};
    const struct openapi_value *values;
    struct openapi_mistake mistake;
    struct arena arena;
    struct openapi *document =
        fixture_with_parameters("{name: limit, in: query, schema: {type: integer, default: 5}}, {name: filters, in: "
                                "query, style: form, explode: true, schema: {type: object, additionalProperties: "
                                "{type: string}}}, {name: X-Day, in: header, schema: {type: string, default: today}}");
    arena_init(&arena, NULL, 0, 1 << 20);
    assert_true(openapi_operation_by_id(document, TEXT("getX"))->open_query);
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        if (validate(document, TEXT("/x"), text_from_string(queries[i]), &arena, &values, &mistake) != STATUS_OK)
            fail_msg("%s: %s", queries[i], mistake.message);
        assert_false(values[0].present || values[1].present);
        assert_true(text_equal(values[2].text, TEXT("today")));
    }
    arena_free(&arena);
    openapi_free(document);
}

static void paths_and_headers_beside_an_open_query_are_checked_as_ever(void **state)
{
    const struct openapi_value *values;
    struct openapi_mistake mistake;
    struct openapi_route route;
    struct arena arena;
    struct openapi *document = fixture_load(
        FIXTURE_HEAD
        "  \"/x/{name}\":\n    get:\n      operationId: x\n      security: []\n"
        "      responses: {\"200\": {description: fine}}\n      parameters:\n"
        "        - {name: name, in: path, required: true, schema: {type: string, maxLength: 3}}\n"
        "        - {name: X-Days, in: header, required: true, schema: {type: integer}}\n"
        "        - {name: any, in: query, schema: {type: object, additionalProperties: {type: string}}}\n");
    struct given_headers given = {"x-days", TEXT("7")};
    arena_init(&arena, NULL, 0, 1 << 20);
    struct openapi_input input = {
        .route = &route, .query = TEXT("a=1"), .header = give_header, .header_context = &given};
    openapi_route(document, TEXT("GET"), TEXT("/x/a%3Bb"), &arena, &route);
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_OK);
    assert_true(text_equal(values[0].text, TEXT("a;b")));
    assert_int_equal(values[1].integer, 7);
    given.value = TEXT("seven");
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    assert_string_equal(mistake.field, "x-days");
    given.name = "other";
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    assert_string_equal(mistake.message, "is missing");
    openapi_route(document, TEXT("GET"), TEXT("/x/abcd"), &arena, &route);
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    assert_string_equal(mistake.field, "name");
    arena_free(&arena);
    openapi_free(document);
}

static void name_of_a_dataset_may_hold_what_a_relations_name_holds(void **state)
{
    static const struct {
        const char *path, *name; /* NULL: 404 */
    } asked[] = {{"/v1/datasets/weather_daily", "weather_daily"},
                 {"/v1/datasets/Mixed%20Case", "Mixed Case"},
                 {"/v1/datasets/analytics.heat%3Bwaves", "analytics.heat;waves"},
                 {"/v1/datasets/a$b;c", "a$b;c"},
                 {"/v1/datasets/a%2Fb", "a/b"},
                 {"/v1/datasets/%22", "\""},
                 {"/v1/datasets/schema", "schema"},
                 {"/v1/datasets/weather_daily/below", NULL},
                 {"/v1/datasets/weather_daily/", NULL},
                 {"/v1/datasets/", NULL}};
    struct openapi *document = fixture_contract();
    size_t index = openapi_parameter_index(openapi_operation_by_id(document, TEXT("readDataset")), TEXT("dataset"));
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        const struct openapi_value *values;
        struct openapi_mistake mistake;
        struct openapi_route route;
        openapi_route(document, TEXT("GET"), text_from_string(asked[i].path), &arena, &route);
        if (asked[i].name == NULL) {
            assert_int_equal(route.status, STATUS_NOT_FOUND);
            continue;
        }
        assert_int_equal(route.status, STATUS_OK);
        assert_true(text_equal(route.operation->id, TEXT("readDataset")));
        struct openapi_input input = {.route = &route};
        assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_OK);
        assert_true(text_equal(values[index].text, text_from_string(asked[i].name)));
    }
    arena_free(&arena);
    openapi_free(document);
}

static void too_much_for_the_arena_is_too_long(void **state)
{
    const struct openapi_value *values;
    struct openapi_mistake mistake;
    struct openapi_route route;
    struct arena arena;
    static char query[60000] = "p=";
    struct openapi *document = fixture_with_schema("{type: array, items: {type: string}}");
    arena_init(&arena, NULL, 0, 1 << 16);
    openapi_route(document, TEXT("GET"), TEXT("/x"), &arena, &route);
    memset(query + 2, ',', sizeof(query) - 2);
    struct openapi_input input = {.route = &route, .query = text_of(query, sizeof(query))};
    assert_int_equal(openapi_validate(&input, &arena, &values, &mistake), STATUS_INVALID);
    assert_true(mistake.too_long);
    arena_free(&arena);
    openapi_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_parameter_case_gives_its_value_or_its_mistake),
        cmocka_unit_test(absent_query_leaves_defaults_and_missing_ones_are_named),
        cmocka_unit_test(unknown_parameter_is_printable_and_its_neighbours_are_named),
        cmocka_unit_test(path_parameter_is_checked_by_its_schema),
        cmocka_unit_test(header_parameter_is_found_by_its_lower_case_name),
        cmocka_unit_test(open_query_is_left_to_the_handler_whole),
        cmocka_unit_test(paths_and_headers_beside_an_open_query_are_checked_as_ever),
        cmocka_unit_test(name_of_a_dataset_may_hold_what_a_relations_name_holds),
        cmocka_unit_test(too_much_for_the_arena_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
