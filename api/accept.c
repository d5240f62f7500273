#include "api/accept.h"

/* Quality in thousandths from the parameters behind a media range or coding; 1000 when none is given, 0 when it can't
 * be read: what nobody understands is not asked for. */
static int read_quality(struct text parameters)
{
    while (parameters.data != NULL) {
        struct text parameter = text_trim(text_split(&parameters, ';'));
        if (parameter.size < 2 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=')
            continue;
        struct text digits = text_of(parameter.data + 2, parameter.size - 2);
        if (digits.size == 0 || digits.size > 5 || (digits.data[0] != '0' && digits.data[0] != '1') ||
            (digits.size > 1 && digits.data[1] != '.'))
            return 0;
        int quality = (digits.data[0] - '0') * 1000, unit = 100;
        for (size_t i = 2; i < digits.size; i++, unit /= 10) {
            if (digits.data[i] < '0' || digits.data[i] > '9')
                return 0;
            quality += (digits.data[i] - '0') * unit;
        }
        return quality <= 1000 ? quality : 0;
    }
    return 1000;
}

static const struct {
    struct text name, family; /* "text/csv", "text/" + "*" */
    enum rows_format format;
} offered[] = {{{"application/json", 16}, {"application/*", 13}, ROWS_JSON},
               {{"text/csv", 8}, {"text/*", 6}, ROWS_CSV},
               {{"application/x-ndjson", 20}, {"application/*", 13}, ROWS_NDJSON},
               {{"application/ndjson", 18}, {"application/*", 13}, ROWS_NDJSON},
               {{"application/jsonl", 17}, {"application/*", 13}, ROWS_NDJSON}};

/* What the header says of one format: the most specific range that covers it counts. */
struct opinion {
    int quality, specificity; /* 0: none, 1: any/any, 2: family, 3: named */
    size_t place;
};

static void hear(struct opinion *opinion, int specificity, int quality, size_t place)
{
    if (specificity < opinion->specificity || (specificity == opinion->specificity && quality <= opinion->quality))
        return;
    *opinion = (struct opinion){quality, specificity, place};
}

enum status accept_choose(struct text accept, enum rows_format *format)
{
    struct opinion opinions[3] = {0};
    size_t place = 0;
    struct text rest = accept;
    *format = ROWS_JSON;
    if (text_trim(accept).size == 0)
        return STATUS_OK;
    while (rest.data != NULL) {
        struct text parameters = text_trim(text_split(&rest, ','));
        struct text range = text_trim(text_split(&parameters, ';'));
        int quality = read_quality(parameters);
        place++;
        for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
            struct opinion *opinion = &opinions[offered[i].format];
            if (text_equal_ignoring_case(range, offered[i].name))
                hear(opinion, 3, quality, place);
            else if (text_equal_ignoring_case(range, offered[i].family))
                hear(opinion, 2, quality, place);
            else if (text_equal(range, TEXT("*/*")))
                hear(opinion, 1, quality, place);
        }
    }
    int best = -1;
    for (int i = 0; i < 3; i++) {
        if (opinions[i].quality == 0)
            continue;
        /* Equal quality: named before wildcard, then the client's order; JSON is the first of ours. */
        if (best < 0 || opinions[i].quality > opinions[best].quality ||
            (opinions[i].quality == opinions[best].quality && opinions[i].specificity == 3 &&
             (opinions[best].specificity < 3 || opinions[i].place < opinions[best].place)))
            best = i;
    }
    if (best < 0)
        return STATUS_INVALID;
    *format = (enum rows_format)best;
    return STATUS_OK;
}

/* The forms that rows of a dataset take. Of several that one entry takes, the first is given. */
static const struct accept_rows forms[] = {
    {ROWS_JSON, false, false, {"application/json; charset=utf-8", 31}},
    {ROWS_CSV, false, false, {"text/csv; charset=utf-8", 23}},
    {ROWS_NDJSON, false, false, {"application/x-ndjson", 20}},
    {ROWS_JSON, false, false, {"application/vnd.pgrst.array+json; charset=utf-8", 47}},
    {ROWS_JSON, false, true, {"application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8", 62}},
    {ROWS_JSON, true, false, {"application/vnd.pgrst.object+json; charset=utf-8", 48}},
    {ROWS_JSON, true, true, {"application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8", 63}}};
enum { FORM_JSON, FORM_CSV, FORM_NDJSON, FORM_ARRAY, FORM_ARRAY_STRIPPED, FORM_OBJECT, FORM_OBJECT_STRIPPED };
#define NAMED_FORMS 3 /* the first ones */

static const struct {
    struct text name;
    unsigned form; /* without nulls=stripped */
    bool strips;   /* the next form is the one with it */
} row_types[] = {{{"application/json", 16}, FORM_JSON, false},
                 {{"text/csv", 8}, FORM_CSV, false},
                 {{"application/x-ndjson", 20}, FORM_NDJSON, false},
                 {{"application/ndjson", 18}, FORM_NDJSON, false},
                 {{"application/jsonl", 17}, FORM_NDJSON, false},
                 {{"application/vnd.pgrst.array+json", 32}, FORM_ARRAY, true},
                 {{"application/vnd.pgrst.array", 27}, FORM_ARRAY, true},
                 {{"application/vnd.pgrst.object+json", 33}, FORM_OBJECT, true},
                 {{"application/vnd.pgrst.object", 28}, FORM_OBJECT, true}};

static bool asks_stripped(struct text parameters)
{
    while (parameters.data != NULL) {
        struct text parameter = text_trim(text_split(&parameters, ';'));
        if (text_equal_ignoring_case(parameter, TEXT("nulls=stripped")) ||
            text_equal_ignoring_case(parameter, TEXT("nulls=\"stripped\"")))
            return true;
    }
    return false;
}

/* The forms that an entry of Accept takes, as a bit mask. */
static unsigned forms_of(struct text range, struct text parameters)
{
    const unsigned json = 1u << FORM_JSON, csv = 1u << FORM_CSV, ndjson = 1u << FORM_NDJSON;
    if (text_equal(range, TEXT("*/*")))
        return json | csv | ndjson;
    if (text_equal_ignoring_case(range, TEXT("application/*")))
        return json | ndjson;
    if (text_equal_ignoring_case(range, TEXT("text/*")))
        return csv;
    for (size_t i = 0; i < sizeof(row_types) / sizeof(row_types[0]); i++)
        if (text_equal_ignoring_case(range, row_types[i].name))
            return 1u << (row_types[i].form + (row_types[i].strips && asks_stripped(parameters)));
    return 0;
}

static bool is_wildcard(struct text range)
{
    return range.size != 0 && range.data[range.size - 1] == '*';
}

/* What is named with q=0: no wildcard brings it back. */
static unsigned refused_forms(struct text accept)
{
    unsigned refused = 0;
    while (accept.data != NULL) {
        struct text parameters = text_trim(text_split(&accept, ','));
        struct text range = text_trim(text_split(&parameters, ';'));
        if (!is_wildcard(range) && read_quality(parameters) == 0)
            refused |= forms_of(range, parameters);
    }
    return refused;
}

enum status accept_rows(struct text accept, struct accept_rows *rows)
{
    const unsigned refused = refused_forms(accept);
    unsigned best_forms = 0;
    int best = 0;
    *rows = forms[FORM_JSON];
    if (text_trim(accept).size == 0)
        return STATUS_OK;
    while (accept.data != NULL) {
        struct text parameters = text_trim(text_split(&accept, ','));
        struct text range = text_trim(text_split(&parameters, ';'));
        unsigned takes = forms_of(range, parameters);
        int quality = read_quality(parameters);
        if (is_wildcard(range))
            takes &= ~refused;
        if (takes != 0 && quality > best) {
            best = quality;
            best_forms = takes;
        }
    }
    if (best_forms == 0)
        return STATUS_INVALID;
    *rows = forms[__builtin_ctz(best_forms)];
    return STATUS_OK;
}

bool accept_rows_named(struct text format, struct accept_rows *rows)
{
    static const struct text names[NAMED_FORMS] = {{"json", 4}, {"csv", 3}, {"ndjson", 6}};
    for (size_t i = 0; i < NAMED_FORMS; i++)
        if (text_equal(format, names[i])) {
            *rows = forms[i];
            return true;
        }
    return false;
}

bool accept_gzip(struct text accept_encoding)
{
    int named = -1, any = -1;
    while (accept_encoding.data != NULL) {
        struct text parameters = text_trim(text_split(&accept_encoding, ','));
        struct text coding = text_trim(text_split(&parameters, ';'));
        if (text_equal_ignoring_case(coding, TEXT("gzip")) || text_equal_ignoring_case(coding, TEXT("x-gzip")))
            named = read_quality(parameters);
        else if (text_equal(coding, TEXT("*")))
            any = read_quality(parameters);
    }
    return named >= 0 ? named > 0 : any > 0;
}
