/* A file of rows, whatever its format: what a reader hands out. Columns are named by the file; a row has as many fields
 * as there are columns. */
#ifndef SLUICE_UPLOAD_TABLE_H
#define SLUICE_UPLOAD_TABLE_H

#include "base/arena.h"
#include "base/buffer.h"

#define TABLE_COLUMNS_MAX 1500 /* PostgreSQL takes 1,600 a table */
#define TABLE_NAME_MAX 63      /* bytes of a column's name: PostgreSQL's */
#define TABLE_ROW_MAX                                                                                                  \
    ((size_t)16 << 20) /* bytes of one row (line, object); a longer one is a bad row, and its rest is passed over */

/* What a field was in the file. FIELD_STRING of JSON is text whatever it looks like; a CSV's quoted field is
 * FIELD_QUOTED: text in doubt only where the file quotes only some fields (see infer.h). */
enum field_kind { FIELD_NULL, FIELD_PLAIN, FIELD_QUOTED, FIELD_STRING, FIELD_NUMBER, FIELD_BOOLEAN, FIELD_JSON };

struct field {
    enum field_kind kind;
    struct text text; /* UTF-8, unescaped; of FIELD_JSON compact JSON; valid until the reader goes on */
};

struct table_row {
    const struct field *fields;
    size_t count;  /* == columns of the table */
    uint64_t line; /* in the file, from 1: where the row begins */
};

struct table_bad_row {
    uint64_t line;
    int column;         /* index; -1: the row as a whole */
    const char *reason; /* "has 5 fields, 4 are expected"; valid during the call */
    struct text raw;    /* the row as it stood, cut at 64 KB */
};

struct table_handlers {
    /* The columns are known: before the first row. CSV: from the header, or c1, c2 … without one. NDJSON and JSON: the
     * first object's members; members that come later first (with earlier rows) are added by `on_column`. False stops.
     * The names' bytes live as long as the reader; `names` during the call. */
    bool (*on_columns)(void *context, const struct text *names, size_t count);
    bool (*on_column)(void *context, struct text name); /* one more, behind the others: rows before had null */
    bool (*on_row)(void *context, const struct table_row *row);
    /* Also before on_columns: rows that could not tell the columns. A row that is too long is told once that is known,
     * before its end was seen. */
    bool (*on_bad_row)(void *context, const struct table_bad_row *bad);
};

/* A reader is fed pieces of UTF-8 of any size and keeps what is not a whole row yet (at most TABLE_ROW_MAX). */
struct table_reader;
struct table_csv {
    char delimiter, quote; /* quote 0: none */
    bool has_header, backslash_escapes /* \" and \\ within quotes, as MySQL writes; other backslashes are text */,
        trims_spaces /* around unquoted fields */;
    struct text null;    /* an unquoted field of this text is null; TEXT(""): the empty one */
    unsigned skip_lines; /* before the header: titles, comments */
};
/* Lines end with LF, CRLF or CR. A line of nothing is passed over, in a file of one column too ("" is a row there). A
 * quote that does not begin a field is text. */
struct table_reader *table_csv_create(const struct table_csv *options, const struct table_handlers *handlers,
                                      void *context); /* NULL: out of memory */
/* An object a line (NDJSON, RFC 8259 each), or one array of objects (or a single object). Nested values are FIELD_JSON;
 * numbers keep their text. Lines end with LF. Bad rows: a repeated member, \u0000, half a surrogate pair, nesting past
 * 64 levels, and behind the first row a new member that can be no column. */
struct table_reader *table_ndjson_create(const struct table_handlers *handlers, void *context);
struct table_reader *table_json_create(const struct table_handlers *handlers, void *context);
/* STATUS_INVALID: the file is not of this format as a whole (a quote that is never closed: the line where it opens;
 * an array that does not end; no JSON), with words. STATUS_DENIED: a handler said stop. `last`: nothing follows. */
enum status table_read(struct table_reader *reader, struct text piece, bool last, struct failure *failure) MUST_CHECK;
void table_reader_free(struct table_reader *reader);

/* Names as PostgreSQL can have them: trimmed, control characters refused, at most 63 bytes (cut at a character, made
 * distinct by _2, _3 …); an empty one is c<N>. Case and words stay as they are: they are quoted everywhere. Refused
 * (STATUS_INVALID, naming both): two columns of the same name, names of PostgreSQL's system columns (ctid, xmin,
 * tableoid …), more than TABLE_COLUMNS_MAX. Copies into `arena`. */
enum status table_names(struct text *names, size_t count, struct arena *arena, struct failure *failure) MUST_CHECK;

#endif
