#include "upload/tus_headers.h"

#include "base/encoding.h"

#define NUMBER_DIGITS 19

bool tus_headers_number(struct text header, uint64_t *value)
{
    uint64_t number = 0;
    if (header.size == 0 || header.size > NUMBER_DIGITS)
        return false;
    for (size_t i = 0; i < header.size; i++) {
        if (header.data[i] < '0' || header.data[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(header.data[i] - '0');
    }
    *value = number;
    return number <= INT64_MAX;
}

/* RFC 4648 section 4: with padding, without line ends, no bits behind the end. `out` has room for text.size / 4 * 3
 * bytes. */
static bool decode_base64(struct text text, char *out, size_t *out_size)
{
    size_t size = 0, padding = 0;
    if (text.size % 4 != 0)
        return false;
    for (size_t i = 0; i < text.size; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            char byte = text.data[i + k];
            bool pads = byte == '=' && i + 4 == text.size && k >= 2;
            int digit = pads ? 0 : encoding_base64_digit(byte, "+/");
            if (digit < 0 || (padding != 0 && !pads))
                return false;
            padding += pads;
            bits = bits << 6 | (uint32_t)digit;
        }
        if ((padding == 1 && (bits & 0xff) != 0) || (padding == 2 && (bits & 0xffff) != 0))
            return false;
        for (size_t k = 0; k < 3 - padding; k++)
            out[size++] = (char)(bits >> (16 - 8 * k));
    }
    *out_size = size;
    return true;
}

static bool is_key(struct text key)
{
    for (size_t i = 0; i < key.size; i++)
        if (key.data[i] <= ' ' || key.data[i] > '~')
            return false;
    return key.size != 0;
}

/* "key value" or "key". */
static enum status read_pair(struct text part, struct arena *arena, struct tus_metadata *metadata,
                             struct failure *failure)
{
    struct text rest = part, key = text_split(&rest, ' '), encoded = text_trim(rest);
    if (!is_key(key))
        return failure_set(failure, STATUS_INVALID,
                           "Upload-Metadata, part %zu: a key is one or more visible ASCII characters without comma; "
                           "send \"key base64,key base64\"",
                           metadata->count + 1);
    if (tus_headers_value(metadata, key).data != NULL)
        return failure_set(failure, STATUS_INVALID, "Upload-Metadata names \"%.*s\" twice; send it once",
                           key.size < 64 ? (int)key.size : 64, key.data);
    char *value = arena_alloc(arena, encoded.size / 4 * 3 + 1);
    size_t size = 0;
    if (value == NULL)
        return failure_set(failure, STATUS_TOO_LARGE, "Upload-Metadata needs more memory than one request may have");
    if (!decode_base64(encoded, value, &size) || !text_is_utf8(text_of(value, size)) ||
        memchr(value, '\0', size) != NULL)
        return failure_set(failure, STATUS_INVALID,
                           "Upload-Metadata: the value of \"%.*s\" is not the base64 (RFC 4648 section 4, with "
                           "padding) of a UTF-8 text without NUL",
                           key.size < 64 ? (int)key.size : 64, key.data);
    value[size] = '\0';
    metadata->pairs[metadata->count++] = (struct tus_pair){key, text_of(value, size)};
    return STATUS_OK;
}

enum status tus_headers_metadata(struct text header, struct arena *arena, struct tus_metadata *metadata,
                                 struct failure *failure)
{
    struct text rest = text_trim(header);
    metadata->count = 0;
    if (rest.size > TUS_METADATA_MAX)
        return failure_set(failure, STATUS_INVALID, "Upload-Metadata has %zu bytes, %d are allowed", rest.size,
                           TUS_METADATA_MAX);
    if (rest.size == 0)
        return STATUS_OK;
    while (rest.data != NULL) {
        struct text part = text_trim(text_split(&rest, ','));
        if (metadata->count == TUS_METADATA_PAIRS)
            return failure_set(failure, STATUS_INVALID, "Upload-Metadata has more than %d parts", TUS_METADATA_PAIRS);
        enum status status = read_pair(part, arena, metadata, failure);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

struct text tus_headers_value(const struct tus_metadata *metadata, struct text key)
{
    for (size_t i = 0; i < metadata->count; i++)
        if (text_equal(metadata->pairs[i].key, key))
            return metadata->pairs[i].value;
    return TEXT_NONE;
}

enum status tus_headers_checksum(struct text header, struct tus_checksum *checksum, struct failure *failure)
{
    static const struct {
        struct text name;
        enum tus_algorithm algorithm;
        size_t size;
    } algorithms[] = {{{"sha1", 4}, TUS_SHA1, 20}, {{"sha256", 6}, TUS_SHA256, 32}};
    char bytes[TUS_DIGEST_MAX + 4];
    size_t size = 0;
    checksum->algorithm = TUS_NONE;
    checksum->size = 0;
    if (header.data == NULL)
        return STATUS_OK;
    struct text rest = text_trim(header), name = text_split(&rest, ' '), encoded = text_trim(rest);
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (!text_equal(name, algorithms[i].name))
            continue;
        if (encoded.size > sizeof(bytes) / 3 * 4 || !decode_base64(encoded, bytes, &size) || size != algorithms[i].size)
            return failure_set(failure, STATUS_INVALID,
                               "Upload-Checksum: behind %.*s stands no base64 of %zu bytes; send the digest of this "
                               "request's body",
                               TEXT_ARGS(name), algorithms[i].size);
        memcpy(checksum->digest, bytes, size);
        checksum->algorithm = algorithms[i].algorithm;
        checksum->size = size;
        return STATUS_OK;
    }
    return failure_set(
        failure, STATUS_INVALID,
        "Upload-Checksum begins with the name of no algorithm that is offered here; send one of " TUS_ALGORITHMS);
}
