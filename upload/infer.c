#include "upload/infer_private.h"

#define ALL ((1u << (INFER_TEXT + 1)) - 1)
#define TEXT_BIT INFER_BIT(INFER_TEXT)

const char *infer_type_name(enum infer_type type)
{
    static const char *const names[] = {"boolean",   "bigint",      "numeric", "date",
                                        "timestamp", "timestamptz", "jsonb",   "text"};
    return names[type];
}

bool infer_type_named(struct text name, enum infer_type *type)
{
    static const struct {
        const char *name;
        enum infer_type type;
    } names[] = {{"boolean", INFER_BOOLEAN},
                 {"bool", INFER_BOOLEAN},
                 {"integer", INFER_INTEGER},
                 {"int", INFER_INTEGER},
                 {"int8", INFER_INTEGER},
                 {"bigint", INFER_INTEGER},
                 {"numeric", INFER_NUMERIC},
                 {"decimal", INFER_NUMERIC},
                 {"float", INFER_NUMERIC},
                 {"double", INFER_NUMERIC},
                 {"float8", INFER_NUMERIC},
                 {"double precision", INFER_NUMERIC},
                 {"date", INFER_DATE},
                 {"timestamp", INFER_TIMESTAMP},
                 {"timestamp without time zone", INFER_TIMESTAMP},
                 {"timestamptz", INFER_TIMESTAMPTZ},
                 {"timestamp with time zone", INFER_TIMESTAMPTZ},
                 {"json", INFER_JSON},
                 {"jsonb", INFER_JSON},
                 {"text", INFER_TEXT},
                 {"string", INFER_TEXT},
                 {"varchar", INFER_TEXT}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (text_equal_ignoring_case(name, text_from_string(names[i].name))) {
            *type = names[i].type;
            return true;
        }
    return false;
}

void infer_begin(struct infer_column *column)
{
    *column = (struct infer_column){.possible = ALL, .date_orders = 7, .spellings = ~0u};
}

unsigned infer_boolean(struct text text, bool *value)
{
    /* Lower, upper, capital of true/false; of yes/no; lower and upper of t/f; of y/n. */
    static const struct {
        const char *word;
        unsigned spellings;
        bool value;
    } words[] = {{"true", 1, true},   {"TRUE", 2, true}, {"True", 4, true}, {"false", 1, false}, {"FALSE", 2, false},
                 {"False", 4, false}, {"yes", 8, true},  {"YES", 16, true}, {"Yes", 32, true},   {"no", 8, false},
                 {"NO", 16, false},   {"No", 32, false}, {"t", 64, true},   {"f", 64, false},    {"T", 128, true},
                 {"F", 128, false},   {"y", 256, true},  {"n", 256, false}, {"Y", 512, true},    {"N", 512, false}};
    if (text.size > 5)
        return 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text_equal(text, text_from_string(words[i].word))) {
            *value = words[i].value;
            return words[i].spellings;
        }
    return 0;
}

static unsigned try_boolean(struct infer_column *column, struct text text)
{
    bool value = false;
    column->spellings &= infer_boolean(text, &value);
    column->seen |= value ? INFER_SEEN_TRUE : INFER_SEEN_FALSE;
    return column->spellings != 0 ? INFER_BIT(INFER_BOOLEAN) : 0;
}

static unsigned try_time(struct infer_column *column, struct text text)
{
    struct infer_moment moment;
    if (!infer_moment_parse(text, &moment))
        return 0;
    column->date_orders &= moment.orders;
    if (column->date_orders == 0)
        return 0;
    return INFER_BIT(!moment.has_time ? INFER_DATE : moment.has_zone ? INFER_TIMESTAMPTZ : INFER_TIMESTAMP);
}

/* What the text looks like is tried among what the column can still be. No text is of two kinds, but integers are
 * numeric too. */
static void narrow(struct infer_column *column, const struct infer_options *options, struct text text)
{
    unsigned possible = column->possible, fits = 0;
    if (infer_is_padded(text)) {
        text = text_trim(text);
        if (text.size == 0) {
            column->possible &= TEXT_BIT;
            return;
        }
    }
    if (possible & INFER_NUMBERS)
        fits = infer_number(text, options->decimal_comma, &column->seen);
    if (fits == 0 && (possible & INFER_TIMES) != 0)
        fits = try_time(column, text);
    if (fits == 0 && (possible & INFER_BIT(INFER_BOOLEAN)) != 0)
        fits = try_boolean(column, text);
    column->possible &= fits | TEXT_BIT;
}

/* A field of a format that has kinds of its own. */
static void add_kind(struct infer_column *column, const struct infer_options *options, const struct field *field)
{
    const unsigned json = INFER_BIT(INFER_JSON) | TEXT_BIT;
    unsigned fits = 0, seen = 0;
    switch (field->kind) {
    case FIELD_STRING:
        if ((column->possible & INFER_TIMES) != 0)
            fits = try_time(column, field->text);
        break;
    case FIELD_NUMBER:
        /* 1e5 is a number there, and nothing else. */
        fits = infer_number(field->text, false, &seen);
        column->possible &= fits != 0 || infer_json_fits(field->text) ? ALL : TEXT_BIT;
        break;
    case FIELD_BOOLEAN:
        fits = try_boolean(column, field->text);
        break;
    default:
        column->seen |= INFER_SEEN_JSON;
        column->possible &= infer_json_fits(field->text) ? ALL : TEXT_BIT;
    }
    (void)options;
    column->possible &= fits | json;
}

void infer_add(struct infer_column *column, const struct infer_options *options, const struct field *field)
{
    const struct text text = field->text;
    if (field->kind == FIELD_NULL) {
        column->nulls++;
        return;
    }
    column->widest = text.size > column->widest ? text.size : column->widest;
    if (__builtin_expect(field->kind > FIELD_QUOTED, 0)) {
        column->values++;
        if (column->possible != TEXT_BIT)
            add_kind(column, options, field);
        return;
    }
    if (__builtin_expect(text.size == 0, 0)) {
        column->nulls += field->kind == FIELD_PLAIN;
        column->seen |= field->kind == FIELD_QUOTED ? INFER_SEEN_QUOTED_EMPTY : 0;
        return;
    }
    column->values++;
    if (column->possible == TEXT_BIT)
        return;
    if (field->kind == FIELD_PLAIN)
        column->seen |= INFER_SEEN_UNQUOTED;
    if ((column->possible & INFER_NUMBERS) != 0 && infer_is_short_integer(text)) {
        column->possible &= INFER_NUMBERS | TEXT_BIT;
        return;
    }
    if ((column->possible & INFER_NUMBERS) == INFER_BIT(INFER_NUMERIC) && !options->decimal_comma &&
        infer_is_short_decimal(text)) {
        column->seen |= INFER_SEEN_MARK;
        column->possible &= INFER_BIT(INFER_NUMERIC) | TEXT_BIT;
        return;
    }
    /* A column of ISO dates or of ISO timestamps alone stays one. */
    if (column->date_orders == 1u << SNIFF_YMD &&
        (column->possible == (INFER_BIT(INFER_DATE) | TEXT_BIT) ||
         column->possible == (INFER_BIT(INFER_TIMESTAMP) | TEXT_BIT)) &&
        infer_is_iso(text, (column->possible & INFER_BIT(INFER_TIMESTAMP)) != 0))
        return;
    narrow(column, options, text);
}

/* The order in which all of the column's dates are days; false: in doubt. */
static bool find_order(const struct infer_column *column, const struct infer_options *options,
                       enum sniff_date_order *order)
{
    unsigned orders = column->date_orders;
    if (options->date_order >= 0 && (orders & (orders - 1)) != 0)
        orders &= 1u << options->date_order;
    else if (options->date_order == SNIFF_DMY || options->date_order == SNIFF_MDY)
        orders &= 1u << options->date_order | 1u << SNIFF_YMD;
    for (*order = SNIFF_YMD; *order < SNIFF_MDY && (orders & 1u << *order) == 0;)
        ++*order;
    return orders != 0 && (orders & (orders - 1)) == 0;
}

static bool is_boolean(const struct infer_column *column)
{
    const unsigned both = INFER_SEEN_TRUE | INFER_SEEN_FALSE;
    return (column->possible & INFER_BIT(INFER_BOOLEAN)) != 0 &&
           ((column->spellings & INFER_SPELLING_LONG) != 0 || (column->seen & both) == both);
}

static bool is_number(const struct infer_column *column)
{
    unsigned seen = column->seen;
    if ((column->possible & INFER_BIT(INFER_NUMERIC)) == 0)
        return false;
    if ((seen & INFER_SEEN_GROUP) != 0 && (seen & INFER_SEEN_MARK) == 0)
        return false;
    return (seen & INFER_SEEN_EXPONENT) == 0 || (seen & (INFER_SEEN_MARK | INFER_SEEN_SIGNED_EXPONENT)) != 0;
}

void infer_end(const struct infer_column *column, const struct infer_options *options, struct infer_result *result)
{
    enum sniff_date_order order = SNIFF_YMD;
    bool ordered = find_order(column, options, &order);
    if (!ordered && options->date_order >= 0)
        order = (enum sniff_date_order)options->date_order;
    *result = (struct infer_result){INFER_TEXT, order, options->decimal_comma};
    if (column->values == 0)
        return;
    if ((column->seen & INFER_SEEN_JSON) != 0) {
        result->type = (column->possible & INFER_BIT(INFER_JSON)) != 0 ? INFER_JSON : INFER_TEXT;
        return;
    }
    if ((column->seen & INFER_SEEN_QUOTED_EMPTY) != 0 && (column->seen & INFER_SEEN_UNQUOTED) != 0)
        return;
    if (is_boolean(column))
        result->type = INFER_BOOLEAN;
    else if (is_number(column))
        result->type = (column->possible & INFER_BIT(INFER_INTEGER)) != 0 ? INFER_INTEGER : INFER_NUMERIC;
    else if (ordered && (column->possible & INFER_TIMES) != 0)
        result->type = (column->possible & INFER_BIT(INFER_DATE)) != 0        ? INFER_DATE
                       : (column->possible & INFER_BIT(INFER_TIMESTAMP)) != 0 ? INFER_TIMESTAMP
                                                                              : INFER_TIMESTAMPTZ;
}
