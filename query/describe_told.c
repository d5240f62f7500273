#include <math.h>

#include "base/log.h"
#include "query/describe_private.h"

#define OID_DATE 1082
#define OID_TIMESTAMP 1114
#define OID_TIMESTAMPTZ 1184

static bool is_time(const struct dataset_column *column)
{
    uint32_t base = column->type->base;
    return !column->computed && (base == OID_DATE || base == OID_TIMESTAMP || base == OID_TIMESTAMPTZ);
}

/* The only one of time among the key's columns; -1: none, or several. */
static int find_in_key(const struct describe_reading *reading)
{
    const struct dataset *dataset = reading->dataset;
    int found = -1;
    for (size_t i = 0; dataset->key_count != 0 && i < dataset->keys[0].count; i++) {
        unsigned short column = dataset->keys[0].columns[i];
        if (!dataset->keys[0].primary || !is_time(&reading->columns[column]))
            continue;
        if (found >= 0)
            return -1;
        found = column;
    }
    return found;
}

/* The only one of time in the relation, if it is named so. */
static int find_by_name(const struct describe_reading *reading)
{
    static const char *const names[] = {"day",        "date",        "time",       "timestamp",  "ts",   "at",
                                        "datetime",   "month",       "week",       "year",       "hour", "created_at",
                                        "updated_at", "recorded_at", "event_time", "measured_at"};
    int found = -1;
    for (size_t i = 0; i < reading->column_count; i++) {
        if (!is_time(&reading->columns[i]))
            continue;
        if (found >= 0)
            return -1;
        found = (int)i;
    }
    for (size_t i = 0; found >= 0 && i < sizeof(names) / sizeof(names[0]); i++)
        if (text_equal_ignoring_case(reading->columns[found].name, text_from_string(names[i])))
            return found;
    return -1;
}

/* A column that was told of; -1: none, or it is no time. */
static int find_told(const struct describe_reading *reading, struct text name)
{
    size_t at = name.data != NULL ? describe_find_column(reading, name) : SIZE_MAX;
    if (at != SIZE_MAX && is_time(&reading->columns[at]))
        return (int)at;
    if (name.data != NULL)
        log_event(LOG_WARNING, "dataset_time_ignored",
                  "the time column told of dataset %.*s, %.*s, is not there or is neither date nor timestamp; correct "
                  "warehouse.datasets or the relation's comment",
                  TEXT_ARGS(reading->dataset->name), TEXT_ARGS(name));
    return -1;
}

static void find_time(struct describe_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    const struct datasets_override *override = reading->override;
    struct text configured = text_from_string(override != NULL ? override->time_column : NULL);
    int found = find_told(reading, configured.data != NULL ? configured : reading->told.time_column);
    if (found < 0)
        found = find_in_key(reading);
    if (found < 0)
        found = find_by_name(reading);
    dataset->time_column = found;
    dataset->grain = override != NULL && override->grain != NULL
                         ? comment_parse_grain(text_from_string(override->grain))
                         : reading->told.grain;
    if (found < 0)
        return;
    if (dataset->grain == NULL && reading->columns[found].type->base == OID_DATE)
        dataset->grain = "day";
    dataset->time_is_indexed = describe_leads_index(reading, (size_t)found);
    for (size_t i = 0; dataset->key_count != 0 && i < dataset->keys[0].count; i++)
        dataset->time_is_indexed |= dataset->keys[0].columns[i] == found;
}

/* What a view doesn't say of itself, the tables under it say: it is as late as the latest of them. */
static void take_from_bases(struct describe_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    bool is_view = dataset->kind == DATASET_VIEW || dataset->kind == DATASET_MATERIALIZED;
    int64_t lag = -1, every = -1;
    for (size_t i = 0; is_view && i < reading->relation_count; i++) {
        const json_t *words = json_object_get(reading->relations[i].row, "words");
        struct comment_relation told;
        if (!json_is_string(words) || reading->relations[i].oid == dataset->oid)
            continue;
        if (comment_parse_relation(text_of(json_string_value(words), json_string_length(words)), &reading->scratch,
                                   &told) != STATUS_OK) {
            reading->failed = true;
            return;
        }
        lag = told.expected_lag_s > lag ? told.expected_lag_s : lag;
        every = told.expected_every_s > every ? told.expected_every_s : every;
    }
    if (dataset->expected_lag_s < 0)
        dataset->expected_lag_s = lag;
    if (dataset->expected_every_s < 0)
        dataset->expected_every_s = every;
}

static void find_expectations(struct describe_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    const struct datasets_override *override = reading->override;
    dataset->expected_lag_s = reading->told.expected_lag_s;
    dataset->expected_every_s = reading->told.expected_every_s;
    if (override != NULL && override->expected_lag_s >= 0)
        dataset->expected_lag_s = override->expected_lag_s;
    if (override != NULL && override->expected_every_s >= 0)
        dataset->expected_every_s = override->expected_every_s;
    take_from_bases(reading);
}

void describe_told(struct describe_reading *reading)
{
    find_time(reading);
    find_expectations(reading);
}
