#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/hash.h"
#include "base/random.h"
#include "upload/sessions_private.h"

bool sessions_is_id(struct text id)
{
    if (id.size != SESSIONS_ID)
        return false;
    for (size_t i = 0; i < id.size; i++) {
        char byte = id.data[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? byte != '-' : !((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f')))
            return false;
    }
    return true;
}

void sessions_path(const struct sessions *sessions, const char *id, const char *ending, char out[SESSIONS_PATH_MAX])
{
    snprintf(out, SESSIONS_PATH_MAX, "%s/%s%s", sessions->folder, id, ending);
}

void sessions_owner_digest(struct text subject, char out[2 * SESSIONS_OWNER + 1])
{
    unsigned char digest[HASH_SHA256_SIZE];
    hash_sha256(subject, digest);
    encoding_hex(digest, sizeof(digest), out);
    out[2 * SESSIONS_OWNER] = '\0';
}

bool sessions_is_expired(const struct sessions *sessions, int64_t touched_s)
{
    return clock_wall_us() / 1000000 >= touched_s + (int64_t)sessions->options.lifetime_s;
}

const struct spool_key *sessions_key(const struct sessions *sessions)
{
    return sessions->options.space != NULL ? spool_space_key(sessions->options.space) : NULL;
}

uint64_t sessions_most(const struct sessions *sessions)
{
    return spool_space_size(sessions->options.space) / 2;
}

static void free_sessions(struct sessions *sessions)
{
    pthread_mutex_destroy(&sessions->lock);
    pthread_cond_destroy(&sessions->wake);
    free(sessions->entries);
    free(sessions->folder);
    free(sessions);
}

enum status sessions_create(const struct sessions_options *options, struct sessions **out, struct failure *failure)
{
    struct sessions *sessions = calloc(1, sizeof(*sessions));
    pthread_condattr_t monotonic;
    if (sessions == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    sessions->options = *options;
    pthread_mutex_init(&sessions->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sessions->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sessions->folder = strlen(options->folder) < 4096 ? strdup(options->folder) : NULL;
    enum status status = sessions->folder != NULL
                             ? sessions_index_load(sessions, failure)
                             : failure_set(failure, STATUS_FAILED, "out of memory, or the folder's name is too long");
    if (status == STATUS_OK) {
        sessions_sweep(sessions);
        if (pthread_create(&sessions->sweeper, NULL, sessions_sweep_now_and_then, sessions) != 0)
            status = failure_set(failure, STATUS_FAILED, "no thread can be made for the sweep of upload sessions");
    }
    if (status != STATUS_OK) {
        free_sessions(sessions);
        return status;
    }
    pthread_setname_np(sessions->sweeper, "sessions");
    *out = sessions;
    return STATUS_OK;
}

void sessions_destroy(struct sessions *sessions)
{
    if (sessions == NULL)
        return;
    pthread_mutex_lock(&sessions->lock);
    sessions->stopping = true;
    pthread_cond_signal(&sessions->wake);
    pthread_mutex_unlock(&sessions->lock);
    pthread_join(sessions->sweeper, NULL);
    for (size_t i = 0; i < sessions->count; i++)
        if (!sessions->entries[i].ended)
            spool_space_give_back(sessions->options.space, sessions->entries[i].length);
    free_sessions(sessions);
}

/* ID.part first: a name in ID.json means that both are there. Both are on the disk then, with their names. */
static enum status make_files(struct session *session, struct failure *failure)
{
    char path[SESSIONS_PATH_MAX];
    sessions_path(session->sessions, session->id, ".part", path);
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failure_set(failure, errno == ENOSPC || errno == EDQUOT ? STATUS_TOO_LARGE : STATUS_FAILED,
                           "no file can be made in the spool's folder: %s", strerror(errno));
    int error = spool_file_begin(&session->file, fd, sessions_key(session->sessions));
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    enum status status = error == 0 ? sessions_write_about(session, failure)
                                    : spool_file_tell(error, "try again later, or with less", failure);
    spool_file_forget(&session->file);
    close(fd);
    if (status != STATUS_OK) {
        unlink(path);
        sessions_path(session->sessions, session->id, ".json", path);
        unlink(path); /* there, where only its name is not on the disk for certain */
    }
    return status;
}

enum status sessions_begin(struct sessions *sessions, struct session_owner owner, struct text metadata, uint64_t length,
                           char id[SESSIONS_ID_SIZE], struct failure *failure)
{
    struct session session = {.sessions = sessions,
                              .customer = owner.customer,
                              .metadata = metadata,
                              .length = length,
                              .touched_s = clock_wall_us() / 1000000};
    if (owner.customer.size >= sizeof(((struct sessions_entry *)NULL)->customer) || metadata.size > TUS_METADATA_MAX)
        return failure_set(failure, STATUS_INVALID, "the customer's name or the metadata is too long");
    random_uuid(session.id);
    sessions_owner_digest(owner.subject, session.subject);
    enum status status = sessions_index_add(sessions, &session, failure);
    if (status == STATUS_OK && (status = make_files(&session, failure)) != STATUS_OK)
        sessions_index_remove(sessions, session.id);
    memcpy(id, session.id, sizeof(session.id));
    return status;
}

enum status sessions_hold(struct sessions *sessions, struct text id, struct session_owner owner, struct session **out,
                          struct failure *failure)
{
    char digest[2 * SESSIONS_OWNER + 1], name[SESSIONS_ID_SIZE];
    struct session *session = NULL;
    enum status status = STATUS_NOT_FOUND;
    if (sessions_is_id(id)) {
        memcpy(name, id.data, SESSIONS_ID);
        name[SESSIONS_ID] = '\0';
        sessions_owner_digest(owner.subject, digest);
        status = sessions_open(sessions, name, &session, failure);
    }
    if (status == STATUS_OK &&
        (session->foreign || !text_equal(session->customer, owner.customer) ||
         !hash_equal(session->subject, digest, sizeof(digest)) || sessions_is_expired(sessions, session->touched_s))) {
        session_release(session);
        status = STATUS_NOT_FOUND;
    }
    if (status == STATUS_NOT_FOUND)
        return failure_set(failure, status, "there is no such upload session, or it has expired; begin a new one");
    *out = session;
    return status;
}

struct session_about session_about(const struct session *session)
{
    return (struct session_about){
        .id = session->id,
        .metadata = session->metadata,
        .length = session->length,
        .offset = session->ended ? session->length : session->file.size,
        .expires_s = session->touched_s + (int64_t)session->sessions->options.lifetime_s,
        .ended = session->ended,
        .refused = session->refused,
        .result = session->result,
    };
}

void session_release(struct session *session)
{
    spool_file_forget(&session->file);
    if (session->file.fd >= 0)
        close(session->file.fd);
    arena_free(&session->arena);
    free(session);
}

/* What is about it goes first: a cut in between leaves an ID.part that belongs to nothing, and the next start drops it.
 */
void session_remove(struct session *session)
{
    char path[SESSIONS_PATH_MAX];
    sessions_path(session->sessions, session->id, ".json", path);
    unlink(path);
    sessions_path(session->sessions, session->id, ".part", path);
    unlink(path);
    sessions_index_remove(session->sessions, session->id);
    pthread_mutex_lock(&session->sessions->lock);
    if (session->sessions->closing_count < SESSIONS_CLOSING) {
        session->sessions->closing[session->sessions->closing_count++] = session->file.fd;
        session->file.fd = -1;
        pthread_cond_signal(&session->sessions->wake);
    }
    pthread_mutex_unlock(&session->sessions->lock);
    session_release(session);
}
