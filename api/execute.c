#include "api/execute.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/customers.h"
#include "api/problem.h"
#include "api/replica.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/hash.h"
#include "base/log.h"
#include "query/rules.h"
#include "query/verdicts.h"

#define PAGE_BYTES ((size_t)1 << 20)      /* a page that is sent whole ends here, before its limit of rows */
#define ROW_CEILING ((size_t)64 << 20)    /* bytes of one encoded row */
#define PAYLOAD_CEILING ((size_t)1 << 20) /* bytes of one cached document */

struct rows_state {
    struct execute_rows options;
    uint64_t limit; /* the options', before the page was cut */
    struct rows_encoder *encoder;
    bool more;
    bool cut;      /* the page has reached PAGE_BYTES before its limit */
    bool failed;   /* out of memory */
    bool outdated; /* the rows are of other types than the plan was made for */
    bool small;    /* the result comes in one piece */
    bool again;    /* it was asked for a second time */
};

static enum status start_rows(struct request *request, struct rows_state *state);

/* Every value of a request was validated before it became a parameter: what the database finds invalid is in the views,
 * a division by zero say, and no caller could mend it. */
static enum status blame(const struct postgres_error *error)
{
    return error->status == STATUS_INVALID ? STATUS_FAILED : error->status;
}

static void log_query_error(const struct plan *plan, const char *request_id, const struct postgres_error *error)
{
    if (blame(error) == STATUS_FAILED || error->status == STATUS_DENIED)
        log_event(LOG_ERROR, "query_failed", "request %s, %.*s in lane %s: %s %s", request_id,
                  TEXT_ARGS(plan->relation), plan_lane_name(plan->lane), error->sqlstate, error->message);
}

static void append_rows(struct request *request, struct rows_state *state, const struct postgres_rows *rows)
{
    uint64_t limit = state->options.limit, done = request->rows;
    size_t count = postgres_rows_count(rows);
    if (limit != 0 && done + count > limit) {
        count = (size_t)(limit - done);
        state->more = true;
    }
    if (count == 0)
        return;
    if (state->options.on_rows != NULL)
        state->options.on_rows(request, rows, count);
    rows_encoder_append(state->encoder, rows, 0, count, respond_buffer(&request->respond));
    request->rows += count;
    /* Row by row only: of a result that comes whole the rows behind are in the buffer already. */
    if (state->options.head.whole && request->plan.lane != PLAN_FAST && request->rows < limit &&
        respond_buffer(&request->respond)->size >= PAGE_BYTES) {
        state->options.limit = limit = request->rows;
        state->cut = true;
    }
    if (request->rows == limit && state->options.on_last != NULL)
        state->options.on_last(request, rows, count - 1);
}

/* Every row that will be sent is in the buffer. */
static void end_rows(struct request *request)
{
    struct rows_state *state = request->executor;
    if (state->failed || respond_buffer(&request->respond)->failed) {
        problem_send_status(request, STATUS_TOO_LARGE);
        return;
    }
    rows_encoder_end(state->encoder, respond_buffer(&request->respond));
    if (state->options.on_end != NULL && !state->options.on_end(request, state->more))
        return;
    /* A standby may have been started anew meanwhile, and have gone back behind the version. */
    if (!request->respond.started && !replicas_still_hold(request))
        request->respond.head.etag = TEXT_NONE;
    respond_finish(request);
}

void execute_asked(struct request *request)
{
    request->database_query = NULL;
    request->database_us += clock_monotonic_us() - request->database_started_us;
    gone_stop(&request->gone);
}

static void stop_query(struct request *request)
{
    postgres_cancel(request->database_query);
    execute_asked(request);
}

/* Few rows that come in one piece, but so large that they can only go as they come. */
static bool may_ask_again(const struct request *request, const struct rows_state *state)
{
    return (state->small || request->plan.lane == PLAN_FAST) && !state->again && !request->respond.started &&
           request->respond.pending.failed;
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct rows_state *state = request->executor;
    state->outdated = state->outdated || (state->encoder == NULL && !rows_are_known(rows));
    if (state->outdated)
        return;
    if (state->encoder == NULL) {
        state->options.encoding.format = request->format;
        state->encoder = rows_encoder_create(&request->arena, &state->options.encoding, rows);
        if (state->encoder == NULL) {
            state->failed = true;
            return;
        }
        rows_encoder_begin(state->encoder, respond_buffer(&request->respond));
    }
    append_rows(request, state, rows);
    if (may_ask_again(request, state))
        return; /* on_done does */
    /* Nobody wants the rows that follow; and to pause for a buffer that is full but goes nowhere would be for ever. */
    if (request->plan.lane != PLAN_FAST && ((state->cut && state->more) || respond_buffer(&request->respond)->failed)) {
        stop_query(request);
        end_rows(request);
        return;
    }
    if (respond_flush(request) || request->plan.lane == PLAN_FAST)
        return;
    if (request->respond.finished)
        stop_query(request);
    else
        postgres_pause(request->database_query);
}

static void on_drain(struct request *request)
{
    if (request->database_query != NULL && request->plan.lane != PLAN_FAST)
        postgres_resume(request->database_query);
}

/* Row by row there is one row at a time in the buffer, which may be a large one. */
static void begin_answer(struct request *request, const struct rows_state *state)
{
    struct respond *respond = &request->respond;
    respond_begin(request, &state->options.head, on_drain);
    if (!state->small && request->plan.lane != PLAN_FAST)
        respond->pending.ceiling = respond->sending.ceiling = ROW_CEILING;
}

/* What was thought to be small is not: the next read of this shape does not try. */
static void refute_estimate(struct request *request)
{
    struct plan *plan = &request->plan;
    plan->estimate.refuted = true;
    if (plan->verdict != 0 && request->dataset != NULL)
        verdicts_keep(request->worker->verdicts, request->dataset, plan->verdict, &plan->estimate);
}

void execute_go_home(struct request *request)
{
    request->plan.lane = PLAN_SCAN;
    request->worker->metrics.replica_retries++;
}

/* Nothing has come that was sent. */
static void start_anew(struct request *request, struct rows_state *state)
{
    state->more = state->cut = state->outdated = false;
    state->encoder = NULL;
    state->options.limit = state->limit;
    request->rows = 0;
    respond_fail(request, TEXT_NONE); /* drops what was gathered */
    begin_answer(request, state);
    enum status status = start_rows(request, state);
    if (status != STATUS_OK)
        problem_send_status(request, status);
}

/* Once more, row by row. */
static void ask_again(struct request *request, struct rows_state *state)
{
    if (state->small)
        refute_estimate(request);
    state->again = true;
    state->small = false;
    if (request->plan.lane == PLAN_FAST)
        request->plan.lane = PLAN_SCAN;
    start_anew(request, state);
}

static void on_done(void *context, const struct postgres_error *error)
{
    /* As the server says it of a statement that it had prepared. */
    static const struct postgres_error outdated = {STATUS_FAILED, "0A000", "the types of the result have changed"};
    struct request *request = context;
    struct rows_state *state = request->executor;
    execute_asked(request);
    if (error == NULL && state->outdated)
        error = &outdated;
    bool outgrown = error != NULL && error->status == STATUS_TOO_LARGE && state->small;
    if (outgrown || (error == NULL && may_ask_again(request, state))) {
        ask_again(request, state);
        return;
    }
    if (error != NULL && request->plan.lane == PLAN_REPLICA && !request->respond.started && rules_goes_home(error)) {
        execute_go_home(request);
        start_anew(request, state);
        return;
    }
    if (error != NULL && state->options.on_error != NULL && state->options.on_error(request, error))
        return;
    if (error != NULL) {
        log_query_error(&request->plan, request->id, error);
        problem_send_status(request, blame(error));
        return;
    }
    end_rows(request);
}

/* The client has left: nobody wants the rest. */
static void on_gone(struct gone_watch *watch)
{
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, gone, watch);
    static const struct respond_head head = {.status = 499, .reason = "Client Closed Request"};
    request->worker->metrics.clients_gone++;
    request->reason = "client-gone";
    if (request->database_query != NULL)
        postgres_cancel(request->database_query);
    request->database_query = NULL;
    request->h2o->http1_is_persistent = 0;
    if (respond_fail(request, TEXT_NONE))
        return;
    respond_send(request, &head, TEXT_NONE, NULL);
    request->respond.complete = false;
}

/* While the worker stops, the reading side of connections that were idle is shut: that is no client who left. */
static void watch_client(struct request *request)
{
    h2o_conn_t *connection = request->h2o->conn;
    if (!request->worker->stopping)
        gone_start(request->worker->gone, &request->gone,
                   h2o_socket_get_fd(connection->callbacks->get_socket(connection)), on_gone);
}

/* Whose login reads: of a dataset its owner's, who may share it; of SQL the caller's. */
static struct text lane_customer(const struct request *request)
{
    static const struct text front = {"sluice_c_", 9};
    struct text role = request->dataset != NULL ? request->dataset->role : TEXT_NONE;
    return text_starts_with(role, front) ? text_of(role.data + front.size, role.size - front.size)
                                         : request->principal->customer;
}

struct postgres *execute_lane(const struct request *request)
{
    const struct worker *worker = request->worker;
    switch (request->plan.lane) {
    case PLAN_FAST:
        return worker->fast;
    case PLAN_REPLICA:
        return worker->replicas[request->plan.replica.place];
    case PLAN_CUSTOMER:
        return customers_lane(worker->customers, lane_customer(request));
    default:
        return worker->scan;
    }
}

enum status execute_ask(struct request *request, struct postgres *lane, const struct postgres_call *call,
                        const struct postgres_handlers *handlers)
{
    if (lane == NULL)
        return STATUS_UNAVAILABLE;
    request->database_started_us = clock_monotonic_us();
    enum status status = postgres_start(lane, call, handlers, request, &request->database_query);
    if (status == STATUS_OK)
        watch_client(request);
    return status;
}

static enum status start_rows(struct request *request, struct rows_state *state)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct postgres *lane = execute_lane(request);
    if (lane == NULL)
        return STATUS_UNAVAILABLE;
    const struct postgres_call call = {.statement = &request->plan.statement,
                                       .parameters = request->plan.parameters,
                                       .settings = request->plan.settings,
                                       .setting_count = request->plan.setting_count,
                                       .whole = state->small,
                                       .whole_most = RULES_WHOLE_BYTES};
    request->database_started_us = clock_monotonic_us();
    enum status status = postgres_start(lane, &call, &handlers, request, &request->database_query);
    if (status != STATUS_OK && request->plan.lane == PLAN_REPLICA) {
        execute_go_home(request);
        return start_rows(request, state);
    }
    if (status == STATUS_OK && request->plan.lane != PLAN_FAST)
        watch_client(request);
    return status;
}

enum stage_verdict execute_rows(struct request *request, const struct execute_rows *options)
{
    struct rows_state *state = arena_calloc(&request->arena, 1, sizeof(*state));
    if (state == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    state->options = *options;
    state->limit = options->limit;
    request->executor = state;
    /* A page is looked at row by row, because it may end early. */
    state->small = !options->head.whole && rules_comes_whole(&request->plan);
    begin_answer(request, state);
    enum status status = start_rows(request, state);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

struct execute_load *execute_load_create(struct cache_load *cache)
{
    struct execute_load *load = calloc(1, sizeof(*load));
    if (load == NULL) {
        cache_load_finish(cache, STATUS_FAILED, TEXT_NONE, false);
        return NULL;
    }
    load->worker = cache_load_owner(cache);
    load->cache = cache;
    load->status = STATUS_NOT_FOUND;
    arena_init(&load->arena, NULL, 0, PAYLOAD_CEILING);
    buffer_init(&load->out, PAYLOAD_CEILING);
    return load;
}

static void load_end(struct execute_load *load, enum status status)
{
    if (status == STATUS_OK && load->out.failed)
        status = STATUS_TOO_LARGE;
    cache_load_finish(load->cache, status, buffer_text(&load->out), status == STATUS_OK);
    buffer_free(&load->out);
    arena_free(&load->arena);
    free(load);
}

static void on_load_rows(void *context, const struct postgres_rows *rows)
{
    struct execute_load *load = context;
    load->status = load->encode(load, rows, &load->out);
}

static void on_load_done(void *context, const struct postgres_error *error)
{
    struct execute_load *load = context;
    if (error != NULL)
        log_query_error(&load->plan, "(load)", error);
    load_end(load, error != NULL ? blame(error) : load->status);
}

void execute_load_start(struct execute_load *load, enum status planned)
{
    static const struct postgres_handlers handlers = {on_load_rows, on_load_done};
    struct postgres_query *query;
    enum status status = planned;
    const struct postgres_call call = {.statement = &load->plan.statement, .parameters = load->plan.parameters};
    if (status == STATUS_OK)
        status = postgres_start(load->worker->fast, &call, &handlers, load, &query);
    if (status != STATUS_OK)
        load_end(load, status);
}

struct text execute_etag(struct arena *arena, struct text key, uint64_t version)
{
    /* SLUICE_VERSION: another release may encode the same data otherwise. */
    struct {
        uint64_t key, version, release;
    } content = {hash_stable(key), version, hash_stable(TEXT(SLUICE_VERSION))};
    uint64_t hash = hash_stable(text_of((const char *)&content, sizeof(content)));
    char *etag = version != 0 ? arena_alloc(arena, 20) : NULL;
    if (etag == NULL)
        return TEXT_NONE;
    memcpy(etag, "W/\"", 3);
    encoding_hex(&hash, sizeof(hash), etag + 3);
    etag[19] = '"';
    return text_of(etag, 20);
}

const char *execute_cache_control(const struct request *request, uint64_t version)
{
    if (version != 0)
        return "private, no-cache";
    char *value = arena_alloc(&((struct request *)(uintptr_t)request)->arena, 48);
    if (value == NULL)
        return "private, no-cache";
    snprintf(value, 48, "private, max-age=%u", request->settings->config->cache.ttl_ms / 1000);
    return value;
}

static enum stage_verdict send_document(struct request *request, const struct execute_document *document,
                                        const struct cache_entry *entry, enum cache_source source)
{
    struct respond_head head = {.status = 200, .reason = "OK", .content_type = document->content_type, .vary = true};
    request->cache_name = cache_source_name(source);
    request->rows = 1;
    if (source == CACHE_STALE) {
        /* RFC 9111 section 4.2.4: an outdated answer says its validator, and that it may not be kept. */
        head.cache_control = "no-store";
    } else {
        head.cache_control = execute_cache_control(request, entry->version);
    }
    head.etag = execute_etag(&request->arena, document->key, entry->version);
    if (respond_not_modified(request, head.etag))
        return respond_send_not_modified(request, &head);
    return respond_send(request, &head, entry->payload, entry);
}

struct document_state {
    struct execute_document document;
};

static void on_document(void *context, enum status status, const struct cache_entry *entry, enum cache_source source)
{
    struct request *request = context;
    struct document_state *state = request->executor;
    request->cache_wait = NULL;
    if (source == CACHE_LOADED)
        request->database_us = clock_monotonic_us() - request->database_started_us;
    if (status != STATUS_OK)
        problem_send_status(request, status);
    else
        send_document(request, &state->document, entry, source);
}

enum stage_verdict execute_document(struct request *request, const struct execute_document *document)
{
    struct cache *cache = request->worker->cache;
    const struct cache_entry *entry = cache_peek(cache, document->key, document->version);
    if (entry != NULL)
        return send_document(request, document, entry, CACHE_MEMORY);
    struct document_state *state = arena_alloc(&request->arena, sizeof(*state));
    if (state == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    state->document = *document;
    request->executor = state;
    request->database_started_us = clock_monotonic_us();
    struct cache_request ask = {document->key,      document->version,       document->load,
                                document->argument, document->argument_size, request->worker};
    request->cache_wait = cache_get(cache, &ask, on_document, request);
    return STAGE_WAIT;
}
