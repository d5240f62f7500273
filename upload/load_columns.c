/* Which columns a load has, and of which types: inferred or told for a table that is made, the table's own for one that
 * stands. */
#include <stdio.h>

#include "upload/load_private.h"

struct load_target *load_column_named(const struct load *load, struct text name)
{
    for (size_t i = 0; i < load->count; i++)
        if (text_equal(load->columns[i].name, name))
            return &load->columns[i];
    return NULL;
}

static enum status mark_key(struct load *load)
{
    for (size_t i = 0; i < load->order->key_count; i++) {
        struct load_target *column = load_column_named(load, load->order->key[i]);
        if (column == NULL)
            return load_blame(load, 0, load->order->key[i],
                              "the key's column %s is not in the file; name columns as the file does",
                              load_cut(load, load->order->key[i]));
        if (column->is_key)
            return load_blame(load, 0, column->name, "the key names column %s twice", load_cut(load, column->name));
        column->is_key = column->not_null = true;
    }
    return STATUS_OK;
}

/* The words for double precision: infer.h's types keep what stood in the file, which a float does not. */
static const char *sql_type(struct text word, enum infer_type type)
{
    static const char *const floats[] = {"float", "double", "float8", "double precision"};
    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++)
        if (text_equal_ignoring_case(word, text_from_string(floats[i])))
            return "double precision";
    return infer_type_name(type);
}

static enum status tell_type(struct load *load, struct text told)
{
    size_t at = told.size;
    while (at != 0 && told.data[at - 1] != '=')
        at--;
    if (at == 0)
        return load_blame(load, 0, TEXT_NONE, "a told type is written column=type, not %s", load_cut(load, told));
    struct text name = text_of(told.data, at - 1), word = text_of(told.data + at, told.size - at);
    struct load_target *column = load_column_named(load, name);
    if (column == NULL)
        return load_blame(load, 0, name, "a type is told for column %s, which the file does not have",
                          load_cut(load, name));
    enum infer_type type;
    if (!infer_type_named(word, &type))
        return load_blame(
            load, 0, name,
            "%s is no type that can be told; the types are text, integer, numeric, double, boolean, date, "
            "timestamp, timestamptz, json",
            load_cut(load, word));
    column->as.type = type;
    column->type = sql_type(word, type);
    column->guessed = false;
    if (strcmp(column->type, "double precision") == 0)
        column->kind = LOAD_FLOAT;
    return STATUS_OK;
}

static enum status tell_report(struct load *load)
{
    struct load_column *columns = arena_calloc(load->report->arena, load->count, sizeof(*columns));
    if (columns == NULL)
        return load_out_of_memory(load);
    load->time_column = SIZE_MAX;
    for (size_t i = 0; i < load->count; i++) {
        const struct load_target *column = &load->columns[i];
        columns[i] = (struct load_column){column->name, column->type, column->guessed};
        bool is_time = strcmp(column->type, "date") == 0 || strncmp(column->type, "timestamp", 9) == 0;
        if (is_time && (load->time_column == SIZE_MAX || (column->is_key && !load->columns[load->time_column].is_key)))
            load->time_column = i;
    }
    load->report->columns = columns;
    load->report->column_count = load->count;
    return STATUS_OK;
}

enum status load_columns_new(struct load *load)
{
    const struct load_order *order = load->order;
    for (size_t i = 0; i < load->count; i++) {
        struct load_target *column = &load->columns[i];
        infer_end(&column->known, &load->infer, &column->as);
        column->kind = LOAD_AS_TYPED;
        column->type = infer_type_name(column->as.type);
        column->guessed = true;
    }
    for (size_t i = 0; i < order->type_count; i++) {
        enum status status = tell_type(load, order->types[i]);
        if (status != STATUS_OK)
            return status;
    }
    enum status status = mark_key(load);
    return status == STATUS_OK ? tell_report(load) : status;
}

/* The columns of a table that stands. BASE: of a domain (of one level) the type below; names of pg_catalog alone, for
 * anybody may call a type int4. The domain's own conditions are the server's to judge. */
enum { NAME, TYPE, BASE, MODIFIER, NOT_NULL, DEFAULTED, GENERATED, RELKIND, MAY, KEY, LABELS };
static const char existing[] =
    "select a.attname, format_type(a.atttypid, a.atttypmod),"
    "  case when b.typtype = 'e' then 'enum' when b.typnamespace = 'pg_catalog'::regnamespace then b.typname"
    "   else '' end,"
    "  case when t.typtype = 'd' then t.typtypmod else a.atttypmod end,"
    "  a.attnotnull or t.typnotnull, a.atthasdef or a.attidentity <> '' or t.typdefault is not null,"
    "  a.attgenerated <> '' or a.attidentity = 'a', c.relkind,"
    "  pg_catalog.has_any_column_privilege(c.oid, 'insert'),"
    "  coalesce(a.attnum = any (i.indkey), false),"
    "  case when b.typtype = 'e' then (select string_agg(octet_length(convert_to(e.enumlabel::text, 'UTF8')) || ':'"
    "    || e.enumlabel, '' order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = b.oid) end"
    "  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid"
    "  join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_type t on t.oid = a.atttypid"
    "  join pg_catalog.pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end"
    "  left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary"
    " where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped"
    " order by a.attnum";

static bool is_true(const struct postgres_rows *rows, size_t row, size_t column)
{
    return text_equal(postgres_rows_value(rows, row, column), TEXT("t"));
}

static enum load_kind kind_of(struct text type)
{
    static const struct {
        const char *name;
        enum load_kind kind;
    } kinds[] = {{"int2", LOAD_INT2},
                 {"int4", LOAD_INT4},
                 {"int8", LOAD_INT8},
                 {"numeric", LOAD_NUMERIC},
                 {"float4", LOAD_REAL},
                 {"float8", LOAD_FLOAT},
                 {"bool", LOAD_BOOLEAN},
                 {"date", LOAD_DATE},
                 {"timestamp", LOAD_TIMESTAMP},
                 {"timestamptz", LOAD_TIMESTAMPTZ},
                 {"json", LOAD_JSON},
                 {"jsonb", LOAD_JSON},
                 {"varchar", LOAD_TEXT},
                 {"bpchar", LOAD_TEXT},
                 {"text", LOAD_TEXT},
                 {"uuid", LOAD_UUID},
                 {"enum", LOAD_ENUM}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (text_equal(type, text_from_string(kinds[i].name)))
            return kinds[i].kind;
    return LOAD_OTHER;
}

/* varchar(n), char(n) and numeric(p, s), as the server keeps what stands in the parentheses. */
static void take_modifier(struct load_target *column, int64_t modifier)
{
    int64_t value = modifier - 4;
    if (modifier < 4)
        return;
    if (column->kind == LOAD_TEXT)
        column->longest = value;
    if (column->kind == LOAD_NUMERIC) {
        column->precision = (int)(value >> 16 & 0xFFFF);
        column->scale = (int)((value & 0x7FF) ^ 1024) - 1024;
    }
}

static bool take_labels(struct load *load, struct load_target *column, struct text labels)
{
    column->labels = (struct load_labels){0};
    return column->kind != LOAD_ENUM ||
           load_judge_labels(load->report->arena, labels.data != NULL ? labels : TEXT(""), &column->labels);
}

struct existing_table {
    struct load *load;
    enum status status;
    size_t rows, keys, keys_in_file, matched;
    struct text *key; /* the table's primary key */
};

static enum status take_existing(struct existing_table *table, const struct postgres_rows *rows, size_t row)
{
    struct load *load = table->load;
    struct text name = postgres_rows_value(rows, row, NAME);
    struct load_target *column = load_column_named(load, name);
    if (is_true(rows, row, KEY)) {
        table->key[table->keys] = arena_copy(load->report->arena, name);
        if (table->key[table->keys++].data == NULL)
            return load_out_of_memory(load);
    }
    if (column == NULL) {
        if (!is_true(rows, row, NOT_NULL) || is_true(rows, row, DEFAULTED))
            return STATUS_OK;
        return load_blame(load, 0, name, "the file has no column %s, which %.*s needs in every row",
                          load_cut(load, name), TEXT_ARGS(load->order->dataset));
    }
    if (is_true(rows, row, GENERATED))
        return load_blame(load, 0, name, "column %s of %.*s is generated; leave it out of the file",
                          load_cut(load, name), TEXT_ARGS(load->order->dataset));
    struct infer_options options = load->infer;
    infer_end(&column->known, &options, &column->as);
    table->matched++;
    struct text type = arena_copy(load->report->arena, postgres_rows_value(rows, row, TYPE));
    if (type.data == NULL)
        return load_out_of_memory(load);
    column->type = type.data;
    column->guessed = false;
    column->kind = kind_of(postgres_rows_value(rows, row, BASE));
    column->not_null = is_true(rows, row, NOT_NULL);
    int64_t modifier;
    if (text_to_int64(postgres_rows_value(rows, row, MODIFIER), &modifier))
        take_modifier(column, modifier);
    return take_labels(load, column, postgres_rows_value(rows, row, LABELS)) ? STATUS_OK : load_out_of_memory(load);
}

static void keep_existing(void *context, const struct postgres_rows *rows)
{
    struct existing_table *table = context;
    size_t count = postgres_rows_count(rows);
    if (count == 0 || !is_true(rows, 0, MAY))
        return;
    table->rows = count;
    table->load->relkind = postgres_rows_value(rows, 0, RELKIND).data[0];
    table->key = arena_calloc(table->load->report->arena, count, sizeof(*table->key));
    if (table->key == NULL)
        table->status = load_out_of_memory(table->load);
    for (size_t i = 0; table->status == STATUS_OK && i < count; i++)
        table->status = take_existing(table, rows, i);
}

static enum status refuse_unknown(struct load *load)
{
    for (size_t i = 0; i < load->count; i++)
        if (load->columns[i].type == NULL)
            return load_blame(load, 0, load->columns[i].name, "%.*s has no column %s; columns are matched by name%s",
                              TEXT_ARGS(load->order->dataset), load_cut(load, load->columns[i].name),
                              load->report->sniffed.format == SNIFF_CSV && !load->report->sniffed.csv.has_header
                                  ? ", and the file has no header line (or say header=true)"
                                  : "");
    return STATUS_OK;
}

/* The value of a partition, as the file's rows have it after their conversion. */
static enum status take_partitions(struct load *load)
{
    for (size_t i = 0; i < load->order->partition_count; i++) {
        const struct load_partition *partition = &load->order->partitions[i];
        struct load_target *column = load_column_named(load, partition->column);
        const struct field field = {FIELD_QUOTED, partition->value};
        const char *reason = "";
        if (column == NULL)
            return load_blame(load, 0, partition->column,
                              "the partition's column %s is not in the file: its rows could lie anywhere",
                              load_cut(load, partition->column));
        /* Written as the API writes values: with a point, and ISO days. */
        struct load_target plain = *column;
        plain.as.decimal_comma = false;
        plain.as.date_order = SNIFF_YMD;
        buffer_clear(&load->copy);
        if (!load_convert(load, &plain, &field, &reason))
            return load_blame(load, 0, column->name, "the partition's value for %.*s: \"%s\" %s",
                              TEXT_ARGS(column->name), load_cut(load, partition->value), reason);
        if (column->partition.data != NULL)
            return load_blame(load, 0, column->name, "the partition names column %s twice",
                              load_cut(load, column->name));
        column->partition = arena_copy(load->report->arena, buffer_text(&load->copy));
        buffer_clear(&load->copy);
        if (column->partition.data == NULL)
            return load_out_of_memory(load);
    }
    return STATUS_OK;
}

/* Without a key told, an upsert goes by the table's own. */
static void take_own_key(struct load *load, const struct existing_table *table)
{
    struct load_order *order = (struct load_order *)(uintptr_t)load->order; /* load_run's own copy */
    if (order->mode == LOAD_UPSERT && order->key_count == 0) {
        order->key = table->key;
        order->key_count = table->keys;
    }
}

enum status load_columns_existing(struct load *load)
{
    const struct load_order *order = load->order;
    struct existing_table table = {.load = load};
    const struct text parameters[] = {arena_copy(load->report->arena, order->schema),
                                      arena_copy(load->report->arena, order->relation)};
    if (parameters[0].data == NULL || parameters[1].data == NULL)
        return load_out_of_memory(load);
    enum status status = load_run_sql(load, existing, 2, parameters, keep_existing, &table);
    if (status == STATUS_OK && table.rows == 0)
        return failure_set(load->failure, STATUS_NOT_FOUND,
                           "there is no table %.*s to load into; make it with mode=replace first",
                           TEXT_ARGS(order->dataset));
    if (status == STATUS_OK)
        status = table.status;
    if (status == STATUS_OK)
        status = refuse_unknown(load);
    if (status != STATUS_OK)
        return status;
    take_own_key(load, &table);
    if (order->mode == LOAD_UPSERT && order->key_count == 0)
        return load_blame(load, 0, TEXT_NONE, "%.*s has no primary key: say key=, of columns with a unique index",
                          TEXT_ARGS(order->dataset));
    if (order->mode == LOAD_UPSERT)
        status = mark_key(load);
    if (status == STATUS_OK)
        status = take_partitions(load);
    return status == STATUS_OK ? tell_report(load) : status;
}
