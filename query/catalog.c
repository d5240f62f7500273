#include "query/catalog.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "query/comment.h"

#define ARENA_CEILING ((size_t)8 << 20)

/* Everything is found by the view's oid, which the configured name becomes. to_regclass: unknown names give null, not
 * an error. */
static const char columns_sql[] =
    "select a.attname, a.atttypid::text, coalesce(col_description(c.oid, a.attnum), ''),"
    "       has_table_privilege(c.oid, 'select')::text, c.relkind::text"
    "  from pg_class c join pg_attribute a on a.attrelid = c.oid"
    " where c.oid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum";

static const char bases_sql[] =
    "with recursive under(relation) as ("
    "  select to_regclass($1)::oid"
    "  union"
    "  select d.refobjid from under u"
    "    join pg_rewrite r on r.ev_class = u.relation"
    "    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = "
    "'pg_class'::regclass"
    "   where d.refobjid <> u.relation)"
    "select n.nspname || '.' || c.relname from under u join pg_class c on c.oid = u.relation"
    "  join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'f', 'm') order by 1";

struct column {
    const char *name;
    bool (*fits)(uint32_t type);
    const char *wanted;
};

static bool is_text(uint32_t type)
{
    return type == 25 || type == 1043 || type == 1042; /* text, varchar, char */
}

static bool is_date(uint32_t type)
{
    return type == 1082;
}

static bool is_number(uint32_t type)
{
    return type == 20 || type == 21 || type == 23 || type == 700 || type == 701 || type == 1700;
}

static bool is_json(uint32_t type)
{
    return type == 114 || type == 3802;
}

static const struct column region_columns[] = {{"region_id", is_text, "text"},
                                               {"name", is_text, "text"},
                                               {"kind", is_text, "text"},
                                               {"parent_id", is_text, "text"},
                                               {"longitude", is_number, "double precision"},
                                               {"latitude", is_number, "double precision"},
                                               {"attributes", is_json, "jsonb"},
                                               {NULL, NULL, NULL}};
static const struct column series_columns[] = {
    {"region_id", is_text, "text"}, {"day", is_date, "date"}, {NULL, NULL, NULL}};

struct reading {
    struct catalog *catalog;
    struct catalog_view *view;
    const struct catalog_options *options;
    enum status status;
    struct failure *failure;
};

static void refuse(struct reading *reading, const char *format, ...) PRINTF_LIKE(2, 3);

static void refuse(struct reading *reading, const char *format, ...)
{
    char words[400];
    va_list arguments;
    if (reading->status != STATUS_OK)
        return;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    reading->status =
        failure_set(reading->failure, STATUS_INVALID, "serving view %.*s: %s", TEXT_ARGS(reading->view->name), words);
}

static uint32_t type_at(const struct postgres_rows *rows, size_t row)
{
    return (uint32_t)strtoul(postgres_rows_value(rows, row, 1).data, NULL, 10);
}

static void check_columns(struct reading *reading, const struct postgres_rows *rows, const struct column *wanted)
{
    for (; wanted->name != NULL; wanted++) {
        bool found = false;
        for (size_t i = 0; i < postgres_rows_count(rows); i++) {
            if (!text_equal(postgres_rows_value(rows, i, 0), text_from_string(wanted->name)))
                continue;
            found = true;
            if (!wanted->fits(type_at(rows, i)))
                refuse(reading, "its column %s must be of type %s; cast it in the view", wanted->name, wanted->wanted);
        }
        if (!found)
            refuse(reading, "it has no column %s (%s); add it to the view", wanted->name, wanted->wanted);
    }
}

static void apply_override(struct reading *reading, struct catalog_measure *measure)
{
    for (size_t i = 0; i < reading->options->override_count; i++)
        if (text_equal(measure->name, text_from_string(reading->options->overrides[i].column)))
            measure->aggregate = reading->options->overrides[i].aggregate;
}

static void read_measures(struct reading *reading, const struct postgres_rows *rows)
{
    struct arena *arena = &reading->catalog->arena;
    struct catalog_measure *measures = arena_calloc(arena, postgres_rows_count(rows), sizeof(*measures));
    size_t count = 0;
    for (size_t i = 0; measures != NULL && i < postgres_rows_count(rows); i++) {
        if (!is_number(type_at(rows, i)) || text_equal(postgres_rows_value(rows, i, 0), TEXT("region_id")))
            continue;
        struct catalog_measure *measure = &measures[count++];
        measure->name = arena_copy(arena, postgres_rows_value(rows, i, 0));
        measure->type = type_at(rows, i);
        struct text comment = arena_copy(arena, postgres_rows_value(rows, i, 2));
        if (comment_parse(comment, measure) != STATUS_OK)
            refuse(reading,
                   "the comment of column %.*s names no known function; end it with [unit; mean], [unit; sum], [unit; "
                   "min] or [unit; max]",
                   TEXT_ARGS(measure->name));
        apply_override(reading, measure);
    }
    if (measures == NULL)
        refuse(reading, "it has too many columns");
    else if (count > 128)
        refuse(reading, "it has %zu measures, 128 are allowed", count);
    reading->view->measures = measures;
    reading->view->measure_count = count;
}

static void on_columns(void *context, const struct postgres_rows *rows)
{
    struct reading *reading = context;
    size_t count = postgres_rows_count(rows);
    if (count == 0) {
        refuse(reading, "there is no such view; create it, or correct the name");
        return;
    }
    if (!text_equal(postgres_rows_value(rows, 0, 3), TEXT("true"))) {
        refuse(reading, "this login may not read it; grant select on it");
        return;
    }
    bool is_region = reading->view->index == CATALOG_REGION;
    check_columns(reading, rows, is_region ? region_columns : series_columns);
    if (!is_region)
        read_measures(reading, rows);
}

static void on_bases(void *context, const struct postgres_rows *rows)
{
    struct reading *reading = context;
    struct arena *arena = &reading->catalog->arena;
    size_t count = postgres_rows_count(rows);
    struct text *bases = arena_calloc(arena, count + 1, sizeof(*bases));
    for (size_t i = 0; bases != NULL && i < count; i++)
        bases[i] = arena_copy(arena, postgres_rows_value(rows, i, 0));
    reading->view->bases = bases;
    reading->view->base_count = bases != NULL ? count : 0;
}

static bool quote_name(struct arena *arena, struct text name, struct text *out)
{
    struct buffer sql;
    struct text relation = name, schema = text_split(&relation, '.');
    buffer_init(&sql, 1024);
    if (relation.data != NULL) {
        postgres_append_identifier(&sql, schema);
        buffer_append_char(&sql, '.');
        postgres_append_identifier(&sql, relation);
    }
    bool is_whole = schema.size != 0 && relation.size != 0;
    *out = sql.failed || !is_whole ? TEXT_NONE : arena_copy(arena, buffer_text(&sql));
    buffer_free(&sql);
    return out->data != NULL;
}

static enum status load_view(struct reading *reading, struct postgres_session *session)
{
    struct catalog_view *view = reading->view;
    if (!quote_name(&reading->catalog->arena, view->name, &view->sql_name))
        return failure_set(reading->failure, STATUS_INVALID, "serving view %.*s: write it as schema.name",
                           TEXT_ARGS(view->name));
    enum status status =
        postgres_session_query(session, columns_sql, 1, &view->sql_name, on_columns, reading, reading->failure);
    if (status == STATUS_DENIED) { /* to_regclass says so of a schema without usage */
        refuse(reading, "its schema is closed to this login; grant usage on it");
        return reading->status;
    }
    if (status == STATUS_OK && reading->status == STATUS_OK)
        status = postgres_session_query(session, bases_sql, 1, &view->sql_name, on_bases, reading, reading->failure);
    return status != STATUS_OK ? status : reading->status;
}

/* An override that hits nothing is a mistake in the configuration. */
static enum status check_overrides(const struct catalog *catalog, const struct catalog_options *options,
                                   struct failure *failure)
{
    for (size_t i = 0; i < options->override_count; i++) {
        bool found = false;
        for (size_t v = CATALOG_WEATHER; v < CATALOG_VIEWS; v++)
            found =
                found || catalog_measure(&catalog->views[v], text_from_string(options->overrides[i].column)) != NULL;
        if (!found)
            return failure_set(failure, STATUS_INVALID, "serving.aggregates: no serving view has a measure %s",
                               options->overrides[i].column);
    }
    return STATUS_OK;
}

enum status catalog_load(struct postgres_session *session, const struct catalog_options *options, struct catalog **out,
                         struct failure *failure)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));
    if (catalog == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    arena_init(&catalog->arena, NULL, 0, ARENA_CEILING);
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < CATALOG_VIEWS; i++) {
        struct reading reading = {catalog, &catalog->views[i], options, STATUS_OK, failure};
        catalog->views[i].index = i;
        catalog->views[i].name = arena_copy(&catalog->arena, text_from_string(options->views[i]));
        status = load_view(&reading, session);
    }
    if (status == STATUS_OK)
        status = check_overrides(catalog, options, failure);
    if (status != STATUS_OK) {
        catalog_free(catalog);
        return status;
    }
    *out = catalog;
    return STATUS_OK;
}

void catalog_free(struct catalog *catalog)
{
    if (catalog == NULL)
        return;
    arena_free(&catalog->arena);
    free(catalog);
}

const struct catalog_measure *catalog_measure(const struct catalog_view *view, struct text name)
{
    for (size_t i = 0; i < view->measure_count; i++)
        if (text_equal(view->measures[i].name, name))
            return &view->measures[i];
    return NULL;
}
