/* GET of uploads: the list, one, and the rows of its file that did not fit. */
#include "api/customers.h"
#include "api/execute.h"
#include "api/problem.h"
#include "base/encoding.h"
#include "base/json.h"
#include "handlers/answer.h"
#include "handlers/handlers.h"
#include "handlers/named.h"
#include "handlers/own_sql.h"
#include "handlers/upload_name.h"

/* Each row: a document as it is shown, and where it stands. Row level security leaves the caller's own. */
#define STATE                                                                                                          \
    "select pg_catalog.json_build_object('dataset', 'uploads.' || name, 'rows', rows, 'columns', columns, 'options',"  \
    " options, 'quarantined', quarantined, 'bytes', bytes, 'digest', 'sha-256:' || pg_catalog.encode(digest, 'hex'),"  \
    " 'version', version::text, 'created_at', " STAMP("created_at") ", 'changed_at', " STAMP(                          \
        "changed_at") ", 'links',"                                                                                     \
                      " pg_catalog.json_build_object('self', '/v1/uploads/' || name, 'rows', '/v1/datasets/uploads.' " \
                      "|| name,"                                                                                       \
                      " 'quarantine', '/v1/uploads/' || name || '/quarantine')), name from sluice.upload"
#define STAMP(column) "pg_catalog.to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

static const char list_sql[] = STATE " where name > $1 order by name limit $2::bigint";
static const char one_sql[] = STATE " where name = $1 and $2::bigint = 1";
/* A line may be refused once only; the first row says whether there is such an upload at all. */
static const char quarantine_sql[] =
    "(select null::text, null::text from sluice.upload where name = $1)"
    " union all (select pg_catalog.json_build_object('line', line, 'column', column_name, 'reason', reason, 'raw', raw)"
    "::text, line::text from sluice.quarantine as bad where name = $1 and line > $3::bigint order by bad.line limit "
    "$2::bigint)";

#define LIST_CEILING ((size_t)32 << 20) /* bytes of a page */

enum kind { LIST, ONE, QUARANTINE };
struct state {          /* request->handler_state */
    struct own_sql own; /* first */
    enum kind kind;
    struct postgres_statement statement;
    struct postgres_setting settings[NAMED_SETTINGS];
    struct text parameters[3];
    struct upload_name name;
    uint64_t limit;
    uint64_t count;   /* rows that came */
    bool found;       /* QUARANTINE: there is the upload */
    struct text last; /* of the page, where there is more; in the arena */
    bool more;
    enum status status;
};

static void append_row(struct request *request, const struct postgres_rows *rows, size_t row)
{
    struct state *state = request->handler_state;
    struct buffer *body = respond_buffer(&request->respond);
    struct text document = postgres_rows_value(rows, row, 0);
    if (document.data == NULL) {
        state->found = true;
        return;
    }
    if (state->count == state->limit) {
        state->more = true;
        return;
    }
    buffer_append(body, ",", state->kind != ONE && state->count != 0);
    buffer_append_text(body, document);
    if (++state->count == state->limit && state->kind != ONE)
        state->last = arena_copy(&request->arena, postgres_rows_value(rows, row, 1));
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    for (size_t row = 0; row < postgres_rows_count(rows); row++)
        append_row(context, rows, row);
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct state *state = request->handler_state;
    execute_asked(request);
    state->status = error != NULL ? error->status : STATUS_OK;
    request_resume(request);
}

static struct text make_next(struct request *request, const struct state *state)
{
    struct buffer next;
    buffer_init(&next, 65536);
    if (state->more && state->last.data != NULL) {
        buffer_append_text(&next, request->path);
        buffer_printf(&next, "?limit=%llu&after=", (unsigned long long)state->limit);
        encoding_percent_append(&next, state->last);
    }
    struct text kept = next.size != 0 && !next.failed ? arena_copy(&request->arena, buffer_text(&next)) : TEXT_NONE;
    buffer_free(&next);
    return kept;
}

static void end_page(struct request *request, const struct state *state)
{
    struct buffer *body = respond_buffer(&request->respond), link;
    struct text next = make_next(request, state);
    buffer_append_literal(body, "],\"next\":");
    if (next.data == NULL) {
        buffer_append_literal(body, "null}");
        return;
    }
    json_append_string(body, next);
    buffer_append_char(body, '}');
    buffer_init(&link, 65536);
    buffer_printf(&link, "<%.*s>; rel=\"next\"", TEXT_ARGS(next));
    request->respond.head.link = arena_copy(&request->arena, buffer_text(&link));
    buffer_free(&link);
}

static enum stage_verdict answer(struct request *request)
{
    struct state *state = request->handler_state;
    struct buffer *body = respond_buffer(&request->respond);
    if (state->status != STATUS_OK)
        return problem_send_status(request, state->status);
    if ((state->kind == ONE && state->count == 0) || (state->kind == QUARANTINE && !state->found))
        return problem_send(request, PROBLEM_NOT_FOUND,
                            "no upload of this name is there for this caller; GET /v1/uploads lists those that are");
    if (state->kind != ONE)
        end_page(request, state);
    buffer_append_char(body, '\n');
    return answer_finish(request, state->count);
}

static enum stage_verdict ask(struct request *request, struct state *state, const char *sql, size_t parameters)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct respond_head head = {.status = 200,
                                .reason = "OK",
                                .content_type = TEXT("application/json"),
                                .cache_control = "private, no-cache",
                                .vary = true,
                                .whole = true};
    request->plan = (struct plan){.target = PLAN_UPLOAD, .lane = PLAN_CUSTOMER, .relation = TEXT("sluice.upload")};
    request->has_plan = true;
    respond_begin(request, &head, NULL);
    if (state->kind != ONE)
        buffer_append_string(respond_buffer(&request->respond), state->kind == LIST ? "{\"uploads\":[" : "{\"rows\":[");
    postgres_statement_init(&state->statement, sql, parameters, NULL);
    if (!named_settings(request, state->settings))
        return problem_send_status(request, STATUS_TOO_LARGE);
    struct postgres_call call = {.statement = &state->statement,
                                 .parameters = state->parameters,
                                 .settings = state->settings,
                                 .setting_count = NAMED_SETTINGS,
                                 .whole = true,
                                 .whole_most = LIST_CEILING};
    enum status status = execute_ask(request, execute_lane(request), &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

/* A login that fails would not tell a stranger from a database that is away. */
static enum stage_verdict plan(struct request *request)
{
    if (request->resumed)
        return own_sql_resume(request);
    struct state *state = arena_calloc(&request->arena, 1, sizeof(*state));
    return state != NULL ? own_begin(request, &state->own) : problem_send_status(request, STATUS_TOO_LARGE);
}

static struct state *begin(struct request *request, enum kind kind, const struct openapi_value *limit)
{
    struct state *state = request->handler_state;
    char *number = arena_alloc(&request->arena, 24);
    if (number == NULL) {
        problem_send_status(request, STATUS_TOO_LARGE);
        return NULL;
    }
    state->kind = kind;
    state->limit = limit != NULL ? (uint64_t)limit->integer : 1;
    /* One more says whether there is more. */
    int size = snprintf(number, 24, "%llu", (unsigned long long)state->limit + (kind != ONE));
    state->parameters[1] = text_of(number, (size_t)size);
    return state;
}

enum { LIST_AFTER, LIST_LIMIT };
static const char *const list_parameters[] = {"after", "limit", NULL};

static enum stage_verdict execute_list(struct request *request)
{
    struct upload_name nobody; /* whether the caller can have any */
    if (request->resumed)
        return answer(request);
    if (upload_name_find(request, TEXT(""), &nobody) != STAGE_NEXT)
        return STAGE_DONE;
    struct state *state = begin(request, LIST, request_value(request, LIST_LIMIT));
    if (state == NULL)
        return STAGE_DONE;
    const struct openapi_value *after = request_value(request, LIST_AFTER);
    state->parameters[0] = after->present ? after->text : TEXT("");
    return ask(request, state, list_sql, 2);
}

enum { DATASET, AFTER, LIMIT };
static const char *const one_parameters[] = {"dataset", NULL};
static const char *const quarantine_parameters[] = {"dataset", "after", "limit", NULL};

static enum stage_verdict execute_one(struct request *request)
{
    struct upload_name name;
    if (request->resumed)
        return answer(request);
    if (upload_name_find(request, request_value(request, DATASET)->text, &name) != STAGE_NEXT)
        return STAGE_DONE;
    struct state *state = begin(request, ONE, NULL);
    if (state == NULL)
        return STAGE_DONE;
    state->parameters[0] = name.relation;
    return ask(request, state, one_sql, 2);
}

static enum stage_verdict execute_quarantine(struct request *request)
{
    struct upload_name name;
    if (request->resumed)
        return answer(request);
    if (upload_name_find(request, request_value(request, DATASET)->text, &name) != STAGE_NEXT)
        return STAGE_DONE;
    struct state *state = begin(request, QUARANTINE, request_value(request, LIMIT));
    if (state == NULL)
        return STAGE_DONE;
    const struct openapi_value *after = request_value(request, AFTER);
    state->parameters[0] = name.relation;
    state->parameters[2] = after->present ? after->text : TEXT("0");
    return ask(request, state, quarantine_sql, 3);
}

const struct handler handlers_list_uploads = {"listUploads", list_parameters, plan, execute_list};
const struct handler handlers_get_upload = {"getUpload", one_parameters, plan, execute_one};
const struct handler handlers_get_upload_quarantine = {"getUploadQuarantine", quarantine_parameters, plan,
                                                       execute_quarantine};
