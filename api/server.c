#include "api/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/control.h"
#include "api/customer_names.h"
#include "api/http_guard.h"
#include "api/ingest.h"
#include "api/listener.h"
#include "api/replica.h"
#include "api/request.h"
#include "api/session_owners.h"
#include "api/sockets.h"
#include "audit/request_log.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "openapi/embedded.h"

#define SECRET_CEILING 65536
#define CURSOR_KEY_MINIMUM 32
#define RETRY_MS 500         /* between two tries to reach the database at the start */
#define LEAVE_MS 1000        /* until those who are connected must have heard that another process serves */
#define READY_MS 30000       /* until a process that takes over must be ready */
#define SESSIONS 20000       /* resumable uploads, open and ended, of all customers */
#define LIMITER_KEYS 1000000 /* of the process' own store */

static void forget_secrets(struct server *server)
{
    struct buffer *const secrets[] = {&server->database_password, &server->writer_password, &server->redis_password,
                                      &server->cursor_secret,     &server->login_key,       &server->audit_secret,
                                      &server->spool_secret};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (secrets[i]->data != NULL)
            hash_wipe(secrets[i]->data, secrets[i]->capacity);
        buffer_free(secrets[i]);
    }
}

static enum status read_secrets(struct server *server, struct failure *failure)
{
    const struct config *config = server->config;
    buffer_init(&server->database_password, SECRET_CEILING);
    buffer_init(&server->redis_password, SECRET_CEILING);
    buffer_init(&server->cursor_secret, SECRET_CEILING);
    buffer_init(&server->login_key, SECRET_CEILING);
    buffer_init(&server->writer_password, SECRET_CEILING);
    buffer_init(&server->audit_secret, SECRET_CEILING);
    buffer_init(&server->spool_secret, SECRET_CEILING);
    enum status status = config_secret_read(&config->database.password, &server->database_password, failure);
    if (status == STATUS_OK)
        status = config_secret_read(&config->redis.password, &server->redis_password, failure);
    if (status == STATUS_OK)
        status = config_secret_read(&config->paging.cursor_key, &server->cursor_secret, failure);
    if (status == STATUS_OK)
        status = customer_login_key(config, &server->login_key, failure);
    if (status == STATUS_OK)
        status = config_secret_read(&config->database.writer_password, &server->writer_password, failure);
    if (status == STATUS_OK && config->audit.folder != NULL)
        status = server_audit_read_secret(config, &server->audit_secret, failure);
    if (status == STATUS_OK)
        status = config_secret_read(&config->uploads.encryption_key, &server->spool_secret, failure);
    if (status != STATUS_OK)
        return status;
    if (server->cursor_secret.size == 0) {
        char *key = buffer_reserve(&server->cursor_secret, CURSOR_KEY_MINIMUM);
        if (key == NULL)
            return failure_set(failure, STATUS_FAILED, "out of memory");
        random_bytes(key, CURSOR_KEY_MINIMUM);
        server->cursor_secret.size = CURSOR_KEY_MINIMUM;
    } else if (server->cursor_secret.size < CURSOR_KEY_MINIMUM) {
        return failure_set(failure, STATUS_INVALID, "paging.cursor_key: has %zu bytes, at least %d are needed",
                           server->cursor_secret.size, CURSOR_KEY_MINIMUM);
    }
    server->cursor_key = buffer_text(&server->cursor_secret);
    config_secrets_forget(config);
    return STATUS_OK;
}

struct postgres_login server_login_settings(const struct config *config, const struct buffer *password)
{
    return (struct postgres_login){
        .host = config->database.host,
        .port = config->database.port,
        .ports = config->database.ports,
        .database = config->database.name,
        .user = config->database.user,
        .password = password->size != 0 ? password->data : NULL,
        .sslmode = config->database.sslmode,
        .ca_file = config->database.ca_file,
        .application_name = "sluice",
        .connect_timeout_ms = config->database.connect_timeout_ms,
    };
}

enum status server_login(const struct config *config, const struct buffer *password, struct postgres_resolved *resolved,
                         struct postgres_login *login, struct failure *failure)
{
    *login = server_login_settings(config, password);
    return postgres_resolve(login, resolved, failure);
}

static enum status open_as(const struct config *config, const char *user, const struct config_secret *secret,
                           struct postgres_session **session, struct failure *failure)
{
    struct buffer password;
    struct postgres_resolved resolved;
    struct postgres_login login;
    buffer_init(&password, 65536);
    enum status status = config_secret_read(secret, &password, failure);
    if (status == STATUS_OK)
        status = server_login(config, &password, &resolved, &login, failure);
    if (status == STATUS_OK) {
        login.user = user;
        status = postgres_session_open(&login, session, failure);
    }
    if (password.data != NULL)
        hash_wipe(password.data, password.capacity);
    buffer_free(&password);
    return status;
}

enum status server_open_reader(const struct config *config, struct postgres_session **session, struct failure *failure)
{
    return open_as(config, config->database.user, &config->database.password, session, failure);
}

enum status server_open_owner(const struct config *config, struct postgres_session **session, struct failure *failure)
{
    return open_as(config, config->database.admin_user, &config->database.admin_password, session, failure);
}

/* The contract and its handlers. */

static enum status load_contract(struct server *server, const struct handler *const *handlers, size_t count,
                                 struct failure *failure)
{
    enum status status = openapi_load("openapi.yaml", embedded_contract(), &server->contract, failure);
    if (status == STATUS_OK)
        status = handler_bind(server->contract, handlers, count, &server->bindings, failure);
    return status;
}

/* The database. */

static enum status open_session(struct server *server, bool (*keep_waiting)(void), struct postgres_session **session,
                                struct failure *failure)
{
    const struct timespec pause = {0, RETRY_MS * 1000000L};
    bool told = false;
    for (;;) {
        struct postgres_resolved resolved;
        struct postgres_login login;
        enum status status = server_login(server->config, &server->database_password, &resolved, &login, failure);
        if (status == STATUS_OK)
            status = postgres_session_open(&login, session, failure);
        if (status != STATUS_UNAVAILABLE || !keep_waiting())
            return status;
        if (!told)
            log_event(LOG_WARNING, "database_away", "%s; waiting for it", failure->message);
        told = true;
        nanosleep(&pause, NULL);
    }
}

static void on_login_check(void *context, const struct postgres_rows *rows)
{
    *(bool *)context = postgres_rows_count(rows) == 1 && text_equal(postgres_rows_value(rows, 0, 0), TEXT("t"));
}

static enum status load_catalog(struct server *server, struct postgres_session *session, struct failure *failure)
{
    const struct config *config = server->config;
    struct catalog_override *overrides = calloc(config->serving.aggregate_count + 1, sizeof(*overrides));
    static const char *const names[] = {"mean", "sum", "min", "max"};
    if (overrides == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < config->serving.aggregate_count; i++) {
        overrides[i].column = config->serving.aggregates[i].column;
        for (size_t k = 0; k < 4; k++)
            if (strcmp(config->serving.aggregates[i].function, names[k]) == 0)
                overrides[i].aggregate = (enum aggregate)k;
    }
    struct catalog_options options = {
        {config->serving.region, config->serving.weather, config->serving.market, config->serving.forecast},
        overrides,
        config->serving.aggregate_count};
    enum status status = catalog_load(session, &options, &server->catalog, failure);
    free(overrides);
    if (status != STATUS_OK)
        return status;
    server->summary = summary_create(server->catalog);
    return server->summary != NULL ? STATUS_OK : failure_set(failure, STATUS_FAILED, "out of memory");
}

static enum status read_database(struct server *server, bool (*keep_waiting)(void), struct failure *failure)
{
    struct postgres_session *session;
    bool allowed = false;
    enum status status = open_session(server, keep_waiting, &session, failure);
    if (status != STATUS_OK)
        return status;
    status = postgres_session_query(session, worker_login_check, 0, NULL, on_login_check, &allowed, failure);
    if (status == STATUS_OK && !allowed)
        status = failure_set(failure, STATUS_DENIED,
                             "database.user: the role %s may not serve: it must be NOINHERIT, no superuser, without "
                             "BYPASSRLS, and member of no role; `sluice migrate` makes one that fits, sluice_reader",
                             server->config->database.user);
    if (status == STATUS_OK)
        status = load_catalog(server, session, failure);
    if (status == STATUS_OK)
        status = replicas_create(server->config, &server->database_password, &server->replicas, failure);
    if (status == STATUS_OK)
        status = control_watch_versions(server->control, session, failure);
    postgres_session_close(session);
    return status;
}

static enum status make_cache_prefix(struct server *server, struct failure *failure)
{
    const char *prefix = server->config->redis.prefix;
    if (asprintf(&server->cache_prefix, "%s%s-%016llx:", prefix != NULL ? prefix : "", SLUICE_VERSION,
                 (unsigned long long)summary_fingerprint(server->summary)) >= 0)
        return STATUS_OK;
    server->cache_prefix = NULL;
    return failure_set(failure, STATUS_FAILED, "out of memory");
}

/* Loads: of customers, and of who writes into the warehouse. */

static enum status make_spool(struct server *server, struct failure *failure)
{
    const struct config *config = server->config;
    enum status status = spool_space_create(config->uploads.spool, config->uploads.spool_size, &server->spool, failure);
    if (status != STATUS_OK || server->spool_secret.size == 0)
        return status;
    /* h2o puts what it has read of a body past 32 MB into a file of /tmp, as it came. */
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX;
    return spool_space_encrypt(server->spool, buffer_text(&server->spool_secret), failure);
}

static enum status make_loads(struct server *server, struct failure *failure)
{
    const struct config *config = server->config;
    server->activity = activity_create();
    if (server->activity == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    if (server->login_key.size == 0 && config->database.writer_user == NULL)
        return STATUS_OK;
    enum status status = make_spool(server, failure);
    if (status != STATUS_OK)
        return status;
    struct sessions_options sessions = {.folder = config->uploads.spool,
                                        .space = server->spool,
                                        .each = config->uploads.sessions_each,
                                        .all = SESSIONS,
                                        .lifetime_s = config->uploads.sessions_lifetime_ms / 1000,
                                        .gone = session_owners_gone,
                                        .context = server};
    status = sessions_create(&sessions, &server->sessions, failure);
    if (status != STATUS_OK)
        return status;
    server->loads = tasks_create("load", config->uploads.threads, config->uploads.queue, config->uploads.each);
    return server->loads != NULL ? STATUS_OK
                                 : failure_set(failure, STATUS_FAILED, "out of memory or threads for uploads.threads");
}

static enum status make_jobs(struct server *server, struct failure *failure)
{
    const struct config *config = server->config;
    if (server->login_key.size == 0)
        return STATUS_OK;
    server->known_jobs = job_list_create();
    server->jobs = tasks_create("job", config->jobs.threads, config->jobs.queue, config->jobs.each);
    return server->jobs != NULL && server->known_jobs != NULL
               ? STATUS_OK
               : failure_set(failure, STATUS_FAILED, "out of memory or threads for jobs.threads");
}

/* HTTP. */

static void configure_http(struct server *server)
{
    const struct config *config = server->config;
    h2o_config_init(&server->http);
    server->http.server_name = h2o_iovec_init(H2O_STRLIT("sluice"));
    server->http.http1.upgrade_to_http2 = 0;
    server->http.http1.req_timeout = config->server.request_timeout_ms;
    server->http.handshake_timeout = config->server.request_timeout_ms;
    /* h2o buffers a body before anyone has looked at the token: what is larger goes to the ingest listener. */
    server->http.max_request_entity_size = config->server.max_body;
    h2o_hostconf_t *host = h2o_config_register_host(&server->http, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_handler_t *handler = h2o_create_handler(h2o_config_register_path(host, "/", 0), sizeof(*handler));
    handler->on_req = request_begin;
}

static enum status make_workers(struct server *server, struct failure *failure)
{
    /* The workers share the port, and so would another process of this user: half of the calls would go there. */
    const struct config_address *address = &server->config->server.listen;
    enum status free_status = http_guard_check(failure);
    if (free_status == STATUS_OK && !sockets_has(server->sockets, address))
        free_status = listener_check_free(address, failure);
    if (free_status != STATUS_OK)
        return free_status;
    server->workers = calloc(server->config->server.workers, sizeof(struct worker *));
    if (server->workers == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    while (server->worker_count < server->config->server.workers) {
        enum status status =
            worker_create(server, (unsigned)server->worker_count, &server->workers[server->worker_count], failure);
        if (status != STATUS_OK)
            return status;
        server->worker_count++;
    }
    return STATUS_OK;
}

static enum status make_settings(struct server *server, struct failure *failure)
{
    const struct settings_order order = {.config = server->config, .contract = server->contract};
    server->limiter_store = limiter_store_create(LIMITER_KEYS);
    if (server->limiter_store == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    enum status status = settings_create(&order, &server->settings, failure);
    if (status == STATUS_OK)
        server->datasets = server->settings->datasets;
    return status;
}

enum status server_create(const struct config *config, struct sockets *sockets, const struct handler *const *handlers,
                          size_t handler_count, bool (*keep_waiting)(void), struct server **out,
                          struct failure *failure)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    server->config = config;
    server->sockets = sockets;
    enum status status = load_contract(server, handlers, handler_count, failure);
    if (status == STATUS_OK)
        status = read_secrets(server, failure);
    if (status == STATUS_OK)
        status = make_settings(server, failure);
    if (status == STATUS_OK && strcmp(config->log.requests, "off") != 0)
        status = request_sink_create(config->log.requests, &server->sink, failure);
    if (status == STATUS_OK && config->audit.folder != NULL)
        status = server_audit_create(config, buffer_text(&server->audit_secret), &server->audit, failure);
    if (status == STATUS_OK) {
        configure_http(server);
        status = control_create(server, &server->control, failure);
    }
    if (status == STATUS_OK)
        status = read_database(server, keep_waiting, failure);
    if (status == STATUS_OK)
        status = make_cache_prefix(server, failure);
    if (status == STATUS_OK)
        status = make_loads(server, failure);
    if (status == STATUS_OK)
        status = make_jobs(server, failure);
    if (status == STATUS_OK)
        status = make_workers(server, failure);
    if (status == STATUS_OK && server->audit != NULL)
        status = server_keeper_create(server, &server->keeper, failure);
    if (status == STATUS_OK && config->server.ingest.listen.text != NULL)
        status = ingest_create(server, &server->ingest, failure);
    if (status == STATUS_OK)
        status = sockets_check(sockets, failure);
    if (status != STATUS_OK) {
        server_destroy(server);
        return status;
    }
    *out = server;
    return STATUS_OK;
}

/* The process before goes when this one says that it serves: nobody shall be told in between that nobody does. */
static enum status await_readiness(struct server *server, struct failure *failure)
{
    const struct timespec moment = {0, 10000000L};
    uint64_t end_us = clock_monotonic_us() + READY_MS * 1000;
    while (!control_is_ready(server->control)) {
        if (clock_monotonic_us() > end_us)
            return failure_set(failure, STATUS_FAILED,
                               "not ready after %d s: a lane, the audit log or what is revoked, as /readyz would say; "
                               "the process before goes on",
                               READY_MS / 1000);
        nanosleep(&moment, NULL);
    }
    return STATUS_OK;
}

enum status server_start(struct server *server, struct failure *failure)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < server->worker_count; i++)
        status = worker_start(server->workers[i], failure);
    if (status == STATUS_OK && server->ingest != NULL)
        status = ingest_start(server->ingest, failure);
    if (status == STATUS_OK)
        atomic_store_explicit(&server->serving, true, memory_order_release);
    if (status == STATUS_OK && sockets_shared(server->sockets))
        status = await_readiness(server, failure);
    if (status == STATUS_OK)
        control_serve(server->control);
    return status;
}

void server_hand_over(struct server *server)
{
    const struct timespec moment = {0, 10000000L};
    uint32_t wait_ms = server->config->server.drain_delay_ms;
    atomic_store(&server->handed_over, true);
    control_leave(server->control);
    if (server->ingest != NULL)
        ingest_leave(server->ingest);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_leave(server->workers[i]);
    uint64_t end_us = clock_monotonic_us() + (wait_ms > LEAVE_MS ? wait_ms : LEAVE_MS) * (uint64_t)1000;
    do
        nanosleep(&moment, NULL);
    while (clock_monotonic_us() < end_us &&
           (atomic_load(&server->connections) != 0 ||
            (server->ingest != NULL && ingest_statistics(server->ingest).connections != 0)));
}

void server_drain(struct server *server)
{
    uint32_t delay_ms = atomic_load(&server->handed_over) ? 0 : server->config->server.drain_delay_ms;
    struct timespec delay = {delay_ms / 1000, (long)(delay_ms % 1000) * 1000000L};
    atomic_store(&server->draining, true);
    while (nanosleep(&delay, &delay) != 0)
        ;
    if (server->ingest != NULL)
        ingest_stop(server->ingest);
    if (server->jobs != NULL)
        tasks_stop(server->jobs, 0); /* their ends come to loops that still turn */
    for (size_t i = 0; i < server->worker_count; i++)
        worker_stop(server->workers[i]);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_join(server->workers[i]);
    if (server->loads != NULL)
        tasks_stop(server->loads, 0); /* none is left but one that heeded no cancel */
    control_stop(server->control);
}

void server_destroy(struct server *server)
{
    if (server == NULL)
        return;
    if (server->control != NULL)
        control_stop(server->control);
    ingest_destroy(server->ingest);
    server_keeper_destroy(server->keeper);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_destroy(server->workers[i]);
    free(server->workers);
    tasks_destroy(server->jobs);
    job_list_destroy(server->known_jobs);
    tasks_destroy(server->loads);
    sessions_destroy(server->sessions);
    activity_destroy(server->activity);
    if (server->spool != NULL)
        spool_space_destroy(server->spool);
    control_destroy(server->control);
    replicas_destroy(server->replicas);
    request_sink_destroy(server->sink);
    server_audit_destroy(server->audit);
    summary_destroy(server->summary);
    catalog_free(server->catalog);
    limiter_store_destroy(server->limiter_store);
    if (server->http.hosts != NULL)
        h2o_config_dispose(&server->http);
    settings_free(server->settings); /* no thread is left that would hold them */
    free(server->bindings);
    openapi_free(server->contract);
    free(server->cache_prefix);
    forget_secrets(server);
    free(server);
}
