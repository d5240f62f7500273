/* Resumable uploads (tus) on disk. A session is two files in the spool's folder, mode 0600: ID.part holds the bytes
 * that came, its size is the offset; ID.json says whose it is and what it is about, and is only ever replaced whole, by
 * rename. Nothing else knows of a session: what lies there after a restart goes on. It has one holder at a time, by a
 * lock on ID.part that the kernel drops with the process. A session ends `lifetime_s` after its last byte. Blocking:
 * what holds, tells, removes or releases one takes microseconds, the rest waits for the disk. Any thread. */
#ifndef SLUICE_UPLOAD_SESSIONS_H
#define SLUICE_UPLOAD_SESSIONS_H

#include <stdatomic.h>

#include "upload/body.h"
#include "upload/spool.h"
#include "upload/tus_headers.h"

#define SESSIONS_ID_SIZE 37 /* a UUID as text, and NUL */
#define SESSIONS_RESULT_MAX 8192

struct sessions; /* the process's */
struct sessions_options {
    const char *folder; /* exists and is ours: spool_space_create has looked */
    /* Borrowed; of loads too. Sessions, by their told lengths, take half of it at most: the load of one needs as much
     * again. */
    struct spool_space *space;
    size_t each; /* open sessions of one customer; as many ended ones are remembered */
    size_t all;  /* sessions, open and ended */
    uint64_t lifetime_s;
    /* Says which of `customers` exist no more; on the sweep's thread. STATUS_UNAVAILABLE: not known at the moment.
     * NULL: they all live. */
    enum status (*gone)(void *context, const struct text *customers, size_t count, bool *gone, struct failure *failure);
    void *context;
};
/* Finds the sessions that are there, drops what is expired, and starts a thread that looks three times a minute. */
enum status sessions_create(const struct sessions_options *options, struct sessions **sessions,
                            struct failure *failure) MUST_CHECK;
/* No session may be held. The files stay. */
void sessions_destroy(struct sessions *sessions);
/* What the thread does: drops what is expired; and what customers have that are gone. */
void sessions_sweep(struct sessions *sessions);
void sessions_sweep_customers(struct sessions *sessions);
/* Bytes that one session may have, and that all of them may. */
uint64_t sessions_most(const struct sessions *sessions);
/* A customer's sessions in `folder`, whosever process made them: counted, and `really` erased. The gateway that serves
 * them finds that out itself. STATUS_NOT_FOUND: there is no such folder. */
struct sessions_erased {
    size_t count;
    uint64_t bytes; /* that had come */
    size_t held;    /* requests are at work on these, somebody's */
};
enum status sessions_erase(const char *folder, struct text customer, bool really, struct sessions_erased *erased,
                           struct failure *failure) MUST_CHECK;
struct sessions_statistics {
    size_t open, ended;
    uint64_t bytes; /* told lengths of the open ones */
};
struct sessions_statistics sessions_statistics(struct sessions *sessions);

struct session_owner {
    struct text customer, subject;
};
/* A new one. `metadata`: the header as it came, visible ASCII. STATUS_BUSY: the customer has `each` open ones, or there
 * are `all`; STATUS_TOO_LARGE: no room for `length` bytes beside the others. STATUS_OK: it survives a loss of power. */
enum status sessions_begin(struct sessions *sessions, struct session_owner owner, struct text metadata, uint64_t length,
                           char id[SESSIONS_ID_SIZE], struct failure *failure) MUST_CHECK;

struct session; /* held */
/* STATUS_NOT_FOUND: no such session of this customer and subject, or expired; STATUS_CONFLICT: somebody holds it. */
enum status sessions_hold(struct sessions *sessions, struct text id, struct session_owner owner,
                          struct session **session, struct failure *failure) MUST_CHECK;
struct session_about {
    const char *id;
    struct text metadata;
    uint64_t length, offset;
    int64_t expires_s; /* seconds since the epoch */
    bool ended;        /* it was loaded, or refused: `result` is what came of it, and the bytes are gone */
    bool refused;      /* `result` is the reason */
    struct text result;
};
struct session_about session_about(const struct session *session); /* valid while it is held */
/* Appends what `source` gives. Before it returns the bytes are on the disk (fdatasync). Where the source fails, what
 * came before is kept, unless there is a checksum: then a part of a piece cannot be told from garbage, and all of it is
 * dropped. Its status is returned; besides: STATUS_DENIED: the checksum differs, STATUS_TOO_LARGE: more than the told
 * length (nothing of it is kept) or the disk is full (the rest is kept), STATUS_UNAVAILABLE: *cancelled. */
enum status session_receive(struct session *session, const struct body_source *source,
                            const struct tus_checksum *checksum, const atomic_bool *cancelled,
                            struct failure *failure) MUST_CHECK;
/* The bytes from the start; the session stays held as long as it is read. */
struct body_source session_source(struct session *session);
/* It was loaded: keeps `result` (JSON in ASCII, at most SESSIONS_RESULT_MAX), drops the bytes. */
enum status session_end(struct session *session, struct text result, struct failure *failure) MUST_CHECK;
/* Its file was refused: the same with the reason. */
enum status session_refuse(struct session *session, struct text reason, struct failure *failure) MUST_CHECK;
void session_remove(struct session *session); /* with its files, and lets go */
void session_release(struct session *session);

#endif
