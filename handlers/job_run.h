/* A query that answers later: its row, its place among the threads, its result. */
#ifndef SLUICE_HANDLERS_JOB_RUN_H
#define SLUICE_HANDLERS_JOB_RUN_H

#include "handlers/own_sql.h"

/* For runQuery's execute(), first call, with own->kept: 202, once the job is in the database and waits for a thread. */
enum stage_verdict job_submit(struct request *request, const struct own_sql *own);

#endif
