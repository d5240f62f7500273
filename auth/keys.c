#include "auth/keys_internal.h"

#include <stdlib.h>

struct keys *keys_create(const struct key_list *list)
{
    struct keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL)
        return NULL;
    atomic_init(&keys->references, 1);
    key_list_add_all(&keys->list, list);
    return keys;
}

void keys_ref(struct keys *keys)
{
    atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
}

void keys_unref(struct keys *keys)
{
    if (keys == NULL || atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) != 1)
        return;
    key_list_clear(&keys->list);
    free(keys);
}

size_t keys_count(const struct keys *keys)
{
    return keys->list.count;
}

const struct key *keys_find(const struct keys *keys, struct text kid)
{
    if (kid.size == 0)
        return keys->list.count == 1 ? keys->list.items[0] : NULL;
    for (size_t i = 0; i < keys->list.count; i++)
        if (text_equal(keys->list.items[i]->kid, kid))
            return keys->list.items[i];
    return NULL;
}

bool keys_equal(const struct keys *a, const struct keys *b)
{
    if (a->list.count != b->list.count)
        return false;
    for (size_t i = 0; i < a->list.count; i++)
        if (memcmp(a->list.items[i]->fingerprint, b->list.items[i]->fingerprint, HASH_SHA256_SIZE) != 0)
            return false;
    return true;
}
