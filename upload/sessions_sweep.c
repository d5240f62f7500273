/* What ends by itself: sessions whose time is over, and those of customers that are no more. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "upload/sessions_private.h"

#define SWEEP_S 20

/* Between looking and locking somebody may have gone on with it: what counts is what the held files say. */
static void drop(struct sessions *sessions, const char *id, bool expired_only)
{
    struct session *session;
    enum status status = sessions_open(sessions, id, &session, NULL);
    if (status == STATUS_NOT_FOUND)
        sessions_index_remove(sessions, id);
    if (status != STATUS_OK)
        return;
    if (!expired_only || sessions_is_expired(sessions, session->touched_s)) {
        session_remove(session);
        return;
    }
    sessions_index_touch(sessions, session);
    session_release(session);
}

/* All of `customer`, or all that are expired (NULL). What is held is left for the next time. */
static void drop_all(struct sessions *sessions, const char *customer)
{
    size_t at = 0;
    for (;;) {
        char id[SESSIONS_ID_SIZE] = "";
        pthread_mutex_lock(&sessions->lock);
        while (at < sessions->count &&
               (customer != NULL ? strcmp(sessions->entries[at].customer, customer) != 0
                                 : !sessions_is_expired(sessions, sessions->entries[at].touched_s)))
            at++;
        if (at < sessions->count)
            memcpy(id, sessions->entries[at].id, sizeof(id));
        pthread_mutex_unlock(&sessions->lock);
        if (id[0] == '\0')
            return;
        drop(sessions, id, customer == NULL);
        pthread_mutex_lock(&sessions->lock); /* removed: another stands in its place */
        at += at < sessions->count && memcmp(sessions->entries[at].id, id, sizeof(id)) == 0;
        pthread_mutex_unlock(&sessions->lock);
    }
}

typedef char customer_name[sizeof(((struct sessions_entry *)NULL)->customer)];

static int compare_names(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* Who has sessions here, each once; to be freed. */
static customer_name *list_customers(struct sessions *sessions, size_t *count)
{
    size_t distinct = 0;
    pthread_mutex_lock(&sessions->lock);
    *count = sessions->count;
    customer_name *names = *count != 0 ? calloc(*count, sizeof(*names)) : NULL;
    for (size_t i = 0; names != NULL && i < *count; i++)
        memcpy(names[i], sessions->entries[i].customer, sizeof(names[i]));
    pthread_mutex_unlock(&sessions->lock);
    if (names == NULL) {
        *count = 0;
        return NULL;
    }
    qsort(names, *count, sizeof(*names), compare_names);
    for (size_t i = 0; i < *count; i++)
        if (distinct == 0 || strcmp(names[distinct - 1], names[i]) != 0)
            memmove(names[distinct++], names[i], sizeof(names[i]));
    *count = distinct;
    return names;
}

static void drop_orphaned(struct sessions *sessions)
{
    size_t count = 0, dropped = 0;
    struct failure failure;
    customer_name *names = list_customers(sessions, &count);
    struct text *asked = calloc(count + 1, sizeof(*asked));
    bool *gone = calloc(count + 1, sizeof(*gone));
    for (size_t i = 0; asked != NULL && i < count; i++)
        asked[i] = text_from_string(names[i]);
    enum status status = asked != NULL && gone != NULL && count != 0
                             ? sessions->options.gone(sessions->options.context, asked, count, gone, &failure)
                             : STATUS_UNAVAILABLE;
    if (status != STATUS_OK && status != STATUS_UNAVAILABLE)
        log_event(LOG_WARNING, "upload_sessions_not_swept", "%s", failure.message);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        if (gone[i]) {
            drop_all(sessions, names[i]);
            log_event(LOG_INFO, "upload_sessions_erased", "%s is no customer any more: its upload sessions are erased",
                      names[i]);
            dropped++;
        }
    if (dropped != 0)
        (void)sessions_sync_folder(
            sessions->folder); /* else a loss of power may bring names back, until the next look */
    free(names);
    free(asked);
    free(gone);
}

void sessions_sweep(struct sessions *sessions)
{
    drop_all(sessions, NULL);
}

void sessions_sweep_customers(struct sessions *sessions)
{
    if (sessions->options.gone != NULL)
        drop_orphaned(sessions);
}

/* With the lock held. */
static void close_removed(struct sessions *sessions)
{
    while (sessions->closing_count != 0) {
        int fd = sessions->closing[--sessions->closing_count];
        pthread_mutex_unlock(&sessions->lock);
        close(fd);
        pthread_mutex_lock(&sessions->lock);
    }
}

static void set_due(struct timespec *due)
{
    clock_gettime(CLOCK_MONOTONIC, due);
    due->tv_sec += SWEEP_S;
}

void *sessions_sweep_now_and_then(void *context)
{
    struct sessions *sessions = context;
    struct timespec due;
    set_due(&due);
    pthread_mutex_lock(&sessions->lock);
    while (!sessions->stopping) {
        close_removed(sessions);
        /* A removed session wakes it too, and must not put the sweep off. */
        if (sessions->stopping || pthread_cond_timedwait(&sessions->wake, &sessions->lock, &due) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&sessions->lock);
        sessions_sweep(sessions);
        sessions_sweep_customers(sessions);
        set_due(&due);
        pthread_mutex_lock(&sessions->lock);
    }
    close_removed(sessions);
    pthread_mutex_unlock(&sessions->lock);
    return NULL;
}

/* Looked at before it is locked: others' requests must not meet a lock of ours. */
static bool is_of(struct sessions *sessions, const char *id, struct text customer)
{
    struct session session = {.sessions = sessions};
    memcpy(session.id, id, SESSIONS_ID_SIZE);
    sessions_init_arena(&session);
    bool is = sessions_read_about(&session, NULL) == STATUS_OK && text_equal(session.customer, customer);
    arena_free(&session.arena);
    return is;
}

/* Another process's, perhaps: only the files are known. */
static void erase_one(struct sessions *sessions, const char *name, struct text customer, bool really,
                      struct sessions_erased *erased)
{
    struct session *session;
    char id[SESSIONS_ID_SIZE];
    memcpy(id, name, SESSIONS_ID);
    id[SESSIONS_ID] = '\0';
    if (!is_of(sessions, id, customer))
        return;
    enum status status = sessions_open(sessions, id, &session, NULL);
    erased->held += status == STATUS_CONFLICT;
    if (status != STATUS_OK)
        return;
    erased->count++;
    erased->bytes += session->file.size;
    if (really)
        session_remove(session);
    else
        session_release(session);
}

enum status sessions_erase(const char *path, struct text customer, bool really, struct sessions_erased *erased,
                           struct failure *failure)
{
    *erased = (struct sessions_erased){0};
    DIR *folder = opendir(path);
    if (folder == NULL)
        return errno == ENOENT ? STATUS_NOT_FOUND
                               : failure_set(failure, STATUS_DENIED, "the spool's folder %s cannot be read: %s", path,
                                             strerror(errno));
    struct sessions sessions = {.folder = (char *)(uintptr_t)path};
    pthread_mutex_init(&sessions.lock, NULL);
    pthread_cond_init(&sessions.wake, NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strlen(entry->d_name) > SESSIONS_ID && sessions_is_id(text_of(entry->d_name, SESSIONS_ID)) &&
            strcmp(entry->d_name + SESSIONS_ID, ".json") == 0) {
            erase_one(&sessions, entry->d_name, customer, really, erased);
            pthread_mutex_lock(&sessions.lock);
            close_removed(&sessions);
            pthread_mutex_unlock(&sessions.lock);
        }
    closedir(folder);
    if (really && erased->count != 0)
        (void)sessions_sync_folder(path);
    pthread_cond_destroy(&sessions.wake);
    pthread_mutex_destroy(&sessions.lock);
    return STATUS_OK;
}
