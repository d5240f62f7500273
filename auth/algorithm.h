/* The nine JWS algorithms that Sluice verifies (RFC 7518 section 3.1). "none", PS* and EdDSA are not among them. */
#ifndef SLUICE_AUTH_ALGORITHM_H
#define SLUICE_AUTH_ALGORITHM_H

#include <openssl/evp.h>

#include "base/text.h"

enum algorithm_kind { ALGORITHM_HMAC, ALGORITHM_RSA, ALGORITHM_EC };

struct algorithm {
    const char *name;
    enum algorithm_kind kind;
    const EVP_MD *(*digest)(void);
    size_t digest_size;     /* bytes; an HMAC secret must be at least as long */
    const char *group;      /* EC: OpenSSL's name of the curve; else NULL */
    const char *jwk_curve;  /* EC: its "crv" */
    size_t coordinate_size; /* EC: bytes of x, y, r and s */
};

/* Exact case: "HS256" is found, "hs256" is not. NULL: none of that name. */
const struct algorithm *algorithm_find(struct text name);
/* The one for keys on "P-256", "P-384" or "P-521"; NULL: another curve. */
const struct algorithm *algorithm_of_curve(struct text jwk_curve);

#endif
