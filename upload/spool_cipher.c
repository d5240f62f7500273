#include "upload/spool_cipher.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/random.h"

#define MARK "SLSPOOL1"
#define MARK_SIZE 8
#define SALT_SIZE 16
#define NONCE_SIZE 12
#define TAG_SIZE 16

_Static_assert(MARK_SIZE + SPOOL_KEY_ID + SALT_SIZE == SPOOL_HEADER, "the header's parts");
_Static_assert(NONCE_SIZE + TAG_SIZE == SPOOL_SEAL, "the seal's parts");

struct spool_cipher {
    EVP_CIPHER_CTX *seal, *unseal; /* both with the file's key */
};

void spool_key_set(struct spool_key *key, struct text secret)
{
    unsigned char digest[HASH_SHA256_SIZE];
    hash_hmac_key_set(&key->secret, secret);
    hash_hmac_sha256_keyed(&key->secret, TEXT("sluice spool: the key's id"), TEXT(""), digest);
    memcpy(key->id, digest, sizeof(key->id));
    hash_wipe(digest, sizeof(digest));
}

static struct spool_cipher *create(const struct spool_key *key, const unsigned char *salt)
{
    unsigned char own[HASH_SHA256_SIZE];
    struct spool_cipher *cipher = calloc(1, sizeof(*cipher));
    if (cipher == NULL)
        return NULL;
    cipher->seal = EVP_CIPHER_CTX_new();
    cipher->unseal = EVP_CIPHER_CTX_new();
    hash_hmac_sha256_keyed(&key->secret, TEXT("sluice spool: a file's key"), text_of((const char *)salt, SALT_SIZE),
                           own);
    bool made = cipher->seal != NULL && cipher->unseal != NULL &&
                EVP_EncryptInit_ex(cipher->seal, EVP_aes_256_gcm(), NULL, own, NULL) == 1 &&
                EVP_DecryptInit_ex(cipher->unseal, EVP_aes_256_gcm(), NULL, own, NULL) == 1;
    hash_wipe(own, sizeof(own));
    if (made)
        return cipher;
    spool_cipher_free(cipher);
    return NULL;
}

struct spool_cipher *spool_cipher_begin(const struct spool_key *key, unsigned char header[SPOOL_HEADER])
{
    unsigned char *salt = header + MARK_SIZE + SPOOL_KEY_ID;
    memcpy(header, MARK, MARK_SIZE);
    memcpy(header + MARK_SIZE, key->id, SPOOL_KEY_ID);
    random_bytes(salt, SALT_SIZE);
    return create(key, salt);
}

enum status spool_cipher_resume(const struct spool_key *key, const unsigned char header[SPOOL_HEADER],
                                struct spool_cipher **cipher, struct failure *failure)
{
    if (memcmp(header, MARK, MARK_SIZE) != 0 || memcmp(header + MARK_SIZE, key->id, SPOOL_KEY_ID) != 0)
        return failure_set(failure, STATUS_NOT_FOUND, "the file of the spool was encrypted with another key, or not");
    *cipher = create(key, header + MARK_SIZE + SPOOL_KEY_ID);
    return *cipher != NULL ? STATUS_OK : failure_set(failure, STATUS_FAILED, "out of memory");
}

void spool_cipher_free(struct spool_cipher *cipher)
{
    if (cipher == NULL)
        return;
    EVP_CIPHER_CTX_free(cipher->seal); /* wipes the key in it */
    EVP_CIPHER_CTX_free(cipher->unseal);
    free(cipher);
}

/* A sealed piece is its nonce, the encrypted bytes, and the tag over these and the place. */

bool spool_cipher_seal(struct spool_cipher *cipher, struct text place, struct text plain, char *out)
{
    unsigned char *nonce = (unsigned char *)out, *body = nonce + NONCE_SIZE;
    int size = 0;
    random_bytes(nonce, NONCE_SIZE);
    return EVP_EncryptInit_ex(cipher->seal, NULL, NULL, NULL, nonce) == 1 &&
           EVP_EncryptUpdate(cipher->seal, NULL, &size, (const unsigned char *)place.data, (int)place.size) == 1 &&
           EVP_EncryptUpdate(cipher->seal, body, &size, (const unsigned char *)plain.data, (int)plain.size) == 1 &&
           EVP_EncryptFinal_ex(cipher->seal, body + plain.size, &size) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher->seal, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, body + plain.size) == 1;
}

bool spool_cipher_unseal(struct spool_cipher *cipher, struct text place, struct text sealed, char *out)
{
    const unsigned char *nonce = (const unsigned char *)sealed.data;
    unsigned char tag[TAG_SIZE], *body = (unsigned char *)out;
    int size = 0;
    if (sealed.size < SPOOL_SEAL)
        return false;
    memcpy(tag, sealed.data + sealed.size - TAG_SIZE, TAG_SIZE);
    return EVP_DecryptInit_ex(cipher->unseal, NULL, NULL, NULL, nonce) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher->unseal, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1 &&
           EVP_DecryptUpdate(cipher->unseal, NULL, &size, (const unsigned char *)place.data, (int)place.size) == 1 &&
           EVP_DecryptUpdate(cipher->unseal, body, &size, nonce + NONCE_SIZE, (int)(sealed.size - SPOOL_SEAL)) == 1 &&
           EVP_DecryptFinal_ex(cipher->unseal, body + size, &size) == 1;
}
