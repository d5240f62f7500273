/* What the files of the dialect's grammar share: where the parser stands, what it found wrong, and the words that more
 * than one parameter is made of. Included by query/dialect*.c only. */
#ifndef SLUICE_QUERY_DIALECT_PRIVATE_H
#define SLUICE_QUERY_DIALECT_PRIVATE_H

#include "query/dialect.h"

struct dialect_parser {
    struct arena *arena;
    struct dialect_mistake *mistake;
    enum status status;    /* why a function returned false */
    struct text parameter; /* decoded name */
    struct text input;     /* decoded value, or the name itself while it is read as a column; holds no NUL */
    bool in_name;          /* `input` is the name */
    bool in_tree;          /* a value ends at ',' or ')' */
    size_t at;             /* next byte of input */
    /* Column of byte `counted`. Columns are counted on from here, because counting each from the start would take
     * quadratic time. */
    size_t counted;
    unsigned column;
    size_t leaf_count;
    /* Finished conditions that have no parent yet: those of the top, behind them those of each open tree. Every one
     * holds a leaf of its own, so that there are never more of them than leaves. */
    size_t pending_count;
    const struct dialect_condition *pending[DIALECT_MAX_CONDITIONS]; /* last: what is not used needs no clearing */
};

void dialect_begin(struct dialect_parser *parser, struct arena *arena, struct dialect_mistake *mistake);

/* What of the caller's is shown in a message: cut to 40 bytes, without control characters. */
struct dialect_shown {
    char text[48];
};
struct dialect_shown dialect_show(struct text text);
/* The character at `at`, or "the end". */
struct dialect_shown dialect_show_at(const struct dialect_parser *parser, size_t at);

/* "WHAT at column N; REMEDY". All three return false, so that `return dialect_wrong(…);` works. */
bool dialect_wrong(struct dialect_parser *parser, size_t at, const char *remedy, const char *what, ...)
    PRINTF_LIKE(4, 5);
bool dialect_too_many(struct dialect_parser *parser, size_t at, const char *what, size_t bound);
bool dialect_no_memory(struct dialect_parser *parser);

/* Makes `input` what is read next. */
void dialect_start(struct dialect_parser *parser, struct text input, bool in_name);
struct dialect_place dialect_place_at(struct dialect_parser *parser, size_t at);
/* NUL at the end. */
char dialect_peek(const struct dialect_parser *parser, size_t at);
bool dialect_looking_at(const struct dialect_parser *parser, struct text text);
size_t dialect_past_space(const struct dialect_parser *parser, size_t at);
void dialect_skip_space(struct dialect_parser *parser);
/* The bytes from `start` to where the parser stands. */
struct text dialect_since(const struct dialect_parser *parser, size_t start);
/* Letters, digits, _ and $ from where the parser stands: operators, suffixes, aggregates. May be empty. */
struct text dialect_read_word(struct dialect_parser *parser);
/* A column's name or an alias; in quotes where it holds anything else than letters, digits, _, $, - and spaces. */
bool dialect_read_name(struct dialect_parser *parser, const char *what, struct text *name);
/* A name and its JSON path. */
bool dialect_read_field(struct dialect_parser *parser, struct dialect_field *field);
/* Behind the closing quote of what is quoted from `start` on; 0: there is none. */
size_t dialect_quoted_end(const struct dialect_parser *parser, size_t start, bool *escaped);
/* What stands between the quotes, with \x as x; a copy where there is any. */
bool dialect_unquote(struct dialect_parser *parser, size_t start, size_t end, bool escaped, struct text *text);
/* Bare type name behind "::". */
bool dialect_read_cast(struct dialect_parser *parser, struct text *cast);
/* What an operator compares with: the rest of a parameter; in trees up to ',' or ')', in quotes, or a {} list. */
bool dialect_read_value(struct dialect_parser *parser, struct text *value);
/* (a,"b,c",d) */
bool dialect_read_list(struct dialect_parser *parser, const struct text **values, size_t *count);
/* Room for one more item of `size` bytes behind `count` in `items`, which grows twofold; NULL: no memory. */
void *dialect_grow(struct dialect_parser *parser, void *items, size_t count, size_t size);

/* The parameters, each read to its end. A filter's operator and value are the input; `field` was its name. */
bool dialect_read_selects(struct dialect_parser *parser, struct dialect_query *query);
bool dialect_read_orders(struct dialect_parser *parser, struct dialect_query *query);
bool dialect_read_filter(struct dialect_parser *parser, const struct dialect_field *field);
bool dialect_read_tree(struct dialect_parser *parser, enum dialect_kind kind, bool negated);
/* Operator, quantifier or language, and value. */
bool dialect_read_operation(struct dialect_parser *parser, struct dialect_condition *condition);

/* One parameter of a query string, decoded. */
struct dialect_pair {
    struct text name, value; /* without '=': value.data == NULL */
};
/* Takes the next parameter that is not empty off *raw. False at the end (status OK), and for what cannot be decoded. */
bool dialect_next_pair(struct dialect_parser *parser, struct text *raw, struct dialect_pair *pair);

#endif
