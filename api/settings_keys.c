#include "api/settings_keys.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"

#define FIRST_KEYS_MS 3000 /* after this the start waits for no further issuer's keys */

struct settings_keys {
    struct settings_keys *next; /* of those that wait for their end */
    struct keys_store *store;
    size_t references; /* of settings */
    uint64_t print;    /* of what it was made from */
};

static struct settings_keys *ending; /* the control thread's */

static uint64_t mix(uint64_t print, const char *text)
{
    const uint64_t both[] = {print, text != NULL ? hash_text(text_from_string(text)) : 0};
    return hash_text(text_of((const char *)both, sizeof(both)));
}

/* Of where the keys come from, not of who may use them. */
static uint64_t print_of(const struct config_issuer *issuer)
{
    const uint32_t times[] = {issuer->refresh_ms, issuer->cooldown_ms, issuer->timeout_ms};
    uint64_t print = hash_text(text_of((const char *)times, sizeof(times)));
    print = mix(mix(mix(print, issuer->issuer), issuer->jwks_file), issuer->jwks_url);
    print = mix(mix(print, issuer->discovery), issuer->ca_file);
    for (size_t i = 0; i < issuer->key_count; i++)
        print = mix(mix(mix(print, issuer->keys[i].kid), issuer->keys[i].algorithm), issuer->keys[i].file);
    for (size_t i = 0; issuer->allowed_algorithms != NULL && issuer->allowed_algorithms[i] != NULL; i++)
        print = mix(print, issuer->allowed_algorithms[i]);
    return print;
}

static struct settings_keys *find(const struct settings *before, uint64_t print)
{
    for (size_t i = 0; before != NULL && i < before->config->auth.issuer_count; i++)
        if (before->keys[i] != NULL && before->keys[i]->print == print)
            return before->keys[i];
    return NULL;
}

static enum status make(struct loop *loop, const struct config_issuer *issuer, bool in_background,
                        struct keys_store **store, struct failure *failure)
{
    struct keys_file *files = calloc(issuer->key_count + 1, sizeof(*files));
    if (files == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    for (size_t i = 0; i < issuer->key_count; i++)
        files[i] = (struct keys_file){issuer->keys[i].kid, issuer->keys[i].algorithm, issuer->keys[i].file};
    struct keys_options options = {.issuer = issuer->issuer,
                                   .files = files,
                                   .file_count = issuer->key_count,
                                   .jwks_url = issuer->jwks_url,
                                   .jwks_file = issuer->jwks_file,
                                   .discovery = issuer->discovery,
                                   .in_background = in_background,
                                   .ca_file = issuer->ca_file,
                                   .refresh_ms = issuer->refresh_ms,
                                   .cooldown_ms = issuer->cooldown_ms,
                                   .timeout_ms = issuer->timeout_ms,
                                   .allowed_algorithms = issuer->allowed_algorithms};
    enum status status = keys_store_create(loop, &options, store, failure);
    free(files);
    return status;
}

/* A file may have changed under its name: it is read anew, and the store is another one only if its keys are. */
static enum status open_one(struct loop *loop, struct settings *settings, size_t index, bool in_background,
                            const struct settings *before, struct failure *failure)
{
    const struct config_issuer *issuer = &settings->config->auth.issuers[index];
    uint64_t print = print_of(issuer);
    struct settings_keys *found = find(before, print);
    struct keys_store *store = NULL;
    if (found == NULL || issuer->key_count != 0 || issuer->jwks_file != NULL) {
        /* Of a file alone nothing is fetched: it is read within the call. */
        bool later = in_background && issuer->jwks_file == NULL;
        enum status status = make(loop, issuer, later, &store, failure);
        if (status != STATUS_OK)
            return status;
    }
    if (found != NULL && (store == NULL || keys_store_same(found->store, store))) {
        if (store != NULL)
            keys_store_destroy(store);
    } else if ((found = calloc(1, sizeof(*found))) != NULL) {
        *found = (struct settings_keys){.store = store, .print = print};
    } else {
        keys_store_destroy(store);
        return failure_set(failure, STATUS_FAILED, "out of memory");
    }
    found->references++;
    settings->keys[index] = found;
    settings->stores[index] = found->store;
    if (before != NULL && index < before->config->auth.issuer_count)
        settings->same_auth = settings->same_auth && before->keys[index] == found;
    return STATUS_OK;
}

enum status settings_keys_open(struct loop *loop, struct settings *settings, const struct settings *before,
                               struct failure *failure)
{
    /* Addresses that do not answer cost the start a few seconds together, however many they are: those behind them are
     * fetched while the first requests come, which wait for them. */
    uint64_t give_up_us = clock_monotonic_us() + FIRST_KEYS_MS * 1000;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < settings->config->auth.issuer_count; i++)
        status = open_one(loop, settings, i, before != NULL || clock_monotonic_us() > give_up_us, before, failure);
    return status;
}

void settings_keys_close(struct settings *settings)
{
    for (size_t i = 0; i < TOKENS_MAX_ISSUERS; i++) {
        struct settings_keys *keys = settings->keys[i];
        settings->keys[i] = NULL;
        if (keys == NULL || --keys->references != 0)
            continue;
        keys->next = ending;
        ending = keys;
    }
    settings_keys_sweep(false);
}

void settings_keys_sweep(bool all)
{
    for (struct settings_keys **link = &ending; *link != NULL;) {
        struct settings_keys *keys = *link;
        if (!all && keys_store_awaited(keys->store)) {
            link = &keys->next;
            continue;
        }
        *link = keys->next;
        keys_store_destroy(keys->store);
        free(keys);
    }
}
