#include "query/regions.h"

#include <stdio.h>

#include "base/csv.h"

#define SQL_CEILING 16384
/* The sine form keeps its digits for small distances. 6371.0088 km: the mean radius of IUGG. */
#define DISTANCE(lon, lat)                                                                                             \
    "2 * 6371.0088 * asin(least(1, sqrt(power(sin(radians(r.latitude - " lat ") / 2), 2) + cos(radians(" lat           \
    ")) * cos(radians(r.latitude)) * power(sin(radians(r.longitude - " lon ") / 2), 2))))"

#define MAX_PARAMETERS 12
static const uint32_t types_text[MAX_PARAMETERS] = {25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25, 25};

struct builder {
    struct buffer sql;
    struct plan *plan;
    struct arena *arena;
    size_t parameters;
};

static int add_text(struct builder *builder, struct text value)
{
    struct text kept = value.data != NULL ? arena_copy(builder->arena, value) : TEXT_NONE;
    if (kept.data == NULL)
        builder->sql.failed = true; /* a null would be another question */
    if (builder->parameters == 0 && !plan_parameters(builder->plan, builder->arena, MAX_PARAMETERS))
        builder->sql.failed = true;
    if (builder->plan->parameters != NULL)
        builder->plan->parameters[builder->parameters] = kept;
    return (int)++builder->parameters;
}

static int add_number(struct builder *builder, double value)
{
    char text[40];
    snprintf(text, sizeof(text), "%.17g", value);
    return add_text(builder, text_from_string(text));
}

/* '%' and '_' and '\' stand for themselves. */
static struct text escape_like(struct arena *arena, struct text text)
{
    char *escaped = arena_alloc(arena, text.size * 2 + 3);
    size_t size = 0;
    if (escaped == NULL)
        return TEXT_NONE;
    escaped[size++] = '%';
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '%' || text.data[i] == '_' || text.data[i] == '\\')
            escaped[size++] = '\\';
        escaped[size++] = text.data[i];
    }
    escaped[size++] = '%';
    return text_of(escaped, size);
}

static void add_filters(struct builder *builder, const struct regions_search *search)
{
    struct buffer *sql = &builder->sql;
    if (search->q.data != NULL) {
        int q = add_text(builder, escape_like(builder->arena, search->q));
        buffer_printf(sql, " and (r.name ilike $%d or r.region_id ilike $%d)", q, q);
    }
    if (search->kind.data != NULL)
        buffer_printf(sql, " and r.kind = $%d", add_text(builder, search->kind));
    if (search->parent.data != NULL)
        buffer_printf(sql, " and r.parent_id = $%d", add_text(builder, search->parent));
    if (!search->has_box)
        return;
    int west = add_number(builder, search->box[0]), south = add_number(builder, search->box[1]),
        east = add_number(builder, search->box[2]), north = add_number(builder, search->box[3]);
    const char *between = search->box[0] <= search->box[2] ? "and" : "or";
    buffer_printf(sql,
                  " and (r.longitude >= $%d::float8 %s r.longitude <= $%d::float8) and r.latitude between $%d::float8 "
                  "and $%d::float8",
                  west, between, east, south, north);
}

static void add_order(struct builder *builder, const struct regions_search *search)
{
    struct buffer *sql = &builder->sql;
    const struct cursor *after = search->after;
    buffer_append_literal(sql, ") r");
    if (search->has_near && after != NULL)
        buffer_printf(sql, " where (r.distance_km, r.region_id) > ($%d::float8, $%d)",
                      add_text(builder, after->values[0]), add_text(builder, after->values[1]));
    else if (after != NULL)
        buffer_printf(sql, " where r.region_id > $%d", add_text(builder, after->values[0]));
    buffer_append_string(sql, search->has_near ? " order by r.distance_km, r.region_id" : " order by r.region_id");
    char limit[24];
    snprintf(limit, sizeof(limit), "%lld", (long long)search->limit + 1);
    buffer_printf(sql, " limit $%d::bigint", add_text(builder, text_from_string(limit)));
}

static enum status finish(struct builder *builder, const struct catalog_view *view, const struct versions *versions,
                          enum plan_lane lane, struct failure *failure)
{
    struct plan *plan = builder->plan;
    struct text sql = builder->sql.failed ? TEXT_NONE : arena_copy(builder->arena, buffer_text(&builder->sql));
    buffer_free(&builder->sql);
    if (sql.data == NULL)
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the search needs more memory than a request may use; use shorter parameters");
    postgres_statement_init(&plan->statement, sql.data, builder->parameters, types_text);
    plan->target = PLAN_WAREHOUSE;
    plan->lane = lane;
    plan->relation = view->name;
    plan->version = versions_of(versions, view);
    return STATUS_OK;
}

enum status regions_plan_search(const struct catalog *catalog, const struct versions *versions,
                                const struct regions_search *search, struct arena *arena, struct plan *plan,
                                struct failure *failure)
{
    const struct catalog_view *view = &catalog->views[CATALOG_REGION];
    struct builder builder = {.plan = plan, .arena = arena};
    plan->parameters = NULL;
    if (search->after != NULL && search->after->count != (search->has_near ? 2u : 1u))
        return failure_set(failure, STATUS_INVALID, "the cursor belongs to another order");
    buffer_init(&builder.sql, SQL_CEILING);
    buffer_append_literal(
        &builder.sql,
        "select r.* from (select r.region_id, r.name, r.kind, r.parent_id, r.longitude, r.latitude, r.attributes");
    if (search->has_near) {
        int lon = add_number(&builder, search->near[0]), lat = add_number(&builder, search->near[1]);
        char lon_text[24], lat_text[24];
        snprintf(lon_text, sizeof(lon_text), "$%d::float8", lon);
        snprintf(lat_text, sizeof(lat_text), "$%d::float8", lat);
        buffer_printf(&builder.sql, ", " DISTANCE("%s", "%s") " as distance_km", lat_text, lat_text, lon_text);
    }
    buffer_append_literal(&builder.sql, " from ");
    buffer_append_text(&builder.sql, view->sql_name);
    buffer_append_literal(&builder.sql, " r where true");
    /* Without a place there is no distance, and no order. */
    if (search->has_near)
        buffer_append_literal(&builder.sql, " and r.longitude is not null and r.latitude is not null");
    add_filters(&builder, search);
    add_order(&builder, search);
    plan->rows_at_most = (uint64_t)search->limit + 1;
    return finish(&builder, view, versions, PLAN_SCAN, failure);
}

void regions_search_key(const struct postgres_rows *rows, size_t row, bool near, struct arena *arena,
                        struct cursor *cursor)
{
    cursor->count = 0;
    if (near)
        cursor->values[cursor->count++] = arena_copy(arena, postgres_rows_value(rows, row, 7));
    cursor->values[cursor->count++] = arena_copy(arena, postgres_rows_value(rows, row, 0));
}

enum status regions_plan_one(const struct catalog *catalog, const struct versions *versions, struct text region_id,
                             struct arena *arena, struct plan *plan)
{
    const struct catalog_view *region = &catalog->views[CATALOG_REGION], *weather = &catalog->views[CATALOG_WEATHER],
                              *market = &catalog->views[CATALOG_MARKET];
    struct builder builder = {.plan = plan, .arena = arena};
    plan->parameters = NULL;
    buffer_init(&builder.sql, SQL_CEILING);
    add_text(&builder, region_id);
    buffer_printf(
        &builder.sql,
        "with recursive chain(region_id, parent_id, depth) as ("
        "select r.region_id::text, r.parent_id::text, 0 from %.*s r where r.region_id = $1"
        " union all select p.region_id::text, p.parent_id::text, c.depth + 1 from chain c join %.*s p on p.region_id = "
        "c.parent_id where c.depth < 16)"
        " select r.region_id, r.name, r.kind, r.parent_id, r.longitude, r.latitude, r.attributes,"
        " (select c.region_id from chain c where exists (select 1 from %.*s m where m.region_id = c.region_id) order "
        "by c.depth limit 1) as market_region_id,"
        " case when exists (select 1 from %.*s w where w.region_id = $1) then r.region_id end as weather_region_id"
        " from %.*s r where r.region_id = $1 limit 1",
        TEXT_ARGS(region->sql_name), TEXT_ARGS(region->sql_name), TEXT_ARGS(market->sql_name),
        TEXT_ARGS(weather->sql_name), TEXT_ARGS(region->sql_name));
    plan->rows_at_most = 1;
    return finish(&builder, region, versions, PLAN_FAST, NULL);
}

enum status regions_sources(const struct postgres_rows *rows, struct text *weather_region_id,
                            struct text *market_region_id)
{
    if (postgres_rows_count(rows) == 0)
        return STATUS_NOT_FOUND;
    *market_region_id = postgres_rows_value(rows, 0, 7);
    *weather_region_id = postgres_rows_value(rows, 0, 8);
    return STATUS_OK;
}

enum status regions_encode_one(const struct postgres_rows *rows, enum rows_format format, struct buffer *out)
{
    const size_t columns = 7;
    if (postgres_rows_count(rows) == 0)
        return STATUS_NOT_FOUND;
    if (format == ROWS_CSV)
        buffer_append_literal(out, "region_id,name,kind,parent_id,longitude,latitude,attributes\n");
    for (size_t i = 0; i < columns; i++) {
        struct text value = postgres_rows_value(rows, 0, i);
        if (format == ROWS_CSV) {
            buffer_append(out, ",", i != 0);
            csv_append_field(out, value);
            continue;
        }
        buffer_append_char(out, i != 0 ? ',' : '{');
        buffer_printf(out, "\"%s\":", postgres_rows_name(rows, i));
        rows_append_json(out, postgres_rows_type(rows, i), value);
    }
    buffer_append_string(out, format == ROWS_CSV ? "\n" : "}\n");
    return STATUS_OK;
}
