#include "api/tasks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STACK_SIZE ((size_t)8 << 20) /* libpg_query recurses with a statement's depth */
#define NAME_SIZE 16                 /* of a thread, with its NUL: the kernel's */

struct tasks {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* ready, idle or stopping; of CLOCK_MONOTONIC */
    char name[NAME_SIZE];
    unsigned threads, each;
    size_t queue;
    /* All below under the lock. */
    struct task *ready_first, **ready_last; /* they have a thread already: it is about to take them */
    struct task *waiting_first, **waiting_last;
    struct task **running; /* those that are ready or run; `threads` places, NULL: free */
    size_t running_count, waiting_count;
    uint64_t finished, refused;
    bool stopping;
    unsigned joinable; /* threads that were started and not joined */
    pthread_t *handles;
};

static void on_back(struct loop_message *message)
{
    struct task *task = (struct task *)((char *)message - offsetof(struct task, message));
    task->done(task);
}

void tasks_give_back(struct task *task)
{
    task->message.on_message = on_back;
    loop_post(task->loop, &task->message);
}

static void append(struct task ***last, struct task *task)
{
    task->next = NULL;
    **last = task;
    *last = &task->next;
}

static unsigned running_of(const struct tasks *tasks, uint64_t customer)
{
    unsigned count = 0;
    for (unsigned i = 0; i < tasks->threads; i++)
        count += tasks->running[i] != NULL && tasks->running[i]->customer == customer;
    return count;
}

static size_t waiting_of(const struct tasks *tasks, uint64_t customer)
{
    size_t count = 0;
    for (const struct task *task = tasks->waiting_first; task != NULL; task = task->next)
        count += task->customer == customer;
    return count;
}

static bool may_run(const struct tasks *tasks, const struct task *task)
{
    return tasks->running_count < tasks->threads && running_of(tasks, task->customer) < tasks->each;
}

static void make_ready(struct tasks *tasks, struct task *task)
{
    unsigned place = 0;
    while (tasks->running[place] != NULL)
        place++;
    tasks->running[place] = task;
    tasks->running_count++;
    append(&tasks->ready_last, task);
    pthread_cond_broadcast(&tasks->changed);
}

/* Takes *link's task out of those that wait. */
static struct task *unlink_waiting(struct tasks *tasks, struct task **link)
{
    struct task *task = *link;
    *link = task->next;
    if (*link == NULL)
        tasks->waiting_last = link;
    tasks->waiting_count--;
    return task;
}

/* The first of those that may run: a customer's who has his number at work is passed by. */
static void dispatch(struct tasks *tasks)
{
    struct task **link = &tasks->waiting_first;
    while (*link != NULL && tasks->running_count < tasks->threads)
        if (may_run(tasks, *link))
            make_ready(tasks, unlink_waiting(tasks, link));
        else
            link = &(*link)->next;
}

static struct task *take_ready(struct tasks *tasks)
{
    pthread_mutex_lock(&tasks->lock);
    while (tasks->ready_first == NULL && !tasks->stopping)
        pthread_cond_wait(&tasks->changed, &tasks->lock);
    struct task *task = tasks->ready_first;
    if (task != NULL) {
        tasks->ready_first = task->next;
        if (tasks->ready_first == NULL)
            tasks->ready_last = &tasks->ready_first;
    }
    pthread_mutex_unlock(&tasks->lock);
    return task;
}

static void end(struct tasks *tasks, struct task *task)
{
    unsigned place = 0;
    pthread_mutex_lock(&tasks->lock);
    while (tasks->running[place] != task)
        place++;
    tasks->running[place] = NULL;
    tasks->running_count--;
    tasks->finished++;
    dispatch(tasks);
    pthread_cond_broadcast(&tasks->changed);
    pthread_mutex_unlock(&tasks->lock);
    tasks_give_back(task);
}

static void *thread_main(void *context)
{
    struct tasks *tasks = context;
    struct task *task;
    while ((task = take_ready(tasks)) != NULL) {
        if (!atomic_load(&task->cancelled)) {
            task->started = true;
            task->run(task);
        }
        end(tasks, task);
    }
    return NULL;
}

static bool start_threads(struct tasks *tasks)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    /* Threads take the mask over from here: no signal ever comes to one. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (tasks->joinable < tasks->threads &&
           pthread_create(&tasks->handles[tasks->joinable], &attributes, thread_main, tasks) == 0) {
        char name[32];
        snprintf(name, sizeof(name), "%.10s-%u", tasks->name, tasks->joinable % 1000);
        pthread_setname_np(tasks->handles[tasks->joinable], name);
        tasks->joinable++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return tasks->joinable == tasks->threads;
}

static void init_lock(struct tasks *tasks)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&tasks->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&tasks->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct tasks *tasks_create(const char *name, unsigned threads, size_t queue, unsigned each)
{
    struct tasks *tasks = calloc(1, sizeof(*tasks));
    if (tasks == NULL)
        return NULL;
    init_lock(tasks);
    snprintf(tasks->name, sizeof(tasks->name), "%s", name);
    tasks->threads = threads;
    tasks->each = each;
    tasks->queue = queue;
    tasks->ready_last = &tasks->ready_first;
    tasks->waiting_last = &tasks->waiting_first;
    tasks->running = calloc(threads, sizeof(struct task *));
    tasks->handles = calloc(threads, sizeof(pthread_t));
    if (tasks->running == NULL || tasks->handles == NULL || !start_threads(tasks)) {
        tasks_destroy(tasks);
        return NULL;
    }
    return tasks;
}

static enum status accept(struct tasks *tasks, struct task *task)
{
    size_t share = tasks->queue / 4 != 0 ? tasks->queue / 4 : 1;
    if (tasks->stopping)
        return STATUS_UNAVAILABLE;
    if (may_run(tasks, task)) {
        make_ready(tasks, task);
        return STATUS_OK;
    }
    if (tasks->waiting_count >= tasks->queue || waiting_of(tasks, task->customer) >= share)
        return STATUS_BUSY;
    append(&tasks->waiting_last, task);
    tasks->waiting_count++;
    return STATUS_OK;
}

enum status tasks_start(struct tasks *tasks, struct task *task)
{
    task->tasks = tasks;
    task->started = false;
    atomic_store(&task->cancelled, false);
    pthread_mutex_lock(&tasks->lock);
    enum status status = accept(tasks, task);
    if (status != STATUS_OK)
        tasks->refused++;
    pthread_mutex_unlock(&tasks->lock);
    return status;
}

void tasks_cancel(struct task *task)
{
    struct tasks *tasks = task->tasks;
    atomic_store(&task->cancelled, true);
    if (tasks == NULL)
        return;
    pthread_mutex_lock(&tasks->lock);
    struct task **link = &tasks->waiting_first;
    while (*link != NULL && *link != task)
        link = &(*link)->next;
    bool waited = *link != NULL;
    if (waited) {
        (void)unlink_waiting(tasks, link);
        tasks->finished++;
    }
    pthread_mutex_unlock(&tasks->lock);
    if (waited)
        tasks_give_back(task);
}

static struct timespec from_now(uint32_t ms)
{
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    due.tv_sec += ms / 1000;
    due.tv_nsec += (long)(ms % 1000) * 1000000;
    if (due.tv_nsec >= 1000000000) {
        due.tv_sec++;
        due.tv_nsec -= 1000000000;
    }
    return due;
}

/* With the lock. */
static void wait_and_cancel(struct tasks *tasks, uint32_t grace_ms)
{
    struct timespec due = from_now(grace_ms);
    while (tasks->running_count != 0 && pthread_cond_timedwait(&tasks->changed, &tasks->lock, &due) != ETIMEDOUT)
        ;
    for (unsigned i = 0; i < tasks->threads; i++)
        if (tasks->running[i] != NULL)
            atomic_store(&tasks->running[i]->cancelled, true);
}

void tasks_stop(struct tasks *tasks, uint32_t grace_ms)
{
    pthread_mutex_lock(&tasks->lock);
    struct task *dropped = tasks->waiting_first;
    tasks->stopping = true;
    tasks->waiting_first = NULL;
    tasks->waiting_last = &tasks->waiting_first;
    tasks->finished += tasks->waiting_count;
    tasks->waiting_count = 0;
    pthread_cond_broadcast(&tasks->changed);
    pthread_mutex_unlock(&tasks->lock);
    while (dropped != NULL) {
        struct task *next = dropped->next;
        atomic_store(&dropped->cancelled, true);
        tasks_give_back(dropped);
        dropped = next;
    }
    pthread_mutex_lock(&tasks->lock);
    if (tasks->running_count != 0)
        wait_and_cancel(tasks, grace_ms);
    pthread_mutex_unlock(&tasks->lock);
    while (tasks->joinable != 0)
        pthread_join(tasks->handles[--tasks->joinable], NULL);
}

void tasks_destroy(struct tasks *tasks)
{
    if (tasks == NULL)
        return;
    tasks_stop(tasks, 0);
    pthread_cond_destroy(&tasks->changed);
    pthread_mutex_destroy(&tasks->lock);
    free(tasks->running);
    free(tasks->handles);
    free(tasks);
}

struct tasks_statistics tasks_statistics(struct tasks *tasks)
{
    pthread_mutex_lock(&tasks->lock);
    struct tasks_statistics statistics = {tasks->running_count, tasks->waiting_count, tasks->finished, tasks->refused};
    pthread_mutex_unlock(&tasks->lock);
    return statistics;
}
