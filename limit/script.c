#include "limit/script.h"

#include <stdio.h>

/* KEYS[1]: a hash: a field a policy, "level:time" (rate; level in 1/window_us of a token) or "used:period" (quota), and
 * `slot`. ARGV: give, extra, spacing, number of policies; for each its field, kind, tokens, window_us, burst; then
 * pairs of count and weight. Numbers stay below 2^53, where doubles are exact. The hash expires when it says no more
 * than a new one would. */
static const char text[] =
    "local time = redis.call('TIME')\n"
    "local now = tonumber(time[1]) * 1000000 + tonumber(time[2])\n"
    "local give, extra, spacing, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local day_us = 86400000000\n"
    "local function first_of(y, m)\n" /* days from the epoch to the first of a month (Hinnant, days_from_civil) */
    "  if m <= 2 then y = y - 1 end\n"
    "  local era = math.floor(y / 400)\n"
    "  local yoe = y - era * 400\n"
    "  local doy = math.floor((153 * ((m + 9) % 12) + 2) / 5)\n"
    "  local doe = yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy\n"
    "  return era * 146097 + doe - 719468\n"
    "end\n"
    "local function period(kind)\n"
    "  local day = math.floor(now / day_us)\n"
    "  if kind == 'd' then return day, (day + 1) * day_us end\n"
    "  local z = day + 719468\n"
    "  local era = math.floor(z / 146097)\n"
    "  local doe = z - era * 146097\n"
    "  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / "
    "365)\n"
    "  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))\n"
    "  local mp = math.floor((5 * doy + 2) / 153)\n"
    "  local m = mp < 10 and mp + 3 or mp - 9\n"
    "  local y = yoe + era * 400 + (m <= 2 and 1 or 0)\n"
    "  local ends = m == 12 and first_of(y + 1, 1) or first_of(y, m + 1)\n"
    "  return y * 12 + m, ends * day_us\n"
    "end\n"
    "local names = {'slot'}\n"
    "for i = 1, count do names[i + 1] = ARGV[i * 5] end\n"
    "local stored = redis.call('HMGET', KEYS[1], unpack(names))\n"
    "local policies, available = {}, math.huge\n"
    "for i = 1, count do\n"
    "  local at = i * 5\n"
    "  local p = {kind = ARGV[at + 1], tokens = tonumber(ARGV[at + 2]), window = tonumber(ARGV[at + 3]),"
    " burst = tonumber(ARGV[at + 4])}\n"
    "  local a, b = string.match(stored[i + 1] or '', '^(%d+):(%d+)$')\n"
    "  if p.kind == 'r' then\n"
    "    p.capacity = p.burst * p.window\n"
    "    p.level, p.time = p.capacity, now\n"
    "    if a then\n"
    "      p.time = math.max(now, tonumber(b))\n"
    "      p.level = math.min(p.capacity, tonumber(a) + (p.time - tonumber(b)) * p.tokens + give * p.window)\n"
    "    end\n"
    "    p.left = math.floor(p.level / p.window)\n"
    "  else\n"
    "    p.time, p.ends = period(p.kind)\n"
    "    p.level = (a and tonumber(b) == p.time) and tonumber(a) or 0\n"
    "    p.left = math.max(0, p.tokens - p.level)\n"
    "  end\n"
    "  policies[i] = p\n"
    "  available = math.min(available, p.left)\n"
    "end\n"
    "local admitted, taken, refused, lease = {}, 0, 0, 0\n"
    "for at = count * 5 + 5, #ARGV, 2 do\n"
    "  local calls, weight = tonumber(ARGV[at]), tonumber(ARGV[at + 1])\n"
    "  local n = math.min(calls, math.floor((available - taken) / weight))\n"
    "  admitted[#admitted + 1], taken = n, taken + n * weight\n"
    "  if n < calls and (refused == 0 or weight < refused) then refused = weight end\n"
    "end\n"
    "if refused == 0 then\n"
    "  lease = math.min(extra, available - taken)\n"
    "  taken = taken + lease\n"
    "end\n"
    "local told, left, reset, retry, least, ttl = 1, 0, 0, 0, 2, 1\n"
    "local fields = {}\n"
    "for i = 1, count do\n"
    "  local p, wait, full, limit = policies[i], 0, 0, 0\n"
    "  if p.kind == 'r' then\n"
    "    p.level = p.level - taken * p.window\n"
    "    p.left = math.floor(p.level / p.window)\n"
    "    full, limit = math.ceil((p.capacity - p.level) / p.tokens), p.burst\n"
    "    if refused > 0 then wait = math.max(0, math.ceil((refused * p.window - p.level) / p.tokens)) end\n"
    "  else\n"
    "    p.level = p.level + taken\n"
    "    p.left = math.max(0, p.tokens - p.level)\n"
    "    full, limit = p.ends - now, p.tokens\n"
    "    if refused > 0 and p.left < refused then wait = full end\n"
    "  end\n"
    "  ttl = math.max(ttl, full)\n"
    "  fields[i * 2 - 1], fields[i * 2] = ARGV[i * 5], string.format('%.0f:%.0f', p.level, p.time)\n"
    "  local tell = false\n"
    "  if refused > 0 then tell = wait > retry else tell = p.left / limit < least end\n"
    "  if tell then told, left, reset, retry, least = i, p.left, full, wait, p.left / limit end\n"
    "end\n"
    "local pause = retry\n"
    /* An empty bucket: the tokens to come go to one worker after the other, a worthwhile number at a time. */
    "if spacing > 0 and (refused > 0 or lease < extra) then\n"
    "  local slot = math.min(math.max(now, tonumber(stored[1] or '0')) + spacing, now + 1000000)\n"
    "  fields[#fields + 1], fields[#fields + 2] = 'slot', string.format('%.0f', slot)\n"
    "  pause = math.max(pause, slot - now)\n"
    "end\n"
    "if taken > 0 or give > 0 or #fields > count * 2 then\n"
    "  redis.call('HSET', KEYS[1], unpack(fields))\n"
    /* Never sooner than before: the fields of another tier, a quota's among them, may have longer to live. */
    "  local keep = math.max(math.ceil(ttl / 1000) + 1000, redis.call('PTTL', KEYS[1]))\n"
    "  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep))\n"
    "end\n"
    "return {refused, lease, told - 1, left, reset, retry, pause, unpack(admitted)}\n";

#define ARGUMENTS (4 + LIMIT_MAX_POLICIES * 5 + LIMIT_MAX_RUNS * 2)
#define NUMBER_SIZE 21
#define FIXED_ANSWERS 7 /* then the calls admitted of each run */

void script_init(struct redis_script *script)
{
    redis_script_init(script, text);
}

/* The arguments and the memory that they stand in. */
struct arguments {
    struct text items[ARGUMENTS];
    size_t count;
    char memory[ARGUMENTS * 48];
    size_t used;
};

static void add_number(struct arguments *arguments, uint64_t number)
{
    char *at = arguments->memory + arguments->used;
    int size = snprintf(at, NUMBER_SIZE, "%llu", (unsigned long long)number);
    arguments->items[arguments->count++] = text_of(at, (size_t)size);
    arguments->used += (size_t)size;
}

static void add_policy(struct arguments *arguments, const struct limit_policy *policy)
{
    static const struct text kinds[] = {{"r", 1}, {"d", 1}, {"m", 1}};
    char *at = arguments->memory + arguments->used;
    /* A rate that changes starts with a new bucket; a quota that changes keeps what was used of it. */
    int size = policy->period == LIMIT_NONE
                   ? snprintf(at, 48, "%s/%llu/%llu", policy->name, (unsigned long long)policy->tokens,
                              (unsigned long long)policy->burst)
                   : snprintf(at, 48, "%s", policy->name);
    size = size < 47 ? size : 47;
    arguments->items[arguments->count++] = text_of(at, (size_t)size);
    arguments->used += (size_t)size;
    arguments->items[arguments->count++] = kinds[policy->period];
    add_number(arguments, policy->tokens);
    add_number(arguments, policy->window_ms * 1000);
    add_number(arguments, policy->burst);
}

enum status script_run(struct redis *redis, const struct redis_script *script, const char *prefix, struct text key,
                       const struct limit_ask *ask, redis_answer on_answer, void *context)
{
    struct arguments arguments;
    char name[512];
    /* The braces make it one slot of a Redis Cluster, whatever stands around them. */
    int size = snprintf(name, sizeof(name), "%sl:{%.*s}", prefix, (int)(key.size < 300 ? key.size : 300), key.data);
    struct text keys[] = {text_of(name, (size_t)size < sizeof(name) ? (size_t)size : sizeof(name) - 1)};
    arguments.count = arguments.used = 0;
    add_number(&arguments, ask->give);
    add_number(&arguments, ask->extra);
    add_number(&arguments, ask->spacing_us);
    add_number(&arguments, ask->tier->count);
    for (size_t i = 0; i < ask->tier->count; i++)
        add_policy(&arguments, &ask->tier->policies[i]);
    for (size_t i = 0; i < ask->run_count; i++) {
        add_number(&arguments, ask->runs[i].count);
        add_number(&arguments, ask->runs[i].weight);
    }
    return redis_run(redis, script, 1, keys, arguments.count, arguments.items, on_answer, context);
}

bool script_read(const struct redis_reply *reply, const struct limit_tier *tier, struct limit_grant *grant)
{
    uint64_t values[FIXED_ANSWERS + LIMIT_MAX_RUNS];
    if (reply == NULL || reply->type != REDIS_ARRAY || reply->count <= FIXED_ANSWERS ||
        reply->count > FIXED_ANSWERS + LIMIT_MAX_RUNS)
        return false;
    for (size_t i = 0; i < reply->count; i++) {
        if (reply->items[i].type != REDIS_INTEGER || reply->items[i].integer < 0)
            return false;
        values[i] = (uint64_t)reply->items[i].integer;
    }
    *grant = (struct limit_grant){.refused = values[0],
                                  .lease = values[1],
                                  .policy = values[2],
                                  .remaining = values[3],
                                  .reset_us = values[4],
                                  .retry_us = values[5],
                                  .wait_us = values[6]};
    memcpy(grant->admitted, values + FIXED_ANSWERS, (reply->count - FIXED_ANSWERS) * sizeof(values[0]));
    return grant->policy < tier->count;
}
