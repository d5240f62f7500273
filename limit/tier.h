/* Tiers that come and go with reloads of the configuration. Slots and leases know a tier by its address, and outlive
 * the configuration that it stood in: so they hold references, and a tier that says the same as one that lives is that
 * one, with what callers have left. Any thread. */
#ifndef SLUICE_LIMIT_TIER_H
#define SLUICE_LIMIT_TIER_H

#include "limit/limiter.h"

/* A reference to the tier of this content (zeroed before it was filled in), which lives until the last one is given
 * back. NULL: out of memory. */
const struct limit_tier *tier_intern(const struct limit_tier *content);
/* Harmless with NULL, and with tiers that were not interned. */
void tier_ref(const struct limit_tier *tier);
void tier_unref(const struct limit_tier *tier);
/* Tiers that live now. */
size_t tier_count(void);

#endif
