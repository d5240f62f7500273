#include "api/control_tell.h"

#include <stdlib.h>
#include <unistd.h>

#include "api/ingest.h"
#include "api/worker.h"
#include "audit/request_log.h"
#include "base/clock.h"
#include "base/json.h"

#define READY_SLACK_MS 2000 /* beyond the poll's interval: how old the last answer of the database may be */

void control_tell_health(struct server *server, struct buffer *out, int *status)
{
    (void)server;
    (void)status;
    buffer_append_literal(out, "{\"status\":\"ok\"}\n");
}

static void sum_metrics(struct server *server, struct metrics *sum)
{
    memset(sum, 0, sizeof(*sum));
    sum->fast_up = sum->scan_up = sum->redis_up = true;
    for (size_t i = 0; i < server->worker_count; i++)
        worker_add_metrics(server->workers[i], sum);
}

static const char *up_or_down(bool up)
{
    return up ? "up" : "down";
}

/* Of all issuers. */
static size_t count_keys(const struct server *server)
{
    size_t count = 0;
    for (size_t i = 0; i < server->settings->config->auth.issuer_count; i++) {
        struct keys *keys = keys_store_current(server->settings->stores[i]);
        count += keys_count(keys);
        keys_unref(keys);
    }
    return count;
}

/* How long ago all that was revoked was known. */
static uint64_t revocations_age_ms(const struct server *server)
{
    return clock_monotonic_us() / 1000 - revocations_store_confirmed_at(server->revocations);
}

static uint64_t revocations_max_age_ms(const struct server *server)
{
    return server->settings->config->auth.revocation_max_age_ms;
}

/* Ready: this instance can answer from the database, and isn't about to go. Redis is a convenience, its loss is told
 * but costs no readiness. */
void control_tell_readiness(struct server *server, struct buffer *out, int *status)
{
    if (!atomic_load_explicit(&server->serving, memory_order_acquire)) {
        buffer_append_literal(out, "{\"status\":\"starting\",\"database\":\"down\"}\n");
        *status = 503;
        return;
    }
    struct metrics *sum = malloc(sizeof(*sum));
    bool draining = atomic_load(&server->draining) && !atomic_load(&server->handed_over);
    uint64_t age_ms = clock_monotonic_us() / 1000 - versions_polled_at(server->versions);
    bool polled = age_ms < server->config->cache.version_poll_ms + READY_SLACK_MS;
    if (sum == NULL) {
        *status = 503;
        return;
    }
    sum_metrics(server, sum);
    bool database = polled && sum->fast_up, known = revocations_age_ms(server) <= revocations_max_age_ms(server);
    bool ready =
        database && !draining && !sum->audit_refusing && (known || !server->settings->config->auth.revocation_refuses);
    struct json json = json_writer(out);
    json_open_object(&json);
    json_field_string(&json, "status", draining ? "draining" : ready ? "ready" : "not ready");
    json_field_string(&json, "database", up_or_down(database));
    json_field_string(&json, "lane_fast", up_or_down(sum->fast_up));
    json_field_string(&json, "lane_scan", up_or_down(sum->scan_up));
    json_field_string(&json, "redis", !sum->redis_configured ? "not configured" : up_or_down(sum->redis_up));
    json_field_string(&json, "audit",
                      !sum->audit_configured ? "not configured"
                      : sum->audit_failing   ? "failing"
                                             : "up");
    json_field_string(&json, "ingest", server->ingest == NULL ? "not configured" : "up");
    json_field_int64(&json, "keys", (int64_t)count_keys(server));
    json_field_string(&json, "revocations", known ? "known" : "not known");
    json_close_object(&json);
    buffer_append_char(out, '\n');
    free(sum);
    *status = ready ? 200 : 503;
}

static uint64_t resident_bytes(void)
{
    unsigned long long ignored, pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    int read = fscanf(file, "%llu %llu", &ignored, &pages);
    fclose(file);
    return read == 2 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void append_gauge(struct buffer *out, const char *name, uint64_t value)
{
    buffer_printf(out, "# TYPE %s gauge\n%s %llu\n", name, name, (unsigned long long)value);
}

static void append_ingest(struct buffer *out, struct ingest *ingest)
{
    struct ingest_statistics statistics = ingest_statistics(ingest);
    append_gauge(out, "sluice_ingest_connections", statistics.connections);
    buffer_printf(out,
                  "# TYPE sluice_ingest_accepted_total counter\nsluice_ingest_accepted_total %llu\n"
                  "# TYPE sluice_ingest_refused_total counter\nsluice_ingest_refused_total %llu\n"
                  "# TYPE sluice_ingest_body_bytes_total counter\nsluice_ingest_body_bytes_total %llu\n",
                  (unsigned long long)statistics.accepted, (unsigned long long)statistics.refused,
                  (unsigned long long)statistics.bytes);
}

static void append_pools(struct buffer *out, const struct server *server)
{
    const struct {
        const char *name;
        struct tasks *tasks;
    } pools[] = {{"loads", server->loads}, {"jobs", server->jobs}};
    static const char *const families[] = {"sluice_tasks_running", "sluice_tasks_waiting",
                                           "sluice_tasks_refused_total"};
    for (size_t f = 0; f < 3; f++) {
        if (server->loads == NULL && server->jobs == NULL)
            return;
        buffer_printf(out, "# TYPE %s %s\n", families[f], f < 2 ? "gauge" : "counter");
        for (size_t i = 0; i < 2; i++) {
            if (pools[i].tasks == NULL)
                continue;
            struct tasks_statistics found = tasks_statistics(pools[i].tasks);
            unsigned long long value = f == 0 ? found.running : f == 1 ? found.waiting : found.refused;
            buffer_printf(out, "%s{pool=\"%s\"} %llu\n", families[f], pools[i].name, value);
        }
    }
}

static void append_sessions(struct buffer *out, const struct server *server)
{
    struct sessions_statistics sessions = sessions_statistics(server->sessions);
    append_gauge(out, "sluice_upload_sessions_open", sessions.open);
    append_gauge(out, "sluice_upload_sessions_ended", sessions.ended);
    append_gauge(out, "sluice_upload_sessions_bytes", sessions.bytes);
    append_gauge(out, "sluice_spool_bytes", spool_space_used(server->spool));
    append_gauge(out, "sluice_spool_size_bytes", spool_space_size(server->spool));
}

static void append_auth(struct buffer *out, const struct server *server)
{
    struct keys_statistics keys = {0};
    struct revocations_statistics revocations = revocations_store_statistics(server->revocations);
    for (size_t i = 0; i < server->settings->config->auth.issuer_count; i++) {
        struct keys_statistics each = keys_store_statistics(server->settings->stores[i]);
        keys.fetches += each.fetches;
        keys.failures += each.failures;
    }
    buffer_printf(out,
                  "# TYPE sluice_jwks_fetches_total counter\nsluice_jwks_fetches_total %llu\n"
                  "# TYPE sluice_jwks_failures_total counter\nsluice_jwks_failures_total %llu\n"
                  "# TYPE sluice_revoked_total counter\nsluice_revoked_total %llu\n",
                  (unsigned long long)keys.fetches, (unsigned long long)keys.failures,
                  (unsigned long long)revocations.refused);
    append_gauge(out, "sluice_revocations", revocations.count);
    append_gauge(out, "sluice_revocations_age_milliseconds", revocations_age_ms(server));
}

static void append_reloads(struct buffer *out, struct server *server)
{
    buffer_printf(out,
                  "# TYPE sluice_reloads_total counter\nsluice_reloads_total{outcome=\"done\"} %u\n"
                  "sluice_reloads_total{outcome=\"refused\"} %u\n"
                  "# TYPE sluice_config_loaded_timestamp_seconds gauge\nsluice_config_loaded_timestamp_seconds %.3f\n",
                  atomic_load(&server->reloads), atomic_load(&server->reloads_refused),
                  (double)server->settings->loaded_us / 1e6);
}

void control_tell_metrics(struct server *server, struct buffer *out, int *status)
{
    bool serving = atomic_load_explicit(&server->serving, memory_order_acquire);
    struct metrics *sum = serving ? malloc(sizeof(*sum)) : NULL;
    if (sum == NULL) {
        *status = 503;
        return;
    }
    sum_metrics(server, sum);
    metrics_append(out, sum, server->contract);
    free(sum);
    append_auth(out, server);
    replicas_append_metrics(server->replicas, out);
    if (server->sink != NULL)
        buffer_printf(out,
                      "# TYPE sluice_request_lines_dropped_total counter\nsluice_request_lines_dropped_total %llu\n",
                      (unsigned long long)request_sink_dropped(server->sink));
    if (server->keeper != NULL)
        server_keeper_metrics(server->keeper, out);
    if (server->ingest != NULL)
        append_ingest(out, server->ingest);
    activity_append(out, server->activity);
    append_pools(out, server);
    if (server->sessions != NULL)
        append_sessions(out, server);
    append_gauge(out, "sluice_versions_age_milliseconds",
                 clock_monotonic_us() / 1000 - versions_polled_at(server->versions));
    append_gauge(out, "sluice_workers", server->worker_count);
    append_reloads(out, server);
    append_gauge(out, "process_resident_memory_bytes", resident_bytes());
}
