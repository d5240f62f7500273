/* DELETE /v1/uploads/{dataset}: the table and all that is known of it, unless something reads it. */
#include <stdlib.h>

#include "api/problem.h"
#include "base/log.h"
#include "handlers/handlers.h"
#include "handlers/load_order.h"
#include "handlers/upload_name.h"

#define TOLD_MAX 20 /* dependents that are named */

enum { DATASET };
static const char *const parameters[] = {"dataset", NULL};

struct delete_task {
    struct request_task base; /* first */
    const struct server *server;
    struct customer_names names;
    char customer[CUSTOMER_NAME_MAX], relation[64];
    size_t customer_size, relation_size;
    struct postgres_session *session;
    bool registered, is_known;
    struct text kind; /* of the relation; TEXT_NONE: there is none */
    char readers[1024];
    size_t reader_count;
    enum status status;
    struct failure failure;
};

/* The lock that loads take, and whether there is something to delete. */
static const char known_sql[] = "select 1 from sluice.upload where name = $2 and $1 <> '' for update";
static const char table_sql[] = "select c.relkind from pg_catalog.pg_class c join pg_catalog.pg_namespace n"
                                " on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2";
/* Views, by what the database knows; tables that were made of it, by what they were made from. */
static const char readers_sql[] =
    "select distinct case n.nspname when $3 then 'uploads.' when $4 then 'analytics.' else n.nspname || '.' end ||"
    " v.relname from pg_catalog.pg_depend d join pg_catalog.pg_rewrite w on w.oid = d.objid"
    " join pg_catalog.pg_class v on v.oid = w.ev_class join pg_catalog.pg_namespace n on n.oid = v.relnamespace"
    " join pg_catalog.pg_class t on t.oid = d.refobjid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace"
    " where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass"
    " and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and tn.nspname = $1 and t.relname = $2 and v.oid "
    "<> t.oid"
    " union select 'analytics.' || name from sluice.analysis where made_as = 'table'"
    " and reads @> pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array($1::text, $2::text)) order by 1";

static void keep_known(void *context, const struct postgres_rows *rows)
{
    ((struct delete_task *)context)->is_known = postgres_rows_count(rows) != 0;
}

static void keep_kind(void *context, const struct postgres_rows *rows)
{
    struct delete_task *task = context;
    if (postgres_rows_count(rows) != 0)
        task->kind = text_equal(postgres_rows_value(rows, 0, 0), TEXT("r")) ? TEXT("table") : TEXT("other");
}

static void keep_readers(void *context, const struct postgres_rows *rows)
{
    struct delete_task *task = context;
    size_t at = 0;
    task->reader_count = postgres_rows_count(rows);
    for (size_t row = 0; row < task->reader_count && row < TOLD_MAX; row++) {
        struct text name = postgres_rows_value(rows, row, 0);
        size_t room = sizeof(task->readers) - at;
        if (name.size + 3 > room)
            break;
        at += (size_t)snprintf(task->readers + at, room, "%s%.*s", row != 0 ? ", " : "", TEXT_ARGS(name));
    }
}

static enum status query(struct delete_task *task, const char *sql, size_t count, const struct text *values,
                         void (*on_rows)(void *context, const struct postgres_rows *rows))
{
    enum status status = postgres_session_query(task->session, sql, count, values, on_rows, task, &task->failure);
    if (status == STATUS_OK || status == STATUS_UNAVAILABLE)
        return status;
    const char *state = postgres_session_error(task->session)->sqlstate;
    if (strcmp(state, "55P03") == 0)
        return failure_set(&task->failure, STATUS_CONFLICT,
                           "readers or a load hold uploads.%s for longer than %u ms; it is still there: send the "
                           "request again",
                           task->relation, task->server->config->uploads.lock_timeout_ms);
    if (strncmp(state, "40", 2) == 0)
        return failure_set(&task->failure, STATUS_CONFLICT,
                           "another change of uploads.%s came in between; it is still there: send the request again",
                           task->relation);
    if (strcmp(state, "2BP01") == 0)
        return failure_set(&task->failure, STATUS_CONFLICT,
                           "something else depends on uploads.%s (a foreign key, a function); drop that first",
                           task->relation);
    return STATUS_FAILED;
}

static enum status drop(struct delete_task *task, struct text schema, struct text relation)
{
    struct buffer sql;
    const struct text name[] = {schema, relation};
    enum status status = STATUS_OK;
    if (task->kind.data != NULL) {
        buffer_init(&sql, 4096);
        buffer_append_literal(&sql, "drop table ");
        postgres_append_identifier(&sql, schema);
        buffer_append_char(&sql, '.');
        postgres_append_identifier(&sql, relation);
        const char *words = buffer_c_string(&sql);
        status = words != NULL ? query(task, words, 0, NULL, NULL) : STATUS_TOO_LARGE;
        buffer_free(&sql);
    }
    if (status == STATUS_OK)
        status = query(task, "delete from sluice.quarantine where name = $2 and $1 <> ''", 2, name, NULL);
    if (status == STATUS_OK)
        status = query(
            task, "delete from sluice.share where name = 'uploads.' || $2 and customer_id = sluice.me() and $1 <> ''",
            2, name, NULL);
    if (status == STATUS_OK)
        status = query(task, "delete from sluice.upload where name = $2 and $1 <> ''", 2, name, NULL);
    return status == STATUS_OK ? query(task, "select sluice.raise_own($1, $2)", 2, name, NULL) : status;
}

static enum status carry_out(struct delete_task *task)
{
    char timeout[64];
    struct text schema = text_from_string(task->names.uploads), relation = text_of(task->relation, task->relation_size);
    const struct text values[] = {schema, relation, schema, text_from_string(task->names.analytics)};
    snprintf(timeout, sizeof(timeout), "set local lock_timeout = %u", task->server->config->uploads.lock_timeout_ms);
    enum status status = query(task, "begin read write", 0, NULL, NULL);
    if (status == STATUS_OK)
        status = query(task, timeout, 0, NULL, NULL);
    if (status == STATUS_OK)
        status = query(task, known_sql, 2, values, keep_known);
    if (status == STATUS_OK)
        status = query(task, table_sql, 2, values, keep_kind);
    if (status == STATUS_OK && (text_equal(task->kind, TEXT("other")) || (!task->is_known && task->kind.data == NULL)))
        return STATUS_NOT_FOUND;
    if (status == STATUS_OK)
        status = query(task, readers_sql, 4, values, keep_readers);
    if (status == STATUS_OK && task->reader_count != 0)
        return failure_set(&task->failure, STATUS_CONFLICT, "%s read%s uploads.%s; delete %s first", task->readers,
                           task->reader_count == 1 ? "s" : "", task->relation, task->reader_count == 1 ? "it" : "them");
    if (status == STATUS_OK)
        status = drop(task, schema, relation);
    return status == STATUS_OK && !atomic_load(&task->base.task.cancelled) ? query(task, "commit", 0, NULL, NULL)
                                                                           : status;
}

static void run(struct task *base)
{
    struct delete_task *task = (struct delete_task *)base;
    struct postgres_resolved resolved;
    struct customer_login login;
    struct postgres_login host;
    task->status = load_order_login(task->server, &resolved, &host, &task->failure);
    if (task->status != STATUS_OK)
        return;
    customers_login(&host, buffer_text(&task->server->login_key), text_of(task->customer, task->customer_size), &login);
    task->status = postgres_session_open(&login.login, &task->session, &task->failure);
    if (task->status != STATUS_OK)
        return;
    task->registered = true;
    task->status = carry_out(task);
    if (task->status == STATUS_OK)
        postgres_session_close(task->session);
    else
        postgres_session_leave(task->session);
}

static void done(struct request_task *base)
{
    static const struct respond_head head = {.status = 204, .reason = "No Content", .cache_control = "no-store"};
    struct delete_task *task = (struct delete_task *)base;
    struct request *request = base->request;
    enum status status = base->task.started ? task->status : STATUS_UNAVAILABLE;
    if (status == STATUS_FAILED || status == STATUS_UNAVAILABLE)
        log_event(LOG_WARNING, "delete_failed", "%.*s: uploads.%s: %s", (int)task->customer_size, task->customer,
                  task->relation, task->failure.message);
    if (request == NULL)
        ;
    else if (status == STATUS_OK)
        respond_send(request, &head, TEXT_NONE, NULL);
    else if (status == STATUS_NOT_FOUND || (status == STATUS_DENIED && !task->registered))
        problem_send(request, PROBLEM_NOT_FOUND,
                     "no upload of this name is there for this caller; GET /v1/uploads lists those that are");
    else if (status == STATUS_CONFLICT)
        problem_send(request, PROBLEM_CONFLICT, "%s", task->failure.message);
    else
        problem_send_status(request, status);
    free(task);
}

static enum stage_verdict execute(struct request *request)
{
    struct upload_name name;
    if (upload_name_find(request, request_value(request, DATASET)->text, &name) != STAGE_NEXT)
        return STAGE_DONE;
    struct delete_task *task = calloc(1, sizeof(*task));
    struct text customer = request->principal->customer;
    if (task == NULL || name.relation.size >= sizeof(task->relation) || customer.size > sizeof(task->customer)) {
        free(task);
        return problem_send_status(request, STATUS_TOO_LARGE);
    }
    task->base.task.run = run;
    task->base.done = done;
    task->server = request->worker->server;
    task->names = name.names;
    memcpy(task->customer, customer.data, customer.size);
    memcpy(task->relation, name.relation.data, name.relation.size);
    task->customer_size = customer.size;
    task->relation_size = name.relation.size;
    request->plan = (struct plan){.target = PLAN_UPLOAD, .lane = PLAN_COPY, .relation = name.dataset};
    request->has_plan = true;
    enum status status = request_task_start(request, &task->base);
    if (status == STATUS_OK)
        return STAGE_WAIT;
    free(task);
    return problem_send_status(request, status);
}

const struct handler handlers_delete_upload = {"deleteUpload", parameters, NULL, execute};
