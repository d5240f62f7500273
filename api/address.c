#include "api/address.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool parse_host(struct text host, struct sockaddr_storage *address)
{
    char name[INET6_ADDRSTRLEN];
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    if (host.size == 0 || host.size >= sizeof(name) || memchr(host.data, '\0', host.size) != NULL)
        return false;
    memcpy(name, host.data, host.size);
    name[host.size] = '\0';
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, name, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        return true;
    }
    return false;
}

static bool parse_port(struct text text, struct sockaddr_storage *address)
{
    int64_t port;
    if (!text_to_int64(text, &port) || port < 0 || port > 65535 || text.data[0] == '-')
        return false;
    if (address->ss_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
    return true;
}

bool address_parse(struct text text, struct sockaddr_storage *address)
{
    if (text.size != 0 && text.data[0] == '[') {
        const char *close = memchr(text.data, ']', text.size);
        if (close == NULL || !parse_host(text_of(text.data + 1, (size_t)(close - text.data) - 1), address) ||
            address->ss_family != AF_INET6)
            return false;
        struct text rest = text_of(close + 1, (size_t)(text.data + text.size - close) - 1);
        return rest.size == 0 || (rest.data[0] == ':' && parse_port(text_of(rest.data + 1, rest.size - 1), address));
    }
    const char *colon = text.size != 0 ? memchr(text.data, ':', text.size) : NULL;
    if (colon == NULL || memchr(colon + 1, ':', (size_t)(text.data + text.size - colon) - 1) != NULL)
        return parse_host(text, address);
    struct text host = text_of(text.data, (size_t)(colon - text.data));
    return parse_host(host, address) && address->ss_family == AF_INET &&
           parse_port(text_of(colon + 1, text.size - host.size - 1), address);
}

/* The IPv4 address that an IPv6 socket sees as ::ffff:a.b.c.d; NULL: it is none. */
static const void *mapped(const struct in6_addr *address)
{
    return IN6_IS_ADDR_V4MAPPED(address) ? address->s6_addr + 12 : NULL;
}

void address_format(const struct sockaddr *address, char out[ADDRESS_TEXT_SIZE])
{
    const void *v4 = NULL;
    if (address->sa_family == AF_INET)
        v4 = &((const struct sockaddr_in *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        v4 = mapped(&((const struct sockaddr_in6 *)address)->sin6_addr);
    if (v4 != NULL)
        inet_ntop(AF_INET, v4, out, ADDRESS_TEXT_SIZE);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, out, ADDRESS_TEXT_SIZE);
    else
        snprintf(out, ADDRESS_TEXT_SIZE, "unknown");
}

/* Takes the last entry off the list. */
static struct text take_last(struct text *list)
{
    size_t at = list->size;
    while (at > 0 && list->data[at - 1] != ',')
        at--;
    struct text last = text_trim(text_of(list->data + at, list->size - at));
    list->size = at != 0 ? at - 1 : 0;
    return last;
}

void address_from_forwarded(const struct config_networks *trusted, const struct sockaddr *peer,
                            struct text forwarded_for, struct sockaddr_storage *out)
{
    struct sockaddr_storage hop;
    size_t size = peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    struct sockaddr_storage last = {0};
    memcpy(&last, peer, size);
    while (forwarded_for.size != 0 && config_networks_contain(trusted, (const struct sockaddr *)&last)) {
        if (!address_parse(take_last(&forwarded_for), &hop))
            break;
        last = hop;
    }
    *out = last;
}
