/* Whose upload a path names. */
#ifndef SLUICE_HANDLERS_UPLOAD_NAME_H
#define SLUICE_HANDLERS_UPLOAD_NAME_H

#include "api/customer_names.h"
#include "api/request.h"

struct upload_name {
    struct customer_names names;
    struct text relation; /* in names.uploads; the path's */
    struct text dataset;  /* "uploads.sales"; in the request's arena */
};
/* STAGE_NEXT, or it was answered: 403 for who can have nothing of his own here, 400 for names that no upload has. */
enum stage_verdict upload_name_find(struct request *request, struct text relation, struct upload_name *name);

#endif
