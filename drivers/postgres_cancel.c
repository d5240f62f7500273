/* PQcancel opens a connection of its own and blocks: a thread does that. */
#include <stdatomic.h>
#include <stdlib.h>

#include "drivers/postgres_private.h"

/* Shared by the pool and the thread; the one who lets go last frees it. */
struct canceller {
    atomic_int references;
    struct loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct cancel_job *first, **last; /* under the lock */
    bool stopping;                    /* under the lock */
    struct cancel_job *newest;        /* of all that have not come back; the loop's thread only */
    void (*on_returned)(struct connection *connection);
};

static void let_go(struct canceller *canceller)
{
    if (atomic_fetch_sub(&canceller->references, 1) != 1)
        return;
    pthread_mutex_destroy(&canceller->lock);
    pthread_cond_destroy(&canceller->changed);
    free(canceller);
}

static void free_job(struct cancel_job *job)
{
    PQfreeCancel(job->cancel);
    free(job);
}

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
        /* Under the lock: once the pool has said that it goes, nothing is posted any more. */
        pthread_mutex_lock(&canceller->lock);
        bool stopping = canceller->stopping;
        if (!stopping)
            loop_post(canceller->loop, &job->message);
        pthread_mutex_unlock(&canceller->lock);
        if (stopping)
            free_job(job);
    }
    let_go(canceller);
    return NULL;
}

static void on_job_done(struct loop_message *message)
{
    struct cancel_job *job = (struct cancel_job *)((char *)message - offsetof(struct cancel_job, message));
    struct connection *connection = job->connection;
    struct canceller *canceller = job->canceller;
    if (job->newer != NULL)
        job->newer->older = job->older;
    else
        canceller->newest = job->older;
    if (job->older != NULL)
        job->older->newer = job->newer;
    free_job(job);
    if (connection != NULL)
        canceller->on_returned(connection);
}

struct canceller *canceller_create(struct loop *loop)
{
    struct canceller *canceller = calloc(1, sizeof(*canceller));
    if (canceller == NULL)
        return NULL;
    pthread_t thread;
    atomic_init(&canceller->references, 2);
    canceller->loop = loop;
    canceller->last = &canceller->first;
    pthread_mutex_init(&canceller->lock, NULL);
    pthread_cond_init(&canceller->changed, NULL);
    if (pthread_create(&thread, NULL, canceller_main, canceller) != 0) {
        atomic_store(&canceller->references, 1);
        let_go(canceller);
        return NULL;
    }
    pthread_detach(thread);
    return canceller;
}

void canceller_destroy(struct canceller *canceller)
{
    if (canceller == NULL)
        return;
    pthread_mutex_lock(&canceller->lock);
    canceller->stopping = true;
    struct cancel_job *job = canceller->first;
    canceller->first = NULL;
    canceller->last = &canceller->first;
    pthread_cond_signal(&canceller->changed);
    pthread_mutex_unlock(&canceller->lock);
    while (job != NULL) {
        struct cancel_job *next = job->next;
        free_job(job);
        job = next;
    }
    loop_deliver(canceller->loop);
    let_go(canceller);
}

void canceller_forget(struct canceller *canceller, const struct postgres *pool)
{
    for (struct cancel_job *job = canceller != NULL ? canceller->newest : NULL; job != NULL; job = job->older)
        if (job->connection != NULL && job->connection->pool == pool)
            job->connection = NULL;
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
    job->canceller = canceller;
    job->older = canceller->newest;
    if (canceller->newest != NULL)
        canceller->newest->newer = job;
    canceller->newest = job;
    job->message.on_message = on_job_done;
    pthread_mutex_lock(&canceller->lock);
    *canceller->last = job;
    canceller->last = &job->next;
    pthread_cond_signal(&canceller->changed);
    pthread_mutex_unlock(&canceller->lock);
    return true;
}
