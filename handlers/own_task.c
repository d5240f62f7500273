#include "handlers/own_task.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

/* As the customer's lane has them, but that it may write; and the checked SQL is read as it was checked. */
static const char login_settings[] =
    "set search_path = ''; set standard_conforming_strings = on; set client_encoding = 'UTF8'; set DateStyle = 'ISO, "
    "MDY'; set IntervalStyle = 'postgres'; set TimeZone = 'UTC'; set bytea_output = 'hex'; set row_security = on; set "
    "transform_null_equals = off; set array_nulls = on; set backslash_quote = safe_encoding; set xmloption = content; "
    "set jit = off; set synchronous_commit = on; set default_tablespace = ''; set default_table_access_method = "
    "'heap'; set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off; set "
    "lock_timeout = '5s'; set idle_in_transaction_session_timeout = '60s'";
static const char login_check[] =
    "select session_user = current_user and not r.rolsuper and not r.rolbypassrls and not r.rolcreaterole and not "
    "r.rolcreatedb and not r.rolreplication from pg_catalog.pg_roles r where r.rolname = current_user and r.rolname = "
    "$1";

enum status own_task_fail(struct own_task *task, enum problem problem, const char *format, ...)
{
    va_list arguments;
    task->failed = true;
    task->problem = problem;
    va_start(arguments, format);
    vsnprintf(task->words, sizeof(task->words), format, arguments);
    va_end(arguments);
    return STATUS_INVALID;
}

enum status own_task_fail_status(struct own_task *task, enum status status)
{
    task->failed = task->is_status = true;
    task->status = status;
    return status;
}

enum status own_task_fail_sql(struct own_task *task, const struct relations_mistake *mistake)
{
    if (mistake->status != STATUS_INVALID)
        return own_task_fail_status(task, mistake->status);
    task->failed = task->is_sql = true;
    task->mistake = *mistake;
    if (mistake->sqlstate != NULL) {
        snprintf(task->sqlstate, sizeof(task->sqlstate), "%s", mistake->sqlstate);
        task->mistake.sqlstate = task->sqlstate;
    }
    return STATUS_INVALID;
}

static const char *state_of(const struct own_task *task)
{
    return postgres_session_error(task->session)->sqlstate;
}

bool own_task_has_state(const struct own_task *task, const char *sqlstate)
{
    return strncmp(state_of(task), sqlstate, strlen(sqlstate)) == 0;
}

enum status own_task_fail_statement(struct own_task *task, enum status status)
{
    if (own_task_has_state(task, "55P03") || own_task_has_state(task, "40"))
        return own_task_fail(task, PROBLEM_CONFLICT,
                             "something else holds it, or changed it in between; nothing was changed: send it again");
    if (own_task_has_state(task, "57014"))
        return own_task_fail_status(task, STATUS_TIMEOUT);
    if (status == STATUS_INVALID || status == STATUS_DENIED || status == STATUS_FAILED)
        log_event(LOG_ERROR, "analysis_failed", "customer %.*s: %s", TEXT_ARGS(task->relations.customer),
                  task->failure.message);
    return own_task_fail_status(task, status == STATUS_INVALID || status == STATUS_DENIED ? STATUS_FAILED : status);
}

enum status own_task_query(struct own_task *task, const char *sql, size_t parameter_count,
                           const struct text *parameters,
                           void (*on_rows)(void *context, const struct postgres_rows *rows), void *context)
{
    enum status status =
        postgres_session_query(task->session, sql, parameter_count, parameters, on_rows, context, &task->failure);
    return status == STATUS_OK ? STATUS_OK : own_task_fail_statement(task, status);
}

enum status own_task_try(struct own_task *task, const char *sql)
{
    return postgres_session_query(task->session, sql, 0, NULL, NULL, NULL, &task->failure);
}

enum status own_task_fail_checked(struct own_task *task, const struct sql_checked *checked, enum status status)
{
    struct relations_mistake mistake;
    if (state_of(task)[0] == '\0' || own_task_has_state(task, "40") || own_task_has_state(task, "55P03"))
        return own_task_fail_statement(task, status);
    relations_failed(checked, status, state_of(task), task->failure.message, &mistake);
    return mistake.status == STATUS_INVALID ? own_task_fail_sql(task, &mistake) : own_task_fail_statement(task, status);
}

enum status own_task_query_checked(struct own_task *task, const struct sql_checked *checked, struct text sql,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows), void *context)
{
    enum status status = postgres_session_query(task->session, sql.data, 0, NULL, on_rows, context, &task->failure);
    return status == STATUS_OK ? STATUS_OK : own_task_fail_checked(task, checked, status);
}

/* On the thread. */

static bool told_to_end(void *context)
{
    struct own_task *task = context;
    return !task->deaf && atomic_load(&task->task.task.cancelled);
}

static void keep_check(void *context, const struct postgres_rows *rows)
{
    *(bool *)context = postgres_rows_count(rows) == 1 && text_equal(postgres_rows_value(rows, 0, 0), TEXT("t"));
}

static enum status log_in(struct own_task *task)
{
    const struct server *server = task->server;
    struct postgres_resolved resolved;
    struct postgres_login reader;
    struct customer_login login;
    enum status status = server_login(server->config, &server->database_password, &resolved, &reader, &task->failure);
    if (status != STATUS_OK)
        return own_task_fail_status(task, STATUS_UNAVAILABLE);
    customers_login(&reader, buffer_text(&server->login_key), task->relations.customer, &login);
    status = postgres_session_open(&login.login, &task->session, &task->failure);
    if (status == STATUS_DENIED)
        log_event(LOG_WARNING, "customer_login_refused", "%s", task->failure.message);
    if (status == STATUS_DENIED)
        return own_task_fail(task, PROBLEM_UNREGISTERED,
                             "data of one's own are for registered customers, and the token's customer is none; the "
                             "operator registers one with `sluice customer add`");
    if (status != STATUS_OK)
        return own_task_fail_status(task, status);
    postgres_session_watch(task->session, told_to_end, task);
    return STATUS_OK;
}

static enum status prepare(struct own_task *task)
{
    char timeout[64];
    bool good = false;
    const struct text role = text_from_string(task->relations.names.role);
    enum status status = postgres_session_script(task->session, login_settings, &task->failure);
    if (status == STATUS_OK) {
        snprintf(timeout, sizeof(timeout), "set statement_timeout = %u",
                 task->timeout_ms != 0 ? task->timeout_ms : task->server->config->customers.change_timeout_ms);
        status = postgres_session_script(task->session, timeout, &task->failure);
    }
    if (status != STATUS_OK)
        return own_task_fail_statement(task, status);
    status = own_task_query(task, login_check, 1, &role, keep_check, &good);
    if (status == STATUS_OK && !good) {
        log_event(LOG_ERROR, "customer_login_wrong", "the role %s is not what a customer's must be", role.data);
        return own_task_fail_status(task, STATUS_FAILED);
    }
    for (size_t i = 0; status == STATUS_OK && i < NAMED_SETTINGS; i++) {
        const struct text pair[] = {text_from_string(task->settings[i].name), task->settings[i].value};
        status = own_task_query(task, "select pg_catalog.set_config($1, $2, false)", 2, pair, NULL, NULL);
    }
    return status;
}

/* A COMMIT whose answer was lost may have happened: the caller may ask what there is now, and all that is done here may
 * be done again. */
static void carry_out(struct own_task *task)
{
    if (log_in(task) != STATUS_OK || prepare(task) != STATUS_OK ||
        own_task_query(task, "begin", 0, NULL, NULL, NULL) != STATUS_OK)
        return;
    task->change(task);
    if (!task->failed)
        (void)!own_task_query(task, "commit", 0, NULL, NULL, NULL);
}

void own_task_run(struct own_task *task)
{
    task->failed = task->is_status = task->is_sql = false;
    task->failure.message[0] = '\0';
    carry_out(task);
    if (task->failed)
        postgres_session_leave(task->session);
    else
        postgres_session_close(task->session);
    task->session = NULL;
}

static void run(struct task *of)
{
    own_task_run((struct own_task *)of);
}

/* On the loop. */

static void answer(struct request *request, struct own_task *task)
{
    static const char *const reasons[] = {[0] = "OK", [1] = "Created", [2] = "Accepted", [4] = "No Content"};
    struct respond_head head = {.status = task->code,
                                .reason = reasons[task->code % 100],
                                .content_type = TEXT("application/json"),
                                .cache_control = "no-store"};
    if (!task->task.task.started) {
        problem_send_status(request, STATUS_UNAVAILABLE);
    } else if (task->is_sql) {
        relations_refuse(request, &task->mistake, "/sql");
    } else if (task->is_status) {
        problem_send_status(request, task->status);
    } else if (task->failed) {
        problem_send(request, task->problem, "%s", task->words);
    } else {
        if (task->code == 204)
            head.content_type = TEXT_NONE;
        struct text body = task->answer.data != NULL ? arena_copy(&request->arena, task->answer) : TEXT("");
        if (body.data == NULL)
            problem_send_status(request, STATUS_TOO_LARGE);
        else
            respond_send(request, &head, body, NULL);
    }
}

static void on_done(struct request_task *of)
{
    struct own_task *task = (struct own_task *)of;
    if (task->ended != NULL)
        task->ended(task, of->request);
    if (of->request != NULL)
        answer(of->request, task);
    own_task_free(task);
}

static bool copy_settings(struct request *request, struct own_task *task)
{
    if (!named_settings(request, task->settings))
        return false;
    for (size_t i = 0; i < NAMED_SETTINGS; i++) {
        struct text value = task->settings[i].value;
        task->settings[i].value = arena_copy(&task->arena, value.data != NULL ? value : TEXT(""));
        if (task->settings[i].value.data == NULL)
            return false;
    }
    return true;
}

struct own_task *own_task_create(struct request *request, size_t size, void (*change)(struct own_task *task))
{
    struct own_task *task = calloc(1, size);
    if (task == NULL) {
        problem_send_status(request, STATUS_TOO_LARGE);
        return NULL;
    }
    arena_init(&task->arena, NULL, 0, OWN_TASK_ARENA);
    task->server = request->worker->server;
    task->change = change;
    enum status status = relations_of(request, &task->arena, &task->relations);
    if (status == STATUS_OK && !copy_settings(request, task))
        status = STATUS_TOO_LARGE;
    if (status == STATUS_OK)
        return task;
    if (status == STATUS_DENIED)
        relations_refuse_stranger(request);
    else
        problem_send_status(request, status);
    own_task_free(task);
    return NULL;
}

enum stage_verdict own_task_start(struct request *request, struct own_task *task)
{
    task->task.task.run = run;
    task->task.done = on_done;
    enum status status = request_task_start(request, &task->task);
    if (status != STATUS_OK) {
        own_task_free(task);
        return problem_send_status(request, status);
    }
    return STAGE_WAIT;
}

void own_task_free(struct own_task *task)
{
    arena_free(&task->arena);
    free(task);
}
