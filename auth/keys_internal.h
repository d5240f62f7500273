/* What a key set is made of: for the verifier and the store, not for other folders. */
#ifndef SLUICE_AUTH_KEYS_INTERNAL_H
#define SLUICE_AUTH_KEYS_INTERNAL_H

#include "auth/key_list.h"
#include "auth/keys.h"

struct keys {
    atomic_uint references;
    struct key_list list; /* never changed after keys_create */
};

/* References the list's keys. NULL: out of memory. */
struct keys *keys_create(const struct key_list *list);
void keys_ref(struct keys *keys);
/* The key that a token with this kid must be signed with; a token without (kid.size 0) may only be signed with the
 * set's one and only key. NULL: none. Valid as long as the set is. */
const struct key *keys_find(const struct keys *keys, struct text kid);
bool keys_equal(const struct keys *a, const struct keys *b);

#endif
