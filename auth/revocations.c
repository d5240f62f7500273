#include "auth/revocations.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

#define MAX_KEY (1 + 255 + 1 + 255) /* the kind, a customer or token id, NUL, a subject */

struct entry {
    uint64_t hash;
    int64_t before_s, until_s;
    const char *key; /* in the set's memory; NULL: a free place */
    size_t size;
};

struct set {
    atomic_uint references;
    size_t count, places; /* places: a power of two, at least twice the count */
    int64_t first_until_s;
    struct entry *entries;
    char *memory; /* the keys */
};

struct revocations_store {
    atomic_uint_fast64_t generation; /* raised with each new set */
    atomic_uint_fast64_t confirmed_at, refused;
    pthread_mutex_t lock; /* of `current`; held for a few instructions */
    struct set *current;  /* NULL: nothing is revoked */
};

struct revocations_view {
    struct revocations_store *store;
    uint64_t generation;
    struct set *set; /* a reference */
};

static const char *const kind_names[] = {"token", "subject", "customer"};

const char *revocation_kind_name(enum revocation_kind kind)
{
    return kind_names[kind];
}

bool revocation_kind_of(struct text name, enum revocation_kind *kind)
{
    for (int i = 0; i < 3; i++)
        if (text_equal(name, text_from_string(kind_names[i]))) {
            *kind = (enum revocation_kind)i;
            return true;
        }
    return false;
}

/* What an entry is found by. Neither part holds a NUL. False: longer than any that a token can carry. */
static bool make_key(char out[MAX_KEY], enum revocation_kind kind, struct text first, struct text second,
                     struct text *key)
{
    size_t size = 1 + first.size + (kind == REVOCATION_SUBJECT ? 1 + second.size : 0);
    if (first.size == 0 || first.size > 255 || second.size > 255)
        return false;
    out[0] = (char)('a' + (int)kind);
    memcpy(out + 1, first.data, first.size);
    if (kind == REVOCATION_SUBJECT) {
        out[1 + first.size] = '\0';
        if (second.size != 0)
            memcpy(out + 2 + first.size, second.data, second.size);
    }
    *key = text_of(out, size);
    return true;
}

static bool key_of(const struct revocation *item, char out[MAX_KEY], struct text *key)
{
    return make_key(out, item->kind, item->kind == REVOCATION_TOKEN ? item->token_id : item->customer,
                    item->kind == REVOCATION_SUBJECT ? item->subject : TEXT_NONE, key);
}

static void set_unref(struct set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    free(set->entries);
    free(set->memory);
    free(set);
}

static struct set *set_ref(struct set *set)
{
    if (set != NULL)
        atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

/* The entry, or the free place where it would stand. */
static struct entry *find(const struct set *set, struct text key, uint64_t hash)
{
    size_t at = hash & (set->places - 1);
    while (set->entries[at].key != NULL && !(set->entries[at].hash == hash && set->entries[at].size == key.size &&
                                             memcmp(set->entries[at].key, key.data, key.size) == 0))
        at = (at + 1) & (set->places - 1);
    return &set->entries[at];
}

/* For at most `count` entries whose keys have `bytes` together. */
static struct set *set_create(size_t count, size_t bytes)
{
    struct set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    atomic_init(&set->references, 1);
    for (set->places = 16; set->places < 2 * count;)
        set->places *= 2;
    set->entries = calloc(set->places, sizeof(*set->entries));
    set->memory = malloc(bytes != 0 ? bytes : 1);
    set->first_until_s = INT64_MAX;
    if (set->entries != NULL && set->memory != NULL)
        return set;
    set_unref(set);
    return NULL;
}

/* `cursor` is where the next key goes. What is there already gets the later times. */
static void put(struct set *set, char **cursor, struct text key, int64_t before_s, int64_t until_s)
{
    uint64_t hash = hash_text(key);
    struct entry *entry = find(set, key, hash);
    if (entry->key == NULL) {
        *entry = (struct entry){hash, before_s, until_s, memcpy(*cursor, key.data, key.size), key.size};
        *cursor += key.size;
        set->count++;
    } else {
        entry->before_s = before_s > entry->before_s ? before_s : entry->before_s;
        entry->until_s = until_s > entry->until_s ? until_s : entry->until_s;
    }
    if (until_s < set->first_until_s) /* may be too early after a change; then a look is in vain */
        set->first_until_s = until_s;
}

/* What is still of use of both. NULL: no memory. */
static struct set *join(const struct set *old, const struct revocation *items, size_t count, int64_t now_s)
{
    char key_memory[MAX_KEY];
    struct text key;
    size_t bytes = 0;
    for (size_t i = 0; old != NULL && i < old->places; i++)
        bytes += old->entries[i].size;
    for (size_t i = 0; i < count; i++)
        bytes += key_of(&items[i], key_memory, &key) ? key.size : 0;
    struct set *set = set_create((old != NULL ? old->count : 0) + count, bytes);
    if (set == NULL)
        return NULL;
    char *cursor = set->memory;
    for (size_t i = 0; old != NULL && i < old->places; i++) {
        const struct entry *entry = &old->entries[i];
        if (entry->key != NULL && entry->until_s > now_s)
            put(set, &cursor, text_of(entry->key, entry->size), entry->before_s, entry->until_s);
    }
    for (size_t i = 0; i < count; i++)
        if (items[i].until_s > now_s && key_of(&items[i], key_memory, &key))
            put(set, &cursor, key, items[i].before_s, items[i].until_s);
    return set;
}

struct revocations_store *revocations_store_create(void)
{
    struct revocations_store *store = calloc(1, sizeof(*store));
    if (store != NULL)
        pthread_mutex_init(&store->lock, NULL);
    return store;
}

void revocations_store_destroy(struct revocations_store *store)
{
    if (store == NULL)
        return;
    set_unref(store->current);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

enum status revocations_store_add(struct revocations_store *store, const struct revocation *items, size_t count,
                                  int64_t now_s, struct failure *failure)
{
    struct set *old = store->current; /* nobody but this thread replaces it */
    if (count == 0 && (old == NULL || old->first_until_s > now_s))
        return STATUS_OK;
    if (count > REVOCATIONS_MAX)
        return failure_set(failure, STATUS_TOO_LARGE, "more than %d revocations at once", REVOCATIONS_MAX);
    struct set *set = join(old, items, count, now_s);
    if (set == NULL || set->count > REVOCATIONS_MAX) {
        bool full = set != NULL;
        set_unref(set);
        return failure_set(failure, STATUS_TOO_LARGE,
                           full ? "there are more than %d revocations" : "out of memory for %d", REVOCATIONS_MAX);
    }
    if (set->count == 0) {
        set_unref(set);
        set = NULL;
    }
    pthread_mutex_lock(&store->lock);
    store->current = set;
    pthread_mutex_unlock(&store->lock);
    atomic_fetch_add_explicit(&store->generation, 1, memory_order_release);
    set_unref(old);
    return STATUS_OK;
}

void revocations_store_confirm(struct revocations_store *store, uint64_t now_ms)
{
    atomic_store_explicit(&store->confirmed_at, now_ms, memory_order_relaxed);
}

uint64_t revocations_store_confirmed_at(const struct revocations_store *store)
{
    return atomic_load_explicit(&store->confirmed_at, memory_order_relaxed);
}

struct revocations_statistics revocations_store_statistics(struct revocations_store *store)
{
    struct revocations_statistics statistics = {.refused = atomic_load(&store->refused)};
    pthread_mutex_lock(&store->lock);
    statistics.count = store->current != NULL ? store->current->count : 0;
    pthread_mutex_unlock(&store->lock);
    return statistics;
}

struct revocations_view *revocations_view_create(struct revocations_store *store)
{
    struct revocations_view *view = calloc(1, sizeof(*view));
    if (view != NULL)
        *view = (struct revocations_view){.store = store, .generation = UINT64_MAX}; /* takes over the first time */
    return view;
}

void revocations_view_destroy(struct revocations_view *view)
{
    if (view == NULL)
        return;
    set_unref(view->set);
    free(view);
}

static void take_over(struct revocations_view *view, uint64_t generation)
{
    struct set *old = view->set;
    pthread_mutex_lock(&view->store->lock);
    view->set = set_ref(view->store->current);
    pthread_mutex_unlock(&view->store->lock);
    view->generation = generation;
    set_unref(old);
}

static const struct entry *look_up(const struct set *set, enum revocation_kind kind, struct text first,
                                   struct text second)
{
    char memory[MAX_KEY];
    struct text key;
    if (!make_key(memory, kind, first, second, &key))
        return NULL;
    const struct entry *entry = find(set, key, hash_text(key));
    return entry->key != NULL ? entry : NULL;
}

bool revocations_revoked(struct revocations_view *view, const struct principal *principal)
{
    uint64_t generation = atomic_load_explicit(&view->store->generation, memory_order_acquire);
    if (generation != view->generation)
        take_over(view, generation);
    const struct set *set = view->set;
    if (set == NULL)
        return false;
    const struct entry *subject = look_up(set, REVOCATION_SUBJECT, principal->customer, principal->subject);
    const struct entry *customer = look_up(set, REVOCATION_CUSTOMER, principal->customer, TEXT_NONE);
    bool revoked = look_up(set, REVOCATION_TOKEN, principal->token_id, TEXT_NONE) != NULL ||
                   (subject != NULL && principal->issued_at < subject->before_s) ||
                   (customer != NULL && principal->issued_at < customer->before_s);
    if (revoked)
        atomic_fetch_add_explicit(&view->store->refused, 1, memory_order_relaxed);
    return revoked;
}
