#include "api/respond.h"

#include <stdio.h>
#include <sys/socket.h>

#include "api/gzip.h"
#include "api/request.h"
#include "api/tus.h"
#include "base/clock.h"

#define STREAM_CEILING                                                                                                 \
    (RESPOND_BUFFERED + ((size_t)4 << 20)) /* one turn's rows may pass the mark before the producer stops */

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req);
static void on_stop(h2o_generator_t *generator, h2o_req_t *req);

static void add_header(struct request *request, const h2o_token_t *token, const char *value, size_t size)
{
    h2o_add_header(&request->h2o->pool, &request->h2o->res.headers, token, NULL, value, size);
}

static void add_named(struct request *request, const char *name, size_t name_size, struct text value)
{
    h2o_add_header_by_str(&request->h2o->pool, &request->h2o->res.headers, name, name_size, 0, NULL, value.data,
                          value.size);
}
#define ADD_NAMED(request, name, value) add_named((request), (name), sizeof(name) - 1, (value))

/* Decimal digits of `value` at `at`; returns the end. */
static char *put_number(char *at, uint64_t value)
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    while (count != 0)
        *at++ = digits[--count];
    return at;
}

static char *put_text(char *at, const char *text, size_t size)
{
    memcpy(at, text, size);
    return at + size;
}
#define PUT(at, literal) put_text((at), (literal), sizeof(literal) - 1)

static char *put_milliseconds(char *at, uint64_t us)
{
    at = put_number(at, us / 1000);
    *at++ = '.';
    *at++ = (char)('0' + us / 100 % 10);
    *at++ = (char)('0' + us / 10 % 10);
    *at++ = (char)('0' + us % 10);
    return at;
}

/* draft-ietf-httpapi-ratelimit-headers: RateLimit: "second";r=9;t=1 */
static void add_limit_headers(struct request *request)
{
    if (!request->has_verdict || request->verdict.policy == NULL)
        return;
    char *value = arena_alloc(&request->arena, 96);
    if (value == NULL)
        return;
    char *at = PUT(value, "\"");
    at = put_text(at, request->verdict.policy->name, strlen(request->verdict.policy->name));
    at = PUT(at, "\";r=");
    at = put_number(at, request->verdict.remaining);
    at = PUT(at, ";t=");
    at = put_number(at, request->verdict.reset_s);
    ADD_NAMED(request, "ratelimit", text_of(value, (size_t)(at - value)));
    if (request->tier_header != NULL)
        ADD_NAMED(request, "ratelimit-policy", text_from_string(request->tier_header));
}

/* Server-Timing: total;dur=1.234, db;dur=0.456, cache;desc=memory */
static void add_timing(struct request *request)
{
    char *value = arena_alloc(&request->arena, 112);
    if (value == NULL)
        return;
    char *at = PUT(value, "total;dur=");
    at = put_milliseconds(at, clock_monotonic_us() - request->started_us);
    if (request->database_us != 0) {
        at = PUT(at, ", db;dur=");
        at = put_milliseconds(at, request->database_us);
    }
    if (request->cache_name != NULL) {
        at = PUT(at, ", cache;desc=");
        at = put_text(at, request->cache_name, strlen(request->cache_name));
    }
    ADD_NAMED(request, "server-timing", text_of(value, (size_t)(at - value)));
}

/* A relation may have any name: what a quoted string of RFC 8941 can't hold is percent-encoded. At most three bytes for
 * each. */
static char *put_quoted(char *at, struct text name)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < name.size; i++) {
        unsigned char byte = (unsigned char)name.data[i];
        if (byte > 0x20 && byte < 0x7F && byte != '"' && byte != '\\' && byte != '%') {
            *at++ = (char)byte;
            continue;
        }
        *at++ = '%';
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 15];
    }
    return at;
}

/* An estimate, as a number of at most 19 digits. */
static uint64_t whole(double estimate)
{
    return estimate > 0 ? (estimate < 9e18 ? (uint64_t)(estimate + 0.5) : (uint64_t)9e18) : 0;
}

/* Sluice-Plan: target=warehouse, lane=scan, relation="weather_daily", cache=none, cost=120, rows=365 */
static void add_plan(struct request *request)
{
    if (!request->has_plan)
        return;
    const char *target = plan_target_name(request->plan.target), *lane = plan_lane_name(request->plan.lane);
    const char *cache = request->cache_name != NULL ? request->cache_name : "none";
    char *value = arena_alloc(&request->arena, 160 + 4 * request->plan.relation.size);
    if (value == NULL)
        return;
    char *at = PUT(value, "target=");
    at = put_text(at, target, strlen(target));
    at = PUT(at, ", lane=");
    at = put_text(at, lane, strlen(lane));
    at = PUT(at, ", relation=\"");
    at = put_quoted(at, request->plan.relation);
    at = PUT(at, "\", cache=");
    at = put_text(at, cache, strlen(cache));
    if (request->plan.estimate.known) {
        at = PUT(at, ", cost=");
        at = put_number(at, whole(request->plan.estimate.cost));
        at = PUT(at, ", rows=");
        at = put_number(at, whole(request->plan.estimate.rows));
    }
    ADD_NAMED(request, "sluice-plan", text_of(value, (size_t)(at - value)));
}

/* Sluice-Lag: 0.8s: nothing of the answer is older than that. Of a standby, which alone may be behind. */
static void add_lag(struct request *request)
{
    char *value = arena_alloc(&request->arena, 32);
    if (request->plan.lane != PLAN_REPLICA || request->plan.replica.fresh_ms == 0 || value == NULL)
        return;
    uint64_t tenths = (clock_monotonic_us() / 1000 - request->plan.replica.fresh_ms + 99) / 100;
    char *at = put_number(value, tenths / 10);
    *at++ = '.';
    *at++ = (char)('0' + tenths % 10);
    *at++ = 's';
    ADD_NAMED(request, "sluice-lag", text_of(value, (size_t)(at - value)));
}

static void add_cors(struct request *request)
{
    const char *const *origins = request->settings->config->cors.origins;
    if (origins[0] == NULL)
        return;
    add_header(request, H2O_TOKEN_VARY, H2O_STRLIT("Origin"));
    if (request->headers.origin.data == NULL)
        return;
    for (; *origins != NULL; origins++) {
        bool any = strcmp(*origins, "*") == 0;
        if (!any && !text_equal(text_from_string(*origins), request->headers.origin))
            continue;
        ADD_NAMED(request, "access-control-allow-origin", any ? TEXT("*") : request->headers.origin);
        ADD_NAMED(request, "access-control-expose-headers",
                  TEXT("Content-Location, Content-Range, ETag, Link, Preference-Applied, RateLimit, RateLimit-Policy, "
                       "Retry-After, Server-Timing, Sluice-Lag, Sluice-Plan, X-Request-Id, " TUS_ANSWER_HEADERS));
        return;
    }
}

static void add_representation_headers(struct request *request, const struct respond_head *head)
{
    if (head->cache_control != NULL)
        add_header(request, H2O_TOKEN_CACHE_CONTROL, head->cache_control, strlen(head->cache_control));
    if (head->etag.data != NULL) {
        struct text etag = arena_copy(&request->arena, head->etag);
        add_header(request, H2O_TOKEN_ETAG, etag.data, etag.size);
    }
    if (head->vary)
        add_header(request, H2O_TOKEN_VARY, H2O_STRLIT("Accept, Accept-Encoding"));
    if (head->link.data != NULL) {
        struct text link = arena_copy(&request->arena, head->link);
        add_header(request, H2O_TOKEN_LINK, link.data, link.size);
    }
    for (size_t i = 0; i < head->header_count; i++)
        add_named(request, head->headers[i].name.data, head->headers[i].name.size, head->headers[i].value);
}

/* Everything but the length. */
static void set_head(struct request *request, const struct respond_head *head)
{
    h2o_req_t *req = request->h2o;
    req->res.status = head->status;
    req->res.reason = head->reason;
    req->compress_hint = H2O_COMPRESS_HINT_DISABLE;
    if (atomic_load_explicit(&request->worker->server->draining, memory_order_relaxed))
        req->http1_is_persistent = 0;
    if (head->content_type.data != NULL)
        add_header(request, H2O_TOKEN_CONTENT_TYPE, head->content_type.data, head->content_type.size);
    if (request->respond.is_gzip)
        add_header(request, H2O_TOKEN_CONTENT_ENCODING, H2O_STRLIT("gzip"));
    add_representation_headers(request, head);
    add_limit_headers(request);
    tus_add_version(request);
    add_plan(request);
    add_lag(request);
    add_timing(request);
    ADD_NAMED(request, "x-request-id", text_of(request->id, REQUEST_ID_SIZE));
    add_cors(request);
}

static void release_whole(struct request *request)
{
    struct respond *respond = &request->respond;
    h2o_start_response(request->h2o, &respond->generator);
    h2o_send(request->h2o, &respond->body, respond->body.len != 0 && !request_is_head(request), H2O_SEND_STATE_FINAL);
}

/* The whole body in one piece. A HEAD whose body nobody made (data == NULL) tells no length. */
static void send_whole(struct request *request, struct text body)
{
    struct respond *respond = &request->respond;
    request->h2o->res.content_length = body.data == NULL && request_is_head(request) ? SIZE_MAX : body.size;
    respond->started = respond->finished = respond->complete = true;
    respond->generator = (h2o_generator_t){NULL, on_stop};
    respond->body = h2o_iovec_init(body.data, body.size);
    request_record_answer(request, true, release_whole);
}

enum stage_verdict respond_send(struct request *request, const struct respond_head *head, struct text body,
                                const struct cache_entry *entry)
{
    struct respond *respond = &request->respond;
    if (respond->wants_gzip && head->vary && body.size >= RESPOND_GZIP_MINIMUM) {
        buffer_init(&respond->pending, body.size + 65536);
        if (gzip_whole(body, &respond->pending)) {
            body = buffer_text(&respond->pending);
            respond->is_gzip = true;
            entry = NULL;
        }
    }
    if (entry != NULL) {
        cache_entry_ref(entry);
        respond->entry = entry;
    }
    set_head(request, head);
    send_whole(request, body);
    return STAGE_DONE;
}

enum stage_verdict respond_send_not_modified(struct request *request, const struct respond_head *head)
{
    struct respond_head changed = *head;
    changed.status = 304;
    changed.reason = "Not Modified";
    changed.content_type = TEXT_NONE;
    set_head(request, &changed);
    /* No length and no body (RFC 9110 section 15.4.5); h2o leaves the connection open only when it is told a length. */
    send_whole(request, TEXT(""));
    return STAGE_DONE;
}

void respond_begin(struct request *request, const struct respond_head *head, void (*on_drain)(struct request *request))
{
    struct respond *respond = &request->respond;
    respond->on_drain = on_drain;
    respond->head = *head;
    buffer_init(&respond->pending, STREAM_CEILING);
    buffer_init(&respond->sending, STREAM_CEILING);
}

/* Moves what has gathered to where h2o may hold it: swapped, or compressed. False: out of memory. */
static bool take_pending(struct respond *respond, bool last)
{
    buffer_clear(&respond->sending);
    if (respond->gzip != NULL) {
        bool packed = !respond->pending.failed &&
                      gzip_stream(respond->gzip, buffer_text(&respond->pending), last, &respond->sending);
        buffer_clear(&respond->pending);
        return packed;
    }
    struct buffer full = respond->pending;
    respond->pending = respond->sending;
    respond->sending = full;
    return !full.failed;
}

/* What has been sent arrives, and then the end of the connection, in the middle of the body. In HTTP/1.1 that is where
 * the last chunk should stand: h2o itself would write half a chunk there, behind an empty line that clients take for
 * nonsense instead of an early end. HTTP/1.0 ends a body by closing: only a reset tells that this end came too early.
 */
static void break_off(struct request *request)
{
    int fd = h2o_socket_get_fd(request->h2o->conn->callbacks->get_socket(request->h2o->conn));
    struct linger reset = {1, 0};
    if (request->h2o->version < 0x101)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    else
        shutdown(fd, SHUT_WR);
}

static void send_pending(struct request *request, h2o_send_state_t state)
{
    struct respond *respond = &request->respond;
    if (state == H2O_SEND_STATE_ERROR) {
        buffer_clear(&respond->sending);
    } else if (!take_pending(respond, state == H2O_SEND_STATE_FINAL)) {
        respond->failed = respond->finished = true;
        state = H2O_SEND_STATE_ERROR;
    }
    h2o_iovec_t bytes = h2o_iovec_init(respond->sending.data, respond->sending.size);
    respond->in_flight = state == H2O_SEND_STATE_IN_PROGRESS;
    respond->complete = state == H2O_SEND_STATE_FINAL;
    if (state == H2O_SEND_STATE_ERROR)
        break_off(request);
    h2o_send(request->h2o, &bytes, bytes.len != 0, state);
}

/* What is left goes out first: h2o drops what is handed to it together with the error. */
static void send_failure(struct request *request)
{
    struct respond *respond = &request->respond;
    if (respond->pending.size != 0 && !respond->pending.failed)
        send_pending(request, H2O_SEND_STATE_IN_PROGRESS);
    else
        send_pending(request, H2O_SEND_STATE_ERROR);
}

static void release_stream(struct request *request)
{
    struct respond *respond = &request->respond;
    h2o_start_response(request->h2o, &respond->generator);
    respond->in_flight = false;
    if (request_is_head(request))
        h2o_send(request->h2o, NULL, 0, H2O_SEND_STATE_FINAL);
    else if (respond->failed)
        send_failure(request);
    else
        send_pending(request, respond->finished ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void start_stream(struct request *request)
{
    struct respond *respond = &request->respond;
    respond->started = true;
    if (respond->wants_gzip && respond->head.vary) {
        respond->gzip = gzip_open();
        respond->is_gzip = respond->gzip != NULL;
    }
    set_head(request, &respond->head);
    respond->generator = (h2o_generator_t){on_proceed, on_stop};
    if (request_is_head(request)) {
        /* The body would be a stream: its headers are all that a HEAD can say. */
        respond->finished = respond->complete = true;
        buffer_clear(&respond->pending);
    }
    respond->in_flight = true; /* nothing more is handed over until this is on its way */
    request_record_answer(request, request_is_head(request), release_stream);
}

bool respond_flush(struct request *request)
{
    struct respond *respond = &request->respond;
    if (respond->finished)
        return false;
    if (!respond->started) {
        if (respond->head.whole || respond->pending.size <= RESPOND_BUFFERED)
            return !respond->pending.failed;
        start_stream(request);
        if (respond->finished)
            return false;
    }
    if (!respond->in_flight && respond->pending.size >= RESPOND_HIGH_WATER / 2)
        send_pending(request, H2O_SEND_STATE_IN_PROGRESS);
    return !respond->finished && respond->pending.size < RESPOND_HIGH_WATER;
}

void respond_finish(struct request *request)
{
    struct respond *respond = &request->respond;
    if (respond->finished)
        return;
    if (respond->started) {
        respond->finished = true;
        if (!respond->in_flight)
            send_pending(request, H2O_SEND_STATE_FINAL);
        return;
    }
    struct respond_head head = respond->head;
    struct text body = buffer_text(&respond->pending);
    if (respond->wants_gzip && head.vary && body.size >= RESPOND_GZIP_MINIMUM && gzip_whole(body, &respond->sending)) {
        respond->is_gzip = true;
        body = buffer_text(&respond->sending);
    }
    set_head(request, &head);
    send_whole(request, body);
}

bool respond_fail(struct request *request, struct text line)
{
    struct respond *respond = &request->respond;
    if (!respond->started) {
        buffer_free(&respond->pending);
        buffer_free(&respond->sending);
        return false;
    }
    if (respond->finished)
        return true;
    respond->finished = respond->failed = true;
    request->worker->metrics.streams_failed++;
    buffer_append_text(&respond->pending, line);
    if (!respond->in_flight)
        send_failure(request);
    return true;
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct respond *respond = H2O_STRUCT_FROM_MEMBER(struct respond, generator, generator);
    struct request *request = H2O_STRUCT_FROM_MEMBER(struct request, respond, respond);
    (void)req;
    respond->in_flight = false;
    if (respond->finished) {
        if (respond->failed)
            send_failure(request);
        else
            send_pending(request, H2O_SEND_STATE_FINAL);
        return;
    }
    if (respond->pending.size >= RESPOND_HIGH_WATER / 2)
        send_pending(request, H2O_SEND_STATE_IN_PROGRESS);
    if (!respond->finished && respond->pending.size < RESPOND_HIGH_WATER)
        respond->on_drain(request);
}

/* The connection broke while the answer was on its way; request_dispose follows and lets go of everything. */
static void on_stop(h2o_generator_t *generator, h2o_req_t *req)
{
    struct respond *respond = H2O_STRUCT_FROM_MEMBER(struct respond, generator, generator);
    (void)req;
    respond->finished = true;
    respond->complete = false;
}

void respond_reset(struct request *request)
{
    struct respond *respond = &request->respond;
    bool wants_gzip = respond->wants_gzip;
    respond_dispose(request);
    *respond = (struct respond){.wants_gzip = wants_gzip};
    request->h2o->res.headers.size = 0;
    request->h2o->res.content_length = SIZE_MAX;
}

void respond_dispose(struct request *request)
{
    struct respond *respond = &request->respond;
    if (respond->gzip != NULL)
        gzip_close(respond->gzip);
    if (respond->entry != NULL)
        cache_entry_unref(respond->entry);
    buffer_free(&respond->pending);
    buffer_free(&respond->sending);
}

bool respond_not_modified(const struct request *request, struct text etag)
{
    struct text list = request->headers.if_none_match;
    if (list.data == NULL || etag.data == NULL)
        return false;
    if (text_starts_with(etag, TEXT("W/")))
        etag = text_of(etag.data + 2, etag.size - 2);
    while (list.data != NULL) {
        struct text one = text_trim(text_split(&list, ','));
        if (text_equal(one, TEXT("*")))
            return true;
        if (text_starts_with(one, TEXT("W/")))
            one = text_of(one.data + 2, one.size - 2);
        if (text_equal(one, etag))
            return true;
    }
    return false;
}
