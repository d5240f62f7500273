#include "upload/infer_private.h"

static bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') < 10;
}

static size_t skip_digits(struct text text, size_t at)
{
    while (at < text.size && is_digit(text.data[at]))
        at++;
    return at;
}

/* Bytes of the mark between thousands that stands at `at`; 0: none. */
static size_t group_mark(struct text text, size_t at, bool decimal_comma)
{
    struct text rest = text_of(text.data + at, text.size - at);
    if (rest.size == 0)
        return 0;
    if (!decimal_comma)
        return rest.data[0] == ',' ? 1 : 0;
    if (rest.data[0] == '.' || rest.data[0] == ' ')
        return 1;
    if (text_starts_with(rest, TEXT("\xC2\xA0")))
        return 2;
    return text_starts_with(rest, TEXT("\xE2\x80\xAF")) ? 3 : 0;
}

/* From the first digits on, which end at `at`: groups of three, all with one mark. Returns where they end. */
static size_t skip_groups(struct text text, size_t at, bool decimal_comma, struct infer_number *number)
{
    size_t size = group_mark(text, at, decimal_comma), first = at;
    if (size == 0 || number->digits == 0 || number->digits > 3 || number->whole.data[0] == '0')
        return at;
    while (text.size - at >= size + 3 && memcmp(text.data + at, text.data + first, size) == 0 &&
           skip_digits(text_of(text.data, at + size + 3), at + size) == at + size + 3 &&
           (at + size + 3 == text.size || !is_digit(text.data[at + size + 3]))) {
        at += size + 3;
        number->groups++;
        number->digits += 3;
    }
    return at;
}

static bool parse_exponent(struct text text, size_t at, struct infer_number *number)
{
    size_t digits = at + 1;
    unsigned value = 0;
    if (digits < text.size && (text.data[digits] == '+' || text.data[digits] == '-')) {
        number->exponent_sign = true;
        digits++;
    }
    if (digits == text.size || text.size - digits > 4 || skip_digits(text, digits) != text.size)
        return false;
    number->exponent = text_of(text.data + at, text.size - at);
    for (; digits < text.size; digits++)
        value = value * 10 + (unsigned)(text.data[digits] - '0');
    return value <= INFER_DIGITS_MAX;
}

bool infer_number_parse(struct text text, bool decimal_comma, struct infer_number *number)
{
    size_t at = 0;
    *number = (struct infer_number){.fraction = TEXT_NONE};
    if (text.size == 0 || text.size > 3 * INFER_DIGITS_MAX)
        return false;
    number->minus = text.data[0] == '-';
    number->plus = text.data[0] == '+';
    at += number->minus || number->plus;
    size_t end = skip_digits(text, at);
    number->digits = (unsigned)(end - at);
    number->whole = text_of(text.data + at, end - at);
    end = skip_groups(text, end, decimal_comma, number);
    number->whole.size = end - at;
    at = end;
    if (at < text.size && text.data[at] == (decimal_comma ? ',' : '.')) {
        end = skip_digits(text, at + 1);
        number->fraction = text_of(text.data + at + 1, end - at - 1);
        if (number->fraction.size == 0)
            return false;
        number->digits += (unsigned)number->fraction.size;
        at = end;
    }
    if (number->digits == 0 || number->digits > INFER_DIGITS_MAX)
        return false;
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E'))
        return parse_exponent(text, at, number);
    return at == text.size;
}

/* `digits` (at most 19 of them, groups' marks in between) within bigint. */
static bool fits_bigint(struct text digits, bool minus)
{
    uint64_t value = 0;
    const uint64_t most = (uint64_t)INT64_MAX + minus;
    for (size_t i = 0; i < digits.size; i++) {
        unsigned digit = (unsigned char)(digits.data[i] - '0');
        if (digit >= 10)
            continue;
        if (value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    return true;
}

unsigned infer_number(struct text text, bool decimal_comma, unsigned *seen)
{
    struct infer_number number;
    if (!infer_number_parse(text, decimal_comma, &number) || number.plus)
        return 0;
    bool fraction = number.fraction.size != 0, exponent = number.exponent.size != 0;
    bool zero = number.whole.size != 0 && number.whole.data[0] == '0';
    if (zero && (number.whole.size > 1 || (number.minus && !fraction)))
        return 0;
    if (fraction || number.groups > 1)
        *seen |= INFER_SEEN_MARK;
    else if (number.groups == 1)
        *seen |= INFER_SEEN_GROUP;
    if (exponent && number.exponent_sign)
        *seen |= INFER_SEEN_SIGNED_EXPONENT;
    else if (exponent && !fraction)
        *seen |= INFER_SEEN_EXPONENT;
    bool integer = !fraction && !exponent && fits_bigint(number.whole, number.minus);
    return INFER_BIT(INFER_NUMERIC) | (integer ? INFER_BIT(INFER_INTEGER) : 0);
}

static void append_digits(struct buffer *out, const struct infer_number *number)
{
    if (number->minus)
        buffer_append_char(out, '-');
    if (number->groups == 0) {
        buffer_append_text(out, number->whole);
        return;
    }
    for (size_t i = 0; i < number->whole.size; i++)
        if (is_digit(number->whole.data[i]))
            buffer_append_char(out, number->whole.data[i]);
}

enum status infer_append_integer(struct buffer *out, struct text text, bool decimal_comma, const char **reason)
{
    struct infer_number number;
    bool whole =
        infer_number_parse(text, decimal_comma, &number) && number.whole.size != 0 && number.exponent.size == 0;
    for (size_t i = 0; whole && i < number.fraction.size; i++)
        whole = number.fraction.data[i] == '0';
    if (!whole) {
        *reason = "is no integer";
        return STATUS_INVALID;
    }
    while (number.whole.size > 1 && number.whole.data[0] == '0')
        number.whole = text_of(number.whole.data + 1, number.whole.size - 1);
    if (!fits_bigint(number.whole, number.minus)) {
        *reason = "is out of the range of bigint";
        return STATUS_INVALID;
    }
    append_digits(out, &number);
    return STATUS_OK;
}

enum status infer_append_numeric(struct buffer *out, struct text text, bool decimal_comma, const char **reason)
{
    struct infer_number number;
    if (!infer_number_parse(text, decimal_comma, &number)) {
        *reason = decimal_comma ? "is no number with a decimal comma" : "is no number with a decimal point";
        return STATUS_INVALID;
    }
    append_digits(out, &number);
    if (number.fraction.size != 0) {
        buffer_append_char(out, '.');
        buffer_append_text(out, number.fraction);
    }
    buffer_append_text(out, number.exponent);
    return STATUS_OK;
}
