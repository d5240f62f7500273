/* The jobs that this process will see to their ends: those that wait for a thread and those that run. What the database
 * says is under way here and what is not among them was lost. Any thread. */
#ifndef SLUICE_API_JOB_LIST_H
#define SLUICE_API_JOB_LIST_H

#include "api/tasks.h"
#include "base/buffer.h"

#define JOB_ID_SIZE 36 /* of a UUID in text */

struct job_list;
struct job_list *job_list_create(void); /* NULL: out of memory */
void job_list_destroy(struct job_list *list);

struct job_entry { /* inside its owner */
    char id[JOB_ID_SIZE + 1];
    struct task *task;
    uint64_t customer; /* a hash, as the task's */
    struct job_entry *next;
};
/* Before its row is there for others. `id`, `task` and `customer` are set. False: this customer has `most` here
 * already.
 */
bool job_list_add(struct job_list *list, struct job_entry *job, size_t most) MUST_CHECK;
/* tasks_start, which no cancel comes between. */
enum status job_list_start(struct job_list *list, struct job_entry *job, struct tasks *tasks) MUST_CHECK;
/* Before its task is freed. */
void job_list_remove(struct job_list *list, struct job_entry *job);
bool job_list_has(struct job_list *list, struct text id);
/* Harmless where it is not known. */
void job_list_cancel(struct job_list *list, struct text id);

#endif
