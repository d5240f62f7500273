/* Idempotency-Key, kept in the load's own transaction; and what became of a transaction whose COMMIT had no answer. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "upload/load_private.h"

#define SETTLE_WAIT_US 15000000 /* a database that was killed is back by then, or nobody knows */
#define SETTLE_PAUSE_US 100000

static enum status make_parameters(struct load *load, struct text parameters[4])
{
    const struct load_order *order = load->order;
    struct arena *arena = load->report->arena;
    char digest[2 + 64] = "\\x";
    encoding_hex(load->report->digest, 32, digest + 2);
    parameters[0] = text_from_string(order->customer != NULL ? order->customer : "warehouse");
    parameters[1] = arena_copy(arena, order->idempotency.operation);
    parameters[2] = arena_copy(arena, order->idempotency.key);
    parameters[3] = arena_copy(arena, text_of(digest, sizeof(digest)));
    for (size_t i = 1; i < 4; i++)
        if (parameters[i].data == NULL)
            return load_out_of_memory(load);
    return STATUS_OK;
}

struct known {
    struct load *load;
    bool found, same;
    struct text answer;
};

static void keep_known(void *context, const struct postgres_rows *rows)
{
    struct known *known = context;
    known->found = postgres_rows_count(rows) == 1;
    if (!known->found)
        return;
    known->same = text_equal(postgres_rows_value(rows, 0, 0), TEXT("t"));
    known->answer = arena_copy(known->load->report->arena, postgres_rows_value(rows, 0, 1));
}

static enum status replay(struct load *load, const struct text *parameters)
{
    struct known known = {.load = load};
    enum status status = load_run_sql(load,
                                      "select digest = $4::bytea, answer from sluice.idempotency"
                                      " where owner = $1 and operation = $2 and key = $3",
                                      4, parameters, keep_known, &known);
    if (status != STATUS_OK)
        return status;
    if (!known.found)
        return failure_set(load->failure, STATUS_CONFLICT,
                           "the Idempotency-Key %s was given back by another load at this moment; send the load again",
                           load_cut(load, load->order->idempotency.key));
    if (!known.same)
        return failure_set(load->failure, STATUS_DENIED,
                           "the Idempotency-Key %s was used for another body within the last 24 hours; a key names one "
                           "load: send the same bytes, or take a new key",
                           load_cut(load, load->order->idempotency.key));
    if (known.answer.data == NULL)
        return load_out_of_memory(load);
    load->report->replayed = true;
    load->report->answer = known.answer;
    return STATUS_OK;
}

static void keep_count(void *context, const struct postgres_rows *rows)
{
    *(size_t *)context = postgres_rows_count(rows);
}

/* Old keys are forgotten, and the wait for a twin is set, in the round trip that begins the transaction. */
static enum status queue_begin(struct load *load, struct text owner)
{
    buffer_append_literal(&load->sql, "delete from sluice.idempotency where ctid = any (array(select ctid from"
                                      " sluice.idempotency where owner = ");
    postgres_append_literal(&load->sql, owner);
    buffer_append_literal(&load->sql, " and created_at < now() - interval '24 hours' limit 10000"
                                      " for update skip locked)); set local lock_timeout = '50ms'");
    const char *sql = buffer_c_string(&load->sql);
    if (sql != NULL)
        load_queue(load, sql);
    buffer_clear(&load->sql);
    return sql != NULL ? STATUS_OK : load_out_of_memory(load);
}

/* A twin that runs has inserted the key already: waiting for its end tells us, and not waiting long is the answer. */
enum status load_idempotency_begin(struct load *load)
{
    struct text parameters[4];
    size_t inserted = 0;
    if (load->order->idempotency.key.data == NULL)
        return STATUS_OK;
    enum status status = make_parameters(load, parameters);
    if (status == STATUS_OK)
        status = queue_begin(load, parameters[0]);
    if (status == STATUS_OK)
        status = load_run_sql(load,
                              "insert into sluice.idempotency (owner, operation, key, digest, answer)"
                              " values ($1, $2, $3, $4::bytea, '') on conflict do nothing returning 1",
                              4, parameters, keep_count, &inserted);
    if (status == STATUS_CONFLICT)
        return failure_set(load->failure, STATUS_CONFLICT,
                           "a load with the Idempotency-Key %s runs at this moment; wait for its end, then send this "
                           "one again for its answer",
                           load_cut(load, load->order->idempotency.key));
    if (status != STATUS_OK)
        return status;
    if (inserted == 0)
        return replay(load, parameters);
    buffer_printf(&load->queue, "set local lock_timeout = %u;", load->order->lock_timeout_ms);
    return STATUS_OK;
}

enum status load_idempotency_end(struct load *load, struct text answer)
{
    struct text parameters[4];
    if (load->order->idempotency.key.data == NULL)
        return STATUS_OK;
    enum status status = make_parameters(load, parameters);
    parameters[3] = arena_copy(load->report->arena, answer);
    if (parameters[3].data == NULL)
        return load_out_of_memory(load);
    return status == STATUS_OK ? load_run_sql(load,
                                              "update sluice.idempotency set answer = $4"
                                              " where owner = $1 and operation = $2 and key = $3",
                                              4, parameters, NULL, NULL)
                               : status;
}

static enum status open_again(struct load *load, struct postgres_session **session)
{
    uint64_t end = clock_monotonic_us() + SETTLE_WAIT_US;
    for (;;) {
        struct failure unused;
        enum status status = postgres_session_open(load->order->login, session, &unused);
        if (status == STATUS_OK || clock_monotonic_us() > end)
            return status;
        usleep(SETTLE_PAUSE_US);
    }
}

static enum status ask(struct load *load, struct postgres_session *session, struct load_value *value)
{
    const struct text transaction = text_from_string(load->transaction);
    struct failure unused;
    uint64_t end = clock_monotonic_us() + SETTLE_WAIT_US;
    for (;;) {
        value->value = TEXT_NONE;
        enum status status = postgres_session_query(session, "select pg_catalog.pg_xact_status($1::xid8)", 1,
                                                    &transaction, load_keep_value, value, &unused);
        /* Still under way: the old backend has not noticed yet that we are gone, or is at its COMMIT. */
        bool runs = status == STATUS_OK && text_equal(value->value, TEXT("in progress"));
        if (!runs || clock_monotonic_us() > end)
            return status;
        usleep(SETTLE_PAUSE_US);
    }
}

/* A database that crashed gives the number of a transaction that never reached its disk to another one. So a number
 * alone proves nothing: the row that our transaction wrote must be there too. */
static enum status find_evidence(struct load *load, struct postgres_session *session, bool *found)
{
    const struct load_order *order = load->order;
    struct load_value value = {.arena = load->report->arena};
    struct failure unused;
    struct text parameters[4];
    enum status status = make_parameters(load, parameters);
    *found = true;
    if (status != STATUS_OK)
        return status;
    if (order->idempotency.key.data != NULL) {
        status = postgres_session_query(session,
                                        "select 1 from sluice.idempotency where owner = $1 and operation = $2"
                                        " and key = $3 and digest = $4::bytea and answer <> ''",
                                        4, parameters, load_keep_value, &value, &unused);
    } else if (order->customer != NULL) {
        parameters[1] = arena_copy(load->report->arena, order->relation);
        parameters[2] = text_from_string(load->transaction);
        status = parameters[1].data == NULL
                     ? load_out_of_memory(load)
                     : postgres_session_query(session,
                                              "select 1 from sluice.upload where customer_id = $1 and name = $2"
                                              " and xmin::text::bigint = $3::bigint % 4294967296",
                                              3, parameters, load_keep_value, &value, &unused);
    } else {
        return STATUS_OK;
    }
    *found = status == STATUS_OK && value.rows != 0;
    return status;
}

enum status load_settle(struct load *load)
{
    struct postgres_session *session = NULL;
    struct load_value value = {.arena = load->report->arena};
    bool found = false;
    enum status status = open_again(load, &session);
    if (status == STATUS_OK) {
        status = ask(load, session, &value);
        if (status == STATUS_OK && text_equal(value.value, TEXT("committed")))
            status = find_evidence(load, session, &found);
        postgres_session_close(session);
    }
    if (status == STATUS_OK && found)
        return STATUS_OK;
    /* A number from the future is one that the crash took back. */
    bool aborted = text_equal(value.value, TEXT("aborted")) || (status == STATUS_INVALID && value.value.data == NULL);
    if (aborted)
        return failure_set(
            load->failure, STATUS_UNAVAILABLE,
            "the database ended the load before it was committed; nothing of it is there: send it again");
    return failure_set(
        load->failure, STATUS_UNAVAILABLE,
        "the database was lost while the load was committed, and it is not known whether it was; look at "
        "%.*s, or send the load again with the same Idempotency-Key (without one it may be there twice)",
        TEXT_ARGS(load->order->dataset));
}
