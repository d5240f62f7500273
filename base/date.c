#include "base/date.h"

#define US_PER_SECOND 1000000
#define DAYS_IN_200_YEARS 73048 /* of 365.2425 days */
#define FIRST_DAY (-719162)     /* 0001-01-01 */
#define LAST_DAY 2932896        /* 9999-12-31 */
#define US_PER_DAY ((int64_t)86400 * US_PER_SECOND)

/* Days and civil dates: the algorithms of H. Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
int32_t date_from_civil(int year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int32_t)((int64_t)era * 146097 + day_of_era - 719468);
}

void date_to_civil(int32_t days, int *year, unsigned *month, unsigned *day_of_month)
{
    int64_t shifted = (int64_t)days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned day_of_era = (unsigned)(shifted - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * day_of_year + 2) / 153;
    *day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *year = (int)((int64_t)year_of_era + era * 400) + (*month <= 2);
}

static bool digits(struct text text, size_t at, size_t count, unsigned *value)
{
    *value = 0;
    if (at + count > text.size)
        return false;
    for (size_t i = at; i < at + count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *value = *value * 10 + (unsigned)(text.data[i] - '0');
    }
    return true;
}

static bool is_at(struct text text, size_t at, char byte)
{
    return at < text.size && text.data[at] == byte;
}

bool date_parse(struct text text, int32_t *day)
{
    unsigned year, month, day_of_month, last;
    if (text.size != 10 || !digits(text, 0, 4, &year) || !is_at(text, 4, '-') || !digits(text, 5, 2, &month) ||
        !is_at(text, 7, '-') || !digits(text, 8, 2, &day_of_month))
        return false;
    if (year == 0 || month == 0 || month > 12 || day_of_month == 0)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    last = month == 2 ? (leap ? 29 : 28) : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
    if (day_of_month > last)
        return false;
    *day = date_from_civil((int)year, month, day_of_month);
    return true;
}

/* ".123", cut to microseconds. */
static bool parse_fraction(struct text text, size_t *at, int64_t *microseconds)
{
    *microseconds = 0;
    if (!is_at(text, *at, '.'))
        return true;
    size_t first = ++*at;
    int64_t scale = US_PER_SECOND / 10;
    for (; *at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9'; ++*at, scale /= 10)
        *microseconds += (text.data[*at] - '0') * scale;
    return *at > first;
}

/* "Z" or "+02:00", and nothing behind it. */
static bool parse_offset(struct text text, size_t at, int64_t *microseconds)
{
    unsigned hours, minutes;
    *microseconds = 0;
    if (at + 1 == text.size && (text.data[at] == 'Z' || text.data[at] == 'z'))
        return true;
    if (at + 6 != text.size || (text.data[at] != '+' && text.data[at] != '-') || !digits(text, at + 1, 2, &hours) ||
        !is_at(text, at + 3, ':') || !digits(text, at + 4, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *microseconds = (int64_t)(hours * 60 + minutes) * 60 * US_PER_SECOND * (text.data[at] == '-' ? -1 : 1);
    return true;
}

bool date_parse_instant(struct text text, int64_t *microseconds)
{
    int32_t day;
    unsigned hour, minute, second;
    int64_t fraction, offset;
    size_t at = 19;
    if (text.size < 20 || !date_parse(text_of(text.data, 10), &day) || (text.data[10] != 'T' && text.data[10] != 't') ||
        !digits(text, 11, 2, &hour) || !is_at(text, 13, ':') || !digits(text, 14, 2, &minute) ||
        !is_at(text, 16, ':') || !digits(text, 17, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    if (!parse_fraction(text, &at, &fraction) || at >= text.size || !parse_offset(text, at, &offset))
        return false;
    *microseconds =
        day * US_PER_DAY + (int64_t)(hour * 3600 + minute * 60 + second) * US_PER_SECOND + fraction - offset;
    /* The offset may have moved it out of the years that can be written. */
    return *microseconds >= FIRST_DAY * US_PER_DAY && *microseconds < (LAST_DAY + 1) * US_PER_DAY;
}

static char *put(char *at, unsigned value, unsigned width)
{
    for (unsigned i = width; i > 0; i--, value /= 10)
        at[i - 1] = (char)('0' + value % 10);
    return at + width;
}

void date_format(int32_t day, char out[DATE_TEXT_SIZE])
{
    int year;
    unsigned month, day_of_month;
    day = day < FIRST_DAY ? FIRST_DAY : day > LAST_DAY ? LAST_DAY : day;
    date_to_civil(day, &year, &month, &day_of_month);
    char *at = put(out, (unsigned)year, 4);
    *at++ = '-';
    at = put(at, month, 2);
    *at++ = '-';
    at = put(at, day_of_month, 2);
    *at = '\0';
}

void date_format_instant(int64_t microseconds, char out[DATE_INSTANT_TEXT_SIZE])
{
    if (microseconds < FIRST_DAY * US_PER_DAY)
        microseconds = FIRST_DAY * US_PER_DAY;
    if (microseconds >= (LAST_DAY + 1) * US_PER_DAY)
        microseconds = (LAST_DAY + 1) * US_PER_DAY - 1;
    int64_t day = microseconds / US_PER_DAY - (microseconds % US_PER_DAY < 0);
    int64_t rest = microseconds - day * US_PER_DAY;
    unsigned second = (unsigned)(rest / US_PER_SECOND);
    date_format((int32_t)day, out);
    char *at = out + 10;
    *at++ = 'T';
    at = put(at, second / 3600, 2);
    *at++ = ':';
    at = put(at, second / 60 % 60, 2);
    *at++ = ':';
    at = put(at, second % 60, 2);
    *at++ = '.';
    at = put(at, (unsigned)(rest % US_PER_SECOND), 6);
    *at++ = 'Z';
    *at = '\0';
}

bool date_window_parse(struct text text, struct date_window *window)
{
    int64_t count;
    if (text.size < 2 || text.data[0] < '1' || text.data[0] > '9' ||
        !text_to_int64(text_of(text.data, text.size - 1), &count))
        return false;
    char unit = text.data[text.size - 1];
    int64_t per_unit = unit == 'd' || unit == 'm' ? 1 : unit == 'w' ? 7 : unit == 'y' ? 12 : 0;
    int64_t most = unit == 'd' || unit == 'w' ? DAYS_IN_200_YEARS : 200 * 12;
    if (per_unit == 0 || count > most / per_unit)
        return false;
    bool in_days = unit == 'd' || unit == 'w';
    window->days = in_days ? (int32_t)(count * per_unit) : 0;
    window->months = in_days ? 0 : (int32_t)(count * per_unit);
    return true;
}
