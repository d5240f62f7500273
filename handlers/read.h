/* A read of a dataset on its way from the URL to the plan: what GET /v1/datasets/{dataset} and POST /v1/query/plan
 * share. */
#ifndef SLUICE_HANDLERS_READ_H
#define SLUICE_HANDLERS_READ_H

#include "api/accept.h"
#include "api/prefer.h"
#include "api/request.h"
#include "handlers/named.h"
#include "query/rules.h"
#include "query/select.h"

enum read_step { READ_DATASET, READ_ESTIMATE, READ_PLANNED };

struct count;

struct read { /* request->handler_state, in its arena */
    /* Asked. */
    struct named named;
    struct text query; /* raw, without '?'; TEXT_NONE: none */
    struct accept_rows form;
    struct prefer prefer;
    bool dry; /* the plan is shown, not carried out: a budget does not refuse it */
    /* A kept answer to this very question may end it before it is planned; true: it did. NULL: none is kept. */
    bool (*answered)(struct request *request);
    /* Found. */
    const struct dialect_query *tree;
    struct select_plan select;
    struct text canonical; /* the query's parameters, sorted */
    struct text purpose;   /* see read_purpose */
    struct cursor after;
    uint64_t limit, offset; /* of the page; UINT64_MAX: all rows */
    bool capped;            /* the tier's page, not the caller, set the limit */
    bool walks;             /* each page ends with a cursor: it is never a stream */
    bool only_one;          /* a second row is a mistake */
    struct rules_budget budget;
    enum rules_excess excess;
    /* Under way. */
    enum read_step step;
    struct count *count;         /* handlers/count.h */
    enum status status;          /* what a wait has brought */
    struct postgres_error error; /* status is not OK: the server's words */
    unsigned plans;              /* made so far, because what they were made from had changed */
    bool without_timezone;
};

/* Begins: reads the headers, finds the schema, asks for the dataset. For a handler's plan(), first call. */
enum stage_verdict read_begin(struct request *request, struct read *read);
/* Goes on after a wait. STAGE_NEXT: request->plan stands. For plan(), later calls. */
enum stage_verdict read_resume(struct request *request);
/* A query of the plan has failed: answers with what the caller can do about it; or plans again, once, where the
 * dataset's description was out of date. */
void read_refuse(struct request *request, const struct postgres_error *error);
/* What the cursors of this read are bound to: everything that decides which rows come, in which order, and who asks.
 * Made when first needed; TEXT_NONE: the arena is full. */
struct text read_purpose(struct request *request, struct read *read);
/* Under what an estimate of `statement` is remembered: its shape; where there is a budget, with this read's values, for
 * a wide range must not pass for a narrow one of the same shape, nor a narrow one be refused for a wide one. */
uint64_t read_verdict_id(const struct read *read, const struct postgres_statement *statement);
/* STAGE_DONE: it is more than the tier's budget allows, which was answered. */
enum stage_verdict read_judge(struct request *request, const struct plan_estimate *estimate);
/* EXPLAIN's answer becomes *estimate; for whoever asks more than the plan's own. */
void read_estimate(const struct postgres_rows *rows, struct plan_estimate *estimate);
/* The end of a question whose request waits for it: what came of it is in read->status and read->error. */
void read_on_asked(void *context, const struct postgres_error *error);
/* `parameter=value` pairs of read->canonical but the named ones (NULL-terminated), each followed by '&'. */
void read_append_query(const struct read *read, const char *const *without, struct buffer *out);

/* The header Preference-Applied; TEXT_NONE: none was. */
struct text read_preference_applied(struct request *request, const struct read *read);

extern const char *const read_formats; /* what Accept may name, for messages */

#endif
