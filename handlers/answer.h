/* An encoded answer as it is kept: everything that the next caller with the same question gets. */
#ifndef SLUICE_HANDLERS_ANSWER_H
#define SLUICE_HANDLERS_ANSWER_H

#include "api/respond.h"

enum {
    ANSWER_CONTENT_TYPE,
    ANSWER_ETAG,
    ANSWER_LINK,
    ANSWER_RANGE,
    ANSWER_LOCATION,
    ANSWER_APPLIED,
    ANSWER_BODY,
    ANSWER_PARTS
};
struct answer {
    uint32_t status, lane;
    uint64_t rows;
    struct text parts[ANSWER_PARTS]; /* TEXT_NONE: none */
};
void answer_append(struct buffer *out, const struct answer *answer);
/* Slices of `payload`, which answer_append made. */
void answer_read(struct text payload, struct answer *answer);

/* The head of such an answer: status, validators, and the headers that only reads of datasets have, into `headers`. */
#define ANSWER_HEADERS 4
void answer_head(const struct answer *answer, struct respond_header headers[ANSWER_HEADERS], struct respond_head *head);

/* Ends an answer whose whole body stands in the request's buffer: a tag of its bytes, 304 to who has them already, a
 * problem where they became too many. `rows` are for the log. */
enum stage_verdict answer_finish(struct request *request, uint64_t rows);

#endif
