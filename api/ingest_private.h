/* Shared by the ingest*.c files and their test alone. */
#ifndef SLUICE_API_INGEST_PRIVATE_H
#define SLUICE_API_INGEST_PRIVATE_H

#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/config.h"
#include "api/ingest.h"
#include "api/problem.h"
#include "upload/http_head.h"

#define INGEST_DROPPED                                                                                                 \
    ((uint64_t)60 << 10)   /* bytes of a refused body that are taken at most, with what came by then                   \
                            */
#define INGEST_SOCKETS 8   /* that it listens with: one, or what was handed over */
#define INGEST_CUT_MS 2000 /* from the end of drain_timeout until the sockets are shut */

#define INGEST_ADDRESSES 1024
#define INGEST_SLOW_US ((uint64_t)1000000)        /* a head that takes longer is cut while others wait */
#define INGEST_SLOW_KNOWN_US ((uint64_t)30000000) /* for so long its address may have a quarter of the connections */

struct ingest_options {
    const struct config_address *address;
    struct sockets *sockets; /* where its sockets come from; NULL: it makes a new one */
    SSL_CTX *tls;            /* NULL: plain. Under the lock: a reload changes it, not whether it is NULL */
    const struct config_networks *proxies; /* not NULL: a PROXY line is expected, and only from these */
    size_t connections;
    uint64_t max_body, min_receive_rate; /* bytes; bytes a second, 0: none */
    uint32_t head_timeout_ms, deadline_ms, drain_timeout_ms;
    /* With the lock of the listener: hands connection->worker_fd (its owner from now on, as of a reference) to a
     * worker's loop. False: that can't be now. */
    bool (*hand_over)(void *context, struct ingest_connection *connection);
    /* The thread will post nothing to the worker's loop any more. */
    void (*let_go)(struct ingest_connection *connection);
    void *context;
};

struct ingest {
    struct ingest_options options;
    int listening[INGEST_SOCKETS]; /* the first `sockets` of them; only the thread's once it runs */
    size_t sockets;
    int wake; /* the event's descriptor wakes the listener's thread */
    pthread_t thread;
    bool started, has_tls;
    pthread_mutex_t lock;
    /* Under the lock. */
    bool stopping, leaving; /* leaving: takes no more connections, and goes on with those that it has */
    struct ingest_connection *first, *ended; /* open; those whose threads wait to be joined */
    size_t open;                             /* both */
    /* The thread's. */
    struct pollfd *polled;
    struct ingest_connection **polled_of;
    size_t next_worker;
    uint64_t slow_until_us[INGEST_ADDRESSES]; /* by the address's hash: of those whose slow heads were cut */
    atomic_uint_fast64_t accepted, refused, bytes;
};

/* How much of the body has come, and how fast. */
struct ingest_body {
    bool begun, ended;
    uint64_t left; /* of Content-Length */
    uint64_t size; /* without framing */
    struct http_chunks chunks;
    struct failure failure;           /* why it ended too soon; its status is STATUS_OK until then */
    uint64_t window_us, window_bytes; /* waited for the client, and what came meanwhile, in this window of the floor */
};

struct ingest_connection {
    struct ingest *ingest;
    struct ingest_connection *next, *previous;
    atomic_uint references; /* the listener's; the worker's socket's */
    pthread_t thread;
    int fd;      /* the client's */
    int pair;    /* our end of the pair; -1: not made, or closed */
    int wake;    /* an event: a task is there, or the end */
    SSL *tls;    /* NULL: plain */
    short wants; /* what the last read or write waited for */
    struct sockaddr_storage peer;
    uint64_t started_us, deadline_us; /* monotonic; the deadline is the body's */
    struct http_head head;
    char bytes[HTTP_HEAD_MAX]; /* the head, and what came with it */
    size_t size, used;         /* of them; used: up to here they are head, or body that was taken */
    uint64_t taken;            /* bytes of the body as sent, those in `bytes` too */
    struct ingest_body body;
    /* For the worker: its end of the pair, until it is the socket's. */
    struct loop_message message;
    struct worker *worker;
    int worker_fd;
    /* Under the listener's lock. */
    struct task *task;       /* handed in, or running */
    bool had_task, attended; /* attended: the thread takes a task */
    unsigned address;        /* index of its slow_until_us */
    bool cut;                /* for a slow head */
    bool watched; /* the body is through, the task runs: the listener's thread looks whether the client leaves */
};

/* ingest.c */
enum status ingest_open(const struct ingest_options *options, struct ingest **ingest,
                        struct failure *failure) MUST_CHECK;
void ingest_unref(struct ingest_connection *connection);
void ingest_wake(int event);
bool ingest_is_stopping(struct ingest *ingest);

/* ingest_connection.c: the life of one, on its thread. */
void ingest_serve(struct ingest_connection *connection);

/* ingest_io.c: the client's socket, plain or TLS, without blocking but in poll. */
enum { INGEST_CLIENT = 1, INGEST_PAIR = 2, INGEST_WOKEN = 4 };
/* Waits for the client (what the last call wanted, or with `wants` 0 only for its end), the worker's end
 * (`pair_events`) and the event. */
unsigned ingest_poll(struct ingest_connection *connection, short wants, short pair_events, int timeout_ms);
/* > 0: bytes; 0: the client has ended; INGEST_AGAIN: poll for connection->wants first; INGEST_BROKEN. */
#define INGEST_AGAIN (-1)
#define INGEST_BROKEN (-2)
ssize_t ingest_receive(struct ingest_connection *connection, char *out, size_t size);
/* False: it did not go out before `due_us`. */
bool ingest_send(struct ingest_connection *connection, const char *data, size_t size, uint64_t due_us) MUST_CHECK;
/* PROXY line and TLS. False: nothing can be said to this client. */
bool ingest_greet(struct ingest_connection *connection, uint64_t due_us) MUST_CHECK;
/* Ends politely: so that the client reads the answer and does not meet a reset instead. */
void ingest_hang_up(struct ingest_connection *connection);
/* Milliseconds until then, at most `most`. */
int ingest_until(uint64_t due_us, int most);

/* ingest_relay.c */
/* The head as the worker gets it: without framing and what is for this hop alone. */
void ingest_write_head(const struct http_head *head, struct buffer *out);
/* The worker's answer to the client, until the worker closes. */
void ingest_relay(struct ingest_connection *connection);

#endif
