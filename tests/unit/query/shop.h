/* A dataset of many types, described by hand, and the SQL that makes its table; how the tests plan reads of it. */
#ifndef SLUICE_TESTS_QUERY_SHOP_H
#define SLUICE_TESTS_QUERY_SHOP_H

#include "query/select.h"
#include "tests/unit/query/warehouse.h"

static const char shop_sql[] =
    "create type mood as enum ('sad', 'ok', 'glad');"
    "create type place as (x int, town text);"
    "create table shop (id int primary key, name text, age int, small smallint, big bigint, price numeric(10,2),"
    "  ratio float8, single float4, active boolean, day date, at timestamptz, tags text[], numbers int[], span "
    "int4range,"
    "  data jsonb, raw json, spot point, words tsvector, place place, mood mood, code uuid, boxes box,"
    "  \"odd \"\"one\" text, kind varchar(9), \"order\" int);"
    "create function total(shop) returns numeric language sql stable as 'select $1.price * $1.age';"
    "insert into shop values (1, 'Ann', 30, 1, 1, 9.5, 0.5, 0.5, true, '2021-10-01', '2021-10-01 12:00+00', '{a,b}', "
    "'{1,2}', '[1,5)', '{\"a\":{\"b\":[10,20]}}', '{\"a\":1}', '(1,2)', 'cat:1', '(1,Rome)', 'ok', "
    "'00000000-0000-0000-0000-000000000001', '(1,1),(0,0)', 'o', 'k', 1)";

static const struct type shop_mood = {
    .oid = 90001, .base = 90001, .kind = TYPE_STRING, .name = {"mood", 4}, .is_enum = true};
static const struct type shop_place = {.oid = 90002, .base = 90002, .kind = TYPE_COMPOSITE, .name = {"place", 5}};

struct shop_column {
    const char *name;
    uint32_t type;
    const struct type *other;
};
static const struct shop_column shop_columns[] = {
    {"id", 23, NULL},        {"name", 25, NULL},    {"age", 23, NULL},         {"small", 21, NULL},
    {"big", 20, NULL},       {"price", 1700, NULL}, {"ratio", 701, NULL},      {"single", 700, NULL},
    {"active", 16, NULL},    {"day", 1082, NULL},   {"at", 1184, NULL},        {"tags", 1009, NULL},
    {"numbers", 1007, NULL}, {"span", 3904, NULL},  {"data", 3802, NULL},      {"raw", 114, NULL},
    {"spot", 600, NULL},     {"words", 3614, NULL}, {"place", 0, &shop_place}, {"mood", 0, &shop_mood},
    {"code", 2950, NULL},    {"boxes", 603, NULL},  {"odd \"one", 25, NULL},   {"kind", 1043, NULL},
    {"order", 23, NULL},     {"total", 1700, NULL}};
#define SHOP_COLUMNS (sizeof(shop_columns) / sizeof(shop_columns[0]))

static struct dataset_column shop_described[SHOP_COLUMNS];
static const unsigned short shop_id[] = {0};
static const struct dataset_key shop_key = {shop_id, 1, true};
static struct dataset shop;

static inline void shop_describe(void)
{
    for (size_t i = 0; i < SHOP_COLUMNS; i++) {
        const struct shop_column *column = &shop_columns[i];
        shop_described[i] = (struct dataset_column){.name = text_from_string(column->name),
                                                    .type = column->other ? column->other : type_builtin(column->type),
                                                    .nullable = i != 0,
                                                    .is_tsvector = column->type == 3614};
    }
    shop_described[SHOP_COLUMNS - 1].computed = true;
    shop_described[SHOP_COLUMNS - 1].function = TEXT("\"public\".\"total\"");
    shop = (struct dataset){.name = TEXT("shop"),
                            .sql_name = TEXT("\"public\".\"shop\""),
                            .columns = shop_described,
                            .column_count = SHOP_COLUMNS,
                            .keys = &shop_key,
                            .key_count = 1,
                            .has_ctid = true,
                            .time_column = 9};
}

static inline const struct dialect_query *shop_parse(struct arena *arena, const char *query)
{
    const struct dialect_query *parsed = NULL;
    struct dialect_mistake mistake = {.message = ""};
    if (dialect_parse(text_from_string(query), arena, &parsed, &mistake) != STATUS_OK)
        fail_msg("%s: %s", query, mistake.message);
    return parsed;
}

/* The session's own parameters have a NUL behind them. */
static inline enum status shop_run(struct postgres_session *session, struct arena *arena,
                                   const struct postgres_statement *statement, const struct text *parameters,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows), void *context,
                                   struct failure *failure)
{
    struct text *copies = arena_calloc(arena, statement->parameter_count + 1, sizeof(*copies));
    for (size_t i = 0; i < statement->parameter_count; i++)
        copies[i] = arena_copy(arena, parameters[i]);
    return postgres_session_query(session, statement->sql, statement->parameter_count, copies, on_rows, context,
                                  failure);
}

#endif
