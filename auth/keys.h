/* The keys that one issuer's tokens may be signed with. A key set is immutable and counted; a key store makes new ones
 * (from files, a JWKS file, a JWKS address, or what OpenID discovery leads to) and hands them to every worker by
 * message. One store an issuer, on the control thread's loop. RFC 7517, RFC 7518. */
#ifndef SLUICE_AUTH_KEYS_H
#define SLUICE_AUTH_KEYS_H

#include "base/status.h"
#include "drivers/loop.h"

struct keys; /* a set; reference-counted atomically */
struct keys_store;

struct keys_file {
    const char *kid;
    const char *algorithm; /* HS256 … ES512: the exact one */
    const char *file; /* secret (HS*: at least as many bytes as the hash; file mode checked) or public key as PEM */
};
struct keys_options {
    const char *issuer; /* for messages, and what a document of discovery must say */
    const struct keys_file *files;
    size_t file_count;
    const char *jwks_url;  /* or NULL */
    const char *jwks_file; /* or NULL */
    const char *discovery; /* address of the issuer's document, whose jwks_uri is then fetched; or NULL. Both are
                              fetched anew with each refresh */
    bool in_background;    /* the first fetch of an address is begun only: nobody waits for it */
    const char *ca_file;
    uint32_t refresh_ms, cooldown_ms, timeout_ms;
    const char *const *allowed_algorithms; /* NULL-terminated; for keys from a JWKS */
};

/* Reads files now (a bad one fails, naming it). An address is fetched now too, waiting up to timeout_ms (with
 * discovery twice); a failure there is logged and tried again, not fatal. JWKS: keys with use "enc", unknown kty/curve
 * or symmetric ones are skipped; a key without "alg" gets RS256 (RSA) or its curve's (EC); RSA below 2048 bits is
 * refused. */
enum status keys_store_create(struct loop *loop, const struct keys_options *options, struct keys_store **store,
                              struct failure *failure) MUST_CHECK;
void keys_store_destroy(struct keys_store *store);
/* The same keys now. */
bool keys_store_same(struct keys_store *a, struct keys_store *b);
/* Subscribers, or a message on its way to the store or from it: it can't be destroyed yet. The loop's thread. */
bool keys_store_awaited(struct keys_store *store);
/* Any thread: the set of this moment, counted for the caller. */
struct keys *keys_store_current(struct keys_store *store);
void keys_unref(struct keys *keys);
size_t keys_count(const struct keys *keys);

/* A worker's subscription: on_change runs on `loop` whenever a refetch ended (with a new set, or, when it failed, the
 * old one). */
struct keys_subscription;
struct keys_subscription *keys_subscribe(struct keys_store *store, struct loop *loop,
                                         void (*on_change)(void *context, struct keys *keys), void *context);
void keys_unsubscribe(struct keys_subscription *subscription);
/* Any thread: an unknown kid was seen. True: a refetch is under way or was started; on_change will follow. False:
 * there is nothing to fetch, or within the cooldown. */
bool keys_store_refetch(struct keys_store *store);
struct keys_statistics {
    uint64_t fetches, failures;
    int64_t last_success_us;
};
struct keys_statistics keys_store_statistics(struct keys_store *store);

#endif
