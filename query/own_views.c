#include "query/own_views.h"

#include <stdlib.h>

#include "base/hash.h"
#include "query/datasets_private.h"

#define CHECK_CEILING ((size_t)16 << 20) /* of one definition's check */
#define ARRAY_CEILING ((size_t)64 << 10) /* SQL_CHECK_RELATIONS names, with room for what is escaped */

/* A view's definition is cut past what sql_check_view takes, which is three times SQL_CHECK_TEXT_MAX; one view more is
 * sent than is taken. Below his own views it is not looked further: the warehouse's are the operator's. */
const char own_views_sql[] =
    "with recursive reader(role) as (select ro.oid from pg_catalog.pg_roles ro where ro.rolname = $1 and "
    "ro.rolcanlogin), his as materialized (select n.oid, n.nspname from pg_catalog.pg_namespace n join reader on "
    "n.nspowner = role), under(n, oid) as ("
    "  select a.n, c.oid from unnest($2::text[], $3::text[]) with ordinality a(schema, relation, n)"
    "    join pg_catalog.pg_namespace ns on ns.nspname = a.schema::name"
    "    join pg_catalog.pg_class c on c.relnamespace = ns.oid and c.relname = a.relation::name"
    "  union"
    "  select u.n, m[1]::oid from under u join pg_catalog.pg_class c on c.oid = u.oid and c.relkind in ('v', 'm')"
    "    join pg_catalog.pg_rewrite r on r.ev_class = c.oid and r.ev_type = '1'"
    "    cross join lateral regexp_matches(r.ev_action::text, ':relid (\\d+)', 'g') m"
    "   where c.relowner in (select role from reader) or c.relnamespace in (select oid from his))"
    " select json_build_object('own_schemas', (select json_agg(nspname) from his), 'own', (select"
    "    json_agg(json_build_array(o.relkind, o.relrowsecurity, case when o.relkind in ('v', 'm') then"
    "      left(pg_get_viewdef(o.oid), 24577) end, o.n) order by o.n)"
    "    from (select u.n, c.oid, c.relkind, c.relrowsecurity from under u join pg_catalog.pg_class c on c.oid = u.oid"
    "       where (c.relkind in ('v', 'm', 'f') or c.relrowsecurity)"
    "         and (c.relowner in (select role from reader) or c.relnamespace in (select oid from his))"
    "       order by u.n limit 65) o))::text from reader";

enum status own_views_parameters(struct text role, const struct sql_checked *checked, struct arena *arena,
                                 struct text values[OWN_VIEWS_PARAMETERS])
{
    struct buffer schemas, names;
    buffer_init(&schemas, ARRAY_CEILING);
    buffer_init(&names, ARRAY_CEILING);
    for (size_t i = 0; i < checked->relation_count; i++) {
        datasets_append_element(&schemas, checked->relations[i].real_schema);
        datasets_append_element(&names, checked->relations[i].real_name);
    }
    datasets_close_array(&schemas);
    datasets_close_array(&names);
    bool failed = schemas.failed || names.failed;
    values[0] = arena_copy(arena, role);
    values[1] = failed ? TEXT_NONE : arena_copy(arena, buffer_text(&schemas));
    values[2] = failed ? TEXT_NONE : arena_copy(arena, buffer_text(&names));
    buffer_free(&schemas);
    buffer_free(&names);
    return values[0].data == NULL || values[1].data == NULL || values[2].data == NULL ? STATUS_TOO_LARGE : STATUS_OK;
}

struct judging {
    const json_t *own_schemas;
    const struct datasets_options *options;
    size_t left; /* bytes of definitions that are still taken */
};

static bool holds_name(const json_t *names, struct text name)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *each = json_array_get(names, i);
        if (json_is_string(each) && text_equal(text_of(json_string_value(each), json_string_length(each)), name))
            return true;
    }
    return false;
}

/* His own schemas, where what is a view is checked by itself; and those of the warehouse that need no scope of their
 * own, for whether this reader has it no view can tell. */
static bool resolve(void *context, struct text schema, struct text name, struct text *real_schema,
                    struct text *real_name)
{
    const struct judging *judging = context;
    bool found = holds_name(judging->own_schemas, schema);
    for (size_t i = 0; !found && i < judging->options->schema_count; i++)
        found = judging->options->schemas[i].scope == NULL &&
                text_equal(text_from_string(judging->options->schemas[i].name), schema);
    *real_schema = schema;
    *real_name = name;
    return found && schema.data != NULL && name.size != 0 && name.data[0] != '~';
}

/* What was judged lately, for a definition of 24 KB holds up a loop for a tenth of a second, at each query that reads
 * it. One a thread, 18 KB; by SHA-256, for a definition is chosen by its customer. What comes to a place that is taken
 * takes it. */
#define KNOWN_PLACES 512 /* a power of 2 */
struct known {
    unsigned char hash[HASH_SHA256_SIZE];
    enum { UNKNOWN, GOOD, BAD } verdict;
};
static _Thread_local struct known memory[KNOWN_PLACES];

/* Everything that the verdict follows from, each text with its size before it. False: there is no memory for it. */
static bool identify(const struct judging *judging, struct text definition, unsigned char hash[HASH_SHA256_SIZE])
{
    struct buffer all;
    const json_t *own = judging->own_schemas;
    char *schemas = own != NULL ? json_dumps(own, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    buffer_init(&all, CHECK_CEILING);
    buffer_printf(&all, "%s %zu", schemas != NULL ? schemas : "", judging->options->schema_count);
    for (size_t i = 0; i < judging->options->schema_count; i++)
        if (judging->options->schemas[i].scope == NULL)
            buffer_printf(&all, " %zu %s", strlen(judging->options->schemas[i].name),
                          judging->options->schemas[i].name);
    buffer_printf(&all, " %zu ", definition.size);
    buffer_append_text(&all, definition);
    bool made = !all.failed && (own == NULL || schemas != NULL);
    if (made)
        hash_sha256(buffer_text(&all), hash);
    buffer_free(&all);
    free(schemas);
    return made;
}

static struct known *place_of(const unsigned char hash[HASH_SHA256_SIZE])
{
    return &memory[(hash[0] | (size_t)hash[1] << 8) % KNOWN_PLACES];
}

static bool check_view(struct judging *judging, struct text definition, bool *known)
{
    struct arena arena;
    struct sql_checked checked;
    struct sql_check_mistake mistake;
    arena_init(&arena, NULL, 0, CHECK_CEILING);
    enum status status = sql_check_view(definition, resolve, judging, &arena, &checked, &mistake);
    arena_free(&arena);
    *known = status == STATUS_OK || status == STATUS_INVALID;
    return status == STATUS_OK;
}

static bool may_read_view(struct judging *judging, struct text definition)
{
    unsigned char hash[HASH_SHA256_SIZE];
    bool known;
    if (!identify(judging, definition, hash))
        return false;
    struct known *place = place_of(hash);
    if (place->verdict != UNKNOWN && memcmp(place->hash, hash, sizeof(hash)) == 0)
        return place->verdict == GOOD;
    bool good = check_view(judging, definition, &known);
    if (known) {
        memcpy(place->hash, hash, sizeof(hash));
        place->verdict = good ? GOOD : BAD;
    }
    return good;
}

/* A policy is SQL of his that nobody has checked; another server's rows are nobody's here. */
static bool may_read(struct judging *judging, const json_t *row)
{
    const char *kind = json_string_value(json_array_get(row, 0));
    const json_t *definition = json_array_get(row, 2);
    if (kind == NULL || kind[0] == 'f' || json_is_true(json_array_get(row, 1)))
        return false;
    if (kind[0] != 'v' && kind[0] != 'm')
        return true;
    size_t size = json_string_length(definition);
    if (!json_is_string(definition) || size > judging->left)
        return false;
    judging->left -= size;
    return may_read_view(judging, text_of(json_string_value(definition), size));
}

size_t own_views_judge(const json_t *document, const struct datasets_options *options)
{
    const json_t *rows = json_object_get(document, "own");
    struct judging judging = {json_object_get(document, "own_schemas"), options, OWN_VIEWS_TEXT_MAX};
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        json_int_t number = json_integer_value(json_array_get(row, 3));
        if (i >= OWN_VIEWS_MAX || !may_read(&judging, row))
            return number > 0 ? (size_t)number : 1;
    }
    return 0;
}

size_t own_views_read(struct text document, const struct datasets_options *options)
{
    json_t *parsed = json_loadb(document.data, document.size, JSON_REJECT_DUPLICATES, NULL);
    /* One that cannot be read allows nothing. */
    size_t refused = parsed != NULL ? own_views_judge(parsed, options) : 1;
    json_decref(parsed);
    return refused;
}
