/* Hashes for tables (seeded per process, not stable) and for names that leave the process (SHA-256, FIPS 180-4). */
#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include "base/text.h"

/* XXH3, seeded once a process from the kernel's random source. For in-memory tables only. Thread-safe after hash_init.
 */
uint64_t hash_text(struct text text);
/* The same function without the seed: stable across processes and machines. For statement names, never for security. */
uint64_t hash_stable(struct text text);
/* Call once in main, before threads. */
void hash_init(void);

#define HASH_SHA256_SIZE 32
void hash_sha256(struct text text, unsigned char out[HASH_SHA256_SIZE]);
/* RFC 2104. */
void hash_hmac_sha256(struct text key, struct text text, unsigned char out[HASH_SHA256_SIZE]);
/* The same for a key that is used often: its two blocks are hashed once. Wiped by its owner (hash_wipe). */
struct hash_hmac_key {
    uint32_t inner[8], outer[8]; /* SHA-256's state behind the padded key */
};
void hash_hmac_key_set(struct hash_hmac_key *key, struct text secret);
/* Over `first` and then `second`. */
void hash_hmac_sha256_keyed(const struct hash_hmac_key *key, struct text first, struct text second,
                            unsigned char out[HASH_SHA256_SIZE]);
/* Overwrites a secret, in a way that no compiler leaves out. */
void hash_wipe(void *memory, size_t size);
/* Constant time in the content. */
bool hash_equal(const void *a, const void *b, size_t size);

#endif
