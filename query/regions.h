/* Plans for regions: search and one; and the encoding of one. */
#ifndef SLUICE_QUERY_REGIONS_H
#define SLUICE_QUERY_REGIONS_H

#include "query/catalog.h"
#include "query/cursor.h"
#include "query/plan.h"
#include "query/rows.h"
#include "query/versions.h"

struct regions_search {
    struct text q, kind, parent; /* data == NULL: not asked */
    bool has_box, has_near;
    double box[4];  /* west, south, east, north; west > east crosses the antimeridian (RFC 7946 section 5.2) */
    double near[2]; /* longitude, latitude */
    int64_t limit;
    const struct cursor *after; /* NULL: the first page */
};
/* Columns region_id, name, kind, parent_id, longitude, latitude, attributes (and distance_km, haversine, with near);
 * limit + 1 rows so that the caller sees whether there is more; ordered by region_id (with near: distance, then
 * region_id), which is also the cursor's key. q matches name or region_id, case-insensitive, anywhere; LIKE's special
 * characters in it are literal. Lane scan. */
enum status regions_plan_search(const struct catalog *catalog, const struct versions *versions,
                                const struct regions_search *search, struct arena *arena, struct plan *plan,
                                struct failure *failure) MUST_CHECK;
/* The key of row `row`, for the next cursor. */
void regions_search_key(const struct postgres_rows *rows, size_t row, bool near, struct arena *arena,
                        struct cursor *cursor);

/* One region with the nearest ancestor-or-self that has a market (column market_region_id, null if none) and the same
 * for weather_region_id (self only). Lane fast. STATUS_TOO_LARGE: the arena is full; the plan must not be carried out.
 */
enum status regions_plan_one(const struct catalog *catalog, const struct versions *versions, struct text region_id,
                             struct arena *arena, struct plan *plan) MUST_CHECK;
/* {"region_id":…,"name":…,"kind":…,"parent_id":…,"longitude":…,"latitude":…,"attributes":…} (CSV: header and row)
 * without the two helper columns. STATUS_NOT_FOUND: no row. */
enum status regions_encode_one(const struct postgres_rows *rows, enum rows_format format,
                               struct buffer *out) MUST_CHECK;

/* What a series needs to know of a region: whose rows to read. The two helper columns as text; data == NULL: null.
 * STATUS_NOT_FOUND: no row. */
enum status regions_sources(const struct postgres_rows *rows, struct text *weather_region_id,
                            struct text *market_region_id) MUST_CHECK;

#endif
