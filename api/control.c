#include "api/control.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/control_revocations.h"
#include "api/control_tell.h"
#include "api/http_guard.h"
#include "api/listener.h"
#include "api/replica_poll.h"
#include "api/revocation_poll.h"
#include "api/settings_keys.h"
#include "api/sockets.h"
#include "api/worker.h"
#include "auth/revocation_order.h"

#define ADMIN_CONNECTIONS 64
#define ADMIN_SEND_TIMEOUT_MS 5000
#define METRICS_CEILING ((size_t)4 << 20)
#define POLL_TIMEOUT_MS 2000

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
    struct loop_message stop_message, serve_message, leave_message;
    struct settings *settings; /* all that live */
    struct control_call {      /* of the main thread, on its way to this one and back; one at a time */
        struct loop_message message;
        enum status (*run)(struct control *control, void *order, struct failure *failure);
        void *order;
        struct failure *failure;
        enum status status;
        sem_t done;
    } call;
};

struct admin_handler {
    h2o_handler_t super; /* first: h2o hands it back to us */
    struct control *control;
    void (*append)(struct server *server, struct buffer *out, int *status);
    const char *content_type;
};

static int on_request(h2o_handler_t *super, h2o_req_t *req)
{
    struct admin_handler *handler = (struct admin_handler *)super;
    bool reads = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) ||
                 h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
    struct buffer body;
    int status = 200;
    buffer_init(&body, METRICS_CEILING);
    if (reads)
        handler->append(handler->control->server, &body, &status);
    req->res.status = !reads ? 405 : body.failed ? 503 : status;
    req->res.reason = req->res.status == 200 ? "OK" : !reads ? "Method Not Allowed" : "Service Unavailable";
    if (!reads)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ALLOW, NULL, H2O_STRLIT("GET, HEAD"));
    if (atomic_load(&handler->control->server->draining) || atomic_load(&handler->control->server->handed_over))
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
                     void (*append)(struct server *, struct buffer *, int *), const char *content_type)
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
    add_path(control, host, "/healthz", control_tell_health, "application/json");
    add_path(control, host, "/readyz", control_tell_readiness, "application/json");
    add_path(control, host, "/metrics", control_tell_metrics, "text/plain; version=0.0.4; charset=utf-8");
    control->revocations = (struct control_revocations){
        .config = control->server->config, .on_written = on_revocation_written, .context = control};
    control_revocations_register(host, &control->revocations);
    http_guard_register(host);
}

static enum status watch_versions(struct control *control, void *order, struct failure *failure)
{
    struct postgres_session *session = order;
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
                                       .sockets = control->server->sockets,
                                       .connections = &control->connections,
                                       .max_connections = ADMIN_CONNECTIONS,
                                       .send_timeout_ms = ADMIN_SEND_TIMEOUT_MS};
    return listener_create(control->loop, &control->context, control->http.hosts, &options, &control->listener,
                           failure);
}

static void on_call(struct loop_message *message)
{
    struct control *control = H2O_STRUCT_FROM_MEMBER(struct control, call.message, message);
    control->call.status = control->call.run(control, control->call.order, control->call.failure);
    sem_post(&control->call.done);
}

/* Runs on the control thread; waits for it. */
static enum status call(struct control *control,
                        enum status (*run)(struct control *control, void *order, struct failure *failure), void *order,
                        struct failure *failure)
{
    control->call.message.on_message = on_call;
    control->call.run = run;
    control->call.order = order;
    control->call.failure = failure;
    loop_post(control->loop, &control->call.message);
    while (sem_wait(&control->call.done) != 0)
        ; /* a signal */
    return control->call.status;
}

enum status control_watch_versions(struct control *control, struct postgres_session *session, struct failure *failure)
{
    return call(control, watch_versions, session, failure);
}

/* Settings. */

static void free_settings(struct control *control, struct settings *settings)
{
    struct settings **link = &control->settings;
    while (*link != settings)
        link = &(*link)->next;
    *link = settings->next;
    settings_keys_close(settings);
    settings_free(settings);
}

static void on_unused_message(struct loop_message *message)
{
    struct settings *settings = H2O_STRUCT_FROM_MEMBER(struct settings, unused, message);
    free_settings(settings->owner, settings);
}

static void on_unused(struct settings *settings)
{
    struct control *control = settings->owner;
    settings->unused.on_message = on_unused_message;
    loop_post(control->loop, &settings->unused);
}

static enum status adopt_settings(struct control *control, struct settings *settings, const struct settings *before,
                                  struct failure *failure)
{
    settings->owner = control;
    settings->on_unused = on_unused;
    settings->next = control->settings;
    control->settings = settings;
    return settings_keys_open(control->loop, settings, before, failure);
}

struct reading {
    struct config *config;
    struct settings *settings;
};

static enum status read_settings(struct control *control, void *order, struct failure *failure)
{
    struct reading *reading = order;
    const struct settings *before = control->server->settings;
    const struct settings_order made = {reading->config, true, control->server->contract, before};
    enum status status = settings_create(&made, &reading->settings, failure);
    if (status != STATUS_OK)
        return status;
    status = adopt_settings(control, reading->settings, before, failure);
    if (status != STATUS_OK)
        free_settings(control, reading->settings);
    return status;
}

enum status control_read_settings(struct control *control, struct config *config, struct settings **settings,
                                  struct failure *failure)
{
    struct reading reading = {config, NULL};
    enum status status = call(control, read_settings, &reading, failure);
    if (status == STATUS_OK)
        *settings = reading.settings;
    return status;
}

static enum status take_settings(struct control *control, void *order, struct failure *failure)
{
    struct settings *before = control->server->settings;
    (void)failure;
    control->server->settings = order;
    control->revocations.config = control->server->settings->config;
    settings_keys_sweep(false);
    settings_unref(before);
    return STATUS_OK;
}

void control_take_settings(struct control *control, struct settings *settings)
{
    struct failure none;
    if (call(control, take_settings, settings, &none) != STATUS_OK)
        return; /* it has no way to fail */
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
    sem_init(&control->call.done, 0, 0);
    server->revocations = revocations_store_create();
    enum status status = server->revocations != NULL ? adopt_settings(control, server->settings, NULL, failure)
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
    for (struct settings *each = control->settings; each != NULL; each = each->next)
        settings_keys_close(each);
    settings_keys_sweep(true);
    revocations_store_destroy(control->server->revocations);
    control->server->revocations = NULL;
    listener_destroy(control->listener);
    h2o_context_dispose(&control->context);
    h2o_config_dispose(&control->http);
    loop_destroy(control->loop);
    control->server->settings = NULL;
    while (control->settings != NULL) { /* the loop may have held messages of them */
        struct settings *settings = control->settings;
        control->settings = settings->next;
        settings_free(settings);
    }
    sem_destroy(&control->call.done);
    free(control);
}

static void on_stop(struct loop_message *message)
{
    struct control *control = H2O_STRUCT_FROM_MEMBER(struct control, stop_message, message);
    control->stopping = true;
    listener_stop(control->listener);
    listener_cut(control->listener);
}

static enum status ask_readiness(struct control *control, void *order, struct failure *failure)
{
    struct buffer out;
    int *code = order;
    (void)failure;
    buffer_init(&out, METRICS_CEILING);
    control_tell_readiness(control->server, &out, code);
    buffer_free(&out);
    return STATUS_OK;
}

bool control_is_ready(struct control *control)
{
    struct failure none;
    int code = 200;
    return call(control, ask_readiness, &code, &none) == STATUS_OK && code == 200;
}

static void on_serve(struct loop_message *message)
{
    struct control *control = H2O_STRUCT_FROM_MEMBER(struct control, serve_message, message);
    listener_start(control->listener);
}

void control_serve(struct control *control)
{
    control->serve_message.on_message = on_serve;
    loop_post(control->loop, &control->serve_message);
}

static void on_leave(struct loop_message *message)
{
    struct control *control = H2O_STRUCT_FROM_MEMBER(struct control, leave_message, message);
    listener_stop(control->listener);
}

void control_leave(struct control *control)
{
    control->leave_message.on_message = on_leave;
    loop_post(control->loop, &control->leave_message);
}

static void *run(void *context)
{
    struct control *control = context;
    pthread_setname_np(pthread_self(), "control");
    if (!sockets_shared(control->server->sockets)) /* it must not tell of this process while another one serves */
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
