/* Any bytes through base64url, hexadecimal and percent-encoding, and any text through the decoders: what a decoder
 * accepts is what the encoder writes. */
#include "base/encoding.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_base64url(struct text text)
{
    struct buffer encoded, decoded;
    buffer_init(&encoded, text.size * 2 + 8);
    buffer_init(&decoded, text.size + 8);
    encoding_base64url_append(&encoded, text.data, text.size);
    if (encoded.failed || !encoding_base64url_decode(buffer_text(&encoded), &decoded) ||
        !text_equal(text, buffer_text(&decoded)))
        abort();
    buffer_clear(&encoded);
    buffer_clear(&decoded);
    if (encoding_base64url_decode(text, &decoded)) {
        encoding_base64url_append(&encoded, decoded.data, decoded.size);
        if (!text_equal(text, buffer_text(&encoded)))
            abort();
    } else if (decoded.size != 0) {
        abort();
    }
    buffer_free(&encoded);
    buffer_free(&decoded);
}

/* In place, as the router does. */
static void check_percent(struct text text, bool plus_is_space)
{
    struct buffer encoded;
    size_t size = 0, again = 0;
    char *memory = malloc(text.size + 1);
    if (memory == NULL)
        return;
    if (text.size != 0)
        memcpy(memory, text.data, text.size);
    buffer_init(&encoded, text.size * 3 + 1);
    if (encoding_percent_decode(text_of(memory, text.size), plus_is_space, memory, &size)) {
        if (size > text.size || memchr(memory, '\0', size) != NULL)
            abort();
        struct text decoded = text_of(memory, size);
        encoding_percent_append(&encoded, decoded);
        if (encoded.size != 0 && (!encoding_percent_decode(buffer_text(&encoded), true, encoded.data, &again) ||
                                  !text_equal(decoded, text_of(encoded.data, again))))
            abort();
    }
    buffer_free(&encoded);
    free(memory);
}

static void check_hex(struct text text)
{
    char *out = malloc(text.size * 2 + 1);
    if (out == NULL)
        return;
    encoding_hex(text.data, text.size, out);
    for (size_t i = 0; i < text.size; i++) {
        char pair[3] = {out[2 * i], out[2 * i + 1], '\0'};
        if (strtoul(pair, NULL, 16) != (unsigned char)text.data[i])
            abort();
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = text_of((const char *)data, size);
    check_base64url(text);
    check_percent(text, true);
    check_percent(text, false);
    check_hex(text);
    return 0;
}
