/* From a bearer token (RFC 6750, RFC 7519) to a principal, with a bounded cache. One per worker; belongs to its thread.
 */
#ifndef SLUICE_AUTH_TOKENS_H
#define SLUICE_AUTH_TOKENS_H

#include "auth/keys.h"
#include "auth/principal.h"
#include "base/buffer.h"

struct tokens;
struct tokens_options {
    const char *issuer, *audience;
    const char *customer_claim, *tier_claim;
    int64_t leeway_s, max_lifetime_s;
    size_t cache; /* entries */
};
struct tokens *tokens_create(struct loop *loop, struct keys_store *store,
                             const struct tokens_options *options); /* options' strings are borrowed */
void tokens_destroy(struct tokens *tokens);

enum tokens_verdict {
    TOKENS_VALID,
    TOKENS_MISSING,    /* no Authorization header, or another scheme */
    TOKENS_INVALID,    /* error="invalid_token" */
    TOKENS_UNKNOWN_KEY /* internal to tokens_verify's waiting; never given out */
};
/* `reason` (static string) says what was wrong without quoting the token: "expired", "wrong audience", "unknown key", …
 */
typedef void (*tokens_answer)(void *context, enum tokens_verdict verdict, const struct principal *principal,
                              const char *reason);
struct tokens_wait;
/* `authorization` is the header's value. The principal is borrowed from the cache: take a reference to keep it beyond
 * the call. Answers within the call (returns NULL) but for an unknown kid while a refetch is under way: then a handle
 * is returned and the answer comes later (2 s at most; then invalid). now_s: seconds since the epoch. A cache hit costs
 * a hash and a comparison; no entry outlives its exp, nor a change of the key set that dropped or changed its key. */
struct tokens_wait *tokens_verify(struct tokens *tokens, struct text authorization, int64_t now_s,
                                  tokens_answer on_answer, void *context);
/* No answer comes after this. */
void tokens_cancel(struct tokens_wait *wait);
struct tokens_statistics {
    uint64_t hits, verified, refused;
    size_t cached;
};
struct tokens_statistics tokens_statistics(const struct tokens *tokens);

struct tokens_grant { /* for `sluice token` */
    const char *issuer, *audience, *subject, *customer_claim, *customer, *tier_claim, *tier,
        *scope /* space-separated */;
    int64_t issued_at, lifetime_s;
};
/* Mints with an HS* secret or a private key as PEM. */
enum status tokens_mint(const struct tokens_grant *grant, const char *kid, const char *algorithm, struct text key,
                        struct buffer *out, struct failure *failure) MUST_CHECK;

#endif
