/* The method, a space, and a raw path from bytes, against the contract. */
#include "tests/fuzz/openapi_contract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char first[256];
    struct arena arena;
    struct openapi_route route;
    struct text path = text_of((const char *)data, size), method = text_split(&path, ' ');
    if (path.data == NULL)
        path = TEXT("");
    arena_init(&arena, first, sizeof(first), 1 << 16);
    openapi_route(contract(), method, path, &arena, &route);
    if ((route.status == STATUS_OK) != (route.operation != NULL) ||
        (route.status == STATUS_DENIED) != (route.allow[0] != '\0'))
        abort();
    if (route.status != STATUS_OK && route.status != STATUS_DENIED && route.status != STATUS_NOT_FOUND &&
        route.status != STATUS_INVALID)
        abort();
    for (size_t i = 0; i < route.variable_count; i++) {
        struct text value = route.variables[i];
        if (value.size == 0 || !text_is_utf8(value) || memchr(value.data, 0, value.size) != NULL)
            abort();
    }
    arena_free(&arena);
    return 0;
}
