#include "query/binary.h"

#include <endian.h>
#include <math.h>

#include "base/date.h"
#include "base/decimal.h"

enum {
    BOOL = 16,
    BYTEA = 17,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    TEXT_TYPE = 25,
    FLOAT8 = 701,
    BPCHAR = 1042,
    VARCHAR = 1043,
    DATE = 1082,
    TIME = 1083,
    TIMESTAMP = 1114,
    TIMESTAMPTZ = 1184,
    NUMERIC = 1700,
    UUID = 2950
};

#define POSTGRES_EPOCH 10957 /* 2000-01-01 in days since 1970-01-01 */
#define FIRST_DAY (-719162)  /* 0001-01-01 */
#define LAST_DAY 2932896     /* 9999-12-31 */
#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)
#define TIME_TEXT_SIZE 15 /* 23:59:59.999999 */
#define UUID_SIZE 16

bool binary_knows(uint32_t type)
{
    return type == BOOL || type == INT8 || type == INT2 || type == INT4 || type == TEXT_TYPE || type == FLOAT8 ||
           type == BPCHAR || type == VARCHAR || type == DATE || type == NUMERIC || type == TIME || type == TIMESTAMP ||
           type == TIMESTAMPTZ || type == UUID || type == BYTEA;
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

static char *put_two(char *at, unsigned number)
{
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
    return at + 2;
}

/* Of a day, in microseconds: "12:00:00", with as many decimals as are not 0. */
static char *put_time(char *at, int64_t of_day)
{
    uint32_t seconds = (uint32_t)(of_day / SECOND_US), rest = (uint32_t)(of_day % SECOND_US);
    at = put_two(at, seconds / 3600);
    *at++ = ':';
    at = put_two(at, seconds / 60 % 60);
    *at++ = ':';
    at = put_two(at, seconds % 60);
    if (rest == 0)
        return at;
    *at = '.';
    for (int i = 6; i > 0; i--, rest /= 10)
        at[i] = (char)('0' + rest % 10);
    at += 7;
    while (at[-1] == '0')
        at--;
    return at;
}

/* The day that a timestamp lies in, which is never further than 2^27 from 2000-01-01; *of_day: microseconds since its
 * midnight. */
static int64_t split_timestamp(int64_t timestamp, int64_t *of_day)
{
    int64_t day = timestamp / DAY_US;
    *of_day = timestamp % DAY_US;
    if (*of_day >= 0)
        return day;
    *of_day += DAY_US;
    return day - 1;
}

static char *put_timestamp(char *at, int64_t timestamp, bool zoned, struct binary_day *near)
{
    int64_t of_day, day = split_timestamp(timestamp, &of_day);
    if (near->text[0] != '\0' && near->day == day) {
        memcpy(at, near->text, sizeof(near->text));
        at += sizeof(near->text);
    } else if ((at = put_date(at, (int32_t)day, near)) == NULL) {
        return NULL;
    }
    *at++ = ' ';
    at = put_time(at, of_day);
    if (zoned) {
        memcpy(at, "+00", 3);
        at += 3;
    }
    return at;
}

/* timestamp_out: the era stands behind everything else. */
static void append_timestamp(struct buffer *out, int64_t timestamp, bool zoned)
{
    if (timestamp == INT64_MAX || timestamp == INT64_MIN) {
        buffer_append_string(out, timestamp == INT64_MAX ? "infinity" : "-infinity");
        return;
    }
    int64_t of_day, day = split_timestamp(timestamp, &of_day) + POSTGRES_EPOCH;
    char time[TIME_TEXT_SIZE];
    int size = (int)(put_time(time, of_day) - time), year;
    unsigned month, of_month;
    date_to_civil((int32_t)day, &year, &month, &of_month);
    buffer_printf(out, "%04d-%02u-%02u %.*s%s%s", year < 1 ? 1 - year : year, month, of_month, size, time,
                  zoned ? "+00" : "", year < 1 ? " BC" : "");
}

static char *put_hex(char *at, struct text value)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < value.size; i++) {
        *at++ = digits[(unsigned char)value.data[i] >> 4];
        *at++ = digits[(unsigned char)value.data[i] & 15];
    }
    return at;
}

static char *put_uuid(char *at, struct text value)
{
    static const unsigned char ends[] = {4, 6, 8, 10, UUID_SIZE};
    for (size_t i = 0, start = 0; i < sizeof(ends); start = ends[i++]) {
        if (i != 0)
            *at++ = '-';
        at = put_hex(at, text_of(value.data + start, ends[i] - start));
    }
    return at;
}

static void append_uuid(struct buffer *out, struct text value)
{
    char text[BINARY_PUT_SIZE];
    if (value.size == UUID_SIZE)
        buffer_append(out, text, (size_t)(put_uuid(text, value) - text));
}

static void append_time(struct buffer *out, struct text value)
{
    char text[TIME_TEXT_SIZE];
    int64_t of_day = value.size == 8 ? (int64_t)read64(value.data) : -1;
    if (of_day >= 0 && of_day <= DAY_US)
        buffer_append(out, text, (size_t)(put_time(text, of_day) - text));
}

static void append_bytea(struct buffer *out, struct text value)
{
    char *room = value.size <= SIZE_MAX / 4 ? buffer_reserve(out, 2 + 2 * value.size) : NULL;
    if (room == NULL)
        return;
    memcpy(room, "\\x", 2);
    out->size += (size_t)(put_hex(room + 2, value) - room);
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
    if ((type == TIMESTAMP || type == TIMESTAMPTZ) && value.size == 8)
        return put_timestamp(at, (int64_t)read64(value.data), type == TIMESTAMPTZ, near);
    if (type == UUID && value.size == UUID_SIZE)
        return put_uuid(at, value);
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
    case TIME:
        append_time(out, value);
        break;
    case TIMESTAMP:
    case TIMESTAMPTZ:
        if (value.size == 8)
            append_timestamp(out, (int64_t)read64(value.data), type == TIMESTAMPTZ);
        break;
    case UUID:
        append_uuid(out, value);
        break;
    case BYTEA:
        append_bytea(out, value);
        break;
    default:
        buffer_append_text(out, value);
    }
}
