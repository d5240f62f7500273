/* PQcancel opens a connection of its own and blocks: a thread does that. */
#include <stdlib.h>

#include "drivers/postgres_private.h"

struct canceller {
    struct loop *loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct cancel_job *first, **last; /* under the lock */
    bool stopping;                    /* under the lock */
    void (*on_returned)(struct connection *connection);
};

static struct cancel_job *next_job(struct canceller *canceller)
{
    pthread_mutex_lock(&canceller->lock);
    while (canceller->first == NULL && !canceller->stopping)
        pthread_cond_wait(&canceller->changed, &canceller->lock);
    struct cancel_job *job = canceller->stopping ? NULL : canceller->first;
    if (job != NULL) {
        canceller->first = job->next;
        if (canceller->first == NULL)
            canceller->last = &canceller->first;
    }
    pthread_mutex_unlock(&canceller->lock);
    return job;
}

static void *canceller_main(void *context)
{
    struct canceller *canceller = context;
    struct cancel_job *job;
    while ((job = next_job(canceller)) != NULL) {
        char reason[256];
        /* A failure is met by the connection's deadline. */
        int ignored = PQcancel(job->cancel, reason, sizeof(reason));
        (void)ignored;
        loop_post(canceller->loop, &job->message);
    }
    return NULL;
}

static void free_job(struct cancel_job *job)
{
    PQfreeCancel(job->cancel);
    free(job);
}

static void on_job_done(struct loop_message *message)
{
    struct cancel_job *job = (struct cancel_job *)((char *)message - offsetof(struct cancel_job, message));
    struct connection *connection = job->connection;
    struct canceller *canceller = connection->pool->canceller;
    free_job(job);
    canceller->on_returned(connection);
}

struct canceller *canceller_create(struct loop *loop)
{
    struct canceller *canceller = calloc(1, sizeof(*canceller));
    if (canceller == NULL)
        return NULL;
    canceller->loop = loop;
    canceller->last = &canceller->first;
    pthread_mutex_init(&canceller->lock, NULL);
    pthread_cond_init(&canceller->changed, NULL);
    if (pthread_create(&canceller->thread, NULL, canceller_main, canceller) != 0) {
        free(canceller);
        return NULL;
    }
    return canceller;
}

void canceller_destroy(struct canceller *canceller)
{
    if (canceller == NULL)
        return;
    pthread_mutex_lock(&canceller->lock);
    canceller->stopping = true;
    pthread_cond_signal(&canceller->changed);
    pthread_mutex_unlock(&canceller->lock);
    pthread_join(canceller->thread, NULL);
    while (canceller->first != NULL) {
        struct cancel_job *job = canceller->first;
        canceller->first = job->next;
        free_job(job);
    }
    loop_deliver(canceller->loop);
    pthread_mutex_destroy(&canceller->lock);
    pthread_cond_destroy(&canceller->changed);
    free(canceller);
}

bool canceller_run(struct canceller *canceller, struct connection *connection,
                   void (*on_returned)(struct connection *connection))
{
    struct cancel_job *job = calloc(1, sizeof(*job));
    if (job != NULL)
        job->cancel = PQgetCancel(connection->pg);
    if (job == NULL || job->cancel == NULL) {
        free(job);
        return false;
    }
    canceller->on_returned = on_returned;
    job->connection = connection;
    job->message.on_message = on_job_done;
    pthread_mutex_lock(&canceller->lock);
    *canceller->last = job;
    canceller->last = &job->next;
    pthread_cond_signal(&canceller->changed);
    pthread_mutex_unlock(&canceller->lock);
    return true;
}
