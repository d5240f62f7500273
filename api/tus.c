#include "api/tus.h"

#include <stdio.h>

#include "upload/tus_headers.h"

static void add(struct request *request, const char *name, struct text value)
{
    h2o_add_header_by_str(&request->h2o->pool, &request->h2o->res.headers, name, strlen(name), 0, NULL, value.data,
                          value.size);
}

bool tus_is(const struct request *request)
{
    return request->binding != NULL && text_starts_with(request->binding->operation->id, TEXT("uploadSession"));
}

void tus_add_version(struct request *request)
{
    if (tus_is(request))
        add(request, "tus-resumable", TEXT(TUS_VERSION));
}

void tus_add_capabilities(struct request *request)
{
    static const char sessions[] = "/v1/uploads/sessions";
    const struct server *server = request->worker->server;
    char *size = arena_alloc(&request->arena, 24);
    if (size == NULL || server->sessions == NULL || !text_starts_with(request->path, TEXT(sessions)))
        return;
    int digits = snprintf(size, 24, "%llu", (unsigned long long)sessions_most(server->sessions));
    add(request, "tus-version", TEXT(TUS_VERSION));
    add(request, "tus-extension", TEXT("creation,termination,checksum,expiration"));
    add(request, "tus-checksum-algorithm", TEXT(TUS_ALGORITHMS));
    add(request, "tus-max-size", text_of(size, (size_t)digits));
}
