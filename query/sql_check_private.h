/* Between the files of the SQL checker. */
#ifndef SLUICE_QUERY_SQL_CHECK_PRIVATE_H
#define SLUICE_QUERY_SQL_CHECK_PRIVATE_H

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "query/sql_check.h"

/* Messages inside messages: an expression takes two a level. protobuf-c takes 1 KB of stack for each. */
#define SQL_CHECK_DEPTH 1000

/* A `:name` of the caller's text and the `$n` that took its place. Offsets in bytes. */
struct sql_check_swap {
    size_t old_start, old_size;
    size_t new_start, new_size;
};
struct sql_check_cte {
    const char *name;
    const struct sql_check_cte *up; /* NULL: the outermost */
};
struct sql_check_function_alias {
    const char *name;
    const PgQuery__RangeFunction *function;
    const struct sql_check_function_alias *next;
};

struct sql_check {
    struct arena *arena;
    sql_check_resolve resolve;
    void *context;
    struct sql_check_mistake *mistake;
    enum status status; /* of the first failure */
    bool is_view;

    struct text text; /* the caller's */
    const char *sql;  /* what is parsed: parameters numbered; NUL-terminated */
    const struct sql_check_swap *swaps;
    size_t swap_count;

    struct text parameters[SQL_CHECK_PARAMETERS];
    size_t parameter_count;
    bool named;
    bool numbers[SQL_CHECK_PARAMETERS]; /* seen: [0] is $1 */

    struct sql_check_relation relations[SQL_CHECK_RELATIONS];
    size_t relation_count;

    const struct sql_check_cte *ctes; /* in scope */
    const struct sql_check_function_alias *functions;
    char wrapper[24]; /* the name of a function that stands nowhere in the query */
    int32_t location; /* byte in `sql` of the node being looked at; -1: unknown */
};

/* All of these return false after a failure, with check->status and the mistake set. */

/* Sets status and mistake; the position is that of check->location. Always false. */
bool sql_check_fail(struct sql_check *check, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same for a mistake of libpg_query, whose positions are in characters. */
bool sql_check_fail_parse(struct sql_check *check, const PgQueryError *error);
bool sql_check_no_memory(struct sql_check *check);

/* Unpacked messages live in the arena: nothing of them is freed by itself. */
ProtobufCAllocator sql_check_allocator(struct arena *arena);

/* :name → $n: from check->text to check->sql. */
bool sql_check_number_parameters(struct sql_check *check);
bool sql_check_parameter(struct sql_check *check, const PgQuery__ParamRef *parameter);

/* The tree of `sql`, in the arena, not deeper than SQL_CHECK_DEPTH. */
bool sql_check_parse(struct sql_check *check, const char *sql, PgQuery__ParseResult **tree);
/* But for where things stand in the text. */
bool sql_check_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);
/* The tree's text, in the arena; it has been parsed again and gave the same tree. */
bool sql_check_write(struct sql_check *check, const PgQuery__ParseResult *tree, struct text *sql);

/* Calls `visit` for each message inside `message` (no deeper), until it returns false. */
bool sql_check_children(struct sql_check *check, const ProtobufCMessage *message,
                        bool (*visit)(struct sql_check *check, ProtobufCMessage *message));
/* Looks at everything in the tree, and writes the relations' real names into it. */
bool sql_check_walk(struct sql_check *check, PgQuery__ParseResult *tree);

bool sql_check_relation(struct sql_check *check, PgQuery__RangeVar *relation);
bool sql_check_column(struct sql_check *check, PgQuery__ColumnRef *column);
bool sql_check_field(struct sql_check *check, const PgQuery__AIndirection *field);
/* Remembers functions in FROM by their names, for sql_check_column. For every message, before the walk. */
bool sql_check_collect(struct sql_check *check, ProtobufCMessage *message);
bool sql_check_cte_name(struct sql_check *check, const char *name);

/* NULL: the node is not a string. */
const char *sql_check_string(const PgQuery__Node *node);

/* Names in pg_catalog. */
bool sql_check_function_allowed(const char *name);
bool sql_check_type_allowed(const char *name);

#endif
