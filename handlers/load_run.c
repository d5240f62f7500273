/* A load on its thread: who the customer is to the database, what stands there, and then load_run. */
#include "base/clock.h"
#include "handlers/load_order.h"

/* A customer's own limits and what stands under the name. Two loads that make the same table anew would each take the
 * other's rows away: the second one is told so, by a lock that goes with the session, and before the answer. */
static const char state[] =
    "select coalesce(c.quota_bytes, $3::bigint), coalesce(c.quota_relations, $4::bigint), r.relkind, case when "
    "r.relkind"
    "   is null then pg_catalog.pg_try_advisory_lock(1397507411, pg_catalog.hashtext($1 || '.' || $2)) end"
    "  from sluice.customer c left join (pg_catalog.pg_class r join pg_catalog.pg_namespace n"
    "    on n.oid = r.relnamespace and n.nspname = $1) on r.relname = $2";

struct found {
    bool registered, exists, is_table, locked;
    int64_t bytes, relations;
};

static void keep_state(void *context, const struct postgres_rows *rows)
{
    struct found *found = context;
    found->registered = postgres_rows_count(rows) == 1 &&
                        text_to_int64(postgres_rows_value(rows, 0, 0), &found->bytes) &&
                        text_to_int64(postgres_rows_value(rows, 0, 1), &found->relations);
    if (!found->registered)
        return;
    struct text kind = postgres_rows_value(rows, 0, 2);
    found->exists = kind.data != NULL;
    found->is_table = text_equal(kind, TEXT("r")) || text_equal(kind, TEXT("p"));
    found->locked = text_equal(postgres_rows_value(rows, 0, 3), TEXT("t"));
}

enum status load_order_login(const struct server *server, struct postgres_resolved *resolved,
                             struct postgres_login *login, struct failure *failure)
{
    static const struct buffer nothing;
    enum status status = server_login(server->config, &nothing, resolved, login, failure);
    login->user = NULL;
    return status;
}

static enum status ask_state(struct load_task *task, struct postgres_session *session, struct found *found)
{
    char bytes[24], relations[24];
    const struct load_order *order = &task->order;
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)order->quota_bytes);
    snprintf(relations, sizeof(relations), "%llu", (unsigned long long)order->quota_relations);
    const struct text parameters[] = {order->schema, order->relation, text_from_string(bytes),
                                      text_from_string(relations)};
    return postgres_session_query(session, state, 4, parameters, keep_state, found, &task->failure);
}

/* STATUS_OK with *found; `session` holds the name for a table that is made. */
static enum status look(struct load_task *task, struct postgres_session *session, struct found *found)
{
    enum status status = ask_state(task, session, found);
    if (status == STATUS_OK && found->locked) /* it may have come in between */
        status = ask_state(task, session, found);
    if (status != STATUS_OK)
        return status == STATUS_UNAVAILABLE ? status : STATUS_FAILED;
    task->registered = found->registered;
    if (!found->registered)
        return STATUS_DENIED;
    if (!found->exists && !found->locked)
        return failure_set(&task->failure, STATUS_CONFLICT,
                           "another load makes %.*s at this moment; send this one again when it has ended",
                           TEXT_ARGS(task->order.dataset));
    if (found->exists && !found->is_table)
        return failure_set(&task->failure, STATUS_CONFLICT,
                           "%.*s is no table (something else of that name was made with SQL); drop it, or load under "
                           "another name",
                           TEXT_ARGS(task->order.dataset));
    return STATUS_OK;
}

static enum status carry_out(struct load_task *task, const struct postgres_login *login)
{
    const struct config *config = task->server->config;
    struct load_environment environment = {.spool = task->server->spool};
    struct body_source source = task->source != NULL       ? *task->source
                                : task->connection != NULL ? ingest_source(task->connection)
                                                           : body_source_memory(&task->memory);
    struct body_limits limits = {.size = config->uploads.spool_size,
                                 .expanded = config->uploads.spool_size,
                                 .expansion = config->uploads.max_expansion};
    struct body *body;
    enum status status = body_open(&source, task->coding, &limits, task->digest, &body, &task->failure);
    if (status != STATUS_OK)
        return status;
    task->order.login = login;
    status = load_run(&environment, &task->order, body,
                      task->cancelled != NULL ? task->cancelled : &task->base.task.cancelled, load_order_answer, task,
                      &task->report, &task->failure);
    body_close(body);
    return status;
}

static enum status load_own(struct load_task *task)
{
    struct postgres_resolved resolved;
    struct customer_login login;
    struct postgres_login base;
    struct postgres_session *session = NULL;
    struct found found = {0};
    enum status status = load_order_login(task->server, &resolved, &base, &task->failure);
    if (status != STATUS_OK)
        return status;
    customers_login(&base, buffer_text(&task->server->login_key), task->customer, &login);
    status = load_session_open(&login.login, &session, &task->failure);
    if (status != STATUS_OK) /* refused: no such role */
        return status;
    status = look(task, session, &found);
    task->order.quota_bytes = (uint64_t)found.bytes;
    task->order.quota_relations = (uint64_t)found.relations;
    task->created = !found.exists;
    task->order.existing = found.exists && task->order.mode != LOAD_REPLACE;
    /* A customer has few connections, and a body from the network may take hours. */
    if (found.exists && task->connection != NULL && task->source == NULL) {
        postgres_session_close(session);
        session = NULL;
    }
    task->order.session = session;
    if (status == STATUS_OK)
        status = carry_out(task, &login.login);
    if (status != STATUS_OK || found.locked)
        postgres_session_leave(session);
    else
        postgres_session_close(session);
    return status;
}

static enum status load_warehouse(struct load_task *task)
{
    struct postgres_resolved resolved;
    struct postgres_login login;
    enum status status = load_order_login(task->server, &resolved, &login, &task->failure);
    if (status != STATUS_OK)
        return status;
    task->registered = true;
    login.user = task->server->config->database.writer_user;
    login.password = task->server->writer_password.size != 0 ? task->server->writer_password.data : NULL;
    return carry_out(task, &login);
}

void load_order_run(struct task *base)
{
    struct load_task *task = (struct load_task *)base;
    uint64_t began_us = clock_monotonic_us();
    task->status = task->customer.data != NULL ? load_own(task) : load_warehouse(task);
    const struct load_report *report = &task->report;
    activity_count_load(task->server->activity, &(struct activity_load){.warehouse = task->customer.data == NULL,
                                                                        .replayed = report->replayed,
                                                                        .status = task->status,
                                                                        .rows = report->rows,
                                                                        .bytes = report->raw_bytes,
                                                                        .quarantined = report->quarantined,
                                                                        .took_us = clock_monotonic_us() - began_us});
}
