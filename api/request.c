#include "api/request.h"

#include <stdlib.h>

#include "api/accept.h"
#include "api/ingest.h"
#include "api/problem.h"
#include "api/request_task.h"
#include "api/stages.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/random.h"

#define SPARES 256              /* recycled requests a worker keeps */
#define ARENA_CEILING (1 << 20) /* bytes that one request may allocate beyond its first memory */

bool request_is_head(const struct request *request)
{
    return h2o_memis(request->h2o->method.base, request->h2o->method.len, H2O_STRLIT("HEAD"));
}

static struct request *take_spare(struct worker *worker)
{
    struct request *request = worker->spare;
    if (request != NULL) {
        worker->spare = request->next;
        worker->spare_count--;
    } else {
        request = malloc(sizeof(*request));
    }
    /* The arena's first memory needs no clearing. */
    if (request != NULL)
        memset(request, 0, offsetof(struct request, first));
    return request;
}

static void put_spare(struct worker *worker, struct request *request)
{
    if (worker->spare_count >= SPARES) {
        free(request);
        return;
    }
    request->next = worker->spare;
    worker->spare = request;
    worker->spare_count++;
}

void request_free_spares(struct worker *worker)
{
    while (worker->spare != NULL) {
        struct request *request = worker->spare;
        worker->spare = request->next;
        free(request);
    }
    worker->spare_count = 0;
}

/* Ids are unguessable enough to be shown and cheap enough for every request: a random half per worker and start, and a
 * counter. */
static void make_id(struct request *request)
{
    static __thread uint64_t base;
    unsigned char bytes[REQUEST_ID_SIZE / 2];
    if (base == 0)
        random_bytes(&base, sizeof(base));
    uint64_t id =
        base + request->worker->next_request++ * 0x9E3779B97F4A7C15u; /* odd: every counter gives another id */
    memcpy(bytes, &id, sizeof(id));
    bytes[8] = (unsigned char)request->worker->index;
    bytes[9] = (unsigned char)(base >> 56);
    encoding_hex(bytes, sizeof(bytes), request->id);
    request->id[REQUEST_ID_SIZE] = '\0';
}

/* Several lines of X-Forwarded-For are one list (RFC 9110 section 5.3). */
static struct text join_list(struct request *request, struct text first, struct text second)
{
    char *joined = first.data != NULL ? arena_alloc(&request->arena, first.size + second.size + 1) : NULL;
    if (joined == NULL)
        return second;
    memcpy(joined, first.data, first.size);
    joined[first.size] = ',';
    memcpy(joined + first.size + 1, second.data, second.size);
    return text_of(joined, first.size + second.size + 1);
}

static void read_header(struct request *request, const h2o_header_t *header)
{
    struct request_headers *headers = &request->headers;
    struct text value = text_of(header->value.base, header->value.len);
    const h2o_iovec_t *name = header->name;
    if (name == &H2O_TOKEN_AUTHORIZATION->buf) {
        headers->authorization_repeated = headers->authorization.data != NULL;
        headers->authorization = value;
    } else if (name == &H2O_TOKEN_ACCEPT->buf)
        headers->accept = value;
    else if (name == &H2O_TOKEN_ACCEPT_ENCODING->buf)
        headers->accept_encoding = value;
    else if (name == &H2O_TOKEN_IF_NONE_MATCH->buf)
        headers->if_none_match = value;
    else if (name == &H2O_TOKEN_X_FORWARDED_FOR->buf)
        headers->forwarded_for = join_list(request, headers->forwarded_for, value);
    else if (h2o_memis(name->base, name->len, H2O_STRLIT("origin")))
        headers->origin = value;
    else if (h2o_memis(name->base, name->len, H2O_STRLIT("traceparent")))
        headers->traceparent = value;
    else if (h2o_memis(name->base, name->len, H2O_STRLIT("prefer")))
        headers->prefer = join_list(request, headers->prefer, value);
    else if (name == &H2O_TOKEN_RANGE->buf)
        headers->range = value;
    else if (h2o_memis(name->base, name->len, H2O_STRLIT("range-unit")))
        headers->range_unit = value;
    else if (h2o_memis(name->base, name->len, H2O_STRLIT("accept-profile")))
        headers->accept_profile = value;
    else if (h2o_memis(name->base, name->len, H2O_STRLIT("access-control-request-method")))
        headers->preflight_method = value;
}

/* h2o treats a connection without a PROXY line as its sender's own; here that is a mistake of the proxy's
 * configuration, or somebody who wants to be taken for it. The listener took the sender's address away: only a line
 * brings one. */
static bool lacks_proxy_line(const struct request *request)
{
    struct sockaddr_storage told = {0};
    h2o_conn_t *connection = request->h2o->conn;
    connection->callbacks->get_peername(connection, (struct sockaddr *)&told);
    return told.ss_family == AF_UNSPEC;
}

/* The sender's own address, where no PROXY line told another one. */
static void find_peer(h2o_conn_t *connection, struct sockaddr_storage *peer)
{
    socklen_t size = sizeof(*peer);
    connection->callbacks->get_peername(connection, (struct sockaddr *)peer);
    if (peer->ss_family == AF_UNSPEC)
        getpeername(h2o_socket_get_fd(connection->callbacks->get_socket(connection)), (struct sockaddr *)peer, &size);
}

static void find_address(struct request *request)
{
    const struct config *config = request->worker->server->config;
    h2o_conn_t *connection = request->h2o->conn;
    const struct ingest_connection *ingest = ingest_of(request);
    struct sockaddr_storage peer = {0};
    if (ingest != NULL)
        peer = *ingest_peer(ingest);
    else
        find_peer(connection, &peer);
    request->peer = peer;
    if (request->headers.forwarded_for.data != NULL && config->server.trusted_proxies.count != 0)
        address_from_forwarded(&config->server.trusted_proxies, (struct sockaddr *)&peer,
                               request->headers.forwarded_for, &request->peer);
    address_format((struct sockaddr *)&request->peer, request->address);
}

static void split_target(struct request *request)
{
    h2o_req_t *req = request->h2o;
    size_t query_at = req->input.query_at;
    size_t length = req->input.path.len;
    request->path = text_of(req->input.path.base, query_at != SIZE_MAX ? query_at : length);
    if (query_at != SIZE_MAX)
        request->query = text_of(req->input.path.base + query_at + 1, length - query_at - 1);
}

static void link_request(struct request *request)
{
    struct worker *worker = request->worker;
    request->next = worker->requests;
    if (request->next != NULL)
        request->next->previous = request;
    worker->requests = request;
    worker->metrics.requests++;
}

static void unlink_request(struct request *request)
{
    struct worker *worker = request->worker;
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        worker->requests = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    worker->metrics.requests--;
}

/* h2o is done with the request, whether it was answered or its client left. */
static void request_dispose(void *memory)
{
    struct request *request = *(struct request **)memory;
    struct worker *worker = request->worker;
    request_record_end(request);
    gone_stop(&request->gone);
    loop_timer_stop(&request->pause);
    if (request->token_wait != NULL)
        tokens_cancel(request->token_wait);
    if (request->limit_wait != NULL)
        limiter_cancel(request->limit_wait);
    if (request->cache_wait != NULL)
        cache_cancel(request->cache_wait);
    if (request->database_query != NULL)
        postgres_cancel(request->database_query);
    if (request->dataset_wait != NULL)
        datasets_cancel(request->dataset_wait);
    if (request->task != NULL)
        request_task_leave(request->task);
    if (request->dataset != NULL)
        dataset_unref(request->dataset);
    respond_dispose(request);
    if (request->principal != NULL)
        principal_unref(request->principal);
    worker_settings_unref(request->held);
    arena_free(&request->arena);
    unlink_request(request);
    put_spare(worker, request);
}

int request_begin(h2o_handler_t *handler, h2o_req_t *h2o)
{
    struct worker *worker = worker_of(h2o);
    struct request *request = take_spare(worker);
    (void)handler;
    if (request == NULL) {
        h2o->http1_is_persistent = 0;
        h2o_send_error_503(h2o, "Service Unavailable", "out of memory", 0);
        return 0;
    }
    request->h2o = h2o;
    request->worker = worker;
    request->held = worker_settings_ref(worker->current);
    request->settings = request->held->settings;
    request->started_us = clock_monotonic_us();
    request->arrived_us = clock_wall_us();
    arena_init(&request->arena, request->first, sizeof(request->first), ARENA_CEILING);
    link_request(request);
    struct request **hook = h2o_mem_alloc_shared(&h2o->pool, sizeof(*hook), request_dispose);
    *hook = request;

    make_id(request);
    split_target(request);
    for (size_t i = 0; i < h2o->headers.size; i++)
        read_header(request, &h2o->headers.entries[i]);
    find_address(request);
    request->traced = traceparent_parse(request->headers.traceparent, &request->trace);
    if (!request->traced)
        traceparent_make(&request->trace);
    request->respond.wants_gzip = accept_gzip(request->headers.accept_encoding);
    if (worker->server->config->server.proxy_protocol && ingest_of(request) == NULL && lacks_proxy_line(request)) {
        h2o->http1_is_persistent = 0;
        problem_send(request, PROBLEM_BAD_REQUEST,
                     "the connection did not begin with a PROXY protocol line (version 1), which is expected here");
        return 0;
    }
    request_run(request);
    return 0;
}

void request_run(struct request *request)
{
    while (request->stage < stages_count) {
        if (stages[request->stage].run(request) != STAGE_NEXT)
            return;
        request->resumed = false;
        request->stage++;
    }
}

void request_resume(struct request *request)
{
    request->resumed = true;
    request_run(request);
}

void request_plan_again(struct request *request)
{
    while (strcmp(stages[request->stage].name, "plan") != 0)
        request->stage--;
    request->resumed = request->has_plan = false;
    request_run(request);
}
