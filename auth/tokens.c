#include "auth/tokens.h"

#include <stdlib.h>

#include <jansson.h>

#include "auth/token.h"
#include "base/hash.h"
#include "base/lru.h"

#define MAX_BYTES (16u * 1024 * 1024) /* of tokens and principals together */
#define MAX_WAITS 1024                /* of at most 8 KB each; past it an unknown kid is refused at once */
#define WAIT_MS 2000

struct entry {
    const struct principal *principal; /* a reference */
    size_t issuer;
    uint64_t generation; /* of the issuer's key set in which the key was last seen */
    bool names_key;
    struct text kid; /* in memory */
    unsigned char fingerprint[HASH_SHA256_SIZE];
    char memory[];
};

/* An issuer's keys, and the calls that wait for them. */
struct issuer {
    struct tokens *tokens;
    struct keys_store *store;
    struct keys_subscription *subscription;
    uint64_t generation;              /* raised with each new set */
    uint64_t round;                   /* raised with each end of a fetch */
    struct tokens_wait *first, *last; /* in the order of `round` */
};

struct tokens_wait {
    struct tokens_wait *next, *previous;
    struct issuer *issuer;
    struct loop_timer timer;
    tokens_answer on_answer;
    void *context;
    uint64_t round;    /* of the last look at the keys */
    uint64_t since_ms; /* the loop's time at the request */
    int64_t now_s;     /* and the wall's */
    size_t size;
    char token[];
};

struct tokens {
    struct loop *loop;
    struct tokens_options options;
    struct issuer issuers[TOKENS_MAX_ISSUERS];
    struct keys *keys[TOKENS_MAX_ISSUERS]; /* a reference each; as token_verify takes them */
    struct lru *cache;
    uint64_t next_serial;
    size_t wait_count;
    struct tokens_statistics statistics;
};

static void release_entry(void *value)
{
    struct entry *entry = value;
    principal_unref(entry->principal);
    free(entry);
}

/* Takes the reference over. */
static void adopt_keys(struct issuer *issuer, struct keys *keys)
{
    struct keys **place = &issuer->tokens->keys[issuer - issuer->tokens->issuers];
    if (keys == *place) {
        keys_unref(keys);
        return;
    }
    keys_unref(*place);
    *place = keys;
    issuer->generation++;
}

/* Whether the key that verified this entry is, under the set of now, still the one that its token would be verified
 * with. */
static bool still_trusted(struct tokens *tokens, struct entry *entry)
{
    const struct key *key = keys_find(tokens->keys[entry->issuer], entry->kid);
    if (key == NULL || memcmp(key->fingerprint, entry->fingerprint, sizeof(key->fingerprint)) != 0)
        return false;
    entry->generation = tokens->issuers[entry->issuer].generation;
    return true;
}

static const struct principal *look_up(struct tokens *tokens, struct text token, uint64_t hash, int64_t now_s)
{
    struct entry *entry = lru_get(tokens->cache, token, hash);
    if (entry == NULL)
        return NULL;
    if (now_s < entry->principal->expires_at &&
        (entry->generation == tokens->issuers[entry->issuer].generation || still_trusted(tokens, entry)))
        return entry->principal;
    lru_remove(tokens->cache, token, hash);
    return NULL;
}

static void remember(struct tokens *tokens, struct text token, uint64_t hash, const struct token_facts *facts)
{
    struct text kid = facts->names_key ? facts->key->kid : TEXT_NONE;
    struct entry *entry = malloc(sizeof(*entry) + kid.size);
    if (entry == NULL)
        return;
    *entry = (struct entry){.principal = facts->principal,
                            .issuer = facts->issuer,
                            .generation = tokens->issuers[facts->issuer].generation};
    principal_ref(facts->principal);
    if (kid.size != 0)
        entry->kid = text_of(memcpy(entry->memory, kid.data, kid.size), kid.size);
    memcpy(entry->fingerprint, facts->key->fingerprint, sizeof(entry->fingerprint));
    size_t weight = token.size + sizeof(*entry) + kid.size + principal_size(facts->principal);
    lru_put(tokens->cache, token, hash, entry, weight); /* too heavy or no memory: released, and verified again */
}

/* Verifies against the set at hand and, when the key is unknown there, against its store's newest. */
static enum tokens_verdict verify(struct tokens *tokens, struct text token, int64_t now_s, struct token_facts *facts)
{
    enum tokens_verdict verdict =
        token_verify(tokens->keys, &tokens->options, token, now_s, tokens->next_serial, facts);
    if (verdict == TOKENS_UNKNOWN_KEY) {
        struct issuer *issuer = &tokens->issuers[facts->issuer];
        uint64_t before = issuer->generation;
        adopt_keys(issuer, keys_store_current(issuer->store));
        if (issuer->generation != before)
            verdict = token_verify(tokens->keys, &tokens->options, token, now_s, tokens->next_serial, facts);
    }
    return verdict;
}

/* Counts, remembers and tells. TOKENS_UNKNOWN_KEY becomes invalid here. */
static void answer(struct tokens *tokens, struct text token, uint64_t hash, int64_t now_s, enum tokens_verdict verdict,
                   struct token_facts *facts, tokens_answer on_answer, void *context)
{
    if (verdict != TOKENS_VALID) {
        tokens->statistics.refused++;
        on_answer(context, TOKENS_INVALID, NULL, facts->reason);
        return;
    }
    tokens->statistics.verified++;
    tokens->next_serial++;
    if (now_s < facts->principal->expires_at) /* in its leeway a token is verified each time */
        remember(tokens, token, hash, facts);
    on_answer(context, TOKENS_VALID, facts->principal, NULL);
    principal_unref(facts->principal);
}

static void unlink_wait(struct tokens_wait *wait)
{
    struct issuer *issuer = wait->issuer;
    *(wait->previous != NULL ? &wait->previous->next : &issuer->first) = wait->next;
    *(wait->next != NULL ? &wait->next->previous : &issuer->last) = wait->previous;
    issuer->tokens->wait_count--;
    wait->next = wait->previous = NULL;
}

static void link_wait(struct tokens_wait *wait)
{
    struct issuer *issuer = wait->issuer;
    wait->round = issuer->round;
    wait->previous = issuer->last;
    *(issuer->last != NULL ? &issuer->last->next : &issuer->first) = wait;
    issuer->last = wait;
    issuer->tokens->wait_count++;
}

void tokens_cancel(struct tokens_wait *wait)
{
    loop_timer_stop(&wait->timer);
    unlink_wait(wait);
    free(wait);
}

/* A wait ends only here or in tokens_cancel. */
static void end_wait(struct tokens_wait *wait, enum tokens_verdict verdict, struct token_facts *facts, int64_t now_s)
{
    struct text token = text_of(wait->token, wait->size);
    loop_timer_stop(&wait->timer);
    unlink_wait(wait);
    answer(wait->issuer->tokens, token, hash_text(token), now_s, verdict, facts, wait->on_answer, wait->context);
    free(wait);
}

static void on_wait_over(struct loop_timer *timer)
{
    struct tokens_wait *wait = (struct tokens_wait *)((char *)timer - offsetof(struct tokens_wait, timer));
    struct token_facts facts = {.reason = "unknown key"};
    end_wait(wait, TOKENS_INVALID, &facts, wait->now_s);
}

/* Looks again. A wait may have begun after the fetch that ended now: then another is under way, and it waits on. */
static void retry(struct tokens_wait *wait)
{
    struct tokens *tokens = wait->issuer->tokens;
    struct token_facts facts;
    int64_t now_s = wait->now_s + (int64_t)((loop_now_ms(tokens->loop) - wait->since_ms) / 1000);
    enum tokens_verdict verdict = verify(tokens, text_of(wait->token, wait->size), now_s, &facts);
    if (verdict == TOKENS_UNKNOWN_KEY && keys_store_refetch(wait->issuer->store)) {
        unlink_wait(wait);
        link_wait(wait);
    } else {
        end_wait(wait, verdict, &facts, now_s);
    }
}

static void on_keys(void *context, struct keys *keys)
{
    struct issuer *issuer = context;
    adopt_keys(issuer, keys);
    issuer->round++;
    /* Callbacks may add and cancel waits: what is added now has this round and stands behind. */
    while (issuer->first != NULL && issuer->first->round < issuer->round)
        retry(issuer->first);
}

static struct tokens_wait *start_wait(struct issuer *issuer, struct text token, int64_t now_s, tokens_answer on_answer,
                                      void *context)
{
    struct loop *loop = issuer->tokens->loop;
    struct tokens_wait *wait = malloc(sizeof(*wait) + token.size);
    if (wait == NULL)
        return NULL;
    *wait = (struct tokens_wait){.issuer = issuer,
                                 .on_answer = on_answer,
                                 .context = context,
                                 .since_ms = loop_now_ms(loop),
                                 .now_s = now_s,
                                 .size = token.size};
    memcpy(wait->token, token.data, token.size);
    link_wait(wait);
    loop_timer_start(loop, &wait->timer, WAIT_MS, on_wait_over);
    return wait;
}

/* What follows "Bearer" and its spaces; TEXT_NONE: another scheme, or no header. */
static struct text bearer_token(struct text authorization)
{
    struct text value = text_trim(authorization);
    size_t at = 6;
    if (value.size < at || !text_equal_ignoring_case(text_of(value.data, at), TEXT("Bearer")) ||
        (value.size > at && value.data[at] != ' '))
        return TEXT_NONE;
    while (at < value.size && value.data[at] == ' ')
        at++;
    return text_of(value.data + at, value.size - at);
}

struct tokens_wait *tokens_verify(struct tokens *tokens, struct text authorization, int64_t now_s,
                                  tokens_answer on_answer, void *context)
{
    struct token_facts facts = {.reason = "longer than 8192 bytes"};
    struct text token = bearer_token(authorization);
    if (token.data == NULL) {
        on_answer(context, TOKENS_MISSING, NULL, "no bearer token");
        return NULL;
    }
    if (token.size > TOKEN_MAX_SIZE) {
        answer(tokens, token, 0, now_s, TOKENS_INVALID, &facts, on_answer, context);
        return NULL;
    }
    uint64_t hash = hash_text(token);
    const struct principal *principal = look_up(tokens, token, hash, now_s);
    if (principal != NULL) {
        tokens->statistics.hits++;
        principal_ref(principal); /* the callback may push it out of the cache */
        on_answer(context, TOKENS_VALID, principal, NULL);
        principal_unref(principal);
        return NULL;
    }
    enum tokens_verdict verdict = verify(tokens, token, now_s, &facts);
    if (verdict == TOKENS_UNKNOWN_KEY && tokens->wait_count < MAX_WAITS &&
        keys_store_refetch(tokens->issuers[facts.issuer].store)) {
        struct tokens_wait *wait = start_wait(&tokens->issuers[facts.issuer], token, now_s, on_answer, context);
        if (wait != NULL)
            return wait;
    }
    answer(tokens, token, hash, now_s, verdict, &facts, on_answer, context);
    return NULL;
}

struct tokens *tokens_create(struct loop *loop, struct keys_store *const *stores, const struct tokens_options *options)
{
    struct tokens *tokens = options->issuer_count <= TOKENS_MAX_ISSUERS ? calloc(1, sizeof(*tokens)) : NULL;
    if (tokens == NULL)
        return NULL;
    json_object_seed(0); /* jansson's tables, from the kernel's random source; once a process, thread-safe */
    tokens->loop = loop;
    tokens->options = *options;
    tokens->next_serial = 1;
    tokens->cache = lru_create(options->cache != 0 ? options->cache : 1, MAX_BYTES, release_entry);
    bool good = tokens->cache != NULL;
    for (size_t i = 0; good && i < options->issuer_count; i++) {
        struct issuer *issuer = &tokens->issuers[i];
        *issuer = (struct issuer){.tokens = tokens, .store = stores[i]};
        issuer->subscription = keys_subscribe(stores[i], loop, on_keys, issuer);
        tokens->keys[i] = keys_store_current(stores[i]); /* after the subscription: no change is missed */
        good = issuer->subscription != NULL;
    }
    if (good)
        return tokens;
    tokens_destroy(tokens);
    return NULL;
}

void tokens_destroy(struct tokens *tokens)
{
    if (tokens == NULL)
        return;
    for (size_t i = 0; i < tokens->options.issuer_count; i++) {
        while (tokens->issuers[i].first != NULL)
            tokens_cancel(tokens->issuers[i].first);
        keys_unsubscribe(tokens->issuers[i].subscription);
        keys_unref(tokens->keys[i]);
    }
    lru_destroy(tokens->cache);
    free(tokens);
}

struct tokens_statistics tokens_statistics(const struct tokens *tokens)
{
    struct tokens_statistics statistics = tokens->statistics;
    statistics.cached = lru_count(tokens->cache);
    return statistics;
}
