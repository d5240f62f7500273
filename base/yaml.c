/* From libyaml's events to the tree. What the scalars mean stands in base/yaml_scalar.c. */
#include "base/yaml.h"

#include <yaml.h>

#define MAX_DEPTH 64    /* levels; bounds the stack of everything that walks the tree */
#define MAX_ITEMS 65536 /* of a sequence */
#define MAX_KEYS 4096   /* of a mapping: each is compared with those before it */

struct reader {
    yaml_parser_t parser;
    struct text source;
    struct arena *arena;
    const char *name;
    struct failure *failure;
};

static enum status refuse(struct reader *reader, size_t line, const char *reason)
{
    return failure_set(reader->failure, STATUS_INVALID, "%s:%zu: %s", reader->name, line + 1, reason);
}

static enum status too_large(struct reader *reader)
{
    return failure_set(reader->failure, STATUS_TOO_LARGE,
                       "%s: takes more than the %zu bytes of memory that a document may; split or shorten it",
                       reader->name, reader->arena->ceiling);
}

/* Lines before the byte at `offset`. */
static size_t line_at(struct text source, size_t offset)
{
    size_t line = 0;
    for (size_t i = 0; i < offset && i < source.size; i++)
        line += source.data[i] == '\n';
    return line;
}

static enum status refuse_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read as YAML";
    if (parser->error == YAML_MEMORY_ERROR)
        return too_large(reader);
    if (parser->error == YAML_READER_ERROR) /* has an offset only */
        return failure_set(reader->failure, STATUS_INVALID, "%s:%zu: %s (0x%02X); remove the character", reader->name,
                           line_at(reader->source, parser->problem_offset) + 1, problem,
                           (unsigned)parser->problem_value);
    if (parser->context == NULL)
        return refuse(reader, parser->problem_mark.line, problem);
    return failure_set(reader->failure, STATUS_INVALID,
                       "%s:%zu: %s %s that begins in line %zu; look at the indentation, brackets and quotes there",
                       reader->name, parser->problem_mark.line + 1, problem, parser->context,
                       parser->context_mark.line + 1);
}

static enum status next_event(struct reader *reader, yaml_event_t *event)
{
    return yaml_parser_parse(&reader->parser, event) ? STATUS_OK : refuse_syntax(reader);
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
    struct text value = text_of((const char *)event->data.scalar.value, event->data.scalar.length);
    if (memchr(value.data, '\0', value.size) != NULL)
        return refuse(reader, event->start_mark.line, "a NUL character is not allowed; remove the \\0");
    struct yaml_node *node = new_node(reader, YAML_SCALAR, event);
    if (node == NULL)
        return too_large(reader);
    node->text = arena_copy(reader->arena, value);
    if (node->text.data == NULL)
        return too_large(reader);
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
        if (node->count == MAX_ITEMS)
            return refuse(reader, (size_t)item->line - 1, "a sequence may have 65536 items; split it");
        struct yaml_node **items = grow(reader->arena, node->items, node->count, sizeof(item));
        if (items == NULL)
            return too_large(reader);
        node->items = items;
        node->items[node->count++] = item;
    }
}

static enum status check_key(struct reader *reader, const struct yaml_node *node, const struct yaml_node *key)
{
    if (key->kind != YAML_SCALAR)
        return refuse(reader, (size_t)key->line - 1, "a key must be a scalar; write a word before the colon");
    if (node->count == MAX_KEYS)
        return refuse(reader, (size_t)key->line - 1, "a mapping may have 4096 keys; split it");
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
    struct yaml_pair *pairs = grow(reader->arena, node->pairs, node->count, sizeof(*pairs));
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

/* NULL, or why the node that the event begins is refused. */
static const char *objection(const yaml_event_t *event, int depth)
{
    const unsigned char *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (event->type == YAML_ALIAS_EVENT || anchor != NULL)
        return "anchors and aliases are not accepted; write the value out";
    if (tag != NULL)
        return "tags are not accepted; quote the value if it shall be a string";
    return depth > MAX_DEPTH ? "nested too deeply; 64 levels are allowed" : NULL;
}

/* Consumes the event. */
static enum status read_node(struct reader *reader, yaml_event_t *event, int depth, struct yaml_node **out)
{
    enum status status;
    const char *reason = objection(event, depth);
    if (reason != NULL)
        status = refuse(reader, event->start_mark.line, reason);
    else if (event->type == YAML_SCALAR_EVENT)
        status = read_scalar(reader, event, out);
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        status = read_sequence(reader, event, depth, out);
    else
        status = read_mapping(reader, event, depth, out);
    yaml_event_delete(event);
    return status;
}

/* Drops *event and reads the one behind it. */
static enum status skip_event(struct reader *reader, yaml_event_t *event)
{
    yaml_event_delete(event);
    return next_event(reader, event);
}

/* Between the document's end and the stream's. */
static enum status read_end(struct reader *reader)
{
    yaml_event_t event;
    enum status status = next_event(reader, &event); /* document end */
    if (status == STATUS_OK)
        status = skip_event(reader, &event);
    if (status != STATUS_OK)
        return status;
    if (event.type != YAML_STREAM_END_EVENT)
        status = refuse(reader, event.start_mark.line, "a second document begins here; only one is accepted");
    yaml_event_delete(&event);
    return status;
}

static enum status read_document(struct reader *reader, struct yaml_node **root)
{
    yaml_event_t event;
    enum status status = next_event(reader, &event); /* stream start */
    if (status == STATUS_OK)
        status = skip_event(reader, &event);
    if (status != STATUS_OK)
        return status;
    if (event.type == YAML_STREAM_END_EVENT) {
        status = refuse(reader, event.start_mark.line, "the document is empty");
        yaml_event_delete(&event);
        return status;
    }
    status = skip_event(reader, &event); /* document start */
    if (status == STATUS_OK)
        status = read_node(reader, &event, 0, root);
    return status == STATUS_OK ? read_end(reader) : status;
}

static enum status check_utf8(struct reader *reader)
{
    struct text rest = reader->source;
    for (size_t line = 0; rest.data != NULL; line++) /* no sequence goes across a line's end */
        if (!text_is_utf8(text_split(&rest, '\n')))
            return refuse(reader, line, "this line is not valid UTF-8; save the file as UTF-8");
    return STATUS_OK;
}

enum status yaml_parse(struct arena *arena, const char *name, struct text source, struct yaml_node **root,
                       struct failure *failure)
{
    struct reader reader = {
        .source = source.data != NULL ? source : TEXT(""), .arena = arena, .name = name, .failure = failure};
    enum status status = check_utf8(&reader);
    if (status != STATUS_OK)
        return status;
    if (!yaml_parser_initialize(&reader.parser))
        return failure_set(failure, STATUS_FAILED, "%s: no memory to read it with", name);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)reader.source.data, reader.source.size);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    status = read_document(&reader, root);
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
