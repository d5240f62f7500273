/* What is read can be written and read again as the same; a list of hops never gives the word to one not trusted. */
#include <stdlib.h>

#include "api/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct text text)
{
    struct sockaddr_storage address, again;
    char written[ADDRESS_TEXT_SIZE], rewritten[ADDRESS_TEXT_SIZE];
    if (!address_parse(text, &address))
        return;
    address_format((struct sockaddr *)&address, written);
    if (!address_parse(text_from_string(written), &again))
        abort();
    address_format((struct sockaddr *)&again, rewritten);
    if (strcmp(written, rewritten) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config_network local = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10}, 104};
    static const struct config_networks trusted = {&local, 1}, nobody = {NULL, 0};
    struct text text = text_of((const char *)data, size);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr = {htonl(0x0A000001)}};
    struct sockaddr_storage caller;
    check_text(text);
    address_from_forwarded(&trusted, (struct sockaddr *)&peer, text, &caller);
    if (caller.ss_family != AF_INET && caller.ss_family != AF_INET6)
        abort();
    address_from_forwarded(&nobody, (struct sockaddr *)&peer, text, &caller);
    if (memcmp(&caller, &peer, sizeof(peer)) != 0)
        abort();
    return 0;
}
