/* Memory that dies together: what one request, one document or one load allocates, freed in one call. Bounded. */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include "base/text.h"

struct arena_chunk;

struct arena {
    char *cursor;
    char *end;
    struct arena_chunk *chunks; /* owned, malloc'd; the first memory given to arena_init is not among them */
    size_t used;                /* bytes of chunks allocated */
    size_t ceiling;             /* bytes of chunks that may be allocated */
};

/* `first` (may be NULL) of `size` bytes is used before anything is allocated; it stays the caller's. */
void arena_init(struct arena *arena, void *first, size_t size, size_t ceiling);
void arena_free(struct arena *arena);
void *arena_alloc_slow(struct arena *arena, size_t size);

/* Uninitialised, aligned to 16 bytes. NULL past the ceiling or out of memory. */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15;
    if (__builtin_expect(rounded >= size && rounded <= (size_t)(arena->end - arena->cursor), 1)) {
        void *memory = arena->cursor;
        arena->cursor += rounded;
        return memory;
    }
    return arena_alloc_slow(arena, size);
}

/* Zeroed. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);
/* A copy with a NUL behind it; data == NULL when memory ran out. */
struct text arena_copy(struct arena *arena, struct text text);

#endif
