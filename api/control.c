#include "api/control.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/control_revocations.h"
#include "api/http_guard.h"
#include "api/ingest.h"
#include "api/listener.h"
#include "api/replica_poll.h"
#include "api/revocation_poll.h"
#include "api/worker.h"
#include "audit/request_log.h"
#include "auth/revocation_order.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#define ADMIN_CONNECTIONS 64
#define ADMIN_SEND_TIMEOUT_MS 5000
#define METRICS_CEILING ((size_t)4 << 20)
#define READY_SLACK_MS 2000 /* beyond the poll's interval: how old the last answer of the database may be */
#define POLL_TIMEOUT_MS 2000
#define FIRST_KEYS_MS 3000 /* after this the start waits for no further issuer's keys */

struct control {
    struct server *server;
    struct loop *loop;
    pthread_t thread;
    bool started, stopping;
    h2o_globalconf_t http;
    h2o_context_t context;
    struct listener *listener;
    struct postgres *pool; /* for versions and revocations alone */
    struct revocation_poll *revocation_poll;
    struct replica_poll *replica_poll; /* NULL: no standby is read from */
    struct control_revocations revocations;
    atomic_size_t connections;
    struct loop_message stop_message;
    struct watch_call { /* control_watch_versions, on its way to the thread and back */
        struct loop_message message;
        struct postgres_session *session;
        struct failure *failure;
        enum status status;
        sem_t done;
    } watch;
};

struct admin_handler {
    h2o_handler_t super; /* first: h2o hands it back to us */
    struct control *control;
    void (*append)(struct control *control, struct buffer *out, int *status);
    const char *content_type;
};

static void append_health(struct control *control, struct buffer *out, int *status)
{
    (void)control;
    (void)status;
    buffer_append_literal(out, "{\"status\":\"ok\"}\n");
}

static void sum_metrics(struct control *control, struct metrics *sum)
{
    struct server *server = control->server;
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
    for (size_t i = 0; i < server->config->auth.issuer_count; i++) {
        struct keys *keys = keys_store_current(server->keys[i]);
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
    return server->config->auth.revocation_max_age_ms;
}

/* Ready: this instance can answer from the database, and isn't about to go. Redis is a convenience, its loss is told
 * but costs no readiness. */
static void append_readiness(struct control *control, struct buffer *out, int *status)
{
    struct server *server = control->server;
    if (!atomic_load_explicit(&server->serving, memory_order_acquire)) {
        buffer_append_literal(out, "{\"status\":\"starting\",\"database\":\"down\"}\n");
        *status = 503;
        return;
    }
    struct metrics *sum = malloc(sizeof(*sum));
    bool draining = atomic_load(&server->draining);
    uint64_t age_ms = clock_monotonic_us() / 1000 - versions_polled_at(server->versions);
    bool polled = age_ms < server->config->cache.version_poll_ms + READY_SLACK_MS;
    if (sum == NULL) {
        *status = 503;
        return;
    }
    sum_metrics(control, sum);
    bool database = polled && sum->fast_up, known = revocations_age_ms(server) <= revocations_max_age_ms(server);
    bool ready = database && !draining && !sum->audit_refusing && (known || !server->config->auth.revocation_refuses);
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
    for (size_t i = 0; i < server->config->auth.issuer_count; i++) {
        struct keys_statistics each = keys_store_statistics(server->keys[i]);
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

static void append_metrics(struct control *control, struct buffer *out, int *status)
{
    struct server *server = control->server;
    bool serving = atomic_load_explicit(&server->serving, memory_order_acquire);
    struct metrics *sum = serving ? malloc(sizeof(*sum)) : NULL;
    if (sum == NULL) {
        *status = 503;
        return;
    }
    sum_metrics(control, sum);
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
    append_gauge(out, "process_resident_memory_bytes", resident_bytes());
}

static int on_request(h2o_handler_t *super, h2o_req_t *req)
{
    struct admin_handler *handler = (struct admin_handler *)super;
    bool reads = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) ||
                 h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
    struct buffer body;
    int status = 200;
    buffer_init(&body, METRICS_CEILING);
    if (reads)
        handler->append(handler->control, &body, &status);
    req->res.status = !reads ? 405 : body.failed ? 503 : status;
    req->res.reason = req->res.status == 200 ? "OK" : !reads ? "Method Not Allowed" : "Service Unavailable";
    if (!reads)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ALLOW, NULL, H2O_STRLIT("GET, HEAD"));
    if (atomic_load(&handler->control->server->draining))
        req->http1_is_persistent = 0;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, handler->content_type,
                   strlen(handler->content_type));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-store"));
    h2o_iovec_t copy = h2o_strdup(&req->pool, body.data != NULL ? body.data : "", body.size);
    req->res.content_length = copy.len;
    buffer_free(&body);
    h2o_send_inline(req, copy.base, copy.len);
    return 0;
}

static void add_path(struct control *control, h2o_hostconf_t *host, const char *path,
                     void (*append)(struct control *, struct buffer *, int *), const char *content_type)
{
    h2o_pathconf_t *configured = h2o_config_register_path(host, path, 0);
    struct admin_handler *handler = (struct admin_handler *)h2o_create_handler(configured, sizeof(*handler));
    handler->super.on_req = on_request;
    handler->control = control;
    handler->append = append;
    handler->content_type = content_type;
}

static void on_revocation_written(void *context)
{
    struct control *control = context;
    revocation_poll_now(control->revocation_poll);
}

static void configure_http(struct control *control)
{
    h2o_config_init(&control->http);
    control->http.server_name = h2o_iovec_init(H2O_STRLIT("sluice"));
    control->http.http1.upgrade_to_http2 = 0;
    control->http.http1.req_timeout = 10000;
    control->http.max_request_entity_size = REVOCATION_ORDER_MAX;
    h2o_hostconf_t *host = h2o_config_register_host(&control->http, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    add_path(control, host, "/healthz", append_health, "application/json");
    add_path(control, host, "/readyz", append_readiness, "application/json");
    add_path(control, host, "/metrics", append_metrics, "text/plain; version=0.0.4; charset=utf-8");
    control->revocations = (struct control_revocations){
        .config = control->server->config, .on_written = on_revocation_written, .context = control};
    control_revocations_register(host, &control->revocations);
    http_guard_register(host);
}

static enum status create_store(struct control *control, size_t index, bool in_background, struct failure *failure)
{
    struct server *server = control->server;
    const struct config_issuer *issuer = &server->config->auth.issuers[index];
    struct keys_file *files = calloc(issuer->key_count + 1, sizeof(*files));
    if (files == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < issuer->key_count; i++)
        files[i] = (struct keys_file){issuer->keys[i].kid, issuer->keys[i].algorithm, issuer->keys[i].file};
    struct keys_options options = {.issuer = issuer->issuer,
                                   .files = files,
                                   .file_count = issuer->key_count,
                                   .jwks_url = issuer->jwks_url,
                                   .jwks_file = issuer->jwks_file,
                                   .discovery = issuer->discovery,
                                   .in_background = in_background,
                                   .ca_file = issuer->ca_file,
                                   .refresh_ms = issuer->refresh_ms,
                                   .cooldown_ms = issuer->cooldown_ms,
                                   .timeout_ms = issuer->timeout_ms,
                                   .allowed_algorithms = issuer->allowed_algorithms};
    server->issuers[index] = (struct tokens_issuer){.issuer = issuer->issuer,
                                                    .audiences = issuer->audiences,
                                                    .customer_claim = issuer->customer_claim,
                                                    .customer = issuer->customer,
                                                    .tier_claim = issuer->tier_claim,
                                                    .tier = issuer->tier};
    enum status status = keys_store_create(control->loop, &options, &server->keys[index], failure);
    free(files);
    return status;
}

/* Addresses that do not answer cost the start a few seconds together, however many they are: those behind them are
 * fetched while the first requests come, which wait for them. */
static enum status create_keys(struct control *control, struct failure *failure)
{
    const struct config *config = control->server->config;
    uint64_t give_up_us = clock_monotonic_us() + FIRST_KEYS_MS * 1000;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < config->auth.issuer_count; i++)
        status = create_store(control, i, clock_monotonic_us() > give_up_us, failure);
    return status;
}

static enum status watch_versions(struct control *control, struct postgres_session *session, struct failure *failure)
{
    struct server *server = control->server;
    struct postgres_resolved resolved;
    struct postgres_options options = {.mode = POSTGRES_PIPELINED,
                                       .connections = 1,
                                       .queue = ADMIN_CONNECTIONS + 4, /* orders to revoke, and the polls */
                                       .statement_timeout_ms = POLL_TIMEOUT_MS,
                                       .check = worker_login_check};
    enum status status = server_login(server->config, &server->database_password, &resolved, &options.login, failure);
    if (status == STATUS_OK)
        status = postgres_create(control->loop, &options, &control->pool, failure);
    if (status == STATUS_OK)
        status = versions_create(control->loop, control->pool, session, server->catalog,
                                 server->config->cache.version_poll_ms, &server->versions, failure);
    if (status == STATUS_OK)
        status = revocation_poll_create(control->loop, control->pool, session, server->revocations,
                                        &control->revocation_poll, failure);
    if (status == STATUS_OK)
        status = replica_poll_create(control->loop, control->pool, server->replicas, &control->replica_poll, failure);
    if (status == STATUS_OK)
        control->revocations.pool = control->pool; /* orders are taken from here on */
    return status;
}

static enum status create_listener(struct control *control, struct failure *failure)
{
    struct listener_options options = {.address = &control->server->config->server.admin,
                                       .connections = &control->connections,
                                       .max_connections = ADMIN_CONNECTIONS,
                                       .send_timeout_ms = ADMIN_SEND_TIMEOUT_MS};
    return listener_create(control->loop, &control->context, control->http.hosts, &options, &control->listener,
                           failure);
}

static void on_watch(struct loop_message *message)
{
    struct control *control = H2O_STRUCT_FROM_MEMBER(struct control, watch.message, message);
    control->watch.status = watch_versions(control, control->watch.session, control->watch.failure);
    sem_post(&control->watch.done);
}

enum status control_watch_versions(struct control *control, struct postgres_session *session, struct failure *failure)
{
    control->watch.message.on_message = on_watch;
    control->watch.session = session;
    control->watch.failure = failure;
    loop_post(control->loop, &control->watch.message);
    while (sem_wait(&control->watch.done) != 0)
        ; /* a signal */
    return control->watch.status;
}

static void *run(void *context);

enum status control_create(struct server *server, struct control **out, struct failure *failure)
{
    struct control *control = calloc(1, sizeof(*control));
    if (control == NULL || (control->loop = loop_create()) == NULL) {
        free(control);
        return failure_set(failure, STATUS_FAILED, "out of memory or descriptors");
    }
    control->server = server;
    configure_http(control);
    h2o_context_init(&control->context, loop_evloop(control->loop), &control->http);
    sem_init(&control->watch.done, 0, 0);
    server->revocations = revocations_store_create();
    enum status status = server->revocations != NULL ? create_keys(control, failure)
                                                     : failure_set(failure, STATUS_FAILED, "out of memory");
    if (status == STATUS_OK)
        status = create_listener(control, failure);
    int error = status == STATUS_OK ? pthread_create(&control->thread, NULL, run, control) : 0;
    control->started = status == STATUS_OK && error == 0;
    if (error != 0)
        status = failure_set(failure, STATUS_FAILED, "could not start the control thread: %s", strerror(error));
    if (status != STATUS_OK) {
        control_destroy(control);
        return status;
    }
    *out = control;
    return STATUS_OK;
}

void control_destroy(struct control *control)
{
    if (control == NULL)
        return;
    control_stop(control);
    versions_destroy(control->server->versions);
    control->server->versions = NULL;
    revocation_poll_destroy(control->revocation_poll);
    replica_poll_destroy(control->replica_poll);
    postgres_destroy(control->pool);
    for (size_t i = 0; i < TOKENS_MAX_ISSUERS; i++)
        keys_store_destroy(control->server->keys[i]);
    memset(control->server->keys, 0, sizeof(control->server->keys));
    revocations_store_destroy(control->server->revocations);
    control->server->revocations = NULL;
    listener_destroy(control->listener);
    h2o_context_dispose(&control->context);
    h2o_config_dispose(&control->http);
    loop_destroy(control->loop);
    sem_destroy(&control->watch.done);
    free(control);
}

static void on_stop(struct loop_message *message)
{
    struct control *control = H2O_STRUCT_FROM_MEMBER(struct control, stop_message, message);
    control->stopping = true;
    listener_stop(control->listener);
    listener_cut(control->listener);
}

static void *run(void *context)
{
    struct control *control = context;
    pthread_setname_np(pthread_self(), "control");
    listener_start(control->listener);
    while (!control->stopping)
        loop_turn(control->loop, 1000);
    uint64_t deadline = loop_now_ms(control->loop) + 1000;
    while (listener_connections(control->listener) != 0 && loop_now_ms(control->loop) < deadline)
        loop_turn(control->loop, 50);
    replica_poll_stop(control->replica_poll);
    if (control->pool != NULL)
        postgres_stop(control->pool); /* its sockets hold pointers into this thread's own memory */
    return NULL;
}

void control_stop(struct control *control)
{
    if (!control->started)
        return;
    control->stop_message.on_message = on_stop;
    loop_post(control->loop, &control->stop_message);
    pthread_join(control->thread, NULL);
    control->started = false;
}
