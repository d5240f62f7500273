#include "api/replica_poll.h"

#include <stdlib.h>

#include "api/replica_lag.h"
#include "api/worker.h"
#include "base/clock.h"
#include "base/log.h"

#define INTERVAL_MS 250
#define LATE_MS 1000 /* a standby that takes longer to say where it is may take as long to read from */
#define TIMEOUT_MS 2000
#define QUEUE 4

struct standby {
    struct replica_poll *poll;
    struct replica *replica;
    struct postgres *pool;
    struct postgres_query *query;
    uint64_t asked_ms;
    struct replica_lag lag;
    const char *trouble; /* why its log cannot be compared; NULL: it can */
    const char *said;    /* what was last logged; NULL: that it is used; "": nothing yet */
};

struct replica_poll {
    struct loop *loop;
    struct postgres *primary;
    struct replicas *replicas;
    struct loop_timer timer;
    struct postgres_query *query;
    uint64_t asked_ms;
    uint64_t cluster, timeline; /* the primary's; 0: not known */
    bool failed, stopped;
    struct standby standbys[REPLICAS_MAX];
};

/* Where the next record will begin is behind a page's head where the last one filled the page before; replay ends in
 * front of it. What was inserted counts, not what was written: a commit that does not wait for the disk is seen first.
 */
static const char primary_sql[] =
    "select (select system_identifier from pg_control_system())::text,"
    " ('x' || left(pg_walfile_name(at), 8))::bit(32)::bigint::text,"
    " (case when mod(bytes, page) = 24 or mod(bytes, segment) = 40 then bytes - mod(bytes, page) else bytes end)::text"
    " from (select pg_current_wal_insert_lsn() as at, pg_size_bytes(current_setting('wal_segment_size')) as segment,"
    " current_setting('wal_block_size')::numeric as page) one, lateral (select at - '0/0' as bytes) two";
/* A standby tells the timeline of its last restart point, no newer one: after a promotion it is not used before it had
 * one, though it may have followed long since. */
static const char standby_sql[] =
    "select (select system_identifier from pg_control_system())::text,"
    " (select timeline_id from pg_control_checkpoint())::text,"
    " (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0')::text, pg_is_in_recovery()::text";
static const struct postgres_statement primary_statement = {.sql = primary_sql, .id = 0x7265706c31};
static const struct postgres_statement standby_statement = {.sql = standby_sql, .id = 0x7265706c32};

static uint64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

static uint64_t number(const struct postgres_rows *rows, size_t column)
{
    struct text text = postgres_rows_value(rows, 0, column);
    return text.data != NULL ? strtoull(text.data, NULL, 10) : 0;
}

static void say(struct standby *standby)
{
    const struct replicas *replicas = standby->poll->replicas;
    if (standby->poll->cluster == 0) /* the start, or the primary is away: told elsewhere */
        return;
    size_t place = (size_t)(standby->replica - replicas->items);
    const char *now = standby->trouble != NULL                  ? standby->trouble
                      : replicas_fresh_ms(replicas, place) == 0 ? "it is behind by more than max_lag allows"
                                                                : NULL;
    if (now == standby->said)
        return;
    if (now != NULL)
        log_event(LOG_WARNING, "replica_not_used", "database.replica %s: %s; the primary answers for it",
                  standby->replica->name, now);
    else
        log_event(LOG_INFO, "replica_used", "database.replica %s is read from", standby->replica->name);
    standby->said = now;
}

static void publish(struct standby *standby)
{
    if (standby->trouble != NULL)
        replica_lag_forget(&standby->lag);
    atomic_store_explicit(&standby->replica->fresh_ms, replica_lag_fresh_ms(&standby->lag), memory_order_release);
    atomic_store(&standby->replica->lag_ms, replica_lag_ms(&standby->lag, now_ms()));
}

/* The primary. */

static void on_primary_rows(void *context, const struct postgres_rows *rows)
{
    struct replica_poll *poll = context;
    if (postgres_rows_count(rows) != 1)
        return;
    uint64_t cluster = number(rows, 0), timeline = number(rows, 1), position = number(rows, 2);
    bool other = cluster != poll->cluster || timeline != poll->timeline;
    poll->cluster = cluster;
    poll->timeline = timeline;
    for (size_t i = 0; i < poll->replicas->count; i++) {
        struct standby *standby = &poll->standbys[i];
        if (other) /* positions of another log */
            standby->lag = (struct replica_lag){.first = 0};
        replica_lag_written(&standby->lag, poll->asked_ms, position);
        publish(standby);
    }
}

static void on_primary_done(void *context, const struct postgres_error *error)
{
    struct replica_poll *poll = context;
    poll->query = NULL;
    if (error != NULL && !poll->failed && error->status != STATUS_UNAVAILABLE)
        log_event(LOG_ERROR, "replica_poll_failed",
                  "the primary cannot be asked how far its log goes: %s; standbys are not read from", error->message);
    poll->failed = error != NULL;
}

/* A standby. */

static const char *find_trouble(const struct replica_poll *poll, const struct postgres_rows *rows)
{
    if (!text_equal(postgres_rows_value(rows, 0, 3), TEXT("true")))
        return "it is no standby, or is one no longer; name it in database.host, and a standby here";
    if (poll->cluster == 0)
        return "the primary has not told yet how far its log goes";
    if (number(rows, 0) != poll->cluster)
        return "it is of another cluster than the primary; name a standby of database.host";
    if (number(rows, 1) != poll->timeline)
        return "it has had no restart point since the last promotion, or follows another primary";
    return NULL;
}

static void on_standby_rows(void *context, const struct postgres_rows *rows)
{
    struct standby *standby = context;
    if (postgres_rows_count(rows) != 1)
        return;
    standby->trouble = find_trouble(standby->poll, rows);
    if (standby->trouble == NULL)
        replica_lag_replayed(&standby->lag, number(rows, 2));
    publish(standby);
}

static void lose(struct standby *standby, const char *trouble)
{
    standby->trouble = trouble;
    publish(standby);
}

static void on_standby_done(void *context, const struct postgres_error *error)
{
    struct standby *standby = context;
    standby->query = NULL;
    if (error != NULL)
        lose(standby, "it cannot be asked how far it has come");
    say(standby);
}

static void ask_standby(struct standby *standby)
{
    static const struct postgres_handlers handlers = {on_standby_rows, on_standby_done};
    const struct postgres_call call = {.statement = &standby_statement};
    if (standby->query != NULL) {
        if (now_ms() > standby->asked_ms + LATE_MS)
            lose(standby, "it does not answer");
    } else {
        standby->asked_ms = now_ms();
        /* Without a connection it may be started anew by now, and have gone back. */
        if (!postgres_is_up(standby->pool))
            lose(standby, "it cannot be reached");
        if (postgres_start(standby->pool, &call, &handlers, standby, &standby->query) != STATUS_OK)
            lose(standby, "it cannot be reached");
    }
    say(standby);
}

static void on_timer(struct loop_timer *timer)
{
    static const struct postgres_handlers handlers = {on_primary_rows, on_primary_done};
    struct replica_poll *poll = (struct replica_poll *)((char *)timer - offsetof(struct replica_poll, timer));
    const struct postgres_call call = {.statement = &primary_statement};
    if (poll->query == NULL) {
        poll->asked_ms = now_ms();
        if (postgres_start(poll->primary, &call, &handlers, poll, &poll->query) != STATUS_OK)
            poll->query = NULL;
    }
    for (size_t i = 0; i < poll->replicas->count; i++)
        ask_standby(&poll->standbys[i]);
    loop_timer_start(poll->loop, timer, INTERVAL_MS, on_timer);
}

enum status replica_poll_create(struct loop *loop, struct postgres *primary, struct replicas *replicas,
                                struct replica_poll **out, struct failure *failure)
{
    *out = NULL;
    if (replicas == NULL)
        return STATUS_OK;
    struct replica_poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    *poll = (struct replica_poll){.loop = loop, .primary = primary, .replicas = replicas};
    for (size_t i = 0; i < replicas->count; i++) {
        struct standby *standby = &poll->standbys[i];
        const struct postgres_options options = {.login = replicas->items[i].login,
                                                 .mode = POSTGRES_PIPELINED,
                                                 .connections = 1,
                                                 .queue = QUEUE,
                                                 .statement_timeout_ms = TIMEOUT_MS,
                                                 .check = worker_login_check};
        *standby = (struct standby){.poll = poll, .replica = &replicas->items[i], .said = ""};
        enum status status = postgres_create(loop, &options, &standby->pool, failure);
        if (status != STATUS_OK) {
            replica_poll_destroy(poll);
            return status;
        }
    }
    loop_timer_start(loop, &poll->timer, 0, on_timer);
    *out = poll;
    return STATUS_OK;
}

void replica_poll_stop(struct replica_poll *poll)
{
    if (poll == NULL || poll->stopped)
        return;
    poll->stopped = true;
    loop_timer_stop(&poll->timer);
    if (poll->query != NULL)
        postgres_cancel(poll->query);
    poll->query = NULL;
    for (size_t i = 0; i < poll->replicas->count; i++) {
        struct standby *standby = &poll->standbys[i];
        if (standby->query != NULL)
            postgres_cancel(standby->query);
        standby->query = NULL;
        if (standby->pool != NULL)
            postgres_destroy(standby->pool);
        standby->pool = NULL;
        atomic_store(&standby->replica->fresh_ms, 0);
    }
}

void replica_poll_destroy(struct replica_poll *poll)
{
    replica_poll_stop(poll);
    free(poll);
}
