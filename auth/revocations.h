/* Tokens that count no more although they have not expired. A set is immutable and counted; the store makes a new one
 * when the truth (a table, which others ask) has changed, and each worker takes it over with its next request. */
#ifndef SLUICE_AUTH_REVOCATIONS_H
#define SLUICE_AUTH_REVOCATIONS_H

#include <stdatomic.h>

#include "auth/principal.h"
#include "base/status.h"

#define REVOCATIONS_MAX 200000 /* as sluice.revoke in the database has it */

enum revocation_kind { REVOCATION_TOKEN, REVOCATION_SUBJECT, REVOCATION_CUSTOMER };
/* Its name: "token", "subject", "customer". */
const char *revocation_kind_name(enum revocation_kind kind);
bool revocation_kind_of(struct text name, enum revocation_kind *kind) MUST_CHECK;

struct revocation {
    enum revocation_kind kind;
    struct text token_id;          /* REVOCATION_TOKEN */
    struct text customer, subject; /* the others; the subject of REVOCATION_SUBJECT alone */
    int64_t before_s;              /* of the others: tokens that were issued before, and those that do not say when */
    int64_t until_s;               /* from then on no such token can be valid any more: the entry goes */
};

struct revocations_store;
struct revocations_store *revocations_store_create(void); /* NULL: out of memory */
void revocations_store_destroy(struct revocations_store *store);
/* One thread at a time. Adds to what is known (of two for the same the later times count) and lets go what has had its
 * time. STATUS_TOO_LARGE: more than REVOCATIONS_MAX, or no memory; then the set is as it was. */
enum status revocations_store_add(struct revocations_store *store, const struct revocation *items, size_t count,
                                  int64_t now_s, struct failure *failure) MUST_CHECK;
/* All that was true at this moment (monotonic) is in the set. */
void revocations_store_confirm(struct revocations_store *store, uint64_t now_ms);
/* Any thread. Milliseconds (monotonic) of the last confirmation; 0: none yet. */
uint64_t revocations_store_confirmed_at(const struct revocations_store *store);

struct revocations_statistics {
    size_t count;     /* in the set */
    uint64_t refused; /* tokens of any worker */
};
struct revocations_statistics revocations_store_statistics(struct revocations_store *store); /* any thread */

/* A worker's view of the store; belongs to its thread. */
struct revocations_view;
struct revocations_view *revocations_view_create(struct revocations_store *store); /* NULL: out of memory */
void revocations_view_destroy(struct revocations_view *view);
/* While nothing is revoked this is one look at a counter; else at most three look-ups in a hash table. */
bool revocations_revoked(struct revocations_view *view, const struct principal *principal);

#endif
