/* The same decision in Redis: one run decides over one key, atomically, by Redis' own clock. */
#ifndef SLUICE_LIMIT_SCRIPT_H
#define SLUICE_LIMIT_SCRIPT_H

#include "drivers/redis.h"
#include "limit/bucket.h"

void script_init(struct redis_script *script);
/* Statuses of redis_run. */
enum status script_run(struct redis *redis, const struct redis_script *script, const char *prefix, struct text key,
                       const struct limit_ask *ask, redis_answer on_answer, void *context) MUST_CHECK;
/* False: this is no answer of the script. */
bool script_read(const struct redis_reply *reply, const struct limit_tier *tier, struct limit_grant *grant);

#endif
