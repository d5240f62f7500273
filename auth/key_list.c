#include "auth/key_list.h"

static bool collides(const struct key *a, const struct key *b)
{
    if (a->kid.size != 0 || b->kid.size != 0)
        return text_equal(a->kid, b->kid);
    return memcmp(a->fingerprint, b->fingerprint, sizeof(a->fingerprint)) == 0;
}

enum key_list_added key_list_add(struct key_list *list, struct key *key)
{
    enum key_list_added result = list->count < KEY_LIST_MAX ? KEY_LIST_ADDED : KEY_LIST_FULL;
    for (size_t i = 0; i < list->count; i++)
        if (collides(list->items[i], key))
            result = KEY_LIST_DUPLICATE;
    if (result == KEY_LIST_ADDED)
        list->items[list->count++] = key;
    else
        key_unref(key);
    return result;
}

size_t key_list_add_all(struct key_list *list, const struct key_list *from)
{
    size_t left_out = 0;
    for (size_t i = 0; i < from->count; i++) {
        key_ref(from->items[i]);
        left_out += key_list_add(list, from->items[i]) != KEY_LIST_ADDED;
    }
    return left_out;
}

void key_list_clear(struct key_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        key_unref(list->items[i]);
    list->count = 0;
}
