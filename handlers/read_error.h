/* What a failed read tells its caller: where the mistake stands if it is his, and nothing of the database's own words,
 * which may name what he may not see. */
#ifndef SLUICE_HANDLERS_READ_ERROR_H
#define SLUICE_HANDLERS_READ_ERROR_H

#include "api/request.h"
#include "query/select.h"

/* The name of a parameter as a problem tells it: cut where it is longer than any column's; "query" for none. */
const char *read_error_field(struct request *request, struct text parameter);
/* A mistake found while the SQL was made. */
enum stage_verdict read_error_mistake(struct request *request, enum status status,
                                      const struct select_mistake *mistake);
/* Whether the error says that the relation is no longer what its description told. */
bool read_error_is_outdated(const struct postgres_error *error);
/* Whether it passes by itself: a deadlock, or a relation that was dropped while the query waited for its lock, in spite
 * of all repeats. SQLSTATE and the server's message. */
bool read_error_passes(const char *sqlstate, const char *message);
/* A question to the catalog failed. True: ask once more, because what it asks about changed meanwhile; `asked` counts
 * how often. False: the status to answer is in *status, and what nobody else would tell is in the log. */
bool read_error_asks_again(const struct request *request, const struct postgres_error *error, unsigned *asked,
                           enum status *status);
/* Answers, or makes the stream that has begun fail. */
void read_error_send(struct request *request, const struct select_plan *select, const struct postgres_error *error);

#endif
