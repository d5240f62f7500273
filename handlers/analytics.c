/* /v1/analytics: SELECTs that a customer has saved, as views or as tables. */
#include <stdio.h>

#include "api/customers.h"
#include "api/execute.h"
#include "api/problem.h"
#include "base/encoding.h"
#include "handlers/analytics_make.h"
#include "handlers/analytics_show.h"
#include "handlers/handlers.h"
#include "handlers/own_sql.h"

#define LIMIT_DEFAULT 100
#define LIST_BYTES ((size_t)2 << 20) /* a page of the list ends here: SQL and columns may be long */
#define NAME_MAX_SIZE 64

enum { BY_NAME };
static const char *const by_name[] = {"name", NULL};
enum { LIST_LIMIT, LIST_AFTER };
static const char *const list_parameters[] = {"limit", "after", NULL};

static const char not_there[] =
    "this customer has no analysis of this name; GET /v1/analytics lists those that there are";

/* Changes. */

static struct make *create(struct request *request, enum make_kind kind)
{
    struct make *make = (struct make *)own_task_create(request, sizeof(*make), analytics_make);
    if (make == NULL)
        return NULL;
    make->kind = kind;
    make->name = arena_copy(&make->task.arena, request_value(request, BY_NAME)->text);
    make->budget = relations_budget(request, false);
    if (request->allowance != NULL) {
        make->quota_bytes = request->allowance->upload_bytes;
        make->quota_relations = request->allowance->upload_relations;
    }
    if (make->name.data != NULL)
        return make;
    own_task_free(&make->task);
    problem_send_status(request, STATUS_TOO_LARGE);
    return NULL;
}

static enum stage_verdict read_put(struct request *request, struct make *make, const json_t *body)
{
    static const struct problem_mistake mistake = {
        .place = "body", .field = "/sql", .message = "a saved analysis has no parameters; write the values into it"};
    struct arena *arena = &make->task.arena;
    const json_t *description = json_object_get(body, "description");
    make->sql = own_sql_member(arena, body, "sql");
    make->description = own_sql_member(arena, body, "description");
    make->as_table = text_equal(own_sql_member(arena, body, "as"), TEXT("table"));
    if (make->sql.data == NULL || (json_is_string(description) && make->description.data == NULL))
        return problem_send_status(request, STATUS_TOO_LARGE);
    enum stage_verdict verdict = own_sql_check(request, &make->task.relations, make->sql, arena, &make->checked);
    if (verdict == STAGE_NEXT && make->checked.parameter_count != 0)
        return problem_send_mistake(request, PROBLEM_INVALID_SQL, &mistake);
    return verdict;
}

static enum stage_verdict execute_put(struct request *request)
{
    json_t *body = own_sql_body(request);
    struct make *make = body != NULL ? create(request, MAKE_PUT) : NULL;
    enum stage_verdict verdict = make != NULL ? read_put(request, make, body) : STAGE_DONE;
    json_decref(body);
    if (verdict == STAGE_NEXT)
        return own_task_start(request, &make->task);
    if (make != NULL)
        own_task_free(&make->task);
    return STAGE_DONE;
}

static enum stage_verdict execute_refresh(struct request *request)
{
    struct make *make = create(request, MAKE_REFRESH);
    return make != NULL ? own_task_start(request, &make->task) : STAGE_DONE;
}

static enum stage_verdict execute_delete(struct request *request)
{
    struct make *make = create(request, MAKE_DELETE);
    return make != NULL ? own_task_start(request, &make->task) : STAGE_DONE;
}

/* Looks. */

struct look {
    struct own_sql own; /* first */
    struct text name;   /* TEXT_NONE: all */
    struct text after;
    uint64_t limit;
    char limit_text[24], last[NAME_MAX_SIZE];
    bool more;
    struct json json;
    enum status status;
};

static enum stage_verdict plan(struct request *request)
{
    if (request->resumed)
        return own_sql_resume(request);
    struct look *look = arena_calloc(&request->arena, 1, sizeof(*look));
    return look != NULL ? own_begin(request, &look->own) : problem_send_status(request, STATUS_TOO_LARGE);
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct look *look = request->handler_state;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        look->more = request->rows == look->limit || look->json.buffer->size > LIST_BYTES;
        if (look->more)
            return;
        analytics_append(&look->json, rows, i, TEXT_NONE);
        snprintf(look->last, sizeof(look->last), "%s", postgres_rows_value(rows, i, 0).data);
        request->rows++;
    }
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct look *look = request->handler_state;
    execute_asked(request);
    look->status = error != NULL ? error->status : STATUS_OK;
    request_resume(request);
}

static enum stage_verdict ask(struct request *request, struct look *look)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    static const struct respond_head head = {.status = 200,
                                             .reason = "OK",
                                             .content_type = {"application/json", 16},
                                             .cache_control = "no-store",
                                             .whole = true};
    struct plan *plan = &request->plan;
    struct postgres_setting *settings = arena_calloc(&request->arena, NAMED_SETTINGS, sizeof(*settings));
    struct postgres_statement *statement = arena_alloc(&request->arena, sizeof(*statement));
    if (settings == NULL || statement == NULL || !named_settings(request, settings))
        return problem_send_status(request, STATUS_TOO_LARGE);
    snprintf(look->limit_text, sizeof(look->limit_text), "%llu", (unsigned long long)look->limit + 1);
    const struct text values[ANALYTICS_SHOW_PARAMETERS] = {text_from_string(look->own.relations.names.analytics),
                                                           text_from_string(look->own.relations.names.uploads),
                                                           look->name, look->after, text_from_string(look->limit_text)};
    *plan = (struct plan){.target = PLAN_ANALYTICS, .lane = PLAN_CUSTOMER, .relation = TEXT("analytics")};
    request->has_plan = true;
    postgres_statement_init(statement, analytics_show_sql, ANALYTICS_SHOW_PARAMETERS, NULL);
    const struct postgres_call call = {.statement = statement,
                                       .parameters = values,
                                       .settings = settings,
                                       .setting_count = NAMED_SETTINGS,
                                       .whole = true};
    respond_begin(request, &head, NULL);
    look->json = json_writer(respond_buffer(&request->respond));
    if (look->name.data == NULL) {
        buffer_append_literal(look->json.buffer, "{\"analytics\":");
        json_open_array(&look->json);
    }
    enum status status = execute_ask(request, execute_lane(request), &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

static enum stage_verdict finish(struct request *request, const struct look *look)
{
    struct buffer *body = respond_buffer(&request->respond);
    if (look->status != STATUS_OK)
        return problem_send_status(request, look->status == STATUS_INVALID ? STATUS_FAILED : look->status);
    if (look->name.data != NULL && request->rows == 0)
        return problem_send(request, PROBLEM_NOT_FOUND, "%s", not_there);
    buffer_append_char(body, '\n');
    if (body->failed)
        return problem_send_status(request, STATUS_TOO_LARGE);
    respond_finish(request);
    return STAGE_DONE;
}

static enum stage_verdict execute_get(struct request *request)
{
    struct look *look = request->handler_state;
    if (request->resumed)
        return finish(request, look);
    look->name = request_value(request, BY_NAME)->text;
    look->limit = 1;
    return ask(request, look);
}

static enum stage_verdict execute_list(struct request *request)
{
    struct look *look = request->handler_state;
    const struct openapi_value *limit = request_value(request, LIST_LIMIT), *after = request_value(request, LIST_AFTER);
    if (!request->resumed) {
        look->limit = limit->present ? (uint64_t)limit->integer : LIMIT_DEFAULT;
        look->after = after->present ? after->text : TEXT_NONE;
        return ask(request, look);
    }
    json_close_array(&look->json);
    buffer_append_literal(look->json.buffer, ",\"next\":");
    if (look->more) {
        buffer_printf(look->json.buffer, "\"/v1/analytics?limit=%llu&after=", (unsigned long long)look->limit);
        encoding_percent_append(look->json.buffer, text_from_string(look->last));
        buffer_append_literal(look->json.buffer, "\"}");
    } else {
        buffer_append_literal(look->json.buffer, "null}");
    }
    return finish(request, look);
}

const struct handler handlers_put_analysis = {"putAnalysis", by_name, NULL, execute_put};
const struct handler handlers_refresh_analysis = {"refreshAnalysis", by_name, NULL, execute_refresh};
const struct handler handlers_delete_analysis = {"deleteAnalysis", by_name, NULL, execute_delete};
const struct handler handlers_get_analysis = {"getAnalysis", by_name, plan, execute_get};
const struct handler handlers_list_analyses = {"listAnalyses", list_parameters, plan, execute_list};
