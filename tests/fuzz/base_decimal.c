/* Any eight bytes as a double, and any text as a number: what is written reads back as the same bits. */
#include "base/decimal.h"

#include <math.h>
#include <stdlib.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(double value)
{
    char *out = malloc(DECIMAL_TEXT_SIZE); /* to the byte */
    double again = 0, parsed = 0;
    if (out == NULL)
        return;
    size_t size = decimal_format(value, out);
    if (size == 0 || size > DECIMAL_TEXT_SIZE)
        abort();
    char copy[DECIMAL_TEXT_SIZE + 1] = "";
    memcpy(copy, out, size);
    again = strtod(copy, NULL);
    if (memcmp(&again, &value, sizeof(value)) != 0)
        abort();
    /* It is a JSON number as well. */
    if (!text_to_double(text_of(out, size), &parsed) || memcmp(&parsed, &value, sizeof(value)) != 0)
        abort();
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    double value;
    int64_t integer;
    for (size_t at = 0; at + sizeof(value) <= size; at += sizeof(value)) {
        memcpy(&value, data + at, sizeof(value));
        if (isfinite(value))
            check(value);
    }
    struct text text = text_of((const char *)data, size);
    if (text_to_double(text, &value))
        check(value);
    if (text_to_int64(text, &integer)) {
        char digits[65] = "";
        memcpy(digits, data, size < 64 ? size : 64);
        if (size <= 64 && strtoll(digits, NULL, 10) != integer)
            abort();
    }
    return 0;
}
