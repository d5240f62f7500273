#include "upload/table_private.h"

#include <stdio.h>
#include <stdlib.h>

/* Far before any offset: matches no place. */
#define NOWHERE (PTRDIFF_MIN / 2)

enum quoting { UNQUOTED, QUOTED, CLOSED /* behind what looks like the closing quote */ };

/* The row in hand. Offsets count from the first byte of the data at hand; of a row that is passed over they go below
 * zero as its bytes go. */
struct csv_row {
    ptrdiff_t begin, field;    /* where the row and its current field begin */
    ptrdiff_t open, close;     /* the current field's quotes */
    ptrdiff_t backslash;       /* the last one that may escape what follows it */
    uint64_t line, quote_line; /* where the row begins, and its last opened quote */
    unsigned count, escaped;   /* fields, and how many of them must be unescaped */
    int garbage;               /* first field with something behind its closing quote; -1: none */
    enum quoting quoting;
    bool field_escaped;
};

struct csv {
    struct table_reader reader; /* first */
    struct table_csv options;
    char null[256];
    char needles[5]; /* delimiter, LF, CR, quote, backslash */
    bool after_cr;   /* the last byte that was read is a CR: an LF that follows ends nothing */
    bool has_header; /* still to come */
    unsigned skip_lines;
    struct csv_row row; /* while it is cut */
    size_t scanned;     /* bytes of the cut row that were looked at */
    struct buffer unescaped;
    struct field fields[TABLE_COLUMNS_MAX];
    size_t offsets[TABLE_COLUMNS_MAX]; /* of the fields in the row while it is cut */
    uint16_t escaped[TABLE_COLUMNS_MAX];
};

static bool is_blank(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != ' ' && data[i] != '\t')
            return false;
    return true;
}

static struct text trim(const char *data, size_t size)
{
    while (size != 0 && is_blank(data, 1)) {
        data++;
        size--;
    }
    while (size != 0 && is_blank(data + size - 1, 1))
        size--;
    return text_of(data, size);
}

/* The field that ends at `at`, of quotes. */
static void finish_quoted(struct csv *csv, struct csv_row *row, const char *data, ptrdiff_t at)
{
    const char *behind = data + row->close + 1;
    size_t garbage = (size_t)(at - row->close - 1);
    if (garbage != 0 && row->garbage < 0 && !(csv->options.trims_spaces && is_blank(behind, garbage)))
        row->garbage = (int)row->count;
    if (row->count < TABLE_COLUMNS_MAX) {
        csv->fields[row->count] =
            (struct field){FIELD_QUOTED, text_of(data + row->open + 1, (size_t)(row->close - row->open - 1))};
        if (row->field_escaped)
            csv->escaped[row->escaped++] = (uint16_t)row->count;
    }
    row->field_escaped = false;
}

static inline __attribute__((always_inline)) void finish_field(struct csv *csv, struct csv_row *row, const char *data,
                                                               ptrdiff_t at)
{
    if (__builtin_expect(csv->reader.passing, 0)) {
        row->field_escaped = false;
    } else if (__builtin_expect(row->quoting != UNQUOTED, 0)) {
        finish_quoted(csv, row, data, at);
    } else if (row->count < TABLE_COLUMNS_MAX) {
        struct text text = text_of(data + row->field, (size_t)(at - row->field));
        if (csv->options.trims_spaces)
            text = trim(text.data, text.size);
        bool null = text.size == csv->options.null.size && memcmp(text.data, csv->options.null.data, text.size) == 0;
        csv->fields[row->count] = (struct field){null ? FIELD_NULL : FIELD_PLAIN, text};
    }
    row->count++;
    row->quoting = UNQUOTED;
    row->field = at + 1;
}

/* Doubled quotes, and with backslash_escapes \" and \\; another backslash is itself, as in C:\new. */
static void unescape(struct csv *csv, struct csv_row *row)
{
    size_t size = 0;
    for (unsigned i = 0; i < row->escaped; i++)
        size += csv->fields[csv->escaped[i]].text.size;
    buffer_clear(&csv->unescaped);
    char *out = size != 0 ? buffer_reserve(&csv->unescaped, size) : NULL;
    if (out == NULL && size != 0) {
        table_out_of_memory(&csv->reader);
        return;
    }
    for (unsigned i = 0; i < row->escaped; i++) {
        struct text *text = &csv->fields[csv->escaped[i]].text;
        char *start = out;
        for (size_t at = 0; at < text->size; at++) {
            char byte = text->data[at], next = at + 1 < text->size ? text->data[at + 1] : 0;
            bool slash = csv->options.backslash_escapes && byte == '\\';
            if ((slash && (next == '\\' || next == csv->options.quote)) || (byte == csv->options.quote && next == byte))
                byte = text->data[++at];
            *out++ = byte;
        }
        *text = text_of(start, (size_t)(out - start));
    }
}

static void hand_columns(struct csv *csv, const struct csv_row *row)
{
    struct text names[TABLE_COLUMNS_MAX];
    struct failure failure;
    size_t count = row->count;
    if (count > TABLE_COLUMNS_MAX) {
        table_fail(&csv->reader, STATUS_INVALID,
                   "line %llu has %zu columns; a table can have %d: is the delimiter '%c' right?",
                   (unsigned long long)row->line, count, TABLE_COLUMNS_MAX, csv->options.delimiter);
        return;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = csv->has_header ? csv->fields[i].text : TEXT("");
    if (table_names(names, count, &csv->reader.names, &failure) != STATUS_OK)
        table_fail(&csv->reader, failure.status, "line %llu: %s", (unsigned long long)row->line, failure.message);
    else
        table_hand_columns(&csv->reader, names, count);
}

/* A row that is whole; `raw` is without its line's end. */
static void hand_row(struct csv *csv, struct csv_row *row, struct text raw)
{
    struct table_reader *reader = &csv->reader;
    if (row->escaped != 0)
        unescape(csv, row);
    if (row->garbage >= 0 && !csv->has_header) {
        snprintf(reader->reason, sizeof(reader->reason), "has something behind the closing quote of field %d",
                 row->garbage + 1);
        table_hand_bad_row(reader, row->line, row->garbage < (int)reader->column_count ? row->garbage : -1, raw);
        return;
    }
    if (row->garbage >= 0)
        table_fail(reader, STATUS_INVALID, "line %llu: the header has something behind the closing quote of field %d",
                   (unsigned long long)row->line, row->garbage + 1);
    if (!table_is_over(reader) && !reader->has_columns) {
        bool header = csv->has_header;
        hand_columns(csv, row);
        csv->has_header = false;
        if (header)
            return;
    }
    if (table_is_over(reader))
        return;
    if (__builtin_expect(row->count == reader->column_count, 1)) {
        struct table_row handed = {csv->fields, row->count, row->line};
        table_hand_row(reader, &handed);
        return;
    }
    snprintf(reader->reason, sizeof(reader->reason), "has %u field%s, %zu %s expected", row->count,
             row->count == 1 ? "" : "s", reader->column_count, reader->column_count == 1 ? "is" : "are");
    table_hand_bad_row(reader, row->line, -1, raw);
}

static void begin_row(struct csv *csv, struct csv_row *row, ptrdiff_t at)
{
    *row = (struct csv_row){
        .begin = at, .field = at, .close = NOWHERE, .backslash = NOWHERE, .line = csv->reader.line, .garbage = -1};
}

static void hand_long_row(struct csv *csv, const struct csv_row *row, struct text raw)
{
    if (csv->has_header)
        table_fail(&csv->reader, STATUS_INVALID, "line %llu: the header is longer than %zu bytes",
                   (unsigned long long)row->line, csv->reader.row_max);
    else
        table_hand_long_row(&csv->reader, row->line, raw,
                            csv->options.quote != 0 ? "; is a quote in it never closed?" : "");
}

/* The row ends at `at`. A line of nothing is passed over, whatever the number of columns. */
static void finish_row(struct csv *csv, struct csv_row *row, const char *data, ptrdiff_t at)
{
    finish_field(csv, row, data, at);
    if (csv->reader.passing) {
        csv->reader.passing = false;
        return;
    }
    struct text raw = text_of(data + row->begin, (size_t)(at - row->begin));
    if (raw.size > csv->reader.row_max) {
        hand_long_row(csv, row, raw);
        return;
    }
    bool empty = row->count == 1 && csv->fields[0].text.size == 0 && csv->fields[0].kind != FIELD_QUOTED;
    if (!empty)
        hand_row(csv, row, raw);
}

static bool follows_cr(const struct csv *csv, const char *data, ptrdiff_t at)
{
    return at > 0 ? data[at - 1] == '\r' : csv->after_cr;
}

/* A CR or LF. False: the row ended, and the reader may have to stop. */
static inline bool meet_line_end(struct csv *csv, struct csv_row *row, const char *data, ptrdiff_t at)
{
    bool second = data[at] == '\n' && follows_cr(csv, data, at); /* of CRLF: the CR was counted */
    if (row->quoting == QUOTED) {
        csv->reader.line += !second;
        return true;
    }
    if (second && at == row->begin && !csv->reader.passing) {
        row->begin = row->field = at + 1;
        return true;
    }
    finish_row(csv, row, data, at);
    csv->reader.line++;
    begin_row(csv, row, at + 1);
    return false;
}

static void meet_quote(struct csv *csv, struct csv_row *row, const char *data, ptrdiff_t at)
{
    if (row->quoting == QUOTED && row->backslash == at - 1) {
        row->backslash = NOWHERE;
        row->field_escaped = true;
    } else if (row->quoting == QUOTED) {
        row->close = at;
        row->quoting = CLOSED;
    } else if (row->quoting == CLOSED && row->close == at - 1) {
        row->quoting = QUOTED;
        row->field_escaped = true;
    } else if (row->quoting == UNQUOTED &&
               (at == row->field || (csv->options.trims_spaces && row->field >= 0 &&
                                     is_blank(data + row->field, (size_t)(at - row->field))))) {
        row->open = at;
        row->quote_line = csv->reader.line;
        row->quoting = QUOTED;
    }
}

static void meet_backslash(struct csv_row *row, ptrdiff_t at)
{
    if (row->quoting != QUOTED)
        return;
    if (row->backslash == at - 1) {
        row->backslash = NOWHERE;
        row->field_escaped = true;
    } else {
        row->backslash = at;
    }
}

/* Returns where the scan stopped: the data's end, or behind the row that was asked for. */
static inline __attribute__((always_inline)) size_t scan_rows(struct csv *csv, struct csv_row *row, struct text data,
                                                              bool one_row, unsigned needle_count)
{
    const char delimiter = csv->options.delimiter;
    char needles[5];
    memcpy(needles, csv->needles, sizeof(needles));
    for (size_t block = csv->scanned; block < data.size; block += 64) {
        size_t left = data.size - block;
        uint64_t found = left >= 64 ? table_find(data.data + block, needles, needle_count)
                                    : table_find_tail(data.data + block, left, needles, needle_count);
        for (; found != 0; found &= found - 1) {
            ptrdiff_t at = (ptrdiff_t)(block + (size_t)__builtin_ctzll(found));
            char byte = data.data[at];
            if (byte == delimiter) {
                if (row->quoting != QUOTED)
                    finish_field(csv, row, data.data, at);
            } else if (byte == '\n' || byte == '\r') {
                if (!meet_line_end(csv, row, data.data, at) && (one_row || table_is_over(&csv->reader)))
                    return (size_t)at + 1;
            } else if (byte == '\\' && byte != csv->options.quote) {
                meet_backslash(row, at);
            } else {
                meet_quote(csv, row, data.data, at);
            }
        }
    }
    return data.size;
}

/* Titles and comments before the header: as many lines as were told. Returns their bytes. */
static size_t skip_lines(struct csv *csv, struct text data)
{
    size_t at = 0;
    for (; csv->skip_lines != 0 && at < data.size; at++) {
        char byte = data.data[at];
        if (byte == '\r' || (byte == '\n' && !follows_cr(csv, data.data, (ptrdiff_t)at))) {
            csv->skip_lines--;
            csv->reader.line++;
        }
    }
    if (at != 0)
        csv->after_cr = data.data[at - 1] == '\r';
    return at;
}

/* The state of a cut row counts from its first byte, and holds no pointer into the data that goes. */
static void keep_row(struct csv *csv, struct csv_row *row, struct text data, size_t end, size_t done)
{
    ptrdiff_t gone = (ptrdiff_t)done;
    if (csv->reader.passing) { /* what was cut may be the blanks before a quote */
        if (csv->options.trims_spaces && row->field >= 0 && row->quoting == UNQUOTED &&
            is_blank(data.data + row->field, end - (size_t)row->field))
            row->field = (ptrdiff_t)end;
    } else {
        for (unsigned i = 0; i < row->count && i < TABLE_COLUMNS_MAX; i++)
            csv->offsets[i] = (size_t)(csv->fields[i].text.data - data.data) - done;
    }
    row->begin -= gone;
    row->field -= gone;
    row->open -= gone;
    row->close -= gone;
    row->backslash -= gone;
    csv->row = *row;
    csv->scanned = end - done;
    if (done != 0)
        csv->after_cr = data.data[done - 1] == '\r';
}

static void take_row(struct csv *csv, struct csv_row *row, const char *data)
{
    if (csv->scanned == 0 && !csv->reader.passing) {
        begin_row(csv, row, 0);
        return;
    }
    *row = csv->row;
    for (unsigned i = 0; i < row->count && i < TABLE_COLUMNS_MAX && !csv->reader.passing; i++)
        csv->fields[i].text.data = data + csv->offsets[i];
}

static size_t csv_scan(struct table_reader *reader, struct text data, bool one_row)
{
    struct csv *csv = (struct csv *)reader;
    struct csv_row row;
    size_t skipped = csv->skip_lines != 0 ? skip_lines(csv, data) : 0, end;
    data = text_of(data.data + skipped, data.size - skipped);
    if (data.size == 0)
        return skipped;
    take_row(csv, &row, data.data);
    if (csv->options.backslash_escapes)
        end = scan_rows(csv, &row, data, one_row, 5);
    else
        end = scan_rows(csv, &row, data, one_row, 4);
    if (!reader->passing && !table_is_over(reader) && end - (size_t)row.begin > reader->row_max) {
        hand_long_row(csv, &row, text_of(data.data + row.begin, end - (size_t)row.begin));
        reader->passing = true;
    }
    size_t done = reader->passing ? end : (size_t)row.begin;
    keep_row(csv, &row, data, end, done);
    return skipped + done;
}

static void csv_end(struct table_reader *reader, struct text rest)
{
    struct csv *csv = (struct csv *)reader;
    struct csv_row row;
    take_row(csv, &row, rest.data);
    if (row.quoting == QUOTED) {
        table_fail(reader, STATUS_INVALID,
                   "the quote (%c) that opens in line %llu is never closed: double the quotes that belong to the text, "
                   "or state another `quote`",
                   csv->options.quote, (unsigned long long)row.quote_line);
        return;
    }
    if (rest.size != 0)
        finish_row(csv, &row, rest.data, (ptrdiff_t)rest.size);
    if (!table_is_over(reader) && !reader->has_columns)
        table_fail(reader, STATUS_INVALID, "the file has no row%s", csv->has_header ? ", not even a header" : "");
}

static void csv_free(struct table_reader *reader)
{
    struct csv *csv = (struct csv *)reader;
    buffer_free(&csv->unescaped);
    free(csv);
}

struct table_reader *table_csv_create(const struct table_csv *options, const struct table_handlers *handlers,
                                      void *context)
{
    static const struct table_format format = {csv_scan, csv_end, csv_free};
    struct csv *csv = calloc(1, sizeof(*csv));
    if (csv == NULL)
        return NULL;
    table_reader_init(&csv->reader, &format, handlers, context);
    buffer_init(&csv->unescaped, TABLE_ROW_MAX);
    csv->options = *options;
    /* A word longer than any that stands for null matches nothing. */
    size_t size = options->null.size;
    if (size != 0 && size <= sizeof(csv->null))
        memcpy(csv->null, options->null.data, size);
    csv->options.null = text_of(csv->null, size <= sizeof(csv->null) ? size : SIZE_MAX);
    csv->has_header = options->has_header;
    csv->skip_lines = options->skip_lines;
    csv->options.trims_spaces = options->trims_spaces && options->delimiter != ' ';
    /* Without quotes nothing can be escaped; the fourth needle is then one more LF. */
    csv->options.backslash_escapes = options->backslash_escapes && options->quote != 0;
    const char needles[] = {options->delimiter, '\n', '\r', options->quote != 0 ? options->quote : '\n', '\\'};
    memcpy(csv->needles, needles, sizeof(needles));
    return &csv->reader;
}
