/* A customer's jobs as the database keeps them: rows of sluice.job, and a table of each result in his schema NAME_jobs.
 * All within the transaction of a struct own_task. */
#ifndef SLUICE_HANDLERS_JOB_ROWS_H
#define SLUICE_HANDLERS_JOB_ROWS_H

#include "api/job_list.h"
#include "handlers/own_task.h"

#define JOB_INSTANCE_SIZE 320
/* Under which name a gateway's jobs stand: the same after its restart, another one's never. */
void job_instance(const struct server *server, char instance[JOB_INSTANCE_SIZE]);

/* Rows of it: the document as callers see it, state, instance, id, and whether it has expired. */
enum { JOB_DOCUMENT, JOB_STATE, JOB_INSTANCE, JOB_ID, JOB_EXPIRED };
extern const char job_one_sql[];  /* $1 the id */
extern const char job_list_sql[]; /* $1 how many, $2 the id of the last one seen, or null */
/* It is under way by what the row says, here, and not in truth; or it should be gone. To be called after the row was
 * read, never before. */
bool job_is_lost(const struct server *server, const struct postgres_rows *rows, size_t row);

/* What has expired goes, and what was lost has failed: in a transaction of its own, so it comes first. */
enum status job_rows_tidy(struct own_task *task) MUST_CHECK;
/* The table of a result, where there is one, and what was made on it. */
enum status job_rows_drop(struct own_task *task, struct text id) MUST_CHECK;
/* "NAME_jobs"."id". */
void job_rows_append_table(const struct own_task *task, struct text id, struct buffer *out);

#endif
