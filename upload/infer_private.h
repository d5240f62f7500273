/* What the files of infer.h share. Nobody else includes this, but for sniff's look at values. */
#ifndef SLUICE_UPLOAD_INFER_PRIVATE_H
#define SLUICE_UPLOAD_INFER_PRIVATE_H

#include "upload/infer.h"

#define INFER_BIT(type) (1u << (type))
#define INFER_NUMBERS (INFER_BIT(INFER_INTEGER) | INFER_BIT(INFER_NUMERIC))
#define INFER_TIMES (INFER_BIT(INFER_DATE) | INFER_BIT(INFER_TIMESTAMP) | INFER_BIT(INFER_TIMESTAMPTZ))
#define INFER_DIGITS_MAX 1000 /* of a number; PostgreSQL takes more, but an exponent must not make a page of zeros */

/* infer_column.seen */
enum {
    INFER_SEEN_MARK = 1 << 0,            /* a decimal mark, or two groups of thousands */
    INFER_SEEN_GROUP = 1 << 1,           /* one group of thousands and nothing more: 1,234 */
    INFER_SEEN_EXPONENT = 1 << 2,        /* without sign and mark: 12e4 */
    INFER_SEEN_SIGNED_EXPONENT = 1 << 3, /* 1e+05 */
    INFER_SEEN_TRUE = 1 << 4,
    INFER_SEEN_FALSE = 1 << 5,
    INFER_SEEN_JSON = 1 << 6,
    INFER_SEEN_UNQUOTED = 1 << 7,
    INFER_SEEN_QUOTED_EMPTY = 1 << 8
};

/* A number taken apart. */
struct infer_number {
    struct text whole; /* with its groups' marks */
    unsigned digits;   /* of whole, fraction and, for groups, without their marks */
    unsigned groups;
    struct text fraction; /* digits behind the mark */
    struct text exponent; /* from its e on */
    bool minus, plus, exponent_sign;
};
/* False: no number. `text` is trimmed. */
bool infer_number_parse(struct text text, bool decimal_comma, struct infer_number *number);
/* Which of INFER_NUMBERS the text is as it stands; adds to *seen. */
unsigned infer_number(struct text text, bool decimal_comma, unsigned *seen);
/* Up to 18 digits without leading zeros, and a minus: most integers. */
static inline bool infer_is_short_integer(struct text text)
{
    const char *at = text.data, *end = text.data + text.size;
    at += text.size != 0 && *at == '-';
    size_t digits = (size_t)(end - at);
    if (digits - 1 >= 18 || (*at == '0' && text.size != 1))
        return false;
    while (at != end && (unsigned char)(*at - '0') < 10)
        at++;
    return at == end;
}
/* Up to 18 digits with a point between them, and a minus: most decimals. */
static inline bool infer_is_short_decimal(struct text text)
{
    const char *at = text.data, *end = text.data + text.size, *point = NULL;
    at += text.size != 0 && *at == '-';
    size_t size = (size_t)(end - at);
    if (size - 3 > 16 || (at[0] == '0' && at[1] != '.') || at[0] == '.' || end[-1] == '.')
        return false;
    for (; at != end; at++)
        if ((unsigned char)(*at - '0') >= 10) {
            if (*at != '.' || point != NULL)
                return false;
            point = at;
        }
    return point != NULL;
}
enum status infer_append_integer(struct buffer *out, struct text text, bool decimal_comma, const char **reason);
enum status infer_append_numeric(struct buffer *out, struct text text, bool decimal_comma, const char **reason);

/* A date or timestamp taken apart. */
struct infer_moment {
    unsigned parts[3]; /* of the date, as they stand */
    unsigned orders;   /* bit mask of enum sniff_date_order: in which of them it is a day */
    unsigned hour, minute, second;
    struct text fraction; /* digits, at most 6 */
    int zone;             /* minutes */
    bool has_time, has_zone;
};
/* False: neither. `text` is trimmed. */
bool infer_moment_parse(struct text text, struct infer_moment *moment);
/* "2021-10-01", or with `time` "2021-10-01 10:00:00": as PostgreSQL writes them. */
bool infer_is_iso(struct text text, bool time);
enum status infer_append_time(struct buffer *out, struct text text, const struct infer_result *type,
                              const char **reason);

/* Which spellings of a boolean the word may be (bits that all values of a column must share); 0: none. */
unsigned infer_boolean(struct text text, bool *value);
#define INFER_SPELLING_LONG 7u /* true/false in lower, upper or capital letters: the lowest bits */

/* jsonb takes it: JSON as the readers hand it out, whose numbers fit PostgreSQL's numeric. */
bool infer_json_fits(struct text json);

static inline bool infer_is_padded(struct text text)
{
    if (text.size == 0)
        return false;
    char first = text.data[0], last = text.data[text.size - 1];
    return first == ' ' || first == '\t' || last == ' ' || last == '\t';
}

#endif
