/* A file as it is sniffed and decoded. The first byte says what the caller told. What is sniffed must be readable by
 * the reader that it names, and decoding must give the same UTF-8 however the file is cut. */
#include <stdlib.h>

#include "upload/sniff.h"

static bool on_columns(void *context, const struct text *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].size == 0 || names[i].size > TABLE_NAME_MAX || !text_is_utf8(names[i]))
            abort();
    *(size_t *)context = count;
    return count <= TABLE_COLUMNS_MAX;
}

static bool on_column(void *context, struct text name)
{
    ++*(size_t *)context;
    return name.size != 0;
}

static bool on_row(void *context, const struct table_row *row)
{
    if (row->count != *(size_t *)context)
        abort();
    return true;
}

static bool on_bad_row(void *context, const struct table_bad_row *bad)
{
    (void)context;
    if (bad->line == 0 || bad->reason == NULL)
        abort();
    return true;
}

static void read_rows(const struct sniffed *sniffed, struct text utf8)
{
    static const struct table_handlers handlers = {on_columns, on_column, on_row, on_bad_row};
    size_t columns = 0;
    struct failure failure;
    struct table_reader *reader = sniffed->format == SNIFF_CSV    ? table_csv_create(&sniffed->csv, &handlers, &columns)
                                  : sniffed->format == SNIFF_JSON ? table_json_create(&handlers, &columns)
                                                                  : table_ndjson_create(&handlers, &columns);
    if (reader == NULL)
        return;
    if (table_read(reader, utf8, true, &failure) == STATUS_FAILED)
        abort();
    table_reader_free(reader);
}

static enum status decode(const struct sniffed *sniffed, struct text file, size_t step, struct buffer *out)
{
    struct text_decoder decoder = {.encoding = sniffed->encoding};
    struct failure failure;
    buffer_init(out, (size_t)1 << 24);
    for (size_t at = 0; at <= file.size; at += step) {
        size_t size = file.size - at < step ? file.size - at : step;
        enum status status = text_decode(&decoder, text_of(file.data + at, size), size < step, out, &failure);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void check(struct text file, const struct sniffed *sniffed, size_t step)
{
    struct buffer whole, pieces;
    file = text_of(file.data + sniffed->mark, file.size - sniffed->mark);
    enum status status = decode(sniffed, file, file.size + 1, &whole);
    if (decode(sniffed, file, step, &pieces) != status)
        abort();
    if (whole.size != pieces.size || (whole.size != 0 && memcmp(whole.data, pieces.data, whole.size) != 0))
        abort();
    if (status == STATUS_OK) {
        if (!text_is_utf8(buffer_text(&whole)) || (whole.size != 0 && memchr(whole.data, '\0', whole.size) != NULL))
            abort();
        read_rows(sniffed, buffer_text(&whole));
    }
    buffer_free(&whole);
    buffer_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sniff_told told = {.format = -1, .encoding = -1, .header = -1, .decimal_comma = -1, .date_order = -1};
    struct sniffed sniffed;
    struct failure failure;
    if (size == 0)
        return 0;
    struct text file = text_of((const char *)data + 1, size - 1);
    if (data[0] & 1)
        told.format = SNIFF_CSV;
    if (data[0] & 2)
        told.encoding = data[0] >> 4 & 3;
    if (data[0] & 4)
        told.delimiter = "|^;~"[data[0] >> 6];
    if (data[0] & 8)
        told.quote = data[0] & 16 ? 'n' : '\'';
    if (sniff(file, (data[0] & 32) == 0, &told, &sniffed, &failure) == STATUS_OK)
        check(file, &sniffed, 1 + data[0] % 5);
    return 0;
}
