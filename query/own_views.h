/* What a customer made on his own login passes no check on its way in. It is checked where it is about to be read: his
 * views by the rules of his SQL, so that none over the server's catalogs or over another's things is. Those that are
 * refused are to be answered as what is not there. */
#ifndef SLUICE_QUERY_OWN_VIEWS_H
#define SLUICE_QUERY_OWN_VIEWS_H

#include <jansson.h>

#include "query/datasets.h"
#include "query/sql_check.h"

#define OWN_VIEWS_MAX 64          /* views of his own under what is read */
#define OWN_VIEWS_TEXT_MAX 98304u /* bytes of their definitions: the check holds up a worker */

/* About the relations that SQL reads. $1: the customer's role, which must be one that can log in; $2, $3: schemas and
 * names, text[]. One row with a document for own_views_read; no row: there is no such role. */
#define OWN_VIEWS_PARAMETERS 3
extern const char own_views_sql[];
/* In the arena. STATUS_TOO_LARGE: it is full. */
enum status own_views_parameters(struct text role, const struct sql_checked *checked, struct arena *arena,
                                 struct text values[OWN_VIEWS_PARAMETERS]) MUST_CHECK;
/* The number, from 1, of the first relation that may not be read; 0: all may. */
size_t own_views_read(struct text document, const struct datasets_options *options);

/* The same of a parsed document: "own_schemas", the names of his schemas, and "own", of each view of his, and of what
 * else may be none of the served, [relkind, whether policies are on, definition or null, number]. */
size_t own_views_judge(const json_t *document, const struct datasets_options *options);

#endif
