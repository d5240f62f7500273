/* What the harnesses of the table readers share: a file is read whole or in pieces, and each row holds as many fields
 * as there are columns, and no more text than ROW_MAX, which the harness chooses before it includes this. */
#ifndef SLUICE_TESTS_UPLOAD_TABLE_H
#define SLUICE_TESTS_UPLOAD_TABLE_H

#include "tests/unit/upload/transcript.h"

static size_t columns;

static inline bool check_columns(void *context, const struct text *names, size_t count)
{
    if (count == 0 || count > TABLE_COLUMNS_MAX)
        abort();
    columns = count;
    return transcript_columns(context, names, count);
}

/* `between`: bytes that a row has from one field to the next. */
static inline void check_size(const struct table_row *row, size_t between)
{
    size_t bytes = 0;
    if (row->count != columns || row->line == 0)
        abort();
    for (size_t i = 0; i < row->count; i++)
        bytes += row->fields[i].text.size;
    if (bytes + (row->count - 1) * between > ROW_MAX)
        abort();
}

/* `pieces` 0: the whole at once; else what the sizes of the pieces, 1 to 149 bytes, are made of. Each piece stands in
 * memory of its own size. Frees the reader; a failure is the transcript's last line. */
static inline enum status read_file(struct table_reader *reader, struct text file, uint32_t pieces,
                                    struct transcript *transcript)
{
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

/* Both ways gave the same. Frees what they wrote. */
static inline void check_same(enum status whole_status, struct transcript *whole, enum status cut_status,
                              struct transcript *cut)
{
    if (cut_status != whole_status || whole_status == STATUS_FAILED || whole->out.failed ||
        !text_equal(buffer_text(&whole->out), buffer_text(&cut->out)))
        abort();
    buffer_free(&whole->out);
    buffer_free(&cut->out);
}

#endif
