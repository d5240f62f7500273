#include "api/worker_settings.h"

#include <stdlib.h>

#include "api/worker.h"

struct worker_made {
    size_t users;
    struct settings *settings; /* a reference: what it was made of is borrowed */
    struct tokens *tokens;     /* one of the two */
    struct datasets *datasets;
};

static void unref(struct worker_made *made)
{
    if (made == NULL || --made->users != 0)
        return;
    tokens_destroy(made->tokens);
    datasets_destroy(made->datasets);
    settings_unref(made->settings);
    free(made);
}

static struct worker_made *create(struct settings *settings)
{
    struct worker_made *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->users = 1;
    made->settings = settings;
    settings_ref(settings);
    return made;
}

static struct worker_made *share(struct worker_made *made)
{
    made->users++;
    return made;
}

static struct worker_made *make_auth(struct worker *worker, struct settings *settings)
{
    struct worker_made *made = create(settings);
    const struct config *config = settings->config;
    struct tokens_options options = {settings->issuers, config->auth.issuer_count, config->auth.leeway_s,
                                     config->auth.max_lifetime_s, config->auth.cache};
    if (made != NULL && (made->tokens = tokens_create(worker->loop, settings->stores, &options)) == NULL) {
        unref(made);
        return NULL;
    }
    return made;
}

static struct worker_made *make_catalog(struct worker *worker, struct settings *settings)
{
    struct worker_made *made = create(settings);
    if (made != NULL &&
        (made->datasets = datasets_create(worker->loop, worker->describe, &settings->datasets)) == NULL) {
        unref(made);
        return NULL;
    }
    return made;
}

struct worker_settings *worker_settings_create(struct worker *worker, struct settings *settings,
                                               const struct worker_settings *before)
{
    struct worker_settings *held = calloc(1, sizeof(*held));
    if (held == NULL)
        return NULL;
    held->users = 1;
    held->settings = settings;
    settings_ref(settings);
    held->auth = before != NULL && settings->same_auth ? share(before->auth) : make_auth(worker, settings);
    held->catalog = before != NULL && settings->same_catalog ? share(before->catalog) : make_catalog(worker, settings);
    if (held->auth == NULL || held->catalog == NULL) {
        worker_settings_unref(held);
        return NULL;
    }
    held->tokens = held->auth->tokens;
    held->datasets = held->catalog->datasets;
    return held;
}

void worker_settings_unref(struct worker_settings *held)
{
    if (held == NULL || --held->users != 0)
        return;
    unref(held->auth);
    unref(held->catalog);
    settings_unref(held->settings);
    free(held);
}
