/* A raw path, '?', and a raw query from bytes, against the contract. What is accepted must keep to its schema. */
#include "tests/fuzz/openapi_contract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const struct openapi_value *value)
{
    if (!value->present)
        return;
    if (value->type != OPENAPI_ARRAY &&
        (!text_is_utf8(value->text) || (value->text.size != 0 && memchr(value->text.data, 0, value->text.size))))
        abort();
    if (value->type == OPENAPI_NUMBER && !(value->number >= -180 && value->number <= 180))
        abort(); /* all numbers of the contract are degrees */
    if (value->type == OPENAPI_INTEGER && (value->integer < 1 || value->integer > 1000))
        abort(); /* and limit is its only integer */
    for (size_t i = 0; value->type == OPENAPI_ARRAY && i < value->count; i++)
        check_value(&value->items[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct openapi_route route;
    const struct openapi_value *values = NULL;
    struct openapi_mistake mistake = {0};
    struct text query = text_of((const char *)data, size), path = text_split(&query, '?');
    arena_init(&arena, NULL, 0, 1 << 20);
    openapi_route(contract(), TEXT("GET"), path, &arena, &route);
    struct openapi_input input = {.route = &route, .query = query};
    if (route.status == STATUS_OK && openapi_validate(&input, &arena, &values, &mistake) == STATUS_OK) {
        for (size_t i = 0; i < route.operation->parameter_count; i++) {
            check_value(&values[i]);
            if (route.operation->parameters[i].required && !values[i].present)
                abort();
            if (route.operation->open_query && route.operation->parameters[i].place == OPENAPI_QUERY &&
                values[i].present)
                abort(); /* the handler's */
        }
    } else if (route.status == STATUS_OK && mistake.message[0] == '\0') {
        abort();
    }
    arena_free(&arena);
    return 0;
}
