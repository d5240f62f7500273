#include "query/summary.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/csv.h"
#include "base/hash.h"
#include "base/json.h"
#include "query/regions.h"

#define SQL_CEILING ((size_t)1 << 18)
#define TEXT_OID 25
#define INT4_OID 23
#define DATE_OID 1082

/* Columns of the one row; the measures of weather and then market follow, four each: mean, min, max, days. */
enum {
    COLUMN_WEATHER_REGION = 7, /* behind the seven of the region view */
    COLUMN_MARKET_REGION,
    COLUMN_FROM,
    COLUMN_TO,
    COLUMN_WEATHER_LATEST,
    COLUMN_MARKET_LATEST,
    COLUMN_MEASURES
};
enum { PER_MEASURE = 4 };

struct summary {
    const struct catalog *catalog;
    struct postgres_statement statement;
    struct buffer sql;
    struct buffer keys; /* `"temperature_c":{"unit":"°C","mean":` of each measure, one behind the other */
    size_t *key_ends;
    size_t measures;
};

/* Everything before the measures. $1 region, $2 months and $3 days of the window, $4 its last day or null. Limits of a
 * scalar subquery become conditions of the index; the ancestors end at 16 levels, because data may hold a circle. */
static void append_sources(struct buffer *sql, const struct catalog *catalog)
{
    struct text region = catalog->views[CATALOG_REGION].sql_name, weather = catalog->views[CATALOG_WEATHER].sql_name,
                market = catalog->views[CATALOG_MARKET].sql_name;
    buffer_printf(
        sql,
        "with recursive chain(region_id, parent_id, depth) as ("
        " select r.region_id::text, r.parent_id::text, 0 from %.*s r where r.region_id = $1"
        " union all select p.region_id::text, p.parent_id::text, c.depth + 1"
        " from chain c join %.*s p on p.region_id = c.parent_id where c.depth < 16),"
        " source as materialized (select"
        " (select c.region_id from chain c where exists (select 1 from %.*s m where m.region_id = c.region_id)"
        " order by c.depth limit 1) as market_id),",
        TEXT_ARGS(region), TEXT_ARGS(region), TEXT_ARGS(market));
    buffer_printf(
        sql,
        " latest as materialized (select s.market_id,"
        " (select w.day from %.*s w where w.region_id = $1 order by w.day desc limit 1) as weather_day,"
        " (select m.day from %.*s m where m.region_id = s.market_id order by m.day desc limit 1) as market_day,"
        " (select w.day from %.*s w where w.region_id = $1 and exists"
        " (select 1 from %.*s m where m.region_id = s.market_id and m.day = w.day) order by w.day desc limit 1) as "
        "common_day"
        " from source s),"
        " bounds as materialized (select l.*, coalesce($4::date, l.common_day, l.weather_day, l.market_day) as day_to,"
        " greatest(date '0001-01-01', (coalesce($4::date, l.common_day, l.weather_day, l.market_day)"
        " - make_interval(months => $2, days => $3))::date + 1) as day_from from latest l)",
        TEXT_ARGS(weather), TEXT_ARGS(market), TEXT_ARGS(weather), TEXT_ARGS(market));
}

/* ", w as (select avg(…), …  from … where …)" */
static void append_aggregates(struct buffer *sql, const struct catalog_view *view, const char *name, const char *owner)
{
    buffer_printf(sql, ", %s as (select ", name);
    for (size_t i = 0; i < view->measure_count; i++) {
        struct text measure = view->measures[i].name;
        static const char *const functions[] = {"avg", "min", "max", "count"};
        for (size_t k = 0; k < PER_MEASURE; k++) {
            buffer_printf(sql, "%s%s(v.", i + k != 0 ? ", " : "", functions[k]);
            postgres_append_identifier(sql, measure);
            buffer_printf(sql, ") as a%zu", i * PER_MEASURE + k);
        }
    }
    if (view->measure_count == 0)
        buffer_append_literal(sql, "1");
    buffer_printf(sql,
                  " from %.*s v where v.region_id = %s and v.day >= (select day_from from bounds)"
                  " and v.day <= (select day_to from bounds))",
                  TEXT_ARGS(view->sql_name), owner);
}

static void append_columns(struct buffer *sql, const struct catalog_view *view, const char *name)
{
    for (size_t i = 0; i < view->measure_count * PER_MEASURE; i++)
        buffer_printf(sql, ", %s.a%zu", name, i);
}

static void build_sql(struct buffer *sql, const struct catalog *catalog)
{
    const struct catalog_view *weather = &catalog->views[CATALOG_WEATHER], *market = &catalog->views[CATALOG_MARKET];
    append_sources(sql, catalog);
    append_aggregates(sql, weather, "w", "$1");
    append_aggregates(sql, market, "m", "(select market_id from bounds)");
    buffer_append_literal(
        sql, " select r.region_id, r.name, r.kind, r.parent_id, r.longitude, r.latitude, r.attributes,"
             " case when b.weather_day is not null then r.region_id end as weather_region_id, b.market_id,"
             " case when b.weather_day is not null or b.market_day is not null then b.day_from end as day_from,"
             " case when b.weather_day is not null or b.market_day is not null then b.day_to end as day_to,"
             " b.weather_day, b.market_day");
    append_columns(sql, weather, "w");
    append_columns(sql, market, "m");
    buffer_printf(sql, " from %.*s r cross join bounds b cross join w cross join m where r.region_id = $1 limit 1",
                  TEXT_ARGS(catalog->views[CATALOG_REGION].sql_name));
}

static void build_keys(struct summary *summary)
{
    size_t place = 0;
    for (size_t v = CATALOG_WEATHER; v <= CATALOG_MARKET; v++) {
        const struct catalog_view *view = &summary->catalog->views[v];
        for (size_t i = 0; i < view->measure_count; i++) {
            struct buffer *keys = &summary->keys;
            buffer_append_string(keys, i != 0 ? "," : "");
            json_append_string(keys, view->measures[i].name);
            buffer_append_literal(keys, ":{\"unit\":");
            if (view->measures[i].unit.data != NULL)
                json_append_string(keys, view->measures[i].unit);
            else
                buffer_append_literal(keys, "null");
            buffer_append_literal(keys, ",\"mean\":");
            summary->key_ends[place++] = keys->size;
        }
    }
}

struct summary *summary_create(const struct catalog *catalog)
{
    static const uint32_t types[] = {TEXT_OID, INT4_OID, INT4_OID, DATE_OID};
    struct summary *summary = calloc(1, sizeof(*summary));
    if (summary == NULL)
        return NULL;
    summary->catalog = catalog;
    summary->measures = catalog->views[CATALOG_WEATHER].measure_count + catalog->views[CATALOG_MARKET].measure_count;
    summary->key_ends = calloc(summary->measures + 1, sizeof(*summary->key_ends));
    buffer_init(&summary->sql, SQL_CEILING);
    buffer_init(&summary->keys, SQL_CEILING);
    build_sql(&summary->sql, catalog);
    const char *sql = buffer_c_string(&summary->sql);
    if (summary->key_ends != NULL)
        build_keys(summary);
    if (summary->key_ends == NULL || sql == NULL || summary->keys.failed) {
        summary_destroy(summary);
        return NULL;
    }
    postgres_statement_init(&summary->statement, sql, 4, types);
    return summary;
}

void summary_destroy(struct summary *summary)
{
    if (summary == NULL)
        return;
    buffer_free(&summary->sql);
    buffer_free(&summary->keys);
    free(summary->key_ends);
    free(summary);
}

uint64_t summary_version(const struct summary *summary, const struct versions *versions)
{
    uint64_t sum = 0;
    for (size_t v = CATALOG_REGION; v <= CATALOG_MARKET; v++) {
        uint64_t version = versions_of(versions, &summary->catalog->views[v]);
        if (version == 0)
            return 0;
        sum += version;
    }
    return sum;
}

uint64_t summary_fingerprint(const struct summary *summary)
{
    uint64_t parts[] = {hash_stable(buffer_text(&summary->sql)), hash_stable(buffer_text(&summary->keys))};
    return hash_stable(text_of((const char *)parts, sizeof(parts)));
}

struct text summary_relation(const struct summary *summary)
{
    return summary->catalog->views[CATALOG_WEATHER].name;
}

static struct text number_text(struct arena *arena, int32_t number)
{
    char text[16];
    int size = snprintf(text, sizeof(text), "%d", number);
    return arena_copy(arena, text_of(text, (size_t)size));
}

enum status summary_plan(const struct summary *summary, const struct versions *versions,
                         const struct summary_request *request, struct arena *arena, struct plan *plan)
{
    plan->target = PLAN_WAREHOUSE;
    plan->lane = PLAN_FAST;
    plan->relation = summary_relation(summary);
    plan->statement = summary->statement;
    if (!plan_parameters(plan, arena, 4))
        return STATUS_TOO_LARGE;
    plan->parameters[0] = request->region_id;
    plan->parameters[1] = number_text(arena, request->window.months);
    plan->parameters[2] = number_text(arena, request->window.days);
    plan->parameters[3] = TEXT_NONE;
    if (request->has_as_of) {
        char day[DATE_TEXT_SIZE];
        date_format(request->as_of, day);
        plan->parameters[3] = arena_copy(arena, text_of(day, DATE_TEXT_SIZE - 1));
    }
    plan->version = summary_version(summary, versions);
    plan->rows_at_most = 1;
    bool full = plan->parameters[1].data == NULL || plan->parameters[2].data == NULL ||
                (request->has_as_of && plan->parameters[3].data == NULL);
    return full ? STATUS_TOO_LARGE : STATUS_OK;
}

static void append_day(struct buffer *out, struct text day)
{
    if (day.data == NULL) {
        buffer_append_literal(out, "null");
        return;
    }
    buffer_append_char(out, '"');
    buffer_append_text(out, day);
    buffer_append_char(out, '"');
}

/* Days from `from` to `to`, both counted; -1 when there are none. */
static int64_t days_between(struct text from, struct text to)
{
    int32_t first, last;
    if (from.data == NULL || to.data == NULL || !date_parse(from, &first) || !date_parse(to, &last))
        return -1;
    return (int64_t)last - first + 1;
}

static void append_window(struct buffer *out, const struct summary_request *request, const struct postgres_rows *rows)
{
    struct text from = postgres_rows_value(rows, 0, COLUMN_FROM), to = postgres_rows_value(rows, 0, COLUMN_TO);
    int64_t days = days_between(from, to);
    buffer_append_literal(out, ",\"window\":{\"requested\":");
    json_append_string(out, request->window_text);
    buffer_append_literal(out, ",\"from\":");
    append_day(out, from);
    buffer_append_literal(out, ",\"to\":");
    append_day(out, to);
    buffer_append_literal(out, ",\"days\":");
    if (days >= 0)
        buffer_append_int64(out, days);
    else
        buffer_append_literal(out, "null");
    buffer_append_char(out, '}');
}

static void append_source(struct buffer *out, const struct summary *summary, const struct versions *versions,
                          const struct postgres_rows *rows, size_t view_index)
{
    const struct catalog_view *view = &summary->catalog->views[view_index];
    bool is_market = view_index == CATALOG_MARKET;
    size_t place = is_market ? summary->catalog->views[CATALOG_WEATHER].measure_count : 0;
    struct text owner = postgres_rows_value(rows, 0, is_market ? COLUMN_MARKET_REGION : COLUMN_WEATHER_REGION);
    char instant[DATE_INSTANT_TEXT_SIZE];
    int64_t changed_at = versions_changed_at(versions, view);
    buffer_append_string(out, is_market ? ",\"market\":{\"region_id\":" : ",\"weather\":{\"region_id\":");
    if (owner.data != NULL)
        json_append_string(out, owner);
    else
        buffer_append_literal(out, "null");
    if (is_market)
        buffer_printf(out, ",\"inherited\":%s",
                      owner.data != NULL && !text_equal(owner, postgres_rows_value(rows, 0, 0)) ? "true" : "false");
    buffer_append_literal(out, ",\"latest_day\":");
    append_day(out, postgres_rows_value(rows, 0, is_market ? COLUMN_MARKET_LATEST : COLUMN_WEATHER_LATEST));
    buffer_append_literal(out, ",\"updated_at\":");
    if (changed_at != 0)
        date_format_instant(changed_at, instant);
    append_day(out, changed_at != 0 ? text_from_string(instant) : TEXT_NONE);
    buffer_append_literal(out, ",\"measures\":{");
    for (size_t i = 0; i < view->measure_count; i++, place++) {
        static const char *const between[PER_MEASURE] = {"", ",\"min\":", ",\"max\":", ",\"days\":"};
        size_t begin = place != 0 ? summary->key_ends[place - 1] : 0, column = COLUMN_MEASURES + place * PER_MEASURE;
        buffer_append(out, summary->keys.data + begin, summary->key_ends[place] - begin);
        for (size_t k = 0; k < PER_MEASURE; k++) {
            buffer_append_string(out, between[k]);
            rows_append_json(out, postgres_rows_type(rows, column + k), postgres_rows_value(rows, 0, column + k));
        }
        buffer_append_char(out, '}');
    }
    buffer_append_literal(out, "}}");
}

static enum status encode_json(const struct summary *summary, const struct versions *versions,
                               const struct summary_request *request, const struct postgres_rows *rows,
                               struct buffer *out)
{
    buffer_append_literal(out, "{\"region\":");
    enum status status = regions_encode_one(rows, ROWS_JSON, out);
    if (status != STATUS_OK)
        return status;
    if (!out->failed)
        out->size--; /* its line end */
    append_window(out, request, rows);
    append_source(out, summary, versions, rows, CATALOG_WEATHER);
    append_source(out, summary, versions, rows, CATALOG_MARKET);
    buffer_append_literal(out, "}\n");
    return STATUS_OK;
}

static void append_csv_source(struct buffer *out, const struct summary *summary, const struct postgres_rows *rows,
                              size_t view_index)
{
    const struct catalog_view *view = &summary->catalog->views[view_index];
    bool is_market = view_index == CATALOG_MARKET;
    size_t place = is_market ? summary->catalog->views[CATALOG_WEATHER].measure_count : 0;
    for (size_t i = 0; i < view->measure_count; i++, place++) {
        const struct text fields[] = {
            postgres_rows_value(rows, 0, 0),
            is_market ? TEXT("market") : TEXT("weather"),
            postgres_rows_value(rows, 0, is_market ? COLUMN_MARKET_REGION : COLUMN_WEATHER_REGION),
            postgres_rows_value(rows, 0, COLUMN_FROM),
            postgres_rows_value(rows, 0, COLUMN_TO),
            view->measures[i].name,
            view->measures[i].unit,
        };
        for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
            buffer_append(out, ",", k != 0);
            csv_append_field(out, fields[k]);
        }
        for (size_t k = 0; k < PER_MEASURE; k++) {
            buffer_append_char(out, ',');
            csv_append_field(out, postgres_rows_value(rows, 0, COLUMN_MEASURES + place * PER_MEASURE + k));
        }
        buffer_append_char(out, '\n');
    }
}

enum status summary_encode(const struct summary *summary, const struct versions *versions,
                           const struct summary_request *request, const struct postgres_rows *rows,
                           enum rows_format format, struct buffer *out)
{
    if (postgres_rows_count(rows) == 0)
        return STATUS_NOT_FOUND;
    if (format != ROWS_CSV)
        return encode_json(summary, versions, request, rows, out);
    buffer_append_literal(out, "region_id,source,source_region_id,from,to,measure,unit,mean,min,max,days\n");
    append_csv_source(out, summary, rows, CATALOG_WEATHER);
    append_csv_source(out, summary, rows, CATALOG_MARKET);
    return STATUS_OK;
}
