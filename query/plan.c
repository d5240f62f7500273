#include "query/plan.h"

const char *plan_target_name(enum plan_target target)
{
    static const char *const names[] = {"warehouse", "analytics", "upload"};
    return names[target];
}

bool plan_parameters(struct plan *plan, struct arena *arena, size_t count)
{
    plan->parameters = arena_calloc(arena, count, sizeof(*plan->parameters));
    return plan->parameters != NULL;
}

const char *plan_lane_name(enum plan_lane lane)
{
    static const char *const names[] = {"fast", "scan", "customer", "copy", "replica"};
    return names[lane];
}
