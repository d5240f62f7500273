/* POST /v1/query/plan: how a dataset's address, or SQL of the caller's own, would be answered, without its rows. */
#include <jansson.h>

#include "api/execute.h"
#include "api/problem.h"
#include "base/encoding.h"
#include "base/json.h"
#include "handlers/handlers.h"
#include "handlers/own_sql.h"
#include "handlers/read.h"

static const char *const parameters[] = {NULL};

struct planned {
    struct read read;
};

static enum stage_verdict refuse_url(struct request *request)
{
    static const struct problem_mistake mistake = {
        .place = "body",
        .field = "/url",
        .message = "is no address of a dataset's rows; give path and query, as in /v1/datasets/weather_daily?limit=10"};
    return problem_send_mistake(request, PROBLEM_INVALID_BODY, &mistake);
}

/* "/v1/datasets/NAME?query" of the body, which the contract has checked already. */
static bool read_url(struct request *request, struct read *read)
{
    static const struct text front = {"/v1/datasets/", 13};
    json_t *body = json_loadb(request->h2o->entity.base, request->h2o->entity.len, 0, NULL);
    const json_t *member = json_object_get(body, "url");
    const char *url = json_string_value(member);
    struct text copy = url != NULL ? arena_copy(&request->arena, text_of(url, json_string_length(member))) : TEXT_NONE;
    json_decref(body);
    if (!text_starts_with(copy, front))
        return false;
    struct text rest = text_of(copy.data + front.size, copy.size - front.size), name = text_split(&rest, '?');
    char *decoded = arena_alloc(&request->arena, name.size + 1);
    size_t size;
    if (decoded == NULL || name.size == 0 || memchr(name.data, '/', name.size) != NULL ||
        !encoding_percent_decode(name, false, decoded, &size) || memchr(decoded, '\0', size) != NULL ||
        !text_is_utf8(text_of(decoded, size)))
        return false;
    read->named.name = text_of(decoded, size);
    read->query = rest;
    return true;
}

/* The contract has checked the members; which of them there are decides what request->handler_state is. */
static enum stage_verdict choose(struct request *request, bool *is_sql)
{
    static const struct problem_mistake mistake = {
        .place = "body", .field = "", .message = "needs either url, a dataset's address, or sql, a SELECT"};
    json_t *body = own_sql_body(request);
    if (body == NULL)
        return STAGE_DONE;
    bool url = json_object_get(body, "url") != NULL, rest = json_object_size(body) > 1;
    *is_sql = json_object_get(body, "sql") != NULL;
    json_decref(body);
    return *is_sql == url || (url && rest) ? problem_send_mistake(request, PROBLEM_INVALID_BODY, &mistake) : STAGE_NEXT;
}

static enum stage_verdict plan_sql(struct request *request)
{
    if (request->resumed)
        return own_sql_resume(request);
    struct own_sql *own = arena_calloc(&request->arena, 1, sizeof(*own));
    if (own == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    own->dry = true;
    return own_sql_begin(request, own);
}

static enum stage_verdict plan_url(struct request *request)
{
    if (request->resumed)
        return read_resume(request);
    struct planned *before = request->handler_state;
    struct planned *planned = arena_calloc(&request->arena, 1, sizeof(*planned));
    if (planned == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    planned->read.dry = true;
    if (before != NULL) {
        planned->read.plans = before->read.plans;
        planned->read.without_timezone = before->read.without_timezone;
    }
    if (!read_url(request, &planned->read))
        return refuse_url(request);
    return read_begin(request, &planned->read);
}

static enum stage_verdict plan(struct request *request)
{
    bool is_sql;
    if (choose(request, &is_sql) != STAGE_NEXT)
        return STAGE_DONE;
    return is_sql ? plan_sql(request) : plan_url(request);
}

static void append_figure(struct json *json, const char *key, bool known, double value)
{
    json_key(json, text_from_string(key));
    if (known)
        json_double(json, value);
    else
        json_nothing(json);
}

static void append_figures(struct json *json, const struct plan_estimate *estimate, const struct rules_budget *budget)
{
    json_key(json, TEXT("estimate"));
    json_open_object(json);
    append_figure(json, "cost", estimate->known, estimate->cost);
    append_figure(json, "rows", estimate->known, estimate->rows);
    append_figure(json, "bytes", estimate->known, estimate->bytes);
    json_close_object(json);
    json_key(json, TEXT("budget"));
    json_open_object(json);
    append_figure(json, "cost", budget->cost > 0, budget->cost);
    append_figure(json, "rows", budget->rows != 0, (double)budget->rows);
    append_figure(json, "bytes", budget->bytes != 0, (double)budget->bytes);
    json_close_object(json);
}

static void append_parameters(struct json *json, const struct plan *plan)
{
    json_key(json, TEXT("parameters"));
    json_open_array(json);
    for (size_t i = 0; i < plan->statement.parameter_count; i++) {
        uint32_t oid = plan->statement.parameter_types != NULL ? plan->statement.parameter_types[i] : 0;
        const struct type *type = type_builtin(oid);
        json_text(json, type != NULL ? type->name : TEXT("inferred"));
    }
    json_close_array(json);
}

static void append_plan(struct json *json, const struct request *request, const struct rules_budget *budget,
                        const char *verdict, struct text narrow)
{
    const struct plan *plan = &request->plan;
    json_open_object(json);
    json_field_string(json, "target", plan_target_name(plan->target));
    json_field_string(json, "lane", plan_lane_name(plan->lane));
    json_field_text(json, "relation", plan->relation);
    json_field_string(json, "sql", plan->statement.sql);
    append_parameters(json, plan);
    append_figures(json, &plan->estimate, budget);
    json_field_string(json, "cache", plan->cache == PLAN_CACHE_VERSION ? "version" : "none");
    json_field_string(json, "verdict", verdict);
    json_field_text(json, "narrow", strcmp(verdict, "runs") == 0 ? TEXT_NONE : narrow);
    json_close_object(json);
}

static const char *verdict_of(enum rules_excess excess, bool may_be_job)
{
    return excess == RULES_WITHIN ? "runs" : may_be_job ? "job" : "refused";
}

static enum stage_verdict execute(struct request *request)
{
    const struct own_sql *own = request->handler_state;
    const struct read *read = request->handler_state;
    bool is_sql = request->dataset == NULL; /* SQL reads relations, not a dataset */
    struct respond_head head = {.status = 200,
                                .reason = "OK",
                                .content_type = TEXT("application/json"),
                                .cache_control = "no-store",
                                .whole = true};
    struct text narrow = is_sql ? TEXT("filter by an indexed column, aggregate, or give a limit")
                                : rules_narrow(request->dataset, &read->select, &request->arena);
    respond_begin(request, &head, NULL);
    struct json json = json_writer(respond_buffer(&request->respond));
    const char *verdict =
        is_sql ? verdict_of(own->excess, own->job_excess == RULES_WITHIN) : verdict_of(read->excess, false);
    append_plan(&json, request, is_sql ? &own->budget : &read->budget, verdict, narrow);
    buffer_append_char(json.buffer, '\n');
    if (json.buffer->failed)
        return problem_send_status(request, STATUS_TOO_LARGE);
    respond_finish(request);
    return STAGE_DONE;
}

const struct handler handlers_plan_query = {"planQuery", parameters, plan, execute};
