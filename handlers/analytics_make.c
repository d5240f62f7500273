#include "handlers/analytics_make.h"

#include <stdio.h>

#include "base/json.h"
#include "base/random.h"
#include "handlers/analytics_show.h"
#include "handlers/analytics_swap.h"
#include "query/own_views.h"
#include "query/verdicts.h"
#include "upload/load.h"

#define SQL_CEILING ((size_t)1 << 20)
#define ANSWER_CEILING ((size_t)4 << 20)

static enum status out_of_memory(struct make *make)
{
    return own_task_fail_status(&make->task, STATUS_TOO_LARGE);
}

static struct text schema_of(const struct make *make)
{
    return text_from_string(make->task.relations.names.analytics);
}

/* The pieces as one statement, in the arena; TEXT_NONE: it has no room. `name` follows the schema. */
static struct text statement(struct make *make, const char *front, struct text name, const char *middle,
                             struct text end)
{
    struct buffer sql;
    buffer_init(&sql, SQL_CEILING);
    buffer_append_string(&sql, front);
    postgres_append_identifier(&sql, schema_of(make));
    buffer_append_char(&sql, '.');
    postgres_append_identifier(&sql, name);
    buffer_append_string(&sql, middle);
    buffer_append_text(&sql, end);
    struct text kept = sql.failed ? TEXT_NONE : arena_copy(&make->task.arena, buffer_text(&sql));
    buffer_free(&sql);
    return kept;
}

static enum status execute(struct make *make, struct text sql)
{
    return sql.data == NULL ? out_of_memory(make) : own_task_query(&make->task, sql.data, 0, NULL, NULL, NULL);
}

/* The row. */

static void keep_flag(void *context, const struct postgres_rows *rows)
{
    *(bool *)context = postgres_rows_count(rows) != 0 && text_equal(postgres_rows_value(rows, 0, 0), TEXT("t"));
}

/* Real names, [["schema", "name"]]. */
static struct text list_reads(struct make *make)
{
    struct buffer list;
    buffer_init(&list, SQL_CEILING);
    struct json json = json_writer(&list);
    json_open_array(&json);
    for (size_t i = 0; i < make->checked.relation_count; i++) {
        json_open_array(&json);
        json_text(&json, make->checked.relations[i].real_schema);
        json_text(&json, make->checked.relations[i].real_name);
        json_close_array(&json);
    }
    json_close_array(&json);
    struct text kept = list.failed ? TEXT_NONE : arena_copy(&make->task.arena, buffer_text(&list));
    buffer_free(&list);
    return kept;
}

/* The row is the name's lock too: two changes of one name follow each other. */
static enum status write_row(struct make *make)
{
    static const char sql[] =
        "insert into sluice.analysis (customer_id, name, sql, made_as, description, reads) values (sluice.me(), $1, $2,"
        " $3, $4, $5::jsonb) on conflict (customer_id, name) do update set sql = excluded.sql, made_as ="
        " excluded.made_as, description = excluded.description, reads = excluded.reads, refreshed_at ="
        " clock_timestamp() returning xmax = 0";
    const struct text values[] = {make->name, make->sql, make->as_table ? TEXT("table") : TEXT("view"),
                                  make->description, list_reads(make)};
    if (values[4].data == NULL)
        return out_of_memory(make);
    return own_task_query(&make->task, sql, 5, values, keep_flag, &make->created);
}

static void keep_old(void *context, const struct postgres_rows *rows)
{
    struct make *make = context;
    if (postgres_rows_count(rows) == 0)
        return;
    make->old = arena_copy(&make->task.arena, postgres_rows_value(rows, 0, 0));
    make->old_kind = postgres_rows_value(rows, 0, 1).data[0];
    if (make->old.data == NULL)
        (void)out_of_memory(make);
}

static enum status find_old(struct make *make)
{
    static const char sql[] = "select c.oid, c.relkind from pg_catalog.pg_class c join pg_catalog.pg_namespace n on"
                              " n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2";
    const struct text values[] = {schema_of(make), make->name};
    enum status status = own_task_query(&make->task, sql, 2, values, keep_old, make);
    return status == STATUS_OK && make->task.failed ? STATUS_TOO_LARGE : status;
}

/* Quotas. */

struct quota { /* the columns of load_quota_sql */
    int64_t bytes, relations, has_bytes, has_relations, old_bytes, old_relations;
};

static int64_t number_of(const struct postgres_rows *rows, size_t column)
{
    int64_t number;
    return text_to_int64(postgres_rows_value(rows, 0, column), &number) ? number : 0;
}

static void keep_quota(void *context, const struct postgres_rows *rows)
{
    struct quota *quota = context;
    if (postgres_rows_count(rows) != 0)
        *quota = (struct quota){number_of(rows, 0), number_of(rows, 1), number_of(rows, 2),
                                number_of(rows, 3), number_of(rows, 4), number_of(rows, 5)};
}

/* When the rows are there and the old one still is, which counts no more. */
static enum status check_quota(struct make *make)
{
    struct quota quota = {0};
    char relations[24], bytes[24];
    snprintf(relations, sizeof(relations), "%llu", (unsigned long long)make->quota_relations);
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)make->quota_bytes);
    const struct text values[LOAD_QUOTA_PARAMETERS] = {make->name, text_from_string(bytes), text_from_string(relations),
                                                       TEXT("_analytics")};
    enum status status = own_task_query(&make->task, load_quota_sql, LOAD_QUOTA_PARAMETERS, values, keep_quota, &quota);
    int64_t size = quota.has_bytes - quota.old_bytes;
    if (status == STATUS_OK && quota.old_relations == 0 && quota.relations != 0 &&
        quota.has_relations >= quota.relations)
        return own_task_fail(&make->task, PROBLEM_QUOTA_EXCEEDED,
                             "uploads and analyses together may be %lld, and this would be one more; delete one first",
                             (long long)quota.relations);
    if (status == STATUS_OK && make->as_table && quota.bytes != 0 && size > quota.bytes)
        return own_task_fail(
            &make->task, PROBLEM_QUOTA_EXCEEDED,
            "with this table uploads and analyses would take %lld bytes, and %lld are allowed; save it "
            "as a view, narrow it, or delete something first",
            (long long)size, (long long)quota.bytes);
    return status;
}

/* The relation. */

static void keep_estimate(void *context, const struct postgres_rows *rows)
{
    struct plan_estimate *estimate = context;
    if (postgres_rows_count(rows) != 0 && verdicts_read(rows, estimate) != STATUS_OK)
        estimate->known = false;
}

static enum status price(struct make *make)
{
    struct plan_estimate estimate = {0};
    struct postgres_statement plain, explain;
    char words[400];
    postgres_statement_init(&plain, make->checked.sql.data, 0, NULL);
    if (verdicts_explain(&plain, &make->task.arena, &explain) != STATUS_OK)
        return out_of_memory(make);
    enum status status =
        own_task_query_checked(&make->task, &make->checked, text_from_string(explain.sql), keep_estimate, &estimate);
    if (status == STATUS_OK && relations_over_budget(&estimate, &make->budget, words, sizeof(words)))
        return own_task_fail(&make->task, PROBLEM_OVER_BUDGET, "%s", words);
    return status;
}

static enum status execute_checked(struct make *make, struct text sql)
{
    return sql.data == NULL ? out_of_memory(make)
                            : own_task_query_checked(&make->task, &make->checked, sql, NULL, NULL);
}

/* A view keeps its readers where it keeps its columns. *done: it did. */
static enum status replace_view(struct make *make, bool *done)
{
    struct text sql = statement(make, "create or replace view ", make->name, " as ", make->checked.sql);
    enum status status = own_task_query(&make->task, "savepoint columns", 0, NULL, NULL, NULL);
    if (status != STATUS_OK || sql.data == NULL)
        return status != STATUS_OK ? status : out_of_memory(make);
    status = own_task_try(&make->task, sql.data);
    *done = status == STATUS_OK;
    if (*done)
        return STATUS_OK;
    if (!own_task_has_state(&make->task, "42P16")) /* other columns */
        return own_task_fail_checked(&make->task, &make->checked, status);
    return own_task_query(&make->task, "rollback to savepoint columns", 0, NULL, NULL, NULL);
}

/* The rows are there before anybody waits for them. */
static enum status make_staging(struct make *make)
{
    uint64_t random;
    random_bytes(&random, sizeof(random));
    snprintf(make->staging, sizeof(make->staging), "~analysis_%016llx", (unsigned long long)random);
    struct text name = text_from_string(make->staging);
    enum status status = execute_checked(make, statement(make, "create table ", name, " as ", make->checked.sql));
    if (status != STATUS_OK)
        return status;
    make->rows = postgres_session_affected(make->task.session);
    return execute(make, statement(make, "analyze ", name, "", TEXT("")));
}

static enum status put_in_place(struct make *make)
{
    if (!make->as_table)
        return execute_checked(make, statement(make, "create view ", make->name, " as ", make->checked.sql));
    struct buffer name;
    buffer_init(&name, 1024);
    postgres_append_identifier(&name, make->name);
    struct text sql =
        statement(make, "alter table ", text_from_string(make->staging), " rename to ", buffer_text(&name));
    buffer_free(&name);
    return execute(make, sql);
}

static enum status make_relation(struct make *make)
{
    bool done = false;
    enum status status = make->as_table ? make_staging(make) : STATUS_OK;
    if (status == STATUS_OK && !make->as_table && make->old_kind == 'v')
        status = replace_view(make, &done);
    if (status == STATUS_OK && !done)
        status = check_quota(make);
    if (status != STATUS_OK || done)
        return status;
    struct analytics_swap swap = {.task = &make->task, .name = make->name};
    if (make->old.data != NULL)
        status = analytics_take_down(&swap, make->old, make->old_kind);
    if (status == STATUS_OK)
        status = put_in_place(make);
    return status == STATUS_OK ? analytics_put_up(&swap) : status;
}

static enum status describe(struct make *make)
{
    struct buffer words;
    buffer_init(&words, SQL_CEILING);
    if (make->description.data != NULL)
        postgres_append_literal(&words, make->description);
    else
        buffer_append_literal(&words, "null");
    struct text sql = words.failed ? TEXT_NONE
                                   : statement(make, make->as_table ? "comment on table " : "comment on view ",
                                               make->name, " is ", buffer_text(&words));
    buffer_free(&words);
    return execute(make, sql);
}

/* What is answered. */

struct shown {
    struct make *make;
    struct text version;
};

static void keep_version(void *context, const struct postgres_rows *rows)
{
    struct shown *shown = context;
    struct text version = postgres_rows_count(rows) != 0 ? postgres_rows_value(rows, 0, 0) : TEXT_NONE;
    if (version.data != NULL)
        shown->version = arena_copy(&shown->make->task.arena, version);
}

static void keep_answer(void *context, const struct postgres_rows *rows)
{
    struct shown *shown = context;
    struct own_task *task = &shown->make->task;
    struct buffer answer;
    buffer_init(&answer, ANSWER_CEILING);
    struct json json = json_writer(&answer);
    if (postgres_rows_count(rows) != 0)
        analytics_append(&json, rows, 0, shown->version);
    buffer_append_char(&answer, '\n');
    task->answer = answer.failed ? TEXT_NONE : arena_copy(&task->arena, buffer_text(&answer));
    buffer_free(&answer);
    if (task->answer.data == NULL)
        (void)own_task_fail_status(task, STATUS_TOO_LARGE);
}

static enum status record(struct make *make)
{
    struct shown shown = {.make = make};
    char rows[24];
    snprintf(rows, sizeof(rows), "%llu", (unsigned long long)make->rows);
    const struct text place[] = {schema_of(make), make->name};
    const struct text count[] = {make->name, make->as_table ? text_from_string(rows) : TEXT_NONE};
    const struct text one[ANALYTICS_SHOW_PARAMETERS] = {
        schema_of(make), text_from_string(make->task.relations.names.uploads), make->name, TEXT_NONE, TEXT("1")};
    enum status status = STATUS_OK;
    if (make->as_table)
        status = own_task_query(
            &make->task, "select sluice.track_own(pg_catalog.format('%I.%I', $1::text, $2::text)::pg_catalog.regclass)",
            2, place, NULL, NULL);
    if (status == STATUS_OK)
        status = own_task_query(&make->task, "select sluice.raise_own($1, $2)", 2, place, keep_version, &shown);
    if (status == STATUS_OK)
        status = own_task_query(&make->task,
                                "update sluice.analysis set rows = $2::bigint, refreshed_at = clock_timestamp() where"
                                " customer_id = sluice.me() and name = $1",
                                2, count, NULL, NULL);
    if (status == STATUS_OK)
        status = own_task_query(&make->task, analytics_show_sql, ANALYTICS_SHOW_PARAMETERS, one, keep_answer, &shown);
    return status;
}

static void keep_refused(void *context, const struct postgres_rows *rows)
{
    struct make *make = context;
    size_t refused = postgres_rows_count(rows) != 0
                         ? own_views_read(postgres_rows_value(rows, 0, 0), &make->task.server->datasets)
                         : 1;
    if (refused == 0 || refused > make->checked.relation_count)
        return;
    make->task.relations.refused_schema = make->checked.relations[refused - 1].schema;
    make->task.relations.refused_name = make->checked.relations[refused - 1].name;
}

/* He may have made what it reads with SQL on his own login. */
static enum status check_own(struct make *make)
{
    struct text values[OWN_VIEWS_PARAMETERS];
    struct relations *relations = &make->task.relations;
    struct relations_mistake told;
    relations->refused_name = TEXT_NONE;
    if (own_views_parameters(text_from_string(relations->names.role), &make->checked, &make->task.arena, values) !=
        STATUS_OK)
        return out_of_memory(make);
    enum status status = own_task_query(&make->task, own_views_sql, OWN_VIEWS_PARAMETERS, values, keep_refused, make);
    if (status != STATUS_OK || relations->refused_name.data == NULL)
        return status;
    relations_refused(relations, STATUS_INVALID, &(struct sql_check_mistake){0}, &told);
    return own_task_fail_sql(&make->task, &told);
}

static void keep_unserved(void *context, const struct postgres_rows *rows)
{
    struct make *make = context;
    make->unserved = postgres_rows_count(rows) == 0 ||
                     own_views_read(postgres_rows_value(rows, 0, 0), &make->task.server->datasets) != 0;
}

/* The check that each read of it makes: a view comes back from the database in more words than it was made with. */
static enum status check_made(struct make *make)
{
    struct text values[OWN_VIEWS_PARAMETERS];
    struct relations_mistake told = {.status = STATUS_INVALID};
    const struct sql_check_relation made = {.real_schema = schema_of(make), .real_name = make->name};
    const struct sql_checked one = {.relations = &made, .relation_count = 1};
    if (make->as_table)
        return STATUS_OK;
    if (own_views_parameters(text_from_string(make->task.relations.names.role), &one, &make->task.arena, values) !=
        STATUS_OK)
        return out_of_memory(make);
    enum status status = own_task_query(&make->task, own_views_sql, OWN_VIEWS_PARAMETERS, values, keep_unserved, make);
    if (status != STATUS_OK || !make->unserved)
        return status;
    snprintf(told.words, sizeof(told.words),
             "this view could be made but not read: as the database writes it out, it is longer than %d bytes, or with "
             "the views under it longer than %u, or it reads more than %d views; shorten it, or save it as a table",
             SQL_CHECK_VIEW_MAX, OWN_VIEWS_TEXT_MAX, OWN_VIEWS_MAX);
    return own_task_fail_sql(&make->task, &told);
}

static void build(struct make *make)
{
    enum status status = check_own(make);
    if (status == STATUS_OK)
        status = find_old(make);
    if (status == STATUS_OK && make->old.data != NULL && make->old_kind != 'v' && make->old_kind != 'r')
        status =
            own_task_fail(&make->task, PROBLEM_CONFLICT,
                          "analytics.%s is neither a table nor a view (somebody made it with SQL on the customer's "
                          "own login); delete it first",
                          make->name.data);
    if (status == STATUS_OK)
        status = price(make);
    if (status == STATUS_OK)
        status = make_relation(make);
    if (status == STATUS_OK)
        status = check_made(make);
    if (status == STATUS_OK)
        status = describe(make);
    if (status == STATUS_OK && record(make) == STATUS_OK)
        make->task.code = make->created && make->old.data == NULL ? 201 : 200;
}

/* Refresh: the SQL as it is kept, checked again by whoever asks, for scopes and the allow-list may have changed. */

static enum status not_found(struct make *make)
{
    return own_task_fail(&make->task, PROBLEM_NOT_FOUND,
                         "this customer has no analysis of this name; GET /v1/analytics lists those that there are");
}

struct kept {
    struct make *make;
    bool found;
};

static void keep_kept(void *context, const struct postgres_rows *rows)
{
    struct kept *kept = context;
    struct make *make = kept->make;
    kept->found = postgres_rows_count(rows) != 0;
    if (!kept->found)
        return;
    struct text description = postgres_rows_value(rows, 0, 2);
    make->sql = arena_copy(&make->task.arena, postgres_rows_value(rows, 0, 0));
    make->as_table = text_equal(postgres_rows_value(rows, 0, 1), TEXT("table"));
    make->description = description.data != NULL ? arena_copy(&make->task.arena, description) : TEXT_NONE;
    if (make->sql.data == NULL || (description.data != NULL && make->description.data == NULL))
        (void)out_of_memory(make);
}

static enum status read_kept(struct make *make)
{
    static const char sql[] = "select a.sql, a.made_as, a.description from sluice.analysis a where a.customer_id ="
                              " sluice.me() and a.name = $1 for update";
    struct kept kept = {.make = make};
    enum status status = own_task_query(&make->task, sql, 1, &make->name, keep_kept, &kept);
    if (status == STATUS_OK && make->task.failed)
        return STATUS_TOO_LARGE;
    if (status == STATUS_OK && !kept.found)
        return not_found(make);
    if (status == STATUS_OK && !make->as_table)
        return own_task_fail(&make->task, PROBLEM_CONFLICT,
                             "analytics.%s is a view, whose rows are always those of now; save it as a table to have "
                             "something to refresh",
                             make->name.data);
    return status;
}

static enum status check_kept(struct make *make)
{
    struct sql_check_mistake mistake = {0};
    struct relations_mistake told;
    enum status status =
        sql_check(make->sql, relations_resolve, &make->task.relations, &make->task.arena, &make->checked, &mistake);
    if (status == STATUS_OK)
        return STATUS_OK;
    relations_refused(&make->task.relations, status, &mistake, &told);
    return own_task_fail_sql(&make->task, &told);
}

/* Deleted. */

static enum status drop(struct make *make)
{
    static const char delete_row[] =
        "with gone as (delete from sluice.share where customer_id = sluice.me() and name = 'analytics.' || $1)"
        " delete from sluice.analysis where customer_id = sluice.me() and name = $1";
    const struct text place[] = {schema_of(make), make->name};
    enum status status = own_task_query(&make->task, delete_row, 1, &make->name, NULL, NULL);
    if (status != STATUS_OK)
        return status;
    bool had_row = postgres_session_affected(make->task.session) != 0;
    status = find_old(make);
    if (status != STATUS_OK)
        return status;
    if (make->old.data == NULL)
        return had_row ? STATUS_OK : not_found(make);
    status = analytics_drop(&make->task, make->name, make->old, make->old_kind);
    return status == STATUS_OK ? own_task_query(&make->task, "select sluice.raise_own($1, $2)", 2, place, NULL, NULL)
                               : status;
}

void analytics_make(struct own_task *task)
{
    struct make *make = (struct make *)task;
    switch (make->kind) {
    case MAKE_PUT:
        if (write_row(make) == STATUS_OK)
            build(make);
        break;
    case MAKE_REFRESH:
        if (read_kept(make) == STATUS_OK && check_kept(make) == STATUS_OK)
            build(make);
        break;
    case MAKE_DELETE:
        if (drop(make) == STATUS_OK)
            task->code = 204;
        break;
    }
}
