#include "api/server_keeper.h"

#include <inttypes.h>
#include <stdlib.h>

#include "api/server.h"
#include "api/worker.h"

struct server_keeper {
    struct keeper *keeper;
    struct postgres_resolved resolved;
    struct postgres_login login;
    struct audit_log **logs;
};

static enum status start(struct server *server, struct server_keeper *keeper, struct failure *failure)
{
    const struct config *config = server->config;
    enum status status = server_login(config, &server->database_password, &keeper->resolved, &keeper->login, failure);
    if (status != STATUS_OK)
        return status;
    keeper->login.application_name = "sluice audit";
    keeper->logs = calloc(server->worker_count + 1, sizeof(struct audit_log *));
    if (keeper->logs == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < server->worker_count; i++)
        keeper->logs[i] = server->workers[i]->audit;
    const struct keeper_options options = {.audit = &server->audit->options,
                                           .logs = keeper->logs,
                                           .log_count = server->worker_count,
                                           .keep_days = config->audit.keep_days,
                                           .keep_bytes = config->audit.keep_bytes,
                                           .anchor_ms = config->audit.anchor_ms,
                                           .anchor_file = config->audit.anchor_file,
                                           .login = &keeper->login,
                                           .ship = config->audit.ship,
                                           .ship_days = config->audit.ship_days};
    return keeper_create(&options, &keeper->keeper, failure);
}

enum status server_keeper_create(struct server *server, struct server_keeper **out, struct failure *failure)
{
    struct server_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    enum status status = start(server, keeper, failure);
    if (status == STATUS_OK)
        *out = keeper;
    else
        server_keeper_destroy(keeper);
    return status;
}

void server_keeper_destroy(struct server_keeper *keeper)
{
    if (keeper == NULL)
        return;
    keeper_destroy(keeper->keeper);
    free(keeper->logs);
    free(keeper);
}

void server_keeper_metrics(struct server_keeper *keeper, struct buffer *out)
{
    struct keeper_statistics statistics = keeper_statistics(keeper->keeper);
    const struct {
        const char *name, *type;
        uint64_t value;
    } rows[] = {{"sluice_audit_segments_compressed_total", "counter", statistics.compressed},
                {"sluice_audit_segments_deleted_total", "counter", statistics.deleted},
                {"sluice_audit_shipped_total", "counter", statistics.shipped},
                {"sluice_audit_ship_lag_records", "gauge", statistics.ship_lag},
                {"sluice_audit_anchors_total", "counter", statistics.anchors},
                {"sluice_audit_keeper_failures_total", "counter", statistics.failures}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        buffer_printf(out, "# TYPE %s %s\n%s %" PRIu64 "\n", rows[i].name, rows[i].type, rows[i].name, rows[i].value);
    buffer_printf(out,
                  "# TYPE sluice_audit_last_anchor_timestamp_seconds gauge\n"
                  "sluice_audit_last_anchor_timestamp_seconds %.3f\n",
                  (double)statistics.last_anchor_us / 1e6);
}
