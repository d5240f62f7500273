/* The form of a CSV, in the manner of G. van den Burg, A. Nazábal, C. Sutton, "Wrangling messy CSV files by detecting
 * row and type patterns" (2019): each form is tried on a sample and scored by how alike the rows are, times how many of
 * the fields look like what a field is. */
#include <stdlib.h>

#include "upload/infer_private.h"
#include "upload/sniff_private.h"

#define ROWS_OF_FORM 200 /* that a form is scored by */
#define ROWS 2000        /* that the columns are judged by: 3 MB while it lasts */

static void add_field(struct sniff_row *row, struct text text, bool quoted, bool garbled)
{
    if (row->count < SNIFF_COLUMNS)
        row->fields[row->count] = (struct sniff_field){text, quoted, garbled};
    row->count++;
}

static bool ends_line(char byte)
{
    return byte == '\n' || byte == '\r';
}

static size_t skip_to(struct text text, size_t at, char delimiter)
{
    while (at < text.size && text.data[at] != delimiter && !ends_line(text.data[at]))
        at++;
    return at;
}

/* Behind the quote that closes the one at `at`; SIZE_MAX: none does. */
static size_t quoted_end(struct text text, size_t at, const struct sniff_form *form)
{
    for (at++; at < text.size; at++) {
        if (form->escapes && text.data[at] == '\\') {
            at++;
        } else if (text.data[at] == form->quote) {
            if (at + 1 == text.size || text.data[at + 1] != form->quote)
                return at + 1;
            at++;
        }
    }
    return SIZE_MAX;
}

static bool is_spaced(struct text text)
{
    return text.size != 0 && (text.data[0] == ' ' || text.data[text.size - 1] == ' ');
}

/* The field at `at`; returns where it ends, at a delimiter, a line's end or the text's. */
static size_t cut_field(struct text text, size_t at, const struct sniff_form *form, struct sniff_sample *sample,
                        struct sniff_row *row)
{
    size_t quote = at;
    while (quote < text.size && text.data[quote] == ' ')
        quote++;
    bool quoted = form->quote != '\0' && quote < text.size && text.data[quote] == form->quote;
    if (!quoted) {
        size_t end = skip_to(text, at, form->delimiter);
        struct text field = text_of(text.data + at, end - at);
        if (row->count != 0 && text_trim(field).size != 0) {
            sample->separated++;
            sample->padded += is_spaced(field);
        }
        add_field(row, field, false, false);
        return end;
    }
    size_t end = quoted_end(text, quote, form);
    sample->quoted++;
    sample->quotes_spaced += quote != at;
    sample->separated += row->count != 0;
    sample->padded += row->count != 0 && quote != at;
    if (end == SIZE_MAX) {
        sample->unclosed = true;
        add_field(row, text_of(text.data + quote, text.size - quote), false, true);
        return text.size;
    }
    struct text field = text_of(text.data + quote + 1, end - quote - 2);
    size_t behind = skip_to(text, end, form->delimiter);
    bool garbled = text_trim(text_of(text.data + end, behind - end)).size != 0;
    sample->garbled += garbled;
    add_field(row, field, true, garbled);
    return behind;
}

void sniff_cut(struct text text, bool whole, const struct sniff_form *form, size_t rows, struct sniff_sample *sample)
{
    *sample = (struct sniff_sample){.rows = sample->rows};
    for (size_t at = 0; at < text.size && sample->count < rows;) {
        struct sniff_row *row = &sample->rows[sample->count];
        row->count = 0;
        at = cut_field(text, at, form, sample, row);
        while (at < text.size && text.data[at] == form->delimiter)
            at = cut_field(text, at + 1, form, sample, row);
        bool cut = at == text.size && !whole && sample->count != 0;
        bool empty = row->count == 1 && row->fields[0].text.size == 0 && !row->fields[0].quoted;
        sample->count += !cut && !empty;
        if (cut)
            sample->unclosed = false;
        at += at + 1 < text.size && text.data[at] == '\r' && text.data[at + 1] == '\n' ? 2 : at < text.size;
    }
}

bool sniff_is_typed(struct text text)
{
    struct infer_moment moment;
    unsigned seen;
    bool value;
    text = text_trim(text);
    return text.size != 0 && (infer_number(text, false, &seen) != 0 || infer_number(text, true, &seen) != 0 ||
                              infer_moment_parse(text, &moment) || infer_boolean(text, &value) != 0);
}

/* How much a field looks like one: a text that holds delimiters was hardly cut where it should be, but for prose, where
 * a space follows. */
static double worth_of_field(const struct sniff_field *field)
{
    struct text text = field->text;
    if (field->garbled)
        return 0;
    if (text.size == 0 || sniff_is_typed(text))
        return 1;
    if (field->quoted)
        return 0.9;
    double worth = 0.9;
    for (size_t i = 0; i < text.size && i < 1024; i++) {
        bool edge = i == 0 || i + 1 == text.size;
        if ((text.data[i] == '"' || text.data[i] == '\'') && edge)
            return 0.1;
        if (strchr(",;\t|", text.data[i]) == NULL || text.data[i] == '\0')
            continue;
        if (edge || text.data[i + 1] != ' ')
            return 0.1;
        worth = 0.6;
    }
    return worth;
}

/* The commonest number of fields, the greater one of two; *alike: the rows that have it. */
static size_t commonest_count(const struct sniff_sample *sample, size_t *alike)
{
    size_t best = 0;
    *alike = 0;
    for (size_t i = 0; i < sample->count; i++) {
        size_t count = sample->rows[i].count, same = 0;
        for (size_t j = 0; j < sample->count; j++)
            same += sample->rows[j].count == count;
        if (same > *alike || (same == *alike && count > best)) {
            *alike = same;
            best = count;
        }
    }
    return best;
}

static double score(const struct sniff_sample *sample)
{
    double worth = 0, fields = 0;
    size_t alike, columns = commonest_count(sample, &alike);
    if (columns == 0)
        return 0;
    for (size_t i = 0; i < sample->count; i++)
        for (size_t j = 0; j < sample->rows[i].count && j < SNIFF_COLUMNS; j++) {
            worth += worth_of_field(&sample->rows[i].fields[j]);
            fields++;
        }
    double even = (double)alike / (double)sample->count, pattern = 0.1 * even;
    if (columns > 1)
        pattern = even * even * even * (1 - 0.2 / (double)columns) * (sample->rows[0].count == columns ? 1 : 0.5);
    else if (sample->separated != 0)
        pattern *= 0.5; /* one column, and still the delimiter is there */
    return pattern * worth / fields * (sample->unclosed ? 0.1 : 1);
}

/* Another quote than the usual, or escapes, only where everything then falls into place. */
static bool is_odd(const struct sniff_form *form, const struct sniff_sample *sample)
{
    return (form->quote == '\'' || form->escapes) && (sample->quoted == 0 || sample->unclosed || sample->garbled != 0);
}

static void choose_form(struct text text, bool whole, const struct sniff_told *told, struct sniff_sample *sample,
                        struct sniff_form *best)
{
    static const char delimiters[] = ",;\t|", quotes[] = {'"', '\''};
    double most = -1;
    for (size_t i = 0; i < 16; i++) {
        struct sniff_form form = {delimiters[i / 4], quotes[i / 2 % 2], i % 2 != 0};
        if (told->delimiter != '\0')
            form.delimiter = told->delimiter;
        if (told->quote != '\0')
            form.quote = (char)(told->quote == 'n' ? '\0' : told->quote);
        const char escaped[] = {'\\', form.quote};
        if (form.escapes && (form.quote == '\0' || memmem(text.data, text.size, escaped, 2) == NULL))
            continue;
        sniff_cut(text, whole, &form, ROWS_OF_FORM, sample);
        if (is_odd(&form, sample) && (told->quote == '\0' || form.escapes))
            continue;
        double worth = score(sample);
        if (worth > most) {
            most = worth;
            *best = form;
        }
    }
}

void sniff_csv(struct text text, bool whole, const struct sniff_told *told, struct sniffed *out)
{
    struct sniff_sample sample = {.rows = calloc(ROWS, sizeof(*sample.rows))};
    struct sniff_form form = {',', '"', false};
    if (sample.rows == NULL)
        return;
    choose_form(text, whole, told, &sample, &form);
    sniff_cut(text, whole, &form, ROWS, &sample);
    out->csv.delimiter = form.delimiter;
    out->csv.quote = form.quote;
    out->csv.backslash_escapes = form.escapes;
    /* Spaces that stand everywhere are layout; here and there they belong to the text. */
    out->csv.trims_spaces =
        sample.quotes_spaced != 0 || (sample.separated != 0 && sample.padded * 10 >= sample.separated * 9);
    if (told->delimiter == '\0')
        sniff_guessed(out, "delimiter");
    if (told->quote == '\0')
        sniff_guessed(out, "quote");
    sniff_columns(&sample, told, out);
    free(sample.rows);
}
