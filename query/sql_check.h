/* A customer's SQL, checked before it goes anywhere (DESIGN, decision 6): parsed with PostgreSQL's own parser
 * (libpg_query), one SELECT, relations that the caller may name, functions and types of an allow-list; what runs is the
 * checked tree deparsed, never the text. The second wall, the database's own grants of the customer's login, stands
 * behind it. */
#ifndef SLUICE_QUERY_SQL_CHECK_H
#define SLUICE_QUERY_SQL_CHECK_H

#include "base/arena.h"
#include "base/buffer.h"

#define SQL_CHECK_TEXT_MAX 8192 /* bytes: nested SQL overflows libpg_query's stack long past this */
/* pg_get_viewdef writes more than its maker did. libpg_query's parser takes up to 700 bytes of stack for a nesting of
 * three characters ('a[' … ']'). */
#define SQL_CHECK_VIEW_MAX (3 * SQL_CHECK_TEXT_MAX)
#define SQL_CHECK_RELATIONS 64
#define SQL_CHECK_PARAMETERS 100

/* How a name in the SQL becomes a relation of the database. `schema` TEXT_NONE: the name stands bare. False: no such
 * relation for this caller. *real_schema and *real_name live as long as the check. Not asked of CTEs' names. */
typedef bool (*sql_check_resolve)(void *context, struct text schema, struct text name, struct text *real_schema,
                                  struct text *real_name);

struct sql_check_relation {
    struct text schema, name;           /* as the caller wrote them; schema TEXT_NONE: bare */
    struct text real_schema, real_name; /* as they are */
};
struct sql_checked {
    struct text sql; /* the tree deparsed, relations by their real names, parameters as $1 …; NUL-terminated */
    const struct sql_check_relation *relations; /* each once */
    size_t relation_count;
    /* Named parameters (:name in the text) in the order of their numbers; of positional ones ($1 …) TEXT_NONE each.
     * Both in one text are refused. */
    const struct text *parameters;
    size_t parameter_count;
    bool has_order, has_limit; /* of the outermost SELECT */
};
struct sql_check_mistake {
    unsigned position; /* character in the caller's text, from 1; 0: none */
    char message[384]; /* names only what the caller wrote */
};
/* Everything in `arena`. STATUS_INVALID with *mistake: too long, no SQL, two statements, not a SELECT (data-modifying
 * CTEs, SELECT INTO, FOR UPDATE/SHARE, VALUES alone is a SELECT), a relation that is not the caller's (the same words
 * whether it exists or not), a function, operator (qualified with another schema than pg_catalog) or type that is not
 * on the list, a parameter number past SQL_CHECK_PARAMETERS, TABLESAMPLE, XMLTABLE and xml functions, names of pg_temp,
 * system columns other than none (ctid, xmin, tableoid tell of physical things: refused), casts to reg* types, a table
 * function that is not listed (generate_series and unnest are; generate_series's size is the budget's business),
 * current_user and its like (SQLValueFunction: dates and times only), a number of a parameter left out; value.name
 * where it may be a call of a function, (x).pg_sleep: relation.column is what callers write. A colon in [ ] straight
 * behind a value is a slice's, else `:name` is a parameter. STATUS_TOO_LARGE: the arena (1 MB is enough for common SQL,
 * 16 MB for any). Thread-safe; 8 MB of stack are enough for any text that passes the size. The server must parse with
 * standard_conforming_strings on, and with a search_path of pg_catalog alone: functions and operators stay bare. */
enum status sql_check(struct text sql, sql_check_resolve resolve, void *context, struct arena *arena,
                      struct sql_checked *checked, struct sql_check_mistake *mistake) MUST_CHECK;

/* A copy that needs nothing but `arena`. STATUS_TOO_LARGE: it is full. */
enum status sql_checked_copy(const struct sql_checked *from, struct arena *arena, struct sql_checked *to) MUST_CHECK;

/* The same of what a view holds that a customer made on his own login (pg_get_viewdef): names in it are real ones;
 * `resolve` is asked with them. No parameters; at most SQL_CHECK_VIEW_MAX. */
enum status sql_check_view(struct text definition, sql_check_resolve resolve, void *context, struct arena *arena,
                           struct sql_checked *checked, struct sql_check_mistake *mistake) MUST_CHECK;

#endif
