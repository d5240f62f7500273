/* The executor: carries plans out. Rows become the answer as they come (streams), or a cached payload (loads). */
#ifndef SLUICE_API_EXECUTE_H
#define SLUICE_API_EXECUTE_H

#include "api/request.h"

struct execute_rows {
    struct respond_head head;
    uint64_t limit; /* rows that may be encoded; 0: all */
    /* Row number `limit` is at hand, `row` in `rows`: whatever is needed to say where to go on. May be NULL. */
    void (*on_last)(struct request *request, const struct postgres_rows *rows, size_t row);
    /* There was a row past the limit; called before the answer ends. May be NULL. */
    void (*on_more)(struct request *request);
};
/* Runs request->plan and answers with its rows in request->format. A client that leaves cancels the query. */
enum stage_verdict execute_rows(struct request *request, const struct execute_rows *options);

/* A load of the cache: a plan of its own, because it outlives the request that began it. */
struct execute_load {
    struct worker *worker;
    struct cache_load *cache;
    struct arena arena;
    struct plan plan;
    /* Makes the payload; its status becomes the load's. */
    enum status (*encode)(struct execute_load *load, const struct postgres_rows *rows, struct buffer *out);
    void *state; /* the encoder's, in `arena` */
    struct buffer out;
    enum status status;
};
/* For a cache_request's `load`: NULL when memory ran out (then the load is finished with STATUS_FAILED already). */
struct execute_load *execute_load_create(struct cache_load *cache);
/* Runs load->plan in the fast lane, encodes, finishes the cache's load and frees everything. `planned` not STATUS_OK:
 * there is no plan, the load ends with it. */
void execute_load_start(struct execute_load *load, enum status planned);

/* W/"…" of what stands under `key` at `version`, in the arena; TEXT_NONE for version 0. The same on every instance of
 * one release. */
struct text execute_etag(struct arena *arena, struct text key, uint64_t version);
/* Cache-Control of data whose version is known (always ask again: a 304 is cheap) or not (as old as cache.ttl allows).
 */
const char *execute_cache_control(const struct request *request, uint64_t version);

/* Answers with a cached payload, or loads it first: the whole way of a resource that is one small document. */
struct execute_document {
    struct text key; /* of the cache: what the payload depends on but for the version */
    uint64_t version;
    struct text content_type;
    void (*load)(struct cache_load *load, const void *argument);
    const void *argument;
    size_t argument_size;
};
enum stage_verdict execute_document(struct request *request, const struct execute_document *document);

#endif
