/* Values of the common types, judged before they go to the server, so that a mistake names its place. Lenient: what any
 * PostgreSQL accepts passes (16 reads 0x1F and 1_000), and what nobody here knows for sure is the server's to say. */
#include "query/select_private.h"

enum {
    BOOLEAN = 16,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    FLOAT4 = 700,
    FLOAT8 = 701,
    DATE = 1082,
    NUMERIC = 1700,
    UUID = 2950
};

static bool is_space(char c) /* C's isspace, as the server's parsers use it */
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static struct text trim(struct text text)
{
    while (text.size != 0 && is_space(text.data[0]))
        text = text_of(text.data + 1, text.size - 1);
    while (text.size != 0 && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}

static bool begins(struct text text, const char *word) /* in any case; `word` is in lower case */
{
    for (size_t i = 0; word[i] != '\0'; i++)
        if (i >= text.size || lower(text.data[i]) != word[i])
            return false;
    return true;
}

static struct text without_sign(struct text text)
{
    bool has = text.size != 0 && (text.data[0] == '-' || text.data[0] == '+');
    return has ? text_of(text.data + 1, text.size - 1) : text;
}

/* 0x1F, 0b1, 0o7, 1_000, 0x1p3: newer servers, or strtod, read those. */
static bool is_exotic(struct text digits)
{
    if (digits.size == 0 || !is_digit(digits.data[0]))
        return false;
    bool prefixed = digits.size > 2 && digits.data[0] == '0' && strchr("xob", lower(digits.data[1])) != NULL;
    return prefixed || memchr(digits.data, '_', digits.size) != NULL;
}

static const char *check_integer(struct text value, int64_t least, int64_t most, const char *expected)
{
    struct text signed_digits = trim(value), digits = without_sign(signed_digits);
    int64_t number;
    if (is_exotic(digits))
        return NULL;
    if (digits.size == 0)
        return "an integer";
    for (size_t i = 0; i < digits.size; i++)
        if (!is_digit(digits.data[i]))
            return "an integer";
    bool minus = signed_digits.data[0] == '-';
    if (!text_to_int64(minus ? signed_digits : digits, &number) || number < least || number > most)
        return expected;
    return NULL;
}

/* Digits with a point among them, and an exponent. */
static bool is_decimal(struct text text)
{
    size_t i = 0, digits = 0;
    for (; i < text.size && is_digit(text.data[i]); i++)
        digits++;
    if (i < text.size && text.data[i] == '.')
        for (i++; i < text.size && is_digit(text.data[i]); i++)
            digits++;
    if (digits == 0)
        return false;
    if (i == text.size)
        return true;
    if (lower(text.data[i]) != 'e')
        return false;
    struct text exponent = without_sign(text_of(text.data + i + 1, text.size - i - 1));
    for (i = 0; i < exponent.size && is_digit(exponent.data[i]);)
        i++;
    return exponent.size != 0 && i == exponent.size;
}

static bool is_number(struct text value)
{
    struct text text = without_sign(trim(value));
    return begins(text, "nan") || begins(text, "inf") || is_exotic(text) || is_decimal(text);
}

/* PostgreSQL's parse_bool: any unique beginning of these words. */
static bool is_boolean(struct text value)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
    struct text text = trim(value);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t size = strlen(words[i]), least = words[i][0] == 'o' ? 2 : 1;
        if (text.size >= least && text.size <= size && text_equal_ignoring_case(text, text_of(words[i], text.size)))
            return true;
    }
    return false;
}

static bool is_uuid(struct text value)
{
    struct text text = trim(value);
    size_t digits = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = lower(text.data[i]);
        if (is_digit(c) || (c >= 'a' && c <= 'f'))
            digits++;
        else if (c != '-' && c != '{' && c != '}')
            return false;
    }
    return digits == 32;
}

/* YYYY-MM-DD, which every DateStyle reads alike, must name a day; of other forms only what holds neither digit nor one
 * of the server's words (today, epoch, infinity …) is refused. */
static bool is_date(struct text value)
{
    static const char *const words[] = {"now", "tod", "tom", "yes", "epo", "inf"};
    static const unsigned char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct text text = trim(value);
    bool digits_only = text.size == 10;
    bool any = false;
    for (size_t i = 0; i < text.size; i++) {
        any |= is_digit(text.data[i]);
        digits_only &= i == 4 || i == 7 ? text.data[i] == '-' : is_digit(text.data[i]);
        for (size_t word = 0; word < sizeof(words) / sizeof(words[0]); word++)
            any |= begins(text_of(text.data + i, text.size - i), words[word]);
    }
    if (!digits_only)
        return any;
    const char *d = text.data;
    int year = (d[0] - '0') * 1000 + (d[1] - '0') * 100 + (d[2] - '0') * 10 + d[3] - '0';
    int month = (d[5] - '0') * 10 + d[6] - '0', day = (d[8] - '0') * 10 + d[9] - '0';
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] && (month != 2 || day != 29 || leap);
}

const char *select_check(const struct type *type, struct text value)
{
    switch (select_base(type)) {
    case INT2:
        return check_integer(value, INT16_MIN, INT16_MAX, "an integer from -32768 to 32767");
    case INT4:
        return check_integer(value, INT32_MIN, INT32_MAX, "an integer from -2147483648 to 2147483647");
    case INT8:
        return check_integer(value, INT64_MIN, INT64_MAX, "an integer of 64 bits");
    case FLOAT4:
    case FLOAT8:
    case NUMERIC:
        return is_number(value) ? NULL : "a number";
    case BOOLEAN:
        return is_boolean(value) ? NULL : "true or false";
    case UUID:
        return is_uuid(value) ? NULL : "a UUID";
    case DATE:
        return is_date(value) ? NULL : "a date like 2021-10-31";
    default:
        return NULL;
    }
}
