/* The header: what is applied can be read again, and then says the same. */
#include <stdlib.h>

#include "api/prefer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status read_and_tell(struct text header, struct arena *arena, struct buffer *applied)
{
    struct prefer prefer;
    struct prefer_mistake mistake;
    enum status status = prefer_read(header, arena, &prefer, &mistake);
    if (status != STATUS_OK && mistake.message[0] == '\0')
        abort();
    if (prefer.timezone.size > 64 || prefer.strict != (prefer.handling == PREFER_HANDLING_STRICT))
        abort();
    prefer_append_applied(applied, &prefer);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct buffer first, second;
    arena_init(&arena, NULL, 0, 1 << 16);
    buffer_init(&first, 4096);
    buffer_init(&second, 4096);
    enum status status = read_and_tell(text_of((const char *)data, size), &arena, &first);
    for (size_t i = 0; i < first.size; i++)
        if (first.data[i] < ' ' || first.data[i] > '~')
            abort();
    if (status != STATUS_TOO_LARGE && (read_and_tell(buffer_text(&first), &arena, &second) != STATUS_OK ||
                                       !text_equal(buffer_text(&first), buffer_text(&second))))
        abort();
    buffer_free(&first);
    buffer_free(&second);
    arena_free(&arena);
    return 0;
}
