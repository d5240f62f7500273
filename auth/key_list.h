/* Keys on their way into a set: at most KEY_LIST_MAX, no kid twice. */
#ifndef SLUICE_AUTH_KEY_LIST_H
#define SLUICE_AUTH_KEY_LIST_H

#include "auth/key.h"

#define KEY_LIST_MAX 64

struct key_list {
    struct key *items[KEY_LIST_MAX]; /* a reference each */
    size_t count;
};

enum key_list_added { KEY_LIST_ADDED, KEY_LIST_FULL, KEY_LIST_DUPLICATE };
/* Takes the reference in every case. A key whose kid is there already (or, having none, which itself is there) is not
 * added: the first one stays. */
enum key_list_added key_list_add(struct key_list *list, struct key *key);
/* Adds a reference to each of `from`. The number of keys that were not added. */
size_t key_list_add_all(struct key_list *list, const struct key_list *from);
void key_list_clear(struct key_list *list);

#endif
