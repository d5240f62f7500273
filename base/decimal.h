/* Binary floating point to the shortest decimal, as PostgreSQL's float8out prints it: 12.5, 1e-05, 1.5e+20. */
#ifndef SLUICE_BASE_DECIMAL_H
#define SLUICE_BASE_DECIMAL_H

#include <stddef.h>

#define DECIMAL_TEXT_SIZE 25 /* "-1.2345678901234567e-308", no NUL, rounded up */

/* Writes the decimal of fewest digits (17 at most) that every reader takes for the same double, so none halfway to its
 * neighbour; of several the closest. Returns its length. `value` is finite. No NUL. */
size_t decimal_format(double value, char out[DECIMAL_TEXT_SIZE]);

#endif
