#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/sync_private.h"
#include "base/log.h"

struct audit_sync {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t come, gone;            /* a job, or the end; a job was done */
    struct audit_sync_job *first, **last; /* under the lock, as what follows */
    bool stopping;
    struct audit_sync_job *owed; /* the thread's: of closed files that are doubtful, oldest first */
    atomic_uint doubts, closing;
};

int audit_sync_now(struct audit_sync *sync, struct audit_sync_file *file, uint64_t to, const struct chain_head *head)
{
    bool doubtful = file->doubtful;
    int error = sync_file_settle(file, to, head);
    if (file->doubtful != doubtful)
        atomic_fetch_add(&sync->doubts, doubtful ? -1u : 1u);
    return error;
}

void audit_sync_drop(struct audit_sync *sync, struct audit_sync_file *file)
{
    if (file == NULL)
        return;
    if (file->doubtful)
        atomic_fetch_sub(&sync->doubts, 1);
    sync_file_free(file);
}

bool audit_sync_is_closing(struct audit_sync *sync)
{
    return atomic_load(&sync->closing) != 0;
}

unsigned audit_sync_doubts(struct audit_sync *sync)
{
    return sync != NULL ? atomic_load(&sync->doubts) : 0;
}

/* The closed files of that loop, again. errno; 0: all are on disk. */
static int settle_owed(struct audit_sync *sync, const struct loop *loop)
{
    for (struct audit_sync_job **link = &sync->owed; *link != NULL;) {
        struct audit_sync_job *job = *link;
        if (job->file->loop != loop) {
            link = &job->next;
            continue;
        }
        int error = audit_sync_now(sync, job->file, job->to, &job->head);
        if (error != 0)
            return error;
        *link = job->next;
        audit_sync_drop(sync, job->file);
    }
    return 0;
}

static void owe(struct audit_sync *sync, struct audit_sync_job *job)
{
    struct audit_sync_job **link = &sync->owed;
    while (*link != NULL)
        link = &(*link)->next;
    job->next = NULL;
    *link = job;
}

static void carry_out(struct audit_sync *sync, struct audit_sync_job *job)
{
    /* Its own as well where that failed: it must be known as doubtful. */
    int owed = settle_owed(sync, job->file->loop);
    job->error = audit_sync_now(sync, job->file, job->to, &job->head);
    if (job->error == 0 && job->folder_fd >= 0 && fsync(job->folder_fd) != 0)
        job->error = errno;
    if (job->error == 0 && !job->closes)
        job->error = owed;
    if (job->error != 0)
        log_event(LOG_ERROR, "audit_sync_failed", "the audit log cannot be brought to disk: %s; look at the disk",
                  strerror(job->error));
}

/* A closed file. */
static void let_go(struct audit_sync *sync, struct audit_sync_job *job)
{
    if (job->error != 0)
        owe(sync, job);
    else
        audit_sync_drop(sync, job->file);
    atomic_fetch_sub(&sync->closing, 1);
}

static struct audit_sync_job *take(struct audit_sync *sync)
{
    while (sync->first == NULL && !sync->stopping)
        pthread_cond_wait(&sync->come, &sync->lock);
    struct audit_sync_job *job = sync->first;
    if (job != NULL && (sync->first = job->next) == NULL)
        sync->last = &sync->first;
    return job;
}

static void *sync_run(void *context)
{
    struct audit_sync *sync = context;
    struct audit_sync_job *job;
    pthread_mutex_lock(&sync->lock);
    while ((job = take(sync)) != NULL) {
        pthread_mutex_unlock(&sync->lock);
        bool closes = job->closes;
        carry_out(sync, job);
        if (closes)
            let_go(sync, job);
        pthread_mutex_lock(&sync->lock);
        if (closes)
            continue;
        /* Under the lock: whoever awaits it must find it posted. */
        job->finished = true;
        loop_post(job->file->loop, &job->done);
        pthread_cond_broadcast(&sync->gone);
    }
    pthread_mutex_unlock(&sync->lock);
    return NULL;
}

enum status audit_sync_create(struct audit_sync **out, struct failure *failure)
{
    struct audit_sync *sync = calloc(1, sizeof(*sync));
    if (sync == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    pthread_mutex_init(&sync->lock, NULL);
    pthread_cond_init(&sync->come, NULL);
    pthread_cond_init(&sync->gone, NULL);
    sync->last = &sync->first;
    if (pthread_create(&sync->thread, NULL, sync_run, sync) != 0) {
        free(sync);
        return failure_set(failure, STATUS_FAILED, "cannot start the audit log's sync thread");
    }
    *out = sync;
    return STATUS_OK;
}

void audit_sync_start(struct audit_sync *sync, struct audit_sync_job *job)
{
    job->next = NULL;
    job->finished = false;
    pthread_mutex_lock(&sync->lock);
    *sync->last = job;
    sync->last = &job->next;
    pthread_cond_signal(&sync->come);
    pthread_mutex_unlock(&sync->lock);
}

void audit_sync_await(struct audit_sync *sync, const struct audit_sync_job *job)
{
    pthread_mutex_lock(&sync->lock);
    while (!job->finished)
        pthread_cond_wait(&sync->gone, &sync->lock);
    pthread_mutex_unlock(&sync->lock);
}

void audit_sync_close(struct audit_sync *sync, struct audit_sync_file *file, uint64_t to, const struct chain_head *head)
{
    file->closing = (struct audit_sync_job){.file = file, .to = to, .head = *head, .folder_fd = -1, .closes = true};
    atomic_fetch_add(&sync->closing, 1);
    audit_sync_start(sync, &file->closing);
}

/* A last time. */
static void give_up(struct audit_sync *sync)
{
    for (struct audit_sync_job *job = sync->owed, *next; job != NULL; job = next) {
        next = job->next;
        int error = audit_sync_now(sync, job->file, job->to, &job->head);
        if (error != 0)
            log_event(LOG_ERROR, "audit_sync_failed",
                      "a closed file of the audit log was not brought to disk before the end: %s; look at the disk, "
                      "then run sluice audit verify",
                      strerror(error));
        audit_sync_drop(sync, job->file);
    }
}

void audit_sync_destroy(struct audit_sync *sync)
{
    if (sync == NULL)
        return;
    pthread_mutex_lock(&sync->lock);
    sync->stopping = true;
    pthread_cond_signal(&sync->come);
    pthread_mutex_unlock(&sync->lock);
    pthread_join(sync->thread, NULL);
    give_up(sync);
    pthread_mutex_destroy(&sync->lock);
    pthread_cond_destroy(&sync->come);
    pthread_cond_destroy(&sync->gone);
    free(sync);
}
