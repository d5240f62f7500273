#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define POOL_SIZE 256 /* bytes fetched in one system call: what getrandom(2) gives without being interrupted */

static void fill(void *out, size_t size)
{
    unsigned char *at = out;
    while (size != 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            abort();
        at += got;
        size -= (size_t)got;
    }
}

void random_bytes(void *out, size_t size)
{
    static __thread unsigned char pool[POOL_SIZE];
    static __thread size_t left;
    if (size > POOL_SIZE) {
        fill(out, size);
        return;
    }
    if (size == 0)
        return;
    if (left < size) {
        fill(pool, POOL_SIZE);
        left = POOL_SIZE;
    }
    left -= size;
    memcpy(out, pool + left, size);
    /* What was handed out may have become a key: it must not be found here later. */
    explicit_bzero(pool + left, size);
}

uint64_t random_below(uint64_t bound)
{
    /* Values above the last whole multiple of bound would make the small ones likelier. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, value;
    do
        random_bytes(&value, sizeof(value));
    while (value >= limit);
    return value % bound;
}
