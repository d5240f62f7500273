#ifndef SLUICE_AUTH_PRINCIPAL_H
#define SLUICE_AUTH_PRINCIPAL_H

#include "base/text.h"

#define PRINCIPAL_MAX_SCOPES 64

/* Who a verified token says is calling. Immutable; belongs to the token cache, counted by principal_ref/unref (one
 * thread). */
struct principal {
    struct text subject;
    struct text customer; /* ^[a-z][a-z0-9_]{0,40}$ */
    struct text tier;     /* TEXT_NONE: none claimed */
    struct text token_id; /* jti; TEXT_NONE: none */
    struct text scopes[PRINCIPAL_MAX_SCOPES];
    size_t scope_count;
    int64_t issued_at;  /* seconds since the epoch; 0: the token does not say */
    int64_t expires_at; /* seconds since the epoch, leeway not added */
    uint64_t serial;    /* unique per cache entry in this worker: what others may key memos by */
};

/* A copy, texts included, with one reference. NULL: out of memory. */
const struct principal *principal_create(const struct principal *content);
size_t principal_size(const struct principal *principal); /* bytes that a copy takes */
void principal_ref(const struct principal *principal);
void principal_unref(const struct principal *principal);
bool principal_has_scope(const struct principal *principal, struct text scope);

#endif
