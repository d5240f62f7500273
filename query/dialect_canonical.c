/* One spelling for each query string: Content-Location, and what identifies an answer in caches. */
#include <stdlib.h>

#include "query/dialect_private.h"

struct entry {
    struct dialect_pair pair;
    size_t index; /* keeps the order of equal names, which says what the first select is */
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    struct text x = a->pair.name, y = b->pair.name;
    int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);
    if (order == 0)
        order = (x.size > y.size) - (x.size < y.size);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/* RFC 3986's unreserved characters, and of the others that may stand in a query those that filters are full of. */
static bool stands_bare(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("-._~,:()*!$@/", byte) != NULL);
}

static size_t encoded_size(struct text text)
{
    size_t size = text.size;
    for (size_t i = 0; i < text.size; i++)
        size += stands_bare(text.data[i]) ? 0 : 2;
    return size;
}

static char *encode(struct text text, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (stands_bare(text.data[i])) {
            *out++ = text.data[i];
        } else {
            *out++ = '%';
            *out++ = digits[byte >> 4];
            *out++ = digits[byte & 15];
        }
    }
    return out;
}

static bool join(struct arena *arena, const struct entry *entries, size_t count, struct text *canonical)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += encoded_size(entries[i].pair.name) + encoded_size(entries[i].pair.value) + 2;
    char *start = arena_alloc(arena, size), *out = start;
    if (start == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (i != 0)
            *out++ = '&';
        out = encode(entries[i].pair.name, out);
        *out++ = '=';
        out = encode(entries[i].pair.value, out);
    }
    *canonical = text_of(start, (size_t)(out - start));
    return true;
}

enum status dialect_canonical(struct text raw, struct arena *arena, struct text *canonical)
{
    struct dialect_mistake mistake;
    struct dialect_parser parser;
    struct dialect_pair pair;
    struct entry *entries = NULL;
    size_t count = 0;
    dialect_begin(&parser, arena, &mistake);
    while (dialect_next_pair(&parser, &raw, &pair)) {
        if (text_equal(pair.name, TEXT("cursor")))
            continue;
        entries = dialect_grow(&parser, entries, count, sizeof(*entries));
        if (entries == NULL)
            break;
        entries[count] = (struct entry){pair, count};
        count++;
    }
    if (parser.status != STATUS_OK)
        return parser.status;
    if (count != 0)
        qsort(entries, count, sizeof(*entries), compare_entries);
    return join(arena, entries, count, canonical) ? STATUS_OK : STATUS_TOO_LARGE;
}
