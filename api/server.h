/* The process: what all workers share. Made at the start, read-only afterwards but for the atomics. */
#ifndef SLUICE_API_SERVER_H
#define SLUICE_API_SERVER_H

#include <h2o.h>
#include <stdatomic.h>

#include "api/activity.h"
#include "api/address_count.h"
#include "api/config.h"
#include "api/handler.h"
#include "api/job_list.h"
#include "api/server_audit.h"
#include "api/server_keeper.h"
#include "api/settings.h"
#include "api/tasks.h"
#include "auth/revocations.h"
#include "auth/tokens.h"
#include "limit/limiter.h"
#include "openapi/openapi.h"
#include "query/catalog.h"
#include "query/datasets.h"
#include "query/summary.h"
#include "query/versions.h"
#include "upload/sessions.h"
#include "upload/spool.h"

struct worker;
struct replicas;
struct control;
struct ingest;
struct sockets;

struct server {
    const struct config *config;
    struct openapi *contract;
    struct handler_binding *bindings; /* by operation index */
    struct catalog *catalog;
    struct versions *versions;
    struct replicas *replicas; /* NULL: no standby is read from */
    struct summary *summary;
    struct datasets_options datasets; /* the start's: what it says of schemas holds for good */
    struct settings *settings; /* a reference: the current ones. The control thread's, before it runs the main one's */
    struct sockets *sockets;   /* that it listens with; borrowed */
    struct revocations_store *revocations;
    struct limiter_store *limiter_store;
    struct server_audit *audit;   /* NULL: no audit log is configured */
    struct server_keeper *keeper; /* of the audit log; NULL as `audit` */
    struct request_sink *sink;    /* NULL: log.requests is off */
    char *cache_prefix; /* of keys in Redis: another release or catalog answers otherwise from the same data */
    struct text cursor_key;
    struct buffer database_password, redis_password, cursor_secret, audit_secret;
    struct buffer login_key;       /* of customers' roles; empty: they have no data of their own here */
    struct buffer writer_password; /* as the others, it ends with a NUL that is not counted */
    struct buffer spool_secret;    /* uploads.encryption_key; empty: the spool is not encrypted */
    struct tasks *loads;           /* NULL, as `spool`: neither customers nor a writer are configured */
    struct job_list *known_jobs;   /* of this process; with jobs */
    struct tasks *jobs;            /* queries that answer later; NULL: customers are not configured */
    struct activity *activity;     /* what came of loads, jobs and checks */
    struct spool_space *spool;
    struct sessions *sessions; /* of resumable uploads; NULL as `spool` */
    h2o_globalconf_t http;
    struct worker **workers;
    size_t worker_count;
    struct control *control;
    struct ingest *ingest;           /* NULL: server.ingest is not configured */
    atomic_size_t connections;       /* open client connections */
    struct address_counts addresses; /* of them */
    atomic_bool serving;             /* versions and workers are made: others may look at them */
    atomic_bool draining;
    atomic_bool handed_over; /* to a process that is ready: this one's readiness falls no more */
    atomic_uint reloads, reloads_refused;
};

/* Reads secrets, the database's catalog and the contract; makes workers and the control thread. Waits for the database
 * as long as `keep_waiting` (polled) says so: a gateway that starts before its database is ordinary. STATUS_INVALID:
 * configuration, contract and database don't fit each other. */
enum status server_create(const struct config *config, struct sockets *sockets, const struct handler *const *handlers,
                          size_t handler_count, bool (*keep_waiting)(void), struct server **server,
                          struct failure *failure) MUST_CHECK;
/* Starts the threads; the listeners accept from here on. Where another process serves on the same sockets it returns
 * when this one is ready to do so alone. */
enum status server_start(struct server *server, struct failure *failure) MUST_CHECK;
/* Readiness falls, then the listeners close, then requests in flight finish; returns when all threads have ended. */
void server_drain(struct server *server);
/* Another process serves on the same sockets: closes them at once. Those who are connected get a moment to hear, with
 * an answer, that this connection ends; server_drain follows. */
void server_hand_over(struct server *server);
void server_destroy(struct server *server);
/* The primary as it is configured, for the reader; unresolved. Borrows from both. */
struct postgres_login server_login_settings(const struct config *config, const struct buffer *password);
/* How the reader logs in; borrows from the server. Any thread: `password` is as config_secret_read left it. */
enum status server_login(const struct config *config, const struct buffer *password, struct postgres_resolved *resolved,
                         struct postgres_login *login, struct failure *failure) MUST_CHECK;
/* For commands: a session as the reader, or as the database's owner, with the password as configured. Blocks. */
enum status server_open_reader(const struct config *config, struct postgres_session **session,
                               struct failure *failure) MUST_CHECK;
enum status server_open_owner(const struct config *config, struct postgres_session **session,
                              struct failure *failure) MUST_CHECK;

#endif
