/* A JWKS document from anywhere: read, or refused with words. */
#include <stdlib.h>

#include "auth/jwk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const allowed[] = {"RS256", "RS512", "ES256", "ES384", "ES512", NULL};
    struct key_list list = {0};
    struct jwk_skipped skipped = {0};
    struct failure failure = {0};
    enum status status = jwk_read_set(text_of((const char *)data, size), allowed, &list, &skipped, &failure);
    if ((status == STATUS_OK) != (list.count != 0) || (status != STATUS_OK && failure.message[0] == '\0'))
        abort();
    key_list_clear(&list);
    return 0;
}
