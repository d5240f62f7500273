#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "api/request.h"
#include "base/json.h"

#define INSTANCE_MAX 1024            /* bytes of the path that are told back */
#define BODY_CEILING ((size_t)32768) /* bytes of a problem: detail, instance and mistake, all escaped */

static const struct {
    const char *name, *title, *reason; /* reason: of the status line */
    int status;
    unsigned retry_after_s; /* 0: no Retry-After of its own */
} problems[PROBLEM_COUNT] = {
    [PROBLEM_BAD_REQUEST] = {"bad-request", "The request cannot be read", "Bad Request", 400, 0},
    [PROBLEM_INVALID_PARAMETER] = {"invalid-parameter", "A parameter is wrong", "Bad Request", 400, 0},
    [PROBLEM_INVALID_CURSOR] = {"invalid-cursor", "The cursor does not fit this request", "Bad Request", 400, 0},
    [PROBLEM_BODY_NOT_ALLOWED] = {"body-not-allowed", "This operation takes no body", "Bad Request", 400, 0},
    [PROBLEM_MISSING_TOKEN] = {"missing-token", "A bearer token is needed", "Unauthorized", 401, 0},
    [PROBLEM_INVALID_TOKEN] = {"invalid-token", "The bearer token is not accepted", "Unauthorized", 401, 0},
    [PROBLEM_MISSING_SCOPE] = {"missing-scope", "The token lacks a scope", "Forbidden", 403, 0},
    [PROBLEM_UNKNOWN_TIER] = {"unknown-tier", "The token's tier is not served here", "Forbidden", 403, 0},
    [PROBLEM_UNREGISTERED] = {"unregistered-customer", "The caller has no data of its own here", "Forbidden", 403, 0},
    [PROBLEM_NOT_FOUND] = {"not-found", "There is no such thing", "Not Found", 404, 0},
    [PROBLEM_METHOD_NOT_ALLOWED] = {"method-not-allowed", "The method is not allowed here", "Method Not Allowed", 405,
                                    0},
    [PROBLEM_NOT_ACCEPTABLE] = {"not-acceptable", "No acceptable media type", "Not Acceptable", 406, 0},
    [PROBLEM_UNSUPPORTED_MEDIA] = {"unsupported-media-type", "The body is of another type", "Unsupported Media Type",
                                   415, 0},
    [PROBLEM_INVALID_BODY] = {"invalid-body", "The body is wrong", "Bad Request", 400, 0},
    [PROBLEM_INVALID_FILE] = {"invalid-file", "The file cannot be taken", "Unprocessable Content", 422, 0},
    [PROBLEM_INVALID_SQL] = {"invalid-sql", "The SQL is not allowed", "Unprocessable Content", 422, 0},
    [PROBLEM_BODY_TOO_SLOW] = {"body-too-slow", "The body came too slowly", "Request Timeout", 408, 0},
    [PROBLEM_BODY_TOO_LARGE] = {"body-too-large", "The body is too large", "Content Too Large", 413, 0},
    [PROBLEM_CONFLICT] = {"conflict", "Something else stands in the way", "Conflict", 409, 0},
    [PROBLEM_LOCKED] = {"locked", "Another request is at work on this", "Locked", 423, 1},
    [PROBLEM_UNSUPPORTED_VERSION] = {"unsupported-version", "The protocol's version is not spoken here",
                                     "Precondition Failed", 412, 0},
    [PROBLEM_CHECKSUM] = {"checksum-mismatch", "The body differs from its checksum", "Checksum Mismatch", 460, 0},
    [PROBLEM_KEY_REUSED] = {"idempotency-key-reused", "The Idempotency-Key was used for another body",
                            "Unprocessable Content", 422, 0},
    [PROBLEM_QUOTA_EXCEEDED] = {"quota-exceeded", "The tier's quota is used up", "Forbidden", 403, 0},
    [PROBLEM_NOT_ONE_ROW] = {"not-one-row", "Not exactly one row", "Not Acceptable", 406, 0},
    [PROBLEM_RANGE] = {"range-not-satisfiable", "The range lies outside of the rows", "Range Not Satisfiable", 416, 0},
    [PROBLEM_OVER_BUDGET] = {"over-budget", "The plan is over the tier's budget", "Unprocessable Content", 422, 0},
    [PROBLEM_UNSUPPORTED_OPERATOR] = {"unsupported-operator", "The column's type lacks the operator", "Not Found", 404,
                                      0},
    [PROBLEM_URI_TOO_LONG] = {"uri-too-long", "The request target is too long", "URI Too Long", 414, 0},
    [PROBLEM_TOO_MANY_HEADERS] = {"too-many-headers", "Too many header lines", "Request Header Fields Too Large", 431,
                                  0},
    [PROBLEM_RATE_LIMITED] = {"rate-limited", "Too many requests", "Too Many Requests", 429, 0},
    [PROBLEM_INTERNAL] = {"internal", "A fault of the service", "Internal Server Error", 500, 0},
    [PROBLEM_OVERLOADED] = {"overloaded", "The service is busy", "Service Unavailable", 503, 1},
    [PROBLEM_UNAVAILABLE] = {"unavailable", "The data source is away", "Service Unavailable", 503, 2},
    [PROBLEM_TIMEOUT] = {"timeout", "The answer took too long", "Gateway Timeout", 504, 0},
    [PROBLEM_UNRECORDED] = {"unrecorded", "The audit log takes no records", "Service Unavailable", 503, 2},
};

const char *problem_name(enum problem problem)
{
    return problems[problem].name;
}

int problem_status(enum problem problem)
{
    return problems[problem].status;
}

void problem_append(struct buffer *out, enum problem problem, struct text detail, struct text instance,
                    struct text request_id, const struct problem_mistake *mistake)
{
    struct json json = json_writer(out);
    json_open_object(&json);
    json_key(&json, TEXT("type"));
    buffer_append_literal(out, "\"urn:sluice:problem:");
    buffer_append_string(out, problems[problem].name);
    buffer_append_char(out, '"');
    json.comma = true;
    json_field_string(&json, "title", problems[problem].title);
    json_field_int64(&json, "status", problems[problem].status);
    json_field_text(&json, "detail", detail);
    /* All that PostgREST's clients keep of an error. */
    json_field_text(&json, "message", detail);
    json_field_string(&json, "code",
                      mistake != NULL && mistake->sqlstate != NULL ? mistake->sqlstate : problems[problem].name);
    json_field_text(&json, "instance", instance);
    json_field_text(&json, "request_id", request_id);
    if (mistake != NULL) {
        json_key(&json, TEXT("errors"));
        json_open_array(&json);
        json_open_object(&json);
        json_field_string(&json, "in", mistake->place);
        json_field_string(&json, "field", mistake->field);
        json_field_string(&json, "message", mistake->message);
        if (mistake->line != 0)
            json_field_int64(&json, "line", (int64_t)mistake->line);
        if (mistake->column != 0)
            json_field_int64(&json, "column", mistake->column);
        if (mistake->sqlstate != NULL)
            json_field_string(&json, "sqlstate", mistake->sqlstate);
        json_close_object(&json);
        json_close_array(&json);
    }
    json_close_object(&json);
    buffer_append_char(out, '\n');
}

static void add_header(struct request *request, const h2o_token_t *token, struct text value)
{
    h2o_add_header(&request->h2o->pool, &request->h2o->res.headers, token, NULL, value.data, value.size);
}

static void add_problem_headers(struct request *request, enum problem problem)
{
    unsigned retry_after = problems[problem].retry_after_s;
    if (problem == PROBLEM_RATE_LIMITED && request->has_verdict)
        retry_after = request->verdict.retry_after_s;
    if (retry_after != 0) {
        char *seconds = arena_alloc(&request->arena, 16);
        if (seconds != NULL)
            add_header(request, H2O_TOKEN_RETRY_AFTER,
                       text_of(seconds, (size_t)snprintf(seconds, 16, "%u", retry_after)));
    }
    if (problem == PROBLEM_METHOD_NOT_ALLOWED)
        add_header(request, H2O_TOKEN_ALLOW, text_from_string(request->route.allow));
    if (problem == PROBLEM_MISSING_TOKEN)
        add_header(request, H2O_TOKEN_WWW_AUTHENTICATE, TEXT("Bearer realm=\"sluice\""));
    if (problem == PROBLEM_INVALID_TOKEN) {
        struct text value = TEXT("Bearer realm=\"sluice\", error=\"invalid_token\"");
        add_header(request, H2O_TOKEN_WWW_AUTHENTICATE, value);
    }
    if (problem == PROBLEM_MISSING_SCOPE) {
        struct buffer value;
        buffer_init(&value, 4096);
        buffer_append_literal(&value, "Bearer realm=\"sluice\", error=\"insufficient_scope\", scope=\"");
        for (size_t i = 0; i < request->binding->operation->scope_count; i++) {
            buffer_append(&value, " ", i != 0);
            buffer_append_text(&value, request->binding->operation->scopes[i]);
        }
        buffer_append_char(&value, '"');
        add_header(request, H2O_TOKEN_WWW_AUTHENTICATE, arena_copy(&request->arena, buffer_text(&value)));
        buffer_free(&value);
    }
}

static enum stage_verdict send_problem(struct request *request, enum problem problem, struct text detail,
                                       const struct problem_mistake *mistake)
{
    struct buffer body;
    struct text instance = request->path;
    /* A path may have hundreds of kilobytes, and grows sixfold where it has to be escaped. */
    if (instance.size > INSTANCE_MAX)
        instance.size = INSTANCE_MAX;
    buffer_init(&body, BODY_CEILING);
    request->reason = problems[problem].name;
    problem_append(&body, problem, detail, instance, text_from_string(request->id), mistake);
    struct text kept = body.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&body));
    buffer_free(&body);
    if (kept.data == NULL)
        kept = TEXT("{\"type\":\"urn:sluice:problem:internal\",\"status\":500}\n");

    if (request->respond.started) {
        /* A JSON text inside the stream would be taken for data: only NDJSON has a line for it. */
        struct buffer line;
        buffer_init(&line, BODY_CEILING + 16);
        if (request->format == ROWS_NDJSON) {
            buffer_append_literal(&line, "{\"error\":");
            buffer_append_text(&line, text_of(kept.data, kept.size - 1));
            buffer_append_literal(&line, "}\n");
        }
        respond_fail(request, buffer_text(&line));
        buffer_free(&line);
        return STAGE_DONE;
    }
    respond_fail(request, TEXT_NONE); /* drops what was gathered */
    add_problem_headers(request, problem);
    struct respond_head head = {.status = problems[problem].status,
                                .reason = problems[problem].reason,
                                .content_type = TEXT("application/problem+json"),
                                .cache_control = "no-store"};
    return respond_send(request, &head, kept, NULL);
}

enum stage_verdict problem_send(struct request *request, enum problem problem, const char *format, ...)
{
    char detail[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    return send_problem(request, problem, text_from_string(detail), NULL);
}

enum stage_verdict problem_send_mistake(struct request *request, enum problem problem,
                                        const struct problem_mistake *mistake)
{
    char detail[1024];
    if (strcmp(mistake->place, "file") == 0) /* its words name line and column */
        snprintf(detail, sizeof(detail), "%s", mistake->message);
    else
        snprintf(detail, sizeof(detail), strcmp(mistake->place, "body") == 0 ? "%s%s: %s" : "%s parameter %s: %s",
                 mistake->place, mistake->field, mistake->message);
    return send_problem(request, problem, text_from_string(detail), mistake);
}

enum stage_verdict problem_send_status(struct request *request, enum status status)
{
    switch (status) {
    case STATUS_OK:
    case STATUS_FAILED:
    case STATUS_DENIED:
    case STATUS_CONFLICT:
        break;
    case STATUS_INVALID:
        return problem_send(request, PROBLEM_BAD_REQUEST,
                            "the database refused a value of this request; check its parameters against the contract");
    case STATUS_NOT_FOUND:
        return problem_send(request, PROBLEM_NOT_FOUND, "nothing is served under this path to this caller");
    case STATUS_TOO_LARGE:
        return problem_send(request, PROBLEM_INTERNAL,
                            "the answer needs more memory than one request may have; ask for less of it");
    case STATUS_BUSY:
        return problem_send(request, PROBLEM_OVERLOADED,
                            "every place in the queue for this kind of request is taken; try again shortly");
    case STATUS_UNAVAILABLE:
        return problem_send(request, PROBLEM_UNAVAILABLE,
                            "the warehouse cannot be reached at the moment; try again shortly");
    case STATUS_TIMEOUT:
        return problem_send(request, PROBLEM_TIMEOUT,
                            "the query ran into its time limit; ask for a shorter range or a coarser grain");
    }
    return problem_send(request, PROBLEM_INTERNAL,
                        "the service could not carry this out; its operator finds the cause under the request id");
}
