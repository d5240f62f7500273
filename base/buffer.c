#include "base/buffer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAPACITY 256

void buffer_init(struct buffer *buffer, size_t ceiling)
{
    *buffer = (struct buffer){.ceiling = ceiling};
}

void buffer_init_on(struct buffer *buffer, void *first, size_t size, size_t ceiling)
{
    *buffer = (struct buffer){.data = first, .first = first, .capacity = size, .ceiling = ceiling};
}

void buffer_free(struct buffer *buffer)
{
    if (buffer->data != buffer->first)
        free(buffer->data);
    buffer_init(buffer, buffer->ceiling);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

char *buffer_reserve_slow(struct buffer *buffer, size_t size)
{
    if (buffer->failed)
        return NULL;
    if (size <= buffer->capacity - buffer->size)
        return buffer->data + buffer->size;
    if (size > buffer->ceiling - buffer->size) {
        buffer->failed = true;
        return NULL;
    }
    size_t needed = buffer->size + size;
    size_t capacity = buffer->capacity != 0 ? buffer->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity = capacity > buffer->ceiling / 2 ? buffer->ceiling : capacity * 2;
    if (capacity > buffer->ceiling)
        capacity = buffer->ceiling;
    bool lent = buffer->data == buffer->first;
    char *data = realloc(lent ? NULL : buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return NULL;
    }
    if (lent && buffer->size != 0)
        memcpy(data, buffer->data, buffer->size);
    buffer->data = data;
    buffer->capacity = capacity;
    return buffer->data + buffer->size;
}

void buffer_append_string(struct buffer *buffer, const char *string)
{
    buffer_append(buffer, string, strlen(string));
}

static void append_integer(struct buffer *buffer, uint64_t size, bool negative)
{
    char digits[21];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + size % 10);
    while ((size /= 10) != 0);
    if (negative)
        digits[--at] = '-';
    buffer_append(buffer, digits + at, sizeof(digits) - at);
}

void buffer_append_uint64(struct buffer *buffer, uint64_t value)
{
    append_integer(buffer, value, false);
}

void buffer_append_int64(struct buffer *buffer, int64_t value)
{
    append_integer(buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    size_t room = buffer->failed ? 0 : buffer->capacity - buffer->size;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(room != 0 ? buffer->data + buffer->size : NULL, room, format, arguments);
    va_end(arguments);
    /* One byte more than is kept, for printf's NUL. */
    if (size < 0)
        buffer->failed = true;
    else if ((size_t)size < room)
        buffer->size += (size_t)size;
    else if (buffer_reserve(buffer, (size_t)size + 1) != NULL) {
        vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, again);
        buffer->size += (size_t)size;
    }
    va_end(again);
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    buffer->size -= size;
    if (size != 0 && buffer->size != 0)
        memmove(buffer->data, buffer->data + size, buffer->size);
}

const char *buffer_c_string(struct buffer *buffer)
{
    char *end = buffer_reserve(buffer, 1);
    if (end == NULL)
        return NULL;
    *end = '\0';
    return buffer->data;
}
