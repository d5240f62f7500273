/* A session's bytes, ID.part. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "upload/sessions_private.h"
#include "upload/spool_file.h"

#define FULL "go on later from Upload-Offset"
#define PIECE ((size_t)256 << 10)
#define HEADS_FREE ((uint64_t)256 << 10) /* bytes that encryption may add to a short file, and an eighth to any */
#define SYNC_EVERY ((uint64_t)64 << 20)  /* bytes: what is left to write at the end takes no more than a moment */

/* STATUS_NOT_FOUND: it was removed between opening and locking. */
static enum status lock_part(struct session *session, struct failure *failure)
{
    char path[SESSIONS_PATH_MAX];
    struct stat about;
    sessions_path(session->sessions, session->id, ".part", path);
    session->file.fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (session->file.fd < 0)
        return errno == ENOENT
                   ? STATUS_NOT_FOUND
                   : failure_set(failure, STATUS_FAILED, "the upload session cannot be opened: %s", strerror(errno));
    if (flock(session->file.fd, LOCK_EX | LOCK_NB) != 0)
        return failure_set(failure, STATUS_CONFLICT,
                           "another request is at work on this upload session; ask again shortly");
    if (fstat(session->file.fd, &about) != 0 || about.st_nlink == 0)
        return STATUS_NOT_FOUND;
    session->touched_s = about.st_mtim.tv_sec;
    enum status status = spool_file_resume(&session->file, session->file.fd, sessions_key(session->sessions), failure);
    session->foreign = status == STATUS_NOT_FOUND;
    return session->foreign ? STATUS_OK : status;
}

enum status sessions_open(struct sessions *sessions, const char *id, struct session **out, struct failure *failure)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    session->sessions = sessions;
    session->file.fd = -1;
    memcpy(session->id, id, SESSIONS_ID);
    sessions_init_arena(session);
    enum status status = lock_part(session, failure);
    if (status == STATUS_OK)
        status = sessions_read_about(session, failure);
    if (status != STATUS_OK) {
        session_release(session);
        return status;
    }
    *out = session;
    return STATUS_OK;
}

struct intake {
    uint64_t start, end, synced; /* start and end: of the file before */
    EVP_MD_CTX *digest;          /* NULL: no checksum */
    char *piece;
    bool too_long; /* for the told length */
};

/* Until the source ends, or fails. */
static enum status take_all(struct session *session, const struct body_source *source, struct intake *intake,
                            const atomic_bool *cancelled, struct failure *failure)
{
    for (;;) {
        size_t got = 0;
        if (cancelled != NULL && atomic_load_explicit(cancelled, memory_order_relaxed))
            return failure_set(failure, STATUS_UNAVAILABLE, "the request was ended before its body was whole");
        enum status status = source->read(source->context, intake->piece, PIECE, &got, failure);
        if (status != STATUS_OK || got == 0)
            return status;
        intake->too_long = got > session->length - session->file.size;
        if (intake->too_long)
            return failure_set(failure, STATUS_TOO_LARGE,
                               "more bytes came than Upload-Length told; nothing of this request is kept");
        int error = spool_file_append(&session->file, text_of(intake->piece, got));
        if (error != 0)
            return spool_file_tell(error, FULL, failure);
        if (intake->digest != NULL)
            EVP_DigestUpdate(intake->digest, intake->piece, got);
        if (session->file.end - intake->synced >= SYNC_EVERY && fdatasync(session->file.fd) == 0)
            intake->synced = session->file.end;
    }
}

static bool is_right(EVP_MD_CTX *digest, const struct tus_checksum *checksum)
{
    unsigned char found[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return EVP_DigestFinal_ex(digest, found, &size) == 1 && size == checksum->size &&
           memcmp(found, checksum->digest, size) == 0;
}

/* Keeps what came, or what was there before; and has it on the disk. */
static enum status settle(struct session *session, const struct intake *intake, bool keep, enum status status,
                          struct failure *failure)
{
    int error = keep ? spool_file_flush(&session->file) : spool_file_cut(&session->file, intake->start, intake->end);
    if (error != 0)
        status = spool_file_tell(error, FULL, failure);
    if (fdatasync(session->file.fd) != 0)
        status = spool_file_tell(errno, FULL, failure);
    session->touched_s = clock_wall_us() / 1000000;
    sessions_index_touch(session->sessions, session);
    return status;
}

enum status session_receive(struct session *session, const struct body_source *source,
                            const struct tus_checksum *checksum, const atomic_bool *cancelled, struct failure *failure)
{
    const struct spool_file *file = &session->file;
    struct intake intake = {file->size, file->end, file->end, NULL, NULL, false};
    if (file->end > file->size && file->end - file->size > session->length / 8 + HEADS_FREE)
        return failure_set(failure, STATUS_TOO_LARGE,
                           "the file came in too many small pieces; begin a new session, and send more at once");
    intake.piece = malloc(PIECE);
    bool checked = checksum != NULL && checksum->algorithm != TUS_NONE;
    if (checked && (intake.digest = EVP_MD_CTX_new()) != NULL &&
        EVP_DigestInit_ex(intake.digest, checksum->algorithm == TUS_SHA1 ? EVP_sha1() : EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(intake.digest);
        intake.digest = NULL;
    }
    enum status status = STATUS_FAILED;
    if (intake.piece == NULL || (checked && intake.digest == NULL)) {
        failure_set(failure, status, "out of memory");
    } else {
        status = take_all(session, source, &intake, cancelled, failure);
        if (status == STATUS_OK && checked && !is_right(intake.digest, checksum))
            status = failure_set(failure, STATUS_DENIED,
                                 "the body has another digest than Upload-Checksum told; nothing of it is kept, send "
                                 "it again");
        bool keep = status == STATUS_OK || (!checked && !intake.too_long);
        status = settle(session, &intake, keep, status, failure);
    }
    EVP_MD_CTX_free(intake.digest);
    free(intake.piece);
    return status;
}

static enum status read_part(void *context, char *out, size_t size, size_t *got, struct failure *failure)
{
    struct session *session = context;
    return spool_file_read(&session->file, out, size, got, failure);
}

struct body_source session_source(struct session *session)
{
    spool_file_rewind(&session->file);
    return (struct body_source){read_part, session};
}

static enum status keep_end(struct session *session, struct text result, bool refused, struct failure *failure)
{
    char surplus[SESSIONS_ID_SIZE];
    struct session *other = NULL;
    if (result.size > SESSIONS_RESULT_MAX)
        result = TEXT("{}");
    session->ended = true;
    session->refused = refused;
    session->result = arena_copy(&session->arena, result);
    enum status status = sessions_write_about(session, failure);
    if (status != STATUS_OK || session->result.data == NULL) {
        session->ended = session->refused = false;
        return status != STATUS_OK ? status : failure_set(failure, STATUS_FAILED, "out of memory");
    }
    /* Its space is free at once. Where this fails, it is when the session expires. */
    int ignored = spool_file_empty(&session->file);
    (void)ignored;
    session->touched_s = clock_wall_us() / 1000000;
    sessions_index_touch(session->sessions, session);
    if (sessions_index_surplus(session->sessions, session->customer, surplus) &&
        memcmp(surplus, session->id, SESSIONS_ID) != 0 &&
        sessions_open(session->sessions, surplus, &other, NULL) == STATUS_OK)
        session_remove(other);
    return STATUS_OK;
}

enum status session_end(struct session *session, struct text result, struct failure *failure)
{
    return keep_end(session, result, false, failure);
}

enum status session_refuse(struct session *session, struct text reason, struct failure *failure)
{
    return keep_end(session, reason, true, failure);
}
