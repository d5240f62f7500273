#include "upload/body_private.h"

#define TEXT_LEFT(parser) ((parser)->at < (parser)->end)

struct parser {
    const char *at, *end;
};

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_alpha(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool take(struct parser *parser, char c)
{
    if (!TEXT_LEFT(parser) || *parser->at != c)
        return false;
    parser->at++;
    return true;
}

static void pass_spaces(struct parser *parser, bool tabs)
{
    while (TEXT_LEFT(parser) && (*parser->at == ' ' || (tabs && *parser->at == '\t')))
        parser->at++;
}

static bool parse_key(struct parser *parser, struct text *key)
{
    const char *from = parser->at;
    if (!TEXT_LEFT(parser) || !(is_lower(*from) || *from == '*'))
        return false;
    while (TEXT_LEFT(parser) &&
           (is_lower(*parser->at) || is_digit(*parser->at) || strchr("_-.*", *parser->at) != NULL) &&
           *parser->at != '\0')
        parser->at++;
    *key = text_of(from, (size_t)(parser->at - from));
    return true;
}

/* An integer or a decimal; @ and an integer is a date of RFC 9651. */
static bool parse_number(struct parser *parser)
{
    size_t digits = 0, behind = 0;
    (void)take(parser, '-');
    for (; TEXT_LEFT(parser) && is_digit(*parser->at); parser->at++)
        digits++;
    if (digits == 0 || digits > 15 || !take(parser, '.'))
        return digits != 0 && digits <= 15;
    for (; TEXT_LEFT(parser) && is_digit(*parser->at); parser->at++)
        behind++;
    return digits <= 12 && behind >= 1 && behind <= 3;
}

static bool parse_string(struct parser *parser)
{
    parser->at++;
    while (TEXT_LEFT(parser)) {
        unsigned char c = (unsigned char)*parser->at++;
        if (c == '"')
            return true;
        if (c == '\\' && (!TEXT_LEFT(parser) || (*parser->at != '"' && *parser->at != '\\')))
            return false;
        if (c == '\\')
            parser->at++;
        else if (c < 0x20 || c >= 0x7f)
            return false;
    }
    return false;
}

static bool parse_token(struct parser *parser)
{
    while (TEXT_LEFT(parser) && *parser->at != '\0' &&
           (is_alpha(*parser->at) || is_digit(*parser->at) || strchr("!#$%&'*+-.^_`|~:/", *parser->at) != NULL))
        parser->at++;
    return true;
}

static bool parse_bytes(struct parser *parser, struct text *bytes)
{
    const char *from = ++parser->at;
    while (TEXT_LEFT(parser) && *parser->at != ':' && *parser->at != '\0' &&
           (is_alpha(*parser->at) || is_digit(*parser->at) || strchr("+/=", *parser->at) != NULL))
        parser->at++;
    *bytes = text_of(from, (size_t)(parser->at - from));
    return take(parser, ':');
}

/* *bytes: the base64 of a byte sequence; TEXT_NONE for the other kinds. */
static bool parse_bare_item(struct parser *parser, struct text *bytes)
{
    *bytes = TEXT_NONE;
    if (!TEXT_LEFT(parser))
        return false;
    switch (*parser->at) {
    case ':':
        return parse_bytes(parser, bytes);
    case '"':
        return parse_string(parser);
    case '%': /* RFC 9651: a display string */
        parser->at++;
        return TEXT_LEFT(parser) && *parser->at == '"' && parse_string(parser);
    case '?':
        parser->at++;
        return take(parser, '0') || take(parser, '1');
    case '@':
        parser->at++;
        return parse_number(parser);
    case '*':
        return parse_token(parser);
    default:
        if (is_alpha(*parser->at))
            return parse_token(parser);
        return parse_number(parser);
    }
}

static bool parse_parameters(struct parser *parser)
{
    struct text ignored;
    while (take(parser, ';')) {
        pass_spaces(parser, false);
        if (!parse_key(parser, &ignored) || (take(parser, '=') && !parse_bare_item(parser, &ignored)))
            return false;
    }
    return true;
}

static bool parse_inner_list(struct parser *parser)
{
    struct text ignored;
    parser->at++;
    for (;;) {
        pass_spaces(parser, false);
        if (take(parser, ')'))
            return true;
        if (!parse_bare_item(parser, &ignored) || !parse_parameters(parser))
            return false;
        if (!TEXT_LEFT(parser) || (*parser->at != ' ' && *parser->at != ')'))
            return false;
    }
}

static bool parse_member(struct parser *parser, struct text *key, struct text *bytes)
{
    *bytes = TEXT_NONE;
    if (!parse_key(parser, key))
        return false;
    if (take(parser, '=')) {
        bool is_list = TEXT_LEFT(parser) && *parser->at == '(';
        if (is_list ? !parse_inner_list(parser) : !parse_bare_item(parser, bytes))
            return false;
    }
    return parse_parameters(parser);
}

static int sextet(char c)
{
    if (is_digit(c))
        return c - '0' + 52;
    if (is_lower(c))
        return c - 'a' + 26;
    if (is_alpha(c))
        return c - 'A';
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Exactly `size` bytes of base64; its padding may be missing (RFC 8941, 4.2.7). */
static bool decode(struct text base64, unsigned char *out, size_t size)
{
    size_t written = 0, digits = (size * 8 + 5) / 6, padded = (size + 2) / 3 * 4;
    uint32_t bits = 0;
    unsigned count = 0;
    if (base64.size != digits && base64.size != padded)
        return false;
    for (size_t i = 0; i < base64.size; i++) {
        if (i >= digits) {
            if (base64.data[i] != '=')
                return false;
            continue;
        }
        int value = sextet(base64.data[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8 && written < size) {
            count -= 8;
            out[written++] = (unsigned char)(bits >> count);
        }
    }
    return written == size;
}

static enum status take_member(struct text key, struct text bytes, struct body_told_digests *told,
                               struct failure *failure)
{
    bool is_256 = text_equal(key, TEXT("sha-256")), is_512 = text_equal(key, TEXT("sha-512"));
    if (!is_256 && !is_512)
        return STATUS_OK;
    size_t size = is_256 ? sizeof(told->sha256) : sizeof(told->sha512);
    if (bytes.data == NULL || !decode(bytes, is_256 ? told->sha256 : told->sha512, size))
        return failure_set(failure, STATUS_INVALID,
                           "Content-Digest's %.*s must be %zu bytes in base64 between colons, as in "
                           "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
                           TEXT_ARGS(key), size);
    if (is_256)
        told->has_sha256 = true;
    else
        told->has_sha512 = true;
    return STATUS_OK;
}

enum status body_digests_parse(struct text header, struct body_told_digests *told, struct failure *failure)
{
    struct text trimmed = text_trim(header), key, bytes;
    struct parser parser = {trimmed.data, trimmed.data + trimmed.size};
    *told = (struct body_told_digests){0};
    while (TEXT_LEFT(&parser)) {
        bool good = parse_member(&parser, &key, &bytes);
        enum status status = good ? take_member(key, bytes, told, failure) : STATUS_OK;
        if (status != STATUS_OK)
            return status;
        pass_spaces(&parser, true);
        if (good && !TEXT_LEFT(&parser))
            return STATUS_OK;
        good = good && take(&parser, ',');
        pass_spaces(&parser, true);
        if (!good || !TEXT_LEFT(&parser))
            return failure_set(failure, STATUS_INVALID,
                               "Content-Digest is malformed at character %zu: it is a list like sha-256=:…:, "
                               "sha-512=:…: (RFC 9530)",
                               (size_t)(parser.at - trimmed.data) + 1);
    }
    return STATUS_OK;
}
