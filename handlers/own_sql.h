/* A caller's own SQL on its way from a body to the plan: checked, then priced in his own lane. What POST /v1/query and
 * POST /v1/query/plan share; and the step before it, whether the caller is a registered customer at all. */
#ifndef SLUICE_HANDLERS_OWN_SQL_H
#define SLUICE_HANDLERS_OWN_SQL_H

#include <jansson.h>

#include "handlers/relations.h"

enum own_step { OWN_ROLE, OWN_ESTIMATE, OWN_PLANNED };

struct own_sql { /* request->handler_state, first member of it; in the request's arena */
    /* Asked. */
    bool bare; /* no SQL: only whether the caller is registered */
    bool dry;  /* the plan is shown, not carried out: a budget does not refuse it */
    bool kept; /* `sql` and `given` are wanted */
    /* When it is answered. One over the budget of its tier becomes a job, where it may: `later` says so once it is
     * planned. A job's rows are not capped by the tier's page. */
    enum own_when { OWN_NOW, OWN_NOW_OR_LATER, OWN_LATER } when;
    bool later;
    struct relations relations;
    struct sql_checked checked;
    struct text *values;    /* of the parameters, in the order of their numbers */
    struct text sql, given; /* as they came: the SQL, and the parameters as JSON */
    uint64_t limit, offset; /* of rows; UINT64_MAX: all */
    uint64_t wanted;        /* the limit that the caller told; UINT64_MAX: none */
    bool capped;            /* the tier's page, not the caller, set the limit */
    struct rules_budget budget, job_budget;
    enum rules_excess excess, job_excess; /* job_excess: of the same estimate, which knows of the tier's page */
    /* Under way. */
    enum own_step step;
    bool registered;
    size_t refused;     /* the number of a relation of the SQL that is not to be read; 0: none */
    enum status status; /* what a wait has brought */
    struct postgres_error error;
};

/* For a handler's plan(), first call: reads {sql, parameters, limit, offset} from the body. */
enum stage_verdict own_sql_begin(struct request *request, struct own_sql *own);
/* The same without a body: STAGE_NEXT for a registered customer. */
enum stage_verdict own_begin(struct request *request, struct own_sql *own);
/* For plan(), later calls. STAGE_NEXT: request->plan stands. */
enum stage_verdict own_sql_resume(struct request *request);
/* An error of the plan's query: answers, or makes the stream that has begun fail. */
void own_sql_refuse(struct request *request, const struct postgres_error *error);
/* What `sql` is, without parameters, checked for this caller: for bodies that keep SQL. STAGE_NEXT: *checked. */
enum stage_verdict own_sql_check(struct request *request, struct relations *relations, struct text sql,
                                 struct arena *arena, struct sql_checked *checked);
/* The body, which the contract has checked; to be json_decref'd. NULL: it was answered. */
json_t *own_sql_body(struct request *request);
/* A copy in the arena of a member that is a text; TEXT_NONE: it is not there, or the arena is full. */
struct text own_sql_member(struct arena *arena, const json_t *body, const char *name);

#endif
