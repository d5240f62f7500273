#include "query/dataset.h"

#include <stdlib.h>

enum dataset_kind dataset_kind_of(char relkind)
{
    switch (relkind) {
    case 'v':
        return DATASET_VIEW;
    case 'm':
        return DATASET_MATERIALIZED;
    case 'f':
        return DATASET_FOREIGN;
    case 'p':
        return DATASET_PARTITIONED;
    default:
        return DATASET_TABLE;
    }
}

const char *dataset_kind_name(enum dataset_kind kind)
{
    static const char *const names[] = {"table", "view", "materialized view", "foreign table", "partitioned table"};
    return names[kind];
}

const struct dataset_column *dataset_column(const struct dataset *dataset, struct text name)
{
    for (size_t i = 0; i < dataset->column_count; i++)
        if (text_equal(dataset->columns[i].name, name))
            return &dataset->columns[i];
    return NULL;
}

static bool is_within(const struct dataset_key *key, uint64_t mask)
{
    for (size_t i = 0; i < key->count; i++)
        if (key->columns[i] >= 64 || (mask >> key->columns[i] & 1) == 0)
            return false;
    return true;
}

const struct dataset_key *dataset_key_within(const struct dataset *dataset, uint64_t mask)
{
    for (size_t i = 0; i < dataset->key_count; i++)
        if (is_within(&dataset->keys[i], mask))
            return &dataset->keys[i];
    return NULL;
}

/* Counted in place: the count is no part of what is immutable. */
void dataset_ref(const struct dataset *dataset)
{
    ((struct dataset *)(uintptr_t)dataset)->references++;
}

void dataset_unref(const struct dataset *dataset)
{
    struct dataset *owned = (struct dataset *)(uintptr_t)dataset;
    if (owned == NULL || --owned->references != 0)
        return;
    arena_free(&owned->arena);
    free(owned);
}
