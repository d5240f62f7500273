#include "query/comment.h"

const char *aggregate_name(enum aggregate aggregate)
{
    static const char *const names[] = {"mean", "sum", "min", "max"};
    return names[aggregate];
}

const char *aggregate_sql(enum aggregate aggregate)
{
    static const char *const names[] = {"avg", "sum", "min", "max"};
    return names[aggregate];
}

bool comment_parse_aggregate(struct text name, enum aggregate *aggregate)
{
    for (enum aggregate each = AGGREGATE_MEAN; each <= AGGREGATE_MAX; each++)
        if (text_equal(name, text_from_string(aggregate_name(each)))) {
            *aggregate = each;
            return true;
        }
    return false;
}

enum status comment_parse(struct text comment, struct catalog_measure *measure)
{
    measure->aggregate = AGGREGATE_MEAN;
    measure->unit = TEXT_NONE;
    measure->description = comment;
    comment = text_trim(comment);
    if (comment.size < 2 || comment.data[comment.size - 1] != ']')
        return STATUS_OK;
    size_t open = comment.size - 1;
    while (open != 0 && comment.data[open] != '[')
        open--;
    if (comment.data[open] != '[')
        return STATUS_OK;
    struct text function = text_of(comment.data + open + 1, comment.size - open - 2);
    struct text unit = text_trim(text_split(&function, ';'));
    measure->description = text_trim(text_of(comment.data, open));
    measure->unit = unit.size != 0 ? unit : TEXT_NONE;
    if (function.data == NULL)
        return STATUS_OK;
    return comment_parse_aggregate(text_trim(function), &measure->aggregate) ? STATUS_OK : STATUS_INVALID;
}

const char *comment_parse_grain(struct text name)
{
    static const char *const grains[] = {"second", "minute", "hour", "day", "week", "month", "quarter", "year"};
    for (size_t i = 0; i < sizeof(grains) / sizeof(grains[0]); i++)
        if (text_equal_ignoring_case(name, text_from_string(grains[i])))
            return grains[i];
    return NULL;
}

#define MAX_SPAN ((int64_t)3650 * 86400)

/* "3 days", "12h", "1 week". */
static bool parse_span(struct text words, int64_t *seconds)
{
    static const struct {
        const char *name, *letter;
        int64_t seconds;
    } units[] = {{"second", "s", 1},           {"minute", "min", 60},     {"hour", "h", 3600},
                 {"day", "d", 86400},          {"week", "w", 7 * 86400},  {"month", "mo", 30 * 86400},
                 {"quarter", "q", 91 * 86400}, {"year", "y", 365 * 86400}};
    size_t digits = 0;
    int64_t count;
    while (digits < words.size && words.data[digits] >= '0' && words.data[digits] <= '9')
        digits++;
    struct text unit = text_trim(text_of(words.data + digits, words.size - digits));
    if (!text_to_int64(text_of(words.data, digits), &count) || count > MAX_SPAN)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct text name = text_from_string(units[i].name);
        bool plural = unit.size == name.size + 1 && (unit.data[name.size] | 32) == 's' &&
                      text_equal_ignoring_case(text_of(unit.data, name.size), name);
        if (!plural && !text_equal_ignoring_case(unit, name) &&
            !text_equal_ignoring_case(unit, text_from_string(units[i].letter)))
            continue;
        *seconds = count * units[i].seconds;
        return *seconds <= MAX_SPAN;
    }
    return false;
}

/* What stands behind the name of a sentence; false: it is another one. */
static bool is_about(struct text sentence, struct text name, struct text *value)
{
    if (sentence.size <= name.size || sentence.data[name.size] != ':' ||
        !text_equal_ignoring_case(text_of(sentence.data, name.size), name))
        return false;
    *value = text_trim(text_of(sentence.data + name.size + 1, sentence.size - name.size - 1));
    return value->size != 0;
}

/* False: it is words. */
static bool take_sentence(struct text sentence, struct comment_relation *told)
{
    struct text value;
    if (is_about(sentence, TEXT("expected lag"), &value)) {
        if (!text_equal_ignoring_case(value, TEXT("none")))
            return parse_span(value, &told->expected_lag_s);
        told->expected_lag_s = 0;
        return true;
    }
    if (is_about(sentence, TEXT("expected every"), &value))
        return parse_span(value, &told->expected_every_s);
    if (is_about(sentence, TEXT("grain"), &value)) {
        const char *grain = comment_parse_grain(value);
        told->grain = grain != NULL ? grain : told->grain;
        return grain != NULL;
    }
    if (is_about(sentence, TEXT("time"), &value)) {
        told->time_column = value;
        return true;
    }
    if (is_about(sentence, TEXT("key"), &value)) {
        told->key = value;
        return true;
    }
    return false;
}

/* Up to a period that ends a word, or to the end of the line; both belong to it. */
static struct text next_sentence(struct text *rest)
{
    size_t at = 0;
    while (at < rest->size && rest->data[at] != '\n' &&
           !(rest->data[at] == '.' && (at + 1 == rest->size || strchr(" \t\r\n", rest->data[at + 1]) != NULL)))
        at++;
    at += at < rest->size;
    struct text sentence = text_of(rest->data, at);
    *rest = text_of(rest->data + at, rest->size - at);
    return sentence;
}

enum status comment_parse_relation(struct text comment, struct arena *arena, struct comment_relation *told)
{
    *told = (struct comment_relation){.expected_lag_s = -1, .expected_every_s = -1};
    struct text words = arena_copy(arena, comment), rest = comment;
    if (words.data == NULL)
        return STATUS_TOO_LARGE;
    char *out = (char *)(uintptr_t)words.data;
    size_t size = 0;
    while (rest.size != 0) {
        struct text sentence = next_sentence(&rest), inner = text_trim_lines(sentence);
        if (inner.size != 0 && inner.data[inner.size - 1] == '.')
            inner = text_trim_lines(text_of(inner.data, inner.size - 1));
        if (take_sentence(inner, told))
            continue;
        while (sentence.size != 0 && sentence.data[0] == ' ' && (size == 0 || out[size - 1] == '\n'))
            sentence = text_of(sentence.data + 1, sentence.size - 1); /* what stood before it was taken out */
        memcpy(out + size, sentence.data, sentence.size);
        size += sentence.size;
    }
    words = text_trim_lines(text_of(out, size));
    told->description = words.size != 0 ? words : TEXT_NONE;
    return STATUS_OK;
}
