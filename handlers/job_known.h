/* The jobs that this process will see to their ends: those that wait for a thread and those that run. What the database
 * says is under way here and what is not among them was lost. Any thread. */
#ifndef SLUICE_HANDLERS_JOB_KNOWN_H
#define SLUICE_HANDLERS_JOB_KNOWN_H

#include "api/tasks.h"
#include "base/buffer.h"

#define JOB_ID_SIZE 36 /* of a UUID in text */

struct job_known { /* inside its owner */
    char id[JOB_ID_SIZE + 1];
    struct task *task;
    uint64_t customer; /* a hash, as the task's */
    struct job_known *next;
};
/* Before its row is there for others. `id`, `task` and `customer` are set. False: this customer has `most` here
 * already.
 */
bool job_known_add(struct job_known *job, size_t most) MUST_CHECK;
/* tasks_start, which no cancel comes between. */
enum status job_known_start(struct job_known *job, struct tasks *tasks) MUST_CHECK;
/* Before its task is freed. */
void job_known_remove(struct job_known *job);
bool job_known_has(struct text id);
/* Harmless where it is not known. */
void job_known_cancel(struct text id);

#endif
