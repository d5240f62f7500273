/* What the files of the PostgreSQL driver share. Nobody else includes this. */
#ifndef SLUICE_DRIVERS_POSTGRES_PRIVATE_H
#define SLUICE_DRIVERS_POSTGRES_PRIVATE_H

#include <libpq-fe.h>
#include <pthread.h>

#include "drivers/postgres.h"
#include "drivers/postgres_session.h"

#define PREPARED_MAX 256    /* statements a connection keeps; then it forgets them all */
#define PREPARED_TABLE 1024 /* open addressing, at most a quarter full */
#define SEGMENT_MAX 16      /* queries of a pipeline that share one Sync */
#define IN_FLIGHT_MAX 64    /* queries on one pipelined connection */
#define SLOTS 512           /* results awaited at once: up to 5 for each query in flight, and some for forgetting */

enum connection_state {
    CONNECTION_CLOSED, /* waits for its retry timer, or for a need */
    CONNECTION_CONNECTING,
    CONNECTION_SETTING_UP, /* logged in; settings and check under way */
    CONNECTION_READY,
    CONNECTION_BUSY,      /* streamed: carries a query */
    CONNECTION_CANCELLING /* streamed: its query was told to stop, the rest is being read */
};

/* Of a ring, see postgres_share.c. */
struct share_link {
    struct share_link *previous, *next; /* NULL: in none */
};

enum slot_kind { SLOT_PREPARE, SLOT_SETTINGS, SLOT_QUERY, SLOT_FORGET, SLOT_FORGET_ALL, SLOT_SYNC };
struct slot {
    enum slot_kind kind;
    struct postgres_query *query; /* NULL: nobody waits any more */
    uint64_t statement;           /* PREPARE, SETTINGS, QUERY, FORGET: its id */
};

struct postgres_query {
    struct postgres *pool;
    struct connection *connection; /* NULL: waiting, or recycled */
    struct postgres_query *previous, *next;
    const struct postgres_statement *statement;
    struct postgres_handlers handlers;
    void *context;
    uint64_t queued_ms;
    bool is_waiting, whole, paused, has_error;
    bool alone;     /* sent for the second time: in a segment of its own, and without prepared statements */
    bool delivered; /* rows were handed over */
    bool complete;  /* the server said so */
    size_t whole_most, gathered; /* streamed, whole: bytes; how many libpq has read of it, about. See note_waiting */
    struct postgres_error error;
    size_t parameter_count, setting_count;
    const char **values;         /* into `memory` */
    const char **setting_values; /* the same: name, value, name, value, … */
    char *memory;                /* owned; kept for the next user of this structure */
    size_t memory_size;
};

struct connection {
    struct postgres *pool;
    enum connection_state state;
    PGconn *pg;
    struct loop_watch *watch;
    struct loop_timer timer;  /* connecting: timeout. Closed: retry. Ready: idle (streamed), silence (pipelined).
                                 Cancelling: deadline. Busy: silence */
    struct loop_timer resume; /* streamed: go on delivering in the next turn */
    bool check_passed, is_delivering;
    bool answered;                /* something came since the timer was armed */
    uint64_t cancelled_ms;        /* when its query was told to stop */
    unsigned cancels_pending;     /* jobs that the helper thread has not come back from */
    struct postgres_query *query; /* streamed */
    PGresult *held;               /* its whole result, until the server is through with it; NULL: none. Owned */
    struct share_link idle_link;  /* streamed, with a share: ready */
    size_t unread;                /* streamed: bytes in the socket after the read that is under way, about */
    size_t read_size;             /* streamed: bytes that libpq reads at once here; 0: nobody has looked yet */
    uint64_t stale;               /* a statement to be deallocated before anything else is sent; 0: none */
    const char *spoiled;          /* why it must be closed, once noticed; static */
    struct slot slots[SLOTS];     /* a ring */
    size_t slot_first, slot_count;
    size_t in_flight, segment; /* queries; queries since the last Sync */
    uint64_t prepared[PREPARED_TABLE];
    size_t prepared_count;
};

struct cancel_job {
    struct cancel_job *next;          /* waiting */
    struct cancel_job *older, *newer; /* all that have not come back; the loop's thread only */
    struct canceller *canceller;
    struct loop_message message;
    struct connection *connection; /* NULL: it has gone; the loop's thread only */
    PGcancel *cancel;
};

struct canceller; /* the helper thread */
struct canceller *canceller_create(struct loop *loop);
/* Drops the jobs that wait, delivers what was posted. The thread ends by itself once PQcancel, which knows no limit of
 * time, has returned. */
void canceller_destroy(struct canceller *canceller);
/* The pool goes, and others of the same canceller stay: nothing comes back to its connections. */
void canceller_forget(struct canceller *canceller, const struct postgres *pool);
/* False: out of memory; the connection must be closed instead. on_returned comes on the loop when PQcancel has
 * returned. */
bool canceller_run(struct canceller *canceller, struct connection *connection,
                   void (*on_returned)(struct connection *connection));

struct postgres {
    struct loop *loop;
    struct postgres_options options; /* strings are owned copies */
    struct connection *connections;
    struct postgres_query *waiting_first, *waiting_last; /* in the order of coming */
    struct postgres_query *sent_first, *sent_last;       /* on a connection */
    struct postgres_query *spare;
    size_t waiting, total; /* total: waiting and in flight */
    size_t spare_count;
    size_t first_host; /* of the login's, which the next attempt to connect begins with */
    bool last_failed, closing, dispatching;
    uint32_t backoff_ms;
    struct postgres_query *finishing; /* has left its connection, and its whole result is being handed over; NULL: none,
                                         or it is gone */
    struct loop_hook flush_hook;
    struct loop_timer queue_timer;
    struct canceller *canceller;  /* the share's, where there is one */
    struct share_link share_link; /* waits for a place of the share */
    uint64_t retry_ms;            /* with a share: no connection is opened before, because the last attempt failed */
    struct postgres_statistics statistics;
};

/* postgres_connection.c */
void connection_open(struct connection *connection);
void connection_close(struct connection *connection);
/* Closes, fails what it carried, and tries again later. */
void connection_lost(struct connection *connection, const char *reason);
bool connection_is_prepared(const struct connection *connection, uint64_t id);
void connection_set_prepared(struct connection *connection, uint64_t id, bool prepared);
void connection_watch(struct connection *connection);
void connection_enter(struct connection *connection, enum connection_state state);
void connection_on_timer(struct loop_timer *timer);
/* A query is under way. A server that says nothing for longer than any statement may take is gone, even if
 * its kernel still holds the connection. */
void connection_expect(struct connection *connection);

/* postgres_share.c; all but share_return for pools with a share only. */
struct canceller *share_canceller(struct postgres_share *share, struct loop *loop); /* NULL: it can't be made */
/* One more connection may be opened for the pool, now. */
bool share_take(struct postgres *pool);
/* The pool has queries that no connection is coming for. */
void share_wait(struct postgres *pool);
void share_leave(struct postgres *pool);
void share_moved(struct connection *connection, enum connection_state before);
/* A connection has become free: it is closed if another pool comes before this one's own queries. */
void share_return(struct connection *connection);

/* postgres_segment.c. After any of the four that send, connection->pg is NULL where the connection was lost; its
 * queries have been failed then, and may be gone. */
struct slot *slot_at(struct connection *connection, size_t place); /* 0: the one whose answer is read now */
struct slot slot_pop(struct connection *connection);
/* The slots that point to the query forget it. */
void slots_detach(struct connection *connection, const struct postgres_query *query);
/* Takes in what an answer to the front slot says of statements, user and query. True: hand the rows over. The caller
 * looks at connection->stale and ->spoiled next. */
bool slot_take(struct connection *connection, const PGresult *result);
void segment_add(struct connection *connection, struct postgres_query *query);
void segment_end(struct connection *connection);
/* A deallocation in a segment of its own; 0: of all statements. */
void segment_forget(struct connection *connection, uint64_t statement);
void segment_flush(struct connection *connection);

/* postgres_pipeline.c */
void pipeline_send(struct connection *connection, struct postgres_query *query);
void pipeline_read(struct connection *connection);
void pipeline_fail(struct connection *connection);

/* postgres_stream.c */
void stream_send(struct connection *connection, struct postgres_query *query);
/* Before libpq reads from the socket. False: nothing stands there. */
bool stream_note_waiting(struct connection *connection);
/* Behind the former: reads. False: the connection is broken. */
bool stream_consume(struct connection *connection);
/* The server has nothing to say for itself: its rows wait for us. */
bool stream_is_fed(const struct connection *connection);
void stream_read(struct connection *connection);
void stream_cancel(struct connection *connection);
/* The cancelled query has not ended yet. */
void stream_cancel_again(struct connection *connection);
void stream_fail(struct connection *connection);
void connection_on_resume(struct loop_timer *timer);

/* postgres.c */
void pool_dispatch(struct postgres *pool);
void pool_connection_failed(struct postgres *pool);
/* Takes the query out of all lists, calls on_done, recycles. `error` NULL: complete. */
void query_finish(struct postgres_query *query, const struct postgres_error *error);
void query_recycle(struct postgres_query *query);
void query_requeue(struct postgres_query *query);

/* postgres_rows.c */
struct postgres_rows {
    const PGresult *result;
};
void postgres_error_from_result(struct postgres_error *error, const PGresult *result);
/* The server is about to close the connection. */
bool postgres_result_is_fatal(const PGresult *result);
void postgres_error_set(struct postgres_error *error, enum status status, const char *message);
/* Why a connection failed, on one line: libpq's words of each host that it tried, without its hints. */
void postgres_reason(char *out, size_t size, const char *words);
/* Keywords for PQconnectdbParams; at most POSTGRES_KEYWORDS with the NULL. Of several hosts the one numbered `first`
 * (from 0, modulo their number) is tried first. */
#define POSTGRES_KEYWORDS 16
struct postgres_keyword_room { /* what the values may point into */
    struct postgres_resolved turned;
    char port[8], timeout[16];
};
void postgres_keywords(const struct postgres_login *login, size_t first, struct postgres_keyword_room *room,
                       const char *keywords[POSTGRES_KEYWORDS], const char *values[POSTGRES_KEYWORDS]);

#endif
