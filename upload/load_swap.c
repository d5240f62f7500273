/* The staging table takes the old one's place, in the load's transaction. What hangs on the old table goes with it: the
 * views that read it are made again on the new one, and comments and grants are given again. */
#include <stdio.h>

#include "upload/load_private.h"

#define SWAP_VIEWS_MAX 500

struct swap_view {
    struct text name;   /* to callers: analytics.x */
    struct text make;   /* CREATE VIEW … */
    struct text around; /* comments and grants, a statement each, ";" between; may be empty */
    struct text drop;
};
struct swap {
    struct load *load;
    enum status status;
    struct text kind; /* of what has the name: relkind; TEXT_NONE: nothing */
    struct text old;  /* its OID */
    struct swap_view views[SWAP_VIEWS_MAX];
    size_t count;
    struct text around; /* comments and grants of the old table */
};

/* Views that read $1, and views that read those, the nearest first. A view that another role owns, and whatever is no
 * view, is told by its kind. Names go to the caller only where the role's own schemas hold them. */
const char load_dependents_sql[] =
    "with recursive up (oid, depth) as ("
    "  select r.ev_class, 1 from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r on r.oid = d.objid"
    "   where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass"
    "     and d.refobjid = $1::oid and r.ev_class <> $1::oid"
    "  union"
    "  select r.ev_class, up.depth + 1 from up join pg_catalog.pg_depend d on d.refobjid = up.oid"
    "    join pg_catalog.pg_rewrite r on r.oid = d.objid"
    "   where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass"
    "     and r.ev_class <> up.oid and up.depth < 100),"
    " deepest as (select oid, max(depth) as depth from up group by oid)"
    " select case when pg_catalog.pg_get_userbyid(c.relowner) = current_user then c.relkind::text else 'foreign' end,"
    "  case when starts_with(n.nspname, $2 || '_') then substr(n.nspname, length($2) + 2) else n.nspname end || '.' ||"
    "    c.relname,"
    "  format('create view %I.%I%s as %s', n.nspname, c.relname,"
    "    ' with (' || array_to_string(c.reloptions, ', ') || ')', pg_catalog.pg_get_viewdef(c.oid)),"
    "  concat_ws(';',"
    "    format('comment on view %I.%I is %L', n.nspname, c.relname, obj_description(c.oid, 'pg_class')),"
    "    (select string_agg(format('comment on column %I.%I.%I is %L', n.nspname, c.relname, a.attname,"
    "       col_description(c.oid, a.attnum)), ';') from pg_catalog.pg_attribute a where a.attrelid = c.oid"
    "       and col_description(c.oid, a.attnum) is not null),"
    "    (select string_agg(format('grant %s on %I.%I to %s%s', g.privilege_type, n.nspname, c.relname,"
    "       case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,"
    "       case when g.is_grantable then ' with grant option' else '' end), ';') from aclexplode(c.relacl) g"
    "       where g.grantee <> c.relowner)),"
    "  format('drop view %I.%I', n.nspname, c.relname)"
    "  from deepest d join pg_catalog.pg_class c on c.oid = d.oid"
    "  join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
    " order by d.depth, c.oid limit "
    "501";

/* The same of the table itself, for the columns that the new one has too. $2: the new one. */
static const char table_around[] =
    "select concat_ws(';',"
    "    format('comment on table %I.%I is %L', n.nspname, c.relname, obj_description(c.oid, 'pg_class')),"
    "    (select string_agg(format('comment on column %I.%I.%I is %L', n.nspname, c.relname, a.attname,"
    "       col_description(c.oid, a.attnum)), ';') from pg_catalog.pg_attribute a join pg_catalog.pg_attribute b"
    "       on b.attrelid = $2::regclass and b.attname = a.attname and not b.attisdropped"
    "       where a.attrelid = c.oid and a.attnum > 0 and col_description(c.oid, a.attnum) is not null),"
    "    (select string_agg(format('grant %s on %I.%I to %s%s', g.privilege_type, n.nspname, c.relname,"
    "       case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,"
    "       case when g.is_grantable then ' with grant option' else '' end), ';') from aclexplode(c.relacl) g"
    "       where g.grantee <> c.relowner))"
    " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = $1::oid";

static void keep_old(void *context, const struct postgres_rows *rows)
{
    struct swap *swap = context;
    if (postgres_rows_count(rows) == 0)
        return;
    swap->kind = arena_copy(swap->load->report->arena, postgres_rows_value(rows, 0, 0));
    swap->old = arena_copy(swap->load->report->arena, postgres_rows_value(rows, 0, 1));
    if (swap->kind.data == NULL || swap->old.data == NULL)
        swap->status = load_out_of_memory(swap->load);
}

static enum status refuse_view(struct load *load, struct text kind, struct text name)
{
    if (text_equal(kind, TEXT("foreign")))
        return failure_set(
            load->failure, STATUS_CONFLICT,
            "something that is not yours reads %.*s, so that it cannot be replaced now; append to it, or "
            "load under another name",
            TEXT_ARGS(load->order->dataset));
    return failure_set(load->failure, STATUS_CONFLICT, "%s is a %s that reads %.*s; drop it first, or append instead",
                       load_cut(load, name), text_equal(kind, TEXT("m")) ? "materialized view" : "table with a rule",
                       TEXT_ARGS(load->order->dataset));
}

static void keep_views(void *context, const struct postgres_rows *rows)
{
    struct swap *swap = context;
    struct arena *arena = swap->load->report->arena;
    size_t count = postgres_rows_count(rows);
    if (count > SWAP_VIEWS_MAX)
        swap->status = failure_set(swap->load->failure, STATUS_CONFLICT,
                                   "more than %d analyses read %.*s; load under another name", SWAP_VIEWS_MAX,
                                   TEXT_ARGS(swap->load->order->dataset));
    for (size_t i = 0; swap->status == STATUS_OK && i < count; i++) {
        struct text kind = postgres_rows_value(rows, i, 0);
        struct swap_view *view = &swap->views[swap->count++];
        view->name = arena_copy(arena, postgres_rows_value(rows, i, 1));
        view->make = arena_copy(arena, postgres_rows_value(rows, i, 2));
        view->around = arena_copy(arena, postgres_rows_value(rows, i, 3));
        view->drop = arena_copy(arena, postgres_rows_value(rows, i, 4));
        if (!text_equal(kind, TEXT("v")))
            swap->status = refuse_view(swap->load, kind, view->name);
        else if (view->name.data == NULL || view->make.data == NULL || view->around.data == NULL ||
                 view->drop.data == NULL)
            swap->status = load_out_of_memory(swap->load);
    }
}

static enum status find_old(struct load *load, struct swap *swap)
{
    struct arena *arena = load->report->arena;
    const struct text names[] = {arena_copy(arena, load->order->schema), arena_copy(arena, load->order->relation)};
    if (names[0].data == NULL || names[1].data == NULL)
        return load_out_of_memory(load);
    enum status status =
        load_run_sql(load,
                     "select c.relkind, c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n"
                     " on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2",
                     2, names, keep_old, swap);
    if (status == STATUS_OK)
        status = swap->status;
    if (status == STATUS_OK && swap->kind.data != NULL && swap->kind.data[0] != 'r')
        return failure_set(load->failure, STATUS_CONFLICT,
                           "%.*s is no table (somebody made something else of that name with SQL); drop it, or load "
                           "under another name",
                           TEXT_ARGS(load->order->dataset));
    return status;
}

/* From here on readers of the old table wait, and those that read it now have lock_timeout to end. */
static enum status lock_old(struct load *load)
{
    buffer_append_literal(&load->sql, "lock table ");
    load_append_target(load);
    buffer_append_literal(&load->sql, " in access exclusive mode");
    enum status status = load_execute(load, 0, NULL, NULL, NULL);
    if (status == STATUS_CONFLICT)
        return failure_set(load->failure, STATUS_CONFLICT,
                           "readers hold %.*s: it could not be swapped within %u ms, and the old rows are still there; "
                           "send the load again",
                           TEXT_ARGS(load->order->dataset), load->order->lock_timeout_ms);
    return status;
}

static void append_rename(struct load *load)
{
    buffer_append_literal(&load->sql, "alter table ");
    load_append_staging(load);
    buffer_append_literal(&load->sql, " rename to ");
    postgres_append_identifier(&load->sql, load->order->relation);
}

/* With the rename of the new one, in one round trip. */
static enum status take_down(struct load *load, struct swap *swap)
{
    struct text customer = text_from_string(load->order->customer != NULL ? load->order->customer : "");
    load_append_staging(load);
    struct text staging = arena_copy(load->report->arena, buffer_text(&load->sql));
    buffer_clear(&load->sql);
    const struct text parameters[] = {swap->old, staging}, tree[] = {swap->old, customer};
    struct load_value around = {.arena = load->report->arena};
    if (staging.data == NULL)
        return load_out_of_memory(load);
    enum status status = load_run_sql(load, table_around, 2, parameters, load_keep_value, &around);
    swap->around = around.value;
    if (status == STATUS_OK)
        status = load_run_sql(load, load_dependents_sql, 2, tree, keep_views, swap);
    if (status == STATUS_OK)
        status = swap->status;
    for (size_t i = swap->count; status == STATUS_OK && i > 0; i--)
        status = load_run_sql(load, swap->views[i - 1].drop.data, 0, NULL, NULL, NULL);
    if (status != STATUS_OK)
        return status;
    buffer_append_literal(&load->sql, "drop table ");
    load_append_target(load);
    buffer_append_literal(&load->sql, "; ");
    append_rename(load);
    status = load_execute(load, 0, NULL, NULL, NULL);
    if (status != STATUS_OK && load_has_state(load, "2BP01"))
        return failure_set(
            load->failure, STATUS_CONFLICT,
            "something else than a view depends on %.*s (a foreign key, a function); drop that first, or "
            "append instead",
            TEXT_ARGS(load->order->dataset));
    return status;
}

static enum status make_view(struct load *load, const struct swap_view *view)
{
    char words[320];
    enum status status = load_run_sql(load, view->make.data, 0, NULL, NULL, NULL);
    if (status == STATUS_OK && view->around.size != 0) {
        status = postgres_session_script(load->session, view->around.data, load->failure);
        return status == STATUS_OK ? status : load_words(load, status);
    }
    if (status == STATUS_OK || load_has_state(load, "") || status == STATUS_UNAVAILABLE)
        return status;
    snprintf(words, sizeof(words), "%.300s", load->failure != NULL ? load->failure->message : "");
    return failure_set(load->failure, STATUS_CONFLICT,
                       "%s reads %.*s and would break: %s; keep the columns that it reads, or delete it first",
                       load_cut(load, view->name), TEXT_ARGS(load->order->dataset), words);
}

static enum status put_up(struct load *load, const struct swap *swap)
{
    enum status status = STATUS_OK;
    if (swap->around.size != 0)
        load_queue(load, swap->around.data);
    if (swap->count != 0) /* whose failures have words of their own */
        status = load_send_queue(load);
    for (size_t i = 0; status == STATUS_OK && i < swap->count; i++)
        status = make_view(load, &swap->views[i]);
    return status;
}

enum status load_swap(struct load *load)
{
    struct swap *swap = arena_calloc(load->report->arena, 1, sizeof(*swap));
    if (swap == NULL)
        return load_out_of_memory(load);
    swap->load = load;
    enum status status = load_record_lock(load);
    if (status == STATUS_OK)
        status = find_old(load, swap);
    if (status == STATUS_OK && swap->kind.data != NULL) {
        status = lock_old(load);
        if (status == STATUS_OK)
            status = take_down(load, swap);
    } else if (status == STATUS_OK) {
        append_rename(load);
        status = load_execute(load, 0, NULL, NULL, NULL);
    }
    return status == STATUS_OK ? put_up(load, swap) : status;
}
