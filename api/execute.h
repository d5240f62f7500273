/* The executor: carries plans out. Rows become the answer as they come (streams), or a cached payload (loads). */
#ifndef SLUICE_API_EXECUTE_H
#define SLUICE_API_EXECUTE_H

#include "api/request.h"

struct execute_rows {
    struct respond_head head;
    struct rows_options encoding; /* its format is request->format */
    uint64_t limit;               /* rows that may be encoded; 0: all */
    /* The first `count` rows of `rows` are about to be encoded. May be NULL. */
    void (*on_rows)(struct request *request, const struct postgres_rows *rows, size_t count);
    /* Row number `limit` is at hand, `row` in `rows`: whatever is needed to say where to go on. May be NULL. */
    void (*on_last)(struct request *request, const struct postgres_rows *rows, size_t row);
    /* Every row that is sent is in the answer; `more`: there was one past the limit. Before the answer ends: as long as
     * it has not begun (request->respond.started) its head may still be changed. False: it was answered otherwise. May
     * be NULL. */
    bool (*on_end)(struct request *request, bool more);
    /* The query has failed; true: whatever follows was seen to. May be NULL. */
    bool (*on_error)(struct request *request, const struct postgres_error *error);
};
/* Runs request->plan and answers with its rows in request->format. A client that leaves cancels the query. */
enum stage_verdict execute_rows(struct request *request, const struct execute_rows *options);

/* The pool of request->plan.lane. NULL: of a customer who can have none now, see customers_lane. */
struct postgres *execute_lane(const struct request *request);

/* What was planned for a standby is asked of the primary from here on. */
void execute_go_home(struct request *request);

/* A question whose answer decides what follows: asked on the request's behalf before its answer begins, in `lane`. Rows
 * come to on_rows (perhaps more than once), then on_done; a client that leaves cancels it. STATUS_OK, or why it could
 * not be asked (`lane` may be NULL: STATUS_UNAVAILABLE). */
enum status execute_ask(struct request *request, struct postgres *lane, const struct postgres_call *call,
                        const struct postgres_handlers *handlers) MUST_CHECK;
/* For on_done of such a question: it has ended. */
void execute_asked(struct request *request);

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
