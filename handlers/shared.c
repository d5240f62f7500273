#include "handlers/shared.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/customer_names.h"
#include "api/customers.h"
#include "api/execute.h"
#include "api/problem.h"
#include "handlers/named.h"

/* The order is bytes', whatever the database's. What was dropped with SQL on its owner's login is left out. */
static const char list_sql[] =
    "select s.customer_id, c.relname, c.relkind::text, c.reltuples::text, pg_catalog.obj_description(c.oid, 'pg_class')"
    " from sluice.share s join pg_catalog.pg_namespace n on n.nspname = s.customer_id || '_analytics'"
    " join pg_catalog.pg_class c on c.relnamespace = n.oid and s.name = 'analytics.' || c.relname"
    " where s.reader_id = sluice.me() and s.customer_id <> sluice.me() and c.relkind in ('r', 'v', 'm', 'p')"
    " and not pg_catalog.starts_with(c.relname, '~')"
    " and ($1::text is null or (s.customer_id collate \"C\", c.relname::text collate \"C\") > ($1, $2::text))"
    " order by s.customer_id collate \"C\", c.relname::text collate \"C\" limit $3::bigint";
enum { OWNER, RELATION, KIND, ESTIMATE, DESCRIPTION };

size_t shared_index(const struct request *request)
{
    return request->worker->server->datasets.schema_count + NAMED_OWN_PLACES;
}

static void tell(struct request *request, const struct shared *shared, const struct postgres_rows *rows, size_t row)
{
    struct text owner = postgres_rows_value(rows, row, OWNER), kind = postgres_rows_value(rows, row, KIND),
                estimate = postgres_rows_value(rows, row, ESTIMATE);
    char prefix[CUSTOMER_NAME_MAX + 8];
    snprintf(prefix, sizeof(prefix), "shared.%.*s", TEXT_ARGS(owner));
    const struct datasets_place place = {.prefix = text_from_string(prefix), .index = shared_index(request)};
    struct datasets_listing listing = {.place = &place,
                                       .relation = postgres_rows_value(rows, row, RELATION),
                                       .description = postgres_rows_value(rows, row, DESCRIPTION),
                                       .kind = dataset_kind_of(kind.data[0]),
                                       .row_estimate = -1};
    if (listing.kind != DATASET_VIEW && estimate.data != NULL)
        listing.row_estimate = strtod(estimate.data, NULL);
    shared->on_share(request, &listing, owner);
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct request *request = context;
    struct shared *shared = request->executor;
    if (shared->step == SHARED_ROLE)
        shared->registered = postgres_rows_count(rows) != 0;
    for (size_t i = 0; shared->step == SHARED_LIST && i < postgres_rows_count(rows); i++)
        tell(request, shared, rows, i);
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct request *request = context;
    struct shared *shared = request->executor;
    execute_asked(request);
    shared->status = error == NULL ? STATUS_OK : error->status == STATUS_INVALID ? STATUS_FAILED : error->status;
    request_resume(request);
}

static enum stage_verdict ask(struct request *request, struct shared *shared, enum shared_step step,
                              struct postgres *lane, const char *sql, const struct text *values, size_t count)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct postgres_setting settings[NAMED_SETTINGS];
    struct postgres_statement *statement = arena_alloc(&request->arena, sizeof(*statement));
    bool as_customer = step == SHARED_LIST;
    if (statement == NULL || (as_customer && !named_settings(request, settings)))
        return problem_send_status(request, STATUS_TOO_LARGE);
    postgres_statement_init(statement, sql, count, NULL);
    const struct postgres_call call = {.statement = statement,
                                       .parameters = values,
                                       .settings = as_customer ? settings : NULL,
                                       .setting_count = as_customer ? NAMED_SETTINGS : 0,
                                       .whole = true};
    shared->step = step;
    request->executor = shared;
    enum status status = execute_ask(request, lane, &call, &handlers);
    return status == STATUS_OK ? STAGE_WAIT : problem_send_status(request, status);
}

/* A login that fails does not tell why: whether there is one is asked first. */
enum stage_verdict shared_begin(struct request *request, struct shared *shared)
{
    static const char sql[] = "select 1 from pg_catalog.pg_roles where rolname = $1 and rolcanlogin";
    struct customer_names names;
    if (request->worker->customers == NULL || !customer_names_of(request->principal->customer, &names))
        return STAGE_NEXT;
    const struct text role = text_from_string(names.role);
    return ask(request, shared, SHARED_ROLE, request->worker->describe, sql, &role, 1);
}

static enum stage_verdict ask_list(struct request *request, struct shared *shared)
{
    char limit[24];
    struct text name = shared->after, owner = name.data != NULL ? text_split(&name, '.') : TEXT_NONE;
    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)shared->limit);
    /* As the lane takes them: with a NUL behind. */
    const struct text values[] = {owner.data != NULL ? arena_copy(&request->arena, owner) : TEXT_NONE,
                                  owner.data != NULL && name.data != NULL ? arena_copy(&request->arena, name)
                                                                          : TEXT_NONE,
                                  text_from_string(limit)};
    return ask(request, shared, SHARED_LIST, customers_lane(request->worker->customers, request->principal->customer),
               list_sql, values, 3);
}

enum stage_verdict shared_resume(struct request *request)
{
    struct shared *shared = request->executor;
    if (shared->status != STATUS_OK)
        return problem_send_status(request, shared->status);
    if (shared->step == SHARED_LIST || !shared->registered)
        return STAGE_NEXT;
    return ask_list(request, shared);
}
