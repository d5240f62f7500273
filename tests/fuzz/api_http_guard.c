/* Any bytes as h2o gets them: what the guard lets through is one request in the ingest listener's eyes too, with the
 * same end and the same framing, but for what is named here; what it refuses takes all that came. */
#include "api/http_guard.h"

#include <stdlib.h>

#include "upload/http_head.h"

struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
int phr_parse_request(const char *bytes, size_t size, const char **method, size_t *method_size, const char **path,
                      size_t *path_size, int *minor, struct phr_header *headers, size_t *header_count, size_t last);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_named(const struct phr_header *headers, size_t count, const char *name)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += headers[i].name_len == strlen(name) && strncasecmp(headers[i].name, name, strlen(name)) == 0;
    return found;
}

/* The ingest listener knows neither HTTP/1.2 nor empty lines before the request, takes smaller heads, and of the target
 * and the values only what may stand there. */
static bool is_known_difference(const h2o_req_t *req, int minor, const char *bytes, int used)
{
    if (minor > 1 || bytes[0] == '\r' || (size_t)used >= HTTP_HEAD_MAX)
        return true;
    for (size_t i = 0; i < req->input.path.len; i++)
        if ((unsigned char)req->input.path.base[i] >= 0x7f)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    struct phr_header headers[100];
    size_t count = 100;
    int minor = 0;
    const char *reason;
    h2o_req_t req = {0};
    char *bytes = malloc(size + 1), *copy = malloc(size + 1);
    if (bytes == NULL || copy == NULL)
        abort();
    memcpy(bytes, data, size);
    memcpy(copy, data, size);
    int used = phr_parse_request(bytes, size, (const char **)&req.input.method.base, &req.input.method.len,
                                 (const char **)&req.input.path.base, &req.input.path.len, &minor, headers, &count, 0);
    if (used == -1 || used > (int)size)
        abort();
    if (used >= 0 && http_guard_refusal(&req) != NULL && (used != (int)size || count != 0))
        abort();
    if (used >= 0 && http_guard_refusal(&req) == NULL && !is_known_difference(&req, minor, bytes, used)) {
        size_t lengths = count_named(headers, count, "content-length");
        size_t codings = count_named(headers, count, "transfer-encoding");
        if (http_head_parse(copy, size, &head, &reason) != HTTP_HEAD_COMPLETE && head.minor != 0)
            abort();
        if (head.size != 0 && (head.size != (size_t)used || head.has_length != (lengths == 1) ||
                               head.chunked != (codings == 1) || lengths + codings > 1))
            abort();
    }
    free(bytes);
    free(copy);
    return 0;
}
