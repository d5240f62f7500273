#include "handlers/job_known.h"

#include <pthread.h>

/* Few: as many as threads and the queue's places. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct job_known *all;

bool job_known_add(struct job_known *job, size_t most)
{
    size_t count = 0;
    pthread_mutex_lock(&lock);
    for (const struct job_known *one = all; one != NULL; one = one->next)
        count += one->customer == job->customer;
    bool fits = count < most;
    if (fits) {
        job->next = all;
        all = job;
    }
    pthread_mutex_unlock(&lock);
    return fits;
}

enum status job_known_start(struct job_known *job, struct tasks *tasks)
{
    pthread_mutex_lock(&lock);
    enum status status = tasks_start(tasks, job->task);
    pthread_mutex_unlock(&lock);
    return status;
}

void job_known_remove(struct job_known *job)
{
    pthread_mutex_lock(&lock);
    struct job_known **link = &all;
    while (*link != NULL && *link != job)
        link = &(*link)->next;
    if (*link != NULL)
        *link = job->next;
    pthread_mutex_unlock(&lock);
}

/* With the lock. */
static struct job_known *find(struct text id)
{
    struct job_known *job = all;
    while (job != NULL && !text_equal(text_from_string(job->id), id))
        job = job->next;
    return job;
}

bool job_known_has(struct text id)
{
    pthread_mutex_lock(&lock);
    bool has = find(id) != NULL;
    pthread_mutex_unlock(&lock);
    return has;
}

void job_known_cancel(struct text id)
{
    pthread_mutex_lock(&lock);
    struct job_known *job = find(id);
    if (job != NULL)
        tasks_cancel(job->task);
    pthread_mutex_unlock(&lock);
}
