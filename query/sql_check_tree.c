#include "query/sql_check_private.h"

/* --- Depth. protobuf-c unpacks by recursion without a limit, so it is measured on the packed bytes before. --- */

struct level {
    const ProtobufCMessageDescriptor *descriptor;
    const uint8_t *end;
};

static const uint8_t *read_varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        *value |= (uint64_t)(*at & 0x7f) << shift;
        if ((*at++ & 0x80) == 0)
            return at;
    }
    return NULL;
}

/* Past one field; *into is its message's descriptor where it is one: then the field's content comes next, *size bytes.
 */
static const uint8_t *read_field(const struct level *level, const uint8_t *at, const ProtobufCMessageDescriptor **into,
                                 uint64_t *size)
{
    uint64_t key;
    *into = NULL;
    *size = 0;
    at = read_varint(at, level->end, &key);
    if (at == NULL)
        return NULL;
    switch (key & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return read_varint(at, level->end, size);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        return level->end - at >= 8 ? at + 8 : NULL;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        return level->end - at >= 4 ? at + 4 : NULL;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        break;
    default:
        return NULL;
    }
    at = read_varint(at, level->end, size);
    if (at == NULL || *size > (uint64_t)(level->end - at))
        return NULL;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(level->descriptor, (unsigned)(key >> 3));
    if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE)
        return at + *size;
    *into = field->descriptor;
    return at;
}

static bool is_shallow(struct sql_check *check, const PgQueryProtobuf *packed)
{
    struct level *levels = arena_alloc(check->arena, SQL_CHECK_DEPTH * sizeof(*levels));
    if (levels == NULL)
        return sql_check_no_memory(check);
    const uint8_t *at = (const uint8_t *)packed->data;
    size_t depth = 1;
    levels[0] = (struct level){&pg_query__parse_result__descriptor, at + packed->len};
    while (depth != 0) {
        const ProtobufCMessageDescriptor *into;
        uint64_t size;
        if (at == levels[depth - 1].end) {
            depth--;
            continue;
        }
        at = read_field(&levels[depth - 1], at, &into, &size);
        if (at == NULL)
            return sql_check_fail(check, "this query can't be read");
        if (into == NULL)
            continue;
        if (depth == SQL_CHECK_DEPTH)
            return sql_check_fail(check, "this query is nested too deep: simplify it, or cut it into parts (WITH …)");
        levels[depth++] = (struct level){into, at + size};
    }
    return true;
}

static void *allocate(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void keep(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

ProtobufCAllocator sql_check_allocator(struct arena *arena)
{
    return (ProtobufCAllocator){allocate, keep, arena};
}

bool sql_check_parse(struct sql_check *check, const char *sql, PgQuery__ParseResult **tree)
{
    PgQueryProtobufParseResult parsed = pg_query_parse_protobuf(sql);
    bool done =
        parsed.error == NULL ? is_shallow(check, &parsed.parse_tree) : sql_check_fail_parse(check, parsed.error);
    if (done) {
        ProtobufCAllocator allocator = sql_check_allocator(check->arena);
        *tree =
            pg_query__parse_result__unpack(&allocator, parsed.parse_tree.len, (const uint8_t *)parsed.parse_tree.data);
        done = *tree != NULL || sql_check_no_memory(check);
    }
    pg_query_free_protobuf_parse_result(parsed);
    return done;
}

/* --- Comparison --- */

/* One value of a field that is not repeated, or one of a repeated one's. */
static bool equal_values(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return sql_check_equal(*(ProtobufCMessage *const *)a, *(ProtobufCMessage *const *)b);
    case PROTOBUF_C_TYPE_STRING:
        return text_equal(text_from_string(*(char *const *)a), text_from_string(*(char *const *)b));
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)a == *(const protobuf_c_boolean *)b;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    default:
        return false; /* libpg_query has no other: the answer errs on the safe side */
    }
}

static bool equal_repeated(const ProtobufCFieldDescriptor *field, const char *a, const char *b)
{
    size_t count = *(const size_t *)(a + field->quantifier_offset);
    size_t width = field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING ? sizeof(void *)
                   : field->type == PROTOBUF_C_TYPE_INT64 || field->type == PROTOBUF_C_TYPE_UINT64 ? 8
                                                                                                   : 4;
    if (count != *(const size_t *)(b + field->quantifier_offset))
        return false;
    const char *first = *(char *const *)(a + field->offset), *second = *(char *const *)(b + field->offset);
    for (size_t i = 0; i < count; i++)
        if (!equal_values(field, first + i * width, second + i * width))
            return false;
    return true;
}

static bool is_place(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_INT32 &&
           (strcmp(field->name, "location") == 0 || strcmp(field->name, "stmt_location") == 0 ||
            strcmp(field->name, "stmt_len") == 0);
}

bool sql_check_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (a == NULL || b == NULL || a->descriptor != b->descriptor)
        return a == b;
    /* A node holds one of 200 kinds. */
    if (a->descriptor == &pg_query__node__descriptor) {
        const PgQuery__Node *first = (const PgQuery__Node *)a, *second = (const PgQuery__Node *)b;
        return first->node_case == second->node_case &&
               (first->node_case == PG_QUERY__NODE__NODE__NOT_SET ||
                sql_check_equal((const ProtobufCMessage *)first->string, (const ProtobufCMessage *)second->string));
    }
    for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &a->descriptor->fields[i];
        const char *first = (const char *)a, *second = (const char *)b;
        if (is_place(field))
            continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            if (!equal_repeated(field, first, second))
                return false;
            continue;
        }
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            uint32_t which = *(const uint32_t *)(first + field->quantifier_offset);
            if (which != *(const uint32_t *)(second + field->quantifier_offset))
                return false;
            if (which != field->id)
                continue;
        }
        if (!equal_values(field, first + field->offset, second + field->offset))
            return false;
    }
    return true;
}
