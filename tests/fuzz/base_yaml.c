/* Any bytes as a YAML document: refused with words that name the document, or a tree whose JSON is well-formed enough
 * to be YAML again (JSON is nearly a subset of it), with the same JSON. */
#include <stdlib.h>

#include "base/buffer.h"
#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_CEILING ((size_t)4 << 20)

static void check_node(const struct yaml_node *node, int depth)
{
    bool truth;
    int64_t integer;
    double number;
    if (depth > 64 || node->line < 1)
        abort();
    if (node->kind == YAML_SCALAR && (node->text.data[node->text.size] != '\0' || !text_is_utf8(node->text)))
        abort();
    /* A scalar is never two of these at once; an integer is a number too, within the length that numbers may have. */
    bool is_integer = yaml_to_int64(node, &integer), is_number = yaml_to_double(node, &number);
    if (yaml_is_null(node) + yaml_to_bool(node, &truth) + is_number > 1 ||
        (is_integer && !is_number && node->text.size <= 64))
        abort();
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == YAML_SEQUENCE)
            check_node(node->items[i], depth + 1);
        else if (node->pairs[i].key->kind != YAML_SCALAR)
            abort();
        else
            check_node(node->pairs[i].value, depth + 1);
    }
}

/* NEL, LS and PS end a line of YAML 1.1, and are white space to fold within quotes; in JSON they are characters. */
static bool has_line_end(struct text json)
{
    return memmem(json.data, json.size, "\xC2\x85", 2) != NULL ||
           memmem(json.data, json.size, "\xE2\x80\xA8", 3) != NULL ||
           memmem(json.data, json.size, "\xE2\x80\xA9", 3) != NULL;
}

static void check_json(const struct yaml_node *root, struct buffer *json)
{
    struct arena arena;
    struct buffer again;
    struct yaml_node *node = NULL;
    struct failure failure;
    arena_init(&arena, NULL, 0, ARENA_CEILING);
    buffer_init(&again, (size_t)8 << 20);
    buffer_init(json, (size_t)8 << 20);
    yaml_append_json(root, json);
    /* libyaml takes a key of up to 1024 characters; a scalar alone may hold DEL, which it reads escaped only. */
    if (!json->failed && !has_line_end(buffer_text(json)) &&
        yaml_parse(&arena, "json", buffer_text(json), &node, &failure) == STATUS_OK) {
        yaml_append_json(node, &again);
        if (!text_equal(buffer_text(json), buffer_text(&again)))
            abort();
    }
    buffer_free(&again);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct buffer json;
    struct yaml_node *root = NULL;
    struct failure failure = {0};
    arena_init(&arena, NULL, 0, ARENA_CEILING);
    if (yaml_parse(&arena, "fuzz", text_of((const char *)data, size), &root, &failure) == STATUS_OK) {
        check_node(root, 0);
        check_json(root, &json);
        if (!text_is_utf8(buffer_text(&json)))
            abort();
        buffer_free(&json);
    } else if (strncmp(failure.message, "fuzz:", 5) != 0) {
        abort();
    }
    if (arena.used > ARENA_CEILING)
        abort();
    arena_free(&arena);
    return 0;
}
