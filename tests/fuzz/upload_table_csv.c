/* A file read whole and the same file in pieces give the same rows, bad rows and failures; a row has as many fields as
 * there are columns, and holds no more text than a row may be long. The first bytes choose options and the pieces. */
#define ROW_MAX 200

#include "tests/fuzz/upload_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool check_row(void *context, const struct table_row *row)
{
    check_size(row, 1);
    return transcript_row(context, row);
}

static const struct table_handlers handlers = {check_columns, transcript_column, check_row, transcript_bad_row};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char delimiters[] = {',', ';', '\t', '|', ' ', ':', '\'', '~'}, quotes[] = {'"', '\'', 0, '"'};
    if (size < 4)
        return 0;
    struct table_csv options = {.delimiter = delimiters[data[0] & 7],
                                .quote = quotes[data[0] >> 3 & 3],
                                .has_header = (data[0] & 0x20) == 0,
                                .backslash_escapes = (data[0] & 0x40) != 0,
                                .trims_spaces = (data[0] & 0x80) != 0,
                                .null = (data[1] & 1) == 0 ? TEXT("") : TEXT("NA"),
                                .skip_lines = data[1] >> 1 & 3};
    if (options.quote == options.delimiter)
        return 0;
    struct text file = text_of((const char *)data + 4, size - 4);
    struct transcript whole = {.stop_after = data[1] >> 3}, cut = whole;
    uint32_t pieces = (uint32_t)data[2] << 8 | data[3] | 0x10000;
    enum status status = read_file(table_csv_create(&options, &handlers, &whole), file, 0, &whole);
    check_same(status, &whole, read_file(table_csv_create(&options, &handlers, &cut), file, pieces, &cut), &cut);
    return 0;
}
