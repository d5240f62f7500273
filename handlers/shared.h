/* What other customers share with the caller, for lists: asked on his own login, which sees the shares that are for him
 * and no others. */
#ifndef SLUICE_HANDLERS_SHARED_H
#define SLUICE_HANDLERS_SHARED_H

#include "api/request.h"
#include "query/datasets.h"

/* Of places in lists: behind everything of the caller's own. */
size_t shared_index(const struct request *request);

struct shared { /* in the request's arena; request->executor meanwhile */
    /* Asked. */
    uint64_t limit;
    struct text after; /* "OWNER.NAME", the last one seen; TEXT_NONE: from the start */
    /* Each one, in order; its place and slices live during the callback. `owner`: who shares it. */
    void (*on_share)(struct request *request, const struct datasets_listing *listing, struct text owner);
    /* Under way. */
    enum shared_step { SHARED_ROLE, SHARED_LIST } step;
    bool registered;
    enum status status;
};
/* STAGE_WAIT: call shared_resume when the request is resumed. STAGE_NEXT: this caller can have none. STAGE_DONE: it was
 * answered. */
enum stage_verdict shared_begin(struct request *request, struct shared *shared);
/* STAGE_NEXT: all were told. */
enum stage_verdict shared_resume(struct request *request);

#endif
