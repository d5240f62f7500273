/* A load's session: its settings, and its statements in as few round trips as their order allows. */
#include <stdio.h>

#include "upload/load_private.h"

/* What a role may have set for itself, and what our statements and COPY's text rest on. An answer means that the rows
 * are on disk: synchronous_commit. One statement, whose own names say their schema. */
#define SET(name, value) "pg_catalog.set_config('" name "', '" value "', false), "
static const char settings[] = "select " SET("search_path", "pg_catalog, pg_temp")
    SET("standard_conforming_strings", "on") SET("client_encoding", "UTF8") SET("DateStyle", "ISO, YMD")
        SET("IntervalStyle", "postgres") SET("TimeZone", "UTC") SET("synchronous_commit", "on")
            SET("row_security", "on") SET("statement_timeout", "0") SET("idle_in_transaction_session_timeout", "0")
                SET("default_tablespace", "") SET("default_table_access_method", "heap")
                    SET("transform_null_equals", "off") SET("client_min_messages", "warning") "current_user";
#undef SET

struct role {
    const char *name;
    bool same;
};

static void keep_role(void *context, const struct postgres_rows *rows)
{
    struct role *role = context;
    role->same =
        postgres_rows_count(rows) == 1 &&
        text_equal(postgres_rows_value(rows, 0, postgres_rows_columns(rows) - 1), text_from_string(role->name));
}

enum status load_session_open(const struct postgres_login *login, struct postgres_session **session,
                              struct failure *failure)
{
    struct role role = {login->user, false};
    enum status status = postgres_session_open(login, session, failure);
    if (status != STATUS_OK)
        return status;
    status = postgres_session_query(*session, settings, 0, NULL, keep_role, &role, failure);
    if (status == STATUS_OK && role.same)
        return STATUS_OK;
    postgres_session_close(*session);
    *session = NULL;
    if (status == STATUS_OK)
        return failure_set(failure, STATUS_FAILED, "the database took the login %s for somebody else", login->user);
    return status == STATUS_UNAVAILABLE ? status : STATUS_FAILED;
}

/* What waits (a lock, an index) ends when the load is told to end. */
static bool told_to_end(void *context)
{
    return load_is_cancelled(context);
}

enum status load_session_begin(struct load *load)
{
    const struct load_order *order = load->order;
    enum status status = STATUS_OK;
    load->session = order->session;
    if (load->session == NULL)
        status = load_session_open(order->login, &load->session, load->failure);
    if (status != STATUS_OK) /* a wrong password is ours, not the caller's */
        return status == STATUS_DENIED ? failure_set(load->failure, STATUS_FAILED, "%s", load->failure->message)
                                       : status;
    postgres_session_watch(load->session, told_to_end, load);
    load_queue(load, "begin isolation level read committed read write not deferrable");
    buffer_printf(&load->queue, "set local lock_timeout = %u;", load->order->lock_timeout_ms);
    return STATUS_OK;
}

void load_queue(struct load *load, const char *sql)
{
    buffer_append_string(&load->queue, sql);
    buffer_append_char(&load->queue, ';');
}

enum status load_send_queue(struct load *load)
{
    if (load->queue.size == 0 && !load->queue.failed)
        return STATUS_OK;
    const char *sql = buffer_c_string(&load->queue);
    enum status status =
        sql != NULL ? postgres_session_script(load->session, sql, load->failure) : load_out_of_memory(load);
    buffer_clear(&load->queue);
    return status == STATUS_OK ? status : load_words(load, status);
}

enum status load_run_sql(struct load *load, const char *sql, size_t parameter_count, const struct text *parameters,
                         void (*on_rows)(void *context, const struct postgres_rows *rows), void *context)
{
    if (parameter_count == 0 && on_rows == NULL)
        load_queue(load, sql);
    enum status status = load_send_queue(load);
    if (status != STATUS_OK || (parameter_count == 0 && on_rows == NULL))
        return status;
    status = postgres_session_query(load->session, sql, parameter_count, parameters, on_rows, context, load->failure);
    return status == STATUS_OK ? status : load_words(load, status);
}

enum status load_execute(struct load *load, size_t parameter_count, const struct text *parameters,
                         void (*on_rows)(void *context, const struct postgres_rows *rows), void *context)
{
    const char *sql = buffer_c_string(&load->sql);
    enum status status =
        sql != NULL ? load_run_sql(load, sql, parameter_count, parameters, on_rows, context) : load_out_of_memory(load);
    buffer_clear(&load->sql);
    return status;
}
