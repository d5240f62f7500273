#include "auth/keys_file.h"

#include <openssl/crypto.h>

#include "base/file.h"

#define MAX_PEM (64 * 1024)

static enum status add(const struct keys_file *file, struct key *key, struct key_list *list, struct failure *failure)
{
    switch (key_list_add(list, key)) {
    case KEY_LIST_FULL:
        return failure_set(failure, STATUS_INVALID, "%s: there are more than %d keys; remove those no longer in use",
                           file->file, KEY_LIST_MAX);
    case KEY_LIST_DUPLICATE:
        return failure_set(failure, STATUS_INVALID, "%s: another key has the kid \"%s\" already; give each its own",
                           file->file, file->kid != NULL ? file->kid : "");
    case KEY_LIST_ADDED:
        break;
    }
    return STATUS_OK;
}

enum status keys_file_read(const struct keys_file *file, struct key_list *list, struct failure *failure)
{
    struct buffer content;
    struct failure detail;
    struct key *key = NULL;
    const struct algorithm *algorithm = algorithm_find(text_from_string(file->algorithm));
    if (algorithm == NULL)
        return failure_set(failure, STATUS_INVALID,
                           "%s: the algorithm \"%s\" is unknown; use HS, RS or ES with 256, 384 or 512", file->file,
                           file->algorithm != NULL ? file->algorithm : "");
    bool is_secret = algorithm->kind == ALGORITHM_HMAC;
    buffer_init(&content, MAX_PEM);
    enum status status =
        is_secret ? file_read_secret(file->file, &content, failure) : file_read(file->file, &content, failure);
    if (status == STATUS_OK) {
        struct text kid = text_from_string(file->kid);
        status = is_secret ? key_from_secret(kid, algorithm, buffer_text(&content), &key, &detail)
                           : key_from_pem(kid, algorithm, buffer_text(&content), &key, &detail);
        status = status == STATUS_OK ? add(file, key, list, failure)
                                     : failure_set(failure, status, "%s: %s", file->file, detail.message);
    }
    if (content.data != NULL)
        OPENSSL_cleanse(content.data, content.capacity);
    buffer_free(&content);
    return status;
}

enum status keys_file_read_set(const char *path, const char *const *allowed, struct key_list *list,
                               struct jwk_skipped *skipped, struct failure *failure)
{
    struct buffer content;
    struct failure detail;
    buffer_init(&content, JWK_MAX_DOCUMENT);
    enum status status = file_read(path, &content, failure);
    if (status == STATUS_OK) {
        status = jwk_read_set(buffer_text(&content), allowed, list, skipped, &detail);
        if (status != STATUS_OK)
            failure_set(failure, status, "%s: %s", path, detail.message);
    }
    buffer_free(&content);
    return status;
}
