#include "audit/sync.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

struct audit_sync {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t come, gone;            /* a job, or the end; a job was done */
    struct audit_sync_job *first, **last; /* under the lock, as what follows */
    bool stopping;
};

/* A job of nobody: a file that its owner is through with. */
static bool is_close(const struct audit_sync_job *job)
{
    return job->loop == NULL;
}

static void carry_out(struct audit_sync_job *job)
{
    job->error = fdatasync(job->fd) == 0 && (job->folder_fd < 0 || fsync(job->folder_fd) == 0) ? 0 : errno;
    if (job->error != 0)
        log_event(LOG_ERROR, "audit_sync_failed", "the audit log cannot be brought to disk: %s; look at the disk",
                  strerror(job->error));
    if (is_close(job))
        close(job->fd);
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
        carry_out(job);
        pthread_mutex_lock(&sync->lock);
        if (is_close(job)) {
            free(job);
            continue;
        }
        /* Under the lock: whoever awaits it must find it posted. */
        job->finished = true;
        loop_post(job->loop, &job->done);
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

void audit_sync_close(struct audit_sync *sync, int fd)
{
    struct audit_sync_job *job = calloc(1, sizeof(*job));
    if (job == NULL) { /* out of memory: better late than not */
        (void)!fdatasync(fd);
        close(fd);
        return;
    }
    job->fd = fd;
    job->folder_fd = -1;
    audit_sync_start(sync, job);
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
    pthread_mutex_destroy(&sync->lock);
    pthread_cond_destroy(&sync->come);
    pthread_cond_destroy(&sync->gone);
    free(sync);
}
