#include "api/worker.h"

#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "api/customers.h"
#include "api/request.h"
#include "api/request_task.h"
#include "audit/request_log.h"
#include "base/log.h"

#define PUBLISH_MS 500
#define SWEEP_MS 5000
#define SWEEPS_OF_GRACE 6 /* a reader's pace is judged over this many sweeps */
#define REDIS_QUEUE 16384
#define LIMIT_KEYS 65536
#define SCAN_IDLE_MS 60000
#define SEND_TIMEOUT_MS                                                                                                \
    60000 /* a peer that acknowledges nothing for this long is dropped: after the sweep has judged it */
#define DESCRIBE_QUEUE 1024
#define DESCRIBE_TIMEOUT_MS 2000
#define BODIES 128         /* of server.max_body, of all workers, that may be on their way; */
#define BODIES_LEAST 4     /* and of one worker at least */
#define VERDICTS 4096      /* EXPLAINed statements remembered */
#define LAST_WORDS_MS 3000 /* after the deadline: until cut connections must be gone; a token waits 2 s for its key */

/* What every connection of ours is told after login. Rows are read as text, so their forms must not depend on how the
 * server was configured. */
#define COMMON_SETTINGS                                                                                                \
    "TimeZone", "UTC", "DateStyle", "ISO, MDY", "IntervalStyle", "postgres", "bytea_output", "hex",                    \
        "default_transaction_read_only", "on", "search_path", "", "jit", "off"

/* A plan a statement, not one an execution: look-ups by key gain nothing from knowing the key. */
static const char *const fast_settings[] = {COMMON_SETTINGS, "plan_cache_mode", "force_generic_plan", NULL};
/* And a query whose gateway was killed ends by itself, instead of at its timeout. */
static const char *const scan_settings[] = {COMMON_SETTINGS, "client_connection_check_interval", "1s", NULL};

/* The first wall (DESIGN, decision 5): the reader is member of nothing and inherits nothing. */
const char worker_login_check[] =
    "select session_user = current_user and not r.rolsuper and not r.rolinherit and not r.rolbypassrls and"
    " not exists (select 1 from pg_catalog.pg_auth_members m where m.member = r.oid)"
    " from pg_catalog.pg_roles r where r.rolname = current_user";

static enum status create_customers(struct worker *worker, const struct postgres_login *reader, struct failure *failure)
{
    const struct server *server = worker->server;
    if (server->login_key.size == 0)
        return STATUS_OK;
    worker->customers = customers_create(worker->loop, server->config, reader, buffer_text(&server->login_key));
    return worker->customers != NULL
               ? STATUS_OK
               : failure_set(failure, STATUS_FAILED, "out of memory while worker %u was made", worker->index);
}

static enum status create_pools(struct worker *worker, struct failure *failure)
{
    const struct config *config = worker->server->config;
    struct postgres_resolved resolved;
    struct postgres_options fast = {.mode = POSTGRES_PIPELINED,
                                    .connections = config->database.fast_connections,
                                    .queue = config->database.fast_queue,
                                    .statement_timeout_ms = config->database.fast_timeout_ms,
                                    .settings = fast_settings,
                                    .check = worker_login_check};
    struct postgres_options scan = {.mode = POSTGRES_STREAMED,
                                    .connections = config->database.scan_connections,
                                    .queue = config->database.scan_queue,
                                    .queue_timeout_ms = config->database.scan_queue_timeout_ms,
                                    .statement_timeout_ms = config->database.scan_timeout_ms,
                                    .idle_timeout_ms = SCAN_IDLE_MS,
                                    .settings = scan_settings,
                                    .check = worker_login_check};
    struct postgres_options describe = {.mode = POSTGRES_PIPELINED,
                                        .connections = 1,
                                        .queue = DESCRIBE_QUEUE,
                                        .statement_timeout_ms = DESCRIBE_TIMEOUT_MS,
                                        .settings = fast_settings,
                                        .check = worker_login_check};
    enum status status = server_login(config, &worker->server->database_password, &resolved, &fast.login, failure);
    describe.login = scan.login = fast.login;
    if (status == STATUS_OK)
        status = postgres_create(worker->loop, &fast, &worker->fast, failure);
    if (status == STATUS_OK)
        status = postgres_create(worker->loop, &scan, &worker->scan, failure);
    if (status == STATUS_OK)
        status = postgres_create(worker->loop, &describe, &worker->describe, failure);
    if (status == STATUS_OK)
        status = create_customers(worker, &fast.login, failure);
    return status;
}

/* To each standby a pool of its own, like the scans'. */
static enum status create_replicas(struct worker *worker, struct failure *failure)
{
    const struct config *config = worker->server->config;
    const struct replicas *replicas = worker->server->replicas;
    enum status status = STATUS_OK;
    for (size_t i = 0; replicas != NULL && status == STATUS_OK && i < replicas->count; i++) {
        const struct postgres_options options = {.login = replicas->items[i].login,
                                                 .mode = POSTGRES_STREAMED,
                                                 .connections = config->database.replica_connections,
                                                 .queue = config->database.scan_queue,
                                                 .queue_timeout_ms = config->database.scan_queue_timeout_ms,
                                                 .statement_timeout_ms = config->database.scan_timeout_ms,
                                                 .idle_timeout_ms = SCAN_IDLE_MS,
                                                 .settings = scan_settings,
                                                 .check = worker_login_check};
        status = postgres_create(worker->loop, &options, &worker->replicas[i], failure);
    }
    return status;
}

static enum status create_redis(struct worker *worker, struct failure *failure)
{
    const struct config *config = worker->server->config;
    if (config->redis.address == NULL)
        return STATUS_OK;
    struct redis_options options = {.address = config->redis.address,
                                    .database = config->redis.database,
                                    .timeout_ms = config->redis.timeout_ms,
                                    .queue = REDIS_QUEUE};
    if (worker->server->redis_password.size != 0)
        options.password = worker->server->redis_password.data;
    return redis_create(worker->loop, &options, &worker->redis, failure);
}

static enum status create_subjects(struct worker *worker, struct failure *failure)
{
    const struct config *config = worker->server->config;
    struct limiter_options limiter = {worker->redis, config->redis.prefix, worker->server->limiter_store,
                                      config->limits.instances, LIMIT_KEYS};
    struct cache_options cache = {config->cache.memory, config->cache.ttl_ms, config->cache.stale_ms, worker->redis,
                                  worker->server->cache_prefix};
    worker->revocations = revocations_view_create(worker->server->revocations);
    worker->limiter = limiter_create(worker->loop, &limiter);
    worker->cache = cache_create(worker->loop, &cache);
    struct cache_options answers = {config->cache.answers, config->cache.ttl_ms, config->cache.stale_ms, NULL, NULL};
    worker->answers = config->cache.answers != 0 ? cache_create(worker->loop, &answers) : NULL;
    worker->current = worker_settings_create(worker, worker->server->settings, NULL);
    worker->verdicts = verdicts_create(VERDICTS);
    worker->gone = gone_create(worker->loop);
    worker->request_log = request_log_create(worker->loop, worker->server->sink);
    if (worker->current == NULL || worker->revocations == NULL || worker->limiter == NULL || worker->cache == NULL ||
        worker->gone == NULL || worker->request_log == NULL || worker->verdicts == NULL ||
        (config->cache.answers != 0 && worker->answers == NULL))
        return failure_set(failure, STATUS_FAILED, "out of memory or descriptors while worker %u was made",
                           worker->index);
    return STATUS_OK;
}

static enum status create_audit(struct worker *worker, struct failure *failure)
{
    struct server_audit *audit = worker->server->audit;
    if (audit == NULL)
        return STATUS_OK;
    return audit_log_open(worker->loop, &audit->options, worker->index, &worker->audit, failure);
}

/* A worker's share of what bodies may take that are still coming; the rest of them is cut. */
static size_t body_memory(const struct config *config)
{
    size_t share = BODIES / config->server.workers;
    return (share < BODIES_LEAST ? BODIES_LEAST : share) * config->server.max_body;
}

static enum status create_listener(struct worker *worker, struct failure *failure)
{
    const struct config *config = worker->server->config;
    bool counts = config->server.max_connections_per_address != 0 && !config->server.proxy_protocol;
    struct listener_options options = {
        .address = &config->server.listen,
        .sockets = worker->server->sockets,
        .index = worker->index,
        .of = config->server.workers,
        .share_port = true,
        .tls = worker->server->settings->tls,
        .proxies = config->server.proxy_protocol ? &config->server.trusted_proxies : NULL,
        .connections = &worker->server->connections,
        .max_connections = config->server.max_connections,
        .addresses = counts ? &worker->server->addresses : NULL,
        .uncounted = &config->server.trusted_proxies,
        .max_of_address = config->server.max_connections_per_address,
        .body_memory = body_memory(config),
        .send_timeout_ms = SEND_TIMEOUT_MS,
    };
    return listener_create(worker->loop, &worker->context, worker->server->http.hosts, &options, &worker->listener,
                           failure);
}

enum status worker_create(struct server *server, unsigned index, struct worker **out, struct failure *failure)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL || (worker->loop = loop_create()) == NULL) {
        free(worker);
        return failure_set(failure, STATUS_FAILED, "out of memory or descriptors while worker %u was made", index);
    }
    worker->server = server;
    worker->index = index;
    pthread_mutex_init(&worker->published_lock, NULL);
    h2o_context_init(&worker->context, loop_evloop(worker->loop), &server->http);
    enum status status = create_pools(worker, failure);
    if (status == STATUS_OK)
        status = create_replicas(worker, failure);
    if (status == STATUS_OK)
        status = create_redis(worker, failure);
    if (status == STATUS_OK)
        status = create_subjects(worker, failure);
    if (status == STATUS_OK)
        status = create_audit(worker, failure);
    if (status == STATUS_OK)
        status = create_listener(worker, failure);
    if (status != STATUS_OK) {
        worker_destroy(worker);
        return status;
    }
    *out = worker;
    return STATUS_OK;
}

/* What holds connections to other servers. Their sockets were opened by the worker's thread, and h2o keeps pointers
 * into that thread's own memory in them: it closes them, unless it never ran. */
static void close_connections(struct worker *worker)
{
    worker_settings_unref(worker->prepared);
    worker_settings_unref(worker->current);
    postgres_destroy(worker->fast);
    postgres_destroy(worker->scan);
    postgres_destroy(worker->describe);
    for (size_t i = 0; i < REPLICAS_MAX; i++) {
        postgres_destroy(worker->replicas[i]);
        worker->replicas[i] = NULL;
    }
    customers_destroy(worker->customers);
    limiter_destroy(worker->limiter);
    cache_destroy(worker->cache);
    cache_destroy(worker->answers);
    redis_destroy(worker->redis);
    worker->prepared = worker->current = NULL;
    worker->fast = worker->scan = worker->describe = NULL;
    worker->customers = NULL;
    worker->limiter = NULL;
    worker->cache = worker->answers = NULL;
    worker->redis = NULL;
}

void worker_destroy(struct worker *worker)
{
    if (worker == NULL)
        return;
    loop_timer_stop(&worker->publish_timer);
    loop_timer_stop(&worker->sweep_timer);
    /* A connection that outlived the last words would find what it needs freed, in the loop's last turn. The process is
     * about to end: its memory goes with it. */
    if (worker->listener != NULL && listener_connections(worker->listener) != 0)
        return;
    listener_destroy(worker->listener);
    close_connections(worker);
    revocations_view_destroy(worker->revocations);
    verdicts_destroy(worker->verdicts);
    gone_destroy(worker->gone);
    request_log_destroy(worker->request_log);
    request_free_spares(worker);
    h2o_context_dispose(&worker->context);
    audit_log_close(worker->audit);
    loop_destroy(worker->loop);
    pthread_mutex_destroy(&worker->published_lock);
    free(worker);
}

static void publish(struct worker *worker)
{
    struct metrics *metrics = &worker->metrics;
    metrics->connections = listener_connections(worker->listener);
    metrics->connections_refused = listener_refused(worker->listener);
    metrics->bodies_cut = listener_bodies_cut(worker->listener);
    metrics->fast_up = postgres_is_up(worker->fast);
    metrics->scan_up = postgres_is_up(worker->scan);
    metrics->fast = postgres_statistics(worker->fast);
    metrics->scan = postgres_statistics(worker->scan);
    metrics->replica = (struct postgres_statistics){0};
    for (size_t i = 0; i < REPLICAS_MAX && worker->replicas[i] != NULL; i++) {
        struct postgres_statistics each = postgres_statistics(worker->replicas[i]);
        metrics->replica_configured = true;
        metrics_add_lane(&metrics->replica, &each);
    }
    if (worker->customers != NULL)
        metrics->customers = customers_statistics(worker->customers);
    metrics->redis_configured = worker->redis != NULL;
    metrics->redis_up = worker->redis != NULL && redis_is_up(worker->redis);
    if (worker->redis != NULL)
        metrics->redis = redis_statistics(worker->redis);
    metrics->cache = cache_statistics(worker->cache);
    if (worker->answers != NULL)
        metrics->answers = cache_statistics(worker->answers);
    metrics->datasets = datasets_statistics(worker->current->datasets);
    metrics->limiter = limiter_statistics(worker->limiter);
    metrics->tokens = tokens_statistics(worker->current->tokens);
    if (worker->audit != NULL) {
        struct audit_statistics audit = audit_log_statistics(worker->audit);
        metrics->audit_configured = true;
        metrics->audit_failing = audit.failing;
        metrics->audit_refusing = !audit_log_accepts(worker->audit);
        metrics->audit = (struct metrics_audit){audit.records, audit.bytes,   audit.writes,
                                                audit.syncs,   audit.dropped, audit.failures};
    }
    pthread_mutex_lock(&worker->published_lock);
    worker->published = *metrics;
    pthread_mutex_unlock(&worker->published_lock);
}

static void on_publish(struct loop_timer *timer)
{
    struct worker *worker = H2O_STRUCT_FROM_MEMBER(struct worker, publish_timer, timer);
    publish(worker);
    loop_timer_start(worker->loop, timer, PUBLISH_MS, on_publish);
}

/* TCP_USER_TIMEOUT ends readers that stand still; this ends those that drip: what they acknowledge within the time of
 * grace is too little, although there was more for them to take. */
static void judge_reader(struct request *request, uint64_t wanted)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    h2o_conn_t *connection = request->h2o->conn;
    int fd = h2o_socket_get_fd(connection->callbacks->get_socket(connection));
    struct respond *respond = &request->respond;
    if (!respond->started || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        (info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0)) {
        respond->sweeps = 0;
        return;
    }
    if (respond->sweeps++ == 0) {
        respond->acknowledged = info.tcpi_bytes_acked;
        return;
    }
    if (respond->sweeps <= SWEEPS_OF_GRACE)
        return;
    respond->sweeps = 0;
    if (info.tcpi_bytes_acked - respond->acknowledged >= wanted)
        return;
    struct linger reset = {1, 0};
    request->reason = "slow-reader";
    request->worker->metrics.slow_readers_cut++;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    shutdown(fd, SHUT_RDWR);
}

static void on_sweep(struct loop_timer *timer)
{
    struct worker *worker = H2O_STRUCT_FROM_MEMBER(struct worker, sweep_timer, timer);
    for (struct request *request = worker->requests; request != NULL; request = request->next) {
        uint64_t rate = request->settings->config->server.min_send_rate;
        if (rate != 0)
            judge_reader(request, rate * SWEEP_MS * SWEEPS_OF_GRACE / 1000);
    }
    loop_timer_start(worker->loop, timer, SWEEP_MS, on_sweep);
}

/* What is in flight, and what comes on the connections that are open, is answered and then closed. */
static void on_leave(struct loop_message *message)
{
    struct worker *worker = H2O_STRUCT_FROM_MEMBER(struct worker, leave_message, message);
    listener_stop(worker->listener);
    worker->context.shutdown_requested = 1;
    for (const struct request *request = worker->requests; request != NULL; request = request->next)
        request->h2o->http1_is_persistent = 0;
}

static void prepare(struct worker *worker, struct settings *settings)
{
    worker->prepared = worker_settings_create(worker, settings, worker->current);
}

static void commit(struct worker *worker)
{
    struct worker_settings *before = worker->current;
    worker->current = worker->prepared;
    worker->prepared = NULL;
    const struct settings *settings = worker->current->settings;
    listener_set_tls(worker->listener, settings->tls);
    limiter_set_instances(worker->limiter, settings->config->limits.instances);
    cache_set_ttl(worker->cache, settings->config->cache.ttl_ms);
    if (worker->answers != NULL)
        cache_set_ttl(worker->answers, settings->config->cache.ttl_ms);
    worker_settings_unref(before);
}

static void on_order(struct loop_message *message)
{
    struct worker *worker = H2O_STRUCT_FROM_MEMBER(struct worker, order.message, message);
    if (worker->order.settings != NULL) {
        prepare(worker, worker->order.settings);
    } else if (worker->order.commits) {
        commit(worker);
    } else {
        worker_settings_unref(worker->prepared);
        worker->prepared = NULL;
    }
    sem_post(worker->order.done);
}

static void give_order(struct worker *worker, struct settings *settings, bool commits, sem_t *done)
{
    worker->order = (struct worker_order){{NULL, on_order}, settings, commits, done};
    loop_post(worker->loop, &worker->order.message);
}

void worker_prepare(struct worker *worker, struct settings *settings, sem_t *done)
{
    give_order(worker, settings, false, done);
}

void worker_commit(struct worker *worker, bool really, sem_t *done)
{
    give_order(worker, NULL, really, done);
}

/* Readiness has fallen by now: nothing new is sent here. What is idle ends, what is in flight is finished. */
static void begin_stop(struct worker *worker)
{
    worker->stopping = true;
    listener_stop(worker->listener);
    /* Not h2o_context_request_shutdown: it arms a timer for HTTP/2 that h2o_context_dispose then finds and aborts on.
     */
    worker->context.shutdown_requested = 1;
    for (const struct request *request = worker->requests; request != NULL; request = request->next) {
        h2o_conn_t *connection = request->h2o->conn;
        listener_keep(connection->callbacks->get_socket(connection));
        request->h2o->http1_is_persistent = 0; /* the connection ends with its answer, not with the drain */
    }
    listener_shut_idle(worker->listener);
}

static void on_stop(struct loop_message *message)
{
    begin_stop(H2O_STRUCT_FROM_MEMBER(struct worker, stop_message, message));
}

static void run_until(struct worker *worker, uint64_t deadline_ms)
{
    while ((listener_connections(worker->listener) != 0 || worker->tasks != 0 || atomic_load(&worker->ingested) != 0) &&
           loop_now_ms(worker->loop) < deadline_ms)
        loop_turn(worker->loop, 100);
}

static void *run(void *context)
{
    struct worker *worker = context;
    char name[16];
    snprintf(name, sizeof(name), "worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    listener_start(worker->listener);
    on_publish(&worker->publish_timer);
    on_sweep(&worker->sweep_timer);
    while (!worker->stopping)
        loop_turn(worker->loop, 1000);
    run_until(worker, loop_now_ms(worker->loop) + worker->server->config->server.drain_timeout_ms);
    size_t left = listener_connections(worker->listener);
    if (left != 0) {
        log_event(LOG_WARNING, "drain_timeout", "worker %u cuts %zu connections that did not end within drain_timeout",
                  worker->index, left);
        listener_cut(worker->listener);
        /* h2o doesn't read while a request waits: what was cut is met only with its answer. A silent database would
         * never give one. */
        postgres_stop(worker->fast);
        postgres_stop(worker->scan);
        postgres_stop(worker->describe);
        for (size_t i = 0; i < REPLICAS_MAX && worker->replicas[i] != NULL; i++)
            postgres_stop(worker->replicas[i]);
        customers_stop(worker->customers);
        for (struct request *request = worker->requests; request != NULL; request = request->next)
            if (request->task != NULL)
                tasks_cancel(&request->task->task);
        run_until(worker, loop_now_ms(worker->loop) + LAST_WORDS_MS);
    }
    publish(worker);
    loop_timer_stop(&worker->publish_timer);
    if (listener_connections(worker->listener) == 0) /* see worker_destroy */
        close_connections(worker);
    return NULL;
}

enum status worker_start(struct worker *worker, struct failure *failure)
{
    int error = pthread_create(&worker->thread, NULL, run, worker);
    if (error != 0)
        return failure_set(failure, STATUS_FAILED, "could not start the thread of worker %u: %s", worker->index,
                           strerror(error));
    worker->started = true;
    return STATUS_OK;
}

void worker_stop(struct worker *worker)
{
    worker->stop_message.on_message = on_stop;
    loop_post(worker->loop, &worker->stop_message);
}

void worker_leave(struct worker *worker)
{
    worker->leave_message.on_message = on_leave;
    loop_post(worker->loop, &worker->leave_message);
}

void worker_join(struct worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    worker->started = false;
}

void worker_add_metrics(struct worker *worker, struct metrics *sum)
{
    pthread_mutex_lock(&worker->published_lock);
    metrics_add(sum, &worker->published);
    pthread_mutex_unlock(&worker->published_lock);
}
