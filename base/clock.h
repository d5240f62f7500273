#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t clock_monotonic_us(void);
/* Microseconds since 1970-01-01 UTC. */
int64_t clock_wall_us(void);

#endif
