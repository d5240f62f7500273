/* /v1/analytics/{name}/shares: which other customers may read an analysis, as shared.{owner}.{name}. Whether a reader
 * exists is nobody's to find out here: any name that a customer may have is taken. */
#include "api/execute.h"
#include "api/problem.h"
#include "base/json.h"
#include "handlers/handlers.h"
#include "handlers/own_sql.h"
#include "handlers/own_task.h"

#define SHARES_MAX 1000 /* of one analysis */

enum { NAME, READER };
static const char *const by_name[] = {"name", NULL};
static const char *const by_reader[] = {"name", "reader", NULL};

static const char not_there[] =
    "this customer has no analysis of this name; GET /v1/analytics lists those that there are";

/* Changes. */

struct sharing {
    struct own_task task; /* first */
    struct text name, reader;
    bool ends;
    char outcome; /* as the statement tells it: 'n' no analysis, 'm' too many, 's' shared, 'k' it was already */
};

static void keep_outcome(void *context, const struct postgres_rows *rows)
{
    struct text value = postgres_rows_count(rows) != 0 ? postgres_rows_value(rows, 0, 0) : TEXT_NONE;
    ((struct sharing *)context)->outcome = value.size != 0 ? value.data[0] : 'n';
}

static enum status end_share(struct sharing *sharing)
{
    const struct text values[] = {sharing->name, sharing->reader};
    enum status status = own_task_query(&sharing->task,
                                        "delete from sluice.share where customer_id = sluice.me() and name ="
                                        " 'analytics.' || $1 and reader_id = $2",
                                        2, values, NULL, NULL);
    if (status == STATUS_OK && postgres_session_affected(sharing->task.session) == 0)
        return own_task_fail(&sharing->task, PROBLEM_NOT_FOUND,
                             "analytics.%s is not shared with %s; its shares are at "
                             "/v1/analytics/%s/shares",
                             sharing->name.data, sharing->reader.data, sharing->name.data);
    return status;
}

static enum status begin_share(struct sharing *sharing)
{
    static const char sql[] =
        "with there as (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
        "where"
        " n.nspname = $3 and c.relname = $1 and c.relkind in ('v', 'r', 'm', 'p')), many as (select count(*) >="
        " $4::bigint as full from sluice.share where customer_id = sluice.me() and name = 'analytics.' || $1),"
        " made as (insert into sluice.share (customer_id, name, reader_id) select sluice.me(), 'analytics.' || $1, $2"
        " from there, many where not many.full on conflict do nothing returning 1)"
        " select case when not exists (select from there) then 'n' when exists (select from made) then 's' when exists"
        " (select from sluice.share where customer_id = sluice.me() and name = 'analytics.' || $1 and reader_id = $2)"
        " then 'k' else 'm' end";
    const struct text values[] = {sharing->name, sharing->reader,
                                  text_from_string(sharing->task.relations.names.analytics), TEXT("1000")};
    _Static_assert(SHARES_MAX == 1000, "as the parameter");
    enum status status = own_task_query(&sharing->task, sql, 4, values, keep_outcome, sharing);
    if (status == STATUS_OK && sharing->outcome == 'n')
        return own_task_fail(&sharing->task, PROBLEM_NOT_FOUND, "%s", not_there);
    if (status == STATUS_OK && sharing->outcome == 'm')
        return own_task_fail(&sharing->task, PROBLEM_CONFLICT,
                             "analytics.%s is shared with %d customers already; end "
                             "one of its shares first",
                             sharing->name.data, SHARES_MAX);
    return status;
}

static void change(struct own_task *task)
{
    struct sharing *sharing = (struct sharing *)task;
    enum status status = sharing->ends ? end_share(sharing) : begin_share(sharing);
    if (status == STATUS_OK)
        task->code = 204;
}

static enum stage_verdict start(struct request *request, bool ends)
{
    struct text reader = request_value(request, READER)->text;
    if (!ends && text_equal(reader, request->principal->customer))
        return problem_send(request, PROBLEM_CONFLICT, "an analysis is not shared with its owner, who reads it anyway");
    struct sharing *sharing = (struct sharing *)own_task_create(request, sizeof(*sharing), change);
    if (sharing == NULL)
        return STAGE_DONE;
    sharing->ends = ends;
    sharing->name = arena_copy(&sharing->task.arena, request_value(request, NAME)->text);
    sharing->reader = arena_copy(&sharing->task.arena, reader);
    if (sharing->name.data != NULL && sharing->reader.data != NULL)
        return own_task_start(request, &sharing->task);
    own_task_free(&sharing->task);
    return problem_send_status(request, STATUS_TOO_LARGE);
}

static enum stage_verdict execute_put(struct request *request)
{
    return start(request, false);
}

static enum stage_verdict execute_delete(struct request *request)
{
    return start(request, true);
}

/* The list. */

struct shown {
    struct own_sql own; /* first */
    struct json json;
    bool found;
    enum status status;
};

static enum stage_verdict plan(struct request *request)
{
    if (request->resumed)
        return own_sql_resume(request);
    struct shown *shown = arena_calloc(&request->arena, 1, sizeof(*shown));
    return shown != NULL ? own_begin(request, &shown->own) : problem_send_status(request, STATUS_TOO_LARGE);
}

/* One row of nulls: the analysis is there, and nobody has a share in it. */
static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct shown *shown = request->handler_state;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        shown->found = true;
        if (postgres_rows_value(rows, i, 0).data == NULL)
            continue;
        json_open_object(&shown->json);
        json_field_text(&shown->json, "reader", postgres_rows_value(rows, i, 0));
        json_field_text(&shown->json, "created_at", postgres_rows_value(rows, i, 1));
        json_close_object(&shown->json);
        request->rows++;
    }
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct shown *shown = request->handler_state;
    execute_asked(request);
    shown->status = error == NULL ? STATUS_OK : error->status == STATUS_INVALID ? STATUS_FAILED : error->status;
    request_resume(request);
}

static enum stage_verdict finish(struct request *request, struct shown *shown)
{
    if (shown->status != STATUS_OK)
        return problem_send_status(request, shown->status);
    if (!shown->found)
        return problem_send(request, PROBLEM_NOT_FOUND, "%s", not_there);
    json_close_array(&shown->json);
    json_close_object(&shown->json);
    buffer_append_char(shown->json.buffer, '\n');
    if (shown->json.buffer->failed)
        return problem_send_status(request, STATUS_TOO_LARGE);
    respond_finish(request);
    return STAGE_DONE;
}

static enum stage_verdict execute_list(struct request *request)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    static const char sql[] =
        "select s.reader_id, pg_catalog.to_char(s.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace left join sluice.share s"
        " on s.customer_id = sluice.me() and s.name = 'analytics.' || c.relname where n.nspname = $1 and c.relname = $2"
        " and c.relkind in ('v', 'r', 'm', 'p') order by 1";
    static const struct respond_head head = {.status = 200,
                                             .reason = "OK",
                                             .content_type = {"application/json", 16},
                                             .cache_control = "no-store",
                                             .whole = true};
    struct shown *shown = request->handler_state;
    struct postgres_setting settings[NAMED_SETTINGS];
    struct postgres_statement *statement = arena_alloc(&request->arena, sizeof(*statement));
    if (request->resumed)
        return finish(request, shown);
    if (statement == NULL || !named_settings(request, settings))
        return problem_send_status(request, STATUS_TOO_LARGE);
    postgres_statement_init(statement, sql, 2, NULL);
    const struct text values[] = {text_from_string(shown->own.relations.names.analytics),
                                  request_value(request, NAME)->text};
    const struct postgres_call call = {.statement = statement,
                                       .parameters = values,
                                       .settings = settings,
                                       .setting_count = NAMED_SETTINGS,
                                       .whole = true};
    request->plan = (struct plan){.target = PLAN_ANALYTICS, .lane = PLAN_CUSTOMER, .relation = TEXT("analytics")};
    request->has_plan = true;
    respond_begin(request, &head, NULL);
    shown->json = json_writer(respond_buffer(&request->respond));
    json_open_object(&shown->json);
    json_key(&shown->json, TEXT("shares"));
    json_open_array(&shown->json);
    enum status status = execute_ask(request, execute_lane(request), &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

const struct handler handlers_list_shares = {"listShares", by_name, plan, execute_list};
const struct handler handlers_put_share = {"putShare", by_reader, NULL, execute_put};
const struct handler handlers_delete_share = {"deleteShare", by_reader, NULL, execute_delete};
