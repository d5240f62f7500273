#include "auth/algorithm.h"

static const struct algorithm algorithms[] = {
    {"HS256", ALGORITHM_HMAC, EVP_sha256, 32, NULL, NULL, 0},
    {"HS384", ALGORITHM_HMAC, EVP_sha384, 48, NULL, NULL, 0},
    {"HS512", ALGORITHM_HMAC, EVP_sha512, 64, NULL, NULL, 0},
    {"RS256", ALGORITHM_RSA, EVP_sha256, 32, NULL, NULL, 0},
    {"RS384", ALGORITHM_RSA, EVP_sha384, 48, NULL, NULL, 0},
    {"RS512", ALGORITHM_RSA, EVP_sha512, 64, NULL, NULL, 0},
    {"ES256", ALGORITHM_EC, EVP_sha256, 32, "prime256v1", "P-256", 32},
    {"ES384", ALGORITHM_EC, EVP_sha384, 48, "secp384r1", "P-384", 48},
    {"ES512", ALGORITHM_EC, EVP_sha512, 64, "secp521r1", "P-521", 66},
};
#define COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

const struct algorithm *algorithm_find(struct text name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (text_equal(name, text_from_string(algorithms[i].name)))
            return &algorithms[i];
    return NULL;
}

const struct algorithm *algorithm_of_curve(struct text jwk_curve)
{
    for (size_t i = 0; i < COUNT; i++)
        if (algorithms[i].kind == ALGORITHM_EC && text_equal(jwk_curve, text_from_string(algorithms[i].jwk_curve)))
            return &algorithms[i];
    return NULL;
}
