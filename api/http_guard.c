#include "api/http_guard.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "base/encoding.h"
#include "base/random.h"
#include "base/text.h"
#include "upload/http_head.h"

#define LINES_MAX 100 /* h2o's own bound of header lines */
#define LENGTH_DIGITS 18
#define BODY_CEILING 8192

/* picohttpparser's, whose header is not packaged. */
struct phr_header {
    const char *name; /* NULL: a folded line */
    size_t name_len;
    const char *value;
    size_t value_len;
};
struct phr_chunked_decoder; /* 16 bytes that h2o zeroes, but for consume_trailer: see struct decoder */

typedef int parser(const char *bytes, size_t size, const char **method, size_t *method_size, const char **path,
                   size_t *path_size, int *minor, struct phr_header *headers, size_t *header_count, size_t last);
/* All else of ours is hidden from libraries (CMakeLists.txt). */
#define STANDS_IN __attribute__((visibility("default")))
STANDS_IN parser phr_parse_request;
STANDS_IN ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *bytes, size_t *size);

enum {
    MALFORMED,
    BARE_LF,
    FOLDED,
    HOSTS,
    BAD_HOST,
    BAD_LENGTH,
    LENGTHS,
    BAD_CODING,
    BOTH,
    OLD_CODING,
    EXPECTATION,
    BAD_TARGET,
    BAD_NAME,
    TOO_LARGE,
    LONG_TARGET,
    TOO_MANY,
    REFUSALS,
    NONE = REFUSALS
};

static const struct http_guard_refusal refusals[REFUSALS] = {
    [MALFORMED] = {PROBLEM_BAD_REQUEST, "the head is not one of HTTP/1.1 or HTTP/1.0 (RFC 9112 section 2)"},
    [BARE_LF] = {PROBLEM_BAD_REQUEST, "a line of the head does not end with CR and LF (RFC 9112 section 2.2)"},
    [FOLDED] = {PROBLEM_BAD_REQUEST,
                "a header line begins with white space; folded header lines are not accepted (RFC 9112 section 5.2)"},
    [HOSTS] = {PROBLEM_BAD_REQUEST, "there must be one Host header (RFC 9112 section 3.2)"},
    [BAD_HOST] = {PROBLEM_BAD_REQUEST, "the Host header is not a host with an optional port (RFC 9112 section 3.2)"},
    [BAD_LENGTH] = {PROBLEM_BAD_REQUEST, "Content-Length is not a number of bytes (RFC 9112 section 6.2)"},
    [LENGTHS] = {PROBLEM_BAD_REQUEST, "there is more than one Content-Length (RFC 9112 section 6.3)"},
    [BAD_CODING] = {PROBLEM_BAD_REQUEST, "Transfer-Encoding is not chunked, once and alone (RFC 9112 section 6.1)"},
    [BOTH] = {PROBLEM_BAD_REQUEST,
              "Content-Length and Transfer-Encoding exclude each other; send one of them (RFC 9112 section 6.3)"},
    [OLD_CODING] = {PROBLEM_BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding (RFC 9112 section 6.1)"},
    [EXPECTATION] = {PROBLEM_BAD_REQUEST, "Expect is not 100-continue; send that, or no Expect"},
    [BAD_TARGET] = {PROBLEM_BAD_REQUEST, "the request's target is not a path; send it as /v1/… behind the method, and "
                                         "the host as the header Host"},
    [BAD_NAME] = {PROBLEM_BAD_REQUEST, "a header has no name (RFC 9112 section 5)"},
    [TOO_LARGE] = {PROBLEM_TOO_MANY_HEADERS, "the head is larger than 128 KB; send fewer or shorter headers"},
    [LONG_TARGET] = {PROBLEM_URI_TOO_LONG,
                     "the request's target is larger than 128 KB; use fewer or shorter parameters"},
    [TOO_MANY] = {PROBLEM_TOO_MANY_HEADERS, "there are more than 100 header lines; send fewer"},
};
/* The method of the request that stands for refusal i begins at names[i]: no client's can. */
static const char names[REFUSALS + 1] = "----------------";

static parser *real;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find_real(void)
{
    *(void **)&real = dlsym(RTLD_NEXT, "phr_parse_request");
}

const struct http_guard_refusal *http_guard_refusal(const h2o_req_t *req)
{
    const char *method = req->input.method.base;
    return method >= names && method < names + REFUSALS ? &refusals[method - names] : NULL;
}

static void answer(h2o_req_t *req, const struct http_guard_refusal *refusal)
{
    unsigned char random[10];
    char id[2 * sizeof(random) + 1];
    struct buffer body;
    random_bytes(random, sizeof(random));
    encoding_hex(random, sizeof(random), id);
    buffer_init(&body, BODY_CEILING);
    problem_append(&body, refusal->problem, text_from_string(refusal->words), TEXT(""), text_of(id, 2 * sizeof(random)),
                   NULL);
    h2o_iovec_t copy = h2o_strdup(&req->pool, body.data != NULL ? body.data : "", body.size);
    buffer_free(&body);
    req->http1_is_persistent = 0;
    req->res.status = problem_status(refusal->problem);
    req->res.reason = req->res.status == 400 ? "Bad Request" : "Request Header Fields Too Large";
    req->res.content_length = copy.len;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/problem+json"));
    h2o_send_inline(req, copy.base, copy.len);
}

static int on_refused(h2o_handler_t *handler, h2o_req_t *req)
{
    const struct http_guard_refusal *refusal = http_guard_refusal(req);
    (void)handler;
    if (refusal == NULL)
        return -1;
    answer(req, refusal);
    return 0;
}

void http_guard_register(h2o_hostconf_t *host)
{
    h2o_create_handler(h2o_config_register_path(host, "/", 0), sizeof(h2o_handler_t))->on_req = on_refused;
}

enum status http_guard_check(struct failure *failure)
{
    pthread_once(&once, find_real);
    if (real == NULL || real == phr_parse_request ||
        dlsym(RTLD_DEFAULT, "phr_parse_request") != (void *)phr_parse_request ||
        dlsym(RTLD_DEFAULT, "phr_decode_chunked") != (void *)phr_decode_chunked)
        return failure_set(failure, STATUS_FAILED,
                           "this build's guard does not stand before libh2o's parser: link libh2o-evloop as a shared "
                           "library that was built without -Bsymbolic, as Debian's is");
    return STATUS_OK;
}

/* Heads. */

static bool is_named(const struct phr_header *header, const char *name, size_t size)
{
    return header->name_len == size && strncasecmp(header->name, name, size) == 0;
}

static struct text value_of(const struct phr_header *header)
{
    return text_of(header->value, header->value_len);
}

static bool has_bare_line_feed(const char *bytes, size_t size)
{
    for (const char *at = bytes, *end = bytes + size; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        if (at == bytes || at[-1] != '\r')
            return true;
    return false;
}

static bool is_length(struct text value)
{
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    return value.size != 0 && value.size <= LENGTH_DIGITS;
}

/* Letters, digits and what else stands in names, IPv6 literals and ports. An empty one is allowed. */
static bool is_host(struct text value)
{
    for (size_t i = 0; i < value.size; i++) {
        char byte = value.data[i];
        bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        if (!is_letter && (byte < '0' || byte > '9') && (byte == '\0' || strchr("-._~:[]%!$&'()*+;=", byte) == NULL))
            return false;
    }
    return true;
}

static bool names_close(struct text list)
{
    while (list.data != NULL)
        if (text_equal_ignoring_case(text_trim(text_split(&list, ',')), TEXT("close")))
            return true;
    return false;
}

/* What the headers say of the framing, and of what follows. */
struct seen {
    unsigned hosts, lengths, codings;
    bool closes;
};

static int judge_header(struct phr_header *header, struct seen *seen)
{
    if (header->name == NULL)
        return FOLDED;
    switch (header->name_len) {
    case 0:
        return BAD_NAME;
    case 4:
        if (is_named(header, "host", 4)) {
            seen->hosts++;
            return is_host(value_of(header)) ? NONE : BAD_HOST;
        }
        return NONE;
    case 6:
        if (is_named(header, "expect", 6) && !text_equal_ignoring_case(value_of(header), TEXT("100-continue")))
            return EXPECTATION;
        return NONE;
    case 10:
        if (is_named(header, "connection", 10) && names_close(value_of(header)))
            seen->closes = true;
        return NONE;
    case 14:
        if (is_named(header, "content-length", 14)) {
            seen->lengths++;
            return is_length(value_of(header)) ? NONE : BAD_LENGTH;
        }
        return NONE;
    case 17:
        if (is_named(header, "transfer-encoding", 17)) {
            seen->codings++;
            return text_equal_ignoring_case(value_of(header), TEXT("chunked")) ? NONE : BAD_CODING;
        }
        return NONE;
    default:
        return NONE;
    }
}

static int judge_framing(const struct seen *seen, int minor)
{
    if (seen->hosts > 1 || (seen->hosts == 0 && minor != 0))
        return HOSTS;
    if (seen->lengths != 0 && seen->codings != 0)
        return BOTH;
    if (seen->lengths > 1)
        return LENGTHS;
    if (seen->codings > 1)
        return BAD_CODING;
    return seen->codings != 0 && minor == 0 ? OLD_CODING : NONE;
}

/* h2o takes "close, keep-alive" for keep-alive, and of several lines the last one. */
static void settle_connection(struct phr_header *headers, size_t count)
{
    static const char close[] = "close";
    for (size_t i = 0; i < count; i++)
        if (is_named(&headers[i], "connection", 10)) {
            headers[i].value = close;
            headers[i].value_len = sizeof(close) - 1;
        }
}

/* A client of HTTP/1.0 knows no interim answer, and h2o would send one. */
static void drop_expectations(struct phr_header *headers, size_t *count)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (!is_named(&headers[i], "expect", 6))
            headers[kept++] = headers[i];
    *count = kept;
}

static int judge(const char *bytes, size_t size, int minor, struct phr_header *headers, size_t *count)
{
    struct seen seen = {0};
    int verdict = has_bare_line_feed(bytes, size) ? BARE_LF : NONE;
    for (size_t i = 0; verdict == NONE && i < *count; i++) {
        struct text trimmed = text_trim(value_of(&headers[i]));
        headers[i].value = trimmed.data;
        headers[i].value_len = trimmed.size;
        verdict = judge_header(&headers[i], &seen);
    }
    if (verdict == NONE)
        verdict = judge_framing(&seen, minor);
    if (verdict != NONE)
        return verdict;
    if (seen.closes)
        settle_connection(headers, *count);
    if (minor == 0)
        drop_expectations(headers, count);
    return NONE;
}

/* The parser says only that it can't go on. */
static int explain(const char *bytes, size_t size)
{
    size_t lines = 0;
    for (const char *at = bytes, *end = bytes + size; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        lines++;
    return lines > LINES_MAX ? TOO_MANY : has_bare_line_feed(bytes, size) ? BARE_LF : MALFORMED;
}

/* All that has come belongs to the refused request: nothing of it is looked at again. */
static int stand_in(int refusal, size_t size, const char **method, size_t *method_size, const char **path,
                    size_t *path_size, int *minor, size_t *header_count)
{
    *method = names + refusal;
    *path = "/";
    *method_size = *path_size = 1;
    *minor = 1;
    *header_count = 0;
    return (int)size;
}

/* h2o's view: bytes of the head; -1: malformed, which it would close without a word; -2: more is needed. */
int phr_parse_request(const char *bytes, size_t size, const char **method, size_t *method_size, const char **path,
                      size_t *path_size, int *minor, struct phr_header *headers, size_t *header_count, size_t last)
{
    pthread_once(&once, find_real);
    int used = real(bytes, size, method, method_size, path, path_size, minor, headers, header_count, last);
    int refusal = NONE;
    if (used == -1)
        refusal = explain(bytes, size);
    else if (used == -2 ? size >= HTTP_GUARD_HEAD_MAX : (size_t)used > HTTP_GUARD_HEAD_MAX)
        refusal = memchr(bytes, '\n', HTTP_GUARD_HEAD_MAX) != NULL ? TOO_LARGE : LONG_TARGET;
    else if (used == -2)
        return used;
    else if (!http_head_is_token(text_of(*method, *method_size)))
        refusal = MALFORMED;
    else if (*path_size == 0 || **path != '/')
        refusal = BAD_TARGET;
    else
        refusal = judge(bytes, (size_t)used, *minor, headers, header_count);
    if (refusal == NONE)
        return used;
    return stand_in(refusal, size, method, method_size, path, path_size, minor, header_count);
}

/* Chunks: those of the ingest listener, in the room of picohttpparser's decoder. */

struct decoder {
    uint64_t left;
    unsigned char consume_trailer; /* h2o's wish, which is the rule here */
    unsigned char digits, state, unused;
    uint32_t trailer;
};
_Static_assert(sizeof(struct decoder) == 16, "picohttpparser's decoder has 16 bytes");

ssize_t phr_decode_chunked(struct phr_chunked_decoder *opaque, char *bytes, size_t *size)
{
    struct decoder decoder;
    memcpy(&decoder, opaque, sizeof(decoder));
    struct http_chunks chunks = {
        .state = decoder.state, .left = decoder.left, .digits = decoder.digits, .trailer = decoder.trailer};
    size_t kept, used, came = *size;
    bool done;
    enum status status = http_chunks_decode(&chunks, bytes, came, &kept, &used, &done);
    decoder.state = (unsigned char)chunks.state;
    decoder.left = chunks.left;
    decoder.digits = (unsigned char)chunks.digits;
    decoder.trailer = chunks.trailer;
    memcpy(opaque, &decoder, sizeof(decoder));
    *size = kept;
    if (status != STATUS_OK)
        return -1;
    if (!done)
        return -2;
    memmove(bytes + kept, bytes + used, came - used); /* what follows is the next request */
    return (ssize_t)(came - used);
}
