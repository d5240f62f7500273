/* One key that tokens may be signed with, bound to one exact algorithm. Immutable and counted atomically, so that
 * several key sets and threads share it. */
#ifndef SLUICE_AUTH_KEY_H
#define SLUICE_AUTH_KEY_H

#include <stdatomic.h>

#include "auth/algorithm.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/text.h"

#define KEY_MAX_KID 255       /* bytes */
#define KEY_MAX_SECRET 4096   /* bytes */
#define KEY_MIN_RSA_BITS 2048 /* NIST SP 800-131A */
#define KEY_MAX_RSA_BITS 8192 /* a larger one makes each verification a burden */

struct key {
    atomic_uint references;
    const struct algorithm *algorithm;
    struct text kid;      /* TEXT_NONE: none */
    EVP_PKEY *public_key; /* NULL for HMAC */
    struct text material; /* what libjwt takes: the secret, or the public key as PEM. Never empty */
    unsigned char fingerprint[HASH_SHA256_SIZE]; /* of kid, algorithm and material: equal means the same key */
    char memory[];                               /* kid and material */
};

/* All of these: the algorithm must fit the key; a failure says why without quoting the key. The caller names the place.
 */
enum status key_from_secret(struct text kid, const struct algorithm *algorithm, struct text secret, struct key **key,
                            struct failure *failure) MUST_CHECK;
/* Exactly one public key in PEM. */
enum status key_from_pem(struct text kid, const struct algorithm *algorithm, struct text pem, struct key **key,
                         struct failure *failure) MUST_CHECK;
/* Takes a reference of its own to the public key. */
enum status key_from_public(struct text kid, const struct algorithm *algorithm, EVP_PKEY *public_key, struct key **key,
                            struct failure *failure) MUST_CHECK;
void key_ref(struct key *key);
void key_unref(struct key *key); /* the last one wipes a secret */
/* RFC 7515 section 5.2: whether `signature` (raw bytes; r||s for ES*) is this key's over `input`. Any thread. */
bool key_verify(const struct key *key, struct text input, struct text signature);
/* Refuses a public or private key that doesn't fit the algorithm: type, curve, size. */
enum status key_check_fit(const struct algorithm *algorithm, EVP_PKEY *pkey, struct failure *failure) MUST_CHECK;
/* Refuses a secret that is shorter than the hash, or is a key or certificate of asymmetric cryptography. */
enum status key_check_secret(const struct algorithm *algorithm, struct text secret, struct failure *failure) MUST_CHECK;
/* For OpenSSL's PEM readers: refuses, where theirs would ask on the terminal. */
int key_no_password(char *buffer, int size, int writing, void *context);

#endif
