#include "auth/principal.h"

#include <stdlib.h>

struct counted {
    struct principal principal; /* first: its address is the whole's */
    size_t references;          /* one thread: not atomic */
    char memory[];
};

static struct text copy(char **cursor, struct text text)
{
    if (text.size == 0)
        return TEXT_NONE;
    struct text result = text_of(memcpy(*cursor, text.data, text.size), text.size);
    *cursor += text.size;
    return result;
}

size_t principal_size(const struct principal *principal)
{
    size_t size = sizeof(struct counted) + principal->subject.size + principal->customer.size + principal->tier.size +
                  principal->token_id.size;
    for (size_t i = 0; i < principal->scope_count; i++)
        size += principal->scopes[i].size;
    return size;
}

const struct principal *principal_create(const struct principal *content)
{
    struct counted *counted = malloc(principal_size(content));
    if (counted == NULL)
        return NULL;
    char *cursor = counted->memory;
    counted->references = 1;
    struct principal *principal = &counted->principal;
    *principal = (struct principal){.scope_count = content->scope_count,
                                    .issued_at = content->issued_at,
                                    .expires_at = content->expires_at,
                                    .serial = content->serial};
    principal->subject = copy(&cursor, content->subject);
    principal->customer = copy(&cursor, content->customer);
    principal->tier = copy(&cursor, content->tier);
    principal->token_id = copy(&cursor, content->token_id);
    for (size_t i = 0; i < content->scope_count; i++)
        principal->scopes[i] = copy(&cursor, content->scopes[i]);
    return principal;
}

void principal_ref(const struct principal *principal)
{
    ((struct counted *)(uintptr_t)principal)->references++;
}

void principal_unref(const struct principal *principal)
{
    struct counted *counted = (struct counted *)(uintptr_t)principal;
    if (counted != NULL && --counted->references == 0)
        free(counted);
}

bool principal_has_scope(const struct principal *principal, struct text scope)
{
    for (size_t i = 0; i < principal->scope_count; i++)
        if (text_equal(principal->scopes[i], scope))
            return true;
    return false;
}
