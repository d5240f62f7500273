#include "api/revocation_poll.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

#define INTERVAL_MS 500
#define PAGE 5000 /* entries of one answer */

struct revocation_poll {
    struct loop *loop;
    struct postgres *pool;
    struct revocations_store *store;
    struct loop_timer timer;
    struct postgres_query *query;
    uint64_t asked_ms; /* when the query under way was sent: its answer holds what was true then */
    int64_t known;     /* the newest counter that is in the store */
    bool more;         /* the last answer was a full page, or the counter went back: there is more */
    bool wanted;       /* somebody has written while a query was under way */
    bool failed;       /* the last poll did; said once */
    enum status status;
    struct failure failure; /* of taking an answer over */
};

#define SQL "select * from sluice.revocations_since($1::bigint, $2::integer)"
static struct postgres_statement statement;

static void init_statement(void)
{
    static const uint32_t types[] = {0, 0};
    postgres_statement_init(&statement, SQL, 2, types);
}

struct parameters {
    char known[24], page[24];
    struct text texts[2];
};

static void make_parameters(const struct revocation_poll *poll, struct parameters *parameters)
{
    *parameters = (struct parameters){0};
    int known = snprintf(parameters->known, sizeof(parameters->known), "%lld", (long long)poll->known);
    int page = snprintf(parameters->page, sizeof(parameters->page), "%d", PAGE);
    parameters->texts[0] = text_of(parameters->known, (size_t)known);
    parameters->texts[1] = text_of(parameters->page, (size_t)page);
}

static int64_t number(const struct postgres_rows *rows, size_t row, size_t column)
{
    struct text text = postgres_rows_value(rows, row, column);
    return text.data != NULL ? strtoll(text.data, NULL, 10) : 0;
}

/* newest, counter, kind, customer, subject, jti, before_s, until_s; without an entry all but newest is null. */
static size_t read_entries(const struct postgres_rows *rows, struct revocation *entries)
{
    size_t count = 0;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        struct revocation *entry = &entries[count];
        *entry = (struct revocation){.customer = postgres_rows_value(rows, i, 3),
                                     .subject = postgres_rows_value(rows, i, 4),
                                     .token_id = postgres_rows_value(rows, i, 5),
                                     .before_s = number(rows, i, 6),
                                     .until_s = number(rows, i, 7)};
        count += revocation_kind_of(postgres_rows_value(rows, i, 2), &entry->kind);
    }
    return count;
}

/* An older counter than ours is another database's: a backup, or a replica that lags. What is known stays, and all that
 * stands there is added. */
static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct revocation_poll *poll = context;
    size_t count = postgres_rows_count(rows);
    if (count == 0 || postgres_rows_columns(rows) != 8) {
        poll->status = failure_set(&poll->failure, STATUS_FAILED, "the table sluice.revocation_counter is empty");
        return;
    }
    int64_t newest = number(rows, 0, 0);
    if (newest < poll->known) {
        log_event(LOG_WARNING, "revocations_went_back",
                  "the database counts fewer revocations than were known; those stay, and all are read again");
        poll->known = 0;
        poll->more = true;
        return;
    }
    struct revocation *entries = calloc(count, sizeof(*entries));
    poll->status = entries != NULL ? revocations_store_add(poll->store, entries, read_entries(rows, entries),
                                                           clock_wall_us() / 1000000, &poll->failure)
                                   : failure_set(&poll->failure, STATUS_TOO_LARGE, "out of memory");
    free(entries);
    if (poll->status != STATUS_OK)
        return;
    poll->more = count == PAGE;
    poll->known = poll->more ? number(rows, count - 1, 1) : newest;
}

static void on_timer(struct loop_timer *timer);

static void on_done(void *context, const struct postgres_error *error)
{
    struct revocation_poll *poll = context;
    bool failed = error != NULL || poll->status != STATUS_OK;
    poll->query = NULL;
    if (failed && !poll->failed && (error == NULL || error->status != STATUS_UNAVAILABLE))
        log_event(LOG_ERROR, "revocation_poll_failed", "what is revoked cannot be read: %s",
                  error != NULL ? error->message : poll->failure.message);
    poll->failed = failed;
    if (!failed && !poll->more)
        revocations_store_confirm(poll->store, poll->asked_ms);
    bool at_once = !failed && (poll->more || poll->wanted);
    loop_timer_start(poll->loop, &poll->timer, at_once ? 0 : INTERVAL_MS, on_timer);
}

static void on_timer(struct loop_timer *timer)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct revocation_poll *poll = (struct revocation_poll *)((char *)timer - offsetof(struct revocation_poll, timer));
    struct parameters parameters;
    make_parameters(poll, &parameters);
    const struct postgres_call call = {.statement = &statement, .parameters = parameters.texts};
    poll->status = STATUS_OK;
    poll->more = poll->wanted = false;
    poll->asked_ms = clock_monotonic_us() / 1000;
    if (postgres_start(poll->pool, &call, &handlers, poll, &poll->query) != STATUS_OK)
        loop_timer_start(poll->loop, timer, INTERVAL_MS, on_timer);
}

void revocation_poll_now(struct revocation_poll *poll)
{
    poll->wanted = true;
    if (poll->query == NULL)
        loop_timer_start(poll->loop, &poll->timer, 0, on_timer);
}

static enum status read_all(struct revocation_poll *poll, struct postgres_session *session, struct failure *failure)
{
    struct failure cause = {0};
    do {
        struct parameters parameters;
        make_parameters(poll, &parameters);
        poll->more = false;
        poll->asked_ms = clock_monotonic_us() / 1000;
        enum status status = postgres_session_query(session, SQL, 2, parameters.texts, on_rows, poll, &cause);
        if (status == STATUS_UNAVAILABLE)
            return failure_set(failure, status, "%s", cause.message);
        if (status != STATUS_OK)
            return failure_set(failure, status, "cannot read what is revoked; run sluice migrate. The server said: %s",
                               cause.message);
        if (poll->status != STATUS_OK)
            return failure_set(failure, poll->status, "%s", poll->failure.message);
    } while (poll->more);
    revocations_store_confirm(poll->store, poll->asked_ms);
    return STATUS_OK;
}

enum status revocation_poll_create(struct loop *loop, struct postgres *pool, struct postgres_session *session,
                                   struct revocations_store *store, struct revocation_poll **out,
                                   struct failure *failure)
{
    struct revocation_poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    *poll = (struct revocation_poll){.loop = loop, .pool = pool, .store = store};
    init_statement(); /* once a process: there is one poll */
    enum status status = read_all(poll, session, failure);
    if (status != STATUS_OK) {
        free(poll);
        return status;
    }
    loop_timer_start(loop, &poll->timer, INTERVAL_MS, on_timer);
    *out = poll;
    return STATUS_OK;
}

void revocation_poll_destroy(struct revocation_poll *poll)
{
    if (poll == NULL)
        return;
    loop_timer_stop(&poll->timer);
    if (poll->query != NULL)
        postgres_cancel(poll->query);
    free(poll);
}
