#include "base/text.h"

#include <math.h>
#include <stdlib.h>

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

bool text_equal_ignoring_case(struct text a, struct text b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

bool text_starts_with(struct text text, struct text prefix)
{
    return text.size >= prefix.size && (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

struct text text_trim(struct text text)
{
    while (text.size != 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size != 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

struct text text_trim_lines(struct text text)
{
    while (text.size != 0 && is_space(text.data[0]))
        text = text_of(text.data + 1, text.size - 1);
    while (text.size != 0 && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}

struct text text_split(struct text *rest, char separator)
{
    struct text part = *rest;
    const char *at = part.size != 0 ? memchr(part.data, separator, part.size) : NULL;
    if (at == NULL) {
        *rest = TEXT_NONE;
        return part;
    }
    part.size = (size_t)(at - part.data);
    *rest = text_of(at + 1, rest->size - part.size - 1);
    return part;
}

bool text_to_int64(struct text text, int64_t *value)
{
    size_t at = text.size != 0 && text.data[0] == '-' ? 1 : 0;
    bool negative = at == 1;
    int64_t result = 0;
    if (at == text.size)
        return false;
    for (; at < text.size; at++) {
        if (!is_digit(text.data[at]))
            return false;
        int digit = text.data[at] - '0';
        /* Built as a negative number, because the range has one more of these. */
        if (__builtin_mul_overflow(result, 10, &result) || __builtin_sub_overflow(result, digit, &result))
            return false;
    }
    if (!negative && result == INT64_MIN)
        return false;
    *value = negative ? result : -result;
    return true;
}

static size_t skip_digits(struct text text, size_t at)
{
    while (at < text.size && is_digit(text.data[at]))
        at++;
    return at;
}

/* number = [ "-" ] int [ frac ] [ exp ] */
static bool is_json_number(struct text text)
{
    size_t at = text.size != 0 && text.data[0] == '-' ? 1 : 0;
    size_t end = skip_digits(text, at);
    if (end == at || (text.data[at] == '0' && end > at + 1))
        return false;
    at = end;
    if (at < text.size && text.data[at] == '.') {
        end = skip_digits(text, at + 1);
        if (end == at + 1)
            return false;
        at = end;
    }
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && (text.data[at] == '+' || text.data[at] == '-'))
            at++;
        end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == text.size;
}

bool text_to_double(struct text text, double *value)
{
    char copy[65];
    if (text.size == 0 || text.size > 64 || !is_json_number(text))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    double result = strtod(copy, NULL);
    if (!isfinite(result))
        return false;
    *value = result;
    return true;
}

size_t text_utf8_sequence(struct text text, bool *valid)
{
    const unsigned char *at = (const unsigned char *)text.data;
    unsigned char lead = at[0], low = 0x80, high = 0xBF;
    size_t length = lead < 0x80                    ? 1
                    : lead >= 0xC2 && lead <= 0xDF ? 2
                    : lead >= 0xE0 && lead <= 0xEF ? 3
                    : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                   : 0;
    *valid = false;
    if (length == 0)
        return 1;
    /* The second byte's range shuts out overlong forms, surrogates and what lies past U+10FFFF (table 3-7). */
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xBF)
        if (i >= text.size || at[i] < low || at[i] > high)
            return i;
    *valid = true;
    return length;
}

bool text_is_utf8(struct text text)
{
    bool valid = true;
    size_t at = 0;
    while (valid && at < text.size) {
        uint64_t eight;
        if (text.size - at >= sizeof(eight)) {
            memcpy(&eight, text.data + at, sizeof(eight));
            if ((eight & 0x8080808080808080) == 0) {
                at += sizeof(eight);
                continue;
            }
        }
        at += text_utf8_sequence(text_of(text.data + at, text.size - at), &valid);
    }
    return valid;
}

size_t text_utf8_write(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

size_t text_distance(struct text a, struct text b)
{
    size_t row[32];
    if (a.size > 31 || b.size > 31)
        return SIZE_MAX;
    for (size_t k = 0; k <= b.size; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.size; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b.size; k++) {
            size_t change = corner + (a.data[i - 1] != b.data[k - 1]);
            corner = row[k];
            size_t least = row[k] < row[k - 1] ? row[k] + 1 : row[k - 1] + 1;
            row[k] = change < least ? change : least;
        }
    }
    return row[b.size];
}
