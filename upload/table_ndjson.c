#include "upload/table_private.h"

#include <stdlib.h>

struct ndjson {
    struct json_rows rows; /* first */
    size_t searched;       /* bytes of the cut line that hold no LF */
    bool has_rows;         /* there was a line that is not empty */
};

static void add_line(struct ndjson *ndjson, struct text line)
{
    struct table_reader *reader = &ndjson->rows.reader;
    while (line.size != 0 && json_is_space(line.data[line.size - 1]))
        line.size--;
    while (line.size != 0 && json_is_space(line.data[0]))
        line = text_of(line.data + 1, line.size - 1);
    if (line.size == 0)
        return;
    ndjson->has_rows = true;
    json_rows_add(&ndjson->rows, line, reader->line);
}

/* A line is long by all of its bytes but the LF, so that it doesn't matter how it was cut. */
static void meet_long_line(struct ndjson *ndjson, struct text line)
{
    ndjson->has_rows = true;
    table_hand_long_row(&ndjson->rows.reader, ndjson->rows.reader.line, line, "; NDJSON has an object a line");
}

static size_t ndjson_scan(struct table_reader *reader, struct text data, bool one_row)
{
    struct ndjson *ndjson = (struct ndjson *)reader;
    size_t done = 0;
    const char *end;
    for (size_t from = ndjson->searched;
         from < data.size && (end = memchr(data.data + from, '\n', data.size - from)) != NULL;) {
        struct text line = text_of(data.data + done, (size_t)(end - data.data) - done);
        if (!reader->passing && line.size > reader->row_max)
            meet_long_line(ndjson, line);
        else if (!reader->passing)
            add_line(ndjson, line);
        reader->passing = false;
        reader->line++;
        from = done = (size_t)(end - data.data) + 1;
        ndjson->searched = 0;
        if (one_row || table_is_over(reader))
            return done;
    }
    if (!reader->passing && data.size - done > reader->row_max) {
        meet_long_line(ndjson, text_of(data.data + done, data.size - done));
        reader->passing = true;
    }
    if (reader->passing)
        done = data.size;
    ndjson->searched = data.size - done;
    return done;
}

static void ndjson_end(struct table_reader *reader, struct text rest)
{
    struct ndjson *ndjson = (struct ndjson *)reader;
    if (!reader->passing)
        add_line(ndjson, rest);
    if (!table_is_over(reader) && !reader->has_columns)
        table_fail(reader, STATUS_INVALID,
                   ndjson->has_rows ? "no line of the file is a JSON object with members" : "the file has no row");
}

static void ndjson_free(struct table_reader *reader)
{
    json_rows_free((struct json_rows *)reader);
    free(reader);
}

struct table_reader *table_ndjson_create(const struct table_handlers *handlers, void *context)
{
    static const struct table_format format = {ndjson_scan, ndjson_end, ndjson_free};
    struct ndjson *ndjson = calloc(1, sizeof(*ndjson));
    if (ndjson != NULL && !json_rows_init(&ndjson->rows, &format, handlers, context)) {
        table_reader_free(&ndjson->rows.reader);
        ndjson = NULL;
    }
    return ndjson != NULL ? &ndjson->rows.reader : NULL;
}
