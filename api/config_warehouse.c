/* The warehouse's part of the configuration: its schemas, and what its datasets do not tell themselves. */
#include <inttypes.h>
#include <stdio.h>

#include "api/config_read.h"
#include "query/datasets.h"

#define MAX_SCHEMAS 4096
#define MAX_LOADABLE 1000
#define MAX_NAME 63 /* bytes of a PostgreSQL name */
#define MAX_DATASET 200
#define MAX_KEY 32          /* columns of an index */
#define MAX_SPAN 315576000L /* ten years, in seconds */

/* A name as the database has them. */
static const char *read_name(struct config_reader *reader, const struct yaml_node *node, const char *path,
                             const char *what)
{
    if (node != NULL && node->kind == YAML_SCALAR && !yaml_is_null(node) && node->text.size != 0 &&
        node->text.size <= MAX_NAME && memchr(node->text.data, '\0', node->text.size) == NULL)
        return config_string(reader, node->text);
    config_complain(reader, node != NULL ? node->line : 0, path, "needs the name of a %s, 1 to %d bytes", what,
                    MAX_NAME);
    return NULL;
}

static void check_schema(struct config_reader *reader, int line, const char *path,
                         const struct datasets_schema *schemas, size_t index)
{
    const char *name = schemas[index].name;
    if (strncmp(name, "pg_", 3) == 0 || strcmp(name, "information_schema") == 0)
        config_complain(reader, line, path, "%s is the database's own; name schemas of the warehouse", name);
    if (index != 0 && datasets_is_reserved(text_from_string(name))) /* the first one's are named bare */
        config_complain(reader, line, path,
                        "datasets called %s.… are customers' own, so that this schema's could not be told from them; "
                        "serve it through views in another schema",
                        name);
    if (strchr(name, '.') != NULL)
        config_complain(reader, line, path,
                        "a dot parts schema and relation in a dataset's name, so that %s can't be told from them; "
                        "serve it through views in another schema",
                        name);
    for (size_t i = 0; i < index; i++)
        if (schemas[i].name != NULL && strcmp(schemas[i].name, name) == 0)
            config_complain(reader, line, path, "%s stands there twice; keep one", name);
}

/* A scope as tokens carry them (RFC 6749): no space, quote or backslash. */
static const char *read_scope(struct config_reader *reader, const struct yaml_node *node, const char *path)
{
    if (node == NULL || yaml_is_null(node))
        return NULL;
    bool good = node->kind == YAML_SCALAR && node->text.size != 0 && node->text.size <= 100;
    for (size_t i = 0; good && i < node->text.size; i++)
        good = node->text.data[i] > ' ' && node->text.data[i] < 127 && node->text.data[i] != '"' &&
               node->text.data[i] != '\\';
    if (good)
        return config_string(reader, node->text);
    config_complain(reader, node->line, path, "needs one scope, like premium:read");
    return NULL;
}

void config_read_schemas(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    static const char *const known[] = {"name", "scope", NULL};
    if (node->kind != YAML_SEQUENCE || node->count == 0 || node->count > MAX_SCHEMAS) {
        config_complain(reader, node->line, field->path,
                        "needs a list of 1 to %d schemas, like [serving, {name: premium, scope: \"premium:read\"}]",
                        MAX_SCHEMAS);
        return;
    }
    struct datasets_schema *schemas = config_allocate(reader, node->count, sizeof(*schemas));
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *item = node->items[i];
        struct config_path path = config_join_item(field->path, i);
        if (item->kind == YAML_MAPPING) {
            const struct yaml_node *name = yaml_get(item, "name");
            if (!config_check_keys(reader, item, path.text, known))
                continue;
            schemas[i].name =
                read_name(reader, name != NULL ? name : item, config_join(path.text, "name").text, "schema");
            schemas[i].scope = read_scope(reader, yaml_get(item, "scope"), config_join(path.text, "scope").text);
        } else {
            schemas[i].name = read_name(reader, item, path.text, "schema");
        }
        if (schemas[i].name != NULL)
            check_schema(reader, item->line, path.text, schemas, i);
    }
    reader->config->warehouse.schemas = schemas;
    reader->config->warehouse.schema_count = node->count;
}

/* Seconds; -1: not told. */
static int64_t read_span(struct config_reader *reader, const struct yaml_node *node, const char *path, int64_t low)
{
    int64_t seconds;
    if (node == NULL || yaml_is_null(node))
        return -1;
    if (node->kind == YAML_SCALAR && config_parse_span(node->text, &seconds) && seconds >= low && seconds <= MAX_SPAN)
        return seconds;
    config_complain(reader, node->line, path,
                    "needs a span from %" PRId64 "s to 520w with its unit, like 12h, 3d or 2w", low);
    return -1;
}

static const char *read_grain(struct config_reader *reader, const struct yaml_node *node, const char *path)
{
    static const char *const grains[] = {"second", "minute", "hour", "day", "week", "month", "quarter", "year"};
    if (node == NULL || yaml_is_null(node))
        return NULL;
    for (size_t i = 0; node->kind == YAML_SCALAR && i < sizeof(grains) / sizeof(grains[0]); i++)
        if (text_equal(node->text, text_from_string(grains[i])))
            return grains[i];
    config_complain(reader, node->line, path, "must be second, minute, hour, day, week, month, quarter or year");
    return NULL;
}

/* NULL: not told, or complained of. */
static const char *const *read_key(struct config_reader *reader, const struct yaml_node *node, const char *path)
{
    if (node == NULL || yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_SEQUENCE || node->count == 0 || node->count > MAX_KEY) {
        config_complain(reader, node->line, path,
                        "needs a list of 1 to %d columns that no two rows share, like [region_id, day]", MAX_KEY);
        return NULL;
    }
    const char **columns = config_allocate(reader, node->count, sizeof(*columns));
    for (size_t i = 0; i < node->count; i++) {
        columns[i] = read_name(reader, node->items[i], config_join_item(path, i).text, "column");
        for (size_t k = 0; columns[i] != NULL && k < i; k++)
            if (columns[k] != NULL && strcmp(columns[k], columns[i]) == 0)
                config_complain(reader, node->items[i]->line, path, "%s stands there twice; keep one", columns[i]);
    }
    return columns;
}

static void read_override(struct config_reader *reader, const struct yaml_pair *pair, const char *path,
                          struct datasets_override *override)
{
    static const char *const known[] = {"time_column", "grain", "expected_lag", "expected_every", "key", NULL};
    const struct yaml_node *node = pair->value, *time_column;
    struct config_path here;
    override->dataset = config_string(reader, pair->key->text);
    override->expected_lag_s = override->expected_every_s = -1;
    if (pair->key->text.size == 0 || pair->key->text.size > MAX_DATASET)
        config_complain(reader, pair->key->line, path, "a dataset's name has 1 to %d bytes", MAX_DATASET);
    here = config_join(path, override->dataset);
    if (!config_check_keys(reader, node, here.text, known))
        return;
    time_column = yaml_get(node, "time_column");
    if (time_column != NULL && !yaml_is_null(time_column))
        override->time_column = read_name(reader, time_column, config_join(here.text, "time_column").text, "column");
    override->grain = read_grain(reader, yaml_get(node, "grain"), config_join(here.text, "grain").text);
    override->expected_lag_s =
        read_span(reader, yaml_get(node, "expected_lag"), config_join(here.text, "expected_lag").text, 0);
    override->expected_every_s =
        read_span(reader, yaml_get(node, "expected_every"), config_join(here.text, "expected_every").text, 1);
    override->key = read_key(reader, yaml_get(node, "key"), config_join(here.text, "key").text);
}

void config_read_datasets(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    if (node->kind != YAML_MAPPING) {
        config_complain(reader, node->line, field->path,
                        "needs datasets and what is known of them, like {weather_daily: {time_column: day}}");
        return;
    }
    struct datasets_override *overrides = config_allocate(reader, node->count, sizeof(*overrides));
    for (size_t i = 0; i < node->count; i++)
        read_override(reader, &node->pairs[i], field->path, &overrides[i]);
    reader->config->warehouse.overrides = overrides;
    reader->config->warehouse.override_count = node->count;
}

/* "schema.table": the schema ends at the first dot. */
static void read_table(struct config_reader *reader, const struct yaml_node *node, const char *path,
                       struct config_loadable *loadable)
{
    struct text rest = node != NULL && node->kind == YAML_SCALAR ? node->text : TEXT_NONE;
    struct text schema = rest.data != NULL ? text_split(&rest, '.') : TEXT_NONE;
    if (schema.size == 0 || schema.size > MAX_NAME || rest.size == 0 || rest.size > MAX_NAME) {
        config_complain(reader, node != NULL ? node->line : 0, path,
                        "needs schema.table, like warehouse.weather_daily");
        return;
    }
    loadable->schema = config_string(reader, schema);
    loadable->table = config_string(reader, rest);
}

static void read_loadable(struct config_reader *reader, const struct yaml_node *node, const char *path,
                          struct config_loadable *loadable, size_t index)
{
    static const char *const known[] = {"dataset", "table", NULL};
    if (!config_check_keys(reader, node, path, known))
        return;
    const struct yaml_node *dataset = yaml_get(node, "dataset");
    if (dataset == NULL || dataset->kind != YAML_SCALAR || dataset->text.size == 0 || dataset->text.size > MAX_DATASET)
        config_complain(reader, node->line, config_join(path, "dataset").text,
                        "needs the name of a dataset, 1 to %d bytes, as callers know it", MAX_DATASET);
    else
        loadable[index].dataset = config_string(reader, dataset->text);
    read_table(reader, yaml_get(node, "table"), config_join(path, "table").text, &loadable[index]);
    for (size_t i = 0; i < index && loadable[index].dataset != NULL; i++)
        if (loadable[i].dataset != NULL && strcmp(loadable[i].dataset, loadable[index].dataset) == 0)
            config_complain(reader, node->line, path, "%s stands there twice; keep one", loadable[i].dataset);
}

void config_read_loadable(struct config_reader *reader, const struct config_field *field, const struct yaml_node *node)
{
    if (node->kind != YAML_SEQUENCE || node->count > MAX_LOADABLE) {
        config_complain(reader, node->line, field->path,
                        "needs a list, like [{dataset: weather_daily, table: warehouse.weather_daily}]");
        return;
    }
    struct config_loadable *loadable = config_allocate(reader, node->count, sizeof(*loadable));
    for (size_t i = 0; i < node->count; i++)
        read_loadable(reader, node->items[i], config_join_item(field->path, i).text, loadable, i);
    reader->config->warehouse.loadable = loadable;
    reader->config->warehouse.loadable_count = node->count;
}
