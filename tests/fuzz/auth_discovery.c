/* A document of OpenID discovery, as an issuer's address answers it. Whatever is taken of it must be a safe address. */
#include <stdlib.h>

#include "auth/discovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer url;
    struct failure failure;
    buffer_init(&url, DISCOVERY_MAX_URL + 1);
    struct text document = text_of((const char *)data, size);
    if (discovery_read(document, TEXT("https://issuer.example"), &url, &failure) == STATUS_OK &&
        !discovery_is_safe(buffer_text(&url)))
        abort();
    (void)discovery_is_safe(document);
    buffer_free(&url);
    return 0;
}
