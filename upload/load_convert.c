/* One field of a row as COPY's text for the column that it goes to. A table that stands has types with rules of their
 * own: 007 is a number in an integer column there, as it is for psql. */
#include "upload/load_private.h"

#define NUMBER_DIGITS_MAX 1000 /* PostgreSQL takes more, but no file means such numbers */

void load_append_copy_text(struct buffer *out, struct text text)
{
    size_t start = 0;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        char escape = byte == '\\' ? '\\' : byte == '\t' ? 't' : byte == '\n' ? 'n' : byte == '\r' ? 'r' : '\0';
        if (escape == '\0')
            continue;
        buffer_append(out, text.data + start, i - start);
        buffer_append_char(out, '\\');
        buffer_append_char(out, escape);
        start = i + 1;
    }
    buffer_append(out, text.data + start, text.size - start);
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool all_zeros(struct text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] != '0')
            return false;
    return true;
}

/* "007", "+1" and pandas' "3.0" are integers. Without sign and leading zeros, so that what is compared with a
 * partition's value is one text for one number. */
static bool append_integer(struct buffer *out, struct text text, enum load_kind kind, const char **reason)
{
    const int64_t most = kind == LOAD_INT2 ? INT16_MAX : kind == LOAD_INT4 ? INT32_MAX : INT64_MAX;
    const struct text whole = text;
    size_t digits = 0;
    int64_t value;
    bool negative = text.size != 0 && text.data[0] == '-';
    if (text.size != 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = text_of(text.data + 1, text.size - 1);
    while (digits < text.size && is_digit(text.data[digits]))
        digits++;
    *reason = "is no integer";
    if (digits == 0 || whole.size > 64)
        return false;
    if (digits < text.size &&
        (text.data[digits] != '.' || !all_zeros(text_of(text.data + digits + 1, text.size - digits - 1))))
        return false;
    while (digits > 1 && text.data[0] == '0') {
        text.data++;
        digits--;
    }
    char number[68];
    number[0] = '-';
    memcpy(number + 1, text.data, digits);
    *reason = kind == LOAD_INT2   ? "is out of the range of smallint"
              : kind == LOAD_INT4 ? "is out of the range of integer"
                                  : "is out of the range of bigint";
    /* As a negative number, whose range is the larger one by one. */
    if (!text_to_int64(text_of(number, digits + 1), &value) || value < -most - (negative ? 1 : 0))
        return false;
    bool sign = negative && value != 0;
    buffer_append(out, number + (sign ? 0 : 1), digits + (sign ? 1 : 0));
    return true;
}

static bool is_plain_number(struct text text)
{
    size_t i = 0, digits = 0;
    if (i < text.size && (text.data[i] == '-' || text.data[i] == '+'))
        i++;
    for (; i < text.size && is_digit(text.data[i]); i++)
        digits++;
    if (i < text.size && text.data[i] == '.')
        for (i++; i < text.size && is_digit(text.data[i]); i++)
            digits++;
    if (digits == 0)
        return false;
    if (i < text.size && (text.data[i] == 'e' || text.data[i] == 'E')) {
        i++;
        if (i < text.size && (text.data[i] == '-' || text.data[i] == '+'))
            i++;
        size_t exponent = i;
        while (i < text.size && is_digit(text.data[i]))
            i++;
        if (i == exponent || i - exponent > 3) /* past three digits the server would refuse the whole COPY */
            return false;
    }
    return i == text.size && digits <= NUMBER_DIGITS_MAX;
}

static bool try_type(struct buffer *out, const struct load_target *column, enum infer_type type,
                     const struct field *field, const char **reason)
{
    size_t start = out->size;
    struct infer_result as = column->as;
    as.type = type;
    if (infer_append_copy(out, &as, field, reason) == STATUS_OK)
        return true;
    out->size = start;
    return false;
}

static bool append_any_number(struct buffer *out, const struct load_target *column, const struct field *field,
                              const char **reason)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity", "inf", "-inf"};
    struct text text = text_trim(field->text);
    if (!column->as.decimal_comma && is_plain_number(text)) {
        buffer_append_text(out, text);
        return true;
    }
    if (try_type(out, column, INFER_NUMERIC, field, reason))
        return true;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text_equal_ignoring_case(text, text_from_string(words[i]))) {
            buffer_append_text(out, text);
            return true;
        }
    *reason = "is no number";
    return false;
}

static bool append_number(struct buffer *out, const struct load_target *column, const struct field *field,
                          const char **reason)
{
    size_t start = out->size;
    if (!append_any_number(out, column, field, reason))
        return false;
    if (out->failed)
        return true;
    struct text number = text_of(out->data + start, out->size - start);
    *reason = "is out of the range of the column";
    if (column->kind == LOAD_NUMERIC)
        return column->precision == 0 || load_judge_numeric(number, column->precision, column->scale);
    return load_judge_float(number, column->kind == LOAD_REAL);
}

static bool append_uuid(struct buffer *out, struct text text, const char **reason)
{
    char uuid[37];
    *reason = "is no uuid";
    if (!load_judge_uuid(text_trim(text), uuid))
        return false;
    buffer_append(out, uuid, 36);
    return true;
}

static bool append_label(struct buffer *out, const struct load_target *column, struct text text, const char **reason)
{
    if (!load_judge_is_label(&column->labels, text))
        text = text_trim(text);
    *reason = column->labels.words;
    if (!load_judge_is_label(&column->labels, text))
        return false;
    load_append_copy_text(out, text);
    return true;
}

static bool append_boolean(struct buffer *out, const struct load_target *column, const struct field *field,
                           const char **reason)
{
    struct text text = text_trim(field->text);
    bool one = text_equal(text, TEXT("1")), zero = text_equal(text, TEXT("0"));
    if (one || zero) {
        buffer_append_char(out, one ? 't' : 'f');
        return true;
    }
    return try_type(out, column, INFER_BOOLEAN, field, reason);
}

/* A day is a timestamp at midnight. A timestamp with an offset would lose it in a column without: refused. */
static bool append_time(struct buffer *out, const struct load_target *column, const struct field *field,
                        const char **reason)
{
    const char *unused;
    if (column->kind == LOAD_DATE)
        return try_type(out, column, INFER_DATE, field, reason);
    if (column->kind == LOAD_TIMESTAMPTZ && try_type(out, column, INFER_TIMESTAMPTZ, field, &unused))
        return true;
    return try_type(out, column, INFER_TIMESTAMP, field, reason) || try_type(out, column, INFER_DATE, field, &unused);
}

static int64_t characters(struct text text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return count;
}

/* Spaces at the end are cut by the server where they are too many, as the standard has it. */
static bool append_text(struct buffer *out, const struct load_target *column, struct text text, const char **reason)
{
    if (column->longest > 0 && (int64_t)text.size > column->longest && characters(text) > column->longest) {
        size_t size = text.size;
        while (size != 0 && text.data[size - 1] == ' ')
            size--;
        *reason = "is longer than the column takes";
        if (characters(text_of(text.data, size)) > column->longest)
            return false;
    }
    load_append_copy_text(out, text);
    return true;
}

static bool append_existing(struct buffer *out, const struct load_target *column, const struct field *field,
                            const char **reason)
{
    bool is_text = column->kind == LOAD_TEXT || (column->kind == LOAD_OTHER && field->kind != FIELD_PLAIN);
    /* An empty field that is no text is nothing. */
    if (field->kind == FIELD_NULL || (field->text.size == 0 && !is_text)) {
        buffer_append_literal(out, "\\N");
        return true;
    }
    switch (column->kind) {
    case LOAD_INT2:
    case LOAD_INT4:
    case LOAD_INT8:
        return append_integer(out, text_trim(field->text), column->kind, reason);
    case LOAD_NUMERIC:
    case LOAD_REAL:
    case LOAD_FLOAT:
        return append_number(out, column, field, reason);
    case LOAD_BOOLEAN:
        return append_boolean(out, column, field, reason);
    case LOAD_DATE:
    case LOAD_TIMESTAMP:
    case LOAD_TIMESTAMPTZ:
        return append_time(out, column, field, reason);
    case LOAD_JSON:
        return try_type(out, column, INFER_JSON, field, reason);
    case LOAD_UUID:
        return append_uuid(out, field->text, reason);
    case LOAD_ENUM:
        return append_label(out, column, field->text, reason);
    default:
        return append_text(out, column, field->text, reason);
    }
}

/* 1.50 and 1.5 are one number. */
static struct text without_zeros(struct text text)
{
    if (text.size == 0 || memchr(text.data, '.', text.size) == NULL || memchr(text.data, 'e', text.size) != NULL)
        return text;
    while (text.data[text.size - 1] == '0')
        text.size--;
    if (text.data[text.size - 1] == '.')
        text.size--;
    return text;
}

bool load_convert(struct load *load, const struct load_target *column, const struct field *field, const char **reason)
{
    struct buffer *out = &load->copy;
    size_t start = out->size;
    if (column->kind == LOAD_AS_TYPED) {
        if (infer_append_copy(out, &column->as, field, reason) != STATUS_OK)
            return false;
    } else if (!append_existing(out, column, field, reason)) {
        return false;
    }
    if (out->failed)
        return true; /* the caller looks at it */
    size_t size = out->size - start;
    if (column->not_null && size == 2 && out->data[start] == '\\' && out->data[start + 1] == 'N') {
        *reason =
            column->is_key ? "is empty, and the column belongs to the key" : "is empty, and the column needs a value";
        return false;
    }
    return true;
}

bool load_is_in_partition(const struct load_target *column, struct text text)
{
    if (column->partition.data == NULL || text_equal(text, column->partition))
        return true;
    return (column->kind == LOAD_NUMERIC || column->kind == LOAD_REAL || column->kind == LOAD_FLOAT) &&
           text_equal(without_zeros(text), without_zeros(column->partition));
}
