#include <pthread.h>
#include <stdlib.h>

#include "auth/discovery.h"
#include "auth/keys_file.h"
#include "auth/keys_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "drivers/fetch.h"

struct keys_subscription {
    struct keys_subscription *next;
    struct keys_store *store;
    struct loop *loop;
    void (*on_change)(void *context, struct keys *keys);
    void *context;
    struct loop_message message;
    /* Under the store's lock: */
    bool posted, closed;
    struct keys *pending; /* what the posted message will hand over; a reference */
};

struct keys_store {
    struct loop *loop;
    bool fetches; /* there is something that may change */
    /* Only the control thread's: */
    char *issuer, *file, *ca_file, *discovery;
    char *url; /* of the JWKS; with discovery what the last good document said, NULL before */
    char **allowed;
    uint32_t refresh_ms, cooldown_ms, timeout_ms;
    struct key_list fixed, from_file, from_url; /* the last good answer of each source */
    struct fetch *fetch;
    bool good;                  /* whether all sources of the fetch under way were */
    struct jwk_skipped skipped; /* what it left out */
    struct loop_timer refresh_timer;
    struct loop_message demand_message;
    pthread_mutex_t lock; /* of all below; held for a few instructions */
    struct keys *current;
    bool fetching;        /* from the demand (or the timer) to the end of the fetch */
    uint64_t demanded_us; /* when an unknown kid last started a fetch; 0: never */
    struct keys_statistics statistics;
    struct keys_subscription *subscriptions;
};

static void begin_fetch(struct keys_store *store);

static struct keys *compose(struct keys_store *store)
{
    struct key_list all = {.count = 0};
    size_t left_out = key_list_add_all(&all, &store->fixed);
    left_out += key_list_add_all(&all, &store->from_file);
    left_out += key_list_add_all(&all, &store->from_url);
    struct keys *keys = keys_create(&all);
    key_list_clear(&all);
    if (left_out != 0)
        log_event(LOG_WARNING, "keys_left_out", "%s: %zu keys were left out: kid seen before, or more than %d keys",
                  store->issuer, left_out, KEY_LIST_MAX);
    return keys;
}

static void on_subscription_message(struct loop_message *message)
{
    struct keys_subscription *subscription =
        (struct keys_subscription *)((char *)message - offsetof(struct keys_subscription, message));
    struct keys_store *store = subscription->store;
    pthread_mutex_lock(&store->lock);
    struct keys *keys = subscription->pending;
    bool closed = subscription->closed;
    subscription->pending = NULL;
    subscription->posted = false;
    if (closed) {
        struct keys_subscription **link = &store->subscriptions;
        while (*link != subscription)
            link = &(*link)->next;
        *link = subscription->next;
    }
    pthread_mutex_unlock(&store->lock);
    if (closed) {
        keys_unref(keys);
        free(subscription);
    } else {
        subscription->on_change(subscription->context, keys);
    }
}

/* Under the lock. Changes that come quicker than their receiver takes them become one: it gets the last. */
static void notify(struct keys_store *store)
{
    for (struct keys_subscription *each = store->subscriptions; each != NULL; each = each->next) {
        if (each->closed)
            continue;
        keys_unref(each->pending);
        keys_ref(store->current);
        each->pending = store->current;
        if (!each->posted)
            loop_post(each->loop, &each->message);
        each->posted = true;
    }
}

static void log_change(const struct keys_store *store, const struct keys *keys)
{
    const struct jwk_skipped *skipped = &store->skipped;
    if (skipped->count != 0)
        log_event(LOG_INFO, "keys_changed", "%s: %zu keys are in use; %zu of the JWKS were skipped, the first: %s",
                  store->issuer, keys_count(keys), skipped->count, skipped->first);
    else
        log_event(LOG_INFO, "keys_changed", "%s: %zu keys are in use", store->issuer, keys_count(keys));
}

static void arm_refresh(struct keys_store *store);

/* Makes a set of what the sources gave last and hands it out. */
static void finish_fetch(struct keys_store *store)
{
    struct keys *made = compose(store), *old = NULL;
    pthread_mutex_lock(&store->lock);
    bool changed = made != NULL && (store->current == NULL || !keys_equal(made, store->current));
    if (changed) {
        old = store->current;
        store->current = made;
    }
    store->fetching = false;
    store->statistics.fetches++;
    if (store->good)
        store->statistics.last_success_us = clock_wall_us();
    else
        store->statistics.failures++;
    notify(store);
    pthread_mutex_unlock(&store->lock);
    if (changed)
        log_change(store, made); /* nobody but this thread replaces it */
    keys_unref(changed ? old : made);
    arm_refresh(store);
}

static void on_refresh_due(struct loop_timer *timer)
{
    struct keys_store *store = (struct keys_store *)((char *)timer - offsetof(struct keys_store, refresh_timer));
    pthread_mutex_lock(&store->lock);
    bool busy = store->fetching;
    store->fetching = true;
    pthread_mutex_unlock(&store->lock);
    if (!busy)
        begin_fetch(store);
}

static void arm_refresh(struct keys_store *store)
{
    uint32_t delay = store->good || store->cooldown_ms > store->refresh_ms ? store->refresh_ms : store->cooldown_ms;
    loop_timer_start(store->loop, &store->refresh_timer, delay > 100 ? delay : 100, on_refresh_due);
}

/* Replaces *last by what was read, if anything was. */
static bool take_over(struct key_list *last, struct key_list *read, enum status status, const char *source,
                      const struct failure *failure)
{
    if (status == STATUS_OK) {
        key_list_clear(last);
        *last = *read;
        return true;
    }
    key_list_clear(read);
    log_event(LOG_WARNING, "keys_refresh_failed", "the keys of %s stay as they were: %s", source, failure->message);
    return false;
}

static bool read_file(struct keys_store *store)
{
    struct key_list read = {.count = 0};
    struct failure failure;
    enum status status =
        keys_file_read_set(store->file, (const char *const *)store->allowed, &read, &store->skipped, &failure);
    return take_over(&store->from_file, &read, status, store->file, &failure);
}

static bool read_answer(struct keys_store *store, enum status status, struct text body, const struct failure *fetched)
{
    struct key_list read = {.count = 0};
    struct failure failure;
    if (status == STATUS_OK)
        status = jwk_read_set(body, (const char *const *)store->allowed, &read, &store->skipped, &failure);
    else
        failure = *fetched;
    return take_over(&store->from_url, &read, status, store->url, &failure);
}

static void on_fetched(void *context, enum status status, struct text body, const struct failure *failure)
{
    struct keys_store *store = context;
    store->fetch = NULL;
    store->good = read_answer(store, status, body, failure) && store->good;
    finish_fetch(store);
}

static struct fetch_options fetch_options(const struct keys_store *store, const char *url, size_t max_size)
{
    return (struct fetch_options){
        .url = url, .ca_file = store->ca_file, .timeout_ms = store->timeout_ms, .max_size = max_size};
}

static void fail_fetch(struct keys_store *store, const char *url)
{
    log_event(LOG_ERROR, "keys_refresh_failed", "no thread could be started to fetch %s", url);
    store->good = false;
    finish_fetch(store);
}

static void fetch_keys(struct keys_store *store)
{
    struct fetch_options options = fetch_options(store, store->url, JWK_MAX_DOCUMENT);
    store->fetch = fetch_start(store->loop, &options, on_fetched, store);
    if (store->fetch == NULL)
        fail_fetch(store, store->url);
}

/* Takes the address of the keys over from the document that was fetched. */
static bool read_document(struct keys_store *store, enum status status, struct text body, const struct failure *fetched)
{
    struct buffer url;
    struct failure failure = {0};
    buffer_init(&url, DISCOVERY_MAX_URL + 1);
    if (status == STATUS_OK)
        status = discovery_read(body, text_from_string(store->issuer), &url, &failure);
    else
        failure = *fetched;
    const char *text = status == STATUS_OK ? buffer_c_string(&url) : NULL;
    char *copy = text != NULL ? strdup(text) : NULL;
    if (copy != NULL) {
        free(store->url);
        store->url = copy;
    } else {
        log_event(LOG_WARNING, "discovery_failed", "%s: the keys stay as they were: %s", store->discovery,
                  status != STATUS_OK ? failure.message : "out of memory");
    }
    buffer_free(&url);
    return copy != NULL;
}

static void on_document(void *context, enum status status, struct text body, const struct failure *failure)
{
    struct keys_store *store = context;
    store->fetch = NULL;
    if (read_document(store, status, body, failure)) {
        fetch_keys(store);
        return;
    }
    store->good = false;
    finish_fetch(store);
}

static void begin_fetch(struct keys_store *store)
{
    loop_timer_stop(&store->refresh_timer);
    store->skipped = (struct jwk_skipped){0};
    store->good = store->file == NULL || read_file(store);
    if (store->discovery != NULL) {
        struct fetch_options options = fetch_options(store, store->discovery, DISCOVERY_MAX_DOCUMENT);
        store->fetch = fetch_start(store->loop, &options, on_document, store);
        if (store->fetch == NULL)
            fail_fetch(store, store->discovery);
    } else if (store->url != NULL) {
        fetch_keys(store);
    } else {
        finish_fetch(store);
    }
}

static void on_demand(struct loop_message *message)
{
    begin_fetch((struct keys_store *)((char *)message - offsetof(struct keys_store, demand_message)));
}

bool keys_store_refetch(struct keys_store *store)
{
    if (!store->fetches)
        return false;
    uint64_t now = clock_monotonic_us();
    pthread_mutex_lock(&store->lock);
    bool under_way = store->fetching;
    bool cooled = store->demanded_us == 0 || now - store->demanded_us >= (uint64_t)store->cooldown_ms * 1000;
    if (!under_way && cooled) {
        store->fetching = under_way = true;
        store->demanded_us = now;
        store->demand_message.on_message = on_demand;
        loop_post(store->loop, &store->demand_message);
    }
    pthread_mutex_unlock(&store->lock);
    return under_way;
}

static enum status copy_options(struct keys_store *store, const struct keys_options *options, struct failure *failure)
{
    size_t count = 0;
    while (options->allowed_algorithms != NULL && options->allowed_algorithms[count] != NULL)
        count++;
    store->allowed = calloc(count + 1, sizeof(*store->allowed));
    bool good = store->allowed != NULL;
    for (size_t i = 0; good && i < count; i++)
        good = (store->allowed[i] = strdup(options->allowed_algorithms[i])) != NULL;
    const char *from[] = {options->issuer, options->jwks_url, options->jwks_file, options->ca_file, options->discovery};
    char **to[] = {&store->issuer, &store->url, &store->file, &store->ca_file, &store->discovery};
    for (size_t i = 0; good && i < 5; i++)
        good = from[i] == NULL || (*to[i] = strdup(from[i])) != NULL;
    store->fetches = store->url != NULL || store->file != NULL || store->discovery != NULL;
    store->refresh_ms = options->refresh_ms;
    store->cooldown_ms = options->cooldown_ms;
    store->timeout_ms = options->timeout_ms;
    return good ? STATUS_OK : failure_set(failure, STATUS_TOO_LARGE, "out of memory for the key store");
}

static enum status read_files(struct keys_store *store, const struct keys_options *options, struct failure *failure)
{
    enum status status = STATUS_OK;
    if (options->file_count == 0 && !store->fetches)
        return failure_set(failure, STATUS_INVALID,
                           "no key is configured to verify tokens of %s with; give its keys, jwks_file, jwks_url or "
                           "discovery",
                           store->issuer);
    for (size_t i = 0; status == STATUS_OK && i < options->file_count; i++)
        status = keys_file_read(&options->files[i], &store->fixed, failure);
    if (status == STATUS_OK && store->file != NULL)
        status = keys_file_read_set(store->file, (const char *const *)store->allowed, &store->from_file,
                                    &store->skipped, failure);
    return status;
}

/* One document, waiting for it. */
static bool fetch_first(struct keys_store *store, const char *url, size_t max_size,
                        bool (*read)(struct keys_store *, enum status, struct text, const struct failure *))
{
    struct buffer body;
    struct failure fetched = {0};
    struct fetch_options how = fetch_options(store, url, max_size);
    buffer_init(&body, max_size);
    enum status status = fetch_now(&how, &body, &fetched);
    bool good = read(store, status, buffer_text(&body), &fetched);
    buffer_free(&body);
    return good;
}

/* The files must be good; the address may be away. */
static enum status first_read(struct keys_store *store, const struct keys_options *options, struct failure *failure)
{
    enum status status = read_files(store, options, failure);
    if (status != STATUS_OK)
        return status;
    store->good = true;
    if (options->in_background || !store->fetches)
        store->current = compose(store);
    if (options->in_background && store->fetches && store->current != NULL) {
        store->fetching = true;
        begin_fetch(store);
    } else if (store->fetches && store->current == NULL) {
        if (store->discovery != NULL)
            store->good = fetch_first(store, store->discovery, DISCOVERY_MAX_DOCUMENT, read_document);
        if (store->good && store->url != NULL)
            store->good = fetch_first(store, store->url, JWK_MAX_DOCUMENT, read_answer);
        finish_fetch(store);
    }
    return store->current != NULL ? STATUS_OK : failure_set(failure, STATUS_TOO_LARGE, "out of memory for the keys");
}

enum status keys_store_create(struct loop *loop, const struct keys_options *options, struct keys_store **out,
                              struct failure *failure)
{
    struct keys_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return failure_set(failure, STATUS_TOO_LARGE, "out of memory for the key store");
    store->loop = loop;
    pthread_mutex_init(&store->lock, NULL);
    enum status status = copy_options(store, options, failure);
    if (status == STATUS_OK)
        status = first_read(store, options, failure);
    if (status == STATUS_OK)
        *out = store;
    else
        keys_store_destroy(store);
    return status;
}

void keys_store_destroy(struct keys_store *store)
{
    if (store == NULL)
        return;
    if (store->fetch != NULL)
        fetch_cancel(store->fetch);
    loop_timer_stop(&store->refresh_timer);
    while (store->subscriptions != NULL) {
        struct keys_subscription *subscription = store->subscriptions;
        store->subscriptions = subscription->next;
        keys_unref(subscription->pending);
        free(subscription);
    }
    keys_unref(store->current);
    key_list_clear(&store->fixed);
    key_list_clear(&store->from_file);
    key_list_clear(&store->from_url);
    for (char **name = store->allowed; name != NULL && *name != NULL; name++)
        free(*name);
    free(store->allowed);
    free(store->issuer);
    free(store->discovery);
    free(store->url);
    free(store->file);
    free(store->ca_file);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

struct keys *keys_store_current(struct keys_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct keys *keys = store->current;
    keys_ref(keys);
    pthread_mutex_unlock(&store->lock);
    return keys;
}

bool keys_store_same(struct keys_store *a, struct keys_store *b)
{
    struct keys *of_a = keys_store_current(a), *of_b = keys_store_current(b);
    bool same = keys_equal(of_a, of_b);
    keys_unref(of_a);
    keys_unref(of_b);
    return same;
}

bool keys_store_awaited(struct keys_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool demanded = store->fetching && store->fetch == NULL; /* on_demand is to come */
    bool awaited = store->subscriptions != NULL || demanded;
    pthread_mutex_unlock(&store->lock);
    return awaited;
}

struct keys_statistics keys_store_statistics(struct keys_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct keys_statistics statistics = store->statistics;
    pthread_mutex_unlock(&store->lock);
    return statistics;
}

struct keys_subscription *keys_subscribe(struct keys_store *store, struct loop *loop,
                                         void (*on_change)(void *context, struct keys *keys), void *context)
{
    struct keys_subscription *subscription = calloc(1, sizeof(*subscription));
    if (subscription == NULL)
        return NULL;
    *subscription =
        (struct keys_subscription){.store = store, .loop = loop, .on_change = on_change, .context = context};
    subscription->message.on_message = on_subscription_message;
    pthread_mutex_lock(&store->lock);
    subscription->next = store->subscriptions;
    store->subscriptions = subscription;
    pthread_mutex_unlock(&store->lock);
    return subscription;
}

void keys_unsubscribe(struct keys_subscription *subscription)
{
    if (subscription == NULL)
        return;
    struct keys_store *store = subscription->store;
    pthread_mutex_lock(&store->lock);
    bool posted = subscription->posted;
    subscription->closed = true;
    keys_unref(subscription->pending);
    subscription->pending = NULL;
    if (!posted) {
        struct keys_subscription **link = &store->subscriptions;
        while (*link != subscription)
            link = &(*link)->next;
        *link = subscription->next;
    }
    pthread_mutex_unlock(&store->lock);
    /* With a message on its way the memory is freed by it, or with the store when the loop ends before. */
    if (!posted)
        free(subscription);
}
