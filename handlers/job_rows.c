#include "handlers/job_rows.h"

#include <stdio.h>
#include <unistd.h>

#include "api/upgrade.h"

#define TIDY_MOST 200 /* rows that one call sees to; the next one sees to the others */

#define STAMP(column)                                                                                                  \
    "'" column "', pg_catalog.to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define ROWS                                                                                                           \
    "select pg_catalog.json_build_object('job_id', job_id, 'state', state, 'sql', sql, 'parameters', parameters"       \
    ", " STAMP("created_at") ", " STAMP("started_at") ", " STAMP("finished_at") ", " STAMP(                            \
        "expires_at") ", 'seconds',"                                                                                   \
                      " pg_catalog.date_part('epoch', coalesce(finished_at, clock_timestamp()) - started_at),"         \
                      " 'rows', rows, 'bytes', bytes, 'error', error, 'links', pg_catalog.json_build_object('self',"   \
                      " '/v1/jobs/' || job_id, 'result', case when state = 'done' then '/v1/jobs/' || job_id ||"       \
                      " '/result' end)), state, instance, job_id::text, expires_at <= clock_timestamp()"               \
                      " from sluice.job where customer_id = sluice.me()"

const char job_one_sql[] = ROWS " and job_id = $1::uuid";
const char job_list_sql[] =
    ROWS " and expires_at > clock_timestamp() and ($2::uuid is null or (created_at, job_id) < (select seen.created_at,"
         " seen.job_id from sluice.job seen where seen.job_id = $2::uuid and seen.customer_id = sluice.me())) order by"
         " created_at desc, job_id desc limit $1::bigint";

void job_instance(const struct server *server, char instance[JOB_INSTANCE_SIZE])
{
    char host[256];
    if (gethostname(host, sizeof(host)) != 0)
        host[0] = '\0';
    host[sizeof(host) - 1] = '\0';
    snprintf(instance, JOB_INSTANCE_SIZE, "%s/%.60s", host, server->config->server.listen.text);
}

bool job_is_lost(const struct server *server, const struct postgres_rows *rows, size_t row)
{
    char instance[JOB_INSTANCE_SIZE];
    struct text state = postgres_rows_value(rows, row, JOB_STATE), id = postgres_rows_value(rows, row, JOB_ID);
    bool is_open = text_equal(state, TEXT("waiting")) || text_equal(state, TEXT("running"));
    job_instance(server, instance);
    if (text_equal(postgres_rows_value(rows, row, JOB_EXPIRED), TEXT("t")))
        return true;
    /* In an upgrade two processes are this instance. What the one before has not ended when it goes, the next look
     * finds. */
    return is_open && text_equal(postgres_rows_value(rows, row, JOB_INSTANCE), text_from_string(instance)) &&
           !job_list_has(server->known_jobs, id) && !upgrade_before_lives();
}

void job_rows_append_table(const struct own_task *task, struct text id, struct buffer *out)
{
    postgres_append_identifier(out, text_from_string(task->relations.names.jobs));
    buffer_append_char(out, '.');
    postgres_append_identifier(out, id);
}

/* Without an outcome. */
static enum status try_drop(struct own_task *task, struct text id)
{
    struct buffer sql;
    buffer_init(&sql, 1024);
    buffer_append_literal(&sql, "drop table if exists ");
    job_rows_append_table(task, id, &sql);
    buffer_append_literal(&sql, " cascade"); /* of what he made on it with SQL on his own login */
    const char *words = buffer_c_string(&sql);
    enum status status = words != NULL ? own_task_try(task, words) : STATUS_TOO_LARGE;
    buffer_free(&sql);
    return status;
}

enum status job_rows_drop(struct own_task *task, struct text id)
{
    enum status status = try_drop(task, id);
    return status == STATUS_OK ? STATUS_OK : own_task_fail_statement(task, status);
}

struct found {
    struct job_list *known;
    size_t expired_count, lost_count;
    char expired[TIDY_MOST][JOB_ID_SIZE + 1], lost[TIDY_MOST][JOB_ID_SIZE + 1];
};

static void keep(char ids[][JOB_ID_SIZE + 1], size_t *count, struct text id)
{
    if (*count < TIDY_MOST && id.size == JOB_ID_SIZE)
        memcpy(ids[(*count)++], id.data, JOB_ID_SIZE);
}

static void keep_found(void *context, const struct postgres_rows *rows)
{
    struct found *found = context;
    for (size_t row = 0; row < postgres_rows_count(rows); row++) {
        struct text id = postgres_rows_value(rows, row, 0);
        bool expired = text_equal(postgres_rows_value(rows, row, 1), TEXT("t"));
        if (job_list_has(found->known, id) || (!expired && upgrade_before_lives()))
            continue;
        keep(expired ? found->expired : found->lost, expired ? &found->expired_count : &found->lost_count, id);
    }
}

/* Whoever reads a result still may: it goes another time. */
static enum status sweep(struct own_task *task, struct text id)
{
    enum status status = own_task_query(task, "savepoint job", 0, NULL, NULL, NULL);
    if (status != STATUS_OK)
        return status;
    status = own_task_try(task, "set local lock_timeout = '100ms'");
    if (status == STATUS_OK)
        status = try_drop(task, id);
    if (status == STATUS_UNAVAILABLE)
        return own_task_fail_statement(task, status);
    if (status == STATUS_OK)
        status = own_task_query(task, "delete from sluice.job where job_id = $1::uuid", 1, &id, NULL, NULL);
    else
        status = own_task_query(task, "rollback to savepoint job", 0, NULL, NULL, NULL);
    if (status == STATUS_OK)
        status = own_task_query(task, "set local lock_timeout = '5s'", 0, NULL, NULL, NULL);
    return status;
}

static enum status fail_lost(struct own_task *task, struct text id)
{
    static const char sql[] =
        "update sluice.job set state = 'failed', finished_at = clock_timestamp(), expires_at = clock_timestamp() +"
        " $2::bigint * interval '1 millisecond', error = 'the gateway restarted, or lost the database, before it ended;"
        " send the query again' where job_id = $1::uuid and state in ('waiting', 'running')";
    char keep_ms[24];
    snprintf(keep_ms, sizeof(keep_ms), "%u", task->server->config->jobs.keep_ms);
    const struct text values[] = {id, text_from_string(keep_ms)};
    return own_task_query(task, sql, 2, values, NULL, NULL);
}

enum status job_rows_tidy(struct own_task *task)
{
    static const char sql[] =
        "select job_id::text, expires_at <= clock_timestamp() from sluice.job where customer_id = sluice.me() and"
        " (expires_at <= clock_timestamp() or (state in ('waiting', 'running') and instance = $1)) limit 200";
    _Static_assert(TIDY_MOST == 200, "as the limit");
    char name[JOB_INSTANCE_SIZE];
    struct found *found = arena_calloc(&task->arena, 1, sizeof(*found));
    if (found == NULL)
        return own_task_fail_status(task, STATUS_TOO_LARGE);
    found->known = task->server->known_jobs;
    job_instance(task->server, name);
    const struct text instance = text_from_string(name);
    enum status status = own_task_query(task, sql, 1, &instance, keep_found, found);
    for (size_t i = 0; status == STATUS_OK && i < found->expired_count; i++)
        status = sweep(task, text_from_string(found->expired[i]));
    for (size_t i = 0; status == STATUS_OK && i < found->lost_count; i++)
        status = fail_lost(task, text_from_string(found->lost[i]));
    /* It stands, whatever comes of what follows. */
    if (status == STATUS_OK && found->expired_count + found->lost_count != 0)
        status = own_task_query(task, "commit", 0, NULL, NULL, NULL);
    if (status == STATUS_OK && found->expired_count + found->lost_count != 0)
        status = own_task_query(task, "begin", 0, NULL, NULL, NULL);
    return status;
}
