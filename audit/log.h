/* A worker's audit log: records gather in a tail that outlives the process (audit/tail.h), so that answers wait for
 * nothing, and are written to the segment many at once; where a write must be on disk first, the sync thread calls
 * fdatasync for all of them together. Belongs to its worker's loop. A chain a worker, in segments that are rotated by
 * size and age. */
#ifndef SLUICE_AUDIT_LOG_H
#define SLUICE_AUDIT_LOG_H

#include "audit/chain.h"
#include "audit/entry.h"
#include "audit/segment.h"
#include "audit/subjects.h"
#include "audit/sync.h"
#include "drivers/loop.h"

struct audit_log;

#define AUDIT_INSTANCE_MAX 40

enum audit_on_full { AUDIT_REFUSE, AUDIT_CONTINUE };
struct audit_options {
    const char *folder; /* there already, 0700 */
    const char *release;
    const char *instance; /* [a-z0-9.-]{1,AUDIT_INSTANCE_MAX} */
    char started[24];     /* of the process: "20261121T170312-1f3a" */
    struct hash_hmac_key key;
    char key_name[9]; /* of the "begin" record */
    uint64_t segment_bytes;
    uint32_t segment_age_ms;
    enum audit_on_full on_full;
    enum entry_address address;
    struct audit_sync *sync;
    struct audit_subjects *subjects;
};
/* The process's parts of the options: its name and the key. `secret`: at least CHAIN_KEY_MINIMUM bytes. */
void audit_options_set(struct audit_options *options, struct text secret);
/* Makes the chain's first segment, with its "begin" on disk. `options` is borrowed. STATUS_FAILED names the file. */
enum status audit_log_open(struct loop *loop, const struct audit_options *options, unsigned index,
                           struct audit_log **log, struct failure *failure) MUST_CHECK;
/* Writes what is left and "end", on disk. Nobody may wait any more. NULL is allowed. */
void audit_log_close(struct audit_log *log);

enum audit_kind {
    AUDIT_INTENT,      /* what is about to be written, when this is on disk; else it is not, nor is this kept */
    AUDIT_ANSWER,      /* the "request" record of a write's answer, which goes out or not in the same way */
    AUDIT_READ_INTENT, /* what is about to be read, and the "request" record of its answer: the caller waits for */
    AUDIT_READ_ANSWER, /* AUDIT_WRITTEN. Kept as AUDIT_OUTCOME is, but for those that come while nothing is accepted */
    AUDIT_OUTCOME,     /* the "request" record of what has happened already: kept until a full disk takes it */
    AUDIT_INCOMPLETE   /* as AUDIT_OUTCOME: the answer of a "request" record did not reach its client */
};
/* Formats and seals now. Written within LOG_WRITE_MS (audit/log_private.h). False, with AUDIT_REFUSE only: it found no
 * room in a tail that many have filled within one turn; what it tells of must not happen. */
bool audit_log_append(struct audit_log *log, enum audit_kind kind, const struct audit_record *record);

enum audit_reached { AUDIT_WRITTEN /* in the kernel: the tail */, AUDIT_DURABLE /* in the segment, on disk */ };
struct audit_wait { /* inside its owner's structure; zero it before first use */
    struct audit_wait *previous, *next;
    struct audit_log *log; /* NULL while not waiting */
    uint64_t position;
    enum audit_reached reached;
    bool lost;                                               /* the record is not there, whatever is written later */
    void (*on_reached)(struct audit_wait *wait, bool there); /* may free its owner */
};
/* Calls back when all that was appended so far is there; from within the call where it is already. `appended`: what
 * audit_log_append said of the record that matters. `there` false, never from within the call: it was false, or the
 * disk took it not; what waits must not happen. With AUDIT_CONTINUE it is always true. */
void audit_log_wait(struct audit_log *log, struct audit_wait *wait, bool appended, enum audit_reached reached,
                    void (*on_reached)(struct audit_wait *wait, bool there));
/* No callback comes after this. Harmless when not waiting. */
void audit_log_leave(struct audit_wait *wait);

/* For on_reached with `there` false: is what was waited for in the file all the same, since only the sync has failed?
 * Then it stays there, and reaches the disk before anything that follows. */
bool audit_log_has(const struct audit_log *log, const struct audit_wait *wait);

/* False: the disk took nothing the last time, and so it is configured: refuse. Tried again every 200 ms. */
bool audit_log_accepts(const struct audit_log *log);
struct audit_statistics {
    uint64_t records, bytes, writes, syncs, dropped, failures;
    bool failing;
    struct chain_head head; /* written */
};
/* The loop's thread. */
struct audit_statistics audit_log_statistics(const struct audit_log *log);
/* Any thread: the chain's name (immutable), and what was written last. */
const char *audit_log_chain(const struct audit_log *log);
struct chain_head audit_log_head(struct audit_log *log);

#endif
