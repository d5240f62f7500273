/* What a table reader hands out, as text: "= a|b" the columns, "+ c" one more, "2: 1|"x"|~" a row with its line (~ is
 * null, "" quoted, '' a JSON string, # a JSON number, ? a boolean, others plain or JSON), "!3: reason <raw>" a bad row.
 */
#ifndef SLUICE_TESTS_TRANSCRIPT_H
#define SLUICE_TESTS_TRANSCRIPT_H

#include <stdlib.h>

#include "upload/table_private.h"

struct transcript {
    struct buffer out;
    size_t rows, bad, stop_after; /* calls of handlers; 0: never */
    bool brief;                   /* raw texts and fields only by their size */
};

static inline bool transcript_goes_on(struct transcript *transcript)
{
    return transcript->stop_after == 0 || --transcript->stop_after != 0;
}

static inline bool transcript_columns(void *context, const struct text *names, size_t count)
{
    struct transcript *transcript = context;
    buffer_append_literal(&transcript->out, "= ");
    for (size_t i = 0; i < count; i++) {
        if (i != 0)
            buffer_append_char(&transcript->out, '|');
        buffer_append_text(&transcript->out, names[i]);
    }
    buffer_append_char(&transcript->out, '\n');
    return transcript_goes_on(transcript);
}

static inline bool transcript_column(void *context, struct text name)
{
    struct transcript *transcript = context;
    buffer_append_literal(&transcript->out, "+ ");
    buffer_append_text(&transcript->out, name);
    buffer_append_char(&transcript->out, '\n');
    return transcript_goes_on(transcript);
}

static inline bool transcript_row(void *context, const struct table_row *row)
{
    static const char *const around[] = {"~", "", "\"", "'", "#", "?", ""};
    struct transcript *transcript = context;
    struct buffer *out = &transcript->out;
    buffer_printf(out, "%llu: ", (unsigned long long)row->line);
    for (size_t i = 0; i < row->count; i++) {
        const struct field *field = &row->fields[i];
        if (i != 0)
            buffer_append_char(out, '|');
        buffer_append_string(out, around[field->kind]);
        if (transcript->brief)
            buffer_append_uint64(out, field->text.size);
        else if (field->kind != FIELD_NULL)
            buffer_append_text(out, field->text);
        if (field->kind == FIELD_QUOTED || field->kind == FIELD_STRING)
            buffer_append_string(out, around[field->kind]);
    }
    buffer_append_char(out, '\n');
    transcript->rows++;
    return transcript_goes_on(transcript);
}

static inline bool transcript_bad_row(void *context, const struct table_bad_row *bad)
{
    struct transcript *transcript = context;
    struct buffer *out = &transcript->out;
    buffer_printf(out, "!%llu", (unsigned long long)bad->line);
    if (bad->column >= 0)
        buffer_printf(out, "@%d", bad->column);
    buffer_printf(out, ": %s <", bad->reason);
    if (transcript->brief)
        buffer_append_uint64(out, bad->raw.size);
    else
        buffer_append_text(out, bad->raw);
    buffer_append_literal(out, ">\n");
    transcript->bad++;
    return transcript_goes_on(transcript);
}

static const struct table_handlers transcript_handlers = {transcript_columns, transcript_column, transcript_row,
                                                          transcript_bad_row};

/* Feeds copies of pieces of `piece` bytes (0: all at once), each in memory of its own size, so that a sanitizer sees a
 * step outside and a field that points into a piece that is gone. Frees the reader; a failure is the last line. */
static inline enum status transcript_feed(struct table_reader *reader, struct transcript *transcript, struct text file,
                                          size_t piece)
{
    struct failure failure = {0};
    enum status status = STATUS_OK;
    size_t at = 0;
    do {
        size_t size = piece != 0 && piece < file.size - at ? piece : file.size - at;
        char *copy = malloc(size != 0 ? size : 1);
        if (copy == NULL)
            abort();
        if (size != 0)
            memcpy(copy, file.data + at, size);
        at += size;
        status = table_read(reader, text_of(copy, size), at == file.size, &failure);
        free(copy);
    } while (status == STATUS_OK && at < file.size);
    if (status != STATUS_OK)
        buffer_printf(&transcript->out, "%s: %s\n", status_name(status), failure.message);
    table_reader_free(reader);
    return status;
}

#endif
