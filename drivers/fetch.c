#include "drivers/fetch.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* libcurl's functions, found when first needed. */
struct library {
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_perform)(CURL *);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    void (*easy_cleanup)(CURL *);
    const char *(*easy_strerror)(CURLcode);
    CURLcode (*global_init)(long);
};

static struct library library;
static bool library_found;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void find_library(void)
{
    void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    const struct {
        const char *name;
        void **function;
    } wanted[] = {
        {"curl_easy_init", (void **)&library.easy_init},       {"curl_easy_setopt", (void **)&library.easy_setopt},
        {"curl_easy_perform", (void **)&library.easy_perform}, {"curl_easy_getinfo", (void **)&library.easy_getinfo},
        {"curl_easy_cleanup", (void **)&library.easy_cleanup}, {"curl_easy_strerror", (void **)&library.easy_strerror},
        {"curl_global_init", (void **)&library.global_init}};
    if (handle == NULL)
        return;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if ((*wanted[i].function = dlsym(handle, wanted[i].name)) == NULL)
            return;
    library_found = library.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct buffer *out = context;
    buffer_append(out, data, size * count);
    return out->failed ? 0 : size * count;
}

static void set_options(CURL *curl, const struct fetch_options *options, struct buffer *out)
{
    library.easy_setopt(curl, CURLOPT_URL, options->url);
    library.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    library.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    library.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    library.easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
    library.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    library.easy_setopt(curl, CURLOPT_WRITEDATA, out);
    library.easy_setopt(curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    if (options->ca_file != NULL)
        library.easy_setopt(curl, CURLOPT_CAINFO, options->ca_file);
}

enum status fetch_now(const struct fetch_options *options, struct buffer *out, struct failure *failure)
{
    pthread_once(&library_once, find_library);
    CURL *curl = library_found ? library.easy_init() : NULL;
    if (curl == NULL)
        return failure_set(failure, STATUS_FAILED, "libcurl.so.4 cannot be loaded; install libcurl4");
    set_options(curl, options, out);
    CURLcode code = library.easy_perform(curl);
    long answer = 0;
    library.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    library.easy_cleanup(curl);
    if (out->failed)
        return failure_set(failure, STATUS_TOO_LARGE, "%s: the document is larger than %zu bytes", options->url,
                           out->ceiling);
    if (code != CURLE_OK)
        return failure_set(failure, code == CURLE_OPERATION_TIMEDOUT ? STATUS_TIMEOUT : STATUS_UNAVAILABLE, "%s: %s",
                           options->url, library.easy_strerror(code));
    if (answer != 200)
        return failure_set(failure, STATUS_FAILED, "%s: answered with status %ld, 200 is needed", options->url, answer);
    return STATUS_OK;
}

/* Shared by the caller, the transfer's thread and the message between them; the one who lets go last frees it. */
struct fetch {
    atomic_int references;
    pthread_mutex_t lock;
    bool cancelled; /* under the lock */
    struct loop *loop;
    struct loop_message message;
    fetch_done on_done;
    void *context;
    char *url, *ca_file;
    struct fetch_options options;
    struct buffer body;
    enum status status;
    struct failure failure;
};

static void let_go(struct fetch *fetch)
{
    if (atomic_fetch_sub(&fetch->references, 1) != 1)
        return;
    pthread_mutex_destroy(&fetch->lock);
    buffer_free(&fetch->body);
    free(fetch->url);
    free(fetch->ca_file);
    free(fetch);
}

static void on_finished(struct loop_message *message)
{
    struct fetch *fetch = (struct fetch *)((char *)message - offsetof(struct fetch, message));
    if (!fetch->cancelled) { /* set on this thread only */
        struct text body = fetch->status == STATUS_OK ? buffer_text(&fetch->body) : TEXT_NONE;
        fetch->on_done(fetch->context, fetch->status, body, &fetch->failure);
        let_go(fetch); /* the caller's */
    }
    let_go(fetch); /* the message's */
}

static void *fetch_main(void *context)
{
    struct fetch *fetch = context;
    fetch->status = fetch_now(&fetch->options, &fetch->body, &fetch->failure);
    /* A cancelled fetch may outlive its loop: nothing is posted then. */
    pthread_mutex_lock(&fetch->lock);
    bool cancelled = fetch->cancelled;
    if (!cancelled) {
        atomic_fetch_add(&fetch->references, 1);
        loop_post(fetch->loop, &fetch->message);
    }
    pthread_mutex_unlock(&fetch->lock);
    let_go(fetch);
    return NULL;
}

struct fetch *fetch_start(struct loop *loop, const struct fetch_options *options, fetch_done on_done, void *context)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    pthread_t thread;
    if (fetch == NULL)
        return NULL;
    atomic_init(&fetch->references, 2);
    pthread_mutex_init(&fetch->lock, NULL);
    fetch->loop = loop;
    fetch->message.on_message = on_finished;
    fetch->on_done = on_done;
    fetch->context = context;
    fetch->url = strdup(options->url);
    fetch->ca_file = options->ca_file != NULL ? strdup(options->ca_file) : NULL;
    fetch->options = *options;
    fetch->options.url = fetch->url;
    fetch->options.ca_file = fetch->ca_file;
    buffer_init(&fetch->body, options->max_size);
    if (pthread_create(&thread, NULL, fetch_main, fetch) != 0) {
        atomic_store(&fetch->references, 1);
        let_go(fetch);
        return NULL;
    }
    pthread_detach(thread);
    return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
    pthread_mutex_lock(&fetch->lock);
    fetch->cancelled = true;
    pthread_mutex_unlock(&fetch->lock);
    let_go(fetch);
}
