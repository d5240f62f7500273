/* What audit/keeper*.c share. All of it belongs to the keeper's thread, but what the lock guards. */
#ifndef SLUICE_AUDIT_KEEPER_PRIVATE_H
#define SLUICE_AUDIT_KEEPER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "audit/keeper.h"

#define KEEPER_TICK_MS 200
#define KEEPER_BATCH_RECORDS 1000
#define KEEPER_BATCH_BYTES ((size_t)1 << 20)
#define KEEPER_WINDOW ((size_t)512 << 10) /* of a plain file, at once; more than CHAIN_LINE_MAX */

/* How far a chain of this instance has come into the database. */
struct keeper_chain {
    char name[SEGMENT_CHAIN_MAX];
    uint64_t shipped; /* number of the last record that is there */
    bool asked;       /* the database has said so, in this session */
    bool ended;       /* all of it is there */
    bool broken;      /* it holds what is no record: sluice audit verify names the place */
    bool single;      /* the database refused a batch: one by one, to find out which */
    /* Where the next record is looked for; number 0: it must be found first. */
    unsigned number;
    int fd; /* -1: none */
    uint64_t offset;
    struct segment_reader *reader; /* instead of fd: compressed */
};

/* A head that was written down outside. */
struct keeper_anchored {
    struct chain_head database, file;
};

struct keeper {
    struct keeper_options options;
    int folder_fd;
    pthread_t thread;
    bool started;
    /* The chain of our own. */
    struct segment_name own;
    int own_fd;
    struct chain_head own_head; /* on disk */
    uint64_t own_size;          /* bytes that are whole records */
    bool own_torn;
    /* The folder, as it was last seen. */
    struct segment_list list;
    int64_t listed_us;     /* monotonic; 0: never */
    int64_t folder_change; /* its mtime in nanoseconds, before it was listed */
    int64_t tidied_us;     /* when the retention rule was looked at last */
    /* The database. */
    struct postgres_session *session;
    int64_t open_at_us; /* not before */
    bool has_functions, told_away, told_none;
    bool erasing_begun;
    int64_t erased_to; /* number of the last erasure that was carried out here */
    int64_t erase_at_us, expire_at_us;
    struct keeper_chain *chains; /* sorted by name */
    size_t chain_count;
    int64_t chains_listed_us; /* the list that they were taken from */
    struct buffer batch;
    char *window;               /* KEEPER_WINDOW bytes of a plain file */
    int64_t looked_us, used_us; /* how busy the workers were until then: wall clock's and processor's time */
    /* Anchors. */
    struct keeper_anchored *anchored; /* by log; the last one is our own */
    struct chain_head *heads;         /* the same, as they are now */
    int64_t anchor_at_us;
    int anchor_fd; /* -1: none */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_bool stopping;
    int64_t
        stop_by_us; /* under the lock before the thread has ended: a database that does not answer by then is left */
    struct keeper_statistics statistics; /* under the lock */
};

int64_t keeper_now_us(void); /* monotonic */
bool keeper_is_stopping(const struct keeper *keeper);
/* Counts a failure, and says it in the log. */
void keeper_fail(struct keeper *keeper, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);
void keeper_count(struct keeper *keeper, uint64_t *counter, uint64_t more); /* `counter`: in keeper->statistics */
/* Lists the folder anew where it has changed, or a minute has passed; `always`: in any case. */
bool keeper_list(struct keeper *keeper, bool always);
/* The chain's segments in keeper->list: the first one's index; *count may be 0. */
size_t keeper_segments_of(const struct keeper *keeper, const char *chain, size_t *count);
/* Does anybody write it, or has its chain not come to its end? Only what is closed may be touched. */
bool keeper_is_closed(struct keeper *keeper, size_t index);
/* A segment that nobody else looks after at this moment: opened, locked, and still the one of that name. -1: leave it.
 */
int keeper_take(struct keeper *keeper, const struct segment_name *segment);

/* A line of our own: keeper_begin … entry_append_* … keeper_seal; then keeper_write brings all of them to disk, or
 * none (false, errno tells): the head stays where it was. */
size_t keeper_begin(struct keeper *keeper, struct chain_head *head, struct buffer *lines, const char *event);
bool keeper_seal(struct keeper *keeper, struct chain_head *head, struct buffer *lines, size_t start) MUST_CHECK;
bool keeper_write(struct keeper *keeper, const struct chain_head *head, struct buffer *lines) MUST_CHECK;

void keeper_compress(struct keeper *keeper);
void keeper_tidy(struct keeper *keeper); /* the retention rule */
void keeper_anchor(struct keeper *keeper, bool last);
/* Opens the session when it is due; false: there is none. */
bool keeper_reach(struct keeper *keeper);
/* A statement has failed: the session goes where nothing can follow on it. */
void keeper_database_failed(struct keeper *keeper, enum status status, const char *what, const struct failure *failure);
void keeper_erase(struct keeper *keeper);
void keeper_expire(struct keeper *keeper); /* shipped records and anchors that are too old */
/* What is due in this turn. */
void keeper_ship(struct keeper *keeper);
/* Of which chain how much is in the database; false: not all of `seq`, or it is not known. Always true where nothing is
 * shipped. */
bool keeper_is_shipped(const struct keeper *keeper, const char *chain, uint64_t seq);
void keeper_forget_places(struct keeper *keeper);
uint64_t keeper_lag(struct keeper *keeper);

#endif
