/* How many connections each client address has open, of all workers together. Addresses share counters by a seeded
 * hash: nobody can choose whom to share with, and a count is never too low. */
#ifndef SLUICE_API_ADDRESS_COUNT_H
#define SLUICE_API_ADDRESS_COUNT_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"

#define ADDRESS_COUNTERS 16384 /* 64 KB */

struct address_counts {
    atomic_uint counters[ADDRESS_COUNTERS];
};
/* Seeded, of an IPv4 address or an IPv6 address's /64. */
uint64_t address_hash(const struct sockaddr *address);
/* The counter of an IPv4 address, or of an IPv6 address's /64: what one subscriber holds. Stays where it is. */
atomic_uint *address_counter(struct address_counts *counts, const struct sockaddr *address);

#endif
