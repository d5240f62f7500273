/* What somebody wants revoked, before it is written down: read from JSON or from options, checked, completed. */
#ifndef SLUICE_AUTH_REVOCATION_ORDER_H
#define SLUICE_AUTH_REVOCATION_ORDER_H

#include "auth/revocations.h"

#define REVOCATION_ORDER_MAX 8192 /* bytes of JSON */

/* Texts as they were given, NUL-terminated; NULL: not given. A time is RFC 3339, or seconds since the epoch. */
struct revocation_wish {
    const char *token_id, *customer, *subject, *before, *until;
};
/* How long tokens can be valid here. */
struct revocation_lives {
    int64_t longest_s; /* from its issue to its end for us: auth.max_lifetime and twice auth.leeway */
    int64_t leeway_s;  /* so long a token is taken after its exp */
};
/* A token id alone, or a customer, with a subject or without. `until` is the token's exp; without it the entry stays as
 * long as any token that is valid now. Without `before` all that was issued up to now counts, this second included.
 * STATUS_INVALID: what is wrong, naming the field. */
enum status revocation_order_make(const struct revocation_wish *wish, int64_t now_s,
                                  const struct revocation_lives *lives, struct revocation *order,
                                  struct failure *failure) MUST_CHECK;

/* {"jti", "until"} or {"customer", "subject", "before"}, as above. Calls `use` while the texts live. */
enum status revocation_order_read(struct text json, int64_t now_s, const struct revocation_lives *lives,
                                  void (*use)(void *context, const struct revocation *order), void *context,
                                  struct failure *failure) MUST_CHECK;

#endif
