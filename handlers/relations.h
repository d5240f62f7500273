/* What a caller may name in SQL of his own, and what of the database it is. Made from a request and independent of it
 * afterwards, for tasks outlive requests. */
#ifndef SLUICE_HANDLERS_RELATIONS_H
#define SLUICE_HANDLERS_RELATIONS_H

#include "api/customer_names.h"
#include "api/request.h"
#include "query/rules.h"
#include "query/sql_check.h"

struct relations {
    struct customer_names names;
    struct text customer;
    const struct text *schemas; /* of the warehouse, those that he has the scope for */
    size_t schema_count;
    struct text bare; /* where bare names stand; TEXT_NONE: he has no scope for it */
    /* The last name that was refused, as it was written. TEXT_NONE: none was. */
    struct text refused_schema, refused_name;
};
/* Everything in `arena`. STATUS_DENIED: the caller can have nothing of his own here. STATUS_TOO_LARGE: the arena. */
enum status relations_of(const struct request *request, struct arena *arena, struct relations *relations) MUST_CHECK;
/* A sql_check_resolve, with a struct relations: whether there is such a relation is the database's to say. */
bool relations_resolve(void *context, struct text schema, struct text name, struct text *real_schema,
                       struct text *real_name);

/* What SQL came to: the caller's mistake, or a failure of ours. */
struct relations_mistake {
    enum status status;   /* STATUS_INVALID: `words` are for the caller; else as problem_send_status */
    unsigned position;    /* in his SQL, from 1; 0: not told */
    const char *sqlstate; /* static, or of the error given; NULL: none is told */
    char words[512];
};
/* sql_check's refusal, or an error of the database (its `sqlstate`, "" for none, and its `message`). What is not there
 * and what he may not read get the same words. */
void relations_refused(const struct relations *relations, enum status status, const struct sql_check_mistake *mistake,
                       struct relations_mistake *told);
void relations_failed(const struct sql_checked *checked, enum status status, const char *sqlstate, const char *message,
                      struct relations_mistake *told);
/* Answers with it; `field`: where the SQL stands in the body, "/sql". */
enum stage_verdict relations_refuse(struct request *request, const struct relations_mistake *told, const char *field);
/* 403: who is not registered has no SQL and nothing of his own. */
enum stage_verdict relations_refuse_stranger(struct request *request);
/* What the plan costs against the budget, in words; false: it is within. */
bool relations_over_budget(const struct plan_estimate *estimate, const struct rules_budget *budget, char *words,
                           size_t size);
/* The budget of the request's tier: of what is answered at once, or of jobs. */
struct rules_budget relations_budget(const struct request *request, bool of_jobs);

#endif
