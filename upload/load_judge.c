/* Values that the server would refuse a whole COPY for, judged by its own rules before. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "upload/load_private.h"

#define LABELS_TOLD 160 /* bytes of labels that a reason names */
#define SHORT_NUMBER 37 /* digits that fit a float4 in any case */

static int hex_digit(char byte)
{
    char low = (char)(byte | 0x20);
    return byte >= '0' && byte <= '9' ? byte - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* 32 digits, a hyphen allowed behind each four, braces around them allowed. */
bool load_judge_uuid(struct text text, char uuid[37])
{
    size_t at = 0, digits = 0, size = 0;
    bool braces = text.size >= 2 && text.data[0] == '{';
    if (braces && text.data[text.size - 1] != '}')
        return false;
    if (braces)
        text = text_of(text.data + 1, text.size - 2);
    while (at < text.size && digits < 32) {
        int digit = hex_digit(text.data[at++]);
        if (digit < 0)
            return false;
        if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
            uuid[size++] = '-';
        uuid[size++] = "0123456789abcdef"[digit];
        digits++;
        if (digits % 4 == 0 && digits != 32 && at < text.size && text.data[at] == '-')
            at++;
    }
    uuid[size] = '\0';
    return digits == 32 && at == text.size;
}

struct digits { /* 0.d1d2d3… × 10^exponent, d1 not 0 */
    struct text text;
    size_t first; /* d1's place in `text`, which may have a point behind it */
    int64_t exponent;
};

/* The n-th digit from d1; 0 behind the last. *at goes on, from `first`. */
static int next_digit(const struct digits *digits, size_t *at)
{
    if (*at < digits->text.size && digits->text.data[*at] == '.')
        (*at)++;
    if (*at >= digits->text.size || digits->text.data[*at] < '0' || digits->text.data[*at] > '9')
        return 0;
    return digits->text.data[(*at)++] - '0';
}

/* False: zero, or no number (NaN, Infinity). */
static bool take_apart(struct text text, struct digits *digits)
{
    size_t at = text.size != 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    int64_t before = 0, after = 0, power = 0;
    bool point = false, found = false;
    for (; at < text.size && (text.data[at] == '.' || (text.data[at] >= '0' && text.data[at] <= '9')); at++) {
        bool digit = text.data[at] != '.';
        point = point || !digit;
        if (digit && !found && text.data[at] != '0') {
            found = true;
            digits->first = at;
        }
        before += digit && !point && found;
        after += digit && point && !found;
    }
    if (at < text.size && (text.data[at] | 0x20) == 'e')
        if (!text_to_int64(text_of(text.data + at + 1 + (text.data[at + 1] == '+'),
                                   text.size - at - 1 - (text.data[at + 1] == '+')),
                           &power))
            return false;
    digits->text = text;
    digits->exponent = (before != 0 ? before : -after) + power;
    return found;
}

/* Rounded to `scale` digits behind the point, as the server does, it has at most precision - scale before it. */
bool load_judge_numeric(struct text text, int precision, int scale)
{
    struct digits digits;
    char last = text.size != 0 ? (char)(text.data[text.size - 1] | 0x20) : '\0';
    if (last == 'y' || last == 'f') /* Infinity, inf */
        return false;
    if (!take_apart(text, &digits))
        return true;
    if (digits.exponent != precision - scale)
        return digits.exponent < precision - scale;
    size_t at = digits.first;
    for (int i = 0; i < precision; i++)
        if (next_digit(&digits, &at) != 9)
            return true;
    return next_digit(&digits, &at) < 5;
}

bool load_judge_float(struct text text, bool single)
{
    char number[2304]; /* what load_convert writes at most */
    if (text.size <= SHORT_NUMBER && memchr(text.data, 'e', text.size) == NULL &&
        memchr(text.data, 'E', text.size) == NULL)
        return true;
    if (text.size >= sizeof(number))
        return false;
    memcpy(number, text.data, text.size);
    number[text.size] = '\0';
    errno = 0;
    double value = single ? (double)strtof(number, NULL) : strtod(number, NULL);
    return errno != ERANGE || (value != 0 && !isinf(value));
}

static int compare(const void *a, const void *b)
{
    const struct text *one = a, *other = b;
    size_t size = one->size < other->size ? one->size : other->size;
    int order = memcmp(one->data, other->data, size);
    return order != 0 ? order : (one->size > other->size) - (one->size < other->size);
}

/* "is none of: sent, held" */
static const char *make_words(struct arena *arena, const struct load_labels *labels)
{
    struct buffer words;
    buffer_init(&words, 1024);
    buffer_append_literal(&words, "is none of the column's values: ");
    for (size_t i = 0; i < labels->count; i++) {
        if (words.size + labels->sorted[i].size > LABELS_TOLD) {
            buffer_append_literal(&words, "…");
            break;
        }
        buffer_append_text(&words, labels->sorted[i]);
        buffer_append_string(&words, i + 1 < labels->count ? ", " : "");
    }
    struct text copy = words.failed ? TEXT_NONE : arena_copy(arena, buffer_text(&words));
    buffer_free(&words);
    return copy.data;
}

bool load_judge_labels(struct arena *arena, struct text netstrings, struct load_labels *labels)
{
    struct text rest = arena_copy(arena, netstrings), size;
    size_t most = 0;
    for (size_t i = 0; i < netstrings.size; i++)
        most += netstrings.data[i] == ':'; /* those within labels too */
    labels->count = 0;
    labels->sorted = arena_calloc(arena, most + 1, sizeof(*labels->sorted));
    if (labels->sorted == NULL || rest.data == NULL)
        return false;
    while (rest.data != NULL && rest.size != 0) {
        int64_t length;
        size = text_split(&rest, ':');
        if (rest.data == NULL || !text_to_int64(size, &length) || length < 0 || (size_t)length > rest.size)
            return false;
        labels->sorted[labels->count++] = text_of(rest.data, (size_t)length);
        rest = text_of(rest.data + length, rest.size - (size_t)length);
    }
    labels->words = make_words(arena, labels); /* in the enum's own order */
    qsort(labels->sorted, labels->count, sizeof(*labels->sorted), compare);
    return labels->words != NULL;
}

bool load_judge_is_label(const struct load_labels *labels, struct text text)
{
    return labels->count != 0 &&
           bsearch(&text, labels->sorted, labels->count, sizeof(*labels->sorted), compare) != NULL;
}
