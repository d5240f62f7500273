/* The claims of a token (RFC 7519 section 4, RFC 9068): whose it says it is, and, once its signature is verified, the
 * principal. */
#ifndef SLUICE_AUTH_CLAIMS_H
#define SLUICE_AUTH_CLAIMS_H

#include <jansson.h>

#include "auth/tokens.h"

/* Of a payload that nobody has verified yet: which of the rules' issuers it says that it is from. NULL, or what is
 * wrong: a static string. */
const char *claims_find_issuer(const json_t *payload, const struct tokens_options *rules, size_t *issuer) MUST_CHECK;
/* `payload` is the second part (NULL: none that could be read), verified with a key of the issuer at this index. NULL
 * on success (*principal has one reference), or what is wrong: a static string. */
const char *claims_read(const json_t *payload, const struct tokens_options *rules, size_t issuer, int64_t now_s,
                        uint64_t serial, const struct principal **principal) MUST_CHECK;

#endif
