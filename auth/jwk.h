/* JSON Web Key Sets (RFC 7517) into keys. What can't verify a token of ours is skipped; what should not be published is
 * refused. */
#ifndef SLUICE_AUTH_JWK_H
#define SLUICE_AUTH_JWK_H

#include "auth/key_list.h"

#define JWK_MAX_DOCUMENT (256 * 1024) /* bytes */

struct jwk_skipped {
    size_t count;
    char first[192]; /* which was the first one skipped, and why; for the log */
};

/* Appends the usable keys of `document` to *list. `allowed` is a NULL-terminated list of algorithm names.
 * STATUS_INVALID: no JWKS at all, or no usable key in it; the failure says which. Skipped: use other than "sig",
 * key_ops without "verify", symmetric keys and unknown types or curves, private keys, algorithms not allowed or not the
 * key's, RSA below 2048 bits, malformed members, a kid seen before. */
enum status jwk_read_set(struct text document, const char *const *allowed, struct key_list *list,
                         struct jwk_skipped *skipped, struct failure *failure) MUST_CHECK;

#endif
