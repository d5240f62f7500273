/* Datasets by name: which one a caller means, the list of them, and one described at once. */
#include <stdlib.h>

#include "query/datasets_private.h"
#include "query/describe.h"

void datasets_append_element(struct buffer *array, struct text element)
{
    buffer_append_char(array, array->size == 0 ? '{' : ',');
    buffer_append_char(array, '"');
    for (size_t i = 0; i < element.size; i++) {
        if (element.data[i] == '"' || element.data[i] == '\\')
            buffer_append_char(array, '\\');
        buffer_append_char(array, element.data[i]);
    }
    buffer_append_char(array, '"');
}

void datasets_close_array(struct buffer *array)
{
    if (array->size == 0)
        buffer_append_char(array, '{');
    buffer_append_char(array, '}');
}

struct datasets_place datasets_place_of(const struct datasets_options *options, size_t schema)
{
    struct text name = text_from_string(options->schemas[schema].name);
    return (struct datasets_place){.schema = name, .prefix = schema != 0 ? name : TEXT_NONE, .index = schema};
}

bool datasets_is_reserved(struct text prefix)
{
    static const char *const reserved[] = {"uploads", "analytics", "shared", "jobs"};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (text_equal(prefix, text_from_string(reserved[i])))
            return true;
    return false;
}

/* As a name of another schema would be taken: "a.b" is one of the first schema only if no schema `a` is served. */
static bool looks_qualified(const struct datasets_options *options, struct text relation)
{
    struct text rest = relation;
    if (memchr(relation.data, '.', relation.size) == NULL)
        return false;
    if (datasets_is_reserved(text_split(&rest, '.')))
        return true;
    for (size_t i = 0; i < options->schema_count; i++) {
        size_t size = strlen(options->schemas[i].name);
        if (relation.size > size && relation.data[size] == '.' &&
            memcmp(relation.data, options->schemas[i].name, size) == 0)
            return true;
    }
    return false;
}

void datasets_append_name(const struct datasets_options *options, const struct datasets_place *place,
                          struct text relation, struct buffer *out)
{
    if (place->prefix.data != NULL || looks_qualified(options, relation)) {
        buffer_append_text(out, place->prefix.data != NULL ? place->prefix : place->schema);
        buffer_append_char(out, '.');
    }
    buffer_append_text(out, relation);
}

size_t datasets_split(const struct datasets_options *options, struct text name,
                      bool (*visible)(void *context, const struct datasets_schema *schema), void *context,
                      struct text *relation)
{
    size_t found = SIZE_MAX, longest = 0;
    bool dotted = memchr(name.data, '.', name.size) != NULL;
    for (size_t i = 0; dotted && i < options->schema_count; i++) {
        if (options->schemas[i].name[0] != name.data[0])
            continue; /* there may be thousands of them */
        struct text schema = text_from_string(options->schemas[i].name);
        /* A schema's name may hold a dot, too: the longest is meant. */
        if (schema.size > longest && name.size > schema.size && name.data[schema.size] == '.' &&
            text_starts_with(name, schema) && visible(context, &options->schemas[i])) {
            found = i;
            longest = schema.size;
        }
    }
    if (found != SIZE_MAX) {
        *relation = text_of(name.data + longest + 1, name.size - longest - 1);
        return found;
    }
    if (options->schema_count == 0 || !visible(context, &options->schemas[0]))
        return SIZE_MAX;
    *relation = name;
    return 0;
}

const struct postgres_statement *datasets_list_statement(void)
{
    return describe_list_statement();
}

/* The first place that is not behind us. */
static size_t skip_places(const struct datasets_place *places, size_t count, size_t after_index)
{
    size_t first = 0;
    while (first < count && places[first].index < after_index)
        first++;
    return first;
}

enum status datasets_list_parameters(const struct datasets_place *places, size_t count, size_t after_index,
                                     struct text after_relation, uint64_t limit, struct arena *arena,
                                     struct text values[DATASETS_LIST_PARAMETERS])
{
    struct buffer names, roles, digits;
    size_t first = after_relation.data != NULL ? skip_places(places, count, after_index) : 0;
    /* A place that the caller may see no more: from the next one's start. */
    bool within = after_relation.data != NULL && first < count && places[first].index == after_index;
    buffer_init(&names, (size_t)1 << 20);
    buffer_init(&roles, (size_t)1 << 20);
    buffer_init(&digits, 32);
    for (size_t i = first; i < count; i++) {
        datasets_append_element(&names, places[i].schema);
        datasets_append_element(&roles, places[i].role);
    }
    datasets_close_array(&names);
    datasets_close_array(&roles);
    buffer_append_uint64(&digits, limit < INT64_MAX ? limit : INT64_MAX);
    values[0] = arena_copy(arena, buffer_text(&names));
    values[1] = within ? arena_copy(arena, places[first].schema) : TEXT_NONE;
    values[2] = within ? arena_copy(arena, after_relation) : TEXT_NONE;
    values[3] = arena_copy(arena, buffer_text(&digits));
    values[4] = arena_copy(arena, buffer_text(&roles));
    bool failed = names.failed || roles.failed || values[0].data == NULL || values[3].data == NULL ||
                  values[4].data == NULL || (within && (values[1].data == NULL || values[2].data == NULL));
    buffer_free(&names);
    buffer_free(&roles);
    buffer_free(&digits);
    return failed ? STATUS_TOO_LARGE : STATUS_OK;
}

void datasets_list_read(const struct datasets_place *places, size_t count, const struct postgres_rows *rows, size_t row,
                        struct datasets_listing *listing)
{
    struct text schema = postgres_rows_value(rows, row, 0), kind = postgres_rows_value(rows, row, 2),
                estimate = postgres_rows_value(rows, row, 3);
    *listing = (struct datasets_listing){.place = &places[0],
                                         .relation = postgres_rows_value(rows, row, 1),
                                         .kind = dataset_kind_of(kind.size != 0 ? kind.data[0] : 'r'),
                                         .description = postgres_rows_value(rows, row, 4),
                                         .row_estimate = estimate.data != NULL ? strtod(estimate.data, NULL) : -1};
    for (size_t i = 0; i < count; i++)
        if (text_equal(schema, places[i].schema))
            listing->place = &places[i];
    /* A view has no rows of its own to count. */
    if (listing->kind == DATASET_VIEW)
        listing->row_estimate = -1;
}

struct describing {
    const struct datasets_options *options;
    const struct datasets_place *place;
    struct text relation;
    struct dataset *dataset;
    enum status status;
    struct failure *failure;
};

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct describing *describing = context;
    if (postgres_rows_count(rows) != 0)
        describing->status = describe_read(postgres_rows_value(rows, 0, 0), describing->options, describing->place,
                                           describing->relation, &describing->dataset, describing->failure);
}

/* As the session takes them: with a NUL behind. */
static struct text terminate(char out[DATASETS_NAME_MAX + 1], struct text name)
{
    if (name.data == NULL)
        return TEXT_NONE;
    size_t size = name.size <= DATASETS_NAME_MAX ? name.size : 0;
    memcpy(out, name.data, size);
    out[size] = '\0';
    return text_of(out, size);
}

enum status datasets_describe_now(struct postgres_session *session, const struct datasets_options *options,
                                  const struct datasets_place *place, struct text relation,
                                  const struct dataset **dataset, struct failure *failure)
{
    char schema[DATASETS_NAME_MAX + 1], name[DATASETS_NAME_MAX + 1], role[DATASETS_NAME_MAX + 1];
    struct describing describing = {options, place, relation, NULL, STATUS_NOT_FOUND, failure};
    struct text values[] = {terminate(schema, place->schema), terminate(name, relation), terminate(role, place->role)};
    enum status status = STATUS_OK;
    if (values[1].size == relation.size && relation.size != 0)
        status = postgres_session_query(session, describe_statement()->sql, 3, values, on_rows, &describing, failure);
    if (status == STATUS_OK)
        status = describing.status;
    if (status == STATUS_NOT_FOUND)
        return failure_set(failure, status, "there is no relation %.*s.%.*s that this login may read",
                           TEXT_ARGS(place->schema), TEXT_ARGS(relation));
    *dataset = describing.dataset;
    return status;
}
