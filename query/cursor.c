#include "query/cursor.h"

#include "base/encoding.h"
#include "base/hash.h"

#define TAG_SIZE 16
/* Each value stands behind its size. */
#define MAX_PAYLOAD (CURSOR_MAX_SIZE + CURSOR_MAX_VALUES * 8)
#define MAX_PURPOSE 98304

/* HMAC over length-prefixed purpose and payload: no pair of them can be read as another pair. False: purpose too large,
 * or out of memory; then nothing may be compared with `tag`. */
static bool make_tag(struct text key, struct text purpose, struct text payload, unsigned char tag[HASH_SHA256_SIZE])
{
    struct buffer content;
    buffer_init(&content, MAX_PAYLOAD + MAX_PURPOSE);
    buffer_printf(&content, "sluice-cursor-1:%zu:", purpose.size);
    buffer_append_text(&content, purpose);
    buffer_append_text(&content, payload);
    bool made = !content.failed;
    if (made)
        hash_hmac_sha256(key, buffer_text(&content), tag);
    buffer_free(&content);
    return made;
}

void cursor_append(struct buffer *out, struct text key, struct text purpose, const struct cursor *cursor)
{
    unsigned char tag[HASH_SHA256_SIZE];
    struct buffer payload;
    buffer_init(&payload, MAX_PAYLOAD);
    for (size_t i = 0; i < cursor->count; i++) {
        /* "n;" for null, "5:value" otherwise. */
        if (cursor->values[i].data == NULL) {
            buffer_append_literal(&payload, "n;");
            continue;
        }
        buffer_printf(&payload, "%zu:", cursor->values[i].size);
        buffer_append_text(&payload, cursor->values[i]);
    }
    bool made = make_tag(key, purpose, buffer_text(&payload), tag);
    if (made)
        buffer_append(&payload, tag, TAG_SIZE);
    if (!made || payload.failed)
        out->failed = true;
    else
        encoding_base64url_append(out, payload.data, payload.size);
    buffer_free(&payload);
}

static enum status read_value(struct text *rest, struct arena *arena, struct text *value)
{
    int64_t size;
    *value = TEXT_NONE;
    if (text_starts_with(*rest, TEXT("n;"))) {
        *rest = text_of(rest->data + 2, rest->size - 2);
        return STATUS_OK;
    }
    struct text length = text_split(rest, ':');
    if (rest->data == NULL || !text_to_int64(length, &size) || size < 0 || (size_t)size > rest->size)
        return STATUS_INVALID;
    *value = arena_copy(arena, text_of(rest->data, (size_t)size));
    *rest = text_of(rest->data + size, rest->size - (size_t)size);
    return value->data != NULL ? STATUS_OK : STATUS_INVALID;
}

static enum status read_payload(struct text payload, struct arena *arena, struct cursor *cursor)
{
    cursor->count = 0;
    while (payload.size != 0) {
        if (cursor->count == CURSOR_MAX_VALUES)
            return STATUS_INVALID;
        enum status status = read_value(&payload, arena, &cursor->values[cursor->count]);
        if (status != STATUS_OK)
            return status;
        cursor->count++;
    }
    return STATUS_OK;
}

enum status cursor_parse(struct text text, struct text key, struct text purpose, struct arena *arena,
                         struct cursor *cursor)
{
    unsigned char tag[HASH_SHA256_SIZE];
    struct buffer decoded;
    enum status status = STATUS_INVALID;
    buffer_init(&decoded, MAX_PAYLOAD + TAG_SIZE);
    if (encoding_base64url_decode(text, &decoded) && decoded.size >= TAG_SIZE) {
        struct text payload = text_of(decoded.data, decoded.size - TAG_SIZE);
        if (make_tag(key, purpose, payload, tag) && hash_equal(tag, decoded.data + payload.size, TAG_SIZE))
            status = read_payload(payload, arena, cursor);
    }
    buffer_free(&decoded);
    return status;
}
