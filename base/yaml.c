#include "base/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/buffer.h"
#include "base/json.h"

#define MAX_DEPTH 64
#define MAX_CHILDREN 65536

struct reader {
    yaml_parser_t parser;
    struct arena *arena;
    const char *name;
    struct failure *failure;
};

static enum status refuse(struct reader *reader, size_t line, const char *reason)
{
    return failure_set(reader->failure, STATUS_INVALID, "%s:%zu: %s", reader->name, line + 1, reason);
}

static enum status next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return STATUS_OK;
    const char *problem = reader->parser.problem != NULL ? reader->parser.problem : "cannot be read as YAML";
    return refuse(reader, reader->parser.problem_mark.line, problem);
}

static enum status read_node(struct reader *reader, yaml_event_t *event, int depth, struct yaml_node **out);

static struct yaml_node *new_node(struct reader *reader, enum yaml_kind kind, const yaml_event_t *event)
{
    struct yaml_node *node = arena_calloc(reader->arena, 1, sizeof(*node));
    if (node != NULL) {
        node->kind = kind;
        node->line = (int)event->start_mark.line + 1;
    }
    return node;
}

static enum status read_scalar(struct reader *reader, const yaml_event_t *event, struct yaml_node **out)
{
    struct yaml_node *node = new_node(reader, YAML_SCALAR, event);
    struct text value = text_of((const char *)event->data.scalar.value, event->data.scalar.length);
    if (memchr(value.data, '\0', value.size) != NULL)
        return refuse(reader, event->start_mark.line, "a NUL character is not allowed");
    if (node != NULL)
        node->text = arena_copy(reader->arena, value);
    if (node == NULL || node->text.data == NULL)
        return failure_set(reader->failure, STATUS_TOO_LARGE, "%s: the document is too large", reader->name);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    *out = node;
    return STATUS_OK;
}

/* A growing array in the arena: doubled and copied, so that at most as much again is lost. */
static void *grow(struct arena *arena, void *items, size_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return items;
    void *more = arena_alloc(arena, (count != 0 ? count * 2 : 1) * size);
    if (more != NULL && count != 0)
        memcpy(more, items, count * size);
    return more;
}

static enum status too_large(struct reader *reader)
{
    return failure_set(reader->failure, STATUS_TOO_LARGE, "%s: the document is too large", reader->name);
}

static enum status read_sequence(struct reader *reader, const yaml_event_t *start, int depth, struct yaml_node **out)
{
    struct yaml_node *node = new_node(reader, YAML_SEQUENCE, start);
    if (node == NULL)
        return too_large(reader);
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(reader, &event);
        if (status != STATUS_OK)
            return status;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            *out = node;
            return STATUS_OK;
        }
        struct yaml_node *item = NULL;
        status = read_node(reader, &event, depth + 1, &item);
        if (status != STATUS_OK)
            return status;
        struct yaml_node **items =
            node->count < MAX_CHILDREN ? grow(reader->arena, node->items, node->count, sizeof(item)) : NULL;
        if (items == NULL)
            return too_large(reader);
        node->items = items;
        node->items[node->count++] = item;
    }
}

static enum status check_key(struct reader *reader, const struct yaml_node *node, const struct yaml_node *key)
{
    if (key->kind != YAML_SCALAR)
        return refuse(reader, (size_t)key->line - 1, "a key must be a plain word");
    for (size_t i = 0; i < node->count; i++)
        if (text_equal(node->pairs[i].key->text, key->text))
            return failure_set(reader->failure, STATUS_INVALID,
                               "%s:%d: the key %.*s stands here for the second time (first in line %d); remove one",
                               reader->name, key->line, TEXT_ARGS(key->text), node->pairs[i].key->line);
    return STATUS_OK;
}

static enum status read_pair(struct reader *reader, yaml_event_t *event, int depth, struct yaml_node *node)
{
    struct yaml_node *key = NULL, *value = NULL;
    yaml_event_t value_event;
    enum status status = read_node(reader, event, depth + 1, &key);
    if (status == STATUS_OK)
        status = check_key(reader, node, key);
    if (status == STATUS_OK)
        status = next_event(reader, &value_event);
    if (status == STATUS_OK)
        status = read_node(reader, &value_event, depth + 1, &value);
    if (status != STATUS_OK)
        return status;
    struct yaml_pair *pairs =
        node->count < MAX_CHILDREN ? grow(reader->arena, node->pairs, node->count, sizeof(*pairs)) : NULL;
    if (pairs == NULL)
        return too_large(reader);
    node->pairs = pairs;
    node->pairs[node->count++] = (struct yaml_pair){key, value};
    return STATUS_OK;
}

static enum status read_mapping(struct reader *reader, const yaml_event_t *start, int depth, struct yaml_node **out)
{
    struct yaml_node *node = new_node(reader, YAML_MAPPING, start);
    if (node == NULL)
        return too_large(reader);
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(reader, &event);
        if (status != STATUS_OK)
            return status;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            *out = node;
            return STATUS_OK;
        }
        status = read_pair(reader, &event, depth, node);
        if (status != STATUS_OK)
            return status;
    }
}

static bool has_anchor(const yaml_event_t *event)
{
    return (event->type == YAML_SCALAR_EVENT && event->data.scalar.anchor != NULL) ||
           (event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.anchor != NULL) ||
           (event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.anchor != NULL);
}

/* Consumes the event. */
static enum status read_node(struct reader *reader, yaml_event_t *event, int depth, struct yaml_node **out)
{
    enum status status;
    if (depth > MAX_DEPTH)
        status = refuse(reader, event->start_mark.line, "nested too deeply (64 levels are allowed)");
    else if (event->type == YAML_ALIAS_EVENT || has_anchor(event))
        status = refuse(reader, event->start_mark.line, "anchors and aliases are not accepted; write the value out");
    else if (event->type == YAML_SCALAR_EVENT)
        status = read_scalar(reader, event, out);
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        status = read_sequence(reader, event, depth, out);
    else if (event->type == YAML_MAPPING_START_EVENT)
        status = read_mapping(reader, event, depth, out);
    else
        status = refuse(reader, event->start_mark.line, "the document is empty");
    yaml_event_delete(event);
    return status;
}

/* The events around the one document. */
static enum status read_document(struct reader *reader, struct yaml_node **root)
{
    yaml_event_t event;
    enum status status = next_event(reader, &event);
    for (int i = 0; status == STATUS_OK && i < 1; i++) { /* stream start */
        yaml_event_delete(&event);
        status = next_event(reader, &event);
    }
    if (status != STATUS_OK)
        return status;
    if (event.type != YAML_DOCUMENT_START_EVENT) {
        yaml_event_delete(&event);
        return refuse(reader, 0, "the document is empty");
    }
    yaml_event_delete(&event);
    status = next_event(reader, &event);
    if (status == STATUS_OK)
        status = read_node(reader, &event, 0, root);
    if (status == STATUS_OK && (status = next_event(reader, &event)) == STATUS_OK) /* document end */
        yaml_event_delete(&event);
    if (status == STATUS_OK && (status = next_event(reader, &event)) == STATUS_OK) {
        bool ended = event.type == YAML_STREAM_END_EVENT;
        size_t line = event.start_mark.line;
        yaml_event_delete(&event);
        if (!ended)
            status = refuse(reader, line, "a second document begins here; only one is accepted");
    }
    return status;
}

enum status yaml_parse(struct arena *arena, const char *name, struct text source, struct yaml_node **root,
                       struct failure *failure)
{
    struct reader reader = {.arena = arena, .name = name, .failure = failure};
    if (!text_is_utf8(source))
        return failure_set(failure, STATUS_INVALID, "%s: the document is not valid UTF-8", name);
    if (!yaml_parser_initialize(&reader.parser))
        return failure_set(failure, STATUS_FAILED, "out of memory");
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)source.data, source.size);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    enum status status = read_document(&reader, root);
    yaml_parser_delete(&reader.parser);
    return status;
}

struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
    struct text wanted = text_from_string(key);
    if (node == NULL || node->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->count; i++)
        if (text_equal(node->pairs[i].key->text, wanted))
            return node->pairs[i].value;
    return NULL;
}

static bool is_plain(const struct yaml_node *node)
{
    return node != NULL && node->kind == YAML_SCALAR && !node->quoted;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return is_plain(node) &&
           (node->text.size == 0 || text_equal(node->text, TEXT("~")) || text_equal(node->text, TEXT("null")) ||
            text_equal(node->text, TEXT("Null")) || text_equal(node->text, TEXT("NULL")));
}

bool yaml_to_int64(const struct yaml_node *node, int64_t *value)
{
    return is_plain(node) && text_to_int64(node->text, value);
}

bool yaml_to_double(const struct yaml_node *node, double *value)
{
    return is_plain(node) && text_to_double(node->text, value);
}

bool yaml_to_bool(const struct yaml_node *node, bool *value)
{
    *value = is_plain(node) && (text_equal(node->text, TEXT("true")) || text_equal(node->text, TEXT("True")) ||
                                text_equal(node->text, TEXT("TRUE")));
    return *value ||
           (is_plain(node) && (text_equal(node->text, TEXT("false")) || text_equal(node->text, TEXT("False")) ||
                               text_equal(node->text, TEXT("FALSE"))));
}

static void append_scalar(const struct yaml_node *node, struct json *json)
{
    double number;
    bool boolean;
    if (yaml_is_null(node))
        json_null(json);
    else if (yaml_to_bool(node, &boolean))
        json_bool(json, boolean);
    else if (yaml_to_double(node, &number))
        json_raw(json, node->text);
    else
        json_text(json, node->text);
}

static void append_node(const struct yaml_node *node, struct json *json)
{
    if (node->kind == YAML_SCALAR) {
        append_scalar(node, json);
    } else if (node->kind == YAML_SEQUENCE) {
        json_open_array(json);
        for (size_t i = 0; i < node->count; i++)
            append_node(node->items[i], json);
        json_close_array(json);
    } else {
        json_open_object(json);
        for (size_t i = 0; i < node->count; i++) {
            json_key(json, node->pairs[i].key->text);
            append_node(node->pairs[i].value, json);
        }
        json_close_object(json);
    }
}

void yaml_append_json(const struct yaml_node *node, struct buffer *buffer)
{
    struct json json = json_writer(buffer);
    append_node(node, &json);
}
