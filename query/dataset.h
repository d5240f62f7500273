/* What is known of one relation, as one role may read it: read from the database's catalog, immutable, counted within a
 * worker (its thread only). */
#ifndef SLUICE_QUERY_DATASET_H
#define SLUICE_QUERY_DATASET_H

#include "base/arena.h"
#include "query/catalog.h"
#include "query/type.h"

struct dataset_column {
    struct text name;
    const struct type *type;
    bool nullable;
    bool computed;            /* a function of the row: not in `*` */
    struct text function;     /* computed: its quoted name, "schema"."function" */
    bool is_tsvector;         /* or a domain over it */
    struct text description;  /* its comment's words; TEXT_NONE: none */
    struct text unit;         /* from the comment; TEXT_NONE: none */
    enum aggregate aggregate; /* from the comment: what a coarser grain takes; mean unless told */
    struct text default_sql;  /* for documents; TEXT_NONE: none */
};

/* A set of columns that no two rows share: a primary key, or a unique index over columns that are never null (of a
 * table, or of the one table under a simple view), or as configured. */
struct dataset_key {
    const unsigned short *columns; /* indexes into dataset.columns */
    size_t count;
    bool primary;
};

enum dataset_kind { DATASET_TABLE, DATASET_VIEW, DATASET_MATERIALIZED, DATASET_FOREIGN, DATASET_PARTITIONED };
enum dataset_kind dataset_kind_of(char relkind);       /* pg_class.relkind; a table for what is not known */
const char *dataset_kind_name(enum dataset_kind kind); /* "table", "view", "materialized view" … */

/* A row of the catalog that the description was made of; what kinds there are says query/describe_sql.c. */
struct dataset_thing {
    char kind;
    uint32_t oid;
};

struct dataset {
    struct arena arena;
    unsigned references;
    struct text name;             /* as callers write it: bare in the first schema, else "schema.name" */
    struct text schema, relation; /* as the database names them */
    struct text role;             /* whose it is read as: a customer's; TEXT_NONE: the reader's */
    struct text prefix;           /* what stands before the name; TEXT_NONE: it is bare */
    struct text sql_name;         /* quoted */
    uint32_t oid;
    enum dataset_kind kind;
    struct text description;
    const struct dataset_column *columns; /* in the relation's order, computed ones last; only what the role may read */
    size_t column_count;
    const struct dataset_key *keys; /* the primary one first */
    size_t key_count;
    bool has_ctid;   /* rows of a heap: ctid (with tableoid when partitioned) tells them apart */
    int time_column; /* index, -1: none: configured, the comment's, else the key's date or timestamp column */
    const char *
        grain; /* "day", "hour" …: configured or the comment's; "day" when the time column is a date; NULL: not known */
    bool time_is_indexed;     /* the time column begins an index, or stands in the key */
    int64_t expected_lag_s;   /* -1: none told. From the configuration or the comment: "Expected lag: 3 days" */
    int64_t expected_every_s; /* -1: none told. "every 14 days" in the configuration or the comment: "Expected every: 14
                                 days" */
    double row_estimate;      /* reltuples of the tables under it; -1: not known */
    bool asks_caller;         /* its definition, a policy or a function under it asks for a sluice.* setting */
    /* A customer's own: what he made with SQL on his own login, here and under it, passes the check of his SQL. The
     * warehouse's is always. */
    bool served;
    bool moves; /* its definition reads a clock or is volatile: the same version may answer otherwise a moment later */
    const struct text *bases; /* "schema.table": the tables under it */
    size_t base_count;
    const struct dataset_thing *things; /* what `signature` is made of */
    size_t thing_count;
    uint64_t signature; /* of its definition: another one after any change of it */
    /* Moves on while the rest stays: written by datasets.c between two uses. */
    uint64_t version; /* the sum of its bases' counters, read at checked_ms; 0: one is not tracked, or not known */
    uint64_t version_seen_ms; /* monotonic clock: it was that of the primary by then */
    int64_t changed_at;       /* latest change, microseconds since the epoch; 0: not known */
    uint64_t checked_ms;      /* loop's clock: all of this was true then; 0: it is known to be true no more */
};
const struct dataset_column *dataset_column(const struct dataset *dataset, struct text name); /* NULL: none */
/* The key whose columns are all in the set, as a bit mask of column indexes below 64; NULL: none. */
const struct dataset_key *dataset_key_within(const struct dataset *dataset, uint64_t mask);
void dataset_ref(const struct dataset *dataset);
void dataset_unref(const struct dataset *dataset);

#endif
