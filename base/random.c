#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/encoding.h"

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

void random_uuid(char out[RANDOM_UUID_SIZE])
{
    unsigned char bytes[16];
    char digits[32], *at = out;
    random_bytes(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    encoding_hex(bytes, sizeof(bytes), digits);
    for (size_t i = 0; i < sizeof(digits); i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            *at++ = '-';
        *at++ = digits[i];
    }
    *at = '\0';
}
