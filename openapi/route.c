#include "base/encoding.h"
#include "openapi/document.h"

struct split_path {
    struct text segments[OPENAPI_MAX_SEGMENTS]; /* decoded */
    size_t count;
};

/* One segment, decoded once. Escapes are rare: what has none is used where it stands. */
static enum status decode_segment(struct text *segment, struct arena *arena)
{
    bool escaped = false, ascii = true;
    for (size_t i = 0; i < segment->size; i++) {
        unsigned char byte = (unsigned char)segment->data[i];
        escaped |= byte == '%';
        ascii &= byte < 0x80 && byte != 0;
    }
    if (!escaped && ascii)
        return STATUS_OK;
    char *decoded = arena_alloc(arena, segment->size);
    size_t size;
    if (decoded == NULL || !encoding_percent_decode(*segment, false, decoded, &size) ||
        !text_is_utf8(text_of(decoded, size)))
        return STATUS_INVALID;
    *segment = text_of(decoded, size);
    return STATUS_OK;
}

static enum status split(struct text path, struct arena *arena, struct split_path *out)
{
    out->count = 0;
    if (path.size == 0 || path.data[0] != '/')
        return STATUS_NOT_FOUND;
    struct text rest = text_of(path.data + 1, path.size - 1);
    while (rest.data != NULL) {
        struct text segment = text_split(&rest, '/');
        if (out->count == OPENAPI_MAX_SEGMENTS)
            return STATUS_NOT_FOUND;
        enum status status = decode_segment(&segment, arena);
        if (status != STATUS_OK)
            return status;
        if (segment.size == 0 || text_equal(segment, TEXT(".")) || text_equal(segment, TEXT("..")))
            return STATUS_NOT_FOUND;
        out->segments[out->count++] = segment;
    }
    return STATUS_OK;
}

static bool fits(const struct document_path *path, const struct split_path *asked)
{
    if (path->segment_count != asked->count)
        return false;
    for (size_t i = 0; i < asked->count; i++)
        if (!path->is_variable[i] && !text_equal(path->segments[i], asked->segments[i]))
            return false;
    return true;
}

static int method_of(struct text method)
{
    static const struct {
        struct text name;
        int method;
    } methods[] = {{{"GET", 3}, METHOD_GET},   {{"HEAD", 4}, METHOD_GET},    {{"PUT", 3}, METHOD_PUT},
                   {{"POST", 4}, METHOD_POST}, {{"PATCH", 5}, METHOD_PATCH}, {{"DELETE", 6}, METHOD_DELETE}};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (text_equal(method, methods[i].name))
            return methods[i].method;
    return -1;
}

void openapi_route(const struct openapi *document, struct text method, struct text path, struct arena *arena,
                   struct openapi_route *route)
{
    struct split_path asked;
    route->operation = NULL;
    route->allow[0] = '\0';
    route->variable_count = 0;
    route->status = split(path, arena, &asked);
    if (route->status != STATUS_OK)
        return;
    route->status = STATUS_NOT_FOUND;
    for (size_t i = 0; i < document->path_count; i++) {
        const struct document_path *found = &document->paths[i];
        if (!fits(found, &asked))
            continue;
        int wanted = method_of(method);
        route->operation = wanted >= 0 ? found->operations[wanted] : NULL;
        route->status = route->operation != NULL ? STATUS_OK : STATUS_DENIED;
        if (route->operation == NULL)
            memcpy(route->allow, found->allow, sizeof(route->allow));
        size_t variables = 0;
        for (size_t k = 0; k < asked.count; k++)
            if (found->is_variable[k]) {
                route->names[variables] = found->segments[k];
                route->variables[variables++] = asked.segments[k];
            }
        route->variable_count = variables;
        return;
    }
}
