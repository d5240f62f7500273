/* What a customer made on his own login passes no check on its way in. It is checked here, once for each description:
 * his views by the rules of his SQL, by which no view over the server's catalogs or over another's things is served. */
#include "query/describe_private.h"
#include "query/sql_check.h"

#define CHECK_CEILING ((size_t)16 << 20)   /* of one definition's check */
#define MAX_OWN 64                         /* relations of his own under one; query/describe_sql.c sends one more */
#define MAX_DEFINITIONS ((size_t)96 << 10) /* bytes, all of them: the check holds up the worker */

static bool holds_name(const json_t *names, struct text name)
{
    size_t i;
    const json_t *each;
    json_array_foreach((json_t *)(uintptr_t)names, i, each)
    {
        if (json_is_string(each) && text_equal(text_of(json_string_value(each), json_string_length(each)), name))
            return true;
    }
    return false;
}

/* The schemas of the warehouse that need no scope of their own, for a description is everybody's, and those that are
 * his. His views in there are checked by their own definitions. */
static bool resolve(void *context, struct text schema, struct text name, struct text *real_schema,
                    struct text *real_name)
{
    const struct describe_reading *reading = context;
    bool found =
        name.size != 0 && name.data[0] != '~' && holds_name(describe_array(reading->document, "own_schemas"), schema);
    for (size_t i = 0; !found && schema.data != NULL && i < reading->options->schema_count; i++)
        found = reading->options->schemas[i].scope == NULL &&
                text_equal(text_from_string(reading->options->schemas[i].name), schema);
    *real_schema = schema;
    *real_name = name;
    return found;
}

static bool may_serve_view(struct describe_reading *reading, struct text definition)
{
    struct arena arena;
    struct sql_checked checked;
    struct sql_check_mistake mistake;
    arena_init(&arena, NULL, 0, CHECK_CEILING);
    enum status status = sql_check_view(definition, resolve, reading, &arena, &checked, &mistake);
    arena_free(&arena);
    return status == STATUS_OK;
}

/* [relkind, whether policies are on, definition of a view or null]. A policy is SQL of his that nobody has checked, and
 * another server's rows are nobody's here. */
static bool may_serve(struct describe_reading *reading, const json_t *row, size_t *left)
{
    const char *kind = json_string_value(json_array_get(row, 0));
    const json_t *definition = json_array_get(row, 2);
    if (kind == NULL || kind[0] == 'f' || json_is_true(json_array_get(row, 1)))
        return false;
    if (kind[0] != 'v' && kind[0] != 'm')
        return true;
    size_t size = json_string_length(definition);
    if (!json_is_string(definition) || size > *left)
        return false;
    *left -= size;
    return may_serve_view(reading, text_of(json_string_value(definition), size));
}

void describe_own(struct describe_reading *reading)
{
    const json_t *rows = describe_array(reading->document, "own");
    size_t count = json_array_size(rows), left = MAX_DEFINITIONS;
    bool is_own = reading->dataset->role.data != NULL;
    /* The relation itself is one of them: none at all is no answer that could be trusted. */
    bool served = !is_own || (count != 0 && count <= MAX_OWN);
    for (size_t i = 0; served && is_own && i < count; i++)
        served = may_serve(reading, json_array_get(rows, i), &left);
    reading->dataset->served = served;
}
