#include "upload/http_head.h"

#include "upload/http_private.h"

const unsigned char http_token_bytes[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* Bytes of the head with its empty line; 0: not found. A line feed without its carriage return, or the other way round,
 * ends the search: others on the way may take either for a line's end. */
static size_t find_end(const char *bytes, size_t size, bool *bad)
{
    *bad = false;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            if (i == 0 || bytes[i - 1] != '\r')
                return *bad = true, 0;
            if (i >= 3 && bytes[i - 2] == '\n')
                return i + 1;
        } else if (i > 0 && bytes[i - 1] == '\r') {
            return *bad = true, 0;
        }
    }
    return 0;
}

static enum http_head_verdict tell(const char **reason, enum http_head_verdict verdict, const char *words)
{
    *reason = words;
    return verdict;
}

/* Takes the line off *rest, which ends with one. */
static struct text take_line(struct text *rest)
{
    const char *end = memchr(rest->data, '\r', rest->size);
    struct text line = text_of(rest->data, (size_t)(end - rest->data));
    rest->data += line.size + 2;
    rest->size -= line.size + 2;
    return line;
}

bool http_head_is_token(struct text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!http_is_token_byte(text.data[i]))
            return false;
    return text.size != 0;
}

static enum http_head_verdict parse_request_line(struct text line, struct http_head *head, const char **reason)
{
    const char *first = memchr(line.data, ' ', line.size);
    if (first == NULL)
        return tell(reason, HTTP_HEAD_BAD, "the request line is not METHOD TARGET HTTP/1.1");
    head->method = text_of(line.data, (size_t)(first - line.data));
    struct text rest = text_of(first + 1, line.size - head->method.size - 1);
    const char *second = memchr(rest.data, ' ', rest.size);
    if (second == NULL || !http_head_is_token(head->method))
        return tell(reason, HTTP_HEAD_BAD, "the request line is not METHOD TARGET HTTP/1.1");
    head->target = text_of(rest.data, (size_t)(second - rest.data));
    struct text version = text_of(second + 1, rest.size - head->target.size - 1);
    if (text_equal(version, TEXT("HTTP/1.1")))
        head->minor = 1;
    else if (!text_equal(version, TEXT("HTTP/1.0")))
        return tell(reason, HTTP_HEAD_BAD, "the version of HTTP is neither HTTP/1.1 nor HTTP/1.0");
    if (head->target.size == 0 || head->target.data[0] != '/')
        return tell(reason, HTTP_HEAD_BAD, "the request's target is not a path");
    for (size_t i = 0; i < head->target.size; i++)
        if ((unsigned char)head->target.data[i] <= 0x20 || (unsigned char)head->target.data[i] >= 0x7f)
            return tell(reason, HTTP_HEAD_BAD, "the request's target has a byte that must be percent-encoded");
    return HTTP_HEAD_COMPLETE;
}

static void make_lower(struct text name, char *bytes, const char *base)
{
    char *writable = bytes + (name.data - base);
    for (size_t i = 0; i < name.size; i++)
        if (writable[i] >= 'A' && writable[i] <= 'Z')
            writable[i] = (char)(writable[i] + ('a' - 'A'));
}

static enum http_head_verdict parse_line(struct text line, struct http_head *head, char *bytes, const char **reason)
{
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return tell(reason, HTTP_HEAD_BAD, "a header is folded over several lines");
    const char *colon = memchr(line.data, ':', line.size);
    if (colon == NULL)
        return tell(reason, HTTP_HEAD_BAD, "a header has no colon");
    struct text name = text_of(line.data, (size_t)(colon - line.data));
    struct text value = text_trim(text_of(colon + 1, line.size - name.size - 1));
    if (!http_head_is_token(name))
        return tell(reason, HTTP_HEAD_BAD, "a header's name has a byte that none may have");
    for (size_t i = 0; i < value.size; i++)
        if (!http_is_value_byte(value.data[i]))
            return tell(reason, HTTP_HEAD_BAD, "a header's value has a control character");
    if (head->line_count == HTTP_HEAD_LINES)
        return tell(reason, HTTP_HEAD_TOO_LARGE, "there are more than 100 headers");
    make_lower(name, bytes, bytes);
    head->lines[head->line_count++] = (struct http_head_line){name, value};
    return HTTP_HEAD_COMPLETE;
}

static bool parse_length(struct text value, uint64_t *length)
{
    int64_t number = 0;
    if (value.size == 0 || value.data[0] == '-' || !text_to_int64(value, &number))
        return false;
    *length = (uint64_t)number;
    return true;
}

/* What the headers say of each other: their number, and the body's framing. */
struct framing {
    size_t hosts, lengths, codings;
    bool odd_expectation;
};

static enum http_head_verdict judge_line(const struct http_head_line *line, struct http_head *head,
                                         struct framing *framing, const char **reason)
{
    if (text_equal(line->name, TEXT("host"))) {
        framing->hosts++;
    } else if (text_equal(line->name, TEXT("content-length"))) {
        framing->lengths++;
        head->has_length = true;
        if (!parse_length(line->value, &head->length))
            return tell(reason, HTTP_HEAD_BAD, "Content-Length is not a number of bytes");
    } else if (text_equal(line->name, TEXT("transfer-encoding"))) {
        framing->codings++;
        head->chunked = true;
        if (!text_equal_ignoring_case(line->value, TEXT("chunked")))
            return tell(reason, HTTP_HEAD_BAD, "Transfer-Encoding is not chunked alone");
    } else if (text_equal(line->name, TEXT("expect"))) {
        if (!text_equal_ignoring_case(line->value, TEXT("100-continue")))
            framing->odd_expectation = true;
        else if (head->minor == 1)
            head->expects_continue = true;
    }
    return HTTP_HEAD_COMPLETE;
}

static enum http_head_verdict judge(struct http_head *head, const char **reason)
{
    struct framing framing = {0};
    for (size_t i = 0; i < head->line_count; i++) {
        enum http_head_verdict verdict = judge_line(&head->lines[i], head, &framing, reason);
        if (verdict != HTTP_HEAD_COMPLETE)
            return verdict;
    }
    if (framing.hosts > 1 || (framing.hosts == 0 && head->minor == 1))
        return tell(reason, HTTP_HEAD_BAD, "there must be one Host header");
    if (framing.lengths > 1)
        return tell(reason, HTTP_HEAD_BAD, "there is more than one Content-Length");
    if (framing.codings > 1)
        return tell(reason, HTTP_HEAD_BAD, "there is more than one Transfer-Encoding");
    if (framing.lengths != 0 && framing.codings != 0)
        return tell(reason, HTTP_HEAD_BAD, "Content-Length and Transfer-Encoding exclude each other");
    if (framing.codings != 0 && head->minor == 0)
        return tell(reason, HTTP_HEAD_BAD, "HTTP/1.0 has no Transfer-Encoding");
    if (framing.odd_expectation)
        return tell(reason, HTTP_HEAD_EXPECTATION, "Expect is not 100-continue");
    return HTTP_HEAD_COMPLETE;
}

enum http_head_verdict http_head_parse(char *bytes, size_t size, struct http_head *head, const char **reason)
{
    bool bad = false;
    size_t end = find_end(bytes, size < HTTP_HEAD_MAX ? size : HTTP_HEAD_MAX, &bad);
    memset(head, 0, sizeof(*head));
    *reason = "";
    if (bad)
        return tell(reason, HTTP_HEAD_BAD, "a line of the head does not end with CR and LF");
    if (end == 0 && size >= HTTP_HEAD_MAX)
        return tell(reason, HTTP_HEAD_TOO_LARGE, "the head is larger than 32 KB");
    if (end == 0)
        return HTTP_HEAD_MORE;
    head->size = end;
    struct text rest = text_of(bytes, end - 2);
    enum http_head_verdict verdict = parse_request_line(take_line(&rest), head, reason);
    while (verdict == HTTP_HEAD_COMPLETE && rest.size != 0)
        verdict = parse_line(take_line(&rest), head, bytes, reason);
    return verdict == HTTP_HEAD_COMPLETE ? judge(head, reason) : verdict;
}
