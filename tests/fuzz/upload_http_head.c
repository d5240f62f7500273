/* Any bytes as a request's head and its chunks: what is made of them does not depend on how they were cut, and what is
 * taken has one framing only. */
#include "upload/http_head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_head_verdict parse(const uint8_t *data, size_t size, struct http_head *head, char **copy)
{
    const char *reason = NULL;
    *copy = malloc(size + 1);
    if (*copy == NULL)
        abort();
    memcpy(*copy, data, size);
    enum http_head_verdict verdict = http_head_parse(*copy, size, head, &reason);
    if (reason == NULL || (verdict >= HTTP_HEAD_BAD) != (reason[0] != '\0'))
        abort();
    return verdict;
}

static bool is_named(const struct http_head_line *line, struct text name)
{
    return text_equal(line->name, name);
}

static void check_complete(const struct http_head *head, size_t size)
{
    unsigned framings = 0, hosts = 0;
    if (head->size > size || head->size > HTTP_HEAD_MAX || head->line_count > HTTP_HEAD_LINES)
        abort();
    for (size_t i = 0; i < head->line_count; i++) {
        const struct http_head_line *line = &head->lines[i];
        framings += is_named(line, TEXT("content-length")) || is_named(line, TEXT("transfer-encoding"));
        hosts += is_named(line, TEXT("host"));
        if (memchr(line->value.data, '\r', line->value.size) != NULL ||
            memchr(line->value.data, '\n', line->value.size) != NULL ||
            memchr(line->name.data, ' ', line->name.size) != NULL)
            abort();
    }
    if (framings > 1 || hosts > 1 || framings != (unsigned)head->chunked + head->has_length)
        abort();
}

/* Grows byte by byte, as a slow client sends it: the first word that is not "more" is the whole's. */
static size_t check_head(const uint8_t *data, size_t size)
{
    struct http_head whole, part;
    char *copy, *again;
    enum http_head_verdict verdict = parse(data, size, &whole, &copy), grown = HTTP_HEAD_MORE;
    for (size_t end = 0; end <= size && end < 2000 && grown == HTTP_HEAD_MORE; end++) {
        grown = parse(data, end, &part, &again);
        free(again);
    }
    if (grown != HTTP_HEAD_MORE && (grown != verdict || part.size != whole.size))
        abort();
    if (size < 2000 && grown != verdict)
        abort();
    if (verdict == HTTP_HEAD_COMPLETE)
        check_complete(&whole, size);
    free(copy);
    return verdict == HTTP_HEAD_COMPLETE ? whole.size : 0;
}

struct decoded {
    char *body;
    size_t size, used;
    bool done;
    enum status status;
};

static void decode(struct decoded *decoded, const uint8_t *data, size_t size, size_t piece)
{
    struct http_chunks chunks = {0};
    *decoded = (struct decoded){.body = malloc(size + 1)};
    if (decoded->body == NULL)
        abort();
    while (size != 0 && decoded->status == STATUS_OK && !decoded->done) {
        size_t some = size < piece ? size : piece, kept = 0, used = 0;
        char *bytes = malloc(some);
        if (bytes == NULL)
            abort();
        memcpy(bytes, data, some);
        decoded->status = http_chunks_decode(&chunks, bytes, some, &kept, &used, &decoded->done);
        if (kept > used || used > some || (used != some && decoded->status == STATUS_OK && !decoded->done))
            abort();
        memcpy(decoded->body + decoded->size, bytes, kept);
        decoded->size += kept;
        decoded->used += used;
        free(bytes);
        data += some;
        size -= some;
    }
}

static void check_chunks(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 2, 3, 17};
    struct decoded whole, cut;
    decode(&whole, data, size, size);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        decode(&cut, data, size, pieces[i]);
        if (cut.status != whole.status || cut.done != whole.done || cut.size != whole.size || cut.used != whole.used ||
            memcmp(cut.body, whole.body, whole.size) != 0)
            abort();
        free(cut.body);
    }
    free(whole.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t head = check_head(data, size);
    check_chunks(data + head, size - head);
    return 0;
}
