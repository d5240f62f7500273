/* Addresses of peers and callers. */
#ifndef SLUICE_API_ADDRESS_H
#define SLUICE_API_ADDRESS_H

#include "api/config.h"

#define ADDRESS_TEXT_SIZE 64

/* A numeric IPv4 or IPv6 address, with an optional port: "10.0.0.1", "10.0.0.1:80", "::1", "[::1]", "[::1]:80". False
 * for everything else, names included. */
bool address_parse(struct text text, struct sockaddr_storage *address) MUST_CHECK;
/* Without the port; an IPv4-mapped IPv6 address as IPv4. "unknown" for other families. */
void address_format(const struct sockaddr *address, char out[ADDRESS_TEXT_SIZE]);
/* Who called, when every trusted hop has appended to X-Forwarded-For the address that it saw: the last entry that is
 * not trusted itself. `peer` where the peer is not trusted, or the list holds nothing that can be read. */
void address_from_forwarded(const struct config_networks *trusted, const struct sockaddr *peer,
                            struct text forwarded_for, struct sockaddr_storage *out);

#endif
