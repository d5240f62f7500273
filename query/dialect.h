/* The row dialect: PostgREST's documented reads (reference/dialect.md) as a tree. Knows no table: names are what the
 * caller wrote, decoded; whether they exist is judged where the SQL is made (query/select.h). */
#ifndef SLUICE_QUERY_DIALECT_H
#define SLUICE_QUERY_DIALECT_H

#include "base/arena.h"
#include "base/status.h"

#define DIALECT_MAX_CONDITIONS 200 /* filters, in trees too */
#define DIALECT_MAX_DEPTH 32       /* of and/or trees */
#define DIALECT_MAX_SELECTS 500
#define DIALECT_MAX_ORDERS 32
#define DIALECT_MAX_STEPS 32 /* of one JSON path */

/* Where something stands: the parameter's decoded name and the column in its decoded value, from 1, in characters. */
struct dialect_place {
    struct text parameter;
    unsigned column; /* 0: in the parameter's name */
};

struct dialect_step { /* -> or ->> */
    struct text key;  /* decoded; of an index its digits, with '-' */
    bool is_index, as_text;
};
struct dialect_field {
    struct text column;
    const struct dialect_step *steps;
    size_t step_count;
    struct dialect_place place;
};

enum dialect_aggregate {
    DIALECT_PLAIN,
    DIALECT_COUNT, /* count(), or a bare `count`: field.column.data == NULL then; col.count() counts non-nulls */
    DIALECT_SUM,
    DIALECT_AVG,
    DIALECT_MIN,
    DIALECT_MAX
};
struct dialect_select {
    bool is_all;       /* * */
    bool bare_count;   /* `count` without parentheses: a column of that name where the dataset has one. Its cast, either
                        * way, is aggregate_cast */
    struct text alias; /* TEXT_NONE: none */
    struct dialect_field field;
    struct text cast; /* of the field; TEXT_NONE: none */
    enum dialect_aggregate aggregate;
    struct text aggregate_cast; /* of the aggregate's result */
};

enum dialect_operator {
    DIALECT_EQ,
    DIALECT_NEQ,
    DIALECT_GT,
    DIALECT_GTE,
    DIALECT_LT,
    DIALECT_LTE,
    DIALECT_LIKE,
    DIALECT_ILIKE,
    DIALECT_MATCH,
    DIALECT_IMATCH,
    DIALECT_IN,
    DIALECT_IS,
    DIALECT_ISDISTINCT,
    DIALECT_CS,
    DIALECT_CD,
    DIALECT_OV,
    DIALECT_SL,
    DIALECT_SR,
    DIALECT_NXR,
    DIALECT_NXL,
    DIALECT_ADJ,
    DIALECT_FTS,
    DIALECT_PLFTS,
    DIALECT_PHFTS,
    DIALECT_WFTS
};
const char *dialect_operator_name(enum dialect_operator op); /* "eq" */
enum dialect_quantifier { DIALECT_ONE, DIALECT_ANY, DIALECT_ALL };
enum dialect_is { DIALECT_IS_NULL, DIALECT_IS_NOT_NULL, DIALECT_IS_TRUE, DIALECT_IS_FALSE, DIALECT_IS_UNKNOWN };

enum dialect_kind { DIALECT_LEAF, DIALECT_AND, DIALECT_OR };
struct dialect_condition {
    enum dialect_kind kind;
    bool negated;
    const struct dialect_condition *const *children; /* AND, OR: at least one */
    size_t child_count;
    /* LEAF */
    struct dialect_field field;
    enum dialect_operator op;
    enum dialect_quantifier quantifier; /* value is then a {} list as PostgreSQL reads it */
    enum dialect_is is;                 /* IS */
    struct text language;               /* FTS and kin; TEXT_NONE: none */
    struct text value;                  /* all but IN and IS; in LIKE and ILIKE * is % already */
    const struct text *values;          /* IN */
    size_t value_count;
    struct dialect_place place; /* of the operator; of the value: value_column */
    unsigned value_column;
};

enum dialect_nulls { DIALECT_NULLS_DEFAULT, DIALECT_NULLS_FIRST, DIALECT_NULLS_LAST };
struct dialect_order {
    struct dialect_field field;
    bool descending;
    enum dialect_nulls nulls;
};

struct dialect_query {
    const struct dialect_select *selects; /* count 0: all columns */
    size_t select_count;
    const struct dialect_condition *const *conditions; /* all must hold */
    size_t condition_count;
    const struct dialect_order *orders;
    size_t order_count;
    bool has_limit; /* what is not a number is as if it had not been given; negative: negative_limit */
    bool negative_limit;
    uint64_t limit, offset;
    struct text cursor; /* TEXT_NONE: none */
    struct text format; /* ?format=json|csv|ndjson; TEXT_NONE: none */
};

struct dialect_mistake {
    struct text parameter; /* the decoded name of the query parameter */
    unsigned column;       /* from 1, in its decoded value; 0: the whole of it */
    char message[384];     /* "unknown suffix `.descc` at column 12; try .asc, .desc, .nullsfirst, .nullslast" */
    bool too_many;         /* a bound of ours, not the grammar's */
};
/* `raw` is the query string without '?' (TEXT_NONE: none): '+' is a space, names and values are percent-decoded;
 * split at & before. Names that are not select, order, limit, offset, cursor, format, and, or, not.and, not.or (also
 * `columns` and `on_conflict`, which are ignored on reads) are columns. STATUS_INVALID with *mistake; STATUS_TOO_LARGE:
 * the arena is full. The tree lives in `arena`. */
enum status dialect_parse(struct text raw, struct arena *arena, const struct dialect_query **query,
                          struct dialect_mistake *mistake) MUST_CHECK;
/* Content-Location's form: the same parameters, sorted by name (stable), percent-encoded the same way for the same
 * query; empty for none. Without `cursor`. Also what identifies an answer in caches. */
enum status dialect_canonical(struct text raw, struct arena *arena, struct text *canonical) MUST_CHECK;

#endif
