/* A thread that serves: its loop, listener, connections, caches, counters. Nothing of it is touched by another thread
 * but the published metrics. */
#ifndef SLUICE_API_WORKER_H
#define SLUICE_API_WORKER_H

#include <h2o.h>
#include <pthread.h>
#include <semaphore.h>

#include "api/gone.h"
#include "api/listener.h"
#include "api/metrics.h"
#include "api/replica.h"
#include "api/server.h"
#include "api/worker_settings.h"
#include "audit/log.h"
#include "audit/request_log.h"
#include "auth/tokens.h"
#include "cache/cache.h"
#include "drivers/loop.h"
#include "drivers/postgres.h"
#include "drivers/redis.h"
#include "limit/limiter.h"
#include "query/datasets.h"
#include "query/verdicts.h"

struct request;
struct customers;

#define WORKER_ASKED 4096

struct worker {
    struct server *server;
    unsigned index;
    pthread_t thread;
    struct loop *loop;
    h2o_context_t context;
    struct listener *listener;
    struct postgres *fast, *scan;
    struct postgres *replicas[REPLICAS_MAX]; /* as server->replicas */
    struct postgres *describe;               /* questions to the catalog: they delay no look-up */
    struct customers *customers;             /* NULL: customers have no data of their own here */
    struct redis *redis;                     /* NULL: not configured */
    struct worker_settings *current;         /* what requests begin under */
    struct worker_settings *prepared;        /* of a reload that other workers are not ready for yet; NULL: none */
    struct revocations_view *revocations;
    struct limiter *limiter;
    struct cache *cache;
    struct cache *answers;        /* encoded answers of datasets, in memory only; NULL: none are kept */
    uint64_t asked[WORKER_ASKED]; /* hashes of questions that were asked lately, each in its place */
    struct verdicts *verdicts;
    struct gone *gone;
    struct metrics metrics;
    struct request_log *request_log;
    struct audit_log *audit;  /* NULL: no audit log is configured */
    struct request *requests; /* in flight, newest first */
    struct request *spare;    /* recycled */
    size_t spare_count;
    size_t tasks; /* of requests, on other threads: their ends come to this loop */
    uint64_t next_request;
    atomic_size_t ingested; /* connections of the ingest listener whose threads may still post to this loop */
    struct loop_timer publish_timer, sweep_timer;
    struct loop_message stop_message, leave_message;
    struct worker_order {
        struct loop_message message;
        struct settings *settings; /* worker_prepare's; NULL: worker_commit's */
        bool commits;
        sem_t *done;
    } order;
    bool stopping, started;
    pthread_mutex_t published_lock;
    struct metrics published; /* under the lock */
};

/* SQL for postgres_options.check: whether the login is the reader that DESIGN's decision 5 wants. */
extern const char worker_login_check[];

enum status worker_create(struct server *server, unsigned index, struct worker **worker,
                          struct failure *failure) MUST_CHECK;
enum status worker_start(struct worker *worker, struct failure *failure) MUST_CHECK;
/* Any thread: stop accepting, finish what is in flight (drain_timeout at most), end the thread. */
void worker_stop(struct worker *worker);
void worker_join(struct worker *worker);
/* Any thread: another process serves on the same sockets now. Takes no more connections; those that are there end with
 * their next answer. worker_stop follows. */
void worker_leave(struct worker *worker);
/* Any thread, one at a time: makes what `settings` need, on the worker's thread; *done is posted then, and
 * worker->prepared is NULL if memory ran out. Then worker_commit: requests begin under them, or they are forgotten. */
void worker_prepare(struct worker *worker, struct settings *settings, sem_t *done);
void worker_commit(struct worker *worker, bool really, sem_t *done);
void worker_destroy(struct worker *worker);
/* Any thread: adds the counters published last to *sum. */
void worker_add_metrics(struct worker *worker, struct metrics *sum);

/* Whether a question of this hash was asked lately; from now on it was. */
static inline bool worker_asked_before(struct worker *worker, uint64_t hash)
{
    uint64_t *place = &worker->asked[hash % WORKER_ASKED];
    bool before = *place == hash;
    *place = hash;
    return before;
}

static inline struct worker *worker_of(h2o_req_t *req)
{
    return H2O_STRUCT_FROM_MEMBER(struct worker, context, req->conn->ctx);
}

#endif
