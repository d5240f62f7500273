/* What the files of sniff.h share. Nobody else includes this. */
#ifndef SLUICE_UPLOAD_SNIFF_PRIVATE_H
#define SLUICE_UPLOAD_SNIFF_PRIVATE_H

#include "upload/sniff.h"

#define SNIFF_COLUMNS 64 /* of a row, that are looked at one by one */

struct sniff_field {
    struct text text; /* within the quotes, as it stands there */
    bool quoted, garbled /* something stands behind the closing quote */;
};
struct sniff_row {
    struct sniff_field fields[SNIFF_COLUMNS];
    size_t count; /* may be more than SNIFF_COLUMNS */
};
/* The first rows, cut in one of the forms that they may have. */
struct sniff_sample {
    struct sniff_row *rows;
    size_t count;
    bool unclosed; /* the last row ends within a quote, and the file with it */
    size_t quoted, garbled, quotes_spaced /* quotes behind a space */;
    size_t separated, padded; /* fields behind a delimiter that hold something, and those with a space at an end */
};
struct sniff_form {
    char delimiter, quote; /* quote 0: none */
    bool escapes;          /* \" */
};
/* `whole`: the file has no more than `text`; else its last row is left out. */
void sniff_cut(struct text text, bool whole, const struct sniff_form *form, size_t rows, struct sniff_sample *sample);

/* A number in either style, a date, a timestamp or a boolean. */
bool sniff_is_typed(struct text text);

/* What the sample's columns say of header, decimal comma and null's word; `out` has the form already. */
void sniff_columns(const struct sniff_sample *sample, const struct sniff_told *told, struct sniffed *out);
/* Adds a word to out->guessed. */
void sniff_guessed(struct sniffed *out, const char *what);
/* What a sample of CSV (UTF-8, behind the lines to skip; `whole`: the file has no more) says of its form. */
void sniff_csv(struct text text, bool whole, const struct sniff_told *told, struct sniffed *out);

#endif
