/* Asking the database's catalog about relations, and reading its answers. */
#ifndef SLUICE_QUERY_DESCRIBE_H
#define SLUICE_QUERY_DESCRIBE_H

#include "query/datasets.h"

/* $1: schema, $2: relation, none above 63 bytes; $3: whose privileges count, null: the login's. One row with one
 * document, or none: there is no such relation or role, or the role may read nothing of it. */
const struct postgres_statement *describe_statement(void);
/* Whether descriptions are still true; see query/describe_sql.c. */
const struct postgres_statement *describe_check_statement(void);
const struct postgres_statement *describe_list_statement(void);

/* A signature as a statement says it. */
uint64_t describe_signature(struct text sum);
/* The first statement's document as a dataset, with one reference. STATUS_FAILED: it is not of the form that it must
 * have; STATUS_TOO_LARGE: memory. */
enum status describe_read(struct text document, const struct datasets_options *options,
                          const struct datasets_place *place, struct text relation, struct dataset **dataset,
                          struct failure *failure) MUST_CHECK;

#endif
