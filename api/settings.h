/* What requests are served by and a reload changes: a configuration, with all that is made of it. Immutable and
 * counted: each worker holds the current one, and each request the one that it began under, so that no request sees
 * half of a change. Made and freed on the control thread. What only the start reads is in server->config. */
#ifndef SLUICE_API_SETTINGS_H
#define SLUICE_API_SETTINGS_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "api/config.h"
#include "api/handler.h"
#include "auth/tokens.h"
#include "limit/limiter.h"
#include "query/datasets.h"

struct settings_tier {
    const struct limit_tier *limit; /* a reference */
    char header[256];               /* RateLimit-Policy */
};

struct settings_keys; /* api/settings_keys.h */

struct settings {
    atomic_size_t references;
    const struct config *config;
    struct config *own_config;                        /* NULL: the start's, which outlives all */
    struct settings_tier *tiers;                      /* the configuration's, in its order */
    const struct limit_tier *address_tier;            /* a reference */
    uint64_t *weights;                                /* of operations, by their index; in rate-limit tokens */
    struct datasets_options datasets;                 /* borrows from the configuration */
    struct tokens_issuer issuers[TOKENS_MAX_ISSUERS]; /* as config->auth.issuers; borrow from it */
    struct settings_keys *keys[TOKENS_MAX_ISSUERS];   /* the same; shared with others where nothing has changed */
    struct keys_store *stores[TOKENS_MAX_ISSUERS];    /* theirs, as auth/ takes them */
    SSL_CTX *tls;                                     /* NULL: plain */
    /* As in the settings before, so that a worker keeps what it has made of them. */
    bool same_auth, same_catalog;
    int64_t loaded_us; /* wall clock */
    /* Of the control thread. */
    struct settings *next;
    void (*on_unused)(struct settings *settings); /* any thread: the last reference has gone */
    struct loop_message unused;
    void *owner;
};

struct settings_order {
    const struct config *config;
    bool owns; /* the configuration is freed with the settings, or with the failure to make them */
    const struct openapi *contract;
    const struct settings *before; /* NULL: the first ones */
};
/* One reference, the caller's. All but the keys, which settings_keys.h adds. STATUS_INVALID says which key of the file
 * is wrong. */
enum status settings_create(const struct settings_order *order, struct settings **settings,
                            struct failure *failure) MUST_CHECK;
void settings_free(struct settings *settings);
void settings_ref(struct settings *settings);
/* With the last reference on_unused is called: it sees to settings_free. */
void settings_unref(struct settings *settings);

/* The place of a principal's tier, in `tiers` and in config->limits.tiers; SIZE_MAX: the configuration knows none of
 * this name. TEXT_NONE: the default one. */
size_t settings_tier_index(const struct settings *settings, struct text name);

#endif
