/* The datasets that a worker's callers use: described from the database's catalog when first asked for, looked at again
 * in the background as long as they are in use, forgotten when they are not. Nothing is kept for relations that nobody
 * asks for, so that ten thousand tenants cost what the ten active ones cost. One per worker, its thread only. */
#ifndef SLUICE_QUERY_DATASETS_H
#define SLUICE_QUERY_DATASETS_H

#include "drivers/postgres.h"
#include "drivers/postgres_session.h"
#include "query/dataset.h"

struct datasets_schema {
    const char *name;
    const char *scope; /* what a caller needs besides datasets:read; NULL: nothing */
};
struct datasets_override { /* of the configuration; NULL and -1: not told */
    const char *dataset;
    const char *time_column, *grain;
    int64_t expected_lag_s, expected_every_s;
    const char *const *key; /* NULL-terminated */
};
struct datasets_options {
    const struct datasets_schema *schemas; /* the first one's relations are named bare */
    size_t schema_count;
    const struct datasets_override *overrides;
    size_t override_count;
    size_t memory; /* bytes of descriptions, at most */
    /* A description older than this is looked at again before it is used; in use: in half of it, in the background.
     * Twice that when the database takes longer than so to answer: it is not asked by every request on top. */
    uint32_t check_ms;
    uint32_t forget_ms; /* not asked for this long: no longer looked at in the background */
};

/* Where relations stand, and who looks at them: a schema of the configuration, or one of a customer's own. */
struct datasets_place {
    struct text schema; /* as the database names it; no longer than 63 bytes, as are the others */
    struct text role;   /* whose privileges count; TEXT_NONE: the login's own */
    struct text prefix; /* stands before the names that callers use, and a dot; TEXT_NONE: they are bare */
    size_t index;       /* its place in lists, which are in ascending order */
};
/* A schema of the configuration; borrows from it. Its index is the schema's. */
struct datasets_place datasets_place_of(const struct datasets_options *options, size_t schema);
/* Prefixes that belong to customers' own things: no configured schema's relations are named so. */
bool datasets_is_reserved(struct text prefix);

struct datasets;
/* `pool`: the lane that asks the catalog; borrowed. */
struct datasets *datasets_create(struct loop *loop, struct postgres *pool, const struct datasets_options *options);
void datasets_destroy(struct datasets *datasets);

/* Splits a caller's name: the schema's index, and the relation in it. A bare name is of the first schema; "schema.name"
 * is so only if `schema` is configured (a relation of the first schema may hold a dot itself). SIZE_MAX: no such
 * schema. `visible` says which schemas this caller has the scope for: others are as if they were not configured. */
size_t datasets_split(const struct datasets_options *options, struct text name,
                      bool (*visible)(void *context, const struct datasets_schema *schema), void *context,
                      struct text *relation);

/* The other way round: a caller's name of a relation. */
void datasets_append_name(const struct datasets_options *options, const struct datasets_place *place,
                          struct text relation, struct buffer *out);

struct datasets_wait;
/* STATUS_OK with the dataset (borrowed for the call: dataset_ref keeps it), STATUS_NOT_FOUND (no such relation, or the
 * role may read nothing of it, or there is no such role: the same), STATUS_UNAVAILABLE, STATUS_BUSY, STATUS_TIMEOUT,
 * STATUS_FAILED. While the database is away a description may be served for up to stale_ms 60 s. */
typedef void (*datasets_answer)(void *context, enum status status, const struct dataset *dataset);
/* Answered within the call (returns NULL) when the description is fresh; otherwise later. Misses of one name share one
 * question. */
struct datasets_wait *datasets_get(struct datasets *datasets, const struct datasets_place *place, struct text relation,
                                   datasets_answer on_answer, void *context);
void datasets_cancel(struct datasets_wait *wait);
/* What a failed query found out: the description is wrong (a column or the relation is gone, a type changed). The next
 * datasets_get asks anew. */
void datasets_forget(struct datasets *datasets, const struct dataset *dataset);

/* One page of the list of datasets, in the order of the places and then by name: all that a list shows. `places`: those
 * that the caller may see, by ascending index. In a customer's, names that begin with '~' are left out. after_index and
 * after_relation: the last one seen; TEXT_NONE: from the start. */
struct datasets_listing { /* a row; the slices live during the callback */
    const struct datasets_place *place;
    struct text relation, description;
    enum dataset_kind kind;
    double row_estimate; /* -1: not known, or a view: its description tells */
};
const struct postgres_statement *datasets_list_statement(void);
#define DATASETS_LIST_PARAMETERS 5
/* Its parameters (in the arena): text[] of schema names in order, schema, relation, limit, text[] of roles. */
enum status datasets_list_parameters(const struct datasets_place *places, size_t count, size_t after_index,
                                     struct text after_relation, uint64_t limit, struct arena *arena,
                                     struct text values[DATASETS_LIST_PARAMETERS]) MUST_CHECK;
/* The same places. */
void datasets_list_read(const struct datasets_place *places, size_t count, const struct postgres_rows *rows, size_t row,
                        struct datasets_listing *listing);

/* The same description, waiting: for `sluice check` and for tests. *dataset is to be unref'd. */
enum status datasets_describe_now(struct postgres_session *session, const struct datasets_options *options,
                                  const struct datasets_place *place, struct text relation,
                                  const struct dataset **dataset, struct failure *failure) MUST_CHECK;
struct datasets_statistics {
    uint64_t hits, misses, checks, changes, evicted;
    size_t bytes, entries;
};
struct datasets_statistics datasets_statistics(const struct datasets *datasets);

#endif
