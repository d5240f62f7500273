/* PostgreSQL connections on the worker's loop (libpq): a pipelined lane shared by many short queries, and a pool in
 * which each connection carries one streamed, cancellable query. Knows no table. libpq's types do not leave drivers/.
 */
#ifndef SLUICE_DRIVERS_POSTGRES_H
#define SLUICE_DRIVERS_POSTGRES_H

#include "base/buffer.h"
#include "drivers/loop.h"

struct postgres_login {
    /* A numeric address (given to libpq as hostaddr), or the folder of a unix socket; see postgres_resolve. Several,
     * with commas between, are one database's servers: whichever is the primary is connected to. */
    const char *host;
    uint16_t port;
    const char *ports; /* of several hosts, as many, with commas between; NULL: `port` is all of theirs */
    const char *database;
    const char *user;
    const char *password; /* NULL: none */
    const char *sslmode;
    const char *ca_file;   /* NULL: libpq's default */
    const char *host_name; /* for verify-full when host was resolved, as many as hosts; else NULL */
    const char *application_name;
    uint32_t connect_timeout_ms;
};

enum postgres_mode {
    POSTGRES_PIPELINED, /* queries of many callers share a connection; whole results; cancelling only detaches */
    POSTGRES_STREAMED   /* one query a connection; rows one by one with backpressure; cancelling stops the query */
};

/* A bound on the connections of several pools together: what is open or being opened. Where it is used up, an idle
 * connection of another pool is closed for a pool that waits; else the pools get the next free one in turn, so that
 * none starves however long another's queue is. One loop's. */
struct postgres_share;
struct postgres_share *postgres_share_create(size_t connections);
void postgres_share_destroy(struct postgres_share *share); /* after its pools */
size_t postgres_share_used(const struct postgres_share *share);

struct postgres_options {
    struct postgres_login login; /* copied */
    enum postgres_mode mode;
    size_t connections;            /* at most; pipelined ones are kept open, streamed ones are opened when needed */
    size_t queue;                  /* pipelined: waiting or in flight; streamed: waiting */
    uint32_t queue_timeout_ms;     /* streamed: longest wait for a connection; 0: no limit */
    uint32_t statement_timeout_ms; /* set at login */
    uint32_t idle_timeout_ms;      /* streamed: an idle connection above the first is closed after this */
    struct postgres_share *share;  /* streamed: whose bound counts too, and then the first one is opened only when
                                      needed and closed when idle as the others are; NULL: none. Borrowed */
    const char *const *settings;   /* NULL-terminated pairs name, value, set right after login; may be NULL */
    const char *check; /* SQL asked right after login: one row, one boolean column, which must be true, or the
                          connection is refused; may be NULL */
};

/* A statement with numbered parameters, prepared on each connection when first used there. Usually static const, or
 * owned by whoever made its text for longer than any query that uses it. */
struct postgres_statement {
    const char *sql;
    size_t parameter_count;
    const uint32_t *parameter_types; /* OIDs; 0 lets the server infer */
    uint64_t id;                     /* identity: hash_stable of the text; filled by postgres_statement_init */
    bool large;                      /* many rows: pipelined pools send it on their first connection, so that look-ups
                                        find the others free; false unless set afterwards */
    bool binary;                     /* results in PostgreSQL's binary form, all columns; false unless set afterwards */
};
void postgres_statement_init(struct postgres_statement *statement, const char *sql, size_t parameter_count,
                             const uint32_t *parameter_types);

/* Rows, in text form unless the statement asks for binary; valid during the callback. */
struct postgres_rows;
size_t postgres_rows_count(const struct postgres_rows *rows);
size_t postgres_rows_columns(const struct postgres_rows *rows);
const char *postgres_rows_name(const struct postgres_rows *rows, size_t column);
uint32_t postgres_rows_type(const struct postgres_rows *rows, size_t column); /* OID */
bool postgres_rows_is_binary(const struct postgres_rows *rows, size_t column);
/* data == NULL for null. NUL-terminated behind. */
struct text postgres_rows_value(const struct postgres_rows *rows, size_t row, size_t column);

struct postgres_error {
    enum status status; /* BUSY: queue full or waited too long. UNAVAILABLE: connection lost or refused. TIMEOUT:
                           statement_timeout. INVALID: SQLSTATE class 22 or 23. DENIED: 42501. FAILED: the rest */
    char sqlstate[6];   /* "" when not the server's */
    char message[256];  /* the server's primary message; for logs, not for clients */
};

struct postgres_handlers {
    /* Pipelined: once, with the whole result, before on_done. Streamed: once for each row (or small batch); of a result
       that comes whole once, when the server is through with the query: a pause or a cancel within it costs the
       connection nothing, and a pause does not put off on_done. NULL allowed. In streamed mode on_columns-like
       information is read from the first rows; a result without rows calls on_rows once with a count of 0. */
    void (*on_rows)(void *context, const struct postgres_rows *rows);
    /* Last call. `error` NULL: complete. After it the query handle is gone. Never called from within postgres_start. */
    void (*on_done)(void *context, const struct postgres_error *error);
};

struct postgres;       /* a lane's pool */
struct postgres_query; /* a query under way */

enum status postgres_create(struct loop *loop, const struct postgres_options *options, struct postgres **pool,
                            struct failure *failure) MUST_CHECK;
/* Every query under way gets on_done with STATUS_UNAVAILABLE, the connections are closed, and none is taken any more.
 */
void postgres_stop(struct postgres *pool);
/* Stops it first. */
void postgres_destroy(struct postgres *pool);
/* A parameter of the server that holds for one query and is gone with it. */
struct postgres_setting {
    const char *name;
    struct text value; /* copied, as the name is: neither needs a NUL behind or to live on; no NUL within */
};
#define POSTGRES_SETTINGS_MAX 8

/* Read within postgres_start; only `statement` must live until on_done (or the cancel). */
struct postgres_call {
    const struct postgres_statement *statement;
    const struct text *parameters; /* as many as the statement has; text format; data == NULL is null. Copied */
    const struct postgres_setting *settings; /* made in the query's own transaction and round trip, right before it.
                                                With them goes a look at current_user: is it not the login's, the
                                                answer is refused (STATUS_DENIED) and the connection closed */
    size_t setting_count;                    /* at most POSTGRES_SETTINGS_MAX */
    bool whole; /* the result is known or thought to be small (a thousand rows or so): streamed pools too hand it over
                   whole, which costs less than row by row */
    size_t whole_most; /* bytes from the server, about: a whole result that grows past it ends with STATUS_TOO_LARGE and
                          without on_rows, so that a wrong guess costs no more memory; 0: no bound. Streamed only */
};
/* STATUS_BUSY (queue full), STATUS_UNAVAILABLE (no connection, and the last attempt failed) or STATUS_TOO_LARGE
 * (memory, or too many settings) at once, with no callbacks; STATUS_OK otherwise with *query set. The query may wait
 * while a connection is being made. A query that never got to run, or whose prepared statement the server took no more
 * (a view was altered under it), is sent once more by the driver, in a transaction of its own; without rows handed over
 * before, and after the first attempt was rolled back. */
enum status postgres_start(struct postgres *pool, const struct postgres_call *call,
                           const struct postgres_handlers *handlers, void *context,
                           struct postgres_query **query) MUST_CHECK;
/* No callback comes after this. A queued query is dropped. Pipelined: the result is thrown away when it comes.
 * Streamed: the server is told to stop (on a helper thread, PQcancel blocks), the connection comes back clean or is
 * replaced. */
void postgres_cancel(struct postgres_query *query);
/* Streamed only: no on_rows until resumed, and nothing more is read from the server's socket than what libpq holds.
 * Allowed within on_rows. */
void postgres_pause(struct postgres_query *query);
void postgres_resume(struct postgres_query *query);

/* Has no connection, nor a query: nothing would be lost with it but its counters. */
bool postgres_is_idle(const struct postgres *pool);
bool postgres_is_up(const struct postgres *pool); /* a connection is open, or (streamed) the last attempt succeeded */
struct postgres_statistics {
    uint64_t queries, errors, cancels, reconnects, refused_busy;
    size_t open, busy, waiting;
};
struct postgres_statistics postgres_statistics(const struct postgres *pool);

#endif
