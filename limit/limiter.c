#include "limit/limiter.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/lru.h"
#include "limit/key.h"
#include "limit/script.h"
#include "limit/slot.h"
#include "limit/store.h"

#define PATIENCE_MS 1 /* between looks at what another worker asked for */

struct limiter {
    struct loop *loop;
    struct limiter_options options;
    struct redis_script script;
    struct lru *slots;
    struct slot *queue;   /* slots to ask about at the end of the turn */
    struct slot *patient; /* slots that another worker of the process is asking about */
    struct loop_hook hook;
    struct loop_timer timer;
    size_t asking; /* slots with an answer on the way, evicted ones too */
    bool closing;
    struct limiter_statistics statistics;
};

static uint64_t now_ms(const struct limiter *limiter)
{
    return loop_now_ms(limiter->loop);
}

static bool uses_redis(const struct limiter *limiter)
{
    return limiter->options.redis != NULL && redis_is_up(limiter->options.redis);
}

static void release_slot(void *value)
{
    slot_evict(value);
}

static void on_turn_end(struct loop_hook *hook);

struct limiter *limiter_create(struct loop *loop, const struct limiter_options *options)
{
    struct limiter *limiter = calloc(1, sizeof(*limiter));
    if (limiter == NULL)
        return NULL;
    limiter->loop = loop;
    limiter->options = *options;
    limiter->hook.on_turn_end = on_turn_end;
    limiter->slots = lru_create(options->max_keys, options->max_keys, release_slot);
    if (limiter->slots == NULL) {
        free(limiter);
        return NULL;
    }
    script_init(&limiter->script);
    return limiter;
}

void limiter_set_instances(struct limiter *limiter, uint32_t instances)
{
    limiter->options.instances = instances;
}

static void drop_queue(struct slot **queue)
{
    while (*queue != NULL) {
        struct slot *slot = *queue;
        *queue = slot->next;
        slot->queued = false;
        waits_free(&slot->waiting);
        slot_let_go(slot);
    }
}

void limiter_destroy(struct limiter *limiter)
{
    if (limiter == NULL)
        return;
    limiter->closing = true;
    loop_hook_cancel(limiter->loop, &limiter->hook);
    loop_timer_stop(&limiter->timer);
    drop_queue(&limiter->queue);
    drop_queue(&limiter->patient);
    lru_destroy(limiter->slots);
    limiter->slots = NULL;
    /* Answers still on the way find `closing`, and the last of them frees the rest. */
    if (limiter->asking == 0)
        free(limiter);
}

/* A slot for each tier that a caller's tokens name: calls that wait are judged by their own tier's policies. */
static struct slot *find_slot(struct limiter *limiter, struct text key, const struct limit_tier *tier)
{
    char memory[KEY_PLACE_SIZE];
    struct text place = key_place(key, (uintptr_t)tier, memory);
    uint64_t hash = hash_text(place);
    struct slot *slot = lru_get(limiter->slots, place, hash);
    if (slot == NULL) {
        struct pool *pool = limiter->options.redis != NULL ? store_pool(limiter->options.store) : NULL;
        slot = slot_create(limiter, key, tier, pool);
        if (slot == NULL || !lru_put(limiter->slots, place, hash, slot, 1))
            return NULL;
    }
    return slot;
}

static void count(struct limiter *limiter, bool admitted)
{
    if (admitted)
        limiter->statistics.admitted++;
    else
        limiter->statistics.refused++;
}

/* --- what is known already --- */

static bool leases_from_redis(const struct slot *slot)
{
    return slot->pool != NULL && uses_redis(slot->limiter);
}

/* The slot's lease becomes one that admits or refuses a call of `weight`, or another outcome. */
static enum pool_outcome draw(struct slot *slot, uint64_t weight, struct pool_turn *turn)
{
    uint64_t now = now_ms(slot->limiter);
    struct pool_key key = slot_pool_key(slot);
    slot_measure(slot, now);
    if (!slot->from_redis)
        slot->lease = (struct lease){0};
    slot->from_redis = true;
    return pool_draw(slot->pool, &key, weight, &slot->demand, &slot->lease, turn, now);
}

/* From what this worker knows, or from what its process has: a lease, or a refusal that still holds. */
static bool answer_locally(struct slot *slot, uint64_t weight, struct limit_verdict *verdict)
{
    uint64_t now = now_ms(slot->limiter);
    bool admitted = lease_admits(&slot->lease, weight, now);
    if (!admitted) {
        /* What this instance's share refused says nothing once Redis decides again. */
        bool refusal_counts = slot->from_redis || !uses_redis(slot->limiter);
        if (!refusal_counts || !lease_refuses(&slot->lease, weight, now)) {
            enum pool_outcome outcome = leases_from_redis(slot) ? draw(slot, weight, NULL) : POOL_WAIT;
            if (outcome == POOL_WAIT)
                return false;
            admitted = outcome == POOL_DRAWN;
        }
    }
    if (admitted)
        slot->lease.tokens -= weight;
    *verdict = lease_verdict(&slot->lease, slot->tier, admitted, now);
    slot->limiter->statistics.local++;
    count(slot->limiter, admitted);
    return true;
}

/* Calls that came while an answer was on the way. */
static void serve_waiting(struct slot *slot)
{
    struct limit_verdict verdict;
    while (slot->waiting.first != NULL && answer_locally(slot, slot->waiting.first->weight, &verdict)) {
        struct limit_wait *wait = waits_pop(&slot->waiting);
        limit_answer on_answer = wait->on_answer;
        void *context = wait->context;
        free(wait);
        on_answer(context, &verdict);
    }
}

/* --- asking --- */

static void queue_slot(struct slot *slot)
{
    struct limiter *limiter = slot->limiter;
    if (slot->queued || slot->asked.first != NULL || slot->waiting.first == NULL)
        return;
    slot->queued = true;
    slot->next = limiter->queue;
    limiter->queue = slot;
    loop_hook_request(limiter->loop, &limiter->hook);
}

static void answer_asked(struct slot *slot, struct waits *asked, const struct limit_grant *grant)
{
    struct limiter *limiter = slot->limiter;
    struct waits_place place = {0, 0};
    bool admitted;
    for (struct limit_wait *wait; (wait = waits_next(asked, &place, grant, &admitted)) != NULL;) {
        limit_answer on_answer = wait->on_answer;
        void *context = wait->context;
        struct limit_verdict verdict = lease_verdict(&slot->lease, slot->tier, admitted, now_ms(limiter));
        free(wait);
        count(limiter, admitted);
        if (on_answer != NULL)
            on_answer(context, &verdict);
    }
}

/* The store of this process decides; false means refused for want of memory. */
static void grant_here(struct slot *slot, struct limit_ask *ask, struct limit_grant *grant)
{
    struct limiter *limiter = slot->limiter;
    uint64_t now = now_ms(limiter);
    struct pool_key key = slot_pool_key(slot);
    slot_measure(slot, now);
    /* What is left of the last lease goes back to where it was taken from. */
    if (!slot->from_redis)
        ask->give = slot->lease.tokens;
    else if (slot->pool != NULL)
        pool_return(slot->pool, &key, slot->lease.tokens);
    ask->extra = slot->demand.wanted < slot->lease_most ? slot->demand.wanted : slot->lease_most;
    /* Out of memory: refuse rather than let everything pass. */
    if (!store_ask(limiter->options.store, key.name, ask, limiter->options.instances, grant))
        *grant = (struct limit_grant){.refused = 1, .retry_us = 1000000, .wait_us = 1000000};
    lease_start(&slot->lease, grant, now);
    slot->from_redis = false;
    if (limiter->options.redis != NULL)
        limiter->statistics.fallbacks++;
}

static struct limit_ask ask_about(const struct slot *slot)
{
    return (struct limit_ask){.tier = slot->tier, .spacing_us = slot->spacing_us};
}

static void decide_here(struct slot *slot, struct limit_ask *ask, struct waits *asked)
{
    struct limit_grant grant;
    grant_here(slot, ask, &grant);
    answer_asked(slot, asked, &grant);
    serve_waiting(slot);
    queue_slot(slot);
}

/* Redis' answer to this slot: into the pool, where there is one. */
static bool take_grant(struct slot *slot, const struct redis_reply *reply, struct limit_grant *grant)
{
    uint64_t now = now_ms(slot->limiter), turn = slot->turn;
    struct pool_key key = slot_pool_key(slot);
    bool granted = script_read(reply, slot->tier, grant);
    slot->turn = 0;
    if (slot->pool != NULL && slot->from_redis) /* drawn while the answer was on the way */
        pool_return(slot->pool, &key, slot->lease.tokens);
    if (granted) {
        lease_start(&slot->lease, grant, now);
        slot->from_redis = true;
    }
    if (turn == 0)
        return granted;
    if (!granted) {
        slot->lease.tokens = 0;
        pool_abandon(slot->pool, &key, turn, 0);
        return false;
    }
    pool_settle(slot->pool, &key, turn, grant, now);
    /* The tokens are there now, and so is the pause until the next ask. */
    slot->lease.tokens = slot->lease.refused_until_ms = 0;
    slot->lease.remaining += grant->lease;
    return true;
}

static void on_script(void *context, const struct redis_reply *reply)
{
    struct slot *slot = context;
    struct limiter *limiter = slot->limiter;
    struct limit_grant grant;
    bool granted = take_grant(slot, reply, &grant);
    limiter->asking--;
    if (limiter->closing) {
        waits_free(&slot->asked);
        waits_free(&slot->waiting);
        slot_evict(slot);
        if (limiter->asking == 0)
            free(limiter);
        return;
    }
    struct waits asked = slot->asked;
    slot->asked = (struct waits){NULL, NULL};
    slot->pins++;
    if (granted) {
        answer_asked(slot, &asked, &grant);
        serve_waiting(slot);
        queue_slot(slot);
    } else {
        struct limit_ask ask = ask_about(slot);
        struct waits again = {NULL, NULL};
        waits_ask(&asked, &again, &ask);
        decide_here(slot, &ask, &again);
    }
    slot->pins--;
    slot_let_go(slot);
}

/* One run of the script; false: Redis is not there to be asked. */
static bool run_script(struct slot *slot, const struct pool_turn *turn, struct limit_ask *ask, struct waits *asked)
{
    struct limiter *limiter = slot->limiter;
    struct pool_key key = slot_pool_key(slot);
    ask->give = turn->give;
    ask->extra = turn->wanted < slot->lease_most ? turn->wanted : slot->lease_most;
    if (uses_redis(limiter) && script_run(limiter->options.redis, &limiter->script, limiter->options.prefix, key.name,
                                          ask, on_script, slot) == STATUS_OK) {
        slot->asked = *asked;
        slot->turn = turn->number;
        limiter->asking++;
        limiter->statistics.scripts++;
        return true;
    }
    if (turn->number != 0)
        pool_abandon(slot->pool, &key, turn->number, turn->give);
    ask->give = 0;
    return false;
}

static void on_patience_end(struct loop_timer *timer);

/* Answers, asks or waits for who is asking. */
static void ask_for(struct slot *slot)
{
    struct limiter *limiter = slot->limiter;
    struct pool_turn turn = {0, 0, 0};
    enum pool_outcome outcome;
    do {
        serve_waiting(slot);
        if (slot->waiting.first == NULL || slot->asked.first != NULL)
            return;
        outcome = leases_from_redis(slot) ? draw(slot, slot->waiting.first->weight, &turn) : POOL_ASK;
    } while (outcome == POOL_DRAWN || outcome == POOL_REFUSED);
    if (outcome == POOL_WAIT) {
        if (!slot->queued) {
            slot->queued = true;
            slot->next = limiter->patient;
            limiter->patient = slot;
        }
        if (limiter->timer.loop == NULL)
            loop_timer_start(limiter->loop, &limiter->timer, PATIENCE_MS, on_patience_end);
        return;
    }
    struct limit_ask ask = ask_about(slot);
    struct waits asked = {NULL, NULL};
    waits_ask(&slot->waiting, &asked, &ask);
    if (!run_script(slot, &turn, &ask, &asked))
        decide_here(slot, &ask, &asked);
}

static void ask_for_all(struct slot *queue)
{
    while (queue != NULL) {
        struct slot *slot = queue;
        queue = slot->next;
        slot->queued = false;
        slot->pins++;
        ask_for(slot);
        slot->pins--;
        slot_let_go(slot);
    }
}

static void on_turn_end(struct loop_hook *hook)
{
    struct limiter *limiter = (struct limiter *)((char *)hook - offsetof(struct limiter, hook));
    struct slot *queue = limiter->queue;
    limiter->queue = NULL;
    ask_for_all(queue);
}

static void on_patience_end(struct loop_timer *timer)
{
    struct limiter *limiter = (struct limiter *)((char *)timer - offsetof(struct limiter, timer));
    struct slot *queue = limiter->patient;
    limiter->patient = NULL;
    ask_for_all(queue);
}

/* --- a call --- */

static uint64_t share_of(const struct limiter *limiter, uint64_t tokens)
{
    uint64_t instances = uses_redis(limiter) ? 1 : limiter->options.instances;
    return tokens / instances > 0 ? tokens / instances : 1;
}

/* A call that no bucket could ever hold. */
static const struct limit_policy *too_heavy(const struct limiter *limiter, const struct limit_tier *tier,
                                            uint64_t weight)
{
    for (size_t i = 0; i < tier->count; i++) {
        const struct limit_policy *policy = &tier->policies[i];
        if (weight > share_of(limiter, policy->period == LIMIT_NONE ? policy->burst : policy->tokens))
            return policy;
    }
    return NULL;
}

/* The store answers within the call: its own lock is all that is waited for. */
static void check_here(struct slot *slot, uint64_t weight, limit_answer on_answer, void *context)
{
    struct limiter *limiter = slot->limiter;
    struct limit_ask ask = ask_about(slot);
    struct limit_grant grant;
    ask.runs[0] = (struct limit_run){1, weight};
    ask.run_count = 1;
    grant_here(slot, &ask, &grant);
    struct limit_verdict verdict = lease_verdict(&slot->lease, slot->tier, grant.admitted[0] != 0, now_ms(limiter));
    limiter->statistics.local++;
    count(limiter, verdict.admitted);
    on_answer(context, &verdict);
}

struct limit_wait *limiter_check(struct limiter *limiter, struct text key, const struct limit_tier *tier,
                                 uint64_t weight, limit_answer on_answer, void *context)
{
    struct limit_verdict verdict = {.admitted = true};
    if (tier->count == 0) {
        limiter->statistics.admitted++;
        limiter->statistics.local++;
        on_answer(context, &verdict);
        return NULL;
    }
    const struct limit_policy *heavy = too_heavy(limiter, tier, weight);
    struct slot *slot = heavy == NULL ? find_slot(limiter, key, tier) : NULL;
    if (slot == NULL) {
        verdict = (struct limit_verdict){.policy = heavy != NULL ? heavy : &tier->policies[0], .retry_after_s = 3600};
        limiter->statistics.local++;
        count(limiter, false);
        on_answer(context, &verdict);
        return NULL;
    }
    slot->tokens_wanted += weight;
    if (slot->waiting.first == NULL && answer_locally(slot, weight, &verdict)) {
        on_answer(context, &verdict);
        return NULL;
    }
    if (!uses_redis(limiter) && slot->waiting.first == NULL && slot->asked.first == NULL) {
        check_here(slot, weight, on_answer, context);
        return NULL;
    }
    struct limit_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL) {
        count(limiter, false);
        verdict = (struct limit_verdict){.policy = &tier->policies[0], .retry_after_s = 1};
        on_answer(context, &verdict);
        return NULL;
    }
    *wait = (struct limit_wait){NULL, slot, weight, on_answer, context};
    waits_push(&slot->waiting, wait);
    queue_slot(slot);
    return wait;
}

void limiter_cancel(struct limit_wait *wait)
{
    /* What has been asked for was taken from the bucket: it is counted, and its answer is dropped. */
    if (waits_remove(&wait->slot->waiting, wait))
        free(wait);
    else
        wait->on_answer = NULL;
}

struct limiter_statistics limiter_statistics(const struct limiter *limiter)
{
    return limiter->statistics;
}
