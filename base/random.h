#ifndef SLUICE_BASE_RANDOM_H
#define SLUICE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* From getrandom(2), buffered per thread; aborts the process if the kernel refuses, because nothing safe could follow.
 */
void random_bytes(void *out, size_t size);
/* Uniform in [0, bound), bound > 0. */
uint64_t random_below(uint64_t bound);

#define RANDOM_UUID_SIZE 37 /* a UUID as text, and NUL */
/* A random UUID (RFC 9562, version 4), in lower case. */
void random_uuid(char out[RANDOM_UUID_SIZE]);

#endif
