/* What a file is, found out from its first bytes: format, and of CSV its delimiter, quotes, header, decimal comma. A
 * caller's own word (query parameters, Content-Type) outranks each guess. */
#ifndef SLUICE_UPLOAD_SNIFF_H
#define SLUICE_UPLOAD_SNIFF_H

#include "upload/table.h"
#include "upload/text_encoding.h"

#define SNIFF_SIZE ((size_t)1 << 20) /* bytes of a file's beginning that are looked at, at most */

enum sniff_format { SNIFF_CSV, SNIFF_NDJSON, SNIFF_JSON };
const char *sniff_format_name(enum sniff_format format); /* "csv", "ndjson", "json" */

/* What the caller said; -1 or 0 or TEXT_NONE: nothing. */
struct sniff_told {
    int format;        /* enum sniff_format */
    int encoding;      /* enum text_encoding */
    int header;        /* 0, 1 */
    int decimal_comma; /* 0, 1 */
    char delimiter;    /* , ; \t | … */
    char quote;        /* " or ' ; 'n': none */
    struct text null;  /* the text that stands for null; TEXT_NONE: found out among "" and NULL, NA, nan, \N, - … */
    int date_order;    /* enum sniff_date_order */
    int skip_lines;
};
enum sniff_date_order { SNIFF_YMD, SNIFF_DMY, SNIFF_MDY };

struct sniffed {
    enum sniff_format format;
    enum text_encoding encoding;
    size_t mark; /* bytes of a byte order mark to pass over */
    struct table_csv csv;
    bool decimal_comma; /* of unquoted or quoted numbers: 1.234,5 */
    /* What was guessed and not told, for the answer: "delimiter", … NULL-terminated. */
    const char *guessed[12];
};
/* `head`: the file's first bytes, SNIFF_SIZE or all of it (`whole`). Delimiters (, ; tab |) are judged by how evenly
 * they cut the lines outside quotes, times how many fields then look like fields (sniff_csv.c). A header is a first row
 * without number or date over a column that has some; without such a column, a first row of names that don't come again
 * below; and a row of texts and years in even steps (a pivot). A word is null's if without it most columns get a type.
 * A decimal comma is found by numbers that can't be read otherwise (1,5). STATUS_INVALID: empty, nothing but white
 * space, binary (says which known format it looks like: zip, xlsx, parquet, gzip, pdf), HTML. */
enum status sniff(struct text head, bool whole, const struct sniff_told *told, struct sniffed *out,
                  struct failure *failure) MUST_CHECK;

#endif
