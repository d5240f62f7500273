/* Mints tokens with libjwt, for development and tests. */
#include <stdlib.h>

#include <jwt.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "auth/key.h"
#include "auth/tokens.h"
#include "base/encoding.h"
#include "base/random.h"

#define MAX_KEY (64 * 1024) /* bytes */

/* That libjwt never meets a key that it would misuse, or that it would ask a password for on the terminal. */
static enum status check_key(const struct algorithm *algorithm, struct text key, struct failure *failure)
{
    if (algorithm->kind == ALGORITHM_HMAC)
        return key_check_secret(algorithm, key, failure);
    BIO *source = key.size != 0 && key.size <= MAX_KEY ? BIO_new_mem_buf(key.data, (int)key.size) : NULL;
    EVP_PKEY *pkey = source != NULL ? PEM_read_bio_PrivateKey(source, NULL, key_no_password, NULL) : NULL;
    enum status status = STATUS_INVALID;
    if (pkey != NULL)
        status = key_check_fit(algorithm, pkey, failure);
    else
        failure_set(failure, STATUS_INVALID,
                    "the key file holds no private key in PEM without a password, which %s needs", algorithm->name);
    EVP_PKEY_free(pkey);
    BIO_free(source);
    ERR_clear_error();
    return status;
}

static int add_text(jwt_t *jwt, const char *claim, const char *value)
{
    return claim != NULL && value != NULL && value[0] != '\0' ? jwt_add_grant(jwt, claim, value) : 0;
}

/* 0, or an errno. */
static int fill(jwt_t *jwt, const struct tokens_grant *grant, const char *kid)
{
    unsigned char random[16];
    char token_id[2 * sizeof(random) + 1] = "";
    random_bytes(random, sizeof(random));
    encoding_hex(random, sizeof(random), token_id);
    int error = add_text(jwt, "iss", grant->issuer);
    error = error != 0 ? error : add_text(jwt, "aud", grant->audience);
    error = error != 0 ? error : add_text(jwt, "sub", grant->subject);
    error = error != 0 ? error : add_text(jwt, grant->customer_claim, grant->customer);
    error = error != 0 ? error : add_text(jwt, grant->tier_claim, grant->tier);
    error = error != 0 ? error : add_text(jwt, "scope", grant->scope);
    error = error != 0 ? error : add_text(jwt, "jti", token_id);
    error = error != 0 ? error : jwt_add_grant_int(jwt, "iat", (long)grant->issued_at);
    error = error != 0 ? error : jwt_add_grant_int(jwt, "exp", (long)(grant->issued_at + grant->lifetime_s));
    if (error == 0 && kid != NULL && kid[0] != '\0')
        error = jwt_add_header(jwt, "kid", kid);
    return error;
}

enum status tokens_mint(const struct tokens_grant *grant, const char *kid, const char *algorithm_name, struct text key,
                        struct buffer *out, struct failure *failure)
{
    const struct algorithm *algorithm = algorithm_find(text_from_string(algorithm_name));
    if (algorithm == NULL)
        return failure_set(failure, STATUS_INVALID,
                           "the algorithm \"%s\" is unknown; use HS, RS or ES with 256, 384 or 512",
                           algorithm_name != NULL ? algorithm_name : "");
    if (grant->lifetime_s <= 0 || grant->issued_at < 0)
        return failure_set(failure, STATUS_INVALID, "a token's lifetime must be at least a second");
    enum status status = check_key(algorithm, key, failure);
    if (status != STATUS_OK)
        return status;
    jwt_t *jwt = NULL;
    char *token = NULL;
    if (jwt_new(&jwt) == 0 && fill(jwt, grant, kid) == 0 &&
        jwt_set_alg(jwt, jwt_str_alg(algorithm->name), (const unsigned char *)key.data, (int)key.size) == 0)
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    ERR_clear_error();
    if (token == NULL)
        return failure_set(failure, STATUS_FAILED,
                           "libjwt could not make the token; check that no claim is named twice and all are UTF-8");
    buffer_append_string(out, token);
    free(token);
    return out->failed ? failure_set(failure, STATUS_TOO_LARGE, "the token does not fit its buffer") : STATUS_OK;
}
