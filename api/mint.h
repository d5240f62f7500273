/* What `sluice token` does: prints a token for development, signed with a key that the configuration names. */
#ifndef SLUICE_API_MINT_H
#define SLUICE_API_MINT_H

#include <stdio.h>

#include "api/config.h"

struct mint_order { /* NULL: not told */
    const char *customer, *subject, *tier, *scope;
    const char *kid;      /* of auth.issuers; the first key unless told */
    const char *lifetime; /* "900s", "60m", "12h"; 1 h unless told */
    const char *key;      /* a file with the private key, where the configuration has the public one */
};
enum status mint_print(const struct config *config, const struct mint_order *order, FILE *out,
                       struct failure *failure) MUST_CHECK;

#endif
