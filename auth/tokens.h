/* From a bearer token (RFC 6750, RFC 7519) to a principal, with a bounded cache. One per worker; belongs to its thread.
 */
#ifndef SLUICE_AUTH_TOKENS_H
#define SLUICE_AUTH_TOKENS_H

#include "auth/keys.h"
#include "auth/principal.h"
#include "base/buffer.h"

#define TOKENS_MAX_ISSUERS 16

struct tokens;
struct tokens_issuer {
    const char *issuer;            /* what `iss` equals exactly */
    const char *const *audiences;  /* NULL-terminated; `aud` must name one of them */
    const char *customer_claim;    /* the claim that names the customer; or NULL, and then: */
    const char *customer;          /* all of the issuer's tokens are this customer's */
    const char *tier_claim, *tier; /* the same for the tier; both NULL: none */
};
struct tokens_options {
    const struct tokens_issuer *issuers;
    size_t issuer_count; /* 1 to TOKENS_MAX_ISSUERS, no issuer twice */
    int64_t leeway_s, max_lifetime_s;
    size_t cache; /* entries */
};
/* The unverified `iss` chooses the issuer; its store's keys, and no others, may then verify the token. `stores` has one
 * for each issuer, in their order. The array is copied; stores, issuers and their strings are borrowed. */
struct tokens *tokens_create(struct loop *loop, struct keys_store *const *stores, const struct tokens_options *options);
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
