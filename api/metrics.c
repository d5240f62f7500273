#include "api/metrics.h"

#include "base/log.h"

#include <inttypes.h>

const uint32_t metrics_bounds_us[METRICS_BUCKETS] = {50,    100,   250,    500,    1000,    2500,    5000,
                                                     10000, 25000, 100000, 250000, 1000000, 5000000, 30000000};

void metrics_count(struct metrics *metrics, size_t operation, int status, uint64_t duration_us, uint64_t bytes)
{
    struct metrics_operation *slot =
        &metrics->operations[operation < METRICS_MAX_OPERATIONS ? operation : METRICS_MAX_OPERATIONS];
    size_t bucket = 0;
    while (bucket < METRICS_BUCKETS && duration_us > metrics_bounds_us[bucket])
        bucket++;
    slot->buckets[bucket]++;
    slot->answers[status >= 100 && status < 600 ? status / 100 : 0]++;
    slot->duration_us += duration_us;
    slot->bytes += bytes;
}

/* Sums a structure that consists of nothing but uint64_t and size_t counters. */
#define ADD_COUNTERS(sum, other)                                                                                       \
    do {                                                                                                               \
        _Static_assert(sizeof(sum) % sizeof(uint64_t) == 0 && sizeof(size_t) == sizeof(uint64_t), "only counters");    \
        uint64_t *to = (uint64_t *)&(sum);                                                                             \
        const uint64_t *from = (const uint64_t *)&(other);                                                             \
        for (size_t n = 0; n < sizeof(sum) / (sizeof(uint64_t)); n++)                                                  \
            to[n] += from[n];                                                                                          \
    } while (0)

void metrics_add_lane(struct postgres_statistics *sum, const struct postgres_statistics *other)
{
    ADD_COUNTERS(*sum, *other);
}

void metrics_add(struct metrics *sum, const struct metrics *other)
{
    ADD_COUNTERS(sum->operations, other->operations);
    sum->connections += other->connections;
    sum->requests += other->requests;
    sum->slow_readers_cut += other->slow_readers_cut;
    sum->connections_refused += other->connections_refused;
    sum->bodies_cut += other->bodies_cut;
    sum->clients_gone += other->clients_gone;
    sum->tasks_abandoned += other->tasks_abandoned;
    sum->streams_failed += other->streams_failed;
    sum->fast_up = sum->fast_up && other->fast_up;
    sum->scan_up = sum->scan_up && other->scan_up;
    sum->redis_configured = sum->redis_configured || other->redis_configured;
    sum->redis_up = sum->redis_up && other->redis_up;
    ADD_COUNTERS(sum->fast, other->fast);
    ADD_COUNTERS(sum->scan, other->scan);
    ADD_COUNTERS(sum->replica, other->replica);
    sum->replica_configured = sum->replica_configured || other->replica_configured;
    sum->replica_retries += other->replica_retries;
    ADD_COUNTERS(sum->customers, other->customers);
    ADD_COUNTERS(sum->redis, other->redis);
    ADD_COUNTERS(sum->cache, other->cache);
    ADD_COUNTERS(sum->answers, other->answers);
    ADD_COUNTERS(sum->datasets, other->datasets);
    ADD_COUNTERS(sum->limiter, other->limiter);
    ADD_COUNTERS(sum->tokens, other->tokens);
    ADD_COUNTERS(sum->audit, other->audit);
    sum->audit_configured = sum->audit_configured || other->audit_configured;
    sum->audit_failing = sum->audit_failing || other->audit_failing;
    sum->audit_refusing = sum->audit_refusing || other->audit_refusing;
}

static struct text operation_name(const struct openapi *contract, size_t index)
{
    return index < METRICS_MAX_OPERATIONS ? openapi_operation_at(contract, index)->id : TEXT("none");
}

static uint64_t operation_count(const struct metrics_operation *operation)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++)
        count += operation->buckets[i];
    return count;
}

static void append_answers(struct buffer *out, const struct metrics_operation *operation, struct text id)
{
    static const char *const classes[METRICS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (size_t i = 0; i < METRICS_CLASSES; i++)
        if (operation->answers[i] != 0)
            buffer_printf(out, "sluice_requests_total{operation=\"%.*s\",class=\"%s\"} %" PRIu64 "\n", TEXT_ARGS(id),
                          classes[i], operation->answers[i]);
}

static void append_durations(struct buffer *out, const struct metrics_operation *operation, struct text id)
{
    uint64_t below = 0;
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        below += operation->buckets[i];
        buffer_printf(out, "sluice_request_duration_seconds_bucket{operation=\"%.*s\",le=\"%g\"} %" PRIu64 "\n",
                      TEXT_ARGS(id), metrics_bounds_us[i] / 1e6, below);
    }
    uint64_t count = operation_count(operation);
    buffer_printf(out,
                  "sluice_request_duration_seconds_bucket{operation=\"%.*s\",le=\"+Inf\"} %" PRIu64 "\n"
                  "sluice_request_duration_seconds_sum{operation=\"%.*s\"} %.6f\n"
                  "sluice_request_duration_seconds_count{operation=\"%.*s\"} %" PRIu64 "\n",
                  TEXT_ARGS(id), count, TEXT_ARGS(id), (double)operation->duration_us / 1e6, TEXT_ARGS(id), count);
}

static void append_bytes(struct buffer *out, const struct metrics_operation *operation, struct text id)
{
    buffer_printf(out, "sluice_response_body_bytes_total{operation=\"%.*s\"} %" PRIu64 "\n", TEXT_ARGS(id),
                  operation->bytes);
}

/* The samples of a family stand together, as the format demands. */
static void append_operations(struct buffer *out, const struct metrics *sum, const struct openapi *contract)
{
    static const struct {
        const char *type;
        void (*append)(struct buffer *, const struct metrics_operation *, struct text);
    } families[] = {{"# TYPE sluice_requests_total counter\n", append_answers},
                    {"# TYPE sluice_request_duration_seconds histogram\n", append_durations},
                    {"# TYPE sluice_response_body_bytes_total counter\n", append_bytes}};
    size_t known = openapi_operation_count(contract);
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        bool told = false;
        for (size_t i = 0; i <= METRICS_MAX_OPERATIONS; i++) {
            if ((i >= known && i != METRICS_MAX_OPERATIONS) || operation_count(&sum->operations[i]) == 0)
                continue;
            buffer_append_string(out, told ? "" : families[f].type);
            told = true;
            families[f].append(out, &sum->operations[i], operation_name(contract, i));
        }
    }
}

static void append_one(struct buffer *out, const char *name, const char *type, const char *labels, uint64_t value)
{
    if (type != NULL)
        buffer_printf(out, "# TYPE %s %s\n", name, type);
    buffer_printf(out, "%s%s %" PRIu64 "\n", name, labels, value);
}

static void append_lanes(struct buffer *out, const struct metrics *sum)
{
    const struct postgres_statistics *fast = &sum->fast, *scan = &sum->scan, *own = &sum->customers.lanes;
    const struct postgres_statistics *away = &sum->replica;
    const struct {
        const char *name, *type;
        uint64_t fast, scan, customer, replica;
    } rows[] = {{"sluice_lane_queries_total", "counter", fast->queries, scan->queries, own->queries, away->queries},
                {"sluice_lane_errors_total", "counter", fast->errors, scan->errors, own->errors, away->errors},
                {"sluice_lane_cancels_total", "counter", fast->cancels, scan->cancels, own->cancels, away->cancels},
                {"sluice_lane_reconnects_total", "counter", fast->reconnects, scan->reconnects, own->reconnects,
                 away->reconnects},
                {"sluice_lane_refused_total", "counter", fast->refused_busy, scan->refused_busy, own->refused_busy,
                 away->refused_busy},
                {"sluice_lane_connections_open", "gauge", fast->open, scan->open, own->open, away->open},
                {"sluice_lane_connections_busy", "gauge", fast->busy, scan->busy, own->busy, away->busy},
                {"sluice_lane_waiting", "gauge", fast->waiting, scan->waiting, own->waiting, away->waiting}};
    append_one(out, "sluice_lane_up", "gauge", "{lane=\"fast\"}", sum->fast_up);
    append_one(out, "sluice_lane_up", NULL, "{lane=\"scan\"}", sum->scan_up);
    append_one(out, "sluice_customers_lanes", "gauge", "", sum->customers.pools);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        append_one(out, rows[i].name, rows[i].type, "{lane=\"fast\"}", rows[i].fast);
        append_one(out, rows[i].name, NULL, "{lane=\"scan\"}", rows[i].scan);
        append_one(out, rows[i].name, NULL, "{lane=\"customer\"}", rows[i].customer);
        if (sum->replica_configured)
            append_one(out, rows[i].name, NULL, "{lane=\"replica\"}", rows[i].replica);
    }
    if (sum->replica_configured)
        append_one(out, "sluice_replica_retries_total", "counter", "", sum->replica_retries);
}

static void append_caches(struct buffer *out, const struct metrics *sum)
{
    append_one(out, "sluice_cache_answers_total", "counter", "{source=\"memory\"}", sum->cache.hits_memory);
    append_one(out, "sluice_cache_answers_total", NULL, "{source=\"redis\"}", sum->cache.hits_redis);
    append_one(out, "sluice_cache_answers_total", NULL, "{source=\"miss\"}", sum->cache.misses);
    append_one(out, "sluice_cache_answers_total", NULL, "{source=\"stale\"}", sum->cache.stale);
    append_one(out, "sluice_cache_coalesced_total", "counter", "", sum->cache.coalesced);
    append_one(out, "sluice_cache_bytes", "gauge", "", sum->cache.bytes);
    append_one(out, "sluice_cache_entries", "gauge", "", sum->cache.entries);
    append_one(out, "sluice_answers_kept_total", "counter", "{result=\"hit\"}", sum->answers.hits_memory);
    append_one(out, "sluice_answers_kept_bytes", "gauge", "", sum->answers.bytes);
    append_one(out, "sluice_datasets_total", "counter", "{result=\"known\"}", sum->datasets.hits);
    append_one(out, "sluice_datasets_total", NULL, "{result=\"asked\"}", sum->datasets.misses);
    append_one(out, "sluice_datasets_checks_total", "counter", "", sum->datasets.checks);
    append_one(out, "sluice_datasets_changes_total", "counter", "", sum->datasets.changes);
    append_one(out, "sluice_datasets_bytes", "gauge", "", sum->datasets.bytes);
    append_one(out, "sluice_datasets_entries", "gauge", "", sum->datasets.entries);
    append_one(out, "sluice_tokens_total", "counter", "{result=\"hit\"}", sum->tokens.hits);
    append_one(out, "sluice_tokens_total", NULL, "{result=\"verified\"}", sum->tokens.verified);
    append_one(out, "sluice_tokens_total", NULL, "{result=\"refused\"}", sum->tokens.refused);
    append_one(out, "sluice_tokens_cached", "gauge", "", sum->tokens.cached);
}

static void append_limits(struct buffer *out, const struct metrics *sum)
{
    append_one(out, "sluice_limit_calls_total", "counter", "{result=\"admitted\"}", sum->limiter.admitted);
    append_one(out, "sluice_limit_calls_total", NULL, "{result=\"refused\"}", sum->limiter.refused);
    append_one(out, "sluice_limit_local_total", "counter", "", sum->limiter.local);
    append_one(out, "sluice_limit_scripts_total", "counter", "", sum->limiter.scripts);
    append_one(out, "sluice_limit_fallbacks_total", "counter", "", sum->limiter.fallbacks);
    if (sum->redis_configured) {
        append_one(out, "sluice_redis_up", "gauge", "", sum->redis_up);
        append_one(out, "sluice_redis_commands_total", "counter", "", sum->redis.commands);
        append_one(out, "sluice_redis_round_trips_total", "counter", "", sum->redis.round_trips);
        append_one(out, "sluice_redis_failures_total", "counter", "", sum->redis.failures);
        append_one(out, "sluice_redis_reconnects_total", "counter", "", sum->redis.reconnects);
    }
}

static void append_audit(struct buffer *out, const struct metrics *sum)
{
    if (!sum->audit_configured)
        return;
    append_one(out, "sluice_audit_up", "gauge", "", !sum->audit_failing);
    append_one(out, "sluice_audit_records_total", "counter", "", sum->audit.records);
    append_one(out, "sluice_audit_bytes_total", "counter", "", sum->audit.bytes);
    append_one(out, "sluice_audit_writes_total", "counter", "", sum->audit.writes);
    append_one(out, "sluice_audit_syncs_total", "counter", "", sum->audit.syncs);
    append_one(out, "sluice_audit_dropped_total", "counter", "", sum->audit.dropped);
    append_one(out, "sluice_audit_failures_total", "counter", "", sum->audit.failures);
}

void metrics_append(struct buffer *out, const struct metrics *sum, const struct openapi *contract)
{
    append_operations(out, sum, contract);
    append_one(out, "sluice_connections", "gauge", "", sum->connections);
    append_one(out, "sluice_requests_in_flight", "gauge", "", sum->requests);
    append_one(out, "sluice_clients_gone_total", "counter", "", sum->clients_gone);
    append_one(out, "sluice_tasks_abandoned_total", "counter", "", sum->tasks_abandoned);
    append_one(out, "sluice_slow_readers_cut_total", "counter", "", sum->slow_readers_cut);
    append_one(out, "sluice_connections_refused_total", "counter", "", sum->connections_refused);
    append_one(out, "sluice_bodies_cut_total", "counter", "", sum->bodies_cut);
    append_one(out, "sluice_streams_failed_total", "counter", "", sum->streams_failed);
    append_one(out, "sluice_log_lines_dropped_total", "counter", "", log_dropped());
    append_lanes(out, sum);
    append_caches(out, sum);
    append_limits(out, sum);
    append_audit(out, sum);
}
