/* Growing bytes with a ceiling and a sticky failure: append without checking, look at `failed` once at the end. */
#ifndef SLUICE_BASE_BUFFER_H
#define SLUICE_BASE_BUFFER_H

#include "base/status.h"
#include "base/text.h"

struct buffer {
    char *data;      /* owned; malloc'd, or `first` */
    char *first;     /* the caller's; NULL: none */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated, never above ceiling */
    size_t ceiling;  /* bytes */
    bool failed; /* an append did not fit below the ceiling, or memory ran out; it and all later ones were dropped whole
                  */
};

/* No allocation until the first append. `ceiling` > 0. */
void buffer_init(struct buffer *buffer, size_t ceiling);
/* The first `size` bytes (at most `ceiling`) are the caller's, who keeps them as long as the buffer: what fits there
 * costs no allocation. */
void buffer_init_on(struct buffer *buffer, void *first, size_t size, size_t ceiling);
/* Frees the memory; the buffer may be used again as after buffer_init. */
void buffer_free(struct buffer *buffer);
/* Forgets content and failure, keeps the memory. */
void buffer_clear(struct buffer *buffer);
/* Room for `size` more bytes at data + size (the caller then raises buffer->size). NULL after failure. */
char *buffer_reserve_slow(struct buffer *buffer, size_t size);

static inline char *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (__builtin_expect(!buffer->failed && size <= buffer->capacity - buffer->size, 1))
        return buffer->data + buffer->size;
    return buffer_reserve_slow(buffer, size);
}

static inline void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    char *room = size != 0 ? buffer_reserve(buffer, size) : NULL;
    if (room != NULL) {
        memcpy(room, data, size);
        buffer->size += size;
    }
}

static inline void buffer_append_text(struct buffer *buffer, struct text text)
{
    buffer_append(buffer, text.data, text.size);
}

static inline void buffer_append_char(struct buffer *buffer, char byte)
{
    char *room = buffer_reserve(buffer, 1);
    if (room != NULL) {
        *room = byte;
        buffer->size++;
    }
}

/* For string literals. */
#define buffer_append_literal(buffer, literal) buffer_append((buffer), (literal), sizeof(literal) - 1)

void buffer_append_string(struct buffer *buffer, const char *string);
void buffer_append_int64(struct buffer *buffer, int64_t value);
void buffer_append_uint64(struct buffer *buffer, uint64_t value);
void buffer_printf(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
/* Drops the first `size` bytes (size <= buffer->size); moves the rest. */
void buffer_consume(struct buffer *buffer, size_t size);
/* A NUL after the content (not counted in size), and the content as a C string; NULL after failure. */
const char *buffer_c_string(struct buffer *buffer);

static inline struct text buffer_text(const struct buffer *buffer)
{
    return text_of(buffer->data, buffer->size);
}

#endif
