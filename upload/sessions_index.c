/* What sessions there are, in memory: for the bounds and for the sweep. The files decide; of sessions that another
 * process makes in the same folder nothing is known here but what its files say when they are asked for. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "upload/sessions_private.h"

#define GROWTH 64
#define ORPHAN_S 60 /* a file without its twin that is younger may be in the making */

static struct sessions_entry *find(struct sessions *sessions, const char *id)
{
    for (size_t i = 0; i < sessions->count; i++)
        if (memcmp(sessions->entries[i].id, id, SESSIONS_ID) == 0)
            return &sessions->entries[i];
    return NULL;
}

static bool is_of(const struct sessions_entry *entry, struct text customer)
{
    return text_equal(text_from_string(entry->customer), customer);
}

static enum status append(struct sessions *sessions, const struct session *session, struct failure *failure)
{
    if (sessions->count == sessions->capacity) {
        size_t capacity = sessions->capacity + GROWTH;
        struct sessions_entry *entries = realloc(sessions->entries, capacity * sizeof(*entries));
        if (entries == NULL)
            return failure_set(failure, STATUS_FAILED, "out of memory");
        sessions->entries = entries;
        sessions->capacity = capacity;
    }
    struct sessions_entry *entry = &sessions->entries[sessions->count++];
    *entry =
        (struct sessions_entry){.length = session->length, .touched_s = session->touched_s, .ended = session->ended};
    memcpy(entry->id, session->id, sizeof(entry->id));
    memcpy(entry->customer, session->customer.data, session->customer.size);
    return STATUS_OK;
}

/* STATUS_OK: the space is taken. */
static enum status check_bounds(const struct sessions *sessions, const struct session *session, struct failure *failure)
{
    const struct sessions_options *options = &sessions->options;
    size_t own = 0;
    uint64_t bytes = 0, most = sessions_most(sessions);
    for (size_t i = 0; i < sessions->count; i++) {
        const struct sessions_entry *entry = &sessions->entries[i];
        own += !entry->ended && is_of(entry, session->customer);
        bytes += entry->ended ? 0 : entry->length;
    }
    if (own >= options->each)
        return failure_set(failure, STATUS_BUSY,
                           "%zu upload sessions are open, and no more are allowed at once; end some, or wait until "
                           "they expire",
                           own);
    if (sessions->count >= options->all)
        return failure_set(failure, STATUS_BUSY, "there are too many upload sessions here at the moment; try later");
    if (bytes > most || session->length > most - bytes || !spool_space_take(options->space, session->length))
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the space for resumable uploads is taken up by those under way and by the loads that run; "
                           "try later, or send less");
    return STATUS_OK;
}

enum status sessions_index_add(struct sessions *sessions, const struct session *session, struct failure *failure)
{
    pthread_mutex_lock(&sessions->lock);
    enum status status = check_bounds(sessions, session, failure);
    if (status == STATUS_OK) {
        status = append(sessions, session, failure);
        if (status != STATUS_OK)
            spool_space_give_back(sessions->options.space, session->length);
    }
    pthread_mutex_unlock(&sessions->lock);
    return status;
}

void sessions_index_touch(struct sessions *sessions, const struct session *session)
{
    pthread_mutex_lock(&sessions->lock);
    struct sessions_entry *entry = find(sessions, session->id);
    if (entry != NULL) {
        if (session->ended && !entry->ended)
            spool_space_give_back(sessions->options.space, entry->length);
        entry->touched_s = session->touched_s;
        entry->ended = session->ended;
    }
    pthread_mutex_unlock(&sessions->lock);
}

void sessions_index_remove(struct sessions *sessions, const char *id)
{
    pthread_mutex_lock(&sessions->lock);
    struct sessions_entry *entry = find(sessions, id);
    if (entry != NULL) {
        if (!entry->ended)
            spool_space_give_back(sessions->options.space, entry->length);
        *entry = sessions->entries[--sessions->count];
    }
    pthread_mutex_unlock(&sessions->lock);
}

bool sessions_index_surplus(struct sessions *sessions, struct text customer, char id[SESSIONS_ID_SIZE])
{
    const struct sessions_entry *oldest = NULL;
    size_t ended = 0;
    pthread_mutex_lock(&sessions->lock);
    for (size_t i = 0; i < sessions->count; i++) {
        const struct sessions_entry *entry = &sessions->entries[i];
        if (!entry->ended || !is_of(entry, customer))
            continue;
        ended++;
        if (oldest == NULL || entry->touched_s < oldest->touched_s)
            oldest = entry;
    }
    bool surplus = ended > sessions->options.each;
    if (surplus)
        memcpy(id, oldest->id, sizeof(oldest->id));
    pthread_mutex_unlock(&sessions->lock);
    return surplus;
}

struct sessions_statistics sessions_statistics(struct sessions *sessions)
{
    struct sessions_statistics sum = {0};
    pthread_mutex_lock(&sessions->lock);
    for (size_t i = 0; i < sessions->count; i++) {
        const struct sessions_entry *entry = &sessions->entries[i];
        sum.open += !entry->ended;
        sum.ended += entry->ended;
        sum.bytes += entry->ended ? 0 : entry->length;
    }
    pthread_mutex_unlock(&sessions->lock);
    return sum;
}

/* A process that was killed between two steps leaves one file of the two, or a new ID.json that has not got its name.
 */
static void drop_orphan(const struct sessions *sessions, const char *name, uint64_t age_s)
{
    struct stat about;
    char path[SESSIONS_PATH_MAX];
    sessions_path(sessions, name, "", path);
    if (lstat(path, &about) == 0 && S_ISREG(about.st_mode) &&
        about.st_mtim.tv_sec + (int64_t)age_s < clock_wall_us() / 1000000)
        unlink(path);
}

static enum status load_one(struct sessions *sessions, const char *name, size_t *foreign, struct failure *failure)
{
    struct session *session;
    char id[SESSIONS_ID_SIZE], path[SESSIONS_PATH_MAX];
    memcpy(id, name, SESSIONS_ID);
    id[SESSIONS_ID] = '\0';
    if (strcmp(name + SESSIONS_ID, ".new") == 0 || strcmp(name + SESSIONS_ID, ".part") == 0) {
        sessions_path(sessions, id, ".json", path);
        if (strcmp(name + SESSIONS_ID, ".new") == 0 || access(path, F_OK) != 0)
            drop_orphan(sessions, name, ORPHAN_S);
        return STATUS_OK;
    }
    if (strcmp(name + SESSIONS_ID, ".json") != 0)
        return STATUS_OK;
    /* One that cannot be read (another release's, or cut by a loss of power) is left alone as long as a session lives.
     */
    enum status status = sessions_open(sessions, id, &session, NULL);
    if (status == STATUS_NOT_FOUND)
        drop_orphan(sessions, name, ORPHAN_S);
    if (status == STATUS_FAILED)
        drop_orphan(sessions, name, sessions->options.lifetime_s);
    if (status != STATUS_OK)
        return STATUS_OK;
    if (session->foreign) {
        ++*foreign;
        session_remove(session);
        return STATUS_OK;
    }
    status = append(sessions, session, failure);
    if (status == STATUS_OK && !session->ended)
        spool_space_take_anyway(sessions->options.space, session->length);
    session_release(session);
    return status;
}

enum status sessions_index_load(struct sessions *sessions, struct failure *failure)
{
    enum status status = STATUS_OK;
    size_t foreign = 0;
    DIR *folder = opendir(sessions->folder);
    if (folder == NULL)
        return failure_set(failure, STATUS_DENIED, "the spool's folder %s cannot be read: %s", sessions->folder,
                           strerror(errno));
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(folder)) != NULL;)
        if (strlen(entry->d_name) > SESSIONS_ID && sessions_is_id(text_of(entry->d_name, SESSIONS_ID)))
            status = load_one(sessions, entry->d_name, &foreign, failure);
    closedir(folder);
    if (foreign != 0)
        log_event(LOG_WARNING, "upload_sessions_unreadable",
                  "%zu upload sessions in %s were dropped: they are %s; their clients begin anew", foreign,
                  sessions->folder,
                  sessions_key(sessions) != NULL ? "not encrypted with uploads.encryption_key"
                                                 : "encrypted, and no uploads.encryption_key is configured");
    return status;
}
