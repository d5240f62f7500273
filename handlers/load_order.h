/* From a request to a load: parameters, headers and body become an order that no longer needs the request, and a task
 * that carries it out. What putUpload and loadRows share. */
#ifndef SLUICE_HANDLERS_LOAD_ORDER_H
#define SLUICE_HANDLERS_LOAD_ORDER_H

#include "api/customer_names.h"
#include "api/ingest.h"
#include "api/request_task.h"
#include "upload/load.h"

/* The parameters of a load, as they were asked; TEXT_NONE: not told. */
enum {
    LOAD_ORDER_MODE,
    LOAD_ORDER_KEY,
    LOAD_ORDER_TYPES,
    LOAD_ORDER_HEADER,
    LOAD_ORDER_DELIMITER,
    LOAD_ORDER_QUOTE,
    LOAD_ORDER_ENCODING,
    LOAD_ORDER_NULL,
    LOAD_ORDER_DECIMAL,
    LOAD_ORDER_DATES,
    LOAD_ORDER_SKIP_LINES,
    LOAD_ORDER_FORMAT,
    LOAD_ORDER_MAX_BAD,
    LOAD_ORDER_PARAMETERS
};
extern const char *const load_order_parameters[LOAD_ORDER_PARAMETERS];

struct load_task {
    struct request_task base; /* first */
    const struct server *server;
    struct arena arena;          /* of everything that the order points to, and of the report */
    struct customer_names names; /* of a customer's load */
    struct text customer;        /* TEXT_NONE: a load into the warehouse */
    struct load_order order;
    /* The body. */
    struct body_memory memory;
    char *copy;                           /* its bytes; malloc'd */
    struct ingest_connection *connection; /* NULL: the public listener's, which is `copy` */
    enum body_coding coding;
    struct text digest;               /* Content-Digest */
    const struct body_source *source; /* instead of the request's body; NULL: that */
    const atomic_bool *cancelled;     /* instead of the task's own; NULL: that */
    /* What came of it. */
    bool registered; /* the customer's login was let in, or there is none */
    bool created;
    enum status status;
    struct failure failure;
    struct load_report report;
};

/* Answers with a problem and gives NULL where the request is wrong; else the task, which load_order_start or
 * load_order_free takes. `partitions` in any memory of the request. */
struct load_task *load_order_create(struct request *request, const char *operation, struct text dataset,
                                    const struct text asked[LOAD_ORDER_PARAMETERS],
                                    const struct load_partition *partitions, size_t partition_count);
/* What a customer of the request's tier may keep, where `sluice customer` told no other. */
void load_order_quota(const struct request *request, struct load_order *order);
/* order.schema, .relation and .customer are set by now. */
enum stage_verdict load_order_start(struct request *request, struct load_task *task);
void load_order_free(struct load_task *task);

/* load_run.c: the thread's part. */
void load_order_run(struct task *base);
/* A login of the reader's host without user and password; for threads, because it may resolve a name. */
enum status load_order_login(const struct server *server, struct postgres_resolved *resolved,
                             struct postgres_login *login, struct failure *failure) MUST_CHECK;
/* load_answer.c: the answer as JSON, and the way of either outcome to the client. */
enum status load_order_answer(void *context, const struct load_report *report, struct buffer *out);
void load_order_done(struct request_task *base);

#endif
