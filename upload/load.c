#include "upload/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/encoding.h"
#include "base/random.h"
#include "upload/load_private.h"

/* A file of fewer bytes (a guess) is loaded before the quota is looked at, which costs less than to look twice. */
#define QUOTA_FIRST ((size_t)1 << 20)

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
    /* "tuple concurrently updated", "could not open relation with OID": the catalog changed under a statement. */
    if (begins(state, "40") || strcmp(state, "XX000") == 0)
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
    if (status == STATUS_OK && spool_size(load->spool) >= QUOTA_FIRST)
        status = load_check_quota(load, true);
    if (status == STATUS_OK)
        status = load_rows(load);
    if (status == STATUS_OK)
        status = load_table_finish(load);
    if (status == STATUS_OK)
        status = load_record(load);
    return status == STATUS_OK && load->order->existing ? load_check_quota(load, false) : status;
}

/* From the first byte of this statement on the rows may be there: only the database's word counts. */
static enum status commit(struct load *load)
{
    postgres_session_watch(load->session, NULL, NULL);
    if (load_is_cancelled(load))
        return failure_set(load->failure, STATUS_UNAVAILABLE, "the load was told to end; send it again");
    enum status status = load_send_queue(load);
    if (status != STATUS_OK)
        return status;
    status = postgres_session_script(load->session, "commit", load->failure);
    if (status == STATUS_OK || (status != STATUS_UNAVAILABLE && !load_has_state(load, "")))
        return status == STATUS_OK ? status : load_words(load, status);
    return load_settle(load);
}

static enum status carry_out(struct load *load, load_answer make_answer, void *context)
{
    struct load_report *report = load->report;
    struct buffer answer;
    enum status status = load_idempotency_begin(load);
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
    struct failure spare = {0};
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
    buffer_init(&load.queue, LOAD_SQL_MAX);
    buffer_init(&load.copy, LOAD_ROW_MAX);
    buffer_init(&load.words, 4096);
    enum status status = check_order(&load);
    if (status == STATUS_OK)
        status = load_scan(&load);
    if (status == STATUS_OK)
        status = load_session_begin(&load);
    if (status == STATUS_OK)
        status = carry_out(&load, make_answer, context);
    if (load.session != NULL)
        postgres_session_watch(load.session, NULL, NULL);
    if (order->session == NULL && status != STATUS_OK)
        postgres_session_leave(load.session); /* its locks shall not be in the way of who sends it again */
    else if (order->session == NULL)
        postgres_session_close(load.session);
    spool_close(load.spool);
    spool_close(load.refused);
    buffer_free(&load.sql);
    buffer_free(&load.queue);
    buffer_free(&load.copy);
    buffer_free(&load.words);
    return status;
}
