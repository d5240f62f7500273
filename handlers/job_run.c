#include "handlers/job_run.h"

#include <stdio.h>

#include "api/problem.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"
#include "handlers/job_rows.h"
#include "query/own_views.h"

#define UNFINISHED 10                  /* jobs of one customer that wait or run */
#define SQL_CEILING ((size_t)10 << 20) /* the checked SQL, or all its values quoted */

struct job {             /* what the thread needs: it outlives the request */
    struct own_task own; /* first */
    struct job_entry known;
    struct sql_checked checked;
    struct text *values;
    uint64_t limit, offset, quota_bytes;
    bool erased; /* its row is gone: nobody wants it any more */
    enum activity_job outcome;
    uint64_t took_us;
    char error[900];
};

struct submit {          /* the task of the request */
    struct own_task own; /* first */
    struct job *job;
    struct text sql, given, subject;
    bool full, asked; /* asked: the caller wanted a job */
};

/* On the job's thread. */

static struct text id_of(const struct job *job)
{
    return text_of(job->known.id, JOB_ID_SIZE);
}

static enum status erased(struct job *job)
{
    job->erased = true;
    return own_task_fail(&job->own, PROBLEM_NOT_FOUND, "the job was deleted");
}

static void begin(struct own_task *task)
{
    static const char sql[] =
        "update sluice.job set state = 'running', started_at = clock_timestamp(), expires_at = clock_timestamp() +"
        " $2::bigint * interval '1 millisecond' where job_id = $1::uuid and state = 'waiting'";
    struct job *job = (struct job *)task;
    const struct config *config = task->server->config;
    char keep_ms[24];
    snprintf(keep_ms, sizeof(keep_ms), "%llu", (unsigned long long)config->jobs.keep_ms + config->jobs.timeout_ms);
    const struct text values[] = {id_of(job), text_from_string(keep_ms)};
    if (job_rows_tidy(task) != STATUS_OK || own_task_query(task, sql, 2, values, NULL, NULL) != STATUS_OK)
        return;
    if (postgres_session_affected(task->session) == 0)
        (void)!erased(job);
}

static enum status run_checked(struct job *job, struct buffer *sql)
{
    const char *words = buffer_c_string(sql);
    enum status status = words != NULL ? own_task_query_checked(&job->own, &job->checked, buffer_text(sql), NULL, NULL)
                                       : own_task_fail_status(&job->own, STATUS_TOO_LARGE);
    buffer_free(sql);
    return status;
}

/* The server infers the parameters' types, as it does where values are bound. */
static enum status prepare(struct job *job)
{
    struct buffer sql;
    bool pages = job->limit != UINT64_MAX || job->offset != 0;
    buffer_init(&sql, SQL_CEILING);
    buffer_append_string(&sql, pages ? "prepare sluice_job as select * from (" : "prepare sluice_job as ");
    buffer_append_text(&sql, job->checked.sql);
    if (pages)
        buffer_append_literal(&sql, ") as sluice_page");
    if (job->limit != UINT64_MAX)
        buffer_printf(&sql, " limit %llu", (unsigned long long)job->limit);
    if (job->offset != 0)
        buffer_printf(&sql, " offset %llu", (unsigned long long)job->offset);
    return run_checked(job, &sql);
}

/* CREATE TABLE AS takes no bound values: EXECUTE takes them as literals, which become the types inferred. */
static enum status make_table(struct job *job)
{
    struct buffer sql;
    buffer_init(&sql, SQL_CEILING);
    buffer_append_literal(&sql, "create table ");
    job_rows_append_table(&job->own, id_of(job), &sql);
    buffer_append_literal(&sql, " as execute sluice_job");
    for (size_t i = 0; i < job->checked.parameter_count; i++) {
        buffer_append_string(&sql, i == 0 ? "(" : ", ");
        if (job->values[i].data != NULL)
            postgres_append_literal(&sql, job->values[i]);
        else
            buffer_append_literal(&sql, "null");
    }
    if (job->checked.parameter_count != 0)
        buffer_append_char(&sql, ')');
    return run_checked(job, &sql);
}

static enum status analyze(struct job *job)
{
    struct buffer sql;
    buffer_init(&sql, 1024);
    buffer_append_literal(&sql, "analyze ");
    job_rows_append_table(&job->own, id_of(job), &sql);
    return run_checked(job, &sql);
}

struct sizes {
    int64_t allowed, all;
};

static void keep_sizes(void *context, const struct postgres_rows *rows)
{
    struct sizes *sizes = context;
    if (postgres_rows_count(rows) == 0 || !text_to_int64(postgres_rows_value(rows, 0, 0), &sizes->allowed) ||
        !text_to_int64(postgres_rows_value(rows, 0, 1), &sizes->all))
        *sizes = (struct sizes){0};
}

/* Results take their owner's room until they expire. */
static enum status check_quota(struct job *job)
{
    static const char sql[] =
        "select coalesce(k.quota_bytes, $4::bigint), coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint"
        " from sluice.customer k left join (pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid ="
        " c.relnamespace and n.nspname in ($1, $2, $3) and c.relkind in ('r', 'm', 'p')) on true"
        " where k.customer_id = sluice.me() group by 1";
    struct sizes sizes = {0};
    char bytes[24];
    const struct customer_names *names = &job->own.relations.names;
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)job->quota_bytes);
    const struct text values[] = {text_from_string(names->uploads), text_from_string(names->analytics),
                                  text_from_string(names->jobs), text_from_string(bytes)};
    enum status status = own_task_query(&job->own, sql, 4, values, keep_sizes, &sizes);
    if (status == STATUS_OK && sizes.allowed != 0 && sizes.all > sizes.allowed)
        return own_task_fail(&job->own, PROBLEM_QUOTA_EXCEEDED,
                             "with this result uploads, analyses and results would take %lld bytes, and %lld are "
                             "allowed; narrow it, or delete something first",
                             (long long)sizes.all, (long long)sizes.allowed);
    return status;
}

static void keep_refused(void *context, const struct postgres_rows *rows)
{
    struct job *job = context;
    struct relations *relations = &job->own.relations;
    size_t refused = postgres_rows_count(rows) != 0
                         ? own_views_read(postgres_rows_value(rows, 0, 0), &job->own.server->datasets)
                         : 1;
    if (refused == 0 || refused > job->checked.relation_count)
        return;
    relations->refused_schema = job->checked.relations[refused - 1].schema;
    relations->refused_name = job->checked.relations[refused - 1].name;
}

/* While the job waited he may have made something else, with SQL on his own login, of what it reads. */
static enum status check_own(struct job *job)
{
    struct text values[OWN_VIEWS_PARAMETERS];
    struct relations *relations = &job->own.relations;
    struct relations_mistake told;
    relations->refused_name = TEXT_NONE;
    if (own_views_parameters(text_from_string(relations->names.role), &job->checked, &job->own.arena, values) !=
        STATUS_OK)
        return own_task_fail_status(&job->own, STATUS_TOO_LARGE);
    enum status status = own_task_query(&job->own, own_views_sql, OWN_VIEWS_PARAMETERS, values, keep_refused, job);
    if (status != STATUS_OK || relations->refused_name.data == NULL)
        return status;
    relations_refused(relations, STATUS_INVALID, &(struct sql_check_mistake){0}, &told);
    return own_task_fail_sql(&job->own, &told);
}

static void make(struct own_task *task)
{
    static const char sql[] =
        "update sluice.job set state = 'done', finished_at = clock_timestamp(), expires_at = clock_timestamp() +"
        " $2::bigint * interval '1 millisecond', rows = $3::bigint, bytes ="
        " pg_catalog.pg_total_relation_size(pg_catalog.format('%I.%I', $4::text, $1::text)::pg_catalog.regclass)"
        " where job_id = $1::text::uuid and state = 'running'";
    struct job *job = (struct job *)task;
    char keep_ms[24], rows[24];
    if (check_own(job) != STATUS_OK || prepare(job) != STATUS_OK || make_table(job) != STATUS_OK)
        return;
    snprintf(rows, sizeof(rows), "%llu", (unsigned long long)postgres_session_affected(task->session));
    snprintf(keep_ms, sizeof(keep_ms), "%u", task->server->config->jobs.keep_ms);
    const struct text values[] = {id_of(job), text_from_string(keep_ms), text_from_string(rows),
                                  text_from_string(task->relations.names.jobs)};
    if (check_quota(job) == STATUS_OK && analyze(job) == STATUS_OK &&
        own_task_query(task, sql, 4, values, NULL, NULL) == STATUS_OK && postgres_session_affected(task->session) == 0)
        (void)!erased(job);
}

static void fail(struct own_task *task)
{
    static const char sql[] =
        "update sluice.job set state = 'failed', finished_at = clock_timestamp(), expires_at = clock_timestamp() +"
        " $2::bigint * interval '1 millisecond', error = $3 where job_id = $1::uuid and state in ('waiting', "
        "'running')";
    struct job *job = (struct job *)task;
    char keep_ms[24];
    snprintf(keep_ms, sizeof(keep_ms), "%u", task->server->config->jobs.keep_ms);
    const struct text values[] = {id_of(job), text_from_string(keep_ms), text_from_string(job->error)};
    (void)!own_task_query(task, sql, 3, values, NULL, NULL);
}

/* What callers are told of its end. */
static void describe(struct job *job)
{
    const struct own_task *task = &job->own;
    size_t size = sizeof(job->error);
    if (atomic_load(&task->task.task.cancelled))
        snprintf(job->error, size, "the gateway was stopped before it ended; send the query again");
    else if (task->is_sql && task->mistake.sqlstate != NULL && strstr(task->mistake.words, "SQLSTATE") == NULL)
        snprintf(job->error, size, "%s (SQLSTATE %.5s)", task->mistake.words, task->mistake.sqlstate);
    else if (task->is_sql)
        snprintf(job->error, size, "%s", task->mistake.words);
    else if (!task->is_status)
        snprintf(job->error, size, "%s", task->words);
    else if (task->status == STATUS_TIMEOUT)
        snprintf(job->error, size, "it did not end within the %g s that a job may take; narrow it",
                 task->server->config->jobs.timeout_ms / 1000.0);
    else if (task->status == STATUS_UNAVAILABLE)
        snprintf(job->error, size, "the database went away before it ended; send the query again");
    else if (task->status == STATUS_TOO_LARGE)
        snprintf(job->error, size, "the SQL and its values are too large for a job; shorten them");
    else
        snprintf(job->error, size, "a fault of the service; the operator finds it in the log under the job's id");
}

static void carry_out(struct task *of)
{
    struct job *job = (struct job *)of;
    struct own_task *task = &job->own;
    task->change = begin;
    own_task_run(task);
    if (!task->failed) {
        task->change = make;
        task->timeout_ms = task->server->config->jobs.timeout_ms;
        own_task_run(task);
    }
    if (!task->failed) {
        job->outcome = ACTIVITY_JOB_DONE;
        return;
    }
    if (job->erased || atomic_load(&task->task.task.cancelled))
        job->outcome = ACTIVITY_JOB_CANCELLED;
    if (job->erased)
        return;
    describe(job);
    log_event(LOG_INFO, "job_failed", "job %s of customer %.*s: %s", job->known.id, TEXT_ARGS(task->relations.customer),
              job->error);
    task->change = fail;
    task->timeout_ms = 0;
    task->deaf = true;
    own_task_run(task);
}

static void run(struct task *of)
{
    struct job *job = (struct job *)of;
    uint64_t began_us = clock_monotonic_us();
    carry_out(of);
    job->took_us = clock_monotonic_us() - began_us;
}

/* On the loop. */

static void drop(struct job *job)
{
    job_list_remove(job->own.server->known_jobs, &job->known);
    own_task_free(&job->own);
}

static void done(struct task *of)
{
    struct job *job = (struct job *)of;
    activity_count_job(job->own.server->activity, of->started ? job->outcome : ACTIVITY_JOB_CANCELLED, job->took_us);
    drop(job);
}

static bool copy_values(const struct own_sql *own, struct job *job)
{
    size_t count = own->checked.parameter_count;
    job->values = arena_calloc(&job->own.arena, count + 1, sizeof(*job->values));
    for (size_t i = 0; job->values != NULL && i < count; i++) {
        struct text value = own->values[i];
        job->values[i] = value.data != NULL ? arena_copy(&job->own.arena, value) : TEXT_NONE;
        if (value.data != NULL && job->values[i].data == NULL)
            return false;
    }
    return job->values != NULL;
}

/* NULL: it was answered. */
static struct job *create_job(struct request *request, const struct own_sql *own)
{
    struct job *job = (struct job *)own_task_create(request, sizeof(*job), begin);
    if (job == NULL)
        return NULL;
    struct task *task = &job->own.task.task;
    task->run = run;
    task->done = done;
    task->loop = request->worker->loop;
    job->outcome = ACTIVITY_JOB_FAILED;
    task->customer = hash_text(request->principal->customer);
    job->known.task = task;
    job->known.customer = task->customer;
    random_uuid(job->known.id);
    job->limit = own->wanted;
    job->offset = own->offset;
    if (request->allowance != NULL)
        job->quota_bytes = request->allowance->upload_bytes;
    if (copy_values(own, job) && sql_checked_copy(&own->checked, &job->own.arena, &job->checked) == STATUS_OK)
        return job;
    problem_send_status(request, STATUS_TOO_LARGE);
    own_task_free(&job->own);
    return NULL;
}

static void keep_answer(void *context, const struct postgres_rows *rows)
{
    struct submit *submit = context;
    submit->full = postgres_rows_count(rows) == 0;
    if (!submit->full)
        submit->own.answer = arena_copy(&submit->own.arena, postgres_rows_value(rows, 0, JOB_DOCUMENT));
}

static void keep_count(void *context, const struct postgres_rows *rows)
{
    struct submit *submit = context;
    submit->full = postgres_rows_count(rows) != 0 && text_equal(postgres_rows_value(rows, 0, 0), TEXT("t"));
}

static const char too_many[] = "this customer has %d jobs that wait or run already; wait for one, or DELETE one";

static void insert(struct own_task *task)
{
    static const char count_sql[] = "select count(*) >= $1::bigint from sluice.job where customer_id = sluice.me() and"
                                    " state in ('waiting', 'running')";
    static const char sql[] =
        "insert into sluice.job (job_id, customer_id, subject, sql, parameters, instance, expires_at) values ($1::uuid,"
        " sluice.me(), $2, $3, $4::jsonb, $5, clock_timestamp() + $6::bigint * interval '1 millisecond')";
    struct submit *submit = (struct submit *)task;
    const struct config *config = task->server->config;
    char instance[JOB_INSTANCE_SIZE], keep_ms[24], most[8];
    job_instance(task->server, instance);
    snprintf(most, sizeof(most), "%d", UNFINISHED);
    snprintf(keep_ms, sizeof(keep_ms), "%llu", (unsigned long long)config->jobs.keep_ms + config->jobs.timeout_ms);
    const struct text limit = text_from_string(most);
    const struct text values[] = {id_of(submit->job),         submit->subject,          submit->sql, submit->given,
                                  text_from_string(instance), text_from_string(keep_ms)};
    if (job_rows_tidy(task) != STATUS_OK || own_task_query(task, count_sql, 1, &limit, keep_count, submit) != STATUS_OK)
        return;
    if (submit->full)
        (void)own_task_fail(task, PROBLEM_CONFLICT, too_many, UNFINISHED);
    else if (own_task_query(task, sql, 6, values, NULL, NULL) == STATUS_OK &&
             own_task_query(task, job_one_sql, 1, values, keep_answer, submit) == STATUS_OK)
        task->code = 202;
}

static void add_headers(struct request *request, const struct submit *submit)
{
    h2o_mem_pool_t *pool = &request->h2o->pool;
    h2o_iovec_t location =
        h2o_concat(pool, h2o_iovec_init(H2O_STRLIT("/v1/jobs/")), h2o_iovec_init(submit->job->known.id, JOB_ID_SIZE));
    h2o_add_header(pool, &request->h2o->res.headers, H2O_TOKEN_LOCATION, NULL, location.base, location.len);
    if (submit->asked)
        h2o_add_header_by_str(pool, &request->h2o->res.headers, H2O_STRLIT("preference-applied"), 0, NULL,
                              H2O_STRLIT("respond-async"));
}

/* The row is there, and its job begins, whether or not the client still waits. */
static void on_ended(struct own_task *task, struct request *request)
{
    struct submit *submit = (struct submit *)task;
    bool made = task->task.task.started && !task->failed;
    enum status status =
        made ? job_list_start(task->server->known_jobs, &submit->job->known, task->server->jobs) : STATUS_OK;
    if (status != STATUS_OK)
        (void)!own_task_fail_status(task, status); /* the row is found to be lost when it is looked at */
    if (!made || status != STATUS_OK)
        drop(submit->job);
    else if (request != NULL)
        add_headers(request, submit);
}

static bool copy_asked(const struct request *request, const struct own_sql *own, struct submit *submit)
{
    struct arena *arena = &submit->own.arena;
    struct text subject = request->principal->subject;
    submit->sql = arena_copy(arena, own->sql);
    submit->given = arena_copy(arena, own->given);
    submit->subject = arena_copy(arena, subject.data != NULL ? subject : TEXT(""));
    return submit->sql.data != NULL && submit->given.data != NULL && submit->subject.data != NULL;
}

static enum stage_verdict start(struct request *request, const struct own_sql *own, struct job *job)
{
    struct submit *submit = (struct submit *)own_task_create(request, sizeof(*submit), insert);
    if (submit == NULL) {
        drop(job);
        return STAGE_DONE;
    }
    submit->job = job;
    submit->asked = own->when == OWN_LATER;
    submit->own.ended = on_ended;
    if (copy_asked(request, own, submit)) {
        enum stage_verdict verdict = own_task_start(request, &submit->own);
        if (verdict != STAGE_WAIT)
            drop(job);
        return verdict;
    }
    drop(job);
    own_task_free(&submit->own);
    return problem_send_status(request, STATUS_TOO_LARGE);
}

enum stage_verdict job_submit(struct request *request, const struct own_sql *own)
{
    const struct server *server = request->worker->server;
    /* Refused before there is a row. */
    if (server->jobs == NULL || tasks_statistics(server->jobs).waiting >= server->config->jobs.queue)
        return problem_send_status(request, server->jobs != NULL ? STATUS_BUSY : STATUS_UNAVAILABLE);
    struct job *job = create_job(request, own);
    if (job == NULL)
        return STAGE_DONE;
    if (!job_list_add(server->known_jobs, &job->known, UNFINISHED)) {
        own_task_free(&job->own);
        return problem_send(request, PROBLEM_CONFLICT, too_many, UNFINISHED);
    }
    return start(request, own, job);
}
