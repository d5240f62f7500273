/* The thread that calls fdatasync for all workers, so that no loop waits for a disk: one a process. Jobs are done one
 * by one, in the order in which they come; workers gather what must be on disk while one is under way (group commit).
 *
 * After a failed fdatasync the kernel may take the pages for clean that it could not write, and the next one succeeds
 * without them. So a file of which one has failed is doubtful: what was not on disk before is read back, checked as a
 * chain, and written again in its place, before another fdatasync counts. A closed file that is doubtful is kept open,
 * and comes first in every later job of its loop: nothing is on disk that follows what is not. */
#ifndef SLUICE_AUDIT_SYNC_H
#define SLUICE_AUDIT_SYNC_H

#include "audit/chain.h"
#include "drivers/loop.h"

struct audit_sync_file;
struct audit_sync;
struct audit_sync_job { /* inside its owner's structure, who leaves it alone until it is done */
    struct audit_sync_job *next;
    struct audit_sync_file *file;
    uint64_t to;              /* bytes of it that shall be on disk */
    struct chain_head head;   /* their last record */
    int folder_fd;            /* -1: only the file; else the folder's names too */
    struct loop_message done; /* posted on the file's loop */
    int error;                /* errno; 0: on disk */
    bool closes, finished;
};
/* A segment: its writer's, but while a job of it is under way. */
struct audit_sync_file {
    struct loop *loop; /* its writer's */
    int fd;            /* O_APPEND, locked: its writer's */
    int again_fd;      /* the same file, written in any place */
    const struct hash_hmac_key *key;
    uint64_t durable;       /* bytes that are on disk */
    struct chain_head head; /* the last record of these */
    bool doubtful;
    struct audit_sync_job closing;
};
/* Takes `fd` over; `path` is below the folder, `head` what its first record follows. NULL: errno tells, and `fd` is
 * still the caller's. */
struct audit_sync_file *audit_sync_file_open(struct loop *loop, int fd, int folder_fd, const char *path,
                                             const struct hash_hmac_key *key, const struct chain_head *head);

enum status audit_sync_create(struct audit_sync **sync, struct failure *failure) MUST_CHECK;
/* Any thread. */
void audit_sync_start(struct audit_sync *sync, struct audit_sync_job *job);
/* Waits until the job's `done` has been posted. */
void audit_sync_await(struct audit_sync *sync, const struct audit_sync_job *job);
/* Here and now, of a file without a job: up to `to`, whose last record `head` is. errno; 0: on disk. */
int audit_sync_now(struct audit_sync *sync, struct audit_sync_file *file, uint64_t to, const struct chain_head *head);
/* Takes the file over: synced, then closed, behind the jobs that stand there. Any thread. */
void audit_sync_close(struct audit_sync *sync, struct audit_sync_file *file, uint64_t to,
                      const struct chain_head *head);
/* Closes it as it is. NULL is allowed. */
void audit_sync_drop(struct audit_sync *sync, struct audit_sync_file *file);
/* Are closed files still on their way to the disk? Any thread. */
bool audit_sync_is_closing(struct audit_sync *sync);
/* How many files are doubtful. Any thread; NULL is allowed. */
unsigned audit_sync_doubts(struct audit_sync *sync);
/* Ends when all jobs are done. NULL is allowed. */
void audit_sync_destroy(struct audit_sync *sync);

#endif
