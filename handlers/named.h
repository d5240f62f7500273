/* A dataset by the name that the caller gave it. */
#ifndef SLUICE_HANDLERS_NAMED_H
#define SLUICE_HANDLERS_NAMED_H

#include "api/request.h"

struct named {
    struct text name;   /* decoded */
    enum status status; /* what a wait has brought */
};
/* For a handler's plan(): call again when the request was resumed. STAGE_NEXT: request->dataset is there. STAGE_DONE:
 * it was answered (404 for what is not there and for what this caller may not see alike, 406 for a wrong
 * Accept-Profile).
 */
enum stage_verdict named_find(struct request *request, struct named *named);
/* Whether this caller may see the schema. */
bool named_may_see(void *request, const struct datasets_schema *schema);
enum stage_verdict named_refuse(struct request *request);

#endif
