#include "handlers/analytics_swap.h"

#include <stdio.h>

#include "upload/load.h"

#define NAMES_TOLD 5

struct analytics_reader {
    struct text kind, name, make, around, drop; /* the columns of load_dependents_sql */
};

static void keep_readers(void *context, const struct postgres_rows *rows)
{
    struct analytics_swap *swap = context;
    struct arena *arena = &swap->task->arena;
    size_t count = postgres_rows_count(rows);
    swap->readers = arena_calloc(arena, count + 1, sizeof(*swap->readers));
    for (size_t i = 0; swap->readers != NULL && i < count; i++) {
        struct text values[5];
        for (size_t column = 0; column < 5; column++) {
            struct text value = postgres_rows_value(rows, i, column);
            values[column] = arena_copy(arena, value.data != NULL ? value : TEXT(""));
            if (values[column].data == NULL)
                swap->readers = NULL;
        }
        if (swap->readers != NULL)
            swap->readers[i] = (struct analytics_reader){values[0], values[1], values[2], values[3], values[4]};
    }
    swap->count = count;
    if (swap->readers == NULL)
        (void)own_task_fail_status(swap->task, STATUS_TOO_LARGE);
}

static enum status find_readers(struct analytics_swap *swap, struct text oid)
{
    const struct text values[] = {oid, swap->task->relations.customer};
    enum status status = own_task_query(swap->task, load_dependents_sql, 2, values, keep_readers, swap);
    return status == STATUS_OK && swap->task->failed ? STATUS_TOO_LARGE : status;
}

/* Those of others have no name here. */
static enum status refuse(struct analytics_swap *swap, const char *what)
{
    struct buffer names;
    char first[400];
    size_t told = 0, foreign = 0;
    buffer_init_on(&names, first, sizeof(first), sizeof(first));
    for (size_t i = 0; i < swap->count; i++) {
        bool own = !text_equal(swap->readers[i].kind, TEXT("foreign"));
        foreign += !own;
        if (own && told < NAMES_TOLD)
            buffer_printf(&names, "%s%.*s", told++ != 0 ? ", " : "", TEXT_ARGS(swap->readers[i].name));
    }
    if (told != 0 && told + foreign < swap->count)
        buffer_printf(&names, " and %zu more", swap->count - foreign - told);
    return own_task_fail(swap->task, PROBLEM_CONFLICT, "analytics.%.*s is read by %.*s%s%s: %s", TEXT_ARGS(swap->name),
                         TEXT_ARGS(buffer_text(&names)), told != 0 && foreign != 0 ? " and " : "",
                         foreign != 0 ? "what is not this customer's" : "", what);
}

static enum status drop_relation(struct own_task *task, struct text name, char kind)
{
    struct buffer sql;
    buffer_init(&sql, 4096);
    buffer_append_string(&sql, kind == 'v' ? "drop view " : kind == 'm' ? "drop materialized view " : "drop table ");
    postgres_append_identifier(&sql, text_from_string(task->relations.names.analytics));
    buffer_append_char(&sql, '.');
    postgres_append_identifier(&sql, name);
    const char *text = buffer_c_string(&sql);
    enum status status = text == NULL ? own_task_fail_status(task, STATUS_TOO_LARGE) : own_task_try(task, text);
    buffer_free(&sql);
    if (status == STATUS_OK || task->failed)
        return status;
    if (own_task_has_state(task, "2BP01"))
        return own_task_fail(task, PROBLEM_CONFLICT,
                             "something else than a view depends on analytics.%.*s (a foreign key, a function); drop "
                             "that first",
                             TEXT_ARGS(name));
    return own_task_fail_statement(task, status);
}

enum status analytics_take_down(struct analytics_swap *swap, struct text oid, char kind)
{
    enum status status = find_readers(swap, oid);
    if (status == STATUS_OK && swap->count > ANALYTICS_READERS_MAX)
        return own_task_fail(swap->task, PROBLEM_CONFLICT,
                             "more than %d analyses read analytics.%.*s; save it under "
                             "another name",
                             ANALYTICS_READERS_MAX, TEXT_ARGS(swap->name));
    for (size_t i = 0; status == STATUS_OK && i < swap->count; i++)
        if (!text_equal(swap->readers[i].kind, TEXT("v")))
            return refuse(swap, "what is no view cannot be made again; drop it first, or save under another name");
    for (size_t i = swap->count; status == STATUS_OK && i > 0; i--)
        status = own_task_query(swap->task, swap->readers[i - 1].drop.data, 0, NULL, NULL, NULL);
    return status == STATUS_OK ? drop_relation(swap->task, swap->name, kind) : status;
}

static enum status put_up_one(struct analytics_swap *swap, const struct analytics_reader *reader)
{
    struct own_task *task = swap->task;
    enum status status = own_task_try(task, reader->make.data);
    if (status == STATUS_OK && reader->around.size != 0)
        status = postgres_session_script(task->session, reader->around.data, &task->failure);
    if (status == STATUS_OK)
        return STATUS_OK;
    if (!own_task_has_state(task, "42"))
        return own_task_fail_statement(task, status);
    return own_task_fail(task, PROBLEM_CONFLICT,
                         "%.*s reads analytics.%.*s and would break: %.300s; keep the columns that it reads, or delete "
                         "it first",
                         TEXT_ARGS(reader->name), TEXT_ARGS(swap->name), task->failure.message);
}

enum status analytics_put_up(struct analytics_swap *swap)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < swap->count; i++)
        status = put_up_one(swap, &swap->readers[i]);
    return status;
}

/* Tables that were made of it: the database knows nothing of that, and their refresh would fail. */
static enum status find_tables(struct analytics_swap *swap)
{
    static const char sql[] =
        "select 't', 'analytics.' || name, '', '', '' from sluice.analysis where customer_id = sluice.me()"
        " and made_as = 'table' and name <> $2"
        " and reads @> pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array($1::text, $2::text)) order by 2";
    const struct text values[] = {text_from_string(swap->task->relations.names.analytics), swap->name};
    enum status status = own_task_query(swap->task, sql, 2, values, keep_readers, swap);
    return status == STATUS_OK && swap->task->failed ? STATUS_TOO_LARGE : status;
}

enum status analytics_drop(struct own_task *task, struct text name, struct text oid, char kind)
{
    struct analytics_swap swap = {.task = task, .name = name};
    enum status status = find_readers(&swap, oid);
    if (status == STATUS_OK && swap.count == 0)
        status = find_tables(&swap);
    if (status == STATUS_OK && swap.count != 0)
        return refuse(&swap, "delete those first");
    return status == STATUS_OK ? drop_relation(task, name, kind) : status;
}
