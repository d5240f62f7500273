/* Answers. A body of known size goes out at once with everything that can be said of it; a body in the making is
 * gathered up to RESPOND_BUFFERED bytes, and only if it grows past that it becomes a stream (DESIGN, decision 4). gzip
 * where the client takes it and the body is worth it. */
#ifndef SLUICE_API_RESPOND_H
#define SLUICE_API_RESPOND_H

#include <h2o.h>

#include "api/handler.h"
#include "base/buffer.h"
#include "cache/cache.h"

struct gzip;

#define RESPOND_BUFFERED ((size_t)256 << 10)  /* bytes: a body up to this is sent whole */
#define RESPOND_HIGH_WATER ((size_t)64 << 10) /* a stream's producer is paused above this */
#define RESPOND_GZIP_MINIMUM 1024             /* bytes: below, gzip costs more than it saves */

struct respond_header {
    struct text name, value; /* name in lower case */
};

/* What an answer says of itself besides its body. */
struct respond_head {
    int status;
    const char *reason;        /* "OK"; static */
    struct text content_type;  /* static */
    struct text etag;          /* TEXT_NONE: none; copied */
    const char *cache_control; /* NULL: none; static */
    struct text link;          /* TEXT_NONE: none; copied */
    bool vary;                 /* the body depends on Accept and Accept-Encoding */
    bool whole; /* never becomes a stream: its head says something that is known only at the end (Link) */
    const struct respond_header *headers; /* more of them; must last until the answer begins */
    size_t header_count;
};

struct respond {
    h2o_generator_t generator; /* first: h2o hands it back to us */
    bool started;              /* headers are out (or on their way) */
    bool in_flight;            /* h2o holds `sending` and will ask for more */
    bool finished, failed;     /* nothing more comes from the producer */
    bool wants_gzip, is_gzip;
    bool complete;            /* the last byte was handed over */
    h2o_iovec_t body;         /* of a whole answer that waits to go out */
    struct respond_head head; /* of a body in the making */
    struct buffer pending, sending;
    struct gzip *gzip;                         /* while a stream is compressed */
    const struct cache_entry *entry;           /* a reference is held: the body that is being sent */
    void (*on_drain)(struct request *request); /* the producer may go on */
    uint64_t acknowledged;                     /* by the client's TCP, at the last sweep */
    uint32_t sweeps;                           /* since the answer began */
};

/* The whole answer. `body` must live until the request is disposed of (its arena, static), or be `entry`'s payload:
 * then a reference to entry is kept. */
enum stage_verdict respond_send(struct request *request, const struct respond_head *head, struct text body,
                                const struct cache_entry *entry);

/* A body in the making: append to respond_buffer, then call respond_flush; true: go on, false: pause until on_drain (or
 * stop: respond.finished is set, because a HEAD needs no more, or failed). `head` is copied; what it points to must
 * last until the body ends. */
void respond_begin(struct request *request, const struct respond_head *head, void (*on_drain)(struct request *request));
static inline struct buffer *respond_buffer(struct respond *respond)
{
    return &respond->pending;
}
bool respond_flush(struct request *request);
/* The body is complete. */
void respond_finish(struct request *request);
/* The body can't be completed: before the headers left the caller answers with a problem instead (returns false:
 * nothing was sent, respond is as new); afterwards the stream is cut so that the client sees it (returns true). `line`
 * (TEXT_NONE: none) is sent before the cut. */
bool respond_fail(struct request *request, struct text line);
/* Takes back an answer that was set and has not gone out: as if nothing had been said yet. */
void respond_reset(struct request *request);
/* Lets go of everything. */
void respond_dispose(struct request *request);
/* If-None-Match (RFC 9110 section 13.1.2, weak comparison) names `etag`. */
bool respond_not_modified(const struct request *request, struct text etag);
/* 304 with the validators of `head`. */
enum stage_verdict respond_send_not_modified(struct request *request, const struct respond_head *head);

#endif
