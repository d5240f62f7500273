/* What audit/log*.c share. */
#ifndef SLUICE_AUDIT_LOG_PRIVATE_H
#define SLUICE_AUDIT_LOG_PRIVATE_H

#include <stdatomic.h>

#include "audit/log.h"
#include "audit/tail.h"

#define LOG_RETRY_MS 200
/* Lines are written to the segment when so many bytes of them are there, or the first one has waited so long: of 6 KB
 * at once a line costs 0.43 µs, of 128 KB 0.14. What must be on disk is written at the turn's end. */
#define LOG_WRITE_BYTES ((size_t)128 << 10)
#define LOG_WRITE_MS 5
#define LOG_MEMO 1024 /* people whose pseudonyms a worker remembers */

struct log_waits { /* in the order of their positions */
    struct audit_wait *first, *last;
};

struct log_memo {
    uint64_t person;     /* hash of customer and subject */
    uint64_t generation; /* of the subjects, when it was found; 0: empty */
    char pseudonym[SUBJECTS_PSEUDONYM_SIZE];
};

enum { LOG_PUBLISHED_WORDS = 1 + CHAIN_MAC_SIZE / sizeof(uint64_t) };

/* A head that its worker writes and any thread reads, without a lock: the keeper is niced, and a worker would wait as
 * long as it does for the processor. */
struct log_published {
    atomic_uint_fast64_t turn; /* odd while the words change */
    atomic_uint_fast64_t words[LOG_PUBLISHED_WORDS];
};

struct audit_log {
    struct loop *loop;
    const struct audit_options *options;
    struct loop_hook hook;
    struct loop_timer soon, retry, age;
    struct tail tail;
    struct buffer lines;    /* in the tail: sealed, not written to the segment */
    struct buffer kept;     /* a byte a line: 'k', it tells what has happened, 'd', what must not happen without it */
    struct chain_head head; /* of the last line sealed */
    uint64_t appended;      /* positions: how many records were appended, written, brought to disk */
    uint64_t written, durable;
    struct log_waits for_written, for_durable;
    bool turning; /* the log calls back */
    bool failing;
    uint64_t dropped, refused; /* records, to be told by the next "gap" */
    /* The file (log_file.c). */
    int folder_fd;
    struct audit_sync_file *file;
    struct segment_name segment;
    struct chain_head on_file; /* the last record in the file */
    uint64_t size;             /* bytes of the file that are whole records */
    uint64_t opened_ms;
    uint64_t rotate_ms; /* not before: the last try failed */
    bool torn;          /* behind `size` stands part of a record */
    bool fresh;         /* the segment's name may not be on disk */
    struct audit_sync_job job;
    bool syncing;
    uint64_t syncing_to;
    unsigned syncing_segment; /* number */
    bool undurable;           /* a sync has failed, and none was good since */
    struct audit_statistics statistics;
    struct log_published published; /* on_file */
    struct log_memo memo[LOG_MEMO];
};

/* One small record of the log's own: `event`, and what `append` adds (may be NULL). False: it found no room. */
bool log_append_event(struct audit_log *log, const char *event, void (*append)(struct audit_log *log));
/* Begins to bring to disk what was written so far, unless that is under way. */
void log_sync(struct audit_log *log);
/* Makes the segment of log->segment and takes it. errno tells. */
bool log_file_create(struct audit_log *log) MUST_CHECK;
/* All lines, or none: a part is cut off again. errno tells. */
bool log_file_write(struct audit_log *log) MUST_CHECK;
/* Closes the segment and begins the next one, when it is large or old enough. A disk that does not let it is asked
 * again later. */
void log_file_rotate(struct audit_log *log);

#endif
