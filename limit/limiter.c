#include "limit/limiter.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/lru.h"
#include "limit/script.h"
#include "limit/store.h"

#define LEASE_MS 100
#define REMEMBER_MS 10000 /* of a refusal; then Redis is asked again: the quota may have been cleared there */

struct limit_wait {
    struct limit_wait *next;
    struct slot *slot;
    uint64_t weight;
    limit_answer on_answer; /* NULL: cancelled after it was asked for */
    void *context;
};

struct waits { /* first come, first served */
    struct limit_wait *first, *last;
};

/* What this worker knows of a key. */
struct slot {
    struct limiter *limiter;
    struct slot *next; /* of those to ask about at the end of the turn */
    const struct limit_tier *tier;
    uint64_t lease;       /* tokens in hand */
    uint64_t lease_until; /* milliseconds of the loop */
    uint64_t lease_most, spacing_us;
    uint64_t refused_until, refused_weight; /* calls of at least this weight are refused until then */
    uint64_t asked_at, demand;              /* when Redis was asked last, and tokens wanted since */
    struct limit_grant grant;               /* the last one */
    uint64_t granted_at;
    struct waits waiting, asked; /* asked: their answer is on the way */
    unsigned pins;               /* callbacks on its behalf are running */
    bool queued, evicted;
    bool lease_is_shared; /* taken from Redis, and goes back there */
    size_t key_size;
    char key[];
};

struct limiter {
    struct loop *loop;
    struct limiter_options options;
    struct redis_script script;
    struct lru *slots;
    struct slot *queue; /* slots to ask about */
    struct loop_hook hook;
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

static bool is_idle(const struct slot *slot)
{
    return slot->waiting.first == NULL && slot->asked.first == NULL && !slot->queued && slot->pins == 0;
}

static void release_slot(void *value)
{
    struct slot *slot = value;
    slot->evicted = true;
    if (is_idle(slot))
        free(slot);
}

/* After work for a slot that may have been evicted meanwhile. */
static void let_go(struct slot *slot)
{
    if (slot->evicted && is_idle(slot))
        free(slot);
}

static void push(struct waits *waits, struct limit_wait *wait)
{
    wait->next = NULL;
    if (waits->last != NULL)
        waits->last->next = wait;
    else
        waits->first = wait;
    waits->last = wait;
}

static struct limit_wait *pop(struct waits *waits)
{
    struct limit_wait *wait = waits->first;
    if (wait != NULL) {
        waits->first = wait->next;
        if (waits->first == NULL)
            waits->last = NULL;
    }
    return wait;
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

static void free_waits(struct waits *waits)
{
    for (struct limit_wait *wait; (wait = pop(waits)) != NULL;)
        free(wait);
}

static void on_script(void *context, const struct redis_reply *reply);

void limiter_destroy(struct limiter *limiter)
{
    if (limiter == NULL)
        return;
    limiter->closing = true;
    loop_hook_cancel(limiter->loop, &limiter->hook);
    while (limiter->queue != NULL) {
        struct slot *slot = limiter->queue;
        limiter->queue = slot->next;
        slot->queued = false;
        free_waits(&slot->waiting);
        let_go(slot);
    }
    lru_destroy(limiter->slots);
    limiter->slots = NULL;
    /* Answers still on the way find `closing`, and the last of them frees the rest. */
    if (limiter->asking == 0)
        free(limiter);
}

/* A slot for each tier that a caller's tokens name: calls that wait are judged by their own tier's policies. */
static struct slot *find_slot(struct limiter *limiter, struct text key, const struct limit_tier *tier)
{
    char memory[STORE_KEY_SIZE];
    struct text place = store_key(key, (uintptr_t)tier, memory);
    uint64_t hash = hash_text(place);
    struct slot *slot = lru_get(limiter->slots, place, hash);
    if (slot == NULL) {
        slot = calloc(1, sizeof(*slot) + key.size);
        if (slot == NULL)
            return NULL;
        slot->limiter = limiter;
        slot->key_size = key.size;
        memcpy(slot->key, key.data, key.size);
        slot->tier = tier;
        slot->lease_most = bucket_lease(tier, &slot->spacing_us);
        if (slot->lease_most == 0)
            slot->spacing_us = 0;
        if (!lru_put(limiter->slots, place, hash, slot, 1))
            return NULL;
    }
    return slot;
}

static uint32_t seconds_up(uint64_t milliseconds)
{
    uint64_t seconds = (milliseconds + 999) / 1000;
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static struct limit_verdict verdict_of(const struct slot *slot, bool admitted)
{
    const struct limit_grant *grant = &slot->grant;
    uint64_t age_ms = now_ms(slot->limiter) - slot->granted_at;
    struct limit_verdict verdict = {.admitted = admitted,
                                    .policy = &slot->tier->policies[grant->policy],
                                    .remaining = grant->remaining + slot->lease,
                                    .reset_s = seconds_up(less((grant->reset_us + 999) / 1000, age_ms))};
    if (!admitted) {
        uint32_t retry = seconds_up(less((grant->retry_us + 999) / 1000, age_ms));
        verdict.retry_after_s = retry > 0 ? retry : 1;
    }
    return verdict;
}

static void count(struct limiter *limiter, bool admitted)
{
    if (admitted)
        limiter->statistics.admitted++;
    else
        limiter->statistics.refused++;
}

/* From what this worker knows: a lease, or a refusal that still holds. */
static bool answer_locally(struct slot *slot, uint64_t weight, struct limit_verdict *verdict)
{
    uint64_t now = now_ms(slot->limiter);
    /* What this instance's share refused says nothing once Redis decides again. */
    bool refusal_holds = now < slot->refused_until && (slot->lease_is_shared || !uses_redis(slot->limiter));
    if (slot->lease >= weight && now < slot->lease_until) {
        slot->lease -= weight;
        *verdict = verdict_of(slot, true);
    } else if (refusal_holds && weight >= slot->refused_weight) {
        *verdict = verdict_of(slot, false);
    } else {
        return false;
    }
    slot->demand += weight;
    slot->limiter->statistics.local++;
    count(slot->limiter, verdict->admitted);
    return true;
}

/* The ask for the first calls of `waits`, as many as fit one run; *asked of them. */
static void make_ask(struct slot *slot, const struct waits *waits, bool shared, struct limit_ask *ask, size_t *asked)
{
    uint64_t now = now_ms(slot->limiter), needed = 0;
    *ask = (struct limit_ask){.tier = slot->tier, .spacing_us = slot->spacing_us};
    *asked = 0;
    for (const struct limit_wait *wait = waits->first; wait != NULL; wait = wait->next) {
        struct limit_run *run = ask->run_count != 0 ? &ask->runs[ask->run_count - 1] : NULL;
        if (run == NULL || run->weight != wait->weight) {
            if (ask->run_count == LIMIT_MAX_RUNS)
                break;
            run = &ask->runs[ask->run_count++];
            *run = (struct limit_run){0, wait->weight};
        }
        run->count++;
        ++*asked;
        needed += wait->weight;
    }
    /* What is left of the last lease goes back to where it was taken from. */
    ask->give = slot->lease_is_shared == shared ? slot->lease : 0;
    slot->lease = 0;
    slot->lease_is_shared = shared;
    if (slot->lease_most != 0) {
        /* As much as was wanted lately in the time that a lease lasts. */
        uint64_t elapsed = now > slot->asked_at ? now - slot->asked_at : 1;
        uint64_t wanted = (slot->demand + needed) * LEASE_MS / (elapsed < LEASE_MS ? elapsed : LEASE_MS);
        ask->extra = wanted < slot->lease_most ? wanted : slot->lease_most;
    }
    slot->asked_at = now;
    slot->demand = 0;
}

static void keep_grant(struct slot *slot, const struct limit_grant *grant)
{
    uint64_t now = now_ms(slot->limiter);
    slot->grant = *grant;
    slot->granted_at = now;
    slot->lease = grant->lease;
    slot->lease_until = now + LEASE_MS;
    /* Also without a refusal: the bucket gave less than a lease, and others have their turn first. */
    uint64_t wait_ms = (grant->wait_us + 999) / 1000;
    slot->refused_until = wait_ms == 0 ? 0 : now + (wait_ms < REMEMBER_MS ? wait_ms : REMEMBER_MS);
    slot->refused_weight = grant->refused != 0 ? grant->refused : 1;
}

/* Answers `waits`, in the runs that make_ask made of them: of each the first so many may pass. */
static void answer_all(struct slot *slot, struct waits *waits, const struct limit_grant *grant)
{
    struct limiter *limiter = slot->limiter;
    uint64_t place = 0, weight = waits->first != NULL ? waits->first->weight : 0;
    size_t run = 0;
    keep_grant(slot, grant);
    for (struct limit_wait *wait; (wait = pop(waits)) != NULL; place++) {
        if (wait->weight != weight) {
            weight = wait->weight;
            place = 0;
            run++;
        }
        bool admitted = place < grant->admitted[run];
        limit_answer on_answer = wait->on_answer;
        void *context = wait->context;
        struct limit_verdict verdict = verdict_of(slot, admitted);
        free(wait);
        count(limiter, admitted);
        if (on_answer != NULL)
            on_answer(context, &verdict);
    }
}

/* Each call for itself, from the store of this process. */
static void decide_here(struct slot *slot, const struct limit_ask *ask, struct waits *waits)
{
    struct limiter *limiter = slot->limiter;
    struct limit_grant grant;
    uint64_t instances = limiter->options.instances;
    if (!store_ask(limiter->options.store, text_of(slot->key, slot->key_size), ask, instances, &grant)) {
        /* Out of memory: refuse rather than let everything pass. */
        grant = (struct limit_grant){.refused = 1, .retry_us = 1000000, .wait_us = 1000000};
    }
    answer_all(slot, waits, &grant);
}

static void queue_slot(struct slot *slot)
{
    struct limiter *limiter = slot->limiter;
    if (slot->queued || slot->asked.first != NULL)
        return;
    slot->queued = true;
    slot->next = limiter->queue;
    limiter->queue = slot;
    loop_hook_request(limiter->loop, &limiter->hook);
}

/* Calls that came while the last answer was on the way. */
static void serve_waiting(struct slot *slot)
{
    struct limit_verdict verdict;
    while (slot->waiting.first != NULL && answer_locally(slot, slot->waiting.first->weight, &verdict)) {
        struct limit_wait *wait = pop(&slot->waiting);
        limit_answer on_answer = wait->on_answer;
        void *context = wait->context;
        free(wait);
        on_answer(context, &verdict);
    }
    if (slot->waiting.first != NULL)
        queue_slot(slot);
}

static void on_script(void *context, const struct redis_reply *reply)
{
    struct slot *slot = context;
    struct limiter *limiter = slot->limiter;
    struct limit_grant grant;
    limiter->asking--;
    if (limiter->closing) {
        free_waits(&slot->asked);
        free_waits(&slot->waiting);
        slot->evicted = true;
        let_go(slot);
        if (limiter->asking == 0)
            free(limiter);
        return;
    }
    struct waits waits = slot->asked;
    slot->asked = (struct waits){NULL, NULL};
    slot->pins++;
    if (script_read(reply, slot->tier, &grant)) {
        answer_all(slot, &waits, &grant);
    } else {
        struct limit_ask ask;
        size_t asked;
        limiter->statistics.fallbacks++;
        slot->lease = 0;
        make_ask(slot, &waits, false, &ask, &asked);
        decide_here(slot, &ask, &waits);
    }
    serve_waiting(slot);
    slot->pins--;
    let_go(slot);
}

/* One run of the script for a slot, or the store. */
static void ask_for(struct slot *slot)
{
    struct limiter *limiter = slot->limiter;
    struct limit_ask ask;
    size_t asked;
    if (slot->waiting.first == NULL)
        return;
    bool shared = uses_redis(limiter);
    make_ask(slot, &slot->waiting, shared, &ask, &asked);
    struct waits waits = {NULL, NULL};
    for (size_t i = 0; i < asked; i++)
        push(&waits, pop(&slot->waiting));
    if (shared && script_run(limiter->options.redis, &limiter->script, limiter->options.prefix,
                             text_of(slot->key, slot->key_size), &ask, on_script, slot) == STATUS_OK) {
        slot->asked = waits;
        limiter->asking++;
        limiter->statistics.scripts++;
        return;
    }
    if (limiter->options.redis != NULL)
        limiter->statistics.fallbacks++;
    decide_here(slot, &ask, &waits);
    serve_waiting(slot);
}

static void on_turn_end(struct loop_hook *hook)
{
    struct limiter *limiter = (struct limiter *)((char *)hook - offsetof(struct limiter, hook));
    struct slot *queue = limiter->queue;
    limiter->queue = NULL;
    while (queue != NULL) {
        struct slot *slot = queue;
        queue = slot->next;
        slot->queued = false;
        slot->pins++;
        ask_for(slot);
        slot->pins--;
        let_go(slot);
    }
}

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
    struct limit_wait wait = {NULL, slot, weight, NULL, NULL};
    struct waits waits = {&wait, &wait};
    struct limiter *limiter = slot->limiter;
    struct limit_ask ask;
    struct limit_grant grant;
    size_t asked;
    make_ask(slot, &waits, false, &ask, &asked);
    if (!store_ask(limiter->options.store, text_of(slot->key, slot->key_size), &ask, limiter->options.instances,
                   &grant))
        grant = (struct limit_grant){.refused = 1, .retry_us = 1000000, .wait_us = 1000000};
    keep_grant(slot, &grant);
    struct limit_verdict verdict = verdict_of(slot, grant.admitted[0] != 0);
    limiter->statistics.local++;
    if (limiter->options.redis != NULL)
        limiter->statistics.fallbacks++;
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
    push(&slot->waiting, wait);
    queue_slot(slot);
    return wait;
}

/* Takes a call out of those that nobody has asked about yet; false: it has been asked about. */
static bool unlink_wait(struct waits *waits, struct limit_wait *wait)
{
    struct limit_wait *previous = NULL;
    for (struct limit_wait *at = waits->first; at != NULL; previous = at, at = at->next) {
        if (at != wait)
            continue;
        if (previous != NULL)
            previous->next = wait->next;
        else
            waits->first = wait->next;
        if (waits->last == wait)
            waits->last = previous;
        return true;
    }
    return false;
}

void limiter_cancel(struct limit_wait *wait)
{
    /* What has been asked for was taken from the bucket: it is counted, and its answer is dropped. */
    if (unlink_wait(&wait->slot->waiting, wait))
        free(wait);
    else
        wait->on_answer = NULL;
}

struct limiter_statistics limiter_statistics(const struct limiter *limiter)
{
    return limiter->statistics;
}
