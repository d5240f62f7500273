#include "api/replica.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/replica_lag.h"
#include "api/request.h"
#include "api/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "query/rules.h"

/* One that has no address now is left out: the primary answers for it. */
static void add(struct replicas *replicas, const struct config *config, const struct buffer *password, struct text host,
                struct text port)
{
    struct replica *replica = &replicas->items[replicas->count];
    struct failure failure = {0};
    int64_t number = 0;
    if (!text_to_int64(port, &number)) /* the configuration has checked it */
        return;
    snprintf(replica->host, sizeof(replica->host), "%.*s", TEXT_ARGS(host));
    snprintf(replica->name, sizeof(replica->name), "%.*s:%u", TEXT_ARGS(host), (unsigned)number);
    for (char *at = replica->name; *at != '\0'; at++) /* it stands in quotes in /metrics */
        if (*at == '"' || *at == '\\' || *at == '\n')
            *at = '_';
    replica->login = server_login_settings(config, password);
    replica->login.host = replica->host;
    replica->login.port = (uint16_t)number;
    replica->login.ports = NULL;
    atomic_init(&replica->fresh_ms, 0);
    atomic_init(&replica->lag_ms, REPLICA_LAG_UNKNOWN);
    if (postgres_resolve(&replica->login, &replica->resolved, &failure) == STATUS_OK)
        replicas->count++;
    else
        log_event(LOG_WARNING, "replica_host_unknown", "database.replica: %s; it is not read from", failure.message);
}

enum status replicas_create(const struct config *config, const struct buffer *password, struct replicas **out,
                            struct failure *failure)
{
    *out = NULL;
    if (config->database.replica_host == NULL)
        return STATUS_OK;
    struct replicas *replicas = calloc(1, sizeof(*replicas));
    if (replicas == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    struct text hosts = text_from_string(config->database.replica_host);
    struct text ports = text_from_string(config->database.replica_ports);
    replicas->max_lag_ms = config->database.replica_max_lag_ms;
    while (hosts.size != 0 && replicas->count < REPLICAS_MAX) {
        struct text host = text_split(&hosts, ','), port = text_split(&ports, ',');
        add(replicas, config, password, host, port);
    }
    if (replicas->count != 0)
        *out = replicas;
    else
        free(replicas);
    return STATUS_OK;
}

void replicas_destroy(struct replicas *replicas)
{
    free(replicas);
}

uint64_t replicas_fresh_ms(const struct replicas *replicas, size_t place)
{
    uint64_t fresh_ms = atomic_load_explicit(&replicas->items[place].fresh_ms, memory_order_acquire);
    uint64_t now_ms = clock_monotonic_us() / 1000;
    return fresh_ms != 0 && now_ms <= fresh_ms + replicas->max_lag_ms ? fresh_ms : 0;
}

/* The usable one with the least to do here. False: there is none. */
static bool choose(const struct worker *worker, struct plan_replica *chosen)
{
    const struct replicas *replicas = worker->server->replicas;
    size_t least = SIZE_MAX;
    *chosen = (struct plan_replica){.fresh_ms = 0};
    for (size_t i = 0; replicas != NULL && i < replicas->count; i++) {
        uint64_t fresh_ms = replicas_fresh_ms(replicas, i);
        if (fresh_ms == 0 || !postgres_is_up(worker->replicas[i]))
            continue;
        struct postgres_statistics statistics = postgres_statistics(worker->replicas[i]);
        if (statistics.busy + statistics.waiting < least) {
            least = statistics.busy + statistics.waiting;
            *chosen = (struct plan_replica){.place = (unsigned)i, .fresh_ms = fresh_ms};
        }
    }
    return chosen->fresh_ms != 0;
}

void replicas_take(struct request *request, uint64_t version, uint64_t version_seen_ms)
{
    struct plan *plan = &request->plan;
    struct plan_replica replica;
    if (plan->lane != PLAN_SCAN || !choose(request->worker, &replica) ||
        !rules_may_lag(plan->lane, version, version_seen_ms, replica.fresh_ms))
        return;
    plan->lane = PLAN_REPLICA;
    plan->replica = replica;
}

bool replicas_still_hold(const struct request *request)
{
    const struct plan *plan = &request->plan;
    const struct replicas *replicas = request->worker->server->replicas;
    return plan->lane != PLAN_REPLICA || atomic_load_explicit(&replicas->items[plan->replica.place].fresh_ms,
                                                              memory_order_acquire) >= plan->replica.fresh_ms;
}

void replicas_append_metrics(const struct replicas *replicas, struct buffer *out)
{
    if (replicas == NULL)
        return;
    buffer_append_literal(out, "# TYPE sluice_replica_usable gauge\n");
    for (size_t i = 0; i < replicas->count; i++)
        buffer_printf(out, "sluice_replica_usable{replica=\"%s\"} %d\n", replicas->items[i].name,
                      replicas_fresh_ms(replicas, i) != 0);
    buffer_append_literal(out, "# TYPE sluice_replica_lag_seconds gauge\n");
    for (size_t i = 0; i < replicas->count; i++) {
        uint64_t lag_ms = atomic_load(&replicas->items[i].lag_ms);
        if (lag_ms != REPLICA_LAG_UNKNOWN)
            buffer_printf(out, "sluice_replica_lag_seconds{replica=\"%s\"} %.3f\n", replicas->items[i].name,
                          (double)lag_ms / 1000);
    }
}
