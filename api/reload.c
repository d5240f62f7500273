#include "api/reload.h"

#include <semaphore.h>

#include "api/config_change.h"
#include "api/control.h"
#include "api/ingest.h"
#include "api/worker.h"

#define REPORT_CEILING ((size_t)1 << 20)

/* Each mistake is a line of the log. */
static void refuse(struct server *server, struct text report)
{
    atomic_fetch_add(&server->reloads_refused, 1);
    while (report.size != 0) {
        struct text line = text_split(&report, '\n');
        if (line.size != 0)
            log_event(LOG_ERROR, "reload_refused", "%.*s", TEXT_ARGS(line));
        if (report.data == NULL)
            break;
    }
    log_event(LOG_WARNING, "reload_refused", "the configuration of before stays");
}

/* What is written there; STATUS_OK: it may be taken over. */
static enum status read_file(const struct server *server, struct config **config, struct buffer *report)
{
    enum status status = config_load(server->config->path, config, report);
    if (status != STATUS_OK)
        return status;
    status = config_check_reload(server->config, *config, report);
    if (status != STATUS_OK)
        config_free(*config);
    return status;
}

static void wait_for(sem_t *done, size_t count)
{
    while (count != 0)
        count -= sem_wait(done) == 0;
}

/* First all workers make what they need: only if none lacks memory they change over. */
static bool hand_to_workers(struct server *server, struct settings *settings)
{
    sem_t done;
    bool good = true;
    sem_init(&done, 0, 0);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_prepare(server->workers[i], settings, &done);
    wait_for(&done, server->worker_count);
    for (size_t i = 0; i < server->worker_count; i++)
        good = good && server->workers[i]->prepared != NULL;
    for (size_t i = 0; i < server->worker_count; i++)
        worker_commit(server->workers[i], good, &done);
    wait_for(&done, server->worker_count);
    sem_destroy(&done);
    return good;
}

static void take_over(struct server *server, struct settings *settings)
{
    if (!hand_to_workers(server, settings)) {
        settings_unref(settings);
        refuse(server, TEXT("out of memory"));
        return;
    }
    if (server->ingest != NULL)
        ingest_set_tls(server->ingest, settings->tls);
    log_set_level(settings->config->log.level);
    log_event(LOG_INFO, "reloaded", "%s: taken over; requests that began before end as they began",
              settings->config->path);
    control_take_settings(server->control, settings);
    atomic_fetch_add(&server->reloads, 1); /* whoever waits for it finds all of it done */
}

void reload_config(struct server *server)
{
    struct config *config = NULL;
    struct settings *settings;
    struct failure failure = {0};
    struct buffer report;
    buffer_init(&report, REPORT_CEILING);
    enum status status = read_file(server, &config, &report);
    if (status == STATUS_OK) {
        status = control_read_settings(server->control, config, &settings, &failure);
        if (status != STATUS_OK)
            buffer_append_string(&report, failure.message);
    }
    if (status == STATUS_OK)
        take_over(server, settings);
    else
        refuse(server, report.size != 0 ? buffer_text(&report) : TEXT("out of memory"));
    buffer_free(&report);
}
