/* Any bytes as the headers of tus: what is taken is bounded, decoded to UTF-8, and every key stands there once. */
#include "upload/tus_headers.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_metadata(struct text header)
{
    struct arena arena;
    struct tus_metadata metadata;
    struct failure failure;
    arena_init(&arena, NULL, 0, 64 << 10);
    if (tus_headers_metadata(header, &arena, &metadata, &failure) == STATUS_OK) {
        size_t bytes = 0;
        if (metadata.count > TUS_METADATA_PAIRS)
            abort();
        for (size_t i = 0; i < metadata.count; i++) {
            struct tus_pair pair = metadata.pairs[i];
            struct text found = tus_headers_value(&metadata, pair.key);
            if (found.data != pair.value.data || pair.key.size == 0 || !text_is_utf8(pair.value) ||
                pair.value.data[pair.value.size] != '\0' || strlen(pair.value.data) != pair.value.size)
                abort();
            bytes += pair.key.size + pair.value.size;
        }
        if (bytes > header.size)
            abort();
    } else if (failure.message[0] == '\0') {
        abort();
    }
    arena_free(&arena);
}

static void check_checksum(struct text header)
{
    struct tus_checksum checksum;
    if (tus_headers_checksum(header, &checksum, NULL) == STATUS_OK &&
        checksum.size != (checksum.algorithm == TUS_SHA1     ? 20u
                          : checksum.algorithm == TUS_SHA256 ? 32u
                                                             : 0u))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* exactly as long: a byte read behind it is seen */
    uint64_t number = 0;
    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    copy = realloc(copy, size != 0 ? size : 1);
    struct text header = text_of(copy, size);
    check_metadata(header);
    check_checksum(header);
    if (tus_headers_number(header, &number) && number > INT64_MAX)
        abort();
    free(copy);
    return 0;
}
