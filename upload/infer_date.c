#include <stdio.h>

#include "upload/infer_private.h"

static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool is_day(unsigned year, unsigned month, unsigned day)
{
    return year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 && day <= days_in(year, month);
}

/* Digits at *at, at most `most` of them; returns how many. */
static unsigned take_number(struct text text, size_t *at, unsigned most, unsigned *value)
{
    unsigned count = 0;
    for (*value = 0; count < most && *at < text.size && (unsigned char)(text.data[*at] - '0') < 10; count++)
        *value = *value * 10 + (unsigned)(text.data[(*at)++] - '0');
    return count;
}

static bool take(struct text text, size_t *at, char byte)
{
    if (*at >= text.size || text.data[*at] != byte)
        return false;
    ++*at;
    return true;
}

static bool parse_day(struct text text, size_t *at, struct infer_moment *moment)
{
    unsigned *parts = moment->parts;
    unsigned first = take_number(text, at, 4, &parts[0]);
    char mark = *at < text.size ? text.data[*at] : '\0';
    if (first == 0 || first == 3 || (mark != '-' && mark != '/' && (mark != '.' || first == 4)))
        return false;
    ++*at;
    if (take_number(text, at, 2, &parts[1]) == 0 || !take(text, at, mark))
        return false;
    unsigned last = take_number(text, at, first == 4 ? 2 : 4, &parts[2]);
    if (last == 0 || (first != 4 && last != 4) || (*at < text.size && (unsigned char)(text.data[*at] - '0') < 10))
        return false;
    if (first == 4)
        moment->orders = is_day(parts[0], parts[1], parts[2]) ? 1u << SNIFF_YMD : 0;
    else
        moment->orders = (is_day(parts[2], parts[1], parts[0]) ? 1u << SNIFF_DMY : 0) |
                         (is_day(parts[2], parts[0], parts[1]) ? 1u << SNIFF_MDY : 0);
    return moment->orders != 0;
}

/* Z, +HH, +HHMM or +HH:MM, up to PostgreSQL's 15:59. */
static bool parse_zone(struct text text, size_t *at, struct infer_moment *moment)
{
    unsigned hours, minutes = 0;
    moment->has_zone = true;
    if (take(text, at, 'Z') || take(text, at, 'z'))
        return true;
    bool minus = take(text, at, '-');
    if (!minus && !take(text, at, '+'))
        return false;
    if (take_number(text, at, 2, &hours) != 2)
        return false;
    if (*at < text.size) {
        *at += text.data[*at] == ':';
        if (take_number(text, at, 2, &minutes) != 2)
            return false;
    }
    moment->zone = (int)(hours * 60 + minutes) * (minus ? -1 : 1);
    return hours <= 15 && minutes <= 59;
}

static bool parse_time(struct text text, size_t *at, struct infer_moment *moment)
{
    moment->has_time = true;
    unsigned digits = take_number(text, at, 2, &moment->hour);
    if (digits == 0 || !take(text, at, ':') || take_number(text, at, 2, &moment->minute) != 2)
        return false;
    if (take(text, at, ':')) {
        unsigned value;
        if (take_number(text, at, 2, &moment->second) != 2)
            return false;
        if (take(text, at, '.')) {
            moment->fraction.data = text.data + *at;
            moment->fraction.size = take_number(text, at, 6, &value);
            if (moment->fraction.size == 0)
                return false;
        }
    }
    return moment->hour <= 23 && moment->minute <= 59 && moment->second <= 59;
}

bool infer_moment_parse(struct text text, struct infer_moment *moment)
{
    size_t at = 0;
    *moment = (struct infer_moment){.orders = 0};
    if (text.size < 8 || text.size > 40 || !parse_day(text, &at, moment))
        return false;
    if (at == text.size)
        return true;
    if ((!take(text, &at, 'T') && !take(text, &at, ' ')) || !parse_time(text, &at, moment))
        return false;
    if (at == text.size)
        return true;
    /* In UTC it must not leave the years 1 to 9999. */
    unsigned year = moment->orders & 1u << SNIFF_YMD ? moment->parts[0] : moment->parts[2];
    return parse_zone(text, &at, moment) && at == text.size && year > 1 && year < 9999;
}

/* Two digits; 100 and more: they are none. */
static inline unsigned two_at(const char *at)
{
    unsigned tens = (unsigned char)(at[0] - '0'), ones = (unsigned char)(at[1] - '0');
    return tens < 10 && ones < 10 ? tens * 10 + ones : 100;
}

bool infer_is_iso(struct text text, bool time)
{
    const char *at = text.data;
    if (text.size != (time ? 19 : 10) || at[4] != '-' || at[7] != '-')
        return false;
    unsigned century = two_at(at), year = two_at(at + 2);
    if (century >= 100 || year >= 100 || !is_day(century * 100 + year, two_at(at + 5), two_at(at + 8)))
        return false;
    return !time || (at[10] == ' ' && at[13] == ':' && at[16] == ':' && two_at(at + 11) < 24 && two_at(at + 14) < 60 &&
                     two_at(at + 17) < 60);
}

/* The order that is to be used: the column's where the day can be read so, or year first, which is unmistakable. */
static bool order_parts(const struct infer_moment *moment, enum sniff_date_order order, unsigned ymd[3])
{
    const unsigned *parts = moment->parts;
    if (moment->orders & 1u << SNIFF_YMD)
        order = SNIFF_YMD;
    else if (order == SNIFF_YMD || !(moment->orders & 1u << order))
        return false;
    ymd[0] = order == SNIFF_YMD ? parts[0] : parts[2];
    ymd[1] = order == SNIFF_MDY ? parts[0] : parts[1];
    ymd[2] = order == SNIFF_YMD ? parts[2] : order == SNIFF_MDY ? parts[1] : parts[0];
    return true;
}

static char *put_two(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
    return out + 2;
}

static void append_moment(struct buffer *out, const struct infer_moment *moment, const unsigned ymd[3], bool time)
{
    char text[48], *end = text;
    end = put_two(put_two(end, ymd[0] / 100), ymd[0] % 100);
    *end++ = '-';
    end = put_two(end, ymd[1]);
    *end++ = '-';
    end = put_two(end, ymd[2]);
    if (time) {
        *end++ = ' ';
        end = put_two(end, moment->hour);
        *end++ = ':';
        end = put_two(end, moment->minute);
        *end++ = ':';
        end = put_two(end, moment->second);
        if (moment->fraction.size != 0) {
            *end++ = '.';
            memcpy(end, moment->fraction.data, moment->fraction.size);
            end += moment->fraction.size;
        }
    }
    if (moment->has_zone) {
        unsigned zone = (unsigned)(moment->zone < 0 ? -moment->zone : moment->zone);
        *end++ = moment->zone < 0 ? '-' : '+';
        end = put_two(end, zone / 60);
        *end++ = ':';
        end = put_two(end, zone % 60);
    }
    buffer_append(out, text, (size_t)(end - text));
}

static bool is_midnight(const struct infer_moment *moment)
{
    for (size_t i = 0; i < moment->fraction.size; i++)
        if (moment->fraction.data[i] != '0')
            return false;
    return moment->hour == 0 && moment->minute == 0 && moment->second == 0;
}

enum status infer_append_time(struct buffer *out, struct text text, const struct infer_result *type,
                              const char **reason)
{
    static const char *const wrong_order[] = {"is no date as year, month, day", "is no date as day, month, year",
                                              "is no date as month, day, year"};
    struct infer_moment moment;
    unsigned ymd[3] = {0};
    *reason = NULL;
    if (!infer_moment_parse(text, &moment))
        *reason = type->type == INFER_DATE ? "is no date" : "is no timestamp";
    else if (!order_parts(&moment, type->date_order, ymd))
        *reason = wrong_order[type->date_order];
    else if (type->type == INFER_DATE && (moment.has_zone || !is_midnight(&moment)))
        *reason = "has a time of day, and the column is a date";
    else if (type->type == INFER_TIMESTAMP && moment.has_zone)
        *reason = "has an offset from UTC, which a timestamp does not keep (a timestamptz does)";
    else if (type->type == INFER_TIMESTAMPTZ && !moment.has_zone)
        *reason = "has no offset from UTC, and the column is a timestamptz";
    if (*reason != NULL)
        return STATUS_INVALID;
    append_moment(out, &moment, ymd, type->type != INFER_DATE);
    return STATUS_OK;
}
