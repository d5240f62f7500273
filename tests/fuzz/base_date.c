/* Any text as a day, an instant and a window: what is accepted is written back as it was read. */
#include "base/date.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_day(struct text text)
{
    int32_t day;
    char out[DATE_TEXT_SIZE];
    if (!date_parse(text, &day))
        return;
    date_format(day, out);
    if (!text_equal(text, text_from_string(out)))
        abort();
}

static void check_instant(struct text text)
{
    int64_t instant, again;
    char out[DATE_INSTANT_TEXT_SIZE];
    if (!date_parse_instant(text, &instant))
        return;
    date_format_instant(instant, out);
    if (strlen(out) != DATE_INSTANT_TEXT_SIZE - 1 || !date_parse_instant(text_from_string(out), &again) ||
        again != instant)
        abort();
}

static void check_window(struct text text)
{
    struct date_window window = {-1, -1};
    if (!date_window_parse(text, &window))
        return;
    bool in_days = window.days != 0, in_months = window.months != 0;
    if (in_days == in_months || window.days < 0 || window.days > 73048 || window.months < 0 || window.months > 2400)
        abort();
}

/* The bytes as numbers, however far outside the years that can be written. */
static void check_numbers(const uint8_t *data)
{
    int64_t instant, again;
    char out[DATE_INSTANT_TEXT_SIZE];
    int year;
    unsigned month, day_of_month;
    memcpy(&instant, data, sizeof(instant));
    date_format_instant(instant, out);
    if (!date_parse_instant(text_from_string(out), &again))
        abort();
    date_to_civil((int32_t)instant, &year, &month, &day_of_month);
    if (date_from_civil(year, month, day_of_month) != (int32_t)instant)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = text_of((const char *)data, size);
    check_day(text);
    check_instant(text);
    check_window(text);
    if (size >= sizeof(int64_t))
        check_numbers(data);
    return 0;
}
