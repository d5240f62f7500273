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
