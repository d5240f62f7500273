/* The thread that calls fdatasync for all workers, so that no loop waits for a disk: one a process. Jobs are done one
 * by one, in the order in which they come; workers gather what must be on disk while one is under way (group commit).
 */
#ifndef SLUICE_AUDIT_SYNC_H
#define SLUICE_AUDIT_SYNC_H

#include "drivers/loop.h"

struct audit_sync;
struct audit_sync_job { /* inside its owner's structure, who leaves it alone until it is done */
    struct audit_sync_job *next;
    int fd;
    int folder_fd;     /* -1: only the file; else the folder's names too */
    struct loop *loop; /* where `done` is posted */
    struct loop_message done;
    int error; /* errno; 0: on disk */
    bool finished;
};
enum status audit_sync_create(struct audit_sync **sync, struct failure *failure) MUST_CHECK;
/* Any thread. */
void audit_sync_start(struct audit_sync *sync, struct audit_sync_job *job);
/* Waits until the job's `done` has been posted. */
void audit_sync_await(struct audit_sync *sync, const struct audit_sync_job *job);
/* Takes the file over: synced, then closed, behind the jobs that stand there. Any thread. */
void audit_sync_close(struct audit_sync *sync, int fd);
/* Ends when all jobs are done. NULL is allowed. */
void audit_sync_destroy(struct audit_sync *sync);

#endif
