#include "limit/key.h"

#include "base/hash.h"

struct text key_place(struct text key, uint64_t kind, char memory[KEY_PLACE_SIZE])
{
    size_t size = key.size;
    if (size > KEY_PLACE_SIZE - sizeof(kind)) {
        hash_sha256(key, (unsigned char *)memory);
        size = HASH_SHA256_SIZE;
    } else if (size != 0) {
        memcpy(memory, key.data, size);
    }
    memcpy(memory + size, &kind, sizeof(kind));
    return text_of(memory, size + sizeof(kind));
}
