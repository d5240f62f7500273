/* From a session's metadata to the order of a load: they have the names of putUpload's parameters. */
#include <stdio.h>

#include "api/problem.h"
#include "handlers/upload_name.h"
#include "handlers/upload_session.h"

#define NAME_MAX_SIZE 63

/* What clients add of their own accord; told back, and not used. */
static const char *const ignored[] = {"filename", "filetype", "name", "type", "relativePath", NULL};

static bool is_name(struct text name)
{
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        if (!((byte >= 'a' && byte <= 'z') || byte == '_' || (i != 0 && byte >= '0' && byte <= '9')))
            return false;
    }
    return name.size != 0 && name.size <= NAME_MAX_SIZE;
}

static bool refuse(struct request *request, const char *words)
{
    struct problem_mistake mistake = {.place = "header", .field = "Upload-Metadata", .message = words};
    problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    return false;
}

static bool is_ignored(struct text key)
{
    for (size_t i = 0; ignored[i] != NULL; i++)
        if (text_equal(key, text_from_string(ignored[i])))
            return true;
    return false;
}

/* A key that is misspelt would be a load of another kind than was wanted. */
static bool place_pair(struct request *request, const struct tus_pair *pair, struct text asked[LOAD_ORDER_PARAMETERS])
{
    char words[256];
    for (size_t i = 0; i < LOAD_ORDER_PARAMETERS; i++)
        if (text_equal(pair->key, text_from_string(load_order_parameters[i]))) {
            asked[i] = pair->value;
            return true;
        }
    if (text_equal(pair->key, TEXT("dataset")) || text_equal(pair->key, TEXT("content_encoding")) ||
        is_ignored(pair->key))
        return true;
    snprintf(words, sizeof(words),
             "has an unknown key \"%.*s\"; it takes dataset, content_encoding, filename, filetype, name, type, "
             "relativePath and the parameters of putUpload",
             pair->key.size < 64 ? (int)pair->key.size : 64, pair->key.data);
    return refuse(request, words);
}

static bool read_metadata(struct request *request, struct text header, struct tus_metadata *metadata,
                          struct text asked[LOAD_ORDER_PARAMETERS])
{
    struct failure failure;
    if (tus_headers_metadata(header, &request->arena, metadata, &failure) != STATUS_OK) {
        problem_send(request, PROBLEM_INVALID_PARAMETER, "%s", failure.message);
        return false;
    }
    for (size_t i = 0; i < LOAD_ORDER_PARAMETERS; i++)
        asked[i] = TEXT_NONE;
    for (size_t i = 0; i < metadata->count; i++)
        if (!place_pair(request, &metadata->pairs[i], asked))
            return false;
    return is_name(tus_headers_value(metadata, TEXT("dataset"))) ||
           refuse(request, "needs the key dataset: the upload's name, a letter or _ and up to 62 letters, digits or _, "
                           "all in lower case");
}

/* A load whose answer was lost, or whose process was killed behind its commit, is not made twice. */
static bool set_key(struct load_task *task, const char *id)
{
    char text[16 + SESSIONS_ID_SIZE];
    struct load_idempotency *idempotency = &task->order.idempotency;
    *idempotency = (struct load_idempotency){TEXT_NONE, TEXT_NONE};
    if (id == NULL)
        return true;
    snprintf(text, sizeof(text), "tus-%s", id);
    idempotency->key = arena_copy(&task->arena, text_from_string(text));
    idempotency->operation = TEXT("uploadSession");
    return idempotency->key.data != NULL;
}

static bool complete(struct request *request, struct load_task *task, const struct upload_name *name, const char *id)
{
    task->names = name->names;
    task->customer = arena_copy(&task->arena, request->principal->customer);
    task->order.customer = task->customer.data;
    task->order.schema = text_from_string(task->names.uploads);
    task->order.relation = arena_copy(&task->arena, name->relation);
    task->digest = TEXT_NONE; /* those of the request's own headers are about the piece */
    task->coding = BODY_IDENTITY;
    load_order_quota(request, &task->order);
    return task->customer.data != NULL && task->order.relation.data != NULL && set_key(task, id);
}

struct load_task *upload_session_order(struct request *request, struct text header, const char *id)
{
    struct upload_name name;
    struct tus_metadata metadata;
    struct text asked[LOAD_ORDER_PARAMETERS];
    enum body_coding coding;
    if (!read_metadata(request, header, &metadata, asked) ||
        upload_name_find(request, tus_headers_value(&metadata, TEXT("dataset")), &name) != STAGE_NEXT)
        return NULL;
    if (!body_coding_named(tus_headers_value(&metadata, TEXT("content_encoding")), &coding)) {
        refuse(request, "has a content_encoding other than gzip, zstd and identity");
        return NULL;
    }
    struct load_task *task = load_order_create(request, "uploadSession", name.dataset, asked, NULL, 0);
    if (task == NULL)
        return NULL;
    if (!complete(request, task, &name, id)) {
        load_order_free(task);
        problem_send_status(request, STATUS_TOO_LARGE);
        return NULL;
    }
    task->coding = coding;
    request->plan = (struct plan){.target = PLAN_UPLOAD, .lane = PLAN_COPY, .relation = name.dataset};
    request->has_plan = true;
    return task;
}
