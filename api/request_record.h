/* What the audit log (audit/log.h) hears of a request, and what waits for it: answers wait until their record is
 * written, writes until theirs is on disk (DESIGN, decision 12). Without an audit log nothing waits. */
#ifndef SLUICE_API_REQUEST_RECORD_H
#define SLUICE_API_REQUEST_RECORD_H

#include "api/handler.h"
#include "audit/log.h"

struct request;

struct request_record { /* in the request */
    struct audit_wait wait;
    void (*release)(struct request *request); /* the answer that waits */
    unsigned char sql[RECORD_SQL_SIZE];
    bool has_sql;
    bool intended; /* its intent was told */
    bool told;     /* its answer was told, before it went out */
    bool refused;  /* the log could not be told: nothing goes out but that */
    bool withheld; /* what was told did not go out */
};

/* The stage between plan and execute. Of a write: goes on when its intent is on disk. Of a query in the scan or
 * customer lane: its intent is told. A log that takes nothing, and may not be left out, is a 503. */
enum stage_verdict request_record_intent(struct request *request);
/* The head is set, nothing has gone out. `release` is called, within this call or later, when the answer may go: never
 * after the request is disposed of. `whole`: nothing will be known later that is not known now. Where the log takes
 * nothing the answer is replaced by a 503. */
void request_record_answer(struct request *request, bool whole, void (*release)(struct request *request));
/* The request ends, whatever happened: tells the metrics, the request log and the audit log. Of a request whose intent
 * was told the outcome is told always, later where the disk takes nothing now: an intent without one means a crash. */
void request_record_end(struct request *request);

#endif
