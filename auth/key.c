#include "auth/key.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/buffer.h"

int key_no_password(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

static enum status check_rsa(const struct algorithm *algorithm, EVP_PKEY *pkey, struct failure *failure)
{
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA)
        return failure_set(failure, STATUS_INVALID, "%s needs an RSA key, this one is of another type",
                           algorithm->name);
    int bits = EVP_PKEY_get_bits(pkey);
    if (bits < KEY_MIN_RSA_BITS || bits > KEY_MAX_RSA_BITS)
        return failure_set(failure, STATUS_INVALID, "the RSA key has %d bits; %d to %d are accepted, make a new one",
                           bits, KEY_MIN_RSA_BITS, KEY_MAX_RSA_BITS);
    BIGNUM *modulus = NULL, *exponent = NULL;
    bool sound = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1 &&
                 EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 && BN_is_odd(modulus) &&
                 BN_is_odd(exponent) && !BN_is_one(exponent) && BN_num_bits(exponent) <= 32;
    BN_free(modulus);
    BN_free(exponent);
    if (!sound)
        return failure_set(
            failure, STATUS_INVALID,
            "the RSA key is not usable: modulus and exponent must be odd, the exponent from 3 to 32 bits");
    return STATUS_OK;
}

static enum status check_ec(const struct algorithm *algorithm, EVP_PKEY *pkey, struct failure *failure)
{
    char group[64];
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC ||
        EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1 ||
        strcmp(group, algorithm->group) != 0)
        return failure_set(failure, STATUS_INVALID, "%s needs an elliptic-curve key on %s, this one is another",
                           algorithm->name, algorithm->jwk_curve);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    bool sound = context != NULL && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    if (!sound)
        return failure_set(failure, STATUS_INVALID, "the key's point does not lie on %s", algorithm->jwk_curve);
    return STATUS_OK;
}

enum status key_check_fit(const struct algorithm *algorithm, EVP_PKEY *pkey, struct failure *failure)
{
    enum status status = STATUS_INVALID;
    if (algorithm->kind == ALGORITHM_RSA)
        status = check_rsa(algorithm, pkey, failure);
    else if (algorithm->kind == ALGORITHM_EC)
        status = check_ec(algorithm, pkey, failure);
    else
        failure_set(failure, STATUS_INVALID, "%s needs a secret, not a key pair", algorithm->name);
    ERR_clear_error();
    return status;
}

static bool is_public_der(struct text secret)
{
    const unsigned char *at = (const unsigned char *)secret.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)secret.size);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return pkey != NULL;
}

enum status key_check_secret(const struct algorithm *algorithm, struct text secret, struct failure *failure)
{
    if (secret.size < algorithm->digest_size)
        return failure_set(failure, STATUS_INVALID,
                           "the secret has %zu bytes; %s needs at least %zu, make one with `openssl rand -hex %zu`",
                           secret.size, algorithm->name, algorithm->digest_size, algorithm->digest_size);
    if (secret.size > KEY_MAX_SECRET)
        return failure_set(failure, STATUS_INVALID, "the secret is longer than %d bytes", KEY_MAX_SECRET);
    /* Whoever knows a public key could sign with it as an HMAC secret, and everybody may know it. */
    if (memmem(secret.data, secret.size, "-----BEGIN", 10) != NULL || is_public_der(secret))
        return failure_set(failure, STATUS_INVALID,
                           "this is a key or certificate, which can't be the secret of %s; name the algorithm that the "
                           "key is for (RS… or ES…)",
                           algorithm->name);
    return STATUS_OK;
}

static void fingerprint(struct key *key)
{
    struct buffer all;
    buffer_init(&all, 65536);
    buffer_append_string(&all, key->algorithm->name); /* five bytes, always */
    buffer_append_char(&all, (char)key->kid.size);    /* so that kid and material can't trade bytes */
    buffer_append_text(&all, key->kid);
    buffer_append_text(&all, key->material);
    hash_sha256(buffer_text(&all), key->fingerprint);
    if (all.data != NULL)
        OPENSSL_cleanse(all.data, all.size);
    buffer_free(&all);
}

static enum status make(struct text kid, const struct algorithm *algorithm, EVP_PKEY *public_key, struct text material,
                        struct key **out, struct failure *failure)
{
    if (kid.size > KEY_MAX_KID)
        return failure_set(failure, STATUS_INVALID, "the kid is longer than %d bytes", KEY_MAX_KID);
    struct key *key = malloc(sizeof(*key) + kid.size + material.size);
    if (key == NULL)
        return failure_set(failure, STATUS_TOO_LARGE, "out of memory for a key");
    *key = (struct key){.references = 1, .algorithm = algorithm, .public_key = public_key};
    if (public_key != NULL)
        EVP_PKEY_up_ref(public_key);
    if (kid.size != 0)
        key->kid = text_of(memcpy(key->memory, kid.data, kid.size), kid.size);
    key->material = text_of(memcpy(key->memory + kid.size, material.data, material.size), material.size);
    fingerprint(key);
    *out = key;
    return STATUS_OK;
}

enum status key_from_secret(struct text kid, const struct algorithm *algorithm, struct text secret, struct key **key,
                            struct failure *failure)
{
    if (algorithm->kind != ALGORITHM_HMAC)
        return failure_set(failure, STATUS_INVALID, "%s needs a public key, not a secret", algorithm->name);
    enum status status = key_check_secret(algorithm, secret, failure);
    return status == STATUS_OK ? make(kid, algorithm, NULL, secret, key, failure) : status;
}

enum status key_from_public(struct text kid, const struct algorithm *algorithm, EVP_PKEY *public_key, struct key **key,
                            struct failure *failure)
{
    enum status status = key_check_fit(algorithm, public_key, failure);
    if (status != STATUS_OK)
        return status;
    /* Written anew, so that libjwt parses our PEM and nobody else's. */
    BIO *pem = BIO_new(BIO_s_mem());
    char *data = NULL;
    long size = pem != NULL && PEM_write_bio_PUBKEY(pem, public_key) == 1 ? BIO_get_mem_data(pem, &data) : 0;
    if (size > 0)
        status = make(kid, algorithm, public_key, text_of(data, (size_t)size), key, failure);
    else
        status = failure_set(failure, STATUS_FAILED, "OpenSSL could not encode the public key");
    BIO_free(pem);
    ERR_clear_error();
    return status;
}

enum status key_from_pem(struct text kid, const struct algorithm *algorithm, struct text pem, struct key **key,
                         struct failure *failure)
{
    const char *begin = pem.size != 0 ? memmem(pem.data, pem.size, "-----BEGIN", 10) : NULL;
    size_t behind = begin != NULL ? (size_t)(pem.data + pem.size - begin) - 10 : 0;
    if (begin != NULL && memmem(begin + 10, behind, "-----BEGIN", 10) != NULL)
        return failure_set(failure, STATUS_INVALID, "there is more than one PEM block; keep the public key only");
    BIO *source = begin != NULL ? BIO_new_mem_buf(pem.data, (int)pem.size) : NULL;
    EVP_PKEY *pkey = source != NULL ? PEM_read_bio_PUBKEY(source, NULL, key_no_password, NULL) : NULL;
    BIO_free(source);
    ERR_clear_error();
    if (pkey == NULL)
        return failure_set(failure, STATUS_INVALID,
                           "there is no public key in PEM (\"-----BEGIN PUBLIC KEY-----\"); make it from the private "
                           "key with `openssl pkey -in private.pem -pubout`");
    enum status status = key_from_public(kid, algorithm, pkey, key, failure);
    EVP_PKEY_free(pkey);
    return status;
}

void key_ref(struct key *key)
{
    atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
}

void key_unref(struct key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) != 1)
        return;
    OPENSSL_cleanse(key->memory, key->kid.size + key->material.size);
    EVP_PKEY_free(key->public_key);
    free(key);
}

static bool verify_hmac(const struct key *key, struct text input, struct text signature)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (HMAC(key->algorithm->digest(), key->material.data, (int)key->material.size, (const unsigned char *)input.data,
             input.size, expected, &size) == NULL)
        return false;
    return signature.size == size && CRYPTO_memcmp(signature.data, expected, size) == 0;
}

static bool verify_public(const struct key *key, struct text input, const unsigned char *signature, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL &&
                EVP_DigestVerifyInit(context, NULL, key->algorithm->digest(), NULL, key->public_key) == 1 &&
                EVP_DigestVerify(context, signature, size, (const unsigned char *)input.data, input.size) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* JWS has r||s at full width; OpenSSL wants ASN.1. That 0 < r, s < n holds is checked by the verification itself. */
static bool verify_ec(const struct key *key, struct text input, struct text signature)
{
    size_t half = key->algorithm->coordinate_size;
    if (signature.size != 2 * half)
        return false;
    const unsigned char *raw = (const unsigned char *)signature.data;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)half, NULL), *s = BN_bin2bn(raw + half, (int)half, NULL);
    if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
        ECDSA_SIG_free(pair);
        BN_free(r);
        BN_free(s);
        return false;
    }
    unsigned char *der = NULL;
    int size = i2d_ECDSA_SIG(pair, &der);
    bool good = size > 0 && verify_public(key, input, der, (size_t)size);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    return good;
}

bool key_verify(const struct key *key, struct text input, struct text signature)
{
    bool good = false;
    if (key->algorithm->kind == ALGORITHM_HMAC)
        good = verify_hmac(key, input, signature);
    else if (key->algorithm->kind == ALGORITHM_EC)
        good = verify_ec(key, input, signature);
    else if (signature.size == (size_t)EVP_PKEY_get_size(key->public_key)) /* RFC 8017 section 8.2.2, step 1 */
        good = verify_public(key, input, (const unsigned char *)signature.data, signature.size);
    /* OpenSSL leaves failures in the thread's queue, where the next TLS read would find them. */
    ERR_clear_error();
    return good;
}
