#include "query/rules.h"

#include "base/buffer.h"

#define WHOLE_ROWS 1024 /* by a limit */
/* By an estimate: rows and bytes, of which text comes longer than the planner's widths say. */
#define LIKELY_ROWS 2048
#define LIKELY_BYTES ((double)RULES_WHOLE_BYTES / 4)

enum plan_target rules_target(const struct dataset *dataset)
{
    if (dataset->role.data == NULL)
        return PLAN_WAREHOUSE;
    return text_equal(dataset->prefix, TEXT("uploads")) ? PLAN_UPLOAD : PLAN_ANALYTICS;
}

enum plan_lane rules_lane(const struct dataset *dataset, const struct select_plan *select)
{
    if (dataset->role.data != NULL)
        return PLAN_CUSTOMER;
    return select->by_key ? PLAN_FAST : PLAN_SCAN;
}

bool rules_may_lag(enum plan_lane lane, uint64_t version, uint64_t version_seen_ms, uint64_t fresh_ms)
{
    return lane == PLAN_SCAN && fresh_ms != 0 && (version == 0 || version_seen_ms <= fresh_ms);
}

bool rules_goes_home(const struct postgres_error *error)
{
    /* A conflict with the replay is 40001. What waited for a connection has had its time. */
    return error->status == STATUS_UNAVAILABLE || error->status == STATUS_FAILED || error->status == STATUS_DENIED;
}

enum plan_cache rules_cache(const struct dataset *dataset)
{
    return dataset->version != 0 && !dataset->asks_caller && !dataset->moves ? PLAN_CACHE_VERSION : PLAN_CACHE_NONE;
}

bool rules_needs_estimate(const struct plan *plan)
{
    return plan->lane != PLAN_FAST;
}

bool rules_comes_whole(const struct plan *plan)
{
    const struct plan_estimate *estimate = &plan->estimate;
    if (plan->lane == PLAN_FAST || estimate->refuted)
        return false;
    if (plan->rows_at_most != 0 && plan->rows_at_most <= WHOLE_ROWS)
        return !estimate->known || estimate->bytes <= (double)RULES_WHOLE_BYTES;
    return estimate->known && estimate->rows <= LIKELY_ROWS && estimate->bytes <= LIKELY_BYTES;
}

const char *rules_excess_name(enum rules_excess excess)
{
    static const char *const names[] = {"nothing", "cost", "rows", "bytes"};
    return names[excess];
}

enum rules_excess rules_judge(const struct plan_estimate *estimate, const struct rules_budget *budget)
{
    if (!estimate->known)
        return RULES_WITHIN;
    if (budget->cost > 0 && estimate->cost > budget->cost)
        return RULES_COST;
    if (budget->rows != 0 && estimate->rows > (double)budget->rows)
        return RULES_ROWS;
    return budget->bytes != 0 && estimate->bytes > (double)budget->bytes ? RULES_BYTES : RULES_WITHIN;
}

static void append_key(struct buffer *out, const struct dataset *dataset, const struct dataset_key *key)
{
    for (size_t i = 0; i < key->count; i++)
        buffer_printf(out, "%s%.*s", i != 0 ? ", " : "", TEXT_ARGS(dataset->columns[key->columns[i]].name));
}

struct text rules_narrow(const struct dataset *dataset, const struct select_plan *select, struct arena *arena)
{
    struct buffer words;
    buffer_init(&words, 4096);
    bool has_time = dataset->time_column >= 0;
    struct text time = has_time ? dataset->columns[dataset->time_column].name : TEXT_NONE;
    if (has_time && !select->time_filtered)
        buffer_printf(&words, "filter on the time column: %.*s=gte.…&%.*s=lt.…", TEXT_ARGS(time), TEXT_ARGS(time));
    else if (has_time)
        buffer_printf(&words, "give a shorter range of %.*s", TEXT_ARGS(time));
    if (dataset->key_count != 0) {
        buffer_append_string(&words, has_time ? ", or filter on the key: " : "filter on the key: ");
        append_key(&words, dataset, &dataset->keys[0]);
    }
    buffer_append_string(&words, words.size != 0 ? ", or set a limit" : "add a filter, or set a limit");
    struct text kept = words.failed ? TEXT_NONE : arena_copy(arena, buffer_text(&words));
    buffer_free(&words);
    return kept;
}
