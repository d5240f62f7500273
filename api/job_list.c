#include "api/job_list.h"

#include <pthread.h>
#include <stdlib.h>

struct job_list {
    pthread_mutex_t lock;
    struct job_entry *first; /* few: as many as threads and the queue's places */
};

struct job_list *job_list_create(void)
{
    struct job_list *list = calloc(1, sizeof(*list));
    if (list != NULL)
        pthread_mutex_init(&list->lock, NULL);
    return list;
}

void job_list_destroy(struct job_list *list)
{
    if (list == NULL)
        return;
    pthread_mutex_destroy(&list->lock);
    free(list);
}

bool job_list_add(struct job_list *list, struct job_entry *job, size_t most)
{
    size_t count = 0;
    pthread_mutex_lock(&list->lock);
    for (const struct job_entry *one = list->first; one != NULL; one = one->next)
        count += one->customer == job->customer;
    bool fits = count < most;
    if (fits) {
        job->next = list->first;
        list->first = job;
    }
    pthread_mutex_unlock(&list->lock);
    return fits;
}

enum status job_list_start(struct job_list *list, struct job_entry *job, struct tasks *tasks)
{
    pthread_mutex_lock(&list->lock);
    enum status status = tasks_start(tasks, job->task);
    pthread_mutex_unlock(&list->lock);
    return status;
}

void job_list_remove(struct job_list *list, struct job_entry *job)
{
    pthread_mutex_lock(&list->lock);
    struct job_entry **link = &list->first;
    while (*link != NULL && *link != job)
        link = &(*link)->next;
    if (*link != NULL)
        *link = job->next;
    pthread_mutex_unlock(&list->lock);
}

/* With the lock. */
static struct job_entry *find(const struct job_list *list, struct text id)
{
    struct job_entry *job = list->first;
    while (job != NULL && !text_equal(text_from_string(job->id), id))
        job = job->next;
    return job;
}

bool job_list_has(struct job_list *list, struct text id)
{
    pthread_mutex_lock(&list->lock);
    bool has = find(list, id) != NULL;
    pthread_mutex_unlock(&list->lock);
    return has;
}

void job_list_cancel(struct job_list *list, struct text id)
{
    pthread_mutex_lock(&list->lock);
    struct job_entry *job = find(list, id);
    if (job != NULL)
        tasks_cancel(job->task);
    pthread_mutex_unlock(&list->lock);
}
