#include "query/binary.h"

#include <endian.h>
#include <math.h>

#include "base/date.h"
#include "base/decimal.h"

enum {
    BOOL = 16,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    TEXT_TYPE = 25,
    FLOAT8 = 701,
    BPCHAR = 1042,
    VARCHAR = 1043,
    DATE = 1082,
    NUMERIC = 1700
};

#define POSTGRES_EPOCH 10957 /* 2000-01-01 in days since 1970-01-01 */
#define FIRST_DAY (-719162)  /* 0001-01-01 */
#define LAST_DAY 2932896     /* 9999-12-31 */

bool binary_knows(uint32_t type)
{
    return type == BOOL || type == INT8 || type == INT2 || type == INT4 || type == TEXT_TYPE || type == FLOAT8 ||
           type == BPCHAR || type == VARCHAR || type == DATE || type == NUMERIC;
}

static uint16_t read16(const char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return be16toh(value);
}

static uint32_t read32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return be32toh(value);
}

static uint64_t read64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return be64toh(value);
}

static void append_float8(struct buffer *out, uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    if (isnan(value)) {
        buffer_append_literal(out, "NaN");
    } else if (isinf(value)) {
        buffer_append_string(out, value > 0 ? "Infinity" : "-Infinity");
    } else {
        char *room = buffer_reserve(out, DECIMAL_TEXT_SIZE);
        if (room != NULL)
            out->size += decimal_format(value, room);
    }
}

/* date_out: years before 1 as BC, years past 9999 with all their digits. */
static void append_date(struct buffer *out, int32_t days)
{
    if (days == INT32_MAX || days == INT32_MIN) {
        buffer_append_string(out, days == INT32_MAX ? "infinity" : "-infinity");
        return;
    }
    days += POSTGRES_EPOCH;
    if (days < FIRST_DAY || days > LAST_DAY) {
        int year;
        unsigned month, day;
        date_to_civil(days, &year, &month, &day);
        buffer_printf(out, "%04d-%02u-%02u%s", year < 1 ? 1 - year : year, month, day, year < 1 ? " BC" : "");
        return;
    }
    char *room = buffer_reserve(out, DATE_TEXT_SIZE);
    if (room == NULL)
        return;
    date_format(days, room);
    out->size += DATE_TEXT_SIZE - 1;
}

/* numeric_send: digits in base 10000; `weight` is the power of 10000 of the first, `scale` the decimals to show. */
struct numeric {
    const char *digits;
    int count, weight, scale;
};

static unsigned digit_at(const struct numeric *numeric, int power)
{
    int index = numeric->weight - power;
    return index >= 0 && index < numeric->count ? read16(numeric->digits + index * 2) : 0;
}

static char *put_group(char *at, unsigned group)
{
    at[0] = (char)('0' + group / 1000);
    at[1] = (char)('0' + group / 100 % 10);
    at[2] = (char)('0' + group / 10 % 10);
    at[3] = (char)('0' + group % 10);
    return at + 4;
}

static void append_whole(struct buffer *out, const struct numeric *numeric)
{
    if (numeric->weight < 0) {
        buffer_append_char(out, '0');
        return;
    }
    char *room = buffer_reserve(out, (size_t)(numeric->weight + 1) * 4);
    if (room == NULL)
        return;
    char *end = room;
    for (int power = numeric->weight; power >= 0; power--)
        end = put_group(end, digit_at(numeric, power));
    size_t zeros = 0, size = (size_t)(end - room);
    while (zeros + 1 < size && room[zeros] == '0')
        zeros++;
    memmove(room, room + zeros, size - zeros);
    out->size += size - zeros;
}

static void append_decimals(struct buffer *out, const struct numeric *numeric)
{
    if (numeric->scale == 0)
        return;
    buffer_append_char(out, '.');
    char *room = buffer_reserve(out, (size_t)numeric->scale + 4), *at = room;
    if (room == NULL)
        return;
    for (int power = -1; at - room < numeric->scale; power--)
        at = put_group(at, digit_at(numeric, power));
    out->size += (size_t)numeric->scale;
}

static void append_numeric(struct buffer *out, struct text value)
{
    if (value.size < 8)
        return;
    struct numeric numeric = {.digits = value.data + 8,
                              .count = (int16_t)read16(value.data),
                              .weight = (int16_t)read16(value.data + 2),
                              .scale = read16(value.data + 6) & 0x3FFF};
    uint16_t sign = read16(value.data + 4);
    if (sign == 0xC000 || sign == 0xD000 || sign == 0xF000) {
        buffer_append_string(out, sign == 0xC000 ? "NaN" : sign == 0xD000 ? "Infinity" : "-Infinity");
        return;
    }
    if (numeric.count < 0 || value.size != 8 + (size_t)numeric.count * 2)
        return;
    if (sign == 0x4000)
        buffer_append_char(out, '-');
    append_whole(out, &numeric);
    append_decimals(out, &numeric);
}

/* Days mostly come one after the other: then two digits change. */
static char *put_date(char *at, int32_t days, struct binary_day *near)
{
    unsigned of_month = (unsigned)(near->text[8] - '0') * 10 + (unsigned)(near->text[9] - '0');
    if (near->text[0] != '\0' && near->day < INT32_MAX && days == near->day + 1 && of_month < 28) {
        of_month++;
        near->text[8] = (char)('0' + of_month / 10);
        near->text[9] = (char)('0' + of_month % 10);
    } else if (days >= FIRST_DAY - POSTGRES_EPOCH && days <= LAST_DAY - POSTGRES_EPOCH) {
        char text[DATE_TEXT_SIZE];
        date_format(days + POSTGRES_EPOCH, text);
        memcpy(near->text, text, sizeof(near->text));
    } else {
        return NULL;
    }
    near->day = days;
    memcpy(at, near->text, sizeof(near->text));
    return at + sizeof(near->text);
}

static char *put_int64(char *at, int64_t value)
{
    char digits[20];
    size_t count = 0;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (value < 0)
        *at++ = '-';
    while (count != 0)
        *at++ = digits[--count];
    return at;
}

char *binary_put(char *at, uint32_t type, struct text value, struct binary_day *near)
{
    if (type == FLOAT8 && value.size == 8) {
        uint64_t bits = read64(value.data);
        double number;
        memcpy(&number, &bits, sizeof(number));
        return isfinite(number) ? at + decimal_format(number, at) : NULL;
    }
    if (type == DATE && value.size == 4)
        return put_date(at, (int32_t)read32(value.data), near);
    if (type == INT8 && value.size == 8)
        return put_int64(at, (int64_t)read64(value.data));
    if (type == INT4 && value.size == 4)
        return put_int64(at, (int32_t)read32(value.data));
    if (type == INT2 && value.size == 2)
        return put_int64(at, (int16_t)read16(value.data));
    return NULL;
}

void binary_append(struct buffer *out, uint32_t type, struct text value)
{
    switch (type) {
    case BOOL:
        buffer_append_char(out, value.size == 1 && value.data[0] != 0 ? 't' : 'f');
        break;
    case INT2:
        if (value.size == 2)
            buffer_append_int64(out, (int16_t)read16(value.data));
        break;
    case INT4:
        if (value.size == 4)
            buffer_append_int64(out, (int32_t)read32(value.data));
        break;
    case INT8:
        if (value.size == 8)
            buffer_append_int64(out, (int64_t)read64(value.data));
        break;
    case FLOAT8:
        if (value.size == 8)
            append_float8(out, read64(value.data));
        break;
    case DATE:
        if (value.size == 4)
            append_date(out, (int32_t)read32(value.data));
        break;
    case NUMERIC:
        append_numeric(out, value);
        break;
    default:
        buffer_append_text(out, value);
    }
}
