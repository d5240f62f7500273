/* Finds records: the lines of all chains whose fields match, in the order of their chains and numbers, as they stand in
 * the file. Unchecked: `sluice audit verify` tells whether they can be believed. */
#ifndef SLUICE_AUDIT_GREP_H
#define SLUICE_AUDIT_GREP_H

#include "audit/segment.h"

struct grep_options {
    const char *folder;
    int64_t from_us, to_us; /* since the epoch; from inclusive, to exclusive; INT64_MIN, INT64_MAX: open */
    /* Exactly; TEXT_NONE: any. `subject` is a pseudonym: subjects.h finds a person's. */
    struct text customer, operation, dataset, request_id, event;
    const struct text *subjects; /* any of these; count 0: whoever */
    size_t subject_count;
    int status_low, status_high;                      /* 0, 0: any; 400, 499: the class */
    bool (*on_line)(void *context, struct text line); /* false: enough */
    void *context;
};
enum status grep_folder(const struct grep_options *options, uint64_t *matches, struct failure *failure) MUST_CHECK;

#endif
