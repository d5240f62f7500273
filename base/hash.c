#include "base/hash.h"

#define XXH_INLINE_ALL
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/random.h"

/* Written once by hash_init, before threads. */
static uint64_t seed;

void hash_init(void)
{
    random_bytes(&seed, sizeof(seed));
}

uint64_t hash_text(struct text text)
{
    return XXH3_64bits_withSeed(text.data, text.size, seed);
}

uint64_t hash_stable(struct text text)
{
    return XXH3_64bits(text.data, text.size);
}

void hash_sha256(struct text text, unsigned char out[HASH_SHA256_SIZE])
{
    if (EVP_Digest(text.data, text.size, out, NULL, EVP_sha256(), NULL) != 1)
        abort(); /* only without memory: nothing that depends on a digest may go on */
}

void hash_hmac_sha256(struct text key, struct text text, unsigned char out[HASH_SHA256_SIZE])
{
    unsigned size = HASH_SHA256_SIZE;
    if (HMAC(EVP_sha256(), key.data, (int)key.size, (const unsigned char *)text.data, text.size, out, &size) == NULL)
        abort();
}

bool hash_equal(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}
