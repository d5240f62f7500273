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
