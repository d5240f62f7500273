/* The verification of one token, nothing remembered (RFC 7515, RFC 7519, RFC 8725). */
#ifndef SLUICE_AUTH_TOKEN_H
#define SLUICE_AUTH_TOKEN_H

#include "auth/keys_internal.h"
#include "auth/tokens.h"

#define TOKEN_MAX_SIZE 8192 /* bytes; libjwt copies a token onto the stack */

struct token_facts {
    const struct principal *principal; /* one reference, the caller's */
    const struct key *key;             /* the set's */
    size_t issuer;                     /* whose set; with TOKENS_UNKNOWN_KEY too */
    bool names_key;                    /* the header has a kid */
    const char *reason;                /* when not valid */
};

/* TOKENS_VALID (principal and key are set), TOKENS_INVALID, or TOKENS_UNKNOWN_KEY: well-formed, of an issuer that is
 * known, and no key of that issuer's set is meant by it. `keys` has a set for each issuer of the rules. */
enum tokens_verdict token_verify(struct keys *const *keys, const struct tokens_options *rules, struct text token,
                                 int64_t now_s, uint64_t serial, struct token_facts *facts) MUST_CHECK;

#endif
