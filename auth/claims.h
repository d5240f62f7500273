/* The claims of a token whose signature is verified already (RFC 7519 section 4, RFC 9068), into a principal. */
#ifndef SLUICE_AUTH_CLAIMS_H
#define SLUICE_AUTH_CLAIMS_H

#include "auth/tokens.h"

/* `payload` is the decoded second part. NULL on success (*principal has one reference), or what is wrong: a static
 * string. */
const char *claims_read(struct text payload, const struct tokens_options *rules, int64_t now_s, uint64_t serial,
                        const struct principal **principal) MUST_CHECK;

#endif
