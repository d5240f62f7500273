/* Any query string that the dialect takes, over a fixed dataset: outside of quoted identifiers the SQL has nothing but
 * words that are written here, digits and signs; quotes and parentheses are closed; parameters are numbered without
 * gap. So nothing of a caller's can be SQL. */
#include <ctype.h>
#include <stdlib.h>

#include "query/select.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {"select",
                                    "from",
                                    "where",
                                    "and",
                                    "or",
                                    "not",
                                    "as",
                                    "is",
                                    "null",
                                    "true",
                                    "false",
                                    "unknown",
                                    "distinct",
                                    "like",
                                    "ilike",
                                    "any",
                                    "all",
                                    "in",
                                    "cast",
                                    "order",
                                    "by",
                                    "group",
                                    "desc",
                                    "nulls",
                                    "first",
                                    "last",
                                    "limit",
                                    "offset",
                                    "over",
                                    "row_number",
                                    "count",
                                    "sum",
                                    "avg",
                                    "min",
                                    "max",
                                    "md5",
                                    "row",
                                    "text",
                                    "int4",
                                    "jsonb",
                                    "regconfig",
                                    "to_jsonb",
                                    "to_tsvector",
                                    "to_tsquery",
                                    "plainto_tsquery",
                                    "phraseto_tsquery",
                                    "websearch_to_tsquery",
                                    "ctid",
                                    "place"};

static void check_word(const char *word, size_t size)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0)
            return;
    abort();
}

static const char *check_identifier(const char *at)
{
    for (at++; at[0] != '"' || at[1] == '"'; at += at[0] == '"' ? 2 : 1)
        if (at[0] == '\0')
            abort();
    return at + 1;
}

static void check_sql(const struct postgres_statement *statement)
{
    bool used[65536] = {false};
    size_t depth = 0;
    for (const char *at = statement->sql; *at != '\0';) {
        if (*at == '"') {
            at = check_identifier(at);
        } else if (isalpha((unsigned char)*at)) {
            size_t size = strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789");
            check_word(at, size);
            at += size;
        } else if (*at == '$') {
            char *end;
            unsigned long number = strtoul(at + 1, &end, 10);
            if (number == 0 || number > statement->parameter_count)
                abort();
            used[number] = true;
            at = end;
        } else {
            if (strchr(" ,.*()[]:0123456789=<>~@&|-", *at) == NULL || (*at == ')' && depth == 0) ||
                strncmp(at, "--", 2) == 0)
                abort();
            depth += *at == '(' ? 1 : *at == ')' ? -(size_t)1 : 0;
            at++;
        }
    }
    for (size_t i = 1; i <= statement->parameter_count; i++)
        if (!used[i])
            abort();
    if (depth != 0)
        abort();
}

static const struct type mood = {.oid = 90001, .base = 90001, .name = {"mood", 4}, .is_enum = true};
static const struct type place = {.oid = 90002, .base = 90002, .kind = TYPE_COMPOSITE, .name = {"place", 5}};
static const struct {
    struct text name;
    uint32_t type;
} names[] = {{{"id", 2}, 23},     {{"name", 4}, 25},   {{"price", 5}, 1700}, {{"d", 1}, 1082},     {{"tags", 4}, 1009},
             {{"span", 4}, 3904}, {{"data", 4}, 3802}, {{"raw", 3}, 114},    {{"words", 5}, 3614}, {{"a\"b", 3}, 16},
             {{"mood", 4}, 0},    {{"place", 5}, 1},   {{"total", 5}, 701}};
#define COLUMNS (sizeof(names) / sizeof(names[0]))

static void describe(struct dataset_column *columns)
{
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = (struct dataset_column){.name = names[i].name,
                                             .type = names[i].type == 0   ? &mood
                                                     : names[i].type == 1 ? &place
                                                                          : type_builtin(names[i].type),
                                             .nullable = i != 0,
                                             .is_tsvector = names[i].type == 3614};
    columns[COLUMNS - 1].computed = true;
    columns[COLUMNS - 1].function = TEXT("\"public\".\"total\"");
}

static void plan_all(const struct dialect_query *query, const struct dataset *dataset, struct arena *arena)
{
    struct cursor after = {.count = 0};
    struct select_request request = {.dataset = dataset, .query = query, .limit = 9, .offset = query->offset};
    for (int turn = 0; turn < 3; turn++) {
        struct select_plan plan;
        struct select_mistake mistake;
        request.wants_cursor = turn != 0;
        request.after = turn == 2 ? &after : NULL;
        enum status status = select_plan(&request, arena, &plan, &mistake);
        if (status != STATUS_OK) {
            if (status != STATUS_TOO_LARGE && (mistake.message[0] == '\0' || mistake.place.parameter.data == NULL))
                abort();
            return;
        }
        check_sql(&plan.statement);
        check_sql(&plan.count_statement);
        /* The last row's key, some of it null. */
        after.count = plan.order_count + plan.counts_ties;
        for (size_t i = 0; i < after.count; i++)
            after.values[i] = i % 3 == 1 ? TEXT_NONE : TEXT("1");
        if (plan.counts_ties) /* a digest, and how often */
            after.values[after.count - 2] = after.values[after.count - 1] = TEXT("1");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned short id[] = {0};
    static const struct dataset_key key = {id, 1, true};
    struct dataset_column columns[COLUMNS];
    const struct dialect_query *query;
    struct dialect_mistake mistake;
    struct arena arena;
    describe(columns);
    struct dataset dataset = {.sql_name = TEXT("\"public\".\"shop\""),
                              .columns = columns,
                              .column_count = COLUMNS,
                              .time_column = 3,
                              .has_ctid = size % 2 == 0,
                              .keys = &key,
                              .key_count = size % 3 == 0};
    arena_init(&arena, NULL, 0, 4 << 20);
    if (dialect_parse(text_of((const char *)data, size), &arena, &query, &mistake) == STATUS_OK)
        plan_all(query, &dataset, &arena);
    arena_free(&arena);
    return 0;
}
