/* A file read whole and the same file in pieces give the same rows, bad rows and failures; a row has as many fields as
 * there are columns, and holds no more text than a row may be long. The first bytes choose options and the pieces. */
#include "tests/unit/upload/transcript.h"

#define ROW_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t columns;

static bool check_columns(void *context, const struct text *names, size_t count)
{
    if (count == 0 || count > TABLE_COLUMNS_MAX)
        abort();
    columns = count;
    return transcript_columns(context, names, count);
}

static bool check_row(void *context, const struct table_row *row)
{
    size_t bytes = 0;
    if (row->count != columns || row->line == 0)
        abort();
    for (size_t i = 0; i < row->count; i++)
        bytes += row->fields[i].text.size;
    if (bytes + row->count - 1 > ROW_MAX)
        abort();
    return transcript_row(context, row);
}

static enum status read_file(const struct table_csv *options, struct text file, uint32_t pieces,
                             struct transcript *transcript)
{
    const struct table_handlers handlers = {check_columns, transcript_column, check_row, transcript_bad_row};
    struct table_reader *reader = table_csv_create(options, &handlers, transcript);
    struct failure failure = {0};
    enum status status = STATUS_OK;
    if (reader == NULL)
        abort();
    reader->row_max = ROW_MAX;
    buffer_init(&transcript->out, (size_t)1 << 26);
    do {
        size_t piece = file.size;
        if (pieces != 0) {
            pieces = pieces * 1664525 + 1013904223;
            piece = pieces >> 30 == 0 ? 1 : (pieces >> 20) % 150;
        }
        piece = piece < file.size ? piece : file.size;
        char *copy = malloc(piece != 0 ? piece : 1);
        if (copy == NULL)
            abort();
        if (piece != 0)
            memcpy(copy, file.data, piece);
        file = text_of(file.data + piece, file.size - piece);
        status = table_read(reader, text_of(copy, piece), file.size == 0, &failure);
        free(copy);
    } while (status == STATUS_OK && file.size != 0);
    if (status != STATUS_OK)
        buffer_printf(&transcript->out, "%s: %s\n", status_name(status), failure.message);
    table_reader_free(reader);
    return status;
}

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
    enum status status = read_file(&options, file, 0, &whole);
    if (read_file(&options, file, pieces, &cut) != status || status == STATUS_FAILED || whole.out.failed ||
        !text_equal(buffer_text(&whole.out), buffer_text(&cut.out)))
        abort();
    buffer_free(&whole.out);
    buffer_free(&cut.out);
    return 0;
}
