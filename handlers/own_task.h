/* A change of what a customer has: one transaction on a login of his own, which blocks, on another thread. It outlives
 * its request: everything that it needs is in its own arena. */
#ifndef SLUICE_HANDLERS_OWN_TASK_H
#define SLUICE_HANDLERS_OWN_TASK_H

#include "api/problem.h"
#include "api/request_task.h"
#include "drivers/postgres_session.h"
#include "handlers/named.h"
#include "handlers/relations.h"

#define OWN_TASK_ARENA ((size_t)16 << 20) /* bytes: views that are made again keep their texts here */

struct own_task {
    struct request_task task; /* first */
    const struct server *server;
    struct arena arena;
    struct relations relations;
    struct postgres_setting settings[NAMED_SETTINGS];
    /* Within the transaction. It says what came of it by own_task_fail, or sets `answer`. */
    void (*change)(struct own_task *task);
    uint32_t timeout_ms; /* of a statement; 0: customers.change_timeout */
    bool deaf;           /* a cancel does not end it */
    /* On the loop, when it has ended and before it is answered; may change what came of it. `request` NULL: the client
     * has left. May be NULL. */
    void (*ended)(struct own_task *task, struct request *request);
    struct postgres_session *session;
    struct failure failure; /* of the last statement */
    /* What came of it. */
    bool failed;
    enum problem problem;
    bool is_status; /* `status` says it all, without words */
    bool is_sql;    /* the words are about the caller's SQL: `mistake` */
    enum status status;
    struct relations_mistake mistake;
    char sqlstate[6];
    char words[768];
    int code;           /* of success: 200, 201, 202, 204 */
    struct text answer; /* JSON */
};

/* A task of `size` bytes, which begin with a struct own_task, for this request. NULL: it was answered. */
struct own_task *own_task_create(struct request *request, size_t size, void (*change)(struct own_task *task));
/* For execute(): hands it to a thread; the answer follows when it is done. */
enum stage_verdict own_task_start(struct request *request, struct own_task *task);
void own_task_free(struct own_task *task);
/* The transaction itself, on any thread that may block; for a task that answers no request. It may run again, with
 * another change: what came of it before is forgotten. */
void own_task_run(struct own_task *task);

/* For change(). A failed statement ends the change: what it means goes into the outcome; STATUS_OK otherwise. */
enum status own_task_query(struct own_task *task, const char *sql, size_t parameter_count,
                           const struct text *parameters,
                           void (*on_rows)(void *context, const struct postgres_rows *rows), void *context) MUST_CHECK;
/* The same of SQL that holds the caller's own: its mistakes are told in his words. */
enum status own_task_query_checked(struct own_task *task, const struct sql_checked *checked, struct text sql,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows),
                                   void *context) MUST_CHECK;
/* Without an outcome: the caller looks at the session's error himself. */
enum status own_task_try(struct own_task *task, const char *sql) MUST_CHECK;
bool own_task_has_state(const struct own_task *task, const char *sqlstate);
/* Says what came of it; always STATUS_INVALID. */
enum status own_task_fail(struct own_task *task, enum problem problem, const char *format, ...) PRINTF_LIKE(3, 4);
/* By a status alone; returns it. */
enum status own_task_fail_status(struct own_task *task, enum status status);
/* What the failure of a statement of ours means; for own_task_try. */
enum status own_task_fail_statement(struct own_task *task, enum status status);
/* … of one that holds the caller's SQL. */
enum status own_task_fail_checked(struct own_task *task, const struct sql_checked *checked, enum status status);
/* sql_check's refusal. */
enum status own_task_fail_sql(struct own_task *task, const struct relations_mistake *mistake);

#endif
