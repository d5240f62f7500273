#include "auth/jwk.h"

#include <stdio.h>

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "base/encoding.h"

static struct text text_member(const json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);
    return json_is_string(member) ? text_of(json_string_value(member), json_string_length(member)) : TEXT_NONE;
}

/* A Base64urlUInt or a coordinate of at most `max` bytes. */
static bool number_member(const json_t *object, const char *name, size_t max, struct buffer *out)
{
    struct text encoded = text_member(object, name);
    buffer_init(out, max);
    return encoded.size != 0 && encoded.size <= (max + 2) / 3 * 4 && encoding_base64url_decode(encoded, out) &&
           out->size != 0;
}

static EVP_PKEY *from_parameters(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (parameters != NULL && context != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    ERR_clear_error();
    return pkey;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
    struct buffer n, e;
    EVP_PKEY *pkey = NULL;
    bool good = number_member(jwk, "n", KEY_MAX_RSA_BITS / 8, &n);
    good = number_member(jwk, "e", 4, &e) && good;
    BIGNUM *modulus = good ? BN_bin2bn((unsigned char *)n.data, (int)n.size, NULL) : NULL;
    BIGNUM *exponent = good ? BN_bin2bn((unsigned char *)e.data, (int)e.size, NULL) : NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (modulus != NULL && exponent != NULL && builder != NULL &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        pkey = from_parameters("RSA", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    buffer_free(&n);
    buffer_free(&e);
    return pkey;
}

static EVP_PKEY *read_ec(const json_t *jwk, const struct algorithm *algorithm)
{
    struct buffer x, y;
    EVP_PKEY *pkey = NULL;
    size_t size = algorithm->coordinate_size;
    unsigned char point[1 + 2 * 66] = {POINT_CONVERSION_UNCOMPRESSED};
    bool good = number_member(jwk, "x", size, &x) && x.size == size; /* full width: RFC 7518 section 6.2.1.2 */
    good = number_member(jwk, "y", size, &y) && y.size == size && good;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (good && builder != NULL) {
        memcpy(point + 1, x.data, size);
        memcpy(point + 1 + size, y.data, size);
        if (OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, algorithm->group, 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size) == 1)
            pkey = from_parameters("EC", builder);
    }
    OSSL_PARAM_BLD_free(builder);
    buffer_free(&x);
    buffer_free(&y);
    return pkey;
}

static bool lists_verify(const json_t *operations)
{
    size_t at;
    json_t *operation;
    json_array_foreach(operations, at, operation)
    {
        if (json_is_string(operation) && strcmp(json_string_value(operation), "verify") == 0)
            return true;
    }
    return false;
}

/* NULL, or why a key with these members is not for verifying. */
static const char *check_purpose(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use"), *operations = json_object_get(jwk, "key_ops");
    if (use != NULL && !text_equal(text_member(jwk, "use"), TEXT("sig")))
        return "its use is not \"sig\"";
    if (operations != NULL && !lists_verify(operations))
        return "its key_ops don't list \"verify\"";
    if (json_object_get(jwk, "d") != NULL)
        return "it has a private part (\"d\"), which must never be published: replace this key";
    const json_t *kid = json_object_get(jwk, "kid");
    if (kid != NULL && (!json_is_string(kid) || json_string_length(kid) == 0 || json_string_length(kid) > KEY_MAX_KID))
        return "its kid is not a string of 1 to 255 bytes";
    return NULL;
}

static bool is_allowed(const struct algorithm *algorithm, const char *const *allowed)
{
    while (*allowed != NULL && strcmp(*allowed, algorithm->name) != 0)
        allowed++;
    return *allowed != NULL;
}

/* The one algorithm that the key is for; NULL and *why if there is none. */
static const struct algorithm *algorithm_of(const json_t *jwk, const char *const *allowed, const char **why)
{
    const struct algorithm *algorithm = NULL;
    struct text type = text_member(jwk, "kty");
    bool is_rsa = text_equal(type, TEXT("RSA")), is_ec = text_equal(type, TEXT("EC"));
    *why = "its kty is neither \"RSA\" nor \"EC\"";
    if (is_rsa)
        algorithm = algorithm_find(TEXT("RS256"));
    else if (is_ec)
        algorithm = algorithm_of_curve(text_member(jwk, "crv"));
    if (is_ec && algorithm == NULL)
        *why = "its curve is none of P-256, P-384 and P-521";
    if (algorithm == NULL)
        return NULL;
    if (json_object_get(jwk, "alg") != NULL) {
        const struct algorithm *named = algorithm_find(text_member(jwk, "alg"));
        *why = "its alg is not one that its type or curve can be for here";
        if (named == NULL || named->kind != algorithm->kind || (is_ec && named != algorithm))
            return NULL;
        algorithm = named;
    }
    *why = "its algorithm is not among the allowed_algorithms";
    return is_allowed(algorithm, allowed) ? algorithm : NULL;
}

static struct key *read_key(const json_t *jwk, const char *const *allowed, const char **why, struct failure *detail)
{
    struct key *key = NULL;
    *why = json_is_object(jwk) ? check_purpose(jwk) : "it is not an object";
    const struct algorithm *algorithm = *why == NULL ? algorithm_of(jwk, allowed, why) : NULL;
    if (algorithm == NULL)
        return NULL;
    EVP_PKEY *pkey = algorithm->kind == ALGORITHM_RSA ? read_rsa(jwk) : read_ec(jwk, algorithm);
    *why = algorithm->kind == ALGORITHM_RSA ? "its n or e is missing or malformed"
                                            : "its x or y is missing, malformed or not a point of the curve";
    if (pkey != NULL && key_from_public(text_member(jwk, "kid"), algorithm, pkey, &key, detail) != STATUS_OK) {
        *why = detail->message;
        key = NULL;
    }
    EVP_PKEY_free(pkey);
    return key;
}

static void note_skipped(struct jwk_skipped *skipped, size_t index, const char *why)
{
    if (skipped->count++ == 0)
        snprintf(skipped->first, sizeof(skipped->first), "keys[%zu]: %s", index, why);
}

enum status jwk_read_set(struct text document, const char *const *allowed, struct key_list *list,
                         struct jwk_skipped *skipped, struct failure *failure)
{
    json_error_t error;
    size_t before = list->count, index;
    json_t *jwk;
    *skipped = (struct jwk_skipped){0};
    if (document.size > JWK_MAX_DOCUMENT)
        return failure_set(failure, STATUS_INVALID, "the key set is larger than %d bytes", JWK_MAX_DOCUMENT);
    json_t *root = document.size != 0 ? json_loadb(document.data, document.size, JSON_REJECT_DUPLICATES, &error) : NULL;
    json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys)) {
        json_decref(root);
        return failure_set(failure, STATUS_INVALID,
                           "this is not a JSON Web Key Set (RFC 7517): an object with an array \"keys\", without "
                           "duplicate members, was expected");
    }
    json_array_foreach(keys, index, jwk)
    {
        const char *why;
        struct failure detail;
        struct key *key = read_key(jwk, allowed, &why, &detail);
        if (key == NULL) {
            note_skipped(skipped, index, why);
            continue;
        }
        enum key_list_added added = key_list_add(list, key);
        if (added != KEY_LIST_ADDED)
            note_skipped(skipped, index,
                         added == KEY_LIST_FULL ? "there are too many keys" : "its kid was seen before");
    }
    json_decref(root);
    if (list->count == before)
        return failure_set(failure, STATUS_INVALID, "the key set has no usable key%s%s",
                           skipped->count != 0 ? "; " : "", skipped->first);
    return STATUS_OK;
}
