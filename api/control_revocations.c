#include "api/control_revocations.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/address.h"
#include "api/revocations_admin.h"
#include "base/clock.h"
#include "base/json.h"

#define ANSWER_CEILING 65536

struct handler {
    h2o_handler_t super; /* first: h2o hands it back to us */
    struct control_revocations *revocations;
};

/* A call under way, in the request's pool. */
struct call {
    h2o_req_t *req;
    struct control_revocations *revocations;
    struct postgres_query *query;
    struct buffer answer;
    enum status refused; /* of the order */
    struct failure failure;
};

static void answer(h2o_req_t *req, int status, const char *reason, struct text body)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, body.data, body.size);
    req->res.status = status;
    req->res.reason = reason;
    req->res.content_length = copy.len;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-store"));
    h2o_send_inline(req, copy.base, copy.len);
}

static void refuse(h2o_req_t *req, int status, const char *reason, const char *what)
{
    struct buffer body;
    buffer_init(&body, ANSWER_CEILING);
    struct json json = json_writer(&body);
    json_open_object(&json);
    json_field_string(&json, "error", what);
    json_close_object(&json);
    buffer_append_char(&body, '\n');
    answer(req, status, reason, buffer_text(&body));
    buffer_free(&body);
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct call *call = context;
    if (postgres_rows_count(rows) != 1)
        return;
    buffer_clear(&call->answer);
    revocations_append_json(&call->answer, rows, 0);
    buffer_append_char(&call->answer, '\n');
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct call *call = context;
    struct control_revocations *revocations = call->revocations;
    call->query = NULL;
    if (error == NULL && call->answer.size != 0) {
        answer(call->req, 201, "Created", buffer_text(&call->answer));
        revocations->on_written(revocations->context);
    } else if (error != NULL && (error->status == STATUS_UNAVAILABLE || error->status == STATUS_BUSY)) {
        refuse(call->req, 503, "Service Unavailable", "the database is away: whether it was written is not known");
    } else {
        refuse(call->req, 500, "Internal Server Error", error != NULL ? error->message : "the database did not answer");
    }
}

/* The client has left, or the answer is out. An order under way may still be written: the next poll sees it. */
static void on_dispose(void *pointer)
{
    struct call *call = pointer;
    if (call->query != NULL)
        postgres_cancel(call->query);
    buffer_free(&call->answer);
}

static void write_down(void *context, const struct revocation *order)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    static const uint32_t types[REVOCATIONS_PARAMETERS] = {0};
    static struct postgres_statement statement; /* the control thread's alone */
    struct call *call = context;
    struct revocations_parameters parameters;
    struct sockaddr_storage peer;
    char by[128] = "admin listener", host[64];
    socklen_t size = call->req->conn->callbacks->get_peername(call->req->conn, (struct sockaddr *)&peer);
    if (size != 0 && getnameinfo((struct sockaddr *)&peer, size, host, sizeof(host), NULL, 0, NI_NUMERICHOST) == 0)
        snprintf(by, sizeof(by), "admin listener, from %s", host);
    if (statement.sql == NULL)
        postgres_statement_init(&statement, revocations_sql, REVOCATIONS_PARAMETERS, types);
    revocations_parameters(order, text_from_string(by), &parameters);
    const struct postgres_call query = {.statement = &statement, .parameters = parameters.texts};
    call->refused = postgres_start(call->revocations->pool, &query, &handlers, call, &call->query);
    if (call->refused != STATUS_OK)
        failure_set(&call->failure, call->refused, "the database is away; nothing was written");
}

/* What a page of another site can make a browser send without asking has another type: it is refused. */
static bool is_json(h2o_req_t *req)
{
    ssize_t index = h2o_find_header(&req->headers, H2O_TOKEN_CONTENT_TYPE, -1);
    struct text type =
        index < 0 ? TEXT_NONE : text_of(req->headers.entries[index].value.base, req->headers.entries[index].value.len);
    return type.size != 0 && text_equal_ignoring_case(text_trim(text_split(&type, ';')), TEXT("application/json"));
}

static int on_request(h2o_handler_t *super, h2o_req_t *req)
{
    struct control_revocations *revocations = ((struct handler *)super)->revocations;
    if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("POST"))) {
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ALLOW, NULL, H2O_STRLIT("POST"));
        refuse(req, 405, "Method Not Allowed", "POST revokes; `sluice token revocations` lists");
        return 0;
    }
    if (!is_json(req)) {
        refuse(req, 415, "Unsupported Media Type", "send JSON, with the header Content-Type: application/json");
        return 0;
    }
    if (revocations->pool == NULL) {
        refuse(req, 503, "Service Unavailable", "the database was not reached yet");
        return 0;
    }
    struct call *call = h2o_mem_alloc_shared(&req->pool, sizeof(*call), on_dispose);
    *call = (struct call){.req = req, .revocations = revocations};
    buffer_init(&call->answer, ANSWER_CEILING);
    const struct revocation_lives lives = revocations_lives(revocations->config);
    enum status status =
        revocation_order_read(text_of(req->entity.base, req->entity.base != NULL ? req->entity.len : 0),
                              clock_wall_us() / 1000000, &lives, write_down, call, &call->failure);
    if (status != STATUS_OK)
        refuse(req, 400, "Bad Request", call->failure.message);
    else if (call->refused != STATUS_OK)
        refuse(req, 503, "Service Unavailable", call->failure.message);
    return 0;
}

void control_revocations_register(h2o_hostconf_t *host, struct control_revocations *revocations)
{
    h2o_pathconf_t *path = h2o_config_register_path(host, "/revocations", 0);
    struct handler *handler = (struct handler *)h2o_create_handler(path, sizeof(*handler));
    handler->super.on_req = on_request;
    handler->revocations = revocations;
}
