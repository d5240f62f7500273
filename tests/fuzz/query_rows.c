/* One value on its way from the server's text to JSON. The first byte chooses the type, the rest is the value. Of types
 * that are told apart by their form alone (text and whatever is no number) the answer must be one well-formed string
 * whatever the bytes are. */
#include <stdlib.h>

#include "query/rows.h"
#include "query/value.h"

static const uint32_t types[] = {16,   17,   20,   21,   23,   25,   26,   114,  700,  701,
                                 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1700, 2950, 3802};

static void check_string(struct text json)
{
    if (json.size < 2 || json.data[0] != '"' || json.data[json.size - 1] != '"' || !text_is_utf8(json))
        abort();
    for (size_t i = 1; i + 1 < json.size; i++) {
        if (json.data[i] == '\\')
            i++;
        else if (json.data[i] == '"' || (unsigned char)json.data[i] < 0x20)
            abort();
        if (i + 1 >= json.size)
            abort(); /* the closing quote was escaped */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer out;
    if (size == 0)
        return 0;
    uint32_t type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
    struct text value = text_of((const char *)data + 1, size - 1);
    buffer_init(&out, 1 << 20);
    rows_append_json(&out, type, value);
    if (type == 17 || type == 25 || type == 1042 || type == 1043 || type == 1083 || type == 1186)
        if (!out.failed)
            check_string(buffer_text(&out));
    for (size_t i = 0; i < out.size && type == 114; i++)
        if (out.data[i] == '\n' || out.data[i] == '\r')
            abort();       /* a value never breaks its line */
    if (value.size != 0) { /* whatever is taken for JSON only becomes smaller */
        out.size = 0;
        buffer_append_text(&out, value);
        if (!out.failed && value_strip_nulls(out.data, out.size) > value.size)
            abort();
    }
    buffer_free(&out);
    buffer_init(&out, 16); /* a ceiling that is reached fails, and nothing else */
    rows_append_json(&out, type, value);
    rows_append_json(&out, type, TEXT_NONE);
    buffer_free(&out);
    return 0;
}
