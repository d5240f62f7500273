#include "query/verdicts.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/lru.h"

#define SQL_CEILING ((size_t)256 << 10)

struct verdicts {
    struct lru *entries;
};

struct verdict_key {
    uint64_t statement, signature, version;
};

struct verdicts *verdicts_create(size_t capacity)
{
    struct verdicts *verdicts = calloc(1, sizeof(*verdicts));
    if (verdicts == NULL || (verdicts->entries = lru_create(capacity, capacity, free)) == NULL) {
        free(verdicts);
        return NULL;
    }
    return verdicts;
}

void verdicts_destroy(struct verdicts *verdicts)
{
    if (verdicts == NULL)
        return;
    lru_destroy(verdicts->entries);
    free(verdicts);
}

bool verdicts_find(struct verdicts *verdicts, const struct dataset *dataset, uint64_t statement_id,
                   struct plan_estimate *estimate)
{
    struct verdict_key key = {statement_id, dataset->signature, dataset->version};
    struct text text = text_of((const char *)&key, sizeof(key));
    const struct plan_estimate *known = lru_get(verdicts->entries, text, hash_text(text));
    if (known != NULL)
        *estimate = *known;
    return known != NULL;
}

void verdicts_keep(struct verdicts *verdicts, const struct dataset *dataset, uint64_t statement_id,
                   const struct plan_estimate *estimate)
{
    struct verdict_key key = {statement_id, dataset->signature, dataset->version};
    struct text text = text_of((const char *)&key, sizeof(key));
    struct plan_estimate *kept = malloc(sizeof(*kept));
    if (kept == NULL)
        return;
    *kept = *estimate;
    /* A full memory forgets; what it does not take it has freed. */
    (void)!lru_put(verdicts->entries, text, hash_text(text), kept, 1);
}

enum status verdicts_explain(const struct postgres_statement *statement, struct arena *arena,
                             struct postgres_statement *explain)
{
    struct buffer sql;
    buffer_init(&sql, SQL_CEILING);
    buffer_append_literal(&sql, "explain (format json) ");
    buffer_append_string(&sql, statement->sql);
    struct text kept = sql.failed ? TEXT_NONE : arena_copy(arena, buffer_text(&sql));
    buffer_free(&sql);
    if (kept.data == NULL)
        return STATUS_TOO_LARGE;
    postgres_statement_init(explain, kept.data, statement->parameter_count, statement->parameter_types);
    explain->id ^= statement->id; /* made anew when that one is */
    return STATUS_OK;
}

/* [{"Plan": {"Total Cost": …, "Plan Rows": …, "Plan Width": …, …}}] */
enum status verdicts_read(const struct postgres_rows *rows, struct plan_estimate *estimate)
{
    if (postgres_rows_count(rows) != 1 || postgres_rows_columns(rows) != 1)
        return STATUS_FAILED;
    struct text text = postgres_rows_value(rows, 0, 0);
    json_t *document = json_loadb(text.data, text.size, 0, NULL);
    const json_t *plan = json_object_get(json_array_get(document, 0), "Plan");
    const json_t *cost = json_object_get(plan, "Total Cost"), *count = json_object_get(plan, "Plan Rows"),
                 *width = json_object_get(plan, "Plan Width");
    bool read = json_is_number(cost) && json_is_number(count) && json_is_number(width);
    if (read)
        *estimate = (struct plan_estimate){.known = true,
                                           .cost = json_number_value(cost),
                                           .rows = json_number_value(count),
                                           .bytes = json_number_value(count) * json_number_value(width)};
    json_decref(document);
    return read ? STATUS_OK : STATUS_FAILED;
}
