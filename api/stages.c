/* accept (listener.c) → route → address limit → authenticate → customer limit → authorize → validate → plan →
 * intent (request_record.c) → execute (handlers/) → encode (query/rows.c, respond.c) → record outcome (request.c, when
 * h2o disposes of the request). A stage that waits is called again when its answer is there: request->resumed tells. */
#include "api/stages.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "api/accept.h"
#include "api/http_guard.h"
#include "api/ingest.h"
#include "api/problem.h"
#include "api/request.h"
#include "api/tus.h"
#include "base/clock.h"

#define JSON_BODY_MAX ((size_t)128 << 10) /* bytes of a body that the contract describes */

static enum stage_verdict send_preflight(struct request *request)
{
    h2o_req_t *req = request->h2o;
    char *max_age = arena_alloc(&request->arena, 16);
    struct text allow = arena_copy(&request->arena, text_from_string(request->route.allow));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ALLOW, NULL, allow.data, allow.size);
    if (request->headers.preflight_method.data != NULL && max_age != NULL &&
        request->settings->config->cors.origins[0] != NULL) {
        int size = snprintf(max_age, 16, "%u", request->settings->config->cors.max_age_s);
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("access-control-allow-methods"), 0, NULL,
                              allow.data, allow.size);
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("access-control-allow-headers"), 0, NULL,
                              H2O_STRLIT("Authorization, Content-Type, Accept, Accept-Profile, Content-Encoding, "
                                         "Content-Digest, Content-Profile, Idempotency-Key, If-None-Match, Prefer, "
                                         "Range, Range-Unit, X-Client-Info, traceparent, " TUS_REQUEST_HEADERS));
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("access-control-max-age"), 0, NULL, max_age,
                              (size_t)size);
    }
    tus_add_capabilities(request);
    struct respond_head head = {.status = 204, .reason = "No Content"};
    return respond_send(request, &head, TEXT_NONE, NULL);
}

/* What h2o was not shown, what it lets through, and what the contract does not want. */
static enum stage_verdict check_head(struct request *request)
{
    const struct config *config = request->settings->config;
    h2o_req_t *req = request->h2o;
    const struct http_guard_refusal *refusal = http_guard_refusal(req);
    if (refusal != NULL) {
        req->http1_is_persistent = 0; /* where its next request would begin is in doubt */
        return problem_send(request, refusal->problem, "%s", refusal->words);
    }
    if (req->input.path.len > config->server.max_uri)
        return problem_send(request, PROBLEM_URI_TOO_LONG,
                            "the request target has %zu bytes, %zu are allowed; use fewer or shorter parameters",
                            req->input.path.len, config->server.max_uri);
    if (req->headers.size > config->server.max_headers)
        return problem_send(request, PROBLEM_TOO_MANY_HEADERS, "%zu header lines were sent, %zu are allowed",
                            req->headers.size, config->server.max_headers);
    if (request->headers.authorization_repeated)
        return problem_send(request, PROBLEM_BAD_REQUEST, "the header Authorization stands there twice; send it once");
    return STAGE_NEXT;
}

/* The ingest listener has few threads, each for one body at a time: what needs none goes elsewhere. */
static enum stage_verdict check_ingest(struct request *request)
{
    const struct openapi_operation *operation = request->route.operation;
    const struct ingest_connection *ingest = ingest_of(request);
    if (ingest == NULL)
        return STAGE_NEXT;
    if (operation->media == NULL && !text_starts_with(operation->id, TEXT("uploadSession")))
        return problem_send(request, PROBLEM_NOT_FOUND,
                            "this listener takes bodies that stream; %.*s is served by the public one (server.listen)",
                            TEXT_ARGS(operation->id));
    if (ingest_has_body(ingest) && operation->media == NULL && operation->body == NULL)
        return problem_send(request, PROBLEM_BODY_NOT_ALLOWED, "%.*s takes no body; send the request without one",
                            TEXT_ARGS(operation->id));
    return STAGE_NEXT;
}

/* Clients say of a POST or DELETE without a body that its length is 0. Of a GET nobody honest says it. */
static bool has_unwanted_body(struct request *request)
{
    h2o_req_t *req = request->h2o;
    const struct openapi_operation *operation = request->route.operation;
    if (req->entity.base == NULL || operation->body != NULL || operation->media != NULL)
        return false;
    req->http1_is_persistent = 0; /* two lengths that say different things leave something behind */
    return req->entity.len != 0 || text_equal(operation->method, TEXT("GET"));
}

static enum stage_verdict stage_route(struct request *request)
{
    h2o_req_t *req = request->h2o;
    struct server *server = request->worker->server;
    if (check_head(request) != STAGE_NEXT)
        return STAGE_DONE;
    openapi_route(server->contract, text_of(req->input.method.base, req->input.method.len), request->path,
                  &request->arena, &request->route);
    switch (request->route.status) {
    case STATUS_OK:
        break;
    case STATUS_DENIED:
        if (h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("OPTIONS")))
            return send_preflight(request);
        return problem_send(request, PROBLEM_METHOD_NOT_ALLOWED, "this path takes %s", request->route.allow);
    case STATUS_INVALID:
        return problem_send(request, PROBLEM_BAD_REQUEST,
                            "the path holds a broken percent-escape, a NUL, or bytes that are not UTF-8");
    default:
        return problem_send_status(request, STATUS_NOT_FOUND);
    }
    request->binding = &server->bindings[request->route.operation->index];
    if (has_unwanted_body(request))
        return problem_send(request, PROBLEM_BODY_NOT_ALLOWED,
                            "%.*s takes no body; send the request without Content-Length and Transfer-Encoding",
                            TEXT_ARGS(request->binding->operation->id));
    return check_ingest(request);
}

static void on_limit(void *context, const struct limit_verdict *verdict)
{
    struct request *request = context;
    bool waited = request->limit_wait != NULL;
    request->limit_wait = NULL;
    request->verdict = *verdict;
    request->has_verdict = true;
    if (waited)
        request_resume(request);
}

static enum stage_verdict judge_limit(struct request *request, const char *whom)
{
    if (request->verdict.admitted)
        return STAGE_NEXT;
    const struct limit_policy *policy = request->verdict.policy;
    return problem_send(request, PROBLEM_RATE_LIMITED, "the limit \"%s\" of %s is used up; try again in %u s",
                        policy != NULL ? policy->name : "none", whom, request->verdict.retry_after_s);
}

/* One IPv4 address, or the /64 of an IPv6 address: what one subscriber holds. */
static struct text address_key(const struct request *request, char out[64])
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&request->peer;
    if (request->peer.ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        const unsigned char *byte = six->sin6_addr.s6_addr;
        return text_of(out, (size_t)snprintf(out, 64, "address:%02x%02x:%02x%02x:%02x%02x:%02x%02x::/64", byte[0],
                                             byte[1], byte[2], byte[3], byte[4], byte[5], byte[6], byte[7]));
    }
    size_t size = strlen(request->address);
    memcpy(out, "address:", 8);
    memcpy(out + 8, request->address, size < 56 ? size : 56);
    return text_of(out, 8 + (size < 56 ? size : 56));
}

static enum stage_verdict stage_address_limit(struct request *request)
{
    const struct config *config = request->settings->config;
    char key[64];
    if (!request->resumed) {
        if (!config->limits.has_address ||
            config_networks_contain(&config->limits.address_exempt, (struct sockaddr *)&request->peer))
            return STAGE_NEXT;
        request->limit_wait = limiter_check(request->worker->limiter, address_key(request, key),
                                            request->settings->address_tier, 1, on_limit, request);
        if (request->limit_wait != NULL)
            return STAGE_WAIT;
    }
    if (judge_limit(request, "this address") != STAGE_NEXT)
        return STAGE_DONE;
    request->has_verdict = false; /* the headers tell of the customer's limit only */
    return STAGE_NEXT;
}

static void on_token(void *context, enum tokens_verdict verdict, const struct principal *principal, const char *reason)
{
    struct request *request = context;
    bool waited = request->token_wait != NULL;
    request->token_wait = NULL;
    request->token_verdict = verdict;
    request->token_reason = reason;
    if (verdict == TOKENS_VALID) {
        principal_ref(principal);
        request->principal = principal;
    }
    if (waited)
        request_resume(request);
}

/* After the token cache, which knows nothing of it. */
static enum stage_verdict check_revoked(struct request *request)
{
    const struct server *server = request->worker->server;
    const struct config *config = request->settings->config;
    if (config->auth.revocation_refuses &&
        clock_monotonic_us() / 1000 - revocations_store_confirmed_at(server->revocations) >
            config->auth.revocation_max_age_ms)
        return problem_send(request, PROBLEM_UNAVAILABLE,
                            "which tokens are revoked is not known at the moment; try again in a moment");
    if (!revocations_revoked(request->worker->revocations, request->principal))
        return STAGE_NEXT;
    return problem_send(request, PROBLEM_INVALID_TOKEN,
                        "the token was refused: revoked; get a new one from the issuer");
}

static enum stage_verdict stage_authenticate(struct request *request)
{
    const struct openapi_operation *operation = request->binding->operation;
    if (operation->is_public || (operation->optional_auth && request->headers.authorization.data == NULL))
        return STAGE_NEXT;
    if (!request->resumed) {
        request->token_wait = tokens_verify(request->held->tokens, request->headers.authorization,
                                            request->arrived_us / 1000000, on_token, request);
        if (request->token_wait != NULL)
            return STAGE_WAIT;
    }
    if (request->token_verdict == TOKENS_VALID)
        return check_revoked(request);
    if (request->token_verdict == TOKENS_MISSING)
        return problem_send(request, PROBLEM_MISSING_TOKEN, "send the header Authorization: Bearer <token>");
    return problem_send(request, PROBLEM_INVALID_TOKEN, "the token was refused: %s; get a new one from the issuer",
                        request->token_reason);
}

static enum stage_verdict stage_customer_limit(struct request *request)
{
    const struct principal *principal = request->principal;
    if (principal == NULL)
        return STAGE_NEXT;
    if (!request->resumed) {
        char key[9 + 64] = "customer:";
        size_t tier = settings_tier_index(request->settings, principal->tier);
        if (tier == SIZE_MAX)
            return problem_send(request, PROBLEM_UNKNOWN_TIER,
                                "the token claims a tier that is not configured here; ask the operator");
        request->tier = request->settings->tiers[tier].limit;
        request->tier_header = request->settings->tiers[tier].header;
        request->allowance = &request->settings->config->limits.tiers[tier];
        size_t size = principal->customer.size < 64 ? principal->customer.size : 64; /* claims end at 41 */
        memcpy(key + 9, principal->customer.data, size);
        request->limit_wait =
            limiter_check(request->worker->limiter, text_of(key, 9 + size), request->tier,
                          request->settings->weights[request->binding->operation->index], on_limit, request);
        if (request->limit_wait != NULL)
            return STAGE_WAIT;
    }
    return judge_limit(request, "this customer");
}

static enum stage_verdict stage_authorize(struct request *request)
{
    const struct openapi_operation *operation = request->binding->operation;
    for (size_t i = 0; request->principal != NULL && i < operation->scope_count; i++)
        if (!principal_has_scope(request->principal, operation->scopes[i]))
            return problem_send(request, PROBLEM_MISSING_SCOPE,
                                "%.*s needs the scope %.*s, which the token does not carry", TEXT_ARGS(operation->id),
                                TEXT_ARGS(operation->scopes[i]));
    return STAGE_NEXT;
}

static struct text header_value(void *context, struct text name)
{
    const struct request *request = context;
    ssize_t index = h2o_find_header_by_str(&request->h2o->headers, name.data, name.size, -1);
    if (index < 0)
        return TEXT_NONE;
    return text_of(request->h2o->headers.entries[index].value.base, request->h2o->headers.entries[index].value.len);
}

/* ?format= wins over Accept. The handler of a dialect chooses by itself: it has more forms. Where a raw body is taken,
 * format is the body's. */
static enum stage_verdict choose_format(struct request *request)
{
    size_t index = openapi_parameter_index(request->binding->operation, TEXT("format"));
    if (index == SIZE_MAX || request->binding->operation->open_query || request->binding->operation->media != NULL)
        return STAGE_NEXT;
    const struct openapi_value *value = &request->values[index];
    if (value->present) {
        request->format = text_equal(value->text, TEXT("csv"))      ? ROWS_CSV
                          : text_equal(value->text, TEXT("ndjson")) ? ROWS_NDJSON
                                                                    : ROWS_JSON;
        return STAGE_NEXT;
    }
    if (accept_choose(request->headers.accept, &request->format) == STATUS_OK)
        return STAGE_NEXT;
    return problem_send(request, PROBLEM_NOT_ACCEPTABLE,
                        "Accept names none of application/json, text/csv, application/x-ndjson; send one of them, or "
                        "format=json|csv|ndjson");
}

static struct text content_type(const struct request *request)
{
    const h2o_headers_t *headers = &request->h2o->headers;
    ssize_t index = h2o_find_header(headers, H2O_TOKEN_CONTENT_TYPE, -1);
    struct text type =
        index < 0 ? TEXT_NONE : text_of(headers->entries[index].value.base, headers->entries[index].value.len);
    return index < 0 ? TEXT_NONE : text_trim(text_split(&type, ';'));
}

/* JSON that the contract describes is whole and small. */
static enum stage_verdict check_json_body(struct request *request)
{
    const struct openapi_operation *operation = request->route.operation;
    h2o_req_t *req = request->h2o;
    struct text body = text_of(req->entity.base, req->entity.base != NULL ? req->entity.len : 0);
    if (body.size == 0)
        return operation->body_required
                   ? problem_send(request, PROBLEM_INVALID_BODY, "%.*s needs a body of the type application/json",
                                  TEXT_ARGS(operation->id))
                   : STAGE_NEXT;
    if (body.size > JSON_BODY_MAX)
        return problem_send(request, PROBLEM_BODY_TOO_LARGE, "%.*s takes bodies of at most %zu KB, this one has %zu KB",
                            TEXT_ARGS(operation->id), JSON_BODY_MAX >> 10, body.size >> 10);
    if (!text_equal_ignoring_case(content_type(request), TEXT("application/json")))
        return problem_send(request, PROBLEM_UNSUPPORTED_MEDIA,
                            "send the body as JSON, with the header Content-Type: application/json");
    struct openapi_mistake mistake = {0};
    if (openapi_validate_body(operation, body, &mistake) == STATUS_OK)
        return STAGE_NEXT;
    struct problem_mistake told = {.place = "body", .field = mistake.field, .message = mistake.message};
    return problem_send_mistake(request, PROBLEM_INVALID_BODY, &told);
}

/* What the handler reads: its type only. Without one, or with what curl sends for --data-binary, the bytes tell. */
static enum stage_verdict check_raw_body(struct request *request)
{
    const struct openapi_operation *operation = request->route.operation;
    struct text type = content_type(request);
    if (type.data == NULL || text_equal_ignoring_case(type, TEXT("application/x-www-form-urlencoded")))
        return STAGE_NEXT;
    for (size_t i = 0; i < operation->media_count; i++)
        if (text_equal_ignoring_case(type, operation->media[i]))
            return STAGE_NEXT;
    struct buffer known;
    buffer_init(&known, 1024);
    for (size_t i = 0; i < operation->media_count; i++)
        buffer_printf(&known, "%s%.*s", i != 0 ? ", " : "", TEXT_ARGS(operation->media[i]));
    enum stage_verdict verdict = problem_send(
        request, PROBLEM_UNSUPPORTED_MEDIA, "%.*s takes bodies of the types %.*s; without Content-Type the bytes tell",
        TEXT_ARGS(operation->id), (int)known.size, known.data);
    buffer_free(&known);
    return verdict;
}

/* A length that the head tells; of chunks it shows when they have come (ingest_relay.c). */
static enum stage_verdict check_length(struct request *request)
{
    const struct ingest_connection *ingest = ingest_of(request);
    uint64_t most = request->worker->server->config->server.ingest.max_body;
    uint64_t length = ingest != NULL ? ingest_length(ingest) : 0;
    if (length <= most || length == UINT64_MAX)
        return STAGE_NEXT;
    return problem_send(request, PROBLEM_BODY_TOO_LARGE,
                        "the body has %llu bytes, at most %llu are taken; send it in parts, or compressed",
                        (unsigned long long)length, (unsigned long long)most);
}

static enum stage_verdict stage_validate(struct request *request)
{
    struct openapi_input input = {&request->route, request->query, header_value, request};
    struct openapi_mistake mistake = {0};
    if (openapi_validate(&input, &request->arena, &request->values, &mistake) != STATUS_OK) {
        static const char *const places[] = {"path", "query", "header"};
        struct problem_mistake told = {
            .place = places[mistake.place], .field = mistake.field, .message = mistake.message};
        return problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &told);
    }
    const struct openapi_operation *operation = request->route.operation;
    if ((operation->body != NULL && check_json_body(request) != STAGE_NEXT) ||
        (operation->media != NULL && (check_length(request) != STAGE_NEXT || check_raw_body(request) != STAGE_NEXT)))
        return STAGE_DONE;
    return choose_format(request);
}

static enum stage_verdict stage_plan(struct request *request)
{
    const struct handler *handler = request->binding->handler;
    return handler->plan != NULL ? handler->plan(request) : STAGE_NEXT;
}

static enum stage_verdict stage_execute(struct request *request)
{
    return request->binding->handler->execute(request);
}

const struct stage stages[] = {
    {"route", stage_route},
    {"address_limit", stage_address_limit},
    {"authenticate", stage_authenticate},
    {"customer_limit", stage_customer_limit},
    {"authorize", stage_authorize},
    {"validate", stage_validate},
    {"plan", stage_plan},
    {"intent", request_record_intent},
    {"execute", stage_execute},
};
const size_t stages_count = sizeof(stages) / sizeof(stages[0]);
