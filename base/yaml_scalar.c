/* What a YAML scalar means by the core schema of YAML 1.2 (section 10.3.2), and the tree as JSON. */
#include "base/buffer.h"
#include "base/json.h"
#include "base/yaml.h"

#define WHOLE_DIGITS 308 /* a whole number of as many is always finite as a double */
#define NUMBER_SIZE 64   /* bytes; what text_to_double reads at most */

/* The parts of a decimal number as YAML has it: "+.5", "007", "1.", "-3e+4". JSON wants some of them otherwise. */
struct decimal {
    bool negative;
    struct text whole;    /* digits without leading zeros; may be empty */
    struct text fraction; /* digits; TEXT_NONE without a point */
    struct text exponent; /* sign and digits; TEXT_NONE without */
};

static bool is_plain(const struct yaml_node *node)
{
    return node != NULL && node->kind == YAML_SCALAR && !node->quoted;
}

static bool is_one_of(struct text text, struct text lower, struct text title, struct text upper)
{
    return text_equal(text, lower) || text_equal(text, title) || text_equal(text, upper);
}

bool yaml_is_null(const struct yaml_node *node)
{
    return is_plain(node) && (node->text.size == 0 || text_equal(node->text, TEXT("~")) ||
                              is_one_of(node->text, TEXT("null"), TEXT("Null"), TEXT("NULL")));
}

bool yaml_to_bool(const struct yaml_node *node, bool *value)
{
    if (!is_plain(node))
        return false;
    bool is_true = is_one_of(node->text, TEXT("true"), TEXT("True"), TEXT("TRUE"));
    if (!is_true && !is_one_of(node->text, TEXT("false"), TEXT("False"), TEXT("FALSE")))
        return false;
    *value = is_true;
    return true;
}

static struct text take(struct text *rest, size_t size)
{
    struct text taken = text_of(rest->data, size);
    *rest = text_of(rest->data + size, rest->size - size);
    return taken;
}

static struct text take_digits(struct text *rest)
{
    size_t size = 0;
    while (size < rest->size && rest->data[size] >= '0' && rest->data[size] <= '9')
        size++;
    return take(rest, size);
}

static bool take_sign(struct text *rest)
{
    bool negative = rest->size != 0 && rest->data[0] == '-';
    if (negative || (rest->size != 0 && rest->data[0] == '+'))
        take(rest, 1);
    return negative;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool read_decimal(struct text text, struct decimal *number)
{
    *number = (struct decimal){.negative = take_sign(&text)};
    number->whole = take_digits(&text);
    size_t digits = number->whole.size;
    if (text.size != 0 && text.data[0] == '.') {
        take(&text, 1);
        number->fraction = take_digits(&text);
        digits += number->fraction.size;
    }
    if (digits == 0)
        return false;
    if (text.size != 0 && (text.data[0] == 'e' || text.data[0] == 'E')) {
        take(&text, 1);
        number->exponent = text;
        take_sign(&text);
        if (take_digits(&text).size == 0)
            return false;
    }
    while (number->whole.size != 0 && number->whole.data[0] == '0')
        take(&number->whole, 1);
    return text.size == 0;
}

/* The number in JSON's writing. The buffer must have been given room. */
static void append_decimal(struct buffer *buffer, const struct decimal *number)
{
    if (number->negative)
        buffer_append_char(buffer, '-');
    if (number->whole.size == 0)
        buffer_append_char(buffer, '0');
    buffer_append_text(buffer, number->whole);
    if (number->fraction.size != 0) {
        buffer_append_char(buffer, '.');
        buffer_append_text(buffer, number->fraction);
    }
    if (number->exponent.size != 0) {
        buffer_append_char(buffer, 'e');
        buffer_append_text(buffer, number->exponent);
    }
}

/* 0x1F and 0o17, which have no sign. Below 2^63. */
static bool read_prefixed(struct text text, int64_t *value)
{
    unsigned bits = text_starts_with(text, TEXT("0x")) ? 4 : text_starts_with(text, TEXT("0o")) ? 3 : 0;
    uint64_t result = 0;
    if (bits == 0 || text.size == 2)
        return false;
    for (size_t i = 2; i < text.size; i++) {
        char byte = text.data[i];
        unsigned digit = byte >= '0' && byte <= '9'   ? (unsigned)(byte - '0')
                         : byte >= 'a' && byte <= 'f' ? (unsigned)(byte - 'a') + 10
                         : byte >= 'A' && byte <= 'F' ? (unsigned)(byte - 'A') + 10
                                                      : 16;
        if (digit >= 1u << bits || result >> (63 - bits) != 0)
            return false;
        result = result << bits | digit;
    }
    *value = (int64_t)result;
    return true;
}

bool yaml_to_int64(const struct yaml_node *node, int64_t *value)
{
    if (!is_plain(node))
        return false;
    struct text text = node->text;
    if (text.size > 1 && text.data[0] == '+' && text.data[1] != '-')
        take(&text, 1);
    return text_to_int64(text, value) || read_prefixed(node->text, value);
}

bool yaml_to_double(const struct yaml_node *node, double *value)
{
    struct decimal number;
    int64_t integer;
    if (!is_plain(node))
        return false;
    if (read_prefixed(node->text, &integer)) {
        *value = (double)integer;
        return true;
    }
    if (node->text.size > NUMBER_SIZE || !read_decimal(node->text, &number))
        return false;
    struct buffer written;
    buffer_init(&written, NUMBER_SIZE + 2);
    append_decimal(&written, &number);
    bool read = !written.failed && text_to_double(buffer_text(&written), value);
    buffer_free(&written);
    return read;
}

/* Digits are copied, not converted: a document's 0.10 and 40-digit integers come out as they stand. What is infinite as
 * a double stays a string, because readers of JSON refuse it or make it a null. */
static bool append_number(const struct yaml_node *node, struct json *json)
{
    struct decimal number;
    int64_t integer;
    double value;
    if (read_prefixed(node->text, &integer)) {
        json_int64(json, integer);
        return true;
    }
    if (!read_decimal(node->text, &number) || number.whole.size > WHOLE_DIGITS ||
        (number.exponent.size != 0 && !yaml_to_double(node, &value)))
        return false;
    json_raw(json, TEXT(""));
    append_decimal(json->buffer, &number);
    return true;
}

static void append_scalar(const struct yaml_node *node, struct json *json)
{
    bool boolean;
    if (yaml_is_null(node))
        json_nothing(json);
    else if (yaml_to_bool(node, &boolean))
        json_bool(json, boolean);
    else if (!is_plain(node) || !append_number(node, json))
        json_text(json, node->text);
}

static void append_node(const struct yaml_node *node, struct json *json)
{
    if (node->kind == YAML_SCALAR) {
        append_scalar(node, json);
    } else if (node->kind == YAML_SEQUENCE) {
        json_open_array(json);
        for (size_t i = 0; i < node->count; i++)
            append_node(node->items[i], json);
        json_close_array(json);
    } else {
        json_open_object(json);
        for (size_t i = 0; i < node->count; i++) {
            json_key(json, node->pairs[i].key->text);
            append_node(node->pairs[i].value, json);
        }
        json_close_object(json);
    }
}

void yaml_append_json(const struct yaml_node *node, struct buffer *buffer)
{
    struct json json = json_writer(buffer);
    append_node(node, &json);
}
