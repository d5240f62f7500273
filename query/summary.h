/* Case 1: a region's averages over a window, in one round trip. */
#ifndef SLUICE_QUERY_SUMMARY_H
#define SLUICE_QUERY_SUMMARY_H

#include "base/date.h"
#include "query/catalog.h"
#include "query/plan.h"
#include "query/rows.h"
#include "query/versions.h"

/* The statement's text and the layout of its one row, made once from the catalog; immutable, shared by all threads. */
struct summary;
struct summary *summary_create(const struct catalog *catalog); /* NULL: out of memory */
void summary_destroy(struct summary *summary);

struct summary_request {
    struct text region_id;
    struct text window_text; /* as asked: "30d" */
    struct date_window window;
    bool has_as_of;
    int32_t as_of; /* day: the window's last one, even if nothing was measured on it */
};
/* The window ends on as_of, or on the latest day for which both sources have a row; with one source only, on its
 * latest. It holds the days after (end - window) up to end. Market rows come from the nearest ancestor-or-self that has
 * any. Per measure avg, min, max, count of non-nulls (numeric: exact average rounded as PostgreSQL does). Lane fast.
 * One statement, one row; none for an unknown region. Parameters: region_id, months, days, as_of or null.
 * STATUS_TOO_LARGE: the arena is full. */
enum status summary_plan(const struct summary *summary, const struct versions *versions,
                         const struct summary_request *request, struct arena *arena, struct plan *plan) MUST_CHECK;
/* The sum of the versions of all views that a summary reads; 0 when one is not known. Any thread, cheap. */
uint64_t summary_version(const struct summary *summary, const struct versions *versions);
/* Of everything that decides how a region's documents are made from the same data: views, measures, units. The same on
 * every instance of one configuration. */
uint64_t summary_fingerprint(const struct summary *summary);
/* The main relation's name, for Sluice-Plan: the weather view. */
struct text summary_relation(const struct summary *summary);
/* JSON (NDJSON: the same in one line):
 * {"region":{…as regions_encode_one…},
 *  "window":{"requested":"30d","from":"2025-12-02","to":"2025-12-31","days":30},      (from, to, days null when there
 * is no data at all)
 *  "weather":{"region_id":"BG-sofia","latest_day":"2025-12-31","updated_at":"…Z"|null,"measures":{"temperature_c":{"unit":"°C","mean":…,"min":…,"max":…,"days":30},…}},
 *  "market":{"region_id":"BGR","inherited":true,"latest_day":…,"updated_at":…,"measures":{…}}}
 * A source without rows for the region: region_id and latest_day null, every measure null with 0 days. Without rows in
 * the window: the measures null with 0 days. CSV:
 * region_id,source,source_region_id,from,to,measure,unit,mean,min,max,days; a line a measure. STATUS_NOT_FOUND: no row.
 */
enum status summary_encode(const struct summary *summary, const struct versions *versions,
                           const struct summary_request *request, const struct postgres_rows *rows,
                           enum rows_format format, struct buffer *out) MUST_CHECK;

#endif
