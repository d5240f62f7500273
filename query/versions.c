#include "query/versions.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/log.h"

#define OUTDATED_MS 2000 /* beyond the interval: how old the last poll may be */

/* One version per view: what workers read. */
struct view_version {
    atomic_uint_fast64_t version;
    atomic_int_fast64_t changed_at;
    atomic_uint_fast64_t seen_ms;
};

struct versions {
    struct loop *loop;
    struct postgres *pool;
    const struct catalog *catalog;
    uint32_t interval_ms;
    struct loop_timer timer;
    struct postgres_query *query;
    bool failed; /* the last poll did; said once */
    struct view_version views[CATALOG_VIEWS];
    atomic_uint_fast64_t polled_at;
};

/* Microseconds since the epoch, so that no text form of a timestamp is needed. */
static const char poll_sql[] =
    "select relation, (version + " VERSIONS_EPOCH ")::text, (extract(epoch from changed_at) * "
    "1000000)::bigint::text from sluice.dataset_version";
static const struct postgres_statement poll_statement = {.sql = poll_sql, .id = 0x706f6c6c};

static bool find_base(const struct postgres_rows *rows, struct text base, uint64_t *version, int64_t *changed_at)
{
    for (size_t i = 0; i < postgres_rows_count(rows); i++)
        if (text_equal(postgres_rows_value(rows, i, 0), base)) {
            *version = strtoull(postgres_rows_value(rows, i, 1).data, NULL, 10);
            *changed_at = strtoll(postgres_rows_value(rows, i, 2).data, NULL, 10);
            return true;
        }
    return false;
}

static void update_view(struct versions *versions, size_t index, const struct postgres_rows *rows)
{
    const struct catalog_view *view = &versions->catalog->views[index];
    uint64_t sum = 0;
    int64_t latest = 0;
    for (size_t i = 0; i < view->base_count; i++) {
        uint64_t version;
        int64_t changed_at;
        if (!find_base(rows, view->bases[i], &version, &changed_at)) {
            sum = 0;
            latest = 0;
            break;
        }
        sum += version;
        latest = changed_at > latest ? changed_at : latest;
    }
    /* The times first: whoever reads the new version then reads times that are at least as new. */
    if (atomic_load(&versions->views[index].version) != sum)
        atomic_store(&versions->views[index].seen_ms, clock_monotonic_us() / 1000);
    atomic_store(&versions->views[index].changed_at, latest);
    atomic_store(&versions->views[index].version, sum);
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct versions *versions = context;
    for (size_t i = 0; i < CATALOG_VIEWS; i++)
        update_view(versions, i, rows);
    atomic_store(&versions->polled_at, clock_monotonic_us() / 1000);
}

static void on_timer(struct loop_timer *timer);

/* What could not be asked for this long may have changed: from here on age decides, and answers stand in as stale. */
static void forget_outdated(struct versions *versions)
{
    uint64_t age_ms = clock_monotonic_us() / 1000 - atomic_load(&versions->polled_at);
    if (age_ms <= versions->interval_ms + OUTDATED_MS)
        return;
    for (size_t i = 0; i < CATALOG_VIEWS; i++)
        atomic_store_explicit(&versions->views[i].version, 0, memory_order_release);
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct versions *versions = context;
    versions->query = NULL;
    if (error != NULL && !versions->failed && error->status != STATUS_UNAVAILABLE)
        log_event(LOG_ERROR, "version_poll_failed", "cannot read sluice.dataset_version: %s; run sluice migrate",
                  error->message);
    versions->failed = error != NULL;
    forget_outdated(versions);
    loop_timer_start(versions->loop, &versions->timer, versions->interval_ms, on_timer);
}

static void on_timer(struct loop_timer *timer)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct versions *versions = (struct versions *)((char *)timer - offsetof(struct versions, timer));
    const struct postgres_call call = {.statement = &poll_statement};
    if (postgres_start(versions->pool, &call, &handlers, versions, &versions->query) != STATUS_OK) {
        forget_outdated(versions);
        loop_timer_start(versions->loop, timer, versions->interval_ms, on_timer);
    }
}

/* Which table, and the remedy, before what the server said. */
static enum status explain(struct failure *failure, enum status status, const struct failure *cause)
{
    if (status == STATUS_UNAVAILABLE)
        return failure_set(failure, status, "%s", cause->message);
    return failure_set(failure, status, "cannot read sluice.dataset_version; run sluice migrate. The server said: %s",
                       cause->message);
}

enum status versions_create(struct loop *loop, struct postgres *pool, struct postgres_session *session,
                            const struct catalog *catalog, uint32_t interval_ms, struct versions **out,
                            struct failure *failure)
{
    struct versions *versions = calloc(1, sizeof(*versions));
    if (versions == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    *versions = (struct versions){.loop = loop, .pool = pool, .catalog = catalog, .interval_ms = interval_ms};
    struct failure cause = {0};
    enum status status = postgres_session_query(session, poll_sql, 0, NULL, on_rows, versions, &cause);
    if (status != STATUS_OK) {
        free(versions);
        return explain(failure, status, &cause);
    }
    loop_timer_start(loop, &versions->timer, interval_ms, on_timer);
    *out = versions;
    return STATUS_OK;
}

void versions_destroy(struct versions *versions)
{
    if (versions == NULL)
        return;
    loop_timer_stop(&versions->timer);
    if (versions->query != NULL)
        postgres_cancel(versions->query);
    free(versions);
}

uint64_t versions_of(const struct versions *versions, const struct catalog_view *view)
{
    return atomic_load_explicit(&versions->views[view->index].version, memory_order_acquire);
}

uint64_t versions_seen_ms(const struct versions *versions, const struct catalog_view *view)
{
    return atomic_load_explicit(&versions->views[view->index].seen_ms, memory_order_acquire);
}

int64_t versions_changed_at(const struct versions *versions, const struct catalog_view *view)
{
    return atomic_load_explicit(&versions->views[view->index].changed_at, memory_order_acquire);
}

uint64_t versions_polled_at(const struct versions *versions)
{
    return atomic_load(&versions->polled_at);
}
