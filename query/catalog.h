/* What the serving views are made of, read from the database's own catalog at the start. Immutable afterwards, shared
 * by all threads. */
#ifndef SLUICE_QUERY_CATALOG_H
#define SLUICE_QUERY_CATALOG_H

#include "base/arena.h"
#include "drivers/postgres_session.h"

enum aggregate { AGGREGATE_MEAN, AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };
const char *aggregate_name(enum aggregate aggregate); /* "mean", "sum", "min", "max" */
const char *aggregate_sql(enum aggregate aggregate);  /* "avg", "sum", "min", "max" */

/* A numeric column of a serving view. Its comment reads "words [unit; function]": both parts in the brackets are
 * optional, the function is mean unless told. */
struct catalog_measure {
    struct text name;
    uint32_t type;    /* OID */
    struct text unit; /* TEXT_NONE: none told */
    struct text description;
    enum aggregate aggregate;
};

struct catalog_view {
    struct text name;                       /* as configured: "serving.weather_daily" */
    struct text sql_name;                   /* quoted: "serving"."weather_daily" */
    const struct catalog_measure *measures; /* none for the region view */
    size_t measure_count;
    const struct text *bases; /* "schema.table": the tables under the view, found through pg_depend, recursively */
    size_t base_count;
    size_t index; /* CATALOG_REGION … */
};

enum { CATALOG_REGION, CATALOG_WEATHER, CATALOG_MARKET, CATALOG_FORECAST, CATALOG_VIEWS };

struct catalog {
    struct arena arena;
    struct catalog_view views[CATALOG_VIEWS];
};

struct catalog_override {
    const char *column;
    enum aggregate aggregate;
};
struct catalog_options {
    const char *views[CATALOG_VIEWS]; /* "schema.name" */
    const struct catalog_override *overrides;
    size_t override_count;
};

/* STATUS_INVALID: a view is missing, not readable by this login, or lacks region_id/day (or the region view's columns
 * region_id, name, kind, parent_id, longitude, latitude, attributes), has a column of another type than these need
 * (text; date; float8-like), or an override names no column. Says which and what to do. */
enum status catalog_load(struct postgres_session *session, const struct catalog_options *options,
                         struct catalog **catalog, struct failure *failure) MUST_CHECK;
void catalog_free(struct catalog *catalog);
/* NULL if the view has no such measure. */
const struct catalog_measure *catalog_measure(const struct catalog_view *view, struct text name);

#endif
