/* Makes keys and tokens, good and bad, without the code that is tested: OpenSSL only. */
#ifndef TESTS_UNIT_AUTH_FORGE_H
#define TESTS_UNIT_AUTH_FORGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "auth/key.h"
#include "auth/tokens.h"
#include "base/buffer.h"
#include "base/encoding.h"
#include "base/hash.h"

#define FORGE_NOW 1700000000
#define FORGE_COUNT 9

static const char *const forge_algorithms[FORGE_COUNT] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                                          "RS512", "ES256", "ES384", "ES512"};
/* As long as the longest hash. */
static const char forge_secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static const char *const forge_audiences[] = {"sluice", NULL};
static const struct tokens_issuer forge_issuer = {.issuer = "https://issuer.example",
                                                  .audiences = forge_audiences,
                                                  .customer_claim = "customer",
                                                  .tier_claim = "tier"};
static const struct tokens_options forge_rules = {
    .issuers = &forge_issuer, .issuer_count = 1, .leeway_s = 30, .max_lifetime_s = 86400, .cache = 100};

#define FORGE_BASE "\"iss\":\"https://issuer.example\",\"aud\":\"sluice\",\"sub\":\"user-1\",\"customer\":\"acme\""
#define FORGE_GOOD "{" FORGE_BASE ",\"exp\":1700000600,\"scope\":\"regions:read datasets:read\",\"tier\":\"free\"}"

static inline EVP_PKEY *forge_pkey(const char *algorithm)
{
    if (algorithm[0] == 'R')
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    if (algorithm[0] == 'E')
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC",
                                 algorithm[2] == '2'   ? "P-256"
                                 : algorithm[2] == '3' ? "P-384"
                                                       : "P-521");
    return NULL;
}

/* The key's PEM, public or private, NUL-terminated; the caller frees. */
static inline char *forge_pem(EVP_PKEY *pkey, bool is_private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    assert_int_equal(is_private ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
                                : PEM_write_bio_PUBKEY(bio, pkey),
                     1);
    long size = BIO_get_mem_data(bio, &data);
    char *pem = calloc(1, (size_t)size + 1); /* not strndup: what BIO gives has no NUL behind it */
    memcpy(pem, data, (size_t)size);
    BIO_free(bio);
    return pem;
}

static inline const EVP_MD *forge_digest(const char *algorithm)
{
    return algorithm[2] == '2' ? EVP_sha256() : algorithm[2] == '3' ? EVP_sha384() : EVP_sha512();
}

static inline size_t forge_coordinate(const char *algorithm)
{
    return algorithm[2] == '2' ? 32 : algorithm[2] == '3' ? 48 : 66;
}

/* ASN.1 for EC keys. */
static inline size_t forge_sign_pkey(const char *algorithm, EVP_PKEY *pkey, struct text input, unsigned char *out,
                                     size_t room)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t size = room;
    assert_int_equal(EVP_DigestSignInit(context, NULL, forge_digest(algorithm), NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(context, out, &size, (const unsigned char *)input.data, input.size), 1);
    EVP_MD_CTX_free(context);
    return size;
}

static inline size_t forge_signature(const char *algorithm, EVP_PKEY *pkey, struct text secret, struct text input,
                                     unsigned char out[1024])
{
    unsigned char der[1024];
    const unsigned char *at = der;
    unsigned hmac_size = 0;
    size_t half = forge_coordinate(algorithm);
    if (algorithm[0] == 'H') {
        HMAC(forge_digest(algorithm), secret.data, (int)secret.size, (const unsigned char *)input.data, input.size, out,
             &hmac_size);
        return hmac_size;
    }
    if (algorithm[0] == 'R')
        return forge_sign_pkey(algorithm, pkey, input, out, 1024);
    size_t size = forge_sign_pkey(algorithm, pkey, input, der, sizeof(der));
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, (int)half);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + half, (int)half);
    ECDSA_SIG_free(pair);
    return 2 * half;
}

/* header.payload, encoded. */
static inline void forge_input(struct buffer *out, const char *header, const char *payload)
{
    encoding_base64url_append(out, header, strlen(header));
    buffer_append_char(out, '.');
    encoding_base64url_append(out, payload, strlen(payload));
}

/* A whole token. In `header`, '$' stands for the algorithm's name: {"alg":"$","kid":"k-$"}. */
static inline void forge_token(struct buffer *out, const char *algorithm, EVP_PKEY *pkey, const char *header,
                               const char *payload)
{
    unsigned char signature[1024];
    struct buffer filled;
    buffer_init(&filled, 65536);
    for (const char *at = header; *at != '\0'; at++)
        if (*at == '$')
            buffer_append_string(&filled, algorithm);
        else
            buffer_append_char(&filled, *at);
    buffer_clear(out);
    forge_input(out, buffer_c_string(&filled), payload);
    size_t size = forge_signature(algorithm, pkey, text_of(forge_secret, 64), buffer_text(out), signature);
    buffer_append_char(out, '.');
    encoding_base64url_append(out, signature, size);
    buffer_free(&filled);
    assert_false(out->failed);
}

/* {"kty":…} of a public key, without the closing brace. */
static inline void forge_jwk(struct buffer *out, EVP_PKEY *pkey, const char *kid)
{
    bool is_rsa = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA;
    BIGNUM *first = NULL, *second = NULL;
    unsigned char bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, is_rsa ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X, &first), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, is_rsa ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y, &second),
                     1);
    int width = (EVP_PKEY_get_bits(pkey) + 7) / 8;
    buffer_printf(out, "{\"kty\":\"%s\"", is_rsa ? "RSA" : "EC");
    if (kid != NULL)
        buffer_printf(out, ",\"kid\":\"%s\"", kid);
    if (!is_rsa)
        buffer_printf(out, ",\"crv\":\"%s\"", width == 32 ? "P-256" : width == 48 ? "P-384" : "P-521");
    buffer_append_string(out, is_rsa ? ",\"n\":\"" : ",\"x\":\"");
    BN_bn2binpad(first, bytes, width);
    encoding_base64url_append(out, bytes, (size_t)width);
    buffer_append_string(out, is_rsa ? "\",\"e\":\"" : "\",\"y\":\"");
    int size = is_rsa ? BN_bn2bin(second, bytes) : BN_bn2binpad(second, bytes, width);
    encoding_base64url_append(out, bytes, (size_t)size);
    buffer_append_string(out, "\"");
    BN_free(first);
    BN_free(second);
}

#endif
