/* GET /v1/datasets/{dataset}/schema: what a dataset is made of, and how fresh it is. */
#include "api/execute.h"
#include "api/problem.h"
#include "handlers/answer.h"
#include "handlers/handlers.h"
#include "handlers/named.h"
#include "query/document.h"
#include "query/rules.h"
#include "query/verdicts.h"

#define LATEST_COST 20000 /* of asking for the newest row, in PostgreSQL's units: what costs more is not told */

enum { DATASET };
static const char *const parameters[] = {"dataset", NULL};

enum step { STEP_DATASET, STEP_ESTIMATE, STEP_LATEST };
struct schema {
    struct named named;
    enum step step;
    struct postgres_statement latest_statement, explain;
    struct postgres_setting settings[NAMED_SETTINGS]; /* with a customer's lane */
    struct plan_estimate estimate;
    struct text latest; /* the time column's newest value; TEXT_NONE: not known */
};

static enum stage_verdict answer(struct request *request)
{
    const struct schema *schema = request->handler_state;
    struct respond_head head = {.status = 200,
                                .reason = "OK",
                                .content_type = TEXT("application/json"),
                                .cache_control = "private, no-cache",
                                .vary = true,
                                .whole = true};
    respond_begin(request, &head, NULL);
    struct buffer *body = respond_buffer(&request->respond);
    struct json json = json_writer(body);
    document_append_schema(&json, request->dataset, schema->latest);
    buffer_append_char(body, '\n');
    return answer_finish(request, 1);
}

/* The newest row. */

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct schema *schema = request->handler_state;
    if (postgres_rows_count(rows) == 0)
        return;
    struct text latest = postgres_rows_value(rows, 0, 0);
    if (schema->step == STEP_ESTIMATE)
        schema->estimate.known = verdicts_read(rows, &schema->estimate) == STATUS_OK;
    else
        schema->latest = latest.data != NULL ? arena_copy(&request->arena, latest) : TEXT_NONE;
}

/* Without an answer the description goes out without the newest row. */
static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct schema *schema = request->handler_state;
    execute_asked(request);
    if (error != NULL)
        schema->estimate.known = false;
    request_resume(request);
}

static bool make_statement(struct request *request, struct schema *schema)
{
    const struct dataset *dataset = request->dataset;
    struct buffer sql;
    buffer_init(&sql, 65536);
    buffer_append_literal(&sql, "select max(");
    postgres_append_identifier(&sql, dataset->columns[dataset->time_column].name);
    buffer_append_literal(&sql, ")::text from ");
    buffer_append_text(&sql, dataset->sql_name);
    struct text kept = sql.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&sql));
    buffer_free(&sql);
    if (kept.data == NULL)
        return false;
    postgres_statement_init(&schema->latest_statement, kept.data, 0, NULL);
    return verdicts_explain(&schema->latest_statement, &request->arena, &schema->explain) == STATUS_OK;
}

static enum stage_verdict ask(struct request *request, enum step step, const struct postgres_statement *statement)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct schema *schema = request->handler_state;
    struct postgres_call call = {.statement = statement, .whole = true};
    schema->step = step;
    if (request->plan.lane == PLAN_CUSTOMER) {
        if (!named_settings(request, schema->settings))
            return answer(request);
        call.settings = schema->settings;
        call.setting_count = NAMED_SETTINGS;
    }
    return execute_ask(request, execute_lane(request), &call, &handlers) == STATUS_OK ? STAGE_WAIT : answer(request);
}

static enum stage_verdict execute(struct request *request)
{
    struct schema *schema = request->handler_state;
    if (!request->resumed) {
        /* What it would be depends on who asks; or there is no column of time. */
        if (request->dataset->time_column < 0 || request->dataset->asks_caller || !make_statement(request, schema))
            return answer(request);
        return ask(request, STEP_ESTIMATE, &schema->explain);
    }
    if (schema->step == STEP_ESTIMATE && schema->estimate.known && schema->estimate.cost <= LATEST_COST)
        return ask(request, STEP_LATEST, &schema->latest_statement);
    return answer(request);
}

static enum stage_verdict plan(struct request *request)
{
    if (!request->resumed) {
        struct schema *schema = arena_calloc(&request->arena, 1, sizeof(*schema));
        if (schema == NULL)
            return problem_send_status(request, STATUS_TOO_LARGE);
        request->handler_state = schema;
        schema->named.name = request_value(request, DATASET)->text;
    }
    enum stage_verdict verdict = named_find(request, &((struct schema *)request->handler_state)->named);
    if (verdict == STAGE_NEXT) {
        enum plan_target target = rules_target(request->dataset);
        request->plan = (struct plan){.target = target,
                                      .lane = target == PLAN_WAREHOUSE ? PLAN_SCAN : PLAN_CUSTOMER,
                                      .relation = request->dataset->name};
        request->has_plan = true;
    }
    return verdict;
}

const struct handler handlers_get_dataset_schema = {"getDatasetSchema", parameters, plan, execute};
