/* W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/): the header `traceparent`. */
#ifndef SLUICE_API_TRACEPARENT_H
#define SLUICE_API_TRACEPARENT_H

#include "base/text.h"

struct traceparent {
    char trace_id[32], span_id[16]; /* hexadecimal, lower case, no NUL; span_id is our own span's */
    bool sampled;
};
/* The caller's trace, with a new span of ours in it. False: absent or malformed, nothing was written. */
bool traceparent_parse(struct text header, struct traceparent *trace) __attribute__((warn_unused_result));
/* A trace that begins here. */
void traceparent_make(struct traceparent *trace);

#endif
