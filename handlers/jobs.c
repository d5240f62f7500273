/* /v1/jobs: queries that answer later, how far they are, and their end. */
#include <stdio.h>

#include "api/execute.h"
#include "api/problem.h"
#include "api/request_pause.h"
#include "handlers/handlers.h"
#include "handlers/job_rows.h"
#include "handlers/own_sql.h"

#define POLL_MS 1000
#define LIST_CEILING ((size_t)12 << 20) /* bytes of a page */

enum { JOB, WAIT };
static const char *const get_parameters[] = {"job_id", "wait", NULL};
static const char *const delete_parameters[] = {"job_id", NULL};
enum { LIMIT, AFTER };
static const char *const list_parameters[] = {"limit", "after", NULL};

static const char not_there[] =
    "this customer has no job of this id, or its result has expired; GET /v1/jobs lists those that there are";

/* On a thread: the list, one that was lost, the end of one. */

struct asked {
    struct own_task own; /* first */
    struct text id;      /* of the job; LIST: of the last one seen, TEXT_NONE: none */
    uint64_t limit, count;
    bool found;
    struct buffer list;
    struct text last;
};

static void keep_one(void *context, const struct postgres_rows *rows)
{
    struct asked *asked = context;
    asked->found = postgres_rows_count(rows) != 0 && !text_equal(postgres_rows_value(rows, 0, JOB_EXPIRED), TEXT("t"));
    if (asked->found)
        asked->own.answer = arena_copy(&asked->own.arena, postgres_rows_value(rows, 0, JOB_DOCUMENT));
}

static enum status find_one(struct asked *asked)
{
    enum status status = job_rows_tidy(&asked->own);
    if (status == STATUS_OK)
        status = own_task_query(&asked->own, job_one_sql, 1, &asked->id, keep_one, asked);
    if (status == STATUS_OK && !asked->found)
        return own_task_fail(&asked->own, PROBLEM_NOT_FOUND, "%s", not_there);
    return status;
}

static void show_one(struct own_task *task)
{
    if (find_one((struct asked *)task) == STATUS_OK)
        task->code = 200;
}

/* What runs is told to end, and finds its row gone where it does not hear that in time. */
static void erase(struct own_task *task)
{
    struct asked *asked = (struct asked *)task;
    if (find_one(asked) != STATUS_OK)
        return;
    job_list_cancel(task->server->known_jobs, asked->id);
    if (own_task_query(task, "delete from sluice.job where job_id = $1::uuid", 1, &asked->id, NULL, NULL) !=
            STATUS_OK ||
        job_rows_drop(task, asked->id) != STATUS_OK)
        return;
    task->answer = TEXT_NONE;
    task->code = 204;
}

static void keep_list(void *context, const struct postgres_rows *rows)
{
    struct asked *asked = context;
    for (size_t row = 0; row < postgres_rows_count(rows) && asked->count <= asked->limit; row++, asked->count++) {
        if (asked->count == asked->limit)
            continue; /* there are more */
        if (asked->count != 0)
            buffer_append_char(&asked->list, ',');
        buffer_append_text(&asked->list, postgres_rows_value(rows, row, JOB_DOCUMENT));
        asked->last = arena_copy(&asked->own.arena, postgres_rows_value(rows, row, JOB_ID));
    }
}

static void show_list(struct own_task *task)
{
    struct asked *asked = (struct asked *)task;
    char limit[24];
    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)asked->limit + 1);
    const struct text values[] = {text_from_string(limit), asked->id};
    buffer_init(&asked->list, LIST_CEILING);
    buffer_append_literal(&asked->list, "{\"jobs\":[");
    enum status status = job_rows_tidy(task);
    if (status == STATUS_OK)
        status = own_task_query(task, job_list_sql, 2, values, keep_list, asked);
    buffer_append_literal(&asked->list, "],\"next\":");
    if (asked->count > asked->limit && asked->last.data != NULL)
        buffer_printf(&asked->list, "\"/v1/jobs?limit=%llu&after=%.*s\"}\n", (unsigned long long)asked->limit,
                      TEXT_ARGS(asked->last));
    else
        buffer_append_literal(&asked->list, "null}\n");
    if (status == STATUS_OK) {
        task->answer = asked->list.failed ? TEXT_NONE : arena_copy(&task->arena, buffer_text(&asked->list));
        task->code = 200;
        if (task->answer.data == NULL)
            (void)!own_task_fail_status(task, STATUS_TOO_LARGE);
    }
    buffer_free(&asked->list);
}

static enum stage_verdict start(struct request *request, void (*change)(struct own_task *task), struct text id,
                                uint64_t limit)
{
    struct asked *asked = (struct asked *)own_task_create(request, sizeof(*asked), change);
    if (asked == NULL)
        return STAGE_DONE;
    asked->limit = limit;
    asked->id = id.data != NULL ? arena_copy(&asked->own.arena, id) : TEXT_NONE;
    request->plan = (struct plan){.target = PLAN_ANALYTICS, .lane = PLAN_CUSTOMER, .relation = TEXT("jobs")};
    request->has_plan = true;
    if (id.data == NULL || asked->id.data != NULL)
        return own_task_start(request, &asked->own);
    own_task_free(&asked->own);
    return problem_send_status(request, STATUS_TOO_LARGE);
}

static enum stage_verdict execute_delete(struct request *request)
{
    return start(request, erase, request_value(request, JOB)->text, 0);
}

static enum stage_verdict execute_list(struct request *request)
{
    const struct openapi_value *after = request_value(request, AFTER);
    return start(request, show_list, after->present ? after->text : TEXT_NONE,
                 (uint64_t)request_value(request, LIMIT)->integer);
}

/* One, on the customer's lane: asked once a second as long as the caller waits. */

struct watched {
    struct own_sql own; /* first */
    struct postgres_statement statement;
    struct postgres_setting settings[NAMED_SETTINGS];
    uint64_t due_ms; /* of the loop's clock */
    bool begun, asking;
    bool found, lost, again;
    enum status status;
    struct text document;
};

static enum stage_verdict plan_get(struct request *request)
{
    if (request->resumed)
        return own_sql_resume(request);
    struct watched *watched = arena_calloc(&request->arena, 1, sizeof(*watched));
    return watched != NULL ? own_begin(request, &watched->own) : problem_send_status(request, STATUS_TOO_LARGE);
}

static bool may_wait(const struct request *request, const struct watched *watched)
{
    return !request->worker->stopping && loop_now_ms(request->worker->loop) < watched->due_ms;
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct watched *watched = request->handler_state;
    watched->found = postgres_rows_count(rows) != 0;
    if (!watched->found)
        return;
    struct text state = postgres_rows_value(rows, 0, JOB_STATE);
    bool is_open = text_equal(state, TEXT("waiting")) || text_equal(state, TEXT("running"));
    watched->lost = job_is_lost(request->worker->server, rows, 0);
    watched->again = is_open && may_wait(request, watched);
    if (!watched->lost && !watched->again)
        watched->document = arena_copy(&request->arena, postgres_rows_value(rows, 0, JOB_DOCUMENT));
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct watched *watched = request->handler_state;
    execute_asked(request);
    watched->status = error == NULL ? STATUS_OK : error->status == STATUS_INVALID ? STATUS_FAILED : error->status;
    request_resume(request);
}

static enum stage_verdict ask(struct request *request, struct watched *watched)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    const struct text id = request_value(request, JOB)->text;
    const struct postgres_call call = {.statement = &watched->statement,
                                       .parameters = &id,
                                       .settings = watched->settings,
                                       .setting_count = NAMED_SETTINGS,
                                       .whole = true};
    watched->asking = true;
    watched->found = watched->lost = watched->again = false;
    enum status status = execute_ask(request, execute_lane(request), &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

static enum stage_verdict begin(struct request *request, struct watched *watched)
{
    const struct openapi_value *wait = request_value(request, WAIT);
    watched->begun = true;
    watched->due_ms = loop_now_ms(request->worker->loop) + (wait->present ? (uint64_t)wait->integer * 1000 : 0);
    request->plan = (struct plan){.target = PLAN_ANALYTICS, .lane = PLAN_CUSTOMER, .relation = TEXT("jobs")};
    request->has_plan = true;
    postgres_statement_init(&watched->statement, job_one_sql, 1, NULL);
    return named_settings(request, watched->settings) ? ask(request, watched)
                                                      : problem_send_status(request, STATUS_TOO_LARGE);
}

static enum stage_verdict finish(struct request *request, const struct watched *watched)
{
    static const struct respond_head head = {
        .status = 200, .reason = "OK", .content_type = {"application/json", 16}, .cache_control = "no-store"};
    if (watched->status != STATUS_OK)
        return problem_send_status(request, watched->status);
    if (!watched->found)
        return problem_send(request, PROBLEM_NOT_FOUND, "%s", not_there);
    if (watched->lost)
        return start(request, show_one, request_value(request, JOB)->text, 0);
    if (watched->document.data == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    return respond_send(request, &head, watched->document, NULL);
}

static enum stage_verdict execute_get(struct request *request)
{
    struct watched *watched = request->handler_state;
    if (!watched->begun)
        return begin(request, watched);
    if (!watched->asking)
        return ask(request, watched);
    watched->asking = false;
    if (watched->status != STATUS_OK || watched->lost || !watched->again)
        return finish(request, watched);
    uint64_t now_ms = loop_now_ms(request->worker->loop),
             left = watched->due_ms > now_ms ? watched->due_ms - now_ms : 0;
    return request_pause(request, left < POLL_MS ? left : POLL_MS);
}

const struct handler handlers_list_jobs = {"listJobs", list_parameters, NULL, execute_list};
const struct handler handlers_get_job = {"getJob", get_parameters, plan_get, execute_get};
const struct handler handlers_delete_job = {"deleteJob", delete_parameters, NULL, execute_delete};
