#include "base/lru.h"

#include <stdlib.h>

#define FIRST_BUCKETS 64

struct entry {
    struct entry *chain;         /* next in the bucket */
    struct entry *newer, *older; /* order of use */
    void *value;
    uint64_t hash;
    size_t weight, key_size;
    char key[];
};

struct lru {
    struct entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t count, weight, max_count, max_weight;
    struct entry *newest, *oldest;
    lru_release release;
};

struct lru *lru_create(size_t max_count, size_t max_weight, lru_release release)
{
    struct lru *lru = calloc(1, sizeof(*lru));
    struct entry **buckets = calloc(FIRST_BUCKETS, sizeof(*buckets));
    if (lru == NULL || buckets == NULL) {
        free(lru);
        free(buckets);
        return NULL;
    }
    *lru = (struct lru){.buckets = buckets,
                        .bucket_count = FIRST_BUCKETS,
                        .max_count = max_count,
                        .max_weight = max_weight,
                        .release = release};
    return lru;
}

void lru_destroy(struct lru *lru)
{
    if (lru == NULL)
        return;
    lru_clear(lru);
    free(lru->buckets);
    free(lru);
}

static void unlink_use(struct lru *lru, struct entry *entry)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        lru->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        lru->oldest = entry->newer;
}

static void link_newest(struct lru *lru, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = lru->newest;
    if (lru->newest != NULL)
        lru->newest->newer = entry;
    else
        lru->oldest = entry;
    lru->newest = entry;
}

/* The link that points to the entry, or the NULL at the end of its chain. */
static struct entry **find(struct lru *lru, struct text key, uint64_t hash)
{
    struct entry **link = &lru->buckets[hash & (lru->bucket_count - 1)];
    while (*link != NULL && ((*link)->hash != hash || !text_equal(text_of((*link)->key, (*link)->key_size), key)))
        link = &(*link)->chain;
    return link;
}

static void drop(struct lru *lru, struct entry **link)
{
    struct entry *entry = *link;
    *link = entry->chain;
    unlink_use(lru, entry);
    lru->count--;
    lru->weight -= entry->weight;
    void *value = entry->value;
    free(entry);
    lru->release(value);
}

void *lru_get(struct lru *lru, struct text key, uint64_t hash)
{
    struct entry *entry = *find(lru, key, hash);
    if (entry == NULL)
        return NULL;
    if (entry != lru->newest) {
        unlink_use(lru, entry);
        link_newest(lru, entry);
    }
    return entry->value;
}

static void grow(struct lru *lru)
{
    size_t count = lru->bucket_count * 2;
    struct entry **buckets = calloc(count, sizeof(*buckets));
    if (buckets == NULL)
        return; /* longer chains, nothing worse */
    free(lru->buckets);
    lru->buckets = buckets;
    lru->bucket_count = count;
    for (struct entry *entry = lru->oldest; entry != NULL; entry = entry->newer) {
        struct entry **link = &buckets[entry->hash & (count - 1)];
        entry->chain = *link;
        *link = entry;
    }
}

static void drop_oldest(struct lru *lru)
{
    drop(lru, find(lru, text_of(lru->oldest->key, lru->oldest->key_size), lru->oldest->hash));
}

/* A copy of the key, made before anything is released: callers may hand in a key that a leaving value owns. */
static struct entry *new_entry(struct text key, uint64_t hash, void *value, size_t weight)
{
    struct entry *entry = malloc(sizeof(*entry) + key.size);
    if (entry == NULL)
        return NULL;
    *entry = (struct entry){.value = value, .hash = hash, .weight = weight, .key_size = key.size};
    if (key.size != 0)
        memcpy(entry->key, key.data, key.size);
    return entry;
}

bool lru_put(struct lru *lru, struct text key, uint64_t hash, void *value, size_t weight)
{
    struct entry *entry = weight <= lru->max_weight ? new_entry(key, hash, value, weight) : NULL;
    /* Also when the new value finds no place: the old one is known to be out of date. */
    lru_remove(lru, entry != NULL ? text_of(entry->key, entry->key_size) : key, hash);
    if (entry == NULL) {
        lru->release(value);
        return false;
    }
    while (lru->count != 0 && (lru->count >= lru->max_count || lru->weight > lru->max_weight - weight))
        drop_oldest(lru);
    if (lru->count >= lru->bucket_count)
        grow(lru);
    struct entry **link = &lru->buckets[hash & (lru->bucket_count - 1)];
    entry->chain = *link;
    *link = entry;
    link_newest(lru, entry);
    lru->count++;
    lru->weight += weight;
    return true;
}

void lru_remove(struct lru *lru, struct text key, uint64_t hash)
{
    struct entry **link = find(lru, key, hash);
    if (*link != NULL)
        drop(lru, link);
}

void lru_clear(struct lru *lru)
{
    while (lru->oldest != NULL)
        drop_oldest(lru);
}

size_t lru_count(const struct lru *lru)
{
    return lru->count;
}

size_t lru_weight(const struct lru *lru)
{
    return lru->weight;
}
