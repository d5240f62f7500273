#include "base/arena.h"

#include <stdlib.h>

#define CHUNK_SIZE 4096

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    char memory[] __attribute__((aligned(16)));
};

void arena_init(struct arena *arena, void *first, size_t size, size_t ceiling)
{
    uintptr_t start = ((uintptr_t)first + 15) & ~(uintptr_t)15;
    uintptr_t end = (uintptr_t)first + size;
    *arena = (struct arena){.ceiling = ceiling};
    /* Not NULL, so that an allocation of nothing is not taken for a failure; no byte of it is ever handed out. */
    arena->cursor = arena->end = (char *)arena;
    if (first != NULL && start < end) {
        arena->cursor = (char *)start;
        arena->end = (char *)end;
    }
}

void arena_free(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->cursor = arena->end = (char *)arena;
    arena->used = 0;
}

/* `size` is within the ceiling. */
static struct arena_chunk *add_chunk(struct arena *arena, size_t size)
{
    size_t bytes;
    struct arena_chunk *chunk = __builtin_add_overflow(sizeof(*chunk), size, &bytes) ? NULL : malloc(bytes);
    if (chunk == NULL)
        return NULL;
    *chunk = (struct arena_chunk){arena->chunks, size};
    arena->chunks = chunk;
    arena->used += size;
    return chunk;
}

void *arena_alloc_slow(struct arena *arena, size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > arena->ceiling - arena->used)
        return NULL;
    /* What would waste most of a chunk gets one of its own; the current one goes on being used. */
    if (rounded >= CHUNK_SIZE / 2) {
        struct arena_chunk *own = add_chunk(arena, rounded);
        return own != NULL ? own->memory : NULL;
    }
    size_t left = arena->ceiling - arena->used;
    struct arena_chunk *chunk = add_chunk(arena, left < CHUNK_SIZE ? left & ~(size_t)15 : CHUNK_SIZE);
    if (chunk == NULL)
        return NULL;
    arena->cursor = chunk->memory + rounded;
    arena->end = chunk->memory + chunk->size;
    return chunk->memory;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *memory = arena_alloc(arena, bytes);
    return memory != NULL ? memset(memory, 0, bytes) : NULL;
}

struct text arena_copy(struct arena *arena, struct text text)
{
    char *memory = text.size < SIZE_MAX ? arena_alloc(arena, text.size + 1) : NULL;
    if (memory == NULL)
        return TEXT_NONE;
    if (text.size != 0)
        memcpy(memory, text.data, text.size);
    memory[text.size] = '\0';
    return text_of(memory, text.size);
}
