#include "base/buffer.h"
#include "query/describe_private.h"

#define MAX_DEPTH 8 /* of composites in composites, arrays and domains; below that a value is its text */
#define MAX_DOMAINS 32

static const struct type *make(struct describe_reading *reading, uint32_t oid, unsigned depth);

static struct describe_type *find(const struct describe_reading *reading, uint32_t oid)
{
    for (size_t i = 0; i < reading->type_count; i++)
        if (reading->types[i].oid == oid)
            return &reading->types[i];
    return NULL;
}

void describe_types(struct describe_reading *reading)
{
    const json_t *rows = describe_array(reading->document, "types");
    reading->type_count = json_array_size(rows);
    reading->types = describe_scratch(reading, reading->type_count, sizeof(*reading->types));
    for (size_t i = 0; !reading->failed && i < reading->type_count; i++) {
        const json_t *row = json_array_get(rows, i);
        reading->types[i] = (struct describe_type){describe_oid(json_object_get(row, "oid")), row, NULL};
    }
}

static void make_array(struct describe_reading *reading, struct type *type, const json_t *row, unsigned depth)
{
    struct buffer name;
    const char *delimiter = json_string_value(json_object_get(row, "delimiter"));
    type->kind = TYPE_ARRAY;
    type->element = make(reading, describe_oid(json_object_get(row, "element")), depth);
    type->delimiter = delimiter != NULL ? delimiter[0] : ',';
    if (type->element == NULL)
        return;
    type->has_no_order = type->element->has_no_order;
    buffer_init(&name, 4096);
    buffer_append_text(&name, type->element->name);
    buffer_append_literal(&name, "[]");
    type->name = arena_copy(&reading->dataset->arena, buffer_text(&name));
    reading->failed |= name.failed || type->name.data == NULL;
    buffer_free(&name);
}

static void make_composite(struct describe_reading *reading, struct type *type, const json_t *row, unsigned depth)
{
    const json_t *rows = describe_array(row, "fields");
    size_t count = json_array_size(rows);
    struct type_field *fields = describe_allocate(reading, count, sizeof(*fields));
    type->kind = TYPE_COMPOSITE;
    for (size_t i = 0; !reading->failed && i < count; i++) {
        const json_t *field = json_array_get(rows, i);
        fields[i].name = describe_text(reading, json_array_get(field, 0));
        fields[i].type = make(reading, describe_oid(json_array_get(field, 1)), depth + 1);
        type->has_no_order |= fields[i].type == NULL || fields[i].type->has_no_order;
    }
    type->fields = fields;
    type->field_count = reading->failed ? 0 : count;
}

static void make_enum(struct describe_reading *reading, struct type *type, const json_t *row)
{
    const json_t *rows = describe_array(row, "labels");
    size_t count = json_array_size(rows);
    struct text *labels = describe_allocate(reading, count, sizeof(*labels));
    for (size_t i = 0; !reading->failed && i < count; i++)
        labels[i] = describe_text(reading, json_array_get(rows, i));
    type->is_enum = true;
    type->enum_labels = labels;
    type->enum_label_count = reading->failed ? 0 : count;
}

static void make_domain(struct describe_reading *reading, struct type *type, const json_t *row, unsigned depth)
{
    struct text name = type->name;
    uint32_t oid = type->oid;
    const struct type *base = make(reading, describe_oid(json_object_get(row, "base")), depth);
    if (base == NULL)
        return;
    *type = *base;
    type->name = name;
    type->oid = oid;
}

static void fill(struct describe_reading *reading, struct type *type, const json_t *row, unsigned depth)
{
    const char *is = json_string_value(json_object_get(row, "is"));
    uint32_t element = describe_oid(json_object_get(row, "element"));
    type->name = describe_text(reading, json_object_get(row, "name"));
    switch (is != NULL ? is[0] : 'b') {
    case 'd':
        make_domain(reading, type, row, depth);
        break;
    case 'c':
        make_composite(reading, type, row, depth);
        break;
    case 'e':
        make_enum(reading, type, row);
        break;
    case 'r':
    case 'm':
        type->is_range = true;
        break;
    default:
        type->has_no_order = !json_is_true(json_object_get(row, "ordered"));
        if (element != 0)
            make_array(reading, type, row, depth);
    }
}

/* NULL: out of memory. */
static const struct type *make(struct describe_reading *reading, uint32_t oid, unsigned depth)
{
    const struct type *builtin = type_builtin(oid);
    struct describe_type *known = find(reading, oid);
    if (builtin != NULL || (known != NULL && known->made != NULL))
        return builtin != NULL ? builtin : known->made;
    struct type *type = describe_allocate(reading, 1, sizeof(*type));
    if (type == NULL)
        return NULL;
    *type = (struct type){.oid = oid, .base = oid, .kind = TYPE_STRING, .delimiter = ','};
    if (known == NULL || depth >= MAX_DEPTH) {
        type->has_no_order = true;
        type->name = known != NULL ? describe_text(reading, json_object_get(known->row, "name")) : TEXT("unknown");
        return type;
    }
    fill(reading, type, known->row, depth);
    known->made = type;
    return type;
}

const struct type *describe_make_type(struct describe_reading *reading, uint32_t oid)
{
    return make(reading, oid, 0);
}

bool describe_type_is_not_null(const struct describe_reading *reading, uint32_t oid)
{
    for (unsigned i = 0; i < MAX_DOMAINS; i++) {
        const struct describe_type *type = find(reading, oid);
        if (type == NULL || type_builtin(oid) != NULL)
            return false;
        if (json_is_true(json_object_get(type->row, "not_null")))
            return true;
        oid = describe_oid(json_object_get(type->row, "base"));
    }
    return false;
}
