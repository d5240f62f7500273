/* The listener for bodies that don't fit in memory (DESIGN, decision 13). Each connection has a thread of its own from
 * a bounded number and carries one request. The thread reads the head itself and hands it, without the body, to a
 * worker as an ordinary HTTP/1.1 request over a socket pair: so route, limits, authentication, scopes and validation
 * are the same stages as everywhere, the answer is made and logged in the one place, and not a byte of the body is
 * taken before. The handler finds the connection by ingest_of() and hands it a task; the thread carries it out with
 * the body as its source, and the worker answers; the thread copies the answer to the client. */
#ifndef SLUICE_API_INGEST_H
#define SLUICE_API_INGEST_H

#include "api/request.h"
#include "api/tasks.h"
#include "upload/body.h"

struct ingest; /* the listener */
struct ingest_connection;

/* Binds and listens, after server->tls was made. The workers may be made later, but before ingest_start. */
enum status ingest_create(struct server *server, struct ingest **ingest, struct failure *failure) MUST_CHECK;
/* Accepts from here on, on a thread of its own; the workers run. */
enum status ingest_start(struct ingest *ingest, struct failure *failure) MUST_CHECK;
/* Connections from here on; the caller's settings hold it. */
void ingest_set_tls(struct ingest *ingest, SSL_CTX *tls);
/* Another process serves on the same socket now: stops accepting, and goes on with what has been accepted. */
void ingest_leave(struct ingest *ingest);
/* Stops accepting and returns at once; what runs has server.drain_timeout, then its task is told to end and its client
 * is cut. Before the workers are told to stop: they wait for what was handed to them. */
void ingest_stop(struct ingest *ingest);
/* Stops, and waits for all threads. The workers must still exist (their loops need not turn). Harmless with NULL. */
void ingest_destroy(struct ingest *ingest);

struct ingest_statistics {
    size_t connections;                /* open now */
    uint64_t accepted, refused, bytes; /* refused: by their head, before a worker saw them; bytes: of bodies, as sent */
};
struct ingest_statistics ingest_statistics(struct ingest *ingest);

/* All below on the worker's loop, while the request lives. */

/* The connection that this request came through; NULL: the public listener. */
struct ingest_connection *ingest_of(const struct request *request);
/* The caller's address and port instead of the socket pair's. */
const struct sockaddr_storage *ingest_peer(const struct ingest_connection *connection);
/* The head announced a body that is not empty. Content-Encoding, Content-Digest and Content-Type are in the request's
 * headers as h2o has them: the thread passes on all but the framing. */
bool ingest_has_body(const struct ingest_connection *connection);
/* Its bytes as the head tells; UINT64_MAX: chunked. */
uint64_t ingest_length(const struct ingest_connection *connection);
/* Runs `task` (run, done, loop and customer are set, the rest is zero) on the connection's own thread, once for a
 * connection: task->run may use ingest_source. The interim answer 100 Continue goes out at the first read, where the
 * client expects it. `done` comes always, later than this call; a client that has left before is met there with
 * `started` false. While the task runs `cancelled` is set when the client leaves, or when the gateway ends. */
void ingest_run(struct ingest_connection *connection, struct task *task);
/* Whether another task of this customer (a hash) may run: they have at most half of the listener's connections. */
bool ingest_has_room(const struct ingest_connection *connection, uint64_t customer);
/* Valid within task->run. */
struct body_source ingest_source(struct ingest_connection *connection);
/* When `done` has come: why the source ended before the body did, with words for the client. STATUS_OK: it did not.
 * These are no faults of the file: INVALID is a malformed framing (400), TIMEOUT a sender that is too slow (408),
 * TOO_LARGE more than max_body (413), UNAVAILABLE a sender that left, or a load that was told to end. */
enum status ingest_body_status(const struct ingest_connection *connection, const char **words);

#endif
