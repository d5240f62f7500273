/* Header, decimal comma and the word for null, from the columns of a CSV's first rows. */
#include "upload/infer_private.h"
#include "upload/sniff_private.h"

/* A field of the column as the reader will hand it out; false: the row has none. */
static bool field_at(const struct sniff_sample *sample, size_t row, size_t column, bool trims, struct field *field)
{
    if (column >= sample->rows[row].count || column >= SNIFF_COLUMNS)
        return false;
    const struct sniff_field *found = &sample->rows[row].fields[column];
    field->kind = found->quoted ? FIELD_QUOTED : FIELD_PLAIN;
    field->text = trims && !found->quoted ? text_trim(found->text) : found->text;
    return true;
}

static size_t widest(const struct sniff_sample *sample)
{
    size_t columns = 0;
    for (size_t i = 0; i < sample->count; i++)
        columns = sample->rows[i].count > columns ? sample->rows[i].count : columns;
    return columns < SNIFF_COLUMNS ? columns : SNIFF_COLUMNS;
}

/* The type of a column from row `from` on, when `null` stands for null. *nulls: how often it does. */
static enum infer_type type_of(const struct sniff_sample *sample, const struct sniffed *out, size_t from, size_t column,
                               struct text null, size_t *nulls)
{
    const struct infer_options options = {out->decimal_comma, SNIFF_DMY}; /* a doubtful date is a date here */
    struct infer_column known;
    struct infer_result result;
    struct field field;
    infer_begin(&known);
    *nulls = 0;
    for (size_t i = from; i < sample->count; i++) {
        if (!field_at(sample, i, column, out->csv.trims_spaces, &field))
            continue;
        if (field.kind == FIELD_PLAIN && field.text.size != 0 && text_equal(field.text, null))
            ++*nulls;
        else
            infer_add(&known, &options, &field);
    }
    infer_end(&known, &options, &result);
    return result.type;
}

static const char *const null_words[] = {"NULL", "null", "NA", "N/A", "n/a", "NaN", "nan", "\\N", "None", "-", "#N/A"};
#define NULL_WORDS (sizeof(null_words) / sizeof(null_words[0]))

/* The word that makes most columns typed when it is looked past. \N is null wherever it stands. */
static struct text find_null(const struct sniff_sample *sample, const struct sniffed *out, size_t from)
{
    size_t columns = widest(sample), most = 0, best = NULL_WORDS;
    for (size_t w = 0; w < NULL_WORDS; w++) {
        struct text word = text_from_string(null_words[w]);
        size_t typed = 0, nulls;
        for (size_t column = 0; column < columns; column++) {
            enum infer_type type = type_of(sample, out, from, column, word, &nulls);
            typed += nulls != 0 && (type != INFER_TEXT || null_words[w][0] == '\\');
        }
        if (typed > most) {
            most = typed;
            best = w;
        }
    }
    return best < NULL_WORDS ? text_from_string(null_words[best]) : TEXT("");
}

/* Numbers that can be read in one way only: 1,5 and 1.234,5 with a comma, 1.5 and 1,234.5 with a point. */
static bool has_decimal_comma(const struct sniff_sample *sample)
{
    size_t commas = 0, points = 0;
    struct infer_number number;
    for (size_t i = 0; i < sample->count; i++)
        for (size_t j = 0; j < sample->rows[i].count && j < SNIFF_COLUMNS; j++) {
            struct text text = text_trim(sample->rows[i].fields[j].text);
            if (text.size == 0)
                continue;
            bool comma = infer_number_parse(text, true, &number) && number.fraction.size != 0;
            bool point = infer_number_parse(text, false, &number) && number.fraction.size != 0;
            commas += comma && !infer_number_parse(text, false, &number);
            points += point && !infer_number_parse(text, true, &number);
        }
    return commas > points;
}

/* A name rather than a value: begins with a letter, and is no address, path or sentence. */
static bool is_name(struct text text)
{
    size_t spaces = 0;
    text = text_trim(text);
    if (text.size == 0 || text.size > TABLE_NAME_MAX * 2)
        return false;
    unsigned char first = (unsigned char)text.data[0];
    if (first < 0x80 && first != '_' && (unsigned)((first | 0x20) - 'a') >= 26)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        spaces += text.data[i] == ' ';
        if (text.data[i] == '@' || text.data[i] == '\n' || text.data[i] == '\r')
            return false;
    }
    return spaces <= 5 && memmem(text.data, text.size, "://", 3) == NULL;
}

static bool is_year(struct text text, int64_t *year)
{
    return text_to_int64(text, year) && *year >= 1500 && *year <= 2500;
}

/* A pivot's header: texts, and years that go up or down in even steps, as the values below them do not. */
static bool are_years(const struct sniff_sample *sample)
{
    const struct sniff_row *first = &sample->rows[0];
    int64_t last = 0, step = 0, year;
    size_t years = 0, texts = 0;
    for (size_t i = 0; i < first->count && i < SNIFF_COLUMNS; i++) {
        struct text text = text_trim(first->fields[i].text);
        if (!sniff_is_typed(text)) {
            texts += text.size != 0;
            continue;
        }
        if (!is_year(text, &year) || (years != 0 && year == last) || (years > 1 && year - last != step))
            return false;
        step = year - last;
        last = year;
        years++;
    }
    if (years < 2 || texts == 0)
        return false;
    for (size_t i = 1; i < sample->count; i++)
        for (size_t j = 0; j < first->count && j < sample->rows[i].count && j < SNIFF_COLUMNS; j++)
            if (is_year(text_trim(first->fields[j].text), &year) && !is_year(sample->rows[i].fields[j].text, &year))
                return true;
    return false;
}

/* Nothing below tells the first row from the others: its fields are names, each another, that don't come again. */
static bool are_names(const struct sniff_sample *sample)
{
    const struct sniff_row *first = &sample->rows[0];
    for (size_t i = 0; i < first->count && i < SNIFF_COLUMNS; i++) {
        struct text name = text_trim(first->fields[i].text);
        if (name.size == 0 && i + 1 == first->count && i != 0)
            continue; /* behind a delimiter at the line's end */
        if (!is_name(name))
            return false;
        for (size_t j = 0; j < i; j++)
            if (text_equal(name, text_trim(first->fields[j].text)))
                return false;
        for (size_t row = 1; row < sample->count; row++)
            if (i < sample->rows[row].count && text_equal(name, text_trim(sample->rows[row].fields[i].text)))
                return false;
    }
    return true;
}

static bool has_header(const struct sniff_sample *sample, const struct sniffed *out)
{
    const struct sniff_row *first = &sample->rows[0];
    size_t nulls, typed = 0, values = 0;
    bool named = false, ignored;
    if (sample->count == 0)
        return true;
    for (size_t i = 0; i < first->count && i < SNIFF_COLUMNS; i++) {
        struct text text = text_trim(first->fields[i].text);
        /* t, f, y, n and No may well be names. */
        values += sniff_is_typed(text) && infer_boolean(text, &ignored) == 0;
        named = named || text.size != 0;
        bool is_null = false;
        for (size_t w = 0; w < NULL_WORDS; w++)
            is_null = is_null || text_equal(text, text_from_string(null_words[w]));
        if (text.size == 0 || is_null)
            continue;
        bool below = type_of(sample, out, 1, i, TEXT(""), &nulls) != INFER_TEXT;
        for (size_t w = 0; w < NULL_WORDS && !below; w++)
            below = type_of(sample, out, 1, i, text_from_string(null_words[w]), &nulls) != INFER_TEXT && nulls != 0;
        typed += below && type_of(sample, out, 0, i, TEXT(""), &nulls) == INFER_TEXT;
    }
    if (values != 0)
        return are_years(sample);
    return named && (typed != 0 || are_names(sample));
}

void sniff_columns(const struct sniff_sample *sample, const struct sniff_told *told, struct sniffed *out)
{
    out->decimal_comma = told->decimal_comma >= 0 ? told->decimal_comma != 0 : has_decimal_comma(sample);
    out->csv.has_header = told->header >= 0 ? told->header != 0 : has_header(sample, out);
    out->csv.null = told->null.data != NULL ? told->null : find_null(sample, out, out->csv.has_header);
    if (told->header < 0)
        sniff_guessed(out, "header");
    if (told->decimal_comma < 0 && out->decimal_comma)
        sniff_guessed(out, "decimal_comma");
    if (told->null.data == NULL && out->csv.null.size != 0)
        sniff_guessed(out, "null");
}
