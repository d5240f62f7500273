/* A cursor as a client sends it. The first byte chooses: 0 gives the rest to the parser as it is; anything else makes
 * the rest into values, which must come back as they went in, and for this purpose only. */
#include <stdlib.h>

#include "query/cursor.h"

static const struct text key = {"fuzz key", 8};

static void split_values(struct text rest, struct cursor *cursor)
{
    cursor->count = 0;
    while (rest.data != NULL && cursor->count < CURSOR_MAX_VALUES) {
        struct text value = text_split(&rest, '|');
        cursor->values[cursor->count++] = text_equal(value, TEXT("null")) ? TEXT_NONE : value;
    }
}

static void round_trip(struct text input, struct arena *arena)
{
    struct cursor written, read;
    struct buffer out;
    buffer_init(&out, 65536);
    split_values(input, &written);
    cursor_append(&out, key, TEXT("a"), &written);
    if (!out.failed) {
        if (cursor_parse(buffer_text(&out), key, TEXT("a"), arena, &read) != STATUS_OK || read.count != written.count)
            abort();
        for (size_t i = 0; i < read.count; i++)
            if (!text_equal(read.values[i], written.values[i]) ||
                (read.values[i].data == NULL) != (written.values[i].data == NULL))
                abort();
        if (cursor_parse(buffer_text(&out), key, TEXT("b"), arena, &read) != STATUS_INVALID)
            abort();
    }
    buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct cursor cursor;
    if (size == 0)
        return 0;
    arena_init(&arena, NULL, 0, 1 << 20);
    struct text input = text_of((const char *)data + 1, size - 1);
    if (data[0] != 0)
        round_trip(input, &arena);
    else if (cursor_parse(input, key, TEXT("a"), &arena, &cursor) == STATUS_OK && cursor.count > CURSOR_MAX_VALUES)
        abort();
    arena_free(&arena);
    return 0;
}
