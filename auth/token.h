/* The verification of one token, nothing remembered (RFC 7515, RFC 7519, RFC 8725). */
#ifndef SLUICE_AUTH_TOKEN_H
#define SLUICE_AUTH_TOKEN_H

#include "auth/keys_internal.h"
#include "auth/tokens.h"

#define TOKEN_MAX_SIZE 8192 /* bytes; libjwt copies a token onto the stack */

struct token_facts {
    const struct principal *principal; /* one reference, the caller's */
    const struct key *key;             /* the set's */
    bool names_key;                    /* the header has a kid */
    const char *reason;                /* when not valid */
};

/* TOKENS_VALID (principal and key are set), TOKENS_INVALID, or TOKENS_UNKNOWN_KEY: well-formed, and no key of the set
 * is meant by it. */
enum tokens_verdict token_verify(const struct keys *keys, const struct tokens_options *rules, struct text token,
                                 int64_t now_s, uint64_t serial, struct token_facts *facts) MUST_CHECK;

#endif
