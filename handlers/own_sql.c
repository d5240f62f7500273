#include "handlers/own_sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/customers.h"
#include "api/execute.h"
#include "api/problem.h"
#include "base/json.h"
#include "base/log.h"
#include "handlers/named.h"
#include "query/own_views.h"
#include "query/verdicts.h"

#define SQL_CEILING ((size_t)256 << 10) /* deparsed, it grows */
#define NUMBER_SIZE 40

static enum stage_verdict refuse_value(struct request *request, const char *field, const char *format, ...)
    PRINTF_LIKE(3, 4);

static enum stage_verdict refuse_value(struct request *request, const char *field, const char *format, ...)
{
    char words[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    const struct problem_mistake mistake = {.place = "body", .field = field, .message = words};
    return problem_send_mistake(request, PROBLEM_INVALID_BODY, &mistake);
}

json_t *own_sql_body(struct request *request)
{
    json_t *body = json_loadb(request->h2o->entity.base, request->h2o->entity.len, 0, NULL);
    if (body == NULL) /* the contract's validator takes numbers of any size */
        refuse_value(request, "", "holds a number past 64 bits, or a text with a NUL; send such a number as a text");
    return body;
}

struct text own_sql_member(struct arena *arena, const json_t *body, const char *name)
{
    const json_t *member = json_object_get(body, name);
    return json_is_string(member) ? arena_copy(arena, text_of(json_string_value(member), json_string_length(member)))
                                  : TEXT_NONE;
}

/* Parameters. */

/* As text, in the arena; the server infers the type. False: it is no scalar. */
static bool read_value(struct arena *arena, const json_t *value, struct text *out)
{
    char number[NUMBER_SIZE];
    *out = TEXT_NONE;
    if (value == NULL || json_is_array(value) || json_is_object(value))
        return false;
    if (json_is_string(value))
        *out = arena_copy(arena, text_of(json_string_value(value), json_string_length(value)));
    else if (json_is_boolean(value))
        *out = json_is_true(value) ? TEXT("true") : TEXT("false");
    else if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        *out = arena_copy(arena, text_from_string(number));
    } else if (json_is_real(value)) {
        struct buffer digits;
        buffer_init_on(&digits, number, sizeof(number), sizeof(number));
        json_append_double(&digits, json_real_value(value));
        *out = arena_copy(arena, buffer_text(&digits));
    }
    return json_is_null(value) || out->data != NULL;
}

static enum stage_verdict read_named(struct request *request, struct own_sql *own, const json_t *given)
{
    const char *name;
    const json_t *value;
    for (size_t i = 0; i < own->checked.parameter_count; i++) {
        struct text wanted = own->checked.parameters[i];
        value = json_object_getn(given, wanted.data, wanted.size);
        if (value == NULL)
            return refuse_value(request, "/parameters", "has no value for the parameter :%.*s of the SQL",
                                TEXT_ARGS(wanted));
        if (!read_value(&request->arena, value, &own->values[i]))
            return refuse_value(request, "/parameters",
                                "the value of %.*s is no scalar: give a text, a number, true, "
                                "false or null; a list as PostgreSQL writes it, '{1,2}'",
                                TEXT_ARGS(wanted));
    }
    json_object_foreach((json_t *)(uintptr_t)given, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < own->checked.parameter_count; i++)
            known = known || text_equal(own->checked.parameters[i], text_from_string(name));
        if (!known)
            return refuse_value(request, "/parameters", "the SQL has no parameter :%.100s", name);
    }
    return STAGE_NEXT;
}

static enum stage_verdict read_positional(struct request *request, struct own_sql *own, const json_t *given)
{
    if (json_array_size(given) != own->checked.parameter_count)
        return refuse_value(request, "/parameters", "has %zu values, and the SQL wants %zu", json_array_size(given),
                            own->checked.parameter_count);
    for (size_t i = 0; i < own->checked.parameter_count; i++)
        if (!read_value(&request->arena, json_array_get(given, i), &own->values[i]))
            return refuse_value(request, "/parameters",
                                "value %zu is no scalar: give a text, a number, true, false or "
                                "null; a list as PostgreSQL writes it, '{1,2}'",
                                i + 1);
    return STAGE_NEXT;
}

static enum stage_verdict read_parameters(struct request *request, struct own_sql *own, const json_t *given)
{
    size_t count = own->checked.parameter_count;
    bool named = count != 0 && own->checked.parameters[0].data != NULL;
    own->values = arena_calloc(&request->arena, count + 1, sizeof(*own->values));
    if (own->values == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    if (count == 0 && json_array_size(given) == 0 && json_object_size(given) == 0)
        return STAGE_NEXT;
    if (json_is_object(given) && (named || count == 0))
        return read_named(request, own, given);
    if (json_is_array(given) && !named)
        return read_positional(request, own, given);
    return refuse_value(request, "/parameters",
                        named ? "the SQL names its parameters: give an object with a value for "
                                "each, without the colon"
                              : "the SQL numbers its parameters: give a list with a value for "
                                "each, $1 first");
}

/* The check. */

enum stage_verdict own_sql_check(struct request *request, struct relations *relations, struct text sql,
                                 struct arena *arena, struct sql_checked *checked)
{
    struct sql_check_mistake mistake = {0};
    struct relations_mistake told;
    enum status status = sql_check(sql, relations_resolve, relations, arena, checked, &mistake);
    if (status == STATUS_OK)
        return STAGE_NEXT;
    activity_count_sql_refused(request->worker->server->activity);
    relations_refused(relations, status, &mistake, &told);
    return relations_refuse(request, &told, "/sql");
}

static void read_page(const struct request *request, struct own_sql *own, const json_t *body)
{
    uint64_t page = request->allowance != NULL ? request->allowance->page : 0;
    const json_t *limit = json_object_get(body, "limit"), *offset = json_object_get(body, "offset");
    own->limit = json_is_integer(limit) ? (uint64_t)json_integer_value(limit) : UINT64_MAX;
    own->offset = json_is_integer(offset) ? (uint64_t)json_integer_value(offset) : 0;
    own->wanted = own->limit;
    own->capped = !own->later && page != 0 && own->limit > page;
    if (own->capped)
        own->limit = page;
}

/* The checked SQL, or a page of it. One row past the limit says whether there are more. */
static enum stage_verdict make_plan(struct request *request, struct own_sql *own)
{
    struct plan *plan = &request->plan;
    struct buffer sql;
    struct postgres_setting *settings = arena_calloc(&request->arena, NAMED_SETTINGS, sizeof(*settings));
    bool pages = own->limit != UINT64_MAX || own->offset != 0;
    buffer_init(&sql, SQL_CEILING);
    if (pages)
        buffer_append_literal(&sql, "select * from (");
    buffer_append_text(&sql, own->checked.sql);
    if (pages)
        buffer_append_literal(&sql, ") as sluice_page");
    if (own->limit != UINT64_MAX)
        buffer_printf(&sql, " limit %llu", (unsigned long long)own->limit + 1);
    if (own->offset != 0)
        buffer_printf(&sql, " offset %llu", (unsigned long long)own->offset);
    struct text kept = sql.failed ? TEXT_NONE : arena_copy(&request->arena, buffer_text(&sql));
    buffer_free(&sql);
    if (kept.data == NULL || settings == NULL || !named_settings(request, settings))
        return problem_send_status(request, STATUS_TOO_LARGE);
    *plan = (struct plan){.target = PLAN_ANALYTICS,
                          .lane = PLAN_CUSTOMER,
                          .cache = PLAN_CACHE_NONE,
                          .relation = TEXT("query"),
                          .parameters = own->values,
                          .settings = settings,
                          .setting_count = NAMED_SETTINGS,
                          .rows_at_most = own->limit < UINT64_MAX ? own->limit + 1 : 0};
    postgres_statement_init(&plan->statement, kept.data, own->checked.parameter_count, NULL);
    request->has_plan = true;
    return STAGE_NEXT;
}

/* Questions. */

static void on_role_rows(void *context, const struct postgres_rows *rows)
{
    struct own_sql *own = ((struct request *)context)->handler_state;
    own->registered = postgres_rows_count(rows) != 0;
    if (own->registered && !own->bare)
        own->refused =
            own_views_read(postgres_rows_value(rows, 0, 0), &((struct request *)context)->worker->server->datasets);
}

static void on_estimate_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    if (postgres_rows_count(rows) != 0 && verdicts_read(rows, &request->plan.estimate) != STATUS_OK)
        request->plan.estimate.known = false;
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct own_sql *own = request->handler_state;
    execute_asked(request);
    own->status = error != NULL ? error->status : STATUS_OK;
    if (error != NULL)
        own->error = *error;
    request_resume(request);
}

/* Roles are no secret to the reader, and a login that fails would not tell why. What the SQL reads of the caller's own
 * is asked at once: he may have made it with psql. */
static enum stage_verdict ask_role(struct request *request, struct own_sql *own)
{
    static const struct postgres_handlers handlers = {on_role_rows, on_done};
    static const char sql[] = "select 1 from pg_catalog.pg_roles where rolname = $1 and rolcanlogin";
    struct postgres_statement *statement = arena_alloc(&request->arena, sizeof(*statement));
    if (statement == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    struct text values[OWN_VIEWS_PARAMETERS] = {text_from_string(own->relations.names.role)};
    if (!own->bare && own_views_parameters(values[0], &own->checked, &request->arena, values) != STATUS_OK)
        return problem_send_status(request, STATUS_TOO_LARGE);
    postgres_statement_init(statement, own->bare ? sql : own_views_sql, own->bare ? 1 : OWN_VIEWS_PARAMETERS, NULL);
    const struct postgres_call call = {.statement = statement, .parameters = values, .whole = !own->bare};
    own->step = OWN_ROLE;
    enum status status = execute_ask(request, request->worker->describe, &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

static enum stage_verdict ask_estimate(struct request *request, struct own_sql *own)
{
    static const struct postgres_handlers handlers = {on_estimate_rows, on_done};
    const struct plan *plan = &request->plan;
    struct postgres_statement *explain = arena_alloc(&request->arena, sizeof(*explain));
    if (explain == NULL || verdicts_explain(&plan->statement, &request->arena, explain) != STATUS_OK)
        return problem_send_status(request, STATUS_TOO_LARGE);
    const struct postgres_call call = {.statement = explain,
                                       .parameters = plan->parameters,
                                       .settings = plan->settings,
                                       .setting_count = plan->setting_count,
                                       .whole = true};
    own->step = OWN_ESTIMATE;
    enum status status = execute_ask(request, execute_lane(request), &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

enum stage_verdict own_begin(struct request *request, struct own_sql *own)
{
    request->handler_state = own;
    own->bare = true;
    enum status status = relations_of(request, &request->arena, &own->relations);
    if (status == STATUS_DENIED)
        return relations_refuse_stranger(request);
    return status == STATUS_OK ? ask_role(request, own) : problem_send_status(request, status);
}

static bool keep_given(struct request *request, struct own_sql *own, struct text sql, const json_t *parameters)
{
    char *given = parameters != NULL && !json_is_null(parameters) ? json_dumps(parameters, JSON_COMPACT) : NULL;
    own->sql = sql;
    own->given = arena_copy(&request->arena, given != NULL ? text_from_string(given) : TEXT("[]"));
    free(given);
    return own->given.data != NULL;
}

static enum stage_verdict read_body(struct request *request, struct own_sql *own, const json_t *body)
{
    struct text sql = own_sql_member(&request->arena, body, "sql");
    if (sql.data == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    if (own_sql_check(request, &own->relations, sql, &request->arena, &own->checked) != STAGE_NEXT ||
        read_parameters(request, own, json_object_get(body, "parameters")) != STAGE_NEXT)
        return STAGE_DONE;
    read_page(request, own, body);
    if (own->kept && !keep_given(request, own, sql, json_object_get(body, "parameters")))
        return problem_send_status(request, STATUS_TOO_LARGE);
    return make_plan(request, own);
}

enum stage_verdict own_sql_begin(struct request *request, struct own_sql *own)
{
    request->handler_state = own;
    own->budget = relations_budget(request, false);
    own->job_budget = relations_budget(request, true);
    own->later = own->when == OWN_LATER;
    enum status status = relations_of(request, &request->arena, &own->relations);
    if (status == STATUS_DENIED)
        return relations_refuse_stranger(request);
    if (status != STATUS_OK)
        return problem_send_status(request, status);
    json_t *body = own_sql_body(request);
    if (body == NULL)
        return STAGE_DONE;
    enum stage_verdict verdict = read_body(request, own, body);
    json_decref(body);
    return verdict == STAGE_NEXT ? ask_role(request, own) : verdict;
}

static enum stage_verdict judge(struct request *request, struct own_sql *own)
{
    char words[320];
    const struct plan_estimate *estimate = &request->plan.estimate;
    own->step = OWN_PLANNED;
    own->excess = rules_judge(estimate, &own->budget);
    own->job_excess = rules_judge(estimate, &own->job_budget);
    if (!own->dry && !own->later && own->excess != RULES_WITHIN && own->when == OWN_NOW_OR_LATER) {
        own->later = true;
        if (own->capped) {
            /* All of its rows, which may cost more. */
            own->capped = false;
            own->limit = own->wanted;
            return make_plan(request, own) == STAGE_NEXT ? ask_estimate(request, own) : STAGE_DONE;
        }
    }
    if (own->dry ||
        !relations_over_budget(estimate, own->later ? &own->job_budget : &own->budget, words, sizeof(words)))
        return STAGE_NEXT;
    return problem_send(request, PROBLEM_OVER_BUDGET, "%s%s", own->later ? "as a job: " : "", words);
}

static enum stage_verdict refuse_own(struct request *request, struct own_sql *own)
{
    const struct sql_check_relation *one =
        &own->checked.relations[own->refused <= own->checked.relation_count ? own->refused - 1 : 0];
    struct relations_mistake told;
    own->relations.refused_schema = one->schema;
    own->relations.refused_name = one->name;
    relations_refused(&own->relations, STATUS_INVALID, &(struct sql_check_mistake){0}, &told);
    return relations_refuse(request, &told, "/sql");
}

enum stage_verdict own_sql_resume(struct request *request)
{
    struct own_sql *own = request->handler_state;
    if (own->step == OWN_ESTIMATE) {
        if (own->status == STATUS_OK)
            return judge(request, own);
        own_sql_refuse(request, &own->error);
        return STAGE_DONE;
    }
    if (own->status != STATUS_OK)
        return problem_send_status(request, own->status == STATUS_INVALID ? STATUS_FAILED : own->status);
    if (!own->registered)
        return relations_refuse_stranger(request);
    if (own->refused != 0)
        return refuse_own(request, own);
    return own->bare ? STAGE_NEXT : ask_estimate(request, own);
}

void own_sql_refuse(struct request *request, const struct postgres_error *error)
{
    const struct own_sql *own = request->handler_state;
    struct relations_mistake told;
    relations_failed(&own->checked, error->status, error->sqlstate, error->message, &told);
    if (told.status == STATUS_FAILED)
        log_event(LOG_ERROR, "query_failed", "request %s, SQL of %.*s: %s %s", request->id,
                  TEXT_ARGS(own->relations.customer), error->sqlstate, error->message);
    relations_refuse(request, &told, "/sql");
}
