/* A read of a dataset as SQL: the tree of the dialect over a dataset's columns becomes one statement with bound values,
 * its count, and what is needed to go on after its last row. */
#ifndef SLUICE_QUERY_SELECT_H
#define SLUICE_QUERY_SELECT_H

#include "query/cursor.h"
#include "query/dataset.h"
#include "query/dialect.h"
#include "query/plan.h"

struct select_request {
    const struct dataset *dataset;
    const struct dialect_query *query;
    uint64_t
        limit; /* rows of the page; UINT64_MAX: all. The SQL asks for one more, which tells whether there is more */
    uint64_t offset;            /* ignored with `after` */
    const struct cursor *after; /* NULL: the first page */
    bool wants_cursor;          /* the order is made total; those of its columns that the caller does not see are
                                   selected behind the others */
};

struct select_plan {
    struct postgres_statement statement;
    const struct text *parameters;
    size_t visible;     /* columns that the caller sees; behind them those that only a cursor needs */
    size_t order_count; /* values that a cursor is made of; 0: none can be made */
    uint16_t
        order_at[CURSOR_MAX_VALUES]; /* the columns of the result that hold them, among the visible ones or behind */
    const struct type *const *types; /* of each visible column; NULL where it must be told by the wire's OID */
    /* The count of everything that the filters let through; its parameters are the first count_parameter_count. */
    struct postgres_statement count_statement; /* sql NULL: none */
    size_t filter_parameter_count;
    struct text filtered_sql; /* "from … where …" (grouped: as a subselect): for count up to a threshold */
    bool by_key;              /* equality on a whole key: at most one row, found through its index */
    bool caller_values;       /* the caller gave values, casts or patterns: errors of class 22 may be his */
    bool aggregated;
    bool time_filtered; /* a condition on the time column that all rows must meet */
    /* Rows that are the same in all the cursor's columns are told apart by counting them; the cursor's last value is
     * then the number of such rows that were sent. */
    bool counts_ties;
    uint64_t ties; /* counts_ties: rows at the place of `after` that were sent with the pages before; as many that are
                      there still are passed over */
};

struct select_mistake {
    enum status status; /* INVALID: 400; NOT_FOUND: an operator that the type lacks (404) */
    struct dialect_place place;
    char message[384]; /* without the parameter's name; names only this dataset's columns */
};
/* STATUS_INVALID or STATUS_NOT_FOUND with *mistake; STATUS_TOO_LARGE: the arena is full. `after` of another order or
 * with a wrong number of values is STATUS_INVALID. Values of the common types (whole numbers, numeric, float, boolean,
 * uuid, date) are checked here, so that the mistake names the place; all others are the server's to judge. */
enum status select_plan(const struct select_request *request, struct arena *arena, struct select_plan *plan,
                        struct select_mistake *mistake) MUST_CHECK;
/* Row `row` is where `cursor` says: with counts_ties one more of the same. */
bool select_is_at(const struct select_plan *plan, const struct postgres_rows *rows, size_t row,
                  const struct cursor *cursor);
/* The cursor behind row `row`: copies of the order's values. `ties`: how many rows in this page (and, from `after`, the
 * pages before) up to and with this row have the same ones; used where plan->counts_ties. */
enum status select_cursor(const struct select_plan *plan, const struct postgres_rows *rows, size_t row, uint64_t ties,
                          struct arena *arena, struct cursor *cursor) MUST_CHECK;

#endif
