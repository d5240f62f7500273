/* One Redis connection on the worker's loop (hiredis): pipelined by the turn, reconnecting with backoff and jitter.
 * Knows no key. */
#ifndef SLUICE_DRIVERS_REDIS_H
#define SLUICE_DRIVERS_REDIS_H

#include "base/text.h"
#include "drivers/loop.h"

struct redis;
struct redis_options {
    const char *address;  /* "127.0.0.1:6379", "[::1]:6379" or "unix:/path"; numeric only */
    const char *password; /* NULL: none */
    int database;
    uint32_t timeout_ms; /* a command unanswered for this long loses the connection */
    size_t queue;        /* commands in flight at most; past it redis_send returns STATUS_BUSY */
};

enum redis_type { REDIS_NIL, REDIS_INTEGER, REDIS_TEXT, REDIS_STATUS, REDIS_ARRAY, REDIS_ERROR };
struct redis_reply {
    enum redis_type type;
    int64_t integer;
    struct text text;                /* TEXT, STATUS, ERROR; valid during the callback */
    size_t count;                    /* ARRAY */
    const struct redis_reply *items; /* ARRAY of scalars; deeper nesting is given as REDIS_NIL */
};
/* `reply` is NULL when the connection was lost or refused before the answer (the command may or may not have run).
 * Called exactly once for each redis_send/redis_run that returned STATUS_OK, at redis_destroy too; never from within
 * redis_send. */
typedef void (*redis_answer)(void *context, const struct redis_reply *reply);

/* Copies the options, starts to connect at the next turn. STATUS_INVALID names an address that is no address. */
enum status redis_create(struct loop *loop, const struct redis_options *options, struct redis **redis,
                         struct failure *failure) MUST_CHECK;
void redis_destroy(struct redis *redis);
/* Connected, authenticated, database selected. */
bool redis_is_up(const struct redis *redis);
/* STATUS_UNAVAILABLE while not up, STATUS_BUSY when the queue is full; on_answer (may be NULL: don't care) is called
 * only after STATUS_OK. Arguments are copied. Commands of one turn leave in one write. */
enum status redis_send(struct redis *redis, size_t count, const struct text *arguments, redis_answer on_answer,
                       void *context) MUST_CHECK;

/* A Lua script: EVALSHA, and EVAL on NOSCRIPT. */
struct redis_script {
    const char *text;
    char sha1[41]; /* filled by redis_script_init */
};
void redis_script_init(struct redis_script *script, const char *text);
enum status redis_run(struct redis *redis, const struct redis_script *script, size_t key_count, const struct text *keys,
                      size_t argument_count, const struct text *arguments, redis_answer on_answer,
                      void *context) MUST_CHECK;

struct redis_statistics {
    uint64_t commands, round_trips /* turns in which anything was sent */, failures, reconnects;
};
struct redis_statistics redis_statistics(const struct redis *redis);

#endif
