#include "api/address_count.h"

#include <netinet/in.h>

#include "base/hash.h"

uint64_t address_hash(const struct sockaddr *address)
{
    struct text key = TEXT("other");
    if (address->sa_family == AF_INET) {
        key = text_of((const char *)&((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
        const char *bytes = (const char *)six;
        key = IN6_IS_ADDR_V4MAPPED(six) ? text_of(bytes + 12, 4) : text_of(bytes, 8);
    }
    return hash_text(key);
}

atomic_uint *address_counter(struct address_counts *counts, const struct sockaddr *address)
{
    return &counts->counters[address_hash(address) % ADDRESS_COUNTERS];
}
