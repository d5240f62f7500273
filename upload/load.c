#include "upload/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/encoding.h"
#include "base/random.h"
#include "upload/load_private.h"

#define SETTINGS_MAX 64   /* names and values */
#define WATCH_NS 50000000 /* how often a load looks whether it was told to end while it waits for the database */

const char *load_mode_name(enum load_mode mode)
{
    static const char *const names[] = {"replace", "append", "upsert"};
    return names[mode];
}

bool load_is_cancelled(const struct load *load)
{
    return (load->cancelled != NULL && atomic_load_explicit(load->cancelled, memory_order_relaxed)) ||
           (load->environment->stopping != NULL &&
            atomic_load_explicit(load->environment->stopping, memory_order_relaxed));
}

enum status load_out_of_memory(struct load *load)
{
    return failure_set(load->failure, STATUS_TOO_LARGE, "the load needs more memory than it may take");
}

enum status load_blame(struct load *load, uint64_t line, struct text column, const char *format, ...)
{
    char words[sizeof(load->failure->message)];
    va_list list;
    va_start(list, format);
    vsnprintf(words, sizeof(words), format, list);
    va_end(list);
    load->report->line = line;
    load->report->column = column.data != NULL ? arena_copy(load->report->arena, column) : TEXT_NONE;
    return failure_set(load->failure, STATUS_INVALID, "%s", words);
}

/* Control characters would break lines of logs; a cut goes between characters. */
const char *load_cut(struct load *load, struct text text)
{
    struct text rest = text;
    size_t count = 0;
    buffer_clear(&load->words);
    while (rest.size != 0 && count < LOAD_VALUE_TOLD) {
        bool valid;
        size_t size = text_utf8_sequence(rest, &valid);
        bool shown = valid && (unsigned char)rest.data[0] >= 0x20 && rest.data[0] != 0x7F;
        buffer_append(&load->words, shown ? rest.data : "?", shown ? size : 1);
        rest = text_of(rest.data + size, rest.size - size);
        count++;
    }
    if (rest.size != 0)
        buffer_append_literal(&load->words, "…");
    const char *words = buffer_c_string(&load->words);
    return words != NULL ? words : "";
}

bool load_has_state(const struct load *load, const char *sqlstate)
{
    return strcmp(postgres_session_error(load->session)->sqlstate, sqlstate) == 0;
}

static bool begins(const char *state, const char *with)
{
    return strncmp(state, with, strlen(with)) == 0;
}

enum status load_words(struct load *load, enum status status)
{
    char words[sizeof(load->failure->message)];
    const char *state = postgres_session_error(load->session)->sqlstate;
    if (load_is_cancelled(load))
        return failure_set(load->failure, STATUS_UNAVAILABLE, "the load was told to end; send it again");
    if (status == STATUS_UNAVAILABLE || state[0] == '\0')
        return status;
    snprintf(words, sizeof(words), "%.300s", load->failure != NULL ? load->failure->message : "");
    if (strcmp(state, "55P03") == 0)
        return failure_set(load->failure, STATUS_CONFLICT,
                           "%.*s is held by something else for longer than %u ms; nothing was changed: send the load "
                           "again",
                           TEXT_ARGS(load->order->dataset), load->order->lock_timeout_ms);
    if (begins(state, "40"))
        return failure_set(load->failure, STATUS_CONFLICT,
                           "another change of %.*s came in between; nothing was changed: send the load again",
                           TEXT_ARGS(load->order->dataset));
    if (begins(state, "53"))
        return failure_set(load->failure, STATUS_UNAVAILABLE, "the database has no room left: %s", words);
    if (begins(state, "57"))
        return failure_set(load->failure, STATUS_UNAVAILABLE, "the database ended the load: %s; send it again", words);
    if (begins(state, "22") || begins(state, "23"))
        return failure_set(load->failure, STATUS_INVALID, "%s; nothing was loaded", words);
    return failure_set(load->failure, STATUS_FAILED, "%s", words);
}

enum status load_run_sql(struct load *load, const char *sql, size_t parameter_count, const struct text *parameters,
                         void (*on_rows)(void *context, const struct postgres_rows *rows), void *context)
{
    enum status status =
        postgres_session_query(load->session, sql, parameter_count, parameters, on_rows, context, load->failure);
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

void load_append_name(struct load *load, struct text schema, struct text name)
{
    postgres_append_identifier(&load->sql, schema);
    buffer_append_char(&load->sql, '.');
    postgres_append_identifier(&load->sql, name);
}

void load_append_target(struct load *load)
{
    load_append_name(load, load->order->schema, load->order->relation);
}

void load_append_staging(struct load *load)
{
    load_append_name(load, load->temporary ? TEXT("pg_temp") : load->order->schema, text_from_string(load->staging));
}

void load_keep_value(void *context, const struct postgres_rows *rows)
{
    struct load_value *value = context;
    value->rows = postgres_rows_count(rows);
    struct text text = value->rows != 0 ? postgres_rows_value(rows, 0, 0) : TEXT_NONE;
    value->value = text.data != NULL ? arena_copy(value->arena, text) : TEXT_NONE;
}

/* A statement that waits (a lock, an index) sees no flag: this thread does. */
static void *watch(void *context)
{
    struct load *load = context;
    pthread_mutex_lock(&load->lock);
    while (!load->over) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&load->changed, &load->lock, &until);
        if (!load->over && load_is_cancelled(load)) {
            postgres_session_interrupt(load->session);
            break;
        }
    }
    pthread_mutex_unlock(&load->lock);
    return NULL;
}

static void begin_watch(struct load *load)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&load->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&load->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    load->watched = pthread_create(&load->watcher, NULL, watch, load) == 0;
}

/* After this nothing interrupts the session any more: a COMMIT is waited for. */
static void end_watch(struct load *load)
{
    if (!load->watched)
        return;
    pthread_mutex_lock(&load->lock);
    load->over = true;
    pthread_cond_signal(&load->changed);
    pthread_mutex_unlock(&load->lock);
    pthread_join(load->watcher, NULL);
    pthread_cond_destroy(&load->changed);
    pthread_mutex_destroy(&load->lock);
    load->watched = false;
}

/* What a role may have set for itself, and what our statements and COPY's text rest on. An answer means that the rows
 * are on disk: synchronous_commit. */
static const char *const settings[] = {"search_path",
                                       "pg_catalog, pg_temp",
                                       "standard_conforming_strings",
                                       "on",
                                       "client_encoding",
                                       "UTF8",
                                       "DateStyle",
                                       "ISO, YMD",
                                       "IntervalStyle",
                                       "postgres",
                                       "TimeZone",
                                       "UTC",
                                       "synchronous_commit",
                                       "on",
                                       "row_security",
                                       "on",
                                       "statement_timeout",
                                       "0",
                                       "idle_in_transaction_session_timeout",
                                       "0",
                                       "default_tablespace",
                                       "",
                                       "default_table_access_method",
                                       "heap",
                                       "transform_null_equals",
                                       "off",
                                       "client_min_messages",
                                       "warning",
                                       NULL};

/* In one round trip. */
static enum status apply(struct load *load, const char *const *pairs)
{
    struct text parameters[SETTINGS_MAX];
    size_t count = 0;
    while (pairs != NULL && pairs[count] != NULL && pairs[count + 1] != NULL) {
        if (count + 2 > SETTINGS_MAX)
            return failure_set(load->failure, STATUS_FAILED, "a load's session has too many settings");
        buffer_append_string(&load->sql, count == 0 ? "select " : ", ");
        buffer_printf(&load->sql, "pg_catalog.set_config($%zu, $%zu, false)", count + 1, count + 2);
        parameters[count] = text_from_string(pairs[count]);
        parameters[count + 1] = text_from_string(pairs[count + 1]);
        count += 2;
    }
    return count == 0 ? STATUS_OK : load_execute(load, count, parameters, NULL, NULL);
}

static enum status log_in(struct load *load)
{
    struct load_value value = {.arena = load->report->arena};
    enum status status = postgres_session_open(load->order->login, &load->session, load->failure);
    if (status != STATUS_OK) /* a wrong password is ours, not the caller's */
        return status == STATUS_DENIED && load->failure != NULL
                   ? failure_set(load->failure, STATUS_FAILED, "%s", load->failure->message)
                   : status;
    begin_watch(load);
    status = apply(load, settings);
    if (status == STATUS_OK)
        status = apply(load, load->order->settings);
    if (status == STATUS_OK)
        status = load_run_sql(load, "select current_user", 0, NULL, load_keep_value, &value);
    if (status == STATUS_OK && !text_equal(value.value, text_from_string(load->order->login->user)))
        return failure_set(load->failure, STATUS_FAILED, "the database took the login %s for somebody else",
                           load->order->login->user);
    return status;
}

static enum status begin(struct load *load)
{
    struct load_value value = {.arena = load->report->arena};
    enum status status =
        load_run_sql(load, "begin isolation level read committed read write not deferrable", 0, NULL, NULL, NULL);
    if (status != STATUS_OK)
        return status;
    buffer_printf(&load->sql, "set local lock_timeout = %u", load->order->lock_timeout_ms);
    status = load_execute(load, 0, NULL, NULL, NULL);
    if (status == STATUS_OK)
        status = load_run_sql(load, "select pg_catalog.pg_current_xact_id()", 0, NULL, load_keep_value, &value);
    snprintf(load->transaction, sizeof(load->transaction), "%.*s", TEXT_ARGS(value.value));
    return status;
}

static enum status make_columns(struct load *load)
{
    if (!load->order->existing)
        return load_columns_new(load);
    enum status status = load_record_lock(load);
    return status == STATUS_OK ? load_columns_existing(load) : status;
}

static enum status fill(struct load *load)
{
    enum status status = make_columns(load);
    if (status == STATUS_OK)
        status = load_check_quota(load, true);
    if (status == STATUS_OK)
        status = load_table_prepare(load);
    if (status == STATUS_OK)
        status = load_copy(load);
    if (status == STATUS_OK)
        status = load_table_finish(load);
    if (status == STATUS_OK)
        status = load_record(load);
    return status == STATUS_OK ? load_check_quota(load, false) : status;
}

/* From the first byte of this statement on the rows may be there: only the database's word counts. */
static enum status commit(struct load *load)
{
    end_watch(load);
    if (load_is_cancelled(load))
        return failure_set(load->failure, STATUS_UNAVAILABLE, "the load was told to end; send it again");
    enum status status = postgres_session_script(load->session, "commit", load->failure);
    if (status == STATUS_OK || (status != STATUS_UNAVAILABLE && !load_has_state(load, "")))
        return status == STATUS_OK ? status : load_words(load, status);
    return load_settle(load);
}

static enum status carry_out(struct load *load, load_answer make_answer, void *context)
{
    struct load_report *report = load->report;
    struct buffer answer;
    enum status status = begin(load);
    if (status == STATUS_OK)
        status = load_idempotency_begin(load);
    if (status != STATUS_OK || report->replayed)
        return status;
    status = fill(load);
    if (status != STATUS_OK)
        return status;
    buffer_init(&answer, LOAD_SQL_MAX);
    status = make_answer(context, report, &answer);
    if (status == STATUS_OK) {
        report->answer = arena_copy(report->arena, buffer_text(&answer));
        if (answer.failed || report->answer.data == NULL)
            status = load_out_of_memory(load);
    }
    buffer_free(&answer);
    if (status == STATUS_OK)
        status = load_idempotency_end(load, report->answer);
    return status == STATUS_OK ? commit(load) : status;
}

static enum status check_order(struct load *load)
{
    const struct load_order *order = load->order;
    if (order->mode == LOAD_UPSERT && !order->existing && order->key_count == 0)
        return load_blame(load, 0, TEXT_NONE, "an upsert needs key=, the columns that name a row");
    if (order->partition_count != 0 && (order->mode != LOAD_REPLACE || !order->existing))
        return load_blame(load, 0, TEXT_NONE,
                          "a partition is for mode=replace of a table that stands; leave the filters out");
    if (order->existing && order->type_count != 0)
        return load_blame(load, 0, TEXT_NONE, "types are told for a table that is made; %.*s has its own",
                          TEXT_ARGS(order->dataset));
    return STATUS_OK;
}

enum status load_run(const struct load_environment *environment, const struct load_order *order, struct body *body,
                     const atomic_bool *cancelled, load_answer make_answer, void *context, struct load_report *report,
                     struct failure *failure)
{
    struct load_order own = *order; /* its key may become the table's own */
    struct failure spare;
    struct load load = {.environment = environment,
                        .order = &own,
                        .body = body,
                        .cancelled = cancelled,
                        .report = report,
                        .failure = failure != NULL ? failure : &spare};
    unsigned char random[8];
    random_bytes(random, sizeof(random));
    memcpy(load.staging, LOAD_STAGING, sizeof(LOAD_STAGING) - 1);
    encoding_hex(random, sizeof(random), load.staging + sizeof(LOAD_STAGING) - 1);
    buffer_init(&load.sql, LOAD_SQL_MAX);
    buffer_init(&load.copy, LOAD_ROW_MAX);
    buffer_init(&load.words, 4096);
    enum status status = check_order(&load);
    if (status == STATUS_OK)
        status = load_scan(&load);
    if (status == STATUS_OK)
        status = log_in(&load);
    if (status == STATUS_OK)
        status = carry_out(&load, make_answer, context);
    end_watch(&load);
    postgres_session_close(load.session); /* an open transaction ends with it */
    spool_close(load.spool);
    spool_close(load.refused);
    buffer_free(&load.sql);
    buffer_free(&load.copy);
    buffer_free(&load.words);
    return status;
}
