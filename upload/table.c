#include "upload/table_private.h"

#include <stdarg.h>
#include <stdio.h>

/* How much of a piece is put behind the beginning of a row that was cut: mostly more than the row's rest, and little to
 * copy. Doubled while the row does not end. */
#define STEP_FIRST ((size_t)4 << 10)
#define STEP_LAST ((size_t)1 << 20)

void table_reader_init(struct table_reader *reader, const struct table_format *format,
                       const struct table_handlers *handlers, void *context)
{
    *reader = (struct table_reader){
        .format = format, .handlers = *handlers, .context = context, .row_max = TABLE_ROW_MAX, .line = 1};
    buffer_init(&reader->kept, TABLE_ROW_MAX + STEP_LAST);
    arena_init(&reader->names, NULL, 0, (size_t)4 << 20);
}

void table_fail(struct table_reader *reader, enum status status, const char *format, ...)
{
    va_list arguments;
    if (table_is_over(reader))
        return;
    reader->failure.status = status;
    va_start(arguments, format);
    vsnprintf(reader->failure.message, sizeof(reader->failure.message), format, arguments);
    va_end(arguments);
}

void table_out_of_memory(struct table_reader *reader)
{
    table_fail(reader, STATUS_FAILED, "out of memory while reading the file");
}

static void note(struct table_reader *reader, bool goes_on)
{
    if (!goes_on)
        table_fail(reader, STATUS_DENIED, "reading the file was stopped");
}

void table_hand_columns(struct table_reader *reader, const struct text *names, size_t count)
{
    reader->has_columns = true;
    reader->column_count = count;
    note(reader, reader->handlers.on_columns(reader->context, names, count));
}

void table_hand_row(struct table_reader *reader, const struct table_row *row)
{
    if (__builtin_expect(!reader->handlers.on_row(reader->context, row), 0))
        note(reader, false);
}

void table_hand_bad_row(struct table_reader *reader, uint64_t line, int column, struct text raw)
{
    if (raw.size > TABLE_RAW_MAX) {
        raw.size = TABLE_RAW_MAX;
        while (raw.size > TABLE_RAW_MAX - 4 && ((unsigned char)raw.data[raw.size] & 0xC0) == 0x80)
            raw.size--; /* not amid a character: the raw text is kept as text */
    }
    struct table_bad_row bad = {.line = line, .column = column, .reason = reader->reason, .raw = raw};
    note(reader, reader->handlers.on_bad_row(reader->context, &bad));
}

void table_hand_long_row(struct table_reader *reader, uint64_t line, struct text raw, const char *hint)
{
    snprintf(reader->reason, sizeof(reader->reason), "is longer than %zu bytes%s", reader->row_max, hint);
    raw.size = raw.size < reader->row_max ? raw.size : reader->row_max;
    table_hand_bad_row(reader, line, -1, raw);
}

/* The row that the last piece cut is finished with as little of *piece as it takes. */
static void finish_kept(struct table_reader *reader, struct text *piece)
{
    struct buffer *kept = &reader->kept;
    for (size_t step = STEP_FIRST; kept->size != 0 && piece->size != 0 && !table_is_over(reader);) {
        size_t before = kept->size, more = piece->size < step ? piece->size : step;
        buffer_append(kept, piece->data, more);
        if (kept->failed) {
            table_out_of_memory(reader);
            return;
        }
        size_t done = reader->format->scan(reader, buffer_text(kept), true);
        if (done >= before) { /* what follows is read where it stands */
            more = done - before;
            buffer_clear(kept);
        } else {
            buffer_consume(kept, done);
            step = step < STEP_LAST ? step * 2 : step;
        }
        *piece = text_of(piece->data + more, piece->size - more);
    }
}

enum status table_read(struct table_reader *reader, struct text piece, bool last, struct failure *failure)
{
    if (!table_is_over(reader))
        finish_kept(reader, &piece);
    if (piece.size != 0 && !table_is_over(reader)) {
        size_t done = reader->format->scan(reader, piece, false);
        if (!table_is_over(reader))
            buffer_append(&reader->kept, piece.data + done, piece.size - done);
        if (reader->kept.failed)
            table_out_of_memory(reader);
    }
    if (last && !table_is_over(reader)) {
        reader->format->end(reader, buffer_text(&reader->kept));
        buffer_clear(&reader->kept);
    }
    if (table_is_over(reader))
        return failure_set(failure, reader->failure.status, "%s", reader->failure.message);
    return STATUS_OK;
}

void table_reader_free(struct table_reader *reader)
{
    if (reader == NULL)
        return;
    buffer_free(&reader->kept);
    arena_free(&reader->names);
    reader->format->free(reader);
}
