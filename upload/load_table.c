/* The tables of a load: a staging table where one is needed, its key and indexes, and the rows' way into the table that
 * stands. Rows that only join a table that stands go there directly: the transaction is what hides them. */
#include <stdio.h>

#include "upload/load_private.h"

void load_append_columns(struct load *load, bool key_only)
{
    const struct load_order *order = load->order;
    size_t count = key_only ? order->key_count : load->count;
    for (size_t i = 0; i < count; i++) {
        if (i != 0)
            buffer_append_literal(&load->sql, ", ");
        postgres_append_identifier(&load->sql, key_only ? order->key[i] : load->columns[i].name);
    }
}

/* COPY's text of a partition's value as it is. */
static void append_copy_value(struct buffer *sql, struct text text)
{
    char value[2048];
    size_t size = 0;
    for (size_t i = 0; i < text.size && size < sizeof(value); i++) {
        char byte = text.data[i];
        if (byte == '\\' && i + 1 < text.size) {
            byte = text.data[++i];
            byte = byte == 't' ? '\t' : byte == 'n' ? '\n' : byte == 'r' ? '\r' : byte;
        }
        value[size++] = byte;
    }
    if (size == sizeof(value))
        sql->failed = true;
    postgres_append_literal(sql, text_of(value, size));
}

/* Two replaces of the same rows at once would each not see the other's: the lock lets one after the other, and readers
 * by. */
static enum status delete_old(struct load *load)
{
    const char *word = " where ";
    buffer_append_literal(&load->sql, "lock table ");
    load_append_target(load);
    buffer_append_literal(&load->sql, " in share row exclusive mode");
    enum status status = load_execute(load, 0, NULL, NULL, NULL);
    if (status != STATUS_OK)
        return status;
    buffer_append_literal(&load->sql, "delete from ");
    load_append_target(load);
    for (size_t i = 0; i < load->count; i++) {
        const struct load_target *column = &load->columns[i];
        if (column->partition.data == NULL)
            continue;
        buffer_append_string(&load->sql, word);
        postgres_append_identifier(&load->sql, column->name);
        buffer_append_literal(&load->sql, " = ");
        append_copy_value(&load->sql, column->partition);
        word = " and ";
    }
    return load_execute(load, 0, NULL, NULL, NULL);
}

struct place {
    struct load *load;
    bool none;
    enum status status;
};

static void keep_place(void *context, const struct postgres_rows *rows)
{
    struct place *place = context;
    struct load *load = place->load;
    if (postgres_rows_count(rows) != 1)
        return;
    struct text checks = postgres_rows_value(rows, 0, 1);
    load->temporary = text_equal(postgres_rows_value(rows, 0, 0), TEXT("temporary"));
    place->none = text_equal(postgres_rows_value(rows, 0, 0), TEXT("none"));
    load->checks = checks.data != NULL ? arena_copy(load->report->arena, checks) : TEXT_NONE;
    if (checks.data != NULL && load->checks.data == NULL)
        place->status = load_out_of_memory(load);
}

/* A temporary table needs no right in the schema and writes no log; customers may have none. The target's conditions
 * that are about the file's columns alone come with it: COPY names the row that breaks one, an INSERT does not. */
static enum status choose_place(struct load *load)
{
    struct place place = {.load = load};
    const struct text names[] = {arena_copy(load->report->arena, load->order->schema),
                                 arena_copy(load->report->arena, load->order->relation)};
    if (names[0].data == NULL || names[1].data == NULL)
        return load_out_of_memory(load);
    buffer_append_literal(
        &load->sql,
        "select case when pg_catalog.has_database_privilege(pg_catalog.current_database(), 'temporary')"
        " then 'temporary' when pg_catalog.has_schema_privilege($1, 'create') then 'schema' else 'none' end,"
        " (select pg_catalog.string_agg(pg_catalog.format('constraint %I %s', k.conname,"
        " pg_catalog.pg_get_constraintdef(k.oid)), ', ' order by k.conname) from pg_catalog.pg_constraint k"
        " join pg_catalog.pg_class c on c.oid = k.conrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = $1 and c.relname = $2 and k.contype = 'c' and 0 <> all (k.conkey)"
        " and not exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid"
        " and a.attnum = any (k.conkey) and a.attname not in (");
    for (size_t i = 0; i < load->count; i++) {
        buffer_append_string(&load->sql, i != 0 ? ", " : "");
        postgres_append_literal(&load->sql, load->columns[i].name);
    }
    buffer_append_literal(&load->sql, ")))");
    enum status status = load_execute(load, 2, names, keep_place, &place);
    if (status == STATUS_OK && place.none)
        return failure_set(load->failure, STATUS_FAILED,
                           "the database's role %s may make neither temporary tables nor tables in schema %.*s; an "
                           "upsert needs one of the two",
                           load->order->login->user, TEXT_ARGS(load->order->schema));
    return status == STATUS_OK ? place.status : status;
}

/* Ends what load->sql says: it goes with the next statement. */
static enum status queue_sql(struct load *load)
{
    const char *sql = buffer_c_string(&load->sql);
    if (sql != NULL)
        load_queue(load, sql);
    buffer_clear(&load->sql);
    return sql != NULL ? STATUS_OK : load_out_of_memory(load);
}

static enum status create_staging(struct load *load)
{
    load->temporary = false;
    if (load->order->existing) {
        enum status status = choose_place(load);
        if (status != STATUS_OK)
            return status;
    }
    load->staged = true;
    buffer_append_string(&load->sql, load->temporary ? "create temporary table " : "create table ");
    load_append_staging(load);
    buffer_append_literal(&load->sql, " (");
    for (size_t i = 0; i < load->count; i++) {
        if (i != 0)
            buffer_append_literal(&load->sql, ", ");
        postgres_append_identifier(&load->sql, load->columns[i].name);
        buffer_append_char(&load->sql, ' ');
        buffer_append_string(&load->sql, load->columns[i].type);
    }
    if (load->checks.size != 0) {
        buffer_append_literal(&load->sql, ", ");
        buffer_append_text(&load->sql, load->checks);
    }
    buffer_append_string(&load->sql, load->temporary ? ") on commit drop" : ")");
    return queue_sql(load);
}

enum status load_table_prepare(struct load *load)
{
    const struct load_order *order = load->order;
    if (!order->existing || order->mode == LOAD_UPSERT)
        return create_staging(load);
    return order->mode == LOAD_REPLACE ? delete_old(load) : STATUS_OK;
}

/* The first key that stands twice, as "1, x", and its lines where the file's text is the database's. */
struct duplicate {
    struct load *load;
    struct text values[32];
    size_t count;
};

static void keep_duplicate(void *context, const struct postgres_rows *rows)
{
    struct duplicate *duplicate = context;
    struct load *load = duplicate->load;
    struct buffer copy;
    if (postgres_rows_count(rows) == 0)
        return;
    for (size_t i = 0; i < postgres_rows_columns(rows) && i < 32; i++) {
        buffer_init(&copy, LOAD_PIECE);
        load_append_copy_text(&copy, postgres_rows_value(rows, 0, i));
        duplicate->values[i] = arena_copy(load->report->arena, copy.failed ? TEXT("") : buffer_text(&copy));
        buffer_free(&copy);
        duplicate->count = i + 1;
    }
}

static enum status blame_duplicate(struct load *load)
{
    struct duplicate duplicate = {.load = load};
    char words[256] = "", lines[96] = "";
    buffer_append_literal(&load->sql, "select ");
    for (size_t i = 0; i < load->order->key_count; i++) {
        buffer_append_string(&load->sql, i != 0 ? ", " : "");
        postgres_append_identifier(&load->sql, load->order->key[i]);
        buffer_append_literal(&load->sql, "::text");
    }
    buffer_append_literal(&load->sql, " from ");
    load_append_staging(load);
    buffer_append_literal(&load->sql, " group by ");
    load_append_columns(load, true);
    buffer_append_literal(&load->sql, " having count(*) > 1 order by ");
    load_append_columns(load, true);
    buffer_append_literal(&load->sql, " limit 1");
    enum status status = load_execute(load, 0, NULL, keep_duplicate, &duplicate);
    if (status != STATUS_OK || duplicate.count != load->order->key_count)
        return status != STATUS_OK ? status : load_blame(load, 0, TEXT_NONE, "the key stands twice in the file");
    struct load_search search = {.values = duplicate.values, .wanted = 2};
    load_find(load, &search);
    for (size_t i = 0, size = 0; i < duplicate.count && size < sizeof(words); i++)
        size += (size_t)snprintf(words + size, sizeof(words) - size, "%s%s", i != 0 ? ", " : "",
                                 load_cut(load, duplicate.values[i]));
    if (search.found == 2)
        snprintf(lines, sizeof(lines), " in line %llu and again in line %llu", (unsigned long long)search.lines[0],
                 (unsigned long long)search.lines[1]);
    return load_blame(load, search.lines[1], load->order->key[0],
                      "the key %s stands twice in the file%s; a key names one row: remove one, or say another key",
                      words, lines);
}

static enum status make_key(struct load *load)
{
    if (load->order->key_count > 32)
        return load_blame(load, 0, TEXT_NONE, "a key has at most 32 columns, not %zu", load->order->key_count);
    load_queue(load, "savepoint key");
    buffer_append_literal(&load->sql, "alter table ");
    load_append_staging(load);
    buffer_printf(&load->sql, " add constraint \"~key_%s\" primary key (", load->staging + sizeof(LOAD_STAGING) - 1);
    load_append_columns(load, true);
    buffer_append_char(&load->sql, ')');
    enum status status = load_execute(load, 0, NULL, NULL, NULL);
    bool twice = status != STATUS_OK && load_has_state(load, "23505");
    bool no_order = status != STATUS_OK && load_has_state(load, "42704"); /* json has no operator class */
    bool too_long = status != STATUS_OK && load_has_state(load, "54000");
    if (status == STATUS_OK) /* what is written from here on is the transaction's own again: sluice.raise_version */
        load_queue(load, "release savepoint key");
    if (status == STATUS_OK || !(twice || no_order || too_long))
        return status;
    if (no_order || too_long)
        return load_blame(load, 0, load->order->key[0],
                          no_order ? "the key has a column of a type that cannot be a key (json); say another key"
                                   : "a value of the key is too long for an index (2,700 bytes); say another key");
    status = load_run_sql(load, "rollback to savepoint key", 0, NULL, NULL, NULL);
    return status == STATUS_OK ? blame_duplicate(load) : status;
}

static enum status make_time_index(struct load *load)
{
    if (load->time_column == SIZE_MAX)
        return STATUS_OK;
    struct text name = load->columns[load->time_column].name;
    if (load->order->key_count != 0 && text_equal(load->order->key[0], name))
        return STATUS_OK; /* the key's own index begins with it */
    buffer_printf(&load->sql, "create index \"~time_%s\" on ", load->staging + sizeof(LOAD_STAGING) - 1);
    load_append_staging(load);
    buffer_append_literal(&load->sql, " (");
    postgres_append_identifier(&load->sql, name);
    buffer_append_char(&load->sql, ')');
    return queue_sql(load);
}

struct counts {
    struct load_report *report;
};

static void keep_counts(void *context, const struct postgres_rows *rows)
{
    struct load_report *report = ((struct counts *)context)->report;
    int64_t all = 0, fresh = 0;
    if (postgres_rows_count(rows) == 1 && text_to_int64(postgres_rows_value(rows, 0, 0), &all) &&
        text_to_int64(postgres_rows_value(rows, 0, 1), &fresh)) {
        report->inserted = (uint64_t)fresh;
        report->updated = (uint64_t)(all - fresh);
    }
}

static void append_conflict(struct load *load)
{
    size_t set = 0;
    buffer_append_literal(&load->sql, " on conflict (");
    load_append_columns(load, true);
    buffer_append_literal(&load->sql, ") do update set ");
    for (size_t i = 0; i < load->count; i++) {
        if (load->columns[i].is_key)
            continue;
        buffer_append_string(&load->sql, set++ != 0 ? ", " : "");
        postgres_append_identifier(&load->sql, load->columns[i].name);
        buffer_append_literal(&load->sql, " = excluded.");
        postgres_append_identifier(&load->sql, load->columns[i].name);
    }
    if (set == 0) { /* nothing but the key: written again, so that the row counts as updated */
        postgres_append_identifier(&load->sql, load->order->key[0]);
        buffer_append_literal(&load->sql, " = excluded.");
        postgres_append_identifier(&load->sql, load->order->key[0]);
    }
}

/* In the key's order: two upserts at once that meet then wait for each other in one direction. A row that was there has
 * an xmax; a partitioned table does not tell it, and its old rows are counted before. */
static enum status upsert(struct load *load)
{
    struct counts counts = {load->report};
    bool partitioned = load->relkind == 'p';
    enum status status = make_key(load);
    if (status != STATUS_OK)
        return status;
    buffer_append_literal(&load->sql, "with ");
    if (partitioned) {
        buffer_append_literal(&load->sql, "old as (select count(*) as n from ");
        load_append_staging(load);
        buffer_append_literal(&load->sql, " join ");
        load_append_target(load);
        buffer_append_literal(&load->sql, " using (");
        load_append_columns(load, true);
        buffer_append_literal(&load->sql, ")), ");
    }
    buffer_append_literal(&load->sql, "new as (insert into ");
    load_append_target(load);
    buffer_append_literal(&load->sql, " (");
    load_append_columns(load, false);
    buffer_append_literal(&load->sql, ") select ");
    load_append_columns(load, false);
    buffer_append_literal(&load->sql, " from ");
    load_append_staging(load);
    buffer_append_literal(&load->sql, " order by ");
    load_append_columns(load, true);
    append_conflict(load);
    buffer_append_string(&load->sql, partitioned
                                         ? " returning 1) select count(*), count(*) - (select n from old) from new"
                                         : " returning (xmax = 0) as fresh) select count(*), "
                                           "count(*) filter (where fresh) from new");
    status = load_execute(load, 0, NULL, keep_counts, &counts);
    if (status != STATUS_OK && load_has_state(load, "42P10"))
        return load_blame(load, 0, load->order->key[0],
                          "%.*s has no unique index on exactly these key columns; say key= as the table has it",
                          TEXT_ARGS(load->order->dataset));
    return status;
}

enum status load_table_finish(struct load *load)
{
    const struct load_order *order = load->order;
    if (!load->staged)
        return STATUS_OK;
    if (order->existing) {
        enum status status = upsert(load);
        if (status != STATUS_OK || load->temporary)
            return status;
        buffer_append_literal(&load->sql, "drop table ");
        load_append_staging(load);
        return queue_sql(load);
    }
    enum status status = order->key_count != 0 ? make_key(load) : STATUS_OK;
    if (status == STATUS_OK)
        status = make_time_index(load);
    if (status != STATUS_OK)
        return status;
    /* Statistics at once: what a query costs is asked before it runs. */
    buffer_append_literal(&load->sql, "analyze ");
    load_append_staging(load);
    status = queue_sql(load);
    if (status == STATUS_OK)
        status = load_check_quota(load, false);
    return status == STATUS_OK ? load_swap(load) : status;
}
