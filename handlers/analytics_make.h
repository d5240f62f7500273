/* Changes of a customer's analyses: each one transaction on a login of his own, on a thread. */
#ifndef SLUICE_HANDLERS_ANALYTICS_MAKE_H
#define SLUICE_HANDLERS_ANALYTICS_MAKE_H

#include "handlers/own_task.h"

enum make_kind { MAKE_PUT, MAKE_REFRESH, MAKE_DELETE };

struct make {
    struct own_task task; /* first */
    enum make_kind kind;
    struct text name;
    struct text sql, description; /* put: as the caller wrote it; refresh: as it is kept. NUL-terminated */
    bool as_table;
    struct sql_checked checked;
    struct rules_budget budget;
    uint64_t quota_bytes, quota_relations; /* of the tier; 0: none. The customer's own go first */
    bool created, unserved;
    struct text old; /* OID of what has the name; TEXT_NONE: nothing */
    char old_kind;   /* its relkind */
    uint64_t rows;
    char staging[40];
};
/* run() of the task. */
void analytics_make(struct own_task *task);

#endif
