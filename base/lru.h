/* A table from bytes to values, bounded by count and by weight; the least recently used goes first. One thread. */
#ifndef SLUICE_BASE_LRU_H
#define SLUICE_BASE_LRU_H

#include "base/text.h"

struct lru;

/* Called once for each value that leaves (evicted, replaced, removed, or at lru_destroy). */
typedef void (*lru_release)(void *value);

/* NULL when memory ran out. max_count > 0; max_weight in whatever unit lru_put's weights have (bytes, usually). */
struct lru *lru_create(size_t max_count, size_t max_weight, lru_release release);
void lru_destroy(struct lru *lru);
/* The value, now the most recently used; NULL if there is none. Valid until it leaves. */
void *lru_get(struct lru *lru, struct text key, uint64_t hash);
/* Takes the value over in every case: too heavy for the table, or out of memory, it is released at once and false
 * returned. `hash` is hash_text(key); the key is copied. */
bool lru_put(struct lru *lru, struct text key, uint64_t hash, void *value, size_t weight);
void lru_remove(struct lru *lru, struct text key, uint64_t hash);
void lru_clear(struct lru *lru);
size_t lru_count(const struct lru *lru);
size_t lru_weight(const struct lru *lru);

#endif
