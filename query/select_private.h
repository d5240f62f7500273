/* What the parts of select.c share: the statement under construction. Included by query/select*.c only. */
#ifndef SLUICE_QUERY_SELECT_PRIVATE_H
#define SLUICE_QUERY_SELECT_PRIVATE_H

#include "base/buffer.h"
#include "query/select.h"

/* SQL that stands for a field. */
struct select_expression {
    struct text sql;         /* in the arena; safe before any operator */
    const struct type *type; /* NULL: not known */
    int column;              /* index, -1: not a column as it is */
    bool nullable;
    bool is_tsvector;
};

struct select_output { /* a column that the caller sees */
    struct text key;   /* in the result */
    struct select_expression expression;
    const struct dialect_select *select; /* NULL: of a `*` */
    bool is_aggregate;
};

struct select_order { /* what rows are ordered by: the caller's, then the tie breakers */
    struct select_expression expression;
    bool descending, nulls_first;
};

struct select_builder {
    const struct select_request *request;
    const struct dataset *dataset;
    struct arena *arena;
    struct select_plan *plan;
    struct select_mistake *mistake;
    enum status status; /* of the first thing that went wrong; only true returns leave it OK */
    struct buffer sql;  /* scratch: each part is made at its end, copied out and dropped */
    struct text *parameters;
    size_t parameter_count, parameter_room;
    bool *equal; /* of each column: every row that passes has the one value that a top-level `eq` names */
    struct select_output *outputs;
    size_t output_count;
    size_t order_count;
    struct select_order orders[CURSOR_MAX_VALUES]; /* last: what is not used needs no clearing */
};

/* select.c */
/* False, so that `return select_fail(…)` works; the first mistake stays. */
bool select_fail(struct select_builder *builder, enum status status, struct dialect_place place, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
/* Takes what was appended behind `start` off the scratch. data == NULL, and a status: no memory. */
struct text select_take(struct select_builder *builder, size_t start);
/* "$3": the value becomes the next parameter. */
bool select_append_parameter(struct select_builder *builder, struct text value);
/* As much of a name or value as a message shows, cut between characters; for "%.*s". */
struct text select_shown(struct text text);

/* select_field.c */
bool select_field(struct select_builder *builder, const struct dialect_field *field,
                  struct select_expression *expression);
/* A column of the dataset by its index, which exists. */
bool select_column(struct select_builder *builder, size_t index, struct select_expression *expression);
bool select_is_json(const struct type *type);  /* json or jsonb, or a domain over one */
uint32_t select_base(const struct type *type); /* 0: not known */

/* select_output.c: what the caller sees. */
bool select_outputs(struct select_builder *builder);

/* select_condition.c: " where …", or nothing; marks builder->equal and what the plan says of the conditions. */
bool select_append_conditions(struct select_builder *builder);

/* select_operator.c: what is known here of types and their operators; the server has the last word. */
bool select_lacks_operator(const struct type *type, enum dialect_operator op);
const char *select_operator_sql(enum dialect_operator op);

/* select_check.c: NULL: may be a value of this type; else what it should be: "an integer". */
const char *select_check(const struct type *type, struct text value);

/* select_order.c: resolves the caller's order; where a cursor is wanted, makes it total. */
bool select_orders(struct select_builder *builder, bool total);
bool select_append_order(struct select_builder *builder);

/* select_keyset.c: the rows behind (with counts_ties: at or behind) the cursor, in parentheses. */
bool select_append_behind(struct select_builder *builder, const struct cursor *after);

#endif
