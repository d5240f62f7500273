/* A worker's hold on one set of settings, with what it makes of them for its own thread. Requests count themselves in,
 * so it goes with the last one that began under it. The worker's thread only. */
#ifndef SLUICE_API_WORKER_SETTINGS_H
#define SLUICE_API_WORKER_SETTINGS_H

#include "api/settings.h"

struct worker;
struct worker_made; /* counted: holds that would be made of the same share it */

struct worker_settings {
    struct settings *settings; /* a reference */
    struct tokens *tokens;
    struct datasets *datasets;
    struct worker_made *auth, *catalog; /* what holds these two */
    size_t users;                       /* requests, and the worker while it is the current one */
};

/* `before`: the hold that may be shared with; NULL for the first one. NULL: out of memory. */
struct worker_settings *worker_settings_create(struct worker *worker, struct settings *settings,
                                               const struct worker_settings *before);
static inline struct worker_settings *worker_settings_ref(struct worker_settings *held)
{
    held->users++;
    return held;
}
void worker_settings_unref(struct worker_settings *held);

#endif
