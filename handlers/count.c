#include "handlers/count.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/execute.h"
#include "api/problem.h"
#include "query/verdicts.h"

#define ESTIMATED_EXACT 10000 /* count=estimated is exact up to here */
#define SQL_CEILING ((size_t)256 << 10)

static void on_rows(void *context, const struct postgres_rows *page)
{
    const struct request *request = context;
    struct count *count = ((struct read *)request->handler_state)->count;
    if (count->plans)
        read_estimate(page, &count->planned);
    else if (postgres_rows_count(page) != 0)
        count->counted = strtoull(postgres_rows_value(page, 0, 0).data, NULL, 10);
}

static enum stage_verdict ask(struct request *request, const struct postgres_statement *statement)
{
    static const struct postgres_handlers handlers = {on_rows, read_on_asked};
    const struct read *read = request->handler_state;
    struct postgres_call call = {.statement = statement,
                                 .parameters = read->select.parameters,
                                 .settings = request->plan.settings,
                                 .setting_count = request->plan.setting_count,
                                 .whole = true};
    bool own = request->plan.lane == PLAN_CUSTOMER; /* the warehouse's look-ups are fast, their counts are not */
    enum status status = execute_ask(request, own ? execute_lane(request) : request->worker->scan, &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

static enum stage_verdict ask_plan(struct request *request, struct count *count,
                                   const struct postgres_statement *statement)
{
    count->plans = true;
    if (verdicts_explain(statement, &request->arena, &count->explain) != STATUS_OK)
        return problem_send_status(request, STATUS_TOO_LARGE);
    return ask(request, &count->explain);
}

static enum stage_verdict judge(struct request *request, struct count *count)
{
    const struct postgres_statement *statement = count->judged;
    struct plan_estimate estimate = count->planned;
    count->planned = (struct plan_estimate){.known = false};
    count->plans = false;
    count->judged = NULL;
    return read_judge(request, &estimate) == STAGE_NEXT ? ask(request, statement) : STAGE_DONE;
}

/* A small page may be all that is read of a relation, but not when it is counted. */
static enum stage_verdict ask_judged(struct request *request, struct count *count,
                                     const struct postgres_statement *statement)
{
    const struct read *read = request->handler_state;
    if (read->budget.cost <= 0 || read->select.by_key)
        return ask(request, statement);
    count->judged = statement;
    if (verdicts_find(request->worker->verdicts, request->dataset, read_verdict_id(read, statement), &count->planned))
        return judge(request, count);
    return ask_plan(request, count, statement);
}

/* The filters alone between `front` and `back`, as a statement. */
static bool wrap(struct request *request, const char *front, const char *back, struct postgres_statement *statement)
{
    const struct read *read = request->handler_state;
    struct buffer sql;
    buffer_init(&sql, SQL_CEILING);
    buffer_append_string(&sql, front);
    buffer_append_text(&sql, read->select.filtered_sql);
    buffer_append_string(&sql, back);
    struct text kept = sql.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&sql));
    buffer_free(&sql);
    if (kept.data != NULL) {
        postgres_statement_init(statement, kept.data, read->select.filter_parameter_count,
                                read->select.count_statement.parameter_types);
        statement->id ^= read->select.count_statement.id; /* made anew when that one is */
    }
    return kept.data != NULL;
}

/* By EXPLAIN. */
static enum stage_verdict ask_planned(struct request *request, struct count *count)
{
    if (!wrap(request, "select 1 ", "", &count->statement))
        return problem_send_status(request, STATUS_TOO_LARGE);
    return ask_plan(request, count, &count->statement);
}

/* Exact up to a threshold. */
static enum stage_verdict ask_some(struct request *request, struct count *count)
{
    char back[64];
    snprintf(back, sizeof(back), " limit %d) as \"sluice_some\"", ESTIMATED_EXACT + 1);
    if (!wrap(request, "select count(*) from (select 1 ", back, &count->statement))
        return problem_send_status(request, STATUS_TOO_LARGE);
    return ask_judged(request, count, &count->statement);
}

enum stage_verdict count_begin(struct request *request, struct count *count)
{
    struct read *read = request->handler_state;
    read->count = count;
    switch (read->prefer.count) {
    case PREFER_COUNT_NONE:
        break;
    case PREFER_COUNT_EXACT:
        return ask_judged(request, count, &read->select.count_statement);
    case PREFER_COUNT_PLANNED:
        return ask_planned(request, count);
    case PREFER_COUNT_ESTIMATED:
        return ask_some(request, count);
    }
    return STAGE_NEXT;
}

enum stage_verdict count_resume(struct request *request, struct count *count)
{
    const struct read *read = request->handler_state;
    if (read->status != STATUS_OK) {
        read_refuse(request, &read->error);
        return STAGE_DONE;
    }
    if (count->judged != NULL) {
        verdicts_keep(request->worker->verdicts, request->dataset, read_verdict_id(read, count->judged),
                      &count->planned);
        return judge(request, count);
    }
    if (!count->plans && read->prefer.count == PREFER_COUNT_ESTIMATED && count->counted > ESTIMATED_EXACT)
        return ask_planned(request, count);
    uint64_t planned = count->planned.known ? (uint64_t)count->planned.rows : 0;
    count->total = planned > count->counted ? planned : count->counted;
    count->known = true;
    return STAGE_NEXT;
}
