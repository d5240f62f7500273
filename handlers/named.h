/* A dataset by the name that the caller gave it. */
#ifndef SLUICE_HANDLERS_NAMED_H
#define SLUICE_HANDLERS_NAMED_H

#include "api/request.h"
#include "query/datasets.h"

struct named {
    struct text name;   /* decoded */
    struct text job;    /* an id: the rows are those of its result, and `name` is not looked at; TEXT_NONE: no job's */
    bool of_audit;      /* the rows are the caller's records of the audit log, and `name` is not looked at */
    enum status status; /* what a wait has brought */
    /* Another customer's thing: whether it is shared is asked at each request. */
    enum named_share { NAMED_OWN, NAMED_ASKED_SHARE, NAMED_ASKED_JOB, NAMED_ASKED_READER, NAMED_SHARED } share;
    bool found;               /* what was asked */
    struct text state, error; /* of the job */
};
/* For a handler's plan(): call again when the request was resumed. STAGE_NEXT: request->dataset is there. STAGE_DONE:
 * it was answered (404 for what is not there and for what this caller may not see alike, 406 for a wrong
 * Accept-Profile).
 */
enum stage_verdict named_find(struct request *request, struct named *named);
/* Whether this caller may see the schema. */
bool named_may_see(void *request, const struct datasets_schema *schema);
#define NAMED_OWN_PLACES 2 /* a customer's: uploads, analyses */
/* All places whose relations this caller may see, in the order of lists: schemas of the warehouse, then his own uploads
 * and analyses. In the request's arena; NULL: it is full. */
const struct datasets_place *named_places(struct request *request, size_t *count);
/* Where another customer's analyses are, for those that he shares: "shared.OWNER". Its names in the request's arena.
 * False: nobody's. */
bool named_shared_place(struct request *request, struct text owner, struct datasets_place *place);
/* Whether a relation of the caller's own place may be served to him: what he made on his own login passes no check on
 * its way in. The warehouse's may always. */
bool named_may_serve(const struct dataset *dataset);
enum stage_verdict named_refuse(struct request *request);
/* What the database is told of the caller, for one statement: sluice.customer, .subject, .tier and .scopes. Values in
 * the request's arena; false: it is full. */
#define NAMED_SETTINGS 4
bool named_settings(struct request *request, struct postgres_setting settings[NAMED_SETTINGS]) MUST_CHECK;

#endif
