/* A load: a body becomes rows of a table, all or nothing (DESIGN, decision 13). One blocking call on a thread of its
 * own with a database session of its own, one transaction from the first statement to the last: killed anywhere,
 * nothing of it is there. Knows no HTTP. */
#ifndef SLUICE_UPLOAD_LOAD_H
#define SLUICE_UPLOAD_LOAD_H

#include <stdatomic.h>

#include "drivers/postgres_session.h"
#include "upload/body.h"
#include "upload/infer.h"
#include "upload/spool.h"

enum load_mode { LOAD_REPLACE, LOAD_APPEND, LOAD_UPSERT };
const char *load_mode_name(enum load_mode mode);

/* The views that read $1 (an OID), and those that read them, the nearest first; at most 501. $2: whose customer's names
 * they get. Columns: relkind ('foreign' where another role owns it), name to callers, CREATE VIEW, the comments and
 * grants around it, DROP VIEW. */
extern const char load_dependents_sql[];

/* A customer's quotas and what is there of them, uploads and analyses together. $1: a relation's name; $2, $3: the
 * tier's bytes and relations, for a customer who has none of his own; $4: of which schema $1 is: _uploads or
 * _analytics. Columns: bytes and relations that are allowed (0: any), bytes and relations that are there, and those of
 * $1 among them. Whoever asks holds no relation of the customer's exclusively but one that is just being made. */
enum { LOAD_QUOTA_PARAMETERS = 4 };
extern const char load_quota_sql[];

/* A session as loads need it, with settings of ours and the role's name compared. STATUS_DENIED: it was not let in. */
enum status load_session_open(const struct postgres_login *login, struct postgres_session **session,
                              struct failure *failure) MUST_CHECK;

struct load_partition { /* of a replace: the rows that the new ones take the place of: column = value, all of them */
    struct text column, value;
};
/* Idempotency-Key (draft-ietf-httpapi-idempotency-key): kept in the load's own transaction. */
struct load_idempotency {
    struct text key;       /* TEXT_NONE: none */
    struct text operation; /* "putUpload" and what it was about: part of the key */
};

struct load_order {
    const struct postgres_login *login; /* the customer's own role, or the writer of the warehouse */
    const char *customer;               /* NULL: a load into the warehouse */
    struct postgres_session *session;   /* load_session_open's, to be closed by the caller at once whatever became of
                                           the load; NULL: the load opens its own behind the body's end */
    struct text schema, relation;       /* where the rows go */
    struct text dataset;                /* its name to callers, for words: "uploads.sales" */
    bool existing; /* a table that stands and keeps its columns (warehouse, append, upsert); else made anew */
    enum load_mode mode;
    const struct text *key; /* columns, as the file names them; of an upload's table the primary key */
    size_t key_count;
    const struct text *types; /* "column=type" told by the caller */
    size_t type_count;
    const struct load_partition *partitions;
    size_t partition_count;
    struct sniff_told told;
    double max_bad; /* share of rows that may go to quarantine, 0 … 1 */
    struct load_idempotency idempotency;
    uint64_t quota_bytes; /* of all uploads and analyses of the customer; 0: none */
    uint64_t quota_relations;
    uint32_t lock_timeout_ms; /* how long the swap waits for readers */
};

struct load_column {
    struct text name;
    const char *type; /* as SQL */
    bool guessed;
};
struct load_bad_row { /* the first ones, for the answer */
    uint64_t line;
    struct text column, reason, raw;
};
#define LOAD_BAD_TOLD 20

struct load_report { /* everything in `arena` */
    struct arena *arena;
    bool replayed;      /* the key was known: `answer` is what was answered then */
    struct text answer; /* JSON */
    uint64_t rows, quarantined, bytes, raw_bytes, version, inserted, updated;
    const struct load_column *columns;
    size_t column_count;
    struct load_bad_row bad[LOAD_BAD_TOLD];
    size_t bad_count;
    struct sniffed sniffed;
    unsigned char digest[32];
    /* Set where the load failed and the caller is to blame: */
    uint64_t line; /* 0: none */
    struct text column;
};

/* Makes the answer (JSON, kept with an idempotency key) from a report whose numbers are all there but the commit. */
typedef enum status (*load_answer)(void *context, const struct load_report *report, struct buffer *out);

/* The process's part, shared by its loads. */
struct load_environment {
    struct spool_space *spool;
    const atomic_bool *stopping;
};
/* *cancelled (may be set by another thread) ends it soon, with STATUS_UNAVAILABLE. Statuses: INVALID (file, types,
 * keys: words name line and column), NOT_FOUND (the existing table is not there), CONFLICT (views that would break, a
 * key that runs at the moment, the swap's lock not got: says which), TOO_LARGE (body, spool, quota), and what session
 * and body say. STATUS_DENIED with a key known for another body: 422 `idempotency-key-reused`. */
enum status load_run(const struct load_environment *environment, const struct load_order *order, struct body *body,
                     const atomic_bool *cancelled, load_answer make_answer, void *context, struct load_report *report,
                     struct failure *failure) MUST_CHECK;

#endif
